"""F: what a face looks like, as a volume of features. 0.84 M numbers in its official size."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.liveportrait.size import OFFICIAL, Size


class Layer(nn.Module):
    """Convolution, batch norm, a rectifier; with `half`, then an average of 2x2."""

    def __init__(self, ins: int, outs: int, *, half: bool = False, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outs)
        self._half = half
        self._slope = slope

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.conv(x)), self._slope)
        return F.avg_pool2d(x, 2) if self._half else x


class Residual3d(nn.Module):
    """Norm, rectifier and convolution, twice, added to what came in; `[B, C, D, H, W]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class AppearanceExtractor(nn.Module):
    """A picture to a volume of its features."""

    def __init__(self, size: Size = OFFICIAL) -> None:
        super().__init__()
        self.size = size
        widths = [min(size.widest, size.base * 2**level) for level in range(3)]
        self.first = Layer(3, widths[0])
        self.down_blocks = nn.ModuleList(Layer(one, two, half=True) for one, two in itertools.pairwise(widths))
        self.second = nn.Conv2d(widths[-1], size.channels * size.depth, 1)
        self.resblocks_3d = nn.Sequential()
        for at in range(size.residuals):
            self.resblocks_3d.add_module(f"3dr{at}", Residual3d(size.channels))

    def forward(self, picture: Tensor) -> Tensor:
        """`[B, 3, S, S]` RGB in [0, 1] to `[B, C, D, S/4, S/4]`."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)  # [B, C * D, H, W]
        return self.resblocks_3d(x.unflatten(1, (self.size.channels, self.size.depth)))
