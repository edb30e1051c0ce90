"""The renderer's contract, on networks of constant answers: nothing trained is needed to know where pixels go."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from liveface import weights
from liveface.bench import lively
from liveface.errors import MotionMismatch, WeightsError
from liveface.render.mesh import MeshRenderer
from liveface.render.mobileportrait.networks import Networks
from liveface.render.mobileportrait.renderer import MobilePortraitRenderer
from liveface.render.mobileportrait.sizes import PortraitSize
from liveface.signals.image import read_image
from liveface.types import Motion, MotionSpec, Renderer
from tiny_network import tiny_network

TINY = PortraitSize("tiny", (8, 16), (1, 1), (8, 8, 8, 8), (0, 1, 1, 1), (1, 1, 1), facial=20, hidden=16)
WINDOW = (192, 224)


def files(change=0.0, bend=0.0):
    """Contents of the four parts: `change` is added to every pixel, `bend` is the flow in units."""
    width, height = WINDOW
    fine, low = (height // 4, width // 4), (height // 32, width // 32)

    def constant(inputs, outputs, value=0.0):
        return tiny_network(inputs, outputs, low=value, high=value, gain=0.0)

    return {
        "photo": constant(
            {"small": (1, 64, 64, 5), "square": (1, height, width, 7)},
            {"neural": (1, 100), "motion_still": (1, 32, 32, 8), "synthesis_still": (1, *fine, 8)},
        ),
        "keypoints": constant({"facial": (1, 40), "offset": (1, 100)}, {"mixed": (1, 100), "own": (1, 100)}),
        "motion": constant(
            {"base": (1, 64, 64, 3), "heat": (1, 64, 64, 50), "still": (1, 32, 32, 8)},
            {"motion": (1, 32, 32, 12)},
            bend,
        ),
        "synthesis": constant(
            {
                "warped": (1, height, width, 3), "masks": (1, height // 2, width // 2, 4), "coarse": (1, *fine, 4),
                "still": (1, *fine, 8), "views": (1, *low, 8),
            },
            {"grid": (1, *fine, 48), "low": (1, *low, 8)},
            change,
        ),
    }  # fmt: skip


def opened(picture, size=(360, 640), **answers):
    return MobilePortraitRenderer(picture, size, network=Networks(TINY, read=files(**answers).__getitem__))


@pytest.fixture(scope="module")
def picture():
    return read_image(weights.path("portrait.jpg"))


@pytest.fixture(scope="module")
def renderer(picture):
    return opened(picture, change=0.1, bend=0.2)


@pytest.fixture(scope="module")
def mesh(picture):
    return MeshRenderer(picture)


def drawn(renderer, motion):
    return np.stack([frame.pixels for frame in renderer.step(renderer.start(), motion)[1]])


def test_it_is_a_renderer(renderer):
    assert isinstance(renderer, Renderer)


def test_networks_that_answer_zero_give_the_mesh_renderers_picture(picture, mesh):
    motion = lively(30)[::10]
    np.testing.assert_array_equal(drawn(opened(picture), motion), drawn(mesh, motion))


def test_so_they_do_where_the_square_is_scaled(picture):
    motion, size = lively(30)[10:11], (160, 120)
    small = opened(picture, size)
    assert not small.window.crop.exact
    np.testing.assert_array_equal(drawn(small, motion), drawn(MeshRenderer(picture, size), motion))


def test_one_by_one_equals_all_at_once_and_later_motion_changes_nothing_earlier(renderer):
    motion = lively(24)[::6]
    whole, state = drawn(renderer, motion), renderer.start()
    for index, one in enumerate(motion):
        state, frames = renderer.step(state, one)
        np.testing.assert_array_equal(frames[0].pixels, whole[index])
        assert frames[0].index == index


def test_only_the_window_changes_and_its_border_does_not_show(renderer, mesh):
    motion = lively(20)[10:11]
    change = drawn(renderer, motion)[0].astype(int) - drawn(mesh, motion)[0]
    left, top = (a + b for a, b in zip(renderer.window.corner, (renderer.window.crop.corner), strict=True))
    right, bottom = left + WINDOW[0], top + WINDOW[1]
    inside = change[top:bottom, left:right]
    assert np.abs(inside).mean() > 10
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert np.abs(edge).max() <= 2
    change[top:bottom, left:right] = 0
    assert not change.any()


def test_plate_matte_and_photo_are_the_mesh_renderers(renderer, mesh):
    motion = lively(20)[10:11]
    np.testing.assert_array_equal(renderer.plate, mesh.plate)
    np.testing.assert_array_equal(renderer.matte(renderer.start(), motion), mesh.matte(mesh.start(), motion))
    np.testing.assert_array_equal(renderer.photo.expression, mesh.photo.expression)
    assert renderer.faces == mesh.faces == 1


def test_motion_of_another_kind_is_refused(renderer):
    other = Motion(
        np.zeros((1, 3), np.float32), np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32),
        MotionSpec("three@30", ("a", "b", "c"), 30.0),
    )  # fmt: skip
    with pytest.raises(MotionMismatch, match="mobileportrait"):
        renderer.step(renderer.start(), other)


def test_networks_of_another_version_are_refused():
    parts = files()
    parts["motion"] = tiny_network({"base": (1, 32, 32, 3)}, {"motion": (1, 16, 16, 12)})
    with pytest.raises(WeightsError, match="motion"):
        Networks(TINY, read=parts.__getitem__)
