"""The live sessions of one server: made, attached to, left, and ended."""

from __future__ import annotations

import ctypes
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liveface.live.engine import Engine
from liveface.live.subjects import Shelf, opened
from liveface.live.worker import Push, Shown, Worker
from liveface.types import Motion

GRACE_S = 20.0  # a page that is gone for longer has left


@dataclass(slots=True)
class LiveSession:
    """One session: its id, its face, its worker, and who is attached to it."""

    id: str
    face: str
    worker: Worker
    push: Push | None = None
    left_s: float = 0.0


class Sessions:
    """All of them.

    Args:
        shelf: faces; folder: of recordings.
        most: how many at once.
        make: an engine of a renderer and a behaviour.
    """

    def __init__(self, shelf: Shelf, folder: Path, most: int, make: Callable[[Any, Any], Engine] = Engine) -> None:
        self._shelf, self._folder, self.most, self._make = shelf, folder, most, make
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # one face is opened at a time: memory and processor stay in bounds
        self._sessions: dict[str, LiveSession] = {}
        self._promised = 0
        self._ended = 0  # sessions since the last sweep

    def count(self) -> int:
        """Sessions that run or are being opened."""
        with self._lock:
            return len(self._sessions) + self._promised

    def follow(self, motion: Motion) -> None:
        """Hand a tracker's motion to every session that somebody looks at; may be called from any thread."""
        with self._lock:
            looked_at = [one.worker for one in self._sessions.values() if one.push is not None]
        for worker in looked_at:
            worker.follow(motion)

    def reserve(self) -> bool:
        """Promise a place for a new session; the oldest one that nobody is attached to gives way."""
        with self._lock:
            if len(self._sessions) + self._promised >= self.most:
                left = sorted((one for one in self._sessions.values() if one.push is None), key=lambda one: one.left_s)
                if not left:
                    return False
                self._end(left[0])
            self._promised += 1
            return True

    def release(self) -> None:
        """Take a promise back that was not used."""
        with self._lock:
            self._promised -= 1

    def open(self, face: str, push: Push, codec: str, shown: Shown | None = None) -> LiveSession:
        """A new session in a promised place; slow, so to be called from a thread. `shown` as `Worker.attach` says.

        Raises:
            LivefaceError: the face cannot be shown; the promise is taken back.
        """
        try:
            with self._opening:
                renderer, behaviour = opened(self._shelf.face(face))
                worker = Worker(self._make(renderer, behaviour), self._folder)
        except BaseException:
            self.release()
            raise
        made = LiveSession(secrets.token_urlsafe(18), face, worker, push)
        with self._lock:
            self._promised -= 1
            self._sessions[made.id] = made
        worker.attach(push, codec, shown)
        worker.start()
        return made

    def resume(self, name: str, push: Push, codec: str) -> LiveSession | None:
        """The session called `name`, with `push` in the place of whoever was attached; None when it has ended."""
        with self._lock:
            found = self._sessions.get(name)
            if found is None or not found.worker.is_alive():
                return None
            found.push = push
        found.worker.attach(push, codec)
        return found

    def change(self, session: LiveSession, face: str) -> None:
        """Show another face; slow, so to be called from a thread."""
        with self._opening:
            renderer, behaviour = opened(self._shelf.face(face))
        session.face = face
        session.worker.swap(renderer, behaviour, {"type": "subject", "id": face})

    def leave(self, session: LiveSession, push: Push) -> None:
        """The page behind `push` is gone; its session waits for it a while."""
        with self._lock:
            if session.push == push:
                session.push, session.left_s = None, time.monotonic()
        session.worker.detach(push)

    def end(self, session: LiveSession) -> None:
        """End a session for good."""
        with self._lock:
            self._end(session)

    def sweep(self) -> None:
        """End what nobody came back to, and what ended by itself; give memory back; to be called from a thread."""
        limit = time.monotonic() - GRACE_S
        with self._lock:
            ended, self._ended = self._ended, 0
            for one in list(self._sessions.values()):
                if (one.push is None and one.left_s < limit) or not one.worker.is_alive():
                    self._end(one)
        if ended:  # before this sweep, so that their threads have let go of what they held
            give_back()

    def stop(self) -> None:
        """End all."""
        with self._lock:
            ending = list(self._sessions.values())
            for one in ending:
                self._end(one)
        for one in ending:
            one.worker.join(5)

    def _end(self, session: LiveSession) -> None:
        session.worker.stop()
        self._sessions.pop(session.id, None)
        self._ended += 1


def give_back() -> None:
    """Return freed memory to the system; glibc keeps it otherwise: 200 MB after three sessions, measured."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
