"""Eye cameras: two small pictures of the eyes become the slot of 160 numbers through which networks see the eyes.

A head-mounted camera, or a crop of a webcam picture around tracked eye corners, gives one grey picture of either eye;
a small network writes the slot. Six directions of the slot are pitch, yaw, both lids, wide and squint
(`liveface.motion.codes.read_eyes`); where nothing is known the slot is 0, which is a face that looks ahead.

Notable choices: one picture is one frame and nothing is remembered, so cameras may drop frames; the right eye is
mirrored, so that one set of weights sees both; pictures are grey and levelled inside the network, so that infrared
cameras and webcams look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from liveface import weights
from liveface.errors import SignalError, WeightsError
from liveface.runtime import Step
from liveface.types import Array, Pixels

FILE = "eye_camera.tflite"
EYE_WIDTH, EYE_HEIGHT = 48, 32
EYE_SPAN = 1.6  # width of a picture over the distance of the eye's corners; chosen
EYE_SLOT = 160
LEAST_SIDE = 8  # pixels of a picture's shorter side; below, an iris is a single pixel
CORNERS = {"left": (263, 362), "right": (33, 133)}
"""Outer and inner corner of the person's own eyes among the 478 tracked points."""


def eye_affine(points: Array, eye: str, size: tuple[int, int], span: float = EYE_SPAN) -> Array:
    """The affine `[2, 3]` from picture pixels to an upright eye picture, the right eye mirrored.

    Args:
        points: `[478, 2 or 3]` tracked points.
        eye: "left" or "right", the person's own.
        size: width and height of the eye picture.
        span: its width over the distance of the corners.
    """
    outer, inner = (points[index, :2].astype(np.float64) for index in CORNERS[eye])
    along = outer - inner
    scale = size[0] / (span * max(float(np.linalg.norm(along)), 1e-6))
    right = along / max(float(np.linalg.norm(along)), 1e-6)  # both outer corners come to lie on the right
    down = np.array([-right[1], right[0]]) * (1 if eye == "left" else -1)
    rows = scale * np.stack([right, down])
    shift = np.array(size) / 2 - 0.5 - rows @ ((outer + inner) / 2)
    return np.column_stack([rows, shift]).astype(np.float32)


def cut_eyes(pixels: Pixels, points: Array) -> tuple[Pixels, Pixels]:
    """Grey pictures `[32, 48]` uint8 of the left and the right eye of a tracked face; the right one is not mirrored."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    size = (EYE_WIDTH, EYE_HEIGHT)
    left, right = (cv2.warpAffine(grey, eye_affine(points, eye, size), size, flags=cv2.INTER_LINEAR,
                                  borderMode=cv2.BORDER_REPLICATE) for eye in ("left", "right"))  # fmt: skip
    return left.astype(np.uint8, copy=False), right[:, ::-1].astype(np.uint8)


@dataclass(frozen=True, slots=True)
class EyeCamera:
    """Turns two eye pictures into the slot of the eyes.

    Attributes:
        threads: CPU threads of the network.
        straight: `[160]` what the network says when this person looks straight ahead with open eyes; taken off every
            slot. None when nothing was calibrated.
    """

    threads: int = 1
    straight: Array | None = None
    _network: Step = field(init=False, repr=False)

    def __post_init__(self) -> None:
        network = Step(weights.path(FILE), threads=self.threads)
        shape = (1, EYE_HEIGHT, EYE_WIDTH)
        wanted = {"left": shape, "right": shape, "slot": (1, EYE_SLOT)}
        found = {name: shape for name, (shape, _) in {**network.inputs, **network.outputs}.items()}
        if found != wanted:
            raise WeightsError(f"{FILE} has shapes {found}; expected {wanted}: install liveface again.")
        object.__setattr__(self, "_network", network)
        if self.straight is not None and (self.straight.shape != (EYE_SLOT,) or not np.isfinite(self.straight).all()):
            raise SignalError(f"a straight look has shape {self.straight.shape}; expected {EYE_SLOT} finite numbers.")

    def calibrated(self, looks: Sequence[tuple[Pixels, Pixels]]) -> EyeCamera:
        """The same camera for one person, from some pairs of pictures that look straight ahead with open eyes.

        Every face has its own resting eyes, and a camera sits where it can; this takes both off.

        Raises:
            SignalError: there is no pair, or a picture is none.
        """
        if not looks:
            raise SignalError(
                "nothing to calibrate an eye camera with; expected some pairs of eyes that look straight."
            )
        plain = EyeCamera(self.threads)
        return EyeCamera(self.threads, np.median([plain(*pair) for pair in looks], axis=0).astype(np.float32))

    def __call__(self, left: Pixels, right: Pixels) -> Array:
        """The slot `[160]` of one moment.

        Args:
            left, right: the person's own eyes as seen from in front, upright, uint8 `[H, W]` grey or `[H, W, 3]` RGB of
                any size; the corners lie level and the eye fills five eighths of the width. A picture of other
                proportions is cut to 3:2 around its middle.

        Raises:
            SignalError: a picture of another type or shape, or too small to show an iris.
        """
        made = self._network(left=_levelled(left, "left"), right=_levelled(right, "right")[:, :, ::-1].copy())
        slot = np.asarray(made["slot"][0], np.float32)
        return slot if self.straight is None else slot - self.straight


def _levelled(picture: Pixels, eye: str) -> Array:
    """One eye picture `[1, 32, 48]`, 0 to 1."""
    shape = picture.shape
    if picture.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        raise SignalError(
            f"the {eye} eye's picture is {picture.dtype} {shape}; expected uint8 (height, width) or (height, width, 3)."
        )
    if min(shape[:2]) < LEAST_SIDE:
        raise SignalError(
            f"the {eye} eye's picture is {shape[1]}x{shape[0]} pixels; expected at least {LEAST_SIDE} on either side."
        )
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if len(shape) == 3 else picture
    height, width = shape[:2]
    across, high = min(width, height * EYE_WIDTH // EYE_HEIGHT), min(height, -(-width * EYE_HEIGHT // EYE_WIDTH))
    x, y = (width - across) // 2, (height - high) // 2
    smaller = across > EYE_WIDTH
    flags = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    small = cv2.resize(grey[y : y + high, x : x + across], (EYE_WIDTH, EYE_HEIGHT), interpolation=flags)
    return (small.astype(np.float32) / 255)[None]
