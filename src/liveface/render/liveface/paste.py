"""Patches cut from a canvas and pasted onto it.

Pixels of a patch and of the canvas are related by its box, a `[2, 3]` similarity from patch to canvas pixels.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from liveface.render.liveface.regions import PAINT_ORDER, region, window
from liveface.types import Array, Pixels

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
    parts = grid.reshape(rows, columns, block, block, channels)
    return parts.transpose(0, 2, 1, 3, 4).reshape(rows * block, columns * block, channels)


def to_rgba(grid: Array) -> Pixels:
    """A decoder's grid `[h / 8, w / 8, 256]` to uint8 RGBA `[h, w, 4]`: values 0 to 1, clamped."""
    rows = grid.shape[0]
    return shuffle(cv2.multiply(grid.reshape(rows, -1), 255, dtype=cv2.CV_8U).reshape(grid.shape), 4)


def compose(base: Pixels, patches: dict[str, Pixels], boxes: dict[str, Array]) -> tuple[Pixels, Pixels]:
    """Patches over the base.

    Args:
        base: uint8 `[H, W, 3]`.
        patches: region name to uint8 RGBA `[h, w, 4]`, not premultiplied; alpha is multiplied by the region's window.
        boxes: region name to its box.
    Returns: uint8 `[H, W, 3]`, and alphas uint8 `[4, H / 2, W / 2]` in the order mouth, eyes, hair, body.
    """
    canvas = base.copy()
    height, width = base.shape[:2]
    alphas = np.zeros((4, height // 2, width // 2), np.uint8)
    order = ("mouth", "eyes", "hair", "body")
    for name in PAINT_ORDER:
        if name not in patches:
            continue
        left, top, right, bottom = _bounds(boxes[name], name, (width, height))
        if right <= left or bottom <= top:
            continue
        matrix = boxes[name].copy()
        matrix[:, 2] -= left, top
        spot = (right - left, bottom - top)
        front = cv2.warpAffine(faded(patches[name], name), matrix, spot, flags=cv2.INTER_LINEAR, borderValue=0)
        part = canvas[top:bottom, left:right]
        alpha = cv2.extractChannel(front, 3)
        below = cv2.multiply(part, cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR), scale=1 / 255)
        part[:] = cv2.add(cv2.cvtColor(front, cv2.COLOR_RGBA2RGB), below)
        small = alpha[::2, ::2]
        alphas[order.index(name), top // 2 : top // 2 + small.shape[0], left // 2 : left // 2 + small.shape[1]] = small
    return canvas, alphas


def faded(patch: Pixels, name: str) -> Pixels:
    """A patch `[h, w, 4]` with its alpha times the region's window, and its colours times that (premultiplied)."""
    alpha = cv2.multiply(cv2.extractChannel(patch, 3), _window8(name), scale=1 / 255)
    return cv2.merge([*cv2.split(cv2.multiply(patch, cv2.merge([alpha] * 4), scale=1 / 255))[:3], alpha])


def _bounds(box: Array, name: str, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a box on the canvas, even numbers, cut to it."""
    width, height = region(name).size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ box[:, :2].T + box[:, 2]
    low = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0) // 2 * 2
    high = np.minimum((np.ceil(corners.max(0)).astype(int) + 2) // 2 * 2, size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


@cache
def _window8(name: str) -> npt.NDArray[np.uint8]:
    return np.round(window(name) * 255).astype(np.uint8)
