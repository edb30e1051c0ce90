"""The two U-Nets: one reads the reference once, the other denoises a window of frames that look at it.

Notable choices: one skeleton serves both, with or without the modules for motion and time. What the reference leaves
behind is a tuple of token tables, one a site, in the order in which the sites come; the denoiser takes such a tuple. A
history keyframe is another such tuple, joined to it by `join_banks`.

Source: PersonaLive; Hu 2024 (Animate Anyone) for reading a reference through a twin of the denoiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.personalive.layers import (
    GROUPS,
    HEADS,
    Downsample,
    ResnetBlock,
    TimeEmbedding,
    Upsample,
    sinusoid,
)
from liveface.nets.personalive.modules import MotionModule, ReferenceAttention, TemporalModule

Banks = tuple[Tensor, ...]
"""Tokens of a reference at every site, `[1, L, C]` each."""


@dataclass(frozen=True, slots=True)
class UNetSize:
    """Sizes of both U-Nets.

    Attributes:
        widths: channels on each of the four levels, multiples of 32.
        cross: width of the picture's embedding.
        latent: channels of the latents.
        layers: residual blocks a level on the way down; one more on the way up.
        heads: of every attention.
    """

    widths: tuple[int, int, int, int] = (320, 640, 1280, 1280)
    cross: int = 768
    latent: int = 4
    layers: int = 2
    heads: int = HEADS


OFFICIAL = UNetSize()


@dataclass(slots=True)
class Given:
    """What the sites of one pass are told, and what they leave.

    Attributes:
        time: `[N, D]` embedded noise levels.
        picture: `[N, E, cross]` embedding of the reference picture.
        motion: `[N, 32, 16]` motion tokens, or None in the reference's pass.
        frames: frames a clip.
        banks: of the reference, or None.
        kept: token tables of this pass, filled as it goes.
        timed: whether frames look at each other.
    """

    time: Tensor
    picture: Tensor
    motion: Tensor | None
    frames: int
    banks: Banks | None
    kept: list[Tensor]
    timed: bool = True


class Site(nn.Module):
    """Everything that holds attention on one level: lists named as in the checkpoints, one entry a layer."""

    def __init__(self, width: int, count: int, size: UNetSize, *, attends: bool, moves: bool) -> None:
        super().__init__()
        self.attends, self.moves = attends, moves
        if attends:
            self.attentions = nn.ModuleList([ReferenceAttention(width, size.cross, size.heads) for _ in range(count)])
        if moves:
            self.motion_modules = nn.ModuleList([MotionModule(width, size.heads) for _ in range(count)])
            self.temporal_modules = nn.ModuleList([TemporalModule(width, size.heads) for _ in range(count)])

    def attend(self, x: Tensor, layer: int, given: Given) -> Tensor:
        """Look at the reference, then at the motion, then at the other frames."""
        if self.attends:
            bank = None if given.banks is None else given.banks[len(given.kept)]
            x, kept = self.attentions[layer](x, given.picture, bank)
            given.kept.append(kept)
        if self.moves and given.motion is not None:
            x = self.motion_modules[layer](x, given.motion)
        if self.moves and given.timed:
            x = self.temporal_modules[layer](x, given.frames)
        return x


class Down(Site):
    """One level on the way down; leaves every layer's output for the way up."""

    def __init__(self, level: int, size: UNetSize, *, moves: bool) -> None:
        width, last = size.widths[level], level == len(size.widths) - 1
        super().__init__(width, size.layers, size, attends=not last, moves=moves)
        before = size.widths[max(level - 1, 0)]
        self.resnets = nn.ModuleList(
            [ResnetBlock(width if layer else before, width, 4 * size.widths[0]) for layer in range(size.layers)]
        )
        self.downsamplers = nn.ModuleList([] if last else [Downsample(width)])

    def forward(self, x: Tensor, skips: list[Tensor], given: Given) -> Tensor:
        for layer, resnet in enumerate(self.resnets):
            x = self.attend(resnet(x, given.time), layer, given)
            skips.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        return x


class Middle(Site):
    """The coarsest level."""

    def __init__(self, size: UNetSize, *, moves: bool) -> None:
        width = size.widths[-1]
        super().__init__(width, 1, size, attends=True, moves=moves)
        self.resnets = nn.ModuleList([ResnetBlock(width, width, 4 * size.widths[0]) for _ in range(2)])

    def forward(self, x: Tensor, given: Given) -> Tensor:
        x = self.attend(self.resnets[0](x, given.time), 0, given)
        return self.resnets[1](x, given.time)


class Up(Site):
    """One level on the way up; each layer takes what one layer left on the way down."""

    def __init__(self, level: int, size: UNetSize, *, moves: bool) -> None:
        widths, count = size.widths[::-1], size.layers + 1
        width, before, after = widths[level], widths[max(level - 1, 0)], widths[min(level + 1, len(widths) - 1)]
        super().__init__(width, count, size, attends=level > 0, moves=moves)
        self.resnets = nn.ModuleList(
            [
                ResnetBlock(
                    (width if layer else before) + (after if layer == count - 1 else width), width, 4 * size.widths[0]
                )
                for layer in range(count)
            ]
        )
        self.upsamplers = nn.ModuleList([] if level == len(widths) - 1 else [Upsample(width)])

    def forward(self, x: Tensor, skips: list[Tensor], given: Given) -> Tensor:
        for layer, resnet in enumerate(self.resnets):
            x = self.attend(resnet(torch.cat([x, skips.pop()], dim=1), given.time), layer, given)
        for upsample in self.upsamplers:
            x = upsample(x)
        return x


class UNet(nn.Module):
    """The skeleton of both."""

    def __init__(self, size: UNetSize = OFFICIAL, *, moves: bool = False) -> None:
        super().__init__()
        self.size = size
        first = size.widths[0]
        self.conv_in = nn.Conv2d(size.latent, first, 3, padding=1)
        self.time_embedding = TimeEmbedding(first)
        levels = range(len(size.widths))
        self.down_blocks = nn.ModuleList([Down(level, size, moves=moves) for level in levels])
        self.mid_block = Middle(size, moves=moves)
        self.up_blocks = nn.ModuleList([Up(level, size, moves=moves) for level in levels])

    def time(self, steps: Tensor) -> Tensor:
        """Training steps `[N]` embedded, `[N, D]`."""
        return self.time_embedding(sinusoid(steps, self.size.widths[0]).to(self.conv_in.weight.dtype))

    def trunk(self, x: Tensor, given: Given) -> Tensor:
        """From after the first convolution to before the last, `[N, C, H, W]`."""
        skips = [x]
        for block in self.down_blocks:
            x = block(x, skips, given)
        x = self.mid_block(x, given)
        for block in self.up_blocks:
            x = block(x, skips, given)
        return x


class ReferenceUNet(UNet):
    """Reads a picture once."""

    def __init__(self, size: UNetSize = OFFICIAL) -> None:
        super().__init__(size)

    def forward(self, latents: Tensor, picture: Tensor) -> Banks:
        """What the denoiser will look at.

        Args:
            latents: `[B, 4, h, w]` of the picture, without noise.
            picture: `[B, E, cross]` its embedding.
        Returns: sixteen token tables `[B, L, C]` in the order of the sites.
        """
        time = self.time(torch.zeros(len(latents), device=latents.device))
        given = Given(time, picture, None, 1, None, [])
        self.trunk(self.conv_in(latents), given)
        return tuple(given.kept)


class DenoisingUNet(UNet):
    """Sees the noise in a window of frames."""

    def __init__(self, size: UNetSize = OFFICIAL) -> None:
        super().__init__(size, moves=True)
        first = size.widths[0]
        self.conv_norm_out = nn.GroupNorm(GROUPS, first, 1e-5)
        self.conv_out = nn.Conv2d(first, size.latent, 3, padding=1)

    def forward(
        self,
        sample: Tensor,
        steps: Tensor,
        picture: Tensor,
        motion: Tensor,
        pose: Tensor,
        banks: Banks | None,
        *,
        timed: bool = True,
    ) -> Tensor:
        """The noise of each frame.

        Args:
            sample: `[B, T, 4, h, w]` noisy latents.
            steps: `[B, T]` their training steps.
            picture: `[B, E, cross]` embedding of the reference picture.
            motion: `[B, T, 32, 16]` motion tokens.
            pose: `[B, T, C, h, w]` pose features, added once after the first convolution.
            banks: of the reference, `[B, L, C]` each.
            timed: False leaves attention over time out, for training on single frames.
        Returns: `[B, T, 4, h, w]`.
        """
        frames = sample.shape[1]
        given = Given(
            self.time(steps.flatten()), picture.repeat_interleave(frames, dim=0), motion.flatten(0, 1), frames, banks,
            [], timed,
        )  # fmt: skip
        x = self.trunk(self.conv_in(sample.flatten(0, 1)) + pose.flatten(0, 1), given)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        return x.unflatten(0, (-1, frames))


def join_banks(banks: Banks, more: Banks) -> Banks:
    """Banks of a reference and of a history keyframe as one."""
    return tuple(torch.cat(pair, dim=1) for pair in zip(banks, more, strict=True))
