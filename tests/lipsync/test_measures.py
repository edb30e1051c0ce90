"""The measures of lip sync on curves whose answers are known."""

import numpy as np
import pytest

from liveface.lipsync import Clip, at_house_rate, closures, correlation, jitter, lagged, opening, opening_of, score
from liveface.motion.face_model import FaceModel
from liveface.types import ARKIT_INDEX


def wave(frames: int = 300, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=frames + 8)
    return (5 + 3 * np.convolve(noise, np.ones(9) / 3, "valid")).astype(np.float32)


@pytest.mark.parametrize("late", [-4, 0, 3])
def test_a_lag_is_found_with_its_sign(late):
    track = wave()
    best, lag = lagged(np.roll(track, late), track)
    assert lag == late
    assert best > 0.98


def test_correlation_of_still_and_equal_tracks():
    track = wave()
    assert correlation(track, track) == pytest.approx(1, abs=1e-5)
    assert correlation(track * 0 + 2, track) == 0


def test_openings_of_points_and_of_coefficients_agree():
    model = FaceModel.load()
    expression = np.zeros((5, 52), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0, 0.5, 5)
    points = np.stack([model.points(expression=row) for row in expression])
    assert np.allclose(opening(points)[1:], opening_of(expression)[1:], atol=1.2)  # the mean face has lips of its own
    assert np.allclose(opening(points * 30 + 7), opening(points), atol=1e-3)  # size and place do not matter
    closed = np.zeros((1, 52), np.float32)
    closed[0, ARKIT_INDEX["mouthClose"]] = 0.5
    assert opening_of(closed)[0] == 0


def test_closures_are_counted():
    track = np.full(90, 10.0, np.float32)
    track[30:34] = 1
    track[80:] = 1
    phones = [("B", 1.0, 1.1), ("M", 2.0, 2.1), ("AA", 1.2, 1.6)]
    assert closures(track, phones, ("B", "M")) == (1, 2)
    assert closures(track, phones, ("AA",)) == (0, 1)


def test_scores_of_a_half_sized_copy():
    track = wave()
    row = score(track / 2, Clip("made", "made", np.zeros(1, np.float32), track))
    assert row["correlation"] == pytest.approx(1, abs=1e-4)
    assert row["amplitude"] == pytest.approx(0.5, abs=1e-4)
    assert row["lag_frames"] == 0
    assert row["jitter"] == pytest.approx(row["true_jitter"] / 2, rel=1e-3)
    assert jitter(np.arange(9.0)) == 0


def test_rates_are_brought_together():
    slow = np.sin(np.arange(50) / 25)
    assert np.allclose(at_house_rate(slow, 25.0, 50), np.sin(np.arange(50) / 30), atol=1e-3)
    late = at_house_rate(slow, 25.0, 50, late_s=0.5)
    assert np.allclose(late[15:], np.sin((np.arange(50) / 30)[: len(late[15:])]), atol=1e-3)
