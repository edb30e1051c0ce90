"""The mouth interior of a portrait: teeth, tongue and cavity between the lips, painted into finished frames.

Notable choices: teeth are decided once, at enrolment: the photo's own when it shows them, else drawn rows in the light
of the photo; from then on they are a texture locked to skull and jaw, so that they neither swim nor flicker, and the
network only lights, occludes and completes them. Lips that the tracker believes slightly open in a photo whose mouth is
shut lend their gap as the zero of every later opening.
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface import weights
from liveface.errors import FaceError
from liveface.render.patch import (
    HEIGHT,
    INNER,
    OUTER,
    STORED_HEIGHT,
    STORED_WIDTH,
    WIDTH,
    Lock,
    assemble,
    cut,
    eye_distance,
    hole_mask,
    lend_depth,
    mouth_shows,
    move,
    opening,
    paint_rows,
    patch_affine,
    place,
    premultiply,
    rows_below,
)
from liveface.render.teeth import IVORY, LUMINANCE, draw_rows, teeth_colour
from liveface.runtime import Step
from liveface.types import Array, Pixels

WEIGHTS = "mouth.tflite"
POINTS = 478
GREY = 4.0  # a photo whose channels differ by less than this (of 255) around the mouth is black and white, chosen
OWN_OPENING, OWN_TEETH, FEW_TEETH = 0.06, 0.3, 0.08  # a photo gives its own teeth above this gap and these shares
NARROW, SURE = 0.1, 0.1  # below this gap, lips count as parted only when this share of teeth shows. Chosen
SHUT, OPEN = 0.012, 0.05  # gap over eye distance below which nothing is painted, above which all is. Chosen by eye
SEAM = 0.4  # how dark the line between lips that nearly touch is, of the lips' colour. Chosen
MOST_TINT = 1.06  # green and blue over red, against a bright tooth's: nothing in a mouth is greener. Chosen
OWN_REST = 0.04  # the gap that a tracker reports for lips that touch, in eye distances; median of shut portraits
DRAWN_LIGHT = 0.9  # how bright bright drawn teeth are, of IVORY
TOOTH_FROM, TOOTH_TO = 0.45, 0.7  # whiteness over the level of bright teeth between which a pixel becomes tooth. Chosen
AGREE_UPPER, AGREE_LOWER, AGREE_RANGE = 0.2, 0.45, 0.3
"""Network over exemplar from which both agree that there is a tooth; nothing but lips hides the upper row. Chosen."""
CERTAIN = 0.4  # share of drawn upper teeth that shows even where the network paints none. Chosen
DIMMEST = 0.55  # share of their full light that teeth keep deep in the mouth. Chosen
DETAIL_PX = 9  # patch pixels, about a tooth: what is finer comes from the exemplar, what is coarser from the network
_WHITENESS = np.array([-0.3, 0.65, 0.65], np.float32)  # teeth against lips and gums, which are red
_MARGIN_PX = 3
_UPPER, _LOWER = slice(1, 10), slice(19, 10, -1)  # the nine pairs of the inner ring, corner to corner


class MouthInterior:
    """The inside of one portrait's mouth.

    Attributes:
        own: whether the teeth are the photo's own.
        shut: whether the photo's mouth is shut.
    """

    def __init__(self, pixels: Pixels, points: Array, step: Step | None = None) -> None:
        """Enrol a photo.

        Args:
            pixels: uint8 `[H, W, 3]` RGB, the photo on its canvas.
            points: float32 `[478, 2 or 3]` in canvas pixels.
            step: the network, for tests; the shipped one by default.
        """
        if len(points) < POINTS:
            raise FaceError(f"the mouth was given {len(points)} points; expected {POINTS}. Track the photo first.")
        points = np.asarray(points, np.float32)
        self._step = step or Step(weights.path(WEIGHTS))
        self._input, self._output = next(iter(self._step.inputs)), next(iter(self._step.outputs))
        affine = patch_affine(points)
        patch = cv2.warpAffine(pixels, affine, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        self._grey = float(np.ptp(patch.astype(np.int16), axis=2).mean()) < GREY
        dark, teeth = mouth_shows(patch, move(affine, points[INNER]), move(affine, points[OUTER]))
        gap = opening(points)
        self.own = gap > OWN_OPENING and teeth > (OWN_TEETH if gap < NARROW else FEW_TEETH)
        self.shut = not self.own and (gap < OWN_OPENING or teeth < (SURE if gap < NARROW else 0) or dark + teeth < 0.3)
        pairs = points[INNER, :2]
        self._rest = np.linalg.norm(pairs[_LOWER] - pairs[_UPPER], axis=1) / eye_distance(points)
        if not self.shut:
            self._rest = self._rest * 0
        solid = points if points.shape[1] > 2 else lend_depth(points)
        stored, marks = cut(pixels, solid)
        self._lock = Lock.of(marks)
        self._lower_cm = 0.0 if self.own else rows_below(marks, 0.5 if self.shut else 0.0)
        self._seam = seam_colour(patch, move(affine, points[INNER]), move(affine, points[OUTER]))
        if self.own:
            self._cuts = (premultiply(stored, hole_mask(marks[INNER, :2], 0, (STORED_WIDTH, STORED_HEIGHT))),) * 2
            colour = tooth_colour(self._cuts[0])
        else:
            colour = teeth_colour(pixels, points)
            self._cuts = lit_rows(marks, colour, self._lower_cm)
        self._levels = [tooth_level(row) for row in self._cuts]
        self._green, self._blue = (MOST_TINT * max(0.8, float(part / colour[0])) for part in colour[1:])

    def _run(
        self, patch: Pixels, hole: Pixels, textures: tuple[Pixels, Pixels], points: Array, affine: Array
    ) -> Pixels:
        """One call of the network; the painted patch uint8 `[64, 112, 3]`."""
        unit = eye_distance(points) * float(np.hypot(*affine[0, :2]))
        given = assemble(
            patch, hole, textures, paint_rows(points, affine, self._lower_cm), move(affine, points[2:3])[0], unit
        )
        grid = self._step(**{self._input: given})[self._output][0]
        picture = grid.reshape(HEIGHT // 2, WIDTH // 2, 2, 2, 3).transpose(0, 2, 1, 3, 4).reshape(HEIGHT, WIDTH, 3)
        red, green, blue = cv2.split(cv2.convertScaleAbs(np.maximum(picture, 0), alpha=255))
        green = cv2.min(green, cv2.convertScaleAbs(red, alpha=self._green))
        return cv2.merge([red, green, cv2.min(blue, cv2.convertScaleAbs(red, alpha=self._blue))])

    def _inside(self, canvas: Pixels, ring: Array, points: Array, affine: Array) -> Pixels:
        """The painted patch uint8 `[64, 112, 3]` of a frame, with the teeth's own detail."""
        patch = cv2.warpAffine(canvas, affine, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        textures = place(self._cuts, self._lock, points, affine)
        picture = self._run(patch, hole_mask(move(affine, ring)), textures, points, affine)
        flat = move(affine, ring)
        low = np.clip(np.floor(flat.min(0)).astype(int) - _MARGIN_PX, 0, [WIDTH - 2, HEIGHT - 2])
        high = np.clip(np.ceil(flat.max(0)).astype(int) + _MARGIN_PX, low + 2, [WIDTH, HEIGHT])
        part = np.s_[low[1] : high[1], low[0] : high[0]]
        for row, agree in ((1, AGREE_LOWER), (0, AGREE_UPPER)):
            least = CERTAIN if row == 0 and not self.own else 0.0
            picture[part] = sharpen_teeth(picture[part], textures[row][part], self._levels[row], (agree, least))
        return picture

    def ring(self, points: Array) -> Array:
        """The inner lip ring `[20, 2]` in canvas pixels, less the gap that a shut photo pretends to have."""
        ring = points[INNER, :2].astype(np.float32)
        upper, lower = ring[_UPPER], ring[_LOWER]
        gaps = np.linalg.norm(lower - upper, axis=1) + 1e-6
        unit = eye_distance(points)
        rest = self._rest
        if self.own:  # an open photo does not tell its gap when shut: take the usual one, less and less as lips part
            rest = rest + OWN_REST * np.clip(1.5 - float(gaps.max()) / unit / 0.1, 0, 1)
        keep = np.maximum(0, 1 - rest * unit / gaps)[:, None]
        middle = (upper + lower) / 2
        ring[_UPPER], ring[_LOWER] = middle + (upper - middle) * keep, middle + (lower - middle) * keep
        return ring

    def paint(self, canvas: Pixels, points: Array, jaw_open: float) -> None:
        """Paint the inside of the lips in place.

        Args:
            canvas: uint8 `[H, W, 3]` RGB, the finished frame; changed.
            points: `[478, 2+]`, where the points are in this frame, in pixels.
            jaw_open: ARKit's jawOpen; at 0 the lips may touch although the points leave a gap.
        """
        ring = self.ring(points)
        gap = float(np.linalg.norm(ring[_LOWER] - ring[_UPPER], axis=1).max()) / eye_distance(points)
        share = float(np.clip((gap + 0.02 * min(jaw_open, 0.5) - SHUT) / (OPEN - SHUT), 0, 1))
        share = share * share * (3 - 2 * share)
        if share <= 0 and not self.own:
            return
        low = np.maximum(np.floor(ring.min(0)).astype(int) - _MARGIN_PX, 0)
        high = np.minimum(np.ceil(ring.max(0)).astype(int) + _MARGIN_PX + 1, [canvas.shape[1], canvas.shape[0]])
        if (high - low < 2).any():
            return
        affine = patch_affine(points)
        picture = self._inside(canvas, ring, points, affine)
        shift = cv2.invertAffineTransform(affine)
        shift[:, 2] -= low
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        inside = cv2.warpAffine(picture, shift, size, borderMode=cv2.BORDER_REPLICATE)
        if self._grey:
            inside = cv2.cvtColor(cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if share < 1:
            inside = cv2.addWeighted(inside, share, np.full_like(inside, self._seam), 1 - share, 0)
        alpha = hole_mask(ring - low.astype(np.float32), 0.5, size).astype(np.float32) * np.float32(1 / 255)
        if not self.own:
            alpha *= share
        view = canvas[low[1] : high[1], low[0] : high[0]]
        view[:] = cv2.blendLinear(inside, np.ascontiguousarray(view), alpha, 1 - alpha)


def seam_colour(patch: Pixels, inner: Array, outer: Array) -> Pixels:
    """What shows between lips that nearly touch, uint8 `[3]`: their own colour, dark."""
    lips = (hole_mask(outer, 0) > 128) & (hole_mask(inner, 2) < 1)
    colour = np.median(patch[lips], axis=0) if lips.any() else np.array([115, 50, 50])
    return (SEAM * colour).astype(np.uint8)


def lit_rows(points: Array, colour: Array, lower_cm: float) -> tuple[Pixels, Pixels]:
    """Drawn rows, upper and lower, in the photo's light: `colour` `[3]` is that of a bright tooth."""
    gain = np.minimum(colour / (DRAWN_LIGHT * IVORY), 1.1)
    upper, lower = draw_rows(points, (STORED_WIDTH, STORED_HEIGHT), lower_cm)
    for row in (upper, lower):
        row[:, :, :3] = np.clip(row[:, :, :3] * gain, 0, 255)
    return upper, lower


def tooth_colour(cut_out: Pixels) -> Array:
    """The colour `[3]` of bright teeth in a premultiplied exemplar."""
    known = cut_out[cut_out[:, :, 3] > 200][:, :3].astype(np.float32)
    if not len(known):
        return IVORY
    white = known @ _WHITENESS
    return np.maximum(known[white >= np.percentile(white, 85)].mean(0), 1)


def tooth_level(cut: Pixels) -> float:
    """Whiteness of bright teeth in a premultiplied exemplar; infinite when it is empty."""
    known = cut[:, :, 3] > 200
    return float(np.percentile(cut[known][:, :3] @ _WHITENESS, 85)) if known.any() else float("inf")


def sharpen_teeth(picture: Pixels, texture: Pixels, level: float, agree: tuple[float, float]) -> Pixels:
    """Put the exemplar's tooth detail where the network paints teeth, in the network's light.

    Args:
        picture: uint8 `[h, w, 3]`, painted.
        texture: uint8 `[h, w, 4]`, premultiplied exemplar in place.
        level: its `tooth_level`.
        agree: whiteness of the painting over the exemplar's from which they agree, and the share of the detail that
            enters although they do not.
    """
    if not np.isfinite(level):
        return picture
    base, colour = picture.astype(np.float32), texture[:, :, :3].astype(np.float32)
    tooth = np.clip((colour @ (_WHITENESS / level) - TOOTH_FROM) / (TOOTH_TO - TOOTH_FROM), 0, 1)
    tooth = cv2.GaussianBlur(tooth, (3, 3), 0.8)[:, :, None]
    wide = (DETAIL_PX, DETAIL_PX)
    painted, shown = cv2.blur(base * tooth, wide), cv2.blur(colour * tooth, wide)
    ratio = (painted + 2) / (shown + 2)
    light = np.clip(np.sqrt(ratio @ LUMINANCE), DIMMEST, 1.1)[:, :, None]
    white = (painted @ _WHITENESS + 1) / (shown @ _WHITENESS + 1)
    tooth = tooth * np.clip((white - agree[0]) / AGREE_RANGE, agree[1], 1)[:, :, None]
    out = base + (colour * light - base) * tooth
    return np.clip(out, 0, 255).astype(np.uint8)
