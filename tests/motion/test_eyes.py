"""The way of the eyes: what goes into the slot comes out on the face, from idle life, a measurement, and between."""

import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion.codes import EYE_SLOT, eyes_of, lift_eyes, motion_of, read_eyes
from liveface.motion.emotion import parse_emotions, resting
from liveface.motion.eyes import EyeFeed, eye_slot, show_eyes
from liveface.motion.idle import IdleMotion
from liveface.types import Motion

LOOK = np.array([0.1, -0.2, 0.9, 0.4, 0.0, 0.3], np.float32)


def test_idle_life_passes_through_the_slot_unchanged():
    life = IdleMotion(seed=4).run(300)
    shown = show_eyes(life, eye_slot(life))
    np.testing.assert_allclose(eyes_of(shown), eyes_of(life), atol=1e-5)
    np.testing.assert_allclose(shown.expression, life.expression, atol=1e-4)  # both lids and eyeLook alike
    np.testing.assert_allclose(shown.gaze, life.gaze, atol=1e-5)
    assert eyes_of(life)[:, 2].max() > 0.9  # there were blinks
    assert np.ptp(life.gaze[:, 1]) > 0.05  # and glances


def test_a_slot_sets_eyes_and_nothing_else():
    rest = Motion.rest(3)
    shown = show_eyes(rest, lift_eyes(LOOK))
    assert shown.coefficient("eyeBlinkLeft")[0] == pytest.approx(0.9, abs=1e-5)
    assert shown.coefficient("eyeBlinkRight")[0] == pytest.approx(0.4, abs=1e-5)
    assert shown.coefficient("eyeSquintRight")[2] == pytest.approx(0.3, abs=1e-5)
    assert shown.coefficient("eyeLookDownLeft")[0] > 0.1
    assert shown.coefficient("eyeLookInLeft")[0] > 0.3  # the person's left eye looks to the image's left
    assert shown.coefficient("eyeLookOutRight")[0] > 0.3
    assert shown.coefficient("jawOpen").max() == 0
    np.testing.assert_allclose(shown.gaze[0], [0.1, -0.2, 0.1, -0.2], atol=1e-6)


def test_eyes_that_a_feeling_widens_stay_wide():
    afraid = motion_of(resting(parse_emotions("afraid"))[None])
    shown = show_eyes(afraid, lift_eyes(np.zeros(6, np.float32)))
    assert shown.coefficient("eyeWideLeft")[0] == afraid.coefficient("eyeWideLeft")[0] > 0.5
    assert show_eyes(shown, lift_eyes(LOOK)).coefficient("eyeSquintLeft")[0] == pytest.approx(0.3, abs=1e-5)


def test_eyes_never_turn_out_of_their_sockets():
    shown = show_eyes(Motion.rest(1), lift_eyes(np.array([9, -9, 7, -7, 3, 3], np.float32)))
    assert np.abs(shown.gaze).max() <= 0.7
    assert shown.expression.min() >= 0
    assert shown.expression.max() <= 1


def test_a_lost_measurement_hands_over_to_idle_life_and_back():
    life, feed = IdleMotion(seed=1).run(60), EyeFeed()
    state, seen = feed.start(), []
    for index, frame in enumerate(life):
        state, slot = feed.step(state, frame, lift_eyes(LOOK) if 10 <= index < 30 else None)
        seen.append(read_eyes(slot))
    eyes = np.stack(seen)
    np.testing.assert_allclose(eyes[:10], eyes_of(life)[:10], atol=1e-5)
    np.testing.assert_allclose(eyes[16:30], np.tile(LOOK, (14, 1)), atol=1e-5)
    np.testing.assert_allclose(eyes[37:], eyes_of(life)[37:], atol=1e-5)
    assert np.abs(np.diff(eyes[29:37, 1])).max() < 0.1  # no jump


def test_misfits_are_refused():
    with pytest.raises(MotionError, match="expected finite"):
        show_eyes(Motion.rest(3), np.zeros((2, EYE_SLOT), np.float32))
    with pytest.raises(MotionError, match="expected finite"):
        show_eyes(Motion.rest(1), np.full(EYE_SLOT, np.nan, np.float32))
    with pytest.raises(MotionError, match="finite numbers"):
        EyeFeed().step(EyeFeed().start(), Motion.rest(1), np.zeros(6, np.float32))
    with pytest.raises(MotionError, match="fps"):
        EyeFeed(0)
