"""Training of the mouth-interior network.

Notable choices: the exemplar is another frame of the same clip or the portrait's own teeth, moved, cropped, recoloured
and dropped at random, so that the network copies teeth it is shown and invents them only when it is shown none; lips
around the hole are blurred and smeared in half of the samples, as a mesh warp leaves them; pixel and gradient loss
inside the hole only, then a hinge critic with feature matching and a lazy gradient penalty (source: the project's
learning notes; Mescheder et al. 2018 for the penalty); every score also for moving pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.errors import RecipeError
from liveface.nets.mouth import MouthConfig, MouthCritic, MouthNet, unfold
from liveface.render.patch import (
    HEIGHT,
    INNER,
    OUTER,
    STORED_HEIGHT,
    STORED_WIDTH,
    WIDTH,
    Lock,
    assemble,
    eye_distance,
    hole_mask,
    mouth_shows,
    move,
    paint_rows,
    patch_affine,
    place,
    premultiply,
)
from liveface.train.loop import Run
from liveface.train.mouth_data import Patches
from liveface.train.mouth_score import HeldOut
from liveface.train.recipe import parse_options
from liveface.types import Array, Pixels

BINS = (0.05, 0.09, 0.14, 0.22, 0.35, 9.0)  # openings; the tracker reports up to 0.05 for closed lips
BIN_SHARES = (0.16, 0.22, 0.25, 0.21, 0.16)
PORTRAIT_SHARES = (0.4, 0.5, 0.6, 0.5, 0.15)  # in each bin; few portraits are wide open
NO_TEXTURE = np.zeros((HEIGHT, WIDTH, 4), np.uint8)


@dataclass(frozen=True, slots=True)
class MouthOptions:
    """The table `[task]` of a mouth recipe.

    Attributes:
        patches: folder of `liveface.train.mouth_data`, absolute or relative to the working folder.
        critic_from: step at which the critic joins.
        critic_ramp: steps over which its weight grows to the full one.
        critic_rate: its learning rate over the network's.
        adversarial, matching, gradient: weights of the losses beside the pixel loss.
        penalty: weight of the gradient penalty, every `penalty_every` steps.
        alone: share of samples without exemplar.
        rough: share of samples with rough lips.
    """

    patches: str
    critic_from: int = 1500
    critic_ramp: int = 500
    critic_rate: float = 0.8
    adversarial: float = 0.1
    matching: float = 2.0
    gradient: float = 1.0
    penalty: float = 1.0
    penalty_every: int = 16
    alone: float = 0.35
    rough: float = 0.5


def looks_open(pixels: Pixels, points: Array, gap: float) -> bool:
    """Whether the hole of a stored patch shows teeth or a cavity in colour, not lips that the tracker thinks open."""
    affine = patch_affine(points)
    patch = cv2.warpAffine(pixels, affine, (WIDTH, HEIGHT))
    shown = sum(mouth_shows(patch, move(affine, points[INNER]), move(affine, points[OUTER])))
    return shown > (0.45 if gap < 0.1 else 0.25)


@dataclass(slots=True)
class Sampler:
    """Draws training samples, balanced by opening, then portrait or clip, then source.

    Attributes:
        patches: all stored patches.
        keep: numbers of those that may be drawn.
        random: source of every choice.
        options: the recipe's.
    """

    patches: Patches
    keep: np.ndarray
    random: np.random.Generator
    options: MouthOptions
    drawers: list[list[list[np.ndarray]]] = field(default_factory=list)
    mates: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = self.patches
        bins = np.digitize(kept.opening[self.keep], BINS) - 1
        for number in range(len(BIN_SHARES)):
            pair = []
            for portrait in (False, True):
                here = self.keep[(bins == number) & (kept.portrait[self.keep] == portrait)]
                pair.append([here[kept.source[here] == s] for s in np.unique(kept.source[here])])
            self.drawers.append(pair)
        if not any(pair[0] or pair[1] for pair in self.drawers):
            raise RecipeError("no mouth patch may be drawn; use more data groups or cut the patches again.")
        moving = self.keep[~kept.portrait[self.keep]]
        self.mates = {int(s): moving[kept.source[moving] == s] for s in np.unique(kept.source[moving])}

    def draw(self) -> tuple[int, int | None]:
        """A target and its exemplar (None: alone)."""
        while True:
            number = int(self.random.choice(len(BIN_SHARES), p=BIN_SHARES))
            drawer = self.drawers[number][int(self.random.random() < PORTRAIT_SHARES[number])]
            if drawer:
                break
        target = int(self.random.choice(drawer[int(self.random.integers(len(drawer)))]))
        if self.random.random() < self.options.alone:
            return target, None
        if self.patches.portrait[target]:
            return target, target
        return target, int(self.random.choice(self.mates[int(self.patches.source[target])]))

    def sample(self) -> tuple[Array, Array]:
        """Input `[64, 112, 16]` and true patch `[64, 112, 3]`, augmented; about 2 ms."""
        target, mate = self.draw()
        rng = self.random
        colours = _colours(rng)
        points = self.patches.points[target]
        jitter = patch_affine(points) * np.float32(np.exp(rng.normal(0, 0.06)))
        middle = (points[INNER, :2].min(0) + points[INNER, :2].max(0)) / 2
        jitter[:, 2] += np.array([WIDTH, HEIGHT]) / 2 - move(jitter, middle[None])[0] + rng.normal(0, (5, 3))
        true = cv2.warpAffine(cv2.LUT(self.patches.pixels[target], colours), jitter, (WIDTH, HEIGHT),
                              borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        ring = move(jitter, points[INNER]) + rng.normal(0, 0.4, (20, 2))
        hole = hole_mask(ring.astype(np.float32), rng.uniform(0, 2))
        shown = rough_lips(true, hole, rng) if rng.random() < self.options.rough else true
        textures = (NO_TEXTURE, NO_TEXTURE)
        if mate is not None:
            textures = self.textures(mate, points, jitter, colours)
        nose = move(jitter, points[2:3])[0]
        unit = eye_distance(points) * float(np.hypot(*jitter[0, :2]))
        given = assemble(shown, hole, textures, paint_rows(points, jitter), nose, unit)[0]
        out = true.astype(np.float32) / 255
        if rng.random() < 0.5:
            given, out = given[:, ::-1].copy(), out[:, ::-1]
            given[:, :, 14] = 1 - given[:, :, 14]
        return given, out

    def textures(self, mate: int, points: Array, affine: Array, colours: Array) -> tuple[Pixels, Pixels]:
        """The exemplar `mate` locked to the skull and to the jaw of `points`, with the errors of real use."""
        rng = self.random
        ring = self.patches.points[mate][INNER, :2].copy()
        if rng.random() < 0.5:
            top = ring[:11].mean(0)[1]
            ring[:, 1] = np.minimum(ring[:, 1], top + (ring[:, 1].max() - top) * rng.uniform(0.35, 1))
        tinted = cv2.LUT(self.patches.pixels[mate], colours)
        if rng.random() < 0.4:
            tinted = cv2.LUT(tinted, _colours(rng, 0.4))
        if rng.random() < 0.4:
            tinted = cv2.GaussianBlur(tinted, (0, 0), rng.uniform(0.4, 1.4))
        cut = premultiply(tinted, hole_mask(ring, 0, (STORED_WIDTH, STORED_HEIGHT)))
        lock = Lock.of(self.patches.points[mate])
        return place((cut, cut), lock, points, affine, rng.normal(0, 0.7, 2).astype(np.float32))


def _colours(rng: np.random.Generator, strength: float = 1.0) -> Array:
    """A random exposure, contrast and tint as a table `[1, 256, 3]` uint8."""
    ramp = np.arange(256, dtype=np.float32)[None, :, None] / 255
    gain = np.exp(rng.normal(0, 0.15 * strength) + rng.normal(0, 0.05 * strength, 3)).astype(np.float32)
    return (np.clip(ramp ** np.exp(rng.normal(0, 0.12 * strength)) * gain, 0, 1) * 255).astype(np.uint8)


def rough_lips(patch: Pixels, hole: Pixels, rng: np.random.Generator) -> Pixels:
    """Lips as a mesh warp leaves them: soft at the rim, dark or lip-coloured smears towards the hole."""
    out = patch.astype(np.float32)
    wide = int(rng.integers(3, 10)) | 1
    rim = cv2.GaussianBlur(cv2.dilate(hole, np.ones((wide, wide), np.uint8)), (0, 0), 1.2).astype(np.float32) / 255
    soft = cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.7, 2.5)).astype(np.float32)
    out += (soft - out) * rim[:, :, None]
    if rng.random() < 0.5:
        ring = cv2.GaussianBlur(cv2.dilate(hole, np.ones((3, 3), np.uint8)), (3, 3), 0.8).astype(np.float32) / 255
        lips = (rim > 0.5) & (hole < 20)
        tint = out[lips].mean(0) if lips.any() else np.array([150.0, 90, 85])
        out += (tint * rng.uniform(0.35, 1.05) - out) * (ring * rng.uniform(0.3, 1))[:, :, None]
    return np.clip(out, 0, 255).astype(np.uint8)


def masked_losses(picture: Tensor, true: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel and gradient loss inside the hole, each divided by the hole's area (200 px at least)."""
    area = hole.sum((1, 2, 3)).clamp(min=200)
    pixel = ((picture - true).abs().mean(1, keepdim=True) * hole).sum((1, 2, 3)) / area
    error = (picture - true) * hole
    slope = (error[..., 1:] - error[..., :-1]).abs().mean(1).sum((1, 2))
    slope = slope + (error[..., 1:, :] - error[..., :-1, :]).abs().mean(1).sum((1, 2))
    return pixel.mean(), (slope / area).mean()


class MouthTask:
    """The mouth network, its critic, its data; see `liveface.train.loop.Task`."""

    def __init__(self, run: Run) -> None:
        self.run, recipe = run, run.recipe
        self.options = parse_options(MouthOptions, recipe.options, f"the table [task] of recipe {recipe.name!r}")
        self.config = parse_options(MouthConfig, recipe.network, f"the table [network] of recipe {recipe.name!r}")
        self.patches = Patches.load(Path(self.options.patches))
        open_mouths = np.array(
            [gap >= BINS[0] and looks_open(pixels, points, gap) for pixels, points, gap in
             zip(self.patches.pixels, self.patches.points, self.patches.opening, strict=True)]
        )  # fmt: skip
        allowed = np.ones(len(open_mouths), bool) if "permissive" in recipe.groups else self.patches.open_group
        keep = np.flatnonzero(open_mouths & allowed & ~self.patches.held_out)
        seed = recipe.seed * 1000 + run.rank
        self.sampler = Sampler(self.patches, keep, np.random.default_rng(seed), self.options)
        self.tests = HeldOut(self.patches, np.flatnonzero(open_mouths & self.patches.held_out))
        network = MouthNet(self.config).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        critic = MouthCritic().to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: dict[str, nn.Module] = {"main": network, "critic": critic}
        rate, scale = recipe.learning_rate, self.options.critic_rate
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(network.parameters(), rate, betas=(0.9, 0.99), weight_decay=1e-4),
            "critic": torch.optim.AdamW(
                [{"params": critic.parameters(), "rate_scale": scale}], rate, betas=(0.5, 0.99)
            ),
        }

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs `[B, 16, 64, 112]` and true patches `[B, 3, 64, 112]`."""
        pairs = [self.sampler.sample() for _ in range(self.run.recipe.batch)]
        tensors = [
            torch.from_numpy(np.stack(part)).to(self.run.device).permute(0, 3, 1, 2)
            for part in zip(*pairs, strict=True)
        ]
        return tensors[0], tensors[1]

    def step(self, index: int) -> dict[str, float]:
        """One step of the network, and of the critic once it has joined."""
        given, true = self.batch()
        hole = given[:, 3:4]
        with self.run.autocast():
            grid = self.networks["main"](given)
        painted = unfold(grid.float())
        pixel, slope = masked_losses(painted, true, hole)
        loss = pixel + self.options.gradient * slope
        numbers = {"pixel": float(pixel.detach()), "slope": float(slope.detach())}
        if index >= self.options.critic_from:
            rows = given[:, 12:14]
            fake = torch.cat([true + (painted - true) * hole, hole, rows], 1)
            real = torch.cat([true, hole, rows], 1)
            numbers |= self.judge(index, real, fake.detach(), hole)
            ramp = min(1.0, (index - self.options.critic_from) / self.options.critic_ramp)
            loss = loss + ramp * self.please(real, fake, hole, numbers)
        self.update("main", loss)
        return numbers

    def judge(self, index: int, real: Tensor, fake: Tensor, hole: Tensor) -> dict[str, float]:
        """One critic step: hinge inside the hole, and now and then the gradient penalty on real patches."""
        critic = self.networks["critic"].requires_grad_(requires_grad=True)
        weight = hole_weight(hole)
        with self.run.autocast():
            scores = critic(torch.cat([real, fake]))[0].float()
        good, bad = scores.chunk(2)
        hinge = (F.relu(1 - good) * weight).sum() / weight.sum() + (F.relu(1 + bad) * weight).sum() / weight.sum()
        loss = hinge
        if index % self.options.penalty_every == 0:
            some = real[:8].detach().clone()
            some.requires_grad = True
            total = (critic(some)[0] * weight[:8]).sum()
            (slope,) = torch.autograd.grad(total, some, create_graph=True)
            penalty = (slope[:, :3].square().sum((1, 2, 3)) / weight[:8].sum((1, 2, 3)).clamp(min=1)).mean()
            loss = loss + self.options.penalty * self.options.penalty_every / 2 * penalty
        self.update("critic", loss)
        return {"hinge": float(hinge.detach())}

    def please(self, real: Tensor, fake: Tensor, hole: Tensor, numbers: dict[str, float]) -> Tensor:
        """What the critic asks of the network: a good score inside the hole, and features like the truth's."""
        critic = self.networks["critic"].requires_grad_(requires_grad=False)
        weight = hole_weight(hole)
        with self.run.autocast(), torch.no_grad():
            wanted = critic(real)[1]
        with self.run.autocast():
            score, features = critic(fake)
        adversarial = -(score.float() * weight).sum() / weight.sum()
        matching = torch.stack(
            [
                ((a.float() - b.float()).abs().mean(1, keepdim=True) * part).sum() / part.sum()
                for a, b in zip(features, wanted, strict=True)
                for part in [F.adaptive_avg_pool2d(hole, a.shape[-2:])]
            ]
        ).mean()
        numbers["score"], numbers["matching"] = float(adversarial.detach()), float(matching.detach())
        return self.options.adversarial * adversarial + 0.1 * self.options.matching * matching

    def update(self, name: str, loss: Tensor) -> None:
        """Backward, average over processes, clip, step."""
        optimizer, network = self.optimizers[name], self.networks[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.run.average_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), self.run.recipe.clip)
        optimizer.step()

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Held-out scores; see `HeldOut.scores`."""
        return self.tests.scores(lambda given: paint_with(network, given, self.run.device))

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """A contact sheet of held-out mouths: truth, hole, alone, with exemplar."""
        folder.mkdir(parents=True, exist_ok=True)
        sheet = self.tests.sheet(lambda given: paint_with(network, given, self.run.device))
        cv2.imwrite(str(folder / f"{index:06d}.png"), sheet[:, :, ::-1])


def hole_weight(hole: Tensor) -> Tensor:
    """The hole on the critic's grid."""
    return F.avg_pool2d(hole, 8)


def paint_with(network: nn.Module, given: Array, device: torch.device) -> Array:
    """Run the network on inputs `[B, 64, 112, 16]`; pictures `[B, 64, 112, 3]`."""
    with torch.no_grad():
        picture = unfold(network(torch.from_numpy(given).to(device).permute(0, 3, 1, 2)).float())
    return picture.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
