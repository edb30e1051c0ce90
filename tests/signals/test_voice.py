"""The voice front end: a fast filter like its slow twin, levels, and a gate that knows voices."""

import numpy as np
import pytest

from liveface.errors import SignalError
from liveface.signals import voice
from liveface.signals.features import FRAME_SAMPLES
from liveface.signals.voice import VoiceFrame, VoiceInput
from liveface.types import HOUSE_RATE_HZ


def vowels(seconds: float, level: float = 0.1, pitch_hz: float = 120.0) -> np.ndarray:
    time_s = np.arange(int(seconds * HOUSE_RATE_HZ)) / HOUSE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, 25))
    return (level * buzz * np.clip(np.sin(2 * np.pi * 2 * time_s), 0, 1)).astype(np.float32)


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).normal(size=int(seconds * HOUSE_RATE_HZ))).astype(np.float32)


def heard(samples: np.ndarray) -> list[VoiceFrame]:
    part, frames = VoiceInput(), []
    state = part.start()
    for index in range(len(samples) // FRAME_SAMPLES):
        state, frame = part.step(state, samples[index * FRAME_SAMPLES : (index + 1) * FRAME_SAMPLES])
        frames.append(frame)
    return frames


def test_the_high_pass_is_its_slow_twin():
    samples = noise(0.2, 0.3)
    fast, memory = [], np.zeros(2)
    for frame in samples.reshape(-1, FRAME_SAMPLES):
        made, memory = voice._high_pass(frame, memory)
        fast.append(made)
    slow, last = voice._filtered_plainly(samples, np.zeros(2))
    assert np.abs(np.concatenate(fast) - slow).max() < 1e-6
    assert np.allclose(memory, last)


def test_rumble_goes_and_voices_stay():
    time_s = np.arange(HOUSE_RATE_HZ) / HOUSE_RATE_HZ
    for hertz, low, high in ((20, 0.0, 0.08), (80, 0.65, 0.75), (200, 0.97, 1.02), (3000, 0.99, 1.01)):
        wave = np.sin(2 * np.pi * hertz * time_s).astype(np.float32)
        made, memory = [], np.zeros(2)
        for frame in wave.reshape(-1, FRAME_SAMPLES):
            out, memory = voice._high_pass(frame, memory)
            made.append(out)
        assert low <= np.abs(np.concatenate(made)[8000:]).max() <= high


@pytest.mark.parametrize("gain", [0.06, 0.3, 3.0])
def test_voices_come_to_one_level(gain):
    frames = heard(vowels(8.0, 0.1 * gain) + noise(8.0, 1e-5))
    loudest = max(voice._level_db(frame.samples) for frame in frames[-60:])
    assert loudest == pytest.approx(voice.TARGET_DB, abs=4)


def test_a_pause_does_not_lift_the_room():
    frames = heard(np.concatenate([vowels(3.0, 0.01), np.zeros(4 * HOUSE_RATE_HZ, np.float32)]) + noise(7.0, 1e-4))
    before, after = (voice._level_db(frame.samples) for frame in (frames[110], frames[-1]))
    assert after == pytest.approx(before, abs=1.5)


def test_the_gate_opens_for_a_voice_and_says_so():
    frames = heard(np.concatenate([noise(1.0, 1e-4), vowels(2.0), noise(2.0, 1e-4)]))
    began = [index for index, frame in enumerate(frames) if frame.began]
    ended = [index for index, frame in enumerate(frames) if frame.ended]
    assert len(began) == len(ended) + frames[-1].open
    assert 30 <= began[0] <= 33
    assert 88 <= ended[-1] <= 90 + voice.HOLD_FRAMES + 2
    assert not any(frame.open for frame in frames[:30])
    assert not any(frame.open for frame in frames[105:])


def test_steady_noise_and_silence_keep_it_shut():
    assert not any(frame.open for frame in heard(np.zeros(HOUSE_RATE_HZ, np.float32)))
    for level in (1e-3, 0.02, 0.2):
        assert np.mean([frame.open for frame in heard(noise(5.0, level))[45:]]) < 0.1


def test_a_whisper_counts_as_a_voice():
    time_s = np.arange(4 * HOUSE_RATE_HZ) / HOUSE_RATE_HZ
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time_s), 0, 1).astype(np.float32)
    frames = heard(noise(4.0, 0.02) * syllables + noise(4.0, 2e-4, 1))
    assert np.mean([frame.open for frame in frames[20:]]) > 0.8


def test_a_wrong_length_is_refused():
    with pytest.raises(SignalError, match="800"):
        VoiceInput().step(VoiceInput().start(), np.zeros(801, np.float32))
