"""The compositor acts where patches lie, with integer and with float files alike."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from liveface import weights
from liveface.render.liveface.compositor import Compositor, half
from liveface.render.liveface.paste import shuffle
from liveface.runtime import Step
from liveface.types import Pixels
from tiny_network import tiny_network


@pytest.fixture
def picture() -> Pixels:
    noise = np.random.default_rng(0).integers(0, 256, (640, 360, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)


def alphas() -> Pixels:
    made = np.zeros((4, 320, 180), np.uint8)
    made[0, 100:160, 40:90], made[2, 60:200, 20:120] = 255, 90
    return made


def test_it_adds_what_its_network_says(picture: Pixels) -> None:
    file = weights.path("compositor.tflite")
    features = np.random.default_rng(1).random((80, 45, 16), np.float32)
    below = half(cv2.add(picture, 9))
    joined = cv2.merge([half(picture), *alphas(), below]).astype(np.float32) / 255
    residual = Step(file)(canvas=joined[None], features=features[None])["grid"][0]
    drawn = cv2.resize(alphas().max(0), (45, 80), interpolation=cv2.INTER_AREA)
    change = shuffle(residual * drawn[..., None].astype(np.float32), 3)
    assert np.abs(change).max() > 2
    expected = np.clip(picture + change, 0, 255)
    made = picture.copy()
    compositor = Compositor(file)
    compositor.learn(features)
    for _ in range(2):  # a second frame finds the features where they were
        made[:] = picture
        compositor(made, alphas(), below)
        assert np.abs(made - expected).max() < 1
    assert np.abs(made - expected).mean() < 0.3
    np.testing.assert_array_equal(
        made[drawn.repeat(8, 0).repeat(8, 1) == 0], picture[drawn.repeat(8, 0).repeat(8, 1) == 0]
    )


def test_a_float_file_works_too(picture: Pixels, tmp_path: Path) -> None:
    file = tmp_path / "compositor.tflite"
    inputs = {"canvas": (1, 320, 180, 10), "features": (1, 80, 45, 16)}
    file.write_bytes(tiny_network(inputs, {"residual": (1, 80, 45, 192)}, low=0.04, high=0.04, gain=0.0))
    made, compositor = picture.copy(), Compositor(file)
    compositor.learn(np.zeros((1, 80, 45, 16), np.float32))  # else the network multiplies whatever lies in memory
    compositor(made, alphas(), half(picture))
    difference = made.astype(int) - np.minimum(picture + round(0.04 * 255), 255)
    assert np.abs(difference[208:312, 88:176]).max() == 0  # opaque
    np.testing.assert_array_equal(made[:100], picture[:100])


def test_without_patches_nothing_changes(picture: Pixels) -> None:
    made = picture.copy()
    Compositor(weights.path("compositor.tflite"))(made, np.zeros((4, 320, 180), np.uint8), half(picture))
    np.testing.assert_array_equal(made, picture)
