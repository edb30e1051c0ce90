"""From what the motion extractor says to keypoints in the picture.

Rotation matrices here are the transpose of Rz Ry Rx and stand to the right of row vectors, as the networks learned;
x right, y down, z away from the camera, the picture from -1 to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from liveface.nets.liveportrait.motion import RawMotion
from liveface.nets.liveportrait.size import POINTS

BIN_DEGREES, FIRST_DEGREES = 3.0, -97.5  # of the angle bins


class Pose(NamedTuple):
    """A face as keypoints and how they stand.

    Attributes:
        rotation: `[B, 3, 3]`, to the right of row vectors.
        expression: `[B, 21, 3]` offsets.
        scale: `[B, 1]`.
        shift: `[B, 3]`, depth 0.
        keypoints: `[B, 21, 3]` canonical: of this person, facing ahead, at rest.
    """

    rotation: Tensor
    expression: Tensor
    scale: Tensor
    shift: Tensor
    keypoints: Tensor


def degrees(logits: Tensor) -> Tensor:
    """Logits `[B, 66]` of the bins to the expected angle `[B]`."""
    bins = torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)
    return (logits.softmax(1) * bins).sum(1) * BIN_DEGREES + FIRST_DEGREES


def rotation(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """Angles in degrees, each `[B]`, to matrices `[B, 3, 3]`."""
    about = [torch.deg2rad(angle) for angle in (pitch, yaw, roll)]
    turned = torch.eye(3, dtype=pitch.dtype, device=pitch.device).expand(len(pitch), 3, 3)
    for axis, angle in enumerate(about):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        matrix = torch.zeros_like(turned)
        matrix[:, axis, axis] = 1
        matrix[:, one, one] = matrix[:, two, two] = angle.cos()
        matrix[:, two, one] = angle.sin()
        matrix[:, one, two] = -angle.sin()
        turned = matrix @ turned
    return turned.transpose(1, 2)


def pose(raw: RawMotion) -> Pose:
    """What the heads say, understood; float32 whatever the network ran in."""
    angles = [degrees(logits.float()) for logits in (raw.pitch, raw.yaw, raw.roll)]
    flat = raw.shift.float() * torch.tensor([1.0, 1.0, 0.0], device=raw.shift.device)
    return Pose(
        rotation(*angles),
        raw.expression.float().unflatten(1, (POINTS, 3)),
        raw.scale.float(),
        flat,
        raw.keypoints.float().unflatten(1, (POINTS, 3)),
    )


def place(face: Pose) -> Tensor:
    """Keypoints `[B, 21, 3]` in the picture: turned, then shaped, then scaled, then shifted."""
    formed = face.keypoints @ face.rotation + face.expression
    return face.scale[:, :, None] * formed + face.shift[:, None]
