"""Write the measured table of README from the stored results, so that no number is typed by hand.

Usage: `python tools/readme_table.py`, after `liveface bench`, `liveface evaluate`, the same with `--speech`, and the
report on avatars.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

README = Path("README.md")
RESULTS = Path("bench/results")
SHOWN = (
    ("psnr_db", "PSNR, dB", 1), ("ssim", "SSIM", 3), ("mouth_psnr_db", "mouth box PSNR, dB", 1),
    ("mouth_ssim", "mouth box SSIM", 3), ("mouth_error", "mouth points, % of the eye distance", 2),
    ("eye_error", "eye points, % of the eye distance", 2), ("head_deg", "head pose, degrees", 2),
)  # fmt: skip
AVATAR_SHOWN = (
    ("psnr_db", "PSNR, dB", 1), ("ssim", "SSIM", 3), ("mouth_patch_psnr_db", "mouth patch PSNR, dB", 1),
    ("patch_sharpness", "mouth patch sharpness (truth 1)", 2),
    ("mouth_error", "mouth points, % of the eye distance", 2),
    ("eye_error", "eye points, % of the eye distance", 2), ("flicker", "flicker, levels of 255", 2),
    ("identity", "likeness (1 at most)", 3),
)  # fmt: skip
SPEECH_SHOWN = (
    ("correlation", "correlation of mouth opening", 2), ("correlation_spoken", "the same from first to last phone", 2),
    ("lag_frames", "best lag, frames", 0), ("lip_error_mm", "lip landmark error (LVE), mm", 2),
    ("lip_speed_error_mm", "error of its velocity, mm a frame", 2),
    ("upper_dynamics_deviation_mm", "upper-face dynamics deviation, mm", 2),
    ("jitter_ratio", "jitter (real clip 1)", 1), ("amplitude", "size of the motion (true 1)", 2),
)  # fmt: skip


def load(name: str) -> dict[str, Any] | None:
    """One stored result, or None."""
    file = RESULTS / name
    if not file.is_file():
        return None
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return content


def speed_lines(bench: dict[str, Any]) -> list[str]:
    """Speed and memory, a column a number of threads."""
    runs = bench["runs"]
    threads = sorted({run["threads"] for run in runs})
    machine = bench["machine"]
    by = {(run["driver"], run["threads"]): run for run in runs}
    head = " | ".join(f"{count} thread{'s' * (count > 1)}" for count in threads)
    load = f", load {machine['load'][0]:.0f} from other work" if machine["load"] and machine["load"][0] > 1 else ""
    lines = [
        f"| {machine['cpu']}, {machine['cores']} cores{load}; 360x640 | {head} |",
        "|---" * (len(threads) + 1) + "|",
    ]

    def row(title: str, cells: list[str]) -> None:
        lines.append(f"| {title} | {' | '.join(cells)} |")

    for driver, stage in (("speech", "listen"), ("video", "track"), ("video", "solve"), ("speech", "render"),
                          ("speech", "encode")):  # fmt: skip
        times = [by[driver, count]["stages_ms"][stage] for count in threads]
        row(f"{stage}, ms a frame, p50 / p95", [f"{time['p50']:.1f} / {time['p95']:.1f}" for time in times])
    for driver in ("speech", "video"):
        cells = [by[driver, count] for count in threads]
        row(
            f"{driver} to video, end to end",
            [f"{c['fps']:.0f} fps, {c['times_real_time']:.1f} x real time" for c in cells],
        )
    for one in bench.get("avatars", []):
        frame, empty = one["stages_ms"]["frame"], ["-"] * (len(threads) - 1)
        row(f"{one['avatar']}, ms a frame, p50 / p95", [f"{frame['p50']:.1f} / {frame['p95']:.1f}", *empty])
        row(
            f"{one['avatar']}, speech to video",
            [f"{one['fps']:.0f} fps, {one['times_real_time']:.1f} x real time", *empty],
        )
    row("peak memory", [f"{max(by[d, count]['peak_memory_mb'] for d in ('speech', 'video'))} MB" for count in threads])
    return lines


def quality_lines(evaluation: dict[str, Any]) -> list[str]:
    """Quality on held-out clips beside the floor."""
    mean = evaluation["video"]["mean"]
    count = len(evaluation["video"]["clips"])
    lines = [f"| a clip's first frame driven by the clip, {count} held-out clips, mean | mesh | first frame repeated |",
             "|---|---|---|"]  # fmt: skip
    for key, title, digits in SHOWN:
        lines.append(f"| {title} | {mean['made'][key]:.{digits}f} | {mean['baseline'][key]:.{digits}f} |")
    return lines


def speech_lines(report: dict[str, Any], first: dict[str, Any] | None) -> list[str]:
    """Speech to motion beside the first model of this project and the controls."""
    columns = [(report, "median", "model"), (report, "shuffled", "shuffled"), (report, "mean_face", None)]
    columns[1:1] = [(first, "median", "model")] if first else []
    titles = ["student", *(["first model"] if first else []), "another's sound", "mean face"]
    lines = [f"| speech to motion, {report['clips']} held-out recordings, median | {' | '.join(titles)} |",
             "|---" * (len(titles) + 1) + "|"]  # fmt: skip
    for key, title, digits in SPEECH_SHOWN:
        cells = [f"{source[part][key]:.{digits}f}" if part != "mean_face" or "error" in key or "upper" in key else "-"
                 for source, part, _ in columns]  # fmt: skip
        lines.append(f"| {title} | {' | '.join(cells)} |")
    truth = report["recall"]["true"]
    for key in ("p b m closed", "f v touching", "rounded"):
        cells = [f"{source['recall'][part][key]:.2f}" if part else "-" for source, _, part in columns]
        lines.append(f"| {key} (true {truth[key]:.2f}) | {' | '.join(cells)} |")
    cells = [f"{max(value for name, value in source['silence_percent'].items() if name.endswith('_mean')):.1f}"
             if part == "model" else "-" for source, _, part in columns]  # fmt: skip
    lines.append(f"| opening in silence and noise, mean, at most, % of the eye distance | {' | '.join(cells)} |")
    spoken = [list(source.get("languages", {}).values()) for source, _, _ in columns]
    if all(spoken):
        kinds = ["p b m closed" if part == "model" else "p b m closed, shuffled" for _, _, part in columns[:-1]]
        cells = [f"{sum(one[kind] for one in rows) / len(rows):.2f}" for rows, kind in zip(spoken, kinds, strict=False)]
        lines.append(f"| p b m closed, synthetic voices, {len(spoken[0])} languages | {' | '.join([*cells, '-'])} |")
    return lines


def avatar_lines(report: dict[str, Any]) -> list[str]:
    """Avatars on frames nothing learned from, those of videos and those of photos, beside the mesh renderer."""
    kinds = {kind: [one for one in report["avatars"].values() if one["source"] == kind] for kind in ("video", "photo")}
    kinds = {kind: rows for kind, rows in kinds.items() if rows}
    lines = ["| held-out frames, mean | " + " | ".join(
        f"{len(rows)} {kind} avatar{'s' * (len(rows) > 1)} | mesh" for kind, rows in kinds.items()) + " |",
        "|---" * (2 * len(kinds) + 1) + "|"]  # fmt: skip

    def mean(rows: list[dict[str, Any]], who: str, key: str, digits: int) -> str:
        values = [one["scores"][who][key] for one in rows if key in one["scores"][who]]
        return f"{sum(values) / len(values):.{digits}f}" if values else "-"

    for key, title, digits in AVATAR_SHOWN:
        cells = [mean(rows, who, key, digits) for rows in kinds.values() for who in ("landmarks", "mesh")]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for key, title, digits in (("minutes", "creation, minutes", 1), ("file_mb", "file, MB", 1), ("gmac", "GMAC", 3)):
        found = [[one[key] for one in rows if key in one] for rows in kinds.values()]
        cells = [f"{sum(values) / len(values):.{digits}f} | " if values else "- | " for values in found]
        lines.append(f"| {title} | {'| '.join(cells)}|")
    return lines


def main() -> None:
    """Replace the measured block."""
    bench, evaluation, avatars, speech = (load(f"{name}.json") for name in ("bench", "evaluate", "avatars", "speech"))
    blocks = [speed_lines(bench)] if bench else []
    blocks += [quality_lines(evaluation)] if evaluation else []
    blocks += [speech_lines(speech, load("speech_first.json"))] if speech else []
    blocks += [avatar_lines(avatars)] if avatars else []
    body = "\n\n".join("\n".join(block) for block in blocks)
    text = README.read_text("utf-8")
    pattern = re.compile(r"(<!-- measured:.*?-->\n).*?(<!-- /measured -->)", re.DOTALL)
    README.write_text(pattern.sub(lambda found: f"{found[1]}\n{body}\n\n{found[2]}", text), "utf-8")
    print(body)


if __name__ == "__main__":
    main()
