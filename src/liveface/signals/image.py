"""Photos become sRGB pixels: upright, opaque, 8 bits, one frame, not larger than needed.

OpenCV decodes JPEG (CMYK too), PNG, WebP, TIFF, BMP, PNM and JPEG 2000; PyAV decodes GIF, AVIF and HEIC, whose tiles
are put together here. The turn a camera notes is always applied by this module, from its own reading of the header.
Embedded colour profiles of cameras and phones are applied (`colour`).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import av
import av.error
import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import SignalError
from liveface.signals.colour import to_srgb
from liveface.signals.formats import Picture, picture
from liveface.types import Pixels

MAX_PIXELS = 120_000_000  # refused above, from the header: 120 Mpx decode into 0.36 GB (chosen)
MAX_BYTES = 1 << 30  # 120 Mpx of uncompressed 16-bit RGB are 0.72 GB
MAX_SIDE = 2048  # larger photos are scaled down to this; the face of a 640-row portrait needs no more (chosen)
BACKGROUND = 128  # what shows through transparent places: mid-grey
READABLE = "JPEG, PNG, WebP, TIFF, GIF, AVIF, HEIC, BMP or JPEG 2000"

_log = logging.getLogger(__name__)


def read_image(path: str | Path, max_side: int = MAX_SIDE) -> Pixels:
    """Read a photo.

    Args:
        path: a picture in one of the formats of `READABLE`, recognised by content.
        max_side: longer pictures are scaled down to this many pixels on their longer side.

    Returns: `[H, W, 3]` uint8 sRGB, upright as the camera meant it. Transparent places show mid-grey, 16-bit and float
        pictures are reduced to 8 bits, of an animation the first frame is taken (noted in the log).
    """
    path = Path(path)
    data = read_bytes(path)
    header = checked_header(data, path.name)
    pixels = _decode_frame(data, header, max_side, path.name)
    if header.frames > 1:
        _log.warning("%s is an animation; its first frame is used.", path.name)
    return to_srgb(_fit(pixels, max_side), header.profile)


def checked_header(data: bytes, name: str) -> Picture:
    """The header of a picture that is safe to decode; a `SignalError` says why it is not."""
    header = picture(data)
    if header is None:
        raise SignalError(f"{name} is not a picture this program reads; expected {READABLE}: save it as one of them.")
    if not header.width or not header.height or not header.complete:
        raise SignalError(
            f"{name} is cut off or damaged ({len(data):,} bytes of a {header.format} picture are there); expected a "
            "whole file: copy or download it again."
        )
    if header.width * header.height > MAX_PIXELS:
        megapixels = header.width * header.height / 1e6
        raise SignalError(
            f"{name} has {header.width} x {header.height} pixels ({megapixels:,.0f} million); expected at most "
            f"{MAX_PIXELS // 10**6} million: scale it down, a side of {MAX_SIDE} pixels is plenty."
        )
    return header


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture file; a `SignalError` when it is missing, empty, unreadable or absurdly large."""
    check_file(path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SignalError(
            f"{path.name} has {size / 1e9:.1f} GB; expected a picture of at most {MAX_BYTES / 1e9:.1f} GB: "
            "save it smaller, for instance as JPEG."
        )
    return path.read_bytes()


def check_file(path: Path) -> None:
    """Raise a `SignalError` when `path` is missing, a folder, not permitted or empty."""
    wanted = "expected a photo, video, sound or motion file"
    try:
        if path.is_dir():
            raise SignalError(f"{path} is a folder; {wanted}: name one file in it.")
        with path.open("rb") as stream:
            head = stream.read(1)
    except FileNotFoundError as error:
        raise SignalError(f"there is no file {path}; {wanted}: check the name.") from error
    except PermissionError as error:
        raise SignalError(f"this user may not read {path}; expected read permission: give it with chmod.") from error
    except OSError as error:
        raise SignalError(f"{path} cannot be read ({error.strerror}); {wanted}: copy it elsewhere.") from error
    if not head:
        raise SignalError(f"{path.name} is empty (0 bytes); {wanted}: copy or download it again.")


def orient(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Turn stored pixels `[H, W, C]` upright.

    Args:
        orientation: 1 to 8 as in EXIF: 1 nothing, 2 mirrored, 3 half a turn, 4 upside down, 5 transposed, 6 a quarter
            turn clockwise, 7 transposed along the other diagonal, 8 a quarter turn anticlockwise.
    """
    turns: dict[int, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.generic]]] = {
        2: lambda p: cv2.flip(p, 1),
        3: lambda p: cv2.rotate(p, cv2.ROTATE_180),
        4: lambda p: cv2.flip(p, 0),
        5: cv2.transpose,
        6: lambda p: cv2.rotate(p, cv2.ROTATE_90_CLOCKWISE),
        7: lambda p: cv2.flip(cv2.transpose(p), -1),
        8: lambda p: cv2.rotate(p, cv2.ROTATE_90_COUNTERCLOCKWISE),
    }
    turn = turns.get(orientation)
    return np.ascontiguousarray(turn(pixels), np.uint8) if turn else pixels


def _decode_frame(data: bytes, header: Picture, max_side: int, name: str) -> Pixels:
    """Decode the first frame, `[H, W, 3]` uint8, upright."""
    try:
        if header.format in ("GIF", "AVIF", "HEIC"):
            return orient(_flatten(_decode_av(data, header)), header.orientation)
        pixels = _decode_cv(data, header, max_side)
    except (cv2.error, av.error.FFmpegError, LookupError, ValueError, StopIteration, MemoryError) as error:
        raise _damaged(name, header) from error
    if pixels is None:
        raise _damaged(name, header)
    rgb = _flatten(_eight_bit(pixels), premultiplied=header.format == "TIFF" and pixels.dtype == np.uint8)
    return rgb if header.format == "TIFF" else orient(rgb, header.orientation)  # OpenCV turns TIFFs by itself


def _damaged(name: str, header: Picture) -> SignalError:
    return SignalError(
        f"{name} ({header.format}, {header.width} x {header.height} pixels) cannot be decoded; expected an undamaged "
        "picture: open it in a picture program and save it as JPEG or PNG."
    )


def _decode_cv(data: bytes, header: Picture, max_side: int) -> npt.NDArray[np.generic] | None:
    """Decode with OpenCV into RGB, RGBA or grey of the file's depth; None when it cannot."""
    flags = cv2.IMREAD_UNCHANGED
    if header.format == "JPEG":  # scaled while decoding: a 50-megapixel photo never exists in full
        side = max(header.width, header.height)
        scale = next((scale for scale in (8, 4, 2) if side // scale >= max_side), 1)
        reduced = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
        flags = reduced.get(scale, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)  # what is wrong is said once, by us
    try:
        pixels: npt.NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    finally:
        cv2.setLogLevel(level)
    if pixels is None or pixels.ndim == 2:
        return pixels
    order = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(cast(Any, pixels), order))


def _decode_av(data: bytes, header: Picture) -> npt.NDArray[np.uint8]:
    """Decode the first frame with PyAV into `[H, W, 3 or 4]`, tiles joined, not yet upright."""
    ids, columns = header.tiles
    if not ids:  # GIF
        with av.open(io.BytesIO(data), "r") as container:
            return _first_frame(next(container.decode(video=0)), "rgba")
    tiles: dict[int, npt.NDArray[np.uint8]] = {}
    alpha: npt.NDArray[np.uint8] | None = None
    with av.open(io.BytesIO(data), "r") as container:
        wanted = {stream.index: stream.id for stream in reversed(container.streams.video) if stream.id in ids}
        for packet in container.demux(video=sorted({s.index for s in container.streams.video})):
            for frame in packet.decode():
                number = wanted.get(packet.stream.index)
                if number is not None and number not in tiles:
                    tiles[number] = _first_frame(frame, "rgb24")
                elif number is None and alpha is None and frame.format.name.startswith("gray"):
                    alpha = _first_frame(frame, "gray")
    rows = [np.concatenate([tiles[i] for i in ids[k : k + columns]], 1) for k in range(0, len(ids), columns)]
    whole = np.concatenate(rows)[: header.height, : header.width]
    if header.format == "AVIF" and alpha is not None and alpha.shape == whole.shape[:2]:
        whole = np.dstack([whole, alpha])
    if whole.shape[:2] != (header.height, header.width):
        raise ValueError(f"tiles make {whole.shape}")
    return whole


def _first_frame(frame: av.VideoFrame, layout: str) -> npt.NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format=layout), np.uint8)


def _eight_bit(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Reduce 16-bit (0 to 65535) and float (0 to 1) samples to 8 bits, rounded."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    if pixels.dtype == np.uint16:
        return np.asarray(cv2.convertScaleAbs(cast(Any, pixels), alpha=1 / 257), np.uint8)
    if pixels.dtype in (np.float32, np.float64):
        unit = np.nan_to_num(np.asarray(pixels, np.float32), nan=0.0, posinf=1.0, neginf=0.0)
        return np.asarray(np.clip(unit, 0, 1) * 255 + 0.5, np.uint8)
    raise ValueError(f"samples of type {pixels.dtype}")


def _flatten(pixels: npt.NDArray[np.uint8], *, premultiplied: bool = False) -> Pixels:
    """Grey, RGB or RGBA `[H, W(, C)]` to opaque RGB; transparency shows `BACKGROUND`.

    Args:
        pixels: the decoded picture.
        premultiplied: colours have been multiplied by alpha already, as libtiff does with 8-bit TIFFs.
    """
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    if pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    alpha = pixels[..., 3]
    rgb = np.ascontiguousarray(pixels[..., :3])
    if alpha.min() == 255 or alpha.max() == 0:  # fully transparent files are broken exports: show what is painted
        return rgb
    out = np.empty_like(rgb)
    for row in range(0, len(rgb), 512):  # strips keep the floats small
        share = alpha[row : row + 512, :, None].astype(np.float32) / 255
        colour = rgb[row : row + 512] * (1 if premultiplied else share)
        out[row : row + 512] = np.minimum(colour + BACKGROUND * (1 - share) + 0.5, 255)
    return out


def _fit(pixels: Pixels, max_side: int) -> Pixels:
    """Scale down so that the longer side is at most `max_side`."""
    height, width = pixels.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
