"""What a call sends: `Pictures` and `Voice`, tracks that wait for the session's thread and never queue what is late."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from liveface.types import Array

SOUND_HZ, PACKET = 48_000, 960  # 20 ms
MOST_HELD = SOUND_HZ  # samples that wait to be sent


class Pictures(MediaStreamTrack):  # type: ignore[misc]
    """The newest picture, each at most once."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._frame: av.VideoFrame | None = None
        self._there = asyncio.Event()

    def put(self, frame: av.VideoFrame) -> None:
        """Show `frame` next; one that was not fetched is left out."""
        self._frame = frame
        self._there.set()

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._there.set()

    async def recv(self) -> av.VideoFrame:
        """The next picture; waits for it."""
        while self._frame is None:
            if self.readyState != "live":
                raise MediaStreamError
            self._there.clear()
            await self._there.wait()
        frame, self._frame = self._frame, None
        return frame


class Voice(MediaStreamTrack):  # type: ignore[misc]
    """Sound in packets of 20 ms, on the clock of the pictures."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._held = np.zeros(0, np.float32)
        self._end = 0  # sample after the last one that is held
        self._there = asyncio.Event()

    def put(self, sound: Array, end: int) -> None:
        """Add `sound`, which ends before sample `end`; what waits for longer than a second is left out."""
        self._held = np.concatenate([self._held, sound])[-MOST_HELD:]
        self._end = end
        self._there.set()

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._there.set()

    async def recv(self) -> av.AudioFrame:
        """The next packet; waits for it."""
        while len(self._held) < PACKET:
            if self.readyState != "live":
                raise MediaStreamError
            self._there.clear()
            await self._there.wait()
        begin = self._end - len(self._held)
        samples, self._held = self._held[:PACKET], self._held[PACKET:]
        coded = np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(coded[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_HZ, begin, Fraction(1, SOUND_HZ)
        return frame
