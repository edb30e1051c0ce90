"""The perceptual network: what a face looks like to a small network that this project trained itself.

No network with a licence for any use could be had at training time, so the features are those of a small convolutional
network that learned four things about crops of faces at once: which part of a face each place shows, where on the head
it lies, whose face it is, and whether it was photographed or drawn by the mesh renderer. The first three make
it see lids, lips and teeth as such, the last one makes it see what the mesh renderer does wrong.

    python -m liveface.train.portrait_features PACK -o features.npz [--minutes 6]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.errors import RecipeError
from liveface.render.mobileportrait import inputs
from liveface.render.mobileportrait.sizes import MASKS
from liveface.train.portrait_data import PortraitPack, Sample, window

WIDTHS = (24, 48, 96)
COARSE = 8  # pixels of one cell of the deepest features
PARTS = len(MASKS) + 2  # person and background beside the masks
CROP = 128
_TINY = 1e-3


class Features(nn.Module):
    """Crops `[B, 3, H, W]` to three levels of features at 1/2, 1/4 and 1/8."""

    def __init__(self, people: int = 0) -> None:
        super().__init__()
        one, two, three = WIDTHS
        self.first = nn.Conv2d(3, one, 4, stride=2, padding=1)
        self.second = nn.Conv2d(one, two, 3, stride=2, padding=1)
        self.near = nn.Conv2d(two, two, 3, padding=1)
        self.third = nn.Conv2d(two, three, 3, stride=2, padding=1)
        self.far = nn.Conv2d(three, three, 3, padding=1)
        self.parts = nn.Conv2d(three + two, PARTS, 1)
        self.place = nn.Conv2d(three, 2, 1)
        self.drawn = nn.Conv2d(three, 1, 1)
        self.person = nn.Linear(three, people) if people else None
        for layer in (self.first, self.second, self.near, self.third, self.far):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, picture: Tensor) -> list[Tensor]:
        first = F.relu(self.first(picture * 4 - 2))
        second = F.relu(self.near(F.relu(self.second(first))))
        third = F.relu(self.far(F.relu(self.third(second))))
        return [first, second, third]

    def tell_parts(self, levels: list[Tensor]) -> Tensor:
        """Scores of the parts `[B, 6, H/4, W/4]`."""
        wide = F.interpolate(levels[2], scale_factor=2, mode="nearest")
        return self.parts(torch.cat([wide, levels[1]], 1))

    def distance(self, made: list[Tensor], true: list[Tensor], weight: Tensor) -> Tensor:
        """How different two pictures look: mean distance of features over their mean size, where `weight` is.

        Args:
            made, true: what `forward` gave; weight: `[B, 1, H, W]`.
        """
        total = weight.new_zeros(())
        for one, two in zip(made, true, strict=True):
            share = F.adaptive_avg_pool2d(weight, (one.shape[-2], one.shape[-1]))
            size = two.float().abs().mean((0, 2, 3), keepdim=True) + _TINY
            apart = ((one.float() - two.float()).abs() / size).mean(1, keepdim=True)
            total = total + (apart * share).sum() / share.sum().clamp(min=1)
        return total / len(made)


def crops(samples: Sequence[Sample], random: np.random.Generator) -> dict[str, Tensor]:
    """Two crops of every sample, a photographed and a drawn one of the same place, and what is to be told of them."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("picture", "parts", "place", "drawn", "inside")}
    for sample in samples:
        side = sample.base.shape[0]
        x, y = window(sample, CROP, random)
        for drawn, (picture, matte, points) in enumerate(
            ((sample.truth, sample.truth_matte, sample.truth_points), (sample.base, sample.base_matte, sample.points))
        ):
            masks = inputs.masks(points, side, 4).astype(np.float32) / 255
            person = matte[2::4, 2::4, None].astype(np.float32) / 255
            # later masks cover earlier ones: person, lips, inner mouth, eyes, brows
            rows = np.concatenate([1 - person, person, masks[..., [0]], masks[..., 1:]], 2) * [0.3, 0.5, 0.8, 2, 1, 0.9]
            cells = slice(y // 4, (y + CROP) // 4), slice(x // 4, (x + CROP) // 4)
            found["picture"].append(picture[y : y + CROP, x : x + CROP])
            found["parts"].append(rows[cells].argmax(2))
            found["place"].append(inputs.place(points, side)[cells][1::2, 1::2].transpose(2, 0, 1))
            found["inside"].append(person[cells][1::2, 1::2].transpose(2, 0, 1))
            found["drawn"].append(np.full((1,), drawn, np.float32))
    out = {name: torch.from_numpy(np.ascontiguousarray(np.stack(values))) for name, values in found.items()}
    out["picture"] = out["picture"].permute(0, 3, 1, 2).float() / 255
    return out


def lesson(network: Features, batch: dict[str, Tensor], people: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss of crops, and how well each of the four things was told."""
    levels = network(batch["picture"])
    parts, place = network.tell_parts(levels).float(), network.place(levels[2]).float()
    drawn = network.drawn(levels[2]).float().mean((1, 2, 3))
    wanted = batch["drawn"][:, 0]
    inside = batch["inside"]
    away = ((place - batch["place"]).abs() * inside).sum() / (2 * inside.sum()).clamp(min=1)
    told = F.cross_entropy(parts, batch["parts"])
    real = F.binary_cross_entropy_with_logits(drawn, wanted)
    loss = told + 4 * away + 0.5 * real
    numbers = {
        "parts": float((parts.argmax(1) == batch["parts"]).float().mean()),
        "place": float(away.detach()),
        "drawn": float(((drawn > 0) == (wanted > 0.5)).float().mean()),
    }
    if network.person is not None:
        names = network.person(levels[2].float().mean((2, 3)))
        loss = loss + 0.3 * F.cross_entropy(names, people)
        numbers["person"] = float((names.argmax(1) == people).float().mean())
    return loss, numbers


def learn(folder: Path, out: Path, minutes: float, seed: int = 0) -> dict[str, float]:
    """Train for some minutes of one core and write the features; returns the last accuracies."""
    torch.manual_seed(seed)
    random, pack = np.random.default_rng(seed), PortraitPack.open(folder)
    names, number = np.unique(np.asarray(pack.table["person"]), return_inverse=True)
    network = Features(len(names)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, betas=(0.9, 0.98), weight_decay=1e-3)
    start, step = time.monotonic(), 0
    shown: dict[str, float] = {}
    while (spent := (time.monotonic() - start) / 60) < minutes:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * max(0.05, min(1.0, 2 - 2 * spent / minutes))
        samples = pack.draw(16, random, views=False)
        people = torch.tensor([int(number[sample.index]) for sample in samples]).repeat_interleave(2)
        with torch.autocast("cpu", torch.bfloat16):
            loss, numbers = lesson(network, crops(samples, random), people)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        for name, value in numbers.items():
            shown[name] = value if step == 0 else 0.98 * shown[name] + 0.02 * value
        step += 1
        if step % 100 == 0:
            told = "  ".join(f"{name} {value:.3f}" for name, value in shown.items())
            sys.stdout.write(f"{spent:5.1f} min  step {step}  {told}\n")
            sys.stdout.flush()
    save(network, out)
    return {"steps": step, **shown}


def save(network: Features, file: Path) -> None:
    """Write the features, without the names of people."""
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items() if not name.startswith("person")}
    part = file.with_name(f".{file.name}.part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(file)


def load(file: Path) -> Features:
    """Read what `save` wrote, frozen.

    Raises:
        RecipeError: it is not there, or something else.
    """
    network = Features()
    try:
        with np.load(file, allow_pickle=False) as stored:
            network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored.files})
    except (OSError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"{file} holds no perceptual network ({error}); make one: python -m liveface.train.portrait_features "
            f"PACK -o {file}."
        ) from error
    return network.eval().requires_grad_(requires_grad=False)


def main(argv: list[str] | None = None) -> int:
    """Train the perceptual network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    options = parser.parse_args(argv)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    sys.stdout.write(f"{learn(options.pack, options.out, options.minutes)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
