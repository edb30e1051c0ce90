"""The eye camera's network: sizes, and blindness to light."""

import torch

from liveface.motion import codes
from liveface.nets.eye_camera import HEIGHT, SLOT, WIDTH, EyeCameraConfig, EyeCameraNet
from liveface.signals import eye_camera


def test_sizes_agree_with_the_run_time():
    assert (WIDTH, HEIGHT, SLOT) == (eye_camera.EYE_WIDTH, eye_camera.EYE_HEIGHT, eye_camera.EYE_SLOT)
    assert codes.EYE_SLOT == SLOT
    assert sum(value.numel() for value in EyeCameraNet().parameters()) * 4 < 600_000


def test_exposure_and_offset_do_not_matter():
    torch.manual_seed(0)
    network = EyeCameraNet(EyeCameraConfig((4, 4, 8, 8), 8, 8)).eval()
    left, right = torch.rand(2, 3, HEIGHT, WIDTH)
    slot = network(left, right)
    assert slot.shape == (3, SLOT)
    assert torch.allclose(network(left * 0.8 + 0.1, right), slot, atol=0.01)
    assert not torch.allclose(network(right, left), slot, atol=0.03)
