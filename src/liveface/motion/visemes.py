"""The 15 Oculus visemes as a linear map to and from the 52 ARKit coefficients.

Notable choices:
- A viseme track `[T, 15]` holds weights that sum to one in speech; `sil` is the closed mouth at rest, so its row is
  zero and it is recovered as what the other visemes leave unexplained.
- The table below is ours: each row writes down what lips, jaw and tongue do for the sound, from phonetics (place and
  manner of articulation) in ARKit's terms. It is meant to be read and changed.
- The way back is a non-negative least-squares solve, one weight at a time: weights stay in 0..1.

Source of names and order: the Oculus LipSync reference (sil PP FF TH DD kk CH SS nn RR aa E ih oh ou).
"""

from __future__ import annotations

import numpy as np

from liveface.errors import MotionError
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array, Motion, arkit_spec

VISEME_NAMES: tuple[str, ...] = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou",
)  # fmt: skip
"""The 15 visemes in Oculus' order."""

VISEME_SHAPES: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"mouthClose": 0.12, "jawOpen": 0.08, "mouthPress": 0.55, "mouthRollLower": 0.35, "mouthRollUpper": 0.30},
    "FF": {"jawOpen": 0.06, "mouthRollLower": 0.60, "mouthUpperUp": 0.25, "mouthShrugLower": 0.20},
    "TH": {"jawOpen": 0.16, "tongueOut": 0.45, "mouthUpperUp": 0.12, "mouthLowerDown": 0.14},
    "DD": {"jawOpen": 0.14, "mouthLowerDown": 0.28, "mouthUpperUp": 0.10, "mouthStretch": 0.10},
    "kk": {"jawOpen": 0.22, "mouthLowerDown": 0.16, "mouthStretch": 0.05, "mouthShrugUpper": 0.08},
    "CH": {"jawOpen": 0.08, "mouthFunnel": 0.55, "mouthUpperUp": 0.10, "mouthLowerDown": 0.14},
    "SS": {"jawOpen": 0.03, "mouthStretch": 0.32, "mouthSmile": 0.15, "mouthLowerDown": 0.22, "mouthUpperUp": 0.06},
    "nn": {"jawOpen": 0.10, "mouthLowerDown": 0.12, "mouthSmile": 0.12, "mouthDimple": 0.15},
    "RR": {"jawOpen": 0.12, "mouthFunnel": 0.28, "mouthPucker": 0.22, "mouthShrugUpper": 0.15},
    "aa": {"jawOpen": 0.62, "mouthLowerDown": 0.28, "mouthUpperUp": 0.18, "mouthStretch": 0.06},
    "E": {"jawOpen": 0.32, "mouthSmile": 0.28, "mouthStretch": 0.20, "mouthLowerDown": 0.25, "mouthUpperUp": 0.14},
    "ih": {"jawOpen": 0.18, "mouthSmile": 0.42, "mouthStretch": 0.14, "mouthLowerDown": 0.14, "mouthDimple": 0.10},
    "oh": {"jawOpen": 0.42, "mouthFunnel": 0.48, "mouthPucker": 0.20},
    "ou": {"jawOpen": 0.14, "mouthPucker": 0.68, "mouthFunnel": 0.20},
}
"""What each viseme does, coefficient to strength; a name without a side moves both sides alike."""

_SWEEPS = 100  # over the 14 weights; one-hot visemes come back within 0.07 after 100, measured


def viseme_matrix() -> Array:
    """The map `[15, 52]` from viseme weights to ARKit coefficients."""
    matrix = np.zeros((len(VISEME_NAMES), len(ARKIT_INDEX)), np.float32)
    for row, name in enumerate(VISEME_NAMES):
        for shape, strength in VISEME_SHAPES[name].items():
            for side in (shape,) if shape in ARKIT_INDEX else (f"{shape}Left", f"{shape}Right"):
                matrix[row, ARKIT_INDEX[side]] = strength
    return matrix


def motion_from_visemes(weights: Array, fps: float = HOUSE_FPS) -> Motion:
    """Motion whose mouth follows viseme `weights` `[T, 15]` in 0..1; head and gaze rest."""
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 2 or weights.shape[1] != len(VISEME_NAMES):
        raise MotionError(f"viseme weights have shape {weights.shape}; expected (frames, {len(VISEME_NAMES)}).")
    if not np.isfinite(weights).all():
        raise MotionError("viseme weights hold values that are not finite; expected numbers from 0 to 1.")
    frames = len(weights)
    expression = np.clip(weights, 0, 1) @ viseme_matrix()
    return Motion(expression, Motion.rest(frames).head, Motion.rest(frames).gaze, arkit_spec(fps))


def visemes_from_motion(motion: Motion) -> Array:
    """Viseme weights `[T, 15]` in 0..1 that explain the mouth of `motion` best; each row sums to one or more.

    Coefficients that no viseme uses (brows, eyes) do not count. Source: coordinate descent for bounded least squares.
    """
    matrix = viseme_matrix()[1:]  # [14, 52]
    used = matrix.any(0)
    basis, target = matrix[:, used], motion.expression[:, used]
    gram = basis @ basis.T
    goal = target @ basis.T
    weights = np.zeros((len(target), len(basis)), np.float32)
    for index in list(range(len(basis))) * _SWEEPS:
        slack = goal[:, index] - weights @ gram[:, index] + weights[:, index] * gram[index, index]
        weights[:, index] = np.clip(slack / gram[index, index], 0, 1)
    rest = np.clip(1 - weights.sum(1, keepdims=True), 0, 1)
    return np.concatenate([rest, weights], 1).astype(np.float32)
