"""From a batch to pictures: the head network run as the run time runs it, but with gradient, on crops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from liveface.nets.mobileportrait import MobilePortrait, shuffle
from liveface.nets.mobileportrait_motion import identity
from liveface.render.mobileportrait.sizes import BLOCK, FLOW_UNIT
from liveface.train.decoder_loss import clamp_through
from liveface.train.mobileportrait_batch import Batch, Emphasis, batch_of
from liveface.train.portrait_data import Sample
from liveface.types import Pixels


@dataclass(slots=True)
class Drawn:
    """What the network made of a batch.

    Attributes:
        picture, warped: `[N, 3, S, S]` crops of the answer, not cut to 0..1, and of the bent first picture.
        answer: `[B, 3+, 64, 64]` of the motion network.
        told: `[B, 50, 2]` the driver's neural keypoints as told by its facial ones.
        known: `[B, 2, 64, 64]` the driver's matte and landmark mask as the motion network knows them.
    """

    picture: Tensor
    warped: Tensor
    answer: Tensor
    told: Tensor
    known: Tensor


def rest_of(batch: Batch, size: int) -> Tensor:
    """Centres of the pixels of every crop, normalised, `[B, C S, S, 2]` for C crops of each sample."""
    whole = identity(batch.picture.shape[-2], batch.picture.shape[-1], batch.picture.device)
    crops = torch.stack([whole[y : y + size, x : x + size] for x, y in batch.corner.tolist()])
    return crops.reshape(len(batch.picture), -1, size, 2)


def met(batch: Batch, answer: Tensor, size: int) -> Tensor:
    """Crops of the truth `[N, 3, S, S]` moved to where the answered flow puts what was drawn; without gradient.

    What the flow already mends of the mismatch is asked for; what it cannot know is forgiven.
    """
    with torch.no_grad():
        left = batch.mismatch[:, :2] + answer[:, :2] * (2 * FLOW_UNIT)
        rest = rest_of(batch, size)
        fine = F.grid_sample(left, rest, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)
        truth = F.grid_sample(batch.scene, rest + fine, mode="bicubic", padding_mode="border", align_corners=False)
        return truth.clamp(0, 1).unflatten(2, (-1, size)).transpose(1, 2).flatten(0, 1)


def bent(places: Tensor, batch: Batch, size: int) -> Tensor:
    """Every crop `[N, 3, S, S]` of the pictures bent by places `[B, 64, 64, 2]`; as `mobileportrait_motion.sample`."""
    rest = rest_of(batch, size)
    shift = (places - identity(places.shape[1], places.shape[2], places.device)).permute(0, 3, 1, 2)
    fine = F.grid_sample(shift, rest, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)
    picture = F.grid_sample(batch.picture, rest + fine, padding_mode="border", align_corners=False)
    return picture.unflatten(2, (-1, size)).transpose(1, 2).flatten(0, 1)


def cut_coarse(plane: Tensor, batch: Batch, size: int, side: int) -> Tensor:
    """Crops `[N, 1, S/4, S/4]` of a plane `[B, 1, 64, 64]` enlarged to the finest grid."""
    fine = F.interpolate(plane, (side // BLOCK, side // BLOCK), mode="bilinear", align_corners=False)
    cells = size // BLOCK
    parts = [
        fine[owner, :, y // BLOCK : y // BLOCK + cells, x // BLOCK : x // BLOCK + cells]
        for owner, (x, y) in zip(batch.owner.tolist(), batch.corner.tolist(), strict=True)
    ]
    return torch.stack(parts)


def view_features(network: MobilePortrait, views: Tensor, still: Tensor) -> Tensor:
    """Mean lowest features of canned views `[N, V, 3, S, S]`; without gradient, and zero without views."""
    size, lowest = views.shape[-1], network.size.lowest
    if not views.shape[1]:
        return still.new_zeros(len(views), network.size.synthesis[-1], size // lowest, size // lowest)
    with torch.no_grad():
        many = views.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        coarse = still.new_zeros(len(many), 4, size // BLOCK, size // BLOCK)
        coarse[:, 0] = 1
        masks = still.new_zeros(len(many), 4, size // 2, size // 2)
        low, _ = network.synthesis.encode(many, masks, coarse, still.repeat_interleave(views.shape[1], 0))
        return low.unflatten(0, views.shape[:2]).mean(1)


def draw(network: MobilePortrait, batch: Batch, *, steer: bool = True) -> Drawn:
    """Everything from the batch to the picture of every crop; `steer`: whether what is seen may teach the flow.

    A truth that follows the flow must not steer it: the two would chase each other across the face (seen).
    """
    size, side = batch.wanted.shape[-1], batch.picture.shape[-1]
    photo, driver, told = network.mixed(batch.facial, batch.driver, batch.source)
    mixed = photo.float(), driver.float()
    pictures, flows = network.first_pictures(batch.base, batch.source, mixed)
    still = network.motion.still(torch.cat([batch.source, batch.still], 1))
    features = network.motion.features(pictures, network.moved_heat(mixed), still)
    answer = network.motion.answer(features).float()
    known = F.pixel_shuffle(network.motion.knows(features), 2).float()
    warped = bent(network.places(answer if steer else answer.detach(), flows), batch, size)
    trust = cut_coarse(clamp_through(1 + answer[:, 2:3]), batch, size, side)
    coarse = torch.cat([trust, batch.coarse], 1)
    plain = network.synthesis.photo(batch.photo)
    views = view_features(network, batch.views, plain.detach())
    residual, _ = network.synthesis(
        warped.contiguous(memory_format=torch.channels_last), batch.masks, coarse, plain, views
    )
    picture = warped + shuffle(residual.float())
    return Drawn(picture, warped, answer, told.float(), known)


@torch.no_grad()
def drawn_whole(network: MobilePortrait, sample: Sample, device: torch.device) -> Pixels:
    """The whole square of a sample, uint8 `[R, R, 3]`."""
    side, config = sample.base.shape[0], network.config
    batch = batch_of([sample], [[(0, 0)]], side, network.size.facial, Emphasis(), initial=config.initial).to(device)
    picture = draw(network, batch).picture[0].clamp(0, 1)
    whole: Pixels = (picture * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return whole
