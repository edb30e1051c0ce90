"""From motion to the control vectors of the four decoders.

Every value is roughly within -1 to 1, at 30 frames a second. `visemes`: the 15 Oculus weights of this frame and the
two before it (newest last), eight emotion weights, jaw opening, loudness, three head angles. `landmarks`: 40 lip
points x, y in the mouth's box less those of the reference, in fifths of the eye distance, jaw opening, aspect of the
mouth, three head angles. `eyes`: openness left, right, gaze (pitch, yaw of either eye), brows (down left and right,
inner up, outer up), squint left and right, one lid more shut than the other (wink left, right), smile, three head
angles. `hair`: angles, their velocity and acceleration, angles one
and two steps back, shift of the head in x and y, jaw, smile, brows. `body`: breath (sine, cosine), shoulders x, y,
angles, velocity, shift x, y.
Source of the layout: our reading of LiveFace and AudioRTA conditioning, chosen sizes in `regions.CONTROL_SIZES`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liveface.motion.reach import Reach
from liveface.motion.visemes import viseme_matrix
from liveface.render.liveface.regions import EMOTIONS, VISEME_FRAMES
from liveface.render.liveface.rig import LIPS, Posed, Rig, to_patch
from liveface.types import ARKIT_INDEX, Array, Motion, State

LIP_GAIN = 5.0  # lip shifts are told in fifths of the eye distance
ANGLE_GAIN = 2.0  # radians to about -1..1
SPEED_GAIN = 20.0  # radians a frame
SHIFT_GAIN = 0.2  # centimetres
SHOULDER_GAIN = 5.0  # eye distances
VISEME_STEPS = 60  # of the projected gradient; the weights no longer move by a hundredth after 60, measured

_JAW = ARKIT_INDEX["jawOpen"]


class Controls:
    """Turns motion into control vectors, frame by frame; one per avatar.

    Args:
        rig: the avatar's geometry.
        visemes: whether viseme weights are found; without, they stay at zero, which saves a third of a millisecond.
        reach: what the decoders have learned; the vectors are held to it. None holds nothing.
    """

    def __init__(self, rig: Rig, *, visemes: bool = True, reach: Reach | None = None) -> None:
        self._rig, self._wanted, self._reach = rig, visemes, reach or Reach()
        self._visemes = _VisemeFit()

    def start(self) -> State:
        """A state without history: the first frame counts as having lasted."""
        return {"frames": np.zeros((), np.int64), "visemes": np.zeros((VISEME_FRAMES, 15), np.float32),
                "angles": np.zeros((3, 3), np.float32)}  # fmt: skip

    def step(
        self,
        state: State,
        motion: Motion,
        posed: Posed,
        *,
        emotion: Array | None = None,
        loudness: float = 0.0,
        breath: float = 0.0,
    ) -> tuple[State, dict[str, Array]]:
        """Controls of one frame (`T = 1`).

        Args:
            posed: geometry of that frame.
            emotion: `[8]` weights in the order of `regions.EMOTIONS`; None is unknown (all zero).
            loudness: of the sound, 0 to 1; 0 when unknown.
            breath: phase in radians.
        """
        first = int(state["frames"]) == 0
        now = self._visemes(motion.expression[0]) if self._wanted else np.zeros(15, np.float32)
        visemes = np.stack([now] * VISEME_FRAMES) if first else np.vstack([state["visemes"][1:], now[None]])
        angles = motion.head[0, :3]
        past = np.stack([angles] * 3) if first else np.vstack([state["angles"][1:], angles[None]])
        after: State = {"frames": state["frames"] + 1, "visemes": visemes, "angles": past}
        mood = np.zeros(len(EMOTIONS), np.float32) if emotion is None else np.asarray(emotion, np.float32)
        value, turned = motion.expression[0], angles * ANGLE_GAIN
        velocity = (past[2] - past[1]) * SPEED_GAIN
        acceleration = (past[2] - 2 * past[1] + past[0]) * SPEED_GAIN
        shift = motion.head[0, 3:5] * SHIFT_GAIN
        brows = value[ARKIT_INDEX["browInnerUp"]] - _mean(value, "browDown")
        summary = [value[_JAW], _mean(value, "mouthSmile"), brows]
        vectors: dict[str, list[npt.ArrayLike]] = {
            "visemes": [visemes.ravel(), mood, [value[_JAW], loudness], turned],
            "landmarks": [lip_vector(self._rig, posed.boxes["mouth"], posed.lips, value[_JAW], angles)],
            "eyes": [_eyes(value, motion.gaze[0]), turned],
            "hair": [turned, velocity, acceleration, past[1] * ANGLE_GAIN, past[0] * ANGLE_GAIN, shift, summary],
            "body": [[np.sin(breath), np.cos(breath)], posed.shoulders * SHOULDER_GAIN, turned, velocity, shift],
        }
        joined = {name: np.concatenate([np.ravel(part) for part in parts]) for name, parts in vectors.items()}
        cut = {name: np.clip(value, -3, 3).astype(np.float32) for name, value in joined.items()}
        return after, self._reach.controls(cut)


def lip_vector(rig: Rig, box: Array, lips: Array, jaw: float, angles: Array) -> Array:
    """The landmark conditioning `[85]`.

    Args:
        box: `[2, 3]` the mouth's box of this frame.
        lips: `[40, 2]` lip points in canvas pixels, of the posed face model or of the tracker.
        jaw: jawOpen; angles: `[3]` of the head, radians.
    """
    shape = to_patch(box, lips)
    scale = float(np.linalg.norm(rig.rest_boxes["mouth"][:, 0])) / rig.eye_px * LIP_GAIN
    across = max(float(np.linalg.norm(shape[0] - shape[10])), 1e-3)
    aspect = float(np.linalg.norm(shape[25] - shape[35])) / across
    shifts = ((shape - rig.rest_lips) * scale).ravel()
    return np.clip(np.concatenate([shifts, [jaw, aspect], angles * ANGLE_GAIN]), -3, 3).astype(np.float32)


def tracked_lips(rig: Rig, posed: Posed, points: Array, motion: Motion) -> Array:
    """The landmark conditioning `[85]` from tracked points `[478, 2]` in canvas pixels instead of the model's."""
    return lip_vector(
        rig, posed.boxes["mouth"], points[LIPS, :2], float(motion.expression[0, _JAW]), motion.head[0, :3]
    )


class _VisemeFit:
    """Weights `[15]` that explain a mouth best: bounded least squares by accelerated projected gradient."""

    def __init__(self) -> None:
        matrix = viseme_matrix()[1:]
        self._used = matrix.any(0)
        self._basis = matrix[:, self._used]
        self._gram = self._basis @ self._basis.T
        self._rate = np.float32(1 / np.linalg.eigvalsh(self._gram)[-1])

    def __call__(self, expression: Array) -> Array:
        goal = self._basis @ expression[self._used]
        weights = ahead = np.zeros(len(goal), np.float32)
        for step in range(VISEME_STEPS):
            before, weights = weights, np.clip(ahead - self._rate * (self._gram @ ahead - goal), 0, 1)
            ahead = weights + np.float32(step / (step + 3)) * (weights - before)
        rest = max(0.0, 1 - float(weights.sum()))
        return np.concatenate([[rest], weights]).astype(np.float32)


def _eyes(value: Array, gaze: Array) -> Array:
    """The fifteen values of the eyes without the head."""
    get = {name: float(value[index]) for name, index in ARKIT_INDEX.items()}
    shut = [get["eyeBlinkLeft"], get["eyeBlinkRight"]]
    wide = [get["eyeWideLeft"], get["eyeWideRight"]]
    winks = [max(shut[0] - shut[1], 0), max(shut[1] - shut[0], 0)]
    outer = (get["browOuterUpLeft"] + get["browOuterUpRight"]) / 2
    brows = [get["browDownLeft"], get["browDownRight"], get["browInnerUp"], outer]
    squints = [get["eyeSquintLeft"], get["eyeSquintRight"]]
    smile = (get["mouthSmileLeft"] + get["mouthSmileRight"]) / 2
    opened = [1 - one + two for one, two in zip(shut, wide, strict=True)]
    return np.array([*opened, *(gaze * ANGLE_GAIN), *brows, *squints, *winks, smile], np.float32)


def _mean(value: Array, name: str) -> float:
    return float(value[ARKIT_INDEX[f"{name}Left"]] + value[ARKIT_INDEX[f"{name}Right"]]) / 2
