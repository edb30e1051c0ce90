"""Noise levels and the step between them: DDIM with fixed strides, one level a frame.

Notable choices: pure functions of tensors, so that frames of one window may stand at different levels; a step goes
between two stated training steps.

Source: Song, Meng and Ermon 2021 (DDIM); numbers from PersonaLive's published configuration.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TRAIN_STEPS = 1000
BETA_FIRST, BETA_LAST = 0.00085, 0.02  # the last is .02, where Stable Diffusion has .012
LAST = TRAIN_STEPS - 1


class Stepped(NamedTuple):
    """After a step: `sample`, at its lower level, and `clean`, the picture that the network foresees."""

    sample: Tensor
    clean: Tensor


def signal_shares() -> Tensor:
    """Share of the signal's power left at each training step, `[1000]` float32, falling from .999 to 4e-5."""
    betas = torch.linspace(BETA_FIRST**0.5, BETA_LAST**0.5, TRAIN_STEPS, dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, dim=0)


def add_noise(clean: Tensor, noise: Tensor, steps: Tensor, shares: Tensor) -> Tensor:
    """Bring clean frames `[T, ...]` to the levels `steps` `[T]`."""
    share = _shaped(shares[steps], clean)
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def denoise(sample: Tensor, noise: Tensor, before: Tensor, after: Tensor, shares: Tensor) -> Stepped:
    """One deterministic step down.

    Args:
        sample: `[T, ...]` frames at the levels `before`.
        noise: `[T, ...]` the noise that the network sees in them.
        before, after: `[T]` training steps; below zero all is signal.
        shares: of `signal_shares`.
    """
    share = _shaped(shares[before], sample)
    left = _shaped(torch.where(after >= 0, shares[after.clamp(min=0)], torch.ones_like(shares[before])), sample)
    clean = (sample - (1 - share).sqrt() * noise) / share.sqrt()
    return Stepped(left.sqrt() * clean + (1 - left).sqrt() * noise, clean)


def _shaped(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1)).to(like)
