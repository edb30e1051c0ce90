"""`mobileportrait`: what the mesh renderer draws, made better by a head network after MobilePortrait.

Notable choices: the mesh renderer's picture is the start, so geometry, identity, background and the meaning of motion
are its own, and a network that answers zero gives its picture back to the byte; a small network bends the head once
more, another adds what is missing. The latter works in a window around the face that fades out at its border. Where the
square is a slice of the canvas, nothing is resampled but by the bending itself.

Source: MobilePortrait, arXiv 2407.05712.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from liveface.errors import MotionMismatch
from liveface.render.mesh import MeshRenderer
from liveface.render.mobileportrait.crop import head_crop
from liveface.render.mobileportrait.networks import Networks
from liveface.render.mobileportrait.retouch import Clock, HeadNetwork, Photo, Retouch
from liveface.render.mobileportrait.sizes import VIEW_TURNS, size_of
from liveface.render.mobileportrait.window import place_window
from liveface.types import ARKIT_NAMES, Frame, Motion, MotionSpec, Pixels, State

SIZE = "4g"
"""The network that is used when none is asked for."""


class MobilePortraitRenderer:
    """Renders motion onto one photo.

    Args:
        pixels: uint8 `[h, w, 3]` sRGB photo with a face.
        size: width and height of the output in pixels, even.
        face: which face to take when there are several, 1 for the largest; None takes the largest.
        network: the head network, which then serves this photo alone; None loads the one that ships.
        threads: CPU threads of the one that ships.
        clock: told the name and the seconds of every stage, for benchmarks.

    Attributes:
        needs: any rate will do; frames come at the rate of the motion.
        faces: how many faces the photo has.
        photo: motion (`T = 1`) that shows the photo as it is, with its absolute pose and its tracked points.
        canvas: the photo on its canvas.
        window: where the network draws.

    Raises:
        FaceError: no usable face. WeightsError: a network that is missing or does not fit.
    """

    delay = 0

    def __init__(
        self,
        pixels: Pixels,
        size: tuple[int, int] = (360, 640),
        *,
        face: int | None = None,
        network: HeadNetwork | None = None,
        threads: int = 1,
        clock: Clock | None = None,
    ) -> None:
        network = network or Networks(size_of(SIZE), threads)
        self._mesh = MeshRenderer(pixels, size, face=face)
        self.needs: MotionSpec = self._mesh.needs
        self.faces, self.photo, self.canvas = self._mesh.faces, self._mesh.photo, self._mesh.canvas
        self._clock = clock or (lambda stage, seconds: None)
        self._crop = head_crop(self.canvas.points, size)
        self.window = place_window(self._crop, self.canvas.points, network.window)
        self._retouch = Retouch(network, self._photo(), self.window, self._clock)

    def _photo(self) -> Photo:
        """The photo in its square."""
        crop, rest = self._crop, replace(self.photo, head=np.zeros((1, 6), np.float32), landmarks=None)
        turns = np.zeros((len(VIEW_TURNS), 1, 6), np.float32)
        turns[:, 0, :2] = VIEW_TURNS
        return Photo(
            crop.cut(self.canvas.shrink(self.canvas.texture)),
            crop.cut(self._mesh.plate),
            crop.cut(self._mesh.matte(self.start(), rest)),
            crop.points(self.canvas.points),
            [crop.cut(self._mesh.draw(replace(rest, head=turn)).pixels) for turn in turns],
        )

    def start(self) -> State:
        """A fresh state: the index of the next frame."""
        return {"index": np.zeros((), np.int64)}

    def step(self, state: State, motion: Motion) -> tuple[State, list[Frame]]:
        """Render every frame of `motion`; head rotation and shift are relative to the photo's own pose."""
        if motion.spec.expression != ARKIT_NAMES:
            raise MotionMismatch(
                f"the mobileportrait renderer needs {self.needs.name}, not {motion.spec.name}; convert it first."
            )
        index = int(state["index"])
        frames = [Frame(self._draw(one), index + at, motion.fps) for at, one in enumerate(motion)]
        return {"index": np.asarray(index + len(frames))}, frames

    @property
    def plate(self) -> Pixels:
        """The background without the person, uint8 `[H, W, 3]`."""
        return self._mesh.plate

    def matte(self, state: State, motion: Motion) -> Pixels:
        """Where the person is in the picture that `step` makes of one frame of motion, uint8 `[H, W]`."""
        return self._mesh.matte(state, motion)

    def _draw(self, motion: Motion) -> Pixels:
        since = time.perf_counter()
        drawn = self._mesh.draw(motion)
        self._clock("mesh", time.perf_counter() - since)
        square = self._crop.cut(drawn.pixels)
        made = self._retouch(square, self._crop.points(drawn.points), self._crop.cut(drawn.matte))
        since = time.perf_counter()
        self.window.paste(made, square, drawn.pixels)
        self._clock("paste", time.perf_counter() - since)
        return drawn.pixels
