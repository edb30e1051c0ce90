"""Lips of synthetic voices in several languages: what must be seen of the phones, where no picture of a mouth exists.

The sentences are held out by `train.languages` and spoken by `tools/speak_phones.py`; their phones lie beside the
results, their sound is made again by that tool.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liveface.errors import SignalError
from liveface.lipsync import measures as m
from liveface.lipsync.scores import Speaks, Table, gap_at_closures, other_sound, recalls
from liveface.lipsync.truth import Clip, read_samples
from liveface.signals.features import FRAME_SAMPLES
from liveface.types import Array


def spoken_clips(folder: Path, phones_file: Path) -> list[Clip]:
    """The held-out sentences, a group for each language; their true opening is unknown and 0.

    Args:
        folder: where `tools/speak_phones.py` wrote.
        phones_file: such as `bench/spoken_phones.json`: name to `language` and `phones` (name, start, seconds).

    Raises:
        SignalError: a sentence's sound is not there.
    """
    clips = []
    for name, row in json.loads(phones_file.read_text("utf-8")).items():
        file = folder / name
        if not file.is_file():
            raise SignalError(f"{file} is missing; expected a held-out sentence: run `python tools/speak_phones.py`.")
        samples = read_samples(file)
        phones = tuple((str(phone), float(start), float(start + length)) for phone, start, length in row["phones"])
        still = np.zeros(len(samples) // FRAME_SAMPLES, np.float32)
        clips.append(Clip(name, row["language"], samples, still, phones))
    return clips


def by_language(model: Speaks, clips: Sequence[Clip]) -> dict[str, Table]:
    """For each language: what was recalled of its phones, the same with another sentence's sound, and the motion.

    Returns: per language `p b m` (how many there are), recalls and their `shuffled` twins, `gap_percent` (median least
        opening over rest in p, b and m), `jitter`, and `quiet_percent` (mean opening before and after the sentence).
    """
    faces = [m.lips_of(model.run(clip.samples).expression[: len(clip.opening)]) for clip in clips]
    turned = other_sound(faces, clips)
    out: dict[str, Table] = {}
    for language in dict.fromkeys(clip.group for clip in clips):
        chosen = [index for index, clip in enumerate(clips) if clip.group == language]
        own, other = ([rows[index] for index in chosen] for rows in (faces, turned))
        said = [clips[index] for index in chosen]
        pressed = sum(len(m.spans(clip.phones, m.PRESSED, len(clip.opening))) for clip in said)
        shuffled = recalls(other, said)
        quiet = [_edges(face.opening, clip) for face, clip in zip(own, said, strict=True)]
        out[language] = {
            "p b m": float(pressed),
            **recalls(own, said),
            **{f"{name}, shuffled": value for name, value in shuffled.items()},
            "gap_percent": round(gap_at_closures(own, said), 3),
            "jitter": round(float(np.mean([m.jitter(face.opening) for face in own])), 3),
            "quiet_percent": round(float(np.mean(np.concatenate(quiet))), 3),
        }
    return out


def _edges(opening: Array, clip: Clip) -> Array:
    """Openings of a face where its sentence is over or has not begun."""
    quiet: Array = opening[m.pauses(clip.phones, len(opening))]
    return quiet
