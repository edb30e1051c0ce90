"""`Recording`: what a session shows, and the sound that goes with it, as an MP4.

Notable choices: pictures are written at the exact rate, a dropped one as its predecessor, so that the file stays in
time; sound is kept by the sender's own time and cut where the pictures say, so that the file has the offset of the
page and no other. The file is whole when the recording stops; a broken session leaves nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liveface.errors import SinkError
from liveface.signals.resample import Resampler
from liveface.sinks import VideoSink
from liveface.subject import fit
from liveface.types import HOUSE_FPS, Array, AudioBlock, Frame, Pixels, State

RATE_HZ = 48_000
KEPT_S = 4.0  # of sound, around what is shown
MOST_S = 1800.0  # of a recording
_STEP = RATE_HZ // HOUSE_FPS


class SoundShelf:
    """The newest sound of a sender, by its place in the sender's stream, at `RATE_HZ`."""

    def __init__(self) -> None:
        self._samples = np.zeros(round(KEPT_S * RATE_HZ), np.float32)
        self._end = 0  # place after the newest sample
        self._resampler: Resampler | None = None
        self._state: State = {}
        self._next = 0  # sample of the sender expected next
        self._place = 0  # where it goes

    def clear(self) -> None:
        """Forget all of it."""
        self._samples[:] = 0
        self._resampler = None

    def put(self, block: AudioBlock) -> None:
        """Keep a block where its `start` says."""
        if self._resampler is None or self._resampler.rate_hz != block.rate_hz or block.start != self._next:
            self._resampler = Resampler(block.rate_hz, RATE_HZ)
            self._state = self._resampler.start()
            self._place = round(block.start * RATE_HZ / block.rate_hz)
        self._state, made = self._resampler.step(self._state, block.samples)
        self._next = block.start + len(block.samples)
        self._write(self._place, made)
        self._place += len(made)

    def cut(self, at_s: float) -> Array:
        """The sound of the frame that begins at `at_s` of the sender's time `[S]`; silence where there is none."""
        places = round(at_s * RATE_HZ) + np.arange(_STEP)
        known = (places < self._end) & (places >= max(0, self._end - len(self._samples)))
        return np.where(known, self._samples[places % len(self._samples)], 0).astype(np.float32)

    def _write(self, place: int, samples: Array) -> None:
        room = len(self._samples)
        if place < self._end - room or place > self._end + room:  # another time: what was kept is of no use
            self._samples[:] = 0
            self._end = place
        elif place > self._end:
            self._samples[np.arange(self._end, place) % room] = 0
        self._samples[(place + np.arange(len(samples))) % room] = samples
        self._end = max(self._end, place + len(samples))


class Recording:
    """One file that grows.

    Args:
        path: of the MP4; size: width and height of it.

    Attributes:
        frames: written so far.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path, self._size = path, size
        self._sink = VideoSink(path, size, HOUSE_FPS, RATE_HZ)
        self._sink.__enter__()
        self._open = True

    @property
    def frames(self) -> int:
        """Frames so far."""
        return self._sink.frames

    @property
    def full(self) -> bool:
        """Whether it is as long as a recording may be."""
        return self.frames >= MOST_S * HOUSE_FPS

    def write(self, pixels: Pixels, sound: Array, times: int = 1) -> None:
        """A picture that is shown for `times` frames, and the sound `[times * S]` of them."""
        picture = fit(pixels, self._size)
        for index in range(times):
            start = self._sink.frames * _STEP
            part = AudioBlock(sound[index * _STEP : (index + 1) * _STEP], start, RATE_HZ)
            self._sink.write(Frame(picture, self._sink.frames, HOUSE_FPS), part)

    def finish(self) -> float:
        """Complete the file; returns its length in seconds.

        Raises:
            SinkError: nothing was written.
        """
        assert self._open
        self._open = False
        self._sink.__exit__(None, None, None)
        return self.frames / HOUSE_FPS

    def abandon(self) -> None:
        """Leave no file."""
        if self._open:
            self._open = False
            error = SinkError("the recording was abandoned.")
            self._sink.__exit__(type(error), error, None)
