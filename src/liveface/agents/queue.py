"""`SoundQueue`: speech that waits to be spoken, in segments."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.int16]


class SoundQueue:
    """Samples in, samples out, in order; a mark stands behind the last sample of a segment.

    Attributes:
        waiting: samples that were put in and not taken yet.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._blocks: deque[Sound] = deque()
        self._taken = 0  # samples since the beginning
        self._marks: deque[tuple[int, Any]] = deque()  # the sample a mark stands before, and what it says

    def put(self, samples: Sound) -> None:
        """Add samples `[S]`."""
        if len(samples):
            self._blocks.append(samples)
            self.waiting += len(samples)

    def end(self, mark: Any) -> None:
        """End the segment here; `mark` comes out with its last sample."""
        self._marks.append((self._taken + self.waiting, mark))

    @property
    def marks(self) -> int:
        """How many ends of segments wait."""
        return len(self._marks)

    @property
    def whole(self) -> int | None:
        """Samples until the next end of a segment, None when none is known."""
        return self._marks[0][0] - self._taken if self._marks else None

    def take(self, count: int) -> tuple[Sound, tuple[Any, ...]]:
        """Up to `count` samples of one segment, and the marks that stand behind them."""
        wanted = min(count, self.waiting if self.whole is None else self.whole)
        parts, missing = [np.zeros(0, np.int16)], wanted
        while missing:
            block = self._blocks.popleft()
            if len(block) > missing:
                self._blocks.appendleft(block[missing:])
            parts.append(block[:missing])
            missing -= len(parts[-1])
        self._taken += wanted
        self.waiting -= wanted
        marks = []
        while self._marks and self._marks[0][0] <= self._taken:
            marks.append(self._marks.popleft()[1])
        return np.concatenate(parts), tuple(marks)

    def clear(self) -> int:
        """Forget all that waits; the number of samples of it."""
        dropped, self.waiting = self.waiting, 0
        self._taken += dropped
        self._blocks.clear()
        self._marks.clear()
        return dropped
