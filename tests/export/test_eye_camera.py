"""The exported eye camera: names, shapes, the numbers of torch."""

import pytest
import torch

from liveface.errors import ExportError
from liveface.export.eye_camera import export_eye_camera, load_run
from liveface.nets.eye_camera import EyeCameraConfig, EyeCameraNet
from liveface.runtime import Step


def test_the_file_keeps_the_contract_and_the_numbers(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "eye_camera.tflite"
    assert export_eye_camera(EyeCameraNet(EyeCameraConfig((4, 4, 8, 8), 8, 8)), file) < 1e-4
    step = Step(file)
    assert {name: shape for name, (shape, _) in step.inputs.items()} == {"left": (1, 32, 48), "right": (1, 32, 48)}
    assert {name: shape for name, (shape, _) in step.outputs.items()} == {"slot": (1, 160)}


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ExportError, match="expected recipe"):
        load_run(tmp_path)
