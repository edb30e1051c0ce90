"""The part of the square in which the synthesis draws, and how it joins the canvas without a border.

Notable choices: the window's corner stands on cells of both grids, so nothing is resampled for it; bending and drawing
fade out over the last pixels before its border, but not where the canvas ends there too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from liveface.render.mobileportrait.crop import RESOLUTION, HeadCrop
from liveface.render.mobileportrait.inputs import EYES
from liveface.render.mobileportrait.sizes import BLOCK, MOTION_GRID
from liveface.render.raster import blend_into
from liveface.render.topology import LIP_CORNERS
from liveface.types import Array, Pixels

STRIDE = math.lcm(BLOCK, RESOLUTION // MOTION_GRID)
"""Pixels of the square that a window moves by: whole cells of both grids."""
Number = TypeVar("Number", bound=np.generic)

FADE = 24  # pixels of the square over which the window fades out, chosen


Box = tuple[int, int, int, int]
"""Left, top, right and bottom, the latter two behind the last pixel."""


@dataclass(frozen=True)
class Window:
    """A window of a square.

    Attributes:
        crop: the square.
        corner: x and y of its first pixel in the square; multiples of `STRIDE`.
        size: width and height in pixels of the square.
    """

    crop: HeadCrop
    corner: tuple[int, int]
    size: tuple[int, int]

    def cut(self, picture: npt.NDArray[Number], factor: int = 1) -> npt.NDArray[Number]:
        """The window of a picture of the square whose pixels are `factor` of its pixels wide."""
        (x, y), (width, height) = self.corner, self.size
        return picture[y // factor : (y + height) // factor, x // factor : (x + width) // factor]

    def bend(self, square: Pixels, flow: Array) -> Pixels:
        """The window of a square `[R, R, 3]`, each pixel taken from where `flow` says, uint8 `[h, w, 3]`.

        Args:
            flow: `[g, g, 2]`, x and y in pixels of the square.
        """
        cell = self.crop.resolution // MOTION_GRID
        first = [max(start // cell - 1, 0) for start in self.corner]
        last = [-(-(start + length) // cell) + 1 for start, length in zip(self.corner, self.size, strict=True)]
        part = flow[first[1] : last[1], first[0] : last[0]] * self._still[first[1] : last[1], first[0] : last[0]]
        wide = cv2.resize(part, (part.shape[1] * cell, part.shape[0] * cell))
        left, top = (start - cell * at for start, at in zip(self.corner, first, strict=True))
        shift = wide[top : top + self.size[1], left : left + self.size[0]]
        maps = cv2.add(shift, self._rest)
        return np.asarray(cv2.remap(square, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    def paste(self, made: Pixels, square: Pixels, canvas: Pixels) -> None:
        """Join what was made of the window to the canvas, in place.

        Args:
            made: uint8 `[h, w, 3]`.
            square: uint8 `[R, R, 3]`, what the canvas shows in the square.
            canvas: uint8 `[H, W, 3]`.
        """
        if not self.crop.exact:
            self._add(made, square, canvas)
            return
        x, y = (a + b for a, b in zip(self.crop.corner, self.corner, strict=True))
        inner, *rims = self._parts
        left, top, right, bottom = inner
        canvas[y + top : y + bottom, x + left : x + right] = made[top:bottom, left:right]
        for left, top, right, bottom in rims:
            spot = np.s_[top:bottom, left:right]
            blend_into(canvas[y + top : y + bottom, x + left : x + right], made[spot], self._mask[spot])

    def _add(self, made: Pixels, square: Pixels, canvas: Pixels) -> None:
        """The same where the square is scaled: what was changed is scaled, and the canvas keeps its own detail."""
        change = (made.astype(np.float32) - self.cut(square)) * (self._mask[..., None] * np.float32(1 / 255))
        matrix = self.crop.to_canvas.copy()
        matrix[:, 2] += matrix[:, :2] @ np.array(self.corner, np.float32)
        low = np.floor(np.clip(matrix[:, 2] - 1, 0, self.crop.size)).astype(int)
        high = np.clip(np.ceil(matrix[:, 2] + matrix[0, 0] * np.array(self.size)) + 1, 0, self.crop.size).astype(int)
        matrix[:, 2] -= low
        spot = canvas[low[1] : high[1], low[0] : high[0]]
        finer = float(matrix[0, 0]) < 1
        if finer:  # averaged before it is made smaller
            change = cv2.GaussianBlur(change, (0, 0), 0.4 / float(matrix[0, 0]))
        moved = cv2.warpAffine(change, matrix, spot.shape[1::-1], flags=cv2.INTER_LINEAR, borderValue=0)
        cv2.add(spot, moved, dst=spot, dtype=cv2.CV_8U)

    @cached_property
    def _rest(self) -> Array:
        """Where the window's pixels stand in the square, `[h, w, 2]`."""
        (x, y), (width, height) = self.corner, self.size
        columns, rows = np.arange(x, x + width, dtype=np.float32), np.arange(y, y + height, dtype=np.float32)
        return np.dstack(np.meshgrid(columns, rows))

    @cached_property
    def _fades(self) -> tuple[int, int, int, int]:
        """Over how many pixels the window fades out on the left, the top, the right and the bottom."""
        x, y = (a * self.crop.resolution / self.crop.side for a in self.crop.corner)
        width, height = (a * self.crop.resolution / self.crop.side for a in self.crop.size)
        ends = (
            self.corner[0] + x <= 0,
            self.corner[1] + y <= 0,
            self.corner[0] + self.size[0] + x >= width,
            self.corner[1] + self.size[1] + y >= height,
        )
        return tuple(0 if beyond else FADE for beyond in ends)  # type: ignore[return-value]

    @cached_property
    def _weight(self) -> Array:
        """How much of what is made counts, `[h, w]`, 1 inside, to 0 at a border that lies inside the canvas."""
        left, top, right, bottom = self._fades
        across, down = (_ramp(*ends) for ends in ((self.size[0], left, right), (self.size[1], top, bottom)))
        return np.asarray(np.minimum(down[:, None], across), np.float32)

    @cached_property
    def _mask(self) -> Pixels:
        return np.round(self._weight * 255).astype(np.uint8)

    @cached_property
    def _still(self) -> Array:
        """How much of the flow counts in each cell, `[g, g, 1]`: it ends where the window fades out."""
        whole = np.zeros((self.crop.resolution, self.crop.resolution), np.float32)
        self.cut(whole)[:] = self._weight
        return np.asarray(cv2.resize(whole, (MOTION_GRID, MOTION_GRID), interpolation=cv2.INTER_AREA))[..., None]

    @cached_property
    def _parts(self) -> tuple[Box, ...]:
        """The part of the window that lies on the canvas: what does not fade first, then the four rims that do."""
        x, y = (a + b for a, b in zip(self.crop.corner, self.corner, strict=True))
        left, top = max(0, -x), max(0, -y)
        right, bottom = min(self.size[0], self.crop.size[0] - x), min(self.size[1], self.crop.size[1] - y)
        fades = self._fades
        inner = left + fades[0], top + fades[1], right - fades[2], bottom - fades[3]
        rims = (
            (left, top, right, inner[1]),
            (left, inner[3], right, bottom),
            (left, inner[1], inner[0], inner[3]),
            (inner[2], inner[1], right, inner[3]),
        )
        return (inner, *[rim for rim in rims if rim[0] < rim[2] and rim[1] < rim[3]])


def place_window(crop: HeadCrop, points: Array, size: tuple[int, int]) -> Window:
    """The window of a photo, as far as the square reaches: from the brows to below the chin, the face's width.

    Args:
        points: `[478, 2+]` of the photo, canvas pixels.
        size: width and height of the window in pixels of the square.
    """
    face = crop.points(points)[:468, :2]
    middle = (face[:, 0].min() + face[:, 0].max()) / 2, face[[*EYES, *LIP_CORNERS], 1].mean()
    most = (crop.resolution - np.array(size)) // STRIDE * STRIDE
    start = np.array(middle) - np.array(size) / 2
    x, y = (int(np.clip(round(float(at) / STRIDE) * STRIDE, 0, end)) for at, end in zip(start, most, strict=True))
    return Window(crop, (x, y), size)


def _ramp(length: int, rising: int, falling: int) -> Array:
    """Weights `[length]` that rise and fall smoothly over so many pixels at their ends."""
    at = np.arange(length, dtype=np.float32) + 0.5
    share = np.minimum(at / max(rising, 0.5), (length - at) / max(falling, 0.5)).clip(0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
