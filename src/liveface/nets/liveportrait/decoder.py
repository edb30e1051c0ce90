"""G: the warped feature becomes a picture, by SPADE blocks. 55.4 M numbers in its official size.

Source: Park and others 2019 (SPADE, arXiv 1903.07291). Notable choices: spectral norm is its stored form, a weight with
two singular vectors that are used as they are; no step of power iteration is made.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.liveportrait.size import OFFICIAL, Size

LEAK = 0.2


class SpectralConv(nn.Module):
    """A convolution whose weight is divided by its largest singular value, told by the stored vectors."""

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, ins: int, outs: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        first = nn.Conv2d(ins, outs, kernel, bias=bias)
        self.weight_orig = nn.Parameter(first.weight.detach())
        self.bias = first.bias
        u = F.normalize(torch.ones(outs), dim=0)
        self.register_buffer("weight_u", u)
        self.register_buffer("weight_v", F.normalize(self.weight_orig.detach().flatten(1).T @ u, dim=0))
        self._pad = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        largest = self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v)
        return F.conv2d(x, self.weight_orig / largest, self.bias, padding=self._pad)


class Spade(nn.Module):
    """Normalises a feature and gives it the contrast and brightness that the warped feature asks for."""

    def __init__(self, channels: int, told_by: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(told_by, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        shared = self.mlp_shared(F.interpolate(told, size=x.shape[2:], mode="nearest"))
        return F.instance_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SpadeBlock(nn.Module):
    """Two convolutions with SPADE before each, and a way around them."""

    def __init__(self, ins: int, outs: int, told_by: int, hidden: int) -> None:
        super().__init__()
        self.conv_0 = SpectralConv(ins, min(ins, outs), 3)
        self.conv_1 = SpectralConv(min(ins, outs), outs, 3)
        self.norm_0 = Spade(ins, told_by, hidden)
        self.norm_1 = Spade(min(ins, outs), told_by, hidden)
        self.conv_s = SpectralConv(ins, outs, 1, bias=False) if ins != outs else None
        self.norm_s = Spade(ins, told_by, hidden) if ins != outs else None

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        around = x if self.conv_s is None or self.norm_s is None else self.conv_s(self.norm_s(x, told))
        y = self.conv_0(F.leaky_relu(self.norm_0(x, told), LEAK))
        return around + self.conv_1(F.leaky_relu(self.norm_1(y, told), LEAK))


class SpadeDecoder(nn.Module):
    """The warped feature `[B, 4 * base, G, G]` to a picture `[B, 3, 8 * G, 8 * G]`, RGB in [0, 1]."""

    def __init__(self, size: Size = OFFICIAL) -> None:
        super().__init__()
        told, wide = size.warped, 2 * size.warped
        self.fc = nn.Conv2d(told, wide, 3, padding=1)
        self._middle = size.middle
        for at in range(size.middle):
            self.add_module(f"G_middle_{at}", SpadeBlock(wide, wide, told, size.spade))
        self.up_0 = SpadeBlock(wide, told, told, size.spade)
        self.up_1 = SpadeBlock(told, size.base, told, size.spade)
        self.conv_img = nn.Sequential(nn.Conv2d(size.base, 3 * 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, feature: Tensor) -> Tensor:
        x = self.fc(feature)
        for at in range(self._middle):
            x = self.get_submodule(f"G_middle_{at}")(x, feature)
        x = self.up_0(F.interpolate(x, scale_factor=2), feature)
        x = self.up_1(F.interpolate(x, scale_factor=2), feature)
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, LEAK)))
