"""Scores of a photo that moves, beyond those of `liveface.evaluate`: whose face it is, what the mouth holds, how still.

Notable choices: every score compares with the true clip, or stands beside the same score of it; whose face it is, is
told by a measure that the caller brings, for the house's own is fitted on data that does not ship; steadiness is the
second difference in time within the head, which smooth motion does not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from liveface.evaluate import MOST_FACES, Reel, Scores, as_face, background
from liveface.geometry import head_rotation
from liveface.metrics import angle_deg, eye_distance, mouth_box, ssim_map
from liveface.motion.solve import MotionSolver
from liveface.types import ARKIT_NAMES, Array, Motion, Pixels

Recognise = Callable[[Pixels, Array], Array]
"""A picture and its points to a unit vector; the product of two says how alike the faces are, 1 at most."""

IDENTITY_STEP = 5  # every so manieth frame is asked whose it is
SHUT, OPEN = (
    0.05,
    0.10,
)  # opening of the lips over the eye distance: a photo with a shut mouth, a frame with an open one
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
HEAD_REACH = 0.15  # the head's box goes so far beyond the points of the face, in its own size
LEAST_INNER_PX = 12
_SPEECH = np.array([not name.startswith(("eyeLook", "tongue")) for name in ARKIT_NAMES])


def same_person(reel: Reel, true: Array, made: Array, recognise: Recognise | None) -> Scores:
    """Scores of a reel whose photo is the clip's own first frame; what cannot be told is left out.

    Args:
        true, made: tracked points `[T, 478, 3]`, NaN where no face was found.
    """
    known = np.isfinite(true[:, 0, 0]) & np.isfinite(made[:, 0, 0])
    unit = eye_distance(true[known])[:, None]
    apart = np.linalg.norm(made[known, :468, :2] - true[known, :468, :2], axis=2) / unit
    scores = {"keypoints": float(100 * apart.mean())}
    scores |= inner_mouth(reel, true) | steadiness(reel, true, reel.made) | sharpness(reel, true)
    consistency = background_consistency(reel)
    scores |= {} if consistency is None else {"background": consistency}
    if recognise is not None:
        at = np.flatnonzero(known)[::IDENTITY_STEP]
        likeness = [recognise(reel.made[k], made[k]) @ recognise(reel.true[k], true[k]) for k in at]
        scores["identity"] = float(np.mean(likeness))
    return scores


def lips_open(points: Array) -> Array:
    """Opening of the lips `[T]` over the eye distance."""
    gaps = np.linalg.norm(points[:, [13, 82, 312], :2] - points[:, [14, 87, 317], :2], axis=-1).max(-1)
    return np.asarray(gaps / eye_distance(points), np.float32)


def inner_mouth(reel: Reel, true: Array) -> Scores:
    """PSNR inside the true inner lips where a photo with a shut mouth has it open; empty when it never has."""
    known = np.isfinite(true[:, 0, 0])
    gap = np.where(known, lips_open(np.nan_to_num(true)), 0)
    if not known[0] or gap[0] > SHUT:
        return {}
    found = []
    for at in np.flatnonzero(gap > OPEN):
        mask = np.zeros(reel.true[at].shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(true[at, list(INNER_LIPS), :2]).astype(np.int32)], 255)
        inside = mask > 0
        if inside.sum() >= LEAST_INNER_PX:
            error = np.square(reel.made[at][inside].astype(np.float32) - reel.true[at][inside]).mean()
            found.append(float(10 * np.log10(255**2 / max(float(error), 1e-3))))
    return {"inner_db": float(np.mean(found))} if found else {}


def head_box(points: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the head in all frames of points `[T, 478, 2 or 3]`, inside `size`."""
    seen = points[np.isfinite(points[:, 0, 0])][:, :468, :2]
    low, high = seen.min((0, 1)), seen.max((0, 1))
    reach = HEAD_REACH * (high - low)
    low = np.clip(np.floor(low - reach), 0, np.array(size) - 8).astype(int)
    high = np.clip(np.ceil(high + reach), low + 8, size).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def steadiness(reel: Reel, true: Array, pictures: Sequence[Pixels]) -> Scores:
    """How much the head trembles: mean second difference in time, levels of 255; in the true clip as well."""
    height, width = reel.true[0].shape[:2]
    box = head_box(true, (width, height))

    def trembling(shown: Sequence[Pixels]) -> float:
        total = 0.0
        for before, now, after in zip(shown, shown[1:], shown[2:], strict=False):
            middle = cv2.addWeighted(before[box], 0.5, after[box], 0.5, 0)
            total += float(cv2.absdiff(middle, np.ascontiguousarray(now[box])).mean())
        return total / max(len(shown) - 2, 1)

    return {"tremble": trembling(pictures), "tremble_true": trembling(reel.true)}


def sharpness(reel: Reel, true: Array) -> Scores:
    """Energy of the Laplacian in the mouth's box over that of the true clip; below 1 is blurred, above it is noisy."""
    height, width = reel.true[0].shape[:2]
    energy = np.zeros(2)
    for at in np.flatnonzero(np.isfinite(true[:, 0, 0])):
        box = mouth_box(true[at], (width, height))
        for row, pictures in enumerate((reel.made, reel.true)):
            grey = cv2.cvtColor(np.ascontiguousarray(pictures[at][box]), cv2.COLOR_RGB2GRAY).astype(np.float32)
            energy[row] += float(np.square(cv2.Laplacian(grey, cv2.CV_32F)).mean())
    return {"sharp": float(np.sqrt(energy[0] / max(energy[1], 1e-6)))}


def background_consistency(reel: Reel) -> float | None:
    """Mean SSIM, times 100, of the far background with that of the photo; None when too little shows."""
    where: npt.NDArray[np.bool_] = background(reel)
    if where.mean() < 0.02:
        return None
    likeness = [float(ssim_map(picture, reel.true[0])[where].mean()) for picture in reel.made[::IDENTITY_STEP]]
    return 100 * float(np.mean(likeness))


def other_person(
    photo: tuple[Pixels, Array], driver: Array, made: Sequence[Pixels], points: Array, fps: float,
    recognise: Recognise | None,
) -> Scores:  # fmt: skip
    """Scores of a photo driven by somebody else, after tracking what was made.

    Args:
        photo: the picture as shown and its points; driver, points: tracked points `[T, 478, 3]` of the driver's video
            and of what was made, NaN where there is no face.

    Returns: `expression`, mean difference of the coefficients times 100; `head`, of the pose that counts from its
        median, degrees; `identity`; `lost`, share of pictures without a face; `tremble`.
    """
    known = np.isfinite(driver[:, 0, 0]) & np.isfinite(points[:, 0, 0])
    scores = {"lost": float(1 - np.isfinite(points[:, 0, 0]).mean())}
    if known.sum() < 2:
        return scores
    height, width = photo[0].shape[:2]
    wanted, got = (solved(track[known], fps, (width, height)) for track in (driver, points))
    apart = np.abs(got.expression - wanted.expression)[:, _SPEECH]
    scores["expression"] = float(100 * apart.mean())
    turns = [_from_median(motion.head[:, :3]) for motion in (got, wanted)]
    scores["head"] = float(np.mean([angle_deg(one, two) for one, two in zip(*turns, strict=True)]))
    if recognise is not None:
        own = recognise(*photo)
        at = np.flatnonzero(known)[::IDENTITY_STEP]
        scores["identity"] = float(np.mean([recognise(made[k], points[k]) @ own for k in at]))
    reel = Reel("", list(made), list(made), (slice(0, height), slice(0, width)), fps, 0.0)
    scores["tremble"] = steadiness(reel, points, made)["tremble"]
    return scores


def _from_median(angles: Array) -> list[Array]:
    """Rotations that lead from the median of pitch, yaw and roll `[T, 3]` to each frame's."""
    rest = head_rotation(*np.median(angles, 0))
    return [head_rotation(*frame) @ rest.T for frame in angles]


def solved(points: Array, fps: float, size: tuple[int, int]) -> Motion:
    """Motion of tracked points `[T, 478, 3]`, calibrated on themselves, without smoothing."""
    faces = [as_face(frame) for frame in points]
    solver = MotionSolver(fps, size, smooth=False)
    solver.calibrate(faces[:: max(1, len(faces) // MOST_FACES)])
    return Motion.concat([solver.step(face) for face in faces])
