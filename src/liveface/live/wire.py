"""The wire between page and server: what every message of the WebSocket looks like; the page's twin is `wire.js`.

Binary messages begin with one byte that names their kind, numbers are little-endian; text messages are JSON objects
with a `type`. Unknown kinds and types are left out on both sides, so that either may be newer than the other.

    1   sound up      u8 kind, u8 0, u16 0, u32 sequence, u64 first sample, u32 rate in Hz, then s16 samples
    2   camera up     u8 kind, u8 0, u16 0, u32 sequence, f64 time in s by the page's clock, then one JPEG
    16  picture down  u8 kind, u8 codec (0 H.264 Annex B, 1 JPEG), u8 flags (1 key frame, 2 a new stream begins),
                      u8 source (0 nobody drives, 1 sound, 2 camera), u32 number, u32 epoch, f64 time in s of the
                      sound this picture goes with, f64 time of the camera's picture it shows (NaN without either),
                      f32 milliseconds it took, then the coded picture
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from liveface.errors import WireError
from liveface.motion.emotion import EMOTIONS
from liveface.types import AudioBlock

SOUND, CAMERA, PICTURE = 1, 2, 16
KEY, FRESH = 1, 2
CODECS = ("h264", "jpeg")
SOURCES = ("idle", "sound", "camera")
MOST_BYTES = 1 << 20  # of a message; a camera's picture of 640x480 has 60,000
MOST_SOUND_S = 1.0  # in one message
_SOUND = struct.Struct("<BBHIQI")
_CAMERA = struct.Struct("<BBHId")
_PICTURE = struct.Struct("<BBBBIIddf")


@dataclass(frozen=True, slots=True)
class CameraPicture:
    """One picture of the page's camera: a JPEG, and when it was taken by the page's clock."""

    jpeg: bytes
    time_s: float


@dataclass(frozen=True, slots=True)
class PictureMessage:
    """One picture for the page; see the module's notes for the fields."""

    payload: bytes
    number: int
    codec: str = "h264"
    key: bool = False
    fresh: bool = False
    source: str = "idle"
    epoch: int = 0
    sound_s: float = 0.0
    camera_s: float = float("nan")
    took_ms: float = 0.0


def pack_sound(block: AudioBlock, sequence: int = 0) -> bytes:
    """A block of sound as the page sends it."""
    samples = np.clip(np.round(block.samples * 32767), -32768, 32767).astype("<i2")
    return _SOUND.pack(SOUND, 0, 0, sequence & 0xFFFFFFFF, block.start, block.rate_hz) + samples.tobytes()


def pack_camera(picture: CameraPicture, sequence: int = 0) -> bytes:
    """A camera's picture as the page sends it."""
    return _CAMERA.pack(CAMERA, 0, 0, sequence & 0xFFFFFFFF, picture.time_s) + picture.jpeg


def unpack(data: bytes) -> AudioBlock | CameraPicture | None:
    """A binary message of the page; None for a kind that this version does not know.

    Raises:
        WireError: it is shorter than its kind's header, or says what cannot be.
    """
    if len(data) > MOST_BYTES:
        raise WireError(f"a message has {len(data)} bytes; expected at most {MOST_BYTES}.")
    if not data:
        raise WireError("a message is empty; expected a byte that names its kind.")
    kind = data[0]
    if kind == SOUND:
        return _sound(data)
    if kind == CAMERA:
        if len(data) <= _CAMERA.size:
            raise WireError(f"a camera's message has {len(data)} bytes; expected more than {_CAMERA.size}.")
        time_s = float(_CAMERA.unpack_from(data)[4])
        if not np.isfinite(time_s):
            raise WireError(f"a camera's picture was taken at {time_s} s; expected a time.")
        return CameraPicture(data[_CAMERA.size :], time_s)
    return None


def _sound(data: bytes) -> AudioBlock:
    if len(data) < _SOUND.size or (len(data) - _SOUND.size) % 2:
        raise WireError(f"a message of sound has {len(data)} bytes; expected {_SOUND.size} and two for each sample.")
    _, _, _, _, start, rate_hz = _SOUND.unpack_from(data)
    count = (len(data) - _SOUND.size) // 2
    if not 8000 <= rate_hz <= 192_000:
        raise WireError(f"sound at {rate_hz} Hz came in; expected 8000 to 192000: for instance 24000 or 48000.")
    if count > MOST_SOUND_S * rate_hz or start >= 1 << 53:
        raise WireError(f"a block of {count} samples from {start} on is not usable; expected {MOST_SOUND_S} s at most.")
    samples = np.frombuffer(data, "<i2", offset=_SOUND.size).astype(np.float32) / np.float32(32767)
    return AudioBlock(samples, start, rate_hz)


def pack_picture(message: PictureMessage) -> bytes:
    """A picture as the page gets it."""
    flags = KEY * message.key + FRESH * message.fresh
    codec, source = CODECS.index(message.codec), SOURCES.index(message.source)
    head = (PICTURE, codec, flags, source, message.number & 0xFFFFFFFF, message.epoch & 0xFFFFFFFF)
    return _PICTURE.pack(*head, message.sound_s, message.camera_s, message.took_ms) + message.payload


def unpack_picture(data: bytes) -> PictureMessage:
    """What a client reads of a picture's message; the inverse of `pack_picture`.

    Raises:
        WireError: it is none.
    """
    if len(data) < _PICTURE.size or data[0] != PICTURE or data[1] >= len(CODECS) or data[3] >= len(SOURCES):
        raise WireError(f"a message of {len(data)} bytes is no picture; expected kind {PICTURE}.")
    _, codec, flags, source, number, epoch, sound_s, camera_s, took_ms = _PICTURE.unpack_from(data)
    return PictureMessage(
        data[_PICTURE.size :], number, CODECS[codec], bool(flags & KEY), bool(flags & FRESH), SOURCES[source], epoch,
        sound_s, camera_s, took_ms,
    )  # fmt: skip


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _emotion(value: Any) -> bool:
    unit = _number(0, 1)
    return isinstance(value, dict) and all(name in EMOTIONS and unit(size) for name, size in value.items())


def _target(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_number(-1, 1), value)))


_DIAL = _number(0, 2)
# What each text message may say, and what its values must be.
CONTROLS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "hello": {"subject": _text, "codec": lambda value: value in CODECS, "token": _text, "resume": _text},
    "set": {"emotion": _emotion, "head": _DIAL, "blink": _DIAL, "gaze": _DIAL, "scale": _DIAL, "look": _target},
    "interrupt": {"epoch": _whole},
    "subject": {"id": _text},
    "record": {"on": _flag},
    "centre": {},
    "key": {},
    "ack": {"number": _whole},
    "ping": {"at": _number(0, 1e15)},
}
_REQUIRED = {"interrupt": ("epoch",), "subject": ("id",), "record": ("on",), "ack": ("number",), "ping": ("at",)}


def parse_control(text: str) -> dict[str, Any] | None:
    """A text message of the page, checked; None for a type that this version does not know.

    Raises:
        WireError: it is no JSON object with a type, or says what cannot be.
    """
    if len(text) > MOST_BYTES:
        raise WireError(f"a message has {len(text)} characters; expected at most {MOST_BYTES}.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a message is no JSON ({error}); expected an object with a type.") from error
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise WireError(f"a message has no type; expected one of {', '.join(CONTROLS)}.")
    if kind not in CONTROLS:
        return None
    for name in _REQUIRED.get(kind, ()):
        if name not in value:
            raise WireError(f"a message {kind!r} has no {name!r}; expected one.")
    for name, said in value.items():
        if name == "type":
            continue
        if name not in CONTROLS[kind]:
            raise WireError(f"a message {kind!r} has {name!r}; expected {', '.join(CONTROLS[kind]) or 'nothing more'}.")
        if not CONTROLS[kind][name](said):
            raise WireError(f"a message {kind!r} has {name} {str(said)[:60]!r}, which is not usable.")
    return dict(value)
