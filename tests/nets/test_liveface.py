"""The networks of an avatar: budgets, shapes, order of the grid, an untrained compositor that changes nothing."""

import pytest
import torch

from liveface.errors import AvatarError
from liveface.nets.liveface import (
    count_multiply_accumulates,
    make_compositor,
    make_decoder,
    shuffle,
    unshuffle,
)
from liveface.render.liveface.regions import REGIONS
from liveface.render.liveface.sizes import (
    IDENTITY,
    MOST_BYTES,
    MOST_GMAC,
    SIZES,
    gmac_per_frame,
    parameters_of,
    sizes_of,
)

CANVASES = ((360, 640), (384, 672))


def controls_of(size, batch=1):
    vectors = tuple(torch.randn(batch, length) for length in size.inputs.values())
    return (*vectors, torch.ones(batch, 1)) if len(vectors) > 1 else vectors[0]


@pytest.mark.parametrize("name", SIZES)
def test_every_size_keeps_the_budget(name):
    assert gmac_per_frame(name) <= MOST_GMAC
    assert gmac_per_frame(name, (384, 672)) <= 1.05 * MOST_GMAC
    assert parameters_of(name) < 0.97 * MOST_BYTES  # scales, biases and the graph take the rest
    decoders, compositor = sizes_of(name)
    assert list(decoders) == list(REGIONS)
    assert all(1.3e6 <= decoder.parameters <= 5.7e6 for decoder in decoders.values())
    assert 6.5e6 < compositor.parameters < 8e6


def test_sizes_differ_in_cost():
    costs = [gmac_per_frame(name) for name in ("small", "base", "large")]
    assert costs[0] < 0.5 * costs[1] < 0.4 * costs[2] + 0.05
    with pytest.raises(AvatarError, match="'huge'"):
        sizes_of("huge")


@pytest.mark.parametrize("name", SIZES)
def test_the_networks_cost_what_their_sizes_say(name):
    decoders, _ = sizes_of(name)
    for region, size in decoders.items():
        network = make_decoder(region, name)
        spent, weights = count_multiply_accumulates(network, controls_of(size), torch.zeros(1, IDENTITY))
        assert spent == round(size.mmac * 1e6)
        assert weights + network.mean.numel() == size.parameters
    for canvas in CANVASES:
        network, size = make_compositor(name, canvas), sizes_of(name, canvas)[1]
        reference = torch.rand(1, 3, canvas[1] // 2, canvas[0] // 2)
        features = network.appearance(reference)
        spent, weights = count_multiply_accumulates(
            network, torch.rand(1, 10, canvas[1] // 2, canvas[0] // 2), features
        )
        once, once_weights = count_multiply_accumulates(network.look, reference)
        assert (spent, once) == (round(size.mmac * 1e6), round(size.appearance_mmac * 1e6))
        assert weights + once_weights == size.parameters


def test_patches_have_the_regions_shapes_and_the_mean():
    for region, shape in REGIONS.items():
        network = make_decoder(region, "small")
        size = network.size
        assert network(controls_of(size, 2), torch.zeros(2, IDENTITY)).shape == (2, 4, *shape.size[::-1])
        patch = torch.rand(4, *shape.size[::-1])
        code, identity = network.code(controls_of(size)), torch.zeros(1, IDENTITY)
        without = shuffle(network.grid(code, identity), 4)
        network.set_mean(patch)
        torch.testing.assert_close(shuffle(network.grid(code, identity), 4), without + patch)
        torch.testing.assert_close(shuffle(network.grid(code, identity, 0 * patch[None]), 4), without)


def test_the_mouths_flag_chooses_the_input():
    network = make_decoder("mouth", "small")
    heard, seen = torch.randn(1, 58), torch.randn(1, 85)
    codes = network.codes(heard, seen)
    torch.testing.assert_close(network.code((heard, seen, torch.zeros(1, 1))), codes[0])
    torch.testing.assert_close(network.code((heard, seen, torch.ones(1, 1))), codes[1])
    assert network.mode.requires_grad


def test_the_grid_is_row_column_channel():
    grid = torch.arange(256.0)[None, :, None, None]
    picture = shuffle(grid, 4)
    assert picture.shape == (1, 4, 8, 8)
    assert picture[0, :, 1, 2].tolist() == [40.0, 41.0, 42.0, 43.0]
    assert torch.equal(unshuffle(picture), grid)


@pytest.mark.parametrize("canvas", CANVASES)
def test_an_untrained_compositor_leaves_the_picture(canvas):
    network = make_compositor("small", canvas)
    features = network.appearance(torch.rand(1, 3, canvas[1] // 2, canvas[0] // 2))
    assert features.shape == (1, 16, canvas[1] // 8, canvas[0] // 8)
    residual = network(torch.rand(1, 10, canvas[1] // 2, canvas[0] // 2), features)
    assert residual.shape == (1, 3, canvas[1], canvas[0])
    assert not residual.any()


def test_a_decoder_learns_a_moving_patch():
    torch.manual_seed(0)
    network = make_decoder("eyes", "small")
    size = network.size
    given = torch.linspace(-1, 1, 8)[:, None] * torch.ones(8, size.inputs["eyes"])
    true = 0.5 + 0.3 * given.mean(1)[:, None, None, None] * torch.linspace(-1, 1, size.patch[0]).expand(8, 4, 80, -1)
    network.set_mean(true.mean(0))
    optimizer, errors = torch.optim.Adam(network.parameters(), 2e-3), []
    for _ in range(25):
        loss = (network(given, torch.zeros(1, IDENTITY)) - true).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.4 * errors[0]
