"""What a frame costs: `python -m liveface.torch_renderers.liveportrait.bench`.

The numbers need no weights of anybody: networks of the official size are as slow untrained. Time is told twice, on the
clock and of the processor, because other work on a machine slows the first but hardly the second.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from liveface.machine import describe, peak_memory_mb
from liveface.nets.liveportrait.build import NETWORKS, build, load
from liveface.nets.liveportrait.decoder import SpectralConv
from liveface.nets.liveportrait.size import OFFICIAL, Size
from liveface.torch_renderers.liveportrait.drive import POINTS
from liveface.torch_renderers.liveportrait.engine import Engine

MEGA, GIGA = 1e6, 1e9


def multiply_adds(network: nn.Module, run: Callable[[], Any]) -> float:
    """Multiply-adds of the convolutions and linear layers that `run` makes `network` do, in thousands of millions."""
    counted = [0.0]

    def count(layer: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        del given
        if isinstance(layer, SpectralConv):
            counted[0] += made[0, 0].numel() * layer.weight_orig.numel()
        elif isinstance(layer, nn.Conv2d | nn.Conv3d):
            counted[0] += made[0, 0].numel() * layer.weight.numel()
        elif isinstance(layer, nn.Linear):
            counted[0] += made.numel() / made.shape[-1] * layer.weight.numel()

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    run()
    for hook in hooks:
        hook.remove()
    return counted[0] / GIGA


def measure(device: str | None = None, threads: int = 1, repeats: int = 3, size: Size = OFFICIAL) -> dict[str, Any]:
    """Seconds and multiply-adds of each network, and of a frame: the best of `repeats`, after one that warms up."""
    untrained = build(size)
    networks = load({name: getattr(untrained, name).state_dict() for name in NETWORKS}, size)
    engine = Engine(networks, device, threads)
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (engine.size.picture, engine.size.picture, 3), np.uint8)
    source, driving = rng.uniform(-0.5, 0.5, (2, POINTS, 3)).astype(np.float32)
    volume = engine.appearance(crop)
    runs: dict[str, tuple[tuple[nn.Module, ...], Callable[[], Any]]] = {
        "appearance, once a photo": ((networks.appearance,), lambda: engine.appearance(crop)),
        "motion": ((networks.motion,), lambda: engine.look(crop, np.zeros(3, np.float32))),
        "stitching": ((networks.retarget,), lambda: engine.stitched(source, driving)),
        "warping and decoder": ((networks.warping, networks.decoder), lambda: engine.draw(volume, source, driving)),
    }
    rows: dict[str, dict[str, float]] = {}
    for name, (parts, run) in runs.items():
        work = sum(multiply_adds(part, run) for part in parts)  # warms up too
        millions = sum(value.numel() for part in parts for value in part.parameters()) / MEGA
        clock, processor = zip(*(_timed(run) for _ in range(repeats)), strict=True)
        rows[name] = {"seconds": min(clock), "cpu_seconds": min(processor), "gmac": work, "millions": millions}
    every = [row for name, row in rows.items() if name != "appearance, once a photo"]
    rows["a frame"] = {key: sum(row[key] for row in every) for key in every[0]}
    made = {"machine": describe(), "device": str(engine.device), "threads": threads, "rows": rows}
    return {**made, "peak_memory_mb": peak_memory_mb()}


def _timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Every call ends with its result on the CPU, or is too short to matter; so nothing is left on a GPU."""
    clock, processor = time.perf_counter(), time.process_time()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - clock, time.process_time() - processor


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, and JSON last."""
    parser = argparse.ArgumentParser(description="What a frame of liveportrait costs.")
    parser.add_argument("--device", help="cpu or cuda; what is there by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    report = measure(given.device, given.threads, given.repeats)
    lines = [f"{'':26}{'s':>9}{'CPU s':>9}{'GMAC':>9}{'M':>9}"]
    for name, row in report["rows"].items():
        lines.append(f"{name:26}" + "".join(f"{value:9.3f}" for value in row.values()))
    lines.append(f"peak memory {report['peak_memory_mb']:.0f} MB")
    sys.stdout.write("\n".join([*lines, json.dumps(report)]) + "\n")


if __name__ == "__main__":
    main()
