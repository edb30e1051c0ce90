"""Open Sound Control 1.0 in datagrams: the part that face trackers use.

Notable choices: a packet is read as a whole or refused as a whole; sizes, paddings and depths are checked before they
are used, for it comes from the network. Times of bundles are read and left aside: what came is meant now.

Source: The Open Sound Control 1.0 Specification (Wright 2002).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from liveface.errors import SignalError

MAX_PACKET = 65_507  # bytes of a UDP datagram
MAX_DEPTH = 4  # bundles in bundles
MAX_MESSAGES = 4096  # of one packet
MAX_ARGUMENTS = 64  # of one message

_BUNDLE = b"#bundle\0"
_NOW = struct.pack(">Q", 1)
_NUMBERS = {"i": struct.Struct(">i"), "f": struct.Struct(">f"), "d": struct.Struct(">d"), "h": struct.Struct(">q")}
_SILENT = {"T": True, "F": False, "N": None, "I": float("inf")}

Argument = int | float | str | bytes | bool | None


@dataclass(frozen=True, slots=True)
class OscMessage:
    """An address such as `/VMC/Ext/OK` and its arguments."""

    address: str
    arguments: tuple[Argument, ...] = ()


def parse_osc(data: bytes) -> list[OscMessage]:
    """The messages of a packet in order; bundles are opened.

    Raises:
        SignalError: it is no whole packet.
    """
    if len(data) > MAX_PACKET or len(data) % 4 or not data:
        raise SignalError(f"an OSC packet has {len(data)} bytes; expected a multiple of 4 up to {MAX_PACKET}.")
    found: list[OscMessage] = []
    try:
        _read(data, 0, found)
    except (struct.error, ValueError) as error:
        if isinstance(error, SignalError):
            raise
        raise SignalError(f"an OSC packet of {len(data)} bytes is damaged ({error}); expected messages.") from None
    return found


def pack_osc(messages: Sequence[OscMessage]) -> bytes:
    """One message, or several as a bundle that is meant at once; the inverse of `parse_osc`."""
    packed = [_packed(message) for message in messages]
    if len(packed) == 1:
        return packed[0]
    return _BUNDLE + _NOW + b"".join(struct.pack(">i", len(one)) + one for one in packed)


def _read(data: bytes, depth: int, found: list[OscMessage]) -> None:
    if not data.startswith(_BUNDLE):
        found.append(_message(data))
        if len(found) > MAX_MESSAGES:
            raise SignalError(f"an OSC packet has more than {MAX_MESSAGES} messages; expected fewer.")
        return
    if depth >= MAX_DEPTH or len(data) < len(_BUNDLE) + 8:
        raise SignalError(f"an OSC bundle is cut short or more than {MAX_DEPTH} deep; expected messages.")
    at = len(_BUNDLE) + 8  # behind the time
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if size <= 0 or size % 4 or size > len(data) - at:
            raise SignalError(f"an OSC bundle names an element of {size} bytes and {len(data) - at} are left.")
        _read(data[at : at + size], depth + 1, found)
        at += size


def _message(data: bytes) -> OscMessage:
    address, at = _text(data, 0)
    if not address.startswith("/"):
        raise SignalError(f"an OSC address is {address[:40]!r}; expected one that begins with a slash.")
    if at == len(data):  # senders of old leave the types out where nothing follows
        return OscMessage(address)
    types, at = _text(data, at)
    if not types.startswith(",") or len(types) > 1 + MAX_ARGUMENTS:
        raise SignalError(f"an OSC message has types {types[:20]!r}; expected a comma and at most {MAX_ARGUMENTS}.")
    arguments: list[Argument] = []
    for kind in types[1:]:
        value, at = _argument(kind, data, at)
        arguments.append(value)
    if at != len(data):
        raise SignalError(f"an OSC message has {len(data) - at} bytes too many; expected none behind its arguments.")
    return OscMessage(address, tuple(arguments))


def _argument(kind: str, data: bytes, at: int) -> tuple[Argument, int]:
    """An argument at `at` and where it ends."""
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        return number.unpack_from(data, at)[0], at + number.size
    if kind in _SILENT:
        return _SILENT[kind], at
    if kind in "sS":
        return _text(data, at)
    if kind == "t":
        return struct.unpack_from(">Q", data, at)[0], at + 8
    if kind == "b":
        (size,) = struct.unpack_from(">i", data, at)
        end = at + 4 + size + -size % 4
        if size < 0 or end > len(data):
            raise SignalError(f"an OSC blob names {size} bytes; expected no more than are there.")
        return data[at + 4 : at + 4 + size], end
    raise SignalError(f"an OSC argument is of type {kind!r}; expected one of OSC 1.0.")


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A text at `at` and where it and its padding end."""
    end = data.index(b"\0", at)
    after = end + 4 - (end - at) % 4
    if after > len(data) or data[end:after].strip(b"\0"):
        raise SignalError("an OSC text is not padded to four bytes; expected zeros.")
    return data[at:end].decode("utf-8"), after


def _packed(message: OscMessage) -> bytes:
    types, body = ",", b""
    for value in message.arguments:
        if isinstance(value, bool) or value is None:
            types += {True: "T", False: "F", None: "N"}[value]
        elif isinstance(value, int):
            types, body = types + "i", body + struct.pack(">i", value)
        elif isinstance(value, float):
            types, body = types + "f", body + struct.pack(">f", value)
        elif isinstance(value, str):
            types, body = types + "s", body + _padded(value)
        else:
            types, body = types + "b", body + struct.pack(">i", len(value)) + value + b"\0" * (-len(value) % 4)
    return _padded(message.address) + _padded(types) + body


def _padded(text: str) -> bytes:
    raw = text.encode()
    return raw + b"\0" * (4 - len(raw) % 4)
