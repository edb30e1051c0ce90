"""What drives a face: sound, the face of a video, or a motion file, each as a stream of motion and of sound.

Notable choices:
- What the file is, is read from its content (`signals.media.probe`).
- A video drives relative to its person's own neutral: the solver is calibrated on frames of the first seconds, and the
  head's pose counts from its median there, so that a driver who sits turned does not turn the portrait. When the video
  begins with the very face and expression of the photo, motion goes on from it exactly instead.
- A video without a face but with sound drives by its sound, and says so.
- Motion leaves at the wanted rate; a streaming resampler holds two frames, so memory stays flat.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Protocol

import numpy as np

from liveface.errors import FaceError, SignalError
from liveface.geometry import fit_similarity
from liveface.motion.audio import SpeechToMotion
from liveface.motion.behaviour import Behaviour
from liveface.motion.best import BestSpeech
from liveface.motion.codes import GROUPS, motion_of
from liveface.motion.emotion import complete, parse_emotions, resting
from liveface.motion.files import load_motion
from liveface.motion.idle import IdleMotion, joined
from liveface.motion.solve import MotionSolver
from liveface.motion.style import parse_style
from liveface.signals.face import Face, FaceTracker
from liveface.signals.media import OUTPUT_RATE_HZ, MediaInfo, frame_blocks, probe, read_audio, read_video
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, HOUSE_FPS, Array, AudioBlock, Frame, Motion, Pixels

CALIBRATE_S = 8.0  # how much of a driver is looked at before it drives
CALIBRATE_FACES = 48  # frames of it that are fitted, spread evenly; about 0.2 s of work
SEARCH_S = 20.0  # a video that shows no face for so long has none
TRACK_SIDE = 960  # pixels of a driver's longer side: the tracker sees 192, measured to change nothing
SAME_FACE, OTHER_FACE = 1.8, 3.5  # percent of the inter-ocular distance between aligned points: same face, another
SILENT_PEAK = 1e-3  # -60 dB
QUALITIES = ("live", "best")
NARROW_HZ = 12_000  # below this rate the sounds of s and f are missing

_MOUTH_AND_BROWS = np.array([not name.startswith(("eyeBlink", "eyeLook")) for name in ARKIT_NAMES])
_BLINKS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]

_WIDEN = {
    "brow": 1.4, "mouthPucker": 1.35, "mouthUpperUp": 1.5, "mouthLowerDown": 1.25, "mouthLeft": 1.7, "mouthRight": 1.7,
    "mouthFrown": 1.6, "mouthSmile": 1.2, "mouthRoll": 1.5, "mouthStretch": 1.4, "jawOpen": 1.15, "noseSneer": 1.4,
    "eyeBlink": 1.4, "eyeWide": 1.6, "eyeSquint": 1.5,
}  # fmt: skip
# The tracker follows a face by less than it moves: pictures made from its motion and tracked again showed 0.4 to 0.9
# of it. Measured on eight training clips (docs/log.md): with these factors mouth, eyes and lids come out nearer.
_WIDENED = np.array(
    [next((factor for start, factor in _WIDEN.items() if name.startswith(start)), 1.0) for name in ARKIT_NAMES],
    np.float32,
)

_log = logging.getLogger(__name__)

Clock = Callable[[str, float], None]
"""Takes the name of a stage and the seconds one call of it took."""


class Watcher(Protocol):
    """What a renderer wants to see of a driver's pictures; belongs to one driver."""

    def meet(self, faces: list[Face]) -> None:
        """Faces of the driver's first seconds, before the first frame."""

    def look(self, pixels: Pixels, face: Face | None) -> Array:
        """A frame and the face in it to what `Motion.watched` shall hold, `[C]`; not a number without a face."""
        ...


@dataclass(frozen=True, slots=True)
class Dials:
    """How much of the motion is wanted; 1 is natural, 0 none.

    Attributes:
        motion_scale: size of the expression: mouth, brows, cheeks.
        head: size of head motion.
        blink: for sound, how often the eyes blink; for video and motion, how far they close.
        seed: of what sound does not tell; the same seed moves the same way.
        emotion: for sound, such as "happy:0.7,surprised:0.2"; empty is neutral.
        style: for sound, such as "articulation:1,smile:0.5"; empty is an average talker.
        quality: for sound, "live" draws each frame when it is heard, "best" the whole recording at once.
    """

    motion_scale: float = 1.0
    head: float = 1.0
    blink: float = 1.0
    seed: int = 0
    emotion: str = ""
    style: str = ""
    quality: str = "live"

    def __post_init__(self) -> None:
        _ = self.feeling, self.manner
        if self.quality not in QUALITIES:
            raise SignalError(f"there is no quality {self.quality!r}; expected {' or '.join(QUALITIES)}.")
        for name in ("motion_scale", "head", "blink"):
            value = getattr(self, name)
            if not (np.isfinite(value) and 0 <= value <= 3):
                raise SignalError(f"{name.replace('_', '-')} {value} is not usable; expected a number from 0 to 3.")

    @property
    def feeling(self) -> Array | None:
        """The emotion as intensities `[8]`."""
        return parse_emotions(self.emotion) if self.emotion else None

    @property
    def manner(self) -> Array | None:
        """The style as numbers `[4]`."""
        return parse_style(self.style) if self.style else None

    def turn(self, motion: Motion) -> Motion:
        """Motion of a video or a file with the dials applied."""
        expression = motion.expression.copy()
        expression[:, _MOUTH_AND_BROWS] *= self.motion_scale
        expression[:, _BLINKS] *= self.blink
        return replace(motion, expression=np.clip(expression, -1, 1.5), head=motion.head * self.head, landmarks=None)


@dataclass(frozen=True, slots=True)
class Driver:
    """A source of motion and, where there is any, of sound.

    Attributes:
        kind: "speech", "video", "motion" or "idle".
        path: the file.
        info: what it is.
        fps: the rate at which it yields.
        frames_estimate: frames to expect, for progress; 0 when unknown.
    """

    kind: str
    path: Path
    info: MediaInfo
    fps: float
    frames_estimate: int
    dials: Dials
    threads: int = 1

    @property
    def has_sound(self) -> bool:
        """Whether the output gets a sound track."""
        return self.info.audio_rate_hz > 0

    @property
    def repeats(self) -> bool:
        """Whether the same object given again asks for the same picture again, because a frame was missed."""
        return False

    def stream(
        self,
        clock: Clock,
        photo: Motion | None = None,
        behaviour: Behaviour | None = None,
        watcher: Watcher | None = None,
    ) -> Iterator[tuple[Motion, AudioBlock | None]]:
        """Motion (`T = 1`) and the sound of that frame, in step; every iteration starts anew.

        Args:
            clock: told how long each stage took.
            photo: what the renderer shows at rest, so that a video that begins with the photo goes on from it.
            behaviour: the idle and listening manner of an avatar, for what sound does not tell; None is the house's,
                which does not nod.
            watcher: looks at the pictures of a video for a renderer that wants more than motion.
        """
        if self.kind == "speech":
            yield from self._spoken(clock, behaviour)
            return
        if self.kind == "idle":
            yield from ((motion, None) for motion in self._idle(behaviour))
            return
        motions = self._seen(clock, photo, watcher) if self.kind == "video" else self._written()
        sound = self._sound(None) if self.has_sound else None
        for motion in motions:
            yield motion, None if sound is None else next(sound, None)

    def _sound(self, frames: int | None) -> Iterator[AudioBlock]:
        return frame_blocks(read_audio(self.path, OUTPUT_RATE_HZ), self.fps, frames)

    def _spoken(self, clock: Clock, behaviour: Behaviour | None) -> Iterator[tuple[Motion, AudioBlock | None]]:
        """The sound sets the length; the last motion is held for what remains of it."""
        dials = self.dials
        model = speech_model(dials, self._manner(behaviour), threads=self.threads)
        motions = even_rate(speech_motion(model, self.path, clock), model.spec.fps, self.fps)
        motion = None
        for block in self._sound(None):
            motion = next(motions, motion)
            if motion is None:
                raise SignalError(f"{self.path.name} holds no sound that can be decoded; expected speech.")
            yield motion, block
        for _ in motions:  # what is left is less than a frame; at its end the sound is judged
            pass

    def _idle(self, behaviour: Behaviour | None) -> Iterator[Motion]:
        """The face of one who listens, for as many frames as were asked for."""
        manner, feeling = replace(self._manner(behaviour), fps=self.fps), self.dials.feeling
        mood = None if feeling is None else motion_of(resting(feeling)[None], self.fps)
        state = manner.start()
        for _ in range(self.frames_estimate):
            state, motion = manner.step(state)
            yield motion if mood is None or feeling is None else complete(joined(mood, motion), feeling)

    def _manner(self, behaviour: Behaviour | None) -> IdleMotion:
        """What the face does by itself."""
        dials = self.dials
        if behaviour is None:
            return IdleMotion(seed=dials.seed, head=dials.head, blink=dials.blink)
        return behaviour.idle(dials.seed, head=dials.head, blink=dials.blink)

    def _seen(self, clock: Clock, photo: Motion | None, watcher: Watcher | None) -> Iterator[Motion]:
        if watcher is not None:
            self._refuse_dials()
        frames = read_video(self.path, self.fps, TRACK_SIDE, self.threads)
        solver = MotionSolver(self.fps, frames.size)
        rest = replace(Motion.rest(1, self.fps), head=calibrate(solver, self.path, self.fps, watcher)[None])
        begun = False
        for motion in follow(frames, solver, clock, watcher=watcher):
            if not begun and motion.landmarks is not None:
                begun, rest = True, rest if photo is None else begin_at(photo, motion, rest)
            turned = self.dials.turn(replace(motion, head=motion.head - rest.head, gaze=motion.gaze - rest.gaze))
            yield replace(turned, expression=turned.expression - rest.expression)

    def _refuse_dials(self) -> None:
        """Dials turn coefficients, and a renderer that watches the driver itself does not go by those.

        Raises:
            SignalError: one was turned.
        """
        for name in ("motion_scale", "head", "blink"):
            if getattr(self.dials, name) != 1:
                raise SignalError(
                    f"--{name.replace('_', '-')} turns motion, and this renderer looks at {self.path.name} itself; "
                    "expected 1: leave it out, see --driving."
                )

    def _written(self) -> Iterator[Motion]:
        for motion in load_motion(self.path).resample(self.fps):
            yield self.dials.turn(motion)


def open_driver(path: str | Path, fps: float, dials: Dials, threads: int = 1) -> Driver:
    """Find out what drives.

    Raises:
        SignalError: the file is a still picture, or cannot be used at all.
        FaceError: a video with neither a face nor sound.
    """
    path = Path(path)
    info = probe(path)
    if info.kind == "avatar":
        raise SignalError(f"{path.name} is an avatar; expected speech, a video or a motion file to drive with.")
    if info.kind == "image" and info.frames <= 1:
        raise SignalError(f"{path.name} is a still picture; expected speech, a video or a motion file to drive with.")
    if info.kind == "motion":
        only_for_speech(path, "motion", dials)
        frames = len(load_motion(path).resample(fps))
        return Driver("motion", path, info, fps, frames, dials, threads)
    if info.kind == "audio":
        check_heard(path)
        return Driver("speech", path, info, fps, round(info.audio_duration_s * fps), dials, threads)
    if has_face(path):
        only_for_speech(path, "a face", dials)
        return Driver("video", path, info, fps, read_video(path, fps).frames_estimate, dials, threads)
    if not info.audio_rate_hz:
        raise FaceError(
            f"{path.name} shows no face in its first {SEARCH_S:.0f} s and has no sound; "
            "expected a video of a face, or speech: use another driver."
        )
    _log.warning("%s shows no face in its first %.0f s; its sound drives instead.", path.name, SEARCH_S)
    check_heard(path)
    return Driver("speech", path, info, fps, round(info.audio_duration_s * fps), dials, threads)


def only_for_speech(path: Path, what: str, dials: Dials) -> None:
    """Refuse options that a driver would leave without effect."""
    given = [name for name in ("emotion", "style") if getattr(dials, name)]
    given += ["quality"] if dials.quality != QUALITIES[0] else []
    if given:
        raise SignalError(
            f"{path.name} drives by {what}, which --{given[0]} does not change; expected speech: leave the option out."
        )


def idle_driver(seconds: float, fps: float, dials: Dials) -> Driver:
    """Nobody speaks: what moves is the face's own life, for `seconds`."""
    return Driver("idle", Path("idle"), MediaInfo("motion", "idle"), fps, max(1, round(seconds * fps)), dials)


def has_face(path: Path) -> bool:
    """Whether a video shows a face early on; looked for four times a second."""
    tracker = FaceTracker(static=True)
    frames = islice(read_video(path, 4, TRACK_SIDE), round(4 * SEARCH_S))
    return any(tracker.track(frame.pixels) is not None for frame in frames)


def calibrate(solver: MotionSolver, path: Path, fps: float, watcher: Watcher | None = None) -> Array:
    """Teach `solver`, and a watcher, the person of a video; returns the pose `[6]` the head rests in."""
    tracker, faces = FaceTracker(), []
    stride = max(1, round(CALIBRATE_S * fps / CALIBRATE_FACES))
    for frame in islice(read_video(path, fps, TRACK_SIDE), round(CALIBRATE_S * fps)):
        if frame.index % stride == 0:
            face = tracker.track(frame.pixels)
            faces += [] if face is None else [face]
    if not faces:
        return np.zeros(6, np.float32)
    if watcher is not None:
        watcher.meet(faces)
    solver.calibrate(faces)
    poses = np.concatenate([solver.step(face).head for face in faces])
    solver.calibrate([])  # back to the beginning, the person stays known
    return np.median(poses, axis=0).astype(np.float32)


def begin_at(photo: Motion, first: Motion, rest: Motion) -> Motion:
    """What to take off a driver's motion so that it continues `photo` where the first frame shows the same face.

    Args:
        photo: what the renderer shows at rest, with landmarks; first: the driver's first frame, with landmarks.
        rest: what is taken off otherwise.
    """
    assert photo.landmarks is not None
    assert first.landmarks is not None
    one, two = photo.landmarks[0, :468], first.landmarks[0, :468]
    scale, turn, shift = fit_similarity(one, two)
    away = np.sqrt((((scale * one @ turn.T + shift) - two) ** 2).sum(1).mean())
    percent = 100 * away / (0.7 * np.linalg.norm(two[263] - two[33]))
    share = np.float32(np.clip((OTHER_FACE - percent) / (OTHER_FACE - SAME_FACE), 0, 1))
    return Motion(
        rest.expression * (1 - share) + (first.expression - photo.expression) * share,
        rest.head * (1 - share) + first.head * share,
        rest.gaze * (1 - share) + first.gaze * share,
        rest.spec,
    )


def follow(
    frames: Iterable[Frame],
    solver: MotionSolver,
    clock: Clock,
    tracker: FaceTracker | None = None,
    watcher: Watcher | None = None,
) -> Iterator[Motion]:
    """Motion of every frame of a video; a lost face holds its last motion."""
    tracker = tracker or FaceTracker()
    lost = seen = 0
    for frame in frames:
        since = time.perf_counter()
        face = tracker.track(frame.pixels)
        found = time.perf_counter()
        motion = solver.step(face)
        clock("track", found - since)
        clock("solve", time.perf_counter() - found)
        motion = replace(motion, expression=widened(motion.expression))
        if watcher is not None:
            since = time.perf_counter()
            motion = replace(motion, watched=watcher.look(frame.pixels, face)[None])
            clock("watch", time.perf_counter() - since)
        seen += 1
        lost += face is None
        yield motion
    if lost:
        _log.warning("no face was found in %d of %d frames; they hold the last motion.", lost, seen)


def widened(expression: Array) -> Array:
    """Solved coefficients `[T, 52]` as large as the face really moves; see `_WIDEN`."""
    return np.asarray(np.clip(expression * _WIDENED, 0, 1), np.float32)


def check_heard(path: Path) -> None:
    """Refuse a recording in which nothing is heard; a telephone's narrow sound is noted.

    Raises:
        SignalError: it is silent from beginning to end. As a rule its first second tells that it is not.
    """
    sound = read_audio(path)
    if sound.info.audio_rate_hz < NARROW_HZ:
        _log.warning("%s has sound at %d Hz; lips follow 16000 Hz better.", path.name, sound.info.audio_rate_hz)
    if not any(np.abs(block.samples).max(initial=0.0) >= SILENT_PEAK for block in sound):
        raise SignalError(
            f"{path.name} is silent for all of its {sound.duration_s:.1f} s; expected speech: check the microphone, "
            "or use another recording."
        )


def speech_model(
    dials: Dials, idle: IdleMotion | None, *, mouth_only: bool = False, threads: int = 1
) -> SpeechToMotion | BestSpeech:
    """The speech model that moves as the dials say."""
    live = SpeechToMotion(
        idle=idle,
        scale=dials.motion_scale,
        head=dials.head,
        emotion=dials.feeling,
        style=dials.manner,
        seed=dials.seed,
        parts=("mouth",) if mouth_only else tuple(GROUPS),
        threads=threads,
    )
    return BestSpeech(live) if dials.quality == "best" else live


def speech_motion(model: SpeechToMotion | BestSpeech, path: Path, clock: Clock) -> Iterator[Motion]:
    """Motion of the speech in a file, frame by frame; of the best quality all at once."""
    sound = read_audio(path)
    if isinstance(model, BestSpeech):
        since = time.perf_counter()
        whole = model.run(np.concatenate([block.samples for block in sound] or [np.zeros(0, np.float32)]))
        spent = time.perf_counter() - since
        for frame in whole:
            clock("listen", spent / len(whole))
            yield frame
        return
    state = model.start()
    for block in sound:
        since = time.perf_counter()
        state, motion = model.step(state, block)
        spent = time.perf_counter() - since
        for frame in motion:
            clock("listen", spent / len(motion))
            yield frame
    state, motion = model.finish(state)
    yield from motion


def even_rate(motions: Iterator[Motion], fps: float, wanted: float) -> Iterator[Motion]:
    """Frames at another rate, linearly between the two nearest; the streaming twin of `Motion.resample`."""
    if fps == wanted:
        yield from motions
        return
    low, high, at = next(motions, None), next(motions, None), 0
    for index in count():
        position = index * fps / wanted
        while high is not None and position >= at + 1:
            low, high, at = high, next(motions, None), at + 1
        if low is None or (high is None and index >= max(1, round((at + 1) * wanted / fps))):
            return
        yield _between(low, low if high is None else high, min(position - at, 1.0), wanted)


def _between(low: Motion, high: Motion, share: float, fps: float) -> Motion:
    def mix(one: Array, other: Array) -> Array:
        return one * np.float32(1 - share) + other * np.float32(share)

    return Motion(
        mix(low.expression, high.expression), mix(low.head, high.head), mix(low.gaze, high.gaze), low.spec.at(fps)
    )


def house_fps(info: MediaInfo) -> float:
    """The rate to track a video at: its own up to 60, the house's when it does not say."""
    return min(info.fps, 60.0) or float(HOUSE_FPS)
