"""`TrackerFeed`: a phone or another tracker on the network mirrors the faces of all live sessions.

Live Link Face or VMC come over UDP, as `liveface.trackers` reads them; every session finds out by itself how the head
rests before the tracker, so that "centre" on a page is for that page.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from liveface.signals.udp import UdpPort
from liveface.trackers import Listener, parse_place
from liveface.types import Motion

WAIT_S = 0.2  # after which the thread looks whether it shall end


class TrackerFeed(threading.Thread):
    """Listens from the beginning until it is stopped.

    Args:
        place: "livelink:PORT" or "vmc:PORT", with an address in between if wanted.
        give: takes every motion (`T = 1`); called from this thread.

    Raises:
        SignalError: no such tracker, or its port cannot be had.
    """

    def __init__(self, place: str, give: Callable[[Motion], None]) -> None:
        super().__init__(name="liveface-tracker", daemon=True)
        found = parse_place(place)
        self._give, self._last_s, self._ending = give, 0.0, False
        self._port = UdpPort(found.host, found.port)
        self.listener = Listener(found.kind, self)
        self.port = self._port.port

    def hear(self, motion: Motion | None, sent_s: float | None, now_s: float) -> None:
        """Hand on what a packet says; one without a face, or older than the last, is left out."""
        if motion is None or (sent_s is not None and self._last_s - 1 < sent_s <= self._last_s):
            return
        self._last_s = self._last_s if sent_s is None else sent_s
        self._give(motion)

    def stop(self) -> None:
        """End the thread and free the port."""
        self._ending = True
        if self.is_alive():
            self.join(5)
        self._port.__exit__(None, None, None)

    def run(self) -> None:
        """Take packets until stopped."""
        while not self._ending:
            for data, sender in self._port.receive(WAIT_S):
                self.listener.take(data, sender, time.monotonic())
