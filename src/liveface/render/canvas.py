"""The portrait on its canvas: which part of a photo is shown, and at what size.

Notable choices: the face stands in the upper middle of a tall canvas, about two fifths of its height, as in a video
call; a photo with less around the face is shown closer; a picture that ends inside the canvas is continued by its
border, softened, rather than by bars; mirrored it would show a second head above a tight photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from liveface.errors import SignalError
from liveface.render.topology import CHIN, FOREHEAD
from liveface.types import Array, Pixels

TEXTURE_SCALE = 2  # texture pixels per canvas pixel along each axis; a 2 x 2 mean gives the canvas back
FACE_SHARE = 0.40  # height of the face (forehead to chin) over the height of the canvas, chosen
FACE_SHARE_CLOSE = 0.56  # the closest framing before the picture is continued beyond its border, chosen
FACE_WIDTH_SHARE = 0.78  # a face is never wider than this share of the canvas, chosen
FACE_WIDTH_CLOSE = 0.86  # nor than this, when the photo has no more to show
FACE_CENTRE = 0.46  # where the middle of the face stands, from the top of the canvas, chosen
MARGIN_SHARE = 0.18  # the texture reaches this share of the canvas width beyond it on every side, chosen
SIZE_LIMITS = (64, 2048)


@dataclass(frozen=True)
class Canvas:
    """A photo cut to the canvas.

    Attributes:
        texture: uint8 `[2 (H + 2 m), 2 (W + 2 m), 3]`, the photo at twice the canvas size, with a margin of `m`
            canvas pixels around it, so that what moves into the canvas was seen by the camera.
        points: float32 `[478, 3]`, tracked points in canvas pixels.
        size: width and height in pixels.
        margin: `m`, in canvas pixels.
        to_canvas: float32 `[2, 3]`, photo pixels to canvas pixels: a scale and a shift.
    """

    texture: Pixels
    points: Array
    size: tuple[int, int]
    margin: int
    to_canvas: Array

    def cut(self, pixels: Pixels) -> Pixels:
        """Another picture of the same camera, uint8 `[h, w, 3]`, cut as the photo was."""
        scale = float(self.to_canvas[0, 0])
        corner = 0.5 - (self.to_canvas[:, 2] + 0.5) / scale
        double = (self.size[0] * TEXTURE_SCALE, self.size[1] * TEXTURE_SCALE)
        shrunk, matrix, method = _resampling(pixels, scale * TEXTURE_SCALE, corner)
        picture = cv2.warpAffine(shrunk, matrix, double, flags=method, borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA)

    def to_texture(self, points: Array) -> Array:
        """Canvas pixels `[..., 2]` to texture pixels."""
        return (points + self.margin) * TEXTURE_SCALE + (TEXTURE_SCALE - 1) / 2

    def shrink(self, texture: Pixels) -> Pixels:
        """A picture `[2 (H + 2 m), 2 (W + 2 m), C]` cut and averaged down to the canvas."""
        edge = self.margin * TEXTURE_SCALE
        inner = texture[edge : texture.shape[0] - edge, edge : texture.shape[1] - edge]
        return cv2.resize(inner, self.size, interpolation=cv2.INTER_AREA)


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return `size` when it can be rendered and encoded: even sides within limits."""
    low, high = SIZE_LIMITS
    if any(side < low or side > high or side % 2 for side in size):
        raise SignalError(
            f"output size {size[0]}x{size[1]} cannot be used; expected even sides from {low} to {high}, "
            "such as 360x640, 384x672 or 512x512."
        )
    return size


def frame_portrait(pixels: Pixels, points: Array, size: tuple[int, int]) -> Canvas:
    """Choose the part of a photo to show and cut it to the canvas.

    Args:
        pixels: uint8 `[h, w, 3]` photo.
        points: float32 `[478, 2 or 3]` tracked points in photo pixels.
        size: canvas width and height in pixels.
    """
    width, height = check_size(size)
    photo_h, photo_w = pixels.shape[:2]
    face = points[:468, :2]
    face_h = max(float(np.linalg.norm(points[CHIN, :2] - points[FOREHEAD, :2])), 1e-3)
    face_w = float(face[:, 0].max() - face[:, 0].min())
    aspect = width / height
    widest = max(face_h / FACE_SHARE, face_w / (FACE_WIDTH_SHARE * aspect))  # crop height at the usual framing
    closest = max(face_h / FACE_SHARE_CLOSE, face_w / (FACE_WIDTH_CLOSE * aspect))
    crop_h = float(min(max(min(photo_h, photo_w / aspect), closest), widest))
    scale = height / crop_h
    middle = (face.max(0) + face.min(0)) / 2
    left = middle[0] - crop_h * aspect / 2
    top = middle[1] - FACE_CENTRE * crop_h
    if crop_h <= photo_h:
        top = float(np.clip(top, 0, photo_h - crop_h))
    else:
        top = photo_h - crop_h  # continue the wall above rather than the body below
    if crop_h * aspect <= photo_w:
        left = float(np.clip(left, 0, photo_w - crop_h * aspect))
    margin = round(MARGIN_SHARE * width)
    corner = np.array([left - margin / scale, top - margin / scale])
    full = ((width + 2 * margin) * TEXTURE_SCALE, (height + 2 * margin) * TEXTURE_SCALE)
    texture = _cut(pixels, scale * TEXTURE_SCALE, corner, full)
    moved = np.empty((len(points), 3), np.float32)
    # Pixel centres lie at integers, so a scale about the corner shifts them by half a pixel.
    moved[:, :2] = (points[:, :2] + 0.5) * scale - (left * scale, top * scale) - 0.5
    moved[:, 2] = points[:, 2] * scale if points.shape[1] > 2 else 0
    shift = 0.5 * scale - np.array([left, top]) * scale - 0.5
    to_canvas = np.column_stack([np.eye(2) * scale, shift]).astype(np.float32)
    return Canvas(texture, moved, (width, height), margin, to_canvas)


def _resampling(pixels: Pixels, scale: float, corner: Array) -> tuple[Pixels, Array, int]:
    """The photo, averaged down where it is finer than the texture, its matrix `[2, 3]` to the texture and the method.

    Args:
        scale: texture pixels per photo pixel.
        corner: `[2]` the photo's pixel at the texture's corner.
    """
    if scale < 0.75:  # area-average first, so that fine patterns do not alias
        shrunk = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    else:
        shrunk = pixels
    ratio = scale * pixels.shape[1] / shrunk.shape[1]
    shift = -corner * scale
    matrix = np.array(
        [[ratio, 0, shift[0] + (ratio - 1) / 2], [0, ratio, shift[1] + (ratio - 1) / 2]],
        np.float32,
    )
    return shrunk, matrix, cv2.INTER_CUBIC if ratio > 1.01 else cv2.INTER_LINEAR


def _cut(pixels: Pixels, scale: float, corner: Array, size: tuple[int, int]) -> Pixels:
    """Resample the photo to the texture of `size`, as `_resampling` says; its border goes on, softened."""
    shrunk, matrix, method = _resampling(pixels, scale, corner)
    texture = cv2.warpAffine(shrunk, matrix, size, flags=method, borderMode=cv2.BORDER_REPLICATE)
    # Distance-free test of what the photo covers, softened so that its border does not show.
    inside = cv2.warpAffine(np.full(shrunk.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    if inside.min() == 255:
        return texture
    small = cv2.resize(texture, (size[0] // 8, size[1] // 8), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), size[1] / 320), size, interpolation=cv2.INTER_LINEAR)
    weight = cv2.GaussianBlur(inside, (0, 0), 6).astype(np.float32)[..., None] / 255
    weight = np.clip(weight * 2 - 1, 0, 1)
    return (texture * weight + soft * (1 - weight)).round().astype(np.uint8)
