"""Sounds to try a speech model with: kinds of silence and of noise, and bad versions of a good recording; all seeded.

Every function takes and gives `[S]` float32 at the house rate, of the same length, so that the true motion still fits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import soxr

from liveface.types import HOUSE_RATE_HZ, Array

PACKET_S = 0.02
_FFT, _HOP = 512, 128  # of the whisper: 21 ms windows
_SMOOTH = 22  # cepstral numbers kept, the shape of the mouth without the pitch
_NOTES_HZ = (110.0, 220.0, 277.2, 329.6, 440.0)  # a chord of A major


def pink(count: int, seed: int = 0) -> Array:
    """Pink noise of unit power."""
    white = np.random.default_rng(seed).normal(size=count)
    shaped = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.arange(count // 2 + 1) + 1.0), count)
    return (shaped / shaped.std()).astype(np.float32)


def music(count: int, seed: int = 0) -> Array:
    """Plucked chords over a beat, unit power: nobody sings."""
    rng, time_s = np.random.default_rng(seed), np.arange(count) / HOUSE_RATE_HZ
    out = np.zeros(count)
    for begin in np.arange(0, max(time_s[-1], 0.1), 0.25):
        since = np.maximum(time_s - begin, 0)
        decay = np.where(time_s >= begin, np.exp(-6 * since), 0)
        base = float(rng.choice(_NOTES_HZ))
        out += decay * sum(np.sin(2 * np.pi * base * k * since) / k for k in range(1, 6))
        out += 0.6 * np.exp(-40 * since) * (time_s >= begin) * rng.normal(size=count)
    return (out / out.std()).astype(np.float32)


def silences(seconds: float = 6.0) -> dict[str, Array]:
    """What a microphone hears while nobody speaks, by name."""
    count = int(seconds * HOUSE_RATE_HZ)
    white = np.random.default_rng(0).normal(size=count).astype(np.float32)
    breath = (
        pink(count, 1) * np.maximum(0, np.sin(2 * np.pi * 0.3 * np.arange(count) / HOUSE_RATE_HZ)).astype("f4") ** 2
    )
    return {
        "digital": white * 0,
        "white_-55dB": white * db(-55),
        "pink_-40dB": pink(count) * db(-40),
        "pink_-30dB": pink(count) * db(-30),
        "pink_-20dB": pink(count) * db(-20),
        "hum": (np.sin(2 * np.pi * 50 * np.arange(count) / HOUSE_RATE_HZ) * db(-30)).astype(np.float32),
        "breath": breath * db(-40),
        "music": music(count) * db(-26),
    }


def db(level: float) -> np.float32:
    """The amplitude of a level in decibels."""
    return np.float32(10 ** (level / 20))


def mixed(samples: Array, other: Array, ratio_db: float) -> Array:
    """A recording with `other` under it, `ratio_db` below the recording's power."""
    return np.asarray(samples + other * samples.std() / max(float(other.std()), 1e-9) * db(-ratio_db), np.float32)


def telephone(samples: Array) -> Array:
    """Through a line of 8 kHz."""
    there = soxr.resample(samples, HOUSE_RATE_HZ, 8000)
    back = soxr.resample(there, 8000, HOUSE_RATE_HZ).astype(np.float32)
    return np.pad(back, (0, max(0, len(samples) - len(back))))[: len(samples)]


def clipped(samples: Array) -> Array:
    """Recorded far too loud: everything over the 90 % quantile of the amplitude is cut."""
    limit = float(np.quantile(np.abs(samples), 0.9))
    return (np.clip(samples, -limit, limit) / max(limit, 1e-6) * 0.7).astype(np.float32)


def lossy(samples: Array, share: float = 0.1, seed: int = 0) -> Array:
    """A tenth of the packets of 20 ms lost, each filled with silence."""
    size = int(PACKET_S * HOUSE_RATE_HZ)
    lost = np.random.default_rng(seed).random(len(samples) // size + 1) < share
    return np.where(np.repeat(lost, size)[: len(samples)], 0, samples).astype(np.float32)


def whispered(samples: Array, seed: int = 0) -> Array:
    """The same words without a voice: the smoothed spectrum of every window on noise, tilted as a whisper is."""
    rng, window = np.random.default_rng(seed), np.hanning(_FFT + 1)[:-1]
    padded = np.pad(samples, (_FFT, 2 * _FFT))
    noise, out = rng.normal(size=len(padded)), np.zeros(len(padded))
    tilt = np.minimum(1.0, np.fft.rfftfreq(_FFT, 1 / HOUSE_RATE_HZ) / 1000)
    for first in range(0, len(padded) - _FFT, _HOP):
        part = slice(first, first + _FFT)
        power = np.log(np.abs(np.fft.rfft(padded[part] * window)) + 1e-7)
        cepstrum = np.fft.irfft(power)
        cepstrum[_SMOOTH:-_SMOOTH] = 0
        envelope = np.exp(np.fft.rfft(cepstrum).real) * tilt
        out[part] += window * np.fft.irfft(np.fft.rfft(noise[part] * window) * envelope / np.sqrt(_FFT / 2))
    return (out[_FFT : _FFT + len(samples)] * _HOP / _FFT).astype(np.float32)


def hardships() -> dict[str, Callable[[Array], Array]]:
    """Bad versions of a recording, by name."""
    table: dict[str, Callable[[Array], Array]] = {"clean": lambda samples: samples, "8 kHz": telephone}
    for ratio in (20, 10, 5, 0):
        table[f"noise {ratio} dB"] = partial(_under, make=pink, ratio_db=ratio)
    table["music 10 dB"] = partial(_under, make=music, ratio_db=10)
    return table | {
        "whisper": whispered,
        "clipped": clipped,
        "20 dB quieter": lambda samples: samples * db(-20),
        "10 % of packets lost": lossy,
    }


def _under(samples: Array, make: Callable[[int], Array], ratio_db: float) -> Array:
    return mixed(samples, make(len(samples)), ratio_db)
