"""`Engine`: one live face. Sound, camera pictures and wishes in, at most one picture a thirtieth of a second out.

Notable choices: nothing here reads a clock, threads or sockets: `now_s` is an argument, so tests run it in simulated
time. When several frames are due at once, motion is made for all of them and only the last is drawn: late pictures
are dropped, never queued. Whoever drives, the face goes on living: without sound it is `IdleMotion`'s, without a
camera's picture for half a second it is sound's again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from liveface.live.camera import CameraFace
from liveface.live.dials import LiveDials, Mood, emotion_of
from liveface.live.recorder import SoundShelf
from liveface.live.wire import CameraPicture
from liveface.motion.audio import SpeechToMotion
from liveface.motion.behaviour import Behaviour
from liveface.motion.idle import IdleMotion
from liveface.motion.live import AHEAD_S, BEHIND_S, LiveSpeech
from liveface.motion.tracked import REST_PACKETS
from liveface.types import HOUSE_FPS, Array, AudioBlock, Motion, Pixels, Renderer

CAMERA_S = 0.5  # a camera that is silent for so long drives no longer
HAND_OVER_S = 0.2  # from one driver to the other
SLACK_S = 0.05  # by which a frame may lie beside the sound that came and still belong to it
DELAY_S = 0.02  # how long packets of sound are waited for; grows by itself where they come later


@dataclass(frozen=True, slots=True)
class Shot:
    """What is due now.

    Attributes:
        pixels: uint8 `[H, W, 3]`.
        number: frames since the beginning, counting those that were dropped before this one.
        frames: how many frames this one stands for: 1, or more when some were dropped.
        epoch: of the last interruption.
        source: "idle", "sound" or "camera".
        sound_s: time of the sender of the sound it goes with, NaN where nobody sends any.
        camera_s: time of the camera's picture it shows, NaN without one.
        sound: `[frames * 1600]` the sound that goes with it, at 48 kHz.
        events: of `LiveFrame`, and "camera-ready".
    """

    pixels: Pixels
    number: int
    frames: int
    epoch: int
    source: str
    sound_s: float
    camera_s: float
    sound: Array
    events: tuple[str, ...] = ()


@dataclass(slots=True)
class EngineCounts:
    """Frames shown and dropped, and pictures of the camera that came and that were replaced by newer ones."""

    shown: int = 0
    dropped: int = 0
    camera: int = 0
    camera_replaced: int = 0
    camera_bad: int = 0


@dataclass(slots=True)
class _Seen:
    """The camera's side: the newest picture, and the motion of the last one."""

    face: CameraFace = field(default_factory=CameraFace)
    picture: CameraPicture | None = None
    at_s: float = -1e9  # when the last picture came
    motion: Motion | None = None
    time_s: float = float("nan")
    share: float = 0.0  # of the face that the camera drives
    heads: list[Array] = field(default_factory=list)  # of a tracker, until it is known how the head rests
    rest: Array | None = None


class Engine:
    """One live face; see the module's notes.

    Args:
        renderer: draws motion.
        behaviour: an avatar's own manner; None is the house's.
        seed: of what sound does not tell.
        delay_s: how long packets of sound are waited for.
        model: makes the motion model for an idle manner.

    Attributes:
        dials: what is put on the motion.
        live: the stream of sound.
        counts: what became of the frames.
        epoch: number of the last interruption, as the page counts them.
    """

    def __init__(
        self,
        renderer: Renderer,
        behaviour: Behaviour | None = None,
        *,
        seed: int = 0,
        delay_s: float = DELAY_S,
        model: Callable[[IdleMotion], Any] = lambda idle: SpeechToMotion(idle=idle),
    ) -> None:
        self._seed, self._blink, self._behaviour, self._make = seed, 1.0, behaviour, model
        self.live = LiveSpeech(model(self._manner()), delay_s)
        self.dials, self.counts, self.epoch = LiveDials(), EngineCounts(), 0
        self._dialled = self.dials.start()
        self._mood = Mood()
        self._felt = self._mood.start()
        self._renderer, self._drawn = renderer, renderer.start()
        self._seen, self._shelf = _Seen(), SoundShelf()
        self._zero_s: float | None = None
        self._frames = 0
        self._stream_s: tuple[float, float] | None = None  # the sound that came, from and to, by the sender's time
        self._events: list[str] = []

    def hear(self, block: AudioBlock, now_s: float) -> None:
        """Take a block of sound, which came at `now_s`."""
        self.live.hear(block, now_s)
        self._shelf.put(block)
        start_s, end_s = block.time_s, block.time_s + len(block.samples) / block.rate_hz
        began, known = self._stream_s or (start_s, start_s)
        goes_on = known - BEHIND_S < start_s < known + AHEAD_S
        self._stream_s = (began, max(known, end_s)) if goes_on else (start_s, end_s)

    def see(self, picture: CameraPicture, now_s: float) -> None:
        """Take a picture of the camera; one that was not looked at yet is replaced."""
        self.counts.camera += 1
        self.counts.camera_replaced += self._seen.picture is not None
        self._seen.picture, self._seen.at_s = picture, now_s

    def follow(self, motion: Motion, now_s: float) -> None:
        """Take a tracker's motion (`T = 1`), which came at `now_s`; it drives as a camera does."""
        seen = self._seen
        seen.at_s = now_s
        if seen.rest is None:
            seen.heads.append(motion.head)
            if len(seen.heads) == REST_PACKETS:
                seen.rest, seen.heads = np.median(np.concatenate(seen.heads), axis=0).astype(np.float32), []
                self._events.append("camera-ready")
            return
        seen.motion, seen.time_s = replace(motion, head=motion.head - seen.rest), float("nan")

    def turn(self, said: dict[str, Any]) -> None:
        """Move the dials as a message of the page says."""
        self.dials = self.dials.changed(said)
        if "emotion" in said:
            self._mood = Mood(emotion_of(said["emotion"]))
            self.live.direct(emotion=self._mood.emotion)
        if "blink" in said and said["blink"] != self._blink:
            self._blink = float(said["blink"])
            self._refresh()

    def centre(self) -> None:
        """Let camera and tracker calibrate anew."""
        self._seen.face.centre()
        self._seen.rest, self._seen.heads = None, []

    def interrupt(self, epoch: int) -> None:
        """Forget the sound that was not shown yet and shut the mouth; what is shown from now on is of `epoch`."""
        self.epoch = epoch
        self.live.interrupt()
        self._shelf.clear()
        self._stream_s = None

    def swap(self, renderer: Renderer, behaviour: Behaviour | None) -> None:
        """Go on with another face; what is being said goes on."""
        self._renderer, self._drawn, self._behaviour = renderer, renderer.start(), behaviour
        self._refresh()

    def due_s(self) -> float:
        """When the next frame is due; before the first tick, at once."""
        return -np.inf if self._zero_s is None else self._zero_s + (self._frames + 1) / HOUSE_FPS

    def tick(self, now_s: float) -> Shot | None:
        """What is due by `now_s`; None when nothing is."""
        if self._zero_s is None:
            self._zero_s = now_s
        frames = self.live.frames(now_s)
        if not frames:
            return None
        self._look(now_s, len(frames))
        self._frames += len(frames)
        self.counts.shown += 1
        self.counts.dropped += len(frames) - 1
        last = frames[-1]
        motion, source = self._driven(last.motion)
        for _ in frames:
            self._dialled, dialled = self.dials.step(self._dialled, motion)
        self._drawn, pictures = self._renderer.step(self._drawn, dialled)
        events = [*self._events, *(event for frame in frames for event in frame.events)]
        self._events = []
        sound = np.concatenate([self._shelf.cut(frame.sound_s) for frame in frames])
        return Shot(
            pictures[-1].pixels, last.index, len(frames), self.epoch, source, self._sound_s(last.sound_s),
            self._seen.time_s if source == "camera" else float("nan"), sound, tuple(events),
        )  # fmt: skip

    def _sound_s(self, sound_s: float) -> float:
        """A place in the sender's stream, or NaN beside it."""
        within = self._stream_s is not None and self._stream_s[0] - SLACK_S <= sound_s <= self._stream_s[1] + SLACK_S
        return sound_s if within else float("nan")

    def _manner(self) -> IdleMotion:
        if self._behaviour is None:
            return IdleMotion(seed=self._seed, blink=self._blink)
        return self._behaviour.idle(self._seed, blink=self._blink)

    def _refresh(self) -> None:
        """The motion model with the present manner; its state goes on."""
        self.live.model = self._make(self._manner())

    def _look(self, now_s: float, frames: int) -> None:
        """Look at the camera's newest picture, and see whether the camera drives."""
        seen = self._seen
        picture, seen.picture = seen.picture, None
        if picture is not None:
            before = seen.face.ready
            try:
                motion = seen.face.see(picture.jpeg)
            except ValueError:  # a damaged picture is one that never came
                self.counts.camera_bad += 1
                motion = None
            if motion is not None:
                seen.motion, seen.time_s = motion, picture.time_s
            if seen.face.ready and not before:
                self._events.append("camera-ready")
        known = seen.face.ready or seen.rest is not None
        drives = seen.motion is not None and known and now_s - seen.at_s < CAMERA_S
        step = frames / (HAND_OVER_S * HOUSE_FPS)
        seen.share = float(np.clip(seen.share + (step if drives else -step), 0, 1))

    def _driven(self, heard: Motion) -> tuple[Motion, str]:
        """The motion of whoever drives, and who it is."""
        seen = self._seen
        if seen.share > 0 and seen.motion is not None:
            share = np.float32(seen.share * seen.share * (3 - 2 * seen.share))
            self._felt, felt = self._mood.step(self._felt, seen.motion)
            mixed = [
                getattr(heard, name) * (1 - share) + getattr(felt, name) * share
                for name in ("expression", "head", "gaze")
            ]
            return replace(heard, expression=mixed[0], head=mixed[1], gaze=mixed[2]), "camera"
        return heard, "sound" if self.live.model.speaking(self.live.state) else "idle"
