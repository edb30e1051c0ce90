"""W: the appearance volume of the source, moved to the driving keypoints. 45.5 M numbers in its official size.

Notable choices: the sampling grid is built so that its ends are the centres of the border cells, and read so that they
are the borders themselves, as the checkpoint was trained (`align_corners` differs between the two).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.liveportrait.appearance import Layer
from liveface.nets.liveportrait.size import OFFICIAL, POINTS, Size

HEATMAP_VARIANCE = 0.01  # of the Gaussian around a keypoint; the picture is [-1, 1] wide
LEAK = 0.01  # slope below zero of the layer after sampling


class Warped(NamedTuple):
    """What warping gives.

    Attributes:
        feature: `[B, 4 * base, G, G]`, hidden parts already dimmed.
        occlusion: `[B, 1, G, G]`, 0 hidden to 1 seen.
        deformation: `[B, D, G, G, 3]` where each cell is read from, x, y, z in [-1, 1].
        mask: `[B, 22, D, G, G]` the share of each candidate flow; the first is no motion.
    """

    feature: Tensor
    occlusion: Tensor
    deformation: Tensor
    mask: Tensor


class Layer3d(nn.Module):
    """Convolution, batch norm, rectifier over a volume `[B, C, D, H, W]`."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(ins, outs, 3, padding=1)
        self.norm = nn.BatchNorm3d(outs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Encoder(nn.Module):
    """Halves height and width at each level; keeps what it passes."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(Layer3d(one, two) for one, two in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        kept = [x]
        for block in self.down_blocks:
            kept.append(F.avg_pool3d(block(kept[-1]), (1, 2, 2)))
        return kept


class Decoder(nn.Module):
    """Doubles height and width at each level and takes up what the encoder kept."""

    def __init__(self, widths: list[int], base: int) -> None:
        super().__init__()
        narrowing = [base, *widths[1:]][::-1]
        self.up_blocks = nn.ModuleList(
            Layer3d(one if at == 0 else 2 * one, two) for at, (one, two) in enumerate(itertools.pairwise(narrowing))
        )
        self.width = base + widths[0]
        self.conv = nn.Conv3d(self.width, self.width, 3, padding=1)
        self.norm = nn.BatchNorm3d(self.width)

    def forward(self, kept: list[Tensor]) -> Tensor:
        x = kept[-1]
        for block, skip in zip(self.up_blocks, kept[-2::-1], strict=True):
            x = torch.cat([block(F.interpolate(x, scale_factor=(1, 2, 2))), skip], 1)
        return F.relu(self.norm(self.conv(x)))


class Hourglass(nn.Module):
    """A U-Net over a volume that never shrinks in depth: `[B, I, D, H, W]` to `[B, base + I, D, H, W]`."""

    def __init__(self, ins: int, base: int, widest: int, levels: int) -> None:
        super().__init__()
        widths = [ins, *(min(widest, base * 2**level) for level in range(1, levels + 1))]
        self.encoder = Encoder(widths)
        self.decoder = Decoder(widths, base)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def grid_points(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """Coordinates `[D, H, W, 3]` of the cells, x, y, z from -1 (first cell) to 1 (last cell)."""
    z, y, x = (2 * torch.arange(count, dtype=like.dtype, device=like.device) / (count - 1) - 1
               for count in (depth, height, width))  # fmt: skip
    grid = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack(grid[::-1], -1)


def heatmaps(points: Tensor, grid: Tensor) -> Tensor:
    """`[B, N, 3]` keypoints and the grid `[D, H, W, 3]` to `[B, N, D, H, W]`, 1 at the point."""
    away = grid - points[:, :, None, None, None]
    return torch.exp(-0.5 * away.square().sum(-1) / HEATMAP_VARIANCE)


class DenseMotion(nn.Module):
    """Where each cell of the moved volume is read from: a mixture of one shift a keypoint, and of no motion."""

    def __init__(self, size: Size = OFFICIAL) -> None:
        super().__init__()
        flows = POINTS + 1
        self.hourglass = Hourglass(
            flows * (size.compressed + 1), size.motion_base, size.motion_widest, size.motion_levels
        )
        width = self.hourglass.decoder.width
        self.mask = nn.Conv3d(width, flows, 7, padding=3)
        self.compress = nn.Conv3d(size.channels, size.compressed, 1)
        self.norm = nn.BatchNorm3d(size.compressed)
        self.occlusion = nn.Conv2d(width * size.depth, 1, 7, padding=3)

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Deformation, occlusion and mask, as in `Warped`."""
        batch, _, depth, height, width = volume.shape
        grid = grid_points(depth, height, width, volume)
        shifts = (source - driving)[:, :, None, None, None]  # [B, N, 1, 1, 1, 3]
        still = grid.expand(batch, 1, *grid.shape)
        flows = torch.cat([still, grid + shifts], 1)  # [B, 1 + N, D, H, W, 3]
        seen = F.relu(self.norm(self.compress(volume)))
        repeated = seen[:, None].expand(-1, flows.shape[1], *seen.shape[1:])
        moved = F.grid_sample(repeated.flatten(0, 1), flows.flatten(0, 1), align_corners=False)
        heat = heatmaps(driving, grid) - heatmaps(source, grid)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], 1)[:, :, None]
        joined = torch.cat([heat, moved.unflatten(0, (batch, -1))], 2)  # [B, 1 + N, 1 + C, D, H, W]
        understood = self.hourglass(joined.flatten(1, 2))
        mask = self.mask(understood).softmax(1)
        deformation = (mask[..., None] * flows).sum(1)
        return deformation, torch.sigmoid(self.occlusion(understood.flatten(1, 2))), mask


class Warping(nn.Module):
    """The source's volume as seen at the driving keypoints, flattened."""

    def __init__(self, size: Size = OFFICIAL) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion(size)
        self.third = Layer(size.channels * size.depth, size.warped, slope=LEAK)
        self.fourth = nn.Conv2d(size.warped, size.warped, 1)

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor) -> Warped:
        """Volume `[B, C, D, G, G]`, source and driving keypoints `[B, 21, 3]`."""
        deformation, occlusion, mask = self.dense_motion_network(volume, source, driving)
        sampled = F.grid_sample(volume, deformation, align_corners=False)
        feature = self.fourth(self.third(sampled.flatten(1, 2)))
        return Warped(feature * occlusion, occlusion, deformation, mask)
