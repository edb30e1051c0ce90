"""Samples of the portrait pack as tensors: whole squares on the motion grid, crops at full resolution.

Notable choices: motion is seen whole at 64x64, while the synthesis learns on crops by the mouth and the eyes, several
of each sample, because decoding and motion cost as much as two of them; inputs are made by the run time's own
functions; the smooth part of the difference between drawn and tracked points travels along: a network that is asked
for texture at places nobody can know answers with blur, so the truth is compared after moving it by that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from liveface.render.mobileportrait import inputs
from liveface.render.mobileportrait.sizes import BLOCK, MOTION_GRID, VIEWS
from liveface.render.patch import eye_distance
from liveface.render.topology import LIP_OUTER, eye_ring
from liveface.train.portrait_data import Sample, window
from liveface.types import Array, Pixels

REACH = 0.15  # eye distances over which differences of points are averaged: lips and lids move, gaps stay. Chosen
NEAR = 0.1  # eye distances around lips and lids that count as theirs
RIM = 8  # pixels along the border of a crop that are not judged: the network sees nothing beyond


@dataclass(frozen=True, slots=True)
class Batch:
    """B samples and N crops of them, S pixels; pictures from 0 to 1.

    Attributes:
        picture: `[B, 3, R, R]` what is bent: the base, or the photo for thin plates.
        base, source, truth: `[B, 3, 64, 64]`.
        still: `[B, 2, 64, 64]` matte and landmark mask of the photo.
        known: `[B, 2, 64, 64]` matte of the truth and landmark mask of the driver.
        facial, driver: `[B, F, 2]` facial keypoints.
        owner: `[N]` the sample of each crop; corner: `[N, 2]` its x and y.
        photo: `[N, 7, S, S]` plate, photo, matte.
        mismatch: `[B, 3, 64, 64]` of `smooth_difference`.
        masks: `[N, 4, S/2, S/2]`; coarse: `[N, 3, S/4, S/4]` matte, x, y.
        views: `[N, V, 3, S, S]` canned views, V may be 0.
        scene: `[B, 3, R, R]` the truth; wanted: `[N, 3, S, S]` crops of it.
        weight: `[N, 1, S, S]` how much each pixel counts.
        focus: `[N, 2, S, S]` soft masks of the mouth and of the eyes in the truth.
    """

    picture: Tensor
    base: Tensor
    source: Tensor
    truth: Tensor
    still: Tensor
    known: Tensor
    mismatch: Tensor
    facial: Tensor
    driver: Tensor
    owner: Tensor
    corner: npt.NDArray[np.int_]
    photo: Tensor
    masks: Tensor
    coarse: Tensor
    scene: Tensor
    views: Tensor
    wanted: Tensor
    weight: Tensor
    focus: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in fields(self)
            if field.name != "corner"
        }
        return replace(self, **moved)


@dataclass(frozen=True, slots=True)
class Emphasis:
    """How much pixels count beside 1: lips, inner mouth and eyes."""

    lips: float = 4.0
    inner: float = 2.0
    eyes: float = 4.0


def at_rest(sample: Sample) -> Sample:
    """The photo of a sample as its own base and truth."""
    return replace(
        sample, base=sample.source, truth=sample.source, base_matte=sample.matte, truth_matte=sample.matte,
        points=sample.source_points, truth_points=sample.source_points,
    )  # fmt: skip


def smooth_difference(sample: Sample) -> Array:
    """How far the truth lies from what was drawn: the smooth part of the mismatch, and where it is known.

    Differences of the face's points are averaged over `REACH`, and fade to nothing away from the face.

    Returns:
        float32 `[64, 64, 3]`: where to look in the truth for each cell less the cell, x and y in halves of the square,
        and how near the face is, 0 to 1.
    """
    side = sample.base.shape[0]
    places, wanted = (inputs.normalised(points[:468], side) for points in (sample.points, sample.truth_points))
    centres = (np.arange(MOTION_GRID, dtype=np.float32) + 0.5) * (2 / MOTION_GRID) - 1
    reach = REACH * eye_distance(sample.points) * 2 / side
    x, y = (np.exp(-0.5 * ((centres[:, None] - places[None, :, axis]) / reach) ** 2) for axis in (0, 1))
    total = y @ x.T
    moved = [(y * (wanted - places)[:, axis]) @ x.T for axis in (0, 1)]
    known = total / (total + 0.05 * total.max())
    return np.dstack([*[known * part / np.maximum(total, 1e-9) for part in moved], known]).astype(np.float32)


def focus(points: Array, resolution: int) -> Pixels:
    """Soft masks of lips and of the two eyes, widened by `NEAR`, uint8 `[R, R, 2]`."""
    wide = round(NEAR * eye_distance(points))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * wide + 1, 2 * wide + 1))
    planes = []
    for rings in ((LIP_OUTER,), (eye_ring(0), eye_ring(1))):
        plane = np.zeros((resolution, resolution), np.uint8)
        for ring in rings:
            cv2.fillPoly(plane, [np.round(points[ring, :2]).astype(np.int32)], 255)
        planes.append(cv2.blur(cv2.dilate(plane, kernel), (wide | 1, wide | 1)))
    return cv2.merge(planes)


def weights_of(sample: Sample, near: Pixels, drawn: Pixels, emphasis: Emphasis) -> Array:
    """How much each pixel of the truth counts, `[R, R]`, without the rim of the crop."""
    side = near.shape[0]
    inner = cv2.resize(drawn[..., 1], (side, side), interpolation=cv2.INTER_LINEAR)
    total = 1 + (emphasis.lips * near[..., 0] + emphasis.eyes * near[..., 1] + emphasis.inner * inner) / np.float32(255)
    return np.asarray(total * (sample.valid / np.float32(255)), np.float32)


def small(picture: Pixels) -> Pixels:
    """A picture on the motion grid."""
    return np.asarray(cv2.resize(picture, (MOTION_GRID, MOTION_GRID), interpolation=cv2.INTER_AREA), np.uint8)


def batch_of(
    samples: Sequence[Sample],
    corners: Sequence[Sequence[tuple[int, int]]],
    size: int,
    facial: int,
    emphasis: Emphasis,
    *,
    initial: str = "mesh",
    shown: Sequence[int] = range(VIEWS),
) -> Batch:
    """The batch of samples and of the corners of their crops, as many of each; `shown`: canned views that are seen."""
    whole: dict[str, list[npt.NDArray[np.generic]]] = {}
    parts: dict[str, list[npt.NDArray[np.generic]]] = {}
    owner, corner = [], []
    for number, (sample, places) in enumerate(zip(samples, corners, strict=True)):
        side = sample.base.shape[0]
        whole.setdefault("scene", []).append(sample.truth)
        whole.setdefault("mismatch", []).append(smooth_difference(sample))
        whole.setdefault("picture", []).append(sample.base if initial == "mesh" else sample.source)
        for name in ("base", "source", "truth"):
            whole.setdefault(name, []).append(small(getattr(sample, name)))
        drawn = inputs.masks(sample.points, side)
        for name, matte, mask in (
            ("still", sample.matte, inputs.landmark_mask(sample.source_points, side, MOTION_GRID)),
            ("known", sample.truth_matte, inputs.joined(drawn, MOTION_GRID)),
        ):
            whole.setdefault(name, []).append(np.dstack([small(matte) / np.float32(255), mask]))
        whole.setdefault("facial", []).append(inputs.facial(sample.source_points, side, facial))
        whole.setdefault("driver", []).append(inputs.facial(sample.points, side, facial))
        coarse = inputs.coarse(np.ones((MOTION_GRID, MOTION_GRID), np.float32), sample.base_matte, sample.points, side)
        photo = np.dstack([sample.plate, sample.source, sample.matte])
        near = focus(sample.truth_points, side)
        weight = weights_of(sample, near, drawn, emphasis)
        for x, y in places:
            owner.append(number)
            corner.append((x, y))
            full = slice(y, y + size), slice(x, x + size)
            parts.setdefault("photo", []).append(photo[full])
            parts.setdefault("masks", []).append(drawn[y // 2 : (y + size) // 2, x // 2 : (x + size) // 2])
            cells = slice(y // BLOCK, (y + size) // BLOCK), slice(x // BLOCK, (x + size) // BLOCK)
            parts.setdefault("coarse", []).append(coarse[cells][..., 1:])
            parts.setdefault("wanted", []).append(sample.truth[full])
            parts.setdefault("focus", []).append(near[full])
            cut = weight[full]
            if size < side:
                judged = np.zeros_like(cut)
                judged[RIM:-RIM, RIM:-RIM] = cut[RIM:-RIM, RIM:-RIM]
                cut = judged
            parts.setdefault("weight", []).append(cut[..., None])
            views = (
                np.zeros((0, size, size, 3), np.uint8) if sample.views is None else sample.views[list(shown)][:, *full]
            )
            parts.setdefault("views", []).append(views)
    tensors = {name: as_tensor(np.stack(values)) for name, values in (whole | parts).items()}
    return Batch(owner=torch.tensor(owner), corner=np.array(corner), **tensors)


def as_tensor(values: npt.NDArray[np.generic]) -> Tensor:
    """Bytes as shares of 255; pictures `[..., H, W, C]` as `[..., C, H, W]`."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if tensor.dtype == torch.uint8:
        tensor = tensor.float().div_(255)
    return tensor.movedim(-1, -3) if tensor.ndim > 3 else tensor


def windows(sample: Sample, size: int, count: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Corners of `count` crops of a sample."""
    return [window(sample, size, random) for _ in range(count)]
