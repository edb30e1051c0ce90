import pytest

from liveface.errors import SignalError
from liveface.signals.udp import MAX_DATAGRAM, MOST_AT_ONCE, UdpPort, UdpSender


def test_datagrams_arrive_whole_and_in_order():
    with UdpPort("127.0.0.1", 0) as port, UdpSender("127.0.0.1", port.port) as sender:
        assert port.receive(0) == []
        sent = [b"one", b"", b"x" * MAX_DATAGRAM]
        for data in sent:
            sender.send(data)
        found = []
        while len(found) < 3:
            more = port.receive(5)
            assert more
            found += more
    assert [data for data, _ in found] == sent
    assert {host for _, host in found} == {"127.0.0.1"}


def test_a_burst_is_read_in_bounded_parts():
    with UdpPort("127.0.0.1", 0) as port, UdpSender("localhost", port.port) as sender:
        for _ in range(MOST_AT_ONCE + 10):
            sender.send(b"x")
        assert len(port.receive(1)) <= MOST_AT_ONCE


def test_a_taken_port_and_an_unknown_place_are_one_sentence():
    with UdpPort("127.0.0.1", 0) as port, pytest.raises(SignalError, match="expected a free port"):
        UdpPort("127.0.0.1", port.port)
    with pytest.raises(SignalError, match="cannot be listened on"):
        UdpPort("not an address", 1)
    with pytest.raises(SignalError, match="expected the name or address"):
        UdpSender("no such host.invalid", 1)


def test_sending_to_nobody_is_no_error():
    with UdpPort("127.0.0.1", 0) as port:
        number = port.port
    with UdpSender("127.0.0.1", number) as sender:
        for _ in range(3):
            sender.send(b"x")
