"""`Talker`: sound of a voice agent in, at any pace; one picture and the sound that belongs to it out, frame by frame.

Speech of an agent comes faster than it is spoken, in segments with an end, and is cut off when the user speaks.
Notable choices:
- Sound waits here and is taken a frame at a time, together with the picture whose mouth says it, so the two cannot
  part. It goes out as it came, at the agent's own rate; nothing is added to it: where none is there the frame's sound
  is shorter or empty, and the face lives on by itself.
- A segment that runs dry before its end waits on a frame's beginning, so that no click is cut into a word.
- At 25 fps pictures lie between two motions of 30, and picture and sound go out one frame later; at 30 fps at once.
- After an interruption motion is wound on, so that the mouth is shut in the third frame at the latest.
- It reads no clock: `TalkStream` does. All but `step` may be called while another thread is in `step`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from liveface.agents.queue import Sound, SoundQueue
from liveface.driver import speech_model
from liveface.errors import SignalError
from liveface.motion.audio import SpeechToMotion
from liveface.motion.behaviour import Behaviour
from liveface.motion.emotion import parse_emotions
from liveface.motion.idle import IdleMotion
from liveface.motion.live import LiveSpeech
from liveface.motion.style import STYLES, parse_style
from liveface.session import Options, Session
from liveface.signals.features import FRAME_SAMPLES
from liveface.signals.resample import Resampler
from liveface.subject import Subject, fit
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, Array, AudioBlock, Motion, Pixels, State

HOLD_S = 0.25  # a segment without an end that is shorter than a frame is held for so long
WOUND_ON = {30: 1, 25: 2}  # frames of motion that are left out after an interruption: shut within 100 and 120 ms
_SPARE = 2  # samples that are kept back where a frame is no whole number of them
_FULL = 32768.0


@dataclass(frozen=True, slots=True)
class TalkFrame:
    """One frame of a talking face.

    Attributes:
        index: frames since the beginning.
        pixels: uint8 `[H, W, 3]`; None where the picture was left out.
        sound: int16 `[S]` mono, what is said while the picture is shown; empty where nothing is.
        ended: the marks of the segments whose last sample this is.
        epoch: interruptions before it.
        speaking: whether a segment is under way.
        events: "speech-start", "speech-end" and "interrupted", by ear.
    """

    index: int
    pixels: Pixels | None
    sound: Sound
    ended: tuple[Any, ...] = ()
    epoch: int = 0
    speaking: bool = False
    events: tuple[str, ...] = ()


@dataclass(slots=True)
class _Taken:
    """What was taken out of the queue for one frame."""

    sound: Sound = field(default_factory=lambda: np.zeros(0, np.int16))
    ended: tuple[Any, ...] = ()
    epoch: int = 0


class Talker:
    """A face that says what it is given; see the module's notes.

    Args:
        subject: a photo or an avatar, by name, as pixels, or an opened `Session`.
        rate_hz: of the sound that goes out; sound that comes in at another is resampled.
        options: the fields of `Options` by name, where `subject` is no session: `fps`, `size`, `seed` and so on.

    Attributes:
        size: width and height of the pictures.
        fps: 25 or 30.
        rate_hz: of the sound that goes out.
        epoch: interruptions so far.
    """

    def __init__(self, subject: str | Path | Subject | Session, rate_hz: int = HOUSE_RATE_HZ, **options: Any) -> None:
        if isinstance(subject, Session) and options:
            raise SignalError(f"a session was given together with {', '.join(options)}; open the session with them.")
        session = subject if isinstance(subject, Session) else Session(subject, Options(**options))
        chosen = session.options
        assert chosen.size is not None
        self._session, self.size, self.fps, self.rate_hz = session, chosen.size, chosen.fps, rate_hz
        model = speech_model(chosen.dials, _manner(session.behaviour, chosen), threads=chosen.threads)
        if not isinstance(model, SpeechToMotion):
            raise SignalError("quality 'best' hears a recording as a whole; expected 'live' for an agent's voice.")
        self._live = LiveSpeech(model)
        self._wished: dict[str, Array] = {}  # emotion and style from the next frame on
        self._drawn: State = session.renderer.start()
        self._lock = threading.Lock()
        self._queue, self.epoch, self._cut = SoundQueue(), 0, False
        self._source: tuple[Resampler, State] | None = None  # of the segment that comes in
        self._ear = _Ear(rate_hz)
        self._late = _Taken()  # at 25 fps what goes out with the next picture
        self._frames = self._held = 0
        self._heard = self._wound = 0  # frames of motion, and how many of them were left out
        self._motions: list[Motion] = []  # the newest

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that were not said yet."""
        with self._lock:
            return (self._queue.waiting + len(self._late.sound)) / self.rate_hz

    @property
    def idle(self) -> bool:
        """Whether neither sound nor the end of a segment waits."""
        with self._lock:
            late = len(self._late.sound) or self._late.ended
            return not (self._queue.waiting or self._queue.marks or late)

    def say(self, samples: Sound | Array, rate_hz: int | None = None) -> None:
        """Add sound to the segment: int16, or float32 from -1 to 1, `[S]` or `[S, channels]`.

        Raises:
            SignalError: samples that are no numbers, or a rate that is not offered.
        """
        sound = _floats(samples)
        rate = rate_hz or self.rate_hz
        with self._lock:
            if self._source is not None and self._source[0].rate_hz != rate:
                self._flush()
            if rate == self.rate_hz:
                self._queue.put(_whole(sound))
                return
            if self._source is None:
                resampler = Resampler(rate, self.rate_hz)
                self._source = (resampler, resampler.start())
            resampler, state = self._source
            state, made = resampler.step(state, sound)
            self._source = (resampler, state)
            self._queue.put(_whole(made))

    def end(self, mark: Any = None) -> None:
        """The segment is complete; `mark` comes out with its last sample."""
        with self._lock:
            self._flush()
            self._queue.end(mark)

    def direct(self, *, emotion: str | None = None, style: str | None = None) -> None:
        """Speak with another emotion, such as "happy:0.7", or style from the next frame on; "" is none.

        Raises:
            MotionError: a name or a number that is not offered.
        """
        wished = {} if emotion is None else {"emotion": parse_emotions(emotion or "neutral")}
        wished |= {} if style is None else {"style": parse_style(style) if style else np.zeros(len(STYLES), np.float32)}
        with self._lock:
            self._wished |= wished

    def interrupt(self) -> float:
        """Forget what was not said yet and shut the mouth; the seconds of sound that were forgotten."""
        with self._lock:
            dropped = self._queue.clear() + len(self._late.sound)
            self._late, self._source, self._held = _Taken(epoch=self.epoch + 1), None, 0
            self.epoch, self._cut = self.epoch + 1, True
        return dropped / self.rate_hz

    def step(self, *, draw: bool = True) -> TalkFrame:
        """The next frame; without `draw` its picture is left out, and time goes on all the same."""
        index = self._frames
        samples = self.rate_hz * (index + 1) // self.fps - self.rate_hz * index // self.fps
        with self._lock:
            cut, self._cut = self._cut, False
            wished, self._wished = self._wished, {}
            taken = self._take(samples)
            speaking = bool(len(taken.sound) or self._queue.waiting)
        if wished:
            self._live.direct(**wished)
        events = self._hear(taken.sound, samples, cut=cut)
        motion = self._motion(index)
        self._frames += 1
        pixels = None
        if draw:
            self._drawn, frames = self._session.renderer.step(self._drawn, motion)
            pixels = fit(frames[-1].pixels, self.size)
        if self.fps != HOUSE_FPS:
            with self._lock:
                if taken.epoch == self.epoch:
                    taken, self._late = self._late, taken
        return TalkFrame(index, pixels, taken.sound, taken.ended, taken.epoch, speaking, events)

    def _flush(self) -> None:
        """What the resampler of a segment holds back."""
        if self._source is not None:
            resampler, state = self._source
            _, made = resampler.step(state, np.zeros(resampler.delay + 1, np.float32))
            self._queue.put(_whole(made))
            self._source = None

    def _take(self, samples: int) -> _Taken:
        """The sound of the next frame, nothing where a word would be cut in two."""
        queue = self._queue
        short = queue.whole is None and queue.waiting < samples
        self._held = self._held + 1 if short and queue.waiting else 0
        if short and self._held <= HOLD_S * self.fps:
            return _Taken(epoch=self.epoch)
        self._held = 0
        sound, ended = queue.take(samples)
        return _Taken(sound, ended, self.epoch)

    def _hear(self, sound: Sound, samples: int, *, cut: bool) -> tuple[str, ...]:
        """Let the face hear a frame's sound, and silence for what is missing of it."""
        events: list[str] = []
        if cut:
            self._live.interrupt()
            self._ear.forget()
            for _ in range(WOUND_ON[self.fps]):
                events += self._listen(np.zeros(FRAME_SAMPLES, np.float32))
            self._wound += WOUND_ON[self.fps]
        padded = np.zeros(samples, np.float32)
        padded[: len(sound)] = sound / _FULL
        self._ear.put(padded)
        while self._heard < (self._frames + 1) * HOUSE_FPS // self.fps + self._wound:
            events += self._listen(self._ear.take())
        return tuple(events)

    def _listen(self, block: Array) -> list[str]:
        """One frame of motion from its sound; what happened."""
        self._live.hear(AudioBlock(block, self._heard * FRAME_SAMPLES))
        self._heard += 1
        events: list[str] = []
        for frame in self._live.frames():
            events += frame.events
            self._motions = [*self._motions[-3:], frame.motion]
        return events

    def _motion(self, index: int) -> Motion:
        """The motion of a picture: one of the newest, or between two of them."""
        at = max(0.0, (index - (self.fps != HOUSE_FPS)) * HOUSE_FPS / self.fps + self._wound)
        low = int(at)
        one = self._motions[max(low - self._heard, -len(self._motions))]
        share = np.float32(at - low)
        if share < 1e-6:
            return one
        two = self._motions[low + 1 - self._heard]
        mixed = [
            getattr(one, name) * (1 - share) + getattr(two, name) * share for name in ("expression", "head", "gaze")
        ]
        return replace(one, expression=mixed[0], head=mixed[1], gaze=mixed[2])


class _Ear:
    """Sound of the agent's rate in, frames of the house's out; half a millisecond late where the rates differ."""

    def __init__(self, rate_hz: int) -> None:
        self._resampler = Resampler(rate_hz, HOUSE_RATE_HZ)
        self._state = self._resampler.start()
        ahead = -(-self._resampler.delay * HOUSE_RATE_HZ // rate_hz)
        self._ready = np.zeros(0 if rate_hz == HOUSE_RATE_HZ else ahead + _SPARE, np.float32)

    def put(self, samples: Array) -> None:
        """Add samples at the agent's rate."""
        self._state, made = self._resampler.step(self._state, samples)
        self._ready = np.concatenate([self._ready, made])

    def forget(self) -> None:
        """Silence in place of what is not heard yet."""
        self._ready = np.zeros_like(self._ready)

    def take(self) -> Array:
        """One frame of motion's worth; what an uneven frame lacks is silence."""
        frame, self._ready = self._ready[:FRAME_SAMPLES], self._ready[FRAME_SAMPLES:]
        return np.pad(frame, (0, FRAME_SAMPLES - len(frame)))


def _manner(behaviour: Behaviour | None, chosen: Options) -> IdleMotion:
    """What the face does by itself."""
    if behaviour is None:
        return IdleMotion(seed=chosen.seed, head=chosen.head, blink=chosen.blink)
    return behaviour.idle(chosen.seed, head=chosen.head, blink=chosen.blink)


def _floats(samples: Sound | Array) -> Array:
    """Mono float32 from -1 to 1."""
    sound = np.asarray(samples)
    if sound.dtype == np.int16:
        sound = np.asarray(sound, np.float32) / np.float32(_FULL)
    if sound.dtype.kind != "f" or sound.ndim not in (1, 2):
        raise SignalError(
            f"sound came as {sound.dtype} of shape {sound.shape}; expected int16, or float32 from -1 to 1, of shape "
            "(samples,) or (samples, channels)."
        )
    if not np.isfinite(sound).all():
        raise SignalError("sound has samples that are not finite; expected numbers from -1 to 1: check its source.")
    return np.asarray(sound if sound.ndim == 1 else sound.mean(1), np.float32)


def _whole(sound: Array) -> Sound:
    return np.clip(np.rint(sound * _FULL), -_FULL, _FULL - 1).astype(np.int16)
