"""A head as a posable thing: the tracked points of one picture lifted to 3D, its expressions, and its matte.

Shared by every renderer that starts from a picture: points are lifted along their own rays to the face model's depth,
so that the picture's own pose gives back the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from liveface.geometry import head_rotation
from liveface.motion.face_model import FaceModel
from liveface.motion.solve import DISTANCE_CM, fit_photo
from liveface.render.canvas import Canvas
from liveface.render.eyes import NAMES as LID_NAMES
from liveface.render.topology import OVAL, eye_ring
from liveface.signals.face import segment_person
from liveface.types import ARKIT_INDEX, Array

CAMERA_CM = 300.0  # distance of the assumed camera; the tracker's points have next to no perspective (face-model.md)
TURN_LIMIT = 0.42  # radians (24 degrees): larger turns ease towards this, for the photo holds no more


@dataclass(frozen=True)
class Head:
    """One picture as a posable thing, lengths in centimetres of the camera's frame.

    Attributes:
        rest: `[478, 3]` lifted points.
        basis: `[52, 478 * 3]` displacement at coefficient 1, turned as the photo's head is.
        own: `[52]` the photo's own expression.
        turn: `[3]` the photo's own pitch, yaw and roll.
        px_per_cm: canvas pixels a centimetre at the head's origin, about which it turns.
        centre: `[2]` where that origin stands, canvas pixels.
    """

    rest: Array
    basis: Array
    own: Array
    turn: Array
    px_per_cm: float
    centre: Array

    def lift(self, points: Array, depth: Array) -> Array:
        """Canvas pixels `[K, 2]` at known depth `[K]` to centimetres `[K, 3]`."""
        reach = (CAMERA_CM + depth) / (CAMERA_CM * self.px_per_cm)
        return np.column_stack([(points - self.centre) * reach[:, None], depth]).astype(np.float32)

    def project(self, points: Array) -> Array:
        """Centimetres `[K, 3]` to canvas pixels `[K, 2]`."""
        reach = self.px_per_cm * CAMERA_CM / np.maximum(CAMERA_CM + points[:, 2], 10)
        return (points[:, :2] * reach[:, None] + self.centre).astype(np.float32)

    def pose(self, points: Array, head: Array) -> Array:
        """Turn and shift `[K, 3]` with the head; `head` `[6]` is relative to the photo's pose."""
        turn = head_rotation(*(ease_turn(head[:3] + self.turn) - ease_turn(self.turn)))
        nearer = np.array([1, 1, CAMERA_CM / DISTANCE_CM], np.float32)  # z is told for a viewer at DISTANCE_CM
        return points @ turn.T + head[3:] * nearer


def ease_turn(angles: Array) -> Array:
    """Pitch, yaw, roll `[3]` radians, eased towards the limit beyond two thirds of it."""
    knee = TURN_LIMIT * 2 / 3
    rest = TURN_LIMIT - knee
    size = np.abs(angles)
    eased = knee + rest * np.tanh((size - knee) / rest)
    return np.where(size <= knee, angles, np.sign(angles) * eased).astype(np.float32)


def fit_head(canvas: Canvas, model: FaceModel) -> Head:
    """Fit the face model to the photo and lift the tracked points along their own rays to its depth."""
    fit = fit_photo(canvas.points[:, :2], model, canvas.size)
    rotation = head_rotation(*fit.head)
    basis = np.asarray(model.expression, np.float32) @ rotation.T  # [52, 478, 3]
    for eye in (0, 1):  # lids move by `close_lids`
        for name in LID_NAMES[eye]:
            basis[ARKIT_INDEX[name], eye_ring(eye)] = 0
    depth = (model.points(fit.identity, fit.expression) @ rotation.T)[:, 2]
    own, turn = np.asarray(fit.expression, np.float32), np.asarray(fit.head, np.float32)
    rig = Head(
        np.zeros((0, 3), np.float32), basis.reshape(52, -1), own, turn, float(fit.scale), np.asarray(fit.translation)
    )
    return replace(rig, rest=rig.lift(canvas.points[:, :2], depth))


def person_matte(canvas: Canvas) -> Array:
    """Where the person is, at texture size; the face itself always is."""
    texture = canvas.texture
    matte = segment_person(texture).astype(np.float32)
    if matte.shape != texture.shape[:2]:
        matte = cv2.resize(matte, texture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    face = np.zeros(texture.shape[:2], np.float32)
    cv2.fillPoly(face, [np.round(canvas.to_texture(canvas.points[OVAL, :2])).astype(np.int32)], 1.0)
    return np.maximum(matte, face)
