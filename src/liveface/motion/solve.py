"""From tracked points to motion: pose, identity, ARKit coefficients and gaze of one face.

Per frame two Gauss-Newton steps, started from the last frame. The identity and a small personal offset of every point
are learned while the video runs, or beforehand with `calibrate`; so are the person's open eyes, straight gaze and
resting expression, which are what zero means.

Notable choices: lids and gaze are measured directly, from lid gap and iris, because a fit over 468 points never
closes an eye completely; `mouthClose` stays below `jawOpen` by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.errors import FaceError
from liveface.motion.face_model import IRIS, FaceModel, weighted_sum
from liveface.motion.fit import CLOSE, JAW, NOISE_CM, LinearFit, Pose, SeenModes, first_pose, mix, point_weights, unmix
from liveface.motion.one_euro import OneEuro
from liveface.signals.face import Face
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, Array, Motion, arkit_spec

DISTANCE_CM = 60.0  # viewing distance assumed to turn growth of the face into movement along z (chosen)
EYE_RADIUS = 1.08  # cm from the centre of the eye to the plane of the iris; as in the face model
_OPEN_CM = 0.9  # lid gap of an open eye before the person was seen
_CLOSED = 0.25  # lid gap of a closed eye over that of an open one (measured: .0 to .28 on ten people)
_SLACK = 0.08  # a gap this much smaller than usual is not yet a blink
_LOWERED = 0.25  # share of the lid gap that goes when the eye looks down by _PITCH_RANGE (measured)
_PITCH_RANGE, _YAW_RANGE = 0.45, 0.60  # radians of gaze at which eyeLook coefficients reach 1 (chosen)
_ROLLED_CM = 0.25  # gap that rolled or pressed lips hide (chosen)
_JAW_CM = 4.2  # lip gap at jawOpen 1, of the prior
_LOST_CM = 0.6  # rms distance of the points at which the fit is started anew; good fits stay below .1
_MODES = 50  # identity modes that are fitted; further ones are below the noise of the points
_LID_PAIRS = (((386, 374), (385, 380), (387, 373)), ((159, 145), (158, 153), (160, 144)))  # left eye, right eye
_MEASURED = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("eyeLook", "eyeBlink", "eyeWide"))]
_BLINKS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
_TONGUE = ARKIT_INDEX["tongueOut"]
_PORTION = 3.0  # independent points that one more frame adds to the identity; frames err together (chosen)
_RIDGE, _SPARSE = 3.0, 1.5  # prior on coefficients: curvature and pull to zero, in the units of `fit.WITNESSES`
# Weak evidence needs strong priors: seen from the front these hardly move any point sideways.
_SHY = {"jawForward": 12.0, "cheekPuff": 6.0, "cheekSquintLeft": 3.0, "cheekSquintRight": 3.0,
        "noseSneerLeft": 2.0, "noseSneerRight": 2.0, "mouthShrugUpper": 2.0, "mouthShrugLower": 2.0,
        "mouthClose": 3.0}  # fmt: skip
# Movements that undo each other: using both at once is never cheaper than their difference.
_RIVALS = tuple(
    (ARKIT_INDEX[one], ARKIT_INDEX[other])
    for one, other in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("mouthSmileLeft", "mouthFrownLeft"),
                       ("mouthSmileRight", "mouthFrownRight"), ("browDownLeft", "browOuterUpLeft"),
                       ("browDownRight", "browOuterUpRight"))
)  # fmt: skip
# What a face at rest may show of each movement without meaning it; taken off as the person's neutral.
_REST_LIMIT = {
    "brow": 0.35,
    "eyeSquint": 0.4,
    "mouthSmile": 0.15,
    "mouth": 0.25,
    "nose": 0.3,
    "cheek": 0.3,
    "jaw": 0.25,
}


def expression_priors(more: int = 0) -> tuple[Array, Array]:
    """Curvature `[N, N]` and pull `[N]` of the prior on 52 mixed coefficients and `more` unit-variance values."""
    scale = np.array([_SHY.get(name, 1.0) for name in ARKIT_NAMES], np.float32)
    curvature = np.diag(np.concatenate([_RIDGE * scale, np.ones(more)])).astype(np.float32)
    for one, other in _RIVALS:
        curvature[one, other] = curvature[other, one] = _RIDGE
    return curvature, np.concatenate([-_SPARSE * scale, np.zeros(more)]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class PhotoFit:
    """A face model fitted to one picture.

    Attributes:
        identity: `[I]` standard deviations; offset: `[478, 3]` cm, what the modes leave, seen from the photo's side.
        expression: `[52]` ARKit coefficients; gaze: `[4]` radians, as in `Motion`.
        head: `[3]` pitch, yaw and roll in radians; scale: pixels per cm at the head's centre; translation: `[2]`
            pixels, where the head's centre lies.
        pose: the same as one object, with `project`.
    """

    identity: Array
    offset: Array
    expression: Array
    gaze: Array
    head: Array
    scale: float
    translation: Array
    pose: Pose


@dataclass(frozen=True, slots=True)
class Eyes:
    """What is read directly off lids and irises: gaps `[2]` cm, left then right, and gaze `[4]` radians."""

    gap_cm: Array
    gaze: Array


def read_eyes(points: Array, pose: Pose, centres: Array) -> Eyes:
    """Lid gaps and gaze of a posed head.

    Args:
        points: `[478, 2]` pixels; centres: `[2, 3]` cm, the centres of the eyeballs, left then right.
    """
    gaps, gaze = [], []
    down = pose.rotation[:2, 1]  # the head's own down, as seen; shorter than 1 when the head is pitched
    squash = max(float(np.linalg.norm(down)), 0.5)
    for eye in range(2):
        upper = points[[pair[0] for pair in _LID_PAIRS[eye]]]
        lower = points[[pair[1] for pair in _LID_PAIRS[eye]]]
        to_cm = 1 / pose.scale
        gaps.append(float(((lower - upper) @ down).mean()) * to_cm / squash**2)
        iris = points[IRIS[eye]].mean(0)
        across = (iris - pose.shift) * to_cm - pose.rotation[:2] @ centres[eye]
        length = float(np.hypot(*across))
        across = across * min(1.0, 0.9 * EYE_RADIUS / max(length, 1e-6))
        ahead = np.array([across[0], across[1], -np.sqrt(EYE_RADIUS**2 - across @ across)])
        x, y, z = pose.rotation.T @ ahead / EYE_RADIUS
        gaze += [float(np.arcsin(np.clip(y, -1, 1))), float(np.arctan2(x, -z))]
    return Eyes(np.array(gaps, np.float32), np.array(gaze, np.float32))


def look(gaze: Array) -> dict[str, float]:
    """The eight eyeLook coefficients of a gaze `[4]`; looking in is towards the nose."""
    found = {}
    for side, inward, (pitch, yaw) in (("Left", -1, gaze[:2]), ("Right", 1, gaze[2:])):
        found[f"eyeLookDown{side}"] = float(np.clip(pitch / _PITCH_RANGE, 0, 1))
        found[f"eyeLookUp{side}"] = float(np.clip(-pitch / _PITCH_RANGE, 0, 1))
        found[f"eyeLookIn{side}"] = float(np.clip(inward * yaw / _YAW_RANGE, 0, 1))
        found[f"eyeLookOut{side}"] = float(np.clip(-inward * yaw / _YAW_RANGE, 0, 1))
    return found


def lids(gap_cm: Array, open_cm: Array, gaze: Array) -> dict[str, float]:
    """Coefficients eyeBlink and eyeWide from lid gaps `[2]` and the gaps of the person's open eyes `[2]`.

    A lid follows the eye when it looks down; that part of the gap is eyeLookDown's, not a blink.
    """
    found = {}
    for eye, side in enumerate(("Left", "Right")):
        lowered = 1 - _LOWERED * float(np.clip(gaze[2 * eye] / _PITCH_RANGE, 0, 1))
        start, end = open_cm[eye] * lowered * (1 - _SLACK), open_cm[eye] * _CLOSED
        found[f"eyeBlink{side}"] = float(np.clip((start - gap_cm[eye]) / max(start - end, 1e-3), 0, 1))
        found[f"eyeWide{side}"] = float(np.clip((gap_cm[eye] / open_cm[eye] - 1 - _SLACK) / 0.35, 0, 1))
    return found


def jaw_limit(points: Array, pose: Pose) -> float:
    """The largest opening of the jaw that a gap between the lips allows, so that closed lips mean a closed jaw.

    Without it the length of a chin is taken for an open jaw. Lips may roll or press inwards and hide some opening.
    """
    down = pose.rotation[:2, 1]
    squash = max(float(np.linalg.norm(down)), 0.5)
    pairs = ((13, 14), (82, 87), (312, 317))
    gap = max(float((points[low] - points[up]) @ down) for up, low in pairs) / pose.scale / squash**2
    return float(np.clip((gap + _ROLLED_CM) / _JAW_CM * 1.15, 0.05, 1.0))


def _bounds(measured: dict[str, float]) -> Array:
    """Low and high `[2, 52]`: 0 to 1, and the measured coefficients fixed at their values."""
    bounds = np.zeros((2, 52), np.float32)
    bounds[1] = 1.0
    bounds[1, _TONGUE] = 0.0
    for name, value in measured.items():
        bounds[:, ARKIT_INDEX[name]] = value
    return bounds


def solve_photo(face: Face, size: tuple[int, int], model: FaceModel | None = None) -> PhotoFit:
    """Pose, identity and expression of a face in one picture of `size` (width, height), eyes taken as open.

    Raises:
        FaceError: the points do not look like a face.
    """
    return fit_photo(face.points[:, :2], model or FaceModel.load(), size)


def fit_photo(points: Array, model: FaceModel, size: tuple[int, int], rounds: int = 6) -> PhotoFit:
    """`solve_photo` on points `[478, 2]`."""
    modes = model.identity[:_MODES]
    fit = LinearFit(np.concatenate([model.expression, modes]))
    priors = expression_priors(len(modes))
    values = np.zeros(52 + len(modes), np.float32)
    pose = first_pose(points, model.mean, point_weights())
    gaze, measured = np.zeros(4, np.float32), {name: 0.0 for name in (ARKIT_NAMES[i] for i in _MEASURED)}
    for _ in range(rounds):
        identity = values[52:]
        eyes = read_eyes(points, pose, model.eyes(identity))
        gaze = _together(eyes.gaze)
        measured |= look(gaze) | lids(eyes.gap_cm, np.maximum(eyes.gap_cm, 0.6 * _OPEN_CM), gaze)
        wall = np.full((2, len(modes)), 3.0, np.float32) * [[-1], [1]]
        bounds = np.concatenate([_bounds(measured), wall], 1)
        bounds[1, JAW] = jaw_limit(points, pose)
        pose, values = fit.step(points, model.mean, pose, values, priors, bounds)
    if not np.isfinite(values).all() or pose.scale <= 0:
        raise FaceError(
            f"the {len(points)} points in this {size[0]}x{size[1]} picture do not form a face; use another."
        )
    identity = values[52:].astype(np.float32)
    expression = unmix(values)
    offset = _unexplained(points, pose, model.points(identity, expression))
    head = np.array(pose.angles, np.float32)
    return PhotoFit(identity, offset, expression, gaze, head, pose.scale, pose.shift, pose)


def _unexplained(points: Array, pose: Pose, shape: Array) -> Array:
    """What the fit leaves of every point, `[478, 3]` cm in the face frame, across the line of sight; irises 0."""
    left = pose.flatten(points) - shape @ pose.rotation[:2].T
    offset = left @ pose.rotation[:2]
    offset[468:] = 0
    return np.asarray(offset, np.float32)


def _together(gaze: Array) -> Array:
    """Both eyes look the same way up and nearly the same way across; averaging halves the noise."""
    pitch, yaw = (gaze[0] + gaze[2]) / 2, (gaze[1] + gaze[3]) / 2
    apart = np.clip((gaze[3] - gaze[1]) / 2, -0.05, 0.15) * 0.5  # right eye's yaw exceeds the left's when they converge
    return np.array([pitch, yaw - apart, pitch, yaw + apart], np.float32)


class Person:
    """What is learned about one person while frames go by: identity, offsets, open eyes, straight gaze, rest."""

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.frames = 0
        self._modes = model.identity[:_MODES]
        self.identity = np.zeros(len(self._modes), np.float32)
        self.offset = np.zeros((478, 3), np.float32)
        self.open_cm = np.full(2, _OPEN_CM, np.float32)
        self.straight = np.zeros(4, np.float32)
        self.rest = np.zeros(52, np.float32)
        self.base, self.centres = model.mean, model.eye_centre
        self._weights = (point_weights() * (_PORTION / NOISE_CM**2 / point_weights().sum())).astype(np.float32)
        self._seen = SeenModes(self._modes, self._weights)
        self._matrix = np.eye(len(self._modes), dtype=np.float32)
        self._vector = np.zeros(len(self._modes), np.float32)
        self._history: list[Array] = []
        self._limit = np.array([_rest_limit(name) for name in ARKIT_NAMES], np.float32)

    def begin(self, photo: PhotoFit) -> None:
        """Start from a fit of the first frame."""
        self.identity = photo.identity
        self._matrix = np.eye(len(self._modes), dtype=np.float32) * 3  # the first guess counts like a few frames
        self._vector = self._matrix @ photo.identity
        self._refresh()

    def learn(self, points: Array, pose: Pose, expression: Array, eyes: Eyes) -> None:
        """Take one fitted frame into account; the more frames were seen, the less one changes."""
        self.frames += 1
        shown = weighted_sum(expression, self.model.expression)
        shape = self.base + shown
        flat = pose.flatten(points)
        rows = pose.rotation[:2]
        seen, matrix = self._seen.from_front(rows)
        aim = (flat - (self.model.mean + shown) @ rows.T).T * self._weights
        self._matrix = self._matrix + matrix
        self._vector = self._vector + np.einsum("ank,ak->n", seen, aim)
        if self.frames <= 60 or self.frames % 5 == 0:
            self.identity = np.asarray(np.linalg.solve(self._matrix, self._vector), np.float32)
        self.offset += (_unexplained(points, pose, shape)) / (min(self.frames, 300) + 15)
        self._refresh()
        if self.frames <= 30 or self.frames % 3 == 0:
            self._history.append(np.concatenate([eyes.gap_cm, eyes.gaze, expression]))
            del self._history[:-600]
        if self.frames <= 30 or self.frames % 10 == 0:
            self._summarise()

    def _refresh(self) -> None:
        self.base = self.model.points(self.identity) + self.offset
        self.centres = self.model.eyes(self.identity)

    def _summarise(self) -> None:
        """Open eyes, straight gaze and resting expression from what was seen so far."""
        seen = np.stack(self._history)
        count = len(seen)
        known = count / (count + 4)
        typical = np.percentile(seen[:, :2], 65, axis=0)
        self.open_cm = np.asarray(known * np.clip(typical, 0.45, 1.5) + (1 - known) * _OPEN_CM, np.float32)
        straight = np.clip(np.median(seen[:, 2:6], 0), -0.2, 0.2) * count / (count + 20)
        self.straight = straight.astype(np.float32)
        low = np.percentile(seen[:, 6:], 15, axis=0)
        low[JAW] = np.percentile(seen[:, 6 + JAW], 4)  # mouths that are mostly open still close now and then
        self.rest = np.asarray(np.minimum(low, self._limit) * count / (count + 20), np.float32)


def _rest_limit(name: str) -> float:
    return next((limit for start, limit in _REST_LIMIT.items() if name.startswith(start)), 0.0)


def smoothers(fps: float) -> tuple[OneEuro, OneEuro, OneEuro]:
    """The filters of expression, head and gaze at a rate."""
    mouth = np.array([name.startswith(("jaw", "mouth", "tongue")) for name in ARKIT_NAMES])
    cutoff = np.where(mouth, 6.0, 3.5).astype(np.float32)
    cutoff[_MEASURED] = 5.0
    cutoff[_BLINKS] = 10.0  # a lid shuts within two or three frames
    head_cutoff, head_slope = [2, 2, 2, 1.5, 1.5, 1], [20, 20, 20, 1.5, 1.5, 0.7]
    head = OneEuro(fps, np.array(head_cutoff, np.float32), np.array(head_slope, np.float32))
    return OneEuro(fps, cutoff, 6.0), head, OneEuro(fps, 2.5, 12.0)


class MotionSolver:
    """Turns the tracked faces of one person, frame by frame, into `Motion`.

    Rotation is absolute; translation counts from the first frame. Coefficients count from the person's own rest.
    """

    def __init__(
        self, fps: float, size: tuple[int, int], model: FaceModel | None = None, *, smooth: bool = True
    ) -> None:
        """`fps` of the frames, `size` their width and height in pixels; without `smooth` nothing lags, all trembles."""
        self.size = size
        self.spec = arkit_spec(fps)
        self.model = model or FaceModel.load()
        self.person = Person(self.model)
        self._fit = LinearFit(self.model.expression)
        self._priors = expression_priors()
        self._pose: Pose | None = None
        self._origin: Pose | None = None
        self._values = np.zeros(52, np.float32)
        self._gaze = np.zeros(4, np.float32)
        self._learning = True
        self._last = Motion.rest(1, fps)
        self._smoothing = smooth
        self._start_filters()

    def _start_filters(self) -> None:
        self._filters = smoothers(self.spec.fps) if self._smoothing else None

    @property
    def pose(self) -> Pose:
        """The pose of the last frame."""
        if self._pose is None:
            raise FaceError("no frame was solved yet; expected at least one call of step.")
        return self._pose

    @property
    def shape(self) -> Array:
        """The fitted face `[478, 3]` of the last frame, in centimetres and not turned."""
        return self._fit.shape(self.person.base, self._values)

    def calibrate(self, faces: list[Face]) -> None:
        """Learn the person from these frames (a few seconds, or frames spread over a clip) and keep it fixed."""
        for _ in range(2):
            self._pose = None
            for face in faces:
                self.follow(face.points[:, :2])
        self._learning = False
        self._pose = self._origin = None
        self._start_filters()

    def step(self, face: Face | None) -> Motion:
        """The motion (`T = 1`) of one frame; when no face was found the last one is held."""
        if face is None:
            return self._last
        points = face.points[:, :2]
        raw, gaze = self.follow(points)
        self._origin = self._origin or self.pose
        rest = self.person.rest
        expression = np.clip((raw - rest) / (1 - rest), 0, 1)
        for one, other in _RIVALS[:2]:
            expression[[one, other]] -= min(expression[one], expression[other])
        expression[CLOSE] = min(expression[CLOSE], expression[JAW])
        head = np.array([*self.pose.angles, *self._translation(self.pose, self._origin)], np.float32)
        if self._filters:
            tracks = zip(self._filters, (expression, head, gaze), strict=True)
            expression, head, gaze = (smoother.step(track) for smoother, track in tracks)
        self._last = Motion(
            np.clip(expression, 0, 1)[None],
            head[None],
            gaze[None],
            self.spec,
            points[None].astype(np.float32),
        )
        return self._last

    @staticmethod
    def _translation(pose: Pose, origin: Pose) -> Array:
        """Centimetres from where the head was first: right, down, away."""
        x, y = (pose.shift - origin.shift) / pose.scale
        return np.array([x, y, DISTANCE_CM * (origin.scale / pose.scale - 1)], np.float32)

    def follow(self, points: Array) -> tuple[Array, Array]:
        """Fit one frame; raw coefficients `[52]` and gaze `[4]`, before rest is taken off and before smoothing."""
        person = self.person
        if self._pose is None:
            photo = fit_photo(points, self.model, self.size)
            if not person.frames:
                person.begin(photo)
            self._pose, self._values = photo.pose, mix(photo.expression)
        eyes = self._refine(points, 2)
        if self._misfit_cm(points) > _LOST_CM:  # a cut or a leap: the last frame is no start
            self._pose, self._values = first_pose(points, person.base, point_weights()), np.zeros(52, np.float32)
            eyes = self._refine(points, 5)
        raw = unmix(self._values)
        if self._learning and self._misfit_cm(points) < _LOST_CM:
            person.learn(points, self.pose, raw, eyes)
        return raw, self._gaze

    def _refine(self, points: Array, rounds: int) -> Eyes:
        """Gauss-Newton from the present pose and coefficients, eyes measured anew in each round."""
        person, pose = self.person, self.pose
        for _ in range(rounds):
            eyes = read_eyes(points, pose, person.centres)
            gaze = _together(eyes.gaze) - person.straight
            if (eyes.gap_cm < 0.4 * person.open_cm).any():
                gaze = self._gaze  # a closing lid hides the iris
            bounds = _bounds(look(gaze) | lids(eyes.gap_cm, person.open_cm, gaze))
            bounds[1, JAW] = jaw_limit(points, pose)
            pose, self._values = self._fit.step(points, person.base, pose, self._values, self._priors, bounds)
        self._pose, self._gaze = pose, gaze
        return eyes

    def _misfit_cm(self, points: Array) -> float:
        left = self.pose.flatten(points[:468]) - self.shape[:468] @ self.pose.rotation[:2].T
        return float(np.sqrt((left**2).sum(1).mean()))


def solve_seen(solver: MotionSolver, points: Array) -> tuple[Array, Array, Array]:
    """Fit one frame of a known person, for training: raw coefficients and what identity and coefficients leave.

    Returns: expression `[52]`, the upper two rows of the rotation `[2, 3]`, and the leftover `[2, 478]` in cm, from
    which the personal offset has not been taken.
    """
    raw, _ = solver.follow(points)
    pose, person = solver.pose, solver.person
    shape = solver.model.points(person.identity, raw)
    left = pose.flatten(points) - shape @ pose.rotation[:2].T
    return raw, pose.rotation[:2], np.asarray(left.T, np.float32)


def residual_percent(points: Array, pose: Pose, shape: Array) -> float:
    """Mean distance of the mesh points from a fitted face, in percent of the inter-ocular distance.

    The inter-ocular distance is 0.7 times that of the outer eye corners, everywhere in this project.
    """
    distance = np.linalg.norm(points[:468] - pose.project(shape)[:468], axis=1).mean()
    return float(100 * distance / (0.7 * np.linalg.norm(points[263] - points[33])))
