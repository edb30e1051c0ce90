"""`VoiceInput`: what a microphone hears, made ready for the speech network, and whether somebody speaks.

Notable choices: work goes frame by frame (800 samples), so that every cut of a stream gives the same bits; the
high-pass is a product with a fixed matrix, which is exact and fast in numpy; gain follows voices only and slowly, so
that a pause does not lift the room's noise; the gate asks for sound above the room's floor that also sounds like a
voice (it has a pitch, or its bands rise and fall as syllables do), opens at once and closes after a pause. It forgives
rather than forbids: what it takes for a voice is judged again by the network, what it refuses never moves the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from liveface.errors import SignalError
from liveface.signals.features import FRAME_SAMPLES
from liveface.types import HOUSE_RATE_HZ, Array, State

HIGH_PASS_HZ = 80.0  # below it are rumble, breath on the microphone and the mains
TARGET_DB = -26.0  # level to which a voice is brought (root mean square; chosen, 20 dB of headroom over its mean)
GAIN_DB = (-20.0, 36.0)  # range of the gain: a shout into the microphone, a whisper across the room
GAIN_RISE_DB, GAIN_FALL_DB = 6.0 / 30, 24.0 / 30  # a frame: slowly up, quickly down
LOWEST_DB = -72.0  # quieter than this is the noise of the converter, never a voice (chosen)
START_FLOOR_DB = -70.0  # a quiet room
FLOOR_RISE_DB, FLOOR_FALL = 3.0 / 30, 0.5  # a frame: 3 dB a second up, half of the way down
BELOW_VOICE_DB = 32.0  # sound so far under the voice's level is not it
VOICE_FALL_DB = 4.0 / 30  # a frame: the voice's level sinks 4 dB a second
START_VOICE_DB = -45.0
HOLD_FRAMES = 7  # the gate stays open 0.23 s after the last voice: pauses inside words are shorter

REACH = 1600  # samples that the judgement of a frame sees: 67 ms, five periods of a low voice
PITCH_HZ = (70.0, 400.0)  # of voices
_THIN = 4  # pitch is sought at 6 kHz
_BAND_HZ = (80.0, 300.0, 800.0, 1800.0, 3500.0, 7600.0)
BANDS = len(_BAND_HZ) - 1
NOTHING_DB = -119.0  # power of a band of digital silence is -120
MEMORY = 24  # frames over which bands rise and fall: 0.8 s, three syllables
SIGNS = ("over floor / 10 dB", "pitch", "movement / 2 dB", "slope / 20 dB")
"""What the judgement looks at, in its units."""
# Logistic regression on 40 training recordings with aligned phones (clean, and in noise 8 to 25 dB below), against
# coloured noise, hum, fans and music. The bias is raised by 1.5: the gate is then open for 99.2 % of the phones (97.1 %
# in noise) and 3 % of noise without a voice. Music passes; that it moves no mouth is for the network to know.
WEIGHTS = np.array([0.14, 4.07, 2.34, -1.14], np.float32)
BIAS = -3.48


@dataclass(frozen=True, slots=True)
class VoiceFrame:
    """One frame of a voice made ready.

    Attributes:
        samples: `[800]`, high-passed and levelled, in [-1, 1].
        open: whether the gate is open: somebody speaks, or spoke a moment ago.
        began, ended: whether it opened or closed with this frame.
        evidence: what the gate saw: above 0 is a voice.
    """

    samples: Array
    open: bool
    began: bool
    ended: bool
    evidence: float


@cache
def _biquad() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Numerator and denominator of the high-pass. Source: Butterworth, bilinear, as in Bristow-Johnson's cookbook."""
    turn = 2 * np.pi * HIGH_PASS_HZ / HOUSE_RATE_HZ
    cosine, alpha = np.cos(turn), np.sin(turn) / np.sqrt(2)
    above = np.array([(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2])
    below = np.array([1 + alpha, -2 * cosine, 1 - alpha])
    return above / below[0], below / below[0]


def _filtered_plainly(samples: Array, memory: npt.NDArray[np.float64]) -> tuple[Array, npt.NDArray[np.float64]]:
    """The high-pass sample by sample (transposed direct form II), `memory` `[2]`: the slow twin of `_high_pass`."""
    (b0, b1, b2), (_, a1, a2) = _biquad()
    first, second = memory
    out = np.empty(len(samples))
    for index, value in enumerate(np.asarray(samples, np.float64)):
        out[index] = made = b0 * value + first
        first, second = b1 * value - a1 * made + second, b2 * value - a2 * made
    return out.astype(np.float32), np.array([first, second])


@cache
def _matrices() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Answer to a unit sample `[N + 2, N]` and to a unit memory `[N + 2, 2]` for a hop: outputs, then the memory."""
    count = FRAME_SAMPLES // 4
    sound, memory = np.zeros((count + 2, count)), np.zeros((count + 2, 2))
    (b0, b1, b2), (_, a1, a2) = _biquad()

    def answer(samples: npt.NDArray[np.float64], first: float, second: float) -> npt.NDArray[np.float64]:
        out = np.empty(count + 2)
        for index, value in enumerate(samples):
            out[index] = made = b0 * value + first
            first, second = b1 * value - a1 * made + second, b2 * value - a2 * made
        out[count:] = first, second
        return out

    silent = np.zeros(count)
    unit = silent.copy()
    unit[0] = 1
    first = answer(unit, 0, 0)
    for index in range(count):  # a later unit sample gives the same answer later
        sound[index:count, index] = first[: count - index]
        late = silent.copy()
        late[index] = 1
        sound[count:, index] = answer(late, 0, 0)[count:]
    memory[:, 0], memory[:, 1] = answer(silent, 1, 0), answer(silent, 0, 1)
    return sound, memory


def _high_pass(samples: Array, memory: npt.NDArray[np.float64]) -> tuple[Array, npt.NDArray[np.float64]]:
    """A frame without what lies below `HIGH_PASS_HZ`, and the filter's memory `[2]` after it."""
    from_sound, from_memory = _matrices()
    count = from_sound.shape[1]
    parts = []
    for hop in np.asarray(samples, np.float64).reshape(-1, count):
        out = from_sound @ hop + from_memory @ memory
        parts.append(out[:count])
        memory = out[count:]
    return np.concatenate(parts).astype(np.float32), memory


def _level_db(samples: Array) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


@cache
def _band_edges() -> npt.NDArray[np.int64]:
    return np.round(np.array(_BAND_HZ) * 2048 / HOUSE_RATE_HZ).astype(np.int64)


@cache
def _hann() -> Array:
    return np.hanning(REACH).astype(np.float32)


def bands_db(recent: Array) -> Array:
    """Power of `BANDS` bands `[BANDS]` of the newest samples `[REACH]`, in decibels."""
    spectrum = np.fft.rfft(recent * _hann(), 2048)
    power = spectrum.real**2 + spectrum.imag**2
    sums = np.add.reduceat(power, _band_edges())[:BANDS]
    return np.asarray(10 * np.log10(sums / len(recent) ** 2 + 1e-12), np.float32)


def pitch_strength(recent: Array) -> float:
    """How periodic the newest samples `[REACH]` are at pitches of voices: 0 for noise, near 1 for a vowel.

    Source: autocorrelation, unbiased as in Boersma 1993.
    """
    thin = recent.reshape(-1, _THIN).mean(1, dtype=np.float64)
    thin -= thin.mean()
    count = len(thin)
    spectrum = np.fft.rfft(thin, 1024)
    likeness = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:count]
    if likeness[0] < 1e-10:
        return 0.0
    rate = HOUSE_RATE_HZ / _THIN
    lags = np.arange(int(rate / PITCH_HZ[1]), int(rate / PITCH_HZ[0]) + 1)
    return float(np.clip((likeness[lags] / (1 - lags / count)).max() / likeness[0], 0, 1))


class VoiceInput:
    """A frame of sound at the house rate in, a frame of voice out; see the module's notes."""

    def start(self) -> State:
        """The state before the first sample.

        `levels` holds floor, level of the voice and gain in decibels; `bands` the newest `MEMORY` frames' bands;
        `quiet` the frames since the last voice.
        """
        return {
            "filter": np.zeros(2),
            "recent": np.zeros(REACH, np.float32),
            "levels": np.array([START_FLOOR_DB, START_VOICE_DB, 0.0]),
            "bands": np.full((MEMORY, BANDS), -120.0, np.float32),
            "quiet": np.array(HOLD_FRAMES, np.int64),
        }

    def open(self, state: State) -> bool:
        """Whether the gate is open."""
        return int(state["quiet"]) < HOLD_FRAMES

    def forget(self, state: State) -> State:
        """The state after the stream was cut: the gate is shut and the newest samples are gone, levels stay."""
        return {**state, "recent": np.zeros(REACH, np.float32), "quiet": np.array(HOLD_FRAMES, np.int64)}

    def step(self, state: State, samples: Array) -> tuple[State, VoiceFrame]:
        """The next frame `[800]`.

        Raises:
            SignalError: it has another length.
        """
        if samples.shape != (FRAME_SAMPLES,):
            raise SignalError(f"a frame of sound has shape {samples.shape}; expected ({FRAME_SAMPLES},).")
        clean, memory = _high_pass(samples, np.asarray(state["filter"], np.float64))
        recent = np.concatenate([np.asarray(state["recent"], np.float32)[FRAME_SAMPLES:], clean])
        floor, voice, gain = (float(value) for value in state["levels"])
        bands = np.concatenate([np.asarray(state["bands"], np.float32)[1:], bands_db(recent)[None]])
        bands = np.where(bands > NOTHING_DB, bands, bands[-1])  # what was not heard yet did not move
        level = _level_db(clean)
        if level < floor:
            floor += FLOOR_FALL * (level - floor)
        else:
            floor = min(floor + FLOOR_RISE_DB, level)
        evidence = float(signs(recent, bands, level, floor) @ WEIGHTS) + BIAS
        spoken = evidence > 0 and level > max(LOWEST_DB, voice - BELOW_VOICE_DB)
        voice = max(voice - VOICE_FALL_DB, LOWEST_DB)
        if spoken:
            voice = max(voice, level)
            gain += float(np.clip(TARGET_DB - voice - gain, -GAIN_FALL_DB, GAIN_RISE_DB))
        quiet = 0 if spoken else min(int(state["quiet"]) + 1, HOLD_FRAMES)
        was, now = self.open(state), quiet < HOLD_FRAMES
        gain = float(np.clip(gain, *GAIN_DB))
        earlier = float(np.asarray(state["levels"])[2])
        slope = np.linspace(earlier, gain, FRAME_SAMPLES, dtype=np.float32)
        made: Array = np.clip(clean * 10 ** (slope / 20), -1, 1).astype(np.float32)
        later: State = {
            "filter": memory,
            "recent": recent,
            "levels": np.array([floor, voice, gain]),
            "bands": bands,
            "quiet": np.array(quiet, np.int64),
        }
        return later, VoiceFrame(made, now, now and not was, was and not now, evidence)


def signs(recent: Array, bands: Array, level_db: float, floor_db: float) -> Array:
    """The `SIGNS` of one frame `[4]`: newest samples `[REACH]`, bands `[MEMORY, BANDS]`, level and floor."""
    held = np.maximum(bands, bands.max(0) - 30)  # how deep a pause is, does not matter
    moved = float(np.mean(np.abs(np.diff(held, axis=0))))
    slope = float(bands[-1, :2].max() - bands[-1, 3:].max())
    return np.array([(level_db - floor_db) / 10, pitch_strength(recent), moved / 2, slope / 20], np.float32)
