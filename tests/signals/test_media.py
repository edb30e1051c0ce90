"""Video and sound, made on the fly: time, turns, rates, channels, offsets; bad files refused in one sentence."""

import gc
import io
import logging
import os
import struct
import sys
import threading
import types
import wave
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from liveface.errors import SignalError
from liveface.signals import container as container_module
from liveface.signals.media import OUTPUT_RATE_HZ, frame_blocks, local_copy, probe, read_audio, read_video, sliced
from liveface.types import AudioBlock

CLICKS_S = (0.5, 1.5, 2.5)


def grey(level, size=(64, 48)):
    return np.full((size[1], size[0], 3), level, np.uint8)


def clicks(rate, count):
    """Near silence `[S]` with a click of 1 ms centred on each of `CLICKS_S`."""
    samples = 0.001 * np.random.default_rng(0).standard_normal(count).astype(np.float32)
    half = rate // 2000 or 2
    for second in CLICKS_S:
        samples[round(second * rate) - half : round(second * rate) + half] += 0.9 * np.hanning(2 * half).astype(
            np.float32
        )
    return samples


def add_sound(container, codec, rate, layout="mono"):
    stream = container.add_stream(codec, rate=rate)
    stream.layout = layout
    return stream


def mux_sound(container, stream, samples, rate, start=0):
    """Encode `[C, S]` float samples from sample `start` on."""
    layout = stream.layout.name
    convert = av.AudioResampler(format=stream.codec_context.format or "s16", layout=layout, rate=rate)
    for at in range(0, samples.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 1024]), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, at + start, Fraction(1, rate)
        for part in convert.resample(frame):
            container.mux(stream.encode(part))
    for part in convert.resample(None):
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def mux_pictures(container, stream, pictures, times, base):
    """Encode pictures at the given times, in units of `base`."""
    stream.codec_context.time_base = base
    for pixels, time in zip(pictures, times, strict=True):
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts, frame.time_base = time, base
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def movie(path, levels, times=None, fps=25, base=None, size=(64, 48), layout="yuv420p", codec="libx264", options=None):
    """A silent video of plain grey frames."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = size
        stream.pix_fmt = layout
        if codec == "libx264":
            stream.options = {"crf": "5"}
        base = base or 1 / Fraction(fps).limit_denominator(1001)
        mux_pictures(container, stream, [grey(level, size) for level in levels], times or range(len(levels)), base)
    return path


def talking(path, codec="aac", video="libx264", late_sound=0, late_picture=0, rate=48_000, options=None, layout=None):
    """3 seconds at 25 fps with a flash in the frame of each click; starts in samples and frames."""
    with av.open(str(path), "w", format=layout, options=options or {}) as container:
        picture = container.add_stream(video, rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = add_sound(container, codec, rate)
        flashes = [int(second * 25) for second in CLICKS_S]
        pixels = [grey(255 if index in flashes else 20) for index in range(75)]
        mux_pictures(container, picture, pixels, range(late_picture, late_picture + 75), Fraction(1, 25))
        mux_sound(container, sound, clicks(rate, 3 * rate)[None], rate, late_sound)
    return path


def wav(path, samples, rate, width=2):
    """Whole-number PCM `[S, C]`."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 1:
            data = (samples * 127 + 128).round().astype(np.uint8).tobytes()
        elif width == 3:
            data = (samples * 8388607).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        else:
            data = (samples * (32767 if width == 2 else 2147483647)).astype(f"<i{width}").tobytes()
        file.writeframes(data)
    return path


def whole(reader):
    blocks = list(reader)
    starts = np.cumsum([0] + [len(block.samples) for block in blocks])
    assert [block.start for block in blocks] == starts[:-1].tolist()
    assert all(block.rate_hz == reader.rate_hz and block.samples.dtype == np.float32 for block in blocks)
    return np.concatenate([block.samples for block in blocks])


def click_times(samples, rate):
    loud = np.flatnonzero(np.abs(samples) > 0.4)
    firsts = loud[np.r_[True, np.diff(loud) > rate // 4]]
    return [(at + np.argmax(np.abs(samples[at : at + rate // 50]))) / rate for at in firsts]


def levels_of(reader):
    return [int(frame.pixels.mean().round()) for frame in reader]


# What a file is


def test_probe_tells_kinds_by_content(tmp_path):
    table = tmp_path / "a.mp4"
    table.write_text("Timecode,BlendShapeCount,EyeBlinkLeft,JawOpen\n00:00:00:00.000,2,0,0\n")
    assert probe(table).kind == "motion"
    (tmp_path / "b.wav").write_bytes(b"LFM1" + bytes(20))
    assert probe(tmp_path / "b.wav").kind == "motion"
    video = movie(tmp_path / "c.mp4", [50] * 30, fps=30).rename(tmp_path / "c.jpg")
    info = probe(video)
    assert (info.kind, info.width, info.height, info.fps, info.frames) == ("video", 64, 48, 30, 30)
    assert info.duration_s == pytest.approx(1)
    info = probe(wav(tmp_path / "d.mp4", np.zeros((4000, 2)), 8000))
    assert (info.kind, info.audio_rate_hz, info.audio_channels, info.duration_s) == ("audio", 8000, 2, 0.5)
    movie(tmp_path / "e.gif", [10, 200], codec="gif", layout="rgb8", fps=10)
    info = probe(tmp_path / "e.gif")
    assert (info.kind, info.frames, info.width) == ("image", 2, 64)


def test_cover_art_is_no_video(tmp_path):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = add_sound(container, "libmp3lame", 44_100)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
        cover.disposition = Disposition.attached_pic
        container.start_encoding()
        picture = av.VideoFrame.from_ndarray(grey(99), "rgb24")
        picture.pts, picture.time_base = 0, Fraction(1)
        container.mux(cover.encode(picture))
        mux_sound(container, sound, clicks(44_100, 132_300)[None], 44_100)
    assert probe(path).kind == "audio"
    assert len(whole(read_audio(path))) == 72_000


# Pictures


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 30000 / 1001, 60000 / 1001])
def test_own_rate_is_kept(tmp_path, fps):
    reader = read_video(movie(tmp_path / "v.mp4", range(20, 60), fps=fps))
    assert reader.fps == pytest.approx(fps, rel=1e-6)
    assert reader.frames_estimate == 40
    frames = list(reader)
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.fps for frame in frames] == [reader.fps] * 40
    assert np.abs(np.array(levels_of(reader)) - range(20, 60)).max() <= 2


def test_rates_are_changed_by_time(tmp_path):
    every = list(range(20, 140, 2))
    path = movie(tmp_path / "v.mp4", every, fps=60)
    assert np.abs(np.array(levels_of(read_video(path, 30))) - every[::2]).max() <= 2
    path = movie(tmp_path / "w.mp4", every[:25], fps=25)
    got = np.array(levels_of(read_video(path, 30)))
    wanted = [every[max(k for k in range(25) if int(k * 6 / 5 + 0.5) <= slot)] for slot in range(30)]
    assert np.abs(got - wanted).max() <= 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_variable_rate_becomes_constant(tmp_path, suffix):
    times_ms = [0, 33, 67, 100, 300, 310, 320, 700, 733, 767]
    levels = [20, 40, 60, 80, 100, 120, 140, 160, 180, 200]
    codec = "libvpx-vp9" if suffix == "webm" else "libx264"
    path = movie(tmp_path / f"v.{suffix}", levels, times_ms, fps=30, base=Fraction(1, 1000), codec=codec)
    frames = list(read_video(path, 30))
    shown = [max(index for index, time in enumerate(times_ms) if int(time * 0.03 + 0.5) <= slot) for slot in range(23)]
    got = [int(frame.pixels.mean().round()) for frame in frames][:23]
    assert np.abs(np.array(got) - [levels[index] for index in shown]).max() <= 3
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert 23 <= len(frames) <= 26


def test_repeated_frames_do_not_share_pixels(tmp_path):
    frames = list(read_video(movie(tmp_path / "v.mp4", [50, 90], fps=5), 30))
    frames[0].pixels[:] = 0
    assert frames[1].pixels.mean() > 40


def with_matrix(path, turned, matrix):
    """The MP4 `path` with another display matrix (a, b, c, d)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned.write_bytes(data)
    return turned


@pytest.mark.parametrize(
    ("matrix", "degrees", "turn"),
    [
        ((1, 0, 0, 1), 0, lambda p: p),
        ((0, 1, -1, 0), 90, lambda p: np.rot90(p, -1)),
        ((-1, 0, 0, -1), 180, lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), 270, np.rot90),
        ((-1, 0, 0, 1), 0, lambda p: p[:, ::-1]),
    ],
)
def test_rotation_is_applied(tmp_path, matrix, degrees, turn):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 220  # one bright corner
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        mux_pictures(container, stream, [picture] * 5, range(5), Fraction(1, 25))
    turned = with_matrix(path, tmp_path / "turned.mp4", matrix)
    wanted = turn(picture)
    info = probe(turned)
    assert (info.height, info.width) == wanted.shape[:2]
    assert info.rotation == degrees
    for frame in read_video(turned):
        assert frame.pixels.shape == wanted.shape
        assert np.abs(frame.pixels.astype(int) - wanted).mean() < 4
    small = read_video(turned, max_side=32)
    assert next(iter(small)).pixels.shape[:2] == small.size[::-1] == (wanted.shape[0] // 2, wanted.shape[1] // 2)


@pytest.mark.parametrize("size", [(97, 63), (33, 129)])
def test_odd_sizes(tmp_path, size):
    path = movie(tmp_path / "v.mp4", [80] * 5, size=size, layout="yuv444p")
    assert [frame.pixels.shape for frame in read_video(path)] == [(size[1], size[0], 3)] * 5
    reader = read_video(path, max_side=50)
    assert max(reader.size) == 50
    assert {frame.pixels.shape for frame in reader} == {(reader.size[1], reader.size[0], 3)}


def test_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        mux_pictures(container, stream, [grey(80)] * 5, range(5), Fraction(1, 25))
    assert (probe(path).width, probe(path).height) == (96, 48)
    assert {frame.pixels.shape for frame in read_video(path)} == {(48, 96, 3)}


@pytest.mark.parametrize(("size", "space"), [((64, 64), "ITU601"), ((640, 640), "ITU709")])
@pytest.mark.parametrize("tagged", [True, False])
def test_colour_matrix(tmp_path, size, space, tagged):
    """Tagged or not, colours come back; without a tag, large pictures are BT.709 and small ones BT.601."""
    colour = (190, 60, 70)
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        stream.options = {"crf": "5"}
        if tagged:
            stream.codec_context.colorspace = 1 if space == "ITU709" else 6
        frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), colour, np.uint8), "rgb24")
        options = {"dst_colorspace": space, "src_color_range": "JPEG", "dst_color_range": "MPEG"}
        frame = frame.reformat(format="yuv420p", **options)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pixels = next(iter(read_video(path))).pixels
    assert np.abs(pixels.astype(int) - colour).max() <= 4


def test_animations_are_videos_too(tmp_path):
    path = movie(tmp_path / "v.gif", [0, 128, 255], codec="gif", layout="rgb8", fps=10)
    got = levels_of(read_video(path))
    assert np.abs(np.array(got[:3]) - (0, 128, 255)).max() <= 20


def open_files(path):
    """How many descriptors of this process point to a file."""
    return sum(os.path.realpath(link) == str(path.resolve()) for link in Path("/proc/self/fd").iterdir())


def test_reading_again_and_stopping_early(tmp_path):
    path = movie(tmp_path / "v.mp4", range(20, 60))
    reader = read_video(path)
    for _ in range(5):
        for frame in reader:
            if frame.index == 3:
                assert open_files(path)  # so that the count below can see what it counts
                break
    gc.collect()
    assert open_files(path) == 0
    assert levels_of(reader) == levels_of(reader)


def test_frames_flow_one_at_a_time(tmp_path):
    """Without the garbage collector's help, no more than a handful of frames is ever alive."""
    path = movie(tmp_path / "v.mp4", [index % 200 + 20 for index in range(400)])
    gc.collect()
    gc.disable()
    try:
        most, kept = 0, []
        for frame in read_video(path):
            kept = [*kept[-1:], weakref.ref(frame.pixels)]
            most = max(most, sum(ref() is not None for ref in kept))
        decoded = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
        assert most <= 2
        assert len(decoded) <= 4
    finally:
        gc.enable()


def test_absurd_sizes_and_rates(tmp_path, monkeypatch):
    path = movie(tmp_path / "v.mp4", [80] * 3)
    for fps in (0, -5, 1000, float("nan")):
        with pytest.raises(SignalError, match="frames per second is not usable"):
            read_video(path, fps)
    monkeypatch.setattr(container_module, "MAX_VIDEO_PIXELS", 1000)
    with pytest.raises(SignalError, match=r"frames of 64 x 48 pixels; expected at most"):
        probe(path)


# Sound

CONTAINERS = [
    ("a.wav", "pcm_s16le", True), ("a.flac", "flac", True), ("a.mp3", "libmp3lame", True), ("a.m4a", "aac", True),
    ("a.ogg", "libopus", True), ("a.webm", "libopus", True), ("a.mka", "aac", False), ("a.mov", "pcm_s16le", True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "exact"), CONTAINERS)
def test_length_and_place_are_exact(tmp_path, name, codec, exact):
    rate, count = 48_000, 48_000 * 3 + 123
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        mux_sound(container, add_sound(container, codec, rate), clicks(rate, count)[None], rate)
    reader = read_audio(path, rate)
    samples = whole(reader)
    assert len(samples) == count if exact else 0 <= len(samples) - count < 1024
    assert click_times(samples, rate) == pytest.approx(CLICKS_S, abs=2e-4)
    assert reader.duration_s == pytest.approx(count / rate, abs=0.03)
    assert reader.samples_estimate == pytest.approx(count, abs=1500)
    house = whole(read_audio(path))
    assert len(house) == pytest.approx(len(samples) / 2, abs=1)
    assert click_times(house, 24_000) == pytest.approx(CLICKS_S, abs=2e-4)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("wanted", [24_000, OUTPUT_RATE_HZ])
def test_sample_rates(tmp_path, rate, wanted):
    count = rate * 2 + 37
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(count) / rate)
    samples = whole(read_audio(wav(tmp_path / "a.wav", tone[:, None], rate), wanted))
    assert abs(len(samples) - count * wanted / rate) <= 1
    ideal = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / wanted)
    assert np.abs(samples - ideal)[wanted // 10 : -wanted // 10].max() < 0.002


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sample_formats(tmp_path, width):
    tone = 0.5 * np.sin(np.arange(24_000) * 0.1)
    samples = whole(read_audio(wav(tmp_path / "a.wav", tone[:, None], 24_000, width)))
    assert np.abs(samples - tone).max() < (0.02 if width == 1 else 1e-3)


@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le"])
def test_float_files_are_clipped_and_cleaned(tmp_path, codec):
    samples = np.full(24_000, 3.0, np.float32)
    samples[100:110] = np.nan
    samples[200:210] = -np.inf
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        mux_sound(container, add_sound(container, codec, 24_000), samples[None], 24_000)
    got = whole(read_audio(path))
    assert np.isfinite(got).all()
    assert got.max() == 1.0
    assert (got[100:110] == 0).all()


def test_stereo_is_mixed_down(tmp_path):
    left = 0.8 * np.sin(np.arange(24_000) * 0.1)
    samples = whole(read_audio(wav(tmp_path / "a.wav", np.stack([left, 0 * left], 1), 24_000)))
    assert np.abs(samples - left / 2).max() < 1e-3
    samples = whole(read_audio(wav(tmp_path / "a.wav", np.stack([left, left], 1), 24_000)))
    assert np.abs(samples - left).max() < 1e-3


@pytest.mark.parametrize("channels", [3, 4, 8])
def test_channels_without_names(tmp_path, channels):
    tone = 0.5 * np.sin(np.arange(24_000) * 0.1)
    path = wav(tmp_path / "a.wav", np.repeat(tone[:, None], channels, 1), 24_000)
    assert probe(path).audio_channels == channels
    samples = whole(read_audio(path))
    assert len(samples) == 24_000
    assert 0.3 < np.abs(samples).max() <= 1


def test_surround_keeps_its_dialogue(tmp_path):
    path = tmp_path / "a.mka"
    channels = np.zeros((6, 48_000), np.float32)
    channels[2] = 0.5 * np.sin(np.arange(48_000) * 0.05)  # the centre of 5.1
    channels[3] = 0.9  # the low-frequency effects are left out
    with av.open(str(path), "w") as container:
        mux_sound(container, add_sound(container, "flac", 48_000, "5.1"), channels, 48_000)
    assert probe(path).audio_channels == 6
    samples = whole(read_audio(path, 48_000))
    assert np.abs(samples - 0.7071 * channels[2]).max() < 2e-3


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(("late_sound", "late_picture"), [(0, 0), (24_000, 0), (0, 10), (4_800, 10)])
def test_a_drivers_lip_sync_is_kept(tmp_path, suffix, late_sound, late_picture):
    path = talking(tmp_path / f"v.{suffix}", late_sound=late_sound, late_picture=late_picture)
    zero = min(late_sound / 48_000, late_picture / 25)
    flashes = [frame.time_s for frame in read_video(path) if frame.pixels.mean() > 130]
    heard = click_times(whole(read_audio(path, 48_000)), 48_000)
    flash = np.array([int(second * 25) / 25 for second in CLICKS_S])
    assert flashes == pytest.approx(flash + late_picture / 25 - zero, abs=0.021)
    assert heard == pytest.approx(np.array(CLICKS_S) + late_sound / 48_000 - zero, abs=0.023)  # one frame of AAC


@pytest.mark.parametrize(("name", "codec", "video"), [("v.webm", "libopus", "libvpx-vp9"), ("v.ts", "aac", "libx264")])
def test_lip_sync_in_other_containers(tmp_path, name, codec, video):
    path = talking(tmp_path / name, codec, video)
    info = probe(path)
    flashes = [frame.time_s for frame in read_video(path) if frame.pixels.mean() > 130]
    heard = click_times(whole(read_audio(path, 48_000)), 48_000)
    assert np.array(heard) - flashes == pytest.approx(np.full(3, 0.02), abs=0.041)
    assert info.kind == "video"


def test_gaps_in_the_time_stamps_become_silence(tmp_path):
    path = tmp_path / "a.mkv"
    tone = (0.5 * np.sin(np.arange(48_000) * 0.1)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = add_sound(container, "pcm_s16le", 48_000)
        for start in (0, 72_000):  # a second of sound, half a second of nothing, a second of sound
            for at in range(0, 48_000, 960):
                block = np.round(tone[at : at + 960] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(block[None], "s16", "mono")
                frame.sample_rate, frame.pts, frame.time_base = 48_000, start + at, Fraction(1, 48_000)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = whole(read_audio(path, 48_000))
    assert len(samples) == 120_000
    assert (samples[48_000:72_000] == 0).all()
    assert np.abs(samples[72_000:] - tone).max() < 1e-3


def test_silence_is_noticed(tmp_path):
    reader = read_audio(wav(tmp_path / "a.wav", np.zeros((8000, 1)), 8000))
    assert len(whole(reader)) == 24_000
    assert reader.peak == 0
    reader = read_audio(wav(tmp_path / "a.wav", np.full((8000, 1), 0.25), 8000))
    whole(reader)
    assert 0.2 < reader.peak < 0.35


def test_blocks_are_short(tmp_path):
    reader = read_audio(wav(tmp_path / "a.wav", np.zeros((10 * 24_000 + 5, 1)), 24_000))
    lengths = [len(block.samples) for block in reader]
    assert lengths == [2400] * 100 + [5]


def test_a_sound_rate_that_is_not_usable(tmp_path):
    with pytest.raises(SignalError, match="not usable"):
        read_audio(wav(tmp_path / "a.wav", np.zeros((10, 1)), 8000), 10)


# Blocks


def test_sliced_joins_and_cuts():
    pieces = [np.arange(n, dtype=np.float32) / 1000 for n in (0, 7, 1, 25, 3)]
    blocks = list(sliced(pieces, 8000, 10))
    assert [(block.start, len(block.samples)) for block in blocks] == [(0, 10), (10, 10), (20, 10), (30, 6)]
    assert (np.concatenate([block.samples for block in blocks]) == np.concatenate(pieces)).all()


@pytest.mark.parametrize("fps", [25, 30, 30000 / 1001])
def test_frame_blocks_are_one_frame_each(fps):
    samples = np.random.default_rng(0).uniform(-1, 1, 24_000).astype(np.float32)
    blocks = list(frame_blocks(sliced([samples], 24_000, 999), fps))
    exact = Fraction(fps).limit_denominator(1001)
    assert [block.start for block in blocks] == [round(index * 24_000 / exact) for index in range(len(blocks))]
    joined = np.concatenate([block.samples for block in blocks])
    assert (joined[:24_000] == samples).all()
    assert not joined[24_000:].any()
    assert len(joined) - 24_000 < 24_000 / fps


def test_frame_blocks_fill_up_and_cut_off():
    blocks = [AudioBlock(np.ones(2000, np.float32), 0)]
    assert [block.samples.sum() for block in frame_blocks(blocks, 30, 5)] == [800, 800, 400, 0, 0]
    assert [len(block.samples) for block in frame_blocks(blocks, 30, 2)] == [800, 800]
    assert list(frame_blocks([], 30)) == []
    assert list(frame_blocks([], 30, 3)) == []


# Pipes


def test_standard_input_is_copied(tmp_path, monkeypatch):
    data = movie(tmp_path / "v.mp4", [80] * 5).read_bytes()
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
    with local_copy("-") as path:
        assert len(list(read_video(path))) == 5
    assert not path.exists()
    with local_copy(tmp_path / "v.mp4") as path:
        assert path == tmp_path / "v.mp4"
    assert path.exists()


def test_a_named_pipe_is_copied(tmp_path):
    data = movie(tmp_path / "v.mp4", [80] * 5).read_bytes()
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=pipe.write_bytes, args=(data,))
    feeder.start()
    with local_copy(pipe) as path:
        feeder.join()
        assert probe(path).kind == "video"


# Bad input


def test_missing_tracks(tmp_path):
    silent = movie(tmp_path / "v.mp4", [80] * 5)
    with pytest.raises(SignalError, match=r"v\.mp4 has no sound; expected a file with sound"):
        read_audio(silent)
    spoken = wav(tmp_path / "a.wav", np.zeros((8000, 1)), 8000)
    with pytest.raises(SignalError, match=r"a\.wav has no moving picture; expected a video"):
        read_video(spoken)
    (tmp_path / "m.csv").write_text("Timecode,BlendShapeCount,EyeBlinkLeft,JawOpen\n")
    with pytest.raises(SignalError, match="has no moving picture"):
        read_video(tmp_path / "m.csv")
    with pytest.raises(SignalError, match="has no sound"):
        read_audio(tmp_path / "m.csv")


READERS = [probe, read_video, read_audio]


@pytest.mark.parametrize("read", READERS)
def test_files_that_are_nothing(tmp_path, read):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("I am a letter, not a film.\n" * 100)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    for name, told in (
        ("none.mp4", "there is no file"),
        ("", "is a folder"),
        ("empty.mp4", r"is empty \(0 bytes\)"),
        ("text.mp4", "holds text, not pictures or sound"),
        ("list.mp4", "holds text"),
        ("noise.mp4", r"noise.mp4 \(20,000 bytes\) is neither a photo, a video nor a sound"),
    ):
        with pytest.raises(SignalError, match=told) as caught:
            read(tmp_path / name)
        assert str(caught.value).count("; expected") == 1
        assert str(caught.value).endswith(".")


def test_permission_denied(tmp_path, monkeypatch):
    path = movie(tmp_path / "v.mp4", [80] * 5)

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SignalError, match="this user may not read"):
        probe(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_without_an_index(tmp_path, share):
    data = talking(tmp_path / "v.mp4").read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SignalError, match=r"cut\.mp4 is cut off: its [\d,]+ bytes end before the index \('moov'\)"):
        probe(cut)


def test_truncated_with_an_index_gives_what_is_there(tmp_path, caplog):
    data = talking(tmp_path / "v.mp4", options={"movflags": "faststart"}).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    with caplog.at_level(logging.WARNING):
        frames = list(read_video(cut))
        assert 0.8 < len(whole(read_audio(cut))) / 24_000 < 2.5
    assert 20 < len(frames) < 60
    assert "the picture of cut.mp4 ends after" in caplog.text
    assert "the sound of cut.mp4 ends after" in caplog.text


def test_truncated_before_the_first_frame(tmp_path):
    data = talking(tmp_path / "v.mp4", options={"movflags": "faststart"}).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(SignalError, match=r"cut\.mp4"):
        probe(cut)


def test_damaged_files_never_raise_anything_else(tmp_path):
    noise = np.random.default_rng(0)
    clean = talking(tmp_path / "v.mp4", options={"movflags": "faststart"}).read_bytes()
    spoiled = tmp_path / "spoiled.mp4"
    read = refused = 0
    for _ in range(25):
        data = bytearray(clean)
        for at in noise.integers(4, len(data), 60):
            data[at] = noise.integers(256)
        spoiled.write_bytes(data)
        try:
            list(read_video(spoiled))
            whole(read_audio(spoiled))
            read += 1
        except SignalError:
            refused += 1
    assert read + refused == 25
