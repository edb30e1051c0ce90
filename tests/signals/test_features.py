"""Streaming features: causal, the same for every cut, levelled, and equal to their fast twin."""

import numpy as np
import pytest

from liveface.signals.features import FRAME_SAMPLES, HOP, HOPS_PER_FRAME, MELS, LogMel, log_mel, loudness, mel_bank
from liveface.types import HOUSE_RATE_HZ


def voice(seconds: float = 1.5, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """A buzz with syllables, something like a voice."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * HOUSE_RATE_HZ)) / HOUSE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 25))
    envelope = np.clip(np.sin(2 * np.pi * 2 * t), 0, 1)
    return (level * buzz * envelope + 1e-4 * rng.normal(size=len(t))).astype(np.float32)


def streamed(samples: np.ndarray, cuts: list[int]) -> np.ndarray:
    mel, state, rows, at = LogMel(), LogMel().start(), [], 0
    for cut in [*cuts, len(samples)]:
        state, row = mel.step(state, samples[at:cut])
        rows.append(row)
        at = cut
    return np.concatenate(rows)


def test_any_cut_gives_the_same_bits():
    samples = voice()
    whole = streamed(samples, [])
    cuts = sorted(np.random.default_rng(1).integers(0, len(samples), 40).tolist())
    assert np.array_equal(whole, streamed(samples, cuts))
    assert np.array_equal(whole, streamed(samples, list(range(0, len(samples), HOP // 2))))


def test_the_fast_twin_agrees():
    samples = voice()
    assert np.abs(streamed(samples, []) - log_mel(samples)).max() < 1e-5
    assert log_mel(samples[: HOP - 1]).shape == (0, MELS)


def test_later_sound_changes_nothing():
    samples = voice()
    other = samples.copy()
    other[10 * HOP :] = 0.5
    assert np.array_equal(streamed(samples, [])[:10], streamed(other, [])[:10])


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0])
def test_loudness_of_the_recording_hardly_matters(gain):
    """After a few seconds the level has found the speaker."""
    samples = voice(8.0, 0.05)
    usual, other = log_mel(samples)[-240:], log_mel(samples * gain)[-240:]
    loud = usual > 0
    assert np.abs(usual - other)[loud].mean() < 0.15


def test_noise_alone_stays_low():
    noise = (0.003 * np.random.default_rng(0).normal(size=3 * HOUSE_RATE_HZ)).astype(np.float32)
    assert loudness(log_mel(noise))[45:].mean() < 0.15
    assert loudness(log_mel(voice(3.0)))[45:].max() > 0.8


def test_filters_and_sizes():
    bank = mel_bank()
    assert bank.shape[0] == MELS
    assert np.allclose(bank.sum(1), 1, atol=1e-4)
    assert HOPS_PER_FRAME * HOP == FRAME_SAMPLES == 800
    assert LogMel().step(LogMel().start(), np.zeros(800, np.float32))[1].shape == (HOPS_PER_FRAME, MELS)
