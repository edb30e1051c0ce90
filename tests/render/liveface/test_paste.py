"""Patches: cut and pasted they land where they came from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveface import weights
from liveface.render.liveface.paste import compose, cut_patch, faded, shuffle, to_rgba
from liveface.render.liveface.regions import REGIONS
from liveface.render.liveface.rig import Rig
from liveface.signals.image import read_image
from liveface.types import Motion, Pixels


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.of(read_image(weights.path("portrait.jpg")))


def solid(patch: Pixels, alpha: int = 255) -> Pixels:
    return np.dstack([patch, np.full(patch.shape[:2], alpha, np.uint8)])


@pytest.mark.parametrize("name", ["mouth", "eyes"])
def test_a_cut_patch_pasted_back_changes_next_to_nothing(rig: Rig, name: str) -> None:
    canvas = cv2.GaussianBlur(rig.reference, (0, 0), 2)  # finer detail than the patch holds is lost by nature
    motion = Motion.rest()
    motion.head[0, 2] = 0.1
    boxes = rig.pose(motion).boxes
    made, alphas = compose(canvas, {name: solid(cut_patch(canvas, boxes[name], name))}, boxes)
    assert np.abs(made.astype(int) - canvas).mean() < 0.5
    assert np.abs(made.astype(int) - canvas).max() < 16
    assert alphas.shape == (4, 320, 180)
    assert alphas[list(REGIONS).index(name)].max() >= 250
    assert alphas.sum() == alphas[list(REGIONS).index(name)].sum()


def test_alpha_zero_leaves_the_base(rig: Rig) -> None:
    boxes = rig.rest_boxes
    patches = {name: np.zeros((*region.size[::-1], 4), np.uint8) for name, region in REGIONS.items()}
    made, alphas = compose(rig.reference, patches, boxes)
    np.testing.assert_array_equal(made, rig.reference)
    assert alphas.max() == 0


def test_a_box_beyond_the_canvas_is_cut(rig: Rig) -> None:
    boxes = dict(rig.rest_boxes)
    boxes["mouth"] = boxes["mouth"] + np.array([[0, 0, 300], [0, 0, 500]], np.float32)
    patch = np.full((96, 128, 4), 255, np.uint8)
    made, _ = compose(rig.reference, {"mouth": patch}, boxes)
    assert made.shape == rig.reference.shape
    boxes["mouth"] = boxes["mouth"] + np.array([[0, 0, 5000], [0, 0, 0]], np.float32)
    made, _ = compose(rig.reference, {"mouth": patch}, boxes)
    np.testing.assert_array_equal(made, rig.reference)


def test_fading_multiplies_colour_and_alpha() -> None:
    patch = np.full((96, 128, 4), 200, np.uint8)
    result = faded(patch, "mouth")
    assert result[48, 64].tolist() == [157, 157, 157, 200]
    assert result[0, 0].max() == 0


def test_shuffle_puts_blocks_into_rows_and_columns() -> None:
    picture = np.arange(16 * 24 * 3).reshape(16, 24, 3)
    grid = picture.reshape(2, 8, 3, 8, 3).transpose(0, 2, 1, 3, 4).reshape(2, 3, 192)
    np.testing.assert_array_equal(shuffle(grid, 3), picture)


def test_grids_are_clamped_and_rounded() -> None:
    grid = np.full((1, 1, 256), 0.5, np.float32)
    grid[..., 0], grid[..., 1] = -3, 7
    rgba = to_rgba(grid)
    assert rgba[0, 0, :2].tolist() == [0, 255]
    assert rgba[7, 7, 3] in (127, 128)
