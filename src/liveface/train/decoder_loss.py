"""What a decoder is asked for and how it is judged: the picture that remains after its patch was blended.

Notable choices: everything is measured on the blend with the warped base, as the run time makes it; values are clamped
with a gradient that passes through, because the exported network ends without a sigmoid (source: the project's
measurements of INT8); a texture term compares the local strength of fine detail, since an absolute error alone is
best satisfied by blur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from liveface.metrics import MOST_DB
from liveface.types import Array

OPAQUE = ("mouth", "eyes")  # the patch hides the base in its middle; hair and body let the crisp base through
OPAQUE_PULL = 25.0  # a lid half let through shows the open eye of the base below it
MIDDLE = 0.5  # window above which a pixel counts as the middle of its patch
TEXTURE_FLOOR = 1e-4  # variance below which detail is noise of 8-bit pictures: (0.01 of full scale)^2
TEXTURE_SCALES = (0.2, 0.8)  # at the patch's own scale and at half of it
STILL = 5e-4  # mean change of a picture that does not move, of full scale: an eighth of a level
_LUMA = (0.299, 0.587, 0.114)  # source: ITU-R BT.601


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the losses beside the mean absolute error of the blend.

    Attributes:
        slope: of the pixel differences, at three scales.
        texture: of the local strength of fine detail.
        alpha: of a pull to opaque (mouth, eyes) or of a price of opacity (hair, body).
        smooth: of the neighbour differences of opacity (hair, body): dots and thin lines cost more than areas.
        colour: of the patch's own distance from the truth, however faint it is shown.
        beyond: of values outside 0..1, which the run time cuts off.
        agree: of the distance between the codes of the mouth's two inputs.
    """

    slope: float = 1.0
    texture: float = 0.25
    alpha: float = 0.02
    smooth: float = 0.05
    colour: float = 0.3
    beyond: float = 0.2
    agree: float = 0.1


class _Clamp(torch.autograd.Function):
    """A cut to 0..1 with a way back: outside, only gradients that lead inwards pass."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        return values.clamp(0, 1)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:
        (values,) = context.saved_tensors
        outwards = ((values > 1) & (slope < 0)) | ((values < 0) & (slope > 0))
        return slope.masked_fill(outwards, 0)


def clamp_through(values: Tensor) -> Tensor:
    """Values cut to 0..1; those outside still learn to come back, and none is pushed further out.

    Passing every gradient lets the opacity run away where the base is better than the patch: pretraining diverged.
    """
    clamped: Tensor = _Clamp.apply(values)
    return clamped


def blend(painted: Tensor, base: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """The picture `[B, 3, h, w]` of patches `[B, 4, h, w]` over a base, and their opacity `[B, 1, h, w]`."""
    values = clamp_through(painted)
    opacity = values[:, 3:]
    return base + opacity * window * (values[:, :3] - base), opacity


def emphasis(window: Tensor, *, opaque: bool) -> Tensor:
    """How much each pixel `[h, w]` counts, mean 1: for mouth and eyes the middle counts four times the corners."""
    if not opaque:
        return torch.ones_like(window)
    height, width = window.shape
    x = (torch.arange(width, device=window.device) + 0.5) / width * 2 - 1
    y = (torch.arange(height, device=window.device) + 0.5) / height * 2 - 1
    bump = torch.exp(-((x / 0.6) ** 2)[None] - ((y / 0.6) ** 2)[:, None])
    return (1 + 3 * bump) / (1 + 3 * bump).mean()


def slope_loss(error: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring errors, over three scales."""
    total = error.new_zeros(())
    for level in range(3):
        if level:
            error = F.avg_pool2d(error, 2)
        across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
        total = total + across.abs().mean() + down.abs().mean()
    return total / 3


def detail(picture: Tensor) -> Tensor:
    """The Laplacian of the luma, `[B, 1, h - 2, w - 2]`, of pictures `[B, 3, h, w]`."""
    luma = (picture * picture.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    middle = luma[..., 1:-1, 1:-1]
    return luma[..., :-2, 1:-1] + luma[..., 2:, 1:-1] + luma[..., 1:-1, :-2] + luma[..., 1:-1, 2:] - 4 * middle


def texture_loss(picture: Tensor, truth: Tensor, share: Tensor) -> Tensor:
    """Difference of the local strength of detail in windows of 8 pixels, which count by `share` `[h, w]`.

    Mostly of the halved picture: strength of the finest detail alone is cheapest to make as a checkerboard.
    """
    total = picture.new_zeros(())
    share = share[None, None]
    for weight in TEXTURE_SCALES:
        made, true = (
            torch.sqrt(F.avg_pool2d(detail(one).square(), 8, stride=4) + TEXTURE_FLOOR) for one in (picture, truth)
        )
        counted = F.avg_pool2d(share[..., 1:-1, 1:-1], 8, stride=4)
        total = total + weight * ((made - true).abs() * counted).mean()
        picture, truth, share = F.avg_pool2d(picture, 2), F.avg_pool2d(truth, 2), F.avg_pool2d(share, 2)
    return total


def decoder_loss(
    painted: Tensor, truth: Tensor, base: Tensor, window: Tensor, weights: Weights, *, opaque: bool
) -> tuple[Tensor, dict[str, float]]:
    """The loss of patches `[B, 4, h, w]`, and its parts for the log."""
    picture, opacity = blend(painted, base, window)
    share = emphasis(window, opaque=opaque)
    error = (picture - truth) * share
    parts = {"pixel": error.abs().mean(), "slope": weights.slope * slope_loss(error)}
    if weights.texture:
        parts["texture"] = weights.texture * texture_loss(picture, truth, share * (window > MIDDLE))
    price = ((1 - opacity) * window).mean() if opaque else (opacity * window).mean()
    parts["alpha"] = weights.alpha * (OPAQUE_PULL if opaque else 1.0) * price
    if not opaque:
        shown = opacity * window
        across, down = shown[..., 1:] - shown[..., :-1], shown[..., 1:, :] - shown[..., :-1, :]
        parts["smooth"] = weights.smooth * (across.abs().mean() + down.abs().mean())
    # Under a faint window a patch could mend the base with colours of its own: a line along its border.
    parts["colour"] = weights.colour * (clamp_through(painted)[:, :3] - truth).abs().mean()
    parts["beyond"] = weights.beyond * (F.relu(painted - 1) + F.relu(-painted)).mean()
    return torch.stack(list(parts.values())).sum(), {name: float(part.detach()) for name, part in parts.items()}


def judge(
    pictures: Sequence[Tensor], truths: Sequence[Tensor], time: npt.NDArray[np.int64], window: Array
) -> dict[str, float]:
    """Scores of held-out frames in their order.

    Args:
        pictures, truths: chunks of `[B, 3, h, w]`, 0 to 1.
        time: `[N]` frame numbers.
        window: `[h, w]` of the region.

    Returns:
        `psnr` of the whole patch and `psnr_middle` of its opaque part, mean over frames in decibels; `sharpness`, the
        energy of the Laplacian in the middle over the truth's; `change`, the mean absolute change between neighbours
        in time over the truth's (1 is natural; absent without neighbours or motion).
    """
    inside = torch.from_numpy(window > MIDDLE)
    near = inside[1:-1, 1:-1]
    whole, middle, energy = [], [], np.zeros(2)
    for made, true in zip(pictures, truths, strict=True):
        error = (made - true).square()
        whole.append(error.mean((1, 2, 3)))
        middle.append(error[..., inside].mean((1, 2)))
        energy += [float(detail(one)[..., near].square().sum()) for one in (made, true)]
    scores = {
        "psnr": _decibel(torch.cat(whole)),
        "psnr_middle": _decibel(torch.cat(middle)),
        "sharpness": round(float(energy[0] / max(energy[1], 1e-12)), 3),
    }
    follows = np.flatnonzero(np.diff(time) == 1)
    if len(follows):
        made, true = torch.cat(list(pictures)), torch.cat(list(truths))
        moved = [float((one[follows + 1] - one[follows])[..., inside].abs().mean()) for one in (made, true)]
        if moved[1] > STILL:
            scores["change"] = round(moved[0] / moved[1], 3)
    return scores


def _decibel(errors: Tensor) -> float:
    """Mean PSNR of mean squared errors."""
    return round(float((-10 * torch.log10(errors.clamp(min=10 ** (-MOST_DB / 10)))).mean()), 3)
