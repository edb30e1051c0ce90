"""Eye pictures with what the eyes do: cut from tracked clips, and rendered from portraits with known eyes.

Tracked clips give real blinks and real light, but people who talk to a camera hardly look away; portraits drawn by the
mesh renderer with chosen gaze and lids give every direction on hundreds of people, with exact labels.

    python -m liveface.train.eye_camera_data CACHE PICTURES [--data FOLDER] [--portraits 120]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import FaceError, RecipeError
from liveface.motion.codes import EYE_NAMES, eyes_of, lift_eyes
from liveface.motion.eyes import show_eyes
from liveface.render.mesh import MeshRenderer
from liveface.signals.eye_camera import EYE_HEIGHT, EYE_SPAN, EYE_WIDTH, eye_affine
from liveface.train.faces import clips, frames, held_out_clips, held_out_portraits
from liveface.train.recipe import data_folder
from liveface.types import Array, Motion, Pixels, arkit_spec

MARGIN = 1.25  # stored pictures are so much larger than the network's, for shifts, turns and zooms
STORED = (int(EYE_WIDTH * MARGIN), int(EYE_HEIGHT * MARGIN))  # 60 x 40
STRIDE, STRIDE_HELD_OUT = 3, 4  # frames
ONE_PERSON = 5  # every so many of GRID s1's clips, which show one person
LEAST_EYE_PX = 14.0  # between the corners; below, irises are a few pixels
RENDERS, RENDER_SIZE = 24, (360, 640)
GAZE_MOST_RAD = (0.30, 0.50)  # pitch, yaw of rendered eyes


@dataclass(frozen=True, slots=True)
class EyePictures:
    """All stored pictures.

    Attributes:
        pixels: `[N, 2, 40, 60]` uint8 grey, left eye and mirrored right eye.
        eyes: `[N, 6]` float32, `EYE_NAMES`.
        person: `[N]` number of the clip's or portrait's name; names: `[P]`.
        rendered, held_out, open_group: `[N]` bool.
    """

    pixels: Pixels
    eyes: Array
    person: npt.NDArray[np.int32]
    names: npt.NDArray[np.str_]
    rendered: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.bool_]
    open_group: npt.NDArray[np.bool_]

    @staticmethod
    def load(file: Path) -> EyePictures:
        """Read what `save` wrote.

        Raises:
            RecipeError: there is no such file.
        """
        if not file.is_file():
            raise RecipeError(
                f"there are no eye pictures in {file}; run python -m liveface.train.eye_camera_data CACHE {file}."
            )
        with np.load(file) as stored:
            return EyePictures(**{name: stored[name] for name in stored.files})

    def save(self, file: Path) -> None:
        """Write an .npz."""
        part = file.with_suffix(".part.npz")
        np.savez(part, **{item.name: getattr(self, item.name) for item in fields(self)})
        part.replace(file)


def cut_pair(pixels: Pixels, points: Array) -> Pixels:
    """Left eye and mirrored right eye `[2, 40, 60]` of a picture with tracked points."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    pair = []
    for eye in ("left", "right"):
        affine = eye_affine(points, eye, STORED, EYE_SPAN * MARGIN)
        if np.hypot(*affine[0, :2]) < 0.7:  # shrinking: blur first, for a camera's pixels average
            grey_here = cv2.GaussianBlur(grey, (0, 0), 0.45 / float(np.hypot(*affine[0, :2])))
        else:
            grey_here = grey
        pair.append(cv2.warpAffine(grey_here, affine, STORED, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(pair).astype(np.uint8, copy=False)


def tracked_pictures(data: Path, cache: Path) -> Iterator[tuple[str, bool, Pixels, Array]]:
    """Eyes of every tracked clip: name, held out, pictures, eyes `[6]`."""
    out = held_out_clips(data)
    every = [file for file in clips(data) if file.parent.name != "grid-s1"]
    every += sorted((data / "video" / "open" / "grid-s1").glob("*.mp4"))[::ONE_PERSON]
    for file in every:
        points_file, motion_file = cache / f"{file.stem}.npz", cache / "motion" / f"{file.stem}.npz"
        if not (points_file.is_file() and motion_file.is_file()):
            continue
        tracked, solved = np.load(points_file), np.load(motion_file)
        points, score = tracked["points"], solved["score"]
        eyes = eyes_of(Motion(solved["expression"], solved["head"], solved["gaze"], arkit_spec(float(solved["fps"]))))
        held = file.stem in out
        stride = STRIDE_HELD_OUT if held else STRIDE
        wide = np.linalg.norm(points[:, 263, :2] - points[:, 362, :2], axis=1)
        good = (score > 0.5) & (wide >= LEAST_EYE_PX) & (np.abs(solved["head"][:, 1]) < 0.5)
        chosen = set(np.flatnonzero(good)[::stride].tolist())
        if not chosen:
            continue
        for index, pixels in enumerate(frames(file)):
            if index in chosen:
                yield file.relative_to(data).as_posix(), held, cut_pair(pixels, points[index]), eyes[index]


def drawn_eyes(random: np.random.Generator) -> Array:
    """Eyes `[6]` to render: glances in every direction, lids from open to shut, now and then one alone."""
    pitch, yaw = random.uniform(-1, 1, 2) * GAZE_MOST_RAD * random.choice([0.3, 1.0], p=[0.3, 0.7])
    shut = random.choice([0.0, random.uniform(0.05, 1.0)], p=[0.45, 0.55])
    lids = np.array([shut, shut])
    if random.random() < 0.12:
        lids[random.integers(2)] = 0.0
    wide = random.uniform(0, 1) if shut == 0 and random.random() < 0.35 else 0.0
    squint = random.uniform(0, 0.8) if wide == 0 and random.random() < 0.4 else 0.0
    return np.array([pitch, yaw, *lids, wide, squint], np.float32)


def rendered_pictures(data: Path, count: int) -> Iterator[tuple[str, bool, Pixels, Array]]:
    """Eyes of `count` portraits and of a tenth as many held-out ones, drawn with known eyes."""
    random = np.random.default_rng(5)
    out = held_out_portraits(data)
    every = sorted(file.relative_to(data).as_posix() for file in (data / "portraits").rglob("*.jpg"))
    learned = [file for file in every if file not in out]
    held = [file for file in sorted(out) if "composite" not in file]
    chosen = [*random.permutation(learned)[:count], *random.permutation(held)[: max(1, count // 10)]]
    for name in chosen:
        picture = cv2.imread(str(data / name), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        try:
            renderer = MeshRenderer(np.ascontiguousarray(picture[:, :, ::-1]), RENDER_SIZE)
        except FaceError:
            continue  # a profile or a face too small: no pair of eyes to learn from
        eyes = np.stack([drawn_eyes(random) for _ in range(RENDERS)])
        motion = show_eyes(Motion.rest(RENDERS), lift_eyes(eyes))
        _, pictures = renderer.step(renderer.start(), motion)
        for frame, truth in zip(pictures, eyes, strict=True):
            yield str(name), name in out, cut_pair(frame.pixels, renderer.canvas.points), truth


def collect(data: Path, cache: Path, portraits: int) -> EyePictures:
    """All pictures.

    Raises:
        RecipeError: no eyes were found.
    """
    pixels, eyes, rows = [], [], []
    names: dict[str, int] = {}
    sources = ((False, tracked_pictures(data, cache)), (True, rendered_pictures(data, portraits)))
    for rendered, found in sources:
        for name, held, pair, truth in found:
            pixels.append(pair)
            eyes.append(truth)
            rows.append((names.setdefault(name, len(names)), rendered, held, "/open/" in name))
    if not pixels:
        raise RecipeError(f"no eyes were found with the tracks in {cache}; run liveface.train.faces first.")
    person, drawn, held_out, open_group = (np.array(column) for column in zip(*rows, strict=True))
    stacked = np.stack(eyes).astype(np.float32)
    assert stacked.shape[1] == len(EYE_NAMES)
    return EyePictures(
        np.stack(pixels), stacked, person.astype(np.int32), np.array(list(names)), drawn, held_out, open_group
    )


def main() -> None:
    """Collect pictures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--portraits", type=int, default=120)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    found = collect(given.data or data_folder(), given.cache, given.portraits)
    found.save(given.pictures)
    sys.stdout.write(
        f"{len(found.eyes)} pairs of {len(found.names)} clips and portraits, {int(found.held_out.sum())} held out\n"
    )


if __name__ == "__main__":
    main()
