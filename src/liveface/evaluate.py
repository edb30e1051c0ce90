"""How good the product is on recordings it never saw: a table and a JSON file.

Video: the first frame of a clip is the photo and the clip itself the driver, through the path of `liveface animate`;
what comes out is compared with the clip, frame by frame, before it is encoded. Sound: predicted against true opening of
the mouth, by `liveface.lipsync`.

Notable choices: every score stands beside the same score of "repeat the first frame"; both pictures are tracked anew by
the same tracker, so that its noise counts on both sides; pixels outside the clip's own picture do not count; a clip
is cut at `SECONDS`, so that the run takes minutes.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface import lipsync
from liveface.driver import Driver
from liveface.errors import FaceError, LivefaceError, SignalError
from liveface.machine import describe
from liveface.metrics import (
    EYES,
    MOUTH,
    angle_deg,
    blinks,
    change,
    lid_opening,
    mouth_box,
    point_error,
    psnr,
    ssim_map,
)
from liveface.motion.audio import SpeechToMotion
from liveface.motion.solve import MotionSolver
from liveface.session import Options, Session, Stages
from liveface.sheets import save_sheet
from liveface.signals.face import Box, Face, FaceTracker, segment_person
from liveface.signals.media import probe, read_audio, read_video
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, Array, Pixels

HELD_OUT = (
    "video/permissive/liveportrait__d6", "video/permissive/liveportrait__d9", "video/permissive/liveportrait__d14",
    "video/permissive/liveportrait__s18", "video/permissive/personalive__driving-video",
    "video/open/grid-more/s26__bgbsza", "video/open/grid-more/s30__1", "video/open/grid-more/xa__*",
    "video/open/grid-more/xb__*", "video/open/lia__obama",
)  # fmt: skip
"""Clips that no training and no tuning saw, below the data folder."""

SECONDS = 8.0  # of every clip, chosen: the whole run then takes minutes on one core
PHONES = Path("bench/held_out_phones.json")  # when/what is said in the held-out clips; in the source tree only
FAR_SHARE = 0.06  # background starts this share of the canvas width away from the person, chosen
FAR_LEAST = 0.02  # share of the canvas that must be background for its steadiness to be told
MOST_FACES = 60  # frames that teach the judge's solver the person
_EDGE = 8  # canvas pixels at the clip's own border that do not count; what softens the border reaches 6

Progress = Callable[[str, int, int], None]
Scores = dict[str, float]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Column:
    """One measure of the table.

    Attributes:
        key: its name in the JSON.
        title: its name in the table, two short lines.
        digits: after the decimal point.
        meaning: what it is, with its unit.
    """

    key: str
    title: tuple[str, str]
    digits: int
    meaning: str


COLUMNS = (
    Column("psnr_db", ("PSNR", "dB"), 1, "of the whole picture, more is better"),
    Column("ssim", ("SSIM", ""), 3, "of the whole picture, more is better"),
    Column("mouth_psnr_db", ("mouth", "dB"), 1, "PSNR in a square of 1.6 mouth widths around the true lips"),
    Column("mouth_ssim", ("mouth", "SSIM"), 3, "SSIM in that square"),
    Column("mouth_error", ("mouth", "pts %"), 2, "distance of lip points, percent of the inter-ocular distance"),
    Column("eye_error", ("eye", "pts %"), 2, "distance of lid points, percent of the inter-ocular distance"),
    Column("lip_gap_error", ("lip", "gap %"), 2, "error of the inner lips' opening, same percent"),
    Column("lid_gap_error", ("lid", "gap %"), 2, "error of the lids' opening, same percent"),
    Column("blink_error", ("blink", "gap %"), 2, "the same on frames whose true lids are less than half open"),
    Column("head_deg", ("head", "deg"), 2, "angle between the made and the true head"),
    Column("flicker", ("back-", "ground"), 2, "change a frame far from the person, levels of 255; baseline: true clip"),
)


@dataclass(slots=True)
class Reel:
    """A clip and what was made of it, both in the renderer's canvas.

    Attributes:
        name: of the clip.
        true, made: uint8 `[H, W, 3]` each.
        inside: rows and columns of the canvas that the clip's picture fills.
        fps: frames per second.
        render_ms: median time of one frame of the renderer.
    """

    name: str
    true: list[Pixels]
    made: list[Pixels]
    inside: tuple[slice, slice]
    fps: float
    render_ms: float


def evaluate(
    data: str | Path | None = None,
    *,
    clips: Sequence[str | Path] | None = None,
    renderer: str = "mesh",
    seconds: float = SECONDS,
    size: tuple[int, int] = (360, 640),
    out: str | Path | None = None,
    sheets: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Measure the product on held-out clips, or on clips of the user's own.

    Args:
        data: the data folder; None takes LIVEFACE_DATA, else ../shared/data.
        clips: videos to measure on instead; the held-out recordings of speech are then left out.
        renderer: a name in `liveface.render.renderers()`.
        seconds: how much of every clip.
        size: width and height of the canvas.
        out: where the JSON goes.
        sheets: a folder for contact sheets; they show the people in the clips, so keep them to yourself.
        progress: called with clips done and their number.

    Returns: machine, settings, `video` (clips, mean and median of both) and `audio`.

    Raises:
        SignalError: the data folder lacks the clips, or none of the clips can be used.
    """
    folder = data_folder(data)
    files = held_out(folder) if clips is None else [Path(clip) for clip in clips]
    begin = time.perf_counter()
    rows: dict[str, dict[str, object]] = {}
    for done, file in enumerate(files):
        if progress is not None:
            progress(f"evaluate {file.stem}", done, len(files))
        try:
            reel, faces = reenact(file, renderer, seconds, size)
        except FaceError as error:
            _log.warning("%s is left out: %s", file.name, error)
            continue
        scores = judge(reel, faces)
        if sheets is not None:
            save_sheet(reel.true, reel.made, faces[0], Path(sheets) / f"{reel.name}.png")
        rows[reel.name] = scores | ({} if clips is None else speech_scores(file, faces[0], reel.fps))
    if not rows:
        raise SignalError(f"none of {len(files)} clips could be used; expected videos of a face: see the warnings.")
    report: dict[str, object] = {
        "machine": describe(),
        "threads": 1,
        "renderer": renderer,
        "size": list(size),
        "seconds_a_clip": seconds,
        "columns": {column.key: column.meaning for column in COLUMNS},
        "video": {"clips": rows} | {name: _summary(rows, name) for name in ("mean", "median")},
        "audio": speech_report(folder, progress) if clips is None else {},
    }
    report["wall_s"] = round(time.perf_counter() - begin, 1)
    if progress is not None:
        progress("evaluate", len(files), len(files))
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def data_folder(data: str | Path | None) -> Path:
    """The folder of the recordings: as given, else LIVEFACE_DATA, else ../shared/data."""
    return Path(data or os.environ.get("LIVEFACE_DATA", "../shared/data"))


def held_out(folder: Path) -> list[Path]:
    """The held-out clips; `SignalError` when one is missing."""
    found = {pattern: sorted(folder.glob(f"{pattern}.mp4")) for pattern in HELD_OUT}
    lacking = [pattern for pattern, files in found.items() if not files]
    if lacking:
        raise SignalError(
            f"the data folder {folder} lacks {len(lacking)} of {len(HELD_OUT)} held-out clips, such as "
            f"{lacking[0]}.mp4; expected all of them: name the folder with --data or LIVEFACE_DATA, or give clips of "
            "your own."
        )
    return [file for files in found.values() for file in files]


def reenact(file: Path, renderer: str, seconds: float, size: tuple[int, int]) -> tuple[Reel, tuple[Array, Array]]:
    """Drive the first frame of a clip by the clip.

    Returns: the reel, and the tracked points `[T, 478, 3]` of the true and of the made pictures; NaN where no face
    was found.
    """
    info = probe(file)
    if info.kind != "video":
        raise SignalError(f"{file.name} is no video; expected one of a talking face to evaluate on.")
    fps = 25 if 23 <= info.fps <= 26 else 30
    photo = next(iter(read_video(file, fps)))
    session = Session(photo.pixels, Options(size=size, fps=fps, renderer=renderer))
    driver = Driver("video", file, replace(info, audio_rate_hz=0), fps, 0, session.options.dials)
    stages, canvas = Stages(), session.renderer.canvas
    made = [frame.pixels for frame, _ in islice(session.stream(driver, stages), round(seconds * fps))]
    true = [canvas.cut(frame.pixels) for frame in islice(read_video(file, fps), len(made))]
    made = made[: len(true)]
    render_ms = stages.summary()["render"]["p50"]
    reel = Reel(file.stem, true, made, inside(canvas.to_canvas, photo.pixels, size), fps, render_ms)
    return reel, (tracked(true), tracked(made))


def inside(to_canvas: Array, photo: Pixels, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the canvas that a picture fills, less what its softened border touches."""
    corners = np.array([[-0.5, photo.shape[1] - 0.5], [-0.5, photo.shape[0] - 0.5]])
    ends = float(to_canvas[0, 0]) * corners + to_canvas[:, 2:]
    low = np.where(ends[:, 0] > -0.5, np.ceil(ends[:, 0]) + _EDGE, 0).astype(int)
    high = np.where(ends[:, 1] < np.array(size) - 0.5, np.floor(ends[:, 1]) - _EDGE, size).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def tracked(pictures: Sequence[Pixels]) -> Array:
    """Points `[T, 478, 3]` of the face in every picture, NaN where there is none."""
    tracker, points = FaceTracker(), np.full((len(pictures), 478, 3), np.nan, np.float32)
    for at, picture in enumerate(pictures):
        face = tracker.track(picture)
        if face is not None:
            points[at] = face.points
    return points


def judge(reel: Reel, faces: tuple[Array, Array]) -> dict[str, object]:
    """Scores of a reel and of its first frame repeated.

    Returns: `made` and `baseline` by column, `frames`, `fps`, `lost` (made pictures without a face), `render_ms`.

    Raises:
        FaceError: fewer than two pictures show a face in both.
    """
    known = np.isfinite(faces[0][:, 0, 0]) & np.isfinite(faces[1][:, 0, 0])
    if known.sum() < 2 or not known[0]:
        raise FaceError(f"{reel.name} shows a face in {known.sum()} pictures; expected it from the first one on.")
    true, made = faces[0][known], faces[1][known]
    still = np.repeat(true[:1], len(true), 0)
    scores: dict[str, Scores] = {}
    first = [reel.true[0]] * len(reel.true)
    for name, pictures, points in (("made", reel.made, made), ("baseline", first, still)):
        scores[name] = _pixel_scores(reel, pictures, faces[0]) | _point_scores(points, true)
    turns = _head_errors(true, made, reel)
    scores["made"]["head_deg"], scores["baseline"]["head_deg"] = turns
    scores["made"]["flicker"], scores["baseline"]["flicker"] = _flicker(reel)
    lost = int(np.isfinite(faces[0][:, 0, 0]).sum() - known.sum())
    rounded = {
        name: {key: round(value, 4) for key, value in row.items() if np.isfinite(value)} for name, row in scores.items()
    }
    return {
        **rounded,
        "frames": len(reel.true),
        "fps": reel.fps,
        "lost": lost,
        "render_ms": round(reel.render_ms, 2),
        "inside": [reel.inside[1].stop - reel.inside[1].start, reel.inside[0].stop - reel.inside[0].start],
    }


def _pixel_scores(reel: Reel, pictures: Sequence[Pixels], points: Array) -> Scores:
    """PSNR and SSIM of the pictures and of their mouths; boxes stand where the last true face was."""
    found: dict[str, list[float]] = {"psnr_db": [], "ssim": [], "mouth_psnr_db": [], "mouth_ssim": []}
    box = None
    height, width = reel.true[0].shape[:2]
    for made, true, face in zip(pictures, reel.true, points, strict=True):
        if np.isfinite(face[0, 0]):
            box = mouth_box(face, (width, height))
        likeness = ssim_map(made, true)
        found["psnr_db"].append(psnr(made[reel.inside], true[reel.inside]))
        found["ssim"].append(float(likeness[reel.inside].mean()))
        if box is not None:
            found["mouth_psnr_db"].append(psnr(made[box], true[box]))
            found["mouth_ssim"].append(float(likeness[box].mean()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _point_scores(made: Array, true: Array) -> Scores:
    """Errors of lips and lids in percent of the inter-ocular distance; blinks are NaN when there are none."""
    lips = [lipsync.opening(points) / np.float32(0.7) for points in (made, true)]
    lids = [lid_opening(points) for points in (made, true)]
    shut = blinks(lids[1])
    lid_error = np.abs(lids[0] - lids[1])
    return {
        "mouth_error": float(point_error(made, true, MOUTH).mean()),
        "eye_error": float(point_error(made, true, EYES).mean()),
        "lip_gap_error": float(np.abs(lips[0] - lips[1]).mean()),
        "lid_gap_error": float(lid_error.mean()),
        "blink_error": float(lid_error[shut].mean()) if shut.any() else float("nan"),
    }


def _head_errors(true: Array, made: Array, reel: Reel) -> tuple[float, float]:
    """Mean angle in degrees between made and true heads, and between the first and the true ones."""
    height, width = reel.true[0].shape[:2]
    solver = MotionSolver(reel.fps, (width, height))
    chosen = true[:: max(1, len(true) // MOST_FACES)]
    solver.calibrate([as_face(points) for points in chosen])

    def turns(points: Array) -> list[Array]:
        found = []
        for frame in points:
            solver.follow(frame[:, :2])
            found.append(solver.pose.rotation)
        return found

    wanted, got = turns(true), turns(made)
    errors = [angle_deg(one, two) for one, two in zip(got, wanted, strict=True)]
    return float(np.mean(errors)), float(np.mean([angle_deg(wanted[0], turn) for turn in wanted]))


def as_face(points: Array) -> Face:
    """A `Face` of tracked points `[478, 3]`."""
    (x, y), (far_x, far_y) = points[:468, :2].min(0), points[:468, :2].max(0)
    marks = points[[468, 473, 1, 13, 234, 454], :2]
    return Face(points, 1.0, Box(float(x), float(y), float(far_x - x), float(far_y - y), 1.0, marks))


def _flicker(reel: Reel) -> tuple[float, float]:
    """Mean change a frame of the background, made and true; NaN when too little of it shows."""
    where = background(reel)
    if where.mean() < FAR_LEAST or len(reel.true) < 2:
        return float("nan"), float("nan")
    rows = [
        [change(before, after, where) for before, after in pairwise(pictures)] for pictures in (reel.made, reel.true)
    ]
    return float(np.mean(rows[0])), float(np.mean(rows[1]))


def background(reel: Reel) -> npt.NDArray[np.bool_]:
    """Pixels `[H, W]` that stay far from the person all along, in the true pictures and in the made ones."""
    step = max(1, len(reel.true) // 12)
    height, width = reel.true[0].shape[:2]
    person = np.zeros((height, width), np.float32)
    for picture in (*reel.true[::step], *reel.made[::step]):
        person = np.maximum(person, segment_person(picture))
    reach = 2 * round(FAR_SHARE * width) + 1
    near = cv2.dilate((person > 0.3).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    far = np.zeros(near.shape, bool)
    far[reel.inside] = near[reel.inside] == 0
    return far


def speech_report(folder: Path, progress: Progress | None = None) -> dict[str, object]:
    """The lip-sync report on the held-out recordings; an error's sentence instead when they cannot be used."""
    if progress is not None:
        progress("evaluate speech", 0, 0)
    phones = Path(__file__).parents[2] / PHONES
    try:
        return lipsync.report(folder, phones=phones if phones.is_file() else None, hard=False)
    except LivefaceError as error:
        _log.warning("speech was not measured: %s", error)
        return {"not measured": str(error)}


def evaluate_speech(
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    spoken: str | Path | None = None,
    faces: str | Path | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, object], str]:
    """All about speech: scores, hard sounds, languages, emotions; the report, and a table beside the first model.

    Args:
        data: the data folder; `LIVEFACE_DATA`, else `../shared/data`.
        out: where the JSON goes.
        spoken: folder of `tools/speak_phones.py`; without it languages are left out.
        faces: a tracking cache of `python -m liveface.train.faces`; without it the clips are tracked.
        progress: told (stage, done, of).

    Raises:
        SignalError: a recording or the phones of the source tree are not there.
    """
    folder, root = data_folder(data), Path(__file__).parents[2]
    phones, sentences, first = (root / file for file in (PHONES, lipsync.SPOKEN_PHONES, lipsync.FIRST_MODEL))
    if not phones.is_file():
        raise SignalError(f"{phones} is missing; expected the phones of the held-out clips: run in the source tree.")
    if progress is not None:
        progress("evaluate speech", 0, 0)
    report = lipsync.report(
        folder,
        None if out is None else Path(out),
        phones,
        faces=None if faces is None else Path(faces),
        spoken=None if spoken is None else (Path(spoken), sentences),
    )
    before = json.loads(first.read_text("utf-8")) if first.is_file() else None
    return report, "\n".join(lipsync.table(report, before))


def speech_scores(file: Path, points: Array, fps: float) -> dict[str, object]:
    """Predicted against true opening of the mouth in a clip of the user's; empty when it has no sound.

    Returns: `speech`, and `shuffled`: the same with the sound moved by half the clip.
    """
    if not probe(file).audio_rate_hz:
        return {}
    known = np.isfinite(points[:, 0, 0])
    opening = np.interp(np.arange(len(points)), np.flatnonzero(known), lipsync.opening(points[known]))
    samples = np.concatenate([block.samples for block in read_audio(file)])
    frames = min(int(len(points) / fps * HOUSE_FPS), len(samples) * HOUSE_FPS // HOUSE_RATE_HZ)
    if frames < 2 * lipsync.MOST_LAG + 2:
        return {}
    true = lipsync.at_house_rate(opening.astype(np.float32), fps, frames)
    clip = lipsync.Clip(file.stem, "own", samples, true)
    made = lipsync.opening_of(SpeechToMotion(idle=None).run(samples).expression)[:frames]
    moved = np.roll(made, len(made) // 2)
    return {"speech": lipsync.score(made, clip), "shuffled": lipsync.score(moved, clip)}


def table(report: dict[str, object]) -> str:
    """The report as text: two tables of the clips, then speech."""
    lines = [_heading(report)]
    for part in (COLUMNS[:4] + COLUMNS[-1:], COLUMNS[4:-1]):
        lines += ["", *_table_of(report, part)]
    audio = report["audio"]
    assert isinstance(audio, dict)
    return "\n".join([*lines, *lipsync.table(audio)])


def _heading(report: dict[str, object]) -> str:
    size = report["size"]
    assert isinstance(size, list)
    return (
        f"A clip's first frame, driven by the clip ({report['renderer']}, {size[0]}x{size[1]}, at most "
        f"{report['seconds_a_clip']:g} s a clip); in brackets the first frame repeated."
    )


def _table_of(report: dict[str, object], part: Sequence[Column]) -> list[str]:
    """Markdown rows of some columns: all clips, then mean and median."""
    video = report["video"]
    assert isinstance(video, dict)
    names = [" ".join(word for word in column.title if word) for column in part]
    rows = [["clip", *names], ["---", *["---:"] * len(part)]]
    for name, row in [*video["clips"].items(), ("mean", video["mean"]), ("median", video["median"])]:
        cells = []
        for column in part:
            pair = [_cell(row, side, column.key) for side in ("made", "baseline")]
            told = [f"{value:.{column.digits}f}" if np.isfinite(value) else "-" for value in pair]
            cells.append(f"{told[0]} ({told[1]})")
        rows.append([name[:28], *cells])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]


def _summary(rows: dict[str, dict[str, object]], kind: str) -> dict[str, Scores]:
    """Mean or median over the clips, by column, of those that have the number."""
    middle = np.nanmean if kind == "mean" else np.nanmedian
    result: dict[str, Scores] = {}
    for side in ("made", "baseline"):
        columns = {column.key: np.array([_cell(row, side, column.key) for row in rows.values()]) for column in COLUMNS}
        result[side] = {
            key: round(float(middle(values)), 4) for key, values in columns.items() if np.isfinite(values).any()
        }
    return result


def _cell(row: dict[str, object], side: str, key: str) -> float:
    cells = row[side]
    assert isinstance(cells, dict)
    return float(cells.get(key, np.nan))
