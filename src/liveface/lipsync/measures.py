"""Measures of moving lips: opening, width, distance to the true lips, what phones should look like, steadiness.

Notable choices: tracked pictures and predicted faces are measured alike, as displacements from rest in the face frame
of the mean face, in the plane of the picture, because a tracker's depth is a guess; openings and widths are percent of
the inter-ocular distance (0.7 of the outer eye corners, as in `metrics`); a phone counts when it comes within a share
of the speaker's own range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liveface.metrics import EYE_CORNERS, IOD_SHARE, MOUTH
from liveface.motion.face_model import FaceModel
from liveface.types import HOUSE_FPS, Array

LIP_PAIRS = ((82, 87), (13, 14), (312, 317))  # upper and lower inner lip, middle third, of MediaPipe's mesh
CORNERS = (61, 291)  # of the mouth: image left, image right
UPPER_FACE = np.array([
    70, 63, 105, 66, 107, 55, 65, 52, 53, 300, 293, 334, 296, 336, 285, 295, 282, 283, 104, 69, 108, 333, 299, 337,
])  # fmt: skip
"""Brows and the forehead above them; lids are left out, because blinks have their own source."""
MOST_LAG = 8  # frames
MM_PER_CM = 10.0
STILL_CM = 1e-5  # lips that move less do not move

PRESSED, OPEN_VOWELS = ("P", "B", "M"), ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "EY", "OW", "IY")
BITTEN, ROUNDED = ("F", "V"), ("W", "UW", "OW", "AO", "UH", "OY")
CLOSED = 0.2  # share of the range of openings that counts as closed
TOUCHING = 0.3  # the same for a lip at the teeth; of true f and v in training clips 0.80 are, of all phones 0.66
NARROW = 0.35  # share of the range of widths that counts as rounded; of true rounded phones 0.78, of all 0.47
VISEMES = {
    name: tuple(name.upper().split())
    for name in ("p b m", "f v", "th dh", "t d n l", "s z", "sh zh ch jh", "k g ng hh", "r er", "w uw uh oy", "ow ao",
                 "iy ih y ey", "eh ae", "ah ay aa aw")
}  # fmt: skip
"""Phones that look alike, by their names."""
DEEP_S = 0.25  # seconds from any phone from which on a pause counts as silence

Phone = tuple[str, float, float]
"""ARPABET name, start and end in seconds."""


@dataclass(frozen=True, slots=True)
class Lips:
    """What the lips and brows of a face do at house frames, from tracked pictures or from coefficients.

    Attributes:
        opening: `[T]` of the inner lips, percent of the inter-ocular distance.
        width: `[T]` distance of the corners of the mouth, percent of the inter-ocular distance.
        lips: `[T, 40, 2]` displacement from rest of the lips' edges (`metrics.MOUTH`), cm in the face frame.
        brows: `[T, 24, 2]` the same of `UPPER_FACE`; None where a recording does not show it.
    """

    opening: Array
    width: Array
    lips: Array
    brows: Array | None


def opening(points: Array) -> Array:
    """Inner-lip opening `[T]` of points `[T, 478, 2 or 3]`, in percent of the inter-ocular distance."""
    points = points[..., :2]
    eyes = IOD_SHARE * np.linalg.norm(points[:, EYE_CORNERS[0]] - points[:, EYE_CORNERS[1]], axis=-1)
    gaps = [np.linalg.norm(points[:, low] - points[:, high], axis=-1) for high, low in LIP_PAIRS]
    return (100 * np.mean(gaps, axis=0) / np.maximum(eyes, 1e-6)).astype(np.float32)


def opening_of(expression: Array, model: FaceModel | None = None) -> Array:
    """The opening `[T]` in percent over the rest of the mean face, under coefficients `[T, 52]`.

    Rest counts as shut, and so do lips that would cross.
    """
    model = model or FaceModel.load()
    gaps = [expression @ (model.expression[:, low, 1] - model.expression[:, high, 1]) for high, low in LIP_PAIRS]
    return (100 * np.maximum(np.mean(gaps, axis=0), 0) / eyes_cm(model)).astype(np.float32)


def eyes_cm(model: FaceModel) -> float:
    """Inter-ocular distance of the mean face, cm."""
    return IOD_SHARE * float(np.linalg.norm((model.mean[EYE_CORNERS[0]] - model.mean[EYE_CORNERS[1]])[:2]))


def lips_of(expression: Array, model: FaceModel | None = None) -> Lips:
    """What coefficients `[T, 52]` do on the mean face."""
    model = model or FaceModel.load()

    def moved(points: Array) -> Array:
        modes = model.expression[:, points, :2].reshape(52, -1)
        return np.asarray((expression @ modes).reshape(len(expression), len(points), 2), np.float32)

    lips, corners = moved(MOUTH), moved(np.array(CORNERS))
    width = 100 * (corners[:, 1, 0] - corners[:, 0, 0]) / eyes_cm(model)
    return Lips(opening_of(expression, model), width.astype(np.float32), lips, moved(UPPER_FACE))


def lagged(made: Array, true: Array, most: int = MOST_LAG) -> tuple[float, int]:
    """The best correlation within `most` frames and its lag; a positive lag means `made` is late."""
    best = (-2.0, 0)
    for lag in range(-most, most + 1):
        a, b = made[max(lag, 0) : len(made) + min(lag, 0)], true[max(-lag, 0) : len(true) - max(lag, 0)]
        best = max(best, (correlation(a, b), lag))
    return best


def correlation(made: Array, true: Array) -> float:
    """Pearson's correlation; 0 for a track that does not move."""
    spread = float(made.std() * true.std())
    return float(((made - made.mean()) * (true - true.mean())).mean() / spread) if spread > 1e-9 else 0.0


def jitter(track: Array) -> float:
    """Mean absolute second difference of a track, percent of the inter-ocular distance a frame squared."""
    return float(np.abs(np.diff(track, 2)).mean()) if len(track) > 2 else 0.0


def lip_error(made: Array, true: Array) -> float:
    """LVE in mm: the largest distance of any point of the lips `[T, P, 2]`, mean over frames.

    Source: Richard et al. 2021 (MeshTalk), there over the lip vertices of a mesh.
    """
    return MM_PER_CM * float(np.linalg.norm(made - true, axis=-1).max(-1).mean())


def lip_speed_error(made: Array, true: Array) -> float:
    """The same of the lips' velocities `[T, P, 2]`, mm a frame."""
    return lip_error(np.diff(made, axis=0), np.diff(true, axis=0)) if len(made) > 1 else 0.0


def dynamics(moved: Array) -> Array:
    """How much each point of `[T, P, 2]` (cm) moves: standard deviation over time of its distance from rest, mm."""
    spread: Array = MM_PER_CM * np.linalg.norm(moved, axis=-1).std(0)
    return spread


def at_size_of(made: Array, true: Array) -> Array:
    """`made` lips `[T, P, 2]` at the size and about the mean of the `true` ones: what is left is shape and time."""
    spread = [float(np.sqrt(((lips - lips.mean(0)) ** 2).mean())) for lips in (made, true)]
    factor = spread[1] / spread[0] if spread[0] > STILL_CM else 0.0
    own: Array = (made - made.mean(0)) * factor + true.mean(0)
    return own


def spans(phones: Sequence[Phone], names: Sequence[str], frames: int) -> list[slice]:
    """Frames of every phone that is one of `names`, with a frame of grace on each side."""
    out = []
    for name, start, end in phones:
        first, last = int((start - 0.034) * HOUSE_FPS), int(np.ceil((end + 0.017) * HOUSE_FPS))
        if name in names and max(first, 0) < frames:
            out.append(slice(max(first, 0), max(last, first + 1, 1)))
    return out


def closures(track: Array, phones: Sequence[Phone], names: Sequence[str], share: float = CLOSED) -> tuple[int, int]:
    """How many of the phones `names` come with openings within `share` of the range, and how many there are."""
    rest, wide = np.quantile(track, [0.05, 0.95])
    found = [bool(track[span].min() <= rest + share * (wide - rest)) for span in spans(phones, names, len(track))]
    return sum(found), len(found)


def roundings(width: Array, phones: Sequence[Phone]) -> tuple[int, int]:
    """How many rounded phones come with a narrow mouth, and how many there are."""
    low, high = np.quantile(width, [0.05, 0.95])
    found = [bool(width[span].mean() <= low + NARROW * (high - low)) for span in spans(phones, ROUNDED, len(width))]
    return sum(found), len(found)


def looks(track: Array, phones: Sequence[Phone], names: Sequence[str]) -> list[float]:
    """The mean of a track in each of the phones `names`, in shares of the track's own range (5 to 95 % quantile)."""
    low, high = np.quantile(track, [0.05, 0.95])
    level = (track - low) / max(float(high - low), 1e-6)
    return [float(level[span].mean()) for span in spans(phones, names, len(track))]


def pauses(phones: Sequence[Phone], frames: int) -> npt.NDArray[np.bool_]:
    """True `[T]` where nobody speaks within `DEEP_S`."""
    at, away = (np.arange(frames) + 0.5) / HOUSE_FPS, np.full(frames, np.inf)
    for name, start, end in phones:
        if name != "SIL":
            away = np.minimum(away, np.maximum(np.maximum(start - at, at - end), 0))
    quiet: npt.NDArray[np.bool_] = away > DEEP_S
    return quiet


def speech_span(phones: Sequence[Phone], frames: int) -> slice:
    """From the first to the last spoken phone; all frames where nothing is known of phones."""
    spoken = [(start, end) for name, start, end in phones if name != "SIL"]
    if not spoken:
        return slice(0, frames)
    return slice(max(0, int(spoken[0][0] * HOUSE_FPS)), min(frames, int(np.ceil(spoken[-1][1] * HOUSE_FPS))))
