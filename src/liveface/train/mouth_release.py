"""Export a trained mouth network, compare float and INT8 on held-out people, and put the INT8 file into the package.

python -m liveface.train.mouth_release RUN PATCHES [--into FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from liveface import weights
from liveface.export.litert import add_to_manifest, describe, export_float, export_int8, parity
from liveface.nets.mouth import PATCH_HEIGHT, PATCH_WIDTH, ForExport, MouthConfig, MouthNet, multiply_accumulates
from liveface.runtime import Step
from liveface.train.loop import CHECKPOINT, averaged_weights
from liveface.train.mouth import looks_open
from liveface.train.mouth_data import Patches
from liveface.train.mouth_score import HeldOut, Painter
from liveface.train.recipe import parse_options
from liveface.types import Array

NAME = "mouth.tflite"
CALIBRATION, COMPARED, TIMED = 80, 40, 200  # patches, patches, calls
SOURCE = (
    "liveface recipe mouth.toml: portraits and talking video of the project's data (US government works; Face Research "
    "Lab London Set and others by L. DeBruine and B. Jones, CC BY 4.0; GRID corpus, CC BY 4.0; demo files of MIT and "
    "Apache repositories)"
)


def network_of(run: Path) -> MouthNet:
    """The averaged network of a run folder."""
    recipe = json.loads((run / "recipe.json").read_text("utf-8"))
    network = MouthNet(parse_options(MouthConfig, recipe["network"], f"the recipe in {run}"))
    network.load_state_dict(averaged_weights(run / CHECKPOINT))
    return network.eval()


def painter_of(step: Step) -> Painter:
    """A `.tflite` as a painter of inputs `[B, 64, 112, 16]`."""
    name, output = next(iter(step.inputs)), next(iter(step.outputs))

    def paint(given: Array) -> Array:
        grids = np.stack([step(**{name: one[None]})[output][0] for one in given])
        pictures = grids.reshape(len(grids), PATCH_HEIGHT // 2, PATCH_WIDTH // 2, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5)
        return np.clip(pictures.reshape(len(grids), PATCH_HEIGHT, PATCH_WIDTH, 3), 0, 1)

    return paint


def milliseconds(step: Step, sample: dict[str, Array]) -> dict[str, float]:
    """Fastest and median call."""
    spent = []
    for _ in range(TIMED):
        start = time.perf_counter()
        step(**sample)
        spent.append(1000 * (time.perf_counter() - start))
    return {"fastest": round(min(spent), 3), "median": round(float(np.median(spent)), 3)}


def release(run: Path, patches: Path, into: Path) -> dict[str, Any]:
    """Export, measure and store; returns the table."""
    network, stored = network_of(run), Patches.load(patches)
    shown = np.array(
        [looks_open(p, q, g) for p, q, g in zip(stored.pixels, stored.points, stored.opening, strict=True)]
    )
    tests = HeldOut(stored, np.flatnonzero(shown & stored.held_out))
    learned = HeldOut(stored, np.flatnonzero(shown & ~stored.held_out))
    numbers = np.random.default_rng(0).permutation(np.flatnonzero(shown & ~stored.held_out))[:CALIBRATION]
    known = [{"x": learned.given(int(n), shown=bool(k % 3))[0]} for k, n in enumerate(numbers)]
    unseen = [{"x": tests.given(int(n), shown=bool(k % 2))[0]} for k, n in enumerate(tests.frames[:COMPARED])]
    with tempfile.TemporaryDirectory() as scratch:
        plain = export_float(ForExport(network), known[0], Path(scratch) / "float.tflite")
        small = export_int8(plain, known, Path(scratch) / NAME)
        files = {"float": Step(plain), "int8": Step(small)}
        table: dict[str, Any] = {
            "gmac": round(multiply_accumulates(network.config) / 1e9, 3),
            "parity_float": asdict(parity(ForExport(network), plain, unseen)[0]),
            "parity_int8": asdict(parity(plain, small, unseen)[0]),
            "ms": {name: milliseconds(step, known[0]) for name, step in files.items()},
            "held_out": {name: tests.scores(painter_of(step)) for name, step in files.items()},
            "hole": tests.scores(lambda given: np.repeat(given[..., 3:4], 3, -1) * 0),
            "bytes": small.stat().st_size,
        }
        (into / NAME).write_bytes(small.read_bytes())
        (run / "float.tflite").write_bytes(plain.read_bytes())
    entry = describe(into / NAME, source=SOURCE, licence="MIT", sizes=network.config)
    add_to_manifest(into / "manifest.json", into / NAME, entry)
    return table


def main() -> None:
    """Release from the command line; the table goes to standard output as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("patches", type=Path)
    parser.add_argument("--into", type=Path, default=weights.FOLDER)
    given = parser.parse_args()
    sys.stdout.write(json.dumps(release(given.run, given.patches, given.into), indent=1) + "\n")


if __name__ == "__main__":
    main()
