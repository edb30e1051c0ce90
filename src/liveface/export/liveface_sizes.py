"""What the networks of an avatar cost in each size: parameters, arithmetic, bytes as INT8, time on one thread.

python -m liveface.export.liveface_sizes [--calls 300] [--out bench/results/liveface_sizes.json]

Cost does not depend on what was learned, so networks of random numbers are measured; the numbers are those of this
machine at this moment, with whatever else it does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from liveface import machine
from liveface.export.litert import Sample, export_float, export_int8
from liveface.export.liveface import AppearanceForExport, CompositorForExport, DecoderForExport
from liveface.nets.liveface import make_compositor, make_decoder
from liveface.render.liveface.regions import REGIONS
from liveface.render.liveface.sizes import (
    IDENTITY,
    MOST_BYTES,
    MOST_GMAC,
    SIZES,
    CompositorSize,
    DecoderSize,
    gmac_per_frame,
    sizes_of,
)
from liveface.runtime import Step

RESULTS = Path("bench/results/liveface_sizes.json")
CALIBRATED = 4  # samples; ranges of random numbers need no more


def decoder_samples(size: DecoderSize, random: np.random.Generator) -> list[Sample]:
    """Random control vectors by name, about -1 to 1."""
    out = []
    for number in range(CALIBRATED):
        sample: Sample = {
            name: random.normal(0, 0.5, (1, length)).astype(np.float32) for name, length in size.inputs.items()
        }
        out.append(sample | ({"mode": np.full((1, 1), number % 2, np.float32)} if len(size.inputs) > 1 else {}))
    return out


def compositor_samples(size: CompositorSize, random: np.random.Generator) -> list[Sample]:
    """Random canvases and features."""
    (width, height), (rows, columns) = size.canvas, size.grid
    return [
        {
            "canvas": random.random((1, height // 2, width // 2, size.inputs), np.float32),
            "features": random.random((1, rows, columns, size.features), np.float32),
        }
        for _ in range(CALIBRATED)
    ]


def timed(step: Step, sample: Sample, calls: int) -> dict[str, float]:
    """Fastest, median and 95th percentile of a call in milliseconds."""
    spent = []
    for _ in range(calls):
        start = time.perf_counter()
        step(**sample)
        spent.append(1000 * (time.perf_counter() - start))
    low, middle, high = min(spent), *np.percentile(spent, (50, 95))
    return {"ms_fastest": round(low, 3), "ms_p50": round(float(middle), 3), "ms_p95": round(float(high), 3)}


def _measure(module: nn.Module, samples: list[Sample], folder: Path, calls: int) -> dict[str, Any]:
    plain = export_float(module, samples[0], folder / "plain.tflite")
    small = export_int8(plain, samples, folder / "small.tflite")
    return {"bytes_int8": small.stat().st_size, **timed(Step(small), samples[0], calls)}


def cost(size: str, calls: int = 300) -> dict[str, Any]:
    """Every network of a size by name, and all of them together.

    `frame` sums the networks over an average frame: what is drawn every third frame counts a third, the appearance,
    which runs once per avatar, only in parameters and bytes.
    """
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    decoders, composed = sizes_of(size)
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, shape in decoders.items():
            module: nn.Module = DecoderForExport(make_decoder(name, size), torch.randn(IDENTITY))
            measured = _measure(module, decoder_samples(shape, random), folder, calls)
            share = 1 / REGIONS[name].every
            table[name] = {"parameters": shape.parameters, "mmac": round(shape.mmac, 2), "a_frame": share, **measured}
        network = make_compositor(size)
        nn.init.normal_(network.head.weight, std=0.02)
        once = sum(weights for weights, _ in composed.appearance_layers())
        samples = compositor_samples(composed, random)
        table["compositor"] = {
            "parameters": composed.parameters - once, "mmac": round(composed.mmac, 2), "a_frame": 1.0,
            **_measure(CompositorForExport(network), samples, folder, calls),
        }  # fmt: skip
        pictures: list[Sample] = [{"reference": sample["canvas"][..., :3].copy()} for sample in samples]
        table["appearance"] = {
            "parameters": once, "mmac": round(composed.appearance_mmac, 2), "a_frame": 0.0,
            **_measure(AppearanceForExport(network.look), pictures, folder, max(10, calls // 10)),
        }  # fmt: skip
    table["frame"] = {
        "parameters": sum(row["parameters"] for row in table.values()),
        "gmac": round(gmac_per_frame(size), 4),
        "gmac_384x672": round(gmac_per_frame(size, (384, 672)), 4),
        "bytes_int8": sum(row["bytes_int8"] for row in table.values()),
        **{key: round(sum(row[key] * row["a_frame"] for row in table.values()), 3)
           for key in ("ms_fastest", "ms_p50", "ms_p95")},
    }  # fmt: skip
    return table


def as_text(tables: dict[str, dict[str, Any]]) -> str:
    """The tables as Markdown."""
    lines = [
        "| size | network | M parameters | MMAC a call | calls a frame | INT8 kB | ms fastest | p50 | p95 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size, table in tables.items():
        for name, row in table.items():
            mmac = f"{1e3 * row['gmac']:.0f} a frame" if name == "frame" else f"{row['mmac']:.1f}"
            share = "" if name == "frame" else f"{row['a_frame']:.2f}"
            lines.append(
                f"| {size} | {name} | {row['parameters'] / 1e6:.2f} | {mmac} | {share} | {row['bytes_int8'] / 1e3:.0f}"
                f" | {row['ms_fastest']:.2f} | {row['ms_p50']:.2f} | {row['ms_p95']:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure all sizes; the table goes to standard output, the numbers into a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    tables = {size: cost(size, given.calls) for size in SIZES}
    budget = {"gmac": MOST_GMAC, "bytes": MOST_BYTES}
    content = {"machine": machine.describe(), "threads": 1, "budget": budget, "sizes": tables}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    part = given.out.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    part.replace(given.out)
    sys.stdout.write(as_text(tables) + "\n")


if __name__ == "__main__":
    main()
