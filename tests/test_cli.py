"""Every verb as a user types it, and every bad input: one sentence, the right exit code, nothing half-written."""

import base64
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from liveface import cli, progress, session, weights
from liveface.motion.files import load_motion, save_motion
from liveface.signals import face as face_signal
from liveface.signals.media import probe
from liveface.types import ARKIT_INDEX, Motion

SMALL = ("--size", "144x256")
# A 16 x 16 CMYK JPEG with Adobe's marker, made for the tests of pictures.
CMYK = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgS"
    "FBUU/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABcAAQEBAQAAAAAAAAAAAAAAAAAICQr/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oADgRDAE0AWQBL"
    "AAA/ANU0eI8apgDnpbjOhZL4A//Z"
)


@pytest.fixture(scope="module")
def portrait():
    return weights.path("portrait.jpg")


@pytest.fixture(scope="module")
def pixels(portrait):
    return cv2.imread(str(portrait))


@pytest.fixture
def motion(tmp_path):
    """Five frames in which the mouth opens."""
    moving = Motion.rest(5)
    moving.expression[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0, 0.6, 5)
    return save_motion(moving, tmp_path / "motion.csv")


@pytest.fixture
def run(capsys, tmp_path):
    """Run the command line with outputs in `tmp_path`; returns exit code and what was said."""

    def call(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        assert not list(tmp_path.rglob("*.part")), "a temporary file was left behind"
        return code, said.out, said.err

    return call


def refused(result, out, match):
    """Exit code 2, one sentence that says `match`, no output."""
    code, _, err = result
    lines = [line for line in err.splitlines() if "note:" not in line]
    assert code == 2, err
    assert len(lines) == 1
    assert lines[0].strip("\r").startswith("liveface: ")
    assert match in lines[0]
    assert not Path(out).exists()


def wav(path, samples, rate=24_000):
    with av.open(str(path), "w", "wav") as container:
        stream = container.add_stream("pcm_s16le", rate=rate)
        stream.layout = "mono"
        data = np.round(np.asarray(samples) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(data, "s16", "mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def mp4(path, pictures, fps=30):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode(None))
    return path


def picture(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path


def far_away(pixels):
    return cv2.copyMakeBorder(cv2.resize(pixels, (70, 84)), 400, 400, 400, 400, cv2.BORDER_REPLICATE)


def hum(seconds, rate=24_000):
    time_s = np.arange(round(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * 180 * time_s) * (1 + np.sin(2 * np.pi * 4 * time_s)) / 2


def test_motion_file_drives_and_its_length_is_kept(run, portrait, motion, tmp_path):
    out = tmp_path / "out.mp4"
    code, _, err = run("animate", portrait, motion, "-o", out, *SMALL)
    assert code == 0, err
    info = probe(out)
    assert (info.width, info.height, info.fps, info.frames) == (144, 256, 30, 5)
    assert info.audio_rate_hz == 0
    assert "Synthetic" in info.comment
    assert "driven by motion" in err


def test_speech_drives_at_both_rates_and_sound_ends_with_the_picture(run, portrait, tmp_path):
    speech = wav(tmp_path / "speech.wav", hum(1.03))
    for fps, frames in ((30, 31), (25, 26)):
        out = tmp_path / f"{fps}.mp4"
        code, _, err = run("animate", portrait, speech, "-o", out, "--fps", fps, *SMALL, "-q")
        assert (code, err) == (0, "")
        info = probe(out)
        assert (info.fps, info.frames) == (fps, frames)
        assert info.audio_duration_s == pytest.approx(frames / fps, abs=0.03)


def test_eight_kilohertz_speech_drives(run, portrait, tmp_path):
    speech = wav(tmp_path / "speech.wav", hum(0.5, 8000), 8000)
    out = tmp_path / "out.mp4"
    code, _, err = run("animate", portrait, speech, "-o", out, *SMALL)
    assert code == 0
    assert "8000 Hz" in err
    assert probe(out).audio_rate_hz == 48_000


def test_silence_is_refused(run, portrait, tmp_path):
    speech = wav(tmp_path / "speech.wav", np.zeros(12_000))
    for verb in (
        ("animate", portrait, speech, "-o", tmp_path / "out.mp4"),
        ("listen", speech, "-o", tmp_path / "m.csv"),
    ):
        code, _, err = run(*verb)
        assert code == 2
        assert "silent for all of its 0.5 s" in err
        assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.mp4")) + list(tmp_path.glob("*.csv"))


def test_video_of_a_face_drives_and_can_be_tracked(run, portrait, pixels, tmp_path):
    small = cv2.resize(pixels, (360, 428))
    video = mp4(tmp_path / "driver.mp4", [np.roll(small, at, axis=1) for at in range(8)])
    out = tmp_path / "out.mp4"
    code, _, err = run("animate", portrait, video, "-o", out, *SMALL)
    assert code == 0, err
    assert "driven by video" in err
    assert run("track", video, "-o", tmp_path / "m.lfm")[0] == 0
    assert len(load_motion(tmp_path / "m.lfm")) == 8


def test_speech_takes_emotion_style_and_seed(run, tmp_path):
    speech = wav(tmp_path / "speech.wav", hum(0.6))
    plain, happy = tmp_path / "plain.lfm", tmp_path / "happy.lfm"
    assert run("listen", speech, "-o", plain, "-q") == (0, "", "")
    given = ("--emotion", "happy:0.7", "--style", "articulation:1,smile:0.5", "--seed", 3, "--head", 0.5)
    assert run("listen", speech, "-o", happy, "-q", *given) == (0, "", "")
    smiles = [load_motion(file).coefficient("mouthSmileLeft").mean() for file in (plain, happy)]
    assert smiles[1] > smiles[0] + 0.1
    for wrong in (("--emotion", "glad"), ("--style", "smile:7"), ("--quality", "good")):
        code, _, err = run("listen", speech, "-o", plain, *wrong)
        assert code == 2
        assert len(err.strip().splitlines()) == 1


def test_dials_and_quiet(run, portrait, motion, tmp_path):
    out = tmp_path / "out.mp4"
    dials = ("--motion-scale", 0.5, "--head", 0, "--blink", 2, "--seed", 3)
    assert run("animate", portrait, motion, "-o", out, *SMALL, *dials, "-q") == (0, "", "")


def test_standard_output_carries_the_video(portrait, motion):
    command = [sys.executable, "-m", "liveface.cli", "animate", portrait, motion, "-o", "-", *SMALL]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    with av.open(io.BytesIO(done.stdout)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_standard_input_carries_the_driver(portrait, motion, tmp_path):
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "liveface.cli", "animate", portrait, "-", "-o", out, *SMALL]
    done = subprocess.run(command, input=motion.read_bytes(), capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert probe(out).frames == 5


def test_several_faces_take_the_largest_and_say_so(run, pixels, motion, tmp_path):
    small = cv2.resize(pixels, None, fx=0.7, fy=0.7)
    two = np.full((pixels.shape[0], pixels.shape[1] + small.shape[1], 3), 200, np.uint8)
    two[:, : pixels.shape[1]] = pixels
    two[-small.shape[0] :, pixels.shape[1] :] = small
    photo, out = picture(tmp_path / "two.png", two), tmp_path / "out.mp4"
    code, _, err = run("animate", photo, motion, "-o", out, *SMALL)
    assert code == 0
    assert "2 faces; the largest is used" in err
    code, _, err = run("animate", photo, motion, "-o", out, *SMALL, "--face", 2)
    assert code == 0
    assert "note:" not in err
    out.unlink()
    refused(run("animate", photo, motion, "-o", out, "--face", 3), out, "face 3 was asked for")


def test_fifty_megapixels(run, pixels, motion, tmp_path):
    photo = picture(tmp_path / "large.jpg", cv2.resize(pixels, (6500, 7728), interpolation=cv2.INTER_LINEAR))
    out = tmp_path / "out.mp4"
    assert run("animate", photo, motion, "-o", out, *SMALL)[0] == 0


def test_sixteen_bits_alpha_and_animation(run, pixels, motion, tmp_path):
    deep = picture(tmp_path / "deep.png", pixels.astype(np.uint16) * 257)
    clear = picture(tmp_path / "clear.png", np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]))
    moving = tmp_path / "moving.gif"
    with av.open(str(moving), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "rgb8"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24").reformat(format="rgb8")))
        container.mux(stream.encode(None))
    for photo in (deep, clear, moving):
        out = tmp_path / f"{photo.stem}.mp4"
        code, _, err = run("animate", photo, motion, "-o", out, *SMALL)
        assert code == 0, err
    assert "animation" in err


@pytest.mark.parametrize(("make", "match"), [
    (lambda path, _: picture(path, np.full((400, 400, 3), 128, np.uint8)), "no face"),
    (lambda path, _: path.write_bytes(CMYK), "no face"),
    (lambda path, pixels: picture(path, cv2.resize(pixels, (40, 40))), "face"),
    (lambda path, pixels: picture(path, far_away(pixels)), "face"),
    (lambda path, _: path.write_bytes(b""), "empty"),
    (lambda path, pixels: path.write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes()[:3000]), "cut off"),
    (lambda path, _: path.write_text("a shopping list\n" * 50), "text"),
    (lambda path, _: None, "no file"),
    (lambda path, _: save_motion(Motion.rest(3), path.with_suffix(".csv")).rename(path), "motion file"),
])  # fmt: skip
def test_photos_that_cannot_be_used(run, pixels, motion, tmp_path, make, match):
    photo, out = tmp_path / "photo.png", tmp_path / "out.mp4"
    make(photo, pixels)
    refused(run("animate", photo, motion, "-o", out), out, match)


def test_a_face_turned_away(run, portrait, motion, tmp_path, monkeypatch):
    monkeypatch.setattr(face_signal, "MAX_YAW_DEG", 0.01)
    out = tmp_path / "out.mp4"
    refused(run("animate", portrait, motion, "-o", out), out, "turned")


@pytest.mark.parametrize(("name", "make", "match"), [
    ("d.wav", lambda path: path.write_bytes(b""), "empty"),
    ("d.wav", lambda path: path.write_bytes(wav(path, hum(1)).read_bytes()[:30]), ""),
    ("d.mp4", lambda path: path.write_text("this is no video\n" * 20), "text"),
    ("d.mp4", lambda path: path.write_bytes(mp4(path, [np.zeros((64, 64, 3), np.uint8)] * 9).read_bytes()[:700]), ""),
    ("d.mp4", lambda path: path.write_bytes(os.urandom(5000)), ""),
    ("d.mp4", lambda path: mp4(path, [np.full((96, 96, 3), 90, np.uint8)] * 9), "no face"),
    ("d.png", lambda path: picture(path, np.zeros((64, 64, 3), np.uint8)), "still picture"),
    ("d.csv", lambda path: path.write_text("JawOpen,EyeBlinkLeft\n"), ""),
    ("d.csv", lambda path: path.write_text(path_of_motion(path).replace(",61,", ",61,NaN", 1)), "no number"),
    ("d.wav", lambda path: None, "no file"),
    ("d", lambda path: path.mkdir(), ""),
])  # fmt: skip
def test_drivers_that_cannot_be_used(run, portrait, tmp_path, name, make, match):
    driver, out = tmp_path / name, tmp_path / "out.mp4"
    make(driver)
    refused(run("animate", portrait, driver, "-o", out), out, match)


def path_of_motion(path):
    return save_motion(Motion.rest(3), path).read_text("utf-8")


def test_a_talk_without_a_face_drives_by_its_sound(run, portrait, tmp_path):
    silent = mp4(tmp_path / "silent.mp4", [np.full((96, 96, 3), 90, np.uint8)] * 15)
    speech, talk = wav(tmp_path / "s.wav", hum(0.5)), tmp_path / "talk.mkv"
    with av.open(str(silent)) as pictures, av.open(str(speech)) as sound, av.open(str(talk), "w") as container:
        ways = {
            stream: container.add_stream_from_template(stream) for stream in (pictures.streams[0], sound.streams[0])
        }
        for source in (pictures, sound):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = ways[packet.stream]
                    container.mux(packet)
    code, _, err = run("animate", portrait, talk, "-o", tmp_path / "out.mp4", *SMALL)
    assert code == 0, err
    assert "its sound drives instead" in err


@pytest.mark.parametrize(("output", "match"), [
    ("missing/out.mp4", "folder"),
    ("out.avi", ".mp4"),
    (".", "folder"),
])  # fmt: skip
def test_outputs_that_cannot_be_written(run, portrait, motion, tmp_path, output, match):
    code, _, err = run("animate", portrait, motion, "-o", tmp_path / output)
    assert code == 2
    assert match in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["motion.csv"]


def test_a_full_disk(run, portrait, motion):
    code, _, err = run("animate", portrait, motion, "-o", "/dev/full", *SMALL)
    assert code == 2
    assert "full" in err


def test_an_output_never_replaces_an_input(run, portrait, motion, tmp_path):
    before = motion.read_bytes()
    code, _, err = run("track", motion, "-o", motion)
    assert code == 2
    assert "expected a video" in err
    code, _, err = run("listen", wav(tmp_path / "s.csv", hum(0.2)), "-o", tmp_path / "s.csv")
    assert code == 2
    assert "an input too" in err
    assert motion.read_bytes() == before


@pytest.mark.parametrize("verb", ["track", "listen"])
def test_motion_outputs_are_checked_before_the_work(run, tmp_path, verb):
    source = mp4(tmp_path / "d.mp4", [np.zeros((64, 64, 3), np.uint8)] * 5)
    for output in ("out.txt", "missing/out.csv"):
        code, _, err = run(verb, source, "-o", tmp_path / output)
        assert code == 2
        assert ".csv" in err or "folder" in err


@pytest.mark.parametrize("arguments", [
    ("--fps", "31"), ("--size", "361x640"), ("--size", "huge"), ("--size", "2000x200"), ("--head", "-1"),
    ("--motion-scale", "nan"), ("--blink", "9"), ("--renderer", "oil"), ("--threads", "0"), ("--fps", "x"),
])  # fmt: skip
def test_options_that_make_no_sense(run, portrait, motion, tmp_path, arguments):
    out = tmp_path / "out.mp4"
    refused(run("animate", portrait, motion, "-o", out, *arguments), out, "")


def test_interrupted_work_leaves_nothing(run, portrait, motion, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "_write", interrupted)
    out = tmp_path / "out.mp4"
    code, _, err = run("animate", portrait, motion, "-o", out, *SMALL)
    assert code == 130
    assert "stopped" in err
    assert not out.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_real_run_cleanly(portrait, tmp_path, number, code):
    long = save_motion(Motion.rest(20_000), tmp_path / "long.lfm")
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "liveface.cli", "animate", portrait, long, "-o", out, *SMALL]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as work:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".out.mp4.*.part")) and time.monotonic() < deadline:
            time.sleep(0.05)
        work.send_signal(number)
        _, err = work.communicate(timeout=60)
    assert work.returncode == code, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.lfm"]
    assert b"Traceback" not in err


def test_info_says_what_files_are(run, portrait, motion, tmp_path):
    for file, words in (
        (portrait, ("image", "900x1070", "faces in the photo: 1")),
        (motion, ("motion", "5 frames at 30 fps", "jawOpen")),
        (wav(tmp_path / "s.wav", hum(0.5, 8000), 8000), ("audio", "8000 Hz mono")),
        (mp4(tmp_path / "v.mp4", [np.zeros((64, 96, 3), np.uint8)] * 9), ("video", "96x64", "none")),
    ):
        code, out, _ = run("info", file)
        assert code == 0
        assert all(word in out for word in words), out
    assert run("info", tmp_path / "none")[0] == 2


def test_doctor_finds_this_machine_ready(run):
    code, out, _ = run("doctor")
    assert code == 0, out
    assert out.splitlines()[-1] == "ready."


def test_version_help_and_unknown_verbs(run):
    assert run("--version")[1].startswith("liveface ")
    assert "animate" in run()[1]
    assert run("dance")[0] == 2
    code, out, _ = run("animate", "--help")
    assert code == 0
    assert "consent" in out


def test_demo_makes_a_video_and_names_it(run, tmp_path):
    out = tmp_path / "demo.mp4"
    code, _, err = run("demo", "-o", out, *SMALL)
    assert code == 0
    assert str(out) in err.splitlines()[-1]
    assert "milliseconds a frame" in err
    assert probe(out).duration_s == pytest.approx(7.77, abs=0.1)


def test_debug_shows_the_trace(run, tmp_path):
    with pytest.raises(Exception, match="no file"):
        cli.main(["info", str(tmp_path / "none"), "--debug"])


@pytest.mark.parametrize(("live", "expected"), [(True, "\r"), (False, "\n")])
def test_progress_is_redrawn_on_terminals_and_plain_elsewhere(monkeypatch, live, expected):
    said = io.StringIO()
    said.isatty = lambda: live
    clock = iter(np.arange(0, 1000, 6.0))
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    meter = progress.Meter(quiet=False)
    meter(1, 100)
    meter(51, 100)
    assert "51/100 frames  8 fps  0:06 left" in said.getvalue()
    assert expected in said.getvalue()
