"""Drawn teeth: where they stand, how bright they are, and how their detail enters a painting."""

import cv2
import numpy as np
import pytest

from liveface.motion.face_model import FaceModel
from liveface.render.mouth import lit_rows, sharpen_teeth, tooth_colour, tooth_level
from liveface.render.patch import EDGE_BELOW_SEAM, OUTER, cut, hole_mask, premultiply, rows_below
from liveface.render.teeth import IVORY, LUMINANCE, draw_rows, outline, teeth_colour
from liveface.types import ARKIT_INDEX

SIZE = (360, 640)
PX_PER_CM = 16.0


def face(jaw=0.0):
    expression = np.zeros(52, np.float32)
    expression[ARKIT_INDEX["jawOpen"]] = jaw
    model = FaceModel.load()
    points = model.points(np.zeros(len(model.identity), np.float32), expression) * PX_PER_CM
    points[:, :2] += np.array(SIZE) / 2
    return points.astype(np.float32)


def photo(skin, points):
    out = np.full((SIZE[1], SIZE[0], 3), skin, np.uint8)
    lips = hole_mask(points[OUTER, :2], 0, SIZE) > 128
    out[lips] = (np.array(skin) * (0.85, 0.6, 0.6)).astype(np.uint8)
    return out


def test_teeth_follow_skin_and_exposure_and_stay_grey_on_grey_photos():
    points = face()
    light, dark, dim, grey = (
        teeth_colour(photo(skin, points), points)
        for skin in ((215, 165, 140), (105, 72, 58), (50, 36, 30), (120, 120, 120))
    )
    assert light @ LUMINANCE > dark @ LUMINANCE > dim @ LUMINANCE
    assert dark @ LUMINANCE > 1.2 * np.array([105, 72, 58]) @ LUMINANCE
    assert dim @ LUMINANCE < 80
    assert np.ptp(grey) < 1
    assert light[0] > light[1] > light[2]


def test_white_of_the_eyes_tells_dim_dark_skin_from_dark_skin():
    points = face()
    skin = (105, 72, 58)
    seen = photo(skin, points)
    bright = seen.copy()
    for ring in ([33, 160, 158, 133, 153, 144], [362, 385, 387, 263, 373, 380]):
        cv2.fillPoly(bright, np.round(points[ring, :2]).astype(np.int32)[None], (200, 190, 185))
    assert teeth_colour(bright, points) @ LUMINANCE > teeth_colour(seen, points) @ LUMINANCE + 20


def test_rows_are_apart_upright_and_separate():
    stored, marks = cut(photo((205, 165, 145), face()), face())
    upper, lower = draw_rows(marks, (stored.shape[1], stored.shape[0]))
    heights = [np.average(np.arange(156), weights=row[:, :, 3].sum(1)) for row in (upper, lower)]
    assert heights[0] < heights[1]
    line = upper[round(heights[0]), :, :3] @ LUMINANCE
    inside = line[line > 60]
    assert inside.max() > 0.8 * IVORY @ LUMINANCE
    dips = (np.diff(np.sign(np.diff(cv2.GaussianBlur(inside[None], (3, 1), 0.7)[0]))) > 0).sum()
    assert dips >= 5  # gaps between the teeth that face the camera
    assert upper[:, :, 3].max() == 255
    assert not upper[:, :, :3][upper[:, :, 3] == 0].any()


def test_the_upper_edge_lies_under_the_seam():
    points = face()
    seam = (points[13, 1] + points[14, 1]) / 2
    low = rows_below(points)
    upper, _ = draw_rows(points, SIZE, low)
    edge = np.flatnonzero(upper[:, SIZE[0] // 2 + 5, 3] > 128).max()
    assert edge == pytest.approx(seam + EDGE_BELOW_SEAM * PX_PER_CM, abs=2.5)
    moved = points.copy()
    moved[[13, 14], 1] += 3
    assert rows_below(moved) == pytest.approx(low + 3 / PX_PER_CM, abs=0.03)


def test_a_tooth_is_a_closed_outline_that_grows_with_its_sizes():
    for up in (-1, 1):
        contour = outline(0.5, 1.3, 4.4, 0.9, up)
        assert contour.shape == (18, 2)
        assert cv2.contourArea(contour) == pytest.approx(0.8 * 0.9, rel=0.25)
        assert up * (contour[9:, 1].mean() - contour[:9, 1].mean()) > 0.5


def test_detail_enters_where_teeth_are_certain_or_agreed():
    colour = np.full((40, 80, 3), (60, 25, 25), np.uint8)
    colour[10:30, 8:72] = (225, 215, 200)
    colour[10:30, 20:72:12] = (120, 105, 95)
    exemplar = premultiply(colour, np.full((40, 80), 255, np.uint8))
    level = tooth_level(exemplar)
    dim, dark = (np.full((40, 80, 3), shade, np.uint8) for shade in ((170, 160, 150), (40, 15, 15)))
    agreed = sharpen_teeth(dim, exemplar, level, (0.45, 0))
    assert agreed[20, :, 1].std() > 10
    assert np.array_equal(sharpen_teeth(dark, exemplar, level, (0.45, 0)), dark)
    assert sharpen_teeth(dark, exemplar, level, (0.45, 0.6))[20].mean() > 60
    empty = np.zeros_like(exemplar)
    assert sharpen_teeth(dim, empty, tooth_level(empty), (0.2, 0.5)) is dim


def test_drawn_rows_take_the_photos_light():
    dim, bright = (
        lit_rows(cut(photo((205, 165, 145), face()), face())[1], np.array(colour, np.float32), 0.0)[0]
        for colour in ((90, 80, 70), (230, 215, 195))
    )
    assert tooth_level(dim) < 0.5 * tooth_level(bright)
    assert np.allclose(tooth_colour(dim), (90, 80, 70), rtol=0.25)
    assert np.array_equal(tooth_colour(np.zeros_like(dim)), IVORY)
