"""Where frames come from: video files of one person, or a teacher that draws a photo under expressive motion.

A source yields the same frames every time it is asked, take by take. A take is an unbroken stretch of one camera: a
video file, or one piece of a teacher's programme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from liveface import weights
from liveface.driver import Dials, Watcher, open_driver
from liveface.errors import SignalError
from liveface.motion.audio import SpeechToMotion
from liveface.motion.idle import IdleMotion, joined
from liveface.signals.media import probe, read_audio, read_video
from liveface.train.avatar.capture import Finding, check_recording
from liveface.train.avatar.sweeps import SWEEPS, felt, moods, sweep
from liveface.train.avatar.teachers import Teacher
from liveface.train.avatar.track import Track
from liveface.train.faces import frames as stored_frames
from liveface.types import HOUSE_FPS, Motion, Pixels

MOST_RATE = 31.0  # a quicker video is read at half its rate, or a third
HELD_SHARE = 0.15  # of a video, in whole seconds from its end
HELD_MOST_S = 20.0
GAP_S = 0.4  # left out between what is learned and what is held out
SWEPT_SHARE = 0.65  # most of what is learned that sweeps and drivers make up; the rest is speech and idle life
SPEECH_HELD = 0.2  # of the bundled recording's end is spoken only in held-out takes


class Source(Protocol):
    """Frames of one person.

    Attributes:
        name: shown to people; teacher: "video" or the name of a teacher.
        fps: of every take; held: for each take, True when nothing may learn from it, None when its end is held out.
        on_canvas: frames are pictures of the canvas already.
        known: tracked points of all frames, when they were tracked before.
        photo: the picture that the frames are made of, if there is one.
    """

    @property
    def name(self) -> str: ...

    @property
    def teacher(self) -> str: ...

    @property
    def fps(self) -> float: ...

    @property
    def held(self) -> tuple[bool | None, ...]: ...

    @property
    def on_canvas(self) -> bool: ...

    @property
    def known(self) -> Track | None: ...

    @property
    def photo(self) -> Pixels | None: ...

    @property
    def frames_estimate(self) -> int: ...

    def check(self) -> list[Finding]:
        """What is wrong with the recording."""
        ...

    def frames(self) -> Iterator[tuple[int, Pixels]]:
        """Number of the take, and the picture."""
        ...


@dataclass(frozen=True)
class Videos:
    """Video files of one person.

    Attributes:
        files: one take each.
        held: see `Source`.
        known: points of the frames as stored in the files; then no file is tracked again.
        every: with `known`, take every so many frames.
    """

    name: str
    files: tuple[Path, ...]
    fps: float
    held: tuple[bool | None, ...]
    known: Track | None = None
    every: int = 1
    teacher: str = field(default="video", init=False)
    on_canvas: bool = field(default=False, init=False)
    photo: None = field(default=None, init=False)

    @staticmethod
    def of(file: Path) -> Videos:
        """One file, its end held out.

        Raises:
            SignalError: it is no video.
        """
        info = probe(file)
        if info.kind != "video":
            raise SignalError(f"{file.name} is {info.kind}; expected a video of one person: film one, or use a photo.")
        return Videos(file.name, (file,), packing_rate(info.fps), (None,))

    @property
    def frames_estimate(self) -> int:
        """Frames to expect, for progress."""
        if self.known is not None:
            return len(self.known.score)
        return sum(read_video(file, self.fps).frames_estimate for file in self.files)

    def check(self) -> list[Finding]:
        """What is wrong with the files; those that were tracked before are not looked at again."""
        return [] if self.known is not None else [found for file in self.files for found in check_recording(file)]

    def frames(self) -> Iterator[tuple[int, Pixels]]:
        """Number of the file, and the picture."""
        for take, file in enumerate(self.files):
            if self.known is None:
                for frame in read_video(file, self.fps):
                    yield take, frame.pixels
            else:
                for pixels in islice(stored_frames(file), 0, None, self.every):
                    yield take, pixels


def packing_rate(fps: float) -> float:
    """The rate to read a video at: its own, or a whole part of it not above `MOST_RATE`."""
    own = fps if np.isfinite(fps) and fps >= 1 else float(HOUSE_FPS)
    return float(own / np.ceil(own / MOST_RATE))


@dataclass(frozen=True)
class Taught:
    """A photo under a programme of motion; the first take is one frame, the photo as it is."""

    name: str
    photo: Pixels
    drawer: Teacher
    motions: tuple[Motion, ...]
    held: tuple[bool | None, ...]
    fps: float = float(HOUSE_FPS)
    known: None = field(default=None, init=False)
    on_canvas: bool = field(default=True, init=False)

    @staticmethod
    def of(name: str, photo: Pixels, drawer: Teacher, programme: list[tuple[Motion, bool]]) -> Taught:
        """A photo drawn by a teacher under `programme` (motion, held out)."""
        still = replace(drawer.still, spec=programme[0][0].spec)
        motions = (still, *(motion for motion, _ in programme))
        return Taught(name, photo, drawer, motions, (False, *(held for _, held in programme)), still.fps)

    @property
    def teacher(self) -> str:
        """Who draws."""
        return self.drawer.name

    @property
    def frames_estimate(self) -> int:
        """Frames of the whole programme."""
        return sum(len(motion) for motion in self.motions)

    def check(self) -> list[Finding]:
        """Nothing: a photo that has no usable face was refused when the teacher took it."""
        return []

    def frames(self) -> Iterator[tuple[int, Pixels]]:
        """Number of the take, and the picture."""
        for take, motion in enumerate(self.motions):
            for pixels in self.drawer.draw([motion]):
                yield take, pixels


def programme(
    frames: int,
    seed: int = 0,
    drivers: Iterable[Path] = (),
    sweeps: Iterable[str] = tuple(SWEEPS),
    watcher: Callable[[], Watcher] | None = None,
) -> list[tuple[Motion, bool]]:
    """Expressive motion for a teacher: speech, listening, sweeps and the motion of drivers; about `frames` in all.

    The bundled speech is spoken again with other idle life, larger and smaller, until the frames are filled; the end of
    the recording is spoken in held-out takes only, which are about 15 % of the frames.

    Args:
        drivers: videos, recordings or motion files whose motion is used too.
        sweeps: names of the sweeps, in `sweeps.SWEEPS`.
        watcher: makes what sees a driver's pictures, for a teacher that wants them.
    """
    learned = round((1 - HELD_SHARE) * frames)
    body, end = spoken()
    made = [sweep(name, seed) for name in sweeps]
    for number, file in enumerate(drivers):
        driver = open_driver(file, HOUSE_FPS, Dials(seed=seed + number))
        parts = [motion for motion, _ in driver.stream(_no_clock, watcher=watcher() if watcher else None)]
        made.append(Motion.concat([replace(part, landmarks=None) for part in parts]))
    made = [*_shortened(made, round(SWEPT_SHARE * learned)), IdleMotion(seed + 50, head=1.5).run(max(2, learned // 12))]
    made += _repeated(body, max(2, learned - sum(len(motion) for motion in made)), seed)
    held = _repeated(end, max(2, frames - learned), seed + 100)
    return [(motion, False) for motion in made] + [(motion, True) for motion in held]


def snippets(full: list[tuple[Motion, bool]], count: int, length: int, seed: int) -> list[tuple[Motion, bool]]:
    """`count` short takes of `length` frames out of a programme, for corpora of many people; the last one is held."""
    rng = np.random.default_rng(seed)
    whole = [motion for motion, held in full if not held]
    room = np.array([max(0, len(motion) - length) for motion in whole], float)
    out = []
    for number in range(count):
        motion = whole[int(rng.choice(len(whole), p=room / room.sum()))]
        at = int(rng.integers(len(motion) - length))
        out.append((motion[at : at + length], number == count - 1))
    return out


def spoken() -> tuple[Motion, Motion]:
    """The mouth of the bundled recording, first part and end, without idle life."""
    samples = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"))])
    motion = SpeechToMotion(idle=None, parts=("mouth",)).run(samples)
    at = round(len(motion) * (1 - SPEECH_HELD))
    return motion[:at], motion[at:]


def _repeated(motion: Motion, frames: int, seed: int) -> Iterator[Motion]:
    """The motion again and again until `frames` are full, each time with another life, size and speed, every
    other time with changing emotions.
    """
    rng = np.random.default_rng(seed)
    turn = 0
    while frames > 0:
        speed = float(rng.uniform(0.85, 1.15)) if turn else 1.0
        paced = replace(motion.resample(HOUSE_FPS / speed), spec=motion.spec)[:frames]
        strong = replace(paced, expression=np.clip(paced.expression * (1.0, 1.3, 0.75)[turn % 3], 0, 1))
        idle = IdleMotion(seed + turn, head=(1.2, 2.2, 1.6)[turn % 3], gaze=1.5)
        moved = joined(strong, idle.run(len(strong)))
        yield felt(moved, moods(len(moved), seed + turn)) if turn % 2 else moved
        frames -= len(strong)
        turn += 1


def _shortened(parts: list[Motion], frames: int) -> list[Motion]:
    """The parts, each shortened alike when together they are longer than `frames`."""
    share = min(1.0, frames / max(sum(len(motion) for motion in parts), 1))
    return [motion[: max(2, round(len(motion) * share))] for motion in parts]


def _no_clock(_stage: str, _seconds: float) -> None:
    """Nobody asks how long the stages take."""
