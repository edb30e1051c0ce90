"""Colours matched from take to take: a camera chooses its white balance anew for every file, and no control tells it.

Each take's colours are multiplied channel by channel so that the face's skin is what it is in the reference's take.
Source of the need: the project's measurements on GRID (a regression without each take's mean error gains 1.4 dB).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from liveface.render.topology import CHIN, FOREHEAD
from liveface.types import Array, Pixels

MOST_GAIN = 1.35  # a take that differs by more was lit differently, not balanced differently
_CHEEKS = np.array([117, 346, 205, 425])  # below either eye, and beside the nose's wings
_SIDE = 0.09  # half side of the squares of skin around them, in face heights


def skin_colour(pixels: Pixels, points: Array) -> Array:
    """Mean colour `[3]` of the cheeks of a face, 0 to 255; NaN where they lie outside the picture.

    Args:
        pixels: uint8 `[h, w, 3]`.
        points: `[478, 2 or 3]` of the face in it, pixels.
    """
    height, width = pixels.shape[:2]
    half = max(1, round(_SIDE * float(np.linalg.norm(points[CHIN, :2] - points[FOREHEAD, :2]))))
    found = []
    for x, y in points[_CHEEKS, :2].round().astype(int):
        part = pixels[max(y - half, 0) : min(y + half, height), max(x - half, 0) : min(x + half, width)]
        if part.size:
            found.append(part.reshape(-1, 3).mean(0))
    return np.mean(found, 0).astype(np.float32) if found else np.full(3, np.nan, np.float32)


def take_gains(colours: Array, take: npt.NDArray[np.int32], reference: int) -> Array:
    """Gains `[takes, 3]` that bring each take's colours to those of the take of the frame `reference`.

    Args:
        colours: `[F, 3]` of the skin in every frame, NaN where no face was seen.
        take: `[F]` number of each frame's take, from 0.
    """
    middle = np.array([_median(colours[take == number]) for number in range(int(take.max()) + 1)])
    gains = middle[take[reference]] / np.maximum(middle, 1.0)
    return np.clip(np.where(np.isfinite(gains), gains, 1), 1 / MOST_GAIN, MOST_GAIN).astype(np.float32)


def matched(picture: Pixels, gain: Array) -> Pixels:
    """A picture uint8 `[h, w, 3]` with its channels multiplied."""
    if np.abs(gain - 1).max() < 2e-3:  # under half a level
        return picture
    table = np.clip(np.rint(np.arange(256)[:, None] * gain), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table[None]), np.uint8)


def _median(colours: Array) -> Array:
    seen = colours[np.isfinite(colours[:, 0])]
    return np.median(seen, axis=0) if len(seen) else np.full(3, np.nan)
