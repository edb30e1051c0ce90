"""The expression of a face crop as 32 tokens: an hourglass network of face alignment with three patch attentions.

Notable choices: the published network's quirks are kept, because its weights were trained with them: batch
normalisations of the two widening blocks have another epsilon, and the answer carries a fixed table of sinusoids.

Source: PersonaLive; Bulat and Tzimiropoulos 2017 (face alignment network).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.personalive.layers import Attention, FeedForward
from liveface.nets.personalive.modules import MOTION_TOKENS, MOTION_WIDTH

SIDE = 224
PATCH_WIDTH = 1024


class ConvBlock(nn.Module):
    """Three convolutions whose answers are laid side by side: a half, a quarter and a quarter of the channels."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        half, quarter = outside // 2, outside // 4
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.widens = inside != outside
        if self.widens:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(inside, eps=1e-4), nn.ReLU(), nn.Conv2d(inside, outside, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        one = self.conv1(F.relu(self.bn1(x)))
        two = self.conv2(F.relu(self.bn2(one)))
        three = self.conv3(F.relu(self.bn3(two)))
        return torch.cat([one, two, three], dim=1) + (self.downsample(x) if self.widens else x)


class Hourglass(nn.Module):
    """Four times half the size and back, with a bridge on every level; level 4 is the finest."""

    def __init__(self, width: int, depth: int = 4) -> None:
        super().__init__()
        self.depth = depth
        for level in range(depth, 0, -1):
            for name in ("b1", "b2", *(["b2_plus"] if level == 1 else []), "b3"):
                self.add_module(f"{name}_{level}", ConvBlock(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self._level(x, self.depth)

    def _level(self, x: Tensor, level: int) -> Tensor:
        low = self.get_submodule(f"b2_{level}")(F.max_pool2d(x, 2))
        low = self._level(low, level - 1) if level > 1 else self.get_submodule("b2_plus_1")(low)
        low = self.get_submodule(f"b3_{level}")(low)
        back = F.interpolate(low, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.get_submodule(f"b1_{level}")(x) + back


class PatchEmbedding(nn.Module):
    """Patches as tokens, each with sinusoids of its column and row, which no file holds."""

    def __init__(self, inside: int, patch: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.proj = nn.Conv2d(inside, PATCH_WIDTH, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.proj(x).flatten(2).transpose(1, 2)
        return tokens + plane_sinusoids(self.grid, PATCH_WIDTH, x.device).to(tokens.dtype)


class PatchBlock(nn.Module):
    """One self-attention and one feed-forward."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([Attention(width)])
        self.norms = nn.ModuleList([nn.LayerNorm(width)])
        self.ff = FeedForward(width)
        self.ff_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention_blocks[0](self.norms[0](x))
        return x + self.ff(self.ff_norm(x))


class PatchAttention(nn.Module):
    """Self-attention over the patches of one picture, about a sum."""

    def __init__(self, width: int, patch: int, side: int) -> None:
        super().__init__()
        self.patch, self.grid = patch, side // patch
        self.norm = nn.GroupNorm(32, width, 1e-6)
        self.transformer_blocks = nn.ModuleList([PatchBlock(PATCH_WIDTH)])
        self.proj_out = nn.Linear(PATCH_WIDTH // patch**2, width)
        self.pos_embed = PatchEmbedding(width, patch, self.grid)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.transformer_blocks[0](self.pos_embed(self.norm(x)))
        parts = tokens.unflatten(2, (self.patch, self.patch, -1)).unflatten(1, (self.grid, self.grid))
        picture = self.proj_out(parts.transpose(2, 3).flatten(3, 4).flatten(1, 2))  # [N, H, W, C]
        return x + picture.permute(0, 3, 1, 2)


class FaceNet(nn.Module):
    """A face crop `[N, 3, 224, 224]` to 512 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = ConvBlock(64, 128)
        self.conv3 = ConvBlock(128, 128)
        self.conv4 = ConvBlock(128, 256)
        self.m0 = Hourglass(256)
        self.top_m_0 = ConvBlock(256, 256)
        self.conv_last0 = nn.Conv2d(256, 256, 1)
        self.l0 = nn.Conv2d(256, 68, 1)
        self.bn_end0 = nn.BatchNorm2d(256)
        self.conv6 = nn.Conv2d(68, 1, 3, stride=2, padding=1)
        self.fc = nn.Linear((SIDE // 8) ** 2, 512)
        self.bn5 = nn.BatchNorm2d(68)
        self.att_1 = PatchAttention(128, 4, SIDE // 2)
        self.att_2 = PatchAttention(256, 2, SIDE // 4)
        self.att_3 = PatchAttention(256, 2, SIDE // 4)

    def forward(self, faces: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(faces)))
        x = F.max_pool2d(self.att_1(self.conv2(x)), 2)
        x = self.att_2(self.conv4(self.conv3(x)))
        x = self.bn_end0(self.conv_last0(self.top_m_0(self.m0(x))))
        marks = self.l0(F.relu(self.att_3(x)))
        return self.fc(F.relu(self.conv6(F.relu(self.bn5(marks)))).flatten(1))


class MotionEncoder(nn.Module):
    """Face crops `[N, 3, 224, 224]` in [-1, 1] to motion tokens `[N, 32, 16]`."""

    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pe", line_sinusoids(torch.arange(MOTION_TOKENS), MOTION_WIDTH)[None])
        self.model = FaceNet()
        self.final_proj = nn.Linear(512, MOTION_TOKENS * MOTION_WIDTH)

    def forward(self, faces: Tensor) -> Tensor:
        return self.final_proj(self.model(faces)).unflatten(1, (MOTION_TOKENS, MOTION_WIDTH)) + self.pe


def line_sinusoids(places: Tensor, width: int) -> Tensor:
    """Places `[N]` as `[N, width]`: sines of falling frequency, then cosines."""
    half = width // 2
    rates = 1 / 10000 ** (torch.arange(half, dtype=torch.float64) / half)
    angles = places.double().reshape(-1)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


@lru_cache(maxsize=8)
def plane_sinusoids(grid: int, width: int, device: torch.device) -> Tensor:
    """Places of a square grid as `[grid * grid, width]`: the column's half, then the row's."""
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    table = torch.cat([line_sinusoids(columns, width // 2), line_sinusoids(rows, width // 2)], dim=1)
    return table.to(device)
