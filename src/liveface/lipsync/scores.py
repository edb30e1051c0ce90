"""How good a speech model is on held-out recordings: its scores beside those of controls.

Notable choices: anything with `run(samples) -> Motion` is measured; every score stands beside the same score with
another recording's sound, and lip errors beside those of the mean face, a face that never moves; medians over clips
are followed by the mean over speakers, because one speaker has half of the clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from liveface.lipsync import measures as m
from liveface.lipsync.conditions import hardships, silences
from liveface.lipsync.measures import Lips, lips_of
from liveface.lipsync.truth import Clip
from liveface.types import Array, Motion

Table = dict[str, float]
HARD_CLIPS = 16  # for the table of hardships: this many, of as many speakers as there are
HARD_SECONDS = 20.0  # of each at most
RECALLS = ("p b m closed", "f v touching", "rounded", "open vowels (should be low)")


class Speaks(Protocol):
    """What can be measured."""

    def run(self, samples: Array) -> Motion:
        """The motion of a whole recording `[S]` at the house rate."""
        ...


def score(made: Array, clip: Clip) -> Table:
    """Scores of a predicted opening `[T]` against a clip's."""
    frames = min(len(made), len(clip.opening))
    made, true = made[:frames], clip.opening[:frames]
    best, lag = m.lagged(made, true)
    own = (made - made.mean()) * (true.std() / max(float(made.std()), 1e-6)) + true.mean()  # at this speaker's size
    return {
        "correlation": m.correlation(made, true),
        "best_correlation": best,
        "lag_frames": float(lag),
        "amplitude": float(made.std() / max(float(true.std()), 1e-6)),
        "error_percent": float(np.abs(own - true).mean()),
        "jitter": m.jitter(made),
        "true_jitter": m.jitter(true),
    }


def score_lips(made: Lips, clip: Clip) -> Table:
    """All scores of a predicted face against a clip's true one; see `docs/decisions/measuring.md`."""
    frames = min(len(made.opening), len(clip.opening))
    table = score(made.opening, clip)
    table["jitter_ratio"] = table["jitter"] / max(table["true_jitter"], 1e-6)
    span = m.speech_span(clip.phones, frames)
    table["correlation_spoken"] = m.correlation(made.opening[span], clip.opening[span])
    if clip.lips is None:
        return table
    lips, true = made.lips[:frames], clip.lips.lips[:frames]
    table["width_correlation"] = m.correlation(made.width[:frames], clip.lips.width[:frames])
    table["lip_error_mm"] = m.lip_error(lips, true)
    table["lip_speed_error_mm"] = m.lip_speed_error(lips, true)
    own = m.at_size_of(lips, true)
    table["lip_error_own_size_mm"] = m.lip_error(own, true)
    table["lip_speed_error_own_size_mm"] = m.lip_speed_error(own, true)
    if made.brows is not None and clip.lips.brows is not None:
        gaps = m.dynamics(clip.lips.brows[:frames]) - m.dynamics(made.brows[:frames])
        table["upper_dynamics_deviation_mm"] = float(gaps.mean())
    return table


def other_sound(made: Sequence[Lips], clips: Sequence[Clip]) -> list[Lips]:
    """Everybody's face hears the sound half the list further on, repeated where that is too short."""
    count, out = len(clips), []
    for index, clip in enumerate(clips):
        other, frames = made[(index + count // 2) % count], len(clip.opening)
        at = np.arange(frames) % len(other.opening)
        brows = None if other.brows is None else other.brows[at]
        out.append(Lips(other.opening[at], other.width[at], other.lips[at], brows))
    return out


def mean_face(clips: Sequence[Clip]) -> list[Lips]:
    """The face that never moves: the mean of the true lips of everybody of another group."""
    out = []
    for clip in clips:
        others = [other.lips for other in clips if other.lips is not None and other.group != clip.group]
        others = others or [other.lips for other in clips if other.lips is not None]
        frames, still = len(clip.opening), np.ones(len(clip.opening), np.float32)
        lips = np.mean([other.lips.mean(0) for other in others], axis=0)
        opening, width = (float(np.mean([track.mean() for track in tracks])) for tracks in
                          zip(*((other.opening, other.width) for other in others), strict=True))  # fmt: skip
        brows = np.zeros((frames, len(m.UPPER_FACE), 2), np.float32)
        out.append(Lips(still * opening, still * width, np.repeat(lips[None], frames, 0), brows))
    return out


def recalls(faces: Sequence[Lips], clips: Sequence[Clip]) -> Table:
    """Share of the phones of each kind that occurs that look as they should, over clips whose phones are known."""
    hits = np.zeros((len(RECALLS), 2))
    for face, clip in zip(faces, clips, strict=True):
        if clip.phones:
            hits += [
                m.closures(face.opening, clip.phones, m.PRESSED),
                m.closures(face.opening, clip.phones, m.BITTEN, m.TOUCHING),
                m.roundings(face.width, clip.phones),
                m.closures(face.opening, clip.phones, m.OPEN_VOWELS),
            ]
    return {name: round(float(found / count), 3) for name, (found, count) in zip(RECALLS, hits, strict=True) if count}


def by_viseme(faces: dict[str, Sequence[Lips]], clips: Sequence[Clip]) -> dict[str, Table]:
    """Mean opening and width of the mouth in each kind of phone, in shares of each clip's range, of several faces."""
    out: dict[str, Table] = {}
    for name, members in m.VISEMES.items():
        row: Table = {}
        for who, tracks in faces.items():
            for axis in ("opening", "width"):
                found = [value for face, clip in zip(tracks, clips, strict=True)
                         for value in m.looks(getattr(face, axis), clip.phones, members)]  # fmt: skip
                row["count"] = float(len(found))
                row[f"{axis}_{who}"] = round(float(np.mean(found)), 3) if found else float("nan")
        out[name] = row
    return out


def gap_at_closures(faces: Sequence[Lips], clips: Sequence[Clip], *, tracked: bool = False) -> float:
    """Median over all p, b and m of the least opening, percent of the inter-ocular distance; of `tracked` over rest."""
    found = []
    for face, clip in zip(faces, clips, strict=True):
        rest = _tracked_rest(face) if tracked else 0.0
        found += [float(face.opening[span].min()) - rest for span in m.spans(clip.phones, m.PRESSED, len(face.opening))]
    return float(np.median(found)) if found else float("nan")


def silence(model: Speaks) -> Table:
    """Opening in percent of the inter-ocular distance while nobody speaks: mean and most, for kinds of quiet."""
    out = {}
    for name, sound in silences().items():
        track = m.opening_of(model.run(sound).expression)
        out[f"{name}_mean"], out[f"{name}_max"] = round(float(track.mean()), 3), round(float(track.max()), 3)
    return out


def _tracked_rest(face: Lips) -> float:
    """The opening of shut lips as a tracker sees them, which is not 0."""
    return float(np.quantile(face.opening, 0.02))


def pause_opening(faces: Sequence[Lips], clips: Sequence[Clip], *, tracked: bool = False) -> float:
    """Mean opening in pauses of the clips' own recordings, percent of the inter-ocular distance; see above."""
    found = []
    for face, clip in zip(faces, clips, strict=True):
        if clip.phones:
            quiet = m.pauses(clip.phones, len(face.opening))
            found += list(face.opening[quiet] - (_tracked_rest(face) if tracked else 0.0))
    return float(np.mean(found)) if found else float("nan")


def spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Up to `count` clips, of every group in turn."""
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    turns = [clip for turn in range(count) for rows in groups.values() for clip in rows[turn : turn + 1]]
    return turns[:count]


def robustness(model: Speaks, clips: Sequence[Clip]) -> dict[str, Table]:
    """Scores under every hardship of `conditions`, and how alike the motion stays to that of the clean sound."""
    chosen, clean = spread(clips, HARD_CLIPS), dict[str, Array]()
    out: dict[str, Table] = {}
    for name, spoil in hardships().items():
        faces, cut, alike = [], [], []
        for clip in chosen:
            frames = min(len(clip.opening), int(HARD_SECONDS * 30))
            sound = spoil(clip.samples[: frames * 800])
            face = lips_of(model.run(sound).expression[:frames])
            clean.setdefault(clip.name, face.opening)
            faces.append(face)
            cut.append(Clip(clip.name, clip.group, sound, clip.opening[:frames], clip.phones))
            alike.append(m.correlation(face.opening, clean[clip.name]))
        rows = [score(face.opening, clip) for face, clip in zip(faces, cut, strict=True)]
        out[name] = {
            "correlation": round(float(np.median([row["correlation"] for row in rows])), 3),
            "alike_clean": round(float(np.median(alike)), 3),
            "amplitude": round(float(np.median([face.opening.std() / max(clean[clip.name].std(), 1e-6)
                                                for face, clip in zip(faces, cut, strict=True)])), 3),
            "p b m closed": recalls(faces, cut).get("p b m closed", float("nan")),
            "jitter": round(float(np.median([row["jitter"] for row in rows])), 3),
        }  # fmt: skip
    return out


def middle(rows: Sequence[Table]) -> Table:
    """The median of every score over clips that have it."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return {key: round(float(np.median([row[key] for row in rows if key in row])), 3) for key in keys}


def by_group(rows: Sequence[Table], clips: Sequence[Clip]) -> dict[str, Table]:
    """Medians of the clips of each group."""
    groups = sorted({clip.group for clip in clips})
    return {group: middle([row for row, clip in zip(rows, clips, strict=True) if clip.group == group])
            for group in groups}  # fmt: skip


def over_groups(groups: dict[str, Table]) -> Table:
    """Every speaker once: the mean over groups of their medians."""
    keys = list(dict.fromkeys(key for row in groups.values() for key in row))
    return {key: round(float(np.mean([row[key] for row in groups.values() if key in row])), 3) for key in keys}


def measure(model: Speaks, clips: Sequence[Clip], *, hard: bool = True) -> dict[str, object]:
    """All scores of a model on `clips`.

    Args:
        model: what is measured.
        clips: with their true motion, such as `truth.held_out` gives.
        hard: also the table of hardships, which takes twice as long as everything else.
    """
    made = [lips_of(model.run(clip.samples).expression) for clip in clips]
    faces = {"model": made, "shuffled": other_sound(made, clips), "mean_face": mean_face(clips)}
    rows = {who: [score_lips(face, clip) for face, clip in zip(given, clips, strict=True)]
            for who, given in faces.items()}  # fmt: skip
    truth = [clip.lips for clip in clips]
    known = [(face, clip) for face, clip in zip(truth, clips, strict=True) if face is not None]
    true, seen = [face for face, _ in known], [clip for _, clip in known]
    groups = {who: by_group(table, clips) for who, table in rows.items()}
    found: dict[str, object] = {
        "clips": len(clips),
        "median": middle(rows["model"]),
        "speakers_mean": over_groups(groups["model"]),
        "shuffled": middle(rows["shuffled"]),
        "shuffled_speakers_mean": over_groups(groups["shuffled"]),
        "mean_face": middle(rows["mean_face"]),
        "mean_face_speakers_mean": over_groups(groups["mean_face"]),
        "recall": {"model": recalls(made, clips), "shuffled": recalls(faces["shuffled"], clips),
                   "true": recalls(true, seen)},
        "gap_at_p_b_m_percent": {"model": round(gap_at_closures(made, clips), 3),
                                 "true": round(gap_at_closures(true, seen, tracked=True), 3)},
        "pause_opening_percent": {"model": round(pause_opening(made, clips), 3),
                                  "true": round(pause_opening(true, seen, tracked=True), 3)},
        "silence_percent": silence(model),
        "by_viseme": by_viseme({"made": [face for face, clip in zip(made, clips, strict=True) if clip.lips is not None],
                                "true": true}, seen),
        "by_group": groups["model"],
        "per_clip": {clip.name: {key: round(value, 3) for key, value in row.items()}
                     for clip, row in zip(clips, rows["model"], strict=True)},
    }  # fmt: skip
    if hard:
        found["robustness"] = robustness(model, clips)
    return found
