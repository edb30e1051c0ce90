"""The rig: the reference comes back, the head moves as told, and nothing damaged is read."""

from __future__ import annotations

import numpy as np
import pytest

from liveface import weights
from liveface.errors import FaceError, SignalError
from liveface.render.liveface.regions import REGIONS, region, window
from liveface.render.liveface.rig import Rig, to_patch
from liveface.signals.image import read_image
from liveface.types import ARKIT_INDEX, Motion


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.of(read_image(weights.path("portrait.jpg")))


def rest(rig: Rig, **head: float) -> Motion:
    """The reference's own expression with a head pose."""
    names = ("pitch", "yaw", "roll", "x", "y", "z")
    pose = np.array([[head.get(name, 0.0) for name in names]], np.float32)
    return Motion(rig.head.own[None], pose, np.zeros((1, 4), np.float32))


def test_its_own_pose_gives_the_reference_back(rig: Rig) -> None:
    made = rig.base(rig.pose(rest(rig)))
    assert made.shape == (640, 360, 3)
    assert np.abs(made.astype(int) - rig.reference).mean() < 1.0


def test_a_shifted_head_moves_its_boxes_and_leaves_the_body_box(rig: Rig) -> None:
    still, moved = rig.pose(rest(rig)), rig.pose(rest(rig, x=2.0))
    step = moved.boxes["mouth"][:, 2] - still.boxes["mouth"][:, 2]
    assert step[0] == pytest.approx(2 * rig.head.px_per_cm, rel=0.1)
    assert abs(step[1]) < 1
    np.testing.assert_allclose(moved.boxes["body"], still.boxes["body"])


def test_turning_shifts_the_mouth_more_than_the_ears(rig: Rig) -> None:
    still, turned = rig.pose(rest(rig)), rig.pose(rest(rig, yaw=0.25))
    assert turned.rigid[:, 0].mean() - still.rigid[:, 0].mean() > 10  # lips stand before the axis
    assert np.abs(rig.base(turned)[:20].astype(int) - rig.plate[:20]).mean() < 1  # the wall above stays


def test_an_open_jaw_moves_the_lower_lip_down(rig: Rig) -> None:
    motion = rest(rig)
    expression = motion.expression.copy()
    expression[0, ARKIT_INDEX["jawOpen"]] += 0.6
    opened = rig.pose(Motion(expression, motion.head, motion.gaze))
    shut = rig.pose(motion)
    assert opened.lips[14, 1] - shut.lips[14, 1] > 0.15 * rig.eye_px  # middle of the outer lower lip
    np.testing.assert_allclose(opened.rigid, shut.rigid, atol=1e-4)


def test_boxes_lie_where_their_names_say(rig: Rig) -> None:
    boxes = rig.rest_boxes
    inside = to_patch(boxes["mouth"], rig.points[[13, 14], :2]) / np.array(REGIONS["mouth"].size)
    assert (np.abs(inside - 0.5) < 0.25).all()
    eyes = to_patch(boxes["eyes"], rig.points[[468, 473], :2]) / np.array(REGIONS["eyes"].size)
    assert (eyes > 0.1).all()
    assert (eyes < 0.9).all()


def test_files_bring_the_same_rig_back(rig: Rig) -> None:
    again = Rig.from_files(rig.to_files())
    np.testing.assert_allclose(again.points, rig.points)
    pose = rest(rig, yaw=0.1, x=1.0)
    difference = np.abs(again.base(again.pose(pose)).astype(int) - rig.base(rig.pose(pose)))
    assert difference.mean() < 1  # pictures are JPEG


@pytest.mark.parametrize("part", ["rig/rig.npz", "rig/reference.jpg", "rig/matte.png", "rig/plate.jpg"])
@pytest.mark.parametrize("damage", ["missing", "empty", "noise"])
def test_damaged_parts_are_refused(rig: Rig, part: str, damage: str) -> None:
    files = rig.to_files()
    if damage == "missing":
        del files[part]
    else:
        files[part] = b"" if damage == "empty" else bytes(range(256)) * 8
    with pytest.raises(SignalError, match="rig of the avatar is damaged"):
        Rig.from_files(files)


def test_a_picture_without_a_face_is_refused() -> None:
    with pytest.raises(FaceError):
        Rig.of(np.full((400, 300, 3), 128, np.uint8))


@pytest.mark.parametrize("name", list(REGIONS))
def test_windows_fade_to_their_borders(name: str) -> None:
    fade = window(name)
    width, height = region(name).size
    assert fade.shape == (height, width)
    assert fade[height // 2, width // 2] == 1
    assert fade[0].max() < 0.1
    assert fade.min() >= 0


def test_the_body_goes_on_below_the_photo_and_no_blur_is_lifted_into_view(rig: Rig) -> None:
    edge = 2 * rig.margin
    below, above = rig.texture[-edge : -edge + 60].astype(int), rig.texture[-edge - 72 : -edge - 12][::-1].astype(int)
    assert np.abs(below - above).mean() < 3  # mirrored, but for the JPEG
    raised = rig.base(rig.pose(rest(rig), (0.0, -0.1)))
    lower = raised[-3:].astype(float)
    assert np.abs(np.diff(lower, axis=1)).mean() > 0.5  # cloth and skin keep their edges
