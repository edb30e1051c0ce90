"""From a square that the mesh renderer drew to the window that the head network makes of it.

It knows neither canvas nor file format: training calibrates and judges with it what the run time does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from liveface.render.mobileportrait import inputs
from liveface.render.mobileportrait.sizes import BLOCK, COARSE, FLOW_UNIT, MASKS, MOTION_GRID, PortraitSize
from liveface.render.mobileportrait.window import Window
from liveface.types import Array, Pixels

Clock = Callable[[str, float], None]


class HeadNetwork(Protocol):
    """The graphs, however they are run; see `liveface.render.mobileportrait.networks.Networks`."""

    size: PortraitSize
    window: tuple[int, int]

    def learn(self, small: Array, square: Array) -> Array: ...

    def look(self, views: Array | None) -> None: ...

    def keypoints(self, facial: Array, offset: Array) -> tuple[Array, Array]: ...

    def motion(self, base: Pixels, fill_heat: Callable[[Array], None]) -> tuple[Array, Array]: ...

    def synthesis(self, warped: Pixels, masks: Pixels, coarse: Array) -> Pixels: ...

    def lowest(self, warped: Pixels, masks: Pixels, coarse: Array) -> Array: ...


@dataclass(frozen=True, slots=True)
class Photo:
    """What never changes, in the square of R pixels.

    Attributes:
        source, plate: uint8 `[R, R, 3]`, the photo and its background without the person.
        matte: uint8 `[R, R]`, the photo's person.
        points: `[478, 2+]` of the photo in pixels of the square.
        views: uint8 `[R, R, 3]` each, the photo in the poses of `VIEW_TURNS`.
    """

    source: Pixels
    plate: Pixels
    matte: Pixels
    points: Array
    views: Sequence[Pixels]


class Retouch:
    """One photo's squares made better.

    Args:
        network: loaded; it keeps what the photo fixes, so one network serves one photo at a time.
        photo: see `Photo`.
        window: of the network's size.
        clock: told the name and the seconds of every stage.
    """

    def __init__(self, network: HeadNetwork, photo: Photo, window: Window, clock: Clock | None = None) -> None:
        self._network, self._window = network, window
        self._clock = clock or (lambda stage, seconds: None)
        self._resolution = window.crop.resolution
        known = inputs.landmark_mask(photo.points, self._resolution, MOTION_GRID)
        small = np.dstack([_small(photo.source) / np.float32(255), _small(photo.matte) / np.float32(255), known])
        square = np.dstack([photo.plate, photo.source, photo.matte]).astype(np.float32) / np.float32(255)
        neural = network.learn(small.astype(np.float32), window.cut(square))
        facial = self._facial(photo.points)
        _, own = network.keypoints(facial, np.zeros_like(neural))
        self._offset = neural - own
        self._heat = inputs.heat(network.keypoints(facial, self._offset)[0], MOTION_GRID)
        if photo.views:
            given = self._unaware()
            network.look(np.mean([network.lowest(window.cut(view), *given) for view in photo.views], axis=0))

    def __call__(self, square: Pixels, points: Array, matte: Pixels) -> Pixels:
        """The window of a square, made better, uint8 `[h, w, 3]`.

        Args:
            square: uint8 `[R, R, 3]` as the mesh renderer drew it.
            points: `[478, 2+]` of the motion, pixels of the square.
            matte: uint8 `[R, R]`, where the person is.
        """
        since = time.perf_counter()
        flow, trust = self._bend(square, points)
        since = self._tick("motion", since)
        warped = self._window.bend(square, flow)
        since = self._tick("warp", since)
        masks = self._window.cut(inputs.masks(points, self._resolution), 2)
        coarse = self._window.cut(inputs.coarse(trust, matte, points, self._resolution), BLOCK)
        change = self._network.synthesis(warped, masks, coarse)
        made = cv2.addWeighted(warped, 1, change, 1, -128, dst=warped)
        self._tick("synthesis", since)
        return np.asarray(made, np.uint8)

    def _bend(self, square: Pixels, points: Array) -> tuple[Array, Array]:
        """Flow `[64, 64, 2]` in pixels of the square, and trust `[64, 64]`."""
        mixed, _ = self._network.keypoints(self._facial(points), self._offset)

        def fill(memory: Array) -> None:
            inputs.heat(mixed, MOTION_GRID, memory)
            memory -= self._heat

        flow, trust = self._network.motion(_small(square), fill)
        return flow * np.float32(FLOW_UNIT * self._resolution), trust

    def _facial(self, points: Array) -> Array:
        return inputs.facial(points, self._resolution, self._network.size.facial)

    def _unaware(self) -> tuple[Pixels, Array]:
        """Masks and coarse inputs of a picture of which nothing is known, but that it is to be trusted."""
        width, height = self._window.size
        coarse = np.zeros((height // BLOCK, width // BLOCK, len(COARSE)), np.float32)
        coarse[..., 0] = 1
        return np.zeros((height // 2, width // 2, len(MASKS)), np.uint8), coarse

    def _tick(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self._clock(stage, now - since)
        return now


def _small(square: Pixels) -> Pixels:
    """A square on the motion grid."""
    return np.asarray(cv2.resize(square, (MOTION_GRID, MOTION_GRID), interpolation=cv2.INTER_AREA), square.dtype)
