"""Two drawn rows of teeth in the place where a face's own would be: the structure of an invented smile.

Notable choices: sizes come from a 3D dentition (source: ICT face model, MIT, rounded) and the affine cameras of skull
and jaw, so rows turn with the head; each tooth is an outline with rounded corners and an arched gum line, shaded by
the distance to its border; everything is drawn four times finer and averaged. The network relights the result.
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface.render.patch import AVERAGE, LOWER_CM, RIGID, UPPER_CM
from liveface.types import Array, Pixels

FINE = 4  # supersampling
IVORY = np.array([236, 226, 208], np.float32)  # a clean tooth in good light; chosen
GUM = np.array([176, 98, 98], np.float32)
UPPER_LIGHT = (1.0, 0.97, 0.92, 0.82, 0.7)  # incisors to premolars: the cheeks' shadow; chosen
LOWER_LIGHT = (0.9, 0.88, 0.82, 0.7)
_ACROSS = np.linspace(-1, 1, 9, dtype=np.float32)


def outline(near: float, far: float, edge: float, crown: float, up: int) -> Array:
    """The contour `[18, 2]` of one tooth in centimetres, `up` is -1 for upper teeth and 1 for lower ones."""
    middle, half = (near + far) / 2, (far - near) / 2
    corner = np.abs(_ACROSS) ** 6
    cutting = np.column_stack([middle + half * _ACROSS * (1 - 0.05 * corner), edge + up * 0.09 * corner])
    neck = np.column_stack([middle + 0.86 * half * _ACROSS, edge + up * crown * (1 - 0.2 * _ACROSS**2)])
    return np.concatenate([cutting, neck[::-1]]).astype(np.float32)


def draw_rows(points: Array, size: tuple[int, int], lower_cm: float = 0.0) -> tuple[Pixels, Pixels]:
    """The upper and the lower row with their gums for the face with `points` `[478, 2+]`, moved down by `lower_cm`.

    Returns: two premultiplied uint8 `[H, W, 4]`, RGB and mask.
    """
    cameras = AVERAGE.cameras @ points[RIGID, :2]
    cameras[3] += lower_cm * cameras[1]
    cameras[7] += lower_cm * cameras[5]
    scale = FINE * float(np.hypot(*cameras[0]))  # fine pixels a centimetre
    rows = []
    for table, lights, up, camera in (
        (UPPER_CM, UPPER_LIGHT, -1, cameras[:4]), (LOWER_CM, LOWER_LIGHT, 1, cameras[4:]),
    ):  # fmt: skip
        out = np.zeros((size[1] * FINE, size[0] * FINE, 4), np.float32)
        _draw_gum(out, table, up, camera)
        for (near, far, edge, crown, depth), light in reversed(list(zip(table, lights, strict=True))):
            for side in (-1, 1):
                contour = outline(near, far, edge, crown, up) * np.array([side, 1], np.float32)
                _draw_tooth(out, _project(contour, depth, camera), light, scale, up)
        small = cv2.resize(out, size, interpolation=cv2.INTER_AREA)
        rows.append(np.clip(small, 0, 255).astype(np.uint8))
    return rows[0], rows[1]


def _project(contour: Array, depth: float, camera: Array) -> Array:
    """Centimetres `[K, 2]` at `depth` to fine pixels `[K, 2]`."""
    solid = np.column_stack([contour, np.full(len(contour), depth), np.ones(len(contour))])
    return np.asarray((solid @ camera + 0.5) * FINE - 0.5, np.float32)


def _draw_gum(out: Array, table: tuple[tuple[float, ...], ...], up: int, camera: Array) -> None:
    """Gum behind a row: a band from half of the crown outwards, darker to the sides."""
    for near, far, edge, crown, depth in reversed(table):
        for side in (-1, 1):
            x, y = np.array([near, far, far, near]) * side, edge + up * crown * np.array([0.6, 0.6, 1.9, 1.9])
            band = np.column_stack([x, y]).astype(np.float32)
            quad = np.round(_project(band, depth, camera)).astype(np.int32)
            cv2.fillConvexPoly(out, quad, [*(GUM * (1 - 0.12 * near)).tolist(), 255])


def _draw_tooth(out: Array, contour: Array, light: float, scale: float, up: int) -> None:
    """Fill one tooth, darker towards its border, warmer at the neck, greyer at the cutting edge."""
    low = np.maximum(np.floor(contour.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(contour.max(0)).astype(int) + 3, out.shape[1::-1])
    if (high - low < 2).any():
        return
    view = out[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(view.shape[:2], np.uint8)
    cv2.fillPoly(mask, np.round(contour - low).astype(np.int32)[None], 255)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / scale
    rim = np.clip(inside / 0.1, 0, 1)
    shade = light * (0.8 + 0.2 * rim * (2 - rim))
    along = np.linspace(0, 1, view.shape[0], dtype=np.float32)[:, None]
    neck = along if up > 0 else 1 - along
    tint = np.stack([1 - 0.04 * (1 - neck), 1 - 0.03 * (1 - neck) - 0.04 * neck, 1 - 0.11 * neck], 2)
    covered = (mask > 0).astype(np.float32)[:, :, None]
    tooth = np.dstack([IVORY * tint * shade[:, :, None], np.full(mask.shape, 255, np.float32)])
    view += (tooth - view) * covered
