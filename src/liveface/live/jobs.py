"""Jobs of the HTTP API, one at a time, each in a process of its own: a face and a driver become a video, a photo or a
recording becomes an avatar.

Notable choices: a process can be ended at any moment and shares no network with the live sessions; it runs at low
priority, so that live pictures come first. An avatar is made by the command line's own verb, whose lines are read,
because training is no part of the run time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from liveface.errors import DeviceError, LivefaceError, SignalError
from liveface.live.subjects import Shelf, Unknown

MOST_WAITING = 8
MOST_KEPT = 32
NICE = 5
_STEP = re.compile(r"^(\w+)\s+(\d+)%\s*(.*)$")  # a line of `liveface create`
_UPLOADED = re.compile(r"\b[0-9a-f]{24}-")  # what stands before the name of an uploaded file
_SAMPLE = re.compile(r"sample (.+\.png)")
_NEEDS = ("torch", "litert_torch", "ai_edge_quantizer", "scipy")


class Busy(SignalError):
    """More is asked for than can be done now."""


@dataclass(slots=True)
class Job:
    """One job.

    Attributes:
        state: "waiting", "running", "done", "failed" or "cancelled".
        kind: "animate" or "create".
        frames, expected: done so far, and in all (0 when unknown).
        stage, share: of a creation: what is being done, and how far that is, 0 to 1.
        sample: a picture of what an avatar in the making shows.
        result: id of the face that was made.
        error: why it failed, in a sentence.
    """

    id: str
    kind: str
    face: Path
    driver: Path
    output: Path
    options: dict[str, Any]
    state: str = "waiting"
    frames: int = 0
    expected: int = 0
    stage: str = ""
    share: float = 0.0
    sample: Path | None = None
    result: str = ""
    error: str = ""
    process: Any = None


class Jobs:
    """The jobs of one server; a thread works them off.

    Args:
        folder: where their files lie.
        shelf: takes the avatars that are made.
    """

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self._folder, self._shelf = folder, shelf
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="liveface-jobs", daemon=True)

    def animate(self, face: Path, driver: Path, options: dict[str, Any]) -> Job:
        """A new job that makes a video; `Busy` when too many wait."""
        return self._add("animate", face, driver, options, ".mp4")

    def create(self, source: Path, options: dict[str, Any]) -> Job:
        """A new job that makes an avatar; options are name, minutes and consent.

        Raises:
            DeviceError: the `train` extra is missing. Busy: too many jobs wait.
        """
        if not can_create():
            raise DeviceError("avatars cannot be made here; expected the train extra: pip install 'liveface[train]'.")
        return self._add("create", source, source, options, ".avatar")

    def _add(self, kind: str, face: Path, driver: Path, options: dict[str, Any], suffix: str) -> Job:
        with self._changed:
            if sum(job.state == "waiting" for job in self._jobs.values()) >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} jobs wait already; expected fewer: try again later.")
            name = secrets.token_hex(12)
            job = Job(name, kind, face, driver, self._folder / f"job-{name}{suffix}", options)
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
                pipe = None
                if job.kind == "create":
                    job.process = start_creation(job)
                else:
                    job.process, pipe = start_animation(job)
            said = self._read(job) if pipe is None else self._follow(job, pipe)
            with self._changed:
                job.process = None
                if job.state == "running":
                    job.state, job.error = said[0], _UPLOADED.sub("", said[1])
                if job.state != "done":
                    job.output.unlink(missing_ok=True)

    def _follow(self, job: Job, pipe: Connection) -> tuple[str, str]:
        """Read what an animation says until it ends; returns the state and the error it ended with."""
        said = ("failed", "the job ended without a word; see the server's own output.")
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, value = pipe.recv()
                if kind == "progress":
                    job.frames, job.expected = value
                else:
                    said = (kind, value)
        job.process.join()
        pipe.close()
        return said

    def _read(self, job: Job) -> tuple[str, str]:
        """Read the lines of a creation until it ends; the avatar becomes a face of the shelf."""
        last = "the creation ended without a word."
        for line in job.process.stderr:
            last = line.strip() or last
            if found := _STEP.match(line):
                job.stage, job.share = found.group(1), int(found.group(2)) / 100
                sample = _SAMPLE.search(found.group(3))
                job.sample = Path(sample.group(1)) if sample else job.sample
        code = job.process.wait()
        job.process.stderr.close()
        job.sample = None
        try:
            if code == 0:
                job.result = self._shelf.take(job.output, f"{job.options['name']}.avatar").id
                return "done", ""
        except LivefaceError as error:
            last = str(error)
        finally:
            shutil.rmtree(job.output.with_suffix(".run"), ignore_errors=True)
            job.output.with_suffix(".report.html").unlink(missing_ok=True)
        return "failed", last.removeprefix("liveface: ")


def can_create() -> bool:
    """Whether the `train` extra is installed."""
    return all(find_spec(name) is not None for name in _NEEDS)


def start_creation(job: Job) -> subprocess.Popen[str]:
    """The verb `create` in a process of its own."""
    options = job.options
    command = [
        sys.executable, "-m", "liveface.cli", "create", str(job.face), f"--output={job.output}",
        f"--minutes={options['minutes']:g}", f"--name={options['name']}", f"--consent={options['consent']}",
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    return process


def start_animation(job: Job) -> tuple[Any, Connection]:
    """`run_job` in a process of its own, and the pipe it speaks into."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run_job, args=(theirs, job.face, job.driver, job.output, job.options), daemon=True)
    process.start()
    theirs.close()
    return process, mine


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
