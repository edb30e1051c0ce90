"""The head network's files, loaded: numpy in and out, in their own units.

Pictures go in and residuals come out as the integers that INT8 files hold inside; what a photo fixes is written into a
network's memory once. Float files of the same names work too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from liveface import weights
from liveface.errors import WeightsError
from liveface.render.liveface.paste import shuffle
from liveface.render.mobileportrait.files import PARTS, file_name
from liveface.render.mobileportrait.sizes import BLOCK, COARSE, MASKS, MOTION_GRID, NEURAL, STILL_CHANNELS, PortraitSize
from liveface.runtime import Step
from liveface.tflite import integer_ends
from liveface.types import Array, Pixels

ENDS = {"motion": ("base", "still", "motion"), "synthesis": ("warped", "masks", "still", "views", "grid")}
"""What goes in and out as integers, where the file holds them."""

_ANSWERS = 3  # of the motion network: flow x, flow y, occlusion
_MIDDLE = 128  # of a residual as uint8


class Networks:
    """The four graphs of one size.

    Args:
        size: see `liveface.render.mobileportrait.sizes`.
        threads: CPU threads.
        read: gives the content of a part; None takes the files that ship.

    Attributes:
        window: width and height of the synthesis in pixels of the square.

    Raises:
        WeightsError: a part is missing or does not fit this version.
    """

    def __init__(self, size: PortraitSize, threads: int = 1, read: Callable[[str], bytes] | None = None) -> None:
        self.size = size
        read = read or (lambda part: weights.path(file_name(size.name, part)).read_bytes())
        made = {}
        for part in PARTS:
            name = Path(file_name(size.name, part))
            made[part] = Step(name, threads, content=integer_ends(read(part), ENDS.get(part, ())))
        self._photo, self._keypoints, self._motion, self._synthesis = (made[part] for part in PARTS)
        self.window = self._check(made)
        self._moves = next(iter(self._motion.outputs))

    def _check(self, made: Mapping[str, Step]) -> tuple[int, int]:
        """Every graph takes what this version gives; returns the window."""
        size, grid = self.size, MOTION_GRID
        _, height, width, _ = made["synthesis"].inputs.get("warped", ((0, 0, 0, 0), None))[0]
        fine, low = (height // BLOCK, width // BLOCK), (height // size.lowest, width // size.lowest)
        expected = {
            "photo": {"small": (1, grid, grid, 5), "square": (1, height, width, STILL_CHANNELS)},
            "keypoints": {"facial": (1, 2 * size.facial), "offset": (1, 2 * NEURAL)},
            "motion": {
                "base": (1, grid, grid, 3), "heat": (1, grid, grid, NEURAL),
                "still": (1, grid // 2, grid // 2, size.motion[0]),
            },
            "synthesis": {
                "warped": (1, height, width, 3), "masks": (1, height // 2, width // 2, len(MASKS)),
                "coarse": (1, *fine, len(COARSE)), "still": (1, *fine, size.synthesis[0]),
                "views": (1, *low, size.synthesis[-1]),
            },
        }  # fmt: skip
        for part, wanted in expected.items():
            found = {name: shape for name, (shape, _) in made[part].inputs.items()}
            if found != wanted or not height or height % size.lowest or width % size.lowest:
                raise WeightsError(
                    f"the head network {file_name(size.name, part)} takes {found}; expected {wanted}: export it again."
                )
        return width, height

    def learn(self, small: Array, square: Array) -> Array:
        """Keep what a photo fixes; returns its neural keypoints `[1, 100]`.

        Args:
            small: `[64, 64, 5]` source RGB, matte and landmark mask, 0 to 1.
            square: `[h, w, 7]` plate RGB, source RGB and matte in the window, 0 to 1.
        """
        made = self._photo(small=small[None].astype(np.float32), square=square[None].astype(np.float32))
        _put(self._motion, "still", made["motion_still"])
        _put(self._synthesis, "still", made["synthesis_still"])
        self.look(None)
        return made["neural"]

    def look(self, views: Array | None) -> None:
        """Keep the mean features `[h / 32, w / 32, C]` of the canned views; None is none."""
        shape, _ = self._synthesis.inputs["views"]
        _put(self._synthesis, "views", np.zeros(shape, np.float32) if views is None else views[None])

    def keypoints(self, facial: Array, offset: Array) -> tuple[Array, Array]:
        """Mixed keypoints `[50, 2]`, and what the facial ones `[F, 2]` tell of the neural ones, `[1, 100]`."""
        made = self._keypoints(facial=facial.reshape(1, -1), offset=offset)
        return made["mixed"].reshape(NEURAL, 2), made["own"]

    def motion(self, base: Pixels, fill_heat: Callable[[Array], None]) -> tuple[Array, Array]:
        """Where the base should be bent: flow `[64, 64, 2]` in units of the size, and trust `[64, 64]`, 0 to 1.

        Args:
            base: uint8 `[64, 64, 3]`.
            fill_heat: writes the moved heat `[64, 64, 50]` into the memory it is given.
        """
        fill_heat(self._motion.fill("heat")[0])
        _show(self._motion, "base", base)
        answer = shuffle(_real(self._motion, self._moves, self._motion.run()[self._moves][0]), _ANSWERS, 2)
        return answer[..., :2], np.clip(1 + answer[..., 2], 0, 1)

    def synthesis(self, warped: Pixels, masks: Pixels, coarse: Array) -> Pixels:
        """What to add to the warped base, uint8 `[h, w, 3]` about 128, in levels.

        Args:
            warped: uint8 `[h, w, 3]`; masks: uint8 `[h / 2, w / 2, 4]`; coarse: float32 `[h / 4, w / 4, 4]`.
        """
        grid = self._run(warped, masks, coarse)["grid"][0]
        if grid.dtype == np.int8:
            levels = cv2.LUT(grid.view(np.uint8).reshape(len(grid), -1), _levels(*self._synthesis.steps["grid"]))
        else:
            scaled = np.clip(np.rint(grid * 255) + _MIDDLE, 0, 255)
            levels = scaled.astype(np.uint8)
        return shuffle(np.asarray(levels, np.uint8).reshape(grid.shape), 3, BLOCK)

    def lowest(self, warped: Pixels, masks: Pixels, coarse: Array) -> Array:
        """The lowest features of a picture, `[h / 32, w / 32, C]`; arguments as for `synthesis`."""
        return np.array(self._run(warped, masks, coarse)["low"][0], np.float32)

    def _run(self, warped: Pixels, masks: Pixels, coarse: Array) -> dict[str, npt.NDArray[Any]]:
        _show(self._synthesis, "warped", warped)
        _show(self._synthesis, "masks", masks)
        self._synthesis.fill("coarse")[0] = coarse
        return self._synthesis.run()


def _put(step: Step, name: str, values: Array) -> None:
    """Write real numbers into an input, in its integers where it has them."""
    memory = step.fill(name)
    if memory.dtype == np.int8:
        size, zero = step.steps[name]
        memory[:] = np.clip(np.rint(values / size) + zero, -128, 127)
    else:
        memory[:] = values


def _show(step: Step, name: str, picture: Pixels) -> None:
    """Write a picture `[h, w, C]` of levels into an input of 0 to 1."""
    memory = step.fill(name)[0]
    if memory.dtype != np.int8:
        np.multiply(picture, np.float32(1 / 255), out=memory)
        return
    size, zero = step.steps[name]
    if zero == -_MIDDLE and abs(size * 255 - 1) < 1e-3:  # steps of one level, as pictures that reach black and white
        np.bitwise_xor(picture, _MIDDLE, out=memory.view(np.uint8))
    else:
        memory[:] = cv2.LUT(picture, _steps(size, zero)).view(np.int8).reshape(memory.shape)


def _real(step: Step, name: str, values: npt.NDArray[Any]) -> Array:
    """The real numbers of an output."""
    if values.dtype != np.int8:
        return np.asarray(values, np.float32)
    size, zero = step.steps[name]
    return (values.astype(np.float32) - zero) * np.float32(size)


@cache
def _steps(size: float, zero: int) -> Pixels:
    """A table `[256]` from levels to the bytes of INT8 steps."""
    whole = np.clip(np.rint(np.arange(256) / (255 * size)) + zero, -128, 127)
    return whole.astype(np.int8).view(np.uint8)


@cache
def _levels(size: float, zero: int) -> Pixels:
    """A table `[256]` from the bytes of INT8 steps to levels about 128."""
    values = (np.arange(256).astype(np.uint8).view(np.int8).astype(np.float32) - zero) * np.float32(size)
    return np.clip(np.rint(values * 255) + _MIDDLE, 0, 255).astype(np.uint8)
