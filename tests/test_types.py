"""The central types and the geometry under them."""

import numpy as np
import pytest

from liveface.errors import MotionError, MotionMismatch, SignalError
from liveface.geometry import fit_similarity, head_angles, head_rotation
from liveface.types import ARKIT_NAMES, AudioBlock, Frame, Motion, arkit_spec


def some_motion(frames=6, fps=30):
    rng = np.random.default_rng(0)
    return Motion(rng.random((frames, 52)), rng.random((frames, 6)), rng.random((frames, 4)), arkit_spec(fps))


def test_arkit_names_are_apples():
    assert len(ARKIT_NAMES) == len(set(ARKIT_NAMES)) == 52
    assert (ARKIT_NAMES[0], ARKIT_NAMES[17], ARKIT_NAMES[51]) == ("eyeBlinkLeft", "jawOpen", "tongueOut")


def test_motion_slices_and_joins():
    motion = some_motion()
    joined = Motion.concat([motion[:2], motion[2], motion[3:]])
    assert np.array_equal(joined.expression, motion.expression)
    assert len(motion[-1]) == 1
    assert motion[-1].head == pytest.approx(motion.head[-1:])
    with pytest.raises(IndexError):
        motion[6]
    with pytest.raises(MotionMismatch, match="resample"):
        Motion.concat([motion, some_motion(fps=25)])


def test_motion_resamples_in_time():
    motion = some_motion(61)
    half = motion.resample(15)
    assert half.fps == 15
    assert len(half) == 30
    assert half.expression == pytest.approx(motion.expression[:60:2], abs=1e-6)
    assert motion.resample(30) is motion


@pytest.mark.parametrize("field", ["expression", "head", "gaze"])
def test_motion_refuses_what_is_not_finite(field):
    fields = {"expression": np.zeros((2, 52)), "head": np.zeros((2, 6)), "gaze": np.zeros((2, 4))}
    fields[field][1, 0] = np.nan
    with pytest.raises(MotionError, match=field):
        Motion(**fields)


def test_motion_refuses_wrong_shapes():
    with pytest.raises(MotionError, match="head"):
        Motion(np.zeros((2, 52)), np.zeros((2, 5)), np.zeros((2, 4)))


def test_frame_and_audio_check_their_arrays():
    with pytest.raises(SignalError):
        Frame(np.zeros((4, 4), np.uint8))
    with pytest.raises(SignalError):
        AudioBlock(np.zeros((2, 100), np.float32))
    assert Frame(np.zeros((4, 4, 3), np.uint8), 15, 30).time_s == 0.5


def test_head_rotation_signs_and_inverse():
    nose, top = np.array([0, 0, -1]), np.array([0, -1, 0])
    assert (head_rotation(0, 0.3, 0) @ nose)[0] > 0  # looks to the image's right
    assert (head_rotation(0.3, 0, 0) @ nose)[1] > 0  # looks down
    assert (head_rotation(0, 0, 0.3) @ top)[0] > 0  # leans to the image's right
    assert head_angles(head_rotation(0.2, -0.4, 0.1)) == pytest.approx((0.2, -0.4, 0.1), abs=1e-5)


def test_similarity_is_recovered():
    rng = np.random.default_rng(2)
    points, rotation = rng.normal(size=(20, 3)), head_rotation(0.1, 0.5, -0.2)
    scale, found, shift = fit_similarity(points, 2.5 * points @ rotation.T + [1, 2, 3], rng.random(20))
    assert scale == pytest.approx(2.5, abs=1e-5)
    assert found == pytest.approx(rotation, abs=1e-5)
    assert shift == pytest.approx([1, 2, 3], abs=1e-4)


def test_a_resting_motion_shares_no_memory_between_its_tracks():
    motion = Motion.rest()
    motion.expression[:] = 1
    assert motion.head.max() == 0
    assert motion.gaze.max() == 0
