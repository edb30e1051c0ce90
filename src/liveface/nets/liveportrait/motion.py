"""M: head pose, expression and canonical keypoints of a face, by a ConvNeXt V2. 28.1 M numbers in its official size.

Source: Woo and others 2023 (ConvNeXt V2, arXiv 2301.00808) for the trunk.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.liveportrait.size import OFFICIAL, POINTS, Size

NORM_EPSILON = 1e-6  # of every layer norm here, and of the response norm; as the checkpoint was trained


class RawMotion(NamedTuple):
    """What the heads say.

    Attributes:
        pitch, yaw, roll: `[B, 66]` logits of the angle's bin.
        shift: `[B, 3]` translation, the picture is [-1, 1] wide; depth is never used.
        expression: `[B, 63]` offsets of the 21 keypoints.
        scale: `[B, 1]`.
        keypoints: `[B, 63]` canonical keypoints of the person.
    """

    pitch: Tensor
    yaw: Tensor
    roll: Tensor
    shift: Tensor
    expression: Tensor
    scale: Tensor
    keypoints: Tensor


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of `[B, C, H, W]`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """Global response normalisation of `[B, H, W, C]`: channels compete by their size over the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        length = x.norm(dim=(1, 2), keepdim=True)
        share = length / (length.mean(-1, keepdim=True) + NORM_EPSILON)
        return self.gamma * (x * share) + self.beta + x


class Block(nn.Module):
    """A wide depthwise convolution, then two layers over the channels; residual, `[B, C, H, W]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, NORM_EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))  # [B, H, W, C]
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        return x + y.permute(0, 3, 1, 2)


class Trunk(nn.Module):
    """ConvNeXt V2 with seven heads."""

    def __init__(self, size: Size = OFFICIAL) -> None:
        super().__init__()
        widths = size.widths
        self.downsample_layers = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), ChannelNorm(widths[0], NORM_EPSILON))]
        )
        for one, two in itertools.pairwise(widths):
            self.downsample_layers.append(
                nn.Sequential(ChannelNorm(one, NORM_EPSILON), nn.Conv2d(one, two, 2, stride=2))
            )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths, size.depths, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], NORM_EPSILON)
        self.fc_kp = nn.Linear(widths[-1], 3 * POINTS)
        self.fc_scale = nn.Linear(widths[-1], 1)
        self.fc_pitch = nn.Linear(widths[-1], size.bins)
        self.fc_yaw = nn.Linear(widths[-1], size.bins)
        self.fc_roll = nn.Linear(widths[-1], size.bins)
        self.fc_t = nn.Linear(widths[-1], 3)
        self.fc_exp = nn.Linear(widths[-1], 3 * POINTS)

    def forward(self, picture: Tensor) -> RawMotion:
        x = picture
        for shrink, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(shrink(x))
        code = self.norm(x.mean((2, 3)))  # the norm follows the average
        return RawMotion(
            self.fc_pitch(code),
            self.fc_yaw(code),
            self.fc_roll(code),
            self.fc_t(code),
            self.fc_exp(code),
            self.fc_scale(code),
            self.fc_kp(code),
        )


class MotionExtractor(nn.Module):
    """A picture to the pose, expression and shape of its face."""

    def __init__(self, size: Size = OFFICIAL) -> None:
        super().__init__()
        self.detector = Trunk(size)

    def forward(self, picture: Tensor) -> RawMotion:
        """`[B, 3, S, S]` RGB in [0, 1] to what the heads say."""
        return self.detector(picture)
