"""Training of the head network: `liveface train recipes/mobileportrait.toml -o runs/mobileportrait`.

Notable choices: the network starts as the mesh renderer's picture and learns what that does wrong; motion is seen whole
and coarse, the synthesis on crops by mouth and eyes; features of the canned views are computed without gradient by the
same encoder, which learns from the main path; shards that a pack gains while a run goes on are read as they
come; scores are those of people set aside, each beside the score of the mesh renderer's own picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.mobileportrait import MobilePortrait, PortraitConfig
from liveface.render.mobileportrait.sizes import FLOW_UNIT, VIEWS
from liveface.train import portrait_features
from liveface.train.decoder_loss import clamp_through
from liveface.train.loop import Run
from liveface.train.mobileportrait_batch import Batch, Emphasis, at_rest, batch_of, windows
from liveface.train.mobileportrait_draw import Drawn, draw, drawn_whole, met
from liveface.train.mobileportrait_loss import (
    Critic,
    LossWeights,
    bend,
    critic_weight,
    hinge,
    matching,
    moved,
    pixel_and_slope,
    roughness,
    slope_penalty,
    texture,
    weighted,
)
from liveface.train.mobileportrait_score import judged, sheet
from liveface.train.portrait_data import PortraitPack, Sample
from liveface.train.recipe import parse_options
from liveface.types import Pixels

SHEET_ROWS = 10
DETECTOR_RATE = 0.2
KNOWN_SHARE = 4  # one sample in so many teaches the neural keypoints: seeing three pictures costs as much as a crop


@dataclass(frozen=True, slots=True)
class PortraitOptions:
    """The table `[task]` of a recipe.

    Attributes:
        pack: folder of `liveface.train.portrait_pack`; reread for new shards every `reread` steps.
        features: file of `liveface.train.portrait_features`; empty: no perceptual loss.
        crop: pixels of a crop, a multiple of 32; crops: of every sample.
        align: whether the truth is compared after moving it by the smooth part of the mismatch of drawn and tracked
            points, as far as the flow does not mend that.
        own_mouth: how much of the inner mouth is to stay as the mesh renderer paints it, 0 to 1. Its teeth are decided
            and locked to the skull; without a critic this network would lay their average over them, a grey veil.
        knowledge: whether keypoint, equivariance, matte and landmark losses are used.
        rest: share of samples that show the photo itself, of which nothing is to be changed: pairs of a pack move much,
            and a network that has seen nothing else mends what is whole.
        shares: of the kinds of samples, by name.
        weights, emphasis: see `LossWeights` and `Emphasis`.
        critic_from: step at which the critic joins; critic_ramp: steps until its full weight; critic_rate: its
            learning rate over the network's.
        adversarial, matching: weights of its wishes; penalty, every `penalty_every` steps: of its slope at real crops.
        tuning: samples of people set aside that are scored.
    """

    pack: str
    features: str = ""
    crop: int = 128
    crops: int = 2
    align: bool = True
    own_mouth: float = 0.85
    knowledge: bool = True
    rest: float = 0.15
    shares: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    emphasis: dict[str, float] = field(default_factory=dict)
    critic_from: int = 1_000_000
    critic_ramp: int = 400
    critic_rate: float = 0.8
    adversarial: float = 0.05
    matching: float = 0.3
    penalty: float = 1.0
    penalty_every: int = 16
    tuning: int = 48
    reread: int = 250


def groups_of(network: MobilePortrait) -> list[dict[str, Any]]:
    """Parameter groups; the detector learns slowly: its maps sharpen without end, and at full rate they blew up."""
    slow = set(network.detector.parameters())
    others = [parameter for parameter in network.parameters() if parameter not in slow]
    return [{"params": others}, {"params": list(network.detector.parameters()), "rate_scale": DETECTOR_RATE}]


class PortraitTask:
    """The head network, its critic, its data; see `liveface.train.loop.Task`."""

    def __init__(self, run: Run) -> None:
        self.run, recipe = run, run.recipe
        where = f"of recipe {recipe.name!r}"
        self.options = parse_options(PortraitOptions, recipe.options, f"the table [task] {where}")
        self.weights = parse_options(LossWeights, self.options.weights, f"the table [task.weights] {where}")
        self.emphasis = parse_options(Emphasis, self.options.emphasis, f"the table [task.emphasis] {where}")
        config = parse_options(PortraitConfig, recipe.network, f"the table [network] {where}")
        self.random = np.random.default_rng([recipe.seed, run.rank])
        self.pack = PortraitPack.open(Path(self.options.pack), recipe.groups)
        network = MobilePortrait(config).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        critic = Critic().to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: dict[str, nn.Module] = {"main": network, "critic": critic}
        self.features = None
        if self.options.features:
            self.features = portrait_features.load(Path(self.options.features)).to(run.device)
        rate, scale = recipe.learning_rate, self.options.critic_rate
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(groups_of(network), rate, betas=(0.9, 0.99), weight_decay=1e-4),
            "critic": torch.optim.AdamW(
                [{"params": critic.parameters(), "rate_scale": scale}], rate, betas=(0.5, 0.99)
            ),
        }
        self.tests = self.pack.tuning(self.options.tuning, views=config.views)

    @property
    def network(self) -> MobilePortrait:
        """The network in training."""
        network = self.networks["main"]
        assert isinstance(network, MobilePortrait)
        return network

    @property
    def follows(self) -> bool:
        """Whether the truth is compared where the flow puts the picture; thin plates have to learn where that is."""
        return self.options.align and self.network.config.initial == "mesh"

    def batch(self, index: int) -> Batch:
        """Samples of one step."""
        if index and index % self.options.reread == 0:
            self.pack = PortraitPack.open(Path(self.options.pack), self.run.recipe.groups)
        config = self.network.config
        samples = self.pack.draw(self.run.recipe.batch, self.random, self.options.shares or None, views=config.views)
        samples = [at_rest(one) if self.random.random() < self.options.rest else one for one in samples]
        size, many = self.options.crop, self.options.crops
        corners = [windows(sample, size, many, self.random) for sample in samples]
        facial = self.network.size.facial
        seen = self.random.choice(VIEWS, VIEWS // 2, replace=False).tolist()  # half of them: as good, at half the cost
        batch = batch_of(samples, corners, size, facial, self.emphasis, initial=config.initial, shown=seen)
        return batch.to(self.run.device)

    def step(self, index: int) -> dict[str, float]:
        """One step of the network, and of the critic once it has joined."""
        batch = self.batch(index)
        with self.run.autocast():
            drawn = draw(self.network, batch, steer=not self.follows)
        if self.follows:
            batch = replace(batch, wanted=met(batch, drawn.answer, self.options.crop))
        if self.options.own_mouth:
            inner = F.interpolate(batch.masks[:, 1:2], scale_factor=2, mode="bilinear", align_corners=False)
            batch = replace(batch, wanted=batch.wanted.lerp(drawn.warped.detach(), self.options.own_mouth * inner))
        loss, numbers = self.losses(batch, drawn)
        if index >= self.options.critic_from:
            sharp = clamp_through(drawn.picture)
            shown = F.interpolate(batch.masks[:, 1:3], scale_factor=2, mode="nearest")  # inner mouth and eyes
            real, fake = (torch.cat([one, shown], 1) for one in (batch.wanted, sharp))
            share = critic_weight(batch.focus, batch.weight)
            numbers |= self.judge(index, real, fake.detach(), share)
            ramp = min(1.0, (index - self.options.critic_from) / self.options.critic_ramp)
            loss = loss + ramp * self.please(real, fake, batch, share, numbers)
        self.update("main", loss)
        return numbers

    def losses(self, batch: Batch, drawn: Drawn) -> tuple[Tensor, dict[str, float]]:
        """All losses but the critic's, summed, and each by name."""
        weights, made = self.weights, clamp_through(drawn.picture)
        pixel, slope = pixel_and_slope(made, batch.wanted, batch.weight)
        parts = {
            "pixel": weights.pixel * pixel,
            "slope": weights.slope * slope,
            "texture": weights.texture * texture(made, batch.wanted, batch.weight),
            "warp": weights.warp * weighted(drawn.warped - batch.wanted, batch.weight),
            "smooth": weights.smooth * roughness(drawn.answer[:, :2]),
        }
        if self.follows:
            left = (batch.mismatch[:, :2] + drawn.answer[:, :2] * (2 * FLOW_UNIT)).abs() * batch.mismatch[:, 2:]
            parts["flow"] = weights.flow * left.mean()
        away = (batch.weight <= 1) * (1 - batch.focus.amax(1, keepdim=True))
        parts["still"] = weights.still * ((drawn.picture - drawn.warped).abs() * away).mean()
        if self.features is not None:
            with self.run.autocast():
                with torch.no_grad():
                    true = self.features(batch.wanted)
                    there = self.features.place(true[2]).float()
                seen = self.features(made)
                here = self.features.place(seen[2]).float()
            parts["perceptual"] = weights.perceptual * self.features.distance(seen, true, batch.weight)
            if self.options.knowledge:
                share = F.adaptive_avg_pool2d(batch.weight * batch.focus.amax(1, keepdim=True), here.shape[-2:])
                parts["keypoint"] = weights.keypoint * weighted(here - there, share)
        if self.options.knowledge:
            parts |= self.knowledge(batch, drawn)
        return torch.stack(list(parts.values())).sum(), {name: float(part.detach()) for name, part in parts.items()}

    def knowledge(self, batch: Batch, drawn: Drawn) -> dict[str, Tensor]:
        """Losses that teach keypoints and motion what is known of the driver."""
        detector, weights = self.network.detector, self.weights
        some = max(1, len(batch.source) // KNOWN_SHARE)
        source = batch.source[:some]
        maps, back = bend(some, source.device)
        rows = F.affine_grid(maps, list(source.shape), align_corners=False)
        bent = F.grid_sample(source, rows, padding_mode="border", align_corners=False)
        with self.run.autocast():
            plain, turned, true = detector(torch.cat([source, bent, batch.truth[:some]])).float().chunk(3)
        wrong = (drawn.known - batch.known).abs().mean((0, 2, 3))
        return {
            "told": weights.keypoint * (drawn.told[:some] - true).abs().mean(),
            "equivariance": weights.equivariance * (turned - moved(plain, back)).abs().mean(),
            "matte": weights.matte * wrong[0],
            "landmark": weights.landmark * wrong[1],
        }

    def judge(self, index: int, real: Tensor, fake: Tensor, share: Tensor) -> dict[str, float]:
        """One step of the critic."""
        critic = self.networks["critic"].requires_grad_(requires_grad=True)
        with self.run.autocast():
            scores = critic(torch.cat([real, fake]))[0].float()
        found = hinge(scores, share)
        loss = found
        if index % self.options.penalty_every == 0:
            price = self.options.penalty * self.options.penalty_every / 2
            loss = loss + price * slope_penalty(critic, real[:6], share[:6])
        self.update("critic", loss)
        return {"hinge": float(found.detach())}

    def please(self, real: Tensor, fake: Tensor, batch: Batch, share: Tensor, numbers: dict[str, float]) -> Tensor:
        """What the critic asks of the network."""
        critic = self.networks["critic"].requires_grad_(requires_grad=False)
        with self.run.autocast():
            with torch.no_grad():
                wanted = critic(real)[1]
            scores, features = critic(fake)
        adversarial = -(scores.float() * share).sum() / share.sum().clamp(min=1)
        alike = matching(features, wanted, batch.focus.amax(1, keepdim=True))
        numbers["score"], numbers["matching"] = float(adversarial.detach()), float(alike.detach())
        return self.options.adversarial * adversarial + self.options.matching * alike

    def update(self, name: str, loss: Tensor) -> None:
        """Backward, average over processes, clip, step."""
        optimizer, network = self.optimizers[name], self.networks[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.run.average_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), self.run.recipe.clip)
        optimizer.step()

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on people set aside; see `liveface.train.mobileportrait_score`."""
        return judged(self.tests, self.made(network, self.tests))

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """A contact sheet of people set aside."""
        folder.mkdir(parents=True, exist_ok=True)
        some = self.tests[:: max(1, len(self.tests) // SHEET_ROWS)][:SHEET_ROWS]
        cv2.imwrite(str(folder / f"{index:06d}.png"), sheet(some, self.made(network, some))[:, :, ::-1])

    def made(self, network: nn.Module, samples: Sequence[Sample]) -> list[Pixels]:
        """Samples drawn whole by `network`."""
        assert isinstance(network, MobilePortrait)
        return [drawn_whole(network, sample, self.run.device) for sample in samples]
