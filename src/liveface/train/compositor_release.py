"""Export a trained compositor and its appearance network and put both INT8 files into the package.

python -m liveface.train.compositor_release RUN [--into FOLDER]

Both are calibrated on frames of people that were learned from; what INT8 costs is measured on people that were not,
see `liveface.train.compositor_report`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liveface import weights
from liveface.errors import RecipeError
from liveface.export.litert import Sample, add_to_manifest, describe
from liveface.export.liveface import AppearanceForExport, CompositorForExport, Exported, export_network
from liveface.nets.liveface import Compositor
from liveface.render.liveface.sizes import sizes_of
from liveface.train.compositor import CompositorOptions
from liveface.train.compositor_data import Faults, People
from liveface.train.loop import CHECKPOINT, averaged_weights
from liveface.train.recipe import parse_options

NAMES = ("compositor", "appearance")
CALIBRATION = 100  # frames
SOURCE = (
    "liveface recipe compositor.toml: talking video and portraits of the project's data (US government works; GRID "
    "corpus, CC BY 4.0; Face Research Lab London Set, CC BY 4.0; demo files of MIT and Apache repositories); see "
    "docs/cards/compositor.md"
)


def options_of(run: Path) -> CompositorOptions:
    """The table [task] of a run's recipe."""
    file = run / "recipe.json"
    if not file.is_file():
        raise RecipeError(f"{run} is no run folder: it has no recipe.json; train the compositor first.")
    return parse_options(CompositorOptions, json.loads(file.read_text("utf-8"))["options"], f"the recipe in {run}")


def network_of(run: Path) -> Compositor:
    """The averaged network of a run folder."""
    network = Compositor(sizes_of(options_of(run).size)[1])
    network.load_state_dict(averaged_weights(run / CHECKPOINT))
    return network.eval()


def samples_of(network: Compositor, people: People, count: int) -> tuple[list[Sample], list[Sample]]:
    """Inputs of the compositor and of the appearance network, of people learned from under many faults."""
    random = np.random.default_rng(0)
    whole = slice(0, people.height)
    canvases: list[Sample] = []
    references: list[Sample] = []
    for _ in range(count):
        reference, (sight,) = people.draw(1, Faults(), whole, random)
        picture = np.float32(1 / 255) * reference[None].astype(np.float32)
        with torch.inference_mode():
            features = network.appearance(torch.from_numpy(picture).permute(0, 3, 1, 2))
        canvases.append({
            "canvas": np.float32(1 / 255) * sight.seen[None].astype(np.float32),
            "features": features.permute(0, 2, 3, 1).contiguous().numpy(),
        })  # fmt: skip
        references.append({"reference": picture})
    return canvases, references


def release(run: Path, into: Path) -> dict[str, Any]:
    """Export, store, and enter in the manifest; returns sizes and parity of both."""
    network = network_of(run)
    options = options_of(run)
    drawn = Path(options.drawn) if options.drawn else None
    people = People(Path(options.packs), options.unseen, drawn)
    canvases, references = samples_of(network, people, CALIBRATION)
    table = {}
    with tempfile.TemporaryDirectory() as scratch:
        modules = (CompositorForExport(network), AppearanceForExport(network.look))
        for name, module, samples in zip(NAMES, modules, (canvases, references), strict=True):
            made: Exported = export_network(module, samples, Path(scratch), name)
            table[name] = made.numbers()
            (run / made.plain.name).write_bytes(made.plain.read_bytes())
            part = into / f"{name}.part"
            part.write_bytes(made.small.read_bytes())
            file = part.replace(into / f"{name}.tflite")
            entry = describe(file, source=SOURCE, licence="MIT", sizes=network.size)
            add_to_manifest(into / "manifest.json", file, entry)
    return table


def main() -> None:
    """Release from the command line; the table goes to standard output as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--into", type=Path, default=weights.FOLDER)
    given = parser.parse_args()
    sys.stdout.write(json.dumps(release(given.run, given.into), indent=1) + "\n")


if __name__ == "__main__":
    main()
