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
DEPTH_STEPS = 1000  # depth is compared in thousandths of a centimetre
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
        self._two_sided = two_sided[self._triangles].any(1)
        self._outline = outline
        self._feather = max(1, round(feather_px)) * 2 + 1

    def _sample(self, source: Array) -> None:
        corners = source[self._triangles].astype(np.float32)  # [F, 3, 2]
        self._middle = _mean(corners)
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
        low = np.floor(np.clip(corners.min((0, 1)) - 2, 0, (width - 1, height - 1))).astype(int)
        high = np.ceil(np.clip(corners.max((0, 1)) + 3, 1, (width, height))).astype(int)
        if (high <= low).any():
            return
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        index = self._index[box]
        index[:] = 0
        facing = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * self._winding > 1e-3
        facing |= self._two_sided
        middle = _mean(depth[self._triangles])
        order = np.argsort(-middle)
        order = order[facing[order]]
        polygons = np.round((corners[order] - low) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        for colour, polygon in zip((order + 1).tolist(), polygons, strict=True):
            cv2.fillConvexPoly(index, polygon, colour, cv2.LINE_8, SUBPIXEL_BITS)
        places, covered = index.astype(np.intp), (index > 0).view(np.uint8)
        map_x, map_y = self._maps(corners, places, low, high)
        painted = cv2.remap(self._texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        _soften_steps(painted, places, covered, middle)
        border = np.zeros(index.shape, np.uint8)
        contour = np.round((target[self._outline] - low) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(border, [contour], 255, cv2.LINE_8, SUBPIXEL_BITS)
        mask = soften_inwards(border, self._feather)
        blend_into(canvas[box], painted, cv2.multiply(mask, covered, dst=mask))

    def _maps(self, corners: Array, places: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[Array, Array]:
        """Texture pixels x and y for every pixel of a box; `places` `[h, w]` are the numbers of their triangles."""
        columns = np.repeat(np.arange(low[0], high[0], dtype=np.float32), 2)
        rows = np.arange(low[1], high[1], dtype=np.float32)[:, None]
        # x and y lie side by side, so that one look-up finds both.
        by_column, by_row, shift = (
            np.take(table.view(np.float64)[:, 0], places).view(np.float32) for table in self._affine_maps(corners)
        )
        by_column *= columns
        by_row *= rows
        by_column += by_row
        by_column += shift
        map_x, map_y = cv2.split(by_column.reshape(*places.shape, 2))
        return np.asarray(map_x, np.float32), np.asarray(map_y, np.float32)

    def _affine_maps(self, corners: Array) -> Array:
        """Canvas to texture: x and y by column, by row, and the shift, `[3, F + 1, 2]`; entry 0 is for no triangle."""
        one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = _cross(one, two)
        area = np.where(np.abs(area) < 1e-6, 1e-6, area)
        longest = np.sqrt(np.maximum((one * one).sum(1), (two * two).sum(1))) + 1e-6
        thin = np.clip(1.5 - np.abs(area) / longest, 0, 1)[:, None]  # slivers cover pixels outside of themselves
        edges = self._edges / area[:, None, None]
        by_column = edges[:, 0] * two[:, 1:] - edges[:, 1] * one[:, 1:]
        by_row = edges[:, 1] * one[:, :1] - edges[:, 0] * two[:, :1]
        steep = np.sqrt(by_column * by_column + by_row * by_row) + 1e-6
        limit = np.minimum(1, STEEPEST / steep) ** thin
        by_column *= limit
        by_row *= limit
        middle = _mean(corners)
        tables = np.zeros((3, len(corners) + 1, 2), np.float32)
        tables[0, 1:], tables[1, 1:] = by_column, by_row
        tables[2, 1:] = self._middle - by_column * middle[:, :1] - by_row * middle[:, 1:]
        return tables


def _soften_steps(painted: Pixels, places: np.ndarray, covered: Pixels, depth: Array) -> None:
    """Blur the staircase where one part of the face hides another, in place.

    Args:
        painted: uint8 `[h, w, 3]`.
        places: `[h, w]` number of the triangle of every pixel, from 1; covered: uint8, 1 where there is one.
        depth: `[F]` of the triangles in centimetres.
    """
    fine = np.concatenate([[0], (depth - depth.min()) * DEPTH_STEPS]).clip(0, 65535).astype(np.uint16)
    far = np.take(fine, places)
    kernel = np.ones((3, 3), np.uint8)
    apart = cv2.subtract(cv2.dilate(far, kernel), cv2.erode(far, kernel))
    step = (apart > round(STEP_DEPTH * DEPTH_STEPS)).view(np.uint8)
    step &= cv2.erode(covered, kernel)
    left, top, width, height = cv2.boundingRect(step)
    if width:
        around = np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
        cv2.copyTo(cv2.GaussianBlur(painted[around], (3, 3), 0), step[around], painted[around])


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
    back = cv2.multiply(canvas, cv2.bitwise_not(weight, dst=weight), dst=weight, scale=1 / 255)
    cv2.add(front, back, dst=canvas)


def _mean(corners: Array) -> Array:
    """Over the three corners `[F, 3, ...]`."""
    return (corners[:, 0] + corners[:, 1] + corners[:, 2]) * np.float32(1 / 3)


def _cross(a: Array, b: Array) -> Array:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
