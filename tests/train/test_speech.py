"""The speech recipe's parts on made-up material: labels, phones, the training set, and a run that resumes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from liveface.errors import RecipeError
from liveface.geometry import head_rotation
from liveface.motion.codes import MOUTH_TRACKS
from liveface.motion.face_model import FaceModel
from liveface.signals.features import FRAME_SAMPLES
from liveface.train import phones as speech
from liveface.train import speech_data as data
from liveface.train.loop import open_run, run_task
from liveface.train.recipe import Recipe
from liveface.train.speech import SpeechTask, finish, mouth_space
from liveface.train.speech_labels import at_house_rate, label_clip, solve_mouth
from liveface.types import ARKIT_INDEX, HOUSE_RATE_HZ

SAID = [("SIL", 0.0, 0.5), ("B", 0.5, 0.6), ("AA", 0.6, 0.9), ("M", 0.9, 1.0), ("UW", 1.0, 1.3), ("SIL", 1.3, 3.0)]
FIRST = [names[0] for names in MOUTH_TRACKS]


def test_coefficients_of_known_faces_are_found_again():
    space, rng = mouth_space(), np.random.default_rng(0)
    true = np.zeros((20, len(MOUTH_TRACKS)), np.float32)
    true[:, FIRST.index("jawOpen")] = rng.uniform(0, 0.5, 20)
    true[:, FIRST.index("mouthPucker")] = rng.uniform(0, 0.6, 20)
    found = solve_mouth(space, np.tensordot(true, space.basis, 1))
    assert np.abs(found @ space.gap() - true @ space.gap()).max() < 0.12  # cm
    assert np.corrcoef(found[:, FIRST.index("mouthPucker")], true[:, FIRST.index("mouthPucker")])[0, 1] > 0.95
    assert 0 <= found.min() <= found.max() <= 1


def test_labels_ignore_the_head():
    """A talking face that also turns and moves gives the openings of the face that holds still."""
    model, space = FaceModel.load(), mouth_space()
    frames = 50
    expression = np.zeros((frames, 52), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.2 * (1 + np.sin(np.arange(frames) / 3)) * (np.arange(frames) > 8)
    still = np.stack([model.points(expression=row) for row in expression])
    turning = np.stack([
        20 * face @ head_rotation(0.1 * np.sin(i / 9), 0.2 * np.sin(i / 11), 0.05).T + [300 + i, 200, 0]
        for i, face in enumerate(still)
    ])  # fmt: skip
    (first, _), (second, opened) = label_clip(space, 20 * still, 25.0), label_clip(space, turning, 25.0)
    assert len(first) == 60
    assert np.abs((first - second) @ space.gap()).max() < 0.1
    assert np.corrcoef(second @ space.gap(), opened[:, 0])[0, 1] > 0.98


def test_tracks_are_taken_at_house_times():
    track = np.arange(25, dtype=np.float32)[:, None]
    assert np.allclose(at_house_rate(track, 25.0)[:, 0], np.minimum(np.arange(30) * 25 / 30, 24), atol=1e-5)
    late = at_house_rate(track, 25.0, offset_s=0.2, frames=30)[:, 0]
    assert late[6] == pytest.approx(0.0, abs=1e-5)
    assert late[12] == pytest.approx(5.0, abs=1e-4)


def test_closures_and_silence_are_held():
    open_mouth = np.zeros((90, len(MOUTH_TRACKS)), np.float32)
    open_mouth[:, FIRST.index("jawOpen")] = 0.4
    held = speech.hold_firm(open_mouth, SAID)
    gap = held @ mouth_space().gap()
    assert gap[16:18].max() < 0.35  # b
    assert gap[20:26].min() > 0.9  # an open vowel
    assert held[32:38, FIRST.index("mouthPucker")].min() > 0.2  # oo
    quiet = speech.quiet(SAID, 90)
    assert quiet[0] == quiet[-1] == 1
    assert quiet[18] == 0
    assert speech.sounds(SAID, 90)[17] == speech.SOUND_OF["B"]
    assert speech.occupancy(SAID, 90).reshape(90, 3, -1).sum(-1).max() == pytest.approx(1, abs=1e-4)


def test_the_phone_teacher_learns_a_rule():
    """Open on AA, shut else: after a short training the teacher does it for another order of phones."""
    rng, clips = np.random.default_rng(0), []
    for _ in range(12):
        phones, at = [], 0.0
        while at < 3.4:
            length = float(rng.uniform(0.1, 0.3))
            phones.append((str(rng.choice(["AA", "S", "T", "SIL"])), at, at + length))
            at += length
        tracks = np.zeros((100, len(MOUTH_TRACKS)), np.float32)
        is_open = speech.sounds(phones, 100) == speech.SOUND_OF["AA"]
        tracks[:, FIRST.index("jawOpen")] = 0.4 * is_open
        clips.append((phones, tracks, 0))
    teacher = speech.train_teacher(clips[:-1], mouth_space().flat(), 1, steps=60)
    made = speech.teach(teacher, clips[-1][0], 100, 0)[:, FIRST.index("jawOpen")]
    assert np.corrcoef(made, clips[-1][1][:, FIRST.index("jawOpen")])[0, 1] > 0.6


def made_item(seed: int, kind: str = "video") -> data.Item:
    """Noise bursts that open the mouth."""
    rng, frames = np.random.default_rng(seed), 90
    loud = np.repeat(rng.random(frames // 6) > 0.5, 6).astype(np.float32)
    samples = 0.1 * rng.normal(size=frames * FRAME_SAMPLES) * np.repeat(loud, FRAME_SAMPLES)
    tracks = np.zeros((frames, len(MOUTH_TRACKS)), np.float32)
    tracks[:, FIRST.index("jawOpen")] = 0.4 * loud
    return data.Item(f"made{seed}", kind, 0, samples.astype(np.float32), tracks, SAID, tracks @ mouth_space().gap())


def test_spoiled_recordings_keep_length_and_labels():
    item = made_item(0)
    spoiler = data.Spoiler(0, [item.samples])
    for index in range(6):
        worse = spoiler.spoil(item.samples, hard=index % 2 == 0)
        assert worse.shape == item.samples.shape
        assert np.isfinite(worse).all()
    faster = data.at_pace(item, 1.1)
    assert len(faster.samples) == pytest.approx(len(item.samples) / 1.1, rel=0.01)
    assert len(faster.tracks) == pytest.approx(90 / 1.1, abs=1)
    assert data.noise_item(spoiler, 1.0).samples.shape == (HOUSE_RATE_HZ,)


def make_run(folder: Path, steps: int) -> Recipe:
    """A run folder with a tiny set in it, so that no shared data is needed."""
    items = [made_item(seed) for seed in range(4)] + [made_item(9, "rig"), made_item(10, "taught")]
    variants = {"video": 1, "rig": 1, "taught": 1, "noise": 1}
    data.build_set(items, ["one"], variants).save(folder / "speech_set.npz")
    data.save_items([made_item(20), made_item(21)], folder / "validation.npz")
    text = (
        f'train = "speech"\nsteps = {steps}\nbatch = 4\nlearning_rate = 0.003\nwarmup_steps = 5\nlog_every = 10\n'
        'precision = "float32"\n[network]\nstem = 16\nwidth = 24\ndilations = [1, 2]\nstyles = 2\n[task]\nwindow = 40\n'
    )
    (folder / "recipe.toml").write_text(text)
    from liveface.train.recipe import read_recipe

    return read_recipe(folder / "recipe.toml")


def test_a_run_learns_resumes_and_settles(tmp_path):
    recipe = make_run(tmp_path, 40)
    with open_run(recipe, tmp_path, "cpu") as run:
        task = SpeechTask(run)
        before = task.evaluate(task.networks["main"])["own_error_cm"]
        scores = run_task(run, task)
    assert scores["own_error_cm"] < before
    assert list((tmp_path / "samples").glob("*.png"))
    with open_run(recipe, tmp_path, "cpu") as run:
        assert run_task(run, SpeechTask(run)) == {}  # nothing is left to do
    found = finish(tmp_path)
    assert all(1.0 <= gain <= 1.5 for gain in found["gains"].values())
    content = torch.load(tmp_path / "settled.pt", weights_only=True)
    assert float(content["network"]["gain"][0]) == pytest.approx(found["gains"]["opening"])


def test_recipes_that_cannot_work_are_refused(tmp_path):
    recipe = make_run(tmp_path, 1)
    wrong = Recipe(**{**{name: getattr(recipe, name) for name in ("name", "task")}, "network": {"motion": 3}})
    with open_run(wrong, tmp_path, "cpu") as run, pytest.raises(RecipeError, match="outputs"):
        SpeechTask(run)
    with pytest.raises(RecipeError, match="align_phones"):
        data.read_phones(tmp_path / "none.json")
