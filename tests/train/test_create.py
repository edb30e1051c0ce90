"""Creation: from a photo to an avatar that talks; stopped, resumed, refused."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from avatars import share, tiny_decoders
from liveface import cli, weights
from liveface.avatar import read_avatar
from liveface.errors import LivefaceError, RecipeError, SignalError, SinkError
from liveface.motion.files import save_motion
from liveface.nets.liveface import make_decoder
from liveface.render.liveface.regions import REGIONS
from liveface.signals.media import probe
from liveface.train import assemble as assembly
from liveface.train import avatar_networks
from liveface.train import create as creation
from liveface.train.adapt import CHECKPOINT, Adapted, AdaptedDecoder, Look
from liveface.train.assemble import calibration, manner, shared_networks
from liveface.train.create import CreateOptions, create
from liveface.train.create_report import Page, chart, render
from liveface.types import Motion


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(creation, "TAUGHT_FRAMES", 60)
    monkeypatch.setattr(assembly, "MEASURED_FRAMES", 6)
    monkeypatch.setattr(avatar_networks, "FRAMES", 4)


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """A pack of the embedded portrait, made once and copied into the run folders."""
    return tmp_path_factory.mktemp("packs")


@pytest.fixture
def portrait():
    return weights.path("portrait.jpg")


def taught(pack, run, size, minutes, *, pretrained, progress):
    """Decoders of random weights in the place of `adapt`: learned in no time."""
    decoders, states = {}, {}
    for name in REGIONS:
        torch.manual_seed(len(name))
        decoder = make_decoder(name, size)
        identity = np.zeros(128, np.float32)
        scores = {"minutes": minutes, "step": 2, "psnr": 20.0, "sharpness": 0.5}
        if name == "mouth":
            scores |= {"visemes_psnr": 19.5, "landmarks_psnr": 20.5}
        curve = ({**scores, "minutes": 0.0, "psnr": 15.0}, scores)
        decoders[name] = AdaptedDecoder(name, size, decoder.state_dict(), identity, curve)
        states[name] = {"averaged": {"identity": torch.zeros(1, 128)}
                        | {f"decoder.{key}": value for key, value in decoder.state_dict().items()}}  # fmt: skip
        sample = run / "samples" / f"{name}-000002.png"
        sample.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(sample), np.full((20, 40, 3), 80, np.uint8))
        progress(Look(name, (1 + len(decoders)) / 5, minutes, 2, scores, sample))
    torch.save({"regions": states}, run / CHECKPOINT)
    return Adapted(decoders, minutes, settled=True)


@pytest.fixture
def quick(monkeypatch, tmp_path, packs):
    """Creation without its slow parts: packs are made once, nothing learns, networks are tiny."""
    share(tmp_path, monkeypatch)
    monkeypatch.setattr(creation, "adapt", taught)
    monkeypatch.setattr(creation, "export_all", lambda *_: tiny_decoders())
    make = creation.make_pack

    def once(source, folder, options, say):
        kept = packs / "portrait"
        if not kept.exists():
            make(source, kept, options, say)
        shutil.copytree(kept, folder)
        return creation.Pack.open(folder)

    monkeypatch.setattr(creation, "make_pack", once)
    return tmp_path


def test_a_photo_becomes_an_avatar_that_moves(quick, portrait, capsys):
    output = quick / "me.avatar"
    code = cli.main(["create", str(portrait), "-o", str(output), "--name", "Nobody", "--maker", "the tests",
                     "--consent", "It shows nobody.", "--licence", "CC0"])  # fmt: skip
    said = capsys.readouterr().err
    assert code == 0, said
    assert "learning" in said
    assert "sample" in said
    avatar = read_avatar(output)
    about = avatar.about
    assert (about.name, about.maker, about.consent, about.licence) == (
        "Nobody", "the tests", "It shows nobody.", "CC0"
    )  # fmt: skip
    assert (about.source, about.teacher, about.size, about.canvas) == ("photo", "mesh", "base", (360, 640))
    assert set(about.measured["held_out"]) == {"avatar", "mesh"}
    assert about.measured["held_out"]["mesh"]["psnr_db"] > 20
    assert about.measured["regions"]["mouth"]["loss_db"] is not None
    assert about.measured["minutes"] > 0
    assert not (quick / "me.run").exists()
    motion = save_motion(Motion.rest(3), quick / "m.lfm")
    assert cli.main(["animate", str(output), str(motion), "-o", str(quick / "me.mp4"), "-q"]) == 0
    assert probe(quick / "me.mp4").frames == 3
    assert cli.main(["info", str(output)]) == 0
    assert "It shows nobody." in capsys.readouterr().out


def test_the_report_needs_nothing_else(quick, portrait):
    made = create(portrait, quick / "me.avatar", report=quick / "page.html")
    page = made.report.read_text("utf-8")
    assert made.report == quick / "page.html"
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page
    for word in ("Held-out quality", "mesh", "<svg", "data:image/jpeg;base64,", "rejected", "better", "consent"):
        assert word in page
    assert str(quick) not in page


def test_a_stopped_creation_goes_on(quick, portrait, monkeypatch, capsys):
    output, command = quick / "me.avatar", ["create", str(portrait), "-o", str(quick / "me.avatar")]

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as early:
        early.setattr(creation, "make_pack", stopped)
        assert cli.main(command) == 130
        assert "nothing was written" in capsys.readouterr().err
        assert not (quick / "me.run").exists()
    monkeypatch.setattr(creation, "adapt", stopped)
    assert cli.main(command) == 130
    assert "--resume" in capsys.readouterr().err
    assert not output.exists()
    assert (quick / "me.run" / "pack" / "pack.json").is_file()
    assert cli.main(command) == 2
    assert "unfinished" in capsys.readouterr().err
    assert cli.main([*command, "--resume", "--teacher", "mesh", "--seed", "3"]) == 2
    assert "another avatar (seed differ)" in capsys.readouterr().err
    monkeypatch.setattr(creation, "adapt", taught)
    monkeypatch.setattr(creation, "make_pack", None)  # it is not made again
    assert cli.main([*command, "--resume"]) == 0
    assert read_avatar(output).about.measured["minutes"] > 0


def test_the_run_folder_can_be_kept(quick, portrait):
    create(portrait, quick / "me.avatar", CreateOptions(keep=True), run=quick / "run")
    assert (quick / "run" / "pack" / "pack.json").is_file()
    assert (quick / "run" / "learn" / CHECKPOINT).is_file()
    assert "http-equiv" in (quick / "run" / "progress.html").read_text("utf-8")


@pytest.mark.parametrize(("named", "error"), [
    ({"minutes": 0}, RecipeError), ({"minutes": float("nan")}, RecipeError), ({"size": "huge"}, RecipeError),
    ({"canvas": (100, 100)}, RecipeError), ({"teacher": "oil"}, RecipeError),
])  # fmt: skip
def test_options_are_refused_in_one_sentence(named, error):
    with pytest.raises(error) as caught:
        CreateOptions(**named)
    assert str(caught.value).endswith(".")


def test_sources_that_cannot_be_used_leave_nothing(quick, portrait, tmp_path):
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((300, 300, 3), 128, np.uint8))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    for source in (weights.path("speech.flac"), tmp_path / "gone.mp4", broken, grey, tmp_path):
        with pytest.raises(LivefaceError) as caught:
            create(source, tmp_path / "me.avatar", run=tmp_path / "run")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "me.avatar").exists()
        assert not (tmp_path / "run").exists()


def test_outputs_are_checked_before_the_work(quick, portrait):
    for output in ("me.zip", "nowhere/me.avatar"):
        with pytest.raises(SinkError):
            create(portrait, quick / output)
    with pytest.raises(SinkError, match="report"):
        create(portrait, quick / "me.avatar", report=quick / "nowhere" / "page.html")
    assert not (quick / "me.run").exists()
    folder = quick / "other"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(RecipeError, match="not the folder of a creation"):
        create(portrait, quick / "me.avatar", run=folder)
    assert (folder / "letter.txt").exists()


def test_a_full_disk_is_said_before_and_during_the_work(quick, portrait, monkeypatch):
    usage = shutil.disk_usage(quick)
    monkeypatch.setattr(creation.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(SinkError, match=r"room for 0\.0 GB"):
        create(portrait, quick / "me.avatar")
    assert not (quick / "me.run").exists()
    monkeypatch.setattr(creation.shutil, "disk_usage", lambda _: usage._replace(free=1 << 40))
    for error in (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("PytorchStreamWriter failed")):

        def full(*_, **__):
            raise error  # noqa: B023

        monkeypatch.setattr(creation, "adapt", full)
        with pytest.raises(SinkError, match="the disk is full"):
            create(portrait, quick / "me.avatar", CreateOptions(resume=True))
        assert not (quick / "me.avatar").exists()


def test_without_the_train_extra_it_is_named_at_once(monkeypatch, portrait, tmp_path, capsys):
    for name in ("torch", "litert_torch"):
        monkeypatch.setitem(sys.modules, name, None)
        assert cli.main(["create", str(portrait), "-o", str(tmp_path / "me.avatar")]) == 2
        said = capsys.readouterr().err
        assert f"{name} is not installed" in said or "torch is not installed" in said
        assert "liveface[train]" in said


def test_networks_that_do_not_ship_are_named(monkeypatch, tmp_path):
    shared = share(tmp_path, monkeypatch)
    assert shared_networks((360, 640)) == shared
    with pytest.raises(RecipeError, match="not among the shipped"):
        shared_networks((512, 768))


def test_calibration_has_both_modes_and_a_photo_the_houses_manner(quick, portrait):
    create(portrait, quick / "me.avatar", CreateOptions(keep=True))
    pack = creation.Pack.open(quick / "me.run" / "pack")
    samples = calibration(pack, "mouth")
    assert {float(sample["mode"][0, 0]) for sample in samples} == {0.0, 1.0}
    assert samples[0]["visemes"].shape == (1, 58)
    assert calibration(pack, "eyes")[0]["eyes"].shape == (1, 18)
    assert manner(pack).nods_per_min > 0
    pack.info["teacher"] = "video"
    assert manner(pack).blinks_per_min >= 0


def test_pages_escape_what_they_are_told():
    page = render(Page("<script>alert(1)</script>", facts=[("name", "<b>")], advice=["a & b"]))
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    assert "a &amp; b" in page


def test_charts_hold_flat_and_short_curves():
    for curve in ([(0.0, 30.0), (1.0, 30.0)], [(0.0, 20.0), (0.5, 34.0), (1.0, 33.0)]):
        drawn = chart("mouth", {"visemes": curve, "landmarks": curve})
        numbers = [float(x) for pair in re.findall(r'points="([^"]+)"', drawn) for x in re.split("[ ,]", pair)]
        assert min(numbers) >= 0
        assert max(numbers) <= 340


@pytest.mark.slow
def test_the_whole_way_with_real_parts(tmp_path, monkeypatch, portrait, capfd):
    share(tmp_path, monkeypatch)
    output = tmp_path / "me.avatar"
    assert cli.main(["create", str(portrait), "-o", str(output), "--minutes", "0.1", "--scratch", "--keep"]) == 0
    said = capfd.readouterr()
    assert said.out == ""
    known = ("looking", "cutting", "learning", "exporting", "measuring", str(tmp_path), "liveface: note:")
    assert all(line.startswith(known) for line in said.err.splitlines()), said.err
    avatar = read_avatar(output)
    assert sum(map(len, avatar.networks.values())) < 16e6
    for one in avatar.about.measured["regions"].values():
        assert one["loss_db"] < 0.3
    parity = json.loads((tmp_path / "me.run" / "networks" / "parity.json").read_text("utf-8"))
    assert set(parity) == set(REGIONS)


def test_a_sound_file_is_no_source(quick):
    with pytest.raises(SignalError, match="a sound file"):
        create(weights.path("speech.flac"), quick / "me.avatar")
