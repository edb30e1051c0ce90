"""The static part of an avatar: one reference picture, posable by a smooth coarse warp, and where the regions lie.

The base of every frame is the still background and the person of the reference picture, moved by a field on a coarse
grid: the head is a rigid body with depth, the jaw and the cheeks follow the face model's expression, the neck gives way
to the shoulders. It keeps skin and hair as crisp as the picture and costs about a millisecond; what a warp cannot do
(lips, teeth, lids, hair that swings, skin that was hidden) is the decoders' part.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from liveface.errors import SignalError
from liveface.geometry import head_rotation
from liveface.motion.face_model import FaceModel
from liveface.motion.solve import DISTANCE_CM
from liveface.render.canvas import TEXTURE_SCALE, Canvas, frame_portrait
from liveface.render.head import CAMERA_CM, Head, fit_head, person_matte
from liveface.render.layers import Inverse, add_wisps, cover, fill_behind, refine_matte
from liveface.render.liveface.regions import REGIONS, Region
from liveface.render.topology import CHIN, FOREHEAD, LIP_OUTER, OVAL, eye_ring, lip_ring
from liveface.signals.face import find_face
from liveface.types import Array, Motion, Pixels

CELL_PX = 16  # pitch of the field's grid in canvas pixels
INVERSION_STEPS = 4
BACK_DEPTH_CM = 2.0  # where the widest outline of the skull lies behind the ears' axis, as in `layers`
NECK_TOP, NECK_END = 0.5, 0.2  # the neck gives way from so far above the chin to so far below it, in face heights
CHIN_REACH = 0.13  # what is this near to the outline of the face goes with it all the same, in face heights
SKIN_REACH = 0.22  # how far the face's own expression spreads beyond its outline, in face heights
ANCHORS = 72  # points of the face that carry the field
WISP_REACH_CM = 2.5
SOFT_PX = 6  # texture pixels above the photo's lower border that are blurred with what is below it
LIPS = np.concatenate([LIP_OUTER, lip_ring()])
"""The 40 lip points of the landmark conditioning: outer ring, then inner ring."""

_STEADY = np.array([6, 168, 197, 33, 133, 362, 263, 127, 356, 10, 109, 338, 195])  # points that expressions hardly move


@dataclass(frozen=True, slots=True)
class Posed:
    """One frame's geometry.

    Attributes:
        lips: `[40, 2]` canvas pixels of `LIPS`; rigid: `[40, 2]` the same without expression.
        boxes: region name to `[2, 3]`, patch pixels to canvas pixels.
        field: `[gy, gx, 2]` displacement of the grid's nodes in canvas pixels.
        head: `[6]` as in `Motion`.
        shoulders: `[2]` shift of the shoulders in eye distances.
    """

    lips: Array
    rigid: Array
    boxes: dict[str, Array]
    field: Array
    head: Array
    shoulders: Array


@dataclass(frozen=True)
class Rig:
    """One person's reference picture, ready to be posed; arrays are float32.

    Attributes:
        size: canvas width and height; margin: canvas pixels of texture around it.
        texture: uint8 `[2 (H + 2 m), 2 (W + 2 m), 3]` the reference at twice the canvas size.
        matte: uint8 of that size, 255 where the person is.
        plate: uint8 `[H, W, 3]` the background without the person.
        points: `[478, 3]` tracked points in canvas pixels.
        head: the fitted head; its `own` is the expression of the reference.
        to_canvas: `[2, 3]` pixels of the reference's camera to canvas pixels.
    """

    size: tuple[int, int]
    margin: int
    texture: Pixels
    matte: Pixels
    plate: Pixels
    points: Array
    head: Head
    to_canvas: Array

    @staticmethod
    def of(pixels: Pixels, size: tuple[int, int] = (360, 640), *, face: int | None = None) -> Rig:
        """Enrol a reference picture, uint8 `[h, w, 3]`.

        Raises:
            FaceError: no usable face.
        """
        tracked, _ = find_face(pixels, face)
        canvas = frame_portrait(pixels, tracked.points, size)
        head = fit_head(canvas, FaceModel.load())
        matte = refine_matte(canvas.texture, person_matte(canvas))
        reach = WISP_REACH_CM * head.px_per_cm * TEXTURE_SCALE
        matte, plain = add_wisps(canvas.texture, matte, reach)
        plate = canvas.shrink(fill_behind(canvas.texture, matte, reach if plain else 12.0))
        opaque = np.round(matte * 255).astype(np.uint8)
        texture = _body_below(canvas, pixels.shape[0])
        rig = Rig(size, canvas.margin, texture, opaque, plate, canvas.points, head, canvas.to_canvas)
        return Rig.from_files(rig.to_files())  # what is trained on is what is stored

    @property
    def canvas(self) -> Canvas:
        """The reference on its canvas; `canvas.cut` brings other pictures of the same camera there."""
        return Canvas(self.texture, self.points, self.size, self.margin, self.to_canvas)

    @property
    def reference(self) -> Pixels:
        """The reference picture on the canvas, uint8 `[H, W, 3]`."""
        return self.canvas.shrink(self.texture)

    @cached_property
    def eye_px(self) -> float:
        """Eye distance of the reference: 0.7 of the distance of the outer eye corners, canvas pixels."""
        return float(0.7 * np.linalg.norm(self.points[33, :2] - self.points[263, :2]))

    @cached_property
    def rest_lips(self) -> Array:
        """`[40, 2]` lips of the reference in pixels of the mouth's patch."""
        return to_patch(self.rest_boxes["mouth"], self.points[LIPS, :2])

    def with_own(self, expression: Array) -> Rig:
        """The same rig with another opinion of which expression `[52]` the reference shows."""
        return replace(self, head=replace(self.head, own=np.asarray(expression, np.float32)))

    def pose(self, motion: Motion, shoulders: Array | tuple[float, float] = (0.0, 0.0)) -> Posed:
        """Geometry of one frame (`T = 1`).

        Args:
            motion: expression absolute, head and gaze relative to the reference.
            shoulders: x and y shift of the shoulders in eye distances, y down.
        """
        grid, head = self._grid, motion.head[0]
        change = motion.expression[0] - self.head.own
        formed = grid.carriers + (change @ grid.basis).reshape(-1, 3)
        posed = self._turn(np.concatenate([formed, grid.carriers, grid.nodes_cm, grid.steady]), head)
        carried, rigid, nodes, steady = np.split(self.head.project(posed), grid.splits)
        turn, shift = _similarity(grid.steady_px, steady)
        low = np.asarray(shoulders, np.float32) * self.eye_px
        share = grid.rigid[:, None]
        field = (nodes - grid.nodes) * share + low * (1 - share)
        field += grid.weights @ (carried - rigid)[len(LIPS) :]
        boxes = {name: _moved(box, turn, shift) for name, box in self.rest_boxes.items()}
        boxes["body"] = self.rest_boxes["body"]
        lips = slice(0, len(LIPS))
        return Posed(carried[lips], rigid[lips], boxes, field.reshape(*grid.shape, 2), head, low / self.eye_px)

    def base(self, posed: Posed) -> Pixels:
        """The reference moved to a pose, over the still background; uint8 `[H, W, 3]`."""
        low, high = self._reach(posed.field)
        map_x, map_y = self._maps(posed.field, low, high)
        moved = cv2.remap(self._layer, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture = self.plate.copy()
        cover(moved, picture[low:high])
        return picture

    def cover(self, posed: Posed) -> Pixels:
        """Where the person is in `base`, uint8 `[H, W]`."""
        low, high = self._reach(posed.field)
        maps = self._maps(posed.field, low, high)
        alpha = np.zeros(self.size[::-1], np.uint8)
        alpha[low:high] = cv2.remap(self.matte, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return alpha

    def source_of(self, posed: Posed, size: tuple[int, int]) -> tuple[Array, Array]:
        """Texture pixels x and y `[h, w]` that a pose shows, for a picture of the canvas in `size` (width, height)."""
        maps = self._maps(posed.field, 0, self.size[1])
        return tuple(cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in maps)  # type: ignore[return-value]

    def _reach(self, field: Array) -> tuple[int, int]:
        """First and last row of the canvas that the person may touch."""
        rows = self._grid.carried_rows + np.take(field, self._grid.carries)
        low, high = int(max(rows.min() - CELL_PX, 0)), int(min(rows.max() + CELL_PX, self.size[1]))
        return min(low, self.size[1] - 1), max(high, low + 1)

    def _turn(self, points: Array, head: Array) -> Array:
        rotation = head_rotation(*(head[:3] + self.head.turn)) @ self._back
        nearer = np.array([1, 1, CAMERA_CM / DISTANCE_CM], np.float32)
        return np.asarray(points @ rotation.T + head[3:] * nearer, np.float32)

    @cached_property
    def _back(self) -> Array:
        """The rotation that takes back the reference's own."""
        return np.ascontiguousarray(head_rotation(*self.head.turn).T)

    def _maps(self, field: Array, low: int, high: int) -> tuple[Array, Array]:
        """Where rows `low` to `high` of the canvas come from: the field inverted on its grid, then enlarged."""
        return self._inverse(field, (0, low), (self.size[0], high))

    @cached_property
    def _inverse(self) -> Inverse:
        return Inverse(self._grid.shape, CELL_PX, self.margin, INVERSION_STEPS)

    @cached_property
    def _layer(self) -> Pixels:
        """Premultiplied RGBA of the person at texture size."""
        alpha = self.matte.astype(np.float32)[..., None] / 255
        edge = self.margin
        wide = cv2.copyMakeBorder(self.plate, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        behind = cv2.resize(wide, self.texture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        person = np.clip(self.texture - (1 - alpha) * behind, 0, 255 * alpha)
        return np.dstack([person, self.matte]).round().astype(np.uint8)

    @cached_property
    def rest_boxes(self) -> dict[str, Array]:
        """Boxes of the regions on the reference, `[2, 3]` patch pixels to canvas pixels."""
        return {name: _box(shape, self.points, self.eye_px, self.size) for name, shape in REGIONS.items()}

    @cached_property
    def _grid(self) -> _Grid:
        return _make_grid(self)

    def posing(self) -> dict[str, Array]:
        """What `pose` works with, by name, for a run time elsewhere (`liveface.web_avatar`); see `_Grid` and `Head`."""
        grid, head = self._grid, self.head
        return {
            "carriers": grid.carriers, "basis": grid.basis, "nodes_cm": grid.nodes_cm, "steady": grid.steady,
            "steady_px": grid.steady_px, "rigid": grid.rigid, "weights": grid.weights, "own": head.own,
            "turn": head.turn, "centre": head.centre, "rest_lips": self.rest_lips,
            "near_person": grid.carries // 2,
        }  # fmt: skip

    def to_files(self) -> dict[str, bytes]:
        """The rig as files: pictures and one table of numbers."""
        head, numbers = self.head, io.BytesIO()
        np.savez_compressed(
            numbers, size=np.array(self.size), margin=np.array(self.margin), points=self.points,
            to_canvas=self.to_canvas, rest=head.rest, basis=head.basis.astype(np.float16), own=head.own,
            turn=head.turn, px_per_cm=np.array(head.px_per_cm), centre=head.centre,
        )  # fmt: skip
        return {
            "rig/rig.npz": numbers.getvalue(),
            "rig/reference.jpg": _encode(".jpg", self.texture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]),
            "rig/matte.png": _encode(".png", self.matte, [cv2.IMWRITE_PNG_COMPRESSION, 9]),
            "rig/plate.jpg": _encode(".jpg", self.plate[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]),
        }

    @staticmethod
    def from_files(files: dict[str, bytes]) -> Rig:
        """The rig that `to_files` wrote.

        Raises:
            SignalError: a part is missing or damaged.
        """
        try:
            with np.load(io.BytesIO(files["rig/rig.npz"]), allow_pickle=False) as stored:
                value = {name: stored[name] for name in stored.files}
            texture, plate = (_decode(files[f"rig/{name}.jpg"]) for name in ("reference", "plate"))
            matte = _decode(files["rig/matte.png"], cv2.IMREAD_GRAYSCALE)
            head = Head(
                value["rest"].astype(np.float32), value["basis"].astype(np.float32), value["own"].astype(np.float32),
                value["turn"].astype(np.float32), float(value["px_per_cm"]), value["centre"].astype(np.float32),
            )  # fmt: skip
            size = (int(value["size"][0]), int(value["size"][1]))
            rig = Rig(size, int(value["margin"]), texture, matte, plate, value["points"], head, value["to_canvas"])
            _check(rig)
        except (KeyError, ValueError, OSError, EOFError, IndexError) as error:
            raise SignalError(f"the rig of the avatar is damaged ({error}); create the avatar again.") from error
        return rig


@dataclass(frozen=True)
class _Grid:
    """What posing needs, once per rig: lips and anchors to carry, nodes to move, and how they hang together."""

    nodes: Array  # [G, 2] canvas pixels
    nodes_cm: Array  # [G, 3]
    shape: tuple[int, int]
    rigid: Array  # [G] how much of the head's motion a node takes
    weights: Array  # [G, ANCHORS] how much of the anchors' own motion
    carriers: Array  # [40 + ANCHORS, 3] lips, then anchors, at rest
    basis: Array  # [52, (40 + ANCHORS) * 3]
    steady: Array  # [K, 3] points that only the head moves
    steady_px: Array  # [K, 2]
    splits: list[int]
    carries: np.ndarray  # [K] places of the nodes near the person, in the flat field's y
    carried_rows: Array  # [K] their y in canvas pixels


def _make_grid(rig: Rig) -> _Grid:
    width, height = rig.size
    columns = np.arange(-CELL_PX, width + 2 * CELL_PX, CELL_PX, dtype=np.float32)
    rows = np.arange(-CELL_PX, height + 2 * CELL_PX, CELL_PX, dtype=np.float32)
    nodes = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    points, head = rig.points[:468, :2], rig.head
    face_h = float(np.linalg.norm(points[CHIN] - points[FOREHEAD]))
    contour = points[OVAL].astype(np.float32).reshape(-1, 1, 2)
    away = np.array([-cv2.pointPolygonTest(contour, (float(x), float(y)), measureDist=True) for x, y in nodes])
    outside = np.maximum(away, 0).astype(np.float32)
    below = (nodes[:, 1] - points[CHIN, 1]) / face_h
    neck = 1 - _smoothstep(np.clip((below + NECK_TOP) / (NECK_TOP + NECK_END), 0, 1))
    rigid = np.maximum(neck, np.exp(-((outside / (CHIN_REACH * face_h)) ** 2))).astype(np.float32)
    near = _nearness(nodes, points, 0.02 * face_h)
    skin_depth = near @ head.rest[:468, 2]
    rim_depth = _nearness(nodes, points[OVAL], 0.02 * face_h) @ head.rest[OVAL, 2]
    back = np.minimum(rim_depth + outside / head.px_per_cm, np.maximum(rim_depth, BACK_DEPTH_CM))
    depth = np.where(away < 0, skin_depth, back).astype(np.float32)
    chosen = _anchors(points)
    reach = np.exp(-((outside / (SKIN_REACH * face_h)) ** 2))
    weights = (_nearness(nodes, points[chosen], 0.03 * face_h) * reach[:, None]).astype(np.float32)
    carried = np.concatenate([LIPS, chosen])
    basis = head.basis.reshape(52, -1, 3)[:, carried].reshape(52, -1)
    sizes = [len(carried), len(carried), len(nodes), len(_STEADY)]
    near_person = np.flatnonzero(_near_person(rig, nodes))
    return _Grid(
        nodes, head.lift(nodes, depth), (len(rows), len(columns)), rigid, weights, head.rest[carried],
        np.ascontiguousarray(basis, np.float32), head.rest[_STEADY], rig.points[_STEADY, :2],
        np.cumsum(sizes)[:-1].tolist(), 2 * near_person + 1, nodes[near_person, 1],
    )  # fmt: skip


def _body_below(canvas: Canvas, rows: int) -> Pixels:
    """The texture whose body goes on mirrored below the photo's `rows`.

    The canvas goes on blurred there, and shoulders that rise by a few pixels would lift that into view.
    """
    texture = canvas.texture.copy()
    bottom = canvas.to_texture(canvas.to_canvas @ np.array([0, rows - 1, 1]))[1]
    last = int(np.floor(bottom)) - SOFT_PX
    if 0 < last < len(texture) - 1:
        texture[last + 1 :] = texture[np.maximum(2 * last - np.arange(last + 1, len(texture)), 0)]
    return texture


def _near_person(rig: Rig, nodes: Array) -> np.ndarray:
    """`[G]` bool, the grid nodes within a cell of the person."""
    alpha = rig.canvas.shrink(rig.matte)
    padded = cv2.copyMakeBorder(alpha, CELL_PX, 2 * CELL_PX, CELL_PX, 2 * CELL_PX, cv2.BORDER_REPLICATE)
    grown = cv2.dilate(padded, np.ones((2 * CELL_PX + 1, 2 * CELL_PX + 1), np.uint8))
    columns, rows = (nodes + CELL_PX).astype(int).T
    return np.asarray(grown[rows, columns] > 0)


def _anchors(points: Array) -> np.ndarray:
    """Points of the face without lips and lids, spread evenly; the outline comes first."""
    hidden = np.concatenate([LIPS, eye_ring(0), eye_ring(1)])
    allowed = np.setdiff1d(np.arange(468), hidden)
    chosen = list(OVAL)
    distance = np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(1)
    while len(chosen) < ANCHORS:
        best = int(allowed[np.argmax(distance[allowed])])
        chosen.append(best)
        distance = np.minimum(distance, np.linalg.norm(points - points[best], axis=1))
    return np.array(chosen)


def _nearness(nodes: Array, points: Array, soft: float) -> Array:
    """Weights `[G, K]` by inverse cubed distance, rows sum to one."""
    distance = np.linalg.norm(nodes[:, None] - points[None], axis=2)
    weight = 1 / (distance + soft) ** 3
    return np.asarray(weight / weight.sum(1, keepdims=True), np.float32)


def _box(shape: Region, points: Array, eye_px: float, size: tuple[int, int]) -> Array:
    """`[2, 3]` patch pixels to canvas pixels of a region on the reference."""
    width, height = shape.size
    if shape.name == "body":
        scale = size[0] / width
        top = min(points[CHIN, 1] - shape.lift_e * eye_px, size[1] - height * scale)
        return np.array([[scale, 0, (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]], np.float32)
    left, right = points[33, :2], points[263, :2]
    across = (right - left) / np.linalg.norm(right - left)
    up = np.array([across[1], -across[0]])
    anchor = points[LIPS, :2].mean(0) if shape.name == "mouth" else (left + right) / 2
    scale = shape.width_e * eye_px / width
    turn = np.column_stack([across, -up]) * scale
    centre = anchor + up * shape.lift_e * eye_px
    return np.column_stack([turn, centre - turn @ [(width - 1) / 2, (height - 1) / 2]]).astype(np.float32)


def _similarity(source: Array, target: Array) -> tuple[Array, Array]:
    """Turn with scale `[2, 2]` and shift `[2]` that best map `[K, 2]` onto `[K, 2]`, as `fit_similarity` does."""
    mean, goal = source.mean(0), target.mean(0)
    a, b = source - mean, target - goal
    along, across = float(np.vdot(a, b)), float(np.vdot(a[:, 0], b[:, 1]) - np.vdot(a[:, 1], b[:, 0]))
    turn = np.array([[along, -across], [across, along]], np.float32) / np.float32(np.vdot(a, a))
    return turn, goal - turn @ mean


def _moved(box: Array, turn: Array, shift: Array) -> Array:
    moved = turn @ box
    moved[:, 2] += shift
    return np.asarray(moved, np.float32)


def to_patch(box: Array, points: Array) -> Array:
    """Canvas pixels `[K, 2]` to pixels of the patch with that box."""
    return np.asarray((points - box[:, 2]) @ np.linalg.inv(box[:, :2]).T, np.float32)


def _encode(kind: str, picture: Pixels, options: list[int]) -> bytes:
    return bytes(cv2.imencode(kind, picture, options)[1])


def _decode(data: bytes, mode: int = cv2.IMREAD_COLOR) -> Pixels:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if data else None
    if picture is None:
        raise ValueError("a picture cannot be decoded")
    return np.ascontiguousarray(picture[..., ::-1] if picture.ndim == 3 else picture)


def _check(rig: Rig) -> None:
    """Shapes must fit together."""
    width, height = rig.size
    edge = 2 * rig.margin
    wide = (TEXTURE_SCALE * (height + edge), TEXTURE_SCALE * (width + edge))
    head = rig.head
    right = rig.texture.shape == (*wide, 3) and rig.matte.shape == wide and rig.plate.shape == (height, width, 3)
    right &= rig.points.shape == (478, 3) and head.rest.shape == (478, 3) and head.basis.shape == (52, 478 * 3)
    right &= head.own.shape == (52,) and head.turn.shape == (3,) and head.centre.shape == (2,)
    numbers = (rig.points, rig.to_canvas, head.rest, head.basis, head.own, head.turn, head.centre)
    if not right or not all(np.isfinite(item).all() for item in numbers) or not 1 < head.px_per_cm < 1000:
        raise ValueError("its parts do not fit together")


def _smoothstep(x: Array) -> Array:
    return x * x * (3 - 2 * x)
