"""The online denoiser: a stream equals a whole sentence, later sound changes nothing, and it begins as regression."""

import pytest
import torch

from liveface.errors import RecipeError
from liveface.nets.online import BestStep, OnlineConfig, OnlineNet, OnlineStep, calmed, wav2vec_encoder
from liveface.nets.speech import SpeechConfig

TINY = OnlineConfig(
    encoder=SpeechConfig(mels=6, stem=8, width=16, dilations=(1, 2), styles=1, style_width=4, motion=5),
    layers=2, heads=2, inner=24, window=7, codes=9, eyes=10, waves=3,
)  # fmt: skip
FRAMES = 30


@pytest.fixture
def network() -> OnlineNet:
    torch.manual_seed(0)
    net = OnlineNet(TINY).eval()
    for part in (net.out, net.eyes, net.emotion):
        torch.nn.init.normal_(part.weight, std=0.3)
    net.mean.normal_()
    net.spread.uniform_(0.5, 2)
    return net


def given() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "features": torch.randn(1, 4 * FRAMES, 6),
        "noise": torch.randn(1, FRAMES, 9),
        "emotion": torch.rand(1, 8),
        "style": torch.randn(1, 4),
        "eyes": torch.randn(1, FRAMES, 10),
    }


def whole(network: OnlineNet, inputs: dict[str, torch.Tensor], shown: torch.Tensor) -> torch.Tensor:
    """All frames at once, standardised, with the codes `shown` as their past."""
    style = inputs["style"][:, None]
    hidden, mouth, _ = network.listen(inputs["features"], network.start(), style)
    told = network.conditions((hidden, mouth), inputs["emotion"][:, None], style, inputs["eyes"])
    seen = torch.ones(1, FRAMES, dtype=torch.bool)
    memory = network.remember(told.heard, shown, seen)
    return network.draw(told, calmed(inputs["noise"], 5), torch.ones(1, 1), memory, (shown, seen))


@torch.inference_mode()
def test_a_stream_with_its_own_past_equals_all_at_once(network):
    inputs, step, state = given(), OnlineStep(network), network.start()
    last, made = torch.zeros(1, 9), []
    for at in range(FRAMES):
        out = step(
            inputs["features"][:, 4 * at : 4 * at + 4], inputs["noise"][:, at], last,
            inputs["emotion"], inputs["style"], inputs["eyes"][:, at], **state,
        )  # fmt: skip
        last = out["codes"]
        made.append(network.standard(last))
        state = {name[5:]: value for name, value in out.items() if name != "codes"}
        assert {name: tuple(value.shape[1:]) for name, value in state.items()} == TINY.state_shapes
    stream = torch.stack(made, 1)
    assert torch.allclose(whole(network, inputs, stream), stream, atol=2e-4)


@torch.inference_mode()
def test_later_sound_and_later_motion_change_nothing_earlier(network):
    inputs, shown = given(), torch.randn(1, FRAMES, 9)
    first = whole(network, inputs, shown)
    later = {name: value.clone() for name, value in inputs.items()}
    later["features"][:, 4 * 20 :] += 1
    shown_later = shown.clone()
    shown_later[:, 20:] += 1
    second = whole(network, later, shown_later)
    assert torch.equal(first[:, :20], second[:, :20])
    assert not torch.allclose(first[:, 20:], second[:, 20:])
    told_by_motion = whole(network, inputs, shown_later)
    assert torch.equal(first[:, :21], told_by_motion[:, :21])
    assert not torch.allclose(first[:, 21], told_by_motion[:, 21])


@torch.inference_mode()
def test_an_unseen_past_is_the_start_of_a_stream(network):
    inputs = given()
    seen = torch.zeros(1, FRAMES, dtype=torch.bool)
    style = inputs["style"][:, None]
    told = network.conditions(
        network.listen(inputs["features"], network.start(), style)[:2],
        inputs["emotion"][:, None],
        style,
        inputs["eyes"],
    )
    made = []
    for shown in (torch.zeros(1, FRAMES, 9), torch.randn(1, FRAMES, 9)):
        memory = network.remember(told.heard, shown, seen)
        made.append(network.draw(told, inputs["noise"], torch.ones(1, 1), memory, (shown, seen)))
    assert torch.equal(*made)


@torch.inference_mode()
def test_both_directions_see_the_future_within_the_window(network):
    inputs, step = given(), BestStep(network)
    lead = TINY.encoder.memory - 1
    features = torch.cat([torch.full((1, 4 * lead, 6), -2.0), inputs["features"]], 1)
    rest = (torch.ones(1, FRAMES), inputs["emotion"], inputs["style"], inputs["eyes"])
    noisy, other = inputs["noise"], inputs["noise"].clone()
    other[:, 20:] += 1
    one = torch.ones(1, 1)
    first, second = (step(features, x, *rest, one)["clean"] for x in (noisy, other))
    changed = (first - second).abs().amax((0, 2)) > 1e-6
    assert changed[20:].all()
    assert changed[19]
    reach = TINY.layers * TINY.window
    assert not changed[: 20 - reach].any()
    without = [step(f, noisy, *rest, 0 * one)["clean"] for f in (features, features + 1)]
    assert torch.equal(*without)


@torch.inference_mode()
def test_an_untrained_network_is_its_regression():
    torch.manual_seed(0)
    network, inputs = OnlineNet(TINY).eval(), given()
    _, mouth, _ = network.listen(inputs["features"], network.start(), inputs["style"][:, None])
    made = whole(network, inputs, torch.zeros(1, FRAMES, 9))
    assert torch.allclose(made[..., :5], mouth, atol=1e-6)
    assert not made[..., 5:].any()
    inputs["emotion"] *= 3
    assert torch.equal(made, whole(network, inputs, torch.zeros(1, FRAMES, 9)))  # emotion begins without a say


def test_cost_of_the_released_size():
    config = OnlineConfig()
    assert config.mmac < 3.0
    assert sum(value.numel() for value in OnlineNet(config).parameters()) * 4 < 10e6
    assert OnlineConfig(encoder=wav2vec_encoder()).encoder.mels == 768


@pytest.mark.parametrize("bad", [{"heads": 3}, {"layers": 0}, {"encoder": SpeechConfig(style_width=5)}, {"codes": 4}])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(RecipeError, match="expected"):
        OnlineConfig(**bad)
