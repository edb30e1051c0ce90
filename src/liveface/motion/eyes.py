"""The way of the eyes: synthesised, measured or seen by eye cameras, through one slot, into the motion.

Blinks, glances and saccades of `IdleMotion` enter the slot like a measurement; a measured gaze or an eye camera
replaces them frame by frame. Where a measurement stops, idle life takes over within a fifth of a second, and back, so
that a lost camera never freezes a stare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.errors import MotionError
from liveface.motion.codes import EYE_NAMES, EYE_SLOT, eyes_of, lift_eyes, read_eyes
from liveface.motion.idle import LOOK_FULL_RAD
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array, Motion, State

HAND_OVER_S = 0.2  # from a measurement to idle life and back; about as long as a blink, chosen
FARTHEST_RAD = 0.7  # eyes turn no farther than 40 degrees
_SIDES = ("Left", "Right")


def eye_slot(motion: Motion) -> Array:
    """The slot `[T, 160]` of what the eyes of a motion do, of `IdleMotion` or of a tracked video."""
    return lift_eyes(eyes_of(motion))


def show_eyes(motion: Motion, slot: Array) -> Motion:
    """A motion whose gaze and lids are what a slot says, with the larger wide and squint of both; the rest stays.

    A face may widen its eyes or squint for what it feels, which no slot knows.

    Args:
        motion: `[T]` frames.
        slot: `[T, 160]` or `[160]` for every frame.

    Raises:
        MotionError: the slot does not fit the motion or is not finite.
    """
    slot = np.asarray(slot, np.float32)
    if slot.shape not in ((EYE_SLOT,), (len(motion), EYE_SLOT)) or not np.isfinite(slot).all():
        raise MotionError(
            f"eyes of shape {slot.shape} do not fit {len(motion)} frames; expected finite numbers [{EYE_SLOT}] or "
            f"[{len(motion)}, {EYE_SLOT}]."
        )
    eyes = np.broadcast_to(read_eyes(slot), (len(motion), len(EYE_NAMES)))
    pitch, yaw = (np.clip(eyes[:, index], -FARTHEST_RAD, FARTHEST_RAD) for index in range(2))
    lids = np.clip(eyes[:, 2:], 0, 1)
    expression = motion.expression.copy()
    for index, side in enumerate(_SIDES):
        outward = yaw if side == "Left" else -yaw  # the person's left is the image's right
        values = {
            f"eyeLookDown{side}": pitch / LOOK_FULL_RAD, f"eyeLookUp{side}": -pitch / LOOK_FULL_RAD,
            f"eyeLookOut{side}": outward / LOOK_FULL_RAD, f"eyeLookIn{side}": -outward / LOOK_FULL_RAD,
            f"eyeBlink{side}": lids[:, index], f"eyeWide{side}": lids[:, 2], f"eyeSquint{side}": lids[:, 3],
        }  # fmt: skip
        for name, value in values.items():
            own = expression[:, ARKIT_INDEX[name]] if name.startswith(("eyeWide", "eyeSquint")) else 0
            expression[:, ARKIT_INDEX[name]] = np.maximum(own, np.clip(value, 0, 1))
    gaze = np.stack([pitch, yaw, pitch, yaw], -1)
    return Motion(expression, motion.head, gaze.astype(np.float32), motion.spec, motion.landmarks)


@dataclass(frozen=True, slots=True)
class EyeFeed:
    """Eyes of a live stream: measured where there is a measurement, idle life elsewhere.

    Attributes:
        fps: frames per second.
    """

    fps: float = HOUSE_FPS

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fps) and 0 < self.fps <= 1000):
            raise MotionError(f"eyes at {self.fps} fps are not usable; expected a rate above 0 and up to 1000.")

    def start(self) -> State:
        """State before the first frame: the last measured slot, and how much of the eyes it holds, 0 to 1."""
        return {"slot": np.zeros(EYE_SLOT, np.float32), "share": np.zeros((), np.float32)}

    def step(self, state: State, life: Motion, measured: Array | None = None) -> tuple[State, Array]:
        """One frame (`T = 1`) of idle life and, where there is one, a measured slot `[160]`; returns state and slot."""
        if measured is not None and (measured.shape != (EYE_SLOT,) or not np.isfinite(measured).all()):
            raise MotionError(f"measured eyes have shape {measured.shape}; expected {EYE_SLOT} finite numbers.")
        change = 1 / (HAND_OVER_S * self.fps)
        share = float(np.clip(float(state["share"]) + (-change if measured is None else change), 0, 1))
        slot = np.asarray(state["slot"] if measured is None else measured, np.float32)
        eased = share * share * (3 - 2 * share)
        mixed = np.asarray(eye_slot(life)[0] * (1 - eased) + slot * eased, np.float32)
        return {"slot": slot, "share": np.array(share, np.float32)}, mixed
