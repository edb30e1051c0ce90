"""Decoders learn from packs: across people by recipe, and for one avatar, resumable and within its time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from liveface.errors import RecipeError, WeightsError
from liveface.nets.liveface import make_decoder
from liveface.render.liveface.regions import CONTROL_SIZES, REGIONS, window
from liveface.train.adapt import AdaptOptions, Learner, adapt, nearest_identity
from liveface.train.creation_time import rows_of
from liveface.train.decoder_data import Frames, Sampler, rarity
from liveface.train.decoder_loss import blend, clamp_through, judge, slope_loss, texture_loss
from liveface.train.decoders import pretrained_of, seats
from liveface.train.pretrained import Pretrained, load, read, write
from liveface.train.recipe import Recipe
from liveface.train.tasks import train

QUICK = AdaptOptions(batch=4, looks=2, turn_s=1.0)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def make_pack(folder: Path, seed: int = 0, regions: tuple[str, ...] = ("mouth",), count: int = 40) -> Path:
    """A pack whose patches are a gradient that one control brightens."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    swing = np.sin(np.arange(count) / 3).astype(np.float32)
    controls = {}
    for name, width in {**CONTROL_SIZES, "tracked": CONTROL_SIZES["landmarks"]}.items():
        controls[name] = random.normal(0, 0.05, (count, width)).astype(np.float32)
        controls[name][:, 0] = swing
    colour = random.uniform(60, 160, 3)
    for name in regions:
        width, height = REGIONS[name].size
        ramp = np.linspace(0, 1, width)[None, None, :, None]
        bright = 60 * swing[:, None, None, None] * ramp
        truth = np.broadcast_to(colour + 40 * ramp + bright, (count, height, width, 3))
        np.save(folder / f"{name}.npy", truth.clip(0, 255).astype(np.uint8))
        np.save(folder / f"{name}_base.npy", np.full((count, height, width, 3), 90, np.uint8))
    np.savez(folder / "controls.npz", **controls, time=np.arange(count), held=np.arange(count) >= count - 10)
    (folder / "pack.json").write_text(json.dumps({"version": 1}))
    return folder


def test_a_decoder_learns_its_avatar_and_resumes(tmp_path):
    pack = make_pack(tmp_path / "pack", regions=("mouth", "body"))
    looks = []
    learned = adapt(pack, tmp_path / "run", "small", 0.05, pretrained=False, options=QUICK, regions=("mouth", "body"),
                    progress=looks.append)  # fmt: skip
    mouth = learned.decoders["mouth"]
    assert mouth.scores["psnr"] > mouth.curve[0]["psnr"] - 0.5
    assert {"visemes_psnr", "landmarks_psnr", "tracked_psnr", "sharpness", "change"} <= set(mouth.scores)
    assert mouth.identity.shape == (128,)
    assert looks[-1].done == 1
    assert all(look.sample.is_file() for look in looks)
    assert isinstance(learned.mode_gap_db, float)
    picture = mouth.network()((torch.zeros(1, 58), torch.zeros(1, 85), torch.zeros(1, 1)), torch.zeros(1, 128))
    assert picture.shape == (1, 4, 96, 128)
    again = adapt(pack, tmp_path / "run", "small", 0.05, pretrained=False, options=QUICK, regions=("mouth", "body"))
    assert again.decoders["mouth"].scores == mouth.scores
    torch.testing.assert_close(again.decoders["mouth"].weights, mouth.weights)
    more = adapt(pack, tmp_path / "run", "small", 0.08, pretrained=False, options=QUICK, regions=("mouth", "body"))
    assert more.decoders["mouth"].scores["step"] > mouth.scores["step"]
    with pytest.raises(RecipeError, match="another recording"):
        adapt(pack, tmp_path / "run", "base", 0.05, pretrained=False, options=QUICK, regions=("mouth", "body"))
    with pytest.raises(RecipeError, match="more than 0"):
        adapt(pack, tmp_path / "run", "small", 0, pretrained=False)


def test_learning_beats_the_mean_patch(tmp_path):
    frames = Frames.open(make_pack(tmp_path / "pack"), "mouth")
    learner = Learner(frames, "small", 60.0, replace(QUICK, noise=0.0, ema=0.5, scratch_rate=3e-3), None)
    before = learner.look()
    for _ in range(160):
        learner.learn()
    after = learner.look()
    assert after["psnr_middle"] > before["psnr_middle"] + 2
    assert before["change"] == 0 or after["change"] > before["change"]


def test_an_interrupted_call_keeps_what_was_learned(tmp_path):
    pack = make_pack(tmp_path / "pack")

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(pack, tmp_path / "run", "small", 0.03, pretrained=False, options=QUICK, regions=("mouth",),
              progress=interrupt)  # fmt: skip
    stored = torch.load(tmp_path / "run" / "decoders.pt", weights_only=True)
    assert stored["regions"]["mouth"]["step"] > 0


def test_learning_settles_once_quality_stops_rising(tmp_path):
    frames = Frames.open(make_pack(tmp_path / "pack"), "mouth")
    learner = Learner(frames, "small", 1000.0, replace(QUICK, patience=2), None)
    learner.step = 100
    assert learner.pace == 1
    for second in (10.0, 20.0, 30.0):
        learner.spent_s = second
        learner.look()
    assert learner.stalled_s == 30
    assert learner.ends_s == 280
    learner.spent_s = 155.0
    assert 0.45 < learner.pace < 0.55
    learner.spent_s = 280.0
    assert learner.done


def test_what_was_learned_on_many_people_is_a_start(tmp_path):
    for number in range(3):
        make_pack(tmp_path / "packs" / f"p{number}", number)
    options = {"packs": str(tmp_path / "packs"), "region": "mouth", "size": "small"}
    recipe = Recipe("many", "decoder", steps=4, batch=3, evaluate_every=4, log_every=2, options=options)
    scores = train(recipe, tmp_path / "run", "cpu")
    assert {"visemes_psnr", "landmarks_psnr", "landmarks_sharpness"} <= set(scores)
    assert (tmp_path / "run" / "samples" / "000004.png").is_file()
    found = pretrained_of(tmp_path / "run")
    assert found.identities.shape == (3, 128)
    file = write(found, tmp_path / "decoder.npz")
    stored = read(file, "mouth", "small")
    for name, tensor in found.state.items():
        torch.testing.assert_close(stored.state[name], tensor, atol=float(tensor.abs().max()) / 100, rtol=0)
    frames = Frames.open(tmp_path / "packs" / "p1", "mouth")
    learner = Learner(frames, "small", 60.0, QUICK, stored)
    assert learner.main.identity.abs().sum() > 0
    assert nearest_identity(learner.main.decoder, frames, stored.identities, 1).shape == (1, 128)
    with pytest.raises(RecipeError, match="no pack"):
        train(replace(recipe, options={**options, "packs": str(tmp_path / "none")}), tmp_path / "other", "cpu")
    with pytest.raises(RecipeError, match="'nose'"):
        train(replace(recipe, options={**options, "region": "nose"}), tmp_path / "other", "cpu")


def test_wrong_packs_and_wrong_starts_are_refused(tmp_path):
    pack = make_pack(tmp_path / "pack")
    with pytest.raises(RecipeError, match="not a pack"):
        Frames.open(pack, "eyes")
    np.save(pack / "mouth.npy", np.zeros((3, 96, 128, 3), np.uint8))
    with pytest.raises(RecipeError, match="expected"):
        Frames.open(pack, "mouth")
    with pytest.raises(WeightsError, match="'huge'"):
        load("mouth", "huge")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="install liveface again"):
        read(tmp_path / "bad.npz", "mouth", "base")
    write(Pretrained("mouth", "base", {}, np.zeros((2, 128), np.float32)), tmp_path / "empty.npz")
    assert read(tmp_path / "empty.npz", "mouth", "base").state == {}


def test_batches_carry_both_inputs_of_the_mouth(tmp_path):
    frames = Frames.open(make_pack(tmp_path / "pack"), "mouth")
    batch = Sampler([frames], np.random.default_rng(0), noise=0.0, tint=0.1).draw(6)
    visemes, landmarks, mode = batch.controls
    assert (visemes.shape, landmarks.shape, mode.shape) == ((6, 58), (6, 85), (6, 1))
    assert batch.truth.shape == (6, 3, 96, 128)
    assert batch.gain.shape == (6, 3, 1, 1)
    assert not frames.held[frames.learned].any()


def test_losses_and_scores_mean_what_they_say():
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(4, 3, 96, 128, generator=random)
    base = torch.zeros_like(truth)
    shape = torch.from_numpy(window("mouth"))
    opaque = torch.cat([truth, torch.ones_like(truth[:, :1])], 1)
    picture, opacity = blend(opaque, base, torch.ones_like(shape))
    torch.testing.assert_close(picture, truth)
    assert float(opacity.min()) == 1
    torch.testing.assert_close(blend(opaque * torch.tensor([1, 1, 1, 0])[:, None, None], base, shape)[0], base)
    beyond = torch.tensor([1.5, 1.5, -0.5, -0.5, 0.5], requires_grad=True)
    (clamp_through(beyond) * torch.tensor([1.0, -1, 1, -1, 1])).sum().backward()
    assert beyond.grad.tolist() == [1, 0, 0, -1, 1]
    assert float(slope_loss(truth - truth)) == 0
    assert float(slope_loss(torch.full_like(truth, 0.3))) < 1e-7
    assert float(texture_loss(truth, truth, shape)) == 0
    soft = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    assert float(texture_loss(soft, truth, shape)) > 0.05
    scores = judge([soft], [truth], np.arange(4), window("mouth"))
    assert scores["sharpness"] < 0.3
    assert scores["change"] < 0.7
    assert "change" not in judge([soft], [truth], np.array([0, 2, 4, 6]), window("mouth"))
    assert judge([truth], [truth], np.arange(4), window("mouth"))["psnr"] == 100


def test_an_untrained_decoder_answers_its_mean(tmp_path):
    decoder = make_decoder("body", "small")
    patch = torch.rand(4, 64, 256)
    decoder.set_mean(patch)
    with torch.no_grad():
        painted = decoder(torch.zeros(1, 12), torch.zeros(1, 128))
    assert float((painted[0] - patch).abs().mean()) < 0.2


def test_a_person_keeps_their_row(tmp_path):
    packs, listing = tmp_path / "packs", tmp_path / "people.json"
    for name in ("b", "d", "unseen_z"):
        (packs / name).mkdir(parents=True)
        (packs / name / "pack.json").write_text("{}")
    assert [folder.name for folder in seats(packs, listing, 3)] == ["b", "d"]
    (packs / "a").mkdir()
    (packs / "a" / "pack.json").write_text("{}")
    assert [folder.name for folder in seats(packs, listing, 3)] == ["b", "d", "a"]
    with pytest.raises(RecipeError, match="3 packs for 2 places"):
        seats(packs, listing, 2)
    (packs / "d" / "pack.json").unlink()
    with pytest.raises(RecipeError, match="'d', which left"):
        seats(packs, listing, 3)


def test_rare_frames_are_drawn_more_often(tmp_path):
    frames = Frames.open(make_pack(tmp_path / "pack"), "mouth")
    frames.controls["landmarks"][:, 80] = 0
    frames.controls["landmarks"][7, 80] = 1
    odds = rarity(frames, frames.learned)
    assert odds.sum() == pytest.approx(1)
    assert odds[7] == odds.max() > 3 * np.median(odds)


def test_creation_time_has_a_row_for_every_start(tmp_path):
    pack = make_pack(tmp_path / "pack")
    (row,) = rows_of(pack, tmp_path / "runs", 0.05, ("mouth",), start="scratch")
    assert (row["region"], row["start"], row["minutes"]) == ("mouth", "scratch", 0.05)
    assert row["spent_minutes"] == pytest.approx(0.02, abs=0.01)
    assert row["psnr"] > 10
