"""The head network: budgets, shapes, and a start that is exactly the first picture."""

import numpy as np
import pytest
import torch

from liveface.errors import RecipeError
from liveface.nets.mobileportrait import MobilePortrait, PortraitConfig, count, shuffle
from liveface.nets.mobileportrait_motion import heat, identity, initial_flows, sample, thin_plate
from liveface.render.mobileportrait import inputs
from liveface.render.mobileportrait.sizes import SIZES, PortraitSize, facial_indices

TINY = PortraitSize("tiny", (8, 16), (1, 1), (8, 16, 16, 16), (0, 1, 1, 1), (1, 1, 1), facial=20, hidden=16)


def face(size=96):
    """478 scattered points with upright eyes."""
    points = np.random.default_rng(0).uniform(0.3 * size, 0.7 * size, (478, 3)).astype(np.float32)
    points[33], points[263] = (0.4 * size, 0.4 * size, 0), (0.6 * size, 0.4 * size, 0)
    return points


@pytest.mark.parametrize(("name", "least", "most"), [("4g", 1.5, 4.0), ("7g", 6.0, 7.0), ("16g", 14.0, 16.0)])
def test_multiply_adds_and_weights_by_the_papers_accounting(name, least, most):
    counted = count(SIZES[name])
    frame = sum(counted[part][0] for part in ("keypoints", "motion", "synthesis")) / 1e9
    weights = sum(part[1] for part in counted.values()) / 1e6
    assert least < frame <= most
    assert weights < {"4g": 2.5, "7g": 7.5, "16g": 17}[name]


@pytest.mark.parametrize("name", SIZES)
def test_widths_suit_int8(name):
    assert all(width % 16 == 0 for width in (*SIZES[name].motion, *SIZES[name].synthesis))


def run(network, seed=0, side=96):
    """Everything between the inputs and the flow and grid of one frame."""
    torch.manual_seed(seed)
    small = [torch.rand(2, 3, 64, 64) for _ in range(2)]
    facial = [torch.rand(2, 20, 2) - 0.5 for _ in range(2)]
    photo, driver, _ = network.mixed(*facial, small[1])
    pictures, flows = network.first_pictures(*small, (photo, driver))
    still = network.motion.still(torch.rand(2, 5, 64, 64))
    answer = network.motion.answer(network.motion.features(pictures, network.moved_heat((photo, driver)), still))
    cells = side // 4
    grid, low = network.synthesis(
        torch.rand(2, 3, side, side), torch.rand(2, 4, side // 2, side // 2), torch.rand(2, 4, cells, cells),
        network.synthesis.photo(torch.rand(2, 7, side, side)), torch.rand(2, 16, side // 32, side // 32),
    )  # fmt: skip
    return answer, network.places(answer, flows), grid, low


@pytest.mark.parametrize("keypoints", ["mixed", "neural", "facial"])
def test_starts_as_the_first_picture(keypoints):
    network = MobilePortrait(PortraitConfig(keypoints=keypoints), TINY)
    answer, places, grid, low = run(network)
    assert answer.shape == (2, 3, 64, 64)
    assert not answer.any()
    assert not grid.any()
    assert low.shape == (2, 16, 3, 3)
    base = torch.rand(2, 3, 96, 96)
    torch.testing.assert_close(sample(base, places), base, atol=1e-4, rtol=0)
    torch.testing.assert_close(sample(base, places, (32, 8, 16, 24)), base[:, :, 8:32, 32:48], atol=1e-4, rtol=0)


def test_thin_plates_give_eleven_flows_and_carry_keypoints():
    network = MobilePortrait(PortraitConfig(initial="tps"), TINY)
    answer, places, _, _ = run(network)
    assert answer.shape == (2, 14, 64, 64)
    assert places.shape == (2, 64, 64, 2)
    torch.manual_seed(1)
    driver = torch.rand(1, 5, 2) * 1.6 - 0.8
    source = driver + 0.1
    flow = initial_flows(thin_plate(source, driver), driver, 64)
    assert flow.shape == (1, 2, 64, 64, 2)
    column, row = ((driver[0] + 1) * 32).long().T  # the ridge lets them miss by a little
    torch.testing.assert_close(flow[0, 0, row, column], source[0], atol=0.08, rtol=0)
    torch.testing.assert_close(flow[0, 1], identity(64, 64, flow.device))


def test_exported_order_of_motion_is_row_column_answer():
    network = MobilePortrait(PortraitConfig(), TINY)
    torch.nn.init.normal_(network.motion.head.weight)
    given = torch.rand(1, 3, 64, 64), torch.rand(1, 50, 64, 64), torch.rand(1, 8, 32, 32)
    blocks = network.motion(*given)
    plain = network.motion.answer(network.motion.features(*given))
    again = blocks.reshape(1, 2, 2, 3, 32, 32).permute(0, 3, 4, 1, 5, 2).reshape(1, 3, 64, 64)
    torch.testing.assert_close(again, plain)


def test_without_residual_flow_nothing_bends():
    network = MobilePortrait(PortraitConfig(residual_flow=False), TINY)
    torch.nn.init.normal_(network.motion.head.weight)
    answer, places, _, _ = run(network)
    assert answer[:, 2].any()
    torch.testing.assert_close(places[0], identity(64, 64, places.device))


def test_the_driver_at_rest_keeps_the_photos_keypoints():
    network = MobilePortrait(size=TINY)
    for layer in (network.keypoints.tell.last, network.keypoints.merge.last):
        torch.nn.init.normal_(layer.weight)
    facial = torch.rand(1, 20, 2)
    photo, driver, _ = network.mixed(facial, facial, torch.rand(1, 3, 64, 64))
    torch.testing.assert_close(photo, driver)
    own = network.keypoints.tell(facial.flatten(1))
    seen = network.detector(torch.rand(1, 3, 64, 64)).flatten(1)
    mixed, _ = network.keypoints(facial.flatten(1), seen - own)
    torch.testing.assert_close(mixed, network.keypoints.mix(facial, seen.unflatten(1, (50, 2))))


def test_views_and_background_can_be_left_out():
    plain = MobilePortrait(PortraitConfig(background=False, views=False), TINY).synthesis
    still = torch.rand(1, 7, 32, 32)
    other = torch.cat([torch.rand(1, 3, 32, 32), still[:, 3:]], 1)
    torch.testing.assert_close(plain.photo(still), plain.photo(other))


def test_heat_is_the_run_times_heat():
    keypoints = torch.rand(1, 50, 2) * 2 - 1
    slow = inputs.heat(keypoints[0].numpy(), 64)
    np.testing.assert_allclose(heat(keypoints, 64)[0].permute(1, 2, 0).numpy(), slow, atol=1e-6)
    column, row = np.floor((keypoints[0, 7].numpy() + 1) * 32).astype(int)
    assert np.abs(np.array(np.unravel_index(slow[:, :, 7].argmax(), (64, 64))) - (row, column)).max() <= 1


def test_facial_keypoints_are_distinct_in_any_number():
    for number in (10, 106, 200, 478):
        assert len(np.unique(facial_indices(number))) == number
    assert inputs.facial(face(), 96, 50).shape == (50, 2)


def test_inputs_have_their_shapes_and_places_turn_with_the_head():
    points = face()
    drawn = inputs.coarse(np.ones((64, 64), np.float32), np.full((96, 96), 255, np.uint8), points, 96)
    assert drawn.shape == (24, 24, 4)
    assert (drawn[..., :2] == 1).all()
    assert inputs.masks(points, 96).shape == (48, 48, 4)
    assert inputs.landmark_mask(points, 96, 64).shape == (64, 64)
    turned = points.copy()
    turned[:, :2] = np.stack([95 - points[:, 1], points[:, 0]], 1)  # a quarter turn of the square
    np.testing.assert_allclose(inputs.place(turned, 96), np.rot90(inputs.place(points, 96), k=-1), atol=1e-4)


def test_wrong_names_are_refused():
    with pytest.raises(RecipeError, match="9g"):
        PortraitConfig(size="9g")
    with pytest.raises(RecipeError, match="keypoints"):
        PortraitConfig(keypoints="all")


def test_shuffle_orders_rows_columns_colours():
    picture = shuffle(torch.arange(48.0)[None, :, None, None])
    assert picture[0, :, 1, 2].tolist() == [18.0, 19.0, 20.0]
