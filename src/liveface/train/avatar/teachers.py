"""Teachers: what makes frames of a person move when there is only one photo. Interchangeable, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from liveface.errors import RecipeError
from liveface.render.mesh import MeshRenderer
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

    def __init__(self, photo: Pixels, size: tuple[int, int]) -> None:
        """`photo` uint8 `[h, w, 3]`; `size` of the canvas."""
        self._renderer = MeshRenderer(photo, size)
        own = self._renderer.photo
        self.still = Motion(own.expression, np.zeros_like(own.head), np.zeros_like(own.gaze), own.spec)

    def draw(self, motions: Iterable[Motion]) -> Iterator[Pixels]:
        """Frames on the canvas."""
        state = self._renderer.start()
        for motion in motions:
            for frame in motion:
                state, drawn = self._renderer.step(state, frame)
                yield drawn[0].pixels


def teachers() -> dict[str, Callable[[Pixels, tuple[int, int]], Teacher]]:
    """Every teacher by name; each takes a photo and the size of the canvas."""
    return {"mesh": MeshTeacher}


def teacher(name: str, photo: Pixels, size: tuple[int, int]) -> Teacher:
    """The teacher called `name`, ready to draw a photo.

    Raises:
        RecipeError: there is none of that name.
    """
    table = teachers()
    if name not in table:
        raise RecipeError(f"there is no teacher {name!r}; expected one of {', '.join(sorted(table))}.")
    return table[name](photo, size)
