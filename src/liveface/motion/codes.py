"""The code of one frame of facial motion as speech networks see it, and the slot through which they see the eyes.

Notable choices: 26 numbers instead of 52 coefficients, because left and right go together in speech and lids and gaze
have their own source; groups that a recording does not show (a rig has no brows) can be left out of a loss as a whole;
what the eyes do enters through one slot of 160 numbers, whoever measured it: six numbers are lifted into it by a fixed
orthonormal matrix, and a network that looks at eye cameras writes all 160 itself, six of them along the same matrix.

Source: Lee et al. 2025 (AudioRTA) for a gaze slot that eye-camera features of 160 numbers can replace; the matrix and
the six numbers are ours.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from liveface.errors import MotionError
from liveface.types import ARKIT_INDEX, Array, Motion, arkit_spec

MOUTH_TRACKS: tuple[tuple[str, ...], ...] = (
    ("jawForward",), ("jawOpen",), ("mouthClose",), ("mouthFunnel",), ("mouthPucker",),
    ("mouthSmileLeft", "mouthSmileRight"), ("mouthFrownLeft", "mouthFrownRight"),
    ("mouthDimpleLeft", "mouthDimpleRight"), ("mouthStretchLeft", "mouthStretchRight"),
    ("mouthRollLower",), ("mouthRollUpper",), ("mouthShrugLower",), ("mouthShrugUpper",),
    ("mouthPressLeft", "mouthPressRight"), ("mouthLowerDownLeft", "mouthLowerDownRight"),
    ("mouthUpperUpLeft", "mouthUpperUpRight"), ("cheekSquintLeft", "cheekSquintRight"),
)  # fmt: skip
"""Each number of the mouth and the ARKit coefficients it sets. Left and right go together."""
UPPER_TRACKS: tuple[tuple[str, ...], ...] = (
    ("browDownLeft", "browDownRight"), ("browInnerUp",), ("browOuterUpLeft", "browOuterUpRight"),
    ("eyeSquintLeft", "eyeSquintRight"), ("eyeWideLeft", "eyeWideRight"), ("noseSneerLeft", "noseSneerRight"),
)  # fmt: skip
"""The same for the upper face; lids and the direction of the eyes have their own source."""
HEAD_NAMES = ("headPitch", "headYaw", "headRoll")
HEAD_UNIT_RAD = 0.1
"""Radians of one unit of a head number."""

TRACKS = (*MOUTH_TRACKS, *UPPER_TRACKS)
CODE_NAMES: tuple[str, ...] = (*(names[0] for names in TRACKS), *HEAD_NAMES)
CODES = len(CODE_NAMES)
"""Numbers of one frame's code: 26."""
GROUPS: dict[str, slice] = {
    "mouth": slice(0, len(MOUTH_TRACKS)),
    "upper": slice(len(MOUTH_TRACKS), len(TRACKS)),
    "head": slice(len(TRACKS), CODES),
}
"""Parts of a code that are known or unknown as a whole."""

EYE_NAMES = ("pitch", "yaw", "blinkLeft", "blinkRight", "wide", "squint")
"""What the slot of the eyes says: gaze relative to the head (radians, mean of both eyes), lids, openings (0 to 1)."""
EYE_UNITS = np.array([0.2, 0.2, 0.5, 0.5, 0.5, 0.5], np.float32)
"""One unit of each in the slot."""
EYE_SLOT = 160


@cache
def _spread() -> Array:
    out = np.zeros((len(TRACKS), 52), np.float32)
    for row, names in enumerate(TRACKS):
        out[row, [ARKIT_INDEX[name] for name in names]] = 1
    return out


@cache
def eye_basis() -> Array:
    """The orthonormal columns `[160, 6]` along which the slot holds `EYE_NAMES`, the same in every release."""
    basis, _ = np.linalg.qr(np.random.default_rng(160).normal(size=(EYE_SLOT, len(EYE_NAMES))))
    return basis.astype(np.float32)


def lift_eyes(eyes: Array) -> Array:
    """Measured or synthesised eyes `[..., 6]` in the units of `EYE_NAMES`, in the slot `[..., 160]`."""
    return np.asarray((eyes / EYE_UNITS) @ eye_basis().T, np.float32)


def read_eyes(slot: Array) -> Array:
    """What a slot `[..., 160]` says about the eyes, `[..., 6]`; the inverse of `lift_eyes`."""
    return np.asarray((slot @ eye_basis()) * EYE_UNITS, np.float32)


def eyes_of(motion: Motion) -> Array:
    """Eyes `[T, 6]` of a motion."""
    value = motion.expression
    columns = [value[:, ARKIT_INDEX[f"eyeBlink{side}"]] for side in ("Left", "Right")]
    columns += [value[:, [ARKIT_INDEX[f"{name}{side}"] for side in ("Left", "Right")]].mean(1)
                for name in ("eyeWide", "eyeSquint")]  # fmt: skip
    gaze = motion.gaze.reshape(-1, 2, 2).mean(1)
    return np.column_stack([gaze, *columns]).astype(np.float32)


def codes_of(motion: Motion) -> Array:
    """Codes `[T, 26]` of a motion; left and right are averaged."""
    spread = _spread()
    tracks = motion.expression @ (spread / spread.sum(1, keepdims=True)).T
    return np.concatenate([tracks, motion.head[:, :3] / HEAD_UNIT_RAD], axis=1).astype(np.float32)


def motion_of(codes: Array, fps: float = 30.0) -> Motion:
    """The motion of codes `[T, 26]`, coefficients held to 0 to 1; lids and gaze rest.

    Raises:
        MotionError: the codes have another shape.
    """
    if codes.ndim != 2 or codes.shape[1] != CODES:
        raise MotionError(f"codes have shape {codes.shape}; expected [T, {CODES}].")
    rest = Motion.rest(len(codes), fps)
    head = rest.head.copy()
    head[:, :3] = codes[:, GROUPS["head"]] * HEAD_UNIT_RAD
    return Motion(np.clip(codes[:, : len(TRACKS)], 0, 1) @ _spread(), head, rest.gaze, arkit_spec(fps))
