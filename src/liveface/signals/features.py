"""Streaming log-mel of speech, levelled, for the speech network.

Notable choices: a hop of 200 samples, so that four hops are exactly one frame of 30 fps; windows that end with their
hop, so that nothing is known ahead of time; a level that follows the speaker, so that a whisper into a cheap
microphone and a shout look alike, but that never lifts plain background noise to the loudness of speech.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from liveface.errors import SignalError
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, Array, State

HOP = 200  # samples, 8.3 ms
WINDOW = 600  # samples, 25 ms: two pitch periods of a low voice
FFT = 1024
MELS = 64
LOW_HZ, HIGH_HZ = 60.0, 7600.0  # chosen: below it is hum, above it 16 kHz recordings have nothing
FRAME_SAMPLES, _rest = divmod(HOUSE_RATE_HZ, HOUSE_FPS)  # 800
HOPS_PER_FRAME, _more = divmod(FRAME_SAMPLES, HOP)  # 4
if _rest or _more:
    raise SignalError(f"{HOUSE_RATE_HZ} Hz, {HOUSE_FPS} fps and hops of {HOP} do not divide; choose rates that do.")

SPAN_DB = 20.0  # one unit of a feature
LOWEST, HIGHEST = -3.0, 2.0  # features are clipped to this range
QUIET_DB = -100.0  # power of digital silence
START_LEVEL_DB, START_FLOOR_DB = -45.0, -80.0  # what a stream begins with: typical speech, quiet room (measured)
ABOVE_FLOOR_DB = 25.0  # the level stays this far above the noise, so that noise alone stays low
LOWEST_LEVEL_DB = -70.0
ATTACK = 0.12  # share per hop by which the level rises to louder sound: about 65 ms
RELEASE_DB = 4.0 * HOP / HOUSE_RATE_HZ  # the level sinks 4 dB a second
FLOOR_RISE_DB = 3.0 * HOP / HOUSE_RATE_HZ  # the noise floor rises 3 dB a second
FLOOR_FALL = 0.2  # share per hop by which the floor falls to quieter sound


@cache
def mel_bank() -> Array:
    """Triangular mel filters `[MELS, FFT // 2 + 1]`, each of unit sum.

    Source: O'Shaughnessy 1987 for the mel scale (2595 log10(1 + f / 700)).
    """
    edges_mel = np.linspace(2595 * np.log10(1 + LOW_HZ / 700), 2595 * np.log10(1 + HIGH_HZ / 700), MELS + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    hertz = np.arange(FFT // 2 + 1) * HOUSE_RATE_HZ / FFT
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.maximum(0, np.minimum(rising, falling))
    bank /= bank.sum(1, keepdims=True)
    return bank.astype(np.float32)


@cache
def _window() -> Array:
    window = np.hanning(WINDOW + 1)[:-1]
    return (window / np.sqrt((window**2).sum() * FFT / 2)).astype(np.float32)


def mel_db(windows: Array) -> Array:
    """Mel power in decibels `[N, MELS]` of windows of samples `[N, WINDOW]`; a full-scale sine is about -20 dB."""
    spectrum = np.fft.rfft(windows * _window(), FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return (10 * np.log10(power @ mel_bank().T + 10 ** (QUIET_DB / 10))).astype(np.float32)


def _loudness_db(mels_db: Array) -> float:
    """Mean power of one hop `[MELS]` over the bands of speech, in decibels."""
    return float(10 * np.log10(np.mean(10 ** (mels_db[4:52] / 10))))


def _follow(level_db: float, floor_db: float, loudness_db: float) -> tuple[float, float]:
    """The speaker's level and the noise floor one hop later, in decibels."""
    if loudness_db < floor_db:
        floor_db += FLOOR_FALL * (loudness_db - floor_db)
    else:
        floor_db = min(floor_db + FLOOR_RISE_DB, loudness_db)
    if loudness_db > level_db:
        level_db += ATTACK * (loudness_db - level_db)
    else:
        level_db -= RELEASE_DB
    return max(level_db, floor_db + ABOVE_FLOOR_DB, LOWEST_LEVEL_DB), floor_db


def _scaled(mels_db: Array, level_db: Array | float) -> Array:
    return np.clip((mels_db - level_db) / SPAN_DB + 0.5, LOWEST, HIGHEST).astype(np.float32)


class LogMel:
    """Samples at the house rate in blocks of any size in, one row of features per hop out."""

    def start(self) -> State:
        """State at the beginning of a stream.

        `samples` `[WINDOW]` are the newest samples, of which `pending` do not make a full hop yet.
        """
        return {
            "samples": np.zeros(WINDOW, np.float32),
            "pending": np.zeros((), np.int64),
            "level_db": np.array([START_LEVEL_DB, START_FLOOR_DB], np.float64),
        }

    def step(self, state: State, samples: Array) -> tuple[State, Array]:
        """Features `[N, MELS]`, in [-3, 2], of the hops that `samples` `[S]` complete.

        Hop `h` has seen samples up to `HOP * (h + 1)` and no later one. Bit for bit the same for every cut of the
        stream into blocks, because each hop is computed alone.
        """
        held = np.asarray(state["samples"], np.float32)
        pending = int(state["pending"])
        level_db, floor_db = (float(value) for value in state["level_db"])
        stream = np.concatenate([held, samples.astype(np.float32)])
        hops = (pending + len(samples)) // HOP
        rows = np.empty((hops, MELS), np.float32)
        for hop in range(hops):
            end = WINDOW - pending + (hop + 1) * HOP
            mels = mel_db(stream[None, end - WINDOW : end])[0]
            level_db, floor_db = _follow(level_db, floor_db, _loudness_db(mels))
            rows[hop] = _scaled(mels, level_db)
        later: State = {
            "samples": stream[len(stream) - WINDOW :],
            "pending": np.array(pending + len(samples) - hops * HOP, np.int64),
            "level_db": np.array([level_db, floor_db], np.float64),
        }
        return later, rows


def log_mel(samples: Array) -> Array:
    """Features `[S // HOP, MELS]` of a whole recording `[S]`: the fast twin of `LogMel`, for training."""
    hops = len(samples) // HOP
    if hops == 0:
        return np.zeros((0, MELS), np.float32)
    padded = np.concatenate([np.zeros(WINDOW - HOP, np.float32), samples[: hops * HOP].astype(np.float32)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    mels = mel_db(windows)
    loudness_db = 10 * np.log10(np.mean(10 ** (mels[:, 4:52] / 10), axis=1))
    levels = np.empty((hops, 1), np.float32)
    level_db, floor_db = START_LEVEL_DB, START_FLOOR_DB
    for hop, value in enumerate(loudness_db.tolist()):
        level_db, floor_db = _follow(level_db, floor_db, value)
        levels[hop] = level_db
    return _scaled(mels, levels)


def loudness(features: Array) -> Array:
    """How loud the speaker is, per frame `[T]` in 0 to 1, from features `[T * HOPS_PER_FRAME, MELS]`."""
    frames = len(features) // HOPS_PER_FRAME
    power = 10 ** (2 * np.asarray(features[: frames * HOPS_PER_FRAME, 4:52], np.float32))
    mean = power.reshape(frames, -1).mean(1) if frames else np.zeros(0, np.float32)
    return np.clip((np.log10(mean + 1e-6) / 2 + 0.6) / 1.1, 0, 1).astype(np.float32)
