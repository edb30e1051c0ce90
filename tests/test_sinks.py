"""The MP4 sink: colour, timing, labels, pipes; and that failures leave nothing behind."""

import errno
import io
import os
import resource
import sys
import types
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from liveface import sinks
from liveface.errors import LivefaceError, SinkError
from liveface.signals.media import probe, read_audio, read_video
from liveface.sinks import SOURCE_TYPE, NullSink, VideoSink, to_yuv420
from liveface.types import AudioBlock, Frame

RATE = 48_000
SMALL = (64, 64)


def frames(count, size=SMALL, fps=30, seed=0):
    noise = np.random.default_rng(seed)
    base = cv2.GaussianBlur(noise.integers(0, 256, (size[1], size[0], 3), np.uint8), (0, 0), 2)
    for index in range(count):
        yield Frame(np.roll(base, index, 1), index, fps)


def sound(frame, fps=30, rate=RATE):
    """The samples of one frame: a quiet tone."""
    start, end = (round(index * rate / fps) for index in (frame, frame + 1))
    return AudioBlock((0.1 * np.sin(np.arange(start, end) * 0.03)).astype(np.float32), start, rate)


def write(path, count=10, size=SMALL, fps=30, rate=RATE):
    with VideoSink(path, size, fps, rate) as sink:
        for frame in frames(count, size, fps):
            sink.write(frame, None if rate is None else sound(frame.index, fps, rate))
    return path


def chart():
    """48 patches of 40 pixels: the primaries, greys, skin and lip colours, random ones."""
    colours = np.random.default_rng(1).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    colours[0] = [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
        (0, 0, 0),
        (255, 255, 0),
        (0, 255, 255),
        (128,) * 3,
    ]
    colours[1, :4] = [(224, 172, 105), (141, 85, 36), (255, 219, 172), (170, 60, 70)]
    return colours.repeat(40, 0).repeat(40, 1), colours


def patches(pixels):
    """The mean of the middle of each patch, `[6, 8, 3]`."""
    return pixels.reshape(6, 40, 8, 40, 3)[:, 12:28, :, 12:28].astype(float).mean((1, 3))


def test_colour_round_trip(tmp_path):
    pixels, colours = chart()
    with VideoSink(tmp_path / "chart.mp4", (320, 240), 25, None) as sink:
        for index in range(12):
            sink.write(Frame(pixels, index, 25), None)
    for frame in read_video(tmp_path / "chart.mp4"):
        wrong = np.abs(patches(frame.pixels) - colours)
        assert wrong.max() < 6  # of 255, after H.264
        assert wrong.mean() < 1.5


def test_colour_conversion_matches_the_general_scaler():
    pixels, _ = chart()
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    slow = frame.reformat(
        format="yuv420p", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG", interpolation="AREA"
    ).to_ndarray()
    assert np.abs(slow.astype(int) - to_yuv420(pixels)).max() <= 2


@pytest.mark.parametrize("size", [(360, 640), (384, 672), (256, 256)])
def test_what_is_written(tmp_path, size):
    path = write(tmp_path / "out.mp4", 65, size)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        context = video.codec_context
        assert (context.name, context.profile, context.pix_fmt) == ("h264", "High", "yuv420p")
        assert (context.width, context.height) == size
        assert (context.color_range, context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1, 1)
        assert (audio.codec_context.name, audio.codec_context.sample_rate) == ("aac", RATE)
        keys = [
            packet.pts * packet.time_base for packet in container.demux(video) if packet.size and packet.is_keyframe
        ]
        assert keys[:2] == [0, 2]  # seconds
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    info = probe(path)
    assert (info.kind, info.width, info.height, info.fps, info.frames) == ("video", *size, 30, 65)


def test_every_output_says_that_it_is_synthetic(tmp_path):
    path = write(tmp_path / "out.mp4", 3)
    assert "Synthetic media made by liveface" in probe(path).comment
    data = path.read_bytes()
    assert f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"'.encode() in data
    at = data.rindex(b"uuid") - 4
    assert at + int.from_bytes(data[at : at + 4], "big") == len(data)  # the last top-level box, whole


@pytest.mark.parametrize("fps", [30, 25])
def test_sound_stays_in_step(tmp_path, fps):
    """Clicks and flashes once a second, written, read back, compared over 20 seconds."""
    path = tmp_path / "step.mp4"
    dark, bright = np.full((64, 64, 3), 40, np.uint8), np.full((64, 64, 3), 250, np.uint8)
    with VideoSink(path, SMALL, fps, RATE) as sink:
        for index in range(20 * fps):
            block = sound(index, fps)
            samples = np.zeros_like(block.samples)
            if index % fps == 0:
                samples[:48] = 0.9 * np.hanning(48)
            sink.write(Frame(dark if index % fps else bright, index, fps), AudioBlock(samples, block.start, RATE))
    flashes = [frame.time_s for frame in read_video(path) if frame.pixels.mean() > 150]
    samples = np.concatenate([block.samples for block in read_audio(path, RATE)])
    assert len(samples) == 20 * RATE
    clicks = [
        (start + np.argmax(np.abs(samples[start : start + RATE // 2]))) / RATE for start in range(0, 20 * RATE, RATE)
    ]
    assert flashes == pytest.approx(list(range(20)))
    assert np.abs(np.array(clicks) - flashes).max() < 0.002  # the click's own length is 1 ms; a frame is 33 ms


def test_both_tracks_are_of_one_length(tmp_path):
    for name, seconds in (("short", 0.2), ("long", 9.0), ("none", 0.0)):
        path = tmp_path / f"{name}.mp4"
        with VideoSink(path, SMALL, 30, RATE) as sink:
            for frame in frames(30):
                block = AudioBlock(np.full(round(seconds * RATE), 0.1, np.float32), 0, RATE)
                sink.write(frame, block if frame.index == 0 and seconds else None)
        assert sum(len(block.samples) for block in read_audio(path, RATE)) == RATE
        assert probe(path).frames == 30


def test_gaps_in_the_sound_become_silence(tmp_path):
    with VideoSink(tmp_path / "gap.mp4", SMALL, 30, RATE) as sink:
        for frame in frames(30):
            sink.write(frame, sound(frame.index) if frame.index < 10 or frame.index >= 20 else None)
    samples = np.concatenate([block.samples for block in read_audio(tmp_path / "gap.mp4", RATE)])
    assert np.abs(samples[: RATE // 4]).max() > 0.05
    assert np.abs(samples[RATE // 3 + 2000 : RATE * 2 // 3 - 2000]).max() < 0.01
    assert np.abs(samples[-RATE // 4 :]).max() > 0.05


def test_without_sound_and_other_rates(tmp_path):
    assert probe(write(tmp_path / "mute.mp4", 5, rate=None)).audio_rate_hz == 0
    assert probe(write(tmp_path / "house.mp4", 40, rate=24_000)).audio_rate_hz == 24_000
    assert probe(write(tmp_path / "ntsc.mp4", 40, fps=30000 / 1001)).fps == pytest.approx(29.97003)


def left_behind(folder):
    return sorted(path.name for path in folder.iterdir())


def write_then_raise(path, error):
    with VideoSink(path, SMALL) as sink:
        for frame in frames(40):
            sink.write(frame, sound(frame.index))
            if frame.index == 30:
                raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        write_then_raise(tmp_path / "out.mp4", error)
    assert left_behind(tmp_path) == []


def test_an_older_file_survives_a_failure_and_is_replaced_by_success(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        write_then_raise(path, KeyboardInterrupt)
    assert path.read_bytes() == b"older"
    assert left_behind(tmp_path) == ["out.mp4"]
    write(path)
    assert probe(path).frames == 10
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_no_frame_is_an_error(tmp_path):
    with pytest.raises(SinkError, match="no frame was written"), VideoSink(tmp_path / "out.mp4", SMALL):
        pass
    assert left_behind(tmp_path) == []


def write_noise(path):
    noise = np.random.default_rng(0)
    with VideoSink(path, (256, 256)) as sink:
        for index in range(200):
            sink.write(Frame(noise.integers(0, 256, (256, 256, 3), np.uint8), index), sound(index))


def test_full_disk_while_writing(tmp_path):
    """A limit on the size of files stands for the full disk: the system refuses the write in the same way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(SinkError, match=r"out\.mp4 cannot be written: the disk is full"):
            write_noise(tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_full_disk_while_naming(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(SinkError, match="cannot be written"):
        write(tmp_path / "out.mp4")
    assert left_behind(tmp_path) == []


def test_a_device_that_is_full():
    with pytest.raises(SinkError, match="the disk is full"):
        write("/dev/full", 100)


def test_devices_are_written_to_directly():
    write("/dev/null")
    assert Path("/dev/null").is_char_device()


def test_bad_places(tmp_path, monkeypatch):
    for name, told in (
        (tmp_path / "none" / "out.mp4", "there is no folder"),
        (tmp_path, "is a folder"),
        (tmp_path / "out.avi", "does not end in .mp4"),
        (tmp_path / "name-that-is-far-too-long" / ("x" * 300 + ".mp4"), "there is no folder|cannot be written"),
    ):
        with pytest.raises(SinkError, match=told), VideoSink(name):
            pass
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SinkError, match="there is no folder"), VideoSink(tmp_path / "file" / "out.mp4"):
        pass
    for code, told in (
        (errno.EACCES, "may not be written"),
        (errno.EROFS, "may not be written"),
        (errno.EMFILE, "open files"),
    ):

        def refuse(*_args, code=code):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(SinkError, match=told), VideoSink(tmp_path / "out.mp4"):
            pass
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *_: False)
    (tmp_path / "mine.mp4").write_bytes(b"")
    with pytest.raises(SinkError, match="may not be written"), VideoSink(tmp_path / "mine.mp4"):
        pass
    assert left_behind(tmp_path) == ["file", "mine.mp4"]


def test_every_sink_error_is_one_of_the_house():
    assert issubclass(SinkError, LivefaceError)
    assert issubclass(SinkError, OSError)


def test_bad_frames_and_sizes(tmp_path):
    for size in ((361, 640), (0, 0), (9000, 640)):
        with pytest.raises(SinkError, match="expected even numbers"):
            VideoSink(tmp_path / "out.mp4", size)
    with pytest.raises(SinkError, match="frames per second"):
        VideoSink(tmp_path / "out.mp4", fps=0)
    with pytest.raises(SinkError, match="is not open"):
        VideoSink(tmp_path / "out.mp4").write(next(frames(1)), None)
    with pytest.raises(SinkError, match="expected 128 x 128"), VideoSink(tmp_path / "out.mp4", (128, 128)) as sink:
        sink.write(next(frames(1)), None)
    with pytest.raises(SinkError, match="sound at 24000 Hz"), VideoSink(tmp_path / "out.mp4", SMALL) as sink:
        sink.write(next(frames(1)), AudioBlock(np.zeros(800, np.float32)))
    assert left_behind(tmp_path) == []


class Pipe(io.BytesIO):
    """A standard output that cannot seek."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError(errno.ESPIPE, "Illegal seek")

    def isatty(self):
        return False


def test_standard_output(tmp_path, monkeypatch):
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=pipe, isatty=lambda: False))
    write("-", 90)
    (tmp_path / "piped.mp4").write_bytes(pipe.getvalue())
    info = probe(tmp_path / "piped.mp4")
    assert (info.width, info.audio_rate_hz) == (64, RATE)
    assert "Synthetic" in info.comment
    assert len(list(read_video(tmp_path / "piped.mp4"))) == 90
    samples = sum(len(block.samples) for block in read_audio(tmp_path / "piped.mp4", RATE))
    assert samples == 3 * RATE


def test_standard_output_that_is_closed_or_a_terminal(monkeypatch):
    def closed(_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    broken = types.SimpleNamespace(write=closed, flush=lambda: None)
    monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=broken, isatty=lambda: False))
    with pytest.raises(SinkError, match="standard output was closed by its reader"):
        write("-", 200)
    monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=broken, isatty=lambda: True))
    with pytest.raises(SinkError, match="to a terminal"):
        write("-")


def test_null_sink_counts():
    with NullSink() as sink:
        for frame in frames(5):
            sink.write(frame, sound(frame.index))
        sink.write(next(frames(1)), None)
    assert (sink.frames, sink.samples) == (6, 8000)


def test_writing_does_not_change_the_frame(tmp_path):
    frame = next(frames(1))
    before = frame.pixels.copy()
    with VideoSink(tmp_path / "out.mp4", SMALL) as sink:
        sink.write(frame, None)
        frame.pixels[:] = 0  # and the sink has finished with it
        sink.write(Frame(before), None)
    first = next(iter(read_video(tmp_path / "out.mp4")))
    assert np.abs(first.pixels.astype(int) - before).mean() < 12
    assert sinks.PRESET == "superfast"
