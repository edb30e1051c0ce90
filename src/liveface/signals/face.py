"""Faces in pictures: detection, 478 points with irises, person segmentation.

A small tracker of our own on the networks of the mediapipe 0.10.21 wheel (Apache-2.0), run by LiteRT on one thread:
detector, then a crop that is turned upright, then 468 mesh points, then both irises. In a video the crop follows the
points of the last frame and the detector rests. Source of the geometry (anchors, crop factors, indices): MediaPipe's
face_detection, face_landmark and iris_landmark graphs; the code is ours.

Notable choices: photos get several tries (second detector, padding, tiles, quarter turns) because tight crops and
small faces escape the short-range detector; large crops are averaged down, not sampled, so that points do not shimmer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from liveface import weights
from liveface.errors import FaceError, SignalError
from liveface.runtime import Step
from liveface.types import Array, Pixels

POINTS = 478  # 468 mesh points, then five of each iris: centre and ring
MIN_FACE_PX = 60  # below this height the mesh network sees fewer pixels than it places points (chosen)
MAX_YAW_DEG = 45.0  # beyond this the far half of the face is invented (seen)
MIN_SCORE = 0.5  # MediaPipe's threshold for detector and mesh
_CROP = 1.5  # crop side over face box side; face_landmark graph
_EYE_CROP = 2.3  # crop side over eye width; iris_landmark graph
_NEARBY = ((0.02, 0.0, 1.05, 0.04), (-0.02, 0.0, 1.0, -0.04), (0.0, 0.02, 0.95, 0.04), (0.0, -0.02, 1.0, -0.04))
_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)  # corners, image left to image right; the person's own right and left
# Points the iris network sees better than the mesh network: the lid edge and the two rings around it, lower then upper.
_RIGHT_LIDS = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),
)
_LEFT_LIDS = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
)
_LID_SHARE = np.repeat(np.array([1, 1, 0.5], np.float32), 16)[:, None]  # the outer ring blends into the mesh (chosen)


@dataclass(frozen=True, slots=True)
class Box:
    """A detected face.

    Attributes:
        x, y, width, height: pixels; the corner may lie outside the picture.
        score: 0 to 1.
        keypoints: `[6, 2]` pixels: right eye, left eye, nose tip, mouth, right ear, left ear (the person's own).
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    keypoints: Array


@dataclass(frozen=True, slots=True)
class Face:
    """A tracked face.

    Attributes:
        points: `[478, 3]` float32; x and y in pixels of the picture, z in pixels relative to the head's centre,
            negative towards the camera. Order: MediaPipe's face mesh; 468 to 472 the person's right iris, 473 to 477
            the left (centre, then right, top, left and bottom in the image).
        score: 0 to 1, the mesh network's belief that this is a face.
        box: the bounding box of the points.
    """

    points: Array
    score: float
    box: Box

    @property
    def height(self) -> float:
        """Height of the face mesh along its own axis, forehead to chin, in pixels."""
        return float(np.linalg.norm(self.points[152, :2] - self.points[10, :2]))

    @property
    def yaw_deg(self) -> float:
        """How far the head is turned, from the depth of both cheeks; positive looks to the image's right.

        The network's depth is a little flat: 1.12 is the slope of the solver's yaw over it (46 clips, correlation .99).
        """
        across = self.points[454] - self.points[234]
        return 1.12 * float(np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1]))))


@lru_cache(maxsize=16)
def _network(name: str) -> Step:
    return Step(weights.path(name))


@lru_cache(maxsize=2)
def _anchors(size: int) -> Array:
    """Anchor centres `[A, 2]` in 0..1; short range: 2 per cell of 16 and 6 per cell of 8, full range: 1 of 48."""
    grids = ((16, 2), (8, 6)) if size == 128 else ((48, 1),)
    parts = []
    for side, count in grids:
        y, x = np.mgrid[:side, :side]
        cells = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / side
        parts.append(np.repeat(cells, count, 0))
    return np.concatenate(parts).astype(np.float32)


def _merge(boxes: Array, scores: Array) -> list[Array]:
    """Weighted non-maximum suppression of `[N, 16]` boxes (x, y, w, h, six points) with `[N]` scores."""
    order = np.argsort(-scores)
    merged = []
    while len(order):
        best = boxes[order[0]]
        low = np.maximum(best[:2] - best[2:4] / 2, boxes[order, :2] - boxes[order, 2:4] / 2)
        high = np.minimum(best[:2] + best[2:4] / 2, boxes[order, :2] + boxes[order, 2:4] / 2)
        shared = np.prod(np.maximum(high - low, 0), 1)
        union = np.prod(best[2:4]) + np.prod(boxes[order, 2:4], 1) - shared
        same = shared / np.maximum(union, 1e-9) > 0.3  # threshold of MediaPipe's graph
        same[0] = True
        weight = scores[order[same]]
        mean = (boxes[order[same]] * weight[:, None]).sum(0) / weight.sum()
        merged.append(np.append(mean, scores[order[0]]))
        order = order[~same]
    return merged


def _detect_view(pixels: Pixels, view: Array, *, short_range: bool) -> list[Box]:
    """Faces in one square view; `view` `[2, 3]` maps picture pixels to view coordinates in 0..1."""
    name = "face_detection_short_range.tflite" if short_range else "face_detection_full_range_sparse.tflite"
    size = 128 if short_range else 192
    network = _network(name)
    (source,) = network.inputs
    picture = _sample(pixels, view * size, size)
    result = network(**{source: (picture.astype(np.float32) * (2 / 255) - 1)[None]})
    raw = next(value for value in result.values() if value.shape[2] == 16)[0]
    logit = next(value for value in result.values() if value.shape[2] == 1)[0, :, 0]
    score = 1 / (1 + np.exp(-np.clip(logit, -80, 80)))
    keep = score > MIN_SCORE
    raw = raw[keep] / size
    raw[:, :2] += _anchors(size)[keep]
    raw[:, 4:] += np.tile(_anchors(size)[keep], 6)
    back = cv2.invertAffineTransform(view)
    scale = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
    found = []
    for merged in _merge(raw, score[keep]):
        centre = back[:, :2] @ merged[:2] + back[:, 2]
        marks = (merged[4:16].reshape(6, 2) @ back[:, :2].T + back[:, 2]).astype(np.float32)
        width, height = merged[2:4] * scale
        left, top = centre - (width / 2, height / 2)
        found.append(Box(float(left), float(top), float(width), float(height), float(merged[16]), marks))
    return found


def _square_view(x: float, y: float, side: float, turn: int = 0) -> Array:
    """The view `[2, 3]` that maps the square at (x, y) to 0..1, turned by `turn` quarters clockwise."""
    angle = turn * np.pi / 2
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).round() / side
    centre = np.array([x + side / 2, y + side / 2])
    return np.column_stack([rotation, 0.5 - rotation @ centre])


def _views(height: int, width: int) -> Iterator[tuple[Array, bool]]:
    """Views to try in turn, cheap and likely first: (view, short range)."""
    side = max(height, width)
    x, y = (width - side) / 2, (height - side) / 2
    yield _square_view(x, y, side), True
    yield _square_view(x, y, side), False
    for pad in (0.25, 0.6):  # tight crops: a face that fills the picture is found once it has a margin
        yield _square_view(x - pad * side, y - pad * side, side * (1 + 2 * pad)), True
    for turn in (1, 3, 2):
        yield _square_view(x, y, side, turn), True
    tile = 0.4 * side  # far faces in large pictures
    if tile >= 192:
        for top in np.linspace(0, max(height - tile, 0), 3):
            for left in np.linspace(0, max(width - tile, 0), 3):
                yield _square_view(float(left), float(top), tile), False


def _sample(pixels: Pixels, affine: Array, size: int) -> Pixels:
    """Cut a `size` x `size` picture; `affine` `[2, 3]` maps picture pixels to crop pixels. Big crops are averaged.

    Coordinates are continuous: the first pixel's centre lies at one half.
    """
    times = int(np.clip(1 / max(np.sqrt(abs(np.linalg.det(affine[:, :2]))), 1e-9), 1, 8))
    if times > 1:  # shrink what the crop shows by a whole number first: an average, and cheaper than a large warp
        corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) @ cv2.invertAffineTransform(affine)[:, :2].T
        corners += cv2.invertAffineTransform(affine)[:, 2]
        height, width = pixels.shape[:2]
        left, top = (max(int(low) - 2 * times, 0) for low in corners.min(0))
        columns = (min(int(corners[:, 0].max()) + 2 * times, width) - left) // times
        rows = (min(int(corners[:, 1].max()) + 2 * times, height) - top) // times
        if columns > 0 and rows > 0:
            part = pixels[top : top + rows * times, left : left + columns * times]
            pixels = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
            moved = affine[:, 2] + affine[:, :2] @ (left, top)
            affine = np.column_stack([affine[:, :2] * times, moved])
    centred = affine.copy()
    centred[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(pixels, centred, (size, size), flags=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _unit(picture: Pixels) -> Array:
    """A network input `[1, H, W, 3]` in 0..1."""
    return np.multiply(picture, np.float32(1 / 255), dtype=np.float32)[None]


def _upright(centre: Array, side: float, angle: float, size: int, *, mirror: bool = False) -> Array:
    """Affine `[2, 3]` from picture pixels to a crop of `size`: square of `side` at `centre`, turned by `angle`."""
    scale = size / side
    rotation = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    if mirror:
        rotation[0] = -rotation[0]
    return np.column_stack([rotation, size / 2 - rotation @ np.asarray(centre, float)])


def _roi_of_box(box: Box) -> tuple[Array, float, float]:
    across = box.keypoints[1] - box.keypoints[0]
    centre = np.array([box.x + box.width / 2, box.y + box.height / 2])
    return centre, _CROP * max(box.width, box.height), float(np.arctan2(across[1], across[0]))


def _roi_of_points(points: Array) -> tuple[Array, float, float]:
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    across = points[_LEFT_EYE[1], :2] - points[_RIGHT_EYE[0], :2]
    return (low + high) / 2, _CROP * float(max(high - low)), float(np.arctan2(across[1], across[0]))


def _ease(last: tuple[Array, float, float], found: tuple[Array, float, float]) -> tuple[Array, float, float]:
    """The next crop: it drifts after a face that is nearly still and jumps after one that moves.

    The network's points shift with its crop; a calm crop takes a third of the jitter off (measured, see
    docs/decisions/face-tracking.md).
    """
    (centre, side, angle), (to_centre, to_side, to_angle) = last, found
    turn = float(np.arctan2(np.sin(to_angle - angle), np.cos(to_angle - angle)))
    moved = max(float(np.linalg.norm(to_centre - centre)) / side, abs(to_side / side - 1), abs(turn))
    share = min(1.0, 0.15 + 10 * moved)
    return centre + share * (to_centre - centre), side + share * (to_side - side), angle + share * turn


def _mesh(pixels: Pixels, centre: Array, side: float, angle: float) -> tuple[Array, float]:
    """468 points `[468, 3]` in picture pixels and the score of one crop."""
    network = _network("face_landmark.tflite")
    affine = _upright(centre, side, angle, 192)
    result = network(input_1=_unit(_sample(pixels, affine, 192)))
    raw = result["conv2d_21"].reshape(468, 3)
    logit = float(result["conv2d_31"].ravel()[0])
    back = cv2.invertAffineTransform(affine)
    points = np.empty((468, 3), np.float32)
    points[:, :2] = raw[:, :2] @ back[:, :2].T + back[:, 2]
    points[:, 2] = raw[:, 2] * (side / 192)
    return points, float(1 / (1 + np.exp(-np.clip(logit, -80, 80))))


def _iris(pixels: Pixels, points: Array, corners: tuple[int, int], *, mirror: bool) -> tuple[Array, Array]:
    """Lid rings `[48, 2]` and iris `[5, 3]` of one eye in picture pixels.

    The network knows eyes whose outer corner lies at the image's left, the person's right eye; the other is shown to
    it mirrored (measured: its contour then agrees with the mesh to 2.5 % of the eye's width, else 5.6 %).
    """
    network = _network("iris_landmark.tflite")
    ends = points[list(corners), :2]
    across = ends[1] - ends[0]
    side = _EYE_CROP * float(np.abs(across).max())
    affine = _upright(ends.mean(0), side, float(np.arctan2(across[1], across[0])), 64, mirror=mirror)
    result = network(input_1=_unit(_sample(pixels, affine, 64)))
    back = cv2.invertAffineTransform(affine)
    lids = result["output_eyes_contours_and_brows"].reshape(71, 3)[:48, :2] @ back[:, :2].T + back[:, 2]
    iris = np.empty((5, 3), np.float32)
    iris[:, :2] = result["output_iris"].reshape(5, 3)[:, :2] @ back[:, :2].T + back[:, 2]
    iris[:, 2] = points[list(corners), 2].mean()
    return lids.astype(np.float32), iris[[0, 3, 2, 1, 4]] if mirror else iris


class FaceTracker:
    """Finds one face and follows it from frame to frame.

    In video mode (`static=False`) the crop follows the points of the last frame; call `reset` at a cut. In static mode
    every picture stands alone and more effort is spent on it.
    """

    def __init__(self, *, static: bool = False) -> None:
        self.static = static
        self._roi: tuple[Array, float, float] | None = None

    def reset(self) -> None:
        """Forget the face that was followed."""
        self._roi = None

    def detect(self, pixels: Pixels) -> list[Box]:
        """Face boxes, largest first; an empty list when every try fails.

        Args:
            pixels: uint8 `[H, W, 3]` RGB.
        """
        _check(pixels)
        for view, short_range in _views(*pixels.shape[:2]):
            boxes = _detect_view(pixels, view, short_range=short_range)
            if boxes:
                return sorted(boxes, key=lambda box: -box.width * box.height)
        return []

    def faces(self, pixels: Pixels) -> list[Face]:
        """All faces that the mesh network confirms, largest first."""
        _check(pixels)
        for view, short_range in _views(*pixels.shape[:2]):
            boxes = _detect_view(pixels, view, short_range=short_range)
            tried = (_follow(pixels, _roi_of_box(box), 3 if self.static else 2, _NEARBY * self.static) for box in boxes)
            found = [face for face in tried if face is not None]
            if found:
                return sorted(found, key=lambda face: -face.height)
        return []

    def track(self, pixels: Pixels, face: int | None = None) -> Face | None:
        """The face in `pixels`, or None.

        Args:
            pixels: uint8 `[H, W, 3]` RGB.
            face: which one when there are several, 1 for the largest; None means the largest. In video mode it only
                chooses whom to follow first.
        """
        _check(pixels)
        if self._roi is not None and not self.static:
            followed = _follow(pixels, self._roi, 1)
            if followed is not None:
                self._roi = _ease(self._roi, _roi_of_points(followed.points))
                return followed
        found = self.faces(pixels)
        if not found or (face is not None and not 1 <= face <= len(found)):
            self._roi = None
            return None
        chosen = found[(face or 1) - 1]
        self._roi = _roi_of_points(chosen.points)
        return chosen


def _check(pixels: Pixels) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        shape, dtype = pixels.shape, pixels.dtype
        raise SignalError(f"picture has shape {shape} and type {dtype}; expected (height, width, 3) and uint8.")


def _follow(
    pixels: Pixels, roi: tuple[Array, float, float], rounds: int, nearby: tuple[tuple[float, ...], ...] = ()
) -> Face | None:
    """Mesh and irises from a crop.

    More rounds re-centre the crop on the points just found; the mesh is then averaged over crops nearby, each given
    by its shift right and down as a share of the side, its relative size and its turn in radians.
    """
    for _ in range(rounds):
        mesh, score = _mesh(pixels, *roi)
        if score < MIN_SCORE or not np.isfinite(mesh).all():
            return None
        roi = _roi_of_points(mesh)
        if roi[1] < 4:
            return None
    for right, down, size, turn in nearby:
        centre, side, angle = roi
        shifted = centre + side * np.array([right, down], np.float32)
        mesh = mesh + _mesh(pixels, shifted, side * size, angle + turn)[0]
    mesh = np.asarray(mesh / (1 + len(nearby)), np.float32)
    right_lids, right_iris = _iris(pixels, mesh, _RIGHT_EYE, mirror=False)
    left_lids, left_iris = _iris(pixels, mesh, _LEFT_EYE, mirror=True)
    points = np.concatenate([mesh, right_iris, left_iris])
    for order, lids in ((_RIGHT_LIDS, right_lids), (_LEFT_LIDS, left_lids)):
        points[list(order), :2] += _LID_SHARE * (lids - points[list(order), :2])
    (x, y), (far_x, far_y) = mesh[:, :2].min(0), mesh[:, :2].max(0)
    marks = np.array([right_iris[0, :2], left_iris[0, :2], mesh[1, :2], mesh[13, :2], mesh[234, :2], mesh[454, :2]])
    box = Box(float(x), float(y), float(far_x - x), float(far_y - y), score, marks)
    return Face(points, score, box)


def find_face(pixels: Pixels, face: int | None = None) -> tuple[Face, int]:
    """The face to use in a photo and how many there are.

    Raises:
        FaceError: no face, no face of that number, one that is too small or turned away.
    """
    height, width = pixels.shape[:2]
    found = FaceTracker(static=True).faces(pixels)
    if not found:
        raise FaceError(
            f"no face was found in this {width}x{height} picture; expected one that looks towards the camera. "
            "Use a sharper or closer photo."
        )
    if face is not None and not 1 <= face <= len(found):
        raise FaceError(
            f"face {face} was asked for, but the picture has {len(found)}; expected 1 (the largest) to {len(found)}."
        )
    chosen = found[(face or 1) - 1]
    if chosen.height < MIN_FACE_PX:
        raise FaceError(
            f"the face is {chosen.height:.0f} pixels high; expected at least {MIN_FACE_PX}. Use a larger photo."
        )
    if abs(chosen.yaw_deg) > MAX_YAW_DEG:
        raise FaceError(
            f"the face is turned {abs(chosen.yaw_deg):.0f} degrees to the side; expected at most {MAX_YAW_DEG:.0f}. "
            "Use a photo that looks towards the camera."
        )
    return chosen, len(found)


def segment_person(pixels: Pixels) -> Array:
    """How much each pixel belongs to a person: float32 `[H, W]`, 0 to 1.

    Args:
        pixels: uint8 `[H, W, 3]` RGB.
    """
    _check(pixels)
    height, width = pixels.shape[:2]
    wide = width > 1.4 * height  # the landscape network was made for 16:9
    network = _network("selfie_segmentation_landscape.tflite" if wide else "selfie_segmentation.tflite")
    (_, rows, columns, _), _ = network.inputs["input_1"]
    small = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    (mask,) = network(input_1=_unit(small)).values()
    full = cv2.resize(mask.reshape(rows, columns), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(full, 0, 1).astype(np.float32)
