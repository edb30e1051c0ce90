"""Colours of one take matched to another's."""

import numpy as np

from liveface.render.topology import CHIN, FOREHEAD
from liveface.train.avatar.colour import MOST_GAIN, matched, skin_colour, take_gains


def face(x=40.0, y=40.0):
    points = np.full((478, 3), (x, y, 0), np.float32)
    points[FOREHEAD, 1], points[CHIN, 1] = y - 30, y + 30
    return points


def test_takes_are_brought_to_the_references_take():
    random = np.random.default_rng(0)
    casts = np.array([[1, 1, 1], [1.1, 1, 0.9], [0.95, 1.02, 1.2]])
    take = np.repeat(np.arange(3), 20).astype(np.int32)
    colours = (np.array([150, 110, 90]) * casts[take] * random.normal(1, 0.01, (60, 1))).astype(np.float32)
    colours[5] = np.nan  # no face there
    gains = take_gains(colours, take, 2)
    assert np.allclose(gains, 1 / casts, rtol=0.02)
    assert take_gains(colours, take, 25)[1].tolist() == [1, 1, 1]


def test_a_take_without_a_face_and_one_lit_differently():
    colours = np.array([[100, 100, 100], [np.nan] * 3, [10, 100, 250]], np.float32)
    gains = take_gains(colours, np.arange(3, dtype=np.int32), 0)
    assert gains[1].tolist() == [1, 1, 1]
    assert np.allclose(gains[2], [MOST_GAIN, 1, 1 / MOST_GAIN])


def test_the_skin_is_where_the_cheeks_are():
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[30:50, 30:50] = (180, 140, 120)
    assert skin_colour(picture, face()).tolist() == [180, 140, 120]
    assert np.isnan(skin_colour(picture, face(500, 500))).all()


def test_colours_are_multiplied_and_stay_bytes():
    picture = np.array([[[100, 200, 10]]], np.uint8)
    assert matched(picture, np.array([1.1, 1.35, 0.5], np.float32)).tolist() == [[[110, 255, 5]]]
    assert matched(picture, np.ones(3, np.float32)) is picture
