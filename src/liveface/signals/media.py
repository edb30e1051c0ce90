"""Sound and video files: what they are, their frames at a constant rate, their sound at a wanted rate.

Notable choices (reasons in docs/decisions/media.md):
- One clock per file. Time zero is where the earlier of its picture and its sound begins; the picture stands still
  before its first frame, sound is silent before its first sample. So a driver keeps its own lip sync.
- A reader can be iterated again and again; every iteration opens the file anew and closes it at the end. Nothing but
  a frame or two is ever held, so an hour costs no more memory than a second.
- Frames go to the constant rate by their time stamps: the latest frame whose time rounds to a slot fills it.
- Sound is mixed to mono and resampled with soxr. Mono is all that `AudioBlock` carries, so a driver's stereo sound is
  mixed down for the output too.
"""

from __future__ import annotations

import logging
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from liveface.errors import SignalError
from liveface.signals import formats
from liveface.signals.container import (
    HEAD_BYTES,
    MAX_FPS,
    Kind,
    MediaInfo,
    audio_stream,
    decoded_pictures,
    decoded_sound,
    describe,
    lacks,
    opened,
    orientation_of,
    video_stream,
    whole_rate,
    zero,
)
from liveface.signals.image import check_file, checked_header, orient, read_bytes
from liveface.types import HOUSE_RATE_HZ, Array, AudioBlock, Frame, Pixels

__all__ = [
    "AudioReader",
    "Kind",
    "MediaInfo",
    "VideoReader",
    "frame_blocks",
    "local_copy",
    "probe",
    "read_audio",
    "read_video",
]

OUTPUT_RATE_HZ = 48_000  # rate of the sound track of our videos: what browsers play without resampling
MAX_GAP_S = 60.0  # a longer jump of the time stamps is a fault of the file, not a pause (chosen)
AUDIO_SLIP_S = 0.04  # time stamps may wander this far from the sample count before sound is moved; one frame at 25 fps
SLICE_S = 0.1  # length of the blocks that `read_audio` yields
_FULL_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 2.0**63, "flt": 1.0, "dbl": 1.0}
# Speech sits in the centre of surround sound. Weights: chosen, a film's dialogue keeps 70 % of its level.
_MIX = {"FC": 0.7071, "FL": 0.5, "FR": 0.5, "LFE": 0.0, "LFE2": 0.0}

_log = logging.getLogger(__name__)


def probe(path: str | Path) -> MediaInfo:
    """Say what a file is; a `SignalError` says why it is nothing this program can use."""
    path = Path(path)
    check_file(path)
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(b"LFM1"):
        return MediaInfo("motion", "liveface motion")
    if head.startswith(b"PK\x03\x04") and head[30:41] == b"avatar.json":
        return MediaInfo("avatar", "liveface avatar")
    if formats.picture_name(head):
        header = checked_header(read_bytes(path), path.name)
        width, height = header.display_size
        turn = formats.clockwise_degrees(header.orientation)
        return MediaInfo("image", header.format, width, height, frames=header.frames, rotation=turn)
    if formats.is_text(head):
        if formats.is_motion_table(head):
            return MediaInfo("motion", "ARKit motion table (CSV)")
        raise SignalError(
            f"{path.name} holds text, not pictures or sound; expected a photo, video, sound or motion file: "
            "check that it is the file you meant."
        )
    with opened(path) as container:
        return describe(container, path)


class VideoReader:
    """The frames of a video at a constant rate; see `read_video`.

    Attributes:
        info: what the file is.
        fps: frames per second of this reader.
        size: width and height of its frames.
        duration_s: length of the picture from time zero on; 0 when the file does not say.
        frames_estimate: frames to expect, for progress; 0 when the file does not say.
    """

    def __init__(self, path: Path, info: MediaInfo, rate: Fraction, max_side: int, threads: int) -> None:
        self.path, self.info, self._rate = path, info, rate
        self.fps = float(rate)
        scale = min(1.0, max_side / max(info.width, info.height))
        self.size = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
        self.duration_s = info.video_duration_s
        self.frames_estimate = round(self.duration_s * self.fps)
        self._threads = threads

    def __iter__(self) -> Iterator[Frame]:
        with opened(self.path) as container:
            stream = video_stream(container)
            if stream is None:  # the file changed since it was probed
                raise lacks(self.path, "picture", "a video")
            stream.codec_context.thread_count = self._threads
            placed = _Slots(self._rate, zero(container), stream)
            convert = _Converter(self.size)
            count, waiting = 0, None
            for frame in decoded_pictures(container, stream, self.path):
                slot = placed.slot(frame)
                if waiting is not None and slot > count:
                    yield from self._repeat(convert(waiting), count, slot)
                    count = slot
                waiting = frame
            if waiting is not None and count < placed.end:
                yield from self._repeat(convert(waiting), count, placed.end)
                count = placed.end
        if count < 0.9 * self.frames_estimate - 2:
            _log.warning(
                "the picture of %s ends after %.1f s of %.1f s.", self.path.name, count / self.fps, self.duration_s
            )

    def _repeat(self, pixels: Pixels, start: int, end: int) -> Iterator[Frame]:
        for index in range(start, end):
            yield Frame(pixels if index == start else pixels.copy(), index, self.fps)


def read_video(path: str | Path, fps: float | None = None, max_side: int = 1280, threads: int = 1) -> VideoReader:
    """The frames of a video, upright, at a constant rate.

    Args:
        path: a video file, recognised by content.
        fps: wanted frames per second; None keeps the file's own (the average when it varies).
        max_side: larger pictures are scaled down to this many pixels on their longer side.
        threads: for decoding.
    """
    path = Path(path)
    if fps is not None and not 1 <= fps <= MAX_FPS:
        raise SignalError(f"{fps} frames per second is not usable; expected 1 to {MAX_FPS}: for instance 25 or 30.")
    info = probe(path)
    if info.kind != "video" and not (info.kind == "image" and info.frames > 1):
        raise lacks(path, "moving picture", "a video")
    if info.kind == "image":
        with opened(path) as container:
            info = describe(container, path)
    rate = whole_rate(info.fps) if fps is None else Fraction(fps).limit_denominator(1001)
    return VideoReader(path, info, rate, max_side, threads)


class AudioReader:
    """The sound of a file, mono, at one rate; see `read_audio`.

    Attributes:
        info: what the file is.
        rate_hz: samples per second.
        duration_s: length of the sound from time zero on; 0 when the file does not say.
        peak: largest absolute sample of the last iteration; 0 says that all was silent.
    """

    def __init__(self, path: Path, info: MediaInfo, rate_hz: int) -> None:
        self.path, self.info, self.rate_hz, self.duration_s = path, info, rate_hz, info.audio_duration_s
        self.peak = 0.0

    @property
    def samples_estimate(self) -> int:
        """Samples to expect, for progress; 0 when the file does not say."""
        return round(self.duration_s * self.rate_hz)

    def __iter__(self) -> Iterator[AudioBlock]:
        self.peak, end = 0.0, 0
        for block in sliced(self._samples(), self.rate_hz, round(self.rate_hz * SLICE_S)):
            self.peak = max(self.peak, float(np.abs(block.samples).max(initial=0.0)))
            end = block.start + len(block.samples)
            yield block
        if end < 0.9 * self.samples_estimate - 0.1 * self.rate_hz:
            _log.warning(
                "the sound of %s ends after %.1f s of %.1f s.", self.path.name, end / self.rate_hz, self.duration_s
            )

    def _samples(self) -> Iterator[Array]:
        """Samples at the wanted rate, in pieces of any length."""
        rate, resampler = 0, None
        for samples, source_rate in self._source():
            if source_rate != rate:
                if resampler is not None:
                    yield resampler.resample_chunk(samples[:0], last=True)
                rate = source_rate
                same = rate == self.rate_hz
                resampler = None if same else soxr.ResampleStream(rate, self.rate_hz, 1, "float32", "HQ")
            yield samples if resampler is None else resampler.resample_chunk(samples, last=False)
        if resampler is not None:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def _source(self) -> Iterator[tuple[Array, int]]:
        """Mono samples at the file's own rate, silence inserted and overlaps cut where its time stamps say so."""
        with opened(self.path) as container:
            stream = audio_stream(container)
            if stream is None:  # the file changed since it was probed
                raise lacks(self.path, "sound", "a file with sound")
            origin, done, first = zero(container), Fraction(0), True
            for frame, length in decoded_sound(container, stream, self.path):
                rate = frame.sample_rate
                samples = _mono(frame)[:length]
                if frame.pts is not None and frame.time_base is not None:
                    slip = frame.pts * frame.time_base - origin - done
                    if abs(slip) > MAX_GAP_S:
                        origin += slip  # the clock jumped: carry on without a gap
                    elif first or abs(slip) > AUDIO_SLIP_S:
                        count = round(slip * rate)
                        samples, skipped = samples[max(0, -count) :], max(0, count)
                        done += Fraction(skipped, rate)
                        for start in range(0, skipped, rate):
                            yield np.zeros(min(rate, skipped - start), np.float32), rate
                first = False
                done += Fraction(len(samples), rate)
                yield samples, rate


def read_audio(path: str | Path, rate_hz: int = HOUSE_RATE_HZ) -> AudioReader:
    """The sound of a file or video as mono `AudioBlock`s of a tenth of a second, the last one shorter.

    The length is exact to the sample: what encoders add before and after the sound is dropped where the file notes it.
    For the sound track of an output video, read with `OUTPUT_RATE_HZ`.

    Args:
        path: a sound or video file, recognised by content.
        rate_hz: wanted samples per second.
    """
    path = Path(path)
    if not 4000 <= rate_hz <= 192_000:
        raise SignalError(f"a sound rate of {rate_hz} Hz is not usable; expected 4000 to 192000: for instance 24000.")
    info = probe(path)
    if not info.audio_rate_hz:
        raise lacks(path, "sound", "a file with sound")
    return AudioReader(path, info, rate_hz)


def sliced(pieces: Iterable[Array], rate_hz: int, size: int) -> Iterator[AudioBlock]:
    """Cut samples that arrive in pieces of any length into blocks of `size`; the last may be shorter."""
    held: list[Array] = []
    ready, start = 0, 0
    for piece in pieces:
        held.append(np.asarray(piece, np.float32))
        ready += len(piece)
        if ready < size:
            continue
        whole = np.clip(np.concatenate(held), -1.0, 1.0)
        cut = ready - ready % size
        for at in range(0, cut, size):
            yield AudioBlock(whole[at : at + size], start + at, rate_hz)
        start += cut
        held, ready = [whole[cut:].copy()], ready - cut
    if ready:
        yield AudioBlock(np.clip(np.concatenate(held), -1.0, 1.0), start, rate_hz)


def frame_blocks(blocks: Iterable[AudioBlock], fps: float, frames: int | None = None) -> Iterator[AudioBlock]:
    """Cut sound into blocks of exactly one frame; block k starts at the sample nearest to k / fps.

    Args:
        blocks: sound in order and without gaps, as a reader yields it.
        fps: frames per second.
        frames: number of blocks to yield, with silence where the sound is over; None yields what there is, the last
            block filled up with silence.
    """
    rate = Fraction(fps).limit_denominator(1001)
    held = np.zeros(0, np.float32)
    start, count, source, hertz = 0, 0, iter(blocks), 0
    while frames is None or count < frames:
        over = False
        while not hertz or start + len(held) < round((count + 1) * hertz / rate):
            block = next(source, None)
            if block is None:
                over = True
                break
            hertz = block.rate_hz
            held = np.concatenate([held, block.samples])
        if over and (not hertz or (frames is None and not len(held))):
            return
        end = round((count + 1) * hertz / rate)
        samples = held[: end - start]
        missing = end - start - len(samples)
        yield AudioBlock(np.concatenate([samples, np.zeros(missing, np.float32)]) if missing else samples, start, hertz)
        held, start, count = held[end - start :], end, count + 1


@contextmanager
def local_copy(source: str | Path) -> Iterator[Path]:
    """A path that can be opened twice: `source` itself, or a temporary copy of standard input ("-") or of a pipe."""
    path = Path(source)
    piped = str(source) == "-"
    if not piped and not (path.exists() and stat.S_ISFIFO(path.stat().st_mode)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="liveface-") as folder:
        copy = Path(folder) / ("stdin" if piped else path.name)
        try:
            with copy.open("wb") as target:
                if piped:
                    shutil.copyfileobj(sys.stdin.buffer, target)
                else:
                    with path.open("rb") as pipe:
                        shutil.copyfileobj(pipe, target)
        except OSError as error:
            raise SignalError(
                f"the pipe could not be read ({error.strerror}); expected a whole file in {tempfile.gettempdir()}: "
                "free some space, or name a file."
            ) from error
        yield copy


class _Slots:
    """Which slots of a constant rate a frame fills, by its time stamp."""

    def __init__(self, rate: Fraction, zero: Fraction, stream: VideoStream) -> None:
        self.rate, self.zero = rate, zero
        own = whole_rate(float(stream.average_rate or 0) or 25.0)
        self.step = 1 / own  # seconds a frame lasts when the file does not say
        self.time: Fraction | None = None
        self.end = 0

    def slot(self, frame: av.VideoFrame) -> int:
        """The first slot of `frame`; the very first frame always fills slot 0."""
        if frame.pts is None or frame.time_base is None:
            time = self.time + self.step if self.time is not None else Fraction(0)
        else:
            time = frame.pts * frame.time_base - self.zero
            if self.time is not None and not -1 < time - self.time < MAX_GAP_S:
                self.zero += time - self.time - self.step  # the clock jumped: carry on with the next frame
                time = self.time + self.step
        first = self.time is None
        self.time = time
        # A frame's noted duration is in decoding order where frames are reordered: believe it near the usual one only.
        noted = frame.duration * frame.time_base if frame.duration and frame.time_base else self.step
        self.end = max(1, self._round(time + (noted if noted < 2 * self.step else self.step)))
        return 0 if first else self._round(time)

    def _round(self, time: Fraction) -> int:
        return int(time * self.rate + Fraction(1, 2))


class _Converter:
    """Decoded frames to upright RGB of one size; keeps the scaler from frame to frame."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.scaler = VideoReformatter()
        self.orientation = 0  # not known yet

    def __call__(self, frame: av.VideoFrame) -> Pixels:
        # Asked once: PyAV ties a frame to its side data in a cycle, and frames would wait for the garbage collector.
        orientation = self.orientation = self.orientation or orientation_of(frame)
        width, height = self.size[::-1] if orientation >= 5 else self.size
        # Without scaling, plain bilinear takes the fast path: 0.1 ms at 360x640 instead of 1.9 ms, within 3 of 255.
        quality = Interpolation.AREA if width < frame.width else Interpolation.BILINEAR
        untagged = frame.colorspace == 2  # AVCOL_SPC_UNSPECIFIED: broadcast's habit is BT.601 up to 576 rows
        source = Colorspace.ITU709 if untagged and min(frame.width, frame.height) > 576 else None
        scaled = self.scaler.reformat(
            frame, width, height, "rgb24", src_colorspace=source,
            interpolation=quality, threads=1,
        )  # fmt: skip
        return orient(np.asarray(scaled.to_ndarray(), np.uint8), orientation)


def _mono(frame: av.AudioFrame) -> Array:
    """Mix a decoded frame of any sample format and layout to mono float32 `[S]`, full scale 1."""
    samples = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    kind = frame.format.name.removesuffix("p")
    scale = _FULL_SCALE.get(kind)
    if scale is None:
        raise SignalError(f"sound samples of type {kind!r} cannot be read; expected PCM or float: convert to WAV.")
    values = samples.astype(np.float32)
    if kind == "u8":
        values -= 128
    if channels > 2:
        weights = np.array([_MIX.get(channel.name, 0.25) for channel in frame.layout.channels], np.float32)
        values = weights @ values
    else:
        values = values.mean(0)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) / np.float32(scale)
