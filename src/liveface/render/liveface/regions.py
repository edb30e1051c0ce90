"""The four regions of an avatar: how large their patches are, where their boxes lie and how often they are drawn.

Source of the patch sizes: LiveFace (Rodin and Rodin 2026). Boxes, rates and windows are ours: mouth, eyes and hair
follow the head by a similarity of the picture, the body stays on the canvas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.errors import MotionError
from liveface.types import Array

VISEME_FRAMES = 3  # the frame and the two before it: context without look-ahead
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The eight emotions of the conditioning, in RAVDESS' order."""

CONTROL_SIZES = {"visemes": 15 * VISEME_FRAMES + len(EMOTIONS) + 2 + 3, "landmarks": 40 * 2 + 2 + 3,
                 "eyes": 18, "hair": 20, "body": 12}  # fmt: skip
"""Length of every control vector; see `liveface.render.liveface.controls`."""


@dataclass(frozen=True, slots=True)
class Region:
    """One region of the face.

    Attributes:
        name: "mouth", "eyes", "hair" or "body".
        size: width and height of the patch in pixels, multiples of 8.
        width_e: width of its box in eye distances; 0 spans the canvas.
        lift_e: how far the box's centre stands above its anchor, in eye distances.
        every: drawn every so many frames; in between it is interpolated.
        feather: share of the box's half side over which its border fades.
    """

    name: str
    size: tuple[int, int]
    width_e: float
    lift_e: float
    every: int
    feather: float


REGIONS: dict[str, Region] = {
    region.name: region
    for region in (
        Region("mouth", (128, 96), 1.7, -0.15, 1, 0.14),
        Region("eyes", (192, 80), 2.3, 0.12, 1, 0.14),
        Region("hair", (192, 192), 4.4, 0.3, 3, 0.25),
        Region("body", (256, 64), 0.0, -0.35, 3, 0.5),
    )
}
"""Every region by name, in drawing order of the file; they are painted body, hair, eyes, mouth."""

PAINT_ORDER = ("body", "hair", "eyes", "mouth")


def region(name: str) -> Region:
    """The region called `name`.

    Raises:
        MotionError: there is none.
    """
    if name not in REGIONS:
        raise MotionError(f"there is no region {name!r}; expected one of {', '.join(REGIONS)}.")
    return REGIONS[name]


def window(name: str) -> Array:
    """The static feather `[h, w]` of a region: 1 inside, 0 on its border; a rounded box, the body fades up and down."""
    shape = region(name)
    width, height = shape.size
    x = np.abs((np.arange(width) + 0.5) / width * 2 - 1)
    y = np.abs((np.arange(height) + 0.5) / height * 2 - 1)
    if name == "body":
        x = np.zeros_like(x)
    corner = 0.5  # the box is rounded over so much of its half side
    across, down = np.maximum(x - corner, 0)[None], np.maximum(y - corner, 0)[:, None]
    beyond = np.hypot(across, down) / (1 - corner)
    edge = shape.feather / (1 - corner)
    fade = np.clip((1 - beyond) / edge, 0, 1)
    return np.asarray(fade * fade * (3 - 2 * fade), np.float32)
