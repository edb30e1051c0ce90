"""A small PersonaLive of our own, driven by the house's motion instead of a driver's pictures.

Notable choices: the U-Nets, the modules, the window and its keyframes are those of the large one, at other sizes; what
differs is what feeds them. Motion tokens come from ARKit coefficients and gaze, which hold no identity; the pose canvas
shows seven rigid points of the tracked face; the picture's embedding is read from its latents; the tiny autoencoder is
trained by us. A new chunk starts at a level where the reference still shows through: a network of this size can not
bring a whole face back from noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.personalive.modules import MOTION_TOKENS, MOTION_WIDTH
from liveface.nets.personalive.pose import PoseGuider, discs
from liveface.nets.personalive.stream import Networks, Plan
from liveface.nets.personalive.unet import DenoisingUNet, ReferenceUNet, UNetSize
from liveface.nets.personalive.vae import TinyVae
from liveface.types import Array, Motion

SIDE = 128
POINTS = (10, 168, 1, 33, 263, 127, 356)
"""Rigid points of the face mesh: forehead, bridge and tip of the nose, outer corners of the eyes, temples."""
CODE = 56  # 52 coefficients and four angles of gaze
DISC_PX = 2


@dataclass(frozen=True, slots=True)
class SmallSize:
    """Sizes of all parts.

    Attributes:
        side: of the pictures, pixels.
        widths, layers, heads: of both U-Nets.
        latent: channels of the latents.
        cross: width of the picture's embedding.
        vae_width, vae_blocks: of the autoencoder.
        pose_widths: of the pose guider.
        hidden: inside the motion tokens' layers.
        noisiest: training step at which a new chunk starts.
    """

    side: int = SIDE
    widths: tuple[int, int, int, int] = (32, 32, 32, 64)
    layers: int = 1
    heads: int = 2
    latent: int = 8
    cross: int = 32
    vae_width: int = 32
    vae_blocks: tuple[int, int, int, int] = (0, 1, 2, 2)
    pose_widths: tuple[int, ...] = (8, 16, 32, 64)
    hidden: int = 128
    noisiest: int = 600

    @property
    def unet(self) -> UNetSize:
        """Sizes of the U-Nets."""
        return UNetSize(self.widths, self.cross, self.latent, self.layers, self.heads)


class MotionTokens(nn.Module):
    """Expression and gaze `[N, 56]` to motion tokens `[N, 32, 16]`."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(CODE, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, MOTION_TOKENS * MOTION_WIDTH)
        self.names = nn.Parameter(0.5 * torch.randn(MOTION_TOKENS, MOTION_WIDTH))

    def forward(self, codes: Tensor) -> Tensor:
        inner = F.silu(self.second(F.silu(self.first(codes))))
        return self.last(inner).unflatten(1, (MOTION_TOKENS, MOTION_WIDTH)) + self.names


class PictureCode(nn.Module):
    """Latents of the reference `[B, C, h, w]` to its embedding `[B, 1, cross]`."""

    def __init__(self, latent: int, cross: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(latent, 2 * cross, 4, stride=4)
        self.tell = nn.Linear(2 * cross, cross)

    def forward(self, latents: Tensor) -> Tensor:
        return self.tell(F.silu(self.look(latents)).mean((2, 3)))[:, None]


class SmallPersonaLive(nn.Module):
    """All networks of the small one."""

    def __init__(self, size: SmallSize | None = None) -> None:
        super().__init__()
        size = size or SmallSize()
        self.size = size
        self.vae = TinyVae(size.vae_width, size.vae_blocks, size.latent)
        self.tokens = MotionTokens(size.hidden)
        self.picture = PictureCode(size.latent, size.cross)
        self.pose = PoseGuider(size.widths[0], size.pose_widths)
        self.reference = ReferenceUNet(size.unet)
        self.denoiser = DenoisingUNet(size.unet)

    @property
    def networks(self) -> Networks:
        """The two that a call of the stream runs."""
        return Networks(self.reference, self.denoiser)

    def plan(self, chunk: int = 4, window: int = 16, far: float = 17.0) -> Plan:
        """How this network streams."""
        return Plan(chunk, window, far, noisiest=self.size.noisiest)

    def pose_features(self, places: Tensor) -> Tensor:
        """Rigid points `[N, 7, 2]` in [-1, 1] to what the denoiser adds, `[N, C, h, w]`."""
        return self.pose(discs(places, self.size.side, DISC_PX))


def code_of(motion: Motion) -> Array:
    """Expression and gaze of every frame, `[T, 56]`."""
    return np.concatenate([motion.expression, motion.gaze], axis=1).astype(np.float32)


def places_of(points: Array, side: int) -> Array:
    """Canvas pixels `[T, 7, 2]` as the pose canvas counts them, -1 to 1."""
    return ((points[..., :2] + 0.5) / side * 2 - 1).astype(np.float32)
