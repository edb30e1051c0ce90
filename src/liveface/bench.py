"""Speed and memory on this machine: milliseconds per stage, frames per second end to end, JSON last.

Notable choices: the portrait and the speech are the embedded ones, the driving video is the one just made; the process
is pinned to as many cores as it may use threads, so that "one thread" is one core; the first frames warm caches up and
are left out; the second of two runs counts.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from liveface import weights
from liveface.about import processor
from liveface.session import animate
from liveface.signals.media import read_audio

STAGES = ("listen", "track", "render", "encode")
THREADS = (1, 2)


def bench(output: Path, seconds: float) -> str:
    """Measure, store the JSON in `output`, and return the table with the JSON as the last line."""
    result: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%d"),
        "machine": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "version": version("liveface"),
        "commit": _commit(),
        "size": [360, 640],
        "fps": 30,
        "threads": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        speech = _speech(Path(folder) / "speech.wav", seconds)
        for threads in THREADS:
            with pinned(threads):
                result["threads"][str(threads)] = _measure(Path(folder), speech, threads)
    result["peak_memory_mb"] = round(peak_memory_mb())
    output.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(result)
    output.write_text(line + "\n", "utf-8")
    return "\n".join([*_table(result), line])


def _measure(folder: Path, speech: Path, threads: int) -> dict[str, Any]:
    """Speech to video, then that video to video."""
    photo, spoken = weights.path("portrait.jpg"), folder / "spoken.mp4"
    animate(photo, speech, spoken, threads=threads)
    by_speech = animate(photo, speech, spoken, threads=threads)
    by_video = animate(photo, spoken, folder / "driven.mp4", threads=threads)
    stages = {**by_video.stages, **by_speech.stages}
    return {
        "stages_ms": {stage: stages[stage] for stage in STAGES},
        "speech_to_video_fps": round(by_speech.frames / by_speech.elapsed_s, 1),
        "video_to_video_fps": round(by_video.frames / by_video.elapsed_s, 1),
        "render_fps": round(1000 / stages["render"]["p50"], 1),
        "speech_times_real_time": round(by_speech.speed, 2),
    }


def _speech(path: Path, seconds: float) -> Path:
    """The embedded speech, repeated to `seconds`, as a WAV file."""
    samples = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"))])
    samples = np.resize(samples, round(seconds * 24_000))
    with av.open(str(path), "w", "wav") as container:
        stream = container.add_stream("pcm_s16le", rate=24_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = 24_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep this process on `threads` cores where the system can, and OpenCV at as many threads."""
    before, pool = (os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None), cv2.getNumThreads()
    try:
        cv2.setNumThreads(threads)
        if before is not None:
            os.sched_setaffinity(0, set(sorted(before)[:threads]))
        yield
    finally:
        cv2.setNumThreads(pool)
        if before is not None:
            os.sched_setaffinity(0, before)


def peak_memory_mb() -> float:
    """The most memory this process ever held, decimal megabytes."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _commit() -> str:
    """The commit of the checkout this runs from; empty for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        asked = subprocess.run(  # noqa: S603 (a fixed command)
            ["git", "-C", str(root), "rev-parse", "--short", "HEAD"],  # noqa: S607 (git is found on the path)
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    except OSError:
        return ""
    return asked.stdout.strip()


def _table(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['machine']}, {result['cores']} cores; 360x640 at 30 fps", ""]
    lines += ["| ms a frame, p50 / p95 | " + " | ".join(f"{n} thread{'s' * (n > 1)}" for n in THREADS) + " |"]
    lines += ["|---" * (len(THREADS) + 1) + "|"]
    runs = [result["threads"][str(threads)] for threads in THREADS]
    for stage in STAGES:
        cells = [f"{run['stages_ms'][stage]['p50']:.2f} / {run['stages_ms'][stage]['p95']:.2f}" for run in runs]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    for name in ("render_fps", "speech_to_video_fps", "video_to_video_fps", "speech_times_real_time"):
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(f"{run[name]:g}" for run in runs) + " |")
    return [*lines, "", f"peak memory {result['peak_memory_mb']} MB", ""]
