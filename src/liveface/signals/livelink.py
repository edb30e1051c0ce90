"""Packets of Live Link Face: the 61 numbers a phone sends over UDP, sixty times a second, to port 11111.

Layout, all big-endian: a byte with the version (6), the device's id and the subject's name (each a length of four bytes
and so many bytes of text), the frame's time (frame number, fraction of a frame as a float, rate as two whole numbers),
a byte with the count (61), and so many floats: 52 ARKit coefficients, then yaw, pitch and roll of head, left eye and
right eye. A packet without a face ends behind its time, or says that none follow.

Notable choices: names are UTF-8; older senders wrote one byte a letter, which is read as Latin-1. A packet that differs
from this in a single byte is refused whole: it comes from the network.

Source: the reader in Unreal Engine (AppleARKitLiveLinkSource) and packets of open senders.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from liveface.errors import SignalError
from liveface.types import Array

PORT = 11111
VERSION = 6
VALUES = 61
MAX_PACKET = 2048  # bytes; the engine's own limit is 774
MAX_NAME = 512  # bytes of a name
MAX_COEFFICIENT = 10.0  # beyond it the unit is another one (percent), not a strong expression
MAX_ANGLE = 2 * math.pi  # radians
MAX_RATE = 1000.0  # frames per second

_TIME = struct.Struct(">ifii")
_LENGTH = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class LiveLinkPacket:
    """One frame of a tracker.

    Attributes:
        values: `[61]` float32: coefficients in ARKit's order, then yaw, pitch, roll of head, left and right eye in
            radians with the app's signs; None where it sees no face.
        device: id of the device.
        subject: name that its user gave it.
        frame: number of the frame since midnight of the device's clock.
        fraction: of a frame beyond that, 0 to 1.
        rate: frames per second, as numerator and denominator.
    """

    values: Array | None
    device: str = "liveface"
    subject: str = "liveface"
    frame: int = 0
    fraction: float = 0.0
    rate: tuple[int, int] = (60, 1)

    @property
    def time_s(self) -> float:
        """The frame's time by the device's clock."""
        return (self.frame + self.fraction) * self.rate[1] / self.rate[0]


def parse_livelink(data: bytes) -> LiveLinkPacket:
    """The packet in a datagram.

    Raises:
        SignalError: it is none, or holds impossible numbers.
    """
    if not 1 <= len(data) <= MAX_PACKET:
        raise SignalError(f"a packet has {len(data)} bytes; expected 1 to {MAX_PACKET}.")
    if data[0] != VERSION:
        raise SignalError(f"a packet has version {data[0]}; expected {VERSION}, as Live Link Face sends.")
    try:
        device, at = _name(data, 1)
        subject, at = _name(data, at)
        frame, fraction, *rate = _TIME.unpack_from(data, at)
    except struct.error:
        raise SignalError(f"a packet of {len(data)} bytes ends early; expected names, a time and 61 numbers.") from None
    at += _TIME.size
    if rate[0] <= 0 or rate[1] <= 0 or not 0 < rate[0] / rate[1] <= MAX_RATE or frame < 0 or not 0 <= fraction <= 1:
        raise SignalError(
            f"a packet is of frame {frame} + {fraction} at {rate[0]}/{rate[1]} fps; expected a real time."
        )
    return LiveLinkPacket(_values(data[at:]), device, subject, frame, float(fraction), (rate[0], rate[1]))


def pack_livelink(packet: LiveLinkPacket) -> bytes:
    """The datagram of a packet; the inverse of `parse_livelink`."""
    names = [name.encode()[:MAX_NAME] for name in (packet.device, packet.subject)]
    head = bytes([VERSION]) + b"".join(_LENGTH.pack(len(name)) + name for name in names)
    head += _TIME.pack(packet.frame, packet.fraction, *packet.rate)
    if packet.values is None:
        return head + bytes([0])
    if packet.values.shape != (VALUES,):
        raise SignalError(f"a packet was given numbers of shape {packet.values.shape}; expected ({VALUES},).")
    return head + bytes([VALUES]) + packet.values.astype(">f4").tobytes()


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A text at `at` and where it ends."""
    (length,) = _LENGTH.unpack_from(data, at)
    at += _LENGTH.size
    if not 0 <= length <= min(MAX_NAME, len(data) - at):
        raise SignalError(f"a packet names a text of {length} bytes; expected at most {MAX_NAME}, all of them there.")
    raw = data[at : at + length].rstrip(b"\0")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(letter for letter in text if letter.isprintable()), at + length


def _values(rest: bytes) -> Array | None:
    """The numbers behind a packet's time."""
    if not rest or rest == b"\0":
        return None
    if rest[0] != VALUES or len(rest) != 1 + 4 * VALUES:
        raise SignalError(
            f"a packet has {rest[0]} numbers in {len(rest) - 1} bytes; expected {VALUES} of 4 bytes each."
        )
    values = np.frombuffer(rest, ">f4", offset=1).astype(np.float32)
    bound = np.where(np.arange(VALUES) < VALUES - 9, MAX_COEFFICIENT, MAX_ANGLE)
    if not (np.abs(values) <= bound).all():  # False for what is no number, too
        raise SignalError(
            f"a packet has a number out of range; expected coefficients up to {MAX_COEFFICIENT:g} and angles up to "
            f"{MAX_ANGLE:.2f} radians."
        )
    return values
