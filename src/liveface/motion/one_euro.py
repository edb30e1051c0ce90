"""One-Euro filter: smooth when still, quick when moving. Source: Casiez, Roussel and Vogel, CHI 2012."""

from __future__ import annotations

import numpy as np

from liveface.types import Array


class OneEuro:
    """Filters vectors of one length; state lives in the object and starts with the first value."""

    def __init__(
        self, rate_hz: float, cutoff_hz: Array | float, slope: Array | float, speed_cutoff_hz: float = 2.0
    ) -> None:
        """`cutoff_hz` at rest; it grows by `slope` hertz per unit of speed (units per second)."""
        self._rate_hz = rate_hz
        self._cutoff_hz = cutoff_hz
        self._slope = slope
        self._speed_share = self._share(speed_cutoff_hz)
        self._value: Array | None = None
        self._speed: Array | None = None

    def _share(self, cutoff_hz: Array | float) -> Array:
        step = 2 * np.pi * np.asarray(cutoff_hz, np.float32) / self._rate_hz
        return np.asarray(step / (step + 1), np.float32)

    def step(self, value: Array) -> Array:
        """The filtered value at this frame."""
        if self._value is None or self._speed is None:
            self._value, self._speed = value.astype(np.float32), np.zeros_like(value, np.float32)
            return self._value
        speed = (value - self._value) * self._rate_hz
        self._speed = self._speed + self._speed_share * (speed - self._speed)
        share = self._share(np.asarray(self._cutoff_hz + self._slope * np.abs(self._speed), np.float32))
        self._value = (self._value + share * (value - self._value)).astype(np.float32)
        return self._value
