"""Where the head is: seven keypoints drawn as coloured discs, read by a small convolutional network.

Source: PersonaLive; Hu 2024 (Animate Anyone) for the pose guider.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DRAWN = (1, 2, 3, 4, 12, 15, 20)
"""Which of LivePortrait's 21 keypoints are drawn."""
COLOURS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 85 / 255))
RADIUS_PX = 4
WIDTHS = (16, 32, 96, 256)
BOX_SIDE = 3.4  # side of the face's box in distances from the keypoints' middle to the highest of them
BOX_LESS, BOX_MORE = 0.95, 1.05  # how far the box reaches up and left, down and right, in halves of its side


class PoseGuider(nn.Module):
    """Canvases `[N, 3, H, W]` in [0, 1] to features `[N, C, H / 8, W / 8]`, added to the denoiser's first layer."""

    def __init__(self, out: int = 320, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        layers = []
        for here, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(here, here, 3, padding=1), nn.Conv2d(here, after, 3, padding=1, stride=2)]
        self.blocks = nn.ModuleList(layers)
        self.conv_out_modify = nn.Conv2d(widths[-1], out, 3, padding=1)
        nn.init.zeros_(self.conv_out_modify.weight)
        assert self.conv_out_modify.bias is not None
        nn.init.zeros_(self.conv_out_modify.bias)

    def forward(self, canvas: Tensor) -> Tensor:
        x = F.silu(self.conv_in(canvas))
        for layer in self.blocks:
            x = F.silu(layer(x))
        return self.conv_out_modify(x)


def draw(keypoints: Tensor, side: int) -> Tensor:
    """Discs of the drawn keypoints on black.

    Args:
        keypoints: `[N, 21, 2 or 3]` x and y in [-1, 1].
        side: of the canvas, pixels.
    Returns: `[N, 3, side, side]` in [0, 1].
    """
    return discs(keypoints[:, DRAWN, :2], side)


def discs(places: Tensor, side: int, radius: int = RADIUS_PX) -> Tensor:
    """Seven coloured discs at `[N, 7, 2]` in [-1, 1], as `[N, 3, side, side]`; where they overlap, colours add."""
    centres = ((places + 1) / 2 * side).to(torch.int64)  # truncated, as published
    line = torch.arange(side, device=places.device)
    across = (line - centres[:, :, :1]) ** 2  # [N, 7, side]
    down = (line - centres[:, :, 1:]) ** 2
    inside = (down[:, :, :, None] + across[:, :, None, :]) <= radius**2
    return torch.einsum("nkyx,kc->ncyx", inside.to(places.dtype), places.new_tensor(COLOURS)).clamp(0, 1)


def face_boxes(keypoints: Tensor, side: int) -> Tensor:
    """Square boxes `[N, 4]` (left, top, right, bottom; whole pixels) of faces with keypoints `[N, 21, 2 or 3]`."""
    points = ((keypoints[:, DRAWN, :2] + 1) / 2 * side).trunc()
    middle = points.mean(dim=1)
    half = BOX_SIDE * (middle[:, 1] - points[:, :, 1].amin(dim=1)) / 2
    corners = torch.cat([middle - BOX_LESS * half[:, None], middle + BOX_MORE * half[:, None]], dim=1)
    return corners.clamp(0, side - 1).to(torch.int64)


def crop_face(picture: Tensor, box: Tensor, side: int = 224) -> Tensor:
    """A box of a picture `[3, H, W]` scaled to `[3, side, side]`, without smoothing beforehand."""
    left, top, right, bottom = (int(edge) for edge in box)
    part = picture[None, :, top:bottom, left:right]
    return F.interpolate(part, size=(side, side), mode="bilinear", align_corners=False)[0]
