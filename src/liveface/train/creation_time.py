"""Quality against creation time: the same avatar from pretrained decoders and from scratch, with different budgets.

python -m liveface.train.creation_time PACK --runs FOLDER [-o FILE] [--minutes 1 5 15 30] [--regions mouth eyes]
    [--starts pretrained] [--size base]

Minutes are those of one core and of all four decoders together: every decoder gets its share of them. They are counted
as processor time, so that a shared machine gives the same table. The same call goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import torch

from liveface import machine
from liveface.render.liveface.sizes import SIZES
from liveface.train.adapt import SHARES, AdaptOptions, adapt

MINUTES = (1.0, 5.0, 15.0, 30.0)
STARTS = ("pretrained", "scratch")
COLUMNS = {
    "minutes": "budget of one core for all four decoders",
    "spent_minutes": "what this decoder used of its share before it stopped",
    "psnr": "decibels on held-out frames, whole patch over the warped base; the mouth's is the mean of its two modes",
    "psnr_middle": "the same where the patch is opaque",
    "sharpness": "energy of the Laplacian over the truth's, 1 is natural",
    "change": "mean change between neighbouring frames over the truth's, 1 is natural",
}


def rows_of(
    pack: Path, runs: Path, minutes: float, regions: tuple[str, ...], *, start: str, size: str = "base"
) -> list[dict[str, Any]]:
    """One row per region for one budget, one start and one size of the networks."""
    whole = sum(SHARES[region] for region in regions)
    learned = adapt(
        pack, runs / "-".join([*([] if size == "base" else [size]), start, f"{minutes:g}", *regions]), size,
        minutes * whole,
        pretrained=start == STARTS[0], options=AdaptOptions(processor_time=True), regions=regions,
    )  # fmt: skip
    rows = []
    for region, decoder in learned.decoders.items():
        scores = dict(decoder.scores)
        spent, steps = scores.pop("minutes"), scores.pop("step")
        about = {
            "region": region,
            "size": size,
            "start": start,
            "minutes": minutes,
            "spent_minutes": spent,
            "steps": steps,
        }
        rows.append({**about, **scores})
    return rows


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("bench/results/creation_time.json"))
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES)
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=list(STARTS))
    parser.add_argument("--regions", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--size", default="base", choices=list(SIZES), help="of the networks; others start from chance")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    table: dict[str, Any] = {"machine": machine.describe(), "pack": given.pack.name, "columns": COLUMNS, "rows": []}
    for minutes in given.minutes:
        for start in given.starts:
            table["rows"] += rows_of(
                given.pack, given.runs, minutes, tuple(given.regions), start=start, size=given.size
            )
            part = given.output.with_suffix(".part")
            part.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
            part.replace(given.output)
            for row in table["rows"][-len(given.regions) :]:
                sys.stdout.write(json.dumps(row) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
