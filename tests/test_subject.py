"""Who is animated: an avatar goes wherever a photo goes, told by its content."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from avatars import living, paper
from liveface import cli, weights
from liveface.about import describe_file, examine
from liveface.avatar import write_avatar
from liveface.errors import AvatarError, SignalError
from liveface.motion.behaviour import Behaviour
from liveface.motion.files import save_motion
from liveface.session import Options, Session, silence
from liveface.signals.media import probe
from liveface.subject import open_subject, reference_picture
from liveface.types import ARKIT_INDEX, Motion


@pytest.fixture
def avatar(tmp_path, monkeypatch):
    return living(tmp_path, monkeypatch)


@pytest.fixture
def motion(tmp_path):
    moving = Motion.rest(4)
    moving.expression[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0, 0.6, 4)
    return save_motion(moving, tmp_path / "motion.lfm")


def test_an_avatar_is_animated_from_its_file(avatar, motion, tmp_path, capsys):
    path = write_avatar(avatar, tmp_path / "me.avatar")
    hidden = Path(shutil.copy(path, tmp_path / "photo.jpg"))
    for file in (path, hidden):
        out = tmp_path / f"{file.stem}.mp4"
        assert cli.main(["animate", str(file), str(motion), "-o", str(out), "-q"]) == 0, capsys.readouterr().err
        info = probe(out)
        assert (info.width, info.height, info.frames) == (360, 640, 4)
    assert (tmp_path / "me.mp4").read_bytes() == (tmp_path / "photo.mp4").read_bytes()


def test_frames_are_drawn_and_repeat(avatar, motion):
    session = Session(avatar)
    assert session.options.renderer == "liveface"
    one, two = (list(session.stream(motion)) for _ in range(2))
    assert one[0][0].pixels.shape == (640, 360, 3)
    for (first, _), (second, _) in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.pixels, second.pixels)


def test_another_size_of_the_same_shape_is_scaled_at_the_end(avatar, motion):
    frame = next(iter(Session(avatar, size=(180, 320)).stream(motion)))[0]
    assert frame.pixels.shape == (320, 180, 3)
    whole = next(iter(Session(avatar).stream(motion)))[0]
    small = whole.pixels.reshape(320, 2, 180, 2, 3).mean((1, 3))
    assert np.abs(frame.pixels - small).max() <= 1


def test_another_shape_is_refused_before_anything_is_written(avatar, motion, tmp_path, capsys):
    path = write_avatar(avatar, tmp_path / "me.avatar")
    out = tmp_path / "out.mp4"
    assert cli.main(["animate", str(path), str(motion), "-o", str(out), "--size", "square"]) == 2
    assert "360x640" in capsys.readouterr().err
    assert not out.exists()


def test_the_mesh_renderer_takes_an_avatars_reference(avatar, motion):
    session = Session(avatar, renderer="mesh", size=(144, 256))
    assert next(iter(session.stream(motion)))[0].pixels.shape == (256, 144, 3)
    assert reference_picture(avatar).shape[2] == 3


def test_a_photo_has_no_networks(motion):
    with pytest.raises(SignalError, match="liveface create"):
        Session(weights.path("portrait.jpg"), renderer="liveface")


def test_an_avatar_has_one_face(avatar):
    with pytest.raises(SignalError, match="one face"):
        Session(avatar, face=2)


def test_an_avatar_keeps_its_manner(avatar):
    assert Session(avatar).behaviour == avatar.about.behaviour
    assert Session(weights.path("portrait.jpg"), size=(144, 256)).behaviour is None


def test_the_manner_moves_a_talking_avatar(avatar, monkeypatch):
    session = Session(avatar)
    source = session.open(weights.path("speech.flac"))
    seen = []
    monkeypatch.setattr(Behaviour, "idle", lambda self, *given, **named: seen.append((self, given, named)) or None)
    next(iter(source.stream(lambda *_: None, None, session.behaviour)))
    assert seen[0][0] == avatar.about.behaviour


def test_networks_that_do_not_fit_are_refused(avatar):
    networks = {**avatar.networks, "eyes": avatar.networks["hair"]}
    with pytest.raises(AvatarError):
        Session(replace(avatar, networks=networks))


def test_an_avatar_neither_drives_nor_is_tracked(avatar, tmp_path, capsys):
    path = write_avatar(avatar, tmp_path / "me.avatar")
    out = tmp_path / "out.mp4"
    assert cli.main(["animate", str(weights.path("portrait.jpg")), str(path), "-o", str(out)]) == 2
    assert "is an avatar" in capsys.readouterr().err
    assert cli.main(["track", str(path), "-o", str(tmp_path / "out.csv")]) == 2
    assert "is an avatar" in capsys.readouterr().err
    assert cli.main(["animate", str(path), str(path), "-o", str(path)]) == 2
    assert path.stat().st_size > 100_000


def test_info_tells_all_about_an_avatar(tmp_path):
    path = write_avatar(paper(), tmp_path / "me.avatar")
    text = "\n".join(describe_file(path))
    for word in ("avatar", "consent", "licence", "synthetic", "mouth: 128x96 every frame", "SHA-256", "compositor",
                 "blinks", "psnr_db 31.5", "every 3 frames"):  # fmt: skip
        assert word in text
    assert describe_file(path)[0] == "me.avatar: avatar, liveface avatar"


def test_a_subject_that_is_neither_is_named(tmp_path):
    with pytest.raises(SignalError, match="a sound file"):
        open_subject(weights.path("speech.flac"))
    fake = tmp_path / "me.avatar"
    fake.write_bytes(b"PK\x03\x04" + bytes(26) + b"avatar.json" + bytes(100))
    with pytest.raises(AvatarError):
        open_subject(fake)


def test_options_settle_for_their_subject(avatar):
    photo = np.zeros((64, 64, 3), np.uint8)
    assert Options().suited(photo).size == (360, 640)
    assert Options().suited(photo).renderer == "mesh"
    assert Options().suited(avatar).renderer == "liveface"
    assert Options(size=(384, 672)).suited(avatar).size == (384, 672)


def test_a_listener_is_shown_for_as_long_as_asked(avatar, tmp_path, capsys):
    path = write_avatar(avatar, tmp_path / "me.avatar")
    out = tmp_path / "idle.mp4"
    assert cli.main(["idle", str(path), "-o", str(out), "--seconds", "0.4", "--fps", "25"]) == 0
    assert "driven by idle" in capsys.readouterr().err
    info = probe(out)
    assert (info.frames, info.fps, info.audio_rate_hz) == (10, 25, 0)
    moved = silence(20).stream(lambda *_: None, None, avatar.about.behaviour)
    heads = np.concatenate([motion.head for motion, _ in moved])
    still = np.concatenate([motion.head for motion, _ in silence(20).stream(lambda *_: None)])
    assert (heads[:, 0] - still[:, 0]).max() > 0.02  # it nods, a photo does not


def test_an_opened_driver_keeps_its_rate(avatar):
    with pytest.raises(SignalError, match="25 fps"):
        next(iter(Session(avatar).stream(silence(1, 25))))


def test_doctor_draws_every_embedded_avatar(avatar, tmp_path, monkeypatch):
    path = write_avatar(avatar, tmp_path / "someone.avatar")
    known = weights.path
    manifest = {name: entry for name, entry in weights.manifest().items() if not name.endswith(".avatar")}
    monkeypatch.setattr(weights, "manifest", lambda *_: {**manifest, path.name: {}})
    monkeypatch.setattr(weights, "path", lambda name: path if name == path.name else known(name))
    lines, well = examine()
    assert well, lines
    assert any(line.startswith("avatar someone.avatar: opened in") for line in lines)
