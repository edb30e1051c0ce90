"""Measures the face model, the solver and the tracker on what no training saw; stores `bench/results/face.json`.

python -m liveface.train.face_report CACHE [--data FOLDER] [--output bench/results/face.json]

Distances are percent of the inter-ocular distance (0.7 times that of the outer eye corners), angles degrees.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from liveface.geometry import fit_similarity, head_angles, head_rotation
from liveface.motion.face_model import LIDS, FaceModel
from liveface.motion.fit import Pose, point_weights
from liveface.motion.solve import MotionSolver, fit_photo
from liveface.signals.face import Face, FaceTracker
from liveface.train.face_model import prior
from liveface.train.faces import data_folder, face_of, frames, held_out_clips, held_out_portraits
from liveface.types import ARKIT_NAMES, Array, Motion, Pixels

MOUTH = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
         78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415)  # fmt: skip
REPEATED = ("liveportrait__d9", "liveportrait__d6", "lia__obama", "s26__bgbsza")
_FRAMES = 150  # of each clip that is tracked again


def _percent(points: Array, guess: Array, which: list[int]) -> float:
    distance = np.linalg.norm(points[which] - guess[which], axis=1).mean()
    return float(100 * distance / (0.7 * np.linalg.norm(points[263] - points[33])))


def _load(cache: Path, stem: str) -> dict[str, Any]:
    with np.load(cache / f"{stem}.npz") as stored:
        return dict(stored)


def residuals(model: FaceModel, cache: Path, data: Path, most: int = 150) -> dict[str, float]:
    """How far fitted faces lie from tracked points on held-out clips and portraits."""
    areas = {"face": list(range(468)), "mouth": list(MOUTH), "eyes": [point for lids in LIDS for point in lids]}
    found: dict[str, list[float]] = {f"{area}{kind}": [] for area in areas for kind in ("", " without offset")}
    found["portrait"] = []
    for stem in sorted(held_out_clips(data)):
        stored = _load(cache, stem)
        seen = np.flatnonzero(stored["score"] > 0)[:: max(1, len(stored["score"]) // most)]
        solver = MotionSolver(float(stored["fps"]), (int(stored["size"][0]), int(stored["size"][1])), model)
        faces = [face_of(stored["points"][index], 1.0) for index in seen]
        solver.calibrate(faces)
        clip: dict[str, list[float]] = {name: [] for name in found}
        for face in faces:
            raw, _ = solver.follow(face.points[:, :2])
            bare = solver.pose.project(model.points(solver.person.identity, raw))
            whole = solver.pose.project(solver.shape)
            for area, which in areas.items():
                clip[area].append(_percent(face.points[:, :2], whole, which))
                clip[f"{area} without offset"].append(_percent(face.points[:, :2], bare, which))
        for name, values in clip.items():
            found[name] += [float(np.mean(values))] if values else []
    portraits = _load(cache, "portraits")
    held = held_out_portraits(data)
    for name, points, size in zip(portraits["files"], portraits["points"], portraits["sizes"], strict=True):
        if str(name) in held:
            fit = fit_photo(points[:, :2], model, (int(size[0]), int(size[1])))
            guess = fit.pose.project(model.points(fit.identity, fit.expression))
            found["portrait"].append(_percent(points[:, :2], guess, areas["face"]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _solve(pictures: list[Pixels], model: FaceModel) -> tuple[Motion, list[Face]]:
    """Track and solve one clip from its pixels, calibrated on itself."""
    tracker, size = FaceTracker(), (pictures[0].shape[1], pictures[0].shape[0])
    tracked = [tracker.track(picture) for picture in pictures]
    faces = [face for face in tracked if face is not None]
    solver = MotionSolver(30, size, model)
    solver.calibrate(faces[:: max(1, len(faces) // 100)])
    return Motion.concat([solver.step(face) for face in tracked]), faces


def _disturb(picture: Pixels, random: np.random.Generator) -> Pixels:
    """The same picture smaller, shifted by part of a pixel, cropped, noisy."""
    height, width = picture.shape[:2]
    affine = np.array([[0.8, 0, -0.02 * width + 0.37], [0, 0.8, -0.03 * height + 0.61]])
    small = cv2.warpAffine(picture, affine, (int(0.8 * width), int(0.8 * height)), flags=cv2.INTER_AREA)
    noisy = small.astype(np.float32) + random.normal(0, 4, small.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def repeatability(model: FaceModel, data: Path, cache: Path) -> dict[str, Any]:
    """The same clips tracked twice: as they are and disturbed; then mirrored, which must mirror the motion."""
    random = np.random.default_rng(0)
    changes, signals, turned, angles = [], [], [], []
    for stem in REPEATED:
        source = data / str(_load(cache, stem)["path"])
        pictures = [picture for _, picture in zip(range(_FRAMES), frames(source), strict=False)]
        first, _ = _solve(pictures, model)
        again, _ = _solve([_disturb(picture, random) for picture in pictures], model)
        mirrored, _ = _solve([np.ascontiguousarray(picture[:, ::-1]) for picture in pictures], model)
        changes.append(np.abs(first.expression - again.expression))
        signals.append(first.expression)
        angles.append(np.degrees(first.head[:, :3] - again.head[:, :3]))
        turned.append(np.degrees(first.head[:, :3] - mirrored.head[:, :3] * (1, -1, -1)))
    change, signal = np.concatenate(changes), np.concatenate(signals)
    return {
        "coefficient mean change": float(change.mean()),
        "coefficient p95 change": float(np.percentile(change, 95)),
        "per coefficient": {
            name: {"change": round(float(change[:, i].mean()), 4), "spread": round(float(signal[:, i].std()), 4)}
            for i, name in enumerate(ARKIT_NAMES)
        },
        "head change deg": _by_angle(np.concatenate(angles)),
        "head against mirrored deg": _by_angle(np.concatenate(turned)),
    }


def _by_angle(difference: Array) -> dict[str, float]:
    names = ("pitch", "yaw", "roll")
    return {name: round(float(np.abs(difference[:, i]).mean()), 3) for i, name in enumerate(names)}


def head_pose(model: FaceModel, cache: Path, data: Path) -> dict[str, Any]:
    """Head-pose error: on projections of other identities with known pose, and against the tracker's own depth."""
    random = np.random.default_rng(1)
    errors: dict[int, list[Array]] = {10: [], 20: [], 30: []}
    for limit, found in errors.items():
        for _ in range(40):
            identity = random.normal(0, 1, min(40, len(model.identity))).astype(np.float32)
            expression = np.zeros(52, np.float32)
            expression[random.integers(14, 51, 4)] = random.uniform(0, 0.6, 4)
            angle = np.radians(random.uniform(-limit, limit, 3))
            pose = Pose(head_rotation(*angle), 20.0, np.array([320, 240], np.float32))
            points = pose.project(model.points(identity, expression)) + random.normal(0, 0.6, (478, 2))
            fit = fit_photo(points.astype(np.float32), model, (640, 480))
            found.append(np.degrees(fit.head - angle))
    slopes = []
    for stem in ("liveportrait__d6", "liveportrait__d9", "liveportrait__d14", "liveportrait__s18", "lia__obama"):
        slopes.append(_against_depth(model, _load(cache, stem)))
    against = np.array(slopes)
    return {
        "synthetic mean error deg, angles up to": {
            str(limit): _by_angle(np.array(found)) for limit, found in errors.items()
        },
        "against the tracker's own depth, held-out clips": {
            "pitch rms deg": round(float(against[:, 0].mean()), 2),
            "yaw rms deg": round(float(against[:, 1].mean()), 2),
            "yaw correlation": round(float(against[:, 2].mean()), 4),
        },
        "roll from turned pictures deg": _turned_pictures(model, data, cache),
    }


def _against_depth(model: FaceModel, stored: dict[str, Any], most: int = 200) -> tuple[float, float, float]:
    """Solved pitch and yaw against those of a rigid fit to the mesh network's 3D points, clip means taken off."""
    seen = np.flatnonzero(stored["score"] > 0)[:: max(1, len(stored["score"]) // most)]
    solver = MotionSolver(float(stored["fps"]), (int(stored["size"][0]), int(stored["size"][1])), model)
    faces = [face_of(stored["points"][index], 1.0) for index in seen]
    solver.calibrate(faces)
    pairs = []
    for face in faces:
        solver.follow(face.points[:, :2])
        _, rotation, _ = fit_similarity(solver.shape, face.points, point_weights())
        pairs.append([*solver.pose.angles[:2], *head_angles(rotation)[:2]])
    angles = np.degrees(np.array(pairs))
    angles -= angles.mean(0)
    rms = np.sqrt(((angles[:, :2] - angles[:, 2:]) ** 2).mean(0))
    return float(rms[0]), float(rms[1]), float(np.corrcoef(angles[:, 1], angles[:, 3])[0, 1])


def _turned_pictures(model: FaceModel, data: Path, cache: Path) -> float:
    """Mean error of roll when whole pictures of held-out clips are turned by known angles."""
    errors = []
    for stem in REPEATED:
        picture = next(iter(frames(data / str(_load(cache, stem)["path"]))))
        height, width = picture.shape[:2]
        rolls = []
        for turn in (0, 8, -8, 16, -16, 24, -24):
            affine = cv2.getRotationMatrix2D((width / 2, height / 2), -turn, 1.0)
            face = FaceTracker(static=True).track(cv2.warpAffine(picture, affine, (width, height)))
            if face is not None:
                rolls.append(np.degrees(fit_photo(face.points[:, :2], model, (width, height)).head[2]) - turn)
        errors.append(np.abs(np.array(rolls) - rolls[0])[1:].mean())
    return round(float(np.mean(errors)), 3)


def timing(model: FaceModel, data: Path, cache: Path) -> dict[str, float]:
    """Processor milliseconds per frame of tracker and solver, which other work on the machine does not change much."""
    source = data / str(_load(cache, REPEATED[0])["path"])
    pictures = [picture for _, picture in zip(range(_FRAMES), frames(source), strict=False)]
    tracker, solver = FaceTracker(), MotionSolver(30, (pictures[0].shape[1], pictures[0].shape[0]), model)
    track_ms, solve_ms = [], []
    for picture in pictures:
        start = time.process_time()
        face = tracker.track(picture)
        between = time.process_time()
        solver.step(face)
        track_ms.append(1e3 * (between - start))
        solve_ms.append(1e3 * (time.process_time() - between))
    named = {"track": track_ms[5:], "solve": solve_ms[5:]}
    return {
        f"{name} {kind} cpu ms": round(float(np.percentile(values, share)), 2)
        for name, values in named.items()
        for kind, share in (("min", 0), ("p50", 50), ("p95", 95))
    }


def report(cache: Path, data: Path, output: Path) -> dict[str, Any]:
    """Measure everything, store it as JSON and give it back."""
    cv2.setNumThreads(1)
    model, before = FaceModel.load(), prior(data, 50)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "residual, version 0": residuals(before, cache, data),
        "residual": residuals(model, cache, data),
        "repeatability": repeatability(model, data, cache),
        "head pose": head_pose(model, cache, data),
        "timing": timing(model, data, cache),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return result


def main() -> None:
    """Print and store the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--output", type=Path, default=Path("bench/results/face.json"))
    given = parser.parse_args()
    result = report(given.cache, given.data, given.output)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
