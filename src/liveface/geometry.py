"""Rotations and similarities of the face frame (x right, y down, z away from the camera)."""

from __future__ import annotations

from math import cos, sin

import numpy as np

from liveface.types import Array


def head_rotation(pitch: float, yaw: float, roll: float) -> Array:
    """The rotation matrix `[3, 3]` of a head: `Rz(roll) @ Ry(-yaw) @ Rx(pitch)`.

    Args:
        pitch, yaw, roll: radians; positive looks down, looks to the image's right, leans to the image's right.
    """
    sp, cp, sy, cy, sr, cr = sin(pitch), cos(pitch), sin(-yaw), cos(yaw), sin(roll), cos(roll)
    return np.array(
        [
            [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp],
            [sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp],
            [-sy, cy * sp, cy * cp],
        ],
        np.float32,
    )


def head_angles(rotation: Array) -> tuple[float, float, float]:
    """Pitch, yaw, roll in radians of a rotation matrix; the inverse of `head_rotation`."""
    yaw = float(np.arcsin(np.clip(rotation[2, 0], -1, 1)))
    pitch = float(np.arctan2(rotation[2, 1], rotation[2, 2]))
    roll = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return pitch, yaw, roll


def fit_similarity(source: Array, target: Array, weights: Array | None = None) -> tuple[float, Array, Array]:
    """Scale, rotation `[D, D]` and shift `[D]` that best map `source` `[K, D]` onto `target` `[K, D]`.

    Least squares with optional weights `[K]`. Source: Umeyama 1991, closed form.
    """
    weight = np.full(len(source), 1 / len(source)) if weights is None else weights / weights.sum()
    mean_source, mean_target = weight @ source, weight @ target
    a, b = source - mean_source, target - mean_target
    u, singular, vt = np.linalg.svd((b * weight[:, None]).T @ a)
    sign = np.ones(source.shape[1])
    sign[-1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (weight @ (a**2).sum(1)))
    return scale, rotation.astype(np.float32), (mean_target - scale * rotation @ mean_source).astype(np.float32)
