"""How alike two pictures and two faces are: PSNR, SSIM, landmark, opening and pose errors.

Notable choices: lengths on faces are in percent of the inter-ocular distance, here 0.7 times the distance of the outer
eye corners of the true face, as everywhere in this project (pupils move, corners do not).
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface.render.topology import EYE_LOWER, EYE_UPPER, LIP_LOWER, LIP_OUTER, LIP_UPPER, eye_ring, lip_ring
from liveface.types import Array, Pixels

MOUTH_POINTS = np.concatenate([LIP_OUTER, lip_ring()])
EYE_POINTS = np.concatenate([eye_ring(0), eye_ring(1)])
MOUTH_BOX = 1.5  # side of the mouth box over the extent of the lips, chosen
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # source: Wang et al. 2004


def psnr(made: Pixels, true: Pixels) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB; 60 at most."""
    error = float(np.mean((made.astype(np.float32) - true.astype(np.float32)) ** 2))
    return float(min(60.0, 10 * np.log10(255**2 / max(error, 1e-9))))


def ssim(made: Pixels, true: Pixels) -> float:
    """Structural similarity of the luminance of two uint8 pictures. Source: Wang et al. 2004, window 11, sigma 1.5."""
    one, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (made, true))

    def blur(picture: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(picture, (11, 11), 1.5), np.float32)

    mean_one, mean_other = blur(one), blur(other)
    var_one, var_other = blur(one * one) - mean_one**2, blur(other * other) - mean_other**2
    both = blur(one * other) - mean_one * mean_other
    top = (2 * mean_one * mean_other + _C1) * (2 * both + _C2)
    bottom = (mean_one**2 + mean_other**2 + _C1) * (var_one + var_other + _C2)
    return float((top / bottom).mean())


def mouth_box(points: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the square around the lips of `points` `[478, 2]`, within `size` (width, height)."""
    lips = points[LIP_OUTER, :2]
    centre = (lips.min(0) + lips.max(0)) / 2
    half = max(8.0, MOUTH_BOX * float((lips.max(0) - lips.min(0)).max()) / 2)
    low = np.clip(centre - half, 0, np.array(size) - 16).astype(int)
    high = np.clip(centre + half, low + 16, size).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def ocular_px(points: Array) -> float:
    """Inter-ocular distance in pixels."""
    return 0.7 * float(np.linalg.norm(points[33, :2] - points[263, :2]))


def picture_scores(made: Pixels, true: Pixels, points: Array) -> dict[str, float]:
    """Whole picture and mouth box; `points` are the true face's."""
    rows, columns = mouth_box(points, (true.shape[1], true.shape[0]))
    return {
        "psnr_db": psnr(made, true),
        "ssim": ssim(made, true),
        "mouth_psnr_db": psnr(made[rows, columns], true[rows, columns]),
        "mouth_ssim": ssim(made[rows, columns], true[rows, columns]),
    }


def face_scores(made: Array, true: Array) -> dict[str, float]:
    """Landmark and opening errors of points `[478, 2]`, percent of the inter-ocular distance."""
    unit = 100 / max(ocular_px(true), 1e-6)
    away = np.linalg.norm(made[:, :2] - true[:, :2], axis=1) * unit
    lids = [_opening(made, EYE_UPPER[eye], EYE_LOWER[eye], true) for eye in (0, 1)]
    return {
        "mouth_error_percent": float(away[MOUTH_POINTS].mean()),
        "eye_error_percent": float(away[EYE_POINTS].mean()),
        "lip_opening_error_percent": unit * _opening(made, LIP_UPPER[1:8], LIP_LOWER[1:8], true),
        "lid_opening_error_percent": unit * float(np.mean(lids)),
    }


def _opening(made: Array, upper: np.ndarray, lower: np.ndarray, true: Array) -> float:
    """Difference of the openings of two faces, pixels, over the middle three of seven facing pairs."""
    return abs(_gap(made, upper[2:5], lower[2:5]) - _gap(true, upper[2:5], lower[2:5]))


def _gap(points: Array, upper: np.ndarray, lower: np.ndarray) -> float:
    """Mean distance of facing points, pixels."""
    return float(np.linalg.norm(points[upper, :2] - points[lower, :2], axis=1).mean())
