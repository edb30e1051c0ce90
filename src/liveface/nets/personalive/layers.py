"""What the U-Nets, the autoencoder and the motion encoder are built of.

Notable choices: all are two-dimensional; frames of a clip are rows of the batch, `[B * T, C, H, W]`. Names of members
are those of Stable Diffusion's published weights.

Source: Rombach et al. 2022 (Stable Diffusion); Vaswani et al. 2017; Shazeer 2020 (gated feed-forward).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 32
HEADS = 8


def sinusoid(positions: Tensor, width: int) -> Tensor:
    """Positions or training steps `[N]` as cosines and sines of falling frequency `[N, width]`, cosines first."""
    half = width // 2
    rates = torch.exp(-math.log(10000) / half * torch.arange(half, dtype=torch.float32, device=positions.device))
    angles = positions.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Sinusoid `[N, width]` to what every residual block is told about the noise level, `[N, 4 * width]`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, 4 * width)

    def forward(self, wave: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(wave)))


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions about a sum; `time` is the width of the time embedding, 0 for none."""

    def __init__(self, inside: int, outside: int, time: int = 0, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inside, epsilon)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        if time:
            self.time_emb_proj = nn.Linear(time, outside)
        self.norm2 = nn.GroupNorm(GROUPS, outside, epsilon)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        if inside != outside:
            self.conv_shortcut = nn.Conv2d(inside, outside, 1)
        self.widens = inside != outside

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """`x` `[N, C, H, W]` and `time` `[N, D]` to `[N, C', H, W]`."""
        inner = self.conv1(F.silu(self.norm1(x)))
        if time is not None:
            inner = inner + self.time_emb_proj(F.silu(time))[:, :, None, None]
        inner = self.conv2(F.silu(self.norm2(inner)))
        return inner + (self.conv_shortcut(x) if self.widens else x)


class Downsample(nn.Module):
    """Half the size by a strided convolution; `lopsided` pads below and right only, as the autoencoder does."""

    def __init__(self, width: int, *, lopsided: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=0 if lopsided else 1)
        self.lopsided = lopsided

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.lopsided else x)


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Attention(nn.Module):
    """Attention of tokens to `source` tokens.

    Args:
        width: of the tokens.
        source: width of what is looked at; None takes `width`.
        heads: how many.
        bias: whether queries, keys and values have one.
    """

    def __init__(self, width: int, source: int | None = None, heads: int = HEADS, *, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=bias)
        self.to_k = nn.Linear(source or width, width, bias=bias)
        self.to_v = nn.Linear(source or width, width, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor, source: Tensor | None = None, shared: Tensor | None = None) -> Tensor:
        """Tokens to tokens of the same shape.

        Args:
            x: `[N, L, C]`.
            source: `[N, S, C']` what is looked at; None is `x` itself.
            shared: `[B, R, C']` further tokens, each for `N / B` rows in turn; projected once, not once a row.
        """
        seen = x if source is None else source
        keys, values = self.to_k(seen), self.to_v(seen)
        if shared is not None:
            rows = len(x) // len(shared)
            keys = torch.cat([keys, self.to_k(shared).repeat_interleave(rows, dim=0)], dim=1)
            values = torch.cat([values, self.to_v(shared).repeat_interleave(rows, dim=0)], dim=1)
        mixed = F.scaled_dot_product_attention(self._split(self.to_q(x)), self._split(keys), self._split(values))
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [N, heads, L, C / heads]


class Gated(nn.Module):
    """Linear layer of twice the width, one half gating the other by GELU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Two layers for each token alone, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([Gated(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


def to_tokens(x: Tensor) -> Tensor:
    """`[N, C, H, W]` to `[N, H * W, C]`."""
    return x.flatten(2).transpose(1, 2)


def to_picture(tokens: Tensor, like: Tensor) -> Tensor:
    """`[N, H * W, C]` back to `[N, C, H, W]`, of the height and width of `like`."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[-2:])
