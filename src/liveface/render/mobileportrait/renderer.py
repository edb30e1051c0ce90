"""`mobileportrait`: what the mesh renderer draws, made better by a head network after MobilePortrait.

Notable choices: the mesh renderer's picture is the start, so geometry, identity, background and the meaning of motion
are its own, and a network that answers zero gives its picture back to the byte; a small network bends the head once
more, another adds what is missing. The latter works in a window around the face that fades out at its border. Where the
square is a slice of the canvas, nothing is resampled but by the bending itself.

Source: MobilePortrait, arXiv 2407.05712.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from liveface.errors import MotionMismatch
from liveface.render.mesh import Drawn, MeshRenderer
from liveface.render.mobileportrait import inputs
from liveface.render.mobileportrait.crop import head_crop
from liveface.render.mobileportrait.networks import Networks
from liveface.render.mobileportrait.sizes import FLOW_UNIT, MOTION_GRID, VIEW_TURNS
from liveface.render.mobileportrait.window import place_window
from liveface.types import ARKIT_NAMES, Array, Frame, Motion, MotionSpec, Pixels, State

SIZE = "4g"
"""The network that is used when none is asked for."""

Clock = Callable[[str, float], None]


class MobilePortraitRenderer:
    """Renders motion onto one photo.

    Args:
        pixels: uint8 `[h, w, 3]` sRGB photo with a face.
        size: width and height of the output in pixels, even.
        face: which face to take when there are several, 1 for the largest; None takes the largest.
        networks: the head network; None loads the one that ships.
        threads: CPU threads of the networks, where none are given.
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
        networks: Networks | None = None,
        threads: int = 1,
        clock: Clock | None = None,
    ) -> None:
        self._networks = networks or Networks(SIZE, threads)
        self._mesh = MeshRenderer(pixels, size, face=face)
        self.needs: MotionSpec = self._mesh.needs
        self.faces, self.photo, self.canvas = self._mesh.faces, self._mesh.photo, self._mesh.canvas
        self._clock = clock or (lambda stage, seconds: None)
        self._crop = head_crop(self.canvas.points, size)
        self.window = place_window(self._crop, self.canvas.points, self._networks.window)
        self._learn()

    def _learn(self) -> None:
        """Everything that is done once a photo."""
        crop, network, resolution = self._crop, self._networks, self._crop.resolution
        rest = replace(self.photo, head=np.zeros((1, 6), np.float32), landmarks=None)
        source = crop.cut(self.canvas.shrink(self.canvas.texture))
        matte = crop.cut(self._mesh.matte(self.start(), rest))
        points = crop.points(self.canvas.points)
        small = np.dstack(
            [
                _small(source) / np.float32(255),
                _small(matte) / np.float32(255),
                inputs.landmark_mask(points, resolution, MOTION_GRID),
            ]
        )
        square = np.dstack([crop.cut(self._mesh.plate), source, matte]).astype(np.float32) / np.float32(255)
        neural = network.learn(small, self.window.cut(square))
        facial = inputs.facial(points, resolution, network.size.facial)
        _, own = network.keypoints(facial, np.zeros_like(neural))
        self._offset = neural - own
        self._heat = inputs.heat(network.keypoints(facial, self._offset)[0], MOTION_GRID)
        views = []
        for turn in VIEW_TURNS:
            head = np.zeros((1, 6), np.float32)
            head[0, :2] = turn
            seen = self.window.cut(crop.cut(self._mesh.draw(replace(rest, head=head)).pixels))
            views.append(network.lowest(seen, *self._unaware()))
        network.look(np.mean(views, axis=0))

    def _unaware(self) -> tuple[Pixels, Array]:
        """Masks and coarse inputs of a picture of which nothing is known, but that it is to be trusted."""
        width, height = self.window.size
        coarse = np.zeros((height // 4, width // 4, 4), np.float32)
        coarse[..., 0] = 1
        return np.zeros((height // 2, width // 2, 4), np.uint8), coarse

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
        since = self._tick("mesh", since)
        square, points = self._crop.cut(drawn.pixels), self._crop.points(drawn.points)
        flow, trust = self._bend(square, points)
        since = self._tick("motion", since)
        warped = self.window.bend(square, flow)
        since = self._tick("warp", since)
        masks, coarse = self._told(drawn, points, trust)
        change = self._networks.synthesis(warped, masks, coarse)
        since = self._tick("synthesis", since)
        made = cv2.addWeighted(warped, 1, change, 1, -128, dst=warped)
        self.window.paste(np.asarray(made, np.uint8), square, drawn.pixels)
        self._tick("paste", since)
        return drawn.pixels

    def _bend(self, square: Pixels, points: Array) -> tuple[Array, Array]:
        """Flow `[64, 64, 2]` in pixels of the square, and trust `[64, 64]`."""
        network, resolution = self._networks, self._crop.resolution
        mixed, _ = network.keypoints(inputs.facial(points, resolution, network.size.facial), self._offset)

        def fill(memory: Array) -> None:
            inputs.heat(mixed, MOTION_GRID, memory)
            memory -= self._heat

        flow, trust = network.motion(_small(square), fill)
        return flow * np.float32(FLOW_UNIT * resolution), trust

    def _told(self, drawn: Drawn, points: Array, trust: Array) -> tuple[Pixels, Array]:
        """Masks and coarse inputs of the window."""
        resolution = self._crop.resolution
        masks = inputs.masks(points, resolution)
        coarse = inputs.coarse(trust, self._crop.cut(drawn.matte), points, resolution)
        return self.window.cut(masks, 2), self.window.cut(coarse, 4)

    def _tick(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self._clock(stage, now - since)
        return now


def _small(square: Pixels) -> Pixels:
    """A square on the motion grid."""
    return np.asarray(cv2.resize(square, (MOTION_GRID, MOTION_GRID), interpolation=cv2.INTER_AREA), square.dtype)
