"""What a face does by itself: blinks, gaze, brows, breath, and a head that is never quite still.

Notable choices: every event is a pure function of the seed and of time (hashed slots and value noise), so that hours
cost no memory, nothing drifts, any rate shows the same life, and offline equals live; only what follows the voice
(nods, brow accents, liveliness) has a little state. Sizes and rates are those of people in conversation: 12 to 20
blinks a minute (Bentivoglio 1997: 17 at rest, 26 talking), lids close in 80 ms and open in 150 to 200 ms (VanderWerf
2003), saccades of 21 ms plus 2.2 ms a degree (Carpenter 1988).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from liveface.errors import MotionError
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array, Motion, State, arkit_spec

BLINK_SLOT_S = 4.0  # one blink in most slots; with doubles about 16 a minute
BLINK_CHANCE, DOUBLE_CHANCE = 0.94, 0.12
CLOSE_S, SHUT_S, OPEN_S = 0.08, 0.045, 0.17
GAZE_SLOT_S = 0.7  # a new fixation may begin once a slot
GAZE_KEEP, GAZE_LONGEST = 0.55, 6  # chance to stay, and slots after which one moves on
GAZE_HOME = 0.62  # share of fixations that look into the camera
GAZE_SPREAD_RAD = (0.05, 0.1)  # pitch, yaw: mean absolute size of a glance elsewhere
GAZE_MOST_RAD = (0.16, 0.3)
SACCADE_S = 0.021  # plus SACCADE_S_PER_RAD of size
SACCADE_S_PER_RAD = 2.2e-3 * 57.3
TREMBLE_SLOT_S, TREMBLE_RAD = 0.55, 0.006  # micro-saccades
LOOK_FULL_RAD = 0.55  # gaze at which ARKit's eyeLook coefficients are 1, about 31 degrees

SWAY = ((0.021, 0.030, 0.017), (0.20, 0.10, 0.22))  # pitch, yaw, roll in rad; x, y, z in cm: standard deviations
SWAY_HZ = (0.07, 0.16, 0.37, 0.8)  # octaves of the sway, amplitudes fall as 1/f^0.8
BREATH_HZ, BREATH_RAD, BREATH_CM = 0.23, 0.004, 0.06
NOD_RAD, BROW_ACCENT, TALK_SWAY = 0.05, 0.35, 0.7
LISTEN_NOD_RAD, LISTEN_NOD_HZ = 0.045, 1.6  # nods of listeners: 2 to 4 degrees, one to two a second (Hadar 1985)
LISTEN_LOUDNESS = 0.12  # from here on, quick and slow loudness together, somebody speaks; chosen
_EYES = ("Left", "Right")


@lru_cache(maxsize=4096)  # a frame asks for much the same as the one before
def _hash(*keys: int) -> float:
    """A number in [0, 1) that depends on nothing but `keys`. Source: Steele et al. 2014 (SplitMix64)."""
    value = 0x9E3779B97F4A7C15
    for key in keys:
        value = (value ^ (key & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value / 2**64


def _smooth(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _noise(seed: int, channel: int, at: float) -> float:
    """Value noise: smooth, mean 0, deviation about 0.5, one new value a unit of `at`. Source: Perlin 1985."""
    cell = int(np.floor(at))
    low, high = 2 * _hash(seed, channel, cell) - 1, 2 * _hash(seed, channel, cell + 1) - 1
    return low + (high - low) * _smooth(at - cell)


def _sway(seed: int, channel: int, time_s: float) -> float:
    """Slow noise with a 1/f spectrum, deviation about 1."""
    parts = [(hertz / SWAY_HZ[0]) ** -0.8 * _noise(seed, channel * 16 + i, time_s * hertz)
             for i, hertz in enumerate(SWAY_HZ)]  # fmt: skip
    return 1.65 * sum(parts)


def lid_profile(since_s: float) -> float:
    """How shut the lids are `since_s` seconds after a blink began: 0 to 1, quick down, slower up."""
    if since_s <= 0 or since_s >= CLOSE_S + SHUT_S + OPEN_S:
        return 0.0
    if since_s < CLOSE_S:
        return _smooth(since_s / CLOSE_S)
    if since_s < CLOSE_S + SHUT_S:
        return 1.0
    left = 1 - (since_s - CLOSE_S - SHUT_S) / OPEN_S
    return left * left * (1.6 - 0.6 * left)  # leaves quickly, settles slowly


@dataclass(frozen=True, slots=True)
class IdleMotion:
    """A seeded idle face.

    Attributes:
        seed: the same seed moves the same way.
        fps: frames per second of the motion.
        head: size of head motion, 0 to hold still, 1 is natural.
        blink: how often to blink, 0 never, 1 is natural.
        gaze: size of gaze shifts.
        breath_hz: breaths a second.
        nods: nods a minute while nobody speaks, 0 none: one who listens.
    """

    seed: int = 0
    fps: float = HOUSE_FPS
    head: float = 1.0
    blink: float = 1.0
    gaze: float = 1.0
    breath_hz: float = BREATH_HZ
    nods: float = 0.0

    def __post_init__(self) -> None:
        for name in ("head", "blink", "gaze"):
            value = getattr(self, name)
            if not (np.isfinite(value) and 0 <= value <= 4):
                raise MotionError(f"idle motion with {name} = {value} is not usable; expected a number from 0 to 4.")
        if not (np.isfinite(self.breath_hz) and 0 < self.breath_hz <= 1 and 0 <= self.nods <= 30):
            raise MotionError(
                f"idle motion with {self.breath_hz} breaths a second and {self.nods} nods a minute is not usable; "
                "expected above 0 to 1, and 0 to 30."
            )
        if not (np.isfinite(self.fps) and 0 < self.fps <= 1000):
            raise MotionError(f"idle motion at {self.fps} fps is not usable; expected a rate above 0 and up to 1000.")

    def start(self) -> State:
        """State before the first frame: its index, and what follows the voice.

        `voice` holds a quick and a slow loudness, the nod and its speed, the brow accent and its speed.
        """
        return {"frame": np.zeros((), np.int64), "voice": np.zeros(6, np.float64)}

    def step(self, state: State, loudness: float = 0.0) -> tuple[State, Motion]:
        """The next frame; `loudness` of the voice is 0 (silent) to 1."""
        frame = int(state["frame"])
        time_s = frame / self.fps
        voice = self._voice(np.asarray(state["voice"], np.float64), float(np.clip(loudness, 0, 1)))
        expression = np.zeros((1, 52), np.float32)
        head = self._head(time_s, voice)
        gaze = self._gaze(time_s, head)
        self._eyes(expression[0], time_s, gaze)
        self._brows(expression[0], time_s, voice)
        motion = Motion(expression, head[None], gaze[None], arkit_spec(self.fps))
        return {"frame": np.array(frame + 1, np.int64), "voice": voice}, motion

    def run(self, frames: int, loudness: Array | None = None) -> Motion:
        """`frames` frames from the start, with the voice's loudness `[T]` if there is one."""
        state, parts = self.start(), []
        for index in range(frames):
            state, motion = self.step(state, 0.0 if loudness is None else float(loudness[index]))
            parts.append(motion)
        return Motion.concat(parts) if parts else Motion.rest(0, self.fps)

    def mix(self, motion: Motion, loudness: Array | None = None) -> Motion:
        """`motion` with this idle life added to it; rates must agree."""
        if motion.fps != self.fps:
            raise MotionError(f"idle motion at {self.fps:g} fps cannot join motion at {motion.fps:g}; resample one.")
        return joined(motion, self.run(len(motion), loudness))

    def _voice(self, voice: Array, loudness: float) -> Array:
        """Follow the voice: envelopes, then two damped springs that syllables push."""
        quick, slow, nod, nod_speed, brow, brow_speed = voice
        dt = 1 / self.fps
        quick += (loudness - quick) * (1 - np.exp(-dt / 0.06))
        slow += (loudness - slow) * (1 - np.exp(-dt / (0.5 if loudness > slow else 1.2)))
        push = max(quick - slow, 0.0)
        steps = max(1, round(240 / self.fps))  # springs are integrated at 240 Hz or more
        for _ in range(steps):
            h = dt / steps
            nod_speed += h * (9.0**2 * (push - nod) - 2 * 0.8 * 9.0 * nod_speed)
            nod += h * nod_speed
            brow_speed += h * (6.0**2 * (push - brow) - 2 * 0.9 * 6.0 * brow_speed)
            brow += h * brow_speed
        return np.array([quick, slow, nod, nod_speed, brow, brow_speed])

    def _head(self, time_s: float, voice: Array) -> Array:
        size = 1 + TALK_SWAY * float(voice[1])
        angles = [deviation * size * _sway(self.seed, 1 + i, time_s) for i, deviation in enumerate(SWAY[0])]
        shifts = [deviation * size * _sway(self.seed, 5 + i, time_s) for i, deviation in enumerate(SWAY[1])]
        breath = np.sin(2 * np.pi * (self.breath_hz * time_s + 0.35 * _noise(self.seed, 200, time_s * 0.05)))
        angles[0] += NOD_RAD * float(voice[2]) + BREATH_RAD * breath + self._nod(time_s, voice)
        shifts[1] -= BREATH_CM * breath
        return (self.head * np.array(angles + shifts)).astype(np.float32)

    def _nod(self, time_s: float, voice: Array) -> float:
        """Pitch in radians of the nods of one who listens: one to three dips, each smaller, while nobody speaks."""
        if self.nods == 0:
            return 0.0
        length = 60 / self.nods
        slot = int(np.floor(time_s / length))
        begin = (slot + 0.6 * _hash(self.seed, 350, slot)) * length
        count = max(1, min(1 + int(3 * _hash(self.seed, 351, slot) ** 2), int(0.35 * length * LISTEN_NOD_HZ)))
        at = (time_s - begin) * LISTEN_NOD_HZ
        if not 0 <= at < count:
            return 0.0
        size = LISTEN_NOD_RAD * (0.6 + 0.8 * _hash(self.seed, 352, slot)) * 0.6 ** int(at)
        quiet = _smooth(1 - (float(voice[0]) + float(voice[1])) / LISTEN_LOUDNESS)
        return quiet * size * float(np.sin(np.pi * (at % 1))) ** 2

    def _fixation(self, slot: int) -> tuple[float, float, float]:
        """When the fixation of `slot` began (s), and where it looks: pitch, yaw in radians."""
        for back in range(GAZE_LONGEST):
            begun = slot - back
            forced = begun % GAZE_LONGEST == 0
            if forced or _hash(self.seed, 300, begun) >= GAZE_KEEP:
                break
        at_s = (begun + 0.8 * _hash(self.seed, 301, begun)) * GAZE_SLOT_S
        where = [0.0, 0.0]
        if _hash(self.seed, 302, begun) >= GAZE_HOME:
            for axis in range(2):
                share = _hash(self.seed, 303 + axis, begun) - 0.5
                size = -np.log(1 - 2 * abs(share) + 1e-9) * GAZE_SPREAD_RAD[axis]  # Laplace distribution
                where[axis] = float(np.sign(share) * min(size, GAZE_MOST_RAD[axis]))
        return at_s, where[0], where[1]

    def _look(self, time_s: float) -> tuple[float, float]:
        """Where the eyes look in space, pitch and yaw in radians."""
        slot = int(np.floor(time_s / GAZE_SLOT_S))
        at_s, pitch, yaw = self._fixation(slot)
        if at_s > time_s:  # this slot's fixation has not begun
            at_s, pitch, yaw = self._fixation(slot - 1)
            slot -= 1
        before = slot - 1
        while self._fixation(before)[0] == at_s:
            before -= 1
        _, old_pitch, old_yaw = self._fixation(before)
        size = float(np.hypot(pitch - old_pitch, yaw - old_yaw))
        share = _smooth((time_s - at_s) / (SACCADE_S + SACCADE_S_PER_RAD * size))
        return old_pitch + (pitch - old_pitch) * share, old_yaw + (yaw - old_yaw) * share

    def _gaze(self, time_s: float, head: Array) -> Array:
        """Gaze relative to the head `[4]`: the eyes hold their target while the head sways."""
        pitch, yaw = self._look(time_s)
        cell = int(np.floor(time_s / TREMBLE_SLOT_S))
        pitch += TREMBLE_RAD * (2 * _hash(self.seed, 310, cell) - 1)
        yaw += TREMBLE_RAD * (2 * _hash(self.seed, 311, cell) - 1)
        pitch, yaw = self.gaze * pitch - float(head[0]), self.gaze * yaw - float(head[1])
        return np.array([pitch, yaw, pitch, yaw], np.float32)

    def _lids(self, time_s: float) -> float:
        if self.blink == 0:
            return 0.0
        length = BLINK_SLOT_S / self.blink
        slot, shut = int(np.floor(time_s / length)), 0.0
        for index in (slot - 1, slot):
            if _hash(self.seed, 320, index) >= BLINK_CHANCE:
                continue
            begin = (index + 0.05 + 0.85 * _hash(self.seed, 321, index)) * length
            shut = max(shut, lid_profile(time_s - begin))
            if _hash(self.seed, 322, index) < DOUBLE_CHANCE:
                shut = max(shut, lid_profile(time_s - begin - CLOSE_S - SHUT_S - OPEN_S * 0.8))
        return shut

    def _eyes(self, expression: Array, time_s: float, gaze: Array) -> None:
        """Lids and the eye-look coefficients that belong to `gaze`."""
        shut = self._lids(time_s)
        for side, (pitch, yaw) in zip(_EYES, (gaze[:2], gaze[2:]), strict=True):
            outward = float(yaw) if side == "Left" else -float(yaw)  # the person's left is the image's right
            values = {
                f"eyeBlink{side}": shut,
                f"eyeLookDown{side}": float(pitch) / LOOK_FULL_RAD,
                f"eyeLookUp{side}": -float(pitch) / LOOK_FULL_RAD,
                f"eyeLookOut{side}": outward / LOOK_FULL_RAD,
                f"eyeLookIn{side}": -outward / LOOK_FULL_RAD,
                f"eyeSquint{side}": 0.12 * shut + 0.03 * (1 + _noise(self.seed, 330, time_s * 0.2)),
                f"cheekSquint{side}": 0.1 * shut,
            }
            for name, value in values.items():
                expression[ARKIT_INDEX[name]] = min(max(value, 0.0), 1.0)

    def _brows(self, expression: Array, time_s: float, voice: Array) -> None:
        """Brows that drift and lift with stressed syllables, and a trace of life at the mouth's corners."""
        lift = 0.05 + 0.05 * _noise(self.seed, 340, time_s * 0.25) + BROW_ACCENT * max(float(voice[4]), 0.0)
        down = 0.03 * (1 + _noise(self.seed, 341, time_s * 0.15))
        smile = 0.025 * (1 + _noise(self.seed, 342, time_s * 0.1))
        values = {"browInnerUp": lift}
        for index, side in enumerate(_EYES):
            tilt = 0.02 * _noise(self.seed, 343 + index, time_s * 0.2)
            values |= {
                f"browOuterUp{side}": 0.7 * lift + tilt,
                f"browDown{side}": down * (1 - min(max(float(voice[4]), 0.0) * 3, 1)),
                f"mouthSmile{side}": smile + 0.5 * tilt,
            }
        for name, value in values.items():
            expression[ARKIT_INDEX[name]] = min(max(value, 0.0), 1.0)


def joined(motion: Motion, idle: Motion) -> Motion:
    """Two motions of one rate at once: coefficients and angles add up, lids take the more closed."""
    both = motion.expression + idle.expression
    for side in _EYES:
        lid = ARKIT_INDEX[f"eyeBlink{side}"]
        both[:, lid] = np.maximum(motion.expression[:, lid], idle.expression[:, lid])
    return Motion(np.clip(both, 0, 1), motion.head + idle.head, motion.gaze + idle.gaze, motion.spec, motion.landmarks)
