"""The exported networks of speech: names, shapes, and the same stream as torch."""

import numpy as np
import pytest
import torch

from liveface.errors import ExportError
from liveface.export.speech import examples, export_best, export_stream, load_online, start_arrays, stream
from liveface.nets.online import OnlineConfig, OnlineNet
from liveface.nets.speech import SpeechConfig
from liveface.runtime import Step

TINY = OnlineConfig(
    encoder=SpeechConfig(mels=6, stem=8, width=16, dilations=(1, 2), styles=1, style_width=4, motion=5),
    layers=2, heads=2, inner=24, window=7, codes=9, eyes=10, waves=3,
)  # fmt: skip


@pytest.fixture
def network() -> OnlineNet:
    torch.manual_seed(0)
    net = OnlineNet(TINY).eval()
    torch.nn.init.normal_(net.out.weight, std=0.1)
    net.mean.normal_()
    return net


def test_the_stream_keeps_the_contract_and_the_numbers(tmp_path, network):
    file = tmp_path / "speech.tflite"
    assert export_stream(network, file, frames=20) < 2e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speech.tflite"]
    step = Step(file)
    states = {name: (1, *shape) for name, shape in TINY.state_shapes.items()}
    given = {name: (1, size) for name, size in (("noise", 9), ("last", 9), ("emotion", 8), ("style", 4), ("eyes", 10))}
    given["features"] = (1, 4, 6)
    assert {name: shape for name, (shape, _) in step.inputs.items()} == {**given, **states}
    outputs = {name: shape for name, (shape, _) in step.outputs.items()}
    assert outputs == {"codes": (1, 9), **{f"next_{name}": shape for name, shape in states.items()}}
    inputs = examples(network, 10)
    first = stream(step, inputs, start_arrays(network))
    assert np.array_equal(first, stream(step, inputs, start_arrays(network)))  # nothing is remembered inside


def test_the_window_keeps_the_contract_and_the_numbers(tmp_path, network):
    file = tmp_path / "best.tflite"
    assert export_best(network, file, frames=12) < 2e-3
    step = Step(file)
    assert {name: shape for name, (shape, _) in step.outputs.items()} == {"clean": (1, 12, 9), "codes": (1, 12, 9)}
    assert step.inputs["features"][0] == (1, 4 * (12 + TINY.encoder.memory - 1), 6)


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(ExportError, match="train"):
        load_online(tmp_path)
