"""The tracker's geometry, what it says to bad pictures, and a face of nobody."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveface import weights
from liveface.errors import FaceError, SignalError
from liveface.signals import face as tracker
from liveface.signals.face import FaceTracker, find_face, segment_person


def test_no_face_is_an_empty_answer_for_the_tracker_and_a_clear_error_for_a_photo() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    assert FaceTracker().detect(np.full((120, 160, 3), 90, np.uint8)) == []
    assert FaceTracker().track(noise) is None
    assert FaceTracker(static=True).track(noise, face=2) is None
    with pytest.raises(FaceError, match="no face was found in this 160x120 picture"):
        find_face(noise)


@pytest.mark.parametrize("picture", [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32)])
def test_wrong_pictures_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(SignalError, match="expected \\(height, width, 3\\)"):
        FaceTracker().track(picture)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (500, 2)])
def test_tiny_pictures_do_no_harm(shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    assert FaceTracker(static=True).track(picture) is None
    assert segment_person(picture).shape == shape


def test_anchor_counts_match_the_networks() -> None:
    assert tracker._anchors(128).shape == (896, 2)
    assert tracker._anchors(192).shape == (2304, 2)
    np.testing.assert_allclose(tracker._anchors(128)[[0, 1]], 0.5 / 16)


def test_sampling_is_exact_to_a_small_part_of_a_pixel() -> None:
    """A blob at a known place must appear where the affine map says, at any size and turn."""
    y, x = np.mgrid[:400, :500]
    for side, angle, mirror in ((100, 0.0, False), (180, 0.4, False), (390, -0.7, True)):
        spot = np.array([263.0, 171.0])
        blob = 255 * np.exp(-((x + 0.5 - spot[0]) ** 2 + (y + 0.5 - spot[1]) ** 2) / (2 * (side / 40) ** 2))
        picture = np.repeat(blob[..., None], 3, 2).astype(np.uint8)
        affine = tracker._upright(np.array([250.0, 180.0]), side, angle, 96, mirror=mirror)
        crop = tracker._sample(picture, affine, 96)[..., 0].astype(float)
        row, column = np.mgrid[:96, :96] + 0.5
        centre = np.array([(crop * column).sum(), (crop * row).sum()]) / crop.sum()
        np.testing.assert_allclose(centre, affine[:, :2] @ spot + affine[:, 2], atol=0.15)


def test_overlapping_boxes_are_merged_and_distant_ones_kept() -> None:
    boxes = np.zeros((3, 16), np.float32)
    boxes[:, :4] = [(0.3, 0.3, 0.2, 0.2), (0.31, 0.3, 0.2, 0.2), (0.7, 0.7, 0.2, 0.2)]
    merged = tracker._merge(boxes, np.array([0.9, 0.6, 0.8], np.float32))
    assert len(merged) == 2
    np.testing.assert_allclose(merged[0][:2], (0.304, 0.3), atol=1e-3)


def test_lid_rings_name_each_point_once_and_mirror_each_other() -> None:
    both = tracker._RIGHT_LIDS + tracker._LEFT_LIDS
    assert len(set(both)) == 96
    assert cv2.__version__.startswith("4.")  # OpenCV 5 has no such pin yet


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """The embedded portrait of nobody, RGB, 720 pixels high."""
    stored = cv2.imread(str(weights.path("portrait.jpg")), cv2.IMREAD_COLOR)
    scale = 720 / stored.shape[0]
    small = cv2.resize(stored, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, :, ::-1])


def test_the_portrait_is_found_upright_and_in_order(portrait: np.ndarray) -> None:
    face, count = find_face(portrait)
    assert count == 1
    assert face.points.shape == (478, 3)
    assert face.points.dtype == np.float32
    assert face.score > 0.9
    right, left = face.points[33], face.points[263]
    assert left[0] > right[0] + 60  # the person's left is at the image's right
    assert face.points[1, 2] < face.points[234, 2]  # the nose is nearer than the ear
    assert abs(face.yaw_deg) < 10
    for iris, corners in ((468, (33, 133)), (473, (362, 263))):
        ends = face.points[list(corners), 0]
        assert ends.min() < face.points[iris, 0] < ends.max()
        assert face.points[iris + 1, 0] > face.points[iris + 3, 0]  # ring: right before left, top before bottom
        assert face.points[iris + 2, 1] < face.points[iris + 4, 1]


def test_video_mode_follows_and_agrees_with_itself(portrait: np.ndarray) -> None:
    follower, alone = FaceTracker(), FaceTracker(static=True)
    for step in range(4):
        moved = np.roll(portrait, 3 * step, axis=1)
        followed, found = follower.track(moved), alone.track(moved)
        assert followed is not None
        assert found is not None
        error = np.linalg.norm(followed.points[:, :2] - found.points[:, :2], axis=1).mean()
        assert error < 0.02 * found.height
    follower.reset()
    assert follower.track(np.full((90, 90, 3), 40, np.uint8)) is None


@pytest.mark.parametrize("turn", [20, -35, 90])
def test_turned_pictures_give_turned_points(portrait: np.ndarray, turn: int) -> None:
    height, width = portrait.shape[:2]
    affine = cv2.getRotationMatrix2D((width / 2, height / 2), -turn, 0.7)
    face = FaceTracker(static=True).track(cv2.warpAffine(portrait, affine, (width, height)))
    assert face is not None
    across = face.points[263, :2] - face.points[33, :2]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(turn, abs=5)


def test_a_tight_crop_is_still_found(portrait: np.ndarray) -> None:
    points = find_face(portrait)[0].points[:468, :2]
    (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int)
    crop = np.ascontiguousarray(portrait[max(top, 0) : bottom, max(left, 0) : right])
    face = FaceTracker(static=True).track(crop)
    assert face is not None
    assert face.height > 0.7 * (bottom - top)


def test_the_largest_of_several_faces_comes_first(portrait: np.ndarray) -> None:
    half = cv2.resize(portrait, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.full((portrait.shape[0], portrait.shape[1] + half.shape[1], 3), 128, np.uint8)
    both[:, : portrait.shape[1]] = portrait
    both[: half.shape[0], portrait.shape[1] :] = half
    first, count = find_face(both)
    second, _ = find_face(both, face=2)
    assert count == 2
    assert first.points[1, 0] < portrait.shape[1] < second.points[1, 0]
    assert second.height == pytest.approx(0.6 * first.height, rel=0.1)
    chosen = FaceTracker(static=True).track(both, face=2)
    assert chosen is not None
    assert chosen.points[1, 0] > portrait.shape[1]
    with pytest.raises(FaceError, match="face 3 was asked for, but the picture has 2"):
        find_face(both, face=3)


def test_a_face_that_is_too_small_is_refused(portrait: np.ndarray) -> None:
    face = find_face(portrait)[0]
    scale = 45 / face.height
    with pytest.raises(FaceError, match="expected at least 60"):
        find_face(cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def test_a_face_that_is_turned_away_is_refused(monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray) -> None:
    face = find_face(portrait)[0]
    turned = face.points.copy()
    turned[454, 2] += 2 * face.height
    aside = tracker.Face(turned, face.score, face.box)
    assert aside.yaw_deg > 45
    monkeypatch.setattr(FaceTracker, "faces", lambda *_: [aside])
    with pytest.raises(FaceError, match=r"turned .* degrees to the side"):
        find_face(portrait)


def test_the_person_is_told_from_the_background(portrait: np.ndarray) -> None:
    mask = segment_person(portrait)
    face = find_face(portrait)[0]
    assert mask.shape == portrait.shape[:2]
    assert mask.dtype == np.float32
    x, y = face.points[1, :2].astype(int)
    assert mask[y, x] > 0.8
    assert mask[:10, :10].mean() < 0.3
