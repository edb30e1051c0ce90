"""Quality on held-out clips: a clip's first frame driven by the clip itself, and predicted against true speech motion.

Notable choices:
- The pictures compared are those a user would get: the same tracker, solver, dials and renderer as `animate`, on the
  clip's first frame as photo; only the head counts from that frame instead of from the driver's median.
- Only what the photo shows is compared; where the canvas continues the photo's border, nothing is.
- Every number stands beside the same number for "repeat the first frame", the floor that motion must beat.
- The clips were held out of every training by name.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from liveface import lipsync
from liveface.about import processor
from liveface.driver import calibrate, house_fps
from liveface.errors import SignalError
from liveface.motion.solve import MotionSolver
from liveface.render.mesh import MeshRenderer
from liveface.scores import face_scores, picture_scores
from liveface.signals.face import FaceTracker
from liveface.signals.media import probe, read_video
from liveface.types import Array, Frame, Motion, Pixels

CLIPS = (
    "video/permissive/liveportrait__d6.mp4",
    "video/permissive/liveportrait__d9.mp4",
    "video/permissive/liveportrait__d14.mp4",
    "video/permissive/liveportrait__s18.mp4",
    "video/permissive/personalive__driving-video.mp4",
    "video/open/lia__obama.mp4",
    "video/open/grid-more/s26__*.mp4",
    "video/open/grid-more/s30__*.mp4",
    "video/open/grid-more/xa__*.mp4",
    "video/open/grid-more/xb__*.mp4",
)
"""Held out of every training and tuning; of a pattern the first file is taken."""

SIZE = (512, 512)  # most clips are square crops: a tall canvas would compare mirrored borders
MAX_FPS = 30.0
SIDE = 960
PHONES = Path("bench/held_out_phones.json")


def evaluate(data: str | Path | None, output: Path, seconds: float, say: Callable[[str], None]) -> str:
    """Measure, store the JSON in `output` and return the tables with the JSON as the last line.

    Args:
        data: the data folder; None takes LIVEFACE_DATA, or ../shared/data.
        output: JSON file.
        seconds: of every clip, at most.
        say: told which clip is next.
    """
    folder = Path(data or os.environ.get("LIVEFACE_DATA", "../shared/data"))
    if not folder.is_dir():
        raise SignalError(f"there is no data folder {folder}; expected the held-out clips: set LIVEFACE_DATA.")
    files = [found[0] for found in (sorted(folder.glob(name)) for name in CLIPS) if found]
    if not files:
        raise SignalError(f"{folder} holds none of the {len(CLIPS)} held-out clips; set LIVEFACE_DATA to their folder.")
    clips = {}
    for file in files:
        say(f"{file.stem} ...")
        clips[file.stem] = self_reenactment(file, seconds)
    say("speech ...")
    result: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {platform.machine()}",
        "size": list(SIZE),
        "seconds": seconds,
        "mean": _mean(clips),
        "clips": clips,
        "speech": lipsync.report(folder, phones=PHONES if PHONES.is_file() else None),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    short = {key: result[key] for key in ("when", "machine", "mean")}
    return "\n".join([*_video_table(clips, result["mean"]), "", *_speech_table(result["speech"]), json.dumps(short)])


def self_reenactment(file: Path, seconds: float) -> dict[str, dict[str, float]]:
    """Scores of one clip: `driven`, and `still` for its first frame repeated."""
    fps = min(house_fps(probe(file)), MAX_FPS)
    reader = read_video(file, fps, SIDE)
    solver = MotionSolver(fps, reader.size)
    calibrate(solver, file, fps)
    shot = _Shot(next(iter(reader)))
    tracker = FaceTracker()
    rows: list[dict[str, dict[str, float]]] = []
    start = None
    for frame in islice(reader, round(seconds * fps)):
        face = tracker.track(frame.pixels)
        motion = solver.step(face)
        start = motion.head if start is None else start
        if face is None or frame.index == 0:
            continue
        made = shot.render(replace(motion, head=motion.head - start, landmarks=None))
        rows.append(shot.compare(made, frame.pixels, face.points[:, :2]))
    if not rows:
        raise SignalError(f"{file.name} shows no face to measure; expected a held-out clip of one person.")
    return {
        kind: {name: round(float(np.nanmean([row[kind][name] for row in rows])), 4) for name in rows[0][kind]}
        for kind in ("driven", "still")
    }


class _Shot:
    """The first frame of a clip as photo, and the means to compare with later frames of the same camera."""

    def __init__(self, first: Frame) -> None:
        self.renderer = MeshRenderer(first.pixels, SIZE)
        self.state = self.renderer.start()
        canvas = self.renderer.canvas
        self.tracker = FaceTracker()
        self.pose = MotionSolver(30, SIZE)
        height, width = first.pixels.shape[:2]
        scale, shift = canvas.to_canvas[0, 0], canvas.to_canvas[:, 2]
        low = np.clip(np.ceil(shift), 0, SIZE).astype(int)
        high = np.clip(np.floor(shift + scale * np.array([width, height])), 0, SIZE).astype(int)
        self.seen = (slice(low[1], high[1]), slice(low[0], high[0]))
        self.corner = low
        self.first = canvas.cut(first.pixels)
        found = self.tracker.track(self.first)
        if found is None:
            raise SignalError("the first frame of a held-out clip shows no face; expected one.")
        self.points = found.points[:, :2].copy()
        self.pose.calibrate([found])
        self.angles = self._angles(self.points)

    def render(self, motion: Motion) -> Pixels:
        self.state, frames = self.renderer.step(self.state, motion)
        return frames[0].pixels

    def compare(self, made: Pixels, true: Pixels, points: Array) -> dict[str, dict[str, float]]:
        """Scores of the driven picture and of the still one against a true frame with its tracked points."""
        canvas = self.renderer.canvas
        target = canvas.cut(true)
        goal = points @ canvas.to_canvas[:, :2].T + canvas.to_canvas[:, 2]
        angles = self._angles(goal)
        found = self.tracker.track(made)
        driven = self._pictures(made, target, goal)
        still = self._pictures(self.first, target, goal)
        still |= face_scores(self.points, goal) | {"head_error_deg": _degrees(self.angles, angles)}
        if found is not None:
            own = self._angles(found.points[:, :2])
            driven |= face_scores(found.points[:, :2], goal) | {"head_error_deg": _degrees(own, angles)}
        else:
            driven |= dict.fromkeys(set(still) - set(driven), float("nan"))
        return {"driven": {name: driven[name] for name in still}, "still": still}

    def _pictures(self, made: Pixels, target: Pixels, goal: Array) -> dict[str, float]:
        return picture_scores(made[self.seen], target[self.seen], goal - self.corner)

    def _angles(self, points: Array) -> Array:
        self.pose.follow(np.asarray(points, np.float32))
        return np.asarray(self.pose.pose.angles, np.float32)


def _degrees(one: Array, other: Array) -> float:
    """Mean absolute difference of pitch, yaw and roll in degrees."""
    return float(np.rad2deg(np.abs(one - other)).mean())


def _mean(clips: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Every clip counts alike."""
    first = next(iter(clips.values()))
    return {
        kind: {name: round(float(np.mean([clip[kind][name] for clip in clips.values()])), 3) for name in first[kind]}
        for kind in ("driven", "still")
    }


def _video_table(clips: dict[str, dict[str, dict[str, float]]], mean: dict[str, dict[str, float]]) -> list[str]:
    names = list(mean["driven"])
    head = "| clip | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    lines = ["self-reenactment, driven (first frame repeated):", "", head, "|---" * (len(names) + 1) + "|"]
    for title, clip in [*clips.items(), ("mean", mean)]:
        cells = [f"{clip['driven'][name]:.3g} ({clip['still'][name]:.3g})" for name in names]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _speech_table(speech: dict[str, Any]) -> list[str]:
    own, other = speech["median"], speech["shuffled"]
    lines = [
        f"speech, median of {speech['clips']} held-out recordings:",
        "",
        "| | own sound | shuffled |",
        "|---|---|---|",
    ]
    return lines + [f"| {name.replace('_', ' ')} | {own[name]:g} | {other[name]:g} |" for name in own]
