"""The exported speech network: names, shapes, and the same stream as torch."""

import numpy as np
import pytest
import torch

from liveface.errors import ExportError
from liveface.export.speech import export_speech, load_settled, start_arrays, stream
from liveface.nets.speech import SpeechConfig, SpeechNet
from liveface.runtime import Step

TINY = SpeechConfig(stem=8, width=16, dilations=(1, 2), styles=2, style_width=3, motion=4)


def test_the_file_keeps_the_contract_and_the_numbers(tmp_path):
    torch.manual_seed(0)
    network = SpeechNet(TINY).eval()
    network.gain.fill_(1.3)
    network.house_style.normal_()
    file = tmp_path / "speech.tflite"
    assert export_speech(network, file, frames=40) < 1e-4
    step = Step(file)
    states = {name: (1, *shape) for name, shape in TINY.state_shapes.items()}
    assert {name: shape for name, (shape, _) in step.inputs.items()} == {"features": (1, 4, 64), **states}
    outputs = {name: shape for name, (shape, _) in step.outputs.items()}
    assert outputs == {"tracks": (1, 1, 4), **{f"next_{name}": shape for name, shape in states.items()}}
    features = np.random.default_rng(1).normal(size=(10, 4, 64)).astype(np.float32)
    first = stream(step, features, start_arrays(network))
    assert np.array_equal(first, stream(step, features, start_arrays(network)))  # nothing is remembered inside


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(ExportError, match="train first"):
        load_settled(tmp_path)
