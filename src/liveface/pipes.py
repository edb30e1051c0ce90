"""Pictures for other programs, at once: raw frames into a pipe or a file, and a virtual camera.

Notable choices:
- Raw frames hold no sound and, but for Y4M's header, no remark that they are synthetic; whoever passes them on says so.
- Y4M is planar 4:2:0, BT.709, limited range, as in our MP4: what ffmpeg, OBS and mpv read from a pipe without options.
- A reader that goes away ends the writing with `BrokenPipeError`, as in any pipe.
"""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import cv2
import numpy as np

from liveface.errors import DeviceError, SinkError
from liveface.sinks import Target, program, to_yuv420
from liveface.types import AudioBlock, Frame

FORMATS = ("rgb24", "bgr24", "rgba", "y4m")
SUFFIXES = {".y4m": "y4m", ".rgb": "rgb24", ".bgr": "bgr24", ".rgba": "rgba"}
CAMERA = "camera"  # the name of an output; `camera:DEVICE` names the device too


def raw_format(path: str | Path, wanted: str | None) -> str | None:
    """The format of raw frames for an output: as asked for, or as the file's name says; None is an MP4."""
    return wanted or SUFFIXES.get(Path(path).suffix.lower())


class RawSink:
    """Writes frames one after another, without a container or as Y4M; a context manager.

    Args:
        path: a file, a named pipe, or "-" for standard output.
        size: width and height of the frames.
        fps: frames per second, which Y4M says in its header.
        kind: one of `FORMATS`; only rgba keeps a frame's alpha.

    Attributes:
        frames: frames written so far.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float, kind: str) -> None:
        if kind not in FORMATS:
            raise SinkError(f"frames cannot be written as {kind!r}; expected one of {', '.join(FORMATS)}.")
        self.path, self.size, self.kind = Path(path), size, kind
        self.frames = 0
        self._rate = Fraction(fps).limit_denominator(1001)
        self._target = Target(str(path), suffixes=None)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        place = self._target.open()
        try:
            self._file = Path(place).open("wb") if isinstance(place, str) else place
            if self.kind == "y4m":
                rate = f"{self._rate.numerator}:{self._rate.denominator}"
                remark = f"XSYNTHETIC={program().replace(' ', '_')} XCOLORRANGE=LIMITED"
                self._put(f"YUV4MPEG2 W{self.size[0]} H{self.size[1]} F{rate} Ip A1:1 C420jpeg {remark}\n".encode())
        except OSError:
            self._target.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        kept = kind is None and self.frames > 0
        try:
            if file is not None and self._target.temporary is not None:
                file.close()
            if kept:
                self._target.keep(b"")
        except OSError as failed:
            raise self._target.error(failed) from failed
        finally:
            self._target.discard()
        if kind is None and not kept:
            raise SinkError(f"no frame was written to {self.path}; expected at least one: check the input's length.")

    def write(self, frame: Frame, audio: AudioBlock | None) -> None:
        """Append one frame of this sink's size; sound is left out."""
        del audio
        _check(frame, self.size)
        data = self._packed(frame)
        self._put(b"FRAME\n" + data.tobytes() if self.kind == "y4m" else data.tobytes())
        self.frames += 1

    def _packed(self, frame: Frame) -> np.ndarray:
        if self.kind == "y4m":
            return to_yuv420(frame.pixels)
        if self.kind == "bgr24":
            return frame.pixels[..., ::-1]
        if self.kind == "rgb24":
            return frame.pixels
        alpha = np.full(frame.pixels.shape[:2], 255, np.uint8) if frame.alpha is None else frame.alpha
        return np.asarray(cv2.merge([*cv2.split(frame.pixels), alpha]))

    def _put(self, data: bytes) -> None:
        if self._file is None:
            raise SinkError(f"{self.path} is not open; expected a `with` block around the writing: open it first.")
        try:
            self._file.write(data)
            if self._target.stream is not None:
                self._target.stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._target.error(error) from error


class CameraSink:
    """Shows frames in a virtual camera that other programs see; a context manager. Needs the `camera` extra.

    Args:
        device: name of the camera, such as "/dev/video10"; "" takes the first there is.
        size: width and height of the frames.
        fps: frames per second.
        paced: wait until each frame's time; for drivers that are faster than that.

    Attributes:
        frames: frames shown so far.
    """

    def __init__(self, device: str, size: tuple[int, int], fps: float, *, paced: bool) -> None:
        self.path = Path(device or CAMERA)
        self.frames = 0
        self._size, self._fps, self._paced = size, fps, paced
        self._camera: Any = None

    def __enter__(self) -> Self:
        try:
            package: Any = import_module("pyvirtualcam")
        except ModuleNotFoundError as error:
            raise DeviceError(
                "pyvirtualcam is not installed; expected the camera extra: pip install 'liveface[camera]'."
            ) from error
        device = None if str(self.path) == CAMERA else str(self.path)
        try:
            self._camera = package.Camera(*self._size, self._fps, device=device, fmt=package.PixelFormat.RGB)
        except (RuntimeError, ValueError, OSError) as error:
            named = f"virtual camera {device}" if device else "virtual camera"
            reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
            raise DeviceError(
                f"there is no {named} that can be written ({reason}); expected one: on Linux `sudo modprobe "
                "v4l2loopback` makes it, elsewhere OBS does; or pipe frames with -o - --format y4m."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def write(self, frame: Frame, audio: AudioBlock | None) -> None:
        """Show one frame; sound is left out."""
        del audio
        _check(frame, self._size)
        self._camera.send(np.ascontiguousarray(frame.pixels))
        self.frames += 1
        if self._paced:
            self._camera.sleep_until_next_frame()


def _check(frame: Frame, size: tuple[int, int]) -> None:
    height, width = frame.pixels.shape[:2]
    if (width, height) != size:
        raise SinkError(f"a frame has {width} x {height} pixels; expected {size[0]} x {size[1]}: give one size to all.")
