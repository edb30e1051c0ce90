"""How one person behaves when nothing drives them: blinks, glances, sway, breath, and nods while they listen.

It belongs to an avatar and is stored in it. Where there is a recording it is measured there, within the range of
people; what a recording is too short to tell keeps the house's own values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from liveface.errors import MotionError
from liveface.motion.idle import BREATH_HZ, SWAY, IdleMotion
from liveface.types import ARKIT_INDEX, Array

BLINKS_PER_MIN = 16.0  # what `IdleMotion` does with blink = 1
BLINK_SHUT, BLINK_OPEN = 0.5, 0.3  # of the eyeBlink coefficients, above the person's open lids; a blink in between
LONGEST_BLINK_S = 0.6  # longer ones are closed eyes
BREATH_BAND_HZ = (0.12, 0.5)  # 7 to 30 breaths a minute
BREATH_CLEAR = 3.0  # the strongest frequency of a breath stands so far above the middle of the band, chosen
ENOUGH_S, ENOUGH_BREATH_S = 10.0, 20.0  # shorter recordings tell nothing about these rates


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A person's own manner; the values are the house's until they are measured.

    Attributes:
        blinks_per_min: blinks a minute, 0 to 60.
        gaze: size and liveliness of glances, 0 to 2; 1 is the house's.
        sway: size of head motion, 0 to 2; 1 is the house's.
        breaths_per_min: 6 to 30.
        breath_e: how far the shoulders rise with a breath, from the middle, in eye distances, 0 to 0.2.
        nods_per_min: nods a minute while listening, 0 to 30.
    """

    blinks_per_min: float = BLINKS_PER_MIN
    gaze: float = 1.0
    sway: float = 1.0
    breaths_per_min: float = 60 * BREATH_HZ
    breath_e: float = 0.02
    nods_per_min: float = 7.0

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise MotionError(
                    f"a behaviour with {name} = {value!r} is not usable; expected a number from {low:g} to {high:g}."
                )

    @staticmethod
    def from_dict(values: dict[str, float]) -> Behaviour:
        """From plain values by name; unknown names are refused, missing ones are the house's."""
        known = {field.name for field in fields(Behaviour)}
        if strange := sorted(set(values) - known):
            raise MotionError(f"a behaviour has no {strange[0]!r}; expected {', '.join(sorted(known))}.")
        return Behaviour(**values)

    def to_dict(self) -> dict[str, float]:
        """Plain values by name."""
        return {name: round(float(value), 4) for name, value in asdict(self).items()}

    def idle(self, seed: int = 0, *, head: float = 1.0, blink: float = 1.0, listening: bool = True) -> IdleMotion:
        """The idle face of this person.

        Args:
            seed: the same seed moves the same way.
            head, blink: further sizes from the user, 1 leaves the person's own.
            listening: nods when nobody speaks.
        """
        return IdleMotion(
            seed=seed,
            head=head * self.sway,
            blink=blink * self.blinks_per_min / BLINKS_PER_MIN,
            gaze=self.gaze,
            breath_hz=self.breaths_per_min / 60,
            nods=self.nods_per_min if listening else 0.0,
        )

    def breath(self, time_s: float) -> float:
        """How far the shoulders stand above their middle at a time, in eye distances; up is positive."""
        return self.breath_e * float(np.sin(2 * np.pi * self.breaths_per_min / 60 * time_s))


LIMITS = {
    "blinks_per_min": (0.0, 60.0), "gaze": (0.0, 2.0), "sway": (0.0, 2.0), "breaths_per_min": (6.0, 30.0),
    "breath_e": (0.0, 0.2), "nods_per_min": (0.0, 30.0),
}  # fmt: skip


def measure_behaviour(expression: Array, head: Array, gaze: Array, shoulders: Array, fps: float) -> Behaviour:
    """The behaviour seen in a recording.

    Args:
        expression: `[T, 52]`, head: `[T, 6]`, gaze: `[T, 4]`, as in `Motion`, every frame of one recording.
        shoulders: `[T, 2]` shift of the shoulders in eye distances, y down.
        fps: frames a second.
    """
    seen, length_s = Behaviour(), len(expression) / fps
    if length_s < ENOUGH_S:
        return seen
    seen = replace(seen, blinks_per_min=_within("blinks_per_min", count_blinks(expression, fps) * 60 / length_s))
    angles = np.asarray(head[:, :3] - np.median(head[:, :3], axis=0), np.float32)
    usual = np.hypot(*SWAY[0][:2]) * 1.35  # talking: 1 + half of TALK_SWAY
    spread = float(np.hypot(*_spread(angles)[:2]))
    eyes = np.asarray(gaze[:, :2] + head[:, :2] - np.median(gaze[:, :2] + head[:, :2], axis=0))
    glance = float(np.mean(np.abs(eyes).sum(1))) / 0.06  # the house's idle face has 0.06 rad
    seen = replace(seen, sway=float(np.clip(spread / usual, 0.4, 1.6)), gaze=float(np.clip(glance, 0.4, 1.5)))
    found = find_breath(shoulders[:, 1], fps) if length_s >= ENOUGH_BREATH_S else None
    if found is not None:
        rate, size = found
        seen = replace(
            seen, breaths_per_min=_within("breaths_per_min", 60 * rate), breath_e=float(np.clip(size, 0.005, 0.08))
        )
    return seen


def count_blinks(expression: Array, fps: float) -> int:
    """Blinks in a track of expressions `[T, 52]`: both lids go down and come up again within `LONGEST_BLINK_S`."""
    lids = expression[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]].min(1)
    lids = lids - np.quantile(lids, 0.3)
    count, since = 0, -1
    for at, shut in enumerate(lids):
        if since < 0 and shut > BLINK_SHUT:
            since = at
        elif since >= 0 and shut < BLINK_OPEN:
            count += at - since <= LONGEST_BLINK_S * fps
            since = -1
    return count


def find_breath(lift: Array, fps: float) -> tuple[float, float] | None:
    """Frequency in Hz and amplitude of the breath in a track `[T]`; None when no rhythm stands out."""
    steps = np.arange(len(lift)) / fps
    track = lift - np.polynomial.Polynomial.fit(steps, lift, 3)(steps)
    power = np.abs(np.fft.rfft(track * np.hanning(len(track)))) ** 2
    hertz = np.fft.rfftfreq(len(track), 1 / fps)
    band = (hertz >= BREATH_BAND_HZ[0]) & (hertz <= BREATH_BAND_HZ[1])
    if band.sum() < 3:
        return None
    best = int(np.argmax(np.where(band, power, 0)))
    if power[best] < BREATH_CLEAR * float(np.median(power[band])) or power[best] <= 0:
        return None
    size = 4 * np.sqrt(power[best]) / len(track)  # a Hann window halves the amplitude
    return float(hertz[best]), float(size)


def _spread(track: Array) -> Array:
    """Robust standard deviation of every column `[T, K]`."""
    low, high = np.quantile(track, [0.16, 0.84], axis=0)
    return np.asarray((high - low) / 2)


def _within(name: str, value: float) -> float:
    low, high = LIMITS[name]
    return float(np.clip(value, low, high))
