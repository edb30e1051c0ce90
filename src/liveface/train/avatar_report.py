"""How good avatars are on frames nothing learned from: one table, one JSON file, contact sheets.

    python -m liveface.train.avatar_report CASES [--likeness FILE] [--sheets FOLDER] [-o FILE]

`CASES` is a folder with avatars and the folders of their creation (`NAME.avatar` and `NAME.run`, as `liveface create
--keep` leaves them), or with a subfolder for every avatar that holds the file, its pack and, if it is there, the
checkpoint of its decoders. One avatar alone: `liveface evaluate me.avatar --pack RUN`.

Notable choices: every score of the avatar stands beside that of the `mesh` renderer on the same frames, from the same
reference picture, and of the warped reference without any network (`warp`); both inputs of the mouth are measured;
speed is measured on one thread, beside the load of the machine; what the paper claims stands in the report as a claim.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liveface import weights
from liveface.avatar import Avatar, read_avatar
from liveface.errors import RecipeError
from liveface.machine import describe
from liveface.render.liveface.renderer import MOUTH_MODES, LiveFaceRenderer
from liveface.render.liveface.sizes import gmac_per_frame, parameters_of
from liveface.session import animate
from liveface.sheets import save_rows
from liveface.train.avatar.pack import Pack
from liveface.train.avatar_networks import compositor_loss, network_losses
from liveface.train.avatar_scores import MOST_FRAMES, Drawn, Recogniser, Scene, draw, draw_mesh, score, track
from liveface.train.likeness import Likeness

PAPER = {
    "source": "LiveFace (Rodin and Rodin 2026), claims that were neither reviewed nor reproduced",
    "ms_a_frame": 19.0,
    "device": "Snapdragon 439, INT8",
    "fps": 30.0,
    "parameters": 20e6,
    "rejection_rate": 0.006,
    "quality": "no number is given",
}
ROWS = (
    ("psnr_db", "PSNR, dB", 1), ("ssim", "SSIM", 3), ("mouth_patch_psnr_db", "mouth patch PSNR, dB", 1),
    ("eyes_patch_psnr_db", "eyes patch PSNR, dB", 1), ("hair_patch_psnr_db", "hair patch PSNR, dB", 1),
    ("body_patch_psnr_db", "body patch PSNR, dB", 1),
    ("mouth_psnr_db", "mouth box PSNR, dB", 1), ("patch_sharpness", "mouth patch sharpness, truth 1", 2),
    ("sharpness", "mouth box sharpness, truth 1", 2),
    ("mouth_error", "mouth points, % of the eye distance", 2), ("eye_error", "eye points, %", 2),
    ("lip_gap_error", "lip gap, %", 2), ("lid_gap_error", "lid gap, %", 2),
    ("flicker", "flicker, levels of 255", 2), ("identity", "likeness, 1 at most", 3),
)  # fmt: skip
COSTS = (
    ("held_out_s", "held-out seconds", 1), ("rejection_rate", "rejected frames", 4), ("minutes", "creation minutes", 1),
    ("learned_minutes", "of them learning", 1), ("file_mb", "file, MB", 2), ("gmac", "GMAC a frame", 3),
    ("ms_p50", "ms a frame, p50", 2), ("ms_p95", "ms a frame, p95", 2), ("fps", "speech to video, fps", 0),
)  # fmt: skip
SPEECH = "speech.flac"  # what the end-to-end rate is measured with

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One avatar to be measured.

    Attributes:
        name: in the table.
        pack: the pack that held frames out.
        avatar: the file.
        checkpoint: its decoders in floating point, or None when they are not there.
    """

    name: str
    pack: Path
    avatar: Path
    checkpoint: Path | None = None


def case_of(avatar: Path, folder: Path, name: str | None = None) -> Case:
    """The case of an avatar whose pack, and checkpoint if there is one, lie in `folder`.

    Raises:
        RecipeError: there is no pack.
    """
    packs = [place for place in (folder, folder / "pack") if (place / "pack.json").is_file()]
    if not packs:
        raise RecipeError(f"{folder} holds no pack; expected pack.json in it or in its subfolder pack.")
    checkpoints = sorted(folder.rglob("decoders.pt"))
    return Case(name or avatar.stem, packs[0], avatar, checkpoints[0] if checkpoints else None)


def cases_in(folder: Path) -> list[Case]:
    """Every avatar in `folder` beside the folder of its creation, and in its subfolders beside its pack, by name.

    Raises:
        RecipeError: there is none.
    """
    found = {file.stem: case_of(file, file.with_suffix(".run")) for file in folder.glob("*.avatar")}
    found |= {file.parent.name: case_of(file, file.parent, file.parent.name) for file in folder.glob("*/*.avatar")}
    if not found:
        raise RecipeError(f"{folder} holds no avatars; expected NAME.avatar beside NAME.run, as created with --keep.")
    return [found[name] for name in sorted(found)]


def evaluate_avatars(
    cases: Sequence[Case],
    *,
    recognise: Likeness | None = None,
    shared: Path | None = None,
    out: Path | None = None,
    sheets: Path | None = None,
    progress: Progress | None = None,
    kept: dict[str, Any] | None = None,
    most: int = MOST_FRAMES,
) -> dict[str, Any]:
    """Measure avatars on their held-out frames.

    Args:
        recognise: measure of likeness; None leaves identity out.
        shared: a folder with the compositor and its appearance network in floating point, to tell what INT8 costs.
        out: where the JSON goes.
        sheets: a folder for contact sheets; they show the people, so keep them to yourself.
        progress: called with what is measured, cases done and their number.
        kept: rows of an earlier report that stay, by name.
        most: held-out frames of each, at most.

    Returns: `machine`, `paper`, `likeness` and `avatars`: name to scores and costs.
    """
    since = time.perf_counter()
    report: dict[str, Any] = {
        "machine": describe(),
        "threads": 1,
        "paper": PAPER,
        "likeness": recognise.tells if recognise is not None else {},
        "avatars": dict(kept or {}),
    }
    for done, case in enumerate(cases):
        if progress is not None:
            progress(f"evaluate {case.name}", done, len(cases))
        report["avatars"][case.name] = evaluate_avatar(case, recognise, sheets, shared, most)
        report["wall_s"] = round(time.perf_counter() - since, 1)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            part = out.with_name(f".{out.name}.part")
            part.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
            part.replace(out)
    return report


def evaluate_avatar(
    case: Case,
    recognise: Recogniser | None = None,
    sheets: Path | None = None,
    shared: Path | None = None,
    most: int = MOST_FRAMES,
) -> dict[str, Any]:
    """Everything about one avatar; see `evaluate_avatars`.

    Returns: `scores` by who drew (`landmarks` and `visemes`: the avatar by the mouth's input, `mesh`, `warp`),
    `stages_ms`, `networks` where the checkpoint is there, and the costs.
    """
    avatar, pack = read_avatar(case.avatar), Pack.open(case.pack)
    scene = Scene.of(pack, most)
    stages: dict[str, list[float]] = defaultdict(list)

    def clock(stage: str, seconds: float) -> None:
        stages[stage].append(1000 * seconds)

    drawn = {mode: draw(LiveFaceRenderer(avatar, mouth=mode, clock=clock), scene) for mode in MOUTH_MODES}
    drawn["mesh"], drawn["warp"] = draw_mesh(scene), Drawn(list(pack_bases(pack, len(scene.true))))
    truth = track(scene, scene.true)
    scores = {
        name: score(scene, one.pictures, (truth, track(scene, one.pictures)), recognise) for name, one in drawn.items()
    }
    if sheets is not None:
        shown = [scene.true, drawn[MOUTH_MODES[0]].pictures, drawn["mesh"].pictures]
        save_rows(shown, truth, sheets / f"{case.name}.png")
    row: dict[str, Any] = {"source": avatar.about.source, "teacher": pack.info["teacher"], "frames": len(scene.true)}
    row |= {"scores": scores, "stages_ms": {name: spread(times) for name, times in stages.items()}}
    if case.checkpoint is not None:
        row["networks"] = network_losses(avatar, case.pack, case.checkpoint)
    if shared is not None:
        row.setdefault("networks", {})["compositor"] = compositor_loss(avatar, scene, shared)
    return row | costs(case, avatar, pack, drawn[MOUTH_MODES[0]], scene)


def pack_bases(pack: Pack, count: int) -> Sequence[Any]:
    """The warped reference at the first `count` held-out frames."""
    places = [at for at, frame in enumerate(pack.frames_at) if pack.held[frame]][:count]
    bases = pack.bases
    return [np.array(bases[place]) for place in places]


def costs(case: Case, avatar: Avatar, pack: Pack, drawn: Drawn, scene: Scene) -> dict[str, Any]:
    """What it took to make the avatar and what it takes to draw it."""
    middle, high = drawn.spread_ms
    size = avatar.about.size
    row = {
        "held_out_s": round(len(scene.true) / scene.fps, 2),
        "rejection_rate": pack.info["rejection_rate"],
        "rejected": pack.info["rejected"],
        "size": size,
        "gmac": round(gmac_per_frame(size, avatar.about.canvas), 4),
        "parameters": parameters_of(size),
        "file_mb": round(case.avatar.stat().st_size / 1e6, 3),
        "ms_p50": middle,
        "ms_p95": high,
        "fps": round(end_to_end(case.avatar), 1),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
    measured = avatar.about.measured
    return row | {name: measured[name] for name in ("minutes", "learned_minutes") if name in measured}


def end_to_end(avatar: Path) -> float:
    """Frames a second from an avatar and speech to a finished video, one thread, the better of two."""
    with tempfile.TemporaryDirectory() as folder:
        made = [animate(avatar, weights.path(SPEECH), Path(folder) / "out.mp4", threads=1) for _ in range(2)]
    return max(report.frames / report.elapsed_s for report in made)


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    middle, high = np.percentile(times, [50, 95])
    return {"p50": round(float(middle), 3), "p95": round(float(high), 3)}


def table(report: dict[str, Any]) -> str:
    """The report as text: scores of every avatar beside mesh and warp, then costs, then networks."""
    avatars: dict[str, dict[str, Any]] = report["avatars"]
    lines = ["Held-out frames: avatar by landmarks / by visemes (mesh; warp alone).", ""]
    rows = [["", *avatars], ["---", *["---:"] * len(avatars)]]
    for key, title, digits in ROWS:
        rows.append([title, *[_cell(one["scores"], key, digits) for one in avatars.values()]])
    for key, title, digits in COSTS:
        rows.append([title, *["-" if key not in one else f"{one[key]:.{digits}f}" for one in avatars.values()]])
    networks = sorted({name for one in avatars.values() for name in one.get("networks", {})})
    for name in networks:
        found = [one.get("networks", {}).get(name) for one in avatars.values()]
        cells = ["-" if one is None else f"{one['float_db']:.2f} / {one['int8_db']:.2f}" for one in found]
        rows.append([f"{name}: float / INT8, dB", *cells])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        lines.append("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    paper = report["paper"]
    lines += ["", f"The paper claims {paper['ms_a_frame']:g} ms a frame ({paper['device']}), "
              f"{paper['parameters'] / 1e6:g} M parameters, {paper['rejection_rate']:.1%} rejected; of quality "
              f"{paper['quality']}."]  # fmt: skip
    return "\n".join(lines)


def _cell(scores: dict[str, dict[str, float]], key: str, digits: int) -> str:
    def one(name: str) -> str:
        value = scores.get(name, {}).get(key)
        return "-" if value is None else f"{value:.{digits}f}"

    own = scores["landmarks"].get(f"{key}_true")
    beside = "" if own is None else f"; truth {own:.{digits}f}"
    return f"{one('landmarks')} / {one('visemes')} ({one('mesh')}; {one('warp')}{beside})"


def stored(file: Path) -> dict[str, Any]:
    """The rows of a report that is there already."""
    if not file.is_file():
        return {}
    return dict(json.loads(file.read_text("utf-8"))["avatars"])


def main() -> None:
    """Measure a folder of avatars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--likeness", type=Path, help="measure of likeness, by liveface.train.likeness")
    parser.add_argument("--shared", type=Path, help="folder with the shared networks in floating point")
    parser.add_argument("--only", nargs="+", help="names of the avatars to measure; the report's other rows are kept")
    parser.add_argument("--most", type=int, default=MOST_FRAMES, help=f"held-out frames of each ({MOST_FRAMES})")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench/results/avatars.json"))
    given = parser.parse_args()
    recognise = None if given.likeness is None else Likeness.load(given.likeness)

    def say(what: str, done: int, count: int) -> None:
        sys.stderr.write(f"[{done}/{count}] {what}\n")

    cases = [case for case in cases_in(given.cases) if not given.only or case.name in given.only]
    report = evaluate_avatars(
        cases,
        recognise=recognise,
        shared=given.shared,
        out=given.output,
        sheets=given.sheets,
        progress=say,
        kept=stored(given.output) if given.only else None,
        most=given.most,
    )
    sys.stdout.write(table(report) + "\n")


if __name__ == "__main__":
    main()
