"""Advice before a recording, on the embedded portrait as a camera would see it."""

import cv2
import numpy as np
import pytest

from liveface import weights
from liveface.live.framing import advice
from liveface.signals.image import read_image


@pytest.fixture(scope="module")
def portrait():
    return read_image(weights.path("portrait.jpg"))


def seen(portrait, *, share=0.8, aside=0.0, gain=1.0):
    """The portrait in a camera's picture of 640x480, `share` of its height."""
    height = round(480 * share)
    small = cv2.resize(portrait, (round(portrait.shape[1] * height / portrait.shape[0]), height))
    picture = np.full((480, 640, 3), 128, np.uint8)
    left = round((640 - small.shape[1]) / 2 + aside * 640)
    picture[480 - height :, left : left + small.shape[1]] = np.clip(small * gain, 0, 255).astype(np.uint8)
    return picture


def test_a_good_picture_is_left_alone(portrait):
    assert advice(seen(portrait), 720) == []


@pytest.mark.parametrize(
    ("changed", "height", "word"),
    [({"gain": 0.25}, 720, "dark"), ({"share": 0.35}, 480, "closer"), ({"aside": 0.24}, 720, "side")],
)
def test_what_is_wrong_is_said(portrait, changed, height, word):
    found = advice(seen(portrait, **changed), height)
    assert any(word in sentence for sentence in found), found


def test_nobody_and_two_people(portrait):
    assert "No face" in advice(np.full((480, 640, 3), 128, np.uint8), 720)[0]
    half = seen(portrait, share=0.7)[:, 160:480]
    assert "Another face" in advice(np.concatenate([half, half], 1), 720)[0]


def test_light_from_one_side(portrait):
    picture = seen(portrait).astype(np.float32)
    picture[:, :320] *= 0.35
    assert any("one side" in sentence for sentence in advice(picture.astype(np.uint8), 720))
