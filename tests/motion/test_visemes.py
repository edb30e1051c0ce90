import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion.visemes import VISEME_NAMES, VISEME_SHAPES, motion_from_visemes, viseme_matrix, visemes_from_motion
from liveface.types import ARKIT_INDEX


def test_one_hot_visemes_survive_the_round_trip():
    weights = np.eye(15, dtype=np.float32)
    back = visemes_from_motion(motion_from_visemes(weights))
    assert (back.argmax(1) == np.arange(15)).all()
    assert np.abs(back - weights).max() < 0.1


def test_mixtures_survive_the_round_trip():
    generator = np.random.default_rng(0)
    pairs = np.zeros((40, 15), np.float32)
    for row in pairs:
        row[generator.choice(15, 2, replace=False)] = 0.7, 0.3
    back = visemes_from_motion(motion_from_visemes(pairs))
    assert (back.argmax(1) == pairs.argmax(1)).mean() > 0.9


def test_the_table_names_known_shapes_and_stays_in_range():
    matrix = viseme_matrix()
    assert matrix.shape == (15, 52)
    assert 0 <= matrix.min() <= matrix.max() <= 1
    assert set(VISEME_SHAPES) == set(VISEME_NAMES)
    assert matrix[0].sum() == 0
    assert viseme_matrix()[VISEME_NAMES.index("aa"), ARKIT_INDEX["jawOpen"]] == matrix[:, ARKIT_INDEX["jawOpen"]].max()


def test_silence_is_a_closed_mouth_and_a_closed_mouth_is_silence():
    motion = motion_from_visemes(np.eye(15, dtype=np.float32)[:1])
    assert motion.expression.max() == 0
    assert visemes_from_motion(motion)[0, 0] == 1


@pytest.mark.parametrize("weights", [np.zeros((3, 14)), np.zeros(15), np.full((1, 15), np.nan)])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(MotionError, match="viseme weights"):
        motion_from_visemes(weights)
