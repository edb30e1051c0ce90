"""Datagrams: a port that listens without ever blocking for long, and a sender.

Notable choices: what a burst brings is read at once, up to a bound, so that only the newest matters and a flood cannot
hold up a frame; datagrams longer than `MAX_DATAGRAM` arrive cut, one byte longer, and so are refused by every parser.
"""

from __future__ import annotations

import select
import socket
from types import TracebackType
from typing import Self

from liveface.errors import SignalError

MAX_DATAGRAM = 65_507  # bytes; what IPv4 carries
MOST_AT_ONCE = 256  # datagrams of one reading: at 30 readings a second more than any tracker sends


class UdpPort:
    """A port that listens; a context manager.

    Args:
        host: address of this machine; "" is every one.
        port: its number; 0 takes a free one.

    Attributes:
        port: the number in use.

    Raises:
        SignalError: the port cannot be had.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            reason = getattr(error, "strerror", None) or error
            raise SignalError(
                f"port {port} of {host or 'this machine'} cannot be listened on ({reason}); expected a free port: "
                "close the program that uses it, or name another one."
            ) from error
        self._socket.settimeout(0)
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def receive(self, timeout_s: float) -> list[tuple[bytes, str]]:
        """Datagrams and their senders' addresses, oldest first; none when nothing comes within `timeout_s`."""
        if not select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            return []
        found: list[tuple[bytes, str]] = []
        while len(found) < MOST_AT_ONCE:
            try:
                data, (host, *_) = self._socket.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                break
            except ConnectionError:  # an earlier answer came back; nothing that concerns a listener
                continue
            found.append((data, host))
        return found


class UdpSender:
    """Sends datagrams to one place; a context manager.

    Raises:
        SignalError: there is no such place.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            self._place = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
        except (OSError, UnicodeError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SignalError(
                f"nothing can be sent to {host}:{port} ({reason}); expected the name or address of a computer and a "
                "port: check both."
            ) from error
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send a datagram; one that cannot leave now is one that is lost."""
        try:
            self._socket.sendto(data, self._place)
        except ConnectionError:  # nobody listens yet
            return
        except OSError as error:
            raise SignalError(
                f"a packet could not be sent to {self._place[0]} ({error.strerror}); expected a network: check it."
            ) from error
