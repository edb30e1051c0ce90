"""The correction of drawn points: rest stays, pairs move together, and what can be learned is learned."""

import numpy as np
import pytest
from tests.train.portrait_pack_of_noise import write

from liveface.errors import WeightsError
from liveface.render.correction import SEEN, PointCorrection, in_head_frame, paired
from liveface.render.topology import EYE_LOWER, EYE_UPPER, LIP_LOWER, LIP_UPPER
from liveface.train import portrait_points
from liveface.train.portrait_data import PortraitPack


@pytest.fixture
def photo():
    points = np.random.default_rng(0).uniform(100, 200, (478, 2)).astype(np.float32)
    points[33], points[263] = (120, 140), (180, 150)
    return points


def correction(size=0.05):
    random = np.random.default_rng(1)
    moves = paired(random.normal(0, size, (3, 478, 2))).reshape(3, 956)
    return PointCorrection(random.normal(0, 1, (2 * len(SEEN), 3)).astype(np.float32), moves.astype(np.float32))


def test_a_photo_at_rest_and_a_head_that_only_moves_are_left_alone(photo):
    np.testing.assert_allclose(correction()(photo, photo), photo, atol=1e-3)
    turn = np.array([[0.96, -0.28], [0.28, 0.96]])
    moved = (photo @ turn * 1.2 + [30, -20]).astype(np.float32)
    np.testing.assert_allclose(correction()(photo, moved), moved, atol=1e-2)


def test_pairs_move_together_and_nothing_moves_far(photo):
    drawn = photo + np.random.default_rng(2).normal(0, 4, (478, 2)).astype(np.float32)
    moved = correction(5.0)(photo, drawn) - drawn
    for upper, lower in ((LIP_UPPER, LIP_LOWER), (EYE_UPPER[0], EYE_LOWER[0])):
        np.testing.assert_allclose(moved[upper], moved[lower], atol=1e-3)
    _, back = in_head_frame(drawn)
    assert np.linalg.norm(moved, axis=1).max() <= 0.12 * np.linalg.norm(back[0]) * 1.01
    assert np.linalg.norm(moved, axis=1).max() > 1


def test_a_linear_miss_is_learned_and_told_on_people_left_out():
    random = np.random.default_rng(3)
    true = paired(random.normal(0, 0.1, (5, 478, 2))).reshape(5, 956)
    given = random.normal(0, 1, (400, 5)) @ random.normal(0, 0.05, (5, 2 * len(SEEN)))
    wanted = given @ np.linalg.pinv(random.normal(0, 0.05, (5, 2 * len(SEEN)))) @ true
    people = np.array([f"p{number % 10}" for number in range(400)])
    told = portrait_points.unseen(given, wanted, people)
    assert told["after"]["mouth"] < 0.3 * told["before"]["mouth"]


def test_it_is_made_of_a_pack_and_read_again(tmp_path):
    pack = write(tmp_path / "pack")
    assert portrait_points.main([str(pack), "-o", str(tmp_path / "points.npz")]) == 0
    found = PointCorrection.load(tmp_path / "points.npz")
    given, wanted, people = portrait_points.movements(PortraitPack.open(pack))
    assert given.shape == (6, 2 * len(SEEN))
    fitted = portrait_points.fit(given, wanted, people)
    np.testing.assert_allclose(found.sees @ found.moves, fitted.sees @ fitted.moves, atol=5e-3)


def test_a_wrong_file_is_refused(tmp_path):
    np.savez(tmp_path / "wrong.npz", sees=np.zeros((3, 2)), moves=np.zeros((2, 956)))
    with pytest.raises(WeightsError, match="other points"):
        PointCorrection.load(tmp_path / "wrong.npz")
    with pytest.raises(WeightsError, match="no point correction"):
        PointCorrection.load(tmp_path / "nothing.npz")
