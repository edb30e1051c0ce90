"""Measures of pictures and points against cases that can be worked out by hand."""

import numpy as np
import pytest

from liveface.geometry import head_rotation
from liveface.metrics import (
    EYES,
    MOST_DB,
    MOUTH,
    angle_deg,
    blinks,
    change,
    eye_distance,
    lid_opening,
    mouth_box,
    on_eye_line,
    point_error,
    psnr,
    ssim_map,
)
from liveface.motion.face_model import FaceModel

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """The mean face as points `[1, 478, 2]` of a picture of 200 by 300 pixels."""
    return (FaceModel.load().mean[None, :, :2] * 9 + (100, 150)).astype(np.float32)


def test_psnr_of_one_level_and_of_nothing():
    picture = np.full((8, 9, 3), 100, np.uint8)
    assert psnr(picture, picture) == MOST_DB
    assert psnr(picture, picture + np.uint8(1)) == pytest.approx(20 * np.log10(255))
    assert psnr(picture, picture - np.uint8(5)) == pytest.approx(20 * np.log10(255 / 5))


def test_ssim_of_flat_pictures_is_its_luminance_term():
    one, two = np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 120, np.uint8)
    c1 = 2.55**2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim_map(one, two) == pytest.approx(expected, abs=1e-4)


def test_ssim_is_one_for_the_same_and_falls_with_noise():
    picture = RNG.integers(0, 256, (64, 48, 3), np.uint8)
    assert ssim_map(picture, picture) == pytest.approx(1, abs=1e-4)
    little = np.clip(picture + RNG.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
    much = np.clip(picture + RNG.normal(0, 40, picture.shape), 0, 255).astype(np.uint8)
    assert 1 > ssim_map(picture, little).mean() > ssim_map(picture, much).mean()
    assert ssim_map(picture, 255 - picture).mean() < 0


def test_ssim_is_the_plain_formula_in_the_middle_of_a_picture():
    one, two = (np.repeat(RNG.integers(0, 256, (21, 21, 1), np.uint8), 3, 2) for _ in range(2))
    offset = np.arange(-5, 6)
    window = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    a, b = one[5:16, 5:16, 0].astype(float), two[5:16, 5:16, 0].astype(float)
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * a * a).sum() - mean_a**2, (window * b * b).sum() - mean_b**2
    shared = (window * a * b).sum() - mean_a * mean_b
    c1, c2 = 2.55**2, 7.65**2
    wanted = (2 * mean_a * mean_b + c1) * (2 * shared + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    assert ssim_map(one, two)[10, 10] == pytest.approx(wanted, abs=1e-3)


def test_the_eye_line_forgets_place_size_and_roll(face):
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (1.7 * face @ turn.T + (40, -20)).astype(np.float32)
    assert np.allclose(on_eye_line(moved), on_eye_line(face), atol=1e-4)
    assert point_error(moved, face, MOUTH) == pytest.approx(0, abs=1e-2)
    assert eye_distance(moved) == pytest.approx(1.7 * eye_distance(face))
    assert np.allclose(np.linalg.norm(on_eye_line(face)[0, 33] - on_eye_line(face)[0, 263]), 1 / 0.7, atol=1e-4)


def test_a_shift_of_the_mouth_is_counted_in_eye_distances(face):
    moved = face.copy()
    moved[:, MOUTH, 1] += 0.05 * eye_distance(face)
    assert point_error(moved, face, MOUTH) == pytest.approx(5, abs=0.05)
    assert point_error(moved, face, EYES) == pytest.approx(0, abs=1e-4)


def test_lids_and_blinks(face):
    track = np.repeat(face, 20, 0)
    usual = lid_opening(track)
    upper, lower = [159, 158, 160, 386, 385, 387], [145, 153, 144, 374, 380, 373]
    track[7:9][:, upper] = track[7:9][:, lower] + (track[7:9][:, upper] - track[7:9][:, lower]) * 0.2
    opening = lid_opening(track)
    assert opening[7] == pytest.approx(0.2 * usual[0], rel=1e-3)
    assert np.flatnonzero(blinks(opening)).tolist() == [7, 8]


def test_the_mouth_box_is_square_and_stays_inside(face):
    rows, columns = mouth_box(face[0], (200, 300))
    width = np.ptp(face[0, MOUTH, 0])
    assert columns.stop - columns.start == pytest.approx(1.6 * width, abs=2)
    assert rows.stop - rows.start == pytest.approx(1.6 * width, abs=2)
    rows, columns = mouth_box(face[0] - (100, 140), (200, 300))
    assert rows.start >= 0
    assert columns.start == 0


def test_angles_between_rotations():
    turned = head_rotation(0.1, 0.2, -0.1)
    assert angle_deg(turned, turned) == pytest.approx(0, abs=0.05)
    assert angle_deg(head_rotation(0, 0.25, 0), head_rotation(0, 0, 0)) == pytest.approx(np.degrees(0.25), abs=1e-3)
    assert angle_deg(turned @ head_rotation(0, 0.25, 0), turned) == pytest.approx(np.degrees(0.25), abs=1e-3)


def test_change_looks_only_where_it_is_told():
    one = np.zeros((4, 4, 3), np.uint8)
    two = one.copy()
    two[0, 0] = 90
    where = np.zeros((4, 4), bool)
    where[0] = True
    assert change(one, two, where) == pytest.approx(90 / 4)
    assert change(one, two, ~where) == 0
