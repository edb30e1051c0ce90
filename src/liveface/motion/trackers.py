"""Motion from what trackers send, and back: the 61 numbers of Live Link Face, blend shapes and bones of VMC.

Notable choices:
- Live Link Face has the signs of its CSV (`liveface.motion.files`): yaw alone differs from ours.
- VMC's axes are Unity's, in which an avatar looks along z. The house's axes, seen from the camera it looks at, are
  exactly those turned through a point, and a turn through a point leaves rotations as they are: the product of the
  bones from spine to head is the head's rotation in the house's frame.
- ARKit's names count, in any case, with `_L` for `Left` too. A sender with few of them speaks in VRM's presets instead:
  vowels become the mouth of their viseme, feelings that of the written emotions.
- Positions are left aside: those of a VMC avatar's bones are of its own body, and Live Link Face sends none.
"""

from __future__ import annotations

import numpy as np

from liveface.geometry import head_angles, head_rotation
from liveface.motion.codes import motion_of
from liveface.motion.emotion import EMOTIONS, resting
from liveface.motion.files import gaze_from_expression
from liveface.motion.visemes import VISEME_NAMES, viseme_matrix
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, HOUSE_FPS, Array, Motion, arkit_spec

RANGE = (-0.5, 1.5)  # of coefficients, as in motion files
FEW_NAMES = 8  # a sender with fewer of ARKit's names speaks in presets
NECK_SHARE = 0.35  # of the head's turn that our sender gives to the neck
LOOK = {"lookup": "eyeLookUp", "lookdown": "eyeLookDown"}

_BY_NAME = {name.lower(): index for index, name in enumerate(ARKIT_NAMES)}
_VOWELS = {"a": "aa", "aa": "aa", "i": "ih", "ih": "ih", "u": "ou", "ou": "ou", "e": "E", "ee": "E", "o": "oh",
           "oh": "oh"}  # fmt: skip
_FEELINGS = {
    "joy": "happy", "happy": "happy", "fun": "happy", "relaxed": "happy", "angry": "angry", "sorrow": "sad",
    "sad": "sad", "surprised": "surprised",
}  # fmt: skip
_BLINKS = {"blink": ("Left", "Right"), "blinkleft": ("Left",), "blinkright": ("Right",)}
_MILD = {"fun": 0.6, "relaxed": 0.4}  # presets that are less than the emotion they stand for
_TURN = ("Spine", "Chest", "UpperChest", "Neck", "Head")


def motion_of_livelink(values: Array, fps: float = HOUSE_FPS) -> Motion:
    """One frame of motion from the 61 numbers of a Live Link Face packet."""
    angles = values[52:].reshape(3, 3)  # head and eyes; yaw, pitch, roll
    head = np.zeros((1, 6), np.float32)
    head[0, :3] = angles[0, 1], -angles[0, 0], angles[0, 2]
    gaze = np.array([[angles[1, 1], -angles[1, 0], angles[2, 1], -angles[2, 0]]], np.float32)
    expression = np.clip(values[None, :52], *RANGE)
    if not gaze.any():
        gaze = gaze_from_expression(expression)
    return Motion(expression, head, gaze, arkit_spec(fps))


def livelink_of_motion(motion: Motion) -> Array:
    """The 61 numbers of the first frame; the inverse of `motion_of_livelink`, without the head's position."""
    head, gaze = motion.head[0], motion.gaze[0]
    angles = [-head[1], head[0], head[2], -gaze[1], gaze[0], 0, -gaze[3], gaze[2], 0]
    return np.concatenate([motion.expression[0], np.array(angles, np.float32)])


def motion_of_vmc(blends: dict[str, float], bones: dict[str, Array], fps: float = HOUSE_FPS) -> Motion:
    """One frame of motion from blend shapes by name, and local rotations of bones as quaternions `[4]`."""
    expression = np.clip(_expression(blends), *RANGE)[None]
    turn = np.eye(3, dtype=np.float32)
    for name in _TURN:
        if name in bones:
            turn = turn @ rotation_of(bones[name])
    head = np.zeros((1, 6), np.float32)
    head[0, :3] = head_angles(turn)
    eyes = [head_angles(rotation_of(bones[name]))[:2] for name in ("LeftEye", "RightEye") if name in bones]
    gaze = np.array([[*eyes[0], *eyes[1]]] if len(eyes) == 2 else np.zeros((1, 4)), np.float32)
    if not gaze.any():
        gaze = gaze_from_expression(expression)
    return Motion(expression, head, gaze, arkit_spec(fps))


def vmc_of_motion(motion: Motion) -> tuple[dict[str, float], dict[str, Array]]:
    """Blend shapes by ARKit's names and rotations of neck, head and eyes; the inverse of `motion_of_vmc`."""
    blends = {name: float(value) for name, value in zip(ARKIT_NAMES, motion.expression[0], strict=True)}
    pitch, yaw, roll = (float(angle) for angle in motion.head[0, :3])
    whole = head_rotation(pitch, yaw, roll)
    neck = head_rotation(NECK_SHARE * pitch, NECK_SHARE * yaw, NECK_SHARE * roll)
    left, right = (head_rotation(float(eye[0]), float(eye[1]), 0.0) for eye in motion.gaze[0].reshape(2, 2))
    bones = {"Neck": neck, "Head": neck.T @ whole, "LeftEye": left, "RightEye": right}
    return blends, {name: quaternion_of(turn) for name, turn in bones.items()}


def rotation_of(quaternion: Array) -> Array:
    """The rotation matrix `[3, 3]` of a unit quaternion `[4]`: x, y, z, w."""
    x, y, z, w = (float(value) for value in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        np.float32,
    )


def quaternion_of(turn: Array) -> Array:
    """The unit quaternion `[4]`, x, y, z, w, of a rotation by less than half a turn; inverse of `rotation_of`."""
    w = np.sqrt(max(0.0, 1.0 + float(np.trace(turn)))) / 2
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    found = np.array([*(axis / (4 * max(w, 1e-6))), w])
    return np.asarray(found / np.linalg.norm(found), np.float32)


def _expression(blends: dict[str, float]) -> Array:
    """The 52 coefficients that blend shapes mean."""
    named = {_plain(name): value for name, value in blends.items()}
    expression = np.zeros(52, np.float32)
    known = [name for name in named if name in _BY_NAME]
    for name in known:
        expression[_BY_NAME[name]] = named[name]
    return expression if len(known) >= FEW_NAMES else np.maximum(expression, _presets(named))


def _plain(name: str) -> str:
    """A name in small letters, its side written out: `Blink_L` and `blinkLeft` are one."""
    name = name.lower()
    return name[:-2] + {"_l": "left", "_r": "right"}[name[-2:]] if name.endswith(("_l", "_r")) else name


def _presets(named: dict[str, float]) -> Array:
    """The 52 coefficients of VRM's presets, 0 and 1."""
    weights = np.zeros(len(VISEME_NAMES), np.float32)
    feelings = np.zeros(len(EMOTIONS), np.float32)
    expression = np.zeros(52, np.float32)
    for name, raw in named.items():
        value = np.float32(min(max(raw, 0.0), 1.0))
        if name in _VOWELS:
            at = VISEME_NAMES.index(_VOWELS[name])
            weights[at] = max(weights[at], value)
        elif name in _FEELINGS:
            at = EMOTIONS.index(_FEELINGS[name])
            feelings[at] = max(feelings[at], value * _MILD.get(name, 1.0))
        elif name in _BLINKS:
            for side in _BLINKS[name]:
                at = ARKIT_INDEX[f"eyeBlink{side}"]
                expression[at] = max(expression[at], value)
        elif name in LOOK:
            expression[[ARKIT_INDEX[f"{LOOK[name]}{side}"] for side in ("Left", "Right")]] = value
        elif name in ("lookleft", "lookright"):  # the person's own left and right
            out, into = ("Left", "Right") if name == "lookleft" else ("Right", "Left")
            expression[[ARKIT_INDEX[f"eyeLookOut{out}"], ARKIT_INDEX[f"eyeLookIn{into}"]]] = value
    felt = motion_of(resting(feelings)[None]).expression[0]
    return np.asarray(np.maximum(expression, np.clip(weights @ viseme_matrix() + felt, 0, 1)), np.float32)
