"""A report of `lipsync.scores` as text, beside the stored report of another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

Report = Mapping[str, Any]

_ROWS = {
    "correlation": "correlation of the opening",
    "correlation_spoken": "the same from first to last phone",
    "lag_frames": "best lag, frames of 30 fps, positive is late",
    "width_correlation": "correlation of the width",
    "lip_error_mm": "lip landmark error (LVE), mm",
    "lip_speed_error_mm": "error of its velocity, mm a frame",
    "lip_error_own_size_mm": "lip landmark error at the speaker's size, mm",
    "upper_dynamics_deviation_mm": "upper-face dynamics deviation, mm",
    "amplitude": "size of the motion, true is 1",
    "jitter_ratio": "jitter, the real clip's own is 1",
}
_HARD = ("correlation", "alike_clean", "p b m closed", "amplitude", "jitter")
_FELT = ("apart_mm", "right", "lips_like_neutral", "lag_frames", "p b m closed")
_SPOKEN = ("p b m", "p b m closed", "p b m closed, shuffled", "f v touching", "rounded", "gap_percent")


def table(report: Report, before: Report | None = None) -> list[str]:
    """Lines of a report; `before` is that of an earlier model, for a column of its own."""
    if "median" not in report:
        return []
    columns = [("model", report, "median"), ("every speaker once", report, "speakers_mean")]
    columns += [("best quality", report["best"], "median")] if "best" in report else []
    columns += [("first model", before, "median")] if before else []
    columns += [("another's sound", report, "shuffled"), ("mean face", report, "mean_face")]
    lines = ["", f"Speech to motion, medians over {report['clips']} held-out recordings.", ""]
    rows = [["", *(title for title, _, _ in columns)]]
    for key, text in _ROWS.items():
        rows.append([text, *(_number(source[part].get(key)) for _, source, part in columns if source)])
    kinds = [("model", report, "model")] + ([("best quality", report["best"], "model")] if "best" in report else [])
    kinds += [("first model", before, "model")] if before else []
    kinds += [("another's sound", report, "shuffled"), ("true", report, "true")]
    shares = [["share of phones", *(title for title, _, _ in kinds)]]
    for name in report["recall"]["model"]:
        shares.append([name, *(_number(source["recall"][part].get(name)) for _, source, part in kinds if source)])
    lines += [*_aligned(rows), "", *_aligned(shares)]
    quiet = report["silence_percent"]
    loudest = max((value, name[:-5]) for name, value in quiet.items() if name.endswith("_mean"))
    lines += ["", f"Mean opening in silence and noise: at most {loudest[0]:g} % of the eye distance ({loudest[1]})."]
    return [*lines, *_hard_lines(report, before), *_spoken_lines(report, before), *_felt_lines(report)]


def _hard_lines(report: Report, before: Report | None) -> list[str]:
    if "robustness" not in report:
        return []
    rows = [["sound", *_HARD, *(["first model's correlation"] if before else [])]]
    for name, row in report["robustness"].items():
        other = [_number(before["robustness"].get(name, {}).get("correlation"))] if before else []
        rows.append([name, *(_number(row.get(key)) for key in _HARD), *other])
    return ["", *_aligned(rows)]


def _spoken_lines(report: Report, before: Report | None) -> list[str]:
    if "languages" not in report:
        return []
    rows = [["language", *_SPOKEN, *(["first model closed"] if before else [])]]
    for name, row in report["languages"].items():
        other = [_number(before.get("languages", {}).get(name, {}).get("p b m closed"))] if before else []
        rows.append([name, *(_number(row.get(key)) for key in _SPOKEN), *other])
    return ["", *_aligned(rows)]


def _felt_lines(report: Report) -> list[str]:
    if "emotions" not in report:
        return []
    rows = [["emotion", *_FELT]]
    rows += [[name, *(_number(row.get(key)) for key in _FELT)] for name, row in report["emotions"].items()]
    return ["", *_aligned(rows)]


def _number(value: float | None) -> str:
    return "-" if value is None or isnan(value) else f"{value:g}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown rows with a ruler under the first."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
