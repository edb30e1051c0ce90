"""The speech network: causal, the same in pieces, and with the sizes it says."""

import pytest
import torch

from liveface.errors import RecipeError
from liveface.nets.speech import SOUNDS, SpeechConfig, SpeechNet

TINY = SpeechConfig(stem=12, width=16, dilations=(1, 2, 4), styles=3, style_width=4, motion=5)


@pytest.fixture
def network() -> SpeechNet:
    torch.manual_seed(0)
    return SpeechNet(TINY).eval()


def test_shapes_state_and_names(network):
    features = torch.randn(2, 4 * 10, 64)
    tracks, state = network(features, network.start(2))
    assert tracks.shape == (2, 10, 5)
    assert {name: tuple(value.shape[1:]) for name, value in state.items()} == TINY.state_shapes
    assert network.sounds(network.trunk(features, network.start(2), torch.zeros(2, 1, 4))[0]).shape[-1] == len(SOUNDS)


def test_frame_by_frame_equals_all_at_once(network):
    features = torch.randn(1, 4 * 30, 64)
    whole, _ = network(features, network.start())
    state, parts = network.start(), []
    for frame in range(30):
        part, state = network(features[:, 4 * frame : 4 * frame + 4], state)
        parts.append(part)
    assert torch.allclose(whole, torch.cat(parts, 1), atol=1e-5)


def test_later_features_change_nothing_earlier(network):
    features = torch.randn(1, 4 * 30, 64)
    other = features.clone()
    other[:, 4 * 20 :] += 1
    first, second = network(features, network.start())[0], network(other, network.start())[0]
    assert torch.equal(first[:, :20], second[:, :20])
    assert not torch.allclose(first[:, 20:], second[:, 20:])


def test_memory_ends_where_it_says(network):
    frames = TINY.memory + 6
    features = torch.randn(1, 4 * frames, 64)
    other = features.clone()
    other[:, :4] += 1
    changed = (network(features, network.start())[0] - network(other, network.start())[0]).abs().amax((0, 2)) > 1e-6
    assert changed[: TINY.memory].any()
    assert not changed[TINY.memory + 1 :].any()


def test_style_and_gain_work(network):
    features = torch.randn(1, 40, 64)
    plain = network(features, network.start())[0]
    styled = network(features, network.start(), torch.ones(1, 1, 4))[0]
    assert not torch.allclose(plain, styled)
    network.gain.fill_(2.0)
    assert torch.allclose(network(features, network.start())[0], 2 * plain)


def test_cost_of_the_released_size():
    assert SpeechConfig().mmac < 1.0
    assert SpeechConfig().memory == 65  # frames, 2.2 s


def test_impossible_sizes_are_refused():
    with pytest.raises(RecipeError, match="cannot be built"):
        SpeechConfig(width=0)
