"""Noise and losses of the speech diffusion, in torch; the schedule is that of `liveface.motion.diffusion`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from liveface.motion.diffusion import NOISE_MEMORY, OFFSET

LEVELS = 1000  # training draws levels from multiples of 1 / LEVELS


def shares(level: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of signal and noise at levels `[...]` from 0 to 1."""
    start = math.pi / 2 * OFFSET / (1 + OFFSET)
    signal = ((math.pi / 2 * (level + OFFSET) / (1 + OFFSET)).cos() / math.cos(start)).clamp(0, 1)
    return signal, (1 - signal**2).clamp(min=0).sqrt()


def noised(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Motion `[B, T, D]` under `noise` of `level` `[B, 1 or T]`."""
    signal, share = shares(level[..., None])
    return signal * clean + share * noise


def lowered(noisy: Tensor, clean: Tensor, level: Tensor, lower: Tensor) -> Tensor:
    """A step down from `level` to `lower` `[B, 1 or T]`; see `liveface.motion.diffusion.lowered`."""
    signal, share = shares(level[..., None])
    left = (noisy - signal * clean) / share.clamp(min=1e-4)
    signal, share = shares(lower[..., None])
    return signal * clean + share * left


def like_noise(shape: tuple[int, int, int], generator: torch.Generator | None = None) -> Tensor:
    """Normal noise `[B, T, D]` that resembles itself from frame to frame as in a stream."""
    fresh = torch.randn(shape, generator=generator)
    out, share = [fresh[:, 0]], math.sqrt(1 - NOISE_MEMORY**2)
    for frame in range(1, shape[1]):
        out.append(NOISE_MEMORY * out[-1] + share * fresh[:, frame])
    return torch.stack(out, 1)


def random_levels(batch: int) -> Tensor:
    """Levels `[B, 1]`: half of them even over the schedule, a quarter low, a quarter pure noise.

    Low levels decide what a frame adds to the last one; pure noise is what a one-step student is asked for.
    """
    even = torch.randint(1, LEVELS + 1, (batch, 1)) / LEVELS
    pick = torch.rand(batch, 1)
    low = even**3
    return torch.where(pick < 0.25, low.clamp(min=1 / LEVELS), torch.where(pick > 0.75, torch.ones_like(even), even))


def jitter_ratio(made: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """How much more `made` `[B, T, D]` jitters than `true`, as a squared logarithm of ratios above 1, averaged.

    Second differences of each window and number are compared, where `known` `[B, T, D]` is 1 throughout.
    """
    here = (made[:, 2:] - 2 * made[:, 1:-1] + made[:, :-2]).abs().mean(1)
    there = (true[:, 2:] - 2 * true[:, 1:-1] + true[:, :-2]).abs().mean(1)
    whole = known.amin(1)
    over = ((here + 0.01) / (there + 0.01)).log().clamp(min=0) ** 2
    return (whole * over).sum() / whole.sum().clamp(min=1)
