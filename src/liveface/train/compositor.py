"""Training of the compositor and its appearance network: `liveface train recipes/compositor.toml`.

Notable choices: the loss is the squared error of each frame over that of its composed picture, so that a frame that
was good already counts as much as a bad one and doing worse than nothing costs most; it is heavier where patches lie,
because most of a frame is a background that is right already, and a second term asks for as much fine detail as the
truth has; absolute errors were tried first and taught the network to do nothing. Training starts at the best linear
filter of the composed picture, in closed form. Every step shows few people with several frames each on a band of rows,
so that the appearance of a person is computed once; scores are kept apart for people it learned from and people it
never saw.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.errors import RecipeError
from liveface.nets.liveface import Compositor, unshuffle
from liveface.render.liveface.sizes import BLOCK, sizes_of
from liveface.train.compositor_data import BAND_STEP, FEATURE_STEP, Faults, People, band
from liveface.train.compositor_score import CLEAN, HALF_DRAWN, USUAL, exams_of, painter_of, save_sheet, scores
from liveface.train.loop import Run
from liveface.train.recipe import parse_options
from liveface.types import Pixels

STARTING = 24  # batches that the linear filter is fitted to
RANK = 20  # of the linear filter: half of the stem's channels and a few; more gained nothing
LEAST_ERROR = 2e-5  # squared error below which a frame counts as right already, 47 dB

IDENTITIES = "identities.json"
"""In the run folder: names of the people it learned from and of those it never saw."""


@dataclass(frozen=True, slots=True)
class CompositorOptions:
    """The table `[task]` of a compositor recipe.

    Attributes:
        packs: folder of packs, absolute or relative to the working folder.
        size: name of the networks' size.
        people: persons in a step; the recipe's batch is shared by them.
        rows: canvas rows that a step sees, a multiple of 64.
        texture: weight of slopes that are weaker or stronger than true around a pixel.
        patch: extra weight where patches lie.
        faults: how much patches are spoilt, see `Faults`; 1 is the usual.
        drawn: folder of `compositor_drawn`; empty: only made-up faults.
        unseen: patterns of names of people never learned from, besides one in eight.
    """

    packs: str
    size: str = "base"
    people: int = 2
    rows: int = 320
    texture: float = 0.3
    patch: float = 3.0
    faults: float = 1.0
    drawn: str = ""
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from; `P` people with `K` frames each.

    Attributes:
        references: `[P, 3, H/2, W/2]`; owner: `[P * K]` whose frame it is.
        canvas, truth: `[P * K, 3, rows, W]`; seen: `[P * K, 10, rows/2, W/2]`.
        cells: rows of the feature grid that belong to the band.
    """

    references: Tensor
    owner: Tensor
    canvas: Tensor
    truth: Tensor
    seen: Tensor
    cells: slice


class CompositorTask:
    """The compositor and its data; see `liveface.train.loop.Task`."""

    def __init__(self, run: Run) -> None:
        self.run, recipe = run, run.recipe
        self.options = parse_options(CompositorOptions, recipe.options, f"the table [task] of recipe {recipe.name!r}")
        if self.options.rows % BAND_STEP:
            raise RecipeError(
                f"recipe {recipe.name!r} shows {self.options.rows} rows; expected a multiple of {BAND_STEP}: change it."
            )
        if recipe.batch % self.options.people:
            raise RecipeError(
                f"recipe {recipe.name!r} has a batch of {recipe.batch} for {self.options.people} people; expected a "
                "multiple: change either."
            )
        drawn = Path(self.options.drawn) if self.options.drawn else None
        self.people = People(Path(self.options.packs), self.options.unseen, drawn)
        self.random = np.random.default_rng(recipe.seed * 1000 + run.rank)
        kinds = {"seen": self.people.seen, "unseen": self.people.unseen}
        usual = HALF_DRAWN if drawn else USUAL
        self.exams = {name: exams_of(people, usual) for name, people in kinds.items()}
        self.clean = exams_of(self.people.unseen, CLEAN, frames=1)
        torch.manual_seed(recipe.seed)
        network = Compositor(sizes_of(self.options.size)[1])
        start_linear(network, [self.batch() for _ in range(STARTING)])
        network = network.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: dict[str, nn.Module] = {"main": network}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(network.parameters(), recipe.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
        }
        if run.leads:
            names = {kind: [person.name for person in people] for kind, people in kinds.items()}
            (run.folder / IDENTITIES).write_text(json.dumps(names, indent=1), encoding="utf-8")

    def batch(self) -> Batch:
        """Draw people and frames."""
        options = self.options
        each, faults = self.run.recipe.batch // options.people, Faults().times(options.faults)
        rows = band(self.people.height, options.rows, self.random)
        drawn = [self.people.draw(each, faults, rows, self.random) for _ in range(options.people)]
        sights = [sight for _, several in drawn for sight in several]
        return Batch(
            self._tensor([reference for reference, _ in drawn]),
            torch.arange(options.people, device=self.run.device).repeat_interleave(each),
            self._tensor([sight.canvas for sight in sights]),
            self._tensor([sight.truth for sight in sights]),
            self._tensor([sight.seen for sight in sights]),
            slice(rows.start // FEATURE_STEP, rows.stop // FEATURE_STEP),
        )

    def _tensor(self, pictures: list[Pixels]) -> Tensor:
        stacked = torch.from_numpy(np.stack(pictures)).to(self.run.device)
        return stacked.permute(0, 3, 1, 2).float() / 255

    def step(self, index: int) -> dict[str, float]:
        """One step."""
        batch, network = self.batch(), self.networks["main"]
        assert isinstance(network, Compositor)
        with self.run.autocast():
            features = network.appearance(batch.references)[batch.owner][:, :, batch.cells]
            residual = network(batch.seen, features)
        made = batch.canvas + residual.float()
        found = losses(made, batch, self.options.patch)
        loss = found["error"] + self.options.texture * found["texture"]
        optimizer = self.optimizers["main"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.run.average_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), self.run.recipe.clip)
        optimizer.step()
        return {name: float(value.detach()) for name, value in found.items()}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores of people seen and unseen, and of unseen ones whose patches are faultless."""
        assert isinstance(network, Compositor)
        paint = painter_of(network)
        out: dict[str, float] = {}
        for kind, exams in (*self.exams.items(), ("clean", self.clean)):
            out |= {f"{kind}_{name}": value for name, value in scores(exams, paint).items()} if exams else {}
        return out

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """A sheet of people it never saw."""
        assert isinstance(network, Compositor)
        save_sheet(self.exams["unseen"][:8:2], painter_of(network), folder / f"{index:06}.png")


def losses(made: Tensor, batch: Batch, patch: float) -> dict[str, Tensor]:
    """Squared error and texture error of frames, over those of the composed pictures; 1 is as good as doing nothing.

    `texture` compares the mean steepness of cells of 8x8 pixels: a blur that is right on average is still a blur.
    """
    drawn = batch.seen[:, 3:7].amax(1, keepdim=True)
    weight = 1 + patch * F.interpolate(drawn, scale_factor=2.0)  # [B, 1, rows, W]
    weight = weight / weight.mean()

    def error(picture: Tensor) -> Tensor:
        return (weight * (picture - batch.truth) ** 2).mean((1, 2, 3))

    cells, true = F.avg_pool2d(weight, 8), [_steepness(batch.truth, across=way) for way in (False, True)]

    def texture(picture: Tensor) -> Tensor:
        found = [_steepness(picture, across=way) for way in (False, True)]
        apart = [(cells * (a - b).abs()).mean((1, 2, 3)) for a, b in zip(found, true, strict=True)]
        return torch.stack(apart).sum(0)

    before = error(batch.canvas).clamp_min(LEAST_ERROR), texture(batch.canvas).clamp_min(1e-3)
    return {"error": (error(made) / before[0]).mean(), "texture": (texture(made) / before[1]).mean()}


def _slope(x: Tensor, *, across: bool) -> Tensor:
    """Differences of neighbours along rows or columns, one fewer than there are pixels."""
    return x[..., 1:] - x[..., :-1] if across else x[:, :, 1:] - x[:, :, :-1]


def _steepness(x: Tensor, *, across: bool) -> Tensor:
    """Mean absolute slope `[B, 1, H/8, W/8]` of the grey picture in cells of 8x8 pixels."""
    slope = _slope(x.mean(1, keepdim=True), across=across).abs()
    return F.avg_pool2d(F.pad(slope, (0, 1) if across else (0, 0, 0, 1)), 8)


def start_linear(network: Compositor, batches: list[Batch]) -> None:
    """Set stem and head to the linear filter of one cell that makes the composed picture best.

    Reduced-rank regression from the 4x4 half-size pixels of a cell to its residual, where patches lie; the other
    channels of the stem keep their random weights and enter with a head of zeros.
    Source: Izenman 1975.
    """
    inputs = 16 * network.size.inputs
    gram = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
    product = torch.zeros(inputs + 1, BLOCK * BLOCK * 3, dtype=torch.float64)
    for batch in batches:
        given = unshuffle(batch.seen.cpu(), 4) - 0.5
        given = torch.cat([given, torch.ones_like(given[:, :1])], dim=1)
        wanted = unshuffle((batch.truth - batch.canvas).cpu())
        drawn = unshuffle(batch.seen[:, 3:7].amax(1, keepdim=True).cpu(), 4).amax(1) > 0.05
        rows, goals = given.permute(0, 2, 3, 1)[drawn], wanted.permute(0, 2, 3, 1)[drawn]
        gram += (rows.T @ rows).double()
        product += (rows.T @ goals).double()
    gram += torch.eye(inputs + 1, dtype=torch.float64) * (gram.diagonal().mean() * 1e-4 + 1e-9)
    filters = torch.linalg.solve(gram, product)
    _, _, ways = torch.linalg.svd(torch.linalg.cholesky(gram).T @ filters, full_matrices=False)
    rank = min(RANK, network.size.widths[0])
    decode = ways[:rank]  # [rank, 192]
    encode = filters @ decode.T  # [161, rank]
    count = gram[-1, -1].clamp_min(1)
    spread = torch.einsum("ir,ij,jr->r", encode[:-1], gram[:-1, :-1] / count, encode[:-1]).clamp_min(1e-12).sqrt() * 8
    stem = (encode[:-1] / spread).T.reshape(rank, 4, 4, network.size.inputs).permute(0, 3, 1, 2)
    with torch.no_grad():
        network.stem.weight[:rank].copy_(stem)
        network.stem.bias[:rank].copy_(encode[-1] / spread)  # type: ignore[index]
        network.head.weight[:, :rank, 0, 0].copy_((decode * spread[:, None]).T)
