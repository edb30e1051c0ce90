"""Which of the 478 face points are lids, lips, irises and outline.

Indices are those of MediaPipe's face mesh (468 points) with its ten iris points behind them; left and right in names
are the image's. Source: the mesh's published connection lists (MediaPipe 0.10.21, Apache-2.0), re-derived from the
triangles and checked by eye.
"""

from __future__ import annotations

import numpy as np

OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])  # fmt: skip
"""Face outline, clockwise as seen from the top of the forehead."""

# Each eye: corner, seven upper points, corner; and the seven lower points that face the upper ones.
EYE_CORNERS = np.array([[33, 133], [362, 263]])
EYE_UPPER = np.array([[246, 161, 160, 159, 158, 157, 173], [398, 384, 385, 386, 387, 388, 466]])
EYE_LOWER = np.array([[7, 163, 144, 145, 153, 154, 155], [382, 381, 380, 374, 373, 390, 249]])
EYE_CREASE = np.array([[247, 30, 29, 27, 28, 56, 190], [414, 286, 258, 257, 259, 260, 467]])  # above EYE_UPPER
IRIS = np.array([[468, 469, 470, 471, 472], [473, 474, 475, 476, 477]])

LIP_CORNERS = np.array([78, 308])
LIP_UPPER = np.array([191, 80, 81, 82, 13, 312, 311, 310, 415])  # inner edge of the upper lip
LIP_LOWER = np.array([95, 88, 178, 87, 14, 317, 402, 318, 324])  # inner edge of the lower lip, facing LIP_UPPER
LIP_OUTER = np.array([
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
])  # fmt: skip

CHIN, FOREHEAD = 152, 10


def eye_ring(eye: int) -> np.ndarray:
    """The sixteen lid points of one eye in order around the opening; 0 is the image's left eye."""
    start, end = EYE_CORNERS[eye]
    return np.concatenate([[start], EYE_UPPER[eye], [end], EYE_LOWER[eye][::-1]])


def lip_ring() -> np.ndarray:
    """The twenty points of the inner lips in order around the opening."""
    return np.concatenate([[LIP_CORNERS[0]], LIP_UPPER, [LIP_CORNERS[1]], LIP_LOWER[::-1]])


def skin_triangles(triangles: np.ndarray) -> np.ndarray:
    """`[F, 3]` without the triangles that span the eye openings and the mouth opening."""
    keep = np.ones(len(triangles), bool)
    for ring in (eye_ring(0), eye_ring(1), lip_ring()):
        keep &= ~np.isin(triangles, ring).all(1)
    return triangles[keep & (triangles < 468).all(1)]
