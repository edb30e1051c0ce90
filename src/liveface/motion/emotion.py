"""Eight emotions over codes of motion: what each does to a face, and how it gives way to speech.

Notable choices: the targets are written, not learned, because no recording at hand is labelled with an emotion; they
follow the action units that EMFACS gives each emotion, with the size of a smile measured on 92 people. Speech goes
first: nothing that parts the lips is let through while a sound shuts them, corners give way to rounded lips, and an
opened mouth waits for silence. Expressions come and go within half a second and swell with stressed syllables. Every
step is causal, so one frame at a time gives the same numbers as a whole recording.

Sources: Ekman, Friesen and Hager 2002 (FACS) and Friesen and Ekman 1983 (EMFACS) for the action units; Matsumoto and
Ekman 2004 for contempt's one raised corner; Schmidt, Cohn and Tian 2003 for the onset of smiles; the Face Research Lab
London Set (DeBruine and Jones 2017) for the size of a smile: mouthSmile 0.34 in the middle, 0.08 to 0.63 for eight of
ten people, as the solver reads them, and rollUpper 0.11, upperUp 0.07, jawOpen 0.06 beside it. The sizes of all others
were chosen by eye on avatars and photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.errors import MotionError
from liveface.motion.codes import CODE_NAMES, CODES, GROUPS, TRACKS
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array, Motion, State

EMOTIONS = ("neutral", "happy", "sad", "angry", "afraid", "disgusted", "surprised", "contemptuous")
"""The eight classes in the order of every vector of intensities; the first entry is unused and 0."""

# What the code of each emotion is at intensity 1, by the first name of each track; comments name the action units.
_TARGETS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {  # 6 + 12
        "mouthSmileLeft": 0.76, "cheekSquintLeft": 0.70, "eyeSquintLeft": 0.25, "mouthUpperUpLeft": 0.16,
        "mouthRollUpper": 0.08, "mouthDimpleLeft": 0.10, "mouthLowerDownLeft": 0.06, "browInnerUp": 0.06,
        "browOuterUpLeft": 0.15, "headPitch": -0.2,
    },
    "sad": {  # 1 + 4 + 15 + 17
        "browInnerUp": 0.70, "browDownLeft": 0.35, "mouthFrownLeft": 0.80, "mouthShrugLower": 0.16,
        "mouthRollLower": 0.05, "eyeSquintLeft": 0.12, "headPitch": 0.8, "headRoll": 0.3,
    },
    "angry": {  # 4 + 5 + 7 + 23
        "browDownLeft": 1.00, "eyeSquintLeft": 0.50, "eyeWideLeft": 0.35, "noseSneerLeft": 0.40,
        "mouthPressLeft": 0.50, "mouthRollLower": 0.15, "mouthRollUpper": 0.10, "mouthFrownLeft": 0.28,
        "jawForward": 0.20, "headPitch": 0.7,
    },
    "afraid": {  # 1 + 2 + 4 + 5 + 20 + 25
        "browInnerUp": 0.75, "browOuterUpLeft": 0.30, "browDownLeft": 0.20, "eyeWideLeft": 0.85,
        "mouthStretchLeft": 0.65, "mouthLowerDownLeft": 0.22, "jawOpen": 0.08, "mouthFrownLeft": 0.20,
        "headPitch": -0.4,
    },
    "disgusted": {  # 9 + 10 + 15 + 17
        "noseSneerLeft": 0.90, "mouthUpperUpLeft": 0.30, "browDownLeft": 0.70, "mouthFrownLeft": 0.45,
        "mouthShrugLower": 0.30, "mouthLowerDownLeft": 0.08, "eyeSquintLeft": 0.45, "cheekSquintLeft": 0.55,
        "headPitch": -0.3, "headYaw": 0.3,
    },
    "surprised": {  # 1 + 2 + 5 + 26
        "browInnerUp": 0.70, "browOuterUpLeft": 0.75, "eyeWideLeft": 0.75, "jawOpen": 0.24, "mouthFunnel": 0.06,
        "headPitch": -0.3,
    },
    "contemptuous": {  # 14, and 12 on one side, which `complete` adds
        "mouthDimpleLeft": 0.45, "mouthPressLeft": 0.20, "mouthSmileLeft": 0.12, "browOuterUpLeft": 0.12,
        "eyeSquintLeft": 0.25, "mouthShrugLower": 0.10, "headPitch": -0.8, "headRoll": -0.3,
    },
}  # fmt: skip
# What a stressed syllable adds at intensity 1.
_ACCENTS: dict[str, dict[str, float]] = {
    "happy": {"browInnerUp": 0.20, "browOuterUpLeft": 0.30, "cheekSquintLeft": 0.15, "headPitch": 0.3},
    "sad": {"browInnerUp": 0.25, "headPitch": 0.2},
    "angry": {"browDownLeft": 0.25, "noseSneerLeft": 0.20, "headPitch": 0.7},
    "afraid": {"browInnerUp": 0.25, "eyeWideLeft": 0.20, "headPitch": -0.2},
    "disgusted": {"noseSneerLeft": 0.25, "mouthUpperUpLeft": 0.12, "headPitch": 0.2},
    "surprised": {"browInnerUp": 0.25, "browOuterUpLeft": 0.25, "headPitch": -0.3},
    "contemptuous": {"browOuterUpLeft": 0.25, "headPitch": -0.2},
}
# How wide the mouth opens in speech and how lively brows and head are, as factors at intensity 1.
_ARTICULATION = np.array([1.0, 1.05, 0.8, 1.08, 0.95, 0.95, 1.1, 0.9], np.float32)
_LIVELINESS = np.array([1.0, 1.2, 0.6, 1.2, 1.0, 0.9, 1.3, 0.7], np.float32)

# Centimetres by which one unit of a track parts the inner lips, of the face model at the middle of the mouth.
_PARTS: dict[str, float] = {
    "jawForward": 0.14, "jawOpen": 2.63, "mouthClose": -2.64, "mouthFunnel": 1.22, "mouthPucker": -0.09,
    "mouthSmileLeft": 0.07, "mouthFrownLeft": -0.13, "mouthDimpleLeft": -0.32, "mouthStretchLeft": -0.04,
    "mouthRollLower": -0.09, "mouthRollUpper": 0.22, "mouthShrugLower": -0.7, "mouthShrugUpper": 0.57,
    "mouthPressLeft": -0.21, "mouthLowerDownLeft": 0.61, "mouthUpperUpLeft": 0.82, "noseSneerLeft": 0.61,
}  # fmt: skip

ONSET_S = 0.22  # time constant with which an expression comes and goes; whole within half a second
TALK_S = 0.35  # after the last opening the mouth belongs to the emotion again
QUICK_S, SLOW_S, ACCENT_S = 0.06, 0.6, 0.1  # envelopes of the opening, and of the accent they make
SHUT_CM = 0.3  # lip gap below which a talking mouth is about to shut; chosen
CORNERS_YIELD_SHUT, CORNERS_YIELD_ROUND = 0.3, 0.45  # share of smile, frown and stretch that p and u take away

# Below which gap lips that come near each other are brought together: a share of the emotion's own, and more.
NEAR_SHARE, NEAR_CM, NEAR_POWER = 0.9, 0.2, 1.5
SEEN = 0.6  # exponent from intensity to size: at 0.5 an emotion is to be seen as half, chosen by eye
SMILE_PRESS = 0.4  # pressed lips for one unit of smile while they shut: a smile thins them, and they would part


def _table(rows: dict[str, dict[str, float]]) -> Array:
    """Rows by emotion `[8, 26]`."""
    out = np.zeros((len(EMOTIONS), CODES), np.float32)
    for emotion, values in rows.items():
        for name, value in values.items():
            out[EMOTIONS.index(emotion), CODE_NAMES.index(name)] = value
    return out


def _row(values: dict[str, float]) -> Array:
    out = np.zeros(CODES, np.float32)
    for name, value in values.items():
        out[CODE_NAMES.index(name)] = value
    return out


def _flags(*names: str) -> Array:
    return _row(dict.fromkeys(names, 1.0))


_TARGET, _ACCENT, _PARTING = _table(_TARGETS), _table(_ACCENTS), _row(_PARTS)
_MOUTH = np.zeros(CODES, np.float32)
_MOUTH[GROUPS["mouth"]] = 1
_OPENERS = np.asarray(_MOUTH * (_PARTING > 0.1), np.float32)  # what parts the lips waits while they shut
_CORNERS = _flags("mouthSmileLeft", "mouthFrownLeft", "mouthStretchLeft", "mouthDimpleLeft")
_WIDE = _flags("jawOpen", "mouthClose", "mouthLowerDownLeft", "mouthUpperUpLeft")  # what articulation scales
_SNEER, _FROWN = _flags("noseSneerLeft"), _flags("mouthFrownLeft")
_AWAKE = 1 - _MOUTH
_ROUND = _row({"mouthFunnel": 1.6, "mouthPucker": 1.0})
_SHUTTERS = _flags("mouthPressLeft", "mouthRollLower", "mouthRollUpper")
_RIVALS = tuple(
    (CODE_NAMES.index(one), CODE_NAMES.index(other))
    for one, other in (("mouthSmileLeft", "mouthFrownLeft"), ("browDownLeft", "browOuterUpLeft"),
                       ("eyeWideLeft", "eyeSquintLeft"))
)  # fmt: skip
_BITE = CODE_NAMES.index("mouthRollLower")
_SMILE, _PRESS, _RAISE = (CODE_NAMES.index(name) for name in ("mouthSmileLeft", "mouthPressLeft", "mouthShrugLower"))
_BOUNDED = len(TRACKS)  # numbers before the head's, held to 0 to 1


def parse_emotions(text: str) -> Array:
    """Intensities `[8]` of a line such as "happy:0.7,surprised:0.2"; a name alone means 1.

    Raises:
        MotionError: an unknown name, one named twice, or an intensity that is no number from 0 to 1.
    """
    out = np.zeros(len(EMOTIONS), np.float32)
    named = set()
    for part in text.split(","):
        name, colon, number = (piece.strip() for piece in part.partition(":"))
        if name not in EMOTIONS:
            raise MotionError(
                f"there is no emotion {name!r}; expected some of {', '.join(EMOTIONS)}, such as happy:0.7,sad:0.2."
            )
        if name in named:
            raise MotionError(f"emotion {name!r} is named twice in {text!r}; expected each at most once.")
        named.add(name)
        try:
            value = float(number) if colon else 1.0
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1:
            raise MotionError(f"intensity {number!r} of {name} is not usable; expected a number from 0 to 1.")
        out[EMOTIONS.index(name)] = value
    out[0] = 0
    return out


def check_emotion(emotion: Array) -> Array:
    """Intensities `[..., 8]` as float32, neutral's entry 0.

    Raises:
        MotionError: they have another width, or are not numbers from 0 to 1.
    """
    value = np.array(emotion, np.float32)
    if value.ndim == 0 or value.shape[-1] != len(EMOTIONS):
        raise MotionError(f"emotions have shape {value.shape}; expected {len(EMOTIONS)} intensities a frame.")
    if not (np.isfinite(value).all() and (value >= 0).all() and (value <= 1).all()):
        raise MotionError(f"emotions range from {value.min()} to {value.max()}; expected intensities from 0 to 1.")
    value[..., 0] = 0
    return value


@dataclass(frozen=True, slots=True)
class Emoter:
    """Puts emotions on codes frame by frame; the state is an argument.

    Attributes:
        fps: frames per second of the codes.
    """

    fps: float = HOUSE_FPS

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fps) and 0 < self.fps <= 1000):
            raise MotionError(f"emotions at {self.fps} fps are not usable; expected a rate above 0 and up to 1000.")

    def start(self, batch: tuple[int, ...] = ()) -> State:
        """State before the first frame: whether there was one, the sizes in force, and the mouth's envelopes.

        `mouth` holds whether it talks (1 falling to 0), a quick and a slow opening in cm, and the accent.
        """
        return {
            "begun": np.zeros((), np.bool_),
            "emotion": np.zeros((*batch, len(EMOTIONS)), np.float32),
            "mouth": np.zeros((*batch, 4), np.float32),
        }

    def step(self, state: State, codes: Array, emotion: Array) -> tuple[State, Array]:
        """One frame: codes `[..., 26]` of neutral speech and intensities `[..., 8]`; returns state and codes."""
        later = self._follow(state, _gap_cm(codes), emotion)
        return later, _express(codes, later["emotion"].astype(np.float32), later["mouth"].astype(np.float32))

    def run(self, codes: Array, emotion: Array) -> Array:
        """Frames `[..., T, 26]` from the start with intensities `[..., T, 8]`: the same numbers without waiting."""
        state, gaps = self.start(codes.shape[:-2]), _gap_cm(codes)
        emotions, mouths = np.empty_like(emotion), np.empty((*codes.shape[:-1], 4), np.float32)
        for frame in range(codes.shape[-2]):
            state = self._follow(state, gaps[..., frame], emotion[..., frame, :])
            emotions[..., frame, :], mouths[..., frame, :] = state["emotion"], state["mouth"]
        return _express(codes, emotions, mouths)

    def _follow(self, state: State, gap_cm: Array, emotion: Array) -> State:
        """The state one frame later."""
        held, emotion = np.asarray(state["emotion"], np.float32), np.asarray(emotion**SEEN, np.float32)
        now = held + (emotion - held) * self._share(ONSET_S) if state["begun"] else np.broadcast_to(emotion, held.shape)
        mouth = self._envelopes(np.asarray(state["mouth"], np.float32), gap_cm)
        return {"begun": np.ones((), np.bool_), "emotion": np.array(now, np.float32), "mouth": mouth}

    def _share(self, seconds: float) -> float:
        return float(1 - np.exp(-1 / (self.fps * seconds)))

    def _envelopes(self, mouth: Array, gap_cm: Array) -> Array:
        """Envelopes `[..., 4]` one frame later; `gap_cm` `[...]` between the lips of the neutral code."""
        talk, quick, slow, accent = np.moveaxis(mouth, -1, 0)
        gap_cm = np.maximum(gap_cm, 0)
        moves = np.minimum(np.abs(gap_cm - quick) / 0.15, 1)  # a mouth that is held open does not talk
        talk = np.maximum(talk * (1 - self._share(TALK_S)), moves)
        quick = quick + (gap_cm - quick) * self._share(QUICK_S)
        slow = slow + (gap_cm - slow) * self._share(SLOW_S)
        push = np.clip((quick - slow) / 0.6, 0, 1)
        return np.stack([talk, quick, slow, accent + (push - accent) * self._share(ACCENT_S)], -1).astype(np.float32)


def emote(codes: Array, emotion: Array, fps: float = HOUSE_FPS) -> Array:
    """Codes of neutral speech with emotions on them.

    Args:
        codes: `[..., T, 26]`.
        emotion: intensities `[8]` for all frames, or anything that broadcasts to `[..., T, 8]`.
        fps: frames per second.

    Returns: codes of the same shape; head numbers are added, all others stay within 0 to 1.

    Raises:
        MotionError: shapes that do not fit, or intensities beyond 0 to 1.
    """
    codes = np.asarray(codes, np.float32)
    wanted = check_emotion(emotion)
    if codes.ndim < 2 or codes.shape[-1] != CODES:
        raise MotionError(f"codes have shape {codes.shape}; expected [..., frames, {CODES}].")
    try:
        wanted = np.broadcast_to(wanted, (*codes.shape[:-1], len(EMOTIONS)))
    except ValueError as error:
        raise MotionError(
            f"emotions of shape {wanted.shape} do not fit codes of shape {codes.shape}; expected [8] or a row a frame."
        ) from error
    return Emoter(fps).run(codes, np.array(wanted))


def resting(emotion: Array) -> Array:
    """The code `[..., 26]` of a silent face in an emotion `[..., 8]`: what a mouth returns to when nobody speaks."""
    wanted = check_emotion(emotion)
    return emote(np.zeros((*wanted.shape[:-1], 1, CODES), np.float32), wanted[..., None, :])[..., 0, :]


def shut(code: Array, emotion: Array, rest: Array) -> Array:
    """A network's code `[26]` in an emotion `[8]`, at rest `[26]`: lips that come near each other come all the way.

    The speech network has learned emotions and sounds together, and leaves lips ajar on p, b and m where the emotion
    parts them: below the gap of the silent emotion, what parts the lips is taken away, the more the nearer they are.
    Measured on 35 sounds of held-out speakers at intensity 0.7, lips shut: surprised .54 to .77, afraid .77 to .83,
    disgusted .69 to .71 (neutral .80).
    """
    strength = float(min(emotion.sum(), 1))
    if strength == 0:
        return code
    gap_cm = float(_gap_cm(code))
    near_cm = NEAR_SHARE * max(float(_gap_cm(rest)), 0.0) + NEAR_CM * strength
    opens_cm = float(code @ (_PARTING * _OPENERS))
    if not 0 < gap_cm < near_cm or opens_cm <= 0:
        return code
    left = max(0.0, 1 - gap_cm * (1 - (gap_cm / near_cm) ** NEAR_POWER) / opens_cm)
    return np.asarray(code * (1 - _OPENERS * (1 - left)), np.float32)


def _gap_cm(codes: Array) -> Array:
    """Centimetres `[...]` between the lips of codes `[..., 26]`; below 0 they press on each other."""
    return np.asarray(codes @ (_PARTING * _MOUTH), np.float32)


def _rise(value: Array) -> Array:
    """A smooth step from 0 to 1."""
    value = np.clip(value, 0, 1)
    return np.asarray(value * value * (3 - 2 * value), np.float32)


def _express(codes: Array, emotion: Array, mouth: Array) -> Array:
    """One instant: codes `[..., 26]`, intensities `[..., 8]` and envelopes `[..., 4]` to codes with emotion."""
    talk, accent = mouth[..., :1], mouth[..., 3:]
    closing = _rise(1 - _gap_cm(codes) / SHUT_CM)[..., None]
    pressed = _rise(np.asarray((codes @ _SHUTTERS - 0.08) / 0.12, np.float32))[..., None]
    rounded = _rise(np.asarray((codes @ _ROUND - 0.12) / 0.45, np.float32))[..., None]
    shut = closing * np.maximum(pressed, _rise(talk / 0.5))
    bitten = _rise(np.asarray((codes[..., _BITE] - 0.15) / 0.15, np.float32))[..., None]  # f and v: lip under teeth
    strength = np.minimum(emotion.sum(-1, keepdims=True), 1)
    wide = 1 + emotion @ (_ARTICULATION - 1)[:, None]
    lively = 1 + emotion @ (_LIVELINESS - 1)[:, None]
    base = codes * (1 + (wide - 1) * _WIDE) * (1 + (lively - 1) * _AWAKE)
    add = emotion @ _TARGET + (emotion @ _ACCENT) * accent
    # Openers: none while the lips shut, half while they talk, for the sounds open them by themselves.
    add = (
        add
        * (1 - _OPENERS * np.maximum(np.maximum(shut, bitten), 0.5 * talk))
        * (1 - _SNEER * np.maximum(0.5 * shut, 0.8 * bitten))
        * (1 - _FROWN * 0.6 * talk)
    )
    add = add * (1 - _CORNERS * np.maximum(CORNERS_YIELD_SHUT * shut, CORNERS_YIELD_ROUND * rounded))
    # Pressed lips are for silence: a mouth that opens is not pressed.
    add = add * (1 - _SHUTTERS * (1 - closing))
    add[..., _PRESS] += SMILE_PRESS * (shut * add)[..., _SMILE]
    for one, other in _RIVALS:
        for here, there in ((one, other), (other, one)):
            base[..., here] *= 1 - strength[..., 0] * np.clip(2 * add[..., there], 0, 0.8)
    tracks = np.clip(base[..., :_BOUNDED], 0, 1)
    tracks = tracks + np.clip(add[..., :_BOUNDED], 0, 1) * (1 - tracks)
    ajar_cm = np.maximum(tracks @ _PARTING[:_BOUNDED] - np.maximum(_gap_cm(codes), 0), 0) * shut[..., 0]
    tracks[..., _RAISE] = np.minimum(tracks[..., _RAISE] - ajar_cm / _PARTING[_RAISE], 1)
    return np.concatenate([tracks, base[..., _BOUNDED:] + add[..., _BOUNDED:]], -1).astype(np.float32)


# What 26 numbers cannot hold: lids that hang (eyeBlink), a gaze that drops (radians), and one corner of the mouth.
_LIDS = np.array([0, 0, 0.2, 0, 0, 0.08, 0, 0.1], np.float32)
_DROP_RAD = np.array([0, 0, 0.07, 0, 0, 0, 0, 0.03], np.float32)
_ONE_SIDED = {"mouthSmileLeft": 0.42, "mouthDimpleLeft": 0.3, "mouthUpperUpLeft": 0.1, "cheekSquintLeft": 0.25}
_OTHER_SIDE = {"mouthDimpleRight": -0.2, "mouthSmileRight": -0.1}
_LONG_LASHES = 0.75  # hanging lids never come nearer to shut than this; a blink does


def complete(motion: Motion, emotion: Array) -> Motion:
    """A motion with what the code of an emotion cannot hold: heavy lids, a lowered gaze, contempt's one corner.

    Args:
        motion: `[T]` frames, blinks and gaze in place.
        emotion: intensities `[8]` or `[T, 8]`.

    Raises:
        MotionError: intensities that do not fit.
    """
    wanted = check_emotion(emotion)
    if wanted.ndim > 2 or (wanted.ndim == 2 and len(wanted) != len(motion)):
        raise MotionError(
            f"emotions of shape {wanted.shape} do not fit {len(motion)} frames; expected [8] or a row each."
        )
    wanted = np.broadcast_to(wanted, (len(motion), len(EMOTIONS)))
    expression, gaze = motion.expression.copy(), motion.gaze.copy()
    heavy = wanted @ _LIDS
    for side in ("Left", "Right"):
        lid = ARKIT_INDEX[f"eyeBlink{side}"]
        expression[:, lid] = np.maximum(expression[:, lid], np.minimum(expression[:, lid] + heavy, _LONG_LASHES))
    gaze[:, [0, 2]] += (wanted @ _DROP_RAD)[:, None]
    contempt = wanted[:, EMOTIONS.index("contemptuous")]
    speaks = 1 - 0.5 * _rise(motion.coefficient("mouthPucker") / 0.5)
    for name, size in {**_ONE_SIDED, **_OTHER_SIDE}.items():
        column = ARKIT_INDEX[name]
        expression[:, column] = np.clip(expression[:, column] + size * contempt * speaks, 0, 1)
    return Motion(expression, motion.head, gaze, motion.spec, motion.landmarks)
