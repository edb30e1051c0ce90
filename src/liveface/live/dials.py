"""`LiveDials`: what the sliders of the page do to a motion, whoever drives it; `Mood`: an emotion on a camera's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from liveface.motion.codes import GROUPS, HEAD_UNIT_RAD, codes_of, eyes_of, lift_eyes, motion_of
from liveface.motion.emotion import EMOTIONS, Emoter, complete
from liveface.motion.eyes import show_eyes
from liveface.types import ARKIT_NAMES, Array, Motion, State

LOOK_RAD = (0.22, 0.35)  # pitch and yaw at which eyes look at the edge of the page
LOOK_S = 0.08  # time constant with which they get there
_LIDS = np.array([name.startswith(("eyeBlink", "eyeLook")) for name in ARKIT_NAMES])


@dataclass(frozen=True, slots=True)
class LiveDials:
    """How much of a motion is wanted, and what is put on it; 1 is natural.

    Attributes:
        scale: size of the expression.
        head: size of head motion.
        gaze: size of glances.
        look: where the eyes look, x to the image's right and y down, each -1 to 1; None is where they please.
        fps: of the motion.
    """

    scale: float = 1.0
    head: float = 1.0
    gaze: float = 1.0
    look: tuple[float, float] | None = None
    fps: float = 30.0

    def changed(self, said: dict[str, Any]) -> LiveDials:
        """The same dials after a message of the page, checked by `wire.parse_control`; what is not said stays."""
        values: dict[str, Any] = {name: float(said[name]) for name in ("scale", "head", "gaze") if name in said}
        if "look" in said:
            values["look"] = None if said["look"] is None else (float(said["look"][0]), float(said["look"][1]))
        return replace(self, **values)

    def start(self) -> State:
        """State before the first frame: how much the eyes are led, and where to."""
        return {"led": np.zeros(()), "target": np.zeros(2)}

    def step(self, state: State, motion: Motion) -> tuple[State, Motion]:
        """One frame (`T = 1`) with the dials applied."""
        expression = motion.expression.copy()
        expression[:, ~_LIDS] *= self.scale
        head = motion.head * np.float32(self.head)
        space = motion.gaze + np.tile(motion.head[:, :2], 2)  # where the eyes look, whatever the head does
        moved = replace(motion, expression=np.clip(expression, 0, 1), head=head)
        share = 1 - np.exp(-1 / (self.fps * LOOK_S))
        led, target = float(state["led"]), np.asarray(state["target"], np.float64)
        if self.look is not None:
            wanted = np.array([self.look[1] * LOOK_RAD[0], self.look[0] * LOOK_RAD[1]])
            target = wanted if led < 0.01 else target + (wanted - target) * share
        led += ((self.look is not None) - led) * share
        space = self.gaze * space * np.float32(1 - led) + np.float32(led) * np.tile(target, 2).astype(np.float32)
        gaze = (space - np.tile(moved.head[:, :2], 2)).astype(np.float32)
        seen = show_eyes(moved, lift_eyes(eyes_of(replace(moved, gaze=gaze))))
        return {"led": np.array(led), "target": target}, replace(seen, landmarks=None)


def emotion_of(said: dict[str, float]) -> Array:
    """Intensities `[8]` of a message's emotion, checked by `wire.parse_control`."""
    emotion = np.array([float(said.get(name, 0)) for name in EMOTIONS], np.float32)
    emotion[0] = 0
    return emotion


@dataclass(frozen=True, slots=True)
class Mood:
    """An emotion put on a motion that has none of its own: a camera's. The speech network draws its own.

    Attributes:
        emotion: `[8]` intensities of `EMOTIONS`.
        fps: of the motion.
    """

    emotion: Array = field(default_factory=lambda: np.zeros(len(EMOTIONS), np.float32))
    fps: float = 30.0

    def start(self) -> State:
        """State before the first frame."""
        return Emoter(self.fps).start()

    def step(self, state: State, motion: Motion) -> tuple[State, Motion]:
        """One frame (`T = 1`) with the emotion; what codes do not tell (one-sided mouths, lids) stays as it was."""
        neutral = codes_of(motion)
        later, codes = Emoter(self.fps).step(state, neutral[0], self.emotion)
        shown = np.clip(np.asarray(later["emotion"], np.float32), 0, 1)
        if not self.emotion.any() and shown.max() < 1e-3:
            return later, motion
        before, after = (np.asarray(motion_of(one, self.fps).expression) for one in (neutral, codes[None]))
        head = motion.head.copy()
        head[:, :3] += (codes - neutral[0])[GROUPS["head"]] * HEAD_UNIT_RAD
        expression = np.clip(motion.expression + after - before, 0, 1)
        return later, complete(replace(motion, expression=expression, head=head), shown)
