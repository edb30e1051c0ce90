"""Mouth motion of tracked video as labels for the speech network.

Notable choices: the head is removed by a similarity on points that speech leaves alone; a person's rest is the mean of
the frames with the most closed lips; left and right are tied, because a listener never hears a lopsided mouth; the
coefficients are a bounded least-squares fit in which the inner lips count most, so that a closure in the picture is a
closure in the labels; labels are taken at the times of house frames (30 fps), whatever the rate of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.lipsync import LIP_PAIRS, opening
from liveface.lipsync.truth import head_free, rest_face
from liveface.motion.codes import MOUTH_TRACKS
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array

# Points of MediaPipe's mesh; the numbers are those of its canonical face.
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
CORNERS = (61, 291)  # image left, image right
CHIN = (152, 148, 377, 176, 400, 199, 200, 18, 83, 313, 201, 421, 171, 396)

DEPTH_WEIGHT = 0.35  # the tracker's depth is guessed from the picture
RIDGE = 0.004  # cm^2 a squared coefficient costs, relative to the mean squared error of a point
SPARSE = 0.0015  # cm^2 a coefficient costs
COSTLY = {"jawForward": 3, "mouthFrownLeft": 4, "mouthPressLeft": 2, "mouthShrugUpper": 3, "mouthRollUpper": 2}
"""Tracks that cost more than others: they imitate what jaw and lips do (corners sink when the jaw opens)."""
ROUNDS = 300  # of the projected gradient; changes afterwards are under 1e-3


@dataclass(frozen=True, slots=True)
class MouthSpace:
    """The points around the mouth and how the mouth tracks move them.

    Attributes:
        points: `[K]` indices of the points.
        weights: `[K]` how much each point counts.
        basis: `[N, K, 3]` centimetres of the face frame at coefficient 1, N = len(MOUTH_TRACKS).
        mean: `[478, 3]` the mean face.
    """

    points: Array
    weights: Array
    basis: Array
    mean: Array

    @staticmethod
    def of(mean: Array, expression: Array) -> MouthSpace:
        """From a face model's `mean` `[P, 3]` and `expression` `[52, P, 3]` (P at least 468)."""
        points = np.array([*INNER_LIPS, *OUTER_LIPS, *CHIN])
        weights = np.array([3.0] * len(INNER_LIPS) + [1.5] * len(OUTER_LIPS) + [1.0] * len(CHIN), np.float32)
        tracks = [sum(expression[ARKIT_INDEX[name]] for name in names) for names in MOUTH_TRACKS]
        basis = np.stack(tracks)[:, points].astype(np.float32)
        return MouthSpace(points, weights / weights.mean(), basis, mean.astype(np.float32))

    def flat(self) -> Array:
        """The basis with weights applied, `[N, K * 3]`: distances in it are weighted centimetres."""
        scale = np.sqrt(self.weights)[:, None] * np.array([1, 1, DEPTH_WEIGHT], np.float32)
        return (self.basis * scale).reshape(len(self.basis), -1)

    def gap(self) -> Array:
        """How many centimetres each track opens the inner lips, `[N]`."""
        where = {int(point): index for index, point in enumerate(self.points)}
        gaps = [self.basis[:, where[low], 1] - self.basis[:, where[high], 1] for high, low in LIP_PAIRS]
        return np.mean(gaps, axis=0).astype(np.float32)

    def width(self) -> Array:
        """How many centimetres each track moves the corners of the mouth apart, `[N]`; rounding is negative."""
        where = {int(point): index for index, point in enumerate(self.points)}
        right, left = (self.basis[:, where[corner], 0] for corner in CORNERS)
        return (left - right).astype(np.float32)


def solve_mouth(space: MouthSpace, moved: Array) -> Array:
    """Bounded least squares: displacements `[T, K, 3]` in cm to tracks `[T, N]` in 0 to 1.

    Source: Beck and Teboulle 2009 (FISTA) for the accelerated projected gradient.
    """
    flat = space.flat()
    scale = np.sqrt(space.weights)[:, None] * np.array([1, 1, DEPTH_WEIGHT], np.float32)
    target = (moved * scale).reshape(len(moved), -1)
    count = len(space.points)
    gram = flat @ flat.T / count + RIDGE * np.eye(len(flat), dtype=np.float32)
    cost = np.array([SPARSE * COSTLY.get(names[0], 1.0) for names in MOUTH_TRACKS], np.float32)
    pull = target @ flat.T / count - cost
    rate = 1 / np.linalg.eigvalsh(gram)[-1]
    value = np.zeros_like(pull)
    ahead, pace = value, 1.0
    for _ in range(ROUNDS):
        newer = np.clip(ahead - rate * (ahead @ gram - pull), 0, 1)
        later = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = newer + (pace - 1) / later * (newer - value)
        value, pace = newer, later
    return value.astype(np.float32)


def at_house_rate(track: Array, fps: float, offset_s: float = 0.0, frames: int | None = None) -> Array:
    """A track `[T, D]` of a clip at `fps` whose picture starts `offset_s` after its sound, at house frames."""
    count = int(len(track) * HOUSE_FPS / fps) if frames is None else frames
    at = (np.arange(count) / HOUSE_FPS - offset_s) * fps
    low = np.clip(np.floor(at).astype(int), 0, len(track) - 1)
    high = np.minimum(low + 1, len(track) - 1)
    share = np.clip(at - low, 0, 1).astype(np.float32)[:, None]
    return track[low] * (1 - share) + track[high] * share


def label_clip(space: MouthSpace, points: Array, fps: float, offset_s: float = 0.0) -> tuple[Array, Array]:
    """Mouth tracks `[T, N]` and opening `[T, 1]` (percent) of a tracked clip `[F, 478, 3]`, at house frames."""
    face = head_free(points, space.mean)
    opened = opening(face)
    moved = (face - rest_face(face, opened))[:, space.points]
    tracks = solve_mouth(space, moved)
    return at_house_rate(tracks, fps, offset_s), at_house_rate(opened[:, None], fps, offset_s)
