"""LivePortrait's networks at work: a crop becomes a volume and a pose, keypoints become a picture.

Notable choices: on a GPU the four large networks run in float16, as they did officially, and the small ones in float32;
on a CPU all run in float32.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from liveface import store
from liveface.nets.liveportrait.build import NETWORKS, Networks, load
from liveface.nets.liveportrait.keypoints import pose
from liveface.torch_renderers.liveportrait.crop import Square
from liveface.torch_renderers.liveportrait.drive import Seen
from liveface.types import Array, Pixels

FINEST = 8  # times a crop is sampled along each axis before it is averaged, at most


class Engine:
    """The networks, on one device.

    Args:
        networks: of one size, ready to run.
        device: "cpu", "cuda"; None takes a GPU where there is one.
        threads: of the CPU.
    """

    def __init__(self, networks: Networks, device: str | None = None, threads: int = 1) -> None:
        self.size = networks.size
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._networks = networks
        self._threads = threads
        self._turn = threading.Lock()  # torch has one number of threads for all
        for network in networks.all:
            network.to(self.device)

    @staticmethod
    def open(device: str | None = None, threads: int = 1) -> Engine:
        """The networks with the weights that the user brought.

        Raises:
            WeightsError: they are not here. DeviceError: a package is missing.
        """
        return Engine(load(read_states(store.require("liveportrait"))), device, threads)

    def look(self, crop: Pixels, opened: Array) -> Seen:
        """Pose, expression and shape of the face in a crop.

        Args:
            crop: uint8 `[S, S, 3]` with `S = size.picture`.
            opened: `[3]` how open its eyes and lips are.
        """
        with self._at_work():
            face = pose(self._networks.motion(self._input(crop)))
        turn, shape, scale, shift, points = (part[0].cpu().numpy() for part in face)
        return Seen(turn, shape, float(scale[0]), shift, points, opened)

    def appearance(self, crop: Pixels) -> Tensor:
        """The volume of a crop's features; stays on the device."""
        with self._at_work():
            return self._networks.appearance(self._input(crop))

    def draw(self, volume: Tensor, source: Array, driving: Array) -> Pixels:
        """The face of `volume` moved from keypoints `source` to `driving`, both `[21, 3]`; uint8 `[2S, 2S, 3]`."""
        with self._at_work():
            warped = self._networks.warping(volume, self._points(source), self._points(driving))
            return picture_of(self._networks.decoder(warped.feature))

    def stitched(self, source: Array, driving: Array) -> Array:
        """Driving keypoints moved so that the shoulders stay, `[21, 3]`."""
        with self._at_work(half=False):
            return _numbers(self._networks.retarget.stitch(self._points(source), self._points(driving)))

    def opening(self, source: Array, ratios: Array) -> Array:
        """Offsets `[21, 3]` that open the eyes or the lips.

        Args:
            source: keypoints `[21, 3]`.
            ratios: `[3]` opening of both eyes and the wanted one, or `[2]` of the lips and the wanted one.
        """
        network = self._networks.retarget.eyes if len(ratios) == 3 else self._networks.retarget.lips
        with self._at_work(half=False):
            return _numbers(network(self._points(source), self._points(ratios)))

    def _points(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None].to(self.device)

    def _input(self, crop: Pixels) -> Tensor:
        side = self.size.picture
        assert crop.shape == (side, side, 3), crop.shape
        return torch.from_numpy(np.ascontiguousarray(crop)).to(self.device).permute(2, 0, 1)[None].float() / 255

    def _at_work(self, *, half: bool = True) -> AbstractContextManager[None]:
        return _Work(self, half=half)


class _Work(AbstractContextManager[None]):
    """No gradients, the engine's threads, float16 on a GPU."""

    def __init__(self, engine: Engine, *, half: bool) -> None:
        self._engine = engine
        self._autocast = (
            torch.autocast("cuda", torch.float16) if half and engine.device.type == "cuda" else nullcontext()
        )
        self._mode = torch.inference_mode()

    def __enter__(self) -> None:
        self._engine._turn.acquire()
        self._threads = torch.get_num_threads()
        torch.set_num_threads(self._engine._threads)
        self._mode.__enter__()
        self._autocast.__enter__()

    def __exit__(self, *error: object) -> None:
        self._autocast.__exit__(None, None, None)
        self._mode.__exit__(None, None, None)
        torch.set_num_threads(self._threads)
        self._engine._turn.release()


def read_states(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The state dict of each part, as `liveface fetch` left them."""
    from safetensors.torch import load_file

    return {part: load_file(folder / f"{part}.safetensors") for part in NETWORKS}


def picture_of(image: Tensor) -> Pixels:
    """`[1, 3, H, W]` in [0, 1] to uint8 `[H, W, 3]`; cut off, not rounded, as the official program does."""
    values = image[0].float().clamp(0, 1).permute(1, 2, 0).mul(255)
    return np.asarray(values.byte().cpu().numpy(), np.uint8)


def _numbers(value: Tensor) -> Array:
    return np.asarray(value[0].float().cpu().numpy(), np.float32)


def cut_square(pixels: Pixels, square: Square, size: int) -> Pixels:
    """A square of a picture at `size` pixels a side, averaged where it is finer; beyond the picture its border goes on.

    Coordinates are continuous: the first pixel's centre lies at one half.
    """
    times = int(np.clip(round(square.side / size), 1, FINEST))
    matrix = centred(square.to_crop(size * times))
    fine = cv2.warpAffine(
        pixels, matrix, (size * times, size * times), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def centred(matrix: Array) -> Array:
    """An affine `[3, 3]` of continuous coordinates for OpenCV, `[2, 3]`, which counts from the first pixel's centre."""
    moved = np.array(matrix[:2])
    moved[:, 2] += moved[:, :2] @ (0.5, 0.5) - 0.5
    return moved
