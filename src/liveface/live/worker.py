"""`Worker`: the thread of one session; the only place of the live package that reads a clock.

It waits for frames to fall due, asks its engine for them, codes and records them, and hands them to whoever is
attached. Notable choices: at most `WINDOW` pictures are under way to a page; a page that does not keep up gets fewer
pictures, not later ones. While nobody is attached the session's time stands still, so that a page that comes back
finds the face where it left it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from liveface.errors import LivefaceError, SinkError
from liveface.live.engine import Engine, Shot
from liveface.live.recorder import Recording
from liveface.live.video import PictureCoder
from liveface.live.wire import CameraPicture, PictureMessage, pack_picture
from liveface.types import HOUSE_FPS, AudioBlock, Motion

WINDOW = 6  # pictures under way: 0.2 s
MOST_WAITING = 200  # messages of the page that wait for a tick: two seconds of sound and camera
STALL_S = 1.0  # a computer that slept so long goes on where it was
STATS_S = 1.0

Push = Callable[[bytes | dict[str, Any]], None]
"""Takes a binary message or a JSON object for the page; called from the worker's thread."""
Shown = Callable[[Shot], None]
"""Takes pictures as they are, where they are coded elsewhere; called from the worker's thread."""


class Worker(threading.Thread):
    """Runs an engine until it is stopped.

    Args:
        engine: of this session.
        folder: where recordings lie.
        clock: seconds.
    """

    def __init__(self, engine: Engine, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name="liveface-session", daemon=True)
        self._engine, self._folder, self._clock = engine, folder, clock
        self._inbox: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = False
        self._push: Push | None = None
        self._shown: Shown | None = None
        self._coder = PictureCoder()
        self._sent = self._acked = 0
        self._away_s = self._left_s = 0.0  # how long nobody was attached; since when
        self._record_as: Path | None = None
        self._recording: Recording | None = None
        self._spent: dict[str, list[float]] = {"draw": [], "code": []}
        self._told = {"at": 0.0, "shown": 0.0, "dropped": 0.0, "held": 0.0}
        self._held = 0  # pictures that were not coded because the page did not keep up

    def now_s(self) -> float:
        """The session's time."""
        return self._clock() - self._away_s

    def attach(self, push: Push, codec: str, shown: Shown | None = None) -> None:
        """Send to `push` from now on, beginning with a key frame; `shown` takes the pictures in its place, uncoded."""

        def do() -> None:
            if self._push is None:
                self._away_s += self._clock() - self._left_s
            self._push, self._shown, self._coder = push, shown, PictureCoder(codec)
            self._acked = self._sent

        self._do(do)

    def detach(self, push: Push) -> None:
        """Send nothing more to `push`; time stands still until somebody attaches."""

        def do() -> None:
            if self._push == push:  # methods of one object are equal, not the same
                self._push, self._shown, self._left_s = None, None, self._clock()

        self._do(do)

    def hear(self, block: AudioBlock) -> None:
        """Take sound that came now."""
        now_s = self.now_s()
        self._add(lambda: self._engine.hear(block, now_s))

    def see(self, picture: CameraPicture) -> None:
        """Take a camera's picture that came now."""
        now_s = self.now_s()
        self._add(lambda: self._engine.see(picture, now_s))

    def follow(self, motion: Motion) -> None:
        """Take a tracker's motion (`T = 1`) that came now."""
        now_s = self.now_s()
        self._add(lambda: self._engine.follow(motion, now_s))

    def ack(self, number: int) -> None:
        """The page has taken the picture `number` of those sent."""
        self._acked = max(self._acked, min(number, self._sent))

    def control(self, said: dict[str, Any]) -> None:
        """Do what a checked message of the page says; types that are the edge's are left to it."""
        engine, kind = self._engine, said["type"]
        todo: dict[str, Callable[[], None]] = {
            "set": lambda: engine.turn(said),
            "interrupt": lambda: engine.interrupt(int(said["epoch"])),
            "centre": engine.centre,
            "key": self._key,
            "record": lambda: self._record(on=bool(said["on"])),
        }
        if kind in todo:
            self._do(todo[kind])

    def swap(self, renderer: Any, behaviour: Any, told: dict[str, Any]) -> None:
        """Go on with another face, and tell the page once it is there."""

        def do() -> None:
            self._engine.swap(renderer, behaviour)
            self._tell(told)

        self._do(do)

    def stop(self) -> None:
        """End the thread; what is being recorded is left out."""
        self._ending = True
        self._wake.set()

    def run(self) -> None:
        """Until stopped: what came in, then what is due."""
        self._left_s = self._clock()
        try:
            while not self._ending:
                self._empty_inbox()
                if self._push is None:
                    self._wake.wait(0.5)
                    self._wake.clear()
                    continue
                now_s = self.now_s()
                late_s = now_s - self._engine.due_s()
                if STALL_S < late_s < np.inf:
                    self._away_s += late_s
                    now_s -= late_s
                since = time.perf_counter()
                shot = self._engine.tick(now_s)
                if shot is not None:
                    self._spent["draw"].append(time.perf_counter() - since)
                    self._show(shot)
                self._stats(now_s)
                time.sleep(min(max(self._engine.due_s() - self.now_s(), 0.001), 1 / HOUSE_FPS))
        finally:
            if not self._ending:  # a mistake of the program must not leave a page that waits
                self._tell({"type": "error", "text": "the session ended by a mistake of the program.", "final": True})
            if self._recording is not None:
                self._recording.abandon()

    def _do(self, action: Callable[[], None]) -> None:
        """Have the thread do something even when many messages wait."""
        with self._lock:
            self._inbox.append(action)
        self._wake.set()

    def _add(self, action: Callable[[], None]) -> None:
        """Have the thread do something; a page that sends more than can be taken loses the oldest of it."""
        with self._lock:
            if len(self._inbox) >= MOST_WAITING:
                self._inbox.popleft()
            self._inbox.append(action)

    def _empty_inbox(self) -> None:
        with self._lock:
            todo, self._inbox = self._inbox, deque()
        for action in todo:
            try:
                action()
            except LivefaceError as error:
                self._tell({"type": "error", "text": str(error), "final": False})

    def _key(self) -> None:
        self._coder.key()

    def _show(self, shot: Shot) -> None:
        """Record, code and send a shot."""
        if shot.events:
            self._tell({"type": "events", "events": list(shot.events), "number": shot.number})
        self._keep(shot)
        if self._shown is not None:
            self._shown(shot)
            return
        if self._sent - self._acked >= WINDOW:
            self._held += 1
            return
        since = time.perf_counter()
        payload, key, fresh = self._coder.code(shot.pixels)
        self._spent["code"].append(time.perf_counter() - since)
        took_ms = 1000 * (self._spent["draw"][-1] + self._spent["code"][-1])
        self._sent += 1
        message = PictureMessage(
            payload, self._sent, self._coder.codec, key, fresh, shot.source, shot.epoch, shot.sound_s, shot.camera_s,
            took_ms,
        )  # fmt: skip
        if self._push is not None:
            self._push(pack_picture(message))

    def _keep(self, shot: Shot) -> None:
        """Write a shot into the recording, if there is one."""
        if self._record_as is None:
            return
        if self._recording is None:
            height, width = shot.pixels.shape[:2]
            self._recording = Recording(self._record_as, (width, height))
        try:
            self._recording.write(shot.pixels, shot.sound, shot.frames)
            if self._recording.full:
                self._record(on=False)
        except SinkError as error:  # a full disk ends the recording, not the session
            self._recording.abandon()
            self._recording = self._record_as = None
            self._tell({"type": "recording", "on": False, "name": "", "seconds": 0})
            self._tell({"type": "error", "text": str(error), "final": False})

    def _tell(self, said: dict[str, Any]) -> None:
        if self._push is not None:
            self._push(said)

    def _record(self, *, on: bool) -> None:
        """Begin or end a recording, and tell the page."""
        if on and self._record_as is None:
            name = f"liveface-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(8)}.mp4"
            self._record_as = self._folder / name
            self._tell({"type": "recording", "on": True})
        elif not on and self._record_as is not None:
            recording, self._recording, self._record_as = self._recording, None, None
            if recording is None:  # not one frame
                self._tell({"type": "recording", "on": False, "name": "", "seconds": 0})
                return
            length_s = recording.finish()
            self._tell({"type": "recording", "on": False, "name": recording.path.name, "seconds": round(length_s, 2)})

    def _stats(self, now_s: float) -> None:
        """Once a second, tell what frames cost and what became of them."""
        told, counts = self._told, self._engine.counts
        told["at"] = told["at"] or now_s
        passed = now_s - told["at"]
        if passed < STATS_S:
            return
        sound = self._engine.live.counts
        self._tell(
            {
                "type": "stats",
                "fps": round((counts.shown - told["shown"] - self._held + told["held"]) / passed, 1),
                "dropped": int(counts.dropped - told["dropped"] + self._held - told["held"]),
                "dropped_all": counts.dropped + self._held,
                "draw_ms": _middle(self._spent["draw"]),
                "code_ms": _middle(self._spent["code"]),
                "late_packets": sound.late,
                "filled_samples": sound.filled_samples,
            }
        )
        self._told = {"at": now_s, "shown": counts.shown, "dropped": counts.dropped, "held": self._held}
        self._spent = {name: times[-1:] for name, times in self._spent.items()}


def _middle(times: list[float]) -> float:
    return round(1000 * float(np.median(times)), 2) if times else 0.0
