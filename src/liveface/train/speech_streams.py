"""What a listener heard in a whole set, and free-running streams of a denoiser over it.

Notable choices: the listener does not change any more, so its answers are computed once and kept beside the run; many
recordings run side by side, each frame given the frames that were really drawn before it, as in a live stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from liveface.motion.codes import EYE_SLOT, TRACKS, lift_eyes
from liveface.motion.diffusion import levels
from liveface.nets.online import OnlineNet
from liveface.train.diffusion import like_noise, lowered
from liveface.train.speech_codes import SpeechCodes
from liveface.train.speech_listener import heard
from liveface.types import Array

GROUP_ROWS = 24  # recordings that run side by side


@dataclass(frozen=True, slots=True)
class Heard:
    """What the listener heard in a set of F frames: hidden `[F, D]` and mouth `[F, 17]` float16, real units."""

    hidden: np.ndarray
    mouth: np.ndarray

    @staticmethod
    def of(network: OnlineNet, kept: SpeechCodes, file: Path | None = None) -> Heard:
        """From `file` when it is there; else computed, and stored there."""
        if file is not None and file.is_file():
            with np.load(file) as content:
                return Heard(content["hidden"], content["mouth"])
        config = network.config.encoder
        hidden = np.zeros((len(kept.codes), config.width), np.float16)
        mouth = np.zeros((len(kept.codes), config.motion), np.float16)
        for (first, frames, _), (inner, tracks) in zip(kept.spans, heard(network.encoder, kept), strict=True):
            hidden[first : first + frames], mouth[first : first + frames] = inner, tracks
        if file is not None:
            part = file.with_suffix(".part.npz")
            np.savez(part, hidden=hidden, mouth=mouth)
            part.replace(file)
        return Heard(hidden, mouth)


@torch.no_grad()
def hold_back(network: OnlineNet, factor: float) -> None:
    """Scale the inertia of brows and head, in place.

    Measured: a teacher that draws frames in 4 steps walks to 8 standard deviations within 10 s; with .85 of its inertia
    its head stays within 0.2 units (0.02 rad) and its brows stir. In one step it needs no holding back.
    """
    network.inertia.copy_(torch.logit(network.inertia.sigmoid() * factor))


@torch.inference_mode()
def free_run(
    network: OnlineNet, told: tuple[Tensor, Tensor], noise: Tensor, steps: int = 1, begin: Tensor | None = None
) -> Tensor:
    """Codes `[B, T, 26]` (standardised) drawn frame by frame, each after the frames drawn before it.

    Args:
        network: the denoiser.
        told: heard `[B, T, D]` and mouth `[B, T, 17]` of `OnlineNet.conditions`.
        noise: `[B, T, 26]`; steps: denoising steps a frame.
        begin: `[B, frames, 26]` standardised, shown in place of what is drawn at first.
    """
    heard_, mouth = told
    batch, frames, codes = noise.shape
    state = network.start(batch)
    last, out, path = torch.zeros(batch, 1, codes), [], torch.from_numpy(levels(steps))
    tracks = len(TRACKS)
    for at in range(frames):
        here = slice(at, at + 1)
        told_, noisy, clean = (heard_[:, here], mouth[:, here]), noise[:, here], noise[:, here]
        memory, later = network.recall(last, state)
        for index in range(steps):
            level, lower = path[index].expand(batch, 1), path[index + 1].expand(batch, 1)
            clean = network.answer(told_, (noisy, level), last, memory, state["count"])
            noisy = lowered(noisy, clean, level, lower)
        state = {**state, **later, "heard": told_[0]}
        real = network.real(clean)
        last = network.standard(torch.cat([real[..., :tracks].clamp(0, 1), real[..., tracks:]], dim=-1))
        if begin is not None and at < begin.shape[1]:
            last = begin[:, here]
        out.append(last)
    return torch.cat(out, 1)


@torch.inference_mode()
def stream_set(
    network: OnlineNet,
    kept: SpeechCodes,
    ears: Heard,
    *,
    steps: int = 1,
    most: int = 300,
    seed: int = 0,
    emotion: Array | None = None,
) -> list[Array]:
    """Codes `[T, 26]` in real units of the first `most` frames of every recording, in its own style.

    Args:
        network: the denoiser; ears: what its listener heard in the set.
        kept: the set.
        steps: denoising steps a frame; 0 is the regression alone.
        most: frames; seed: of the noise; emotion: intensities `[8]`.
    """
    spans = [(int(first), min(int(frames), most)) for first, frames, _ in kept.spans]
    order = np.argsort([frames for _, frames in spans])
    out: list[Array] = [np.zeros((0, 26), np.float32)] * len(spans)
    generator = torch.Generator().manual_seed(seed)
    for begin in range(0, len(order), GROUP_ROWS):
        rows = order[begin : begin + GROUP_ROWS]
        longest = max(spans[row][1] for row in rows)
        frames = np.stack([spans[row][0] + np.minimum(np.arange(longest), spans[row][1] - 1) for row in rows])
        hidden, mouth = (torch.from_numpy(part[frames].astype(np.float32)) for part in (ears.hidden, ears.mouth))
        eyes = np.where(kept.eyes_known[frames][..., None], lift_eyes(kept.eyes[frames].astype(np.float32)), 0)
        felt = torch.zeros(len(rows), 1, 8) if emotion is None else torch.from_numpy(emotion).expand(len(rows), 1, 8)
        style = torch.from_numpy(np.clip(kept.style[rows], -2, 2).astype(np.float32))[:, None]
        slot = torch.from_numpy(eyes.reshape(*frames.shape, EYE_SLOT).astype(np.float32))
        told = network.conditions((hidden, mouth), felt, style, slot)
        if steps:
            noise = like_noise((len(rows), longest, network.config.codes), generator)
            made = network.real(free_run(network, (told.heard, told.mouth), noise, steps))
        else:
            made = torch.nn.functional.pad(mouth, (0, network.config.codes - mouth.shape[-1]))
        for index, row in enumerate(rows):
            out[row] = made[index, : spans[row][1]].numpy()
    return out
