"""Trackers, backgrounds and raw frames as a user types them."""

import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from liveface import cli, weights
from liveface.motion.trackers import motion_of_livelink
from liveface.signals.livelink import parse_livelink
from liveface.signals.media import probe
from liveface.signals.udp import UdpPort

SMALL = ("--size", "144x256", "-q")


@pytest.fixture(scope="module")
def portrait():
    return weights.path("portrait.jpg")


def free_port():
    with UdpPort("127.0.0.1", 0) as port:
        return port.port


def told(capsys, *arguments):
    """Exit code 2 and the one sentence that was said."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_tracker_fills_a_file_for_as_long_as_asked(portrait, tmp_path):
    out = tmp_path / "out.y4m"
    place = f"livelink:127.0.0.1:{free_port()}"
    assert cli.main(["animate", str(portrait), place, "-o", str(out), "--seconds", "0.2", "--fps", "25", *SMALL]) == 0
    assert out.read_bytes().startswith(b"YUV4MPEG2 W144 H256 F25:1 ")
    assert out.stat().st_size > 5 * 144 * 256 * 3 // 2


def test_ctrl_c_completes_what_a_tracker_began(portrait, tmp_path):
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "liveface.cli", "animate", str(portrait), f"vmc:127.0.0.1:{free_port()}", "-o",
               str(out), "--size", "144x256"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        while "frames" not in said:  # progress: frames are being made
            said += process.stderr.read(1)
        assert "listening on port" in said
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 0, rest
    assert "driven by tracker" in rest
    info = probe(out)
    assert info.kind == "video"
    assert info.audio_rate_hz == 0


def test_a_closed_pipe_ends_quietly(portrait):
    place = f"livelink:127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "liveface.cli", "animate", str(portrait), place, "-o", "-", "--format", "rgb24",
               *SMALL]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert len(process.stdout.read(144 * 256 * 3)) == 144 * 256 * 3
        process.stdout.close()
        process.stdout = None
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (141, b"")


def test_tracked_motion_is_sent_as_a_phone_would(tmp_path):
    arrived, over = [], threading.Event()
    with UdpPort("127.0.0.1", 0) as port:

        def engine():
            while not over.is_set():
                arrived.extend(port.receive(0.05))

        thread = threading.Thread(target=engine)
        thread.start()
        video = tmp_path / "demo.mp4"
        cli.main(["idle", str(weights.path("portrait.jpg")), "-o", str(video), "--seconds", "0.6", "-q"])
        try:
            assert cli.main(["track", str(video), "--send", f"livelink:127.0.0.1:{port.port}", "-q"]) == 0
        finally:
            over.set()
            thread.join()
    packets = [parse_livelink(data) for data, _ in arrived]
    assert len(packets) == 18
    assert [packet.frame - packets[0].frame for packet in packets] == list(range(18))
    assert packets[0].rate == (30_000, 1000)
    assert len(motion_of_livelink(packets[-1].values)) == 1


def test_bad_places_backgrounds_and_lengths(portrait, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    speech = weights.path("speech.flac")
    assert "names no tracker" in told(capsys, "animate", portrait, "livelink:99999", "-o", out)
    assert "--seconds is for trackers" in told(capsys, "animate", portrait, speech, "-o", out, "--seconds", 2)
    place = f"livelink:127.0.0.1:{free_port()}"
    assert "--emotion does not change" in told(capsys, "animate", portrait, place, "-o", out, "--emotion", "happy")
    assert "neither a colour" in told(capsys, "animate", portrait, speech, "-o", out, "--background", "green")
    assert "--format rgba" in told(capsys, "animate", portrait, speech, "-o", out, "--background", "alpha")
    assert "no format" in told(capsys, "animate", portrait, speech, "-o", out, "--format", "yuv")
    assert "-o NAME.csv, or --send" in told(capsys, "track", speech)
    with UdpPort("127.0.0.1", 0) as port:
        place = f"vmc:127.0.0.1:{port.port}"
        assert "expected a free port" in told(capsys, "animate", portrait, place, "-o", out)
    assert not list(tmp_path.iterdir())


def test_no_virtual_camera_is_one_sentence(portrait, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    said = told(capsys, "animate", portrait, weights.path("speech.flac"), "-o", "camera")
    assert "liveface[camera]" in said


def test_the_commands_of_the_page_parse():
    page = (Path(__file__).parents[1] / "docs" / "trackers.md").read_text("utf-8")
    commands = [line.partition(" #")[0].partition(" | ")[0] for line in page.splitlines() if line[:9] == "liveface "]
    assert len(commands) >= 10
    for command in commands:
        given = cli.parser().parse_args(shlex.split(command)[1:])
        assert callable(given.run)
        assert given.verb != "animate" or given.background in (None, "alpha", "#00b140", "office.jpg")
