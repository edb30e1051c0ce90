"""The three kinds of attention at a site of the U-Nets: to the reference, to the motion tokens, to the window's frames.

Source: PersonaLive (see the package); Guo et al. 2024 (AnimateDiff) for attention over time at each place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from liveface.nets.personalive.layers import GROUPS, HEADS, Attention, FeedForward, to_picture, to_tokens

MOTION_WIDTH = 16
MOTION_TOKENS = 32
POSITIONS = 32
"""Longest window that attention over time knows positions for."""


class ReferenceBlock(nn.Module):
    """Attention to one's own tokens and the reference's, then to the picture's embedding, then a feed-forward."""

    def __init__(self, width: int, cross: int, heads: int = HEADS) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads=heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, cross, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, picture: Tensor, bank: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens `[N, L, C]` and the embedding `[N, E, D]` to tokens and what a bank keeps of them, `[N, L, C]`."""
        kept = self.norm1(x)
        x = x + self.attn1(kept, shared=bank)
        x = x + self.attn2(self.norm2(x), picture)
        return x + self.ff(self.norm3(x)), kept


class ReferenceAttention(nn.Module):
    """A site that looks at a reference: `attentions.N` of the checkpoints."""

    def __init__(self, width: int, cross: int, heads: int = HEADS) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, 1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([ReferenceBlock(width, cross, heads)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, picture: Tensor, bank: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`x` `[N, C, H, W]` to the same shape, and what a bank keeps, `[N, H * W, C]`."""
        inner = self.proj_in(self.norm(x))
        tokens, kept = self.transformer_blocks[0](to_tokens(inner), picture, bank)
        return x + self.proj_out(to_picture(tokens, x)), kept


class PositionTable(nn.Module):
    """Sinusoids of the place in the window, added to the tokens; in the checkpoints as `pos_encoder.pe`."""

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, width, 2) * (-torch.log(torch.tensor(10000.0)) / width))
        angles = torch.arange(POSITIONS)[:, None] * rates
        self.register_buffer("pe", torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[None])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


class MotionAttention(Attention):
    """Attention of a frame's places to that frame's motion tokens."""

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__(width, MOTION_WIDTH, heads)


class TimeAttention(Attention):
    """Attention of one place to itself in all frames of the window."""

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__(width, heads=heads)
        self.pos_encoder = PositionTable(width)

    def forward(self, x: Tensor, source: Tensor | None = None, shared: Tensor | None = None) -> Tensor:
        return super().forward(self.pos_encoder(x), source, shared)


Kind = type[MotionAttention] | type[TimeAttention]


class TwiceBlock(nn.Module):
    """Two attentions of one kind and a feed-forward."""

    def __init__(self, kind: Kind, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([kind(width, heads) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.ff = FeedForward(width)
        self.ff_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            x = x + attention(norm(x), source)
        return x + self.ff(self.ff_norm(x))


class TwiceTransformer(nn.Module):
    """Normalisation, projection, one `TwiceBlock` and a projection that starts at zero."""

    def __init__(self, kind: Kind, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, 1e-6)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([TwiceBlock(kind, width, heads)])
        self.proj_out = nn.Linear(width, width)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)


class MotionModule(nn.Module):
    """Expression enters: every place of a frame looks at the frame's motion tokens. The key is the checkpoints'."""

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.temporal_transformer = TwiceTransformer(MotionAttention, width, heads)

    def forward(self, x: Tensor, motion: Tensor) -> Tensor:
        """`x` `[B * T, C, H, W]` and motion tokens `[B * T, 32, 16]` to the shape of `x`."""
        inner = self.temporal_transformer
        tokens = inner.transformer_blocks[0](inner.proj_in(to_tokens(inner.norm(x))), motion)
        return x + to_picture(inner.proj_out(tokens), x)


class TemporalModule(nn.Module):
    """Frames agree: every place looks at itself in all frames of the window."""

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.temporal_transformer = TwiceTransformer(TimeAttention, width, heads)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`x` `[B * T, C, H, W]` of clips of `frames` to the same shape."""
        inner = self.temporal_transformer
        tokens = inner.proj_in(to_tokens(inner.norm(x))).unflatten(0, (-1, frames))  # [B, T, H * W, C]
        shape = tokens.shape
        lines = tokens.transpose(1, 2).flatten(0, 1)  # [B * H * W, T, C]
        lines = inner.transformer_blocks[0](lines).unflatten(0, (shape[0], shape[2]))
        return x + to_picture(inner.proj_out(lines.transpose(1, 2).flatten(0, 1)), x)
