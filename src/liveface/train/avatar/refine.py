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
import numpy.typing as npt

from liveface.render.liveface.rig import CELL_PX, Rig
from liveface.render.topology import OVAL, eye_ring
from liveface.types import Array, Motion, Pixels

ROUNDS = 2
BLUR_PX = 1.0  # of half-size pixels
STEPS = np.array([0.01, 0.01, 0.01, 0.05, 0.05, 0.3], np.float32)  # radians, centimetres: for the derivative
SPREAD = np.array([0.02, 0.02, 0.01, 0.1, 0.1, 0.5], np.float32)  # how far off the tracker is, one standard deviation
NOISE = 6.0  # levels of 255 that a good fit leaves
EVERY, LEAST_PX = 2, 50  # every so many half-size pixels along each axis, and the least of them that tell
INDEPENDENT = 10.0  # neighbouring ones err together: so many count as one
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
        truth, start = _half(frame), motion.head[0].copy()
        found = self._slopes(motion)
        if found is None:
            return motion
        rows, columns, jacobian, made = found
        weight = 1 / (NOISE**2 * INDEPENDENT)
        prior = np.concatenate([1 / SPREAD**2, [1e-6, 1e-6]])
        normal = jacobian.T @ jacobian * weight + np.diag(prior)
        for turn in range(ROUNDS):
            if turn:
                made = _half(self._rig.base(self._rig.pose(motion)))
            gone = motion.head[0] - start
            goal = jacobian.T @ (truth - made)[rows, columns] * weight
            goal[:6] -= prior[:6] * gone
            step = np.linalg.solve(normal, goal)[:6].astype(np.float32)
            head = start + np.clip(gone + step, -LIMIT * SPREAD, LIMIT * SPREAD)
            motion = replace(motion, head=head[None].astype(np.float32))
        return motion

    def _slopes(self, motion: Motion) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Array, Array] | None:
        """Rows and columns `[K]` of steady skin, how it changes `[K, 8]` with head and light, and the made picture.

        None when too little of it is in view. One set of slopes serves all rounds: the steps are small.
        """
        rig = self._rig
        posed = rig.pose(motion)
        made = _half(rig.base(posed))
        height, width = made.shape
        map_x, map_y = rig.source_of(posed, (width, height))
        seen = cv2.remap(self._steady, map_x[::EVERY, ::EVERY], map_y[::EVERY, ::EVERY], cv2.INTER_LINEAR)
        rows, columns = (index * EVERY for index in np.nonzero(seen > 200))
        if len(rows) < LEAST_PX:
            return None
        across = cv2.Sobel(made, cv2.CV_32F, 1, 0, scale=1 / 8)[rows, columns]
        down = cv2.Sobel(made, cv2.CV_32F, 0, 1, scale=1 / 8)[rows, columns]
        cell = CELL_PX / 2
        x, y = (((index + 0.5) / cell + 1)[:, None].astype(np.float32) for index in (columns, rows))  # grid, from -1
        parts = []
        for axis in range(6):
            ahead = motion.head.copy()
            ahead[0, axis] += STEPS[axis]
            flow = (rig.pose(replace(motion, head=ahead)).field - posed.field) / (2 * STEPS[axis])  # half-size pixels
            moved = cv2.remap(flow, x, y, cv2.INTER_LINEAR)[:, 0]
            parts.append(-(across * moved[:, 0] + down * moved[:, 1]))
        light = made[rows, columns]
        return rows, columns, np.stack([*parts, light - light.mean(), np.ones_like(light)], 1), made


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
