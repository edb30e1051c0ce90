"""How long each stage takes: a stopwatch per stage and percentiles of what it saw."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class StageTime:
    """Milliseconds a call of one stage: how many calls, median, 95th percentile and sum."""

    calls: int
    p50_ms: float
    p95_ms: float
    total_ms: float


@dataclass(slots=True)
class Stopwatch:
    """Collects the duration of every call, by stage; eight bytes a call."""

    _seen: dict[str, array[float]] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` block as one call of `stage`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seen.setdefault(stage, array("d")).append((time.perf_counter() - begin) * 1e3)

    def stages(self) -> dict[str, StageTime]:
        """Every stage seen so far, in the order of its first call."""
        return {name: _summarise(np.frombuffer(values)) for name, values in self._seen.items()}


def _summarise(values: np.ndarray) -> StageTime:
    low, high = np.percentile(values, [50, 95])
    return StageTime(len(values), float(low), float(high), float(values.sum()))
