"""Minutes of PersonaLive's stream, simulated: does memory stay flat, does the face stay who it is, how long is a chunk.

    python -m liveface.train.personalive_stream --run runs/personalive-stream [--minutes 30] [--fps 25] [--chunk 4]
        [--window 16] [--untrained small|full] [--device cuda] [--compiled] [-o bench/results/personalive_stream.json]

A motion of some seconds is driven again and again, so that every round can be compared with the first: the picture at
the same place of a later round differs by the noise, which every call has of its own, and by drift. The second round
says how much the noise is worth; what later rounds differ more is drift. Notable choices: chunk time is the processor's
or the GPU's for one call with decoding; the delay of a frame is counted from when it arrives to when it can be shown,
so it holds the wait for a full chunk and for the window, which chunk time alone hides.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liveface import weights
from liveface.bench_stream import resident_mb
from liveface.machine import describe
from liveface.nets.personalive.build import NETWORKS
from liveface.nets.personalive.modules import MotionModule, TemporalModule
from liveface.nets.personalive.small import POINTS, SmallPersonaLive, code_of, places_of
from liveface.nets.personalive.stream import open_window, push
from liveface.render.mesh import MeshRenderer
from liveface.signals.image import read_image
from liveface.torch_renderers.personalive.engine import Cast, Engine, Official, Small, read_small
from liveface.train.avatar.sweeps import SWEEPS, sweep
from liveface.types import Array, Motion

ROUND_S = 20.0  # of motion, driven again and again
SAMPLED = 8  # pictures of a round that are kept for comparison
UNTRAINED = ("small", "full")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to simulate: `minutes` of stream at `fps`, `chunk` frames a call in a window of `window`."""

    minutes: float = 30.0
    fps: float = 25.0
    chunk: int = 4
    window: int = 16


def untrained(kind: str) -> Cast:
    """Networks without training, for time and memory alone: "small", or "full" in the official size."""
    torch.manual_seed(0)
    if kind == "small":
        network = SmallPersonaLive()
        for part in network.modules():
            if isinstance(part, MotionModule | TemporalModule):
                torch.nn.init.normal_(part.temporal_transformer.proj_out.weight, std=0.02)
        return Small(network)
    return Official({name: make() for name, make in NETWORKS.items() if name != "tiny"})


def programme(fps: float, seconds: float) -> Motion:
    """A round of motion: pieces of all sweeps, one after the other."""
    parts = [sweep(name, seed=5, fps=fps) for name in SWEEPS]
    each = max(1, round(seconds * fps / len(parts)))
    return Motion.concat([part[: min(each, len(part))] for part in parts])


def rows_of(engine: Engine, actor: MeshRenderer, motion: Motion) -> tuple[Array, Array]:
    """The round as rows `[T, L]`, and the photo's own row."""
    cast = engine.cast
    whole = Motion.concat([Motion.rest(1, motion.fps), motion])
    if cast.sees:
        _, frames = actor.step(actor.start(), whole)
        seen = np.stack([engine.look(frame.pixels) for frame in frames])
        return seen[1:], seen[0]
    places = np.stack([places_of(actor.points(one)[POINTS, :2], cast.side).ravel() for one in whole])
    told = np.concatenate([code_of(whole), places], axis=1).astype(np.float32)
    return told[1:], told[0]


def spread(values: list[float]) -> dict[str, float]:
    """Middle and 95th percentile."""
    middle, high = np.percentile(values, [50, 95])
    return {"p50": round(float(middle), 1), "p95": round(float(high), 1)}


def stream(engine: Engine, wanted: Wanted, say: Any = None) -> dict[str, Any]:
    """Simulate and say what came of it.

    Args:
        say: told after every simulated minute what came of it so far.
    """
    cast, plan = engine.cast, engine.cast.plan(wanted.chunk, wanted.window)
    actor = MeshRenderer(read_image(weights.path("portrait.jpg")), (cast.side, cast.side))
    still = actor.canvas.shrink(actor.canvas.texture)
    rows, rest = rows_of(engine, actor, programme(wanted.fps, ROUND_S))
    calls_a_round = len(rows) // plan.chunk
    rows = rows[: calls_a_round * plan.chunk]
    reference = engine.refer(still)
    own, first = (torch.from_numpy(part).to(engine.device) for part in (rest, rows[0]))
    with engine.at_work():
        lead = cast.lead(own, first, plan.lead)
        window = open_window(reference, lead, lead.motion[0], engine.noise(0, 0, plan.lead, reference.latents), plan)
    calls = int(wanted.minutes * 60 * wanted.fps) // plan.chunk
    each_minute = max(1, int(60 * wanted.fps) // plan.chunk)
    kept = np.linspace(0, calls_a_round - 1, SAMPLED).astype(int)
    begun: dict[int, Array] = {}
    drift: list[float] = []
    apart: list[float] = []
    spent_ms: list[float] = []
    memory, keyframes, report = [resident_mb()], [], dict[str, Any]()
    for call in range(calls):
        place = call % calls_a_round
        chunk = torch.from_numpy(rows[place * plan.chunk : (place + 1) * plan.chunk]).to(engine.device)
        since = time.perf_counter()
        with engine.at_work():
            noise = engine.noise(0, call + 1, plan.chunk, reference.latents)
            pushed = push(cast.networks, reference, window, cast.drive(chunk, own, first), noise, plan)
            pictures = engine.pictures(pushed.latents)
        spent_ms.append(1000 * (time.perf_counter() - since))
        window = pushed.window
        if pushed.keyframe:
            keyframes.append(call)
        shown = (call - plan.delay) % calls_a_round  # what comes out went in so many calls before
        if call >= plan.delay and shown in kept:
            picture = pictures[0].astype(np.float32)
            if shown not in begun:
                begun[shown] = picture
            else:
                apart.append(float(np.abs(picture - begun[shown]).mean()))
        if (call + 1) % calls_a_round == 0 and apart:
            drift.append(float(np.mean(apart)))
            apart = []
        if (call + 1) % each_minute == 0 or call + 1 == calls:
            memory.append(resident_mb())
            report = summary(wanted, plan.delay, (call + 1) * plan.chunk, spent_ms, memory, drift, keyframes)
            if say is not None:
                say(report)
    return report


def summary(
    wanted: Wanted,
    delay: int,
    frames: int,
    spent_ms: list[float],
    memory: list[float],
    drift: list[float],
    keyframes: list[int],
) -> dict[str, Any]:
    """The numbers so far."""
    chunk = spread(spent_ms)
    period_ms = 1000 * wanted.chunk / wanted.fps
    fill_ms = 1000 * (wanted.chunk - 1) / wanted.fps  # a chunk's first frame waits for its last, and is shown first
    return {
        "minutes": round(frames / wanted.fps / 60, 2),
        "frames": frames,
        "fps": wanted.fps,
        "chunk": wanted.chunk,
        "window": wanted.window,
        "chunk_ms": chunk,
        "frames_a_second_possible": round(1000 * wanted.chunk / chunk["p50"], 2),
        "driver_to_picture_ms": round(period_ms * delay + fill_ms + chunk["p50"], 1),
        "memory_mb_by_minute": [round(value, 1) for value in memory],
        "keyframe_calls": keyframes,
        "levels_apart_from_first_round": [round(value, 3) for value in drift],
    }


def main() -> None:
    """Simulate and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks = parser.add_mutually_exclusive_group(required=True)
    networks.add_argument("--run", type=Path, help="run folder of recipes/personalive-stream.toml")
    networks.add_argument("--weights", action="store_true", help="the official weights that were fetched")
    networks.add_argument("--untrained", choices=UNTRAINED, help="for time and memory alone")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--chunk", type=int, default=4)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--device", default=None)
    parser.add_argument("--compiled", action="store_true", help="torch.compile; on a GPU with CUDA graphs")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench/results/personalive_stream.json"))
    given = parser.parse_args()
    if given.weights:
        engine = Engine.open(device=given.device, compiled=given.compiled)
    else:
        cast: Cast = read_small(given.run) if given.run else untrained(given.untrained)
        engine = Engine(cast, given.device, compiled=given.compiled)
    kind = f"untrained {given.untrained}" if given.untrained else "fetched" if given.weights else "trained"
    told = {"networks": kind, "device": str(engine.device), "compiled": given.compiled}

    def write(report: dict[str, Any]) -> None:
        draft = given.output.with_suffix(".tmp")
        draft.write_text(json.dumps({"machine": describe(), **told, **report}, indent=1) + "\n", "utf-8")
        draft.replace(given.output)
        sys.stderr.write(f"{report['minutes']:g} of {given.minutes:g} minutes\n")

    wanted = Wanted(given.minutes, given.fps, given.chunk, given.window)
    sys.stdout.write(json.dumps(stream(engine, wanted, write)) + "\n")


if __name__ == "__main__":
    main()
