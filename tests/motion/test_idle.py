"""The idle face: alive, bounded, repeatable, and the same at any rate and after hours."""

import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion.idle import IdleMotion, joined, lid_profile
from liveface.types import Motion


def blinks(motion: Motion) -> int:
    lid = motion.coefficient("eyeBlinkLeft")
    return int(((lid[1:] > 0.5) & (lid[:-1] <= 0.5)).sum())


def test_a_seed_moves_one_way():
    first, again, other = IdleMotion(7).run(200), IdleMotion(7).run(200), IdleMotion(8).run(200)
    assert np.array_equal(first.expression, again.expression)
    assert np.array_equal(first.head, again.head)
    assert not np.allclose(first.head, other.head)


def test_live_equals_offline():
    model, whole = IdleMotion(3), IdleMotion(3).run(60, np.linspace(0, 1, 60))
    state = model.start()
    for frame, loud in enumerate(np.linspace(0, 1, 60)):
        state, one = model.step(state, float(loud))
        assert np.array_equal(one.head[0], whole.head[frame])
        assert np.array_equal(one.expression[0], whole.expression[frame])


def test_blinks_are_as_frequent_and_complete_as_peoples():
    for seed in range(3):
        motion = IdleMotion(seed).run(3600)
        assert 10 <= blinks(motion) / 2 <= 20
        assert motion.coefficient("eyeBlinkLeft").max() == 1.0
    assert blinks(IdleMotion(0, blink=0).run(1800)) == 0
    assert blinks(IdleMotion(0, blink=2).run(1800)) > 22


def test_every_blink_is_seen_shut_at_every_rate():
    """Lids are down for longer than a frame of 25 fps, so no blink falls between frames."""
    times = np.linspace(-0.1, 0.5, 6001)
    shut = np.array([lid_profile(t) for t in times])
    assert (shut >= 0.99).mean() * 0.6 >= 1 / 25
    rising, falling = (shut[:-1] < 0.5) & (shut[1:] >= 0.5), (shut[:-1] >= 0.5) & (shut[1:] < 0.5)
    assert rising.sum() == falling.sum() == 1
    assert np.abs(np.diff(shut)).max() < 0.01  # no jumps


def test_hours_neither_freeze_nor_drift():
    model = IdleMotion(5)
    state = {"frame": np.array(30 * 3600 * 9, np.int64), "voice": np.zeros(6)}
    frames = []
    for _ in range(900):
        state, one = model.step(state)
        frames.append(one)
    late, early = Motion.concat(frames), model.run(900)
    for motion in (early, late):
        assert motion.head[:, :3].std(0).min() > 0.002  # alive
        assert np.abs(motion.head[:, :3]).max() < 0.15  # bounded, radians
        assert np.abs(motion.head[:, 3:]).max() < 1.5  # centimetres
        assert blinks(motion) >= 3
    steps = np.abs(np.diff(late.head[:, :3], axis=0))
    assert 0 < np.median(steps[:, 1]) < 0.01
    assert steps.max() < 0.02  # smooth


def test_rates_show_the_same_life():
    slow, fast = IdleMotion(2, fps=25).run(250), IdleMotion(2, fps=50).run(500)
    assert np.allclose(slow.head, fast.head[::2], atol=1e-6)


def test_gaze_shifts_and_lids_follow():
    motion = IdleMotion(4, head=0).run(1800)
    yaw = motion.gaze[:, 1]
    assert (np.abs(np.diff(yaw)) > 0.03).sum() >= 4
    assert np.abs(yaw).max() < 0.35
    assert np.median(np.abs(yaw)) < 0.03  # mostly into the camera
    down = motion.coefficient("eyeLookDownLeft") > 0.05
    assert (motion.gaze[down, 0] > 0).all()
    out = motion.coefficient("eyeLookOutLeft") > 0.1  # the person's left is the image's right
    assert (motion.gaze[out, 1] > 0).all()


def test_the_voice_lifts_brows_and_nods():
    loud = np.zeros(300)
    loud[100:110] = 1
    quiet, voiced = IdleMotion(1).run(300), IdleMotion(1).run(300, loud)
    assert np.array_equal(quiet.head[:100], voiced.head[:100])
    assert (voiced.head[:, 0] - quiet.head[:, 0]).max() > 0.01
    assert (voiced.coefficient("browInnerUp") - quiet.coefficient("browInnerUp")).max() > 0.05
    assert np.abs(voiced.head[299] - quiet.head[299]).max() < 0.01


def test_mix_adds_and_refuses_other_rates():
    motion = Motion.rest(30)
    mixed = IdleMotion(1).mix(motion)
    assert mixed.expression.max() <= 1
    assert np.allclose(mixed.head, IdleMotion(1).run(30).head)
    both = joined(motion, IdleMotion(1).run(30))
    assert np.array_equal(both.expression, mixed.expression)
    with pytest.raises(MotionError, match="resample"):
        IdleMotion(1, fps=25).mix(motion)


@pytest.mark.parametrize("bad", [{"head": -1.0}, {"blink": float("nan")}, {"fps": 0.0}])
def test_impossible_dials_are_refused(bad):
    with pytest.raises(MotionError, match="not usable"):
        IdleMotion(**bad)
