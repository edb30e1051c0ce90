"""Trackers over the network: Live Link Face and VMC as drivers, and as receivers of our own motion.

Notable choices:
- A driver listens on a port and gives frames at an exact rate, whether packets come or not. It never ends by itself:
  `stop`, or a length, ends it.
- Whoever sends the first packet that can be read is the tracker, until it has been silent for two seconds; what other
  computers send meanwhile is counted and left aside, and so is what cannot be read.
- When frames are taken later than they are due, the one before is given again in place of those that were missed (the
  same object, see `Driver.repeats`): their number stays exact, and what is drawn is always the newest.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from liveface.driver import Clock, Dials, Driver, Watcher, only_for_speech
from liveface.errors import SignalError
from liveface.motion.behaviour import Behaviour
from liveface.motion.tracked import TrackedFace
from liveface.motion.trackers import livelink_of_motion, motion_of_livelink, motion_of_vmc, vmc_of_motion
from liveface.signals import livelink, vmc
from liveface.signals.media import MediaInfo
from liveface.signals.udp import UdpPort, UdpSender
from liveface.types import AudioBlock, Motion

SILENT_S = 2.0  # after which another computer may be the tracker
STALL_S = 1.0  # a computer that slept so long goes on where it was
DAY_S = 86_400
PORTS = {"livelink": livelink.PORT, "vmc": vmc.PORT}
NAMES = {"livelink": "Live Link Face", "vmc": "VMC"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A tracker as written on the command line.

    Attributes:
        kind: "livelink" or "vmc".
        host: address to listen on, "" for every one; or whom to send to.
        port: its number.
    """

    kind: str
    host: str
    port: int


def is_place(text: str | Path) -> bool:
    """Whether `text` names a tracker: `livelink:PORT`, `vmc:PORT`, with an address in between if wanted."""
    return str(text).partition(":")[0] in PORTS and ":" in str(text)


def parse_place(text: str | Path) -> Place:
    """The tracker that `text` names: `livelink:11111`, `vmc:127.0.0.1:39539`; a port left out is the usual one.

    Raises:
        SignalError: it names none.
    """
    kind, _, rest = str(text).partition(":")
    host, colon, port = rest.rpartition(":")
    if not colon and not port.isdigit():
        host, port = port, ""
    if kind not in PORTS or (port and not port.isdigit()) or not 0 < int(port or PORTS[kind]) < 65_536:
        raise SignalError(
            f"{str(text)!r} names no tracker; expected livelink or vmc, a colon and a port from 1 to 65535, for "
            "instance livelink:11111 or vmc:127.0.0.1:39539."
        )
    return Place(kind, host, int(port or PORTS[kind]))


class _Reader(Protocol):
    """Turns datagrams into motion and its time by the sender's clock."""

    def read(self, data: bytes) -> tuple[Motion | None, float | None] | None: ...


class _LiveLink:
    def read(self, data: bytes) -> tuple[Motion | None, float | None] | None:
        packet = livelink.parse_livelink(data)
        return None if packet.values is None else motion_of_livelink(packet.values), packet.time_s


class _Vmc:
    def __init__(self) -> None:
        self._state = vmc.VmcState()

    def read(self, data: bytes) -> tuple[Motion | None, float | None] | None:
        if not self._state.take(data):
            return None  # half of a frame
        state = self._state
        return motion_of_vmc(state.blends, state.bones) if state.tracking else None, None


class Hears(Protocol):
    """Takes the motion (`T = 1`, None without a face) of a packet, the sender's time and ours."""

    def hear(self, motion: Motion | None, sent_s: float | None, now_s: float) -> None: ...


READERS: dict[str, Callable[[], _Reader]] = {"livelink": _LiveLink, "vmc": _Vmc}


@dataclass(slots=True)
class ListenerCounts:
    """Datagrams that could not be read, and that came from other computers than the tracker."""

    refused: int = 0
    foreign: int = 0


class Listener:
    """Reads the datagrams of one tracker into a face; no clock, no socket.

    Args:
        kind: "livelink" or "vmc".
        face: takes what can be read.

    Attributes:
        counts: what was left aside.
        sender: address of the tracker; None while there is none.
    """

    def __init__(self, kind: str, face: Hears) -> None:
        self._make = READERS[kind]
        self._reader = self._make()
        self._face = face
        self.counts = ListenerCounts()
        self.sender: str | None = None
        self._heard_s = 0.0

    def take(self, data: bytes, sender: str, now_s: float) -> None:
        """Take a datagram, which came at `now_s`."""
        if self.sender is not None and now_s - self._heard_s > SILENT_S:
            self.sender = None
        if self.sender not in (None, sender):
            self.counts.foreign += 1
            return
        reader = self._make() if self.sender is None else self._reader
        try:
            found = reader.read(data)
        except SignalError:
            self.counts.refused += 1
            return
        self.sender, self._reader, self._heard_s = sender, reader, now_s
        if found is not None:
            motion, sent_s = found
            self._face.hear(motion, sent_s, now_s)


@dataclass(frozen=True, slots=True)
class TrackerDriver(Driver):
    """A tracker as a driver; see the module's notes.

    Attributes:
        place: where it listens.
        stop: ends the stream when set.
    """

    place: Place = Place("livelink", "", livelink.PORT)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def repeats(self) -> bool:
        """It gives the same object again where a frame was missed."""
        return True

    def stream(
        self,
        clock: Clock,
        photo: Motion | None = None,
        behaviour: Behaviour | None = None,
        watcher: Watcher | None = None,
    ) -> Iterator[tuple[Motion, AudioBlock | None]]:
        """Motion (`T = 1`) at `fps`, in real time, until `stop` or as many as `frames_estimate` says."""
        face = TrackedFace(replace(self._manner(behaviour), fps=self.fps), self.dials.turn)
        listener = Listener(self.place.kind, face)
        made = repeated = 0
        with UdpPort(self.place.host, self.place.port) as port:
            _log.warning("listening on port %d for %s; Ctrl-C ends.", port.port, NAMES[self.place.kind])
            zero_s = time.monotonic()
            motion: Motion | None = None
            while not self.stop.is_set() and not 0 < self.frames_estimate <= made:
                due_s = zero_s + made / self.fps
                self._listen(port, listener, due_s)
                late_s = time.monotonic() - due_s
                if late_s > STALL_S:
                    zero_s += late_s
                if motion is None or not 1 / self.fps < late_s <= STALL_S:
                    since = time.perf_counter()
                    motion = face.frame(time.monotonic())
                    clock("receive", time.perf_counter() - since)
                else:
                    repeated += 1
                made += 1
                yield motion, None
        self._tell(face, listener, repeated)

    def _listen(self, port: UdpPort, listener: Listener, until_s: float) -> None:
        """Take what comes until a frame is due; what is there already is taken in any case."""
        known = listener.sender
        while True:
            left_s = until_s - time.monotonic()
            for data, sender in port.receive(left_s):
                listener.take(data, sender, time.monotonic())
            if left_s <= 0:
                break
        if listener.sender != known and listener.sender is not None:
            _log.warning("%s drives the face.", listener.sender)

    def _tell(self, face: TrackedFace, listener: Listener, repeated: int) -> None:
        told = {
            "packets": face.counts.packets, "late": face.counts.late, "without a face": face.counts.faceless,
            "refused": listener.counts.refused, "of other computers": listener.counts.foreign,
            "frames shown again": repeated,
        }  # fmt: skip
        _log.warning("%s.", ", ".join(f"{count} {name}" for name, count in told.items() if count or name == "packets"))


def open_tracker(place: str | Path | Place, fps: float, dials: Dials, seconds: float | None = None) -> TrackerDriver:
    """A driver that listens; `seconds` None goes on until it is stopped.

    Raises:
        SignalError: no such tracker, its port cannot be had, or dials that are for speech.
    """
    place = place if isinstance(place, Place) else parse_place(place)
    name = f"{place.kind}:{place.port}"
    only_for_speech(Path(name), "a tracker", dials)
    with UdpPort(place.host, place.port):
        pass  # said at once, not after a photo is enrolled
    frames = 0 if seconds is None else max(1, round(seconds * fps))
    return TrackerDriver("tracker", Path(name), MediaInfo("motion", name), fps, frames, dials, place=place)


class MotionSender:
    """Sends motion as a tracker would; a context manager.

    Args:
        place: "livelink:HOST:PORT" or "vmc:HOST:PORT"; a host left out is this machine.
        fps: frames per second of the motion.
        name: of the subject.

    Raises:
        SignalError: there is no such place.
    """

    def __init__(self, place: str | Place, fps: float, name: str = "liveface") -> None:
        place = place if isinstance(place, Place) else parse_place(place)
        self._kind, self._fps, self._name = place.kind, fps, name
        self._sender = UdpSender(place.host or "127.0.0.1", place.port)
        self._start = round((time.time() % DAY_S) * fps)  # frames since midnight, as the app counts
        self.frames = 0

    def __enter__(self) -> MotionSender:
        return self

    def __exit__(self, *_: object) -> None:
        self._sender.__exit__(None, None, None)

    def send(self, motion: Motion) -> None:
        """Send every frame of `motion`; none waits for its time."""
        for frame in motion:
            for data in self._packed(frame):
                self._sender.send(data)
            self.frames += 1

    def _packed(self, frame: Motion) -> list[bytes]:
        if self._kind == "vmc":
            return vmc.pack_vmc(*vmc_of_motion(frame), self.frames / self._fps)
        rate = (round(self._fps * 1000), 1000)
        at = self._start + self.frames
        packet = livelink.LiveLinkPacket(livelink_of_motion(frame), self._name, self._name, at, 0.0, rate)
        return [livelink.pack_livelink(packet)]


def sent(motions: Iterable[Motion], place: str | Place, fps: float) -> Iterator[Motion]:
    """The same motions one frame (`T = 1`) at a time, each sent to `place` when it is due, in real time."""
    with MotionSender(place, fps) as sender:
        zero_s: float | None = None
        for motion in motions:
            now_s = time.monotonic()
            zero_s = now_s if zero_s is None else zero_s
            time.sleep(max(0.0, zero_s + sender.frames / fps - now_s))
            sender.send(motion)
            yield motion


@contextmanager
def listening(driver: TrackerDriver) -> Iterator[TrackerDriver]:
    """Ctrl-C or a request to end (SIGTERM) ends the driver's stream, so that its output is completed; twice, the run.

    Only in the main thread, as with all signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield driver
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, _: object) -> None:
        driver.stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, end)
    try:
        yield driver
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
