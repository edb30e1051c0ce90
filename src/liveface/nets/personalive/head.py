"""How a driver's head moves the reference's keypoints.

Notable choices: the keypoints' shape and scale are always the reference's; angles are the driver's own; half of the
driver's travel since its first frame is added to the reference's place. As published.

Source: PersonaLive; the extractor itself is LivePortrait's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from liveface.nets.liveportrait import motion
from liveface.nets.liveportrait.keypoints import degrees, rotation
from liveface.nets.liveportrait.size import OFFICIAL, POINTS, Size

SIDE = 256
TRAVEL = 0.5


class HeadPose(NamedTuple):
    """One or more heads.

    Attributes:
        angles: `[N, 3]` pitch, yaw and roll in degrees.
        scale: `[N, 1]`.
        shift: `[N, 3]` in halves of the picture's side, depth 0.
        shape: `[N, 21, 3]` canonical keypoints.
    """

    angles: Tensor
    scale: Tensor
    shift: Tensor
    shape: Tensor

    def keypoints(self) -> Tensor:
        """Where the keypoints stand, `[N, 21, 3]`, x and y in [-1, 1]."""
        turned = self.shape @ rotation(*self.angles.unbind(dim=1))
        return self.scale[:, :, None] * turned + self.shift[:, None]


class MotionExtractor(motion.MotionExtractor):
    """LivePortrait's extractor as PersonaLive's checkpoint holds it, with the numbers of its angle bins."""

    def __init__(self, size: Size = OFFICIAL) -> None:
        super().__init__(size)
        self.register_buffer("idx_tensor", torch.arange(size.bins, dtype=torch.float32))

    def heads(self, pictures: Tensor) -> HeadPose:
        """Pictures `[N, 3, 256, 256]` in [0, 1] to the pose of their heads."""
        raw = self(pictures)
        angles = torch.stack([degrees(logits.float()) for logits in (raw.pitch, raw.yaw, raw.roll)], dim=1)
        flat = raw.shift.float() * raw.shift.new_tensor([1, 1, 0]).float()
        return HeadPose(angles, raw.scale.float(), flat, raw.keypoints.float().unflatten(1, (POINTS, 3)))


def follow(reference: HeadPose, first: HeadPose, driver: HeadPose) -> HeadPose:
    """The reference's head (`N = 1`) as driven by `driver` `[N]`, whose first frame is `first`."""
    count = len(driver.angles)
    return HeadPose(
        driver.angles,
        reference.scale.expand(count, -1),
        reference.shift + TRAVEL * (driver.shift - first.shift),
        reference.shape.expand(count, -1, -1),
    )


def approach(reference: HeadPose, first: HeadPose, count: int) -> HeadPose:
    """The way from the reference's pose to the first driven one, in `count` even steps without the last."""
    share = torch.arange(count, dtype=torch.float32, device=reference.angles.device)[:, None] / count
    angles = reference.angles + share * (first.angles - reference.angles)
    return HeadPose(
        angles,
        *(field.expand(count, *field.shape[1:]) for field in (reference.scale, reference.shift, reference.shape)),
    )
