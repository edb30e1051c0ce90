"""The recipe that learns the face model from tracked video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liveface.motion.face_model import IRIS, LIDS, POINTS, FaceModel
from liveface.types import Array

MODES = 60  # identity modes kept of the prior's 100; the rest move points by less than 0.1 mm (measured)
EYE_RADIUS = 1.08  # cm from the eye's centre to the plane of the iris; anatomy
IRIS_RADIUS = 0.59  # cm; the human iris measures 11.7 mm across with little variance
_FLIP = np.array([1, -1, -1], np.float32)  # MediaPipe's canonical frame (y up, z towards the camera) to ours


def mirror_index(mean: Array) -> np.ndarray:
    """For every point `[478]` the index of its mirror image on the other side of the face."""
    distance = np.linalg.norm((mean * (-1, 1, 1))[:468, None] - mean[None, :468], axis=-1)
    twin = distance.argmin(1)
    if not (twin[twin] == np.arange(468)).all():
        raise ValueError("the mean face is not symmetric enough to pair its points")
    rings = np.array([473, 476, 475, 474, 477, 468, 471, 470, 469, 472])  # a mirror swaps image right and left
    return np.concatenate([twin, rings])


def prior(data: Path) -> FaceModel:
    """The ICT face on MediaPipe's points (`face3d/face3d.npz`), in our frame and with irises."""
    with np.load(data / "face3d" / "face3d.npz") as stored:
        mean = np.zeros((POINTS, 3), np.float32)
        mean[:468] = stored["neutral"] * _FLIP
        identity = np.zeros((MODES, POINTS, 3), np.float32)
        identity[:, :468] = stored["identity"][:MODES].astype(np.float32) * _FLIP
        expression = np.zeros((52, POINTS, 3), np.float32)
        expression[:, :468] = stored["arkit"].astype(np.float32) * _FLIP
        centres = stored["eye_centre"] * _FLIP
        triangles = stored["faces"].astype(np.int32)
    ring = np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]], np.float32) * IRIS_RADIUS
    for eye in range(2):
        mean[IRIS[eye], :2] = centres[eye, :2] + ring
        mean[IRIS[eye], 2] = centres[eye, 2] - EYE_RADIUS
        identity[:, IRIS[eye]] = identity[:, list(LIDS[eye])].mean(1, keepdims=True)
    return FaceModel(mean, identity, expression, centres, triangles)
