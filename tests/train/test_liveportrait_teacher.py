"""LivePortrait as a teacher, end to end with weights that only copy: photo, video that drives, pack, avatar."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from test_create import packs, portrait, quick  # noqa: F401 - fixtures

from copying import copying_networks
from liveface import cli, weights
from liveface.avatar import read_avatar
from liveface.motion.files import save_motion
from liveface.render.mesh import MeshRenderer
from liveface.signals.face import FaceTracker
from liveface.signals.image import read_image
from liveface.sinks import VideoSink
from liveface.torch_renderers.liveportrait.engine import Engine
from liveface.torch_renderers.liveportrait.renderer import LivePortraitRenderer
from liveface.train import create as creation
from liveface.train.avatar.make import make_pack
from liveface.train.avatar.pack import Pack
from liveface.train.avatar.sources import programme
from liveface.train.avatar.teachers import teacher
from liveface.types import ARKIT_INDEX, Motion


@pytest.fixture(scope="module")
def networks():
    return copying_networks()


@pytest.fixture
def engine(networks, monkeypatch):
    """Weights that copy in the place of the user's."""
    made = Engine(networks, "cpu")
    monkeypatch.setattr(Engine, "open", staticmethod(lambda *_, **__: made))
    return made


@pytest.fixture
def driver(tmp_path):
    """A short video of the embedded portrait that turns and opens its mouth."""
    renderer = MeshRenderer(read_image(weights.path("portrait.jpg")), (180, 320))
    motion = Motion.rest(4)
    motion.expression[:, ARKIT_INDEX["jawOpen"]] = (0, 0.3, 0.6, 0.2)
    motion.head[:, 1] = (0, 0.1, 0.2, 0.1)
    with VideoSink(tmp_path / "driver.mp4", (180, 320), 30, None) as sink:
        for frame in renderer.step(renderer.start(), motion)[1]:
            sink.write(frame, None)
    return tmp_path / "driver.mp4"


def test_copying_weights_show_the_photo_where_it_was(engine):
    renderer = LivePortraitRenderer(read_image(weights.path("portrait.jpg")), (180, 320), engine=engine)
    rest = Motion(renderer.photo.expression, 0 * renderer.photo.head, 0 * renderer.photo.gaze, renderer.photo.spec)
    frame = renderer.step(renderer.start(), rest)[1][0].pixels
    still = renderer._still

    def blurred(picture):
        return cv2.GaussianBlur(picture, (0, 0), 4).astype(float)

    error = np.abs(blurred(frame) - blurred(still)).mean()
    assert error < 12  # the sigmoid bends the colours a little
    for shift in ((6, 0), (-6, 0), (0, 6), (0, -6)):
        assert np.abs(blurred(np.roll(frame, shift, (0, 1))) - blurred(still)).mean() > error + 1
    found, true = FaceTracker(static=True).track(frame), FaceTracker(static=True).track(still)
    apart = np.linalg.norm(found.points[:468, :2] - true.points[:468, :2], axis=1).mean()
    assert apart < 0.1 * np.linalg.norm(true.points[263] - true.points[33])


def test_a_video_drives_from_the_command_line(engine, driver, tmp_path, capsys):
    command = [
        "animate",
        str(weights.path("portrait.jpg")),
        str(driver),
        "--renderer",
        "liveportrait",
        "--size",
        "180x320",
    ]
    assert cli.main([*command, "-o", str(tmp_path / "out.mp4")]) == 0, capsys.readouterr().err
    assert "driven by video" in capsys.readouterr().err
    assert cli.main([*command, "-o", str(tmp_path / "no.mp4"), "--head", "2"]) == 2
    assert "--driving" in capsys.readouterr().err
    assert cli.main([*command, "-o", str(tmp_path / "no.mp4"), "--driving", "upwards"]) == 2
    assert "upwards" in capsys.readouterr().err
    assert cli.main([*command, "-o", str(tmp_path / "no.mp4"), "--background", "#00ff00"]) == 2
    assert "background" in capsys.readouterr().err
    assert not (tmp_path / "no.mp4").exists()
    motion = save_motion(Motion.rest(2), tmp_path / "m.lfm")
    assert cli.main([*command[:2], str(motion), *command[3:], "-o", str(tmp_path / "acted.mp4"), "-q"]) == 0


def test_a_teacher_of_videos_is_shown_their_pictures(engine, driver):
    drawer = teacher("liveportrait", read_image(weights.path("portrait.jpg")), (180, 320))
    made = [motion for motion, _ in programme(12, drivers=[driver], sweeps=(), watcher=drawer.watcher)]
    seen = [motion for motion in made if motion.watched is not None]
    assert len(seen) == 1
    assert np.isfinite(seen[0].watched).all()
    frames = list(drawer.draw([seen[0][:2]]))
    assert [frame.shape for frame in frames] == [(320, 180, 3)] * 2


def test_an_avatar_is_taught_by_liveportrait(quick, portrait, engine, driver, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(creation, "make_pack", make_pack)
    monkeypatch.setattr(creation, "TAUGHT_FRAMES", 36)
    output = quick / "me.avatar"
    code = cli.main(["create", str(portrait), "-o", str(output), "--teacher", "liveportrait", "--driver", str(driver),
                     "--keep"])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    assert read_avatar(output).about.teacher == "liveportrait"
    pack = Pack.open(quick / "me.run" / "pack")
    assert pack.info["teacher"] == "liveportrait"
    assert pack.held.any()
    assert (~pack.held).sum() > 8
