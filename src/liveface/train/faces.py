"""The tracking cache: every clip and portrait of the data once through the face tracker.

One `.npz` per clip (`points` `[T, 478, 3]` float32 pixels, `score` `[T]`, 0 where no face was found, `fps`, `size`
width and height, `path` inside the data folder) and one for the portraits (`files`, `points`, `sizes`, `score`).
Training reads these instead of pictures. `motions` adds ARKit motion per clip, solved with the face model that ships.

    python -m liveface.train.faces CACHE [--data FOLDER] [--part 1/2] [--what points|motion]
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from liveface.motion.face_model import FaceModel
from liveface.motion.solve import MotionSolver
from liveface.signals.face import POINTS, Box, Face, FaceTracker
from liveface.types import Array, Motion, Pixels

HELD_OUT_CLIPS = (
    "liveportrait__d6", "liveportrait__d9", "liveportrait__d14", "liveportrait__s18", "personalive__driving-video",
    "lia__obama", "edtalk__uncrop-obama", "lipnet__swiz3n",
)  # fmt: skip
HELD_OUT_SPEAKERS = ("s26", "s30", "xa", "xb")  # of GRID
_EVERY = 10  # every tenth sentence of GRID s1 and every tenth portrait identity are held out


def data_folder() -> Path:
    """Where the training data lies: the environment variable LIVEFACE_DATA, else `../shared/data`."""
    return Path(os.environ.get("LIVEFACE_DATA", "../shared/data"))


def clips(data: Path) -> list[Path]:
    """All video files, sorted by name."""
    return sorted((data / "video").rglob("*.mp4"))


def held_out_clips(data: Path) -> set[str]:
    """Stems of the clips that no training may see."""
    grid = sorted((data / "video" / "open" / "grid-s1").glob("*.mp4"))
    out = {file.stem for file in grid[::_EVERY]} | set(HELD_OUT_CLIPS)
    for file in (data / "video" / "open" / "grid-more").rglob("*.mp4"):
        if file.stem.split("__")[0] in HELD_OUT_SPEAKERS or file.parent.name in HELD_OUT_SPEAKERS:
            out.add(file.stem)
    return out


def held_out_portraits(data: Path) -> set[str]:
    """Portraits (paths inside the data folder) that no training may see.

    Composites, and every tenth identity of each folder in sorted order.
    """
    with (data / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "portrait"]
    held = {row["file"] for row in rows if "__composite__" in row["file"]}
    for folder in {str(Path(row["file"]).parent) for row in rows}:
        inside = [row for row in rows if str(Path(row["file"]).parent) == folder]
        people = set(sorted({row["identity"] for row in inside})[::_EVERY])
        held |= {row["file"] for row in inside if row["identity"] in people}
    return held


def some_held_out_portraits(data: Path, count: int) -> list[Path]:
    """`count` photos of held-out people, spread evenly over all of them; composites show nobody and are left out."""
    files = sorted(file for file in held_out_portraits(data) if "__composite__" not in file)
    return [data / files[at] for at in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]


def frames(file: Path) -> Iterator[Pixels]:
    """Every frame of a clip, uint8 `[H, W, 3]` RGB, as stored."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def track_clip(file: Path) -> dict[str, Any]:
    """Points and scores of every frame of a clip, with its rate and size."""
    tracker = FaceTracker()
    points: list[Array] = []
    score: list[float] = []
    size = (0, 0)
    for pixels in frames(file):
        size = (pixels.shape[1], pixels.shape[0])
        face = tracker.track(pixels)
        last = points[-1] if points else np.zeros((POINTS, 3), np.float32)
        points.append(last if face is None else face.points)
        score.append(0.0 if face is None else face.score)
    with av.open(str(file)) as container:
        rate = container.streams.video[0].average_rate
    return {
        "points": np.array(points, np.float32),
        "score": np.array(score, np.float32),
        "fps": np.float32(rate or 25),
        "size": np.array(size),
    }


def track_portraits(files: list[Path]) -> dict[str, Any]:
    """Points of the largest face of every photo in which one was found."""
    tracker = FaceTracker(static=True)
    names, points, sizes, scores = [], [], [], []
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        face = None if picture is None else tracker.track(np.ascontiguousarray(picture[:, :, ::-1]))
        if face is None:
            continue
        names.append(str(file))
        points.append(face.points)
        sizes.append((picture.shape[1], picture.shape[0]))
        scores.append(face.score)
    return {
        "files": np.array(names),
        "points": np.array(points, np.float32),
        "sizes": np.array(sizes),
        "score": np.array(scores, np.float32),
    }


def cache_points(data: Path, cache: Path, say: Callable[[str], None], part: int = 0, parts: int = 1) -> None:
    """Track every `parts`-th clip from `part` on; the last part also does the portraits. Finished clips are kept."""
    cache.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(clips(data)[part::parts]):
        target = cache / f"{file.stem}.npz"
        if target.exists():
            continue
        result = track_clip(file)
        np.savez(target, path=str(file.relative_to(data)), **result)
        say(f"{number} {file.stem} {len(result['points'])} frames, found in {np.mean(result['score'] > 0):.0%}")
    if part == parts - 1:
        found = track_portraits(sorted((data / "portraits").rglob("*.jpg")))
        found["files"] = np.array([str(Path(name).relative_to(data)) for name in found["files"]])
        np.savez(cache / "portraits.npz", **found)


def solve_clip(stored: Mapping[str, Any], model: FaceModel | None = None) -> dict[str, Any]:
    """ARKit motion of a tracked clip: calibrated on up to 100 frames spread over it, then solved frame by frame."""
    points, score = stored["points"], stored["score"]
    seen = np.flatnonzero(score > 0)
    solver = MotionSolver(float(stored["fps"]), (int(stored["size"][0]), int(stored["size"][1])), model)
    faces = [face_of(points[index], float(score[index])) for index in seen[:: max(1, len(seen) // 100)]]
    solver.calibrate(faces)
    parts = [
        solver.step(face_of(points[index], float(score[index])) if score[index] > 0 else None)
        for index in range(len(points))
    ]
    motion = Motion.concat([replace(part, landmarks=None) for part in parts])
    return {
        "expression": motion.expression,
        "head": motion.head,
        "gaze": motion.gaze,
        "score": score,
        "fps": stored["fps"],
        "identity": solver.person.identity,
    }


def face_of(points: Array, score: float) -> Face:
    """A `Face` from stored points `[478, 3]`."""
    (x, y), (far_x, far_y) = points[:468, :2].min(0), points[:468, :2].max(0)
    box = Box(float(x), float(y), float(far_x - x), float(far_y - y), score, points[[468, 473, 1, 13, 234, 454], :2])
    return Face(points, score, box)


def cache_motion(cache: Path, say: Callable[[str], None], part: int = 0, parts: int = 1) -> None:
    """Solve every tracked clip of `cache` into `cache/motion`, replacing what is there."""
    (cache / "motion").mkdir(parents=True, exist_ok=True)
    for file in sorted(cache.glob("*.npz"))[part::parts]:
        if file.stem == "portraits":
            continue
        with np.load(file) as stored:
            if (stored["score"] > 0).any():
                np.savez(cache / "motion" / file.name, **solve_clip(dict(stored)))
                say(file.stem)


def main() -> None:
    """Fill a cache folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--part", default="1/1", help="share of the clips, such as 1/2")
    parser.add_argument("--what", choices=("points", "motion"), default="points")
    given = parser.parse_args()
    part, parts = (int(number) for number in given.part.split("/"))
    cv2.setNumThreads(1)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    if given.what == "points":
        cache_points(given.data, given.cache, say, part - 1, parts)
    else:
        cache_motion(given.cache, say, part - 1, parts)


if __name__ == "__main__":
    main()
