"""Training of the eye camera on drawn eyes: balance, augmentation, one resumable run that learns."""

import cv2
import numpy as np
import pytest
import torch

from liveface.errors import RecipeError
from liveface.export.eye_camera import load_run
from liveface.motion.codes import lift_eyes
from liveface.train.eye_camera import EyeCameraOptions, EyeCameraTask, agreement, balance, placed, spoiled
from liveface.train.eye_camera_data import EyePictures, drawn_eyes
from liveface.train.loop import open_run, run_task
from liveface.train.recipe import Recipe


def drawn(eyes):
    """Left and mirrored right eye `[2, 40, 60]`: a ball that looks, a lid that shuts."""
    pair = []
    for mirror, shut in ((1, eyes[2]), (-1, eyes[3])):
        picture = np.full((40, 60), 190, np.uint8)
        cv2.ellipse(picture, (30, 20), (15, 8), 0, 0, 360, 240, -1)
        cv2.circle(picture, (30 + int(16 * mirror * eyes[1]), 20 + int(14 * eyes[0])), 6, 40, -1)
        picture[11 : 11 + int(17 * shut)] = 190
        pair.append(picture)
    return np.stack(pair)


@pytest.fixture
def pictures(tmp_path):
    random = np.random.default_rng(2)
    eyes = np.stack([drawn_eyes(random) for _ in range(120)])
    index = np.arange(120)
    made = EyePictures(
        np.stack([drawn(one) for one in eyes]), eyes, (index // 10).astype(np.int32),
        np.array([f"p{n}" for n in range(12)]), index % 2 == 0, index >= 90, index % 3 > 0,
    )  # fmt: skip
    made.save(tmp_path / "eyes.npz")
    return tmp_path / "eyes.npz"


def recipe(pictures, **values):
    return Recipe("e", "eye-camera", batch=16, precision="float32", learning_rate=3e-3, log_every=10, evaluate_every=60,
                  network={"channels": (8, 8, 8, 16), "eye": 16, "pair": 32},
                  options={"pictures": str(pictures)}, **values)  # fmt: skip


def test_it_learns_drawn_eyes_and_its_weights_come_back(pictures, tmp_path):
    with open_run(recipe(pictures, steps=60), tmp_path / "run", "cpu") as run:
        task = EyeCameraTask(run)
        before = task.evaluate(task.networks["main"])
        after = run_task(run, task)
    assert after["tracked_blink_error"] < before["tracked_blink_error"]
    assert after["rendered_r_blinkLeft"] > 0.5
    assert (tmp_path / "run" / "samples" / "000060.png").is_file()
    slot = load_run(tmp_path / "run")(torch.zeros(1, 32, 48), torch.zeros(1, 32, 48))
    assert slot.shape == (1, 160)


def test_other_directions_of_the_slot_cost(pictures, tmp_path):
    with open_run(recipe(pictures), tmp_path / "run", "cpu") as run:
        task = EyeCameraTask(run)
    truth = torch.rand(4, 6)
    exact = torch.from_numpy(lift_eyes(truth.numpy() * np.array([0.2, 0.2, 0.5, 0.5, 0.5, 0.5], np.float32)))
    parts = task.loss(exact, truth)
    assert float(parts["eyes"]) < 1e-6
    assert float(parts["quiet"]) < 1e-6
    assert float(task.loss(exact + 1, truth)["quiet"]) > 0.5


def test_groups_that_leave_nothing_are_refused(pictures, tmp_path):
    stored = EyePictures.load(pictures)
    closed = EyePictures(stored.pixels, stored.eyes, stored.person, stored.names, stored.rendered, stored.held_out,
                         np.zeros(120, bool))  # fmt: skip
    closed.save(pictures)
    with open_run(recipe(pictures, groups=("open",)), tmp_path / "run", "cpu") as run, pytest.raises(RecipeError):
        EyeCameraTask(run)
    with pytest.raises(RecipeError, match="eye_camera_data"):
        EyePictures.load(tmp_path / "none.npz")


def test_placing_crops_the_middle_and_spoiling_stays_in_range():
    torch.manual_seed(0)
    stored = torch.zeros(2, 40, 60)
    stored[:, 4:36, 6:54] = 1  # exactly what the network sees
    assert placed(stored).mean() > 0.98
    moved = placed(stored, EyeCameraOptions())
    assert moved.shape == (2, 32, 48)
    assert 0.7 < float(moved.mean()) < 1
    out = spoiled(torch.rand(8, 2, 32, 48))
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1


def test_rare_eyes_are_drawn_more_often_and_agreement_is_measured(pictures):
    stored = EyePictures.load(pictures)
    members = np.arange(90)
    share = balance(stored, members).numpy()
    shut = stored.eyes[:90, 2:4].max(1) > 0.2
    assert share[shut].mean() > 1.5 * share[~shut].mean()
    exact = agreement(stored.eyes, stored.eyes)
    assert exact["gaze_deg"] == 0
    assert exact["r_yaw"] == 1
    assert exact["gaze_mean_deg"] > 3
