"""Frames of a recording on the canvas of its rig: cut quickly, and how far the shoulders moved on them."""

from __future__ import annotations

import cv2
import numpy as np

from liveface.render.canvas import TEXTURE_SCALE, Canvas
from liveface.types import Array, Pixels

OVERSAMPLED = 4  # source pixels are made finer so often, by cubic interpolation; then linear is as good (59 dB)
LEVELS = (4, 2)  # canvas pixels a pixel of the bands on which the shoulders are followed, coarse to fine
ROUNDS = 6  # of Gauss-Newton on each level
OUTLIER = 12.0  # grey levels beyond which a pixel hardly counts
MOST_SHIFT = 0.8  # eye distances; a larger one is a mistake


class Cutter:
    """`Canvas.cut` for many pictures of one camera: nearly the same pixels in a third of the time.

    Args:
        canvas: where the pictures go.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._scale = float(canvas.to_canvas[0, 0])
        self._slow = self._scale * TEXTURE_SCALE <= 1.01  # finer than the texture: averaged down there

    def __call__(self, pixels: Pixels) -> Pixels:
        """A picture uint8 `[h, w, 3]` on the canvas `[H, W, 3]`."""
        if self._slow:
            return self._canvas.cut(pixels)
        width, height = self._canvas.size
        step = 1 / (TEXTURE_SCALE * self._scale)
        corner = 0.5 - (self._canvas.to_canvas[:, 2] + 0.5) / self._scale  # source pixel at the canvas' corner
        low = np.floor(corner - 4).astype(int).clip(0)
        high = np.ceil(corner + np.array([width, height]) / self._scale + 4).astype(int)
        part = pixels[low[1] : high[1], low[0] : high[0]]
        finer = cv2.resize(part, None, fx=OVERSAMPLED, fy=OVERSAMPLED, interpolation=cv2.INTER_CUBIC)
        start = (corner - low + step / 2) * OVERSAMPLED - 0.5
        matrix = np.array([[step * OVERSAMPLED, 0, start[0]], [0, step * OVERSAMPLED, start[1]]])
        double = (width * TEXTURE_SCALE, height * TEXTURE_SCALE)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        picture = cv2.warpAffine(finer, matrix, double, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(picture, self._canvas.size, interpolation=cv2.INTER_AREA))


class Shoulders:
    """Shift of the shoulders against the reference: robust registration of the band below the chin.

    Args:
        reference: uint8 `[H, W, 3]` canvas; matte: uint8 `[H, W]` the person on it.
        chin: `[2]` canvas pixels; eye_px: eye distance in canvas pixels.

    Source: Lucas and Kanade 1981, in the inverse form of Baker and Matthews 2004, weighted by Cauchy's function.
    """

    def __init__(self, reference: Pixels, matte: Pixels, chin: Array, eye_px: float) -> None:
        height = reference.shape[0]
        self._top = int(np.clip(chin[1] + 0.45 * eye_px, 0, 0.92 * height)) // 4 * 4
        self._eye_px = eye_px
        grown = cv2.dilate(matte[self._top :], np.ones((9, 9), np.uint8))
        self._levels = []
        for level in LEVELS:
            band = self._band(reference, level)
            weight = self._shrink(grown, level).astype(np.float32) / 255
            weight[:1], weight[-1:], weight[:, :1], weight[:, -1:] = 0, 0, 0, 0
            slopes = [cv2.Sobel(band, cv2.CV_32F, *axis, ksize=3, scale=1 / 8) for axis in ((1, 0), (0, 1))]
            self._levels.append((level, band, weight, np.stack(slopes)))
        self._last = np.zeros(2, np.float32)

    def __call__(self, canvas: Pixels) -> Array:
        """Shift `[2]` in eye distances, x right, y down; starts from the last one."""
        tries = [self._follow(canvas, start) for start in (self._last, np.zeros(2, np.float32))]
        shift, _ = min(tries, key=lambda found: found[1])
        self._last = shift
        return np.asarray(shift / self._eye_px, np.float32)

    def _follow(self, canvas: Pixels, start: Array) -> tuple[Array, float]:
        """Shift in canvas pixels and the error that is left, from a first guess."""
        shift, error = start.astype(np.float64), np.inf
        for level, still, weight, slopes in self._levels:
            band = self._band(canvas, level)
            for _ in range(ROUNDS):
                matrix = np.array([[1, 0, shift[0] / level], [0, 1, shift[1] / level]])
                moved = cv2.warpAffine(band, matrix, band.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                       borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
                apart = moved - still
                trust = weight / (1 + (apart / OUTLIER) ** 2)
                curvature = np.einsum("ahw,bhw,hw->ab", slopes, slopes, trust) + np.eye(2) * (0.5 * weight.sum() + 1e-3)
                step = np.linalg.solve(curvature, np.einsum("ahw,hw,hw->a", slopes, apart, trust))
                shift = shift - step * level
                if np.abs(step).max() < 0.02:
                    break
            error = float((weight * np.log1p((apart / OUTLIER) ** 2)).sum())
        if np.abs(shift).max() > MOST_SHIFT * self._eye_px:
            return np.zeros(2, np.float32), np.inf
        return shift.astype(np.float32), error

    def _band(self, canvas: Pixels, level: int) -> Array:
        grey = cv2.cvtColor(self._shrink(canvas[self._top :], level), cv2.COLOR_RGB2GRAY).astype(np.float32)
        return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), 40 / level), np.float32)

    @staticmethod
    def _shrink(band: Pixels, level: int) -> Pixels:
        size = (band.shape[1] // level, max(2, band.shape[0] // level))
        return np.asarray(cv2.resize(band, size, interpolation=cv2.INTER_AREA))
