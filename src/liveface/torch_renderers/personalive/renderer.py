"""`personalive`: a photo as endless video, a few frames at a time.

Motion comes in frame by frame and is kept until a chunk is full; then the networks look at the whole window once and
the oldest chunk is shown. So pictures come `chunk` at a time, and a frame is shown up to `window - 1` frames after it
came in.

The official networks see the driver: in its own picture when a video drives, else in the picture of the mesh renderer,
which acts the motion out on the very same photo (as `liveportrait` does). The small one of our recipe is told the
motion itself.

Notable choices: the frames that lead from the photo to the first motion are drawn and not shown; noise depends on the
seed and the number of the call alone, so that the same motion gives the same video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch

from liveface.errors import MotionMismatch, SignalError
from liveface.nets.personalive.small import POINTS, code_of, places_of
from liveface.nets.personalive.stream import Window, open_window, push
from liveface.render.canvas import Canvas, frame_portrait
from liveface.render.mesh import MeshRenderer
from liveface.signals.face import Face
from liveface.torch_renderers.personalive.engine import Engine
from liveface.types import ARKIT_NAMES, Array, Frame, Motion, Pixels, State, arkit_spec

CHUNK, WINDOW = 4, 16
LONGEST = 32  # frames of a window for which attention over time knows positions


@dataclass(frozen=True, slots=True)
class Streaming:
    """How it streams, as `--driving` says it.

    Attributes:
        chunk: frames a call.
        window: frames that are denoised together.
        small: run folder of the small one; empty for the official networks.
        tiny: decode with the tiny autoencoder.
    """

    chunk: int = CHUNK
    window: int = WINDOW
    small: str = ""
    tiny: bool = False

    def __post_init__(self) -> None:
        fits = 1 <= self.chunk <= self.window // 2 and self.window % self.chunk == 0 and self.window <= LONGEST
        if not fits:
            raise SignalError(
                f"a chunk of {self.chunk} frames in a window of {self.window} is not usable; expected a window of two "
                f"chunks or more, and at most {LONGEST} frames, such as chunk:4,window:16."
            )


def parse_streaming(text: str) -> Streaming:
    """Words such as "chunk:2,window:8,tiny" or "small:runs/personalive-stream".

    Raises:
        SignalError: one is unknown.
    """
    found = Streaming()
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = word.partition(":")
        if name in ("chunk", "window") and value.isdecimal():
            found = replace(found, window=int(value)) if name == "window" else _chunked(found, int(value))
        elif name == "small" and value:
            found = replace(found, small=value)
        elif word == "tiny":
            found = replace(found, tiny=True)
        else:
            raise SignalError(
                f"--driving has {word!r}, which personalive does not know; expected chunk:4, window:16, tiny or "
                "small:RUN."
            )
    return found


def _chunked(found: Streaming, chunk: int) -> Streaming:
    """Another chunk, in a window of four of them unless a window is named later."""
    return replace(found, chunk=chunk, window=4 * chunk)


class Watcher:
    """Sees the pictures of one driver with the motion extractor and the motion encoder.

    Args:
        engine: the networks, official ones.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._points: Array | None = None
        self._canvas: Canvas | None = None
        self._last = np.full(engine.cast.length, np.nan, np.float32)

    def meet(self, faces: list[Face]) -> None:
        """The driver's face in its first seconds: the square that is cut from every frame."""
        if faces:
            self._points = np.asarray(np.median([face.points for face in faces], axis=0), np.float32)

    def look(self, pixels: Pixels, face: Face | None) -> Array:
        """What a frame shows, as a row; without a face what was last seen, not a number when nothing was."""
        if face is None:
            return self._last
        if self._canvas is None:
            points = face.points if self._points is None else self._points
            side = self._engine.cast.side
            self._canvas = frame_portrait(pixels, points, (side, side))
        self._last = self._engine.look(self._canvas.cut(pixels))
        return self._last


class PersonaLiveRenderer:
    """Renders a driver's face, or motion, onto one photo.

    Args:
        pixels: uint8 `[h, w, 3]` sRGB photo with a face.
        size: width and height of the output in pixels, even and equal.
        face: which face to take when there are several, 1 for the largest; None takes the largest.
        streaming: chunk and window.
        engine: the networks; None opens those that `streaming` names.
        threads: of the CPU, for an engine that is opened here.
        seed: of the noise.

    Attributes:
        needs: any rate will do.
        delay: frames between motion and its picture.
        faces: how many faces the photo has.
        photo: motion (`T = 1`) that shows the photo as it is.

    Raises:
        FaceError: no usable face. WeightsError, DeviceError: the networks cannot be opened.
    """

    def __init__(
        self,
        pixels: Pixels,
        size: tuple[int, int] = (512, 512),
        *,
        face: int | None = None,
        streaming: Streaming | None = None,
        engine: Engine | None = None,
        threads: int = 1,
        seed: int = 0,
    ) -> None:
        if size[0] != size[1]:
            raise SignalError(
                f"personalive draws squares, not {size[0]}x{size[1]}; expected a size like 512x512: leave --size out."
            )
        streaming = streaming or Streaming()
        self._engine = engine or Engine.open(streaming.small, threads=threads, tiny=streaming.tiny)
        side = self._engine.cast.side
        self._actor = MeshRenderer(pixels, (side, side), face=face)
        self._plan = self._engine.cast.plan(streaming.chunk, streaming.window)
        self._size, self._seed = size, seed
        self.needs, self.delay = arkit_spec(), self._plan.window - 1
        self.faces, self.photo = self._actor.faces, self._actor.photo
        still = self._actor.canvas.shrink(self._actor.canvas.texture)
        self._reference = self._engine.refer(still)
        self._rest = self._engine.look(still) if self._engine.cast.sees else self._told(_at_rest(self.photo))

    @property
    def plate(self) -> Pixels:
        """There is none.

        Raises:
            SignalError: always.
        """
        raise SignalError(
            "personalive draws the photo's own background with the face; expected no --background: change the photo."
        )

    def watcher(self) -> Watcher | None:
        """What sees one driver's pictures for this renderer; None for the small one, which is told."""
        return Watcher(self._engine) if self._engine.cast.sees else None

    def start(self) -> State:
        """A fresh state: nothing is waiting, and there is no window yet."""
        length = self._engine.cast.length
        state: dict[str, Any] = {
            "index": np.zeros((), np.int64),
            "rows": np.zeros((0, length), np.float32),
            "first": np.full(length, np.nan, np.float32),
            "window": None,
        }
        return state

    def step(self, state: State, motion: Motion) -> tuple[State, list[Frame]]:
        """Take every frame of `motion`; gives a chunk of pictures whenever one is full and the window has filled."""
        if motion.spec.expression != ARKIT_NAMES:
            raise MotionMismatch(
                f"personalive needs {self.needs.name} or a video, not {motion.spec.name}; convert it first."
            )
        frames: list[Frame] = []
        for one in motion:
            rows = np.concatenate([state["rows"], self._row(state, one)[None]])
            state = {**state, "rows": rows}
            if len(rows) == self._plan.chunk:
                state, made = self._call(state, motion.fps)
                frames += made
        return state, frames

    def _row(self, state: State, motion: Motion) -> Array:
        """One frame of motion as a row."""
        if not self._engine.cast.sees:
            return self._told(motion)
        if motion.watched is None:
            return self._engine.look(self._actor.step(self._actor.start(), motion)[1][0].pixels)
        row = np.asarray(motion.watched[0], np.float32)
        return self._rest if np.isnan(row).any() else row

    def _told(self, motion: Motion) -> Array:
        """One frame of motion as the small one takes it."""
        places = places_of(self._actor.points(motion)[POINTS, :2], self._engine.cast.side)
        return np.concatenate([code_of(motion)[0], places.ravel()]).astype(np.float32)

    def _call(self, state: State, fps: float) -> tuple[State, list[Frame]]:
        """A full chunk goes into the window, the oldest comes out."""
        engine, plan, cast = self._engine, self._plan, self._engine.cast
        first = state["rows"][0] if np.isnan(state["first"]).any() else state["first"]
        rest, begin, rows = (torch.from_numpy(part).to(engine.device) for part in (self._rest, first, state["rows"]))
        latents = self._reference.latents
        with engine.at_work():
            window: Window | None = state["window"]  # type: ignore[assignment]
            if window is None:
                lead = cast.lead(rest, begin, plan.lead)
                hiss = engine.noise(self._seed, 0, plan.lead, latents)
                window = open_window(self._reference, lead, lead.motion[0], hiss, plan)
            hiss = engine.noise(self._seed, window.calls + 1, plan.chunk, latents)
            pushed = push(cast.networks, self._reference, window, cast.drive(rows, rest, begin), hiss, plan)
            shown = pushed.window.calls > plan.delay  # what comes out before leads from the photo to the first motion
            made = engine.pictures(pushed.latents) if shown else []
        index = int(state["index"])
        frames = [Frame(self._placed(picture), index + at, fps) for at, picture in enumerate(made)]
        after: dict[str, Any] = {
            "index": np.asarray(index + len(frames)), "rows": state["rows"][:0], "first": first, "window": pushed.window
        }  # fmt: skip
        return after, frames

    def _placed(self, picture: Pixels) -> Pixels:
        """The picture at the output's size."""
        method = cv2.INTER_AREA if self._size[0] < len(picture) else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(picture, self._size, interpolation=method), np.uint8)


def _at_rest(photo: Motion) -> Motion:
    """The photo's own motion with the head as it stands in the photo."""
    return replace(photo, head=np.zeros_like(photo.head))


def open_renderer(
    pixels: Pixels, *, size: tuple[int, int], face: int | None, threads: int, driving: str
) -> PersonaLiveRenderer:
    """The renderer with the user's weights; `driving` as in `parse_streaming`."""
    return PersonaLiveRenderer(pixels, size, face=face, streaming=parse_streaming(driving), threads=threads)
