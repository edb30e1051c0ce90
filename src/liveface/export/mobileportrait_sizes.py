"""What a frame of the renderer `mobileportrait` costs in each size, beside the mesh renderer's in the same run.

python -m liveface.export.mobileportrait_sizes [--frames 120] [--sizes 4g,7g] [--out FILE.json]

Frames of both renderers are drawn in turns and processor time is counted, so that whatever else the machine does falls
on both or on neither; their ratio says more than the milliseconds. A size that does not ship is measured with random
weights and named so: cost does not depend on what was learned.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from liveface import machine, weights
from liveface.export.mobileportrait import export_part, random_samples, shake
from liveface.motion.audio import SpeechToMotion
from liveface.nets.mobileportrait import MobilePortrait, count
from liveface.render.mesh import MeshRenderer
from liveface.render.mobileportrait.crop import RESOLUTION
from liveface.render.mobileportrait.files import PARTS, WINDOW, file_name
from liveface.render.mobileportrait.networks import Networks
from liveface.render.mobileportrait.renderer import MobilePortraitRenderer
from liveface.render.mobileportrait.sizes import SIZES, PortraitSize
from liveface.signals.image import read_image
from liveface.signals.media import read_audio
from liveface.types import Motion

RESULTS = Path("bench/results/mobileportrait_sizes.json")


def speaking(frames: int) -> Motion:
    """Motion of the embedded speech."""
    samples = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"))])
    return SpeechToMotion().run(samples)[:frames]


def contents(size: PortraitSize) -> tuple[dict[str, bytes], bool]:
    """The files of a size, and whether they were trained; random ones where none ship."""
    if file_name(size.name, "synthesis") in weights.manifest():
        return {part: weights.path(file_name(size.name, part)).read_bytes() for part in PARTS}, True
    torch.manual_seed(0)
    network = MobilePortrait(size=size).eval()
    shake(network)
    samples = random_samples(network, WINDOW)
    with tempfile.TemporaryDirectory() as folder:
        made = {part: export_part(network, part, samples[part], Path(folder)).shipped for part in PARTS}
        return {part: file.read_bytes() for part, file in made.items()}, False


def cost(size: PortraitSize, motion: Motion) -> dict[str, Any]:
    """Numbers of one size: GMAC, bytes, milliseconds of processor time a frame, and the ratio to the mesh renderer."""
    files, trained = contents(size)
    times: dict[str, list[float]] = {"mesh alone": [], "frame": []}
    picture = read_image(weights.path("portrait.jpg"))
    network = Networks(size, read=files.__getitem__)
    mesh = MeshRenderer(picture)
    made = MobilePortraitRenderer(picture, network=network)
    plain, state = mesh.start(), made.start()
    for one in motion:
        since = time.thread_time()
        plain, _ = mesh.step(plain, one)
        between = time.thread_time()
        state, _ = made.step(state, one)
        times["mesh alone"].append(between - since)
        times["frame"].append(time.thread_time() - between)
    width, height = network.window
    counted = {part: macs / 1e9 for part, (macs, _) in count(size, RESOLUTION).items()}
    counted["synthesis"] *= width * height / RESOLUTION**2
    paper = {part: macs / 1e9 for part, (macs, _) in count(size, 512).items()}
    spread = {name: _spread(values) for name, values in times.items()}
    return {
        "trained": trained,
        "window": [width, height],
        "gmac_a_frame": round(sum(counted[part] for part in ("keypoints", "motion", "synthesis")), 3),
        "gmac_512": round(sum(paper[part] for part in ("keypoints", "motion", "synthesis")), 3),
        "bytes": sum(len(content) for content in files.values()),
        "cpu_ms": spread,
        "times_mesh_p50": round(spread["frame"]["p50"] / spread["mesh alone"]["p50"], 2),
        "times_mesh_min": round(spread["frame"]["min"] / spread["mesh alone"]["min"], 2),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    middle, high = np.percentile(seconds, (50, 95))
    return {
        "min": round(1e3 * min(seconds), 2),
        "p50": round(1e3 * float(middle), 2),
        "p95": round(1e3 * float(high), 2),
    }


def as_text(tables: dict[str, dict[str, Any]]) -> str:
    """The tables as Markdown."""
    lines = [
        "| size | weights | GMAC | at 512 | MB | frame, CPU ms min / p50 / p95 | mesh alone | times mesh, p50 (min) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in tables.items():
        frame, mesh = (
            " / ".join(f"{row['cpu_ms'][part][key]:.1f}" for key in ("min", "p50", "p95"))
            for part in ("frame", "mesh alone")
        )
        known, many = "trained" if row["trained"] else "random", f"{row['bytes'] / 1e6:.1f}"
        lines.append(
            f"| {name} | {known} | {row['gmac_a_frame']:.2f} | {row['gmac_512']:.2f} | {many} | {frame} | {mesh} | "
            f"{row['times_mesh_p50']:.2f} ({row['times_mesh_min']:.2f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure sizes; the table goes to standard output, the numbers into a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    tables = {name: cost(SIZES[name], speaking(given.frames)) for name in given.sizes.split(",")}
    content = {"machine": machine.describe(), "threads": 1, "frames": given.frames, "sizes": tables}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    part = given.out.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    part.replace(given.out)
    sys.stdout.write(as_text(tables) + "\n")


if __name__ == "__main__":
    main()
