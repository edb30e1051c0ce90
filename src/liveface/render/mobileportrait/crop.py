"""The square of the canvas in which the networks see a head, the same one for every frame of a photo.

Notable choices: the square is not resampled where that can be helped. A face on the usual canvases is as large as the
networks learned it, so the square is a slice of the canvas at whole pixels, and what the networks leave alone comes
back untouched. It may reach beyond the canvas, where the canvas' border goes on; only heads that are much smaller or
larger than usual are scaled.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from liveface.render.topology import CHIN, FOREHEAD
from liveface.types import Array, Pixels

RESOLUTION = 384  # of the square in pixels: 360 columns of canvas and what five halvings need, chosen
HEAD_SHARE = 1.5  # side of the square over the height of the face where it is free to choose
EXACT = (0.75, 1.45)  # the side that is wanted over the resolution: within it the square is not scaled. Chosen
BELOW_CHIN = 0.2  # face heights kept below the chin, for jaws that open and heads that nod


@dataclass(frozen=True, slots=True)
class HeadCrop:
    """A square of the canvas.

    Attributes:
        corner: `[2]` x and y in canvas pixels where the square's first pixel begins; whole numbers.
        side: of the square in canvas pixels; a whole number.
        resolution: of the picture the networks see, pixels.
        size: width and height of the canvas.
    """

    corner: tuple[int, int]
    side: int
    resolution: int
    size: tuple[int, int]

    @property
    def exact(self) -> bool:
        """Whether a pixel of the square is a pixel of the canvas."""
        return self.side == self.resolution

    @property
    def to_crop(self) -> Array:
        """`[2, 3]` canvas pixels to pixels of the square; pixel centres lie at integers."""
        scale = self.resolution / self.side
        shift = (0.5 - np.array(self.corner)) * scale - 0.5
        return np.column_stack([np.eye(2) * scale, shift]).astype(np.float32)

    @property
    def to_canvas(self) -> Array:
        """`[2, 3]`, the inverse of `to_crop`."""
        scale = self.side / self.resolution
        shift = 0.5 * scale - 0.5 + np.array(self.corner)
        return np.column_stack([np.eye(2) * scale, shift]).astype(np.float32)

    def points(self, points: Array) -> Array:
        """Canvas points `[..., 2 or 3]` in pixels of the square; depth is scaled alike."""
        matrix = self.to_crop
        moved = points * matrix[0, 0]
        moved[..., :2] += matrix[:, 2]
        return np.asarray(moved, np.float32)

    def cut(self, picture: Pixels) -> Pixels:
        """The square `[R, R, ...]` of a picture of the canvas, uint8 or float32; its border goes on outside."""
        (left, top), (right, bottom) = self._inside()
        x, y = self.corner
        around = (top - y, y + self.side - bottom, left - x, x + self.side - right)
        part = picture[top:bottom, left:right]
        square = cv2.copyMakeBorder(part, *around, cv2.BORDER_REPLICATE) if any(around) else part
        if self.exact:
            return np.ascontiguousarray(square)
        return np.asarray(_scaled(square, self.resolution), picture.dtype)

    def paste(self, square: Pixels, picture: Pixels) -> None:
        """Write a square `[R, R, ...]` into a picture of the canvas, in place."""
        (left, top), (right, bottom) = self._inside()
        if not self.exact:
            square = np.asarray(_scaled(square, self.side), square.dtype)
        x, y = self.corner
        picture[top:bottom, left:right] = square[top - y : bottom - y, left - x : right - x]

    def _inside(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The square's part of the canvas: first column and row, and those behind the last."""
        x, y = self.corner
        width, height = self.size
        return (max(x, 0), max(y, 0)), (min(x + self.side, width), min(y + self.side, height))


def head_crop(points: Array, size: tuple[int, int], resolution: int = RESOLUTION) -> HeadCrop:
    """Choose the square of a photo.

    Args:
        points: `[478, 2 or 3]` tracked points of the photo in canvas pixels.
        size: width and height of the canvas.
        resolution: of the picture that the networks see.
    """
    face = points[:468, :2]
    height = max(float(np.linalg.norm(points[CHIN, :2] - points[FOREHEAD, :2])), 1.0)
    wanted = HEAD_SHARE * height
    side = resolution if EXACT[0] <= wanted / resolution <= EXACT[1] else max(round(wanted), 16)
    low, high = face.min(0), face.max(0)
    left, top = (low + high) / 2 - side / 2
    top = max(float(top), float(high[1]) + BELOW_CHIN * height - side)
    corner = (_within(float(left), side, size[0]), _within(top, side, size[1]))
    return HeadCrop(corner, side, resolution, size)


def _within(start: float, side: int, length: int) -> int:
    """Where a stretch of `side` begins so that it stays inside `length`, or around it when it is longer."""
    return (length - side) // 2 if side >= length else int(np.clip(round(start), 0, length - side))


def _scaled(square: Pixels, side: int) -> Pixels:
    method = cv2.INTER_AREA if side < len(square) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (side, side), interpolation=method))
