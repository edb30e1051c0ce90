"""What the head network is asked for, and its critic.

Notable choices: every picture loss counts by the weights of lips, inner mouth and eyes; texture is asked for as
strength of detail beside the absolute error, which alone is best satisfied by blur; values are cut with a gradient that
leads back inwards; the critic looks at the mouth and the eyes alone, starts with Kaiming's weights and pays a penalty
on the slope at real pictures (source: the project's learning notes; Mescheder et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.train.decoder_loss import TEXTURE_FLOOR, TEXTURE_SCALES, detail


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the losses.

    Attributes:
        pixel: mean absolute error at full, half and quarter scale.
        slope: of neighbour differences at three scales.
        perceptual: distance in the features of `liveface.train.portrait_features`.
        texture: difference of the strength of detail.
        warp: absolute error of the bent first picture, which alone teaches the flow.
        flow: of what the flow leaves of the smooth mismatch of drawn and tracked points, in halves of the square.
        smooth: of neighbour differences of the flow.
        keypoint: distance of the told neural keypoints from those seen in the truth, and of the places on the head
            that the perceptual network reads in the made and the true picture.
        equivariance: of the neural keypoints under a random bend of the photo.
        matte, landmark: of the motion network's knowledge of the driver's matte and landmarks.
        still: of changes that no mask, matte or motion calls for.
    """

    pixel: float = 1.0
    slope: float = 1.0
    perceptual: float = 0.1
    texture: float = 0.3
    warp: float = 0.3
    flow: float = 10.0
    smooth: float = 0.02
    keypoint: float = 0.5
    equivariance: float = 0.5
    matte: float = 0.1
    landmark: float = 0.1
    still: float = 0.05


SCALES = (1.0, 0.3, 0.3)


def weighted(error: Tensor, weight: Tensor) -> Tensor:
    """Mean of the absolute error `[N, C, H, W]` by weight `[N, 1, H, W]`."""
    return (error.abs().mean(1, keepdim=True) * weight).sum() / weight.sum().clamp(min=1)


def pixel_and_slope(made: Tensor, true: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute error and neighbour differences of the error, each over three scales."""
    error = made - true
    pixel, slope = error.new_zeros(()), error.new_zeros(())
    for scale in SCALES:
        pixel = pixel + scale * weighted(error, weight)
        across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
        slope = slope + weighted(across, weight[..., 1:]) + weighted(down, weight[..., 1:, :])
        error, weight = F.avg_pool2d(error, 2), F.avg_pool2d(weight, 2)
    return pixel / sum(SCALES), slope / len(SCALES)


def texture(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Difference of the local strength of detail in windows of 8 pixels, mostly of the halved picture.

    The finest detail alone is cheapest to make as a pattern of the network's own grid (seen).
    """
    total = made.new_zeros(())
    for share in TEXTURE_SCALES:
        here, there = (torch.sqrt(F.avg_pool2d(detail(one).square(), 8, 4) + TEXTURE_FLOOR) for one in (made, true))
        total = total + share * weighted(here - there, F.avg_pool2d(weight[..., 1:-1, 1:-1], 8, 4))
        made, true, weight = F.avg_pool2d(made, 2), F.avg_pool2d(true, 2), F.avg_pool2d(weight, 2)
    return total


def roughness(flow: Tensor) -> Tensor:
    """Mean absolute neighbour difference of a flow `[B, 2, g, g]`."""
    return (flow[..., 1:] - flow[..., :-1]).abs().mean() + (flow[..., 1:, :] - flow[..., :-1, :]).abs().mean()


def bend(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random affine maps of the square, `[B, 2, 3]` and their inverses: where a bent picture is sampled."""
    angle = torch.randn(count, device=device) * 0.2
    size = torch.exp(torch.randn(count, device=device) * 0.1)
    turn = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], 1).reshape(-1, 2, 2)
    turn = (turn + 0.05 * torch.randn(count, 2, 2, device=device)) * size[:, None, None]
    shift = torch.randn(count, 2, 1, device=device) * 0.08
    inverse = torch.linalg.inv(turn)
    return torch.cat([turn, shift], 2), torch.cat([inverse, -inverse @ shift], 2)


def moved(points: Tensor, maps: Tensor) -> Tensor:
    """Points `[B, K, 2]` under affine maps `[B, 2, 3]`."""
    return points @ maps[:, :, :2].transpose(1, 2) + maps[:, None, :, 2]


class Critic(nn.Module):
    """Judges crops: `[N, 5, H, W]` (RGB, inner mouth, eyes) to scores `[N, 1, H/8, W/8]` and its features."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 64)) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        before = 5
        for width in widths:
            self.layers.append(nn.Conv2d(before, width, 4, stride=2, padding=1))
            before = width
        self.layers.append(nn.Conv2d(before, before, 3, padding=1))
        self.head = nn.Conv2d(before, 1, 3, padding=1)
        for layer in (*self.layers, self.head):
            nn.init.kaiming_normal_(layer.weight, a=0.2)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.head(x), features


def critic_weight(focus: Tensor, weight: Tensor) -> Tensor:
    """Where the critic is asked, on its grid: by mouth and eyes, where the truth is valid."""
    return F.avg_pool2d((focus.amax(1, keepdim=True) * (weight > 0)).float(), 8)


def hinge(scores: Tensor, share: Tensor) -> Tensor:
    """The critic's loss on real (first half) and made crops."""
    good, bad = scores.chunk(2)
    total = share.sum().clamp(min=1)
    return (F.relu(1 - good) * share).sum() / total + (F.relu(1 + bad) * share).sum() / total


def slope_penalty(critic: nn.Module, real: Tensor, share: Tensor) -> Tensor:
    """R1: mean squared slope of the scores by the pixels of real crops."""
    some = real.detach().clone().requires_grad_()
    total = (critic(some)[0] * share).sum()
    (slope,) = torch.autograd.grad(total, some, create_graph=True)
    return (slope[:, :3].square().sum((1, 2, 3)) / share.sum((1, 2, 3)).clamp(min=1)).mean()


def matching(made: list[Tensor], true: list[Tensor], focus: Tensor) -> Tensor:
    """Distance of the critic's features where `focus` `[N, 1, H, W]` is."""
    parts = []
    for one, two in zip(made, true, strict=True):
        share = F.adaptive_avg_pool2d(focus, (one.shape[-2], one.shape[-1]))
        apart = (one.float() - two.detach().float()).abs().mean(1, keepdim=True)
        parts.append((apart * share).sum() / share.sum().clamp(min=1))
    return torch.stack(parts).mean()
