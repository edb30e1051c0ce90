"""What stands behind the person: a colour, a picture, or nothing, in place of the photo's own background.

Notable choices: a renderer always draws on its own background, which its networks know; that is taken out of the
finished frame again, as far as it shows through, and the wanted one put in. So hair and edges keep their own colour
and not that of the old wall. The moved matte says where the person is; near its edge, which is generous, pixels that
look like the background are background.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from liveface.errors import SignalError
from liveface.types import Array, Pixels

ALPHA = "alpha"
SURE = (40, 215)  # levels of the matte from which on a pixel is background, and person; chosen by eye, as the others
RIM = 0.012  # of the frame's width: how far inside the matte background is looked for
ALIKE = (6, 24)  # levels by which a pixel of the rim differs from the background: up to here it is that, from here not


class Background:
    """Replaces the background of frames.

    Args:
        wanted: "#rrggbb", "alpha" for none, or a picture file.
        plate: uint8 `[H, W, 3]`, what the renderer draws behind the person.
        read: reads a picture file as uint8 `[h, w, 3]`.

    Raises:
        SignalError: neither a colour nor a picture.
    """

    def __init__(self, wanted: str, plate: Pixels, read: Callable[[Path], Pixels]) -> None:
        self._plate = plate
        self._new = None if wanted == ALPHA else _picture(wanted, plate.shape[1::-1], read)
        reach = max(1, round(RIM * plate.shape[1]))
        self._rim = cv2.getStructuringElement(cv2.MORPH_RECT, (4 * reach + 1, 4 * reach + 1))
        self._soft = (2 * reach + 1, 2 * reach + 1)

    def behind(self, pixels: Pixels, matte: Pixels) -> tuple[Pixels, Pixels | None]:
        """A frame uint8 `[H, W, 3]` before the wanted background, and its alpha `[H, W]` where there is none.

        Args:
            matte: uint8 `[H, W]`, 255 where the person is.
        """
        alpha = self._keyed(pixels, cv2.LUT(matte, _levels(*SURE)))
        opaque = cv2.merge([alpha] * 3)
        around = cv2.bitwise_not(opaque)
        own = cv2.min(cv2.subtract(pixels, cv2.multiply(self._plate, around, scale=1 / 255)), opaque)  # premultiplied
        if self._new is None:
            return np.asarray(cv2.divide(own, opaque, scale=255), np.uint8), alpha
        return np.asarray(cv2.add(own, cv2.multiply(self._new, around, scale=1 / 255)), np.uint8), None

    def _keyed(self, pixels: Pixels, alpha: Pixels) -> Pixels:
        """The matte without what looks like background in its rim."""
        inner = cv2.blur(cv2.erode(alpha, self._rim), self._soft)
        differs = cv2.absdiff(pixels, self._plate)
        one, two, three = cv2.split(cv2.LUT(differs, _levels(*ALIKE)))
        return np.asarray(cv2.min(alpha, cv2.max(cv2.max(cv2.max(one, two), three), inner)), np.uint8)


def check_background(wanted: str) -> None:
    """Refuse a background that is neither a colour, nor "alpha", nor a file.

    Raises:
        SignalError: it is none.
    """
    if wanted != ALPHA and _colour(wanted) is None and not Path(wanted).is_file():
        raise SignalError(
            f"the background {wanted!r} is neither a colour nor a picture; expected #rrggbb such as '#00b140', the "
            "name of a picture file, or alpha."
        )


def _colour(text: str) -> Array | None:
    """The colour that `#rrggbb` names."""
    digits = text.removeprefix("#")
    if not text.startswith("#") or len(digits) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return None
    return np.array([int(digits[at : at + 2], 16) for at in (0, 2, 4)], np.float32)


def _picture(wanted: str, size: tuple[int, ...], read: Callable[[Path], Pixels]) -> Pixels:
    """A colour or a picture that fills `size`, its middle kept; uint8 `[H, W, 3]`."""
    width, height = size
    check_background(wanted)
    colour = _colour(wanted)
    if colour is not None:
        return np.full((height, width, 3), colour, np.uint8)
    picture = read(Path(wanted))
    scale = max(width / picture.shape[1], height / picture.shape[0])
    wide, high = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    picture = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (wide - width) // 2, (high - height) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


@cache
def _levels(low: int, high: int) -> Pixels:
    """A table `[256]` that is 0 up to `low` and 255 from `high` on."""
    return np.round(np.clip((np.arange(256) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
