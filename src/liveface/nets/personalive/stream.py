"""Endless video from a window of frames: every call takes a chunk of motion and gives up the chunk that is clean.

The window holds as many chunks as there are noise levels, the oldest the cleanest. A call appends a chunk of noise,
lets the network look at the whole window once, takes the oldest chunk's clean picture and moves the others down one
level; so a chunk comes out as many calls later as the window has chunks, less one.

Notable choices: the state is an argument, and its size never grows; noise is an argument too. Chunk and window are
apart: fewer frames a chunk answer sooner, more frames a window hold more steady.

Source: PersonaLive; keyframes of the past are its history mechanism.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from liveface.nets.personalive.scheduler import LAST, add_noise, denoise, signal_shares
from liveface.nets.personalive.unet import Banks, DenoisingUNet, ReferenceUNet, join_banks


@dataclass(frozen=True, slots=True)
class Plan:
    """How the window is cut and when a frame of the past becomes a keyframe.

    Attributes:
        chunk: frames a call.
        window: frames that are denoised together, a multiple of `chunk`.
        far: how far a frame's 512 motion numbers must be from all that were kept, to be kept.
        keyframes: how many frames of the past the denoiser may look at.
        first_check: calls before the first look for a keyframe.
        remembered: how many kept motions are compared with; it only bounds memory, once all keyframes are found.
        noisiest: training step of a new chunk; a lower one lets the reference show through.
    """

    chunk: int = 4
    window: int = 16
    far: float = 17.0
    keyframes: int = 3
    first_check: int = 9
    remembered: int = 64
    noisiest: int = LAST

    def __post_init__(self) -> None:
        assert self.chunk >= 1, f"chunk {self.chunk}, expected 1 or more"
        assert self.window % self.chunk == 0, f"window {self.window}, expected a multiple of {self.chunk}"
        assert self.window >= 2 * self.chunk, f"window {self.window}, expected two chunks or more"

    @property
    def chunks(self) -> int:
        """Chunks a window."""
        return self.window // self.chunk

    @property
    def lead(self) -> int:
        """Frames before the first driven one; what they show leads from the reference to it."""
        return self.window - self.chunk

    @property
    def delay(self) -> int:
        """Calls between a chunk's going in and its coming out."""
        return self.chunks - 1

    def levels(self, *, after: bool = False) -> Tensor:
        """The training step of each frame of the window `[window]`, oldest first; `after` a call, less one level."""
        last = self.chunks - 1
        steps = [round(self.noisiest * chunk / last) for chunk in range(self.chunks)]
        steps = [-1, *steps[:-1]] if after else steps
        return torch.tensor(steps).repeat_interleave(self.chunk)


class Networks(NamedTuple):
    """The two networks of a call."""

    reference: ReferenceUNet
    denoiser: DenoisingUNet


class Reference(NamedTuple):
    """Who is shown.

    Attributes:
        latents: `[1, 4, h, w]` of the reference picture.
        picture: `[1, E, cross]` its embedding.
        banks: what the reference network left of it.
    """

    latents: Tensor
    picture: Tensor
    banks: Banks


class Drive(NamedTuple):
    """How some frames shall move: motion tokens `[T, 32, 16]` and pose features `[T, C, h, w]`."""

    motion: Tensor
    pose: Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """The state between two calls.

    Attributes:
        latents: `[lead, 4, h, w]`, each chunk at its level.
        drive: of the same frames.
        kept: `[K, 512]` motions that keyframes are told apart by, the reference's first.
        banks: of the reference and of all keyframes so far.
        keyframes: how many those are.
        calls: how many calls there were.
    """

    latents: Tensor
    drive: Drive
    kept: Tensor
    banks: Banks
    keyframes: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a call gives.

    Attributes:
        window: the new state.
        latents: `[chunk, 4, h, w]` clean latents of the oldest chunk.
        noise: `[window, 4, h, w]` what the network saw.
        foreseen: `[window, 4, h, w]` clean latents of the whole window, as far as the network can tell yet.
        distances: `[K]` of the oldest frame's motion to those kept, empty when there was no look.
        keyframe: whether a keyframe was taken.
    """

    window: Window
    latents: Tensor
    noise: Tensor
    foreseen: Tensor
    distances: Tensor = field(default_factory=lambda: torch.zeros(0))
    keyframe: bool = False


def refer(networks: Networks, latents: Tensor, picture: Tensor) -> Reference:
    """Read the reference once: latents `[1, 4, h, w]` and embedding `[1, E, cross]`."""
    return Reference(latents, picture, networks.reference(latents, picture))


def lead_motion(reference: Tensor, first: Tensor, count: int) -> Tensor:
    """Numbers of one frame, such as motion tokens `[32, 16]`, towards the first driven frame's, `count` even steps."""
    share = torch.arange(count, dtype=reference.dtype, device=reference.device).reshape(-1, *[1] * reference.ndim)
    share = share / count
    return reference + share * (first - reference)


def open_window(reference: Reference, lead: Drive, motion: Tensor, noise: Tensor, plan: Plan) -> Window:
    """The state before the first call.

    Args:
        lead: motion and pose of the `plan.lead` frames that lead to the first driven one.
        motion: `[32, 16]` tokens of the reference picture.
        noise: `[lead, 4, h, w]`.
    """
    shares = signal_shares().to(noise.device)
    levels = plan.levels().to(noise.device)[: plan.lead]
    latents = add_noise(reference.latents.expand_as(noise), noise, levels, shares)
    return Window(latents, lead, motion.flatten()[None], reference.banks)


def push(
    networks: Networks, reference: Reference, window: Window, drive: Drive, noise: Tensor, plan: Plan | None = None
) -> Pushed:
    """One call: a chunk of motion goes in, the oldest chunk comes out.

    Args:
        drive: of `plan.chunk` new frames.
        noise: `[chunk, 4, h, w]`.
    """
    plan = plan or Plan()
    shares, levels = signal_shares().to(noise.device), plan.levels().to(noise.device)
    fresh = add_noise(reference.latents.expand_as(noise), noise, levels[plan.lead :], shares)
    sample = torch.cat([window.latents, fresh])
    whole = Drive(*(torch.cat(pair) for pair in zip(window.drive, drive, strict=True)))
    seen = networks.denoiser(
        sample[None], levels[None], reference.picture, whole.motion[None], whole.pose[None], window.banks
    )[0]
    stepped = denoise(sample, seen, levels, plan.levels(after=True).to(noise.device), shares)
    clean = stepped.clean[: plan.chunk]
    following = replace(
        window,
        latents=stepped.sample[plan.chunk :],
        drive=Drive(*(part[plan.chunk :] for part in whole)),
        calls=window.calls + 1,
    )
    if window.calls < plan.first_check:
        return Pushed(following, clean, seen, stepped.clean)
    mark = whole.motion[0].flatten()[None].float()
    distances = torch.cdist(mark, window.kept.float())[0]
    if distances.min() <= plan.far:
        return Pushed(following, clean, seen, stepped.clean, distances)
    if len(window.kept) < plan.remembered:
        following = replace(following, kept=torch.cat([window.kept, mark.to(window.kept)]))
    if window.keyframes >= plan.keyframes:
        return Pushed(following, clean, seen, stepped.clean, distances)
    more = networks.reference(clean[:1], reference.picture)
    following = replace(following, banks=join_banks(window.banks, more), keyframes=window.keyframes + 1)
    return Pushed(following, clean, seen, stepped.clean, distances, keyframe=True)
