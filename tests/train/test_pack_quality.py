"""The quality filter on pictures of the embedded portrait, some of them spoilt."""

import cv2
import numpy as np
import pytest

from liveface import weights
from liveface.signals.face import find_face
from liveface.signals.image import read_image
from liveface.train.avatar.quality import (
    REASONS,
    VIEW_PX,
    Looks,
    RejectedSheet,
    counts,
    face_view,
    haar_areas,
    sharpness,
)


@pytest.fixture(scope="module")
def scene():
    pixels = read_image(weights.path("portrait.jpg"), 700)
    return pixels, find_face(pixels)[0].points


def judged(scene, spoil, at=3, lost=False):
    """Eight frames alike, one of them spoilt: its verdict and all others."""
    pixels, points = scene
    looks = Looks()
    for number in range(8):
        picture = spoil(pixels) if number == at else pixels
        looks.see(picture, None if lost and number == at else points)
    seen = np.ones(8, bool)
    seen[at] = not lost
    verdicts = looks.verdicts(seen, 0, np.zeros(8, np.int32))
    return verdicts[at], np.delete(verdicts, at)


def test_the_view_is_upright_and_of_one_size(scene):
    pixels, points = scene
    straight = face_view(pixels, points)
    assert straight.shape == (VIEW_PX, VIEW_PX)
    matrix = cv2.getRotationMatrix2D((350.0, 350.0), 20, 0.7)
    turned = cv2.warpAffine(pixels, matrix, pixels.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    moved = points.copy()
    moved[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    again = face_view(turned, moved)
    middle = slice(VIEW_PX // 4, -VIEW_PX // 4)
    assert np.corrcoef(straight[middle, middle].ravel(), again[middle, middle].ravel())[0, 1] > 0.9


def test_haar_finds_the_face_and_no_other(scene):
    view = face_view(*scene)
    areas = haar_areas(view)
    assert len(areas) >= 1
    assert 0.15 < areas[0] / VIEW_PX**2 < 0.8
    assert haar_areas(np.full_like(view, 120)) == []


def test_sharpness_falls_with_blur(scene):
    view = face_view(*scene)
    assert sharpness(cv2.GaussianBlur(view, (0, 0), 1.5)) < 0.5 * sharpness(view)


def test_good_frames_are_kept(scene):
    verdict, others = judged(scene, lambda p: p)
    assert verdict == -1
    assert (others == -1).all()


def test_a_lost_face(scene):
    verdict, others = judged(scene, lambda p: p, lost=True)
    assert REASONS[verdict] == "lost"
    assert (others == -1).all()


def test_a_blurred_frame(scene):
    verdict, _ = judged(scene, lambda p: cv2.GaussianBlur(p, (0, 0), 8))
    assert REASONS[verdict] == "blurred"


def test_a_picture_without_the_face(scene):
    noise = np.random.default_rng(0).integers(0, 255, scene[0].shape, np.uint8)
    verdict, others = judged(scene, lambda p: noise)
    assert REASONS[verdict] in ("no face", "size")
    assert REASONS[others[3]] == "glitch"  # the frame after differs from the one before


def test_a_cascade_that_never_finds_says_nothing(scene):
    _, points = scene
    pixels = np.full(scene[0].shape, 90, np.uint8)
    looks = Looks()
    for _ in range(5):
        looks.see(pixels, points)
    verdicts = looks.verdicts(np.ones(5, bool), 0, np.zeros(5, np.int32))
    assert (verdicts == -1).all()


def test_takes_are_not_compared(scene):
    pixels, points = scene
    looks = Looks()
    other = np.roll(pixels, 40, 0)
    for number in range(6):
        looks.see(pixels if number < 3 else other, points)
    one = looks.verdicts(np.ones(6, bool), 0, np.array([0, 0, 0, 1, 1, 1], np.int32))
    joined = looks.verdicts(np.ones(6, bool), 0, np.zeros(6, np.int32))
    glitch = REASONS.index("glitch")
    assert glitch not in one
    assert joined[3] == glitch or joined[3] == one[3] != -1


def test_counts_and_the_sheet(tmp_path):
    verdicts = np.array([-1, 3, -1, 5, 3], np.int8)
    assert counts(verdicts)["blurred"] == 2
    sheet = RejectedSheet(verdicts)
    for at in range(5):
        sheet.offer(at, np.full((200, 100, 3), 40 * at, np.uint8))
    assert sheet.save(tmp_path / "rejected.png")
    assert cv2.imread(str(tmp_path / "rejected.png")).shape == (160, 240, 3)
    assert not RejectedSheet(np.full(4, -1, np.int8)).save(tmp_path / "none.png")
