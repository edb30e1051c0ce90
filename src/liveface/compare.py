"""Renderers of photos side by side on the same frames: `liveface evaluate --renderer mesh,mobileportrait`.

Two parts. The first frame of a held-out clip driven by that clip, where the truth is known to the pixel; and held-out
portraits driven by clips of other people, where what was made is tracked again and asked for the driver's expression
and pose and for the portrait's identity.

Notable choices: a clip is tracked and solved once, and every renderer is given the very same motion; the first renderer
is the one to beat, and how many clips each other one wins stands beside the means.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from liveface.driver import Dials, Driver
from liveface.errors import FaceError, SignalError
from liveface.evaluate import (
    COLUMNS,
    SECONDS,
    Progress,
    Reel,
    Scores,
    data_folder,
    held_out,
    inside,
    judge,
    tracked,
)
from liveface.machine import describe
from liveface.photo_scores import Recognise, other_person, same_person
from liveface.sheets import save_columns
from liveface.signals.image import read_image
from liveface.signals.media import probe, read_video
from liveface.subject import open_renderer
from liveface.types import Motion, Pixels

Row = dict[str, Scores]


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table.

    Attributes:
        key: its name in the JSON; digits: after the decimal point; better: 1 when more is better, -1 when less is.
        meaning: what it is, with its unit.
    """

    key: str
    digits: int
    better: int
    meaning: str


SAME = (
    Measure("psnr_db", 2, 1, "PSNR of the picture, dB"),
    Measure("ssim", 4, 1, "SSIM of the picture"),
    Measure("mouth_psnr_db", 2, 1, "PSNR of the mouth's square, dB"),
    Measure("mouth_ssim", 4, 1, "SSIM of the mouth's square"),
    Measure("inner_db", 2, 1, "PSNR inside the lips, photo shut and frame open, dB"),
    Measure("sharp", 3, 0, "sharpness of the mouth over the true one's"),
    Measure("keypoints", 2, -1, "distance of all points (AKD), % of the eye distance"),
    Measure("mouth_error", 2, -1, "distance of lip points, %"),
    Measure("eye_error", 2, -1, "distance of lid points, %"),
    Measure("lip_gap_error", 2, -1, "error of the lips' opening, %"),
    Measure("lid_gap_error", 2, -1, "error of the lids' opening, %"),
    Measure("blink_error", 2, -1, "error of the lids' opening in blinks, %"),
    Measure("head_deg", 2, -1, "head pose (HPD), degrees"),
    Measure("background", 2, 1, "background consistency (BCI), 100 x SSIM"),
    Measure("flicker", 3, -1, "change of the background a frame, levels"),
    Measure("tremble", 3, 0, "second difference of the head in time, levels; that of the true clip is right"),
    Measure("identity", 3, 1, "likeness with the true frame"),
)
OTHER = (
    Measure("identity", 3, 1, "likeness with the portrait"),
    Measure("expression", 2, -1, "difference of coefficients from the driver's, x 100"),
    Measure("head", 2, -1, "head pose, degrees"),
    Measure("lost", 3, -1, "share of frames without a face"),
    Measure("tremble", 3, 0, "second difference of the head in time, levels"),
)
TRUE = "true or first frame"
PORTRAIT_SECONDS = 4.0  # of a clip that drives a portrait

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """How renderers are compared.

    Attributes:
        seconds: how much of every clip; size: width and height of the canvas.
        recognise: how alike two faces are; None leaves identity out.
        tells: how well that measure tells people apart, for the report.
        sheets: a folder for contact sheets, or None; they show people.
    """

    seconds: float = SECONDS
    size: tuple[int, int] = (360, 640)
    recognise: Recognise | None = None
    tells: dict[str, float] = field(default_factory=dict)
    sheets: Path | None = None


def compare(
    renderers: Sequence[str],
    data: str | Path | None = None,
    *,
    clips: Sequence[Path] | None = None,
    portraits: Sequence[Path] = (),
    setting: Setting | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure renderers of photos on the same frames.

    Args:
        renderers: names in `liveface.render.renderers()`; the first is the one to beat.
        data: the data folder, see `liveface.evaluate.data_folder`; clips: videos instead of the held-out ones.
        portraits: photos of other people that the clips drive in turn.
        setting: see `Setting`.
        out: where the JSON goes.
        progress: told what is done and how much there is.

    Raises:
        SignalError: the data folder lacks the clips, or none of the clips can be used.
    """
    setting = setting or Setting()
    files = held_out(data_folder(data)) if clips is None else list(clips)
    begin = time.perf_counter()
    total = len(files) + len(portraits)
    same: dict[str, Row] = {}
    for done, file in enumerate(files):
        if progress is not None:
            progress(f"compare {file.stem}", done, total)
        try:
            same[file.stem] = _own_clip(file, renderers, setting)
        except FaceError as error:
            _log.warning("%s is left out: %s", file.name, error)
    if not same:
        raise SignalError(f"none of {len(files)} clips could be used; expected videos of a face: see the warnings.")
    usable = [file for file in files if file.stem in same]
    other: dict[str, Row] = {}
    for number, portrait in enumerate(portraits):
        driver = usable[number % len(usable)]
        if progress is not None:
            progress(f"compare {portrait.stem}", len(files) + number, total)
        try:
            row = _other_portrait(portrait, driver, renderers, setting)
        except FaceError as error:
            _log.warning("%s is left out: %s", portrait.name, error)
            continue
        other[f"portrait {number + 1:02d} < {driver.stem}"] = row
    report = {
        "machine": describe(), "threads": 1, "renderers": list(renderers), "size": list(setting.size),
        "seconds_a_clip": setting.seconds, "likeness": setting.tells,
        "measures": {column.key: column.meaning for column in COLUMNS} | {one.key: one.meaning for one in SAME},
        "same": _summary(same, renderers, SAME), "other": _summary(other, renderers, OTHER),
        "wall_s": round(time.perf_counter() - begin, 1),
    }  # fmt: skip
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def _own_clip(file: Path, names: Sequence[str], setting: Setting) -> Row:
    """Every renderer's scores on the first frame of a clip driven by the clip."""
    fps = _rate(file)
    photo = next(iter(read_video(file, fps))).pixels
    made, canvas = _drawn(photo, file, fps, names, setting.seconds, setting.size)
    frames = len(next(iter(made.values()))[0])
    true = [canvas.cut(frame.pixels) for frame in islice(read_video(file, fps), frames)]
    points = tracked(true)
    row: Row = {}
    reels = []
    for name, (pictures, spent_ms) in made.items():
        reel = Reel(
            file.stem, true, pictures[: len(true)], inside(canvas.to_canvas, photo, setting.size), fps, spent_ms
        )
        seen = tracked(reel.made)
        scores = judge(reel, (points, seen))
        mine, still = scores["made"], scores["baseline"]
        assert isinstance(mine, dict)
        assert isinstance(still, dict)
        row[name] = mine | same_person(reel, points, seen, setting.recognise) | {"render_ms": spent_ms}
        row[TRUE] = still | {"tremble": row[name].pop("tremble_true"), "sharp": 1.0}
        reels.append((name, reel.made, points))
    if setting.sheets is not None:
        save_columns([("photo", [true[0]] * len(true), points), ("driver", true, points), *reels],
                     setting.sheets / f"{file.stem}.png")  # fmt: skip
    return {name: _rounded(scores) for name, scores in row.items()}


def _other_portrait(portrait: Path, file: Path, names: Sequence[str], setting: Setting) -> Row:
    """Every renderer's scores on a portrait driven by the clip of somebody else."""
    fps = _rate(file)
    seconds = min(setting.seconds, PORTRAIT_SECONDS)
    made, canvas = _drawn(read_image(portrait), file, fps, names, seconds, setting.size)
    frames = len(next(iter(made.values()))[0])
    driver = [frame.pixels for frame in islice(read_video(file, fps), frames)]
    shown, points = canvas.shrink(canvas.texture), tracked(driver)
    row: Row = {}
    columns = [("photo", [shown] * len(driver), np.repeat(canvas.points[None], len(driver), 0))]
    columns.append(("driver", driver, points))
    for name, (pictures, _) in made.items():
        seen = tracked(pictures[: len(driver)])
        row[name] = _rounded(other_person((shown, canvas.points), points, pictures, seen, fps, setting.recognise))
        columns.append((name, pictures[: len(driver)], seen))
    if setting.sheets is not None:
        save_columns(columns, setting.sheets / f"{portrait.stem}.png")
    return row


def _drawn(
    photo: Pixels, file: Path, fps: int, names: Sequence[str], seconds: float, size: tuple[int, int]
) -> tuple[dict[str, tuple[list[Pixels], float]], Any]:
    """What every renderer makes of a photo and the motion of a video: pictures and milliseconds a frame; the canvas."""
    info = probe(file)
    opened = {name: open_renderer(photo, name, size) for name in names}
    first = opened[names[0]]
    driver = Driver("video", file, replace(info, audio_rate_hz=0), fps, 0, Dials())
    stream = driver.stream(lambda *_: None, first.photo)
    motions = [motion for motion, _ in islice(stream, round(seconds * fps))]
    made = {}
    for name, renderer in opened.items():
        since = time.perf_counter()
        pictures = _played(renderer, motions)
        made[name] = (pictures, round(1000 * (time.perf_counter() - since) / max(len(motions), 1), 2))
    return made, first.canvas


def _played(renderer: Any, motions: Sequence[Motion]) -> list[Pixels]:
    """Every frame of the motions; the last one again for a renderer that looks ahead."""
    state, pictures = renderer.start(), []
    for motion in [*motions, *[motions[-1]] * renderer.delay]:
        state, frames = renderer.step(state, motion)
        pictures += [frame.pixels for frame in frames]
    return pictures[: len(motions)]


def _rate(file: Path) -> int:
    info = probe(file)
    if info.kind != "video":
        raise SignalError(f"{file.name} is no video; expected one of a talking face to evaluate on.")
    return 25 if 23 <= info.fps <= 26 else 30


def _rounded(scores: Scores) -> Scores:
    return {key: round(float(value), 4) for key, value in scores.items() if np.isfinite(value)}


def _summary(rows: dict[str, Row], names: Sequence[str], measures: Sequence[Measure]) -> dict[str, Any]:
    """Rows, their means over the clips that have a number for every renderer, and wins against the first renderer."""
    means: dict[str, Scores] = {name: {} for name in (*names, TRUE)}
    wins: dict[str, dict[str, list[int]]] = {name: {} for name in names[1:]}
    for measure in measures:
        shared = [row for row in rows.values() if all(measure.key in row[name] for name in names)]
        if not shared:
            continue
        for name, mean in means.items():
            values = [row[name][measure.key] for row in shared if name in row and measure.key in row[name]]
            if values:
                mean[measure.key] = round(float(np.mean(values)), 4)
        for name in names[1:]:
            wins[name][measure.key] = [
                sum(_closer(row, one, two, measure) for row in shared)
                for one, two in ((name, names[0]), (names[0], name))
            ]
    return {"clips": rows, "mean": means, "wins": wins}


def _closer(row: Row, name: str, first: str, measure: Measure) -> bool:
    """Whether `name` does better than `first`; where neither more nor less is better, by nearness to the true clip."""
    mine, other = row[name][measure.key], row[first][measure.key]
    if measure.better:
        return (mine - other) * measure.better > 0
    right = row[TRUE].get(measure.key, 1.0) if TRUE in row else 0.0
    return abs(mine - right) < abs(other - right)


def table(report: dict[str, Any]) -> str:
    """The report as Markdown: one table for each part."""
    names = report["renderers"]
    lines: list[str] = []
    for part, measures, title in (
        ("same", SAME, "A clip's first frame, driven by the clip"),
        ("other", OTHER, "Portraits driven by other people"),
    ):
        found = report[part]
        if not found["clips"]:
            continue
        lines += [f"{title} ({len(found['clips'])}, {report['size'][0]}x{report['size'][1]}).", ""]
        rows = [["measure", *names, TRUE, *[f"{name} won : lost" for name in names[1:]]]]
        rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
        for measure in measures:
            if measure.key in found["mean"][names[0]]:
                rows.append(_line(found, names, measure))
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        lines += ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
                  for row in rows] + [""]  # fmt: skip
    if report["likeness"]:
        told = ", ".join(f"{name} {value:.3f}" for name, value in report["likeness"].items())
        lines.append(f"The measure of likeness, on people it did not learn from: {told}.")
    return "\n".join(lines)


def _line(found: dict[str, Any], names: Sequence[str], measure: Measure) -> list[str]:
    cells = [measure.meaning]
    for name in (*names, TRUE):
        value = found["mean"][name].get(measure.key)
        cells.append("-" if value is None else f"{value:.{measure.digits}f}")
    for name in names[1:]:
        won, lost = found["wins"][name][measure.key]
        cells.append(f"{won} : {lost}")
    return cells
