"""Pretraining of the decoders across people, by recipe: `liveface train recipes/decoder-mouth.toml -o runs/mouth`.

Notable choices: a table of identities beside one decoder, both learned; every person's mean patch is measured, not
learned, so that the decoder only draws what moves; persons are drawn alike, however long their recording is. What
comes out is a start for `liveface.train.adapt`, never an avatar.

    python -m liveface.train.decoders RUN [--into FOLDER]     puts a trained run into the package
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface import weights
from liveface.errors import RecipeError
from liveface.export.litert import add_to_manifest, describe
from liveface.nets.liveface import Decoder, make_decoder, shuffle
from liveface.render.liveface.regions import REGIONS, window
from liveface.render.liveface.sizes import CHANNELS, IDENTITY
from liveface.train.decoder_data import Batch, Frames, Sampler, as_picture, moved
from liveface.train.decoder_loss import OPAQUE, Weights, blend, decoder_loss, judge
from liveface.train.loop import CHECKPOINT, Run, averaged_weights
from liveface.train.pretrained import Pretrained, file_name, write
from liveface.train.recipe import parse_options
from liveface.types import Array, Pixels

START_ALPHA = {"mouth": 1.0, "eyes": 1.0, "hair": 0.4, "body": 0.4}
"""Opacity of the mean patch before anything is learned; see `Weights.alpha`."""
UNSEEN = "unseen_"  # packs so named are of people that an evaluation needs unseen
PEOPLE = "people.json"
TEST_FRAMES, TEST_PEOPLE = 120, 40  # of one avatar, and of the people of pretraining
_CHUNK = 16  # frames of a held-out batch
SOURCE = (
    "liveface recipes decoder-*.toml: portraits (US government works) drawn by the mesh renderer, talking video of the "
    "project's data (GRID corpus, CC BY 4.0; demo files of MIT and Apache repositories)"
)


def mean_patch(frames: Frames) -> Tensor:
    """The mean patch `[4, h, w]` a decoder draws around: the true mean, at the region's first opacity."""
    colour = torch.from_numpy(frames.mean())
    return torch.cat([colour, torch.full_like(colour[:1], START_ALPHA[frames.region])])


def lesson(decoder: Decoder, batch: Batch, identity: Tensor, mean: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The painted patches `[B, 4, h, w]` of a batch, and how far the mouth's two codes disagree (0 elsewhere)."""
    if isinstance(batch.controls, Tensor):
        return decoder(batch.controls, identity, mean), identity.new_zeros(())
    visemes, landmarks, mode = batch.controls
    heard, seen = decoder.codes(visemes, landmarks)
    assert decoder.mode is not None
    painted = shuffle(decoder.grid(heard + mode * (seen - heard + decoder.mode), identity, mean), CHANNELS)
    return painted, F.mse_loss(heard, seen.detach())  # the points know more than the visemes; they lead


def total_loss(
    painted: Tensor, disagreement: Tensor, batch: Batch, shape: Tensor, region: str, weights_: Weights
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a lesson and its parts; `shape` is the region's window `[h, w]`."""
    loss, parts = decoder_loss(painted.float(), batch.truth, batch.base, shape, weights_, opaque=region in OPAQUE)
    if region == "mouth":
        loss = loss + weights_.agree * disagreement.float()
        parts["agree"] = float(disagreement.detach())
    return loss, parts


def spread(numbers: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the numbers, evenly, in runs of two neighbours so that change can be measured."""
    if len(numbers) <= count:
        return numbers
    starts = np.linspace(0, len(numbers) - 2, count // 2).astype(int)
    return numbers[np.unique(np.stack([starts, starts + 1], 1))]


@torch.no_grad()
def painted_frames(
    decoder: Decoder, frames: Frames, numbers: np.ndarray, identity: Tensor, mode: str, mean: Tensor | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Blended pictures and truths of some frames, in chunks `[B, 3, h, w]`, 0 to 1."""
    shape = torch.from_numpy(window(frames.region)).to(identity.device)
    made, true = [], []
    for first in range(0, len(numbers), _CHUNK):
        some = numbers[first : first + _CHUNK]
        patches = decoder(moved(frames.steer(some, mode), identity.device), identity, mean).float()
        picture, _ = blend(patches, as_picture(frames.base[some]).to(identity.device), shape)
        made.append(picture.clamp(0, 1).cpu())
        true.append(as_picture(frames.truth[some]))
    return made, true


def sheet_of(rows: list[list[Pixels]]) -> Pixels:
    """Pictures of one size as a sheet, a list per row."""
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def as_bytes(picture: Tensor) -> Pixels:
    """`[3, h, w]` from 0 to 1 as `[h, w, 3]` bytes."""
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


@dataclass(frozen=True, slots=True)
class DecoderOptions:
    """The table `[task]` of a decoder's recipe.

    Attributes:
        packs: folder whose subfolders are packs, absolute or relative to the working folder.
        region: "mouth", "eyes", "hair" or "body".
        size: "small", "base" or "large".
        places: rows of the table of identities; packs that appear later, before the run is resumed, take free ones.
        noise: standard deviation of the noise on the controls.
        tint: largest relative change of colours.
        slope, texture, alpha, beyond, agree: weights of the losses; see `decoder_loss.Weights`.
    """

    packs: str
    region: str
    size: str = "base"
    places: int = 256
    noise: float = 0.01
    tint: float = 0.05
    slope: float = 1.0
    texture: float = 0.0
    alpha: float = 0.02
    beyond: float = 0.2
    agree: float = 0.1


class People(nn.Module):
    """One decoder and the identities `[P, 128]` of everybody it learns from."""

    def __init__(self, region: str, size: str, count: int) -> None:
        super().__init__()
        self.decoder = make_decoder(region, size)
        self.decoder.mean.requires_grad = False
        self.identities = nn.Embedding(count, IDENTITY)
        nn.init.normal_(self.identities.weight, std=0.3)


def seats(packs: Path, listing: Path, places: int, *, leads: bool = True) -> list[Path]:
    """Folders of the packs to learn from, in the order of their identities; who had a row before keeps it."""
    found = {file.parent.name for file in packs.glob("*/pack.json") if not file.parent.name.startswith(UNSEEN)}
    if not found:
        raise RecipeError(f"there is no pack in {packs}; expected subfolders with a pack.json.")
    seated: list[str] = json.loads(listing.read_text("utf-8")) if listing.is_file() else []
    missing = [name for name in seated if name not in found]
    if missing:
        raise RecipeError(f"this run learned from the pack {missing[0]!r}, which left {packs}; use another run folder.")
    seated += sorted(found - set(seated))
    if len(seated) > places:
        raise RecipeError(f"{packs} has {len(seated)} packs for {places} places; raise `places` in the recipe.")
    if leads:
        listing.write_text(json.dumps(seated, indent=1), "utf-8")
    return [packs / name for name in seated]


class DecoderTask:
    """One decoder over many people; see `liveface.train.loop.Task`."""

    def __init__(self, run: Run) -> None:
        self.run, recipe = run, run.recipe
        options = self.options = parse_options(
            DecoderOptions, recipe.options, f"the table [task] of recipe {recipe.name!r}"
        )
        if options.region not in REGIONS:
            raise RecipeError(
                f"recipe {recipe.name!r} trains the region {options.region!r}; expected one of {', '.join(REGIONS)}."
            )
        self.weights = Weights(options.slope, options.texture, options.alpha, options.beyond, options.agree)
        folders = seats(Path(options.packs), run.folder / PEOPLE, options.places, leads=run.leads)
        self.people = [Frames.open(folder, options.region) for folder in folders]
        self.means = torch.stack([mean_patch(frames) for frames in self.people])
        random = np.random.default_rng(recipe.seed * 1000 + run.rank)
        self.sampler = Sampler(self.people, random, options.noise, options.tint)
        self.window = torch.from_numpy(window(options.region)).to(run.device)
        people = People(options.region, options.size, options.places).to(run.device)
        people = people.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: dict[str, nn.Module] = {"main": people}
        groups: list[dict[str, Any]] = [
            {"params": [weight for weight in people.decoder.parameters() if weight.requires_grad]},
            {"params": list(people.identities.parameters()), "rate_scale": 5.0},  # a row is rarely drawn
        ]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(groups, recipe.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
        }

    def step(self, index: int) -> dict[str, float]:
        """One step."""
        people = self.networks["main"]
        assert isinstance(people, People)
        batch = self.sampler.draw(self.run.recipe.batch)
        mean = self.means[batch.person]
        if batch.gain is not None:
            mean = torch.cat([mean[:, :3] * batch.gain, mean[:, 3:]], 1)
        batch, mean = batch.to(self.run.device), mean.to(self.run.device)
        with self.run.autocast():
            painted, disagreement = lesson(people.decoder, batch, people.identities(batch.person), mean)
        loss, parts = total_loss(painted, disagreement, batch, self.window, self.options.region, self.weights)
        self.optimizers["main"].zero_grad(set_to_none=True)
        loss.backward()
        self.run.average_gradients(people.parameters())
        nn.utils.clip_grad_norm_(people.parameters(), self.run.recipe.clip)
        self.optimizers["main"].step()
        return parts

    def tested(self) -> list[int]:
        """Numbers of the people with held-out frames who are measured."""
        able = [number for number, frames in enumerate(self.people) if len(frames.tests)]
        return [able[i] for i in np.linspace(0, len(able) - 1, min(TEST_PEOPLE, len(able))).astype(int)] if able else []

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out frames of known people; for the mouth in both modes."""
        assert isinstance(network, People)
        scores: dict[str, float] = {}
        for mode in ("visemes", "landmarks") if self.options.region == "mouth" else ("",):
            found = []
            for number in self.tested():
                frames = self.people[number]
                numbers = spread(frames.tests, 8)
                made, true = painted_frames(
                    network.decoder, frames, numbers, network.identities.weight[number][None], mode,
                    self.means[number][None].to(self.run.device),
                )  # fmt: skip
                found.append(judge(made, true, frames.time[numbers], window(self.options.region)))
            for name in found[0] if found else ():
                value = float(np.mean([one[name] for one in found if name in one]))
                scores[f"{mode}_{name}".strip("_")] = round(value, 3)
        return scores

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """A sheet of held-out patches: base, truth and decoder, a column per person."""
        assert isinstance(network, People)
        folder.mkdir(parents=True, exist_ok=True)
        columns = []
        for number in self.tested()[:8]:
            frames = self.people[number]
            shown = frames.tests[len(frames.tests) // 2 :][:1]
            made, true = painted_frames(
                network.decoder, frames, shown, network.identities.weight[number][None], "visemes",
                self.means[number][None].to(self.run.device),
            )  # fmt: skip
            columns.append([frames.base[shown[0]], as_bytes(true[0][0]), as_bytes(made[0][0])])
        if columns:
            sheet = sheet_of([list(row) for row in zip(*columns, strict=True)])
            cv2.imwrite(str(folder / f"{index:06d}.png"), sheet[:, :, ::-1])


def pretrained_of(run: Path) -> Pretrained:
    """The averaged decoder and the identities of a pretraining run."""
    recipe = json.loads((run / "recipe.json").read_text("utf-8"))
    options = parse_options(DecoderOptions, recipe["options"], f"the recipe in {run}")
    learned = averaged_weights(run / CHECKPOINT)
    state = {
        name.removeprefix("decoder."): tensor
        for name, tensor in learned.items()
        if name.startswith("decoder.") and name != "decoder.mean"
    }
    count = len(json.loads((run / PEOPLE).read_text("utf-8")))
    identities: Array = learned["identities.weight"][:count].float().numpy()
    return Pretrained(options.region, options.size, state, identities)


def main() -> None:
    """Put a trained run into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--into", type=Path, default=weights.FOLDER)
    given = parser.parse_args()
    pretrained = pretrained_of(given.run)
    file = write(pretrained, given.into / file_name(pretrained.region, pretrained.size))
    add_to_manifest(given.into / "manifest.json", file, describe(file, source=SOURCE, licence="MIT"))
    sys.stdout.write(f"{file.name}: {file.stat().st_size} bytes, {len(pretrained.identities)} identities\n")


if __name__ == "__main__":
    main()
