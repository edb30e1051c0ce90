"""Streaming resampling: any cut gives the same bits, tones keep their pitch and level, images are gone."""

import numpy as np
import pytest

from liveface.errors import SignalError
from liveface.signals.resample import Resampler
from liveface.types import HOUSE_RATE_HZ


def through(rate_hz: int, samples: np.ndarray, cuts: list[int]) -> np.ndarray:
    resampler, at, parts = Resampler(rate_hz), 0, []
    state = resampler.start()
    for cut in [*cuts, len(samples)]:
        state, part = resampler.step(state, samples[at:cut])
        parts.append(part)
        at = cut
    return np.concatenate(parts)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_a_tone_stays_what_it_is(rate_hz):
    time_s = np.arange(rate_hz) / rate_hz
    made = through(rate_hz, np.sin(2 * np.pi * 1000 * time_s).astype(np.float32), [])
    assert HOUSE_RATE_HZ - 60 <= len(made) <= HOUSE_RATE_HZ
    wanted = np.sin(2 * np.pi * 1000 * np.arange(len(made)) / HOUSE_RATE_HZ)
    assert np.abs(made - wanted)[200:].max() < 2e-3


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 48_000])
def test_any_cut_gives_the_same_bits(rate_hz):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=5000).astype(np.float32)
    whole = through(rate_hz, samples, [])
    assert np.array_equal(whole, through(rate_hz, samples, sorted(rng.integers(0, 5000, 60).tolist())))
    assert np.array_equal(whole, through(rate_hz, samples, list(range(1, 5000, 7))))


def test_what_the_house_rate_cannot_hold_is_gone():
    time_s = np.arange(48_000) / 48_000
    made = through(48_000, np.sin(2 * np.pi * 15_000 * time_s).astype(np.float32), [])
    assert np.abs(made[200:]).max() < 1e-3


def test_unusable_rates_are_refused():
    for rate_hz, why in ((3000, "4000 to 192000"), (44_099, "usual rate")):
        with pytest.raises(SignalError, match=why):
            Resampler(rate_hz)
