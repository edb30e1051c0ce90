"""`TrackedFace`: packets of a tracker in, in any order and at any rate; one frame of motion whenever one is due.

Notable choices: nothing here reads a clock, `now_s` is an argument. A frame shows the newest packet; one that is older
than what was shown is left out; where none comes, the last is held for a second, and then the face lives on by itself
(`IdleMotion`) until they come again. The first packets tell how the head rests before the tracker, so that a phone that
lies beside the screen does not turn the avatar away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from liveface.motion.idle import IdleMotion
from liveface.types import Array, Motion

REST_PACKETS = 15  # whose median is the head at rest: a quarter of a second of a phone
HOLD_S = 1.0  # how long the last packet is held
HAND_OVER_S = 0.25  # from idle life to the tracker and back
RESTART_S = 1.0  # a sender whose time falls back so far has begun anew


@dataclass(slots=True)
class TrackerCounts:
    """What became of the packets: taken, older than one that was taken, without a face."""

    packets: int = 0
    late: int = 0
    faceless: int = 0


class TrackedFace:
    """A face that a tracker drives; see the module's notes.

    Args:
        idle: its life without a tracker, at the rate of the frames.
        turn: dials put on the tracker's motion.

    Attributes:
        counts: what became of the packets.
    """

    def __init__(self, idle: IdleMotion, turn: Callable[[Motion], Motion] = lambda motion: motion) -> None:
        self._idle, self._turn = idle, turn
        self._life = idle.start()
        self.counts = TrackerCounts()
        self._heads: list[Array] = []
        self._rest: Array | None = None
        self._newest: Motion | None = None
        self._sent_s = -np.inf
        self._heard_s = -np.inf
        self._share = 0.0

    @property
    def driven(self) -> bool:
        """Whether the last frame was the tracker's, wholly or in part."""
        return self._share > 0

    def hear(self, motion: Motion | None, sent_s: float | None, now_s: float) -> None:
        """Take the motion (`T = 1`) of a packet, which came at `now_s`; None is a packet without a face.

        Args:
            sent_s: its time by the sender's clock; None where packets carry none, and count in the order they come.
        """
        self.counts.packets += 1
        if motion is None:
            self.counts.faceless += 1
            return
        if sent_s is not None:
            if self._sent_s - RESTART_S < sent_s <= self._sent_s and now_s - self._heard_s < HOLD_S:
                self.counts.late += 1
                return
            self._sent_s = sent_s
        self._heard_s = now_s
        if self._rest is None:
            self._heads.append(motion.head)
            if len(self._heads) == REST_PACKETS:
                self._rest, self._heads = np.median(np.concatenate(self._heads), axis=0).astype(np.float32), []
            return
        self._newest = replace(motion, head=motion.head - self._rest)

    def frame(self, now_s: float) -> Motion:
        """The frame that is due at `now_s`, `T = 1` at the rate of the idle motion."""
        self._life, own = self._idle.step(self._life)
        heard = self._newest is not None and now_s - self._heard_s < HOLD_S
        step = 1 / (HAND_OVER_S * self._idle.fps)
        self._share = float(np.clip(self._share + (step if heard else -step), 0, 1))
        if self._newest is None or self._share == 0:
            return own
        tracked = replace(self._turn(self._newest), spec=own.spec)
        share = np.float32(self._share * self._share * (3 - 2 * self._share))
        mixed = [
            getattr(own, name) * (1 - share) + getattr(tracked, name) * share for name in ("expression", "head", "gaze")
        ]
        return Motion(mixed[0], mixed[1], mixed[2], own.spec)
