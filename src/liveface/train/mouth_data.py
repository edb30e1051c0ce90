"""Mouth patches for training: cut once from every open mouth of portraits and video, kept as uint8.

A stored patch covers 1.3 times the network's patch at 1.25 times its resolution, so that crops can be moved, scaled
and turned when they are read. Balance is by opening of the mouth, then by source, never by file: most portraits smile
with closed teeth, few pictures show a cavity.

    python -m liveface.train.mouth_data CACHE PATCHES [--data FOLDER]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import RecipeError
from liveface.render.patch import SPAN, cut, opening, patch_affine
from liveface.train.faces import clips, frames, held_out_clips
from liveface.train.recipe import data_folder
from liveface.types import Array, Pixels

LEAST_OPENING = 0.025  # of the eye distance; below, lips count as shut
LEAST_WIDTH_PX = 96  # of the patch in the source; smaller mouths are too blurred to learn teeth from
MOST_TURN = 0.35  # offset of the nose tip between the outer eye corners; about 35 degrees
EVERY = 10  # every tenth portrait identity is held out
SAME_PEOPLE = ("echomimic__c", "edtalk__demo-edtalk-lip-pose-v-512", "edtalk__rd-radio51-000-512",
               "edtalk__demo-edtalk-a-512", "edtalk__demo-lip-pose5-512")  # fmt: skip
BINS = (0.025, 0.06, 0.11, 0.18, 0.3, 9.0)  # openings; chosen so that speech fills the first three


@dataclass(frozen=True, slots=True)
class Patches:
    """All stored patches.

    Attributes:
        pixels: `[N, 156, 208, 3]` uint8 RGB.
        points: `[N, 478, 3]` float32 in stored pixels.
        source: `[N]` number of the clip or portrait identity.
        portrait, held_out, open_group: `[N]` bool.
        opening: `[N]` float32.
        names: `[S]` name of every source.
    """

    pixels: Pixels
    points: Array
    source: npt.NDArray[np.int32]
    portrait: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.bool_]
    open_group: npt.NDArray[np.bool_]
    opening: Array
    names: npt.NDArray[np.str_]

    @staticmethod
    def load(folder: Path) -> Patches:
        """Read what `write` wrote; pixels stay on disk until used."""
        if not (folder / "pixels.npy").is_file():
            raise RecipeError(
                f"there are no mouth patches in {folder}; run python -m liveface.train.mouth_data CACHE {folder}."
            )
        table = np.load(folder / "table.npz")
        return Patches(np.load(folder / "pixels.npy", mmap_mode="r"), **{name: table[name] for name in table.files})


def portrait_identities(data: Path) -> dict[str, str]:
    """File to identity, for every portrait of the catalog."""
    with (data / "catalog.csv").open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["identity"] for row in csv.DictReader(stream) if row["file"].startswith("portraits/")}


def held_out_portraits(identities: dict[str, str]) -> set[str]:
    """Every tenth identity of each folder in sorted order, and the composites: their files."""
    out: set[str] = set()
    folders = {str(Path(file).parent) for file in identities}
    for folder in sorted(folders):
        here = {file: name for file, name in identities.items() if str(Path(file).parent) == folder}
        tenth = set(sorted(set(here.values()))[::EVERY])
        out |= {file for file, name in here.items() if name in tenth or "composite" in file.lower()}
    return out


def usable(points: Array) -> bool:
    """Whether a mouth is open, large and frontal enough to be learned from."""
    left, right = points[33], points[263]
    along = float((points[1, :2] - left[:2]) @ (right[:2] - left[:2]) / (np.sum((right[:2] - left[:2]) ** 2) + 1e-6))
    wide_px = SPAN / float(np.hypot(*patch_affine(points)[0, :2]))
    return opening(points) >= LEAST_OPENING and abs(along - 0.5) < MOST_TURN and wide_px >= LEAST_WIDTH_PX


def video_patches(data: Path, cache: Path) -> Iterator[tuple[str, bool, Pixels, Array, float]]:
    """Open mouths of every clip: name, held out, patch, points, opening. Held-out clips keep every frame."""
    out = held_out_clips(data)
    for file in clips(data):
        if file.stem in SAME_PEOPLE or not (cache / f"{file.stem}.npz").is_file():
            continue
        tracked = np.load(cache / f"{file.stem}.npz")
        points, score = tracked["points"], tracked["score"]
        good = [score[k] > 0.5 and usable(points[k]) for k in range(len(points))]
        stride = 1 if file.stem in out else (2 if np.mean(good) < 0.4 else 3)
        if not any(good):
            continue
        for k, pixels in enumerate(frames(file)):
            if k < len(good) and good[k] and k % stride == 0:
                patch, moved = cut(pixels, points[k])
                yield file.relative_to(data).as_posix(), file.stem in out, patch, moved, opening(points[k])


def portrait_patches(data: Path, cache: Path) -> Iterator[tuple[str, bool, Pixels, Array, float]]:
    """Open mouths of every portrait, as `video_patches`."""
    tracked = np.load(cache / "portraits.npz")
    identities = portrait_identities(data)
    out = held_out_portraits(identities)
    for name, points in zip(tracked["files"], tracked["points"], strict=True):
        picture = cv2.imread(str(data / name), cv2.IMREAD_COLOR)
        if picture is not None and usable(points):
            patch, moved = cut(np.ascontiguousarray(picture[:, :, ::-1]), points)
            yield str(name), str(name) in out, patch, moved, opening(points)


def write(data: Path, cache: Path, folder: Path) -> int:
    """Cut all patches into `folder`; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    identities = portrait_identities(data)
    pixels, points, rows = [], [], []
    names: dict[str, int] = {}
    for portrait, found in ((True, portrait_patches(data, cache)), (False, video_patches(data, cache))):
        for name, out, patch, moved, gap in found:
            source = names.setdefault(identities.get(name, name), len(names))
            pixels.append(patch)
            points.append(moved)
            rows.append((source, portrait, out, "/open/" in name, gap))
    if not pixels:
        raise RecipeError(f"no usable open mouth was found with the tracks in {cache}; run liveface.train.faces first.")
    np.save(folder / "pixels.npy", np.stack(pixels))
    columns = list(zip(*rows, strict=True))
    np.savez(
        folder / "table.npz", points=np.stack(points), source=np.array(columns[0], np.int32),
        portrait=np.array(columns[1]), held_out=np.array(columns[2]), open_group=np.array(columns[3]),
        opening=np.array(columns[4], np.float32), names=np.array(list(names)),
    )  # fmt: skip
    return len(pixels)


def main() -> None:
    """Cut patches from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("patches", type=Path)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    write(given.data or data_folder(), given.cache, given.patches)


if __name__ == "__main__":
    main()
