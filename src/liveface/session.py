"""The engine: a photo or an avatar and a driver become a talking video; video and speech become motion.

Notable choices:
- One path: driver -> motion -> renderer -> sink, one frame at a time, so an hour costs no more memory than a second.
- The output is opened before anything slow happens, and takes its name when it is whole.
- Only this layer reads a clock; what it measured comes back as a `Report`.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from liveface.avatar import Avatar
from liveface.driver import (
    Dials,
    Driver,
    calibrate,
    check_heard,
    follow,
    house_fps,
    idle_driver,
    open_driver,
    speech_model,
    speech_motion,
)
from liveface.errors import FaceError, SignalError, SinkError
from liveface.motion.files import save_motion
from liveface.motion.idle import IdleMotion
from liveface.motion.solve import MotionSolver
from liveface.pipes import CAMERA, FORMATS, CameraSink, RawSink, raw_format
from liveface.render import renderers
from liveface.render.background import ALPHA, Background, check_background
from liveface.signals.media import OUTPUT_RATE_HZ, probe, read_audio, read_video
from liveface.sinks import VideoSink
from liveface.subject import (
    Subject,
    article,
    chosen_renderer,
    fit,
    open_renderer,
    open_subject,
    read_photo,
    video_size,
)
from liveface.trackers import is_place, open_tracker, sent
from liveface.types import AudioBlock, Frame, Motion, Pixels

SIZES = {"portrait": (360, 640), "tall": (384, 672), "square": (512, 512)}
MIN_SIDE, MAX_SIDE = 64, 1920
RATES = (25, 30)
KEPT_TIMES = 4096  # durations kept per stage: an evenly thinned sample, so that hours cost no memory
JOIN = 512  # frames of motion that are joined at a time while tracking

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Takes the frames done and the frames expected; 0 when unknown."""
AnySink: TypeAlias = VideoSink | RawSink | CameraSink


@dataclass(frozen=True, slots=True)
class Options:
    """What a talking video shall be like.

    Attributes:
        size: width and height in pixels, even; None is 360x640 for a photo and the canvas of an avatar.
        fps: 25 or 30 frames per second.
        face: which face of the photo when there are several, 1 for the largest; None takes the largest and says so.
        renderer: a name in `liveface.render.renderers()`; None is mesh for a photo and its own for an avatar.
        motion_scale: size of the expression; 1 is natural.
        head: size of head motion.
        blink: how much the eyes blink.
        seed: of what sound does not tell: blinks, gaze, sway, and how a sentence is said.
        emotion: for speech, such as "happy:0.7,surprised:0.2".
        style: for speech, such as "articulation:1,smile:0.5".
        quality: for speech, "live" or "best".
        threads: CPU threads of networks, decoder and encoder.
        background: "#rrggbb", a picture file or "alpha" (none) in place of the photo's own; None keeps that.
        driving: of liveportrait, such as "absolute,region:lip"; see `liveface.torch_renderers.liveportrait.drive`.
        format: of raw frames instead of an MP4, one of `liveface.pipes.FORMATS`; None goes by the output's name.
    """

    size: tuple[int, int] | None = None
    fps: int = 30
    face: int | None = None
    renderer: str | None = None
    motion_scale: float = 1.0
    head: float = 1.0
    blink: float = 1.0
    seed: int = 0
    emotion: str = ""
    style: str = ""
    quality: str = "live"
    threads: int = 1
    background: str | None = None
    driving: str = ""
    format: str | None = None

    def __post_init__(self) -> None:
        if self.fps not in RATES:
            raise SignalError(f"{self.fps} frames per second is not offered; expected 25 or 30.")
        width, height = self.size or SIZES["portrait"]
        if not all(MIN_SIDE <= side <= MAX_SIDE and side % 2 == 0 for side in (width, height)):
            raise SignalError(
                f"size {width}x{height} is not offered; expected even numbers from {MIN_SIDE} to {MAX_SIDE}, "
                "for instance 360x640."
            )
        if not 0.4 <= width / height <= 1.8:
            raise SignalError(f"size {width}x{height} is too {'wide' if width > height else 'tall'}; try 360x640.")
        if self.renderer is not None and self.renderer not in renderers():
            raise SignalError(f"there is no renderer {self.renderer!r}; expected {', '.join(renderers())}.")
        if not 1 <= self.threads <= 64:
            raise SignalError(f"{self.threads} threads is not usable; expected 1 to 64.")
        if self.format not in (None, *FORMATS):
            raise SignalError(f"there is no format {self.format!r}; expected {', '.join(FORMATS)}.")
        if self.background is not None:
            check_background(self.background)
        _ = self.dials

    def suited(self, subject: Subject) -> Options:
        """The same options with the size and the renderer that this subject gets.

        Raises:
            SignalError: they do not suit it.
        """
        name = chosen_renderer(subject, self.renderer)
        return replace(self, renderer=name, size=video_size(subject, name, self.size))

    @property
    def dials(self) -> Dials:
        """The part that changes motion."""
        return Dials(self.motion_scale, self.head, self.blink, self.seed, self.emotion, self.style, self.quality)


class Stages:
    """How long each stage took, milliseconds; a bounded, evenly thinned sample of each."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = defaultdict(list)
        self._count: dict[str, int] = defaultdict(int)
        self._stride: dict[str, int] = defaultdict(lambda: 1)

    def add(self, stage: str, seconds: float) -> None:
        """Take one duration into account."""
        if self._count[stage] % self._stride[stage] == 0:
            times = self._times[stage]
            times.append(seconds * 1000)
            if len(times) >= KEPT_TIMES:
                del times[1::2]
                self._stride[stage] *= 2
        self._count[stage] += 1

    def summary(self) -> dict[str, dict[str, float]]:
        """Stage to `min`, `p50`, `p95` and `mean` in milliseconds a call."""
        return {stage: _spread(np.array(times)) for stage, times in self._times.items()}


def _spread(times: np.ndarray) -> dict[str, float]:
    middle, high = np.percentile(times, [50, 95])
    named = {"min": times.min(), "p50": middle, "p95": high, "mean": times.mean()}
    return {name: round(float(value), 3) for name, value in named.items()}


@dataclass(frozen=True, slots=True)
class Report:
    """What was made and what it cost.

    Attributes:
        path: the output.
        frames: how many.
        fps: of the output.
        elapsed_s: from the first look at the input to the finished file.
        stages: stage name to `min`, `p50`, `p95` and `mean`, milliseconds a frame.
        driver: what drove: "speech", "video", "motion" or "idle".
    """

    path: Path
    frames: int
    fps: float
    elapsed_s: float
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    driver: str = ""

    @property
    def duration_s(self) -> float:
        """Length of the output."""
        return self.frames / self.fps

    @property
    def speed(self) -> float:
        """Seconds of output per second of work: above 1 is faster than real time."""
        return self.duration_s / max(self.elapsed_s, 1e-9)


class Session:
    """One photo or avatar, ready to be driven again and again.

    Args:
        photo: a picture file, an avatar file (told by their content), uint8 `[H, W, 3]` sRGB, or an `Avatar`.
        options: see `Options`; keyword arguments of the same names may be given instead.

    Attributes:
        options: with size and renderer settled.
        behaviour: an avatar's idle and listening manner; None for a photo, which gets the house's.

    Raises:
        SignalError: the picture cannot be used. FaceError: it has no usable face.
        AvatarError: an avatar that cannot be used.
    """

    def __init__(self, photo: str | Path | Subject, options: Options | None = None, **named: Any) -> None:
        subject = open_subject(photo)
        self.options = (options or Options(**named)).suited(subject)
        self.behaviour = subject.about.behaviour if isinstance(subject, Avatar) else None
        assert self.options.renderer is not None
        assert self.options.size is not None
        self._size = self.options.size
        self.renderer = open_renderer(
            subject,
            self.options.renderer,
            self._size,
            self.options.face,
            self.options.threads,
            self.options.driving,
        )
        wanted, self._background = self.options.background, None
        if wanted is not None:
            self._background = Background(wanted, self.renderer.plate, read_photo)
        if self.renderer.faces > 1 and self.options.face is None:
            _log.warning("the photo has %d faces; the largest is used (--face N takes another).", self.renderer.faces)

    def open(self, driver: str | Path | Driver) -> Driver:
        """The driver in a file, told by its content; an opened one as it is."""
        return _driver(driver, self.options)

    def stream(
        self, driver: str | Path | Driver, stages: Stages | None = None
    ) -> Iterator[tuple[Frame, AudioBlock | None]]:
        """Frames with their sound, as they are made."""
        source = self.open(driver)
        stages = stages or Stages()
        state = self.renderer.start()
        waiting: list[tuple[AudioBlock | None, Pixels | None]] = []
        shown: tuple[Motion, Frame] | None = None
        count = asked = 0
        watcher = self.renderer.watcher() if hasattr(self.renderer, "watcher") else None
        stream = source.stream(stages.add, self.renderer.photo, self.behaviour, watcher)
        for motion, sound, due in self._flushed(stream):
            asked += due
            if source.repeats and shown is not None and shown[0] is motion:
                yield replace(shown[1], index=count), sound
                count += 1
                continue
            since = time.perf_counter()
            matte = None if self._background is None else self.renderer.matte(state, motion)
            state, frames = self.renderer.step(state, motion)
            stages.add("render", time.perf_counter() - since)
            waiting.append((sound, matte))
            for frame in frames:
                if count == asked:  # pictures that come several at a time may be more than were asked for, at the end
                    return
                heard, behind = waiting.pop(0)
                done = self._finished(frame, behind, count, stages)
                shown = (motion, done)
                yield done, heard
                count += 1

    def _finished(self, frame: Frame, matte: Pixels | None, index: int, stages: Stages) -> Frame:
        """A frame before its background, of the video's size."""
        pixels, alpha = frame.pixels, None
        if self._background is not None and matte is not None:
            since = time.perf_counter()
            pixels, alpha = self._background.behind(pixels, matte)
            stages.add("background", time.perf_counter() - since)
        alpha = None if alpha is None else fit(alpha, self._size)
        return Frame(fit(pixels, self._size), index, float(self.options.fps), alpha)

    def _flushed(
        self, stream: Iterator[tuple[Motion, AudioBlock | None]]
    ) -> Iterator[tuple[Motion, AudioBlock | None, bool]]:
        """The stream, then its last motion again until a renderer that looks ahead has given up every frame.

        With each, whether a picture is asked for it.
        """
        motion = None
        for motion, sound in stream:
            yield motion, sound, True
        for _ in range(self.renderer.delay if motion is not None else 0):
            assert motion is not None
            yield motion, None, False

    def animate(self, driver: str | Path | Driver, output: str | Path, progress: Progress | None = None) -> Report:
        """Make a talking video of the photo; see `liveface.animate`."""
        since = time.perf_counter()
        stages, source = Stages(), self.open(driver)
        with self._sink(output, source) as sink:
            _write(self.stream(source, stages), sink, source, stages, progress)
        elapsed = time.perf_counter() - since
        return Report(Path(output), sink.frames, self.options.fps, elapsed, stages.summary(), source.kind)

    def _sink(self, output: str | Path, source: Driver) -> AnySink:
        return open_sink(output, self.options, source)


def open_sink(output: str | Path, options: Options, source: Driver) -> AnySink:
    """What `source` will fill, of the size and format in `options`; an MP4 has a sound track when `source` has sound.

    Args:
        output: a file, "-" for standard output, or "camera" for a virtual camera ("camera:DEVICE").

    Raises:
        SinkError: an output that does not go with the options.
    """
    assert options.size is not None
    name, _, device = str(output).partition(":")
    kind = raw_format(output, options.format)
    if options.background == ALPHA and kind != "rgba":
        raise SinkError("an alpha channel was asked for, which only raw frames hold; expected --format rgba with it.")
    if name == CAMERA:
        return CameraSink(device, options.size, options.fps, paced=not source.repeats)
    if kind is not None:
        return RawSink(output, options.size, options.fps, kind)
    rate = OUTPUT_RATE_HZ if source.has_sound else None
    return VideoSink(output, options.size, options.fps, rate, options.threads)


def _write(
    stream: Iterator[tuple[Frame, AudioBlock | None]],
    sink: AnySink,
    source: Driver,
    stages: Stages,
    progress: Progress | None,
) -> None:
    """Pour a stream into a sink."""
    for frame, sound in stream:
        since = time.perf_counter()
        sink.write(frame, sound)
        stages.add("encode", time.perf_counter() - since)
        if progress is not None:
            progress(sink.frames, source.frames_estimate)


def animate(
    photo: str | Path | Subject,
    driver: str | Path | Driver,
    output: str | Path,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Make a talking video: a photo or an avatar, driven by speech, by the face in a video, or by a motion file.

    Args:
        photo: a picture file, an avatar file, uint8 `[H, W, 3]` sRGB, or an `Avatar`.
        driver: what it is, is read from its content; a video's sound is kept. An opened one is taken as it is.
        output: an MP4 file; "-" writes to standard output.
        progress: called after every frame with the frames done and expected.
        options: the fields of `Options`, by name.

    Raises:
        LivefaceError: any input or output that cannot be used; nothing half-written is left.
    """
    since = time.perf_counter()
    chosen, stages = Options(**options), Stages()
    for given in (photo, driver):
        if isinstance(given, str | Path):
            _refuse_same(given, output)
    source = _driver(driver, chosen)
    subject = open_subject(photo)
    chosen = chosen.suited(subject)
    with open_sink(output, chosen, source) as sink:
        session = Session(subject, chosen)
        _write(session.stream(source, stages), sink, source, stages, progress)
    elapsed = time.perf_counter() - since
    return Report(Path(output), sink.frames, chosen.fps, elapsed, stages.summary(), source.kind)


def _driver(driver: str | Path | Driver, options: Options) -> Driver:
    if isinstance(driver, Driver):
        if driver.fps != options.fps:
            raise SignalError(f"a driver at {driver.fps:g} fps was given for a video at {options.fps}; open it anew.")
        return driver
    if is_place(driver):
        return open_tracker(driver, options.fps, options.dials)
    return open_driver(driver, options.fps, options.dials, options.threads)


def silence(seconds: float, fps: int = 30, **dials: Any) -> Driver:
    """A driver of `seconds` in which nobody speaks; `dials` are `head`, `blink`, `seed` and `emotion` of `Options`."""
    return idle_driver(seconds, fps, Dials(**dials))


def track(
    video: str | Path,
    output: str | Path | None = None,
    *,
    fps: float | None = None,
    send: str | None = None,
    progress: Progress | None = None,
) -> Motion:
    """Read the motion of the face in a video; with `output` (.csv or .lfm), store it too.

    Args:
        video: a video of one person, or of several, of whom the largest face is followed.
        output: a Live Link Face CSV, or an .lfm file.
        send: whom to send it to as it comes, in the video's own time: "livelink:HOST:PORT" or "vmc:HOST:PORT".
        fps: rate of the motion; None keeps the video's own, up to 60.
        progress: called after every frame with the frames done and expected.
    """
    info = probe(video)
    if info.kind != "video":
        raise SignalError(f"{Path(video).name} is {article(info.kind)}; expected a video with a face in it.")
    _check_motion_output(video, output)
    rate = fps or house_fps(info)
    frames = read_video(video, rate, 960)
    solver = MotionSolver(rate, frames.size)
    calibrate(solver, Path(video), rate)
    if not solver.person.frames:
        raise FaceError(f"{Path(video).name} shows no face in its first seconds; expected a video of a face.")
    motions = follow(frames, solver, lambda *_: None)
    if send is not None:
        motions = sent(motions, send, rate)
    motion = _gather(motions, frames.frames_estimate, progress)
    if output is not None:
        save_motion(motion, output)
    return motion


def listen(
    sound: str | Path,
    output: str | Path | None = None,
    *,
    idle: bool = True,
    progress: Progress | None = None,
    **dials: Any,
) -> Motion:
    """Turn speech into motion; with `output` (.csv or .lfm), store it too.

    Args:
        sound: any file with sound.
        output: a Live Link Face CSV, or an .lfm file.
        idle: whether there are blinks, gaze, sway and brows; without, only the mouth moves.
        progress: called after every frame with the frames done and expected.
        dials: the fields of `liveface.driver.Dials`, by name: `seed`, `emotion`, `style`, `quality`, `head` and others.
    """
    _check_motion_output(sound, output)
    check_heard(Path(sound))
    source = read_audio(sound)
    chosen = Dials(**dials)
    life = IdleMotion(seed=chosen.seed, head=chosen.head, blink=chosen.blink) if idle else None
    model = speech_model(chosen, life, mouth_only=not idle)
    motions = speech_motion(model, Path(sound), lambda *_: None)
    motion = _gather(motions, round(source.duration_s * model.spec.fps), progress)
    if output is not None:
        save_motion(motion, output)
    return motion


def _gather(motions: Iterator[Motion], expected: int, progress: Progress | None) -> Motion:
    """Join frames as they come, without landmarks, `JOIN` at a time."""
    parts: list[Motion] = []
    held: list[Motion] = []
    done = 0
    for motion in motions:
        held.append(Motion(motion.expression, motion.head, motion.gaze, motion.spec))
        done += 1
        if len(held) == JOIN:
            parts, held = [*parts, Motion.concat(held)], []
        if progress is not None:
            progress(done, expected)
    if not done:
        raise SignalError("the file holds no frame that can be decoded; expected at least one.")
    return Motion.concat([*parts, *held])


def _check_motion_output(source: str | Path, output: str | Path | None) -> None:
    """Refuse an output before the work begins, not after."""
    if output is None:
        return
    _refuse_same(source, output)
    output = Path(output)
    if output.suffix.lower() not in (".csv", ".lfm"):
        raise SinkError(f"cannot write motion to {output.name!r}; expected a name that ends in .csv or .lfm.")
    if not output.parent.is_dir():
        raise SinkError(f"folder {output.parent} does not exist; make it first, or name another output.")


def _refuse_same(source: str | Path, output: str | Path) -> None:
    """An output must not replace an input."""
    source, output = Path(source), Path(output)
    if output.exists() and source.exists() and output.is_file() and output.samefile(source):
        raise SinkError(f"{output} is an input too; name another output, so that nothing is lost.")
