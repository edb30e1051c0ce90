"""`mesh`: a geometric portrait renderer, one photo posed by motion.

The tracked points of the photo are lifted to 3D with the face model's depth, moved by the model's expression basis,
turned with the head, and projected back; the photo is warped accordingly. It needs no training on the person and is the
floor on which neural renderers must improve.

Notable choices: at the photo's own expression the output is the photo, but for resampling (mean difference on the
embedded portrait 0.4 of 255), because points are lifted along their own rays; five layers are painted in order: still
background, person moved by a smooth field (`layers`), face as a triangle mesh with depth (`raster`), eyeballs under the
lids (`eyes`) and the mouth's interior (`mouth`). Coefficients of lips and jaw mean the same on every photo (0 is a shut
mouth, whatever the photo shows); all others add to the photo's own expression.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from liveface.errors import MotionMismatch
from liveface.motion.face_model import FaceModel
from liveface.render import correction
from liveface.render.canvas import TEXTURE_SCALE, check_size, frame_portrait
from liveface.render.eyes import EYEBALL_RADIUS_CM, Eyeball, close_lids, lid_margins, paint_over, untouched
from liveface.render.head import Head, fit_head, person_matte
from liveface.render.layers import PersonLayer, add_wisps, fill_behind, refine_matte
from liveface.render.mouth import MouthInterior
from liveface.render.raster import TriangleWarp
from liveface.render.topology import (
    IRIS,
    LIP_CORNERS,
    LIP_LOWER,
    LIP_OUTER,
    LIP_UPPER,
    OVAL,
    eye_ring,
    lip_ring,
    skin_triangles,
)
from liveface.signals.face import find_face
from liveface.types import (
    ARKIT_INDEX,
    ARKIT_NAMES,
    Array,
    Frame,
    Motion,
    MotionSpec,
    Pixels,
    State,
    arkit_spec,
)

HIDDEN_FACING = 0.15  # cosine to the line of sight below which a point's skin is not seen well enough, chosen
UNCOVER_TURN = 0.25  # radians of turn after which hidden skin is drawn wholly from its border, chosen
SEAM_OPEN_CM = 0.4  # lips farther apart than this no longer share a line, chosen
WISP_REACH_CM = 2.5  # loose hair is looked for this far from the person; plain walls measured 2.2 to 2.5, others 67+
OWN_MOUTH_REACH = (0.05, 0.25)  # distance of jaw and lip coefficients from the photo's: its own mouth, not any more
ABSOLUTE = tuple(
    name
    for name in ARKIT_NAMES
    if name.startswith(("jaw", "mouth")) and not name.startswith(("mouthSmile", "mouthDim"))
)
"""Coefficients whose zero is the same face on every photo: jaw and lips without the smile."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One frame and what is known of it.

    Attributes:
        pixels: uint8 `[H, W, 3]`.
        points: float32 `[478, 3]`, see `MeshRenderer.points`.
        matte: uint8 `[H, W]`, where the person is.
    """

    pixels: Pixels
    points: Array
    matte: Pixels


class MeshRenderer:
    """Renders motion onto one photo.

    Args:
        pixels: uint8 `[h, w, 3]` sRGB photo with a face.
        size: width and height of the output in pixels, even.
        face: which face to take when there are several, 1 for the largest; None takes the largest.
        corrected: whether points are drawn where a tracker would see them, see `liveface.render.correction`.

    Attributes:
        needs: any rate will do; frames come at the rate of the motion.
        faces: how many faces the photo has.
        photo: motion (`T = 1`) that shows the photo as it is, with its absolute pose and its tracked points.

    Raises:
        FaceError: no usable face.
    """

    delay = 0

    def __init__(
        self,
        pixels: Pixels,
        size: tuple[int, int] = (360, 640),
        *,
        face: int | None = None,
        corrected: bool = True,
    ) -> None:
        self._correction = correction.shipped() if corrected else None
        tracked, self.faces = find_face(pixels, face)
        check_size(size)
        self.needs: MotionSpec = arkit_spec()
        self._model = FaceModel.load()
        self.canvas = frame_portrait(pixels, tracked.points, size)
        self._rig = fit_head(self.canvas, self._model)
        points, ppc = self.canvas.points, self._rig.px_per_cm
        texture = self.canvas.texture
        matte = refine_matte(texture, person_matte(self.canvas))
        reach = WISP_REACH_CM * ppc * TEXTURE_SCALE
        matte, plain = add_wisps(texture, matte, reach)
        plate = fill_behind(texture, matte, reach if plain else 12.0)
        rings = [self.canvas.to_texture(points[ring, :2]) for ring in (eye_ring(0), eye_ring(1), lip_ring())]
        below = paint_over(texture, rings, 0.08 * float(np.linalg.norm(rings[0][0] - rings[0][8])))
        self._person = PersonLayer(self.canvas, matte, self._rig.rest[:, 2], ppc, below, plate)
        self._nodes = self._rig.lift(self._person.nodes, self._person.depth_cm)
        source = self.canvas.to_texture(points[:, :2])
        self._mouth = MouthInterior(texture, np.column_stack([source, points[:, 2:] * TEXTURE_SCALE]))
        self._lips = _Lips(self._rig, self._model, open_in_photo=not self._mouth.shut)
        if not self._lips.open_in_photo:  # shut lips are the person's own shape, whatever the fit calls it
            self._rig.own[[ARKIT_INDEX[name] for name in ABSOLUTE]] = 0
        triangles = skin_triangles(self._model.triangles)
        if not self._lips.open_in_photo:
            triangles = np.concatenate([triangles, _lip_strip()])
        self._sampled = self._sample_points(points[:, :2])
        self._own_lips = source - self._sampled
        self._own_mouth = TriangleWarp(texture, source, _lip_strip(), size, _folding(), lip_ring(), 1.0)
        self._lid_margins = lid_margins(source)
        seen = seen_texture(points[:, :2], self._rig.rest, self._model.triangles, float(self._rig.turn[1]))
        self._uncovered = self._sample_points(seen) - self._sampled
        self._skin = TriangleWarp(texture, self._sampled, triangles, size, _folding(), OVAL)
        self._eyes = [Eyeball(self.canvas, eye, ppc) for eye in (0, 1)]
        self.photo = Motion(
            _absolute_only(self._rig.own)[None],
            np.pad(self._rig.turn, (0, 3))[None],
            np.zeros((1, 4), np.float32),
            landmarks=points[None, :, :2],
        )

    def _sample_points(self, moved: Array) -> Array:
        sampled = self.canvas.to_texture(moved)
        return lip_texture(self.canvas.texture, sampled) if self._lips.open_in_photo else sampled

    def start(self) -> State:
        """A fresh state: the index of the next frame."""
        return {"index": np.zeros((), np.int64)}

    def step(self, state: State, motion: Motion) -> tuple[State, list[Frame]]:
        """Render every frame of `motion`; head rotation and shift are relative to the photo's own pose."""
        if motion.spec.expression != ARKIT_NAMES:
            raise MotionMismatch(
                f"the mesh renderer needs {self.needs.name}, not {motion.spec.name}; convert it first."
            )
        index = int(state["index"])
        frames = [
            Frame(self._draw(motion.expression[at], motion.head[at], motion.gaze[at]), index + at, motion.fps)
            for at in range(len(motion))
        ]
        return {"index": np.asarray(index + len(motion))}, frames

    def draw(self, motion: Motion) -> Drawn:
        """One frame of motion, its points and its matte, at little more than the cost of the frame."""
        posed = self._pose(motion.expression[0], motion.head[0])
        matte = np.zeros(self.canvas.size[::-1], np.uint8)
        points = self._with_gaze(posed, motion.gaze[0])
        return Drawn(self._paint(posed, motion.expression[0], motion.head[0], motion.gaze[0], matte), points, matte)

    def _draw(self, expression: Array, head: Array, gaze: Array) -> Pixels:
        return self._paint(self._pose(expression, head), expression, head, gaze)

    def _paint(self, pose: _Pose, expression: Array, head: Array, gaze: Array, matte: Pixels | None = None) -> Pixels:
        rig = self._rig
        points, rigid, nodes, posed = pose
        shift = head[3:5] * rig.px_per_cm
        picture = self._person.paint(nodes, points[OVAL], rigid[OVAL], shift, matte)
        uncover = np.float32(min(abs(float(head[1])) / UNCOVER_TURN, 1.0))
        sampled = self._sampled + self._uncovered * uncover
        looks = (gaze[2:], gaze[:2])  # the image's left eye is the person's right
        as_seen = [untouched(expression, look, eye) for eye, look in enumerate(looks)]
        for eye in (0, 1):
            sampled[eye_ring(eye)] += self._lid_margins[eye_ring(eye)] * np.float32(1 - as_seen[eye])
        lips_seen = self._lips.untouched(expression)
        sampled += self._own_lips * np.float32(lips_seen)
        self._skin.paint(picture, points, posed[:, 2], sampled)
        for eye, ball in enumerate(self._eyes):
            ball.paint(picture, points, rigid, looks[eye], as_seen[eye])
        if lips_seen < 1:
            own = picture.copy() if lips_seen > 0 else picture
            marks = np.column_stack([points, posed[:, 2] * rig.px_per_cm]).astype(np.float32)
            self._mouth.paint(picture, marks, float(expression[ARKIT_INDEX["jawOpen"]]))
        if lips_seen > 0:
            self._own_mouth.paint(own if lips_seen < 1 else picture, points, posed[:, 2])
        return picture if lips_seen in (0, 1) else cv2.addWeighted(own, lips_seen, picture, 1 - lips_seen, 0)

    @property
    def plate(self) -> Pixels:
        """The background without the person, uint8 `[H, W, 3]`."""
        return self._person.plate

    def matte(self, state: State, motion: Motion) -> Pixels:
        """Where the person is in the picture that `step` makes of one frame of motion, uint8 `[H, W]`."""
        del state
        points, rigid, nodes, _ = self._pose(motion.expression[0], motion.head[0])
        return self._person.matte(nodes, points[OVAL], rigid[OVAL], motion.head[0, 3:5] * self._rig.px_per_cm)

    def points(self, motion: Motion) -> Array:
        """Where one frame of motion puts the tracked points: `[478, 3]` canvas pixels, z away from the camera.

        Irises go where the eyeballs are painted to look.
        """
        return self._with_gaze(self._pose(motion.expression[0], motion.head[0]), motion.gaze[0])

    def _with_gaze(self, pose: _Pose, gaze: Array) -> Array:
        rig = self._rig
        points, rigid, _, posed = pose
        points = points.copy()
        for eye, look in enumerate((gaze[2:], gaze[:2])):  # the image's left eye is the person's right
            points[IRIS[eye]] = (
                rigid[IRIS[eye]] + np.sin(np.clip(look[::-1], -0.6, 0.6)) * EYEBALL_RADIUS_CM * rig.px_per_cm
            )
        return np.column_stack([points, posed[:, 2] * rig.px_per_cm]).astype(np.float32)

    def _pose(self, expression: Array, head: Array) -> _Pose:
        """Canvas pixels of the points, of the same without expression, and of the person's grid; points in cm."""
        rig = self._rig
        formed = self._form(expression)
        posed = rig.pose(np.concatenate([formed, rig.rest, self._nodes]), head)
        points, rigid, nodes = np.split(rig.project(posed), [len(formed), 2 * len(formed)])
        if self._correction is not None:
            moved = self._correction(self.canvas.points[:, :2], points)
            rigid = rigid.copy()
            for eye in (0, 1):  # eyeballs go with their lids
                rigid[[*IRIS[eye], *eye_ring(eye)]] += (moved - points)[IRIS[eye][0]]
            points = moved
        return points, rigid, nodes, posed[: len(formed)]

    def _form(self, expression: Array) -> Array:
        """The photo's points `[478, 3]` with an expression, before the head moves."""
        change = relative_expression(expression, self._rig.own)
        formed = self._rig.rest + (change @ self._rig.basis).reshape(-1, 3)
        self._lips.shape(formed, expression)
        close_lids(formed, expression)
        return formed


def relative_expression(expression: Array, own: Array) -> Array:
    """What to add to a photo that already shows `own`, both `[52]`.

    Lips and jaw are absolute: the photo's own opening is taken back. All others add to it, less the more it has.
    """
    return expression * (1 - np.clip(own - _absolute_only(own), 0, 0.9)) - _absolute_only(own)


def _absolute_only(expression: Array) -> Array:
    """`[52]` with all but the absolute coefficients at 0."""
    kept = np.zeros_like(expression)
    absolute = [ARKIT_INDEX[name] for name in ABSOLUTE]
    kept[absolute] = expression[absolute]
    return kept


_Pose = tuple[Array, Array, Array, Array]
"""See `MeshRenderer._pose`."""


class _Lips:
    """Keeps the inner lips at the distance the coefficients ask for."""

    def __init__(self, rig: Head, model: FaceModel, *, open_in_photo: bool) -> None:
        self._model_up = np.asarray(model.expression[:, LIP_UPPER])
        self._model_low = np.asarray(model.expression[:, LIP_LOWER])
        self.open_in_photo = open_in_photo
        self._own = _absolute_only(rig.own)
        self._own_gap = rig.rest[LIP_LOWER] - rig.rest[LIP_UPPER]
        self._spread_up = _spread(rig.rest, LIP_UPPER, _upper_lip())
        self._spread_low = _spread(rig.rest, LIP_LOWER, _lower_lip())
        across = rig.rest[LIP_UPPER] - rig.rest[LIP_CORNERS].mean(0)
        width = np.linalg.norm(rig.rest[LIP_CORNERS[1]] - rig.rest[LIP_CORNERS[0]])
        self._arch = np.sqrt(np.clip(1 - (np.linalg.norm(across, axis=1) / (width / 2)) ** 2, 0.02, 1))
        self._down = rig.rest[152] - rig.rest[10]
        self._down /= np.linalg.norm(self._down)
        own = np.maximum(self._opening(self._own), 0)
        self._own_opening = float(own.max())
        self._unexplained = self._own_gap - own[:, None] * self._down

    def shape(self, formed: Array, expression: Array) -> None:
        """Move the lips of `formed` `[478, 3]` so that their gap is the model's, in place."""
        along = self._opening(expression)
        wanted = np.maximum(along, 0)[:, None] * self._down
        if self.open_in_photo:  # at the photo's own expression the lips are where the photo has them
            share = np.clip(along.max() / max(self._own_opening, 1e-3), 0, 1)
            wanted = wanted + self._unexplained * share
        else:
            wanted = wanted + self._own_gap
        missing = wanted - (formed[LIP_LOWER] - formed[LIP_UPPER])
        seam = self._level(formed) * (1 - min(float(along.max()) / SEAM_OPEN_CM, 1.0)) if self.open_in_photo else 0
        formed[_upper_lip()] += self._spread_up @ (seam - missing / 2)
        formed[_lower_lip()] += self._spread_low @ (seam + missing / 2)

    def untouched(self, expression: Array) -> float:
        """How much an open mouth is as in the photo, so that its own pixels serve: 1 there, 0 a little way off."""
        if not self.open_in_photo:
            return 0.0
        away = float(np.linalg.norm(_absolute_only(expression) - self._own))
        return float(np.clip((OWN_MOUTH_REACH[1] - away) / (OWN_MOUTH_REACH[1] - OWN_MOUTH_REACH[0]), 0, 1))

    def _opening(self, expression: Array) -> Array:
        """How far the model's lips are apart, `[9]` centimetres, corner to corner."""
        along = np.einsum("e,ek->k", expression, self._model_low[..., 1] - self._model_up[..., 1])
        along = np.convolve(np.pad(along, 1), (0.25, 0.5, 0.25), "valid")
        return np.minimum(along, along.max() * self._arch)  # the opening is round, neither pointed nor square

    def _level(self, formed: Array) -> Array:
        """Shifts `[9, 3]` that lead the line where the lips meet straight into the corners of the mouth."""
        line = np.concatenate(
            [formed[LIP_CORNERS[:1]], (formed[LIP_UPPER] + formed[LIP_LOWER]) / 2, formed[LIP_CORNERS[1:]]]
        )
        even = line.copy()
        for _ in range(3):
            even[1:-1] = (even[:-2] + 2 * even[1:-1] + even[2:]) / 4
        return (even - line)[1:-1]


def seen_texture(points: Array, shape: Array, triangles: np.ndarray, yaw: float) -> Array:
    """Where to sample the skin: `[478, 2]` points, those the photo does not see moved to the nearest that it sees.

    When a head turns back from its pose in the photo, cheek appears that was hidden; it is drawn from its border.

    Args:
        points: `[478, 2]` canvas pixels.
        shape: `[478, 3]` lifted points, z away from the camera.
        triangles: `[F, 3]` of the face.
        yaw: how far the photo's head is turned, radians; the more, the less its border is trusted.
    """
    one, two, three = (shape[triangles[:, corner]] for corner in range(3))
    normal = np.cross(two - one, three - one)
    normal *= -np.sign(np.median(normal[:, 2]))  # towards the camera is negative z
    at = np.zeros_like(shape)
    for corner in range(3):
        np.add.at(at, triangles[:, corner], normal)
    facing = -at[:, 2] / np.maximum(np.linalg.norm(at, axis=1), 1e-9)
    far_side = shape[:468, 0] * np.sin(yaw) > 0
    visible = facing[:468] >= HIDDEN_FACING + far_side * abs(np.sin(yaw))
    visible |= ~_near_outline(triangles)
    visible |= shape[:468, 1] < shape[[33, 263], 1].mean()  # brows and temples would be drawn out into spikes
    hidden, seen = np.flatnonzero(~visible), np.flatnonzero(visible)
    moved = points.copy()
    if len(hidden) and len(seen):
        distance = np.linalg.norm(shape[hidden][:, None] - shape[seen][None], axis=2)
        near = np.argsort(distance, axis=1)[:, :3]
        weight = 1 / (np.take_along_axis(distance, near, 1) + 0.1)
        moved[hidden] = (points[seen][near] * weight[..., None]).sum(1) / weight.sum(1)[:, None]
    return moved


def _near_outline(triangles: np.ndarray, rings: int = 2) -> np.ndarray:
    """`[468]` bool, the points within `rings` edges of the outline of the face."""
    near = np.zeros(468, bool)
    near[OVAL] = True
    for _ in range(rings):
        near[np.unique(triangles[near[triangles].any(1)])] = True
    return near


def lip_texture(texture: Pixels, points: Array) -> Array:
    """Where to sample the lips of an open mouth: `[478, 2]` texture points with the inner edge moved off the teeth.

    Every inner point walks towards the outer edge of its lip until the picture is nearer to the lip's colour than to
    that of the mouth's interior, so that a shut mouth shows no fringe of teeth.
    """
    moved = points.copy()
    lab = cv2.cvtColor(texture, cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = texture.shape[:2]

    def colour(at: Array) -> Array:
        column, row = np.clip(np.round(at), 0, (width - 1, height - 1)).astype(int).T
        return lab[row, column]

    inside = (points[LIP_UPPER] + points[LIP_LOWER]) / 2
    for inner, outer in ((LIP_UPPER, LIP_OUTER[1:10]), (LIP_LOWER, LIP_OUTER[:10:-1])):
        skin = np.median(colour(points[inner] * 0.4 + points[outer] * 0.6), axis=0)
        for at, edge, middle in zip(inner, outer, inside, strict=True):
            path = points[at] + (points[edge] - points[at]) * np.linspace(0, 0.6, 13)[:, None]
            seen = colour(path)
            towards_lip = np.linalg.norm(seen - colour(middle[None]), axis=1) > np.linalg.norm(seen - skin, axis=1)
            first = int(np.argmax(towards_lip)) if towards_lip.any() else 4
            moved[at] = path[min(first + 1, 12)]
    for inner, outer in zip(LIP_CORNERS, LIP_OUTER[[0, 10]], strict=True):
        moved[inner] = points[inner] * 0.3 + points[outer] * 0.7
    return moved


def _spread(rest: Array, anchors: np.ndarray, members: np.ndarray) -> Array:
    """Weights `[members, anchors]` that carry a shift of the inner edge to the lip around it; 1 on the edge itself."""
    distance = np.linalg.norm(rest[members][:, None] - rest[anchors][None], axis=2)
    near = np.exp(-((distance / 0.45) ** 2))  # centimetres, about half a lip
    share = near / np.maximum(near.sum(1, keepdims=True), 1e-6) * near.max(1, keepdims=True)
    for row, member in enumerate(members):
        if member in anchors:
            share[row] = anchors == member
    return share.astype(np.float32)


def _upper_lip() -> np.ndarray:
    return np.array(
        [*LIP_UPPER, 62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 184, 74, 73, 72, 11, 302, 303, 304, 408]
    )


def _lower_lip() -> np.ndarray:
    return np.array([*LIP_LOWER, 96, 89, 179, 86, 15, 316, 403, 319, 325, 77, 90, 180, 85, 16, 315, 404, 320, 307])


def _folding() -> np.ndarray:
    """`[478]` bool, the vertices of lips and lid edges."""
    members = np.zeros(478, bool)
    for group in (_upper_lip(), _lower_lip(), lip_ring(), eye_ring(0), eye_ring(1)):
        members[group] = True
    return members


def _lip_strip() -> np.ndarray:
    """Triangles `[F, 3]` between the inner lips, for photos whose lips are closed."""
    start, end = LIP_CORNERS.tolist()
    up = [start, *LIP_UPPER.tolist(), end]
    low = [start, *LIP_LOWER.tolist(), end]
    strip = [(up[at], up[at + 1], low[at]) for at in range(1, 10)]
    strip += [(up[at + 1], low[at + 1], low[at]) for at in range(9)]
    return np.array(strip)
