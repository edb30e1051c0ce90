"""`LiveSpeech`: packets of live sound in, at any size and rate and in any order; motion at the exact rate out.

Notable choices:
- Sound is placed by its own time stamps (`AudioBlock.start`, in samples of the sender). A packet is waited for until
  the frame that needs it is due; then its place is filled by what was heard last, fading, and when it comes after all
  it is too late and left out. So a frame is due every thirtieth of a second, whatever the network does.
- Nothing here reads a clock: `now_s` is an argument. Without it, frames come as soon as their sound is whole.
- The sender's clock and ours differ. When packets keep coming too late or too early, a hop of 8.3 ms is given twice or
  left out (in a pause as many as it takes), so that hours of stream neither starve nor pile up; the sound that is
  played elsewhere is not touched. When a quarter of a second of packets comes too late, the stream begins anew.
- An interruption throws away what was not shown yet and shuts the mouth within four frames, 133 ms.

Source: the ways of filling gaps and following clocks are those of telephony (ITU-T G.711 Appendix I; RFC 3550);
numbers are ours.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from liveface.errors import SignalError
from liveface.signals.features import FRAME_SAMPLES, HOP
from liveface.signals.resample import Resampler
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, Array, AudioBlock, Motion, State

DELAY_S = 0.04  # how long packets are waited for beyond their own length: jitter of a good network (chosen)
AHEAD_S = 2.0  # a packet that leaves a longer gap begins a new stream
BEHIND_S = 0.5  # and so does one that is later than this
LATE_RUN_S = 0.25  # and one after so much sound in a row that came too late
RECENT_S = 0.06  # heard last, to fill gaps with: four periods of a low voice
FADE_S = (0.03, 0.12)  # a gap is filled at full strength, then fading to silence
PERIOD_S = (0.0025, 0.015)  # of voices
SLACKS, ENOUGH = 128, 32  # packets by which clocks are compared, and how many are needed
EARLY_S, AHEAD_OF_TIME_S = 0.035, 0.5  # so early beyond the wait a hop is left out; earlier still is no live sender
KEEP_FRAMES = 10  # so often clocks are compared
LOWEST_SHARE = 0.05  # of the packets may come too late


class SpeechModel(Protocol):
    """What `LiveSpeech` needs of a motion model; `SpeechToMotion` is one."""

    def start(self) -> State: ...

    def step(self, state: State, signal: AudioBlock, eyes: Array | None = None) -> tuple[State, Motion]: ...

    def direct(self, state: State, *, emotion: Array | None = None, style: Array | None = None) -> State: ...

    def interrupt(self, state: State) -> State: ...

    def speaking(self, state: State) -> bool: ...


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """One frame of a live face.

    Attributes:
        index: frames since the beginning; it is shown from `index / 30` s on by our clock.
        motion: `T = 1`.
        sound_s: time in the sender's stream of the sound that this frame goes with.
        missing: share of that sound that never came, 0 to 1.
        events: of "speech-start", "speech-end", "interrupted" and "resync" (the sender's time jumped).
    """

    index: int
    motion: Motion
    sound_s: float
    missing: float
    events: tuple[str, ...] = ()


@dataclass(slots=True)
class LiveCounts:
    """What became of the sound: packets taken, too late and out of order; hops repeated and left out to keep time."""

    packets: int = 0
    late: int = 0
    reordered: int = 0
    filled_samples: int = 0
    repeated_hops: int = 0
    skipped_hops: int = 0
    resyncs: int = 0


class LiveSpeech:
    """A stream of live sound and the face it drives; see the module's notes.

    Args:
        model: speech to motion; its state is kept here.
        delay_s: how long to wait for packets beyond their own length; more survives more jitter.

    Attributes:
        state: of the model.
        counts: what became of the sound so far.
    """

    def __init__(self, model: SpeechModel, delay_s: float = DELAY_S) -> None:
        if not (np.isfinite(delay_s) and 0 <= delay_s <= 1):
            raise SignalError(f"a delay of {delay_s} s is not usable; expected 0 to 1: for instance {DELAY_S}.")
        self.model, self.delay_s = model, delay_s
        self.state = model.start()
        self.counts = LiveCounts()
        self._frames = 0
        self._zero_s: float | None = None  # our time of frame 0
        self._begun = False  # a packet has set the place of the stream
        self._events: list[str] = []
        self._eyes: Array | None = None
        self._speaking = False
        self._pieces: dict[int, Array] = {}  # packets that wait for an earlier one
        self._next = 0  # sample of the sender that is fed next
        self._sent_s = 0.0  # sender's time minus ours, in the stream of samples at the house rate
        self._late = 0  # samples of the sender in a row that came too late
        self._gap = 0  # samples of the sender filled since the last that came
        self._ready = np.zeros(0, np.float32)  # at the house rate, not used yet
        self._came = np.zeros(0, np.bool_)  # which of them came, rather than fill a gap
        self._slacks: deque[float] = deque(maxlen=SLACKS)
        self._resampler = Resampler(HOUSE_RATE_HZ)
        self._sound = self._resampler.start()
        self._recent = np.zeros(0, np.float32)

    def hear(self, block: AudioBlock, now_s: float | None = None) -> None:
        """Take a packet, whose `start` is its place in the sender's stream in samples of its own rate.

        Raises:
            SignalError: samples that are no numbers, or a rate that is not offered.
        """
        if not np.isfinite(block.samples).all():
            raise SignalError("sound has samples that are not finite; expected numbers from -1 to 1: check its source.")
        if not len(block.samples):
            return
        self.counts.packets += 1
        rate = block.rate_hz
        jump = (block.start - self._next) / rate
        if not self._begun or rate != self._resampler.rate_hz or not -BEHIND_S < jump < AHEAD_S:
            self._begin(block, now_s)
        elif now_s is not None:
            self._slacks.append(self._due(self._place(block.start)) - now_s)
        if block.start + len(block.samples) <= self._next:
            self.counts.late += 1
            self._late += len(block.samples)
            if self._late < LATE_RUN_S * rate:
                return
            self._begin(block, now_s)
        self._late = 0
        self.counts.reordered += any(start > block.start for start in self._pieces)
        self._pieces[block.start] = np.asarray(block.samples, np.float32)
        self._drain()
        waited = max(self._pieces, default=self._next) - self._next
        if now_s is None and waited > (self.delay_s + RECENT_S) * rate:  # nobody says when frames are due
            self._fill(min(self._pieces) - self._next)
            self._drain()

    def frames(self, now_s: float | None = None) -> list[LiveFrame]:
        """The frames that are due by `now_s` (seconds by our clock), or all whose sound is whole."""
        out: list[LiveFrame] = []
        if now_s is None:
            while len(self._ready) >= FRAME_SAMPLES:
                out.append(self._frame())
            return out
        if self._zero_s is None:
            self._zero_s = now_s
        while self._due(FRAME_SAMPLES * self._frames) <= now_s:
            self._keep_time()
            while len(self._ready) < FRAME_SAMPLES:
                self._make_up()
            out.append(self._frame())
        return out

    def interrupt(self) -> None:
        """Shut the mouth within four frames and forget the sound that was not shown; what comes next begins anew."""
        self._ready, self._came = self._ready[:0], self._came[:0]
        self._begun = False
        self._pieces.clear()
        self._gap = round(FADE_S[1] * self._resampler.rate_hz)  # silence follows, not an echo
        self.state = self.model.interrupt(self.state)
        self._events.append("interrupted")

    def direct(self, *, emotion: Array | None = None, style: Array | None = None) -> None:
        """Another emotion `[8]` or style `[4]` from the next frame on."""
        self.state = self.model.direct(self.state, emotion=emotion, style=style)

    def look(self, eyes: Array | None) -> None:
        """Measured eyes, a slot `[160]`, from the next frame on; None leaves them to idle life."""
        self._eyes = eyes

    def _due(self, place: int) -> float:
        """When the frame of a sample is due by our clock; `place` counts samples at the house rate."""
        assert self._zero_s is not None
        return self._zero_s + (place // FRAME_SAMPLES + 1) / HOUSE_FPS

    def _place(self, start: int) -> int:
        """Where a sample of the sender falls in our stream of samples at the house rate."""
        waiting = (start - self._next) * HOUSE_RATE_HZ // self._resampler.rate_hz
        return self._frames * FRAME_SAMPLES + len(self._ready) + waiting

    def _begin(self, block: AudioBlock, now_s: float | None) -> None:
        """A stream begins, or goes on elsewhere; with a clock, after as much silence as packets are waited for."""
        if self.counts.packets > 1:
            self.counts.resyncs += self._begun
            self._events += ["resync"] if self._begun else []
        if block.rate_hz != self._resampler.rate_hz or not self._begun:
            self._resampler = Resampler(block.rate_hz)
            self._sound = self._resampler.start()
            self._recent = np.zeros(round(RECENT_S * block.rate_hz), np.float32)
        self._pieces.clear()
        self._slacks.clear()
        self._begun, self._next = True, block.start
        if now_s is not None:
            self._zero_s = now_s if self._zero_s is None else self._zero_s
            length = len(block.samples) / block.rate_hz
            wanted_s = now_s - length + max(self.delay_s, 0.0) + length - self._zero_s
            here = self._frames * FRAME_SAMPLES + len(self._ready)
            self._take(np.zeros(max(0, round(wanted_s * HOUSE_RATE_HZ) - here), np.float32), came=True)
        here = self._frames * FRAME_SAMPLES + len(self._ready)
        self._sent_s = block.start / block.rate_hz - here / HOUSE_RATE_HZ

    def _drain(self) -> None:
        """Feed the packets whose turn it is."""
        while self._pieces and (first := min(self._pieces)) <= self._next:
            samples = self._pieces.pop(first)[self._next - first :]
            if len(samples):
                self._gap = 0
                self._feed(samples, came=True)

    def _feed(self, samples: Array, *, came: bool) -> None:
        """Samples of the sender, in order and without gaps."""
        self._next += len(samples)
        kept = len(self._recent)
        if came:
            self._recent = np.concatenate([self._recent, samples])[-kept:]
        self._sound, made = self._resampler.step(self._sound, samples)
        self._take(made, came=came)

    def _take(self, samples: Array, *, came: bool) -> None:
        self._ready = np.concatenate([self._ready, samples])
        self._came = np.concatenate([self._came, np.full(len(samples), came)])

    def _fill(self, count: int) -> None:
        """Fill a gap of `count` samples of the sender."""
        rate = self._resampler.rate_hz
        self.counts.filled_samples += count
        for at in range(0, count, rate):  # a long gap at a time
            part = min(rate, count - at)
            self._feed(filling(self._recent, part, self._gap, rate), came=False)
            self._gap += part

    def _make_up(self) -> None:
        """A frame is due and its sound is not whole: fill up to the next packet that waits, or to the frame's end."""
        if not self._begun:
            self._take(np.zeros(FRAME_SAMPLES - len(self._ready), np.float32), came=False)
            return
        missing = (FRAME_SAMPLES - len(self._ready)) * self._resampler.rate_hz // HOUSE_RATE_HZ + 1
        waiting = min(self._pieces) - self._next if self._pieces else missing
        self._fill(min(missing, waiting))
        self._drain()

    def _keep_time(self) -> None:
        """Three times a second: give a hop twice when packets keep coming too late, leave out some when too early."""
        if self._frames % KEEP_FRAMES or len(self._slacks) < ENOUGH or len(self._ready) < HOP:
            return
        low = float(np.quantile(np.array(self._slacks), LOWEST_SHARE))
        if low < 0:
            self._ready = np.concatenate([self._ready[:HOP], self._ready])
            self._came = np.concatenate([self._came[:HOP], self._came])
            moved, self.counts.repeated_hops = HOP, self.counts.repeated_hops + 1
        elif self.delay_s + EARLY_S < low < AHEAD_OF_TIME_S:
            hops = 1 if self._speaking else int((low - self.delay_s) * HOUSE_RATE_HZ) // HOP
            hops = min(hops, len(self._ready) // HOP)
            self._ready, self._came = self._ready[hops * HOP :], self._came[hops * HOP :]
            moved, self.counts.skipped_hops = -hops * HOP, self.counts.skipped_hops + hops
        else:
            return
        self._sent_s -= moved / HOUSE_RATE_HZ
        self._slacks = deque((slack + moved / HOUSE_RATE_HZ for slack in self._slacks), maxlen=SLACKS)

    def _frame(self) -> LiveFrame:
        """The next frame of what is ready."""
        samples, came = self._ready[:FRAME_SAMPLES], self._came[:FRAME_SAMPLES]
        self._ready, self._came = self._ready[FRAME_SAMPLES:], self._came[FRAME_SAMPLES:]
        self.state, motion = self.model.step(self.state, AudioBlock(samples, self._frames * FRAME_SAMPLES), self._eyes)
        speaking = self.model.speaking(self.state)
        if speaking != self._speaking:
            self._events.append("speech-start" if speaking else "speech-end")
        events, self._events, self._speaking = tuple(self._events), [], speaking
        at_s = self._sent_s + self._frames / HOUSE_FPS
        self._frames += 1
        return LiveFrame(self._frames - 1, motion, at_s, float(1 - came.mean()), events)


def filling(recent: Array, count: int, done: int, rate_hz: int) -> Array:
    """`count` samples that go on from the newest ones `[S]`: their last period again and again, fading.

    Args:
        done: samples of this gap that are filled already.
    """
    fade = np.interp((done + np.arange(count)) / rate_hz, FADE_S, (1.0, 0.0)).astype(np.float32)
    low, high = (round(limit * rate_hz) for limit in PERIOD_S)
    template = min(high, len(recent) - high)
    if not fade.any() or template <= low:
        return np.zeros(count, np.float32)
    end = recent[len(recent) - template :].astype(np.float64)
    past = np.lib.stride_tricks.sliding_window_view(
        recent[len(recent) - template - high :].astype(np.float64), template
    )
    lags = np.arange(low, high + 1)
    shifted = past[high - lags]  # [lags, template]
    likeness = shifted @ end / np.sqrt(np.square(shifted).sum(1) + 1e-9)
    period = int(lags[int(np.argmax(likeness))])
    at = (done + np.arange(count)) % period
    return np.asarray(recent[len(recent) - period :][at] * fade, np.float32)
