"""The last touch on a frame: what the compositor would change, added where the patches lie.

A frame goes through the network as the bytes it is: where its file holds INT8 inside (the shipped ones do), the picture
goes in and the residual comes out as those integers, and the weighting stays in 16 bits. A float file of the same names
works too.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface.render.liveface.paste import shuffle
from liveface.render.liveface.sizes import BLOCK
from liveface.runtime import Step
from liveface.tflite import integer_ends
from liveface.types import Array, Pixels

ENDS = ("canvas", "grid")  # what goes in and out every frame, by the names that exports give them
_ZERO = 128  # of a residual as uint8, and of a picture as INT8
FINEST = 8  # bits after the point of an integer residual's weights


class Compositor:
    """The compositor of an avatar.

    Args:
        file: its network.
        threads: CPU threads.
    """

    def __init__(self, file: Path, threads: int = 1) -> None:
        self.step = Step(file, threads, content=integer_ends(file.read_bytes(), ENDS))
        (self._gives,) = self.step.outputs

    def learn(self, features: Array) -> None:
        """Set the appearance features `[h, w, F]`, once; the network keeps its inputs from frame to frame."""
        self.step.fill("features")[:] = features

    def __call__(self, picture: Pixels, alphas: Pixels, below: Pixels) -> None:
        """Add the residual to a composed picture, in place, by how opaque the patches are.

        Args:
            picture: uint8 `[H, W, 3]`.
            alphas: uint8 `[4, H / 2, W / 2]` of the patches.
            below: uint8 `[H / 2, W / 2, 3]`, the picture without them.
        """
        self._show(cv2.merge([half(picture), *alphas, below]))
        residual = self.step.run()[self._gives][0]
        rows, columns = residual.shape[:2]
        # INT8 steps are about a third of a level and toggle; where no patch lies nothing needs correction.
        drawn = cv2.resize(alphas.max(0), (columns, rows), interpolation=cv2.INTER_AREA)
        left, top, width, height = cv2.boundingRect(drawn)
        if not width:
            return
        cells = np.s_[top : top + height, left : left + width]
        change = shuffle(self._weighed(residual[cells], drawn[cells][..., None]), 3)
        spot = picture[BLOCK * top : BLOCK * (top + height), BLOCK * left : BLOCK * (left + width)]
        cv2.addWeighted(spot, 1, change, 1, -_ZERO, dst=spot)

    def _show(self, joined: Pixels) -> None:
        """Give the network its picture `[H / 2, W / 2, 10]`."""
        canvas = self.step.fill("canvas")[0]
        if canvas.dtype == np.int8:
            np.bitwise_xor(joined, _ZERO, out=canvas.view(np.uint8))  # INT8 steps of 1/255 from -128 on
        else:
            np.multiply(joined, np.float32(1 / 255), out=canvas)

    def _weighed(self, residual: npt.NDArray[np.float32] | npt.NDArray[np.int8], drawn: Pixels) -> Pixels:
        """A residual `[h, w, 192]` times the opacity `[h, w, 1]`, in levels, as uint8 about `_ZERO`.

        More than half of white in either direction is not provided for; shipped residuals end at a sixth.
        """
        if residual.dtype != np.int8:
            weighed = residual * drawn.astype(np.float32)
            change = cv2.convertScaleAbs(weighed.reshape(len(weighed), -1), beta=_ZERO)
            return np.asarray(change, np.uint8).reshape(residual.shape)
        size, zero = self.step.steps[self._gives]
        bits = int(np.clip(np.log2(128 / (255 * size)), 1, FINEST))  # no product needs more than 16 bits
        weight = np.round(drawn * np.float32(size * 2**bits)).astype(np.int16)
        fine = residual.astype(np.int16)
        fine *= weight
        fine += np.int16(2 ** (bits - 1)) - np.int16(zero) * weight
        fine >>= np.int16(bits)
        change = fine.astype(np.int8).view(np.uint8)
        return np.bitwise_xor(change, _ZERO, out=change)


def half(picture: Pixels) -> Pixels:
    """A picture `[H, W, 3]` at half its size."""
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
