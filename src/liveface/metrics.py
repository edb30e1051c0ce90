"""Numbers that compare a made picture with the true one: pixels, structure, points of mouth and eyes, steadiness.

Notable choices: points are compared after both faces stand on the same eye line, so that a head that is a little off
does not count as a wrong mouth; lengths of the face are percent of the inter-ocular distance, which in this project is
0.7 times the distance of the outer eye corners.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from liveface.types import Array, Pixels

MOST_DB = 100.0  # PSNR of pictures that are the same; the logarithm has no end
IOD_SHARE = 0.7  # inter-ocular distance over that of the outer eye corners
EYE_CORNERS = (33, 263)  # MediaPipe's mesh: outer corners, image left and image right
MOUTH = np.array([
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
])  # fmt: skip
"""Outer, then inner edge of the lips."""
EYES = np.array([
    33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7,
    362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382,
])  # fmt: skip
"""Edges of the lids of both eyes."""
LID_PAIRS = (((159, 145), (158, 153), (160, 144)), ((386, 374), (385, 380), (387, 373)))
"""Upper and lower lid, middle third, of the image's left and right eye."""
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # source: Wang et al. 2004, as are window and its width
_WINDOW, _SIGMA = (11, 11), 1.5


def psnr(made: Pixels, true: Pixels) -> float:
    """Peak signal to noise in decibels of two pictures of one shape."""
    error = float(np.mean(np.square(cv2.absdiff(made, true), dtype=np.float32)))
    return MOST_DB if error == 0 else min(MOST_DB, float(10 * np.log10(255**2 / error)))


def ssim_map(made: Pixels, true: Pixels) -> Array:
    """Structural similarity `[H, W]` of the luma of two RGB pictures, at most 1; the mean of it is SSIM.

    Source: Wang, Bovik, Sheikh and Simoncelli 2004; a Gaussian window of 11 pixels, mirrored at the border.
    """
    one = cv2.cvtColor(made, cv2.COLOR_RGB2GRAY).astype(np.float32)
    two = cv2.cvtColor(true, cv2.COLOR_RGB2GRAY).astype(np.float32)

    def mean(picture: Array) -> Array:
        return cv2.GaussianBlur(picture, _WINDOW, _SIGMA)

    one_mean, two_mean = mean(one), mean(two)
    product = one_mean * two_mean
    squares = one_mean**2 + two_mean**2
    shared = mean(one * two) - product
    spread = mean(one * one + two * two) - squares
    likeness = (2 * product + _C1) * (2 * shared + _C2) / ((squares + _C1) * (spread + _C2))
    return likeness.astype(np.float32)


def eye_distance(points: Array) -> Array:
    """Inter-ocular distance `[T]` of points `[T, 478, 2 or 3]`, in their unit."""
    left, right = points[:, EYE_CORNERS[0], :2], points[:, EYE_CORNERS[1], :2]
    distance: Array = IOD_SHARE * np.maximum(np.linalg.norm(right - left, axis=-1), 1e-6)
    return distance


def on_eye_line(points: Array) -> Array:
    """Points `[T, 478, 2]` with the outer eye corners level about the origin, in inter-ocular distances."""
    left, right = points[:, EYE_CORNERS[0], :2], points[:, EYE_CORNERS[1], :2]
    across = (right - left) / np.linalg.norm(right - left, axis=-1, keepdims=True)
    moved = points[..., :2] - ((left + right) / 2)[:, None]
    x = (moved * across[:, None]).sum(-1)
    y = moved[..., 1] * across[:, None, 0] - moved[..., 0] * across[:, None, 1]
    return np.asarray(np.stack([x, y], -1) / eye_distance(points)[:, None, None], np.float32)


def point_error(made: Array, true: Array, members: npt.NDArray[np.int_]) -> Array:
    """Mean distance `[T]` of the points `members`, percent of the inter-ocular distance, both on the eye line."""
    apart = on_eye_line(made)[:, members] - on_eye_line(true)[:, members]
    error: Array = 100 * np.linalg.norm(apart, axis=-1).mean(-1)
    return error


def lid_opening(points: Array) -> Array:
    """Opening of both eyes' lids `[T]`, percent of the inter-ocular distance."""
    gaps = [np.linalg.norm(points[:, up, :2] - points[:, low, :2], axis=-1) for eye in LID_PAIRS for up, low in eye]
    return 100 * np.mean(gaps, axis=0) / eye_distance(points)


def blinks(opening: Array) -> npt.NDArray[np.bool_]:
    """Frames `[T]` whose lids are less than half as open as is usual in the track `opening` `[T]`."""
    return opening < 0.5 * np.percentile(opening, 65)


def mouth_box(points: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a square of 1.6 mouth widths around the lips of one face `[478, 2]`, inside `size`."""
    lips = points[MOUTH, :2]
    middle = (lips.min(0) + lips.max(0)) / 2
    half = 0.8 * float(np.ptp(lips[:, 0]))
    low = np.clip(np.floor(middle - half), 0, np.array(size) - 8).astype(int)
    high = np.clip(np.ceil(middle + half), low + 8, size).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def angle_deg(one: Array, two: Array) -> float:
    """The angle between two rotations `[3, 3]`, in degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(one.T @ two) - 1) / 2, -1, 1))))


def change(before: Pixels, after: Pixels, where: npt.NDArray[np.bool_]) -> float:
    """Mean absolute difference of two pictures on the pixels `where` `[H, W]`, in levels of 255."""
    return float(cv2.absdiff(before, after)[where].mean())
