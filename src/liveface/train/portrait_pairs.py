"""Which frames the portrait pack pairs, and the motion that leads from one to the other.

The motion is the run time's own: the solver calibrated on its person, the driver's factors (`driver.widened`), counted
from the frame that plays the photo as `driver.begin_at` counts it. So what is drawn of it errs as the product errs.

Notable choices: targets are chosen for what changes most (mouth, lids, turn, gaze), a few seconds around the source and
within one shot; two of three are smoothed as in the driver, the third is not, because lag makes a true frame differ
from its motion at random, which teaches blur.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from liveface.driver import CALIBRATE_FACES, CALIBRATE_S, widened
from liveface.metrics import IOD_SHARE, eye_distance, lid_opening, on_eye_line
from liveface.motion.face_model import FaceModel
from liveface.motion.solve import MotionSolver
from liveface.train.faces import face_of
from liveface.types import Array, Motion

REACH_S = 6.0  # a target is at most so far from its source
SMOOTHED = 0.65  # share of targets whose motion lags as the driver's does
CANDIDATES = 30
CUT_STEP = 0.35  # eye distances that a face may move from one frame to the next within a shot


@dataclass(frozen=True, slots=True)
class Track:
    """A tracked and solved clip.

    Attributes:
        points: `[T, 478, 3]` pixels of the clip; seen: `[T]` whether a face was found.
        shot: `[T]` number of the shot.
        smooth, raw: motion of every frame as the driver has it, and without smoothing; absolute.
    """

    points: Array
    seen: npt.NDArray[np.bool_]
    shot: npt.NDArray[np.int_]
    smooth: Motion
    raw: Motion
    fps: float

    @staticmethod
    def load(file: Path, model: FaceModel) -> Track | None:
        """Solve a clip of the tracking cache; None when it shows next to no face."""
        with np.load(file, allow_pickle=False) as stored:
            points, score, fps = stored["points"], stored["score"], float(stored["fps"])
            size = (int(stored["size"][0]), int(stored["size"][1]))
        seen = score > 0.5
        if seen.sum() < 20:
            return None
        motions = [solve(points, seen, fps, size, model, smooth=smooth) for smooth in (True, False)]
        return Track(points, seen, shots(points, seen), motions[0], motions[1], fps)


def solve(
    points: Array, seen: npt.NDArray[np.bool_], fps: float, size: tuple[int, int], model: FaceModel, *, smooth: bool
) -> Motion:
    """Motion of a clip's tracked points `[T, 478, 3]`, calibrated on its beginning as the driver calibrates."""
    stride = max(1, round(CALIBRATE_S * fps / CALIBRATE_FACES))
    early = [at for at in range(0, round(CALIBRATE_S * fps), stride) if at < len(points) and seen[at]]
    faces = [face_of(points[at], 1.0) for at in early or np.flatnonzero(seen)[:CALIBRATE_FACES]]
    solver = MotionSolver(fps, size, model, smooth=smooth)
    solver.calibrate(faces)
    return joined(
        [solver.step(face_of(found, 1.0) if known else None) for found, known in zip(points, seen, strict=True)]
    )


def joined(parts: list[Motion]) -> Motion:
    """Frames end to end as the driver widens them, without landmarks."""
    expression = widened(np.concatenate([part.expression for part in parts]))
    heads, gazes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("head", "gaze"))
    return Motion(expression, heads, gazes, parts[0].spec)


def shots(points: Array, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int_]:
    """The number of the shot of every frame: a new one begins where the face leaps or was lost."""
    unit = eye_distance(points) / IOD_SHARE
    middle = points[:, [33, 263, 1, 152], :2].mean(1)
    leap = np.linalg.norm(np.diff(middle, axis=0), axis=1) / np.maximum(unit[1:], 1)
    grown = np.abs(np.log(np.maximum(unit[1:], 1) / np.maximum(unit[:-1], 1)))
    new = (leap > CUT_STEP) | (grown > 0.15) | (seen[1:] != seen[:-1])
    return np.concatenate([[0], np.cumsum(new)])


def pairs(track: Track, sources: int, targets: int, random: np.random.Generator) -> list[tuple[int, list[int]]]:
    """Frames that play the photo, each with frames to reach from it."""
    lids, mouth = lid_opening(track.points), lips_apart(track.points)
    usual = float(np.percentile(lids[track.seen], 65))
    open_eyed = np.flatnonzero(track.seen & (lids > 0.7 * usual))
    if not len(open_eyed):
        return []
    found = []
    for number in range(sources):
        stretch = np.array_split(open_eyed, sources)[number]  # spread over the clip
        if not len(stretch):
            continue
        source = int(random.choice(stretch))
        near = np.abs(np.arange(len(track.seen)) - source) <= REACH_S * track.fps
        can = np.flatnonzero(track.seen & near & (track.shot == track.shot[source]))
        can = can[can != source]
        if len(can) < targets:
            continue
        found.append((source, _varied(track, source, random.permutation(can), targets, mouth, lids)))
    return found


def _varied(track: Track, source: int, can: npt.NDArray[np.int_], count: int, mouth: Array, lids: Array) -> list[int]:
    """`count` of the frames `can`: each time the one of some candidates that differs most in one respect."""
    turn = np.linalg.norm(track.raw.head[:, :3] - track.raw.head[source, :3], axis=1)
    look = np.linalg.norm(track.raw.gaze - track.raw.gaze[source], axis=1)
    respects = (np.abs(mouth - mouth[source]), -lids, mouth - mouth[source], turn, look, None)
    chosen: list[int] = []
    for number in range(count):
        left = np.setdiff1d(can[:CANDIDATES] if number % 6 != 1 else can, chosen)
        measure = respects[number % len(respects)]
        chosen.append(int(left[0] if measure is None else left[np.argmax(measure[left])]))
    return chosen


def lips_apart(points: Array) -> Array:
    """Opening of the lips `[T]` over the eye distance."""
    gaps = np.linalg.norm(points[:, [13, 82, 312], :2] - points[:, [14, 87, 317], :2], axis=-1).max(-1)
    return np.asarray(gaps / eye_distance(points), np.float32)


def onward(photo: Motion, first: Motion, then: Motion) -> Motion:
    """Motion `then`, relative to a photo that is the frame `first`, as the driver gives it to a renderer.

    Args:
        photo: what the renderer shows at rest.
    """
    expression = then.expression - (first.expression - photo.expression)
    return Motion(expression, then.head - first.head, then.gaze - first.gaze, then.spec)


def frame_numbers(source: Array, drawn: Array, true: Array) -> dict[str, float]:
    """What is known of points `[478, 3]` of one sample: openings and errors, see `portrait_store.NUMBERS`."""
    three = np.stack([true, drawn, source])
    lips, lids = lips_apart(three), lid_opening(three)
    lined = on_eye_line(three)
    unit = float(eye_distance(three[:1])[0])
    return {
        "opening": float(lips[0]), "opening_drawn": float(lips[1]), "opening_source": float(lips[2]),
        "lids": float(lids[0]), "lids_drawn": float(lids[1]), "lids_source": float(lids[2]),
        "moved": float(np.linalg.norm(lined[0] - lined[2], axis=1).mean()),
        "face_error": float(100 * np.linalg.norm(true[:468, :2] - drawn[:468, :2], axis=1).mean() / unit),
    }  # fmt: skip
