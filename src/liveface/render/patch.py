"""The aligned mouth patch: the frame in which the mouth network works, and what it is given.

Training and run time both assemble the network's input here, so that they cannot differ. Notable choices: the patch is
turned to the eye line, centred on the gap between the lips, and spans 1.3 mouth widths; teeth are locked by an affine
fit of the rigid upper face (points with depth), the lower row follows the chin; an average row of teeth, projected in
the same way, tells the network where teeth may be when no exemplar is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from liveface.types import Array, Pixels

WIDTH, HEIGHT, CHANNELS = 112, 64, 16
SPAN, TALLEST = 128, 56  # pixels that one and a half mouth widths span; the tallest hole, beyond which all shrinks
STORED_WIDTH, STORED_HEIGHT, DENSITY = 208, 156, 1.25
"""A stored patch: the surroundings of the patch at 1.25 times its resolution."""
INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95])
"""Inner lip ring of the 478 points, from the image-left corner over the upper lip."""
OUTER = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146])
SKULL = [10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 33, 133, 362, 263, 127, 356, 98, 327]
"""Points that do not move with expression (nearly)."""
NOSE_BASE = [2, 98, 327]
CHIN = [152, 148, 377, 175, 199, 200, 171, 396]
"""Points that move with the jaw alone (nearly)."""
RIGID = np.array([*SKULL, *CHIN])
SKULL_CM = np.array(
    [(0, -8.15, -4.53), (0, -6.53, -5), (0, -4.77, -5.3), (0, -3.76, -5.16), (0, -2.87, -5.2), (0, -2.23, -5.58),
     (0, -1.73, -5.94), (0, -1.3, -6.25), (0, -0.68, -6.69), (0, 0.55, -7.41), (0, 1.22, -7.28), (0, 2.11, -5.85),
     (-4.46, -2.64, -3.06), (-1.84, -2.44, -3.64), (1.85, -2.44, -3.64), (4.46, -2.64, -3.06), (-7.04, -2.23, 0.3),
     (7.04, -2.23, 0.3), (-1.69, 2.28, -4.98), (1.69, 2.28, -4.98)], np.float32,
)  # fmt: skip
"""`SKULL` on an average face, face frame. Source: MediaPipe's canonical face (Apache-2.0), rounded."""
CHIN_CM = np.array(
    [(0, 8.43, -4.47), (-1.54, 8.11, -4.32), (1.54, 8.11, -4.32), (0, 7.9, -4.91), (0, 7.36, -5.12),
     (0, 6.75, -5.13), (-1.41, 7.68, -4.66), (1.41, 7.68, -4.66)], np.float32,
)  # fmt: skip
UPPER_CM = ((0, 0.88, 4.4, 0.98, -5.0), (0.78, 1.47, 4.3, 0.85, -4.66), (1.38, 2.0, 4.32, 0.95, -4.2),
            (1.85, 2.4, 4.2, 0.8, -3.45), (2.15, 2.6, 4.14, 0.75, -2.8))  # fmt: skip
"""Half an upper row: inner and outer x, height of the edge, crown, depth. Source: ICT face model (MIT), rounded."""
LOWER_CM = ((0, 0.56, 4.3, 0.85, -4.72), (0.54, 1.12, 4.22, 0.85, -4.55), (1.08, 1.72, 4.15, 0.9, -4.1),
            (1.62, 2.15, 4.1, 0.8, -3.4))  # fmt: skip
TEETH_BEHIND = 0.136
"""How far the front teeth lie behind the nose base, in eye distances (0.85 cm of 6.25 cm). Source: as above."""
EDGE_BELOW_SEAM = 0.3  # centimetres of upper incisor under the line where shut lips meet: what speech shows. Chosen
OUTER_EYES_TO_DISTANCE = 0.7  # eye distance = 0.7 x distance of the outer corners, as in all tables of the project
FILL = (57, 25, 25)  # what the hole shows the network: the dark red of a mouth. Chosen
_FILLED = np.full((HEIGHT, WIDTH, 3), FILL, np.uint8)
_ORDER = [number for channel in range(CHANNELS) for number in (channel, channel)]
_SHIFT = 4  # sub-pixel bits of the polygon painter


def eye_distance(points: Array) -> float:
    """Inter-ocular distance in pixels, with depth when `points` `[478, 2 or 3]` have it."""
    return OUTER_EYES_TO_DISTANCE * float(np.linalg.norm(points[263] - points[33])) + 1e-6


def opening(points: Array) -> float:
    """Height of the gap between the lips over the eye distance; about 0.01 when shut, 0.5 for a yawn."""
    gaps = np.linalg.norm(points[[13, 82, 312], :2] - points[[14, 87, 317], :2], axis=1)
    return float(gaps.max()) / eye_distance(points)


def chain(outer: Array, inner: Array) -> Array:
    """The affine map `[2, 3]` that applies `inner` first, then `outer`."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], 1)


def move(affine: Array, points: Array) -> Array:
    """Apply an affine map `[2, 3]` to `[K, 2+]` points."""
    return points[:, :2] @ affine[:, :2].T + affine[:, 2]


def patch_affine(points: Array) -> Array:
    """The affine map `[2, 3]` from canvas pixels to patch pixels (112 x 64)."""
    eyes = points[263, :2] - points[33, :2]
    cos, sin = eyes / (np.linalg.norm(eyes) + 1e-6)
    turn = np.array([[cos, sin], [-sin, cos]], np.float32)
    unit = eye_distance(points)
    outer, inner = points[OUTER, :2] @ turn.T, points[INNER, :2] @ turn.T
    wide = 1.5 * min(max(float(np.ptp(outer[:, 0])), 0.65 * unit), 1.15 * unit)
    low, high = float(inner[:, 1].min()), float(inner[:, 1].max())
    wide = max(wide, 1.25 * float(np.ptp(outer[:, 1])), SPAN / TALLEST * (high - low))
    scale = SPAN / wide
    centre = np.array([(outer[0, 0] + outer[10, 0]) / 2, (low + high) / 2], np.float32)
    shift = np.array([WIDTH / 2, HEIGHT / 2], np.float32) - scale * centre
    return np.concatenate([turn * scale, shift[:, None]], 1).astype(np.float32)


def cut(pixels: Pixels, points: Array) -> tuple[Pixels, Array]:
    """The stored patch uint8 `[156, 208, 3]` of a picture and its points in stored pixels; depth is scaled alike."""
    affine = patch_affine(points) * DENSITY
    affine[:, 2] += (np.array([STORED_WIDTH, STORED_HEIGHT]) - np.array([WIDTH, HEIGHT]) * DENSITY) / 2
    scale = float(np.hypot(*affine[0, :2]))
    if scale < 0.7:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.4 / scale)
    patch = cv2.warpAffine(pixels, affine, (STORED_WIDTH, STORED_HEIGHT), flags=cv2.INTER_CUBIC,
                           borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    moved = points * np.float32(scale)
    moved[:, :2] = move(affine, points)
    return patch, moved.astype(np.float32)


def fit_affine(solid: Array, flat: Array) -> Array:
    """The affine camera `[2, 4]` that best maps `solid` `[K, 3]` onto `flat` `[K, 2]`, least squares."""
    homogeneous = np.concatenate([solid, np.ones((len(solid), 1), np.float32)], 1)
    return np.linalg.lstsq(homogeneous, flat, rcond=None)[0].T.astype(np.float32)


def lend_depth(points: Array) -> Array:
    """Points `[478, 3]` of points without depth: rigid ones borrow the average face's."""
    camera = fit_affine(SKULL_CM, points[SKULL])
    scale = float(np.sqrt(abs(np.linalg.det(camera[:, :2]))))
    solid = np.zeros((len(points), 3), np.float32)
    solid[:, :2] = points[:, :2]
    solid[SKULL, 2], solid[CHIN, 2] = SKULL_CM[:, 2] * scale, CHIN_CM[:, 2] * scale
    return solid


@dataclass(frozen=True, slots=True)
class Lock:
    """How the skull and the jaw of one picture move into other pictures: linear in the other picture's points.

    Attributes:
        cameras: `[8, K]`; times the rigid points `[K, 2]` (`RIGID`) gives the transposed affine cameras `[4, 2]` of
            skull and jaw, stacked.
        flat: `[6, K]`; likewise the transposed maps `[3, 2]` of the plane of the teeth, upper and lower row.
    """

    cameras: Array
    flat: Array

    @classmethod
    def on(cls, skull: Array, chin: Array, depth: float) -> Lock:
        """A lock on solid skull `[20, 3]` and chin `[8, 3]` points, with teeth at `depth`.

        The skull's camera is the least-squares one, moved half of the way to the nose base, which is nearest to the
        teeth; the jaw's is the same, moved with the chin.
        """
        solid = [np.concatenate([part, np.ones((len(part), 1))], 1) for part in (skull, chin)]
        count, extra = len(skull), len(chin)
        fit = np.concatenate([np.linalg.pinv(solid[0]), np.zeros((4, extra))], 1)
        near = [SKULL.index(point) for point in NOSE_BASE]
        wanted = np.zeros(count + extra)
        wanted[near] = 1 / len(near)
        fit[3] += 0.5 * (wanted - solid[0][near].mean(0) @ fit)
        wanted = np.concatenate([np.zeros(count), np.full(extra, 1 / extra)])
        jaw = fit.copy()
        jaw[3] += wanted - solid[1].mean(0) @ fit
        flat = [np.stack([c[0], c[1], c[2] * depth + c[3]]) for c in (fit, jaw)]
        return cls(np.concatenate([fit, jaw]).astype(np.float32), np.concatenate(flat).astype(np.float32))

    @classmethod
    def of(cls, points: Array) -> Lock:
        """A lock on the face of a picture."""
        depth = float(points[2, 2]) + TEETH_BEHIND * eye_distance(points)
        return cls.on(points[SKULL, :3], points[CHIN, :3], depth)

    def affines(self, points: Array) -> tuple[Array, Array]:
        """The maps `[2, 3]` of the plane of the teeth, source pixels to target pixels: upper and lower row."""
        both = self.flat @ points[RIGID, :2]
        return both[:3].T, both[3:].T


AVERAGE = Lock.on(SKULL_CM, CHIN_CM, -5.0)


def _corners(table: tuple[tuple[float, ...], ...], up: int) -> Array:
    """The corners `[teeth, 4, 4]` of a row, homogeneous, farthest teeth first."""
    teeth = []
    for near, far, edge, crown, depth in reversed(table):
        for side in (-1, 1):
            high = edge + up * crown
            xy = ((near + 0.04, edge), (far - 0.06, edge), (far - 0.02, high), (near + 0.02, high))
            teeth.append([(side * x, y, depth, 1) for x, y in xy])
    return np.array(teeth, np.float32)


_ROWS = (_corners(UPPER_CM, -1), _corners(LOWER_CM, 1))


def rows_below(points: Array, share: float = 0.5) -> float:
    """How many centimetres lower than average the teeth of a face lie: `EDGE_BELOW_SEAM` under its lips' line.

    Args:
        points: `[478, 2+]` of the photo.
        share: where that line is between the upper (0) and the lower lip (1); 0.5 for shut lips.
    """
    camera = (AVERAGE.cameras @ points[RIGID, :2])[:4]
    edge = np.array([0, UPPER_CM[0][2], UPPER_CM[0][4], 1], np.float32) @ camera
    down = camera[1] / (np.linalg.norm(camera[1]) ** 2 + 1e-9)
    seam = points[13, :2] + share * (points[14, :2] - points[13, :2])
    return float(np.clip((seam - edge) @ down + EDGE_BELOW_SEAM, -0.6, 0.6))


def premultiply(pixels: Pixels, mask: Pixels) -> Pixels:
    """An exemplar RGBA `[H, W, 4]`: colour under the mask, and the mask."""
    return cv2.merge([*cv2.split(cv2.multiply(pixels, cv2.merge([mask] * 3), scale=1 / 255)), mask])


def place(
    cuts: tuple[Pixels, Pixels], lock: Lock, points: Array, affine: Array, error: Array | float = 0.0
) -> tuple[Pixels, Pixels]:
    """Warp premultiplied exemplars, in the pixels of `lock`, into a patch: one with the skull, one with the jaw."""
    out = []
    for cut_out, way in zip(cuts, lock.affines(points), strict=True):
        whole = chain(affine, way).astype(np.float32)
        whole[:, 2] += error
        out.append(cv2.warpAffine(cut_out, whole, (WIDTH, HEIGHT)))
    return out[0], out[1]


def paint_rows(points: Array, affine: Array, lower_cm: float = 0.0) -> tuple[Pixels, Pixels]:
    """An average upper and lower row of teeth in the patch, moved down by `lower_cm`; two uint8 `[64, 112]`."""
    cameras = AVERAGE.cameras @ points[RIGID, :2]
    rows = []
    for corners, camera in zip(_ROWS, (cameras[:4], cameras[4:]), strict=True):
        image = np.zeros((HEIGHT, WIDTH), np.uint8)
        flat = ((corners + np.array([0, lower_cm, 0, 0], np.float32)) @ camera) @ affine[:, :2].T + affine[:, 2]
        quads = np.round(flat * (1 << _SHIFT)).astype(np.int32)
        for number, quad in enumerate(quads):
            cv2.fillConvexPoly(image, quad, 255 - 35 * ((len(quads) - 1 - number) // 2), cv2.LINE_AA, _SHIFT)
        rows.append(image)
    return rows[0], rows[1]


def hole_mask(ring: Array, grow_px: float = 1.0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Pixels:
    """The soft hole uint8 `[H, W]` inside the lip ring `[20, 2]` in patch pixels, grown by `grow_px`."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    flat = np.round(ring * (1 << _SHIFT)).astype(np.int32)[None]
    cv2.fillPoly(mask, flat, 255, cv2.LINE_AA, _SHIFT)
    if round(2 * grow_px) > 0:
        cv2.polylines(mask, flat, isClosed=True, color=255, thickness=round(2 * grow_px), lineType=cv2.LINE_AA,
                      shift=_SHIFT)  # fmt: skip
    return cv2.GaussianBlur(mask, (3, 3), 0.7)


def mouth_shows(patch: Pixels, inner: Array, outer: Array) -> tuple[float, float]:
    """Shares of dark pixels (cavity) and of tooth-like pixels (bright, less saturated than lips) inside the lips.

    Args:
        patch: uint8 `[64, 112, 3]`.
        inner, outer: lip rings `[20, 2]` in patch pixels.
    Returns: dark and tooth share in [0, 1]; both 0 for grey or lipless pictures. Lips that a tracker merely believes
        open show neither.
    """
    picture = patch.astype(np.float32)
    inside = hole_mask(inner, 0) > 128
    lips = (hole_mask(outer, 0) > 128) & (cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) < 1)
    bright, most = picture @ np.array([0.3, 0.59, 0.11], np.float32), picture.max(2)
    colour = (most - picture.min(2)) / (most + 1)
    if inside.sum() < 12 or lips.sum() < 12 or colour.mean() < 0.08:
        return 0.0, 0.0
    light, tint = np.median(bright[lips]), np.median(colour[lips])
    dark = float((bright[inside] < 0.6 * light).mean())
    return dark, float(((colour[inside] < 0.72 * tint) & (bright[inside] > 0.8 * light)).mean())


def assemble(
    patch: Pixels, hole: Pixels, textures: tuple[Pixels, Pixels], rows: tuple[Pixels, Pixels], nose: Array, unit: float
) -> Array:
    """The network's input float32 `[1, 64, 112, 16]`, all in about [0, 1]; see `liveface.nets.mouth.INPUT_CHANNELS`.

    Args:
        patch: uint8 `[64, 112, 3]`, the aligned picture; what is in the hole is not used.
        hole: uint8 `[64, 112]`, soft.
        textures: skull- and jaw-locked exemplar, uint8 `[64, 112, 4]`, RGB and mask; zeros where unknown.
        rows: `paint_rows`.
        nose: nose base in patch pixels.
        unit: eye distance in patch pixels.
    """
    weight = hole.astype(np.float32) * np.float32(1 / 255)
    shown = cv2.blendLinear(_FILLED, patch, weight, 1 - weight)
    across = np.clip(127.5 + 127.5 * (np.arange(WIDTH, dtype=np.float32) - nose[0]) / unit, 0, 255).astype(np.uint8)
    down = np.clip(255 * (np.arange(HEIGHT, dtype=np.float32) - nose[1]) / unit, 0, 255).astype(np.uint8)
    places = cv2.merge([cv2.repeat(across[None], HEIGHT, 1), cv2.repeat(down[:, None], 1, WIDTH)])
    whole = np.empty((HEIGHT, WIDTH, CHANNELS), np.uint8)
    cv2.mixChannels([shown, hole, *textures, *rows, places], [whole], _ORDER)
    return cv2.multiply(whole.reshape(HEIGHT, -1), 1 / 255, dtype=cv2.CV_32F).reshape(1, HEIGHT, WIDTH, CHANNELS)
