"""Hard sounds keep their length and do what their names say."""

import numpy as np
import pytest

from liveface.lipsync import conditions as c
from liveface.types import HOUSE_RATE_HZ


def voice(seconds: float = 1.0) -> np.ndarray:
    """A buzz through one resonance."""
    time_s = np.arange(int(seconds * HOUSE_RATE_HZ)) / HOUSE_RATE_HZ
    parts = [np.sin(2 * np.pi * 120 * k * time_s) / (1 + ((120 * k - 800) / 200) ** 2) for k in range(1, 60)]
    return (0.2 * np.sum(parts, axis=0)).astype(np.float32)


@pytest.mark.parametrize("name", list(c.hardships()))
def test_length_and_type_stay(name):
    sound = c.hardships()[name](voice())
    assert sound.shape == voice().shape
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()


def test_a_telephone_has_nothing_above_four_kilohertz():
    power = np.abs(np.fft.rfft(c.telephone(np.random.default_rng(0).normal(size=HOUSE_RATE_HZ).astype(np.float32))))
    assert power[4500:].mean() < 0.01 * power[:3500].mean()


def test_a_whisper_has_no_pitch_but_keeps_its_formant():
    def periodicity(sound):
        part = sound[6000:18000]
        return max(np.corrcoef(part[lag:], part[:-lag])[0, 1] for lag in range(150, 260))

    power = np.abs(np.fft.rfft(c.whispered(voice()))) ** 2
    assert periodicity(voice()) > 0.95
    assert periodicity(c.whispered(voice())) < 0.5
    assert 500 < np.average(np.fft.rfftfreq(HOUSE_RATE_HZ, 1 / HOUSE_RATE_HZ), weights=power) < 1600


def test_noise_lies_as_far_below_as_it_says():
    noisy = c.mixed(voice(), c.pink(HOUSE_RATE_HZ), 10)
    assert 20 * np.log10(voice().std() / (noisy - voice()).std()) == pytest.approx(10, abs=0.1)


def test_a_tenth_of_the_packets_is_lost():
    lost = c.lossy(np.ones(HOUSE_RATE_HZ * 10, np.float32))
    assert 0.06 < (lost == 0).mean() < 0.14
    assert (np.diff(np.flatnonzero(np.diff(lost))) % 480 == 0).all()


def test_silences_are_quiet_and_known():
    sounds = c.silences(1.0)
    assert np.abs(sounds["digital"]).max() == 0
    assert sounds["pink_-20dB"].std() == pytest.approx(0.1, rel=0.01)
    assert len({len(sound) for sound in sounds.values()}) == 1
