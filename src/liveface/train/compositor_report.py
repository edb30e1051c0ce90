"""The compositor on people it learned from and on people it never saw: one table, as INT8 and as float.

python -m liveface.train.compositor_report RUN [--files FOLDER] [--out bench/results/compositor.json]

RUN is the run folder; its packs must still be there. Frames are held out on both sides, faults are the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from liveface import machine, weights
from liveface.errors import RecipeError
from liveface.train.compositor import IDENTITIES
from liveface.train.compositor_data import Faults, Person
from liveface.train.compositor_release import NAMES, network_of, options_of
from liveface.train.compositor_score import (
    CLEAN,
    DRAWN,
    HALF_DRAWN,
    USUAL,
    exams_of,
    painter_of,
    painter_of_files,
    save_sheet,
    scores,
)

RESULTS = Path("bench/results/compositor.json")
FAULTS: dict[str, Faults] = {
    "decoders": DRAWN, "decoders, half their error": HALF_DRAWN, "made-up faults": USUAL, "true patches": CLEAN,
}  # fmt: skip
"""What stands in the patches; the first two need a run with drawn patches."""
SOURCES = ("video", "photo")
"""Packs of real video, and packs of photos that a teacher moved."""
COLUMNS = {
    "whole_before_db": "whole", "whole_after_db": "after", "seam_before_db": "seams", "seam_after_db": "after",
    "patches_before_db": "patches", "patches_after_db": "after", "sharp_before": "sharpness", "sharp_after": "after",
    "whole_gain_db": "gain whole", "seam_gain_db": "gain seams", "harmed": "harmed",
}  # fmt: skip
"""Numbers of the table and their headings."""


def report(run: Path, files: Path, sheet: Path | None = None) -> dict[str, Any]:
    """Scores by source, kind of person, faults and network.

    Args:
        run: of the compositor's training; files: folder of `compositor.tflite` and `appearance.tflite`.
        sheet: PNGs of people it never saw are written beside this name, one per source.
    """
    listing = run / IDENTITIES
    if not listing.is_file():
        raise RecipeError(f"there is no {listing}; train the compositor first.")
    names: dict[str, list[str]] = json.loads(listing.read_text("utf-8"))
    packs, drawn = Path(options_of(run).packs), Path(options_of(run).drawn) if options_of(run).drawn else None
    painters = {
        "int8": painter_of_files(*(files / f"{name}.tflite" for name in NAMES)),
        "float": painter_of(network_of(run)),
    }
    table: dict[str, Any] = {}
    for source, kind in itertools.product(SOURCES, ("seen", "unseen")):
        everyone = [Person(packs / name, drawn) for name in names[kind]]
        people = [person for person in everyone if (person.pack.info["teacher"] == "video") == (source == "video")]
        for faults, how in FAULTS.items():
            exams = [] if how.drawn and drawn is None else exams_of(people, how, frames=2, most=40)
            if not exams:
                continue
            found = {name: scores(exams, paint) for name, paint in painters.items()}
            loss = found["float"]["whole_after_db"] - found["int8"]["whole_after_db"]
            count = {"people": len({exam.name for exam in exams}), "frames": len(exams)}
            table[f"{source}, {kind}, {faults}"] = {**count, **found, "int8_loss_db": round(loss, 3)}
            if sheet is not None and kind == "unseen" and how is (DRAWN if drawn else USUAL):
                file = sheet.with_stem(f"{sheet.stem}-{source}")
                save_sheet(exams[:: max(1, len(exams) // 6)][:6], painters["int8"], file)
    return table


def as_text(table: dict[str, Any]) -> str:
    """The INT8 numbers as Markdown."""
    heads = ["people", "frames", *COLUMNS.values(), "INT8 loss"]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, row in table.items():
        values = [f"{row['int8'][key]:.2f}" for key in COLUMNS]
        lines.append(f"| {name} | {row['people']} | {row['frames']} | " + " | ".join(values)
                     + f" | {row['int8_loss_db']:.3f} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Measure; the table goes to standard output, all numbers into a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--files", type=Path, default=weights.FOLDER)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    table = report(given.run, given.files, given.sheet)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    part = given.out.with_suffix(".part")
    part.write_text(json.dumps({"machine": machine.describe(), "table": table}, indent=1) + "\n", "utf-8")
    part.replace(given.out)
    sys.stdout.write(as_text(table) + "\n")


if __name__ == "__main__":
    main()
