"""Export a trained head network, compare its files with it, and put them into a folder with a manifest.

python -m liveface.train.mobileportrait_release RUN PACK [--into FOLDER] [--window 256x288] [--precision int8]

Notable choices: the graphs are calibrated on what the run time itself gives them: squares of the pack's training side
go through `Retouch` with the torch network in place of the files, which writes down every call. The table compares
pictures, not only graphs: the INT8 files against torch on people set aside, beside how far either is from the truth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liveface import weights
from liveface.export.litert import Sample as Inputs
from liveface.export.litert import add_to_manifest, describe
from liveface.export.mobileportrait import MODULES, check_quality, export_part
from liveface.nets.mobileportrait import MobilePortrait, PortraitConfig, count
from liveface.render.liveface.paste import shuffle
from liveface.render.mobileportrait.crop import RESOLUTION, HeadCrop
from liveface.render.mobileportrait.files import PARTS, WINDOW, file_name
from liveface.render.mobileportrait.networks import Networks
from liveface.render.mobileportrait.retouch import HeadNetwork, Photo, Retouch
from liveface.render.mobileportrait.sizes import BLOCK, MOTION_GRID, NEURAL
from liveface.render.mobileportrait.window import Window, place_window
from liveface.train.loop import CHECKPOINT, averaged_weights
from liveface.train.portrait_data import PortraitPack, Sample
from liveface.train.recipe import parse_options
from liveface.types import Array, Pixels

CALIBRATION, COMPARED = 60, 24  # squares
MOST_CALLS = 60  # of one graph that are kept of these, evenly spread
LICENCE = "MIT"
SOURCE = (
    "liveface recipe mobileportrait.toml: portraits and talking video of the project's data (US government works; Face "
    "Research Lab London Set and others by L. DeBruine and B. Jones, CC BY 4.0; GRID corpus, CC BY 4.0; demo files of "
    "MIT and Apache repositories)"
)


def network_of(run: Path) -> MobilePortrait:
    """The averaged network of a run folder."""
    recipe = json.loads((run / "recipe.json").read_text("utf-8"))
    network = MobilePortrait(parse_options(PortraitConfig, recipe["network"], f"the recipe in {run}"))
    network.load_state_dict(averaged_weights(run / CHECKPOINT))
    return network.eval()


class Recorder:
    """A torch network in place of the files; writes down the inputs of every graph.

    Attributes:
        calls: part to the inputs it was given.
    """

    def __init__(self, network: MobilePortrait, window: tuple[int, int] = WINDOW) -> None:
        self.size, self.window = network.size, window
        self._modules = {part: module(network).eval() for part, module in MODULES.items()}
        self._motion_still, self._still, self._views = (np.zeros(0, np.float32) for _ in range(3))
        self.calls: dict[str, list[Inputs]] = {part: [] for part in PARTS}

    @torch.no_grad()
    def _call(self, part: str, **given: Array) -> dict[str, Array]:
        self.calls[part].append(given)
        made = self._modules[part](**{name: torch.from_numpy(array) for name, array in given.items()})
        return {name: tensor.numpy() for name, tensor in made.items()}

    def learn(self, small: Array, square: Array) -> Array:
        made = self._call("photo", small=small[None], square=np.ascontiguousarray(square[None]))
        self._motion_still, self._still = made["motion_still"], made["synthesis_still"]
        self.look(None)
        return made["neural"]

    def look(self, views: Array | None) -> None:
        (width, height), low = self.window, self.size.lowest
        none = np.zeros((1, height // low, width // low, self.size.synthesis[-1]), np.float32)
        self._views = none if views is None else np.asarray(views[None], np.float32)

    def keypoints(self, facial: Array, offset: Array) -> tuple[Array, Array]:
        made = self._call("keypoints", facial=facial.reshape(1, -1), offset=offset)
        return made["mixed"].reshape(NEURAL, 2), made["own"]

    def motion(self, base: Pixels, fill_heat: Callable[[Array], None]) -> tuple[Array, Array]:
        heat = np.zeros((MOTION_GRID, MOTION_GRID, NEURAL), np.float32)
        fill_heat(heat)
        made = self._call("motion", base=_unit(base), heat=heat[None], still=self._motion_still)
        answer = shuffle(made["motion"][0], 3, 2)
        return answer[..., :2], np.clip(1 + answer[..., 2], 0, 1)

    def synthesis(self, warped: Pixels, masks: Pixels, coarse: Array) -> Pixels:
        grid = self._draw(warped, masks, coarse)["grid"][0]
        return shuffle(np.clip(np.rint(grid * 255) + 128, 0, 255).astype(np.uint8), 3, BLOCK)

    def lowest(self, warped: Pixels, masks: Pixels, coarse: Array) -> Array:
        return self._draw(warped, masks, coarse)["low"][0]

    def _draw(self, warped: Pixels, masks: Pixels, coarse: Array) -> dict[str, Array]:
        return self._call(
            "synthesis", warped=_unit(warped), masks=_unit(masks), coarse=np.ascontiguousarray(coarse[None]),
            still=self._still, views=self._views,
        )  # fmt: skip


def _unit(picture: Pixels) -> Array:
    """Levels as a batch of one, 0 to 1."""
    return np.ascontiguousarray(picture[None], np.float32) / np.float32(255)


def window_of(sample: Sample, size: tuple[int, int]) -> Window:
    """The window of a square of the pack, as if the square were the canvas."""
    crop = HeadCrop((0, 0), RESOLUTION, RESOLUTION, (RESOLUTION, RESOLUTION))
    return place_window(crop, sample.source_points, size)


def made_of(sample: Sample, network: HeadNetwork) -> Pixels:
    """The window of a sample as a network makes it."""
    views = () if sample.views is None else tuple(sample.views)
    photo = Photo(sample.source, sample.plate, sample.matte, sample.source_points, views)
    retouch = Retouch(network, photo, window_of(sample, network.window))
    return retouch(sample.base, sample.points, sample.base_matte)


def difference(samples: Sequence[Sample], one: HeadNetwork, other: HeadNetwork) -> dict[str, float]:
    """Mean PSNR in dB of two networks' windows to each other, and of each and of the base to the truth where known."""
    apart: dict[str, list[float]] = {name: [] for name in ("to_each_other", "first", "second", "base")}
    for sample in samples:
        window = window_of(sample, one.window)
        first, second = made_of(sample, one), made_of(sample, other)
        truth, base, valid = (window.cut(part) for part in (sample.truth, sample.base, sample.valid))
        apart["to_each_other"].append(_decibel(first, second, np.ones_like(valid)))
        for name, made in (("first", first), ("second", second), ("base", base)):
            apart[name].append(_decibel(made, truth, valid))
    return {name: round(float(np.mean(values)), 2) for name, values in apart.items()}


def _decibel(one: Pixels, other: Pixels, where: Pixels) -> float:
    away = ((one.astype(np.float32) - other) ** 2).mean(2)
    return float(10 * np.log10(255**2 / max(float(away[where > 0].mean()), 1e-3)))


def release(
    run: Path, pack: Path, into: Path, *, window: tuple[int, int] = WINDOW, precision: str | None = None
) -> dict[str, Any]:
    """Export, measure and store; returns the table.

    Args:
        precision: of motion and synthesis in place of INT8, "half" or "float".

    Raises:
        ExportError: a file too far from its network.
    """
    torch.set_num_threads(1)
    network, stored = network_of(run), PortraitPack.open(pack)
    recorder = Recorder(network, window)
    for sample in stored.draw(CALIBRATION, np.random.default_rng(0)):
        made_of(sample, recorder)
    tests = stored.tuning(COMPARED)
    table: dict[str, Any] = {
        "gmac_384": {part: round(of[0] / 1e9, 3) for part, of in count(network.size, RESOLUTION).items()},
        "gmac_512": {part: round(of[0] / 1e9, 3) for part, of in count(network.size, 512).items()},
        "weights_millions": {part: round(of[1] / 1e6, 2) for part, of in count(network.size, RESOLUTION).items()},
        "window": list(window),
    }
    with tempfile.TemporaryDirectory() as scratch:
        made = {}
        for part, kind in PARTS.items():
            chosen = precision if precision is not None and kind == "int8" else kind
            calls = recorder.calls[part]
            some = [calls[int(at)] for at in np.linspace(0, len(calls) - 1, min(MOST_CALLS, len(calls)))]
            made[part] = export_part(network, part, some, Path(scratch), precision=chosen)
            if chosen == "int8":
                check_quality(part, made[part].to_float)
        table["parity"] = {
            part: {
                "to_torch": [asdict(line) for line in one.to_torch],
                "to_float": [asdict(line) for line in one.to_float],
            }
            for part, one in made.items()
        }
        files = Networks(network.size, read=lambda part: made[part].shipped.read_bytes())
        table["pictures"] = difference(tests, Recorder(network, window), files)
        table["bytes"] = {part: one.shipped.stat().st_size for part, one in made.items()}
        into.mkdir(parents=True, exist_ok=True)
        if not (into / "manifest.json").is_file():
            (into / "manifest.json").write_text('{"files": {}}\n', "utf-8")
        for part, one in made.items():
            target = into / file_name(network.size.name, part)
            target.write_bytes(one.shipped.read_bytes())
            entry = describe(target, source=SOURCE, licence=LICENCE, sizes=network.config)
            add_to_manifest(into / "manifest.json", target, entry)
    return table


def main() -> None:
    """Release from the command line; the table goes to standard output as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--into", type=Path, default=weights.FOLDER)
    parser.add_argument("--window", default=f"{WINDOW[0]}x{WINDOW[1]}", help="width x height, multiples of 32")
    parser.add_argument("--precision", choices=("int8", "half", "float"))
    given = parser.parse_args()
    width, height = (int(side) for side in given.window.split("x"))
    made = release(given.run, given.pack, given.into, window=(width, height), precision=given.precision)
    sys.stdout.write(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
