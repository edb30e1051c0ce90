"""The best quality: a whole recording at once, with the same gate, eyes and options as the live one."""

import numpy as np
import pytest

from liveface import weights
from liveface.errors import WeightsError
from liveface.motion.audio import SpeechToMotion
from liveface.motion.best import BestSpeech, calmed
from liveface.motion.codes import CODES, GROUPS
from liveface.types import HOUSE_RATE_HZ


def syllables(seconds: float) -> np.ndarray:
    time_s = np.arange(round(seconds * HOUSE_RATE_HZ)) / HOUSE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * time_s) / k**0.5 for k in range(1, 25))
    return (0.04 * buzz * np.clip(np.sin(2 * np.pi * 2 * time_s), 0, 1)).astype(np.float32)


def test_a_recording_is_covered_to_its_end_and_repeats():
    samples = np.concatenate([syllables(1.5), np.zeros(HOUSE_RATE_HZ, np.float32)])[:-100]
    best = BestSpeech(SpeechToMotion(seed=3), steps=2)
    motion, again = best.run(samples), best.run(samples)
    assert len(motion) == 75
    assert np.array_equal(motion.expression, again.expression)
    assert np.ptp(motion.coefficient("jawOpen")[:45]) > 0.02
    assert motion.coefficient("jawOpen")[-10:].max() < 0.01
    live = SpeechToMotion(seed=3).run(samples)
    np.testing.assert_allclose(motion.coefficient("eyeBlinkLeft"), live.coefficient("eyeBlinkLeft"), atol=1e-5)
    assert not np.array_equal(motion.expression, live.expression)


def test_brows_and_head_are_calm_and_lips_quick():
    codes = np.zeros((9, CODES), np.float32)
    codes[4] = 1
    made = calmed(codes)
    assert np.array_equal(made[:, GROUPS["mouth"]], codes[:, GROUPS["mouth"]])
    assert made[4, GROUPS["head"]].tolist() == [0.375] * 3
    assert np.allclose(made.sum(0), 1)
    assert np.allclose(calmed(np.ones((1, CODES), np.float32)), 1)


def test_nothing_becomes_nothing():
    assert len(BestSpeech().run(np.zeros(0, np.float32))) == 0


def test_another_network_is_refused():
    with pytest.raises(WeightsError, match="noisy"):
        BestSpeech(file=weights.path("mouth.tflite"))
