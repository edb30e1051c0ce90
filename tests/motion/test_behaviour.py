"""A person's manner: what is measured on a recording of it comes out again, and it shows in the idle face."""

import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion.behaviour import Behaviour, count_blinks, find_breath, measure_behaviour
from liveface.motion.idle import IdleMotion
from liveface.types import ARKIT_INDEX, Motion

FPS = 30


def still(seconds):
    return Motion.rest(round(seconds * FPS))


@pytest.mark.parametrize("rate", [8, 16, 30])
def test_blinks_are_counted_as_the_idle_face_makes_them(rate):
    idle = Behaviour(blinks_per_min=rate).idle(seed=3)
    motion = idle.run(60 * FPS)
    assert count_blinks(motion.expression, FPS) == pytest.approx(rate, abs=0.25 * rate + 1)


def test_closed_eyes_are_no_blink():
    expression = still(10).expression.copy()
    expression[100:200, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]] = 1
    assert count_blinks(expression, FPS) == 0
    expression[100:200, ARKIT_INDEX["eyeBlinkRight"]] = 0
    assert count_blinks(expression, FPS) == 0  # a wink is none either


@pytest.mark.parametrize(("hertz", "size"), [(0.2, 0.02), (0.33, 0.05)])
def test_breath_is_found_under_drift_and_noise(hertz, size):
    time_s = np.arange(60 * FPS) / FPS
    track = (
        size * np.sin(2 * np.pi * hertz * time_s) + 0.01 * time_s + np.random.default_rng(0).normal(0, size / 2, 1800)
    )
    found = find_breath(track, FPS)
    assert found is not None
    assert found[0] == pytest.approx(hertz, abs=0.02)
    assert found[1] == pytest.approx(size, rel=0.3)


def test_no_rhythm_is_no_breath():
    assert find_breath(np.zeros(900), FPS) is None
    assert find_breath(np.random.default_rng(0).normal(0, 1, 30), FPS) is None


def test_a_recording_is_measured_within_the_range_of_people():
    motion = IdleMotion(seed=1, head=2.0, blink=1.5).run(60 * FPS)
    lift = 0.03 * np.sin(2 * np.pi * 0.25 * np.arange(60 * FPS) / FPS)
    shoulders = np.stack([np.zeros_like(lift), lift], 1).astype(np.float32)
    seen = measure_behaviour(motion.expression, motion.head, motion.gaze, shoulders, FPS)
    assert seen.blinks_per_min == pytest.approx(24, abs=7)
    assert seen.sway > 1.1
    assert seen.breaths_per_min == pytest.approx(15, abs=1.5)
    assert 0.01 < seen.breath_e < 0.06
    calm = IdleMotion(seed=1, head=0.4).run(60 * FPS)
    assert measure_behaviour(calm.expression, calm.head, calm.gaze, shoulders, FPS).sway < 0.7


def test_a_short_recording_keeps_the_houses_manner():
    motion = still(5)
    seen = measure_behaviour(motion.expression, motion.head, motion.gaze, np.zeros((150, 2), np.float32), FPS)
    assert seen == Behaviour()


def test_a_listener_nods_and_a_talker_does_not():
    nodding, calm = Behaviour(nods_per_min=20).idle(seed=2), Behaviour(nods_per_min=0).idle(seed=2)
    quiet = nodding.run(30 * FPS).head[:, 0] - calm.run(30 * FPS).head[:, 0]
    assert 0.02 < quiet.max() < 0.1
    assert (quiet[1:-1] > np.maximum(quiet[:-2], quiet[2:])).sum() >= 6
    loud = np.full(30 * FPS, 0.6, np.float32)
    talking = nodding.run(30 * FPS, loud).head[:, 0] - calm.run(30 * FPS, loud).head[:, 0]
    assert np.abs(talking[FPS:]).max() < 1e-3
    assert np.abs(np.diff(quiet)).max() < 0.015  # no jolt


def test_the_houses_manner_is_the_photos_idle_face():
    one = Behaviour(nods_per_min=0).idle(seed=4).run(90)
    other = IdleMotion(seed=4).run(90)
    np.testing.assert_allclose(one.expression, other.expression, atol=1e-6)
    np.testing.assert_allclose(one.head, other.head, atol=1e-6)


def test_shoulders_rise_with_the_breath():
    manner = Behaviour(breaths_per_min=15, breath_e=0.05)
    lift = [manner.breath(at / 10) for at in range(40)]
    assert max(lift) == pytest.approx(0.05, abs=1e-3)
    assert manner.breath(4.0) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("values", [{"gaze": -1}, {"gaze": float("nan")}, {"sway": True}, {"mood": 1}, {"gaze": "a"}])
def test_values_nobody_has_are_refused(values):
    with pytest.raises(MotionError):
        Behaviour.from_dict(values)


def test_it_goes_through_plain_values():
    manner = Behaviour(blinks_per_min=11.5, gaze=0.8)
    assert Behaviour.from_dict(manner.to_dict()) == manner
