"""Everything around the face: the still background and the person before it.

Notable choices: the background is one plate, filled in behind the person once; the person is a layer with a matte
that a smooth field moves. The field carries the head (hair and ears included) as a rigid body with depth, lets the neck
follow less and less down to the shoulders, and meets the moving outline of the face exactly, so nothing tears at the
border of the face mesh. It is inverted on a coarse grid by fixed-point iteration and enlarged, at under a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from liveface.render.canvas import TEXTURE_SCALE, Canvas
from liveface.render.topology import CHIN, FOREHEAD, OVAL
from liveface.types import Array, Pixels

CELL_PX = 8  # pitch of the field's grid in canvas pixels
BACK_DEPTH_CM = 2.0  # where the widest outline of the skull lies behind the ears' axis, chosen from the face model
NECK_TOP, NECK_END = 0.5, 0.2  # the neck gives way from so far above the chin to so far below it, in face heights
CHIN_REACH = 0.13  # what is this near to the outline of the face goes with it all the same, in face heights
# Measured by optical flow on ten clips: beside and below the jaw people follow 0.15 to 0.4 of the head's own motion.
BODY_FOLLOW = 0.35  # how much of the head's shift the shoulders follow, chosen
OUTLINE_REACH = 0.30  # how far the outline's own motion spreads outwards, share of the face height, chosen
INVERSION_STEPS = 6
PLAIN_WALL = 10.0  # a background whose pixels stay this near to their surroundings (of 255) is plain, chosen


class PersonLayer:
    """Background plate and moving person, without the face mesh.

    Args:
        canvas: the portrait.
        matte: float32 in [0, 1], where the person is, at texture size.
        depth: float32 `[478]`, depth of the tracked points in centimetres of the face frame at rest.
        px_per_cm: canvas pixels per centimetre at the face.
        texture: what the person looks like under the face mesh, at texture size; None is the photo.
        plate: the background without the person, at texture size; None fills it in.
    """

    def __init__(
        self,
        canvas: Canvas,
        matte: Array,
        depth: Array,
        px_per_cm: float,
        texture: Pixels | None = None,
        plate: Pixels | None = None,
    ) -> None:
        width, height = canvas.size
        self._size = canvas.size
        plate = fill_behind(canvas.texture, matte) if plate is None else plate
        self.plate = canvas.shrink(plate)
        alpha = matte[..., None]
        # What is left of the picture when the plate is taken out, so that both together are the photo again.
        premultiplied = np.clip((canvas.texture if texture is None else texture) - (1 - alpha) * plate, 0, 255 * alpha)
        self._layer = np.dstack([premultiplied, matte * 255]).round().astype(np.uint8)
        columns = np.arange(-CELL_PX, width + 2 * CELL_PX, CELL_PX, dtype=np.float32)
        rows = np.arange(-CELL_PX, height + 2 * CELL_PX, CELL_PX, dtype=np.float32)
        grid = np.stack(np.meshgrid(columns, rows), -1)  # [gy, gx, 2]
        self._shape = grid.shape[:2]
        self._inverse = Inverse(grid.shape[:2], CELL_PX, canvas.margin, INVERSION_STEPS)
        self.nodes = grid.reshape(-1, 2)
        self._body = self._near_person(canvas.shrink(self._layer[..., 3]))
        self._set_influence(canvas.points, depth, px_per_cm)

    def _near_person(self, alpha: Pixels) -> np.ndarray:
        """`[G]` bool, the grid nodes that carry some of the person."""
        padded = cv2.copyMakeBorder(alpha, CELL_PX, 2 * CELL_PX, CELL_PX, 2 * CELL_PX, cv2.BORDER_REPLICATE)
        grown = cv2.dilate(padded, np.ones((2 * CELL_PX + 1, 2 * CELL_PX + 1), np.uint8))
        columns, rows = (self.nodes + CELL_PX).astype(int).T
        return grown[rows, columns] > 0

    def _set_influence(self, points: Array, depth: Array, px_per_cm: float) -> None:
        """Depth, rigid share and outline weights of every grid node."""
        oval = points[OVAL, :2]
        face_h = float(np.linalg.norm(points[CHIN, :2] - points[FOREHEAD, :2]))
        distance = np.linalg.norm(self.nodes[:, None] - oval[None], axis=2)  # [G, 36]
        weight = 1 / (distance + 0.02 * face_h) ** 3
        self._nearest = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
        contour = oval.astype(np.float32).reshape(-1, 1, 2)
        outside = np.array(
            [-cv2.pointPolygonTest(contour, (float(x), float(y)), measureDist=True) for x, y in self.nodes]
        )
        outside = np.maximum(outside, 0).astype(np.float32)
        oval_depth = self._nearest @ depth[OVAL]
        self.depth_cm = np.minimum(oval_depth + outside / px_per_cm, np.maximum(oval_depth, BACK_DEPTH_CM))
        self._reach = np.exp(-((outside / (OUTLINE_REACH * face_h)) ** 2)).astype(np.float32)
        below = (self.nodes[:, 1] - points[CHIN, 1]) / face_h
        neck = 1 - _smoothstep(np.clip((below + NECK_TOP) / (NECK_TOP + NECK_END), 0, 1))
        self.rigid = np.maximum(neck, np.exp(-((outside / (CHIN_REACH * face_h)) ** 2))).astype(np.float32)

    def paint(
        self, moved_nodes: Array, moved_oval: Array, rigid_oval: Array, shift: Array, alpha: Pixels | None = None
    ) -> Pixels:
        """The plate with the person moved.

        Args:
            moved_nodes: `[G, 2]` the nodes moved with the head as a rigid body, canvas pixels.
            moved_oval: `[36, 2]` where the outline of the face is.
            rigid_oval: `[36, 2]` where the rigid head alone would put it.
            shift: `[2]` the head's shift in the picture, which the shoulders follow in part.
            alpha: uint8 `[H, W]` of zeros where to write what `matte` would say; None does not.
        Returns: uint8 `[H, W, 3]`.
        """
        low, high, maps = self._maps(moved_nodes, moved_oval, rigid_oval, shift)
        moved = cv2.remap(self._layer, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture = self.plate.copy()
        if alpha is not None:
            alpha[low[1] : high[1], low[0] : high[0]] = moved[..., 3]
        cover(moved, picture[low[1] : high[1], low[0] : high[0]])
        return picture

    def matte(self, moved_nodes: Array, moved_oval: Array, rigid_oval: Array, shift: Array) -> Pixels:
        """Where the person is in what `paint` makes of the same arguments, uint8 `[H, W]`."""
        low, high, maps = self._maps(moved_nodes, moved_oval, rigid_oval, shift)
        alpha = np.zeros(self._size[::-1], np.uint8)
        alpha[low[1] : high[1], low[0] : high[0]] = cv2.remap(
            self._alpha, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return alpha

    @cached_property
    def _alpha(self) -> Pixels:
        return np.ascontiguousarray(self._layer[..., 3])

    def _maps(
        self, moved_nodes: Array, moved_oval: Array, rigid_oval: Array, shift: Array
    ) -> tuple[list[int], list[int], tuple[Array, Array]]:
        """The box that the person may touch, as its low and high corners, and where its pixels come from."""
        share = self.rigid[:, None]
        field = (moved_nodes - self.nodes) * share + shift * (BODY_FOLLOW * (1 - share))
        field += (self._nearest @ (moved_oval - rigid_oval)) * (self._reach * self.rigid)[:, None]
        body = (self.nodes + field)[self._body]
        low = np.floor(np.clip(body.min(0) - CELL_PX, 0, np.array(self._size) - 1)).astype(int)
        high = np.ceil(np.clip(body.max(0) + CELL_PX, low + 1, self._size)).astype(int)
        corners: tuple[list[int], list[int]] = (low.tolist(), high.tolist())
        return *corners, self._inverse(field.reshape(*self._shape, 2), *corners)


class Inverse:
    """Turns the forward field of a coarse grid around: where canvas pixels come from in the texture.

    Args:
        shape: rows and columns of the grid; node (i, j) stands at canvas pixel ((j - 1) cell, (i - 1) cell).
        cell: pitch of the grid in canvas pixels.
        margin: canvas pixels of texture around the canvas.
        steps: of the fixed-point iteration.
    """

    def __init__(self, shape: tuple[int, int], cell: int, margin: int, steps: int) -> None:
        self._shape, self._cell, self._steps = shape, cell, steps
        columns, rows = (np.arange(count, dtype=np.float32) for count in shape[::-1])
        self._start = np.dstack(np.meshgrid(columns, rows))
        # Enlarging keeps what is linear, but for half a pixel of the larger scale, which is taken back here.
        canvas = (self._start - 1) * cell - 0.5
        self._rest = ((canvas + margin) * TEXTURE_SCALE + (TEXTURE_SCALE - 1) / 2).astype(np.float32)

    def __call__(self, field: Array, low: Sequence[int], high: Sequence[int]) -> tuple[Array, Array]:
        """Texture pixels x and y for every pixel of a box of the canvas.

        Args:
            field: `[gy, gx, 2]` displacement of the nodes in canvas pixels.
            low, high: x and y where the box begins and ends.
        """
        cell = self._cell
        cells = np.multiply(field, np.float32(1 / cell), dtype=np.float32)
        at = cells
        for _ in range(self._steps):
            at = cv2.remap(
                cells, cv2.subtract(self._start, at), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        place = cv2.scaleAdd(at, -float(cell * TEXTURE_SCALE), self._rest)
        edge = cell + cell // 2  # canvas pixel 0 in the enlarged grid
        first = [max((edge + value) // cell - 1, 0) for value in low]
        last = [min((edge + value) // cell + 2, count) for value, count in zip(high, self._shape[::-1], strict=True)]
        left, top = (edge + value - cell * node for value, node in zip(low, first, strict=True))
        maps = []
        for axis in (0, 1):
            coarse = cv2.extractChannel(place[first[1] : last[1], first[0] : last[0]], axis)
            wide = cv2.resize(coarse, (coarse.shape[1] * cell, coarse.shape[0] * cell))
            maps.append(wide[top : top + high[1] - low[1], left : left + high[0] - low[0]])
        return maps[0], maps[1]


def cover(front: Pixels, picture: Pixels) -> None:
    """Premultiplied `front` `[H, W, 4]` over `picture` `[H, W, 3]`, uint8, in place; any part of a picture will do."""
    around = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(front, 3)), cv2.COLOR_GRAY2BGR)
    behind = cv2.multiply(picture, around, dst=around, scale=1 / 255)
    cv2.add(cv2.cvtColor(front, cv2.COLOR_RGBA2RGB), behind, dst=picture)


def fill_behind(texture: Pixels, matte: Array, margin: float = 12.0) -> Pixels:
    """The picture with the person painted over by what surrounds them.

    A pyramid of averages over the known pixels is pulled up and pushed back down, which continues walls and gradients
    smoothly; where the person hides everything the fill is a soft tone.

    Args:
        texture: uint8 `[h, w, 3]`.
        matte: float32 `[h, w]` in [0, 1].
        margin: pixels around the matte that are not trusted to be background either.
    """
    away = cv2.distanceTransform((matte < 0.04).astype(np.uint8), cv2.DIST_L2, 5)
    known = (away > margin).astype(np.float32)
    if known.mean() < 0.01:
        return cv2.GaussianBlur(texture, (0, 0), 25)
    filled = _push_pull(texture.astype(np.float32), known)
    keep = cv2.GaussianBlur(known, (0, 0), 4) * known
    return (texture * keep[..., None] + filled * (1 - keep[..., None])).round().astype(np.uint8)


def _push_pull(values: Array, known: Array) -> Array:
    """Fill where `known` is 0 from coarser and coarser averages."""
    if min(known.shape) <= 2:
        total = max(float(known.sum()), 1e-6)
        return np.broadcast_to((values * known[..., None]).sum((0, 1)) / total, values.shape).astype(np.float32)
    half = (max(1, known.shape[1] // 2), max(1, known.shape[0] // 2))
    weight = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * known[..., None], half, interpolation=cv2.INTER_AREA)
    coarse = coarse / np.maximum(weight, 1e-6)[..., None]
    below = _push_pull(coarse, np.minimum(weight * 4, 1))
    wide = cv2.resize(below, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return values * known[..., None] + wide * (1 - known[..., None])


def add_wisps(texture: Pixels, matte: Array, reach: float) -> tuple[Array, bool]:
    """Give loose hair before a plain wall to the person: what differs from the wall near the matte joins it.

    Does nothing where the background has a pattern of its own, for there difference means nothing.
    Returns: the matte, and whether the wall is plain.

    Args:
        texture: uint8 `[h, w, 3]`.
        matte: float32 `[h, w]` in [0, 1].
        reach: how far from the matte hair is looked for, in pixels.
    """
    away = cv2.distanceTransform((matte < 0.04).astype(np.uint8), cv2.DIST_L2, 5)  # pixels from the person
    near, beyond = away < reach, away > 2 * reach
    wall = _push_pull(texture.astype(np.float32), beyond.astype(np.float32))
    differs = cv2.GaussianBlur(np.abs(texture - wall).max(2), (0, 0), 1.0)
    between = ~near & ~beyond  # wall that did not help to predict itself
    if between.mean() < 0.01 or np.percentile(differs[between], 90) > PLAIN_WALL:
        return matte, False
    ring = near & (away > 0)
    drift = float(np.median(differs[ring])) if ring.any() else 0.0  # shade of the wall near the person
    loose = np.clip((differs - drift - PLAIN_WALL) / (2 * PLAIN_WALL), 0, 1)
    return np.maximum(matte, cv2.GaussianBlur(loose * near, (0, 0), 1.5)).astype(np.float32), True


def refine_matte(texture: Pixels, matte: Array) -> Array:
    """Sharpen a coarse person matte along the picture's own edges, then widen it by a soft hair's breadth.

    Args:
        texture: uint8 `[h, w, 3]`.
        matte: float32 `[h, w]` in [0, 1].
    Returns: float32 `[h, w]` in [0, 1].
    Source: guided filter, He et al. 2010 (grey guide).
    """
    guide = cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    radius = max(4, texture.shape[0] // 80)
    size = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean_matte = cv2.blur(guide, size), cv2.blur(matte, size)
    covariance = cv2.blur(guide * matte, size) - mean_guide * mean_matte
    variance = cv2.blur(guide * guide, size) - mean_guide**2
    slope = covariance / (variance + 1e-4)
    offset = mean_matte - slope * mean_guide
    fine = cv2.blur(slope, size) * guide + cv2.blur(offset, size)
    fine = np.clip(fine * 1.3 - 0.1, 0, 1)
    wide = cv2.dilate(fine, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    return np.clip(cv2.GaussianBlur(wide, (0, 0), 2.0), 0, 1).astype(np.float32)


def _smoothstep(x: Array) -> Array:
    return x * x * (3 - 2 * x)
