"""What each part of the speech model brings, on held-out recordings: regression, teacher in many steps, student in one.

    python -m liveface.train.speech_ablation TEACHER STUDENT [--matched STUDENT] [--faces build/faces]

Notable choices: all rows hear the same ears, begin from the same noise and run as streams, each frame after the frames
they drew themselves; the teacher's inertia is held back when it draws in several steps, as it is for the student, or
its head walks away; no gate and no idle life, so that the networks alone are judged; the first seconds of every clip,
because fifty steps a frame take long; times are those of one stream in torch on one thread, comparable with each other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from liveface.export.speech import load_online
from liveface.lipsync import scores
from liveface.lipsync.measures import Lips, lips_of
from liveface.lipsync.truth import Clip, held_out
from liveface.motion.codes import motion_of
from liveface.motion.diffusion import levels
from liveface.nets.online import Conditions, OnlineNet, calmed
from liveface.signals.features import FRAME_SAMPLES, log_mel
from liveface.train.diffusion import like_noise, lowered
from liveface.train.recipe import data_folder
from liveface.train.speech_listener import hear
from liveface.train.speech_streams import free_run, hold_back
from liveface.train.speech_student import StudentOptions
from liveface.types import Array

SECONDS = 5
TIMED_FRAMES = 40
_KEPT = (
    "correlation", "correlation_spoken", "lag_frames", "width_correlation", "amplitude", "jitter_ratio", "lip_error_mm",
    "lip_speed_error_mm", "lip_error_own_size_mm", "upper_dynamics_deviation_mm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One way of making motion.

    Attributes:
        name: for the table.
        network: the denoiser.
        steps: denoising steps a frame; 0 is the regression alone.
        both: whether all frames of a clip are drawn at once and see both sides.
        calm: whether the mouth's noise is as calm as in the exported stream.
    """

    name: str
    network: OnlineNet
    steps: int
    both: bool = False
    calm: bool = False


def cropped(clip: Clip, frames: int) -> Clip:
    """The first frames of a clip."""
    lips = clip.lips
    if lips is not None:
        brows = None if lips.brows is None else lips.brows[:frames]
        lips = Lips(lips.opening[:frames], lips.width[:frames], lips.lips[:frames], brows)
    phones = tuple(phone for phone in clip.phones if phone[2] * 30 < frames)
    samples = clip.samples[: frames * FRAME_SAMPLES]
    return replace(clip, samples=samples, opening=clip.opening[:frames], phones=phones, lips=lips)


def told(network: OnlineNet, clips: Sequence[Clip]) -> tuple[Tensor, Tensor]:
    """What the denoiser is told of every clip, heard `[B, T, D]` and mouth `[B, T, 17]`, as long as the longest."""
    ears = [hear(network.encoder, log_mel(_whole(clip.samples)), np.zeros(4, np.float32)) for clip in clips]
    longest = max(len(mouth) for _, mouth in ears)

    def wide(part: Array) -> Array:
        return np.concatenate([part, np.repeat(part[-1:], longest - len(part), 0)])

    hidden, mouth = (torch.from_numpy(np.stack([wide(ear[index]) for ear in ears])) for index in (0, 1))
    batch, sizes = len(clips), network.config
    still = (torch.zeros(batch, 1, sizes.emotions), torch.zeros(batch, 1, 4), torch.zeros(batch, 1, sizes.eyes))
    with torch.inference_mode():
        given = network.conditions((hidden, mouth), *still)
    return given.heard, given.mouth


def _whole(samples: Array) -> Array:
    return np.pad(samples, (0, -len(samples) % FRAME_SAMPLES))


@torch.inference_mode()
def made(row: Row, given: tuple[Tensor, Tensor], seed: int = 0) -> Array:
    """Codes `[B, T, 26]` of one row in real units."""
    network, (heard, mouth) = row.network, given
    noise = like_noise((*heard.shape[:2], network.config.codes), torch.Generator().manual_seed(seed))
    if row.calm:
        noise = calmed(noise, mouth.shape[-1])
    if row.steps == 0:
        still = torch.zeros(*mouth.shape[:2], network.config.codes - mouth.shape[-1])
        return network.real(torch.cat([mouth, network.standard(network.mean)[mouth.shape[-1] :] + still], -1)).numpy()
    if not row.both:
        return network.real(free_run(network, given, noise, row.steps)).numpy()
    path, noisy, clean = levels(row.steps).tolist(), noise, noise
    for level, lower in pairwise(path):
        here, there = torch.full(noise.shape[:2], level), torch.full(noise.shape[:2], lower)
        clean = network.draw_both(Conditions(heard, mouth, heard), noisy, here)
        noisy = lowered(noisy, clean, here, there)
    return network.real(clean).numpy()


def frame_ms(row: Row, given: tuple[Tensor, Tensor]) -> float:
    """Median milliseconds a frame of one stream, without the encoder."""
    one = (given[0][:1, :TIMED_FRAMES], given[1][:1, :TIMED_FRAMES])
    times = []
    for _ in range(3):
        start = time.perf_counter()
        made(row, one)
        times.append((time.perf_counter() - start) / TIMED_FRAMES * 1000)
    return round(float(np.median(times)), 3)


def scored(codes: Array, clips: Sequence[Clip]) -> dict[str, float]:
    """Medians over clips, and shares of phones that look as they should."""
    faces = [
        lips_of(motion_of(track[: len(clip.opening)]).expression) for track, clip in zip(codes, clips, strict=True)
    ]
    table = scores.middle([scores.score_lips(face, clip) for face, clip in zip(faces, clips, strict=True)])
    return {**{name: table[name] for name in _KEPT}, **scores.recalls(faces, clips)}


def ablation(rows: Sequence[Row], clips: Sequence[Clip], note: Callable[[str], object] = print) -> dict[str, object]:
    """The table: row to its scores, milliseconds a frame and how many times faster than fifty steps it is."""
    short = [cropped(clip, SECONDS * 30) for clip in clips]
    table: dict[str, dict[str, float]] = {}
    for row in rows:
        given = told(row.network, short)
        table[row.name] = {**scored(made(row, given), short), "ms_a_frame": frame_ms(row, given)}
        note(f"{row.name}: {json.dumps(table[row.name])}")
    slowest = max(line["ms_a_frame"] for line in table.values())
    for line in table.values():
        line["times_faster"] = round(slowest / line["ms_a_frame"], 1)
    return {"clips": len(short), "seconds_a_clip": SECONDS, "rows": table}


def main() -> None:
    """Measure the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("student", type=Path)
    parser.add_argument("--matched", type=Path, help="a student trained without distribution matching")
    parser.add_argument("--faces", type=Path, help="tracking cache; without it every clip is tracked")
    parser.add_argument("--phones", type=Path, default=Path("bench/held_out_phones.json"))
    parser.add_argument("--out", type=Path, default=Path("bench/results/speech_ablation.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    teacher, held, student = load_online(given.teacher), load_online(given.teacher), load_online(given.student)
    hold_back(held, StudentOptions().held_back)
    rows = [Row("regression", teacher, 0)]
    rows += [Row(f"teacher, {steps} steps", held, steps) for steps in (50, 8)] + [Row("teacher, 1 step", teacher, 1)]
    rows += [Row("teacher, both sides, 8 steps", teacher, 8, both=True)]
    if given.matched is not None:
        rows.append(Row("student, without distribution matching", load_online(given.matched), 1))
    rows += [Row("student", student, 1), Row("student, calm noise (ships)", student, 1, calm=True)]
    result = ablation(rows, held_out(data_folder(), given.phones, given.faces))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    part = given.out.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    part.replace(given.out)


if __name__ == "__main__":
    main()
