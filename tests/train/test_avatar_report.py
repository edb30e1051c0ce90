"""The report on avatars: every number is there, truth against itself is perfect, and what is missing is said."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from avatars import living
from liveface import weights
from liveface.avatar import write_avatar
from liveface.cli import main
from liveface.errors import RecipeError
from liveface.motion.idle import IdleMotion
from liveface.signals.image import read_image
from liveface.train import avatar_report as report
from liveface.train.avatar.make import PackOptions, make_pack
from liveface.train.avatar.pack import Pack
from liveface.train.avatar.sources import Taught
from liveface.train.avatar.teachers import teacher
from liveface.train.avatar_scores import Scene, draw_mesh, score, still_pixels, track
from liveface.train.likeness import Likeness, aligned, fit, patterns, separation

pytestmark = pytest.mark.train
SIZE = (360, 640)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A pack of the embedded portrait: a second to learn from, a third of a second held out."""
    place = tmp_path_factory.mktemp("case") / "nobody"
    photo = read_image(weights.path("portrait.jpg"))
    motions = [(IdleMotion(1, head=1.5).run(30), False), (IdleMotion(2, head=1.5, blink=3).run(10), True)]
    make_pack(Taught.of("nobody", photo, teacher("mesh", photo, SIZE), motions), place / "pack", PackOptions(SIZE))
    return place


@pytest.fixture(scope="module")
def scene(folder) -> Scene:
    return Scene.of(Pack.open(folder / "pack"))


def test_a_scene_is_the_held_out_frames(scene, folder):
    pack = Pack.open(folder / "pack")
    assert len(scene.true) == int(pack.held.sum()) == len(scene.motion)
    assert scene.runs[0].start == 0
    assert scene.runs[-1].stop == len(scene.true)


def test_the_truth_scores_perfectly_and_blur_costs_sharpness(scene):
    points = track(scene, scene.true)
    own = score(scene, scene.true, (points, points))
    assert own["psnr_db"] == own["mouth_patch_psnr_db"] == 100
    assert own["ssim"] == own["sharpness"] == 1
    assert own["mouth_error"] == own["eye_error"] == own["lost"] == 0
    assert own["flicker"] == own["flicker_true"]
    blurred = [cv2.GaussianBlur(picture, (0, 0), 2) for picture in scene.true]
    soft = score(scene, blurred, (points, track(scene, blurred)))
    assert soft["sharpness"] < 0.3
    assert soft["psnr_db"] < 45
    noise = np.random.default_rng(0)
    grainy = [np.clip(p + noise.normal(0, 6, p.shape), 0, 255).astype(np.uint8) for p in scene.true]
    assert score(scene, grainy, (points, points))["flicker"] > own["flicker"] + 3


def test_the_mesh_renderer_draws_on_the_same_canvas(scene):
    drawn = draw_mesh(scene)
    points = track(scene, scene.true)
    scores = score(scene, drawn.pictures, (points, track(scene, drawn.pictures)))
    assert scores["psnr_db"] > 28  # it is the teacher, driven by what was measured on its own frames
    assert len(drawn.times_ms) == len(scene.true)


def test_still_pixels_are_those_that_do_not_change():
    before = np.full((40, 40, 3), 90, np.uint8)
    after = before.copy()
    after[:, 20:] += 30
    still = still_pixels(before, after)
    assert still[:, :15].all()
    assert not still[:, 25:].any()


def test_the_report_has_every_number(folder, tmp_path, monkeypatch):
    avatar = living(tmp_path, monkeypatch)
    avatar = replace(avatar, rig=Pack.open(folder / "pack").rig.to_files())
    write_avatar(avatar, folder / "nobody.avatar")
    monkeypatch.setattr(report, "SPEECH", "speech.flac")
    monkeypatch.setattr(report, "end_to_end", lambda _: 30.0)
    out = tmp_path / "avatars.json"
    made = report.evaluate_avatars(report.cases_in(folder.parent), out=out, sheets=tmp_path / "sheets")
    assert json.loads(out.read_text("utf-8")) == made
    row = made["avatars"]["nobody"]
    assert set(row["scores"]) == {"landmarks", "visemes", "mesh", "warp"}
    assert {"file_mb", "gmac", "ms_p50", "ms_p95", "rejection_rate", "held_out_s", "teacher"} <= row.keys()
    assert set(row["stages_ms"]) == {"controls", "base", "decoders", "paste", "compositor"}
    assert "networks" not in row
    assert (tmp_path / "sheets" / "nobody.png").is_file()
    text = report.table(made)
    assert "mouth patch PSNR" in text
    assert "19 ms" in text


def test_one_avatar_by_the_command_line(folder, tmp_path, monkeypatch, capsys):
    avatar = replace(living(tmp_path, monkeypatch), rig=Pack.open(folder / "pack").rig.to_files())
    file = write_avatar(avatar, tmp_path / "me.avatar")
    monkeypatch.setattr(report, "end_to_end", lambda _: 30.0)
    assert main(["evaluate", str(file), "--pack", str(folder), "-o", str(tmp_path / "a.json"), "-q"]) == 0
    assert "| me" in capsys.readouterr().out
    assert main(["evaluate", str(file), "-q"]) == 2
    assert "--pack" in capsys.readouterr().err


def test_folders_without_packs_or_avatars_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="holds no avatars"):
        report.cases_in(tmp_path)
    with pytest.raises(RecipeError, match="holds no pack"):
        report.case_of(tmp_path / "me.avatar", tmp_path)


def test_likeness_tells_made_up_people_apart(tmp_path, scene):
    random = np.random.default_rng(3)
    people = np.repeat(np.arange(12), 6)
    kinds = random.normal(size=(12, 40))
    features = (kinds[people] + 0.7 * random.normal(size=(72, 40))).astype(np.float32)
    learned = people < 8
    measure = fit(features[learned], people[learned])
    told = separation(measure, features[~learned], people[~learned])
    assert told["area"] > 0.9
    assert told["same"] > told["other"]
    measure = Likeness(measure.mean, measure.basis, told)
    measure.save(tmp_path / "likeness.npz")
    assert Likeness.load(tmp_path / "likeness.npz").tells == pytest.approx(told)
    with pytest.raises(RecipeError, match="no measure of likeness"):
        Likeness.load(tmp_path / "none.npz")
    points = track(scene, scene.true)
    assert aligned(scene.true[0], points[0]).shape == (112, 96)
    assert np.isclose(np.square(patterns(aligned(scene.true[0], points[0]))).sum(), 2 * 64)
