"""What the head network is given of a picture's points, assembled alike in training and at run time.

Notable choices: masks are filled polygons with sub-pixel corners and soft edges at half the square's resolution: they
tell where an edge lies to a fraction of a pixel at a quarter of the cost; the place on the head is counted from
the base of the nose along the line of the eyes in eye distances, so that it turns and moves with the head.
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface.render.mobileportrait.sizes import BLOCK, HEAT_WIDTH, MASKS, facial_indices
from liveface.render.patch import eye_distance
from liveface.render.topology import LIP_OUTER, eye_ring, lip_ring
from liveface.types import Array, Pixels

NOSE_BASE = 2
EYES = (33, 263)  # outer corners, the image's left one first
PLACE_UNIT = 4.0  # eye distances that one unit of the place spans: the head lies within about -0.5 to 0.5
_BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)  # rings of the two brows; source: the mesh's published connection lists
_RINGS: tuple[tuple[np.ndarray, ...], ...] = (
    (LIP_OUTER,),
    (lip_ring(),),
    (eye_ring(0), eye_ring(1)),
    tuple(np.array(ring) for ring in _BROWS),
)  # in the order of MASKS
_SHIFT = 5  # sub-pixel bits of the polygon painter


def normalised(points: Array, resolution: int) -> Array:
    """Points `[..., 2+]` in pixels of the square as shares of half its side from its middle, `[..., 2]`, -1 to 1."""
    return ((points[..., :2] + 0.5) * (2 / resolution) - 1).astype(np.float32)


def facial(points: Array, resolution: int, count: int) -> Array:
    """The facial keypoints `[count, 2]`, normalised, of points `[478, 2+]`."""
    return normalised(points[facial_indices(count)], resolution)


def masks(points: Array, resolution: int, factor: int = 2) -> Pixels:
    """Lips, inner mouth, eyes and brows as filled soft masks, uint8 `[R / factor, R / factor, 4]`.

    Args:
        points: `[478, 2+]` in pixels of the square.
        resolution: of the square.
        factor: pixels of the square along each side of one pixel of the masks.
    """
    size = resolution // factor
    places = (points[:, :2] + 0.5) / factor - 0.5
    whole = np.round(places * (1 << _SHIFT)).astype(np.int32)
    planes = []
    for rings in _RINGS:
        plane = np.zeros((size, size), np.uint8)
        for ring in rings:
            cv2.fillPoly(plane, [whole[ring]], 255, cv2.LINE_AA, _SHIFT)
        planes.append(plane)
    return cv2.merge(planes)


def landmark_mask(points: Array, resolution: int, grid: int) -> Array:
    """All masks in one, float32 `[grid, grid]` from 0 to 1: half for brows and eyes, whole for the mouth."""
    return joined(masks(points, resolution), grid)


def joined(drawn: Pixels, grid: int) -> Array:
    """The landmark mask `[grid, grid]` of drawn masks `[h, w, 4]`."""
    small = cv2.resize(drawn, (grid, grid), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.maximum(small[..., 0], 0.5 * np.maximum(small[..., 2], small[..., 3]))


def place(points: Array, resolution: int) -> Array:
    """The place on the head of each cell of the finest grid, float32 `[R / 4, R / 4, 2]`."""
    cells = resolution // BLOCK
    centres = (np.arange(cells, dtype=np.float32) + 0.5) * BLOCK - 0.5
    along = points[EYES[1], :2] - points[EYES[0], :2]
    along = along / (float(np.linalg.norm(along)) + 1e-6)
    unit = 1 / (PLACE_UNIT * eye_distance(points))
    x, y = centres - float(points[NOSE_BASE, 0]), centres - float(points[NOSE_BASE, 1])
    across = (x[None, :] * along[0] + y[:, None] * along[1]) * unit
    down = (y[:, None] * along[0] - x[None, :] * along[1]) * unit
    return np.dstack([across, down]).astype(np.float32)


def heat(keypoints: Array, grid: int, out: Array | None = None) -> Array:
    """Heat of keypoints `[K, 2]` (normalised) on a grid, float32 `[grid, grid, K]`; a Gaussian is a product of two.

    `out` is memory of that shape to write it to.
    """
    centres = (np.arange(grid, dtype=np.float32) + 0.5) * (2 / grid) - 1
    falls = np.exp(-0.5 * ((centres[:, None, None] - keypoints[None]) / HEAT_WIDTH) ** 2)
    made = np.empty((grid, grid, len(keypoints)), np.float32) if out is None else out
    return np.multiply(falls[:, None, :, 1], falls[None, :, :, 0], out=made)


def coarse(occlusion: Array, matte: Pixels, points: Array, resolution: int) -> Array:
    """The coarse inputs of the synthesis, float32 `[R / 4, R / 4, 4]`; see `sizes.COARSE`.

    Args:
        occlusion: `[g, g]` of the motion network, 0 to 1.
        matte: uint8 `[R, R]` of the moved person.
        points: `[478, 2+]` in pixels of the square.
        resolution: of the square.
    """
    cells = resolution // BLOCK
    trust = cv2.resize(occlusion, (cells, cells), interpolation=cv2.INTER_LINEAR)
    person = cv2.resize(matte, (cells, cells), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.dstack([trust, person, place(points, resolution)]).astype(np.float32)


assert len(_RINGS) == len(MASKS)
