"""`TalkStream`: a `Talker` in real time for asyncio; the event loop never waits for a picture.

Notable choices:
- Pictures are made in one thread when somebody asks for the next frame, so nothing piles up: a slow taker gets fewer.
- In real time a frame is handed over when it is due. Where pictures come too late they are left out and their sound
  goes with the next one. Players whose sound must not run dry are given some silence before it, by whoever feeds them.
- `say` waits while much sound is waiting; after an interruption what it held is forgotten too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liveface.agents.queue import Sound
from liveface.agents.talker import Talker, TalkFrame
from liveface.types import Array

NAP_S = 0.05  # a wait is looked at again so often
STALL_S = 1.0  # a program that slept so long goes on where it was
MOST_WAITING_S = 30.0  # of sound; more is not taken before some was said

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TalkCounts:
    """Frames handed over, pictures left out because they were late, and times the program was stopped."""

    frames: int = 0
    dropped: int = 0
    stalls: int = 0


class TalkStream:
    """Frames of a talker as an asynchronous iterator; see the module's notes.

    Args:
        talker: the face; this object alone may step it from now on.
        paced: real time; without, a frame comes as soon as it is asked for, for files.
        clock: seconds.

    Attributes:
        talker: the face.
        counts: what became of the frames.
    """

    def __init__(self, talker: Talker, *, paced: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self.talker, self.counts = talker, TalkCounts()
        self._paced, self._clock = paced, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="liveface-talker")
        self._zero_s: float | None = None  # when frame 0 was due
        self._done = 0  # frames made
        self._closed = False
        self._moved = asyncio.Event()  # something was said, forgotten or closed

    async def say(self, samples: Sound | Array, rate_hz: int | None = None) -> None:
        """Add sound; waits while `MOST_WAITING_S` of it are waiting.

        Raises:
            SignalError: see `Talker.say`.
        """
        epoch = self.talker.epoch
        while self.talker.waiting_s >= MOST_WAITING_S and not self._closed:
            self._moved.clear()
            await self._moved.wait()
        if epoch == self.talker.epoch and not self._closed:
            self.talker.say(samples, rate_hz)

    def end(self, mark: Any = None) -> None:
        """The segment is complete; `mark` comes out in the `ended` of its last frame."""
        self.talker.end(mark)

    def interrupt(self) -> float:
        """Forget what was not said yet and shut the mouth; the seconds of sound that were forgotten."""
        dropped = self.talker.interrupt()
        self._moved.set()
        return dropped

    async def drained(self) -> None:
        """Wait until all that was said is handed over; somebody must be taking frames."""
        while not self.talker.idle and not self._closed:
            self._moved.clear()
            await self._moved.wait()

    async def aclose(self) -> None:
        """End the stream and its thread."""
        self._closed = True
        self._moved.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)

    def __aiter__(self) -> AsyncIterator[TalkFrame]:
        return self

    async def __anext__(self) -> TalkFrame:
        late = await self._due()
        if self._closed:
            raise StopAsyncIteration
        frame = await asyncio.get_running_loop().run_in_executor(self._thread, self._make, late)
        self._moved.set()
        if frame.epoch != self.talker.epoch:  # cut off while it was made
            frame = replace(frame, sound=frame.sound[:0], ended=())
        return frame

    async def _due(self) -> int:
        """Wait until the next frame is due; how many pictures are late."""
        if not self._paced:
            await asyncio.sleep(0)
            return 0
        if self._zero_s is None:  # the first frame is due when it is there
            return 0
        while (early_s := self._zero_s + self._done / self.talker.fps - self._clock()) > 0 and not self._closed:
            await asyncio.sleep(min(early_s, NAP_S))
        behind_s = -early_s
        if behind_s > STALL_S:
            self._zero_s += behind_s
            self.counts.stalls += 1
            _log.warning("the face was held up for %.1f s and goes on from there.", behind_s)
            return 0
        return max(0, int(behind_s * self.talker.fps))

    def _make(self, late: int) -> TalkFrame:
        """The next frame, and before it `late` ones without a picture."""
        frames = [self.talker.step(draw=index == late) for index in range(late + 1)]
        if self._zero_s is None:
            self._zero_s = self._clock()
        last = frames[-1]
        kept = [frame for frame in frames if frame.epoch == last.epoch]
        self._done += len(frames)
        self.counts.frames += 1
        self.counts.dropped += late
        return replace(
            last,
            sound=np.concatenate([frame.sound for frame in kept]),
            ended=tuple(mark for frame in kept for mark in frame.ended),
            events=tuple(event for frame in frames for event in frame.events),
        )
