"""Poses refined on the picture: a known error is found, and nothing is made of nothing."""

from __future__ import annotations

import numpy as np
import pytest

from liveface import weights
from liveface.render.liveface.rig import Rig
from liveface.signals.image import read_image
from liveface.train.avatar.refine import Refiner
from liveface.types import Array, Motion


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.of(read_image(weights.path("portrait.jpg"))).with_own(np.zeros(52, np.float32))


def head(*values: float) -> Motion:
    return Motion(np.zeros((1, 52), np.float32), np.array([values], np.float32), np.zeros((1, 4), np.float32))


def boxes(rig: Rig, motion: Motion) -> Array:
    return rig.pose(motion).boxes["mouth"][:, 2]


def test_a_known_error_of_the_tracker_is_taken_back(rig: Rig) -> None:
    true = head(0.03, 0.12, 0.02, 0.4, -0.2, 0.0)
    seen = head(0.03, 0.12, 0.025, 0.5, -0.1, 0.0)
    frame = rig.base(rig.pose(true))
    refined = Refiner(rig)(seen, frame)
    before = np.linalg.norm(boxes(rig, seen) - boxes(rig, true))
    after = np.linalg.norm(boxes(rig, refined) - boxes(rig, true))
    assert before > 2
    assert after < 0.5


def test_brighter_light_is_no_motion(rig: Rig) -> None:
    motion = head(0, 0.1, 0, 0.3, 0, 0)
    frame = rig.base(rig.pose(motion))
    brighter = np.clip(frame * 0.9 + 20, 0, 255).astype(np.uint8)
    refined = Refiner(rig)(motion, brighter)
    assert np.linalg.norm(boxes(rig, refined) - boxes(rig, motion)) < 0.4


def test_corrections_stay_within_what_a_tracker_may_be_off(rig: Rig) -> None:
    motion = head(0, 0, 0, 0, 0, 0)
    noise = np.random.default_rng(0).integers(0, 255, (640, 360, 3), dtype=np.uint8)
    refined = Refiner(rig)(motion, noise)
    assert np.abs(refined.head[0, 3:5]).max() <= 0.31
