"""Faces with what moves them, for the small PersonaLive: tracked clips, and portraits drawn under chosen motion.

Clips give real talk and runs of frames; portraits drawn by the mesh renderer give hundreds of people. Every frame is a
square canvas, cut as the renderer cuts its photo, with the seven rigid points that its pose canvas shows and the
expression and gaze that its motion tokens are made of.

    python -m liveface.train.personalive_data CACHE PICTURES [--portraits 240] [--frames 90] [--side 128]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import FaceError, RecipeError
from liveface.nets.personalive.small import POINTS, SIDE, code_of, places_of
from liveface.render.canvas import frame_portrait
from liveface.render.mesh import MeshRenderer
from liveface.signals.image import read_image
from liveface.train.avatar.corpus import known, portraits
from liveface.train.avatar.sources import packing_rate
from liveface.train.avatar.sweeps import SWEEPS, sweep
from liveface.train.avatar.track import Track, label, pick_reference, solve
from liveface.train.faces import clips, frames, held_out_clips
from liveface.train.recipe import data_folder
from liveface.types import Array, Motion, Pixels

ONE_PERSON = 9  # every so many of GRID s1's clips, which show one person
LEAST_FACE_PX = 60.0  # forehead to chin; smaller faces are blurred on the canvas
DRAWN = 10  # frames of a drawn portrait
DRAWN_RUN = 3  # frames between two of them, of the motion that is drawn


@dataclass(frozen=True, slots=True)
class Faces:
    """All stored pictures; those of one clip lie together, in order of time.

    Attributes:
        pixels: `[N, S, S, 3]` uint8 canvases.
        places: `[N, 7, 2]` float32 rigid points, -1 to 1 over the canvas.
        codes: `[N, 56]` float32 expression and gaze.
        clip: `[N]` number of the clip's name; names: `[C]`.
        reference: `[C]` index of the frame that shows the person at rest.
        drawn, held_out, open_group: `[C]` bool.
    """

    pixels: Pixels
    places: Array
    codes: Array
    clip: npt.NDArray[np.int32]
    names: npt.NDArray[np.str_]
    reference: npt.NDArray[np.int64]
    drawn: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.bool_]
    open_group: npt.NDArray[np.bool_]

    @staticmethod
    def load(file: Path) -> Faces:
        """Read what `save` wrote.

        Raises:
            RecipeError: there is no such file.
        """
        if not file.is_file():
            raise RecipeError(
                f"there are no pictures of faces in {file}; run python -m liveface.train.personalive_data CACHE {file}."
            )
        with np.load(file) as stored:
            return Faces(**{name: stored[name] for name in stored.files})

    def save(self, file: Path) -> None:
        """Write an .npz."""
        part = file.with_suffix(".part.npz")
        np.savez(part, **{item.name: getattr(self, item.name) for item in fields(self)})
        part.replace(file)


@dataclass(frozen=True, slots=True)
class Shot:
    """One clip: `pixels` `[T, S, S, 3]`, `places` `[T, 7, 2]`, `codes` `[T, 56]`, and which frame shows rest."""

    name: str
    pixels: Pixels
    places: Array
    codes: Array
    reference: int
    drawn: bool
    held_out: bool
    open_group: bool


def filmed(cache: Path, data: Path, side: int, most: int) -> Iterator[Shot]:
    """Clips that were tracked before, `most` consecutive frames of each."""
    held = held_out_clips(data)
    ordinary = [file for file in clips(data) if file.parent.name != "grid-s1"]
    alone = [file for file in clips(data) if file.parent.name == "grid-s1"][::ONE_PERSON]
    for file in [*ordinary, *alone]:
        track, path = known(cache, data, file.stem)
        every = max(1, round(track.fps / packing_rate(track.fps)))
        begin, end = _steady(track)
        if end - begin < 24:  # a second: shorter ones hold no talk
            continue
        chosen = slice(begin, min(end, begin + every * most), every)
        points, take = track.points[chosen], track.take[chosen]
        part = Track(points, track.score[chosen], take, track.size, track.fps / every)
        if np.median(np.linalg.norm(points[:, 10, :2] - points[:, 152, :2], axis=1)) < LEAST_FACE_PX:
            continue
        raw = solve(part)
        best = pick_reference(raw, points, part.seen, np.ones(len(points), np.float32))
        pictures = list(islice(frames(path), chosen.start, chosen.stop, every))
        canvas = frame_portrait(pictures[best], points[best], (side, side))
        matrix = canvas.to_canvas
        moved = points[:, POINTS, :2] * matrix[0, 0] + matrix[:, 2]
        pixels = np.stack([canvas.cut(picture) for picture in pictures])
        yield Shot(
            file.stem, pixels, places_of(moved, side), code_of(label(raw, part, best)), best, drawn=False,
            held_out=file.stem in held, open_group="open" in path.relative_to(data).parts,
        )  # fmt: skip


def _steady(track: Track) -> tuple[int, int]:
    """The longest run of frames with a face, first and one beyond last."""
    seen = np.concatenate([[0], track.seen.astype(int), [0]])
    starts, ends = np.flatnonzero(np.diff(seen) > 0), np.flatnonzero(np.diff(seen) < 0)
    if not len(starts):
        return 0, 0
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest])


def drawn(cache: Path, data: Path, side: int, count: int) -> Iterator[Shot]:
    """Portraits under pieces of the sweeps, each from its rest on."""
    random = np.random.default_rng(3)
    programmes = [sweep(name, seed) for name in SWEEPS for seed in (1, 2)]
    for held in (False, True):
        files = portraits(data, cache, held=held)
        files = [files[at] for at in random.permutation(len(files))[: max(4, count // 10) if held else count]]
        for file in files:
            try:
                renderer = MeshRenderer(read_image(data / file), (side, side))
            except FaceError:
                continue
            motion = programmes[random.integers(len(programmes))]
            start = int(random.integers(max(1, len(motion) - DRAWN * DRAWN_RUN)))
            picked = motion[start : start + DRAWN * DRAWN_RUN : DRAWN_RUN]
            shown = Motion.concat([Motion.rest(1, picked.fps), picked])
            _, made = renderer.step(renderer.start(), shown)
            points = np.stack([renderer.points(one)[POINTS, :2] for one in shown])
            pixels = np.stack([frame.pixels for frame in made])
            yield Shot(
                file, pixels, places_of(points, side), code_of(shown), 0, drawn=True, held_out=held,
                open_group="open" in Path(file).parts,
            )  # fmt: skip


def gather(shots: Iterator[Shot]) -> Faces:
    """All clips as one."""
    kept = list(shots)
    firsts = np.cumsum([0, *(len(shot.pixels) for shot in kept[:-1])])
    return Faces(
        np.concatenate([shot.pixels for shot in kept]),
        np.concatenate([shot.places for shot in kept]),
        np.concatenate([shot.codes for shot in kept]),
        np.concatenate([np.full(len(shot.pixels), number, np.int32) for number, shot in enumerate(kept)]),
        np.array([shot.name for shot in kept]),
        np.array([first + shot.reference for first, shot in zip(firsts, kept, strict=True)]),
        np.array([shot.drawn for shot in kept]),
        np.array([shot.held_out for shot in kept]),
        np.array([shot.open_group for shot in kept]),
    )


def main() -> None:
    """Write the pictures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--portraits", type=int, default=240)
    parser.add_argument("--frames", type=int, default=90, help="consecutive frames of a clip, at most")
    parser.add_argument("--side", type=int, default=SIDE)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    data = given.data or data_folder()

    def shots() -> Iterator[Shot]:
        seen = filmed(given.cache, data, given.side, given.frames)
        for number, shot in enumerate(chain(seen, drawn(given.cache, data, given.side, given.portraits))):
            sys.stdout.write(f"{number} {shot.name} {len(shot.pixels)}\n")
            sys.stdout.flush()
            yield shot

    faces = gather(shots())
    given.pictures.parent.mkdir(parents=True, exist_ok=True)
    faces.save(given.pictures)


if __name__ == "__main__":
    main()
