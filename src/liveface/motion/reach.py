"""What one avatar has learned to show: the range of every number that steers it, and how its shoulders follow.

A decoder asked for what it never saw answers with ghosts: two brows, lids half let through. So an avatar keeps the
range of everything its decoders learned from, and whatever drives it is held softly to that: unchanged within, bent
beyond.

Notable choices:
- A range ends where only a few frames go further (`FEWEST`, `FEW`), not at a quantile of speech: a blink or a raised
  brow fills a hundredth of a recording and is drawn well.
- Beyond its range a number may still move by a tenth of the range, the head by more: the picture below is turned by
  geometry, which needs no learning.
- What never moved while learning (loudness, breath) stays where it was: weights of such inputs are chance.
- People's shoulders follow their heads, each person's by another share; a linear fit leaves a quarter of their motion.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from liveface.errors import MotionError
from liveface.types import ARKIT_INDEX, Array, Motion

FEWEST, FEW = 3, 0.002  # so many learned frames, or this share of them, lie at the end of a range or beyond
SLACK = 0.1  # of a range: how far beyond it a number is let
HEAD_SLACK = 0.35  # the same for the head's angles and shifts
RIDGE = 0.02  # pull of the shoulders' fit to the house's values, of the head's own spread
MOTION = {"expression": 52, "head": 6, "gaze": 4, "shoulders": 2}
"""Tracks that are held to their range, with their lengths."""
CONTROLS = {"visemes": 58, "landmarks": 85, "eyes": 18, "hair": 20, "body": 12}
"""Control vectors that are, as in `liveface.render.liveface.regions`."""

Limits = tuple[tuple[float, ...], tuple[float, ...]]
"""Lowest and highest values of every number of one track or control vector."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The learned ranges of one avatar.

    Attributes:
        ranges: name of a track in `MOTION` or of a control vector to its limits; what is absent is not held.
        follow: `[2][6]` shift of the shoulders (x, y in eye distances) for each number of the head; None leaves them to
            the house (`follow_house`).
    """

    ranges: dict[str, Limits] = field(default_factory=dict)
    follow: tuple[tuple[float, ...], ...] | None = None

    def motion(self, motion: Motion) -> Motion:
        """Motion (absolute expression, head and gaze from the reference) within reach."""
        if not self.ranges:
            return motion
        return replace(
            motion,
            expression=self.hold("expression", motion.expression),
            head=self.hold("head", motion.head),
            gaze=self.hold("gaze", motion.gaze),
        )

    def controls(self, controls: dict[str, Array]) -> dict[str, Array]:
        """Control vectors by name, within reach."""
        return {name: self.hold(name, value) for name, value in controls.items()}

    def shoulders(self, head: Array, house: float) -> Array:
        """Shift of the shoulders `[2]` in eye distances for a head `[6]`, y down.

        Args:
            house: how far they go with a centimetre of the head where the person's own manner is not known.
        """
        follow = follow_house(house) if self.follow is None else np.asarray(self.follow, np.float32)
        return self.hold("shoulders", np.asarray(follow @ head, np.float32))

    def hold(self, name: str, values: Array) -> Array:
        """Values `[..., D]` held to the range called `name`; unchanged where there is none."""
        if name not in self.ranges:
            return values
        low, high, room = _arrays(self.ranges[name], HEAD_SLACK if name == "head" else SLACK)
        inside = np.clip(values, low, high)
        return np.asarray(inside + room * np.tanh((values - inside) / np.maximum(room, 1e-6)), np.float32)

    def words(self) -> str:
        """What it holds, in a few words for people."""
        if "head" not in self.ranges:
            return "nothing is held to a range (an avatar of the first version)"
        low, high = (np.degrees(side[:3]) for side in self.ranges["head"])
        expression = self.ranges["expression"]
        most = {name: expression[1][ARKIT_INDEX[name]] for name in ("jawOpen", "browInnerUp", "eyeBlinkLeft")}
        return (
            f"nod {low[0]:+.0f} to {high[0]:+.0f}, turn {low[1]:+.0f} to {high[1]:+.0f}, tilt {low[2]:+.0f} to "
            f"{high[2]:+.0f} degrees; " + ", ".join(f"{name} to {value:.2f}" for name, value in most.items())
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            "ranges": {name: [list(low), list(high)] for name, (low, high) in self.ranges.items()},
            "follow": None if self.follow is None else [list(row) for row in self.follow],
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Reach:
        """From plain values.

        Raises:
            MotionError: a name, a length or a value is wrong.
        """
        sizes = MOTION | CONTROLS
        if set(values) != {"ranges", "follow"} or not isinstance(values["ranges"], dict):
            raise MotionError(f"a reach has {', '.join(map(str, values))[:60]}; expected ranges and follow.")
        ranges = {}
        for name, limits in values["ranges"].items():
            if name not in sizes:
                raise MotionError(f"a reach has no {name[:40]!r}; expected {', '.join(sizes)}.")
            low, high = _table(limits, sizes[name], f"the range of {name}")
            if any(one > other for one, other in zip(low, high, strict=True)):
                raise MotionError(f"the range of {name} ends before it begins; expected lowest values, then highest.")
            ranges[name] = (low, high)
        follow = values["follow"]
        return Reach(ranges, None if follow is None else _table(follow, MOTION["head"], "follow"))


def follow_house(house: float) -> Array:
    """`[2, 6]` shoulders that go with the head's shifts alone, `house` eye distances a centimetre."""
    follow = np.zeros((2, 6), np.float32)
    follow[0, 3] = follow[1, 4] = house
    return follow


def measure_reach(tracks: dict[str, Array], house: float) -> Reach:
    """The reach of what was learned.

    Args:
        tracks: learned frames `[N, D]` by name: every track in `MOTION`, every vector in `CONTROLS`.
        house: see `Reach.shoulders`.
    """
    ranges = {name: _limits(table) for name, table in tracks.items()}
    head, shoulders = tracks["head"].astype(np.float64), tracks["shoulders"].astype(np.float64)
    prior = follow_house(house).astype(np.float64)
    # Least squares on what the house's values leave over, through the reference, where head and shoulders are at zero.
    pull = np.diag(RIDGE * len(head) * np.square(np.maximum(head.std(0), 1e-3)))
    more = np.linalg.solve(head.T @ head + pull, head.T @ (shoulders - head @ prior.T)).T
    return Reach(ranges, tuple(tuple(round(float(value), 5) for value in row) for row in prior + more))


def _limits(table: Array) -> Limits:
    """Values of each column `[N, D]` that only a few frames go beyond."""
    few = min(max(FEWEST, round(FEW * len(table))), len(table)) - 1
    low, high = np.partition(table, few, axis=0)[few], np.partition(table, len(table) - 1 - few, axis=0)[-1 - few]
    high = np.maximum(low, high)
    return tuple(round(float(value), 4) for value in low), tuple(round(float(value), 4) for value in high)


@lru_cache(maxsize=64)
def _arrays(limits: Limits, slack: float) -> tuple[Array, Array, Array]:
    low, high = (np.asarray(side, np.float32) for side in limits)
    return low, high, np.asarray(slack * (high - low), np.float32)


def _table(rows: Any, width: int, what: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two rows of finite numbers."""
    right = isinstance(rows, list) and len(rows) == 2
    for row in rows if right else ():
        right &= isinstance(row, list) and len(row) == width
        right = right and all(type(value) in (int, float) and abs(value) < 1e3 for value in row)
    if not right:
        raise MotionError(f"{what} is {str(rows)[:60]!r}; expected two rows of {width} numbers.")
    first, second = (tuple(float(value) for value in row) for row in rows)
    return first, second
