"""Control vectors: their lengths, their memory, and what moves them."""

from __future__ import annotations

import numpy as np
import pytest

from liveface import weights
from liveface.motion.visemes import VISEME_NAMES, motion_from_visemes
from liveface.render.liveface.controls import Controls, tracked_lips
from liveface.render.liveface.regions import CONTROL_SIZES
from liveface.render.liveface.rig import Rig
from liveface.signals.image import read_image
from liveface.types import ARKIT_INDEX, Array, Motion


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.of(read_image(weights.path("portrait.jpg"))).with_own(np.zeros(52))


def one(rig: Rig, motion: Motion, controls: Controls | None = None) -> dict[str, Array]:
    """Controls of a single first frame."""
    controls = controls or Controls(rig)
    return controls.step(controls.start(), motion, rig.pose(motion))[1]


def test_lengths_are_the_stated_ones(rig: Rig) -> None:
    vectors = one(rig, Motion.rest())
    assert {name: len(vector) for name, vector in vectors.items()} == CONTROL_SIZES
    assert all(np.isfinite(vector).all() and np.abs(vector).max() <= 3 for vector in vectors.values())


def test_at_rest_the_lips_are_where_the_reference_has_them(rig: Rig) -> None:
    lips = one(rig, Motion.rest())["landmarks"]
    assert np.abs(lips[:80]).max() < 0.05
    assert np.abs(one(rig, opened(0.6))["landmarks"][:80]).max() > 0.5


def opened(jaw: float) -> Motion:
    expression = np.zeros((1, 52), np.float32)
    expression[0, ARKIT_INDEX["jawOpen"]] = jaw
    return Motion(expression, np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32))


@pytest.mark.parametrize("name", ["PP", "aa", "ou"])
def test_a_pure_viseme_is_recognised(rig: Rig, name: str) -> None:
    weights_in = np.zeros((1, 15), np.float32)
    weights_in[0, VISEME_NAMES.index(name)] = 1
    found = one(rig, motion_from_visemes(weights_in))["visemes"][30:45]
    assert VISEME_NAMES[int(np.argmax(found))] == name


def test_history_holds_two_frames(rig: Rig) -> None:
    controls, state = Controls(rig), None
    turns = (0.0, 0.1, 0.3)
    state = controls.start()
    for yaw in turns:
        motion = Motion.rest()
        motion.head[0, 1] = yaw
        state, vectors = controls.step(state, motion, rig.pose(motion))
    hair = vectors["hair"]
    assert hair[1] == pytest.approx(0.6)
    assert hair[4] == pytest.approx(3.0)  # 0.2 rad a frame is beyond the range and is cut
    assert hair[10] == pytest.approx(0.2)
    assert hair[13] == pytest.approx(0.0)


def test_stepwise_state_is_all_there_is(rig: Rig) -> None:
    controls = Controls(rig)
    state, _ = controls.step(controls.start(), opened(0.4), rig.pose(opened(0.4)))
    first = controls.step(state, opened(0.1), rig.pose(opened(0.1)))[1]
    again = controls.step(state, opened(0.1), rig.pose(opened(0.1)))[1]
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])


def test_tracked_points_of_the_reference_are_the_rest(rig: Rig) -> None:
    motion = Motion.rest()
    vector = tracked_lips(rig, rig.pose(motion), rig.points[:, :2], motion)
    assert np.abs(vector[:80]).max() < 0.05


def test_emotion_loudness_and_breath_reach_their_places(rig: Rig) -> None:
    controls, motion = Controls(rig), Motion.rest()
    mood = np.eye(8, dtype=np.float32)[2]
    _, vectors = controls.step(controls.start(), motion, rig.pose(motion), emotion=mood, loudness=0.5, breath=np.pi / 2)
    np.testing.assert_array_equal(vectors["visemes"][45:53], mood)
    assert vectors["visemes"][54] == pytest.approx(0.5)
    assert vectors["body"][0] == pytest.approx(1.0)
