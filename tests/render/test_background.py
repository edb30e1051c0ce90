import cv2
import numpy as np
import pytest

from liveface import weights
from liveface.errors import SignalError
from liveface.render.background import Background, check_background
from liveface.signals.image import read_image
from liveface.subject import chosen_renderer, open_renderer, open_subject
from liveface.types import Motion

GREY = np.full((96, 64, 3), 200, np.uint8)


def scene():
    """A dark square in front of a grey wall, and its matte."""
    matte = np.zeros((96, 64), np.uint8)
    matte[24:72, 16:48] = 255
    pixels = GREY.copy()
    pixels[24:72, 16:48] = (30, 40, 50)
    return pixels, matte


def test_a_colour_stands_behind_the_person():
    pixels, matte = scene()
    made, alpha = Background("#00B140", GREY, read_image).behind(pixels, matte)
    assert alpha is None
    np.testing.assert_array_equal(made[matte == 0], np.broadcast_to((0, 0xB1, 0x40), made[matte == 0].shape))
    np.testing.assert_array_equal(made[matte == 255], pixels[matte == 255])


def test_what_a_network_leaves_on_the_wall_is_gone():
    pixels, matte = scene()
    pixels[:10] -= 3
    made, _ = Background("#ff0000", GREY, read_image).behind(pixels, matte)
    np.testing.assert_array_equal(made[:10], np.broadcast_to((255, 0, 0), made[:10].shape))


def test_an_edge_keeps_the_persons_colour_and_not_the_walls():
    pixels, matte = scene()
    pixels[40, 16] = (30 + 200) // 2, (40 + 200) // 2, (50 + 200) // 2
    matte[40, 16] = 128
    (made, _), (own, alpha) = (
        Background(name, GREY, read_image).behind(pixels, matte) for name in ("#000000", "alpha")
    )
    share = alpha[40, 16] / 255
    assert 0.3 < share < 0.7
    assert (made[40, 16] < 60).all()
    assert np.abs(own[40, 16] * share - made[40, 16]).max() < 2


def test_wall_inside_a_generous_matte_is_wall():
    pixels, matte = scene()
    pixels[24:72, 16] = 203
    _, alpha = Background("alpha", GREY, read_image).behind(pixels, matte)
    assert alpha[30:66, 16].max() == 0
    assert alpha[30:66, 20:44].min() == 255


def test_without_a_background_alpha_says_where_the_person_is():
    pixels, matte = scene()
    made, alpha = Background("alpha", GREY, read_image).behind(pixels, matte)
    np.testing.assert_array_equal(alpha, matte)
    np.testing.assert_array_equal(made[matte == 255], pixels[matte == 255])
    assert made[matte == 0].max() == 0


def test_a_picture_fills_the_frame_from_its_middle(tmp_path):
    wide = np.zeros((48, 300, 3), np.uint8)
    wide[:, 140:160] = (10, 20, 30)
    file = tmp_path / "wall.png"
    cv2.imwrite(str(file), wide)
    pixels, matte = scene()
    made, _ = Background(str(file), GREY, read_image).behind(pixels, matte)
    assert made.shape == pixels.shape
    assert np.abs(made[5, 32].astype(int) - (30, 20, 10)).max() <= 2
    assert made[5, 2].max() == 0


@pytest.mark.parametrize("wanted", ["", "green", "#00b14", "#00b14g", "no-such.png", "#00b1401"])
def test_what_is_no_background_is_refused(wanted):
    with pytest.raises(SignalError, match="neither a colour nor a picture"):
        check_background(wanted)


@pytest.mark.parametrize("name", ["portrait.jpg", "ada.avatar"])
def test_renderers_tell_where_the_person_is(name):
    subject = open_subject(weights.path(name))
    renderer = open_renderer(subject, chosen_renderer(subject, None), (360, 640))
    aside = Motion.rest()
    aside.head[0, 3] = 3.0  # centimetres to the image's right
    state, middles = renderer.start(), []
    for motion in (Motion.rest(), aside):
        matte = renderer.matte(state, motion)
        state, (frame,) = renderer.step(state, motion)
        assert matte.shape == frame.pixels.shape[:2]
        assert matte[5, 5] == 0
        assert matte[300, 180] == 255
        wall = np.abs(frame.pixels[matte == 0].astype(int) - renderer.plate[matte == 0])
        assert wall.mean() < 2
        middles.append(np.nonzero(matte[200] > 127)[0].mean())
    assert 5 < middles[1] - middles[0] < 60
