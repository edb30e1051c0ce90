"""The tracker's geometry, what it says to bad pictures, and a face of nobody."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

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
