import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveface.errors import SignalError
from liveface.signals.livelink import LiveLinkPacket, pack_livelink, parse_livelink

DEVICE = "FE3F2E9C-0000-4A6B-8D3C-2B1D5A0C9E11"


def packet(**values):
    numbers = np.linspace(0, 0.6, 61, dtype=np.float32)
    return LiveLinkPacket(**{"values": numbers, "device": DEVICE, "subject": "Jane", "frame": 5_184_000, **values})


def as_sent(name=b"Jane", count=61, version=b"\x06\x00\x00\x00$"):
    """Bytes as an open sender writes them: version 6 and the length of the id as if they were one number and a '$'."""
    time = struct.pack(">if2i", 17, 0.473, 60, 1)
    numbers = struct.pack(f">B{count}f", count, *[0.25] * count)
    return version + DEVICE.encode() + struct.pack(">i", len(name)) + name + time + numbers


def test_a_packet_comes_back_as_it_was():
    sent = packet(fraction=0.25, rate=(60_000, 1001))
    found = parse_livelink(pack_livelink(sent))
    np.testing.assert_array_equal(found.values, sent.values)
    assert (found.device, found.subject, found.frame, found.fraction, found.rate) == (
        DEVICE, "Jane", 5_184_000, 0.25, (60_000, 1001),
    )  # fmt: skip
    assert found.time_s == pytest.approx(5_184_000.25 * 1001 / 60_000)


def test_bytes_of_another_sender_are_understood():
    found = parse_livelink(as_sent())
    assert (found.device, found.subject, found.frame) == (DEVICE, "Jane", 17)
    assert found.fraction == pytest.approx(0.473)
    np.testing.assert_array_equal(found.values, np.full(61, 0.25, np.float32))


@pytest.mark.parametrize(
    ("raw", "name"), [("Zoë".encode(), "Zoë"), ("Zoë".encode("latin-1"), "Zoë"), (b"Jane\0", "Jane"), (b"", "")]
)
def test_names_of_old_and_new_senders(raw, name):
    assert parse_livelink(as_sent(raw)).subject == name


def test_control_letters_of_a_name_do_not_reach_a_terminal():
    assert parse_livelink(as_sent(b"a\x1b[31mb")).subject == "a[31mb"


def test_a_packet_without_a_face():
    assert parse_livelink(pack_livelink(packet(values=None))).values is None
    assert parse_livelink(pack_livelink(packet())[: -1 - 61 * 4]).values is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x06",
        b"\x05" + as_sent()[1:],
        as_sent()[:-1],
        as_sent() + b"\0",
        as_sent(count=52),
        as_sent(version=b"\x06\xff\xff\xff\xff"),
        as_sent(version=b"\x06\x7f\xff\xff\xff"),
        b"\x06" * 3000,
        pack_livelink(packet(rate=(0, 1))),
        pack_livelink(packet(rate=(60, -1))),
        pack_livelink(packet(frame=-1)),
        pack_livelink(packet(fraction=float("nan"))),
        pack_livelink(packet(values=np.full(61, np.nan, np.float32))),
        pack_livelink(packet(values=np.full(61, 50, np.float32))),
    ],
)
def test_hostile_packets_are_refused(data):
    with pytest.raises(SignalError, match="packet"):
        parse_livelink(data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 300))
def test_any_bytes_are_a_packet_or_refused(noise, at):
    whole = bytearray(as_sent())
    whole[at : at + len(noise)] = noise
    for data in (noise, b"\x06" + noise, bytes(whole)):
        try:
            values = parse_livelink(data).values
        except SignalError:
            continue
        assert values is None or np.isfinite(values).all()
