"""Teachers: what makes frames of a person move when there is only one photo. Interchangeable, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from liveface.driver import Watcher
from liveface.errors import RecipeError
from liveface.render.mesh import MeshRenderer
from liveface.render.mobileportrait.renderer import MobilePortraitRenderer
from liveface.types import Motion, Pixels


class Teacher(Protocol):
    """Draws one photo under motion.

    Attributes:
        name: as in `teachers`.
        still: motion (`T = 1`) that shows the photo as it is, head and gaze at zero.
    """

    name: str
    still: Motion

    def draw(self, motions: Iterable[Motion]) -> Iterator[Pixels]:
        """Frames uint8 `[H, W, 3]` on the canvas, one for every frame of motion."""
        ...


class MeshTeacher:
    """The mesh renderer: no training, exact geometry, a painted mouth."""

    name = "mesh"
    _make: Callable[[Pixels, tuple[int, int]], MeshRenderer | MobilePortraitRenderer] = MeshRenderer

    def __init__(self, photo: Pixels, size: tuple[int, int]) -> None:
        """`photo` uint8 `[h, w, 3]`; `size` of the canvas."""
        self._renderer = type(self)._make(photo, size)
        own = self._renderer.photo
        self.still = Motion(own.expression, np.zeros_like(own.head), np.zeros_like(own.gaze), own.spec)

    def draw(self, motions: Iterable[Motion]) -> Iterator[Pixels]:
        """Frames on the canvas."""
        state = self._renderer.start()
        for motion in motions:
            for frame in motion:
                state, drawn = self._renderer.step(state, frame)
                yield drawn[0].pixels


class MobilePortraitTeacher(MeshTeacher):
    """The mesh renderer's frames made better by the head network that ships."""

    name = "mobileportrait"
    _make = MobilePortraitRenderer


class LivePortraitTeacher:
    """LivePortrait with the user's weights: real mouths and wrinkles; a video drives it by its pictures."""

    name = "liveportrait"

    def __init__(self, photo: Pixels, size: tuple[int, int]) -> None:
        """`photo` uint8 `[h, w, 3]`; `size` of the canvas.

        Raises:
            WeightsError: the weights are not here. DeviceError: a package is missing.
        """
        from liveface.torch_renderers.liveportrait.engine import Engine
        from liveface.torch_renderers.liveportrait.renderer import LivePortraitRenderer

        self._renderer = LivePortraitRenderer(photo, size, engine=Engine.open())
        own = self._renderer.photo
        self.still = Motion(own.expression, np.zeros_like(own.head), np.zeros_like(own.gaze), own.spec)

    def watcher(self) -> Watcher:
        """What sees the pictures of one driver."""
        return self._renderer.watcher()

    def draw(self, motions: Iterable[Motion]) -> Iterator[Pixels]:
        """Frames on the canvas."""
        state = self._renderer.start()
        for motion in motions:
            for frame in motion:
                state, drawn = self._renderer.step(state, frame)
                yield drawn[0].pixels


def teachers() -> dict[str, Callable[[Pixels, tuple[int, int]], Teacher]]:
    """Every teacher by name; each takes a photo and the size of the canvas."""
    return {"mesh": MeshTeacher, "mobileportrait": MobilePortraitTeacher, "liveportrait": LivePortraitTeacher}


def teacher(name: str, photo: Pixels, size: tuple[int, int]) -> Teacher:
    """The teacher called `name`, ready to draw a photo.

    Raises:
        RecipeError: there is none of that name.
    """
    table = teachers()
    if name not in table:
        raise RecipeError(f"there is no teacher {name!r}; expected one of {', '.join(sorted(table))}.")
    return table[name](photo, size)
