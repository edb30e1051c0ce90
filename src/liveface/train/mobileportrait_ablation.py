"""What each part of the head network brings: short runs that differ in one thing, scored on people set aside.

    python -m liveface.train.mobileportrait_ablation recipes/mobileportrait.toml OUT [--minutes 1] [--only NAME ...]
    python -m liveface.train.mobileportrait_ablation recipes/mobileportrait.toml OUT --trained RUN/checkpoint.pt

The second form takes parts away from a trained network instead, which costs seconds and tells how far it leans on them.

Notable choices: every run has the recipe's seed, pack and schedule, shortened to the same steps, and repaints the whole
mouth, where most is to be learned in few steps; parts that the mesh renderer's picture would hide (keypoints) are
compared with thin plates as the first picture, as the paper does. Short runs tell what learns fast, not what is best in
the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from liveface.errors import RecipeError
from liveface.nets.mobileportrait import MobilePortrait, PortraitConfig
from liveface.train.loop import averaged_weights, open_run, run_task
from liveface.train.mobileportrait import PortraitOptions, PortraitTask
from liveface.train.mobileportrait_draw import drawn_whole
from liveface.train.mobileportrait_score import judged
from liveface.train.portrait_data import PortraitPack
from liveface.train.recipe import Recipe, parse_options, read_recipe

BATCH = 4
SHOWN = ("mouth", "eyes", "whole", "ssim", "mouth_sharp", "eyes_sharp")


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    Attributes:
        name: for the table.
        network, options: what differs from the recipe.
    """

    name: str
    network: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


ROWS = (
    Row("all"),
    Row("thin plates, mixed keypoints", {"initial": "tps"}),
    Row("thin plates, neural keypoints", {"initial": "tps", "keypoints": "neural"}),
    Row("thin plates, facial keypoints", {"initial": "tps", "keypoints": "facial"}),
    Row("no knowledge losses", {}, {"knowledge": False}),
    Row("no residual flow", {"residual_flow": False}),
    Row("no background, no views", {"background": False, "views": False}),
    Row("no perceptual loss", {}, {"features": ""}),
    Row("truth not aligned", {}, {"align": False}),
)


TAKEN: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("all", {}, True),
    ("neural keypoints alone", {"keypoints": "neural"}, True),
    ("facial keypoints alone", {"keypoints": "facial"}, True),
    ("no residual flow", {"residual_flow": False}, True),
    ("no background", {"background": False}, True),
    ("no views", {}, False),
)
"""What is taken from a trained network: its name, keys of its table, and whether it sees the canned views."""


def shortened(recipe: Recipe, row: Row, minutes: float, step_s: float, crop: int) -> Recipe:
    """The recipe of a row: as many steps as fit into the minutes, falling rate included."""
    steps = max(10, int(60 * minutes / step_s))
    options = {**recipe.options, "crop": crop, "crops": 1, "critic_from": 10 * steps, "own_mouth": 0.0, **row.options}
    return replace(
        recipe, name="ablation", batch=min(recipe.batch, BATCH), steps=steps, minutes=100 * minutes,
        network={**recipe.network, **row.network}, options=options, evaluate_every=10 * steps, save_every=10 * steps,
        log_every=max(1, steps // 4), ema=0.98,
    )  # fmt: skip


def ablation(
    recipe: Recipe, out: Path, rows: Sequence[Row], minutes: float, step_s: float, crop: int
) -> dict[str, dict[str, float]]:
    """Run all rows; their scores are kept in `out` as they come, and rows that are there are not run again."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "mobileportrait_ablation.json"
    found: dict[str, dict[str, float]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for row in rows:
        if row.name in found:
            continue
        short = shortened(recipe, row, minutes, step_s, crop)
        with open_run(short, out / row.name.replace(",", "").replace(" ", "-")) as run:
            scores = run_task(run, PortraitTask(run))
        found[row.name] = {"steps": short.steps, "minutes": round(run.minutes, 2), **scores}
        part = file.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1), encoding="utf-8")
        part.replace(file)
    return found


def taken_away(recipe: Recipe, checkpoint: Path, out: Path) -> dict[str, dict[str, float]]:
    """Scores of a trained network without each of its parts in turn, nothing learned anew; written to `out`."""
    config = parse_options(PortraitConfig, recipe.network, f"the table [network] of recipe {recipe.name!r}")
    options = parse_options(PortraitOptions, recipe.options, f"the table [task] of recipe {recipe.name!r}")
    samples = PortraitPack.open(Path(options.pack), recipe.groups).tuning(options.tuning)
    state, found, plain = averaged_weights(checkpoint), {}, torch.device("cpu")
    torch.set_num_threads(recipe.threads)
    for name, changed, views in TAKEN:
        network = MobilePortrait(replace(config, **changed))
        network.load_state_dict(state)
        given = samples if views else [replace(sample, views=None) for sample in samples]
        found[name] = judged(samples, [drawn_whole(network.eval(), sample, plain) for sample in given])
    out.mkdir(parents=True, exist_ok=True)
    (out / "mobileportrait_parts.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def told(found: dict[str, dict[str, float]]) -> str:
    """The table as Markdown, first picture first."""
    lines = [f"| | {' | '.join(SHOWN)} |", "|---" * (len(SHOWN) + 1) + "|"]
    first = next(iter(found.values()))
    lines.append("| mesh alone | " + " | ".join(f"{first[f'{name}_base']:.3f}" for name in SHOWN) + " |")
    for name, scores in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{scores[key]:.3f}" for key in SHOWN) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ablation and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each run, at --step-s a step")
    parser.add_argument("--step-s", type=float, default=0.25, help="seconds of one step of 4 crops on a busy core")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--trained", type=Path, help="a checkpoint to take parts from; nothing is trained")
    parser.add_argument("--only", nargs="*", help="names of rows")
    options = parser.parse_args(argv)
    if options.trained:
        sys.stdout.write(told(taken_away(read_recipe(options.recipe), options.trained, options.out)))
        return 0
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    if not rows:
        raise RecipeError(f"there is no row {options.only}; expected some of {', '.join(row.name for row in ROWS)}.")
    found = ablation(read_recipe(options.recipe), options.out, rows, options.minutes, options.step_s, options.crop)
    sys.stdout.write(told(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
