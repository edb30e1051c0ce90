"""The face model's recipe on made-up people: symmetric, held to the prior, and able to learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liveface.errors import RecipeError
from liveface.geometry import head_rotation
from liveface.motion.face_model import FaceModel
from liveface.train.face_model import (
    FaceModelRecipe,
    Seen,
    learn_modes,
    mirror_index,
    mirror_names,
    pin_meaning,
    regress_expression,
)
from liveface.train.faces import held_out_clips
from liveface.types import ARKIT_INDEX, ARKIT_NAMES

MODEL = FaceModel.load()
RECIPE = FaceModelRecipe()


def test_mirrors_pair_points_and_names() -> None:
    twin, names = mirror_index(MODEL.mean), mirror_names()
    np.testing.assert_array_equal(twin[twin], np.arange(478))
    assert twin[33] == 263
    assert twin[468] == 473
    np.testing.assert_array_equal(names[names], np.arange(52))
    assert names[ARKIT_INDEX["mouthLeft"]] == ARKIT_INDEX["mouthRight"]
    assert names[ARKIT_INDEX["jawOpen"]] == ARKIT_INDEX["jawOpen"]
    np.testing.assert_allclose(MODEL.mean[twin] * (-1, 1, 1), MODEL.mean, atol=0.02)


def _people(truth: np.ndarray, model: FaceModel) -> list[Seen]:
    random = np.random.default_rng(0)
    people = []
    for _ in range(4):
        expression = random.uniform(0, 1, (60, 52)).astype(np.float32)
        angles = random.uniform(-0.3, 0.3, (60, 3))
        rows = np.stack([head_rotation(*angle)[:2] for angle in angles])
        moved = np.einsum("fe,eki->fki", expression, truth - model.expression)
        people.append(Seen(expression, rows, np.einsum("fri,fki->frk", rows, moved)))
    return people


def test_regression_finds_a_changed_movement_and_keeps_symmetry() -> None:
    truth = MODEL.expression.copy()
    for side in ("Left", "Right"):
        truth[ARKIT_INDEX[f"mouthSmile{side}"]] *= 1.3
    learned = regress_expression(MODEL, MODEL, _people(truth, MODEL), RECIPE)
    smile = ARKIT_INDEX["mouthSmileLeft"]
    before = np.linalg.norm(MODEL.expression[smile] - truth[smile])
    assert np.linalg.norm((learned - truth)[smile, :468]) < 0.35 * before
    twin, names = mirror_index(MODEL.mean), mirror_names()
    mirrored = learned[names][:, twin] * np.array([-1, 1, 1])
    np.testing.assert_allclose(mirrored[:, :468], learned[:, :468], atol=0.02)


def test_without_evidence_the_prior_stays() -> None:
    nothing = Seen(np.zeros((5, 52), np.float32), np.tile(np.eye(3)[:2], (5, 1, 1)), np.zeros((5, 2, 478)))
    learned = regress_expression(MODEL, MODEL, [nothing], RECIPE)
    np.testing.assert_allclose(learned[:, :468], MODEL.expression[:, :468], atol=1e-4)


def test_pinning_closes_lids_and_lips() -> None:
    weak = MODEL.expression.copy()
    weak[ARKIT_INDEX["eyeBlinkLeft"]] *= 0.7
    pinned = pin_meaning(MODEL.mean, weak)
    face = MODEL.mean + pinned[ARKIT_INDEX["eyeBlinkLeft"]]
    assert abs(face[374, 1] - face[386, 1]) < 0.15
    together = pinned[ARKIT_INDEX["jawOpen"]] + pinned[ARKIT_INDEX["mouthClose"]]
    assert abs(together[14, 1] - together[13, 1]) < 0.05


def test_learned_modes_explain_the_shifts_they_came_from() -> None:
    random = np.random.default_rng(0)
    directions = random.normal(0, 0.1, (3, 478, 3)).astype(np.float32)
    shifts = np.einsum("pn,nkc->pkc", random.normal(size=(50, 3)), directions).astype(np.float32)
    modes = learn_modes(shifts, MODEL.mean, 6)  # three directions and their mirror images
    flat, basis = shifts[:, :468].reshape(50, -1), modes[:, :468].reshape(6, -1)
    left = flat - flat @ np.linalg.pinv(basis) @ basis
    assert np.abs(left).max() < 0.05 * np.abs(flat).max()


def test_shipped_movements_still_mean_what_arkit_says() -> None:
    assert len(MODEL.identity) >= 40
    moving = [name for name in ARKIT_NAMES if name != "tongueOut"]
    for name in moving:
        assert np.linalg.norm(MODEL.expression[ARKIT_INDEX[name]]) > 0.3, name


def test_recipe_is_strict_and_the_shipped_one_reads(tmp_path: Path) -> None:
    shipped = FaceModelRecipe.read(Path(__file__).parents[2] / "recipes" / "face-model.toml")
    assert replace(shipped, groups=tuple(shipped.groups)) == RECIPE
    (tmp_path / "bad.toml").write_text('train = "face-model"\nspeed = 3\n')
    with pytest.raises(RecipeError, match="speed"):
        FaceModelRecipe.read(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("rounds = 0\n")
    with pytest.raises(RecipeError, match="0 rounds"):
        FaceModelRecipe.read(tmp_path / "bad.toml")


def test_hold_outs_are_taken_by_name(tmp_path: Path) -> None:
    sentences = tmp_path / "video" / "open" / "grid-s1"
    more = tmp_path / "video" / "open" / "grid-more"
    sentences.mkdir(parents=True)
    more.mkdir()
    for number in range(21):
        (sentences / f"s{number:02d}.mp4").touch()
    for name in ("s26__a", "s4__b", "xa__c"):
        (more / f"{name}.mp4").touch()
    held = held_out_clips(tmp_path)
    assert {"s00", "s10", "s20", "s26__a", "xa__c", "lia__obama"} <= held
    assert not {"s01", "s4__b"} & held
