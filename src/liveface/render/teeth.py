"""Two drawn rows of teeth in the place where a face's own would be: the structure of an invented smile.

Notable choices: sizes come from a 3D dentition (source: ICT face model, MIT, rounded) and the affine cameras of skull
and jaw, so rows turn with the head; each tooth is an outline with rounded corners and an arched gum line, shaded by
the distance to its border; everything is drawn four times finer and averaged. The network relights the result.
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface.render.patch import AVERAGE, LOWER_CM, RIGID, UPPER_CM, eye_distance
from liveface.types import Array, Pixels

FINE = 4  # supersampling
IVORY = np.array([236, 226, 208], np.float32)  # a clean tooth in good light; chosen
GUM = np.array([176, 98, 98], np.float32)
UPPER_LIGHT = (1.0, 0.97, 0.92, 0.82, 0.7)  # incisors to premolars: the cheeks' shadow; chosen
LOWER_LIGHT = (0.9, 0.88, 0.82, 0.7)
LUMINANCE = np.array([0.3, 0.59, 0.11], np.float32)
CHEEKS = (50, 280, 205, 425, 117, 346)
EYES = (((33, 160, 158, 133, 153, 144), (468, 469, 470, 471, 472)),
        ((362, 385, 387, 263, 373, 380), (473, 474, 475, 476, 477)))  # fmt: skip
TEETH_BASE, TEETH_SLOPE = (
    115.0,
    0.36,
)  # tooth luminance from skin luminance; measured on 400 smiles, less a fifth: speech is no smile
TEETH_TINT = np.array([1.09, 0.98, 0.91], np.float32)  # mean of the same smiles
CENTRE_OVERLAP_CM = 0.06  # the two middle teeth close their gap at the neck; chosen
LOWER_HIDDEN_CM = 0.15  # speech hides most of the lower row behind the lip; chosen
WHITES_SHARE = 1.3  # teeth over whites of eyes, median of the same smiles
SKIN_SHARE = 2.2  # teeth over skin at most: dark skin in good light
PALE_SHARE = 1.03  # teeth over bright, pale skin at least: darker ones look grey; chosen by eye
# How much of what skin differs from the mean is taken for the light's cast: pale skin is not blue light; chosen by eye.
CAST_POWER, MOST_CAST = 0.25, 1.05
SKIN_TINT = np.array([1, 0.7, 0.6], np.float32)  # mean of the same faces; half of a photo's cast reaches its teeth
SKIN_SATURATION = 0.35  # above this, tints are full
_ACROSS = np.linspace(-1, 1, 9, dtype=np.float32)


def teeth_colour(pixels: Pixels, points: Array) -> Array:
    """How bright and how tinted teeth are in the light of a photo, `[3]` RGB up to 255.

    The luminance follows that of skin, as in 400 smiling portraits (median error 10 %), but stays near the white of the
    eyes, so that dim photos have dim teeth; the tint fades with the skin's, so that grey photos have grey teeth.
    """
    radius = max(2, round(0.07 * eye_distance(points)))
    patches = [disc for disc in (_around(pixels, points[k], radius) for k in CHEEKS) if len(disc)]
    skin = np.median([np.median(disc, axis=0) for disc in patches], axis=0) if patches else np.array([180.0, 140, 120])
    light = float(skin @ LUMINANCE)
    whites = max([_white_of_eye(pixels, points[ring, :2], points[iris, :2]) for ring, iris in EYES])
    level = max(TEETH_BASE + TEETH_SLOPE * light, PALE_SHARE * light)
    wanted = min(level, WHITES_SHARE * max(whites, light), SKIN_SHARE * light)
    cast = np.clip((skin / (skin[0] + 1) / SKIN_TINT) ** CAST_POWER, 0.8, MOST_CAST)
    colour = 1 + (TEETH_TINT * cast - 1) * min(1.0, (skin.max() - skin.min()) / (skin.max() + 1) / SKIN_SATURATION)
    return np.clip(colour * wanted / float(colour @ LUMINANCE), 10, 250).astype(np.float32)


def _around(pixels: Pixels, point: Array, radius: int) -> Array:
    """The pixels `[N, 3]` of a square around a point; none outside the picture."""
    x, y = int(point[0]), int(point[1])
    part = pixels[max(0, y - radius) : max(0, y + radius), max(0, x - radius) : max(0, x + radius)]
    return part.reshape(-1, 3).astype(np.float32)


def _white_of_eye(pixels: Pixels, ring: Array, iris: Array) -> float:
    """Luminance of the brighter pixels between the lids beside the iris; 0 for an eye that shows none."""
    low, high = np.floor(ring.min(0)).astype(int), np.ceil(ring.max(0)).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, pixels.shape[1::-1])
    if (high - low < 3).any():
        return 0.0
    view = pixels[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    mask = np.zeros(view.shape[:2], np.uint8)
    cv2.fillPoly(mask, np.round(ring - low).astype(np.int32)[None], 255)
    middle, reach = iris[0] - low, 1.1 * float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
    cv2.circle(mask, (round(float(middle[0])), round(float(middle[1]))), round(reach), 0, -1)
    seen = view[mask > 0] @ LUMINANCE
    return float(np.percentile(seen, 85)) if len(seen) > 12 else 0.0


def outline(near: float, far: float, edge: float, crown: float, up: int) -> Array:
    """The contour `[18, 2]` of one tooth in centimetres, `up` is -1 for upper teeth and 1 for lower ones."""
    near = near or -CENTRE_OVERLAP_CM
    middle, half = (near + far) / 2, (far - near) / 2
    corner = np.abs(_ACROSS) ** 6
    cutting = np.column_stack([middle + half * _ACROSS * (1 - 0.05 * corner), edge + up * 0.13 * corner])
    neck = np.column_stack([middle + 0.86 * half * _ACROSS, edge + up * crown * (1 - 0.2 * _ACROSS**2)])
    return np.concatenate([cutting, neck[::-1]]).astype(np.float32)


def draw_rows(points: Array, size: tuple[int, int], lower_cm: float = 0.0) -> tuple[Pixels, Pixels]:
    """The upper and the lower row with their gums for the face with `points` `[478, 2+]`, moved down by `lower_cm`.

    Returns: two premultiplied uint8 `[H, W, 4]`, RGB and mask.
    """
    cameras = AVERAGE.cameras @ points[RIGID, :2]
    cameras[3] += lower_cm * cameras[1]
    cameras[7] += (lower_cm + LOWER_HIDDEN_CM) * cameras[5]
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
    rim = np.clip(inside / 0.09, 0, 1)
    shade = light * (0.68 + 0.32 * rim * (2 - rim))
    along = np.linspace(0, 1, view.shape[0], dtype=np.float32)[:, None]
    neck = along if up > 0 else 1 - along
    shade *= 0.9 + 0.1 * np.sin(np.pi * np.clip(neck, 0.1, 0.9))
    tint = np.stack([1 - 0.04 * (1 - neck), 1 - 0.03 * (1 - neck) - 0.04 * neck, 1 - 0.11 * neck], 2)
    covered = (mask > 0).astype(np.float32)[:, :, None]
    tooth = np.dstack([IVORY * tint * shade[:, :, None], np.full(mask.shape, 255, np.float32)])
    view += (tooth - view) * covered
