"""Mouth training on drawn mouths: data, sampling, one step, scores."""

import csv

import cv2
import numpy as np
import pytest
import torch

from liveface.errors import RecipeError
from liveface.motion.face_model import FaceModel
from liveface.render.patch import INNER, OUTER, cut, hole_mask, opening
from liveface.train.loop import open_run
from liveface.train.mouth import MouthTask, looks_open, masked_losses, rough_lips
from liveface.train.mouth_data import Patches, held_out_portraits, portrait_identities, usable, write
from liveface.train.recipe import Recipe
from liveface.types import ARKIT_INDEX

SIZE = (420, 560)


def face(jaw):
    expression = np.zeros(52, np.float32)
    expression[ARKIT_INDEX["jawOpen"]] = jaw
    model = FaceModel.load()
    points = model.points(np.zeros(len(model.identity), np.float32), expression) * 20.0
    points[:, :2] += np.array(SIZE) / 2
    return points.astype(np.float32)


def picture(points, inside=(60, 25, 25)):
    out = np.full((SIZE[1], SIZE[0], 3), (205, 165, 145), np.uint8)
    for ring, colour in ((OUTER, (175, 95, 95)), (INNER, inside)):
        out[hole_mask(points[ring, :2], 0, SIZE) > 128] = colour
    return out


@pytest.fixture
def patches(tmp_path):
    """A folder of twelve drawn patches: eight to learn from, four held out."""
    pixels, points = zip(*[cut(picture(p), p) for p in map(face, np.linspace(0.15, 0.6, 12))], strict=True)
    gaps = np.array([opening(p) for p in points], np.float32)
    held = np.arange(12) % 3 == 0
    np.save(tmp_path / "pixels.npy", np.stack(pixels))
    np.savez(
        tmp_path / "table.npz", points=np.stack(points), source=(np.arange(12) // 6).astype(np.int32),
        portrait=np.arange(12) < 6, held_out=held, open_group=np.ones(12, bool), opening=gaps,
        names=np.array(["a", "b"]),
    )  # fmt: skip
    return tmp_path


def recipe(patches, **options):
    tiny = {"channels": (8, 8, 16), "blocks": (1, 1, 1)}
    task = {"patches": str(patches), "critic_from": 1, "critic_ramp": 2, "penalty_every": 2, **options}
    return Recipe("m", "mouth", batch=3, precision="float32", network=tiny, options=task, learning_rate=1e-3)


def test_steps_with_and_without_critic(patches, tmp_path):
    with open_run(recipe(patches), tmp_path / "run", "cpu") as run:
        task = MouthTask(run)
        given, true = task.batch()
        assert given.shape == (3, 16, 64, 112)
        assert true.shape == (3, 3, 64, 112)
        assert 0 <= float(given.min()) <= float(given.max()) <= 1
        assert set(task.step(0)) == {"pixel", "slope"}
        assert set(task.step(1)) == set(task.step(2)) == {"pixel", "slope", "hinge", "score", "matching"}
        assert all(torch.isfinite(part).all() for part in task.networks["main"].parameters())
        scores = task.evaluate(task.networks["main"])
        assert {"psnr_portrait", "sharp_portrait"} <= set(scores)
        task.sample(task.networks["main"], tmp_path / "samples", 3)


def test_the_pixel_loss_is_learned(patches, tmp_path):
    with open_run(recipe(patches, critic_from=1000, alone=1.0, rough=0.0), tmp_path / "run", "cpu") as run:
        task = MouthTask(run)
        first = np.mean([task.step(k)["pixel"] for k in range(3)])
        for k in range(30):
            last = task.step(k)["pixel"]
        assert last < 0.7 * first


def test_unknown_options_and_missing_patches(patches, tmp_path):
    with open_run(recipe(patches, adversarail=1), tmp_path / "run", "cpu") as run:
        with pytest.raises(RecipeError, match="did you mean 'adversarial'"):
            MouthTask(run)
    with pytest.raises(RecipeError, match="no mouth patches"):
        Patches.load(tmp_path / "nowhere")


def test_lips_that_are_shut_do_not_look_open():
    points = face(0.3)
    for inside, wanted in (((60, 25, 25), True), ((175, 95, 95), False)):
        stored, marks = cut(picture(points, inside), points)
        assert looks_open(stored, marks, 0.2) == wanted
    assert usable(points)
    assert not usable(face(0.0) * np.float32(0.2))


def test_losses_see_the_hole_only():
    true = torch.rand(2, 3, 64, 112)
    hole = torch.zeros(2, 1, 64, 112)
    hole[:, :, 20:40, 30:80] = 1
    wrong = true + (1 - hole)
    assert [float(part) for part in masked_losses(wrong, true, hole)] == [0, 0]
    assert float(masked_losses(true + hole, true, hole)[0]) == pytest.approx(1, abs=1e-4)


def test_rough_lips_leave_the_far_skin_alone():
    random = np.random.default_rng(0)
    patch = random.integers(0, 256, (64, 112, 3), np.uint8)
    hole = np.zeros((64, 112), np.uint8)
    cv2.ellipse(hole, (64, 48), (30, 10), 0, 0, 360, 255, -1)
    for _ in range(8):
        out = rough_lips(patch, hole, random)
        assert np.abs(out[:10].astype(int) - patch[:10]).max() <= 1


def test_portraits_are_cut_and_every_tenth_identity_is_held_out(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "cache"
    (data / "portraits" / "open").mkdir(parents=True)
    (data / "video").mkdir()
    cache.mkdir()
    points, names = [], []
    with (data / "catalog.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", "identity"])
        for number in range(11):
            name = f"portraits/open/{number:02d}.jpg"
            points.append(face(0.1 + 0.03 * number))
            names.append(name)
            cv2.imwrite(str(data / name), picture(points[-1])[:, :, ::-1])
            rows.writerow([name, f"p{number:02d}"])
    np.savez(cache / "portraits.npz", files=np.array(names), points=np.stack(points), score=np.ones(11))
    out = held_out_portraits(portrait_identities(data))
    assert out == {names[0], names[10]}
    assert write(data, cache, tmp_path / "patches") == 11
    stored = Patches.load(tmp_path / "patches")
    assert stored.held_out.tolist() == [True, *[False] * 9, True]
    assert stored.portrait.all()
    assert stored.pixels.shape == (11, 156, 208, 3)
