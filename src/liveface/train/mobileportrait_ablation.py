"""What each part of the head network brings: short runs that differ in one thing, scored on people set aside.

    python -m liveface.train.mobileportrait_ablation recipes/mobileportrait.toml OUT [--minutes 1] [--only NAME ...]

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

from liveface.errors import RecipeError
from liveface.train.loop import open_run, run_task
from liveface.train.mobileportrait import PortraitTask
from liveface.train.recipe import Recipe, read_recipe

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
    parser.add_argument("--only", nargs="*", help="names of rows")
    options = parser.parse_args(argv)
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    if not rows:
        raise RecipeError(f"there is no row {options.only}; expected some of {', '.join(row.name for row in ROWS)}.")
    found = ablation(read_recipe(options.recipe), options.out, rows, options.minutes, options.step_s, options.crop)
    sys.stdout.write(told(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
