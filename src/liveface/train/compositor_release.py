"""Export a trained compositor and its appearance network and put their INT8 files into the package.

python -m liveface.train.compositor_release RUN [--into FOLDER]

Both are calibrated on frames of people that were learned from; what INT8 costs is measured on people that were not,
see `liveface.train.compositor_report`.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from liveface import weights
from liveface.avatar import CANVASES
from liveface.errors import RecipeError
from liveface.export.litert import Sample, add_to_manifest, describe
from liveface.export.liveface import AppearanceForExport, CompositorForExport, Exported, export_network
from liveface.nets.liveface import Compositor
from liveface.render.liveface.sizes import sizes_of
from liveface.train.compositor import CompositorOptions
from liveface.train.compositor_data import FEATURE_STEP, Faults, People
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


def equalised(network: Compositor, samples: list[Sample]) -> Compositor:
    """The same function with channels of the finest grid that reach equally far, so that INT8 serves all of them.

    Every layer that writes a channel is divided by its factor, every layer that reads it multiplied.
    Source: Nagel et al. 2019, cross-layer equalisation.
    """
    if network.size.blocks[0]:
        return network  # blocks with ReLU at the finest grid keep their own ranges
    even, reach = copy.deepcopy(network), torch.zeros(network.size.widths[0])

    def look(_module: nn.Module, _given: object, output: torch.Tensor) -> None:
        reach.copy_(torch.maximum(reach, output.abs().amax((0, 2, 3))))

    hooks = [part.register_forward_hook(look) for part in (network.stem, network.levels, network.mixed)]
    with torch.inference_mode():
        for one in samples:
            network.grid(*(torch.from_numpy(one[name]).permute(0, 3, 1, 2) for name in ("canvas", "features")))
    for hook in hooks:
        hook.remove()
    factor = reach.clamp_min(1e-3) / reach.clamp_min(1e-3).median()
    narrow, widen = even.levels.narrow[0], even.levels.widen[0]
    assert isinstance(narrow, nn.Conv2d)
    assert isinstance(widen, nn.ConvTranspose2d)
    with torch.no_grad():
        for writer in (even.stem, even.mixed.mix):
            writer.weight.div_(factor[:, None, None, None])
        for bias in (even.stem.bias, even.mixed.mix.bias, widen.bias):
            assert bias is not None
            bias.div_(factor)
        widen.weight /= factor[:, None, None]
        narrow.weight *= factor[:, None, None]
        even.head.weight *= factor[:, None, None]
        even.mixed.near.weight *= factor[:, None, None, None]
    return even


def resized(samples: list[Sample], canvas: tuple[int, int]) -> list[Sample]:
    """Inputs of the compositor for another canvas, from those of the usual one."""
    half, grid = (canvas[0] // 2, canvas[1] // 2), (canvas[0] // FEATURE_STEP, canvas[1] // FEATURE_STEP)
    return [
        {"canvas": cv2.resize(one["canvas"][0], half)[None], "features": cv2.resize(one["features"][0], grid)[None]}
        for one in samples
    ]


def release(run: Path, into: Path) -> dict[str, Any]:
    """Export, store, and enter in the manifest: the compositor for every canvas, and the appearance network.

    Returns: sizes and parity of all.
    """
    network, options = network_of(run), options_of(run)
    people = People(Path(options.packs), options.unseen, Path(options.drawn) if options.drawn else None)
    canvases, references = samples_of(network, people, CALIBRATION)
    network = equalised(network, canvases)
    larger = Compositor(sizes_of(options.size, CANVASES[1])[1])
    larger.load_state_dict(network.state_dict())
    jobs: dict[str, tuple[nn.Module, list[Sample]]] = {
        "compositor": (CompositorForExport(network), canvases),
        f"compositor_{CANVASES[1][0]}x{CANVASES[1][1]}": (
            CompositorForExport(larger.eval()), resized(canvases, CANVASES[1]),
        ),
        "appearance": (AppearanceForExport(network.look), references),
    }  # fmt: skip
    table = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, (module, samples) in jobs.items():
            made: Exported = export_network(module, samples, Path(scratch), name, peak=1.0)
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
