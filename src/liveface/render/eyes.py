"""Eyes that look and lids that close.

Notable choices: the eyeball is a layer of its own under the lids. It stays with the head while lids move over it,
so an iris is covered and never squeezed; gaze shifts the iris and drags the white along, softly to the corners. What
the lids of the photo hide (the top of the iris as a rule) is completed once, from the same distance to the pupil. A lid
closes along the line between its own rest and the lower lid; how far is a share of the photo's own opening, so a full
blink meets whatever shape the eye has.
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface.render.canvas import TEXTURE_SCALE, Canvas
from liveface.render.raster import blend_into
from liveface.render.topology import EYE_CORNERS, EYE_CREASE, EYE_LOWER, EYE_UPPER, IRIS, eye_ring
from liveface.types import ARKIT_INDEX, Array, Pixels

LOWER_LID_RISE = 0.12  # share of the opening that the lower lid travels in a blink, chosen
LID_OVERLAP = 0.05  # shut lids overlap by this share of the opening, so that no gap shows between them, chosen
LID_MARGIN = (0.10, 0.16)  # upper and lower lid skin is sampled this share of the opening outside the tracked edge
SHADOW_REACH = 0.22  # the upper lid's shadow on the eyeball, share of the opening, chosen
SHADOW_STRENGTH = 0.38  # how much it darkens right at the lid, chosen by eye
EYEBALL_RADIUS_CM = 1.2  # anatomical mean
LID_TINT = 0.6  # how far the stretched rim of a shut lid takes the colour of the skin above it, chosen by eye
LASH_STRENGTH = 0.75  # opacity of the line of lashes on a shut eye, chosen by eye
LASH_WIDTH = 0.045  # its width over the width of the eye, chosen by eye
NAMES = (
    ("eyeBlinkRight", "eyeWideRight", "eyeSquintRight", "eyeLookDownRight", "eyeLookUpRight"),
    ("eyeBlinkLeft", "eyeWideLeft", "eyeSquintLeft", "eyeLookDownLeft", "eyeLookUpLeft"),
)
"""Coefficients of the image's left eye (the person's right) and of the image's right eye."""


def lid_opening(expression: Array, eye: int) -> float:
    """How open one eye is, as a share of the photo's own opening: 0 shut, 1 as in the photo, up to 1.3.

    A blink below 0 opens the eye of a photo taken with lowered lids.
    """
    blink, wide, squint, down, up = (float(expression[ARKIT_INDEX[name]]) for name in NAMES[eye])
    open_share = 1 + 0.3 * max(wide, 0.0) - 0.25 * max(squint, 0.0) - 0.35 * max(down, 0.0) + 0.12 * max(up, 0.0)
    return float(np.clip(open_share * (1 - np.clip(blink, -0.3, 1)), 0, 1.3))


def untouched(expression: Array, gaze: Array, eye: int) -> float:
    """How much an eye is as in the photo: 1 with its lids and gaze, 0 once either has visibly moved."""
    lids = 1 - abs(lid_opening(expression, eye) - 1) / 0.15
    look = 1 - float(np.abs(gaze).max()) / 0.08
    return min(max(lids, 0.0), max(look, 0.0))


def close_lids(points: Array, expression: Array) -> None:
    """Move the lid points of both eyes to their opening, in place.

    Args:
        points: `[478, 2 or 3]` posed points whose lids still have the photo's opening.
        expression: `[52]` coefficients.
    """
    for eye in (0, 1):
        share = lid_opening(expression, eye)
        upper, lower = points[EYE_UPPER[eye]], points[EYE_LOWER[eye]]
        gap = upper - lower
        if share <= 1:
            meet = lower + gap * LOWER_LID_RISE
            overlap = gap * (LID_OVERLAP / 2 * (1 - share))
            points[EYE_UPPER[eye]] = meet + (upper - meet) * share - overlap
            points[EYE_LOWER[eye]] = meet + (lower - meet) * share + overlap
        else:
            points[EYE_UPPER[eye]] = upper + gap * (share - 1)


def paint_over(texture: Pixels, openings: list[Array], reach: float) -> Pixels:
    """The picture with openings painted over by the skin around them, for the layer below lids and lips.

    Args:
        texture: uint8 `[h, w, 3]`.
        openings: rings `[N, 2]` in texture pixels.
        reach: how far around every ring, in texture pixels.
    """
    result = texture.copy()
    for ring in openings:
        low = np.floor(np.clip(ring.min(0) - 3 * reach, 0, np.array(texture.shape[1::-1]) - 2)).astype(int)
        high = np.ceil(np.clip(ring.max(0) + 3 * reach, low + 2, texture.shape[1::-1])).astype(int)
        box = result[low[1] : high[1], low[0] : high[0]]
        hole = np.zeros(box.shape[:2], np.uint8)
        cv2.fillPoly(hole, [np.round(ring - low).astype(np.int32)], 255)
        size = 2 * max(1, round(reach)) + 1
        hole = cv2.dilate(hole, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        weight = cv2.GaussianBlur(hole, (0, 0), max(0.5, reach / 3))[..., None].astype(np.float32) / 255
        box[:] = (box * (1 - weight) + _fill(box, hole == 0) * weight).round().astype(np.uint8)
    return result


class Eyeball:
    """One eye of the photo, completed under the lids.

    Args:
        canvas: the portrait.
        eye: 0 for the image's left eye, 1 for the right.
        px_per_cm: canvas pixels per centimetre at the face.
    """

    def __init__(self, canvas: Canvas, eye: int, px_per_cm: float) -> None:
        self._eye = eye
        self._ring = eye_ring(eye)
        ring = canvas.to_texture(canvas.points[self._ring, :2])
        iris = canvas.to_texture(canvas.points[IRIS[eye], :2])
        width = float(np.linalg.norm(ring[0] - ring[8]))
        centre = iris[0]
        radius = float(np.clip(np.linalg.norm(iris[1:] - centre, axis=1).mean(), 0.12 * width, 0.26 * width))
        self._rest_opening = _opening(canvas.points, eye)
        crease = np.round(canvas.to_texture(canvas.points[EYE_CREASE[eye], :2])).astype(int)
        column, row = np.clip(crease, 0, np.array(canvas.texture.shape[1::-1]) - 1).T
        self._lid_colour = np.median(canvas.texture[row, column], axis=0).round().astype(np.uint8)
        self._lash_colour = _darkest(canvas.texture, ring[:9])
        margin = 0.45 * width
        height, length = canvas.texture.shape[:2]
        low = np.floor(np.clip(ring.min(0) - margin, 0, (length - 2, height - 2))).astype(int)
        high = np.ceil(np.clip(ring.max(0) + margin, low + 2, (length, height))).astype(int)
        patch = np.ascontiguousarray(canvas.texture[low[1] : high[1], low[0] : high[0]])
        self._patch = _complete(patch, ring - low, centre - low, radius)
        self._seen = patch
        self._shift_px_per_rad = EYEBALL_RADIUS_CM * px_per_cm * TEXTURE_SCALE
        self._rest = (ring - low).astype(np.float32)
        self._push = _gaze_push(patch.shape[:2], centre - low, radius)

    def paint(self, canvas: Pixels, points: Array, rigid: Array, gaze: Array, untouched: float) -> None:
        """Paint the eyeball inside the lids, in place.

        Args:
            canvas: uint8 `[H, W, 3]`.
            points: `[478, 2+]` posed points with moved lids, canvas pixels.
            rigid: `[478, 2+]` the same points moved with the head only.
            gaze: `[2]` pitch and yaw in radians relative to the photo's own gaze.
            untouched: how much this eye is as in the photo, see `untouched`.
        """
        ring = points[self._ring, :2]
        upper, lower = points[EYE_UPPER[self._eye], :2], points[EYE_LOWER[self._eye], :2]
        opening = _opening(points, self._eye)
        self._tint_lid(canvas, points, opening)
        self._draw_lashes(canvas, ring[:9], opening)
        if opening < max(0.7, (LID_OVERLAP + 0.03) * self._rest_opening):  # shut lids overlap
            return
        height, width = canvas.shape[:2]
        low = np.floor(np.clip(ring.min(0) - 2, 0, (width - 1, height - 1))).astype(int)
        high = np.ceil(np.clip(ring.max(0) + 3, low + 1, (width, height))).astype(int)
        box = canvas[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(box.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round((ring - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        mask = cv2.blur(mask, (3, 3))
        matrix = np.linalg.lstsq(
            np.column_stack([rigid[self._ring, :2] - low, np.ones(len(self._ring))]), self._rest, rcond=None
        )[0].T.astype(np.float32)
        columns, rows = np.arange(box.shape[1], dtype=np.float32), np.arange(box.shape[0], dtype=np.float32)[:, None]
        map_x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
        map_y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
        push = cv2.remap(self._push, map_x, map_y, cv2.INTER_LINEAR)
        shift = np.sin(np.clip(gaze, -0.6, 0.6)) * self._shift_px_per_rad
        map_x -= push * np.float32(shift[1])
        map_y -= push * np.float32(shift[0])
        ball = self._seen
        if untouched < 1:
            ball = cv2.remap(self._patch, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            ball = self._shade(ball, mask, (upper - lower).mean(0), opening)
        if untouched > 0:
            seen = cv2.remap(self._seen, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            ball = seen if untouched >= 1 else cv2.addWeighted(seen, untouched, ball, 1 - untouched, 0)
        blend_into(box, ball, mask)

    def _tint_lid(self, canvas: Pixels, points: Array, opening: float) -> None:
        """Give a closing lid the colour of its skin: what is stretched over the eye is a thin, often pale rim."""
        shut = 1 - min(opening / max(self._rest_opening, 1e-3), 1)
        if shut < 0.05:
            return
        start, end = EYE_CORNERS[self._eye]
        edge = np.concatenate([[start], EYE_UPPER[self._eye], [end], EYE_CREASE[self._eye][::-1]])
        area = points[edge, :2]
        width = max(3, round(0.12 * float(np.linalg.norm(area[0] - area[8]))) | 1)
        low = np.floor(np.clip(area.min(0) - width, 0, np.array(canvas.shape[1::-1]) - 1)).astype(int)
        high = np.ceil(np.clip(area.max(0) + width, low + 1, canvas.shape[1::-1])).astype(int)
        box = canvas[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(box.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round((area - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        mask = cv2.convertScaleAbs(cv2.blur(mask, (width, width)), alpha=LID_TINT * shut)
        blend_into(box, np.broadcast_to(self._lid_colour, box.shape).copy(), mask)

    def _draw_lashes(self, canvas: Pixels, edge: Array, opening: float) -> None:
        """The dark line of lashes where a lid closes: none at the photo's own opening, full when shut."""
        shut = 1 - min(opening / max(self._rest_opening, 1e-3), 1)
        strength = LASH_STRENGTH * shut * shut
        if strength < 0.02:
            return
        low = np.floor(np.clip(edge.min(0) - 4, 0, np.array(canvas.shape[1::-1]) - 1)).astype(int)
        high = np.ceil(np.clip(edge.max(0) + 5, low + 1, canvas.shape[1::-1])).astype(int)
        box = canvas[low[1] : high[1], low[0] : high[0]]
        line = np.zeros(box.shape[:2], np.uint8)
        thick = max(1, round(LASH_WIDTH * float(np.linalg.norm(edge[8] - edge[0]))))
        cv2.polylines(line, [np.round((edge - low) * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, 4)  # noqa: FBT003
        line = cv2.GaussianBlur(line, (3, 3), 0)
        mask = cv2.convertScaleAbs(line, alpha=strength)
        blend_into(box, np.broadcast_to(self._lash_colour, box.shape).copy(), mask)

    def _shade(self, ball: Pixels, mask: Pixels, up: Array, opening: float) -> Pixels:
        """Darken the eyeball under the upper lid as far as the photo's own shadow is hidden by a lower lid."""
        hidden = 1 - min(opening / max(self._rest_opening, 1e-3), 1)
        strength = SHADOW_STRENGTH * (0.35 + 0.65 * hidden)
        drop = -up / max(float(np.linalg.norm(up)), 1e-3) * (SHADOW_REACH * opening)
        moved = np.array([[1, 0, drop[0]], [0, 1, drop[1]]], np.float32)
        lit = cv2.warpAffine(mask, moved, mask.shape[::-1], borderMode=cv2.BORDER_CONSTANT)
        width = max(3, round(SHADOW_REACH * opening) | 1)
        strip = cv2.blur(cv2.subtract(mask, lit), (width, width))
        shade = (255 - strip.astype(np.float32) * strength).astype(np.uint8)
        return cv2.multiply(ball, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), scale=1 / 255)


def lid_margins(points: Array) -> Array:
    """Where to sample moved lids: shifts `[478, 2]` of the lid edges outwards, off the eyeball; 0 elsewhere."""
    shift = np.zeros((len(points), 2), np.float32)
    for eye in (0, 1):
        gap = points[EYE_UPPER[eye], :2] - points[EYE_LOWER[eye], :2]
        shift[EYE_UPPER[eye]] = gap * LID_MARGIN[0]
        shift[EYE_LOWER[eye]] = -gap * LID_MARGIN[1]
    return shift


def _opening(points: Array, eye: int) -> float:
    return float(np.linalg.norm(points[EYE_UPPER[eye], :2] - points[EYE_LOWER[eye], :2], axis=1).max())


def _darkest(texture: Pixels, edge: Array) -> Pixels:
    """The colour of the lashes: the darkest tenth of the pixels along the upper lid."""
    mask = np.zeros(texture.shape[:2], np.uint8)
    thick = max(2, round(0.08 * float(np.linalg.norm(edge[8] - edge[0]))))
    cv2.polylines(mask, [np.round(edge).astype(np.int32)], False, 255, thick)  # noqa: FBT003
    colours = texture[mask > 0].astype(np.float32)
    dark = colours[np.argsort(colours.sum(1))[: max(1, len(colours) // 10)]]
    return dark.mean(0).round().astype(np.uint8)


def _gaze_push(shape: tuple[int, int], centre: Array, radius: float) -> Array:
    """How much of a gaze shift each pixel follows: 1 on the iris, easing to 0 at two and a half radii."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    distance = np.hypot(columns - centre[0], rows - centre[1]) / radius
    ease = np.clip((2.6 - distance) / 1.4, 0, 1)
    return (ease * ease * (3 - 2 * ease)).astype(np.float32)


def _complete(patch: Pixels, ring: Array, centre: Array, radius: float) -> Pixels:
    """The eyeball without lids: iris completed by distance to the pupil, the rest filled with its white."""
    seen = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillPoly(seen, [np.round(ring * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    opening = float(np.linalg.norm(ring[1:8] - ring[:8:-1], axis=1).max())
    border = max(1, round(0.06 * opening))
    inner = cv2.erode(seen, np.ones((3, 3), np.uint8), iterations=border) > 200
    if inner.sum() < 12:
        return patch
    rows, columns = np.mgrid[: patch.shape[0], : patch.shape[1]].astype(np.float32)
    distance = np.hypot(columns - centre[0], rows - centre[1])
    white = inner & (distance > radius * 1.15)
    base = _fill(patch, white if white.sum() > 8 else inner)
    profile = _iris_profile(patch, inner, distance, radius)
    iris = profile[np.minimum(np.round(distance).astype(int), len(profile) - 1)]
    weight = np.clip((radius * 1.06 - distance) / (0.16 * radius) + 0.5, 0, 1)[..., None]
    hidden = base * (1 - weight) + iris * weight
    own = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), max(0.8, border * 0.6))[..., None] * inner[..., None]
    # Lashes and the lid's own shadow stay with the skin, so only the inner part of the opening is taken as it is.
    return (patch * own + hidden * (1 - own)).round().astype(np.uint8)


def _iris_profile(patch: Pixels, inner: np.ndarray, distance: Array, radius: float) -> Array:
    """Median colour of the visible iris by whole-pixel distance from the pupil, `[R, 3]`."""
    steps = int(np.ceil(radius * 1.3)) + 1
    ring = np.round(distance).astype(int)
    known = np.zeros((steps, 3), np.float32)
    filled = np.zeros(steps, bool)
    for step in range(steps):
        here = inner & (ring == step)
        if here.sum() >= 2:
            known[step], filled[step] = np.median(patch[here], axis=0), True
    if not filled.any():
        return np.full((steps, 3), 60, np.float32)
    places = np.arange(steps)
    return np.stack([np.interp(places, places[filled], known[filled, band]) for band in range(3)], 1)


def _fill(patch: Pixels, known: np.ndarray) -> Array:
    """Continue known pixels over the whole patch by widening averages."""
    values, weight = patch.astype(np.float32) * known[..., None], known.astype(np.float32)
    result = np.zeros_like(values)
    open_to = np.ones(known.shape, np.float32)
    for sigma in (1.5, 3, 6, 12, 24, 48):
        total = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(values, (0, 0), sigma) / np.maximum(total, 1e-6)[..., None]
        share = open_to * np.clip(total / 0.15, 0, 1)
        result += mean * share[..., None]
        open_to -= share
    return result + (values.sum((0, 1)) / max(float(weight.sum()), 1e-6)) * open_to[..., None]
