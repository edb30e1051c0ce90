"""Keypoints to motion on a grid: heat, thin-plate splines, sampling. Plain functions, without weights.

Source of the scheme: thin-plate-spline motion model (Zhao and Zhang, CVPR 2022): groups of five keypoints, a ridge of
0.01 on the spline's system, a background that stays.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from liveface.render.mobileportrait.sizes import HEAT_WIDTH

GROUP = 5  # keypoints of one spline
RIDGE = 0.01


def identity(rows: int, columns: int, device: torch.device) -> Tensor:
    """Centres of the cells of a grid, normalised, `[rows, columns, 2]` as x and y."""
    y, x = ((torch.arange(count, device=device) + 0.5) * (2 / count) - 1 for count in (rows, columns))
    down, across = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([across, down], 2)


def heat(keypoints: Tensor, grid: int) -> Tensor:
    """Gaussian heat `[B, K, grid, grid]` of keypoints `[B, K, 2]`, normalised to -1..1."""
    centres = (torch.arange(grid, device=keypoints.device) + 0.5) * (2 / grid) - 1
    falls = torch.exp(-0.5 * ((centres - keypoints[..., None]) / HEAT_WIDTH) ** 2)  # [B, K, 2, grid]
    return falls[:, :, 1, :, None] * falls[:, :, 0, None, :]


def _kernel(square: Tensor) -> Tensor:
    return square * torch.log(square + 1e-6)


def thin_plate(source: Tensor, driver: Tensor) -> Tensor:
    """Splines that carry the driver's keypoints to the source's, one for every five of them.

    Args:
        source, driver: `[B, K, 2]`, K a multiple of 5.
    Returns: `[B, K / 5, 8, 2]`: weights of the five kernels, then of 1, x, y.
    """
    from_, to = driver.unflatten(1, (-1, GROUP)), source.unflatten(1, (-1, GROUP))
    away = (from_[..., :, None, :] - from_[..., None, :, :]).square().sum(-1)
    plane = torch.cat([torch.ones_like(from_[..., :1]), from_], -1)  # [B, G, 5, 3]
    top = torch.cat([_kernel(away), plane], -1)
    low = torch.cat([plane.transpose(-1, -2), plane.new_zeros(*plane.shape[:2], 3, 3)], -1)
    system = torch.cat([top, low], -2) + RIDGE * torch.eye(GROUP + 3, device=source.device)
    wanted = torch.cat([to, to.new_zeros(*to.shape[:2], 3, 2)], -2)
    return torch.linalg.solve(system.float(), wanted.float())


def initial_flows(splines: Tensor, driver: Tensor, grid: int) -> Tensor:
    """Places in the source of every cell under each spline and under rest, `[B, K / 5 + 1, grid, grid, 2]`."""
    cells = identity(grid, grid, driver.device).reshape(-1, 2)
    from_ = driver.unflatten(1, (-1, GROUP))
    away = (cells[None, None, :, None] - from_[:, :, None]).square().sum(-1)  # [B, G, cells, 5]
    plane = torch.cat([torch.ones_like(cells[:, :1]), cells], 1).expand(*away.shape[:3], 3)
    bent = torch.cat([_kernel(away), plane], -1) @ splines
    still = cells.expand(len(driver), 1, -1, 2)
    return torch.cat([bent, still], 1).unflatten(2, (grid, grid))


def sample(picture: Tensor, places: Tensor, box: tuple[int, int, int, int] | None = None) -> Tensor:
    """A picture bent by places on a coarse grid, whole or a box of it.

    Args:
        picture: `[B, 3, H, W]`.
        places: `[B, g, g, 2]` normalised places in the picture of the cells of a square grid over it.
        box: x, y, width and height of the part to sample, pixels.
    Returns: `[B, 3, h, w]`.
    """
    x, y, width, height = box or (0, 0, picture.shape[-1], picture.shape[-2])
    shift = (places - identity(places.shape[1], places.shape[2], places.device)).permute(0, 3, 1, 2)
    # Only the shift is enlarged: enlarged places would stand still in the outer half of the outer cells.
    fine = F.interpolate(shift, picture.shape[-2:], mode="bilinear", align_corners=False)
    rest = identity(picture.shape[-2], picture.shape[-1], places.device)[y : y + height, x : x + width]
    moved = fine[:, :, y : y + height, x : x + width].permute(0, 2, 3, 1) + rest
    return F.grid_sample(picture, moved, padding_mode="border", align_corners=False)
