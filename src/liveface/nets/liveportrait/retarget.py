"""The three small networks that correct keypoints: stitching, lips, eyes. 0.23 M numbers together."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from liveface.nets.liveportrait.size import POINTS

EYE, LIP, STITCH = "retarget_eye", "retarget_mouth", "retarget_shoulder"
"""Names in the official file."""


class Corrector(nn.Module):
    """Fully connected layers with rectifiers between them."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for one, two in itertools.pairwise(widths):
            layers += [nn.Linear(one, two), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class Correctors(nn.ModuleDict):
    """All three, under their names in the official file."""

    def __init__(self) -> None:
        points = 3 * POINTS
        super().__init__(
            {
                STITCH: Corrector(2 * points, 128, 128, 64, points + 2),
                LIP: Corrector(points + 2, 128, 128, 64, points),
                EYE: Corrector(points + 3, 256, 256, 128, 128, 64, points),
            }
        )

    def stitch(self, source: Tensor, driving: Tensor) -> Tensor:
        """Driving keypoints moved so that the shoulders stay: both `[B, 21, 3]`, result likewise."""
        told = self[STITCH](torch.cat([source.flatten(1), driving.flatten(1)], 1))
        moved = driving + told[:, :-2].unflatten(1, (POINTS, 3))
        return torch.cat([moved[..., :2] + told[:, None, -2:], moved[..., 2:]], -1)

    def eyes(self, source: Tensor, ratios: Tensor) -> Tensor:
        """Offsets `[B, 21, 3]` that open the eyes: `ratios` `[B, 3]`, those of the source's two eyes and the wanted."""
        return self[EYE](torch.cat([source.flatten(1), ratios], 1)).unflatten(1, (POINTS, 3))

    def lips(self, source: Tensor, ratios: Tensor) -> Tensor:
        """Offsets `[B, 21, 3]` that open the lips: `ratios` `[B, 2]`, the source's and the wanted."""
        return self[LIP](torch.cat([source.flatten(1), ratios], 1)).unflatten(1, (POINTS, 3))
