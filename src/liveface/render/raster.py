"""A piecewise-affine warp of a triangle mesh, painted far to near.

Notable choices: triangles are numbered into an index picture with sub-pixel polygons, then every pixel looks its affine
map up, so that the cost in Python is one call a triangle and the sampling is one `cv2.remap`. A triangle that turns its
back to the camera is left out; the layer below shows there.
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface.types import Array, Pixels

SUBPIXEL_BITS = 4
STEEPEST = 6.0  # texture pixels a canvas pixel beyond which a triangle under a pixel thin would sample elsewhere
STEP_DEPTH = 0.7  # neighbours this much farther apart in depth (centimetres) belong to different parts, chosen


class TriangleWarp:
    """Paints a textured triangle mesh at new positions.

    Args:
        texture: uint8 `[h, w, 3]`.
        source: `[K, 2]` positions of the vertices in texture pixels.
        triangles: `[F, 3]` vertex indices.
        size: canvas width and height in pixels.
        two_sided: `[K]` bool, vertices (of lips and lids) whose triangles may fold over without being left out.
        outline: vertex indices around the mesh; the painted area fades out inwards along it, and only along it.
        feather_px: width of that soft border.
    """

    def __init__(
        self,
        texture: Pixels,
        source: Array,
        triangles: np.ndarray,
        size: tuple[int, int],
        two_sided: np.ndarray,
        outline: np.ndarray,
        feather_px: float = 2.0,
    ) -> None:
        self._texture = texture
        self._triangles = triangles.astype(np.int64)
        self._sample(source)
        self._winding = np.sign(np.sign(_cross(self._edges[:, 0], self._edges[:, 1])).sum())  # most face the camera
        self._index = np.zeros((size[1], size[0]), np.uint16)
        self._columns = np.arange(size[0], dtype=np.float32)
        self._rows = np.arange(size[1], dtype=np.float32)[:, None]
        self._two_sided = two_sided[self._triangles].any(1)
        self._outline = outline
        self._feather = max(1, round(feather_px)) * 2 + 1

    def _sample(self, source: Array) -> None:
        corners = source[self._triangles].astype(np.float32)  # [F, 3, 2]
        self._origin = corners[:, 0]
        self._edges = corners[:, 1:] - corners[:, :1]

    def paint(self, canvas: Pixels, target: Array, depth: Array, source: Array | None = None) -> None:
        """Paint the mesh onto `canvas` in place.

        Args:
            canvas: uint8 `[H, W, 3]`.
            target: `[K, 2]` positions of the vertices in canvas pixels.
            depth: `[K]`, larger is farther from the camera.
            source: `[K, 2]` texture pixels to sample instead of the last ones.
        """
        if source is not None:
            self._sample(source)
        height, width = self._index.shape
        corners = target[self._triangles].astype(np.float32)
        maps = self._affine_maps(corners)
        low = np.floor(np.clip(corners.min((0, 1)) - 2, 0, (width - 1, height - 1))).astype(int)
        high = np.ceil(np.clip(corners.max((0, 1)) + 3, 1, (width, height))).astype(int)
        if (high <= low).any():
            return
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        index = self._index[box]
        index[:] = 0
        facing = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * self._winding > 1e-3
        facing |= self._two_sided
        order = np.argsort(-depth[self._triangles].mean(1))
        polygons = np.round((corners - low) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        for number in order[facing[order]].tolist():
            cv2.fillConvexPoly(index, polygons[number], number + 1, cv2.LINE_8, SUBPIXEL_BITS)
        columns, rows = self._columns[low[0] : high[0]], self._rows[low[1] : high[1]]
        map_x = np.take(maps[0], index) * columns
        map_x += np.take(maps[1], index) * rows
        map_x += np.take(maps[2], index)
        map_y = np.take(maps[3], index) * columns
        map_y += np.take(maps[4], index) * rows
        map_y += np.take(maps[5], index)
        painted = cv2.remap(self._texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._soften_steps(painted, index, depth)
        border = np.zeros(index.shape, np.uint8)
        contour = np.round((target[self._outline] - low) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(border, [contour], 255, cv2.LINE_8, SUBPIXEL_BITS)
        mask = soften_inwards(border, self._feather)
        mask[index == 0] = 0
        blend_into(canvas[box], painted, mask)

    def _soften_steps(self, painted: Pixels, index: np.ndarray, depth: Array) -> None:
        """Blur the staircase where one part of the face hides another, in place."""
        near = np.concatenate([[0], depth[self._triangles].mean(1)]).astype(np.float32)
        far = np.take(near, index)
        kernel = np.ones((3, 3), np.uint8)
        step = cv2.subtract(cv2.dilate(far, kernel), cv2.erode(far, kernel)) > STEP_DEPTH
        step &= cv2.erode((index > 0).view(np.uint8), kernel) > 0
        if step.any():
            cv2.copyTo(cv2.GaussianBlur(painted, (3, 3), 0), step.view(np.uint8), painted)

    def _affine_maps(self, corners: Array) -> list[Array]:
        """Six tables `[F + 1]`: canvas to texture, row by row; entry 0 stands for uncovered pixels."""
        one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = _cross(one, two)
        area = np.where(np.abs(area) < 1e-6, 1e-6, area)
        share_two = np.stack([two[:, 1], -two[:, 0]], 1) / area[:, None]  # gradient of the second corner's share
        share_three = np.stack([-one[:, 1], one[:, 0]], 1) / area[:, None]
        longest = np.sqrt(np.maximum((one**2).sum(1), (two**2).sum(1))) + 1e-6
        thin = np.clip(1.5 - np.abs(area) / longest, 0, 1)[:, None]  # slivers cover pixels outside of themselves
        middle = corners.mean(1)
        tables = []
        for axis in (0, 1):
            slope = share_two * self._edges[:, :1, axis] + share_three * self._edges[:, 1:, axis]  # [F, 2]
            slope *= np.minimum(1, STEEPEST / (np.linalg.norm(slope, axis=1)[:, None] + 1e-6)) ** thin
            shift = self._origin[:, axis] + self._edges[:, :, axis].sum(1) / 3 - (slope * middle).sum(1)
            tables += [np.concatenate([[0], column]).astype(np.float32) for column in (slope[:, 0], slope[:, 1], shift)]
        return tables


def soften_inwards(mask: Pixels, width: int) -> Pixels:
    """A mask of 0 and 255 whose border falls off inwards within `width` pixels (odd)."""
    kernel = np.ones((width, width), np.uint8)
    inner = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.blur(inner, (width, width))


def blend_into(canvas: Pixels, painted: Pixels, mask: Pixels) -> None:
    """`canvas = canvas + (painted - canvas) * mask / 255`, in place.

    Args:
        canvas, painted: uint8 `[H, W, 3]`.
        mask: uint8 `[H, W]`.
    """
    weight = cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR)
    front = cv2.multiply(painted, weight, scale=1 / 255)
    back = cv2.multiply(canvas, 255 - weight, scale=1 / 255)
    canvas[:] = cv2.add(front, back)


def _cross(a: Array, b: Array) -> Array:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
