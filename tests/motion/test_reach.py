"""What an avatar is held to: unchanged within, bent beyond, and how shoulders follow a head."""

import json

import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion.reach import CONTROLS, FEWEST, MOTION, Reach, follow_house, measure_reach
from liveface.render.liveface.regions import CONTROL_SIZES
from liveface.types import ARKIT_INDEX, Motion

HOUSE = 0.06  # eye distances a centimetre


@pytest.fixture(scope="module")
def tracks():
    random = np.random.default_rng(0)
    made = {name: random.uniform(-0.5, 0.5, (400, width)) for name, width in (MOTION | CONTROLS).items()}
    made["body"][:, :2] = (0, 1)  # a breath that was never seen
    made["head"] -= made["head"].mean(0)
    made["shoulders"] = made["head"] @ _true_follow().T
    return {name: table.astype(np.float32) for name, table in made.items()}


def _true_follow():
    follow = np.zeros((2, 6), np.float32)
    follow[0, 3], follow[0, 1], follow[1, 4] = 0.12, -0.4, 0.1
    return follow


def test_names_are_those_of_the_decoders():
    assert CONTROLS == CONTROL_SIZES


def test_within_its_range_nothing_changes_and_beyond_it_bends(tracks):
    reach = measure_reach(tracks, HOUSE)
    inside = np.full(18, 0.3, np.float32)
    assert np.array_equal(reach.hold("eyes", inside), inside)
    asked = np.linspace(-3, 3, 301, dtype=np.float32)
    held = np.array([reach.hold("eyes", np.full(18, one, np.float32))[0] for one in asked])
    assert (np.diff(held) >= 0).all()
    assert np.diff(held).max() <= 0.021  # never steeper than what was asked for
    assert -0.62 < held.min() < -0.5 < 0.5 < held.max() < 0.62


def test_a_range_ends_where_few_frames_go_further(tracks):
    low, high = measure_reach(tracks, HOUSE).ranges["eyes"]
    for column in range(18):
        values = tracks["eyes"][:, column]
        assert (values > high[column] + 1e-4).sum() < FEWEST <= (values > high[column] - 1e-4).sum()
        assert (values < low[column] - 1e-4).sum() < FEWEST <= (values < low[column] + 1e-4).sum()


def test_what_never_moved_stays_where_it_was(tracks):
    reach = measure_reach(tracks, HOUSE)
    held = reach.controls({"body": np.full(12, 0.7, np.float32)})["body"]
    assert held[:2].tolist() == [0, 1]


def test_motion_is_held(tracks):
    reach, motion = measure_reach(tracks, HOUSE), Motion.rest(3)
    motion.expression[:, ARKIT_INDEX["browInnerUp"]] = 1.0
    motion.head[:, 1] = 2.0
    held = reach.motion(motion)
    assert held.coefficient("browInnerUp").max() < 0.62
    assert held.head[:, 1].max() < 0.9
    assert motion.coefficient("browInnerUp").max() == 1.0  # what came in is left alone
    assert held.spec == motion.spec


def test_shoulders_follow_as_they_did(tracks):
    reach = measure_reach(tracks, HOUSE)
    assert np.abs(np.array(reach.follow) - _true_follow()).max() < 0.02
    head = np.array([0, 0.1, 0, 0.5, -0.3, 0], np.float32)
    assert np.allclose(reach.shoulders(head, HOUSE), _true_follow() @ head, atol=0.005)


def test_a_head_that_never_moved_leaves_the_house_its_shoulders(tracks):
    still = tracks | {name: np.zeros_like(tracks[name]) for name in ("head", "shoulders")}
    assert np.allclose(measure_reach(still, HOUSE).follow, follow_house(HOUSE))


def test_without_ranges_nothing_is_held():
    reach, motion = Reach(), Motion.rest(2)
    motion.expression[:] = 5
    assert reach.motion(motion) is motion
    assert np.allclose(reach.shoulders(np.array([0, 0, 0, 1, 2, 3], np.float32), HOUSE), [HOUSE, 2 * HOUSE])


def test_it_is_told_in_words(tracks):
    words = measure_reach(tracks, HOUSE).words()
    assert "browInnerUp to 0.5" in words or "browInnerUp to 0.4" in words
    assert "turn -2" in words
    assert "first version" in Reach().words()


def test_it_is_stored_and_read_back(tracks):
    reach = measure_reach(tracks, HOUSE)
    assert Reach.from_dict(json.loads(json.dumps(reach.to_dict()))) == reach
    assert Reach.from_dict(Reach().to_dict()) == Reach()


@pytest.mark.parametrize(("values", "match"), [
    ({}, "ranges and follow"), ({"ranges": {}, "follow": None, "more": 1}, "ranges and follow"),
    ({"ranges": [], "follow": None}, "ranges and follow"), ({"ranges": {"ears": [[0], [1]]}, "follow": None}, "ears"),
    ({"ranges": {"gaze": [[0], [1]]}, "follow": None}, "two rows of 4"),
    ({"ranges": {"gaze": [[0] * 4, ["a"] * 4]}, "follow": None}, "two rows of 4"),
    ({"ranges": {"gaze": [[0] * 4]}, "follow": None}, "two rows of 4"),
    ({"ranges": {"gaze": [[1] * 4, [0] * 4]}, "follow": None}, "before it begins"),
    ({"ranges": {}, "follow": [[0] * 6, [1e9] * 6]}, "follow"), ({"ranges": {}, "follow": 3}, "follow"),
    ({"ranges": {"gaze": [[0] * 4, [True] * 4]}, "follow": None}, "two rows of 4"),
])  # fmt: skip
def test_a_strange_reach_is_refused(values, match):
    with pytest.raises(MotionError, match=match):
        Reach.from_dict(values)
