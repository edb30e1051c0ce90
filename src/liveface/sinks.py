"""Where frames go: an MP4 file, a pipe, or nowhere.

Notable choices (reasons in docs/decisions/media.md):
- H.264 High 4:2:0 with AAC, faststart: plays in every browser. The colour matrix is BT.709 and says so.
- A file is written under a temporary name in its own folder and renamed when it is whole, so that neither an error
  nor Ctrl-C leaves half of one behind, and an older file of that name survives until then.
- Sound is held back until its picture is written and ends exactly with it: both tracks are of one length.
- Every file says that it is synthetic: a remark in its metadata, and IPTC's digital source type in XMP.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import av
import av.error
import cv2
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer

from liveface.errors import SinkError
from liveface.types import Array, AudioBlock, Frame, Pixels

PRESET, CRF = "superfast", "20"  # measured: 2.0 ms a frame on one core at 360x640, 41 dB, 0.7 Mbit/s
KEYFRAME_S = 2.0  # browsers seek to keyframes
AUDIO_BIT_RATE = 96_000  # mono speech in AAC-LC is transparent here (chosen)
AUDIO_FRAME = 1024  # samples of an AAC frame
MAX_SIDE = 4096  # pixels; what level 5.2 of H.264 plays
SUFFIXES = (".mp4", ".m4v")
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # source: Adobe XMP specification, part 3, MPEG-4

_KR, _KB = 0.2126, 0.0722  # source: ITU-R BT.709
_KG = 1 - _KR - _KB
_TO_YUV = np.array(
    [
        [_KR * 219 / 255, _KG * 219 / 255, _KB * 219 / 255, 16],
        [-_KR / (1 - _KB) * 112 / 255, -_KG / (1 - _KB) * 112 / 255, 112 / 255, 128],
        [112 / 255, -_KG / (1 - _KR) * 112 / 255, -_KB / (1 - _KR) * 112 / 255, 128],
    ],
    np.float32,
)


class NullSink:
    """Swallows everything and counts it.

    Attributes:
        frames: frames swallowed.
        samples: samples of sound swallowed.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.samples = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, frame: Frame, audio: AudioBlock | None) -> None:
        self.frames += 1
        self.samples += 0 if audio is None else len(audio.samples)


class VideoSink:
    """Writes frames and sound as an MP4; a context manager.

    Args:
        path: file to write, ending in .mp4; "-" is standard output. What goes to standard output, a named pipe or a
            device is a fragmented MP4, which needs no seeking.
        size: width and height of the frames, even numbers.
        fps: frames per second.
        audio_rate_hz: samples per second of the sound, or None for a video without sound.
        threads: for the video encoder.

    Attributes:
        frames: frames written so far.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] = (360, 640),
        fps: float = 30,
        audio_rate_hz: int | None = 48_000,
        threads: int = 1,
    ) -> None:
        self.path, self.size, self.audio_rate_hz = Path(path), size, audio_rate_hz
        self.frames = 0
        self._rate = Fraction(fps).limit_denominator(1001)
        self._threads = threads
        self._target = Target(str(path))
        self._sound = _Sound(audio_rate_hz or 0)
        self._container: OutputContainer | None = None
        if not all(16 <= side <= MAX_SIDE and side % 2 == 0 for side in size):
            raise SinkError(
                f"a video of {size[0]} x {size[1]} pixels cannot be written; expected even numbers from 16 to "
                f"{MAX_SIDE}: for instance 360 x 640."
            )
        if not 1 <= self._rate <= 240:
            raise SinkError(f"{fps} frames per second cannot be written; expected 1 to 240: for instance 25 or 30.")

    def __enter__(self) -> Self:
        place = self._target.open()
        try:
            self._container = self._start(place)
        except (av.error.FFmpegError, OSError) as error:
            self._target.discard()
            raise self._failed(error) from error
        except BaseException:
            self._target.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = False
        try:
            if kind is None:
                self._finish()
                whole = True
        finally:
            if not whole:
                self._abandon()

    def write(self, frame: Frame, audio: AudioBlock | None) -> None:
        """Append one frame and the sound that comes with it.

        Args:
            frame: of this sink's size.
            audio: sound at this sink's rate; its `start` places it, gaps become silence. None adds none.
        """
        container = self._container
        if container is None:
            raise SinkError(
                f"{self.path} is not open; expected a `with` block around the writing: open the sink first."
            )
        height, width = frame.pixels.shape[:2]
        if (width, height) != self.size:
            raise SinkError(
                f"a frame has {width} x {height} pixels; expected {self.size[0]} x {self.size[1]}: "
                "give the sink and the renderer one size."
            )
        picture = av.VideoFrame.from_numpy_buffer(to_yuv420(frame.pixels), "yuv420p")
        picture.pts, picture.time_base = self.frames, 1 / self._rate
        try:
            container.mux(self._video.encode(picture))
            self.frames += 1
            if audio is not None:
                self._sound.add(audio)
            if self.audio_rate_hz:
                self._encode_sound(last=False)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _start(self, place: str | IO[bytes]) -> OutputContainer:
        """Open the container and its streams."""
        seekable = isinstance(place, str)
        flags = "faststart" if seekable else "frag_keyframe+delay_moov+default_base_moof+skip_trailer"
        scale = str(self.audio_rate_hz or self._rate.numerator)  # of edit lists: exact to the sample
        container = av.open(place, "w", "mp4", options={"movflags": flags, "movie_timescale": scale})
        container.metadata.update(synthetic_metadata())
        self._video = container.add_stream("libx264", rate=self._rate)
        self._video.width, self._video.height = self.size
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.thread_count = self._threads
        context.gop_size = round(KEYFRAME_S * self._rate)
        context.time_base = 1 / self._rate
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709
        self._video.options = {"preset": PRESET, "crf": CRF, "profile": "high"}
        if self.audio_rate_hz:
            self._audio = container.add_stream("aac", rate=self.audio_rate_hz)
            self._audio.layout = "mono"
            self._audio.codec_context.bit_rate = AUDIO_BIT_RATE
            self._audio.options = {"aac_coder": "fast"}  # measured: half the time of "twoloop" and nearer to the input
        return container

    def _encode_sound(self, *, last: bool) -> None:
        """Encode the sound whose pictures are written; at the end, fill up with silence to the last picture's end."""
        assert self._container is not None
        assert self.audio_rate_hz is not None
        end = round(self.frames * self.audio_rate_hz / self._rate)
        if last:
            self._sound.pad(end)
        for start, samples in self._sound.take(end, whole=not last):
            block = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = self.audio_rate_hz, start, Fraction(1, self.audio_rate_hz)
            self._container.mux(self._audio.encode(block))

    def _finish(self) -> None:
        """Flush the encoders, complete the file and give it its name."""
        container = self._container
        if container is None or not self.frames:
            raise SinkError(f"no frame was written to {self.path}; expected at least one: check the input's length.")
        try:
            if self.audio_rate_hz:
                self._encode_sound(last=True)
                container.mux(self._audio.encode(None))
            container.mux(self._video.encode(None))
            container.close()
            self._container = None
            self._target.keep(_xmp_box())
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _abandon(self) -> None:
        """Close what is open and remove what was written."""
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        except (av.error.FFmpegError, OSError):
            pass  # the reason of the abandonment is already on its way
        finally:
            self._target.discard()

    def _failed(self, error: Exception) -> SinkError:
        """What a failed write means for the user."""
        return self._target.error(error)


class Target:
    """The file behind a sink: a temporary one that takes its name at the end, or a stream that cannot be taken back.

    Args:
        name: as given; "-" is standard output.
        suffixes: one of which the name of a file ends in; None allows any.
    """

    def __init__(self, name: str, suffixes: tuple[str, ...] | None = SUFFIXES) -> None:
        self.name = name
        self._suffixes = suffixes
        self.temporary: Path | None = None
        self.stream: IO[bytes] | None = None
        self.final = Path(name)

    def open(self) -> str | IO[bytes]:
        """Create the temporary file, or open the stream; `SinkError` when neither can be."""
        if self.name == "-":
            if sys.stdout.isatty():
                raise SinkError("a video cannot be written to a terminal; expected a pipe or a file: use -o NAME.mp4.")
            self.stream = cast(IO[bytes], _WriteOnly(sys.stdout.buffer))
            return self.stream
        try:
            self.final = self.final.resolve()
            if self.final.is_dir():
                raise SinkError(f"{self.name} is a folder; expected a file name: add one that ends in .mp4.")
            if self.final.exists() and not self.final.is_file():  # a device or a named pipe
                self.stream = cast(IO[bytes], _WriteOnly(self.final.open("wb", buffering=0)))
                return self.stream
            if self._suffixes is not None and self.final.suffix.lower() not in self._suffixes:
                raise SinkError(f"{self.name} does not end in .mp4; expected an MP4, all that is written: rename it.")
            if not self.final.parent.is_dir():
                raise SinkError(f"there is no folder {self.final.parent}; expected an existing one: create it first.")
            if self.final.exists() and not os.access(self.final, os.W_OK):
                raise PermissionError(errno.EACCES, "Permission denied")
            temporary = self.final.with_name(f".{self.final.name[:200]}.{secrets.token_hex(4)}.part")
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            self.temporary = temporary
        except SinkError:
            raise
        except OSError as error:
            raise self.error(error) from error
        return str(self.temporary)

    def keep(self, tail: bytes) -> None:
        """Add `tail`, a box players pass over, and give the file its name."""
        if self.temporary is None:
            assert self.stream is not None
            self.stream.write(tail)
            self.stream.close()
            return
        with self.temporary.open("ab") as file:
            file.write(tail)
        self.temporary.replace(self.final)
        self.temporary = None

    def discard(self) -> None:
        """Remove the temporary file, if there is one."""
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)
            self.temporary = None

    def error(self, error: Exception) -> SinkError:
        """A failed write in one sentence."""
        number: int = getattr(error, "errno", None) or 0
        name = "standard output" if self.name == "-" else self.name
        reason = getattr(error, "strerror", None) or str(error)
        told = {
            errno.EPIPE: "was closed by its reader; expected it to read to the end: write to a file instead",
            errno.ENOSPC: "cannot be written: the disk is full; expected more room: free some, or write elsewhere",
            errno.EACCES: "may not be written by this user; expected write permission: choose another folder",
        }
        same = {
            errno.EDQUOT: errno.ENOSPC,
            errno.EFBIG: errno.ENOSPC,
            errno.EPERM: errno.EACCES,
            errno.EROFS: errno.EACCES,
        }
        default = f"cannot be written ({reason}); expected a writable place: choose another folder"
        return SinkError(f"{name} {told.get(same.get(number, number), default)}.")


class _WriteOnly:
    """A stream that PyAV can only write to, so that it never seeks."""

    def __init__(self, stream: Any) -> None:  # anything with write and flush
        self._stream = stream

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        written = 0
        while written < len(view):
            written += self._stream.write(view[written:]) or 0
        return written

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class _Sound:
    """Samples waiting for their picture."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.pieces: list[Array] = []
        self.taken = 0  # samples handed out so far
        self.end = 0  # samples received so far

    def add(self, block: AudioBlock) -> None:
        """Append a block where its `start` says; gaps become silence, overlaps are dropped."""
        if block.rate_hz != self.rate_hz:
            expected = f"{self.rate_hz} Hz" if self.rate_hz else "none"
            raise SinkError(
                f"sound at {block.rate_hz} Hz was given; expected {expected}: resample it, or change the sink."
            )
        self.pad(block.start)
        samples = block.samples[self.end - block.start :]
        self.pieces.append(samples)
        self.end += len(samples)

    def pad(self, end: int) -> None:
        """Fill with silence up to sample `end`."""
        if end > self.end:
            self.pieces.append(np.zeros(end - self.end, np.float32))
            self.end = end

    def take(self, end: int, *, whole: bool) -> list[tuple[int, Array]]:
        """Start and samples of the AAC frames up to sample `end`; `whole` leaves the last incomplete one waiting."""
        count = min(end, self.end) - self.taken
        if whole:
            count -= count % AUDIO_FRAME
        if count <= 0:
            return []
        held = np.clip(np.concatenate(self.pieces), -1.0, 1.0).astype(np.float32)
        blocks = [(self.taken + i, held[i : min(i + AUDIO_FRAME, count)]) for i in range(0, count, AUDIO_FRAME)]
        self.pieces = [held[count:]]
        self.taken += count
        return blocks


def to_yuv420(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """RGB `[H, W, 3]` to planar 4:2:0, BT.709, limited range, `[H * 3 / 2, W]` uint8; even sizes only.

    A fifth of the time of the general scaler, which has no fast path from RGB.
    """
    height, width = pixels.shape[:2]
    luma, blue, red = cv2.split(cv2.transform(pixels, _TO_YUV))
    planes = np.empty((height * 3 // 2, width), np.uint8)
    planes[:height] = luma
    half = (width // 2, height // 2)
    chroma = planes[height:].reshape(2, half[1], half[0])
    chroma[0] = cv2.resize(blue, half, interpolation=cv2.INTER_AREA)
    chroma[1] = cv2.resize(red, half, interpolation=cv2.INTER_AREA)
    return planes


def synthetic_metadata() -> dict[str, str]:
    """The remarks every output carries."""
    maker = program()
    return {
        "comment": f"Synthetic media made by {maker}",
        "description": f"Synthetic talking portrait. Digital source type: {SOURCE_TYPE}",
        "encoder": maker,
    }


def program() -> str:
    """Name and version of what made an output."""
    try:
        return f"liveface {version('liveface')}"
    except PackageNotFoundError:
        return "liveface"


def _xmp_box() -> bytes:
    """A top-level MP4 box with XMP that names IPTC's digital source type; players pass over it."""
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmp:CreatorTool="{program()}" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="r"?>'
    ).encode()
    return (24 + len(packet)).to_bytes(4, "big") + b"uuid" + XMP_BOX + packet
