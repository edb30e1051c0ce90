"""Labels measured on the frames: points, then motion without lag.

Notable choices: the solver runs without its filters and every track is smoothed forwards and backwards, so that a
label never trails its frame, while the run time's filters (which must not look ahead) do trail theirs; head and gaze
count from the reference frame, coefficients from the person's own rest, both as in `liveface.driver`. Fitting the
head's shift to the points of nose bridge, eye corners and forehead once more was tried: the warped reference lay on
those points and 0.1 to 2 dB farther from the picture (docs/decisions/packs.md), for brows and lids move them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liveface.driver import widened
from liveface.lipsync import opening
from liveface.motion.solve import DISTANCE_CM, MotionSolver, smoothers
from liveface.signals.face import Face
from liveface.train.faces import face_of
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, Array, Motion, arkit_spec

CALIBRATE_FACES = 100  # frames spread over all takes on which the person is learned
_STEEP = np.array([name.startswith(("mouth", "jaw", "brow", "eyeBlink", "eyeWide")) for name in ARKIT_NAMES])


@dataclass(frozen=True)
class Track:
    """Every frame of a source through the tracker.

    Attributes:
        points: `[T, 478, 3]` pixels of the source's frames; score: `[T]`, 0 where no face was found.
        take: `[T]` number of the take.
        size: width and height of the frames.
        fps: of every take.
    """

    points: Array
    score: Array
    take: npt.NDArray[np.int32]
    size: tuple[int, int]
    fps: float

    def face(self, at: int) -> Face | None:
        """The face of one frame."""
        return face_of(self.points[at], float(self.score[at])) if self.score[at] > 0 else None

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """`[T]` where a face was found."""
        return self.score > 0


@dataclass(frozen=True)
class Raw:
    """Motion as solved frame by frame, unsmoothed: `expression [T, 52]`, `gaze [T, 4]`, and the pose in pixels.

    Attributes:
        angles: `[T, 3]` absolute; shift: `[T, 2]` pixels; scale: `[T]` pixels a centimetre.
    """

    expression: Array
    gaze: Array
    angles: Array
    shift: Array
    scale: Array


def solve(track: Track) -> Raw:
    """Fit every frame; frames without a face repeat the one before (or the first that has one)."""
    seen = np.flatnonzero(track.seen)
    solver = MotionSolver(track.fps, track.size, smooth=False)
    spread = seen[np.unique(np.linspace(0, len(seen) - 1, min(CALIBRATE_FACES, len(seen))).astype(int))]
    solver.calibrate([face_of(track.points[at], 1.0) for at in spread])
    rows: list[tuple[Array, ...]] = []
    for at in seen:
        motion = solver.step(face_of(track.points[at], 1.0))
        pose = solver.pose
        rows.append((
            motion.expression[0], motion.gaze[0], np.array(pose.angles, np.float32),
            np.asarray(pose.shift, np.float32), np.asarray(pose.scale, np.float32),
        ))  # fmt: skip
    back = np.clip(np.searchsorted(seen, np.arange(len(track.score)), "right") - 1, 0, None)
    columns = [np.array(column, np.float32)[back] for column in zip(*rows, strict=True)]
    columns[0] = widened(columns[0])
    return Raw(*columns)


def pick_reference(raw: Raw, points: Array, allowed: npt.NDArray[np.bool_], sharp: Array) -> int:
    """The frame that shows the person at rest: straight, eyes open, mouth shut, where the head mostly is, sharp.

    Args:
        points: `[T, 478, 3]` pixels; parted lips count by them too, for the solver takes what is usual for rest.
        allowed: `[T]` frames to choose from; at least one.
        sharp: `[T]` sharpness of the face.
    """
    usual = np.median(raw.shift[allowed], 0)
    face = 10.0 * np.median(raw.scale[allowed])  # a face is about ten centimetres wide
    lids = raw.expression[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]].max(1)
    middle = np.median(raw.angles[allowed], 0) * 0.5  # people rest where they rest, but straight is better
    cost = (
        4.0 * np.abs(raw.angles - middle).sum(1)
        + 2.0 * lids
        + 3.0 * raw.expression[:, ARKIT_INDEX["jawOpen"]]
        + 0.1 * opening(points)
        + 0.5 * raw.expression[:, _STEEP].sum(1)
        + 2.0 * np.abs(raw.gaze).sum(1)
        + 2.0 * np.linalg.norm(raw.shift - usual, axis=1) / face
        + 2.0 * np.abs(np.log(raw.scale / np.median(raw.scale[allowed])))
        - 0.5 * np.clip(sharp / max(float(np.median(sharp[allowed])), 1e-6), 0, 1.5)
    )
    return int(np.argmin(np.where(allowed, cost, np.inf)))


def label(raw: Raw, track: Track, reference: int) -> Motion:
    """Motion of every frame: smoothed without lag, head and gaze from the reference frame."""
    shift = (raw.shift - raw.shift[reference]) / raw.scale[:, None]
    depth = DISTANCE_CM * (raw.scale[reference] / raw.scale - 1)
    head = np.column_stack([raw.angles, shift, depth]).astype(np.float32)
    tracks = [raw.expression.copy(), head, raw.gaze.copy()]
    for take in np.unique(track.take):
        here = track.take == take
        smoothed = both_ways([values[here] for values in tracks], track.fps)
        for values, part in zip(tracks, smoothed, strict=True):
            values[here] = part
    expression, head, gaze = tracks
    head[:, :3] -= raw.angles[reference]
    gaze = gaze - raw.gaze[reference]
    return Motion(np.clip(expression, 0, 1), head, gaze, arkit_spec(track.fps))


def both_ways(tracks: list[Array], fps: float) -> list[Array]:
    """Expression, head and gaze `[T, D]` through the filters forwards and backwards; the mean of both does not lag."""
    out = []
    for number, values in enumerate(tracks):
        forth, back = smoothers(fps)[number], smoothers(fps)[number]
        ahead = np.array([forth.step(row) for row in values], np.float32)
        behind = np.array([back.step(row) for row in values[::-1]], np.float32)[::-1]
        out.append(np.asarray((ahead + behind) / 2, np.float32))
    return out
