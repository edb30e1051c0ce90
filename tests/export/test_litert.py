"""Export: float and INT8 files, their contract and their parity."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from liveface import weights
from liveface.errors import ExportError
from liveface.export.litert import add_to_manifest, describe, export_float, export_int8, parity
from liveface.nets.mouth import INPUT_CHANNELS, ForExport, MouthConfig, MouthNet
from liveface.runtime import Step

TINY = MouthConfig(channels=(16, 16), blocks=(1, 1))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("export")
    network = ForExport(MouthNet(TINY)).eval()
    random = np.random.default_rng(0)
    samples = [{"x": random.random((1, 64, 112, INPUT_CHANNELS), np.float32)} for _ in range(4)]
    plain = export_float(network, samples[0], folder / "float.tflite")
    small = export_int8(plain, samples[:2], folder / "int8.tflite")
    return network, samples, plain, small


def test_names_shapes_and_types(exported):
    _, _, plain, small = exported
    for file in (plain, small):
        step = Step(file)
        assert step.inputs == {"x": ((1, 64, 112, INPUT_CHANNELS), np.dtype(np.float32))}
        assert [shape for shape, _ in step.outputs.values()] == [(1, 32, 56, 12)]
        assert [kind for _, kind in step.outputs.values()] == [np.dtype(np.float32)]
    assert small.stat().st_size < 0.5 * plain.stat().st_size


def test_parity_of_float_and_int8(exported):
    network, samples, plain, small = exported
    assert parity(network, plain, samples)[0].largest < 1e-4
    table = parity(plain, small, samples[2:])[0]
    assert table.decibel > 30
    assert table.mean < 0.02 * table.peak


def test_a_network_that_cannot_be_exported_is_named(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(ExportError, match="Odd could not be converted"):
        export_float(Odd(), {"x": np.ones((1, 2), np.float32)}, tmp_path / "odd.tflite")


def test_a_manifest_entry_verifies(tmp_path):
    (tmp_path / "manifest.json").write_text('{"files": {}}')
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    entry = describe(file, source="made here", licence="MIT", sizes=TINY)
    add_to_manifest(tmp_path / "manifest.json", file, entry)
    assert weights.path("a.bin", tmp_path) == file
    assert json.loads((tmp_path / "manifest.json").read_text())["files"]["a.bin"]["sizes"]["channels"] == [16, 16]
