"""`Resampler`: sound at any rate to the house's or another, block by block, with its past as explicit state.

Notable choices: a windowed sinc of 24 zero crossings, one row of weights per position between two source samples, so
that every output sample is one small product and any cut of the stream gives the same bits; 0.5 ms of delay at 48 kHz.
Files go through soxr, which is better and hides its state; this is for live sound.

Source: Smith, "Digital audio resampling"; the Kaiser window's beta of 8 puts images 80 dB down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from liveface.errors import SignalError
from liveface.types import HOUSE_RATE_HZ, Array, State

CROSSINGS = 12  # zero crossings of the sinc on either side
ROLL_OFF = 0.92  # of the lower Nyquist frequency
BETA = 8.0
RATES_HZ = (4000, 192_000)
MOST_PHASES = 4800  # rates whose ratio to the wanted rate needs more rows of weights are refused


@dataclass(frozen=True, slots=True)
class Resampler:
    """Blocks `[S]` at `rate_hz` in, what of the stream is known at `wanted_hz` out.

    Output sample `n` lies at source sample `n * rate_hz / wanted_hz` and needs `delay` source samples after it.
    """

    rate_hz: int
    wanted_hz: int = HOUSE_RATE_HZ
    _ratio: Fraction = field(init=False, repr=False)
    _weights: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not RATES_HZ[0] <= self.rate_hz <= RATES_HZ[1]:
            raise SignalError(
                f"live sound at {self.rate_hz} Hz is not usable; expected {RATES_HZ[0]} to {RATES_HZ[1]}: "
                "for instance 16000 or 48000."
            )
        ratio = Fraction(self.rate_hz, self.wanted_hz)
        if ratio.denominator > MOST_PHASES:
            raise SignalError(
                f"live sound at {self.rate_hz} Hz does not divide well into {self.wanted_hz} Hz; expected a usual "
                "rate: for instance 16000, 44100 or 48000."
            )
        object.__setattr__(self, "_ratio", ratio)
        object.__setattr__(self, "_weights", _rows(ratio))

    @property
    def delay(self) -> int:
        """Source samples that must follow the position of an output sample; 0 when the rates agree."""
        return 0 if self._ratio == 1 else self._weights.shape[1] // 2

    def start(self) -> State:
        """The state before the first sample: silence.

        `past` holds the newest samples; `at` the index of the next output sample and of the next source sample.
        """
        reach = 0 if self._ratio == 1 else self._weights.shape[1] + int(self._ratio) + 1
        return {"past": np.zeros(reach, np.float32), "at": np.zeros(2, np.int64)}

    def step(self, state: State, samples: Array) -> tuple[State, Array]:
        """The samples at the wanted rate that `samples` complete."""
        past, (made, seen) = np.asarray(state["past"], np.float32), (int(value) for value in state["at"])
        stream = np.concatenate([past, np.asarray(samples, np.float32)])
        seen += len(samples)
        if self._ratio == 1:
            return {"past": past, "at": np.array([seen, seen], np.int64)}, stream
        # Output n is complete when source samples up to floor(n * ratio) + delay are there.
        up, down = self._ratio.numerator, self._ratio.denominator
        last = max(made, -(-(seen - self.delay) * down // up))
        numbers = np.arange(made, last, dtype=np.int64)
        whole, phase = np.divmod(numbers * up, down)
        taps = self._weights.shape[1]
        first = whole - taps // 2 + 1 - (seen - len(stream))  # index into `stream` of the oldest sample of each
        rows = stream[first[:, None] + np.arange(taps)] if last > made else np.zeros((0, taps), np.float32)
        out: Array = (rows * self._weights[phase]).sum(1, dtype=np.float32)
        return {"past": stream[len(stream) - len(past) :], "at": np.array([last, seen], np.int64)}, out


def _rows(ratio: Fraction) -> npt.NDArray[np.float32]:
    """Weights `[phases, taps]` of the source samples around each position between two of them."""
    scale = ROLL_OFF * min(1.0, 1 / float(ratio))  # cut-off as a share of the source's Nyquist frequency
    half = int(np.ceil(CROSSINGS / scale))
    between = np.arange(ratio.denominator)[:, None] / ratio.denominator
    away = np.arange(-half + 1, half + 1)[None] - between  # [phases, taps]
    window = np.i0(BETA * np.sqrt(np.maximum(0, 1 - (away / half) ** 2))) / np.i0(BETA)
    rows = np.sinc(away * scale) * window
    return np.asarray(rows / rows.sum(1, keepdims=True), np.float32)
