"""The mouth-interior network: it paints what lies between the lips on an aligned patch.

Notable choices: the input carries two exemplar textures, one locked to the skull (upper teeth) and one locked to the
jaw (lower teeth), so that teeth keep their place and their identity from frame to frame and the network only lights,
occludes and completes them; a U-Net on the half-resolution grid without normalisation; ReLU only, channels in
multiples of 16, strides as 2x2 convolutions, no sigmoid at the head, the pixel shuffle left to the caller (source: the
project's measurements of LiteRT: these choices decide INT8 speed and loss; nearest resizing falls out of XNNPACK).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH_WIDTH, PATCH_HEIGHT = 112, 64
INPUT_CHANNELS = 16
"""RGB with the hole filled (3), hole (1), skull-locked exemplar RGB and mask (4), jaw-locked exemplar RGB and mask
(4), skull- and jaw-locked hint of an average row of teeth (2), x and y from the nose base in eye distances (2)."""


@dataclass(frozen=True, slots=True)
class MouthConfig:
    """Sizes of the network.

    Attributes:
        channels: width at 1/2, 1/4, 1/8 and 1/16 of the patch.
        blocks: residual blocks at each of these levels, on the way down (the last once) and on the way up.
    """

    channels: tuple[int, ...] = (32, 48, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 1, 2)


class Residual(nn.Module):
    """Two 3x3 convolutions around an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class MouthNet(nn.Module):
    """`[B, 16, 64, 112]` to `[B, 12, 32, 56]`, the picture as a 2x2 grid of RGB; see `unfold`."""

    def __init__(self, config: MouthConfig | None = None) -> None:
        super().__init__()
        self.config = config or MouthConfig()
        channels, blocks = self.config.channels, self.config.blocks
        self.stem = nn.Conv2d(INPUT_CHANNELS, channels[0], 2, stride=2)
        self.down = nn.ModuleList()
        self.narrow = nn.ModuleList()
        for width, after, count in zip(channels[:-1], channels[1:], blocks[:-1], strict=True):
            self.down.append(nn.Sequential(*[Residual(width) for _ in range(count)]))
            self.narrow.append(nn.Conv2d(width, after, 2, stride=2))
        self.bottom = nn.Sequential(*[Residual(channels[-1]) for _ in range(blocks[-1])])
        self.widen = nn.ModuleList()
        self.up = nn.ModuleList()
        for width, before, count in zip(channels[-2::-1], channels[:0:-1], blocks[-2::-1], strict=True):
            self.widen.append(nn.ConvTranspose2d(before, width, 2, stride=2))
            self.up.append(nn.Sequential(*[Residual(width) for _ in range(count)]))
        self.head = nn.Conv2d(channels[0], 12, 3, padding=1)
        for convolution in (self.stem, *self.narrow):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # type: ignore[union-attr, arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))  # [B, C0, 32, 56]
        kept: list[Tensor] = []
        for level, narrow in zip(self.down, self.narrow, strict=True):
            x = level(x)
            kept.append(x)
            x = F.relu(narrow(x))
        x = self.bottom(x)
        for widen, level in zip(self.widen, self.up, strict=True):
            x = level(F.relu(widen(x) + kept.pop()))
        return self.head(x)


class MouthCritic(nn.Module):
    """Judges patches: `[B, 6, H, W]` (RGB, hole, two hint rows) to scores `[B, 1, H/8, W/8]` and its features."""

    def __init__(self, widths: tuple[int, ...] = (32, 48, 64)) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        before = 6
        for width in widths:
            self.layers.append(nn.Conv2d(before, width, 4, stride=2, padding=1))
            before = width
        self.layers.append(nn.Conv2d(before, before, 3, padding=1))
        self.head = nn.Conv2d(before, 1, 3, padding=1)
        for layer in (*self.layers, self.head):
            nn.init.kaiming_normal_(layer.weight, a=0.2)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.head(x), features


def unfold(grid: Tensor) -> Tensor:
    """`[B, 12, H, W]`, channels ordered (row, column, RGB), to the picture `[B, 3, 2H, 2W]`."""
    batch, _, height, width = grid.shape
    picture = grid.reshape(batch, 2, 2, 3, height, width).permute(0, 3, 4, 1, 5, 2)
    return picture.reshape(batch, 3, 2 * height, 2 * width)


class ForExport(nn.Module):
    """The network with pictures as `[B, H, W, C]` on both sides, as the run time calls it."""

    def __init__(self, network: MouthNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def multiply_accumulates(config: MouthConfig) -> int:
    """Multiply-accumulate operations of one patch, counted on the convolutions."""
    network, total = MouthNet(config), 0

    def count(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose2d):
            total += given[0][0].numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, INPUT_CHANNELS, PATCH_HEIGHT, PATCH_WIDTH))
    return total
