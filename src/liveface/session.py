"""The engine: a driver becomes motion, motion becomes frames, frames reach a sink.

Notable choices: offline is online run without waiting, one path for all drivers; what a driver is, is read from its
content. Frames flow one at a time, so an hour costs no more memory than a minute. Head motion counts from the driver's
first pose, unless that pose is turned away, so that the photo keeps its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from liveface.errors import FaceError, MotionError, SignalError
from liveface.geometry import head_angles, head_rotation
from liveface.motion.audio import SpeechToMotion
from liveface.motion.files import load_motion, save_motion
from liveface.motion.idle import IdleMotion
from liveface.motion.solve import MotionSolver
from liveface.render import renderers
from liveface.signals.face import Face, FaceTracker
from liveface.signals.image import read_image
from liveface.signals.media import OUTPUT_RATE_HZ, AudioReader, MediaInfo, frame_blocks, probe, read_audio, read_video
from liveface.sinks import VideoSink
from liveface.timing import StageTime, Stopwatch
from liveface.types import (
    ARKIT_NAMES,
    HOUSE_FPS,
    HOUSE_RATE_HZ,
    AudioBlock,
    Frame,
    Motion,
    Pixels,
    arkit_spec,
)

_log = logging.getLogger("liveface")

Progress = Callable[[str, int, int], None]
"""Called as work goes on with a stage, what is done and how much there is (0 when unknown)."""

CALIBRATION_S = 10.0  # a driver's rest is learned from its first ten seconds, chosen
CALIBRATION_FACES = 60  # of which as many frames are looked at
FRONTAL_RAD = 0.2  # a first pose within 11 degrees of the camera counts as the driver's rest
SILENT_PEAK = 10 ** (-60 / 20)  # full scale less 60 dB; below this a recording counts as silent
MOST_DIAL = 3.0  # the largest value of a dial
_BLINK = [index for index, name in enumerate(ARKIT_NAMES) if name.startswith("eyeBlink")]
_EYES = [index for index, name in enumerate(ARKIT_NAMES) if name.startswith(("eyeBlink", "eyeLook"))]


@dataclass(frozen=True, slots=True)
class Dials:
    """How much of the motion is shown; 1 is as it came, 0 is none.

    Attributes:
        motion_scale: mouth, jaw, cheeks and brows.
        head: rotation and shift of the head.
        blink: how far lids close; for speech, how often.
    """

    motion_scale: float = 1.0
    head: float = 1.0
    blink: float = 1.0

    def __post_init__(self) -> None:
        for name in ("motion_scale", "head", "blink"):
            value = getattr(self, name)
            if not (np.isfinite(value) and 0 <= value <= MOST_DIAL):
                raise MotionError(f"{name} {value} is not usable; expected a number from 0 to {MOST_DIAL:g}.")

    def turn(self, motion: Motion) -> Motion:
        """`motion` with these dials applied."""
        expression = motion.expression * np.float32(self.motion_scale)
        expression[:, _EYES] = motion.expression[:, _EYES]
        expression[:, _BLINK] *= np.float32(self.blink)
        return replace(motion, expression=np.clip(expression, 0, 1), head=motion.head * np.float32(self.head))


@dataclass(frozen=True, slots=True)
class Summary:
    """What was made.

    Attributes:
        output: where; "-" is standard output.
        driver: "audio", "video" or "motion".
        frames, fps, size: of the video.
        wall_s: how long it took.
        stages: time of every stage a frame.
    """

    output: str
    driver: str
    frames: int
    fps: float
    size: tuple[int, int]
    wall_s: float
    stages: dict[str, StageTime]

    @property
    def duration_s(self) -> float:
        """Length of the video."""
        return self.frames / self.fps

    @property
    def speed(self) -> float:
        """Seconds of video a second of work."""
        return self.duration_s / max(self.wall_s, 1e-9)


class Session:
    """One photo, ready to be driven.

    Args:
        photo: a picture file, or uint8 `[h, w, 3]` sRGB pixels.
        size: width and height of the output in pixels, even.
        renderer: a name in `liveface.render.renderers()`.
        face: which face of the photo when there are several, 1 for the largest.
        dials: how much motion is shown.
        seed: of everything that is drawn by chance: blinks, gaze, sway of the head.
        threads: CPU threads of every stage.

    Raises:
        SignalError: the photo cannot be read. FaceError: it has no usable face.
    """

    def __init__(
        self,
        photo: str | Path | Pixels,
        *,
        size: tuple[int, int] = (360, 640),
        renderer: str = "mesh",
        face: int | None = None,
        dials: Dials | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        table = renderers()
        if renderer not in table:
            raise MotionError(f"there is no renderer {renderer!r}; expected one of: {', '.join(table)}.")
        cv2.setNumThreads(threads)
        self.size, self.dials, self.seed, self.threads = size, dials or Dials(), seed, threads
        self.watch = Stopwatch()
        with self.watch.measure("enrol"):
            pixels = photo if isinstance(photo, np.ndarray) else read_image(photo)
            self.renderer = table[renderer](pixels, size, face=face)
        if face is None and self.renderer.faces > 1:
            _log.warning("the photo has %d faces; the largest is used (--face N takes another).", self.renderer.faces)

    def stream(self, motions: Iterable[Motion]) -> Iterator[Frame]:
        """Frames for motion as it comes; head motion is relative to the photo's pose."""
        state = self.renderer.start()
        for motion in motions:
            turned = self.dials.turn(motion)
            with self.watch.measure("render"):
                state, frames = self.renderer.step(state, turned)
            yield from frames

    def render(
        self,
        driver: str | Path | Motion,
        output: str | Path,
        *,
        fps: float | None = None,
        sound: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Summary:
        """Drive the photo and write a video.

        Args:
            driver: speech, a video of a face, a motion file (known by content), or motion.
            output: an .mp4 file, or "-" for standard output.
            fps: 25 or 30 as a rule; None takes 25 for drivers of 24 or 25 fps, else 30.
            sound: a sound file for the output instead of the driver's own.
            progress: called as frames are written.

        Raises:
            SignalError, FaceError, MotionError: the driver cannot be used. SinkError: the output cannot be written.
        """
        begin = time.perf_counter()
        kind, source, info = self._source(driver)
        rate = fps or _house_rate(source.fps if isinstance(source, Motion) else info.fps if kind == "video" else 0)
        motions, expected = self._motions(kind, source, info, rate)
        heard = sound or (source if isinstance(source, Path) and info.audio_rate_hz else None)
        blocks = None if heard is None else frame_blocks(read_audio(heard, OUTPUT_RATE_HZ), rate)
        motions = chain([next(motions)], motions)  # a driver that cannot be used fails before a file is made
        with VideoSink(output, self.size, rate, OUTPUT_RATE_HZ if blocks else None, self.threads) as sink:
            for frame in self.stream(motions):
                block = None if blocks is None else next(blocks, None)
                with self.watch.measure("encode"):
                    sink.write(frame, block)
                if progress is not None:
                    progress("render", sink.frames, expected)
            frames = sink.frames
        wall_s = time.perf_counter() - begin
        return Summary(str(output), kind, frames, rate, self.size, wall_s, self.watch.stages())

    def _source(self, driver: str | Path | Motion) -> tuple[str, Path | Motion, MediaInfo]:
        """What the driver is: "audio", "video" or "motion"."""
        if isinstance(driver, Motion):
            return "motion", driver, MediaInfo("motion", "motion")
        info = probe(driver)
        if info.kind == "motion":
            return "motion", load_motion(driver), info
        if info.kind not in {"audio", "video"}:
            raise SignalError(
                f"{Path(driver).name} is {_article(info.kind)}, which cannot drive a face; expected speech, a video "
                "of a face, or a motion file."
            )
        return info.kind, Path(driver), info

    def _motions(self, kind: str, source: Path | Motion, info: MediaInfo, fps: float) -> tuple[Iterator[Motion], int]:
        """Motion frame by frame at `fps`, relative to the photo's pose, and how many frames to expect."""
        if isinstance(source, Motion):
            if not len(source):
                raise MotionError("the motion has no frames; expected at least one.")
            motion = source.resample(fps)
            return relative(iter(motion)), len(motion)
        if kind == "audio":
            idle = IdleMotion(self.seed, HOUSE_FPS, blink=self.dials.blink)
            return resampled(speech_motion(source, idle, self.watch), fps), round(info.duration_s * fps)
        return relative(video_motion(source, fps, self.watch)), round(info.video_duration_s * fps)


def _article(kind: str) -> str:
    return {"image": "a picture"}.get(kind, "no sound, video or motion file")


def _house_rate(fps: float) -> float:
    """The output's rate for a driver's: 25 for cinema and PAL, else 30."""
    return 25.0 if 23 <= fps <= 26 or abs(fps - 50) < 1 else 30.0


def speech_motion(path: str | Path, idle: IdleMotion | None, watch: Stopwatch | None = None) -> Iterator[Motion]:
    """Motion at 30 fps for the speech in a sound or video file.

    Raises:
        SignalError: the file has no sound, or all of it is silent.
    """
    reader = read_audio(path)
    _check_heard(reader)
    watch = watch or Stopwatch()
    model = SpeechToMotion(idle=idle)
    state = model.start()
    for block in frame_blocks(reader, HOUSE_FPS):
        with watch.measure("listen"):
            state, motion = model.step(state, AudioBlock(block.samples, block.start, HOUSE_RATE_HZ))
        yield from motion
    yield from model.finish(state)[1]


def _check_heard(reader: AudioReader) -> None:
    """Refuse silence; stops at the first sound, as a rule within a second of it."""
    seconds = 0.0
    for block in reader:
        if np.abs(block.samples).max(initial=0.0) > SILENT_PEAK:
            return
        seconds += len(block.samples) / block.rate_hz
    raise SignalError(f"{reader.path.name} is silent for all of its {seconds:.1f} s; expected speech.")


def tracked_faces(
    path: str | Path, fps: float | None, watch: Stopwatch, face: int | None = None
) -> Iterator[Face | None]:
    """The face of every frame of a video at a constant rate, None where there is none."""
    tracker = FaceTracker()
    for frame in read_video(path, fps):
        with watch.measure("track"):
            found = tracker.track(frame.pixels, face)
        yield found


def video_motion(path: str | Path, fps: float | None = None, watch: Stopwatch | None = None) -> Iterator[Motion]:
    """Motion of the face in a video, absolute, calibrated to the person's rest over the first seconds.

    Raises:
        FaceError: there is no face in those seconds, or in the whole of a shorter video.
    """
    watch = watch or Stopwatch()
    reader = read_video(path, fps)
    faces = tracked_faces(path, fps, watch)
    first = list(islice(faces, round(CALIBRATION_S * reader.fps)))
    known = [face for face in first if face is not None]
    if not known:
        raise FaceError(
            f"no face was found in {Path(path).name}; expected a video of a face that looks towards the camera. "
            "To use only its speech, give its sound as a file of its own."
        )
    solver = MotionSolver(reader.fps, reader.size)
    solver.calibrate(known[:: max(1, len(known) // CALIBRATION_FACES)])
    lost = 0
    started = False
    for face in chain(first, faces):
        lost += face is None
        if face is None and not started:
            yield Motion.rest(1, reader.fps)
            continue
        started = True
        with watch.measure("solve"):
            motion = solver.step(face)
        yield motion
    if lost:
        _log.warning("no face was found in %d frames of %s; the last one was held there.", lost, Path(path).name)


def relative(motions: Iterator[Motion]) -> Iterator[Motion]:
    """Head motion counted from the first pose; from the camera when that pose is turned away."""
    first = next(motions, None)
    if first is None:
        return
    rest = first.head[0].copy()
    if np.abs(rest[:2]).max() > FRONTAL_RAD:
        rest[:3] = 0
    back = head_rotation(*rest[:3]).T
    for motion in chain([first], motions):
        angles = head_angles(head_rotation(*motion.head[0, :3]) @ back)
        yield replace(motion, head=np.array([[*angles, *(motion.head[0, 3:] - rest[3:])]], np.float32))


def resampled(motions: Iterator[Motion], fps: float) -> Iterator[Motion]:
    """Motion frame by frame at another rate, linearly interpolated, as it comes."""
    step, last, index, wanted = 0.0, None, -1, 0
    for motion in motions:
        if motion.fps == fps:
            yield motion
            continue
        index += 1
        step = motion.fps / fps
        while last is not None and wanted * step <= index:
            share = np.float32(wanted * step - (index - 1))
            yield _between(last, motion, share, fps)
            wanted += 1
        last = motion
    while last is not None and step and wanted * step < index + 1:
        yield replace(last, spec=last.spec.at(fps))
        wanted += 1


def _between(one: Motion, two: Motion, share: np.float32, fps: float) -> Motion:
    rest = np.float32(1) - share
    return Motion(
        one.expression * rest + two.expression * share,
        one.head * rest + two.head * share,
        one.gaze * rest + two.gaze * share,
        arkit_spec(fps),
    )


def animate(photo: str | Path | Pixels, driver: str | Path | Motion, output: str | Path, **options: object) -> Summary:
    """Make a talking video from one photo; see `Session` and `Session.render` for the options.

    Example:
        >>> animate("photo.jpg", "speech.wav", "out.mp4", size=(384, 672), seed=3)  # doctest: +SKIP
    """
    names = ("fps", "sound", "progress")
    render = {name: options.pop(name) for name in names if name in options}
    return Session(photo, **options).render(driver, output, **render)  # type: ignore[arg-type]


def track(
    video: str | Path, output: str | Path | None = None, *, fps: float | None = None, progress: Progress | None = None
) -> Motion:
    """The motion of the face in a video; written as CSV or .lfm when `output` is given."""
    expected = read_video(video, fps).frames_estimate
    motion = _collect(video_motion(video, fps), "track", expected, progress)
    if output is not None:
        save_motion(motion, output)
    return motion


def listen(
    sound: str | Path,
    output: str | Path | None = None,
    *,
    dials: Dials | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Motion:
    """The motion of a face that says the speech in a file, at 30 fps; written when `output` is given."""
    dials = dials or Dials()
    idle = IdleMotion(seed, HOUSE_FPS, blink=dials.blink)
    expected = round(read_audio(sound).duration_s * HOUSE_FPS)
    motion = _collect(speech_motion(sound, idle), "listen", expected, progress)
    motion = replace(dials, blink=1.0).turn(motion)
    if output is not None:
        save_motion(motion, output)
    return motion


def _collect(motions: Iterator[Motion], stage: str, expected: int, progress: Progress | None) -> Motion:
    parts = []
    for motion in motions:
        parts.append(replace(motion, landmarks=None))
        if progress is not None:
            progress(stage, len(parts), expected)
    return Motion.concat(parts)
