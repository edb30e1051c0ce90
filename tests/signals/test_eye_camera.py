"""Eye cameras: crops follow the eyes, and the shipped network reads drawn eyes."""

import cv2
import numpy as np
import pytest

from liveface.errors import SignalError
from liveface.motion.codes import EYE_SLOT, read_eyes
from liveface.signals.eye_camera import CORNERS, EYE_HEIGHT, EYE_WIDTH, EyeCamera, cut_eyes, eye_affine
from liveface.signals.face import find_face
from liveface.signals.image import read_image
from liveface.weights import FOLDER


@pytest.fixture(scope="module")
def portrait():
    pixels = read_image(FOLDER / "portrait.jpg")
    return pixels, find_face(pixels)[0].points


@pytest.fixture(scope="module")
def camera():
    return EyeCamera()


def test_corners_land_level_in_both_pictures(portrait):
    _, points = portrait
    for eye, (outer, inner) in CORNERS.items():
        affine = eye_affine(points, eye, (EYE_WIDTH, EYE_HEIGHT))
        placed = np.column_stack([points[[outer, inner], :2], np.ones(2)]) @ affine.T
        np.testing.assert_allclose(placed, [[38.5, 15.5], [8.5, 15.5]], atol=1e-3)


def test_pictures_are_upright_and_not_mirrored(portrait):
    pixels, points = portrait
    left, right = cut_eyes(pixels, points)
    assert left.shape == right.shape == (EYE_HEIGHT, EYE_WIDTH)
    for eye, made in (("left", left), ("right", right)):
        middle = points[list(CORNERS[eye]), :2].mean(0)
        wide = np.linalg.norm(np.subtract(*points[list(CORNERS[eye]), :2])) * 1.6
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        plain = cv2.getRectSubPix(grey, (int(wide), int(wide * 2 / 3)), middle.astype(float).tolist())
        plain = cv2.resize(plain, (EYE_WIDTH, EYE_HEIGHT), interpolation=cv2.INTER_AREA)
        alike = np.corrcoef(plain.ravel(), made.ravel())[0, 1]
        assert alike > max(0.9, np.corrcoef(plain[:, ::-1].ravel(), made.ravel())[0, 1])


def test_an_open_look_into_the_camera(portrait, camera):
    slot = camera(*cut_eyes(*portrait))
    assert slot.shape == (EYE_SLOT,)
    pitch, yaw, left, right, _, _ = read_eyes(slot)
    assert abs(pitch) < 0.12
    assert abs(yaw) < 0.12
    assert max(left, right) < 0.3


def test_shut_eyes_and_light_of_another_camera(portrait, camera):
    left, right = cut_eyes(*portrait)
    skin = [np.full_like(eye, int(np.median(eye[-6:]))) for eye in (left, right)]
    for lid in skin:
        cv2.line(lid, (9, 17), (38, 17), 40, 1, cv2.LINE_AA)
    assert read_eyes(camera(*skin))[2:4].min() > 0.5
    dim = [(eye * 0.4 + 60).astype(np.uint8) for eye in (left, right)]
    np.testing.assert_allclose(read_eyes(camera(*dim)), read_eyes(camera(left, right)), atol=0.1)


def test_any_size_and_colour_gives_the_same_eyes(portrait, camera):
    left, right = cut_eyes(*portrait)
    large = [np.repeat(cv2.resize(eye, (192, 128), interpolation=cv2.INTER_NEAREST)[:, :, None], 3, 2)
             for eye in (left, right)]  # fmt: skip
    np.testing.assert_allclose(read_eyes(camera(*large)), read_eyes(camera(left, right)), atol=0.03)
    padded = [np.pad(eye, ((16, 16), (0, 0)), mode="edge") for eye in (left, right)]  # 3:4, cut back to 3:2
    np.testing.assert_array_equal(camera(*padded), camera(left, right))


def test_calibration_takes_off_a_persons_own_rest(portrait, camera):
    looks = [cut_eyes(*portrait)] * 3
    own = camera.calibrated(looks)
    assert np.abs(own(*looks[0])).max() < 1e-6
    skin = [np.full_like(eye, 150) for eye in looks[0]]
    np.testing.assert_allclose(own(*skin), camera(*skin) - camera(*looks[0]), atol=1e-6)
    with pytest.raises(SignalError, match="nothing to calibrate"):
        camera.calibrated([])
    with pytest.raises(SignalError, match="finite"):
        EyeCamera(straight=np.zeros(6, np.float32))


@pytest.mark.parametrize("picture", [np.zeros((4, 48), np.uint8), np.zeros((32, 48), np.float32),
                                     np.zeros((32, 48, 4), np.uint8)])  # fmt: skip
def test_pictures_that_cannot_be_eyes_are_refused(camera, picture):
    with pytest.raises(SignalError, match="expected"):
        camera(np.zeros((32, 48), np.uint8), picture)
