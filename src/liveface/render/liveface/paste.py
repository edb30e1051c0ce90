"""Patches cut from a canvas and pasted onto it.

Pixels of a patch and of the canvas are related by its box, a `[2, 3]` similarity from patch to canvas pixels.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from liveface.render.layers import cover
from liveface.render.liveface.regions import PAINT_ORDER, REGIONS, region, window
from liveface.types import Array, Pixels

UNSEEN = 1  # alpha of 255 up to which a patch is left out: it would change a pixel by at most a level
_ORDER = {name: index for index, name in enumerate(REGIONS)}

Number = TypeVar("Number", bound=np.generic)


def cut_patch(canvas: Pixels, box: Array, name: str) -> Pixels:
    """The region `name` of a canvas `[H, W, 3]` as uint8 `[h, w, 3]`; averaged where the canvas is finer."""
    width, height = region(name).size
    finer = float(np.hypot(*box[:, 0])) > 1.2
    times = 2 if finer else 1
    # The centre of patch pixel u covers the fine pixels 2 u and 2 u + 1, whose mean position is 2 u + 1/2.
    matrix = np.column_stack([box[:, :2] / times, box[:, 2] - box[:, :2] @ np.full(2, (times - 1) / (2 * times))])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(canvas, matrix, (width * times, height * times), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA) if finer else cut


def shuffle(grid: npt.NDArray[Number], channels: int, block: int = 8) -> npt.NDArray[Number]:
    """`[h, w, block * block * channels]` in (row, column, channel) order to `[h * block, w * block, channels]`."""
    rows, columns = grid.shape[:2]
    strip = np.dtype((np.void, block * channels * grid.itemsize))  # a row of a block moves as one piece
    strips = np.ascontiguousarray(grid).reshape(rows, columns, -1).view(strip)
    picture = np.ascontiguousarray(strips.transpose(0, 2, 1)).view(grid.dtype)
    return picture.reshape(rows * block, columns * block, channels)


def to_rgba(grid: npt.NDArray[np.float32] | npt.NDArray[np.int8], step: tuple[float, int] = (0.0, 0)) -> Pixels:
    """A decoder's grid `[h / 8, w / 8, 256]` to uint8 RGBA `[h, w, 4]`: values 0 to 1, clamped.

    Args:
        grid: float32, or int8 in steps.
        step: size of a step of int8, and the number that stands for 0.
    """
    flat = grid.reshape(len(grid), -1)
    if flat.dtype == np.int8:
        made = cv2.LUT(flat.view(np.uint8), _levels(*step))
    else:
        made = cv2.convertScaleAbs(cv2.max(flat, 0), alpha=255)
    return shuffle(np.asarray(made, np.uint8).reshape(grid.shape), 4)


@cache
def _levels(size: float, zero: int) -> npt.NDArray[np.uint8]:
    """Levels of the 256 values of an INT8 tensor, in the order of their bytes."""
    values = (np.arange(256).astype(np.uint8).view(np.int8).astype(np.float32) - zero) * np.float32(size)
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def compose(base: Pixels, patches: dict[str, Pixels], boxes: dict[str, Array]) -> tuple[Pixels, Pixels]:
    """Patches over the base.

    Args:
        base: uint8 `[H, W, 3]`.
        patches: region name to uint8 RGBA `[h, w, 4]`, not premultiplied; alpha is multiplied by the region's window.
        boxes: region name to its box.
    Returns: uint8 `[H, W, 3]`, and alphas uint8 `[4, H / 2, W / 2]` in the order mouth, eyes, hair, body.
    """
    canvas = base.copy()
    return canvas, paste(canvas, {name: faded(patch, name) for name, patch in patches.items()}, boxes)


def paste(canvas: Pixels, fronts: dict[str, Pixels], boxes: dict[str, Array]) -> Pixels:
    """Faded patches onto a canvas, in place.

    Args:
        canvas: uint8 `[H, W, 3]`.
        fronts: region name to uint8 RGBA `[h, w, 4]`, as `faded` gives them.
        boxes: region name to its box.
    Returns: alphas uint8 `[4, H / 2, W / 2]` in the order mouth, eyes, hair, body.
    """
    height, width = canvas.shape[:2]
    alphas = np.zeros((4, height // 2, width // 2), np.uint8)
    for name in PAINT_ORDER:
        if name not in fronts:
            continue
        left, top, right, bottom = _bounds(boxes[name], fronts[name], (width, height))
        if right <= left or bottom <= top:
            continue
        matrix = boxes[name].copy()
        matrix[:, 2] -= left, top
        spot = (right - left, bottom - top)
        front = cv2.warpAffine(fronts[name], matrix, spot, flags=cv2.INTER_LINEAR, borderValue=0)
        cover(front, canvas[top:bottom, left:right])
        small = front[::2, ::2, 3]
        alphas[_ORDER[name], top // 2 : top // 2 + small.shape[0], left // 2 : left // 2 + small.shape[1]] = small
    return alphas


def faded(patch: Pixels, name: str) -> Pixels:
    """A patch `[h, w, 4]` with its alpha times the region's window, and its colours times that (premultiplied)."""
    edge = region_window(name)
    alpha = cv2.multiply(cv2.extractChannel(patch, 3), edge, scale=1 / 255)
    return np.asarray(cv2.multiply(patch, cv2.merge([alpha, alpha, alpha, edge]), scale=1 / 255), np.uint8)


def _bounds(box: Array, front: Pixels, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what a faded patch shows on the canvas, even numbers, cut to it."""
    seen = cv2.threshold(cv2.extractChannel(front, 3), UNSEEN, 0, cv2.THRESH_TOZERO)[1]
    left, top, width, height = cv2.boundingRect(seen)
    if not width:
        return 0, 0, 0, 0
    # The first pixels on either side that are not seen bound what interpolation can show.
    places = [(left - 1, left + width), (top - 1, top + height)]
    limits = []
    for row, side in zip(box.tolist(), size, strict=True):
        ends = [[slope * place for place in pair] for slope, pair in zip(row, places, strict=False)]
        low, high = (row[2] + sum(pick(pair) for pair in ends) for pick in (min, max))
        limits.append((max(math.floor(low), 0) // 2 * 2, min((math.ceil(high) + 2) // 2 * 2, side)))
    (left, right), (top, bottom) = limits
    return left, top, right, bottom


@cache
def region_window(name: str) -> npt.NDArray[np.uint8]:
    """The window of a region as bytes `[h, w]`."""
    return np.round(window(name) * 255).astype(np.uint8)
