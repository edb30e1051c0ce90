"""Training of the compositor and its appearance network: `liveface train recipes/compositor.toml`.

Notable choices: the loss is absolute error of pixels and of their slopes, heavier where patches lie, because most of a
frame is a background that is right already; being further from the truth than the composed picture was costs extra,
so that the network learns to leave alone what it cannot better; every step shows few people with several frames each
on a band of rows, so that the appearance of a person is computed once; scores are kept apart for people it learned
from and people it never saw.
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
from liveface.nets.liveface import Compositor
from liveface.render.liveface.sizes import sizes_of
from liveface.train.compositor_data import BAND_STEP, FEATURE_STEP, Faults, People, band
from liveface.train.compositor_score import CLEAN, USUAL, exams_of, painter_of, save_sheet, scores
from liveface.train.loop import Run
from liveface.train.recipe import parse_options
from liveface.types import Pixels

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
        slope: weight of the slopes' error; texture: of slopes that are weaker or stronger than true around a pixel.
        patch: extra weight where patches lie; harm: weight of doing worse than nothing.
        faults: how much patches are spoilt, see `Faults`; 1 is the usual.
        unseen: patterns of names of people never learned from, besides one in eight.
    """

    packs: str
    size: str = "base"
    people: int = 2
    rows: int = 320
    slope: float = 1.0
    texture: float = 0.3
    patch: float = 3.0
    harm: float = 0.5
    faults: float = 1.0
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
        self.people = People(Path(self.options.packs), self.options.unseen)
        self.random = np.random.default_rng(recipe.seed * 1000 + run.rank)
        kinds = {"seen": self.people.seen, "unseen": self.people.unseen}
        self.exams = {name: exams_of(people, USUAL) for name, people in kinds.items()}
        self.clean = exams_of(self.people.unseen, CLEAN, frames=1)
        torch.manual_seed(recipe.seed)
        network = Compositor(sizes_of(self.options.size)[1])
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
        each, faults = self.run.recipe.batch // options.people, Faults(*(options.faults * v for v in _values(Faults())))
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
        weights = {
            "pixel": 1.0,
            "slope": self.options.slope,
            "texture": self.options.texture,
            "harm": self.options.harm,
        }
        loss = torch.stack([weights[name] * value for name, value in found.items()]).sum()
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


def _values(faults: Faults) -> list[float]:
    return [faults.blur, faults.ghost, faults.colour, faults.shift, faults.noise, faults.missing]


def losses(made: Tensor, batch: Batch, patch: float) -> dict[str, Tensor]:
    """Errors of pixels, slopes and texture, heavier where patches lie, and how much worse than composed it is.

    `texture` compares the mean steepness of cells of 8x8 pixels: a blur that is right on average is still a blur.
    """
    drawn = batch.seen[:, 3:7].amax(1, keepdim=True)
    weight = 1 + patch * F.interpolate(drawn, scale_factor=2.0)  # [B, 1, rows, W]
    weight = weight / weight.mean()
    error = (made - batch.truth).abs()
    before = (batch.canvas - batch.truth).abs()
    wrong = made - batch.truth
    down = (weight[:, :, 1:] * _slope(wrong, across=False).abs()).mean()
    across = (weight[..., 1:] * _slope(wrong, across=True).abs()).mean()
    grey, true = made.mean(1, keepdim=True), batch.truth.mean(1, keepdim=True)
    cells = F.avg_pool2d(weight, 8)
    apart = [_steepness(grey, across=way) - _steepness(true, across=way) for way in (False, True)]
    return {
        "pixel": (weight * error).mean(), "slope": down + across,
        "texture": torch.stack([(cells * one.abs()).mean() for one in apart]).sum(),
        "harm": (weight * F.relu(error - before)).mean(),
    }  # fmt: skip


def _slope(x: Tensor, *, across: bool) -> Tensor:
    """Differences of neighbours along rows or columns, one fewer than there are pixels."""
    return x[..., 1:] - x[..., :-1] if across else x[:, :, 1:] - x[:, :, :-1]


def _steepness(x: Tensor, *, across: bool) -> Tensor:
    """Mean absolute slope of cells of 8x8 pixels."""
    return F.avg_pool2d(F.pad(_slope(x, across=across).abs(), (0, 1) if across else (0, 0, 0, 1)), 8)
