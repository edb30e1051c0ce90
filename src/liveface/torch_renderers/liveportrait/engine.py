"""LivePortrait's networks at work: a crop becomes a volume and a pose, keypoints become a picture."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from liveface.types import Pixels


def picture_of(image: Tensor) -> Pixels:
    """`[1, 3, H, W]` in [0, 1] to uint8 `[H, W, 3]`; cut off, not rounded, as the official program does."""
    values = image[0].float().clamp(0, 1).permute(1, 2, 0).mul(255)
    return np.asarray(values.byte().cpu().numpy(), np.uint8)
