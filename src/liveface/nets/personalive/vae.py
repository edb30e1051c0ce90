"""Pictures to latents and back: Stable Diffusion's autoencoder, and a tiny one of convolutions and ReLU alone.

Source: Rombach et al. 2022; Bohan 2023 (TAESD, MIT) for the tiny one's layout. Names as in the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.personalive.layers import (
    GROUPS,
    Attention,
    Downsample,
    ResnetBlock,
    Upsample,
    to_picture,
    to_tokens,
)

SCALE = 0.18215
"""Latents times this are about as wide as the noise."""
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What older files call the layers of the middle attention."""


@dataclass(frozen=True, slots=True)
class VaeSize:
    """Sizes of the autoencoder: channels on the four levels, residual blocks a level, channels of the latents."""

    widths: tuple[int, int, int, int] = (128, 256, 512, 512)
    layers: int = 2
    latent: int = 4


class Gaussian(NamedTuple):
    """What the encoder says: `mean` and `logvar`, `[B, 4, h, w]`."""

    mean: Tensor
    logvar: Tensor


class PlaneAttention(Attention):
    """One head over all places of a picture, with its normalisation and sum."""

    def __init__(self, width: int) -> None:
        super().__init__(width, heads=1, bias=True)
        self.group_norm = nn.GroupNorm(GROUPS, width, 1e-6)

    def forward(self, x: Tensor, source: Tensor | None = None, shared: Tensor | None = None) -> Tensor:
        return x + to_picture(super().forward(to_tokens(self.group_norm(x)), source, shared), x)


class Level(nn.Module):
    """Residual blocks, then a change of size or none."""

    def __init__(self, inside: int, outside: int, layers: int, change: str = "") -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            [ResnetBlock(outside if layer else inside, outside, epsilon=1e-6) for layer in range(layers)]
        )
        if change == "down":
            self.downsamplers = nn.ModuleList([Downsample(outside, lopsided=True)])
        if change == "up":
            self.upsamplers = nn.ModuleList([Upsample(outside)])
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        if self.change:
            x = (self.downsamplers if self.change == "down" else self.upsamplers)[0](x)
        return x


class Middle(nn.Module):
    """Two residual blocks about one attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([PlaneAttention(width)])
        self.resnets = nn.ModuleList([ResnetBlock(width, width, epsilon=1e-6) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Encoder(nn.Module):
    """Picture to the numbers of a Gaussian."""

    def __init__(self, size: VaeSize) -> None:
        super().__init__()
        widths, last = size.widths, len(size.widths) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            [
                Level(widths[max(level - 1, 0)], width, size.layers, "" if level == last else "down")
                for level, width in enumerate(widths)
            ]
        )
        self.mid_block = Middle(widths[-1])
        self.conv_norm_out = nn.GroupNorm(GROUPS, widths[-1], 1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * size.latent, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Latents to a picture."""

    def __init__(self, size: VaeSize) -> None:
        super().__init__()
        widths, last = size.widths[::-1], len(size.widths) - 1
        self.conv_in = nn.Conv2d(size.latent, widths[0], 3, padding=1)
        self.up_blocks = nn.ModuleList(
            [
                Level(widths[max(level - 1, 0)], width, size.layers + 1, "" if level == last else "up")
                for level, width in enumerate(widths)
            ]
        )
        self.mid_block = Middle(widths[0])
        self.conv_norm_out = nn.GroupNorm(GROUPS, widths[-1], 1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Vae(nn.Module):
    """Stable Diffusion's autoencoder; pictures are in [-1, 1] and eight times as large as latents."""

    def __init__(self, size: VaeSize | None = None) -> None:
        super().__init__()
        size = size or VaeSize()
        self.encoder, self.decoder = Encoder(size), Decoder(size)
        self.quant_conv = nn.Conv2d(2 * size.latent, 2 * size.latent, 1)
        self.post_quant_conv = nn.Conv2d(size.latent, size.latent, 1)

    def distribution(self, pictures: Tensor) -> Gaussian:
        """`[B, 3, H, W]` to what latents may be."""
        mean, logvar = self.quant_conv(self.encoder(pictures)).chunk(2, dim=1)
        return Gaussian(mean, logvar.clamp(-30, 20))

    def encode(self, pictures: Tensor) -> Tensor:
        """`[B, 3, H, W]` to the likeliest latents `[B, 4, H / 8, W / 8]`, scaled for the U-Nets."""
        return self.distribution(pictures).mean * SCALE

    def decode(self, latents: Tensor) -> Tensor:
        """Latents of the U-Nets `[B, 4, h, w]` to pictures `[B, 3, 8 h, 8 w]`, not clamped."""
        return self.decoder(self.post_quant_conv(latents / SCALE))


class TinyBlock(nn.Module):
    """Three convolutions about a sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.conv = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class TinyCoder(nn.Module):
    """A list of layers called `layers`, one after the other."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TinyVae(nn.Module):
    """The tiny autoencoder: the same latents at a fraction of the cost, or own ones when trained by us.

    Args:
        width: channels throughout; 64 in the published weights.
        blocks: residual blocks on the four levels, finest first.
        latent: channels of the latents.
    """

    def __init__(self, width: int = 64, blocks: tuple[int, int, int, int] = (1, 3, 3, 3), latent: int = 4) -> None:
        super().__init__()
        down: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        for level, count in enumerate(blocks):
            if level:
                down.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            down += [TinyBlock(width) for _ in range(count)]
        self.encoder = TinyCoder([*down, nn.Conv2d(width, latent, 3, padding=1)])
        up: list[nn.Module] = [nn.Conv2d(latent, width, 3, padding=1), nn.ReLU()]
        for level, count in enumerate(reversed(blocks)):
            last = level == len(blocks) - 1
            up += [TinyBlock(width) for _ in range(count)]
            up += [] if last else [nn.Upsample(scale_factor=2)]
            up.append(nn.Conv2d(width, 3 if last else width, 3, padding=1, bias=last))
        self.decoder = TinyCoder(up)

    def encode(self, pictures: Tensor) -> Tensor:
        """`[B, 3, H, W]` in [-1, 1] to latents `[B, 4, H / 8, W / 8]`, already scaled."""
        return self.encoder((pictures + 1) / 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents to pictures in [-1, 1], not clamped; latents beyond three bend."""
        return self.decoder(torch.tanh(latents / 3) * 3) * 2 - 1


def rename_old(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """An older file's names as today's; square 1x1 convolutions of its attention become matrices."""
    renamed = {}
    for key, value in weights.items():
        parts = key.split(".")
        if "attentions" in parts and parts[-2] in OLD_NAMES:
            parts[-2] = OLD_NAMES[parts[-2]]
            value = value.flatten(1) if value.ndim == 4 else value  # noqa: PLW2901 - the same weight, reshaped
        renamed[".".join(parts)] = value
    return renamed
