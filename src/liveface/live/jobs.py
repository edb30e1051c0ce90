"""Animation jobs of the HTTP API: a face and a driver become a file, one job at a time, in a process of its own.

Notable choices: a process can be ended at any moment and shares no network with the live sessions; it runs at low
priority, so that live pictures come first.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from liveface.errors import LivefaceError, SignalError
from liveface.live.subjects import Unknown

MOST_WAITING = 8
MOST_KEPT = 32
OPTIONS = ("fps", "motion_scale", "head", "blink", "seed")
NICE = 5


class Busy(SignalError):
    """More is asked for than can be done now."""


@dataclass(slots=True)
class Job:
    """One job.

    Attributes:
        state: "waiting", "running", "done", "failed" or "cancelled".
        frames, expected: done so far, and in all (0 when unknown).
        error: why it failed, in a sentence.
    """

    id: str
    face: Path
    driver: Path
    output: Path
    options: dict[str, Any]
    state: str = "waiting"
    frames: int = 0
    expected: int = 0
    error: str = ""
    process: Any = None


class Jobs:
    """The jobs of one server; a thread works them off.

    Args:
        folder: where their files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="liveface-jobs", daemon=True)

    def add(self, face: Path, driver: Path, options: dict[str, Any]) -> Job:
        """A new job.

        Raises:
            Busy: too many wait already.
        """
        with self._changed:
            if sum(job.state == "waiting" for job in self._jobs.values()) >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} jobs wait already; expected fewer: try again later.")
            name = secrets.token_hex(12)
            job = Job(name, face, driver, self._folder / f"job-{name}.mp4", options)
            self._jobs[name] = job
            ended = [one for one in self._jobs.values() if one.state not in ("waiting", "running")]
            for old in ended[: max(0, len(self._jobs) - MOST_KEPT)]:
                self._forget(old)
            if not self._thread.is_alive():
                self._thread.start()
            self._changed.notify_all()
        return job

    def get(self, name: str) -> Job:
        """One of the jobs.

        Raises:
            Unknown: there is none of that id.
        """
        with self._changed:
            if name not in self._jobs:
                raise Unknown(f"there is no job {name!r}; expected the id of one that was made here.")
            return self._jobs[name]

    def remove(self, name: str) -> None:
        """Cancel a job and forget it and its file."""
        job = self.get(name)
        with self._changed:
            job.state = "cancelled"
            if job.process is not None:
                job.process.terminate()
            self._forget(job)

    def stop(self) -> None:
        """End the thread and whatever runs."""
        with self._changed:
            self._ending = True
            for job in self._jobs.values():
                if job.process is not None:
                    job.process.terminate()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(10)

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        job.output.unlink(missing_ok=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                waiting = [job for job in self._jobs.values() if job.state == "waiting"]
                if self._ending:
                    return
                if not waiting:
                    self._changed.wait()
                    continue
                job = waiting[0]
                job.state = "running"
                context = multiprocessing.get_context("spawn")
                mine, theirs = context.Pipe(duplex=False)
                job.process = context.Process(
                    target=run_job, args=(theirs, job.face, job.driver, job.output, job.options), daemon=True
                )
                job.process.start()
                theirs.close()
            self._follow(job, mine)

    def _follow(self, job: Job, pipe: Connection) -> None:
        """Read what a running job says until it ends."""
        said: tuple[str, Any] = ("failed", "the job ended without a word; see the server's own output.")
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, value = pipe.recv()
                if kind == "progress":
                    job.frames, job.expected = value
                else:
                    said = (kind, value)
        job.process.join()
        pipe.close()
        with self._changed:
            job.process = None
            if job.state == "running":
                job.state, job.error = said[0], said[1]
            if job.state != "done":
                job.output.unlink(missing_ok=True)


def run_job(pipe: Connection, face: Path, driver: Path, output: Path, options: dict[str, Any]) -> None:
    """What the job's own process does: animate, and say how far it is."""
    from liveface import session

    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        session.animate(face, driver, output, progress=lambda *done: pipe.send(("progress", done)), **options)
        pipe.send(("done", ""))
    except LivefaceError as error:
        pipe.send(("failed", str(error)))
