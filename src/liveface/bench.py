"""Speed and memory on this machine: milliseconds a stage, frames a second end to end, JSON last.

Notable choices: portrait, avatars and speech are the embedded ones, the driving video is the portrait moved by a
made-up motion; every measurement has a process of its own, kept on as many cores as it has threads, so that "one
thread" is one core and its memory is its own; a job is done several times, end to end from opening the files to the
finished MP4, and the fastest counts, because whatever else the machine does can only make it slower.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
import wave
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from liveface import weights
from liveface.avatar import Avatar, read_avatar
from liveface.machine import cores, describe, peak_memory_mb
from liveface.motion.audio import FILE as SPEECH_FILE
from liveface.motion.audio import SpeechToMotion
from liveface.motion.best import BestSpeech
from liveface.motion.files import save_motion
from liveface.render.liveface.renderer import LiveFaceRenderer
from liveface.render.mesh import MeshRenderer
from liveface.render.mobileportrait.renderer import MobilePortraitRenderer
from liveface.runtime import Step
from liveface.session import Options, Report, Session, Stages, animate
from liveface.signals.features import FRAME_SAMPLES
from liveface.signals.image import read_image
from liveface.signals.media import read_audio
from liveface.types import ARKIT_INDEX, HOUSE_FPS, HOUSE_RATE_HZ, AudioBlock, Motion, arkit_spec

RESULTS = Path("bench/results/bench.json")
SECONDS = 8.0  # of video a job, chosen: long enough that starting up counts little
THREADS = (1, 2)
REPEATS = 3
STAGES = {"track": "video", "solve": "video", "listen": "speech", "render": "speech", "encode": "speech"}
"""Stages of the table and the job each is taken from."""
AVATAR_STAGES = ("controls", "base", "decoders", "paste", "compositor", "frame")
"""What a frame of an avatar consists of, and all of it."""

Progress = Callable[[str, int, int], None]


def bench(
    *,
    seconds: float = SECONDS,
    threads: Sequence[int] = THREADS,
    repeats: int = REPEATS,
    size: tuple[int, int] = (360, 640),
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure both jobs with every number of threads.

    Args:
        seconds: of video a job.
        threads: how many, each measured alone; more than the machine has cores are left out.
        repeats: of every job, of which the fastest counts.
        size: width and height of the video.
        out: where the JSON goes.
        progress: called with what is measured, jobs done and their number.

    Returns: `machine`, settings, and `runs`: driver, threads, `fps` and `times_real_time` end to end, `stages_ms` with
        `min`, `p50`, `p95` and `mean` a frame, `enrol_ms` once, `rest_ms` a frame outside of all that (opening,
        decoding, calibration, sound, finishing), `peak_memory_mb`; and `avatars`: what `measure_avatar` says of every
        embedded avatar; `speech`: what `measure_speech` says; and `photos`: what `measure_photos` says.
    """
    usable = [count for count in threads if count <= len(cores())] or [1]
    report: dict[str, Any] = {"machine": describe(), "size": list(size), "fps": HOUSE_FPS, "seconds": seconds}
    report["repeats"], report["runs"], report["avatars"] = repeats, [], []
    avatars = embedded_avatars()
    with tempfile.TemporaryDirectory() as folder:
        speech, video = Path(folder) / "speech.wav", Path(folder) / "video.mp4"
        write_speech(speech, seconds)
        write_video(video, seconds)
        jobs = [(driver, count) for count in usable for driver in (speech, video)]
        for done, (driver, count) in enumerate(jobs):
            if progress is not None:
                progress(f"bench {driver.stem}, {count} thread{'s' * (count > 1)}", done, len(jobs) + len(avatars))
            report["runs"].append(_alone(measure, str(driver), count, repeats, size))
        for done, name in enumerate(avatars):
            if progress is not None:
                progress(f"bench {name}", len(jobs) + done, len(jobs) + len(avatars))
            report["avatars"].append(_alone(measure_avatar, str(weights.path(name)), str(speech), repeats))
        report["speech"] = _alone(measure_speech, str(speech))
        report["photos"] = _alone(measure_photos, str(speech))
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def embedded_avatars() -> list[str]:
    """Names of the avatars that ship."""
    return sorted(name for name in weights.manifest() if name.endswith(".avatar"))


def _alone(job: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
    """A job in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, *arguments).result()


def measure(driver: str, threads: int, repeats: int, size: tuple[int, int]) -> dict[str, Any]:
    """Animate the embedded portrait by `driver`; keeps this process on `threads` cores for good."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(cores()[:threads]))
    cv2.setNumThreads(threads)
    photo, output = weights.path("portrait.jpg"), Path(driver).with_suffix(".out.mp4")
    done = [animate(photo, driver, output, threads=threads, size=size) for _ in range(repeats)]
    since = time.perf_counter()
    Session(photo, Options(size=size, threads=threads))
    enrol_s = time.perf_counter() - since
    return _row(min(done, key=lambda report: report.elapsed_s), threads, enrol_s)


def measure_avatar(avatar: str, speech: str, repeats: int) -> dict[str, Any]:
    """Draw an avatar to speech on one thread; keeps this process on one core for good.

    Returns: `stages_ms` by `AVATAR_STAGES` of the fastest of `repeats`; `fps` from the files to the finished video.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(cores()[:1]))
    cv2.setNumThreads(1)
    samples = np.concatenate([block.samples for block in read_audio(speech)])
    motion = SpeechToMotion().run(samples)
    since = time.perf_counter()
    content = read_avatar(avatar)
    clocks = [_stages_of(content, motion) for _ in range(repeats)]
    opened_s = time.perf_counter() - since - sum(clock["frame"]["mean"] * len(motion) / 1000 for clock in clocks)
    output = Path(speech).with_name("avatar.mp4")
    done = [animate(avatar, speech, output, threads=1) for _ in range(repeats)]
    best = max(done, key=lambda report: report.frames / report.elapsed_s)
    return {
        "avatar": Path(avatar).name,
        "size": list(content.about.canvas),
        "networks": content.about.size,
        "threads": 1,
        "frames": len(motion),
        "stages_ms": min(clocks, key=lambda clock: clock["frame"]["p50"]),
        "enrol_ms": round(1000 * opened_s / repeats),
        "fps": round(best.frames / best.elapsed_s, 1),
        "times_real_time": round(best.speed, 2),
        "peak_memory_mb": round(peak_memory_mb()),
    }


def measure_speech(speech: str) -> dict[str, Any]:
    """Speech to motion on one thread, apart from pictures; keeps this process on one core for good.

    Returns: `network_ms` and `listen_ms` a frame (the network alone, and all from samples to motion) with `min`, `p50`,
        `p95` and `mean`; `algorithmic_delay_ms`, which no computer shortens; `best_ms`, a frame of the quality "best",
        and how many `times` the network's it is; `file_mb`.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(cores()[:1]))
    samples = np.concatenate([block.samples for block in read_audio(speech)])
    model, stages = SpeechToMotion(), Stages()
    network, state = Step(weights.path(SPEECH_FILE)), model.start()
    given = {name: np.zeros(shape, dtype) for name, (shape, dtype) in network.inputs.items()}
    for at in range(0, len(samples) - FRAME_SAMPLES, FRAME_SAMPLES):
        since = time.perf_counter()
        state, _ = model.step(state, AudioBlock(samples[at : at + FRAME_SAMPLES], at))
        heard = time.perf_counter()
        made = network(**given)
        stages.add("network", time.perf_counter() - heard)
        stages.add("listen", heard - since)
        given |= {name.removeprefix("next_"): value for name, value in made.items() if name.startswith("next_")}
    best, since = BestSpeech(model), time.perf_counter()
    frames = len(best.run(samples))
    best_ms = 1000 * (time.perf_counter() - since) / frames
    spread = stages.summary()
    return {
        "network_ms": spread["network"],
        "listen_ms": spread["listen"],
        "algorithmic_delay_ms": round(model.lookahead_ms, 1),
        "best_ms": round(best_ms, 3),
        "best_times": round(best_ms / spread["network"]["p50"], 1),
        "file_mb": round(weights.path(SPEECH_FILE).stat().st_size / 1e6, 2),
    }


def measure_photos(speech: str) -> dict[str, Any]:
    """Both renderers of photos to speech, frame by frame in turns, on one thread; keeps this process on one core.

    Returns: `mesh_ms` and `mobileportrait_ms` a frame with `min`, `p50`, `p95` and `mean`; `stages_ms` of the latter;
        `times_mesh`, the ratio of the medians; `file_mb` of its networks.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(cores()[:1]))
    cv2.setNumThreads(1)
    motion = SpeechToMotion().run(np.concatenate([block.samples for block in read_audio(speech)]))
    picture, stages, frames = read_image(weights.path("portrait.jpg")), Stages(), Stages()
    mesh, made = MeshRenderer(picture), MobilePortraitRenderer(picture, clock=stages.add)
    plain, state = mesh.start(), made.start()
    for one in motion:
        since = time.perf_counter()
        plain, _ = mesh.step(plain, one)
        between = time.perf_counter()
        state, _ = made.step(state, one)
        frames.add("mobileportrait", time.perf_counter() - between)
        frames.add("mesh", between - since)
    spread = frames.summary()
    parts = [name for name in weights.manifest() if name.startswith("mobileportrait_")]
    return {
        "mesh_ms": spread["mesh"],
        "mobileportrait_ms": spread["mobileportrait"],
        "stages_ms": stages.summary(),
        "times_mesh": round(spread["mobileportrait"]["p50"] / spread["mesh"]["p50"], 2),
        "file_mb": round(sum(weights.path(name).stat().st_size for name in parts) / 1e6, 2),
    }


def _stages_of(content: Avatar, motion: Motion) -> dict[str, dict[str, float]]:
    """Milliseconds of every stage of an avatar's frames."""
    stages = Stages()
    renderer = LiveFaceRenderer(content, clock=stages.add)
    state = renderer.start()
    for one in motion:
        since = time.perf_counter()
        state, _ = renderer.step(state, one)
        stages.add("frame", time.perf_counter() - since)
    return stages.summary()


def _row(best: Report, threads: int, enrol_s: float) -> dict[str, Any]:
    """A run as plain values."""
    spent = sum(times["mean"] for times in best.stages.values())
    return {
        "driver": best.driver,
        "threads": threads,
        "frames": best.frames,
        "elapsed_s": round(best.elapsed_s, 3),
        "fps": round(best.frames / best.elapsed_s, 1),
        "times_real_time": round(best.speed, 2),
        "stages_ms": best.stages,
        "enrol_ms": round(1000 * enrol_s),
        "rest_ms": round(1000 * (best.elapsed_s - enrol_s) / best.frames - spent, 3),
        "peak_memory_mb": round(peak_memory_mb()),
    }


def write_speech(path: Path, seconds: float) -> None:
    """The embedded speech, repeated to `seconds`, as a WAV file."""
    samples = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"))])
    samples = np.resize(samples, round(seconds * HOUSE_RATE_HZ))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HOUSE_RATE_HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def write_video(path: Path, seconds: float) -> None:
    """The embedded portrait talking, blinking and turning, as a video of `seconds` without sound."""
    motion = path.with_suffix(".lfm")
    save_motion(lively(round(seconds * HOUSE_FPS)), motion)
    animate(weights.path("portrait.jpg"), motion, path, size=(512, 512))


def lively(frames: int) -> Motion:
    """A motion `[T]` that uses mouth, lids, brows, gaze and head."""
    time = np.arange(frames, dtype=np.float32) / HOUSE_FPS
    expression = np.zeros((frames, 52), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.35 * np.maximum(np.sin(2 * np.pi * 2.3 * time), 0)
    expression[:, ARKIT_INDEX["mouthPucker"]] = 0.4 * np.maximum(np.sin(2 * np.pi * 0.7 * time + 1), 0)
    for side in ("Left", "Right"):
        expression[:, ARKIT_INDEX[f"eyeBlink{side}"]] = np.exp(-(((time % 2.5 - 1.2) / 0.07) ** 2))
        expression[:, ARKIT_INDEX[f"mouthSmile{side}"]] = 0.2 + 0.2 * np.sin(2 * np.pi * 0.3 * time)
    expression[:, ARKIT_INDEX["browInnerUp"]] = 0.2 + 0.2 * np.sin(2 * np.pi * 0.4 * time)
    head, gaze = np.zeros((frames, 6), np.float32), np.zeros((frames, 4), np.float32)
    head[:, 0], head[:, 1] = 0.06 * np.sin(2 * np.pi * 0.5 * time), 0.18 * np.sin(2 * np.pi * 0.25 * time)
    gaze[:, 1] = gaze[:, 3] = 0.15 * np.sign(np.sin(2 * np.pi * 0.35 * time))
    return Motion(expression, head, gaze, arkit_spec())


def table(report: dict[str, Any]) -> str:
    """The report as text; its last line is the whole of it as JSON."""
    machine, (width, height) = report["machine"], report["size"]
    counts = sorted({run["threads"] for run in report["runs"]})
    runs = {(run["driver"], run["threads"]): run for run in report["runs"]}
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load'][0] if machine['load'] else 'unknown'}; "
        f"{width}x{height} at {report['fps']} fps, {report['seconds']:g} s, fastest of {report['repeats']}",
        "",
    ]
    rows = [["ms a frame: min / p50 / p95", *[f"{count} thread{'s' * (count > 1)}" for count in counts]]]
    rows.append(["---", *["---:"] * len(counts)])
    for stage, driver in STAGES.items():
        times = [runs[driver, count]["stages_ms"][stage] for count in counts]
        rows.append([stage, *[f"{one['min']:.2f} / {one['p50']:.2f} / {one['p95']:.2f}" for one in times]])
    enrolled = [runs["speech", count]["enrol_ms"] for count in counts]
    rows.append(["enrolling the photo, once", *[f"{time_ms} ms" for time_ms in enrolled]])
    for driver in ("speech", "video"):
        found = [runs[driver, count] for count in counts]
        rows.append([f"{driver}: the rest", *[f"{run['rest_ms']:.2f}" for run in found]])
        told = [f"{run['fps']:g} fps, {run['times_real_time']:g} times real time" for run in found]
        rows.append([f"{driver} to video, end to end", *told])
        rows.append([f"{driver}: peak memory", *[f"{run['peak_memory_mb']} MB" for run in found]])
    lines += _aligned(rows)
    if report.get("speech"):
        lines += ["", *_aligned(_speech_rows(report["speech"]))]
    if report.get("photos"):
        lines += ["", *_aligned(_photo_rows(report["photos"]))]
    if report["avatars"]:
        lines += ["", *_aligned(_avatar_rows(report["avatars"]))]
    return "\n".join([*lines, "", json.dumps(report)])


def _speech_rows(speech: dict[str, Any]) -> list[list[str]]:
    """The table of speech to motion."""
    rows = [["speech to motion, 1 thread", "min / p50 / p95"], ["---", "---:"]]
    for name, what in (("network_ms", "network, ms a frame"), ("listen_ms", "samples to motion, ms a frame")):
        one = speech[name]
        rows.append([what, f"{one['min']:.2f} / {one['p50']:.2f} / {one['p95']:.2f}"])
    rows.append(["algorithmic delay", f"{speech['algorithmic_delay_ms']:g} ms"])
    rows.append(["quality best, ms a frame", f"{speech['best_ms']:g}, {speech['best_times']:g} times the network"])
    rows.append(["size of the network", f"{speech['file_mb']:g} MB"])
    return rows


def _photo_rows(photos: dict[str, Any]) -> list[list[str]]:
    """The table of the renderers of photos."""
    rows = [["renderers of photos in turns, 1 thread, ms a frame", "min / p50 / p95"], ["---", "---:"]]
    named = [(name, photos[f"{name}_ms"]) for name in ("mesh", "mobileportrait")]
    for name, one in (*named, *[(f"of it: {stage}", times) for stage, times in photos["stages_ms"].items()]):
        rows.append([name, f"{one['min']:.2f} / {one['p50']:.2f} / {one['p95']:.2f}"])
    rows.append(["mobileportrait over mesh, medians", f"{photos['times_mesh']:g}"])
    rows.append(["its networks", f"{photos['file_mb']:g} MB"])
    return rows


def _avatar_rows(avatars: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The table of the embedded avatars."""
    rows = [["avatar, ms a frame: min / p50 / p95, 1 thread", *[one["avatar"] for one in avatars]]]
    rows.append(["---", *["---:"] * len(avatars)])
    for stage in AVATAR_STAGES:
        times = [one["stages_ms"][stage] for one in avatars]
        rows.append([stage, *[f"{time['min']:.2f} / {time['p50']:.2f} / {time['p95']:.2f}" for time in times]])
    rows.append(["opening the avatar, once", *[f"{one['enrol_ms']} ms" for one in avatars]])
    told = [f"{one['fps']:g} fps, {one['times_real_time']:g} times real time" for one in avatars]
    rows.append(["speech to video, end to end", *told])
    rows.append(["peak memory", *[f"{one['peak_memory_mb']} MB" for one in avatars]])
    return rows


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a Markdown table with columns of one width."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
