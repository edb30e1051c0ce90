import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveface.errors import SignalError
from liveface.signals.osc import OscMessage, pack_osc, parse_osc
from liveface.signals.vmc import VmcState, pack_vmc

STILL = np.array([0, 0, 0, 1], np.float32)
# From the examples of the OSC 1.0 specification: address, types, numbers 1000, -1, "hello", 1.234, 5.678.
EXAMPLE = bytes.fromhex(
    "2f666f6f000000002c69697366660000000003e8ffffffff68656c6c6f0000003f9df3b640b5b22d"
)  # fmt: skip


def packed(blends, bones):
    """A frame that fits one packet."""
    (whole,) = pack_vmc(blends, bones, 1.0)
    return whole


def test_the_example_of_the_specification():
    (message,) = parse_osc(EXAMPLE)
    assert message.address == "/foo"
    assert message.arguments[:3] == (1000, -1, "hello")
    assert message.arguments[3:] == pytest.approx((1.234, 5.678))
    assert pack_osc([message]) == EXAMPLE


def test_every_type_comes_back():
    many = (1, 0.5, "abc", "", b"12345", True, False, None)
    messages = [OscMessage("/a", many), OscMessage("/b"), OscMessage("/c", ("x" * 7,))]
    assert parse_osc(pack_osc(messages)) == messages
    rest = parse_osc(b"/d\0\0,dhtI\0\0\0" + struct.pack(">dqQ", 0.25, -2, 7))[0].arguments
    assert rest == (0.25, -2, 7, float("inf"))
    assert parse_osc(b"/e\0\0") == [OscMessage("/e")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"/a",
        b"abcd",
        b"/abc",
        b"/a\0\0i\0\0\0",
        b"/a\0\0,i\0\0",
        b"/a\0\0,q\0\0",
        b"/a\0\0,\0\0\0\0\0\0\0",
        b"/a\0\0,s\0\0ab\0c",
        b"/a\0\0,b\0\0" + struct.pack(">i", 2**31 - 1),
        b"/a\0\0,b\0\0" + struct.pack(">i", -8),
        b"/\xff\0\0,\0\0\0",
        b"#bundle\0" + bytes(8) + struct.pack(">i", 2**31 - 4),
        b"#bundle\0" + bytes(8) + struct.pack(">i", 0),
        b"#bundle\0" + bytes(4),
        b"/a\0\0," + b"i" * 99 + bytes(400),
    ],
)
def test_hostile_osc_is_refused(data):
    with pytest.raises(SignalError):
        parse_osc(data)


def test_deep_bundles_and_floods_are_refused():
    data = pack_osc([OscMessage("/a"), OscMessage("/a")])
    for _ in range(6):
        data = b"#bundle\0" + bytes(8) + struct.pack(">i", len(data)) + data
    with pytest.raises(SignalError, match="deep"):
        parse_osc(data)
    with pytest.raises(SignalError, match="messages"):
        parse_osc(b"#bundle\0" + bytes(8) + (struct.pack(">i", 4) + b"/a\0\0") * 5000)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 160))
def test_any_bytes_are_messages_or_refused(noise, at):
    whole = bytearray(packed({"jawOpen": 0.5}, {"Head": STILL}))
    whole[at : at + len(noise)] = noise
    for data in (noise, bytes(whole)):
        state = VmcState()
        try:
            state.take(data)
        except SignalError:
            assert (state.blends, state.bones) == ({}, {})
            continue
        assert all(abs(value) <= 10 for value in state.blends.values())
        assert all(np.isfinite(turn).all() for turn in state.bones.values())


def test_blend_shapes_count_once_they_are_applied():
    state = VmcState()
    assert not state.take(pack_osc([OscMessage("/VMC/Ext/Blend/Val", ("A", 0.5))]))
    assert state.blends == {}
    assert not state.take(pack_osc([OscMessage("/VMC/Ext/Blend/Val", ("O", 1.0)), OscMessage("/VMC/Ext/T", (1.0,))]))
    assert state.take(pack_osc([OscMessage("/VMC/Ext/Blend/Apply")]))
    assert state.blends == {"A": 0.5, "O": 1.0}
    assert state.take(packed({"A": 0.0}, {}))
    assert state.blends == {"A": 0.0, "O": 1.0}


def test_bones_turn_at_once_and_hands_are_passed_over():
    state = VmcState()
    turn = (0.0, 0.5, 0.0, 0.5)
    assert state.take(pack_osc([OscMessage("/VMC/Ext/Bone/Pos", ("Head", 0.1, 1.0, 0.0, *turn))]))
    np.testing.assert_allclose(state.bones["Head"], np.array(turn) * np.sqrt(2), rtol=1e-5)
    assert not state.take(pack_osc([OscMessage("/VMC/Ext/Bone/Pos", ("LeftHand", 0.1, 1.0, 0.0, *turn))]))
    assert set(state.bones) == {"Head"}


def test_a_sender_says_when_it_sees_nobody():
    state = VmcState()
    state.take(pack_osc([OscMessage("/VMC/Ext/OK", (1, 3, 0, 0))]))
    assert not state.tracking
    state.take(pack_osc([OscMessage("/VMC/Ext/OK", (1,))]))
    assert not state.tracking
    state.take(pack_osc([OscMessage("/VMC/Ext/OK", (1, 3, 0, 1))]))
    assert state.tracking


@pytest.mark.parametrize(
    "message",
    [
        OscMessage("/VMC/Ext/Blend/Val", ("A",)),
        OscMessage("/VMC/Ext/Blend/Val", (1, 2.0)),
        OscMessage("/VMC/Ext/Blend/Val", ("A", "loud")),
        OscMessage("/VMC/Ext/Blend/Val", ("A", float("nan"))),
        OscMessage("/VMC/Ext/Blend/Val", ("A", 1e9)),
        OscMessage("/VMC/Ext/Blend/Val", ("A" * 65, 1.0)),
        OscMessage("/VMC/Ext/Blend/Val", ("A", True)),
        OscMessage("/VMC/Ext/Bone/Pos", ("Head", 0.0, 0.0)),
        OscMessage("/VMC/Ext/Bone/Pos", ("Head", *[0.0] * 7)),
        OscMessage("/VMC/Ext/Bone/Pos", ("Head", *[float("inf")] * 7)),
        OscMessage("/VMC/Ext/Bone/Pos", (5, *[1.0] * 7)),
        OscMessage("/VMC/Ext/OK", ("yes",)),
    ],
)
def test_a_wrong_message_spoils_its_packet_and_nothing_else(message):
    state = VmcState()
    state.take(packed({"A": 0.25}, {"Head": STILL}))
    good = OscMessage("/VMC/Ext/Blend/Val", ("A", 1.0))
    with pytest.raises(SignalError):
        state.take(pack_osc([good, OscMessage("/VMC/Ext/Blend/Apply"), message]))
    assert state.blends == {"A": 0.25}


def test_a_large_frame_goes_in_packets_that_no_network_divides():
    blends = {f"{'mouthShrugLower' * 2}{at}": at / 100 for at in range(100)}
    packets = pack_vmc(blends, {"Head": STILL}, 1.0)
    assert max(map(len, packets)) < 1472
    state = VmcState()
    took = [state.take(data) for data in packets]
    assert took[-1]
    assert state.blends == pytest.approx(blends, abs=1e-6)
    assert set(state.bones) == {"Head"}


def test_endless_names_are_refused():
    state = VmcState()
    for name in range(510):
        state.take(packed({f"shape{name}": 0.0}, {}))
    with pytest.raises(SignalError, match="512"):
        state.take(packed({f"more{at}": 0.0 for at in range(10)}, {}))
    assert len(state.blends) == 510
