"""Progress on standard error: frames of a video, steps of a creation."""

from __future__ import annotations

import sys
import time

PLAIN_EVERY_S = 5.0  # between lines of progress when standard error is no terminal
REDRAW_S = 0.2


class Meter:
    """Progress on standard error: frames, frames a second, time left.

    On a terminal one line is redrawn; elsewhere a plain line comes every few seconds.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._since = self._told = time.monotonic()
        self._open = False

    def __call__(self, done: int, expected: int) -> None:
        """Take the frames done and expected (0: unknown)."""
        now = time.monotonic()
        if done == 1:
            self._since = now  # reading and enrolling are no frames
        if self._quiet or now - self._told < (REDRAW_S if self._live else PLAIN_EVERY_S):
            return
        self._told = now
        rate = (done - 1) / max(now - self._since, 1e-6)
        text = f"{done} frames" if not expected else f"{done}/{max(done, expected)} frames"
        text += f"  {rate:.0f} fps"
        if expected > done and rate > 0:
            left = round((expected - done) / rate)
            text += f"  {left // 60}:{left % 60:02d} left"
        sys.stderr.write(f"\r{text:<60}" if self._live else f"{text}\n")
        sys.stderr.flush()
        self._open = self._live

    def close(self) -> None:
        """End the redrawn line."""
        if self._open:
            sys.stderr.write("\r" + " " * 60 + "\r")
            sys.stderr.flush()
            self._open = False


class Steps:
    """Progress of a creation on standard error: a line when something is new, else one every few seconds.

    Called with the stage, how far it is from 0 to 1, and words about it, which are never left out.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage, self._told = "", -PLAIN_EVERY_S

    def __call__(self, stage: str, share: float, words: str) -> None:
        """Take a step of the work."""
        now = time.monotonic()
        due = words or stage != self._stage or now - self._told >= PLAIN_EVERY_S
        if self._quiet or not due:
            return
        self._stage, self._told = stage, now
        sys.stderr.write(f"{stage:<10} {share:4.0%}  {words}".rstrip() + "\n")
        sys.stderr.flush()
