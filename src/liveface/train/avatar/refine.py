"""The head's pose of a frame, refined on the picture itself.

Tracked points are good to about a pixel of the canvas; a decoder that learns sharp patches needs a tenth of that. The
warped reference is compared with the frame on skin that expressions hardly move (nose, cheekbones, temples, forehead)
and the six numbers of the head are corrected by a few Gauss-Newton steps, with gain and offset of the light beside
them. The derivative of the warp comes from the rig's own grid, at half size. Only labels are refined; a run time that
must not look at a truth has the tracker's pose alone.
Source: inverse of Lucas-Kanade's registration, our formulation.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from liveface.render.liveface.rig import CELL_PX, Rig
from liveface.render.topology import OVAL, eye_ring
from liveface.types import Array, Motion, Pixels

ROUNDS = 2
BLUR_PX = 1.0  # of half-size pixels
STEPS = np.array([0.01, 0.01, 0.01, 0.05, 0.05, 0.3], np.float32)  # radians, centimetres: for the derivative
SPREAD = np.array([0.02, 0.02, 0.01, 0.1, 0.1, 0.5], np.float32)  # how far off the tracker is, one standard deviation
NOISE = 6.0  # levels of 255 that a good fit leaves
INDEPENDENT = 40.0  # neighbouring pixels err together: so many count as one
LIMIT = 3.0  # corrections beyond so many deviations are not believed
_BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))


class Refiner:
    """Refines poses of one rig.

    Args:
        rig: its expression (`own`) must already be the measured one.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._steady = _steady_skin(rig)

    def __call__(self, motion: Motion, frame: Pixels) -> Motion:
        """Motion (`T = 1`) with a corrected head; the same motion when the picture does not tell.

        Args:
            frame: uint8 `[H, W, 3]` the true frame on the canvas.
        """
        truth = _half(frame)
        start = motion.head[0].copy()
        for _ in range(ROUNDS):
            step = self._step(motion, truth, motion.head[0] - start)
            if step is None:
                return motion
            head = start + np.clip(motion.head[0] + step - start, -LIMIT * SPREAD, LIMIT * SPREAD)
            motion = replace(motion, head=head[None].astype(np.float32))
        return motion

    def _step(self, motion: Motion, truth: Array, gone: Array) -> Array | None:
        """One Gauss-Newton step `[6]`; None when too little steady skin is in view."""
        rig = self._rig
        posed = rig.pose(motion)
        made = _half(rig.base(posed))
        height, width = made.shape
        map_x, map_y = rig.source_of(posed, (width, height))
        seen = cv2.remap(self._steady, map_x, map_y, cv2.INTER_LINEAR)
        rows, columns = np.nonzero(seen > 200)
        if len(rows) < 200:
            return None
        across = cv2.Sobel(made, cv2.CV_32F, 1, 0, scale=1 / 8)[rows, columns]
        down = cv2.Sobel(made, cv2.CV_32F, 0, 1, scale=1 / 8)[rows, columns]
        parts = []
        for axis in range(6):
            ahead = motion.head.copy()
            ahead[0, axis] += STEPS[axis]
            flow = (rig.pose(replace(motion, head=ahead)).field - posed.field) / (2 * STEPS[axis])  # half-size pixels
            wide = cv2.resize(flow, None, fx=CELL_PX / 2, fy=CELL_PX / 2)
            edge = (CELL_PX + CELL_PX // 2) // 2
            moved = wide[rows + edge, columns + edge]
            parts.append(-(across * moved[:, 0] + down * moved[:, 1]))
        light = made[rows, columns]
        jacobian = np.stack([*parts, light - light.mean(), np.ones_like(light)], 1)
        weight = 1 / (NOISE**2 * INDEPENDENT)
        prior = np.concatenate([1 / SPREAD**2, [1e-6, 1e-6]])
        normal = jacobian.T @ jacobian * weight + np.diag(prior)
        goal = jacobian.T @ (truth - made)[rows, columns] * weight
        goal[:6] -= prior[:6] * gone
        return np.linalg.solve(normal, goal)[:6].astype(np.float32)


def _half(picture: Pixels) -> Array:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    half = cv2.resize(grey, (picture.shape[1] // 2, picture.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(half.astype(np.float32), (0, 0), BLUR_PX)


def _steady_skin(rig: Rig) -> Pixels:
    """uint8 at texture size: 255 on skin above the mouth, without eyes and brows, inside the outline."""
    marks = np.round(rig.canvas.to_texture(rig.points[:, :2])).astype(np.int32)
    mask = np.zeros(rig.matte.shape, np.uint8)
    cv2.fillPoly(mask, [marks[OVAL]], 255)
    grow = max(3, round(0.12 * rig.eye_px))
    mask = cv2.erode(mask, np.ones((grow, grow), np.uint8))
    for part in (eye_ring(0), eye_ring(1), *_BROWS):
        hole = np.zeros_like(mask)
        cv2.fillConvexPoly(hole, cv2.convexHull(marks[list(part)]), 255)
        mask[cv2.dilate(hole, np.ones((grow, grow), np.uint8)) > 0] = 0
    mask[marks[2, 1] :] = 0
    return mask
