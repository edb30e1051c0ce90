"""Which square of a picture LivePortrait's networks see, and how open eyes and lips are.

Notable choices: the networks were trained on squares around 203 tracked points, of a detector that may not be used
commercially. The house's 478 points stand in for them: `BOX` are those that lie where the 203 do (jaw from ear to ear,
brows, nose; no forehead), corners and middles of lids and lips are the same spots of the face. The other layouts are
here because the official square is defined on them too, and so can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.types import Array

SOURCE_SCALE, SOURCE_RAISE = 2.3, -0.125  # side over the face's box, and how far up the square is moved; official
DRIVING_SCALE, DRIVING_RAISE = 2.2, -0.1
TINY = 1e-6  # added to a width before it divides

_JAW = (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
BOX = (*_JAW, *_BROWS, 1, 4)
"""Of the 478 points, those whose box is the box of the 203."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a set of points has eyes and mouth.

    Attributes:
        eyes: of the image's left and right eye, points whose mean is its centre.
        lips: points whose mean is the centre of the mouth.
        box: points whose box is the face's; None are all.
    """

    eyes: tuple[tuple[int, ...], tuple[int, ...]]
    lips: tuple[int, ...]
    box: tuple[int, ...] | None = None


LAYOUTS = {
    68: Layout(((36, 39), (42, 45)), (48, 54)),
    106: Layout(((33, 35, 40, 39), (87, 89, 94, 93)), (52, 61)),
    203: Layout(((0, 6, 12, 18), (24, 30, 36, 42)), (48, 66)),
    478: Layout(((33, 159, 133, 145), (362, 386, 263, 374)), (61, 291), BOX),
}
_RATIOS = {  # of the left eye, the right eye, the lips: two points across the opening, two along it
    203: ((6, 18, 0, 12), (30, 42, 24, 36), (90, 102, 48, 66)),
    478: ((159, 145, 33, 133), (386, 374, 362, 263), (13, 14, 61, 291)),
}


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a picture.

    Attributes:
        centre: `[2]` pixels.
        side: pixels.
        angle: radians by which its bottom edge is turned from the picture's, clockwise as seen.
    """

    centre: Array
    side: float
    angle: float

    def to_crop(self, size: int) -> Array:
        """Affine `[3, 3]` from picture coordinates to those of a crop with `size` pixels a side."""
        cos, sin, scale = np.cos(self.angle), np.sin(self.angle), size / self.side
        turn = scale * np.array([[cos, sin], [-sin, cos]])
        matrix = np.eye(3)
        matrix[:2, :2] = turn
        matrix[:2, 2] = size / 2 - turn @ self.centre
        return np.asarray(matrix)


def axis(points: Array) -> Array:
    """Centre of the eyes and centre of the mouth, `[2, 2]`, of points `[N, 2 or more]` in one of `LAYOUTS`."""
    layout = LAYOUTS[len(points)]
    eyes = np.mean([points[list(eye), :2].mean(0) for eye in layout.eyes], axis=0)
    return np.stack([eyes, points[list(layout.lips), :2].mean(0)])


def face_square(points: Array, scale: float, raised: float, *, upright: bool = True) -> Square:
    """The square around a face.

    Args:
        points: `[N, 2 or more]` pixels, in one of `LAYOUTS`.
        scale: side over the longer side of the face's box, which is measured along the face's own axes.
        raised: how far the square is moved along the face, in sides; negative is towards the forehead.
        upright: turn the square with the face; otherwise it stays level, with the same centre and side.
    """
    eyes, lips = axis(points).astype(np.float64)
    down = lips - eyes
    length = float(np.linalg.norm(down))
    down = down / length if length > 1e-3 else np.array([0.0, 1.0])  # eyes upon the mouth tell no direction
    across = np.array([down[1], -down[0]])
    box = LAYOUTS[len(points)].box
    marks = (points if box is None else points[list(box)])[:, :2].astype(np.float64)
    own = marks @ np.stack([across, down]).T
    low, high = own.min(0), own.max(0)
    side = scale * float((high - low).max())
    middle = (low + high) / 2 + (0, raised * side)
    angle = float(np.arctan2(across[1], across[0])) if upright else 0.0
    return Square(middle[0] * across + middle[1] * down, side, angle)


def mean_square(squares: list[Square]) -> Square:
    """One level square for a whole clip: the median of its squares, so that a bad frame does not matter."""
    centres = np.stack([square.centre for square in squares])
    return Square(np.median(centres, axis=0), float(np.median([square.side for square in squares])), 0.0)


def openness(points: Array) -> tuple[Array, Array]:
    """How open the eyes (image left, image right) and the lips are, `[2]` and `[1]`: opening over width.

    Args:
        points: `[N, 2 or more]`, 203 or 478 of them.
    """
    ratios = []
    for one, two, start, end in _RATIOS[len(points)]:
        opening = np.linalg.norm(points[one, :2] - points[two, :2])
        ratios.append(opening / (np.linalg.norm(points[start, :2] - points[end, :2]) + TINY))
    return np.array(ratios[:2], np.float32), np.array(ratios[2:], np.float32)
