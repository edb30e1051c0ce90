"""Sound and video containers: opened safely, described, decoded one stream at a time.

Only local files are opened, and only by content. Damaged places are passed over; a file in which nothing can be
decoded is refused with the reason. `media` builds the readers on this.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from liveface.errors import SignalError
from liveface.signals import formats
from liveface.signals.image import check_file

Kind = Literal["image", "video", "audio", "motion", "avatar"]

MAX_VIDEO_PIXELS = 8192 * 4608  # a little above 8K; larger pictures are refused before they are decoded
MAX_FPS = 240  # faster "rates" are time bases, not rates (chosen)
HEAD_BYTES = 65_536
COMMON_RATES = tuple(Fraction(n) for n in (24, 25, 30, 48, 50, 60, 90, 100, 120)) + tuple(
    Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file is, read from its content.

    Attributes:
        kind: "image", "video" (with or without sound), "audio", "motion" or "avatar".
        format: container or picture format, for people.
        width: pixels of a row as seen, after rotation; 0 without a picture.
        height: rows as seen.
        fps: frames per second; for a variable rate, the average. 0 for pictures.
        video_duration_s: from time zero to the end of the picture; 0 when the file does not say.
        audio_duration_s: from time zero to the end of the sound; 0 when the file does not say.
        frames: frames the file announces or its duration makes; an animation's frames for "image".
        rotation: degrees clockwise by which stored pictures are turned to be seen upright (mirrors aside).
        video_codec: name, or "".
        audio_codec: name, or "" without sound.
        audio_rate_hz: 0 without sound.
        audio_channels: 0 without sound.
        video_start_s: first frame on the file's clock.
        audio_start_s: first sample on the file's clock.
        comment: the file's own remark; ours says that a video is synthetic.
    """

    kind: Kind
    format: str
    width: int = 0
    height: int = 0
    fps: float = 0.0
    video_duration_s: float = 0.0
    audio_duration_s: float = 0.0
    frames: int = 0
    rotation: int = 0
    video_codec: str = ""
    audio_codec: str = ""
    audio_rate_hz: int = 0
    audio_channels: int = 0
    video_start_s: float = 0.0
    audio_start_s: float = 0.0
    comment: str = ""

    @property
    def duration_s(self) -> float:
        """Length of the longer of picture and sound in seconds; 0 when the file does not say."""
        return max(self.video_duration_s, self.audio_duration_s)


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A sound or video file opened by PyAV, local files only; `SignalError` in one sentence when it cannot be."""
    check_file(path)
    try:
        container = av.open(str(path.resolve()), metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(path) from error
    with container:
        yield container


def _unreadable(path: Path) -> SignalError:
    """Why PyAV could not open a file."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        with path.open("rb") as stream:
            names, whole = formats.mp4_parts(stream, size)
        if "moov" not in names or not whole:
            return SignalError(
                f"{path.name} is cut off: its {size:,} bytes end before the index ('moov') an MP4 needs, so nothing in "
                "it can be read; expected a whole file: copy, download or record it again."
            )
    return SignalError(
        f"{path.name} ({size:,} bytes) is neither a photo, a video nor a sound this program can read; expected for "
        "instance JPEG, MP4 or WAV: convert it, or copy it again if it should be one."
    )


def lacks(path: Path, what: str, wanted: str) -> SignalError:
    """The error for a file without what was asked of it."""
    return SignalError(f"{path.name} has no {what}; expected {wanted}: choose another file.")


def video_stream(container: InputContainer) -> VideoStream | None:
    """The stream with the moving picture; cover art does not count."""
    best = container.streams.best("video")
    real = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return best if best in real else next(iter(real), None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The main sound of a file."""
    return cast(AudioStream | None, container.streams.best("audio"))


def start_s(stream: Stream | None) -> Fraction:
    """The first time stamp of a stream in seconds."""
    if stream is None or stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * stream.time_base


def zero(container: InputContainer) -> Fraction:
    """Time zero of a file: where the earlier of its picture and its sound begins."""
    streams = (video_stream(container), audio_stream(container))
    return min(start_s(stream) for stream in streams if stream is not None)


def _length_s(container: InputContainer, stream: Stream | None) -> float:
    """Seconds from time zero to the end of a stream; 0 when the file does not say."""
    if stream is None:
        return 0.0
    if stream.duration and stream.time_base is not None:
        end = start_s(stream) + stream.duration * stream.time_base
    elif container.duration:
        end = Fraction(container.start_time or 0, 10**6) + Fraction(container.duration, 10**6)
    else:
        return 0.0
    return max(0.0, float(end - zero(container)))


def whole_rate(fps: float) -> Fraction:
    """A measured rate as an exact one: the nearest common rate within 0.05 %, else a fraction."""
    near = min(COMMON_RATES, key=lambda rate: abs(float(rate) - fps))
    if abs(float(near) - fps) < 0.0005 * fps:
        return near
    return Fraction(min(max(fps, 1.0), float(MAX_FPS))).limit_denominator(1001)


def describe(container: InputContainer, path: Path) -> MediaInfo:
    """Describe an open file; its first frame is decoded, so that what is described can also be read."""
    video, audio = video_stream(container), audio_stream(container)
    if video is None and audio is None:
        raise lacks(path, "picture and no sound", "a video or a sound")
    info = MediaInfo(
        "audio",
        container.format.long_name or container.format.name,
        video_duration_s=_length_s(container, video),
        audio_duration_s=_length_s(container, audio),
        audio_codec=audio.codec_context.name if audio is not None else "",
        audio_rate_hz=audio.codec_context.sample_rate if audio is not None else 0,
        audio_channels=audio.codec_context.channels if audio is not None else 0,
        video_start_s=float(start_s(video)),
        audio_start_s=float(start_s(audio)),
        comment=str(container.metadata.get("comment", "")),
    )
    if video is not None:
        return _with_picture(info, container, video, path)
    if audio is not None:
        next(decoded_sound(container, audio, path))
    return info


def _with_picture(info: MediaInfo, container: InputContainer, video: VideoStream, path: Path) -> MediaInfo:
    """Add what the picture of an open video is; refuses absurd sizes before decoding."""
    width, height = video.codec_context.width, video.codec_context.height
    if width * height > MAX_VIDEO_PIXELS:
        raise SignalError(
            f"{path.name} has frames of {width} x {height} pixels; expected at most 8192 x 4608: scale it down first."
        )
    frame = next(decoded_pictures(container, video, path))
    width, height = frame.width, frame.height
    aspect = video.sample_aspect_ratio or Fraction(1)
    if Fraction(1, 4) <= aspect <= 4:
        width = round(width * aspect)
    orientation = orientation_of(frame)
    if orientation >= 5:
        width, height = height, width
    fps = float(video.average_rate or video.guessed_rate or 25)
    fps = float(whole_rate(fps)) if fps <= MAX_FPS else 25.0
    return replace(
        info,
        kind="video",
        width=width,
        height=height,
        fps=fps,
        frames=round(info.video_duration_s * fps) or video.frames,
        rotation=formats.clockwise_degrees(orientation),
        video_codec=video.codec_context.name,
    )


def decoded_pictures(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a stream, in order."""
    for _, frames in _decoded(container, stream, path):
        yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))


def decoded_sound(container: InputContainer, stream: AudioStream, path: Path) -> Iterator[tuple[av.AudioFrame, int]]:
    """The frames of a stream and how many of their samples are sound.

    Encoders fill up the last frame; files with exact time stamps note its true length as the packet's duration.
    """
    limit = 0
    for packet, frames in _decoded(container, stream, path):
        exact = packet.time_base == Fraction(1, stream.codec_context.sample_rate)
        if exact and packet.pts is not None and packet.duration:
            limit = max(limit, packet.pts + packet.duration)
        for frame in frames:
            if isinstance(frame, av.AudioFrame):
                length = frame.samples
                if exact and limit and frame.pts is not None and frame.time_base == packet.time_base:
                    length = min(length, max(0, limit - frame.pts))
                yield frame, length


def _decoded(container: InputContainer, stream: Stream, path: Path) -> Iterator[tuple[Packet[Any], list[Any]]]:
    """Decode one stream, passing over damaged places; `SignalError` when nothing in it can be decoded."""
    found, damaged = 0, 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet is not None else []
        except av.error.EOFError:
            break
        except av.error.FFmpegError:  # of the packet; one from the file itself ends `packets`
            damaged += 1
            continue
        if packet is None:
            break
        found += len(frames)
        yield packet, frames
    if not found:
        raise SignalError(
            f"nothing in {path.name} can be decoded ({damaged} damaged packets of {stream.codec_context.name}); "
            "expected a playable file: copy it again, or convert it to MP4 or WAV."
        )
    if damaged:
        _log.warning("%s is damaged in %d places; the rest is used.", path.name, damaged)


def orientation_of(frame: av.VideoFrame) -> int:
    """The display matrix of a frame as an EXIF orientation; turns that are not quarter turns count as none."""
    try:
        side_data = cast(Any, frame.side_data)
        matrix = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), np.int32)
    except KeyError:
        return 1
    a, b, c, d = (int(np.sign(v)) if abs(int(v)) > 1 << 15 else 0 for v in matrix[[0, 1, 3, 4]])
    return {
        (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4,
        (0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8,
    }.get((a, b, c, d), 1)  # fmt: skip
