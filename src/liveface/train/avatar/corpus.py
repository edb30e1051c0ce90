"""Packs of many people for pretraining, and of the people an evaluation needs, from the shared data.

People of videos are told apart by the catalog; takes of one person must show the face at nearly the same size, or they
come from another camera. Photos are drawn by the mesh teacher under short takes of an expressive programme.

    python -m liveface.train.avatar.corpus CACHE PACKS [--data FOLDER] [--part 1/2] [--what people|evaluation]
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from liveface.errors import LivefaceError
from liveface.signals.image import read_image
from liveface.train.avatar.make import PackOptions, make_pack
from liveface.train.avatar.sources import Source, Taught, Videos, programme, snippets
from liveface.train.avatar.teachers import teacher
from liveface.train.avatar.track import Track
from liveface.train.faces import clips, data_folder, held_out_clips, held_out_portraits
from liveface.types import Motion

CLIP_FRAMES, PERSON_FRAMES = 160, 320  # most learned frames of a clip, and of a person
CLIP_SEEN = 300  # most frames of a single clip that are looked at
PORTRAITS, TAKES, TAKE_FRAMES = 120, 8, 5  # photos in the corpus, and the short takes each is drawn in
SAME_CAMERA = 0.05  # relative difference of the face's size between takes of one camera
SMALL = PackOptions(most=PERSON_FRAMES, canvases=14, held_canvases=12, refine=False)
SPEAKER, SPEAKER_TAKES, SPEAKER_EVERY = "GRID_s1", 6, 3
"""One person with hundreds of clips: how many in the corpus, and every how many-th for the own avatar."""
EVALUATED_VIDEOS = {"obama": "lia__obama", "driving": "personalive__driving-video"}
EVALUATED_PHOTOS = (
    "portraits/open/webmorph/webmorphr-stim__neutral-front__010-03.jpg",
    "portraits/open/us-congress/us-house__1024x1024__mondaire-jones.jpg",
    "portraits/permissive/personalive__demo__ref-image.jpg",
)
"""Shut lips, a smile with teeth, long loose hair."""

Job = tuple[str, Callable[[], Source], PackOptions]
"""Name of the pack, what makes its source, how large the pack may be."""


def known(cache: Path, data: Path, stem: str) -> tuple[Track, Path]:
    """The stored points of a clip, and its file."""
    with np.load(cache / f"{stem}.npz") as stored:
        size = (int(stored["size"][0]), int(stored["size"][1]))
        take = np.zeros(len(stored["score"]), np.int32)
        return Track(stored["points"], stored["score"], take, size, float(stored["fps"])), data / str(stored["path"])


def videos(
    name: str, cache: Path, data: Path, stems: list[str], held: tuple[bool | None, ...], most: int = 1_000_000
) -> Videos:
    """Clips of one person as a source, tracked before; those of another camera are left out.

    Only the first `most` frames of a single clip are used.
    """
    found = [known(cache, data, stem) for stem in stems]
    if len(found) == 1:
        track, file = found[0]
        cut = Track(track.points[:most], track.score[:most], track.take[:most], track.size, track.fps)
        found = [(cut, file)]
    sizes = np.array([_face_px(track) for track, _ in found])
    near = np.abs(np.log(sizes[:, None] / sizes[None])) < SAME_CAMERA
    kept = np.flatnonzero(near[int(np.argmax(near.sum(1)))])
    tracks = [found[at][0] for at in kept]
    takes = np.concatenate([np.full(len(track.score), number, np.int32) for number, track in enumerate(tracks)])
    points, score = (np.concatenate([getattr(track, field) for track in tracks]) for field in ("points", "score"))
    joined = Track(points, score, takes, tracks[0].size, tracks[0].fps)
    marks = [held[at] for at in kept]
    if len(marks) > 1 and not any(mark in (None, True) for mark in marks):
        marks[-1] = True  # the take that was meant to be held out is of another camera
    return Videos(name, tuple(found[at][1] for at in kept), joined.fps, tuple(marks), joined)


def _face_px(track: Track) -> float:
    points = track.points[track.seen][:, (10, 152), :2]
    return float(np.median(np.linalg.norm(points[:, 0] - points[:, 1], axis=1))) if len(points) else 1.0


def people(data: Path) -> dict[str, list[str]]:
    """Identity to stems of clips that may be learned from, sorted; of GRID's first speaker only a few clips."""
    out: dict[str, list[str]] = {}
    held, names = held_out_clips(data), _identities(data, "video")
    for file in clips(data):
        if file.stem not in held:
            out.setdefault(names.get(str(file.relative_to(data)), file.stem), []).append(file.stem)
    out[SPEAKER] = out[SPEAKER][:: max(1, len(out[SPEAKER]) // SPEAKER_TAKES)][:SPEAKER_TAKES]
    return dict(sorted(out.items()))


def portraits(data: Path, cache: Path, *, held: bool) -> list[str]:
    """Portraits whose face was found, one of an identity: for learning every few, or those held out (real photos)."""
    with np.load(cache / "portraits.npz") as stored:
        files, points, score = stored["files"], stored["points"], stored["score"]
    names, out = _identities(data, "portrait"), held_out_portraits(data)
    seen: dict[str, str] = {}
    for file, marks, sure in zip(files, points, score, strict=True):
        tall = float(np.linalg.norm(marks[10, :2] - marks[152, :2]))
        if (str(file) in out) == held and "composite" not in str(file) and sure > 0.9 and tall > 150:
            seen.setdefault(names.get(str(file), str(file)), str(file))
    return sorted(seen.values())


def _identities(data: Path, kind: str) -> dict[str, str]:
    with (data / "catalog.csv").open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["identity"] for row in csv.DictReader(stream) if row["kind"] == kind}


@lru_cache(maxsize=1)
def _programme() -> list[tuple[Motion, bool]]:
    return programme(1500, seed=7)


def taught(data: Path, file: str, takes: list[tuple[Motion, bool]], size: tuple[int, int] = (360, 640)) -> Taught:
    """A portrait under the mesh teacher."""
    photo = read_image(data / file)
    return Taught.of(file, photo, teacher("mesh", photo, size), takes)


def corpus(data: Path, cache: Path) -> Iterator[Job]:
    """Everybody who may be learned from, videos and photos by turns."""
    shots: list[Job] = []
    for name, stems in people(data).items():
        ends: tuple[bool | None, ...] = (None,) * len(stems) if len(stems) < 3 else _last_held(len(stems))
        make = _bind(videos, name, cache, data, stems, ends, CLIP_SEEN)
        shots.append((name, make, replace(SMALL, most=min(PERSON_FRAMES, CLIP_FRAMES * len(stems)))))
    files = portraits(data, cache, held=False)
    chosen = [files[at] for at in np.linspace(0, len(files) - 1, min(PORTRAITS, len(files))).astype(int)]
    stills: list[Job] = []
    for number, file in enumerate(chosen):
        stills.append((Path(file).stem, _bind(_still, data, file, number), SMALL))
    for name in ("lia__obama", "liveportrait__d9"):
        shots.insert(10, (f"unseen_{name}", _bind(videos, name, cache, data, [name], (None,), CLIP_SEEN), SMALL))
    for number, file in enumerate(portraits(data, cache, held=True)[10:12]):
        stills.insert(10, (f"unseen_{Path(file).stem}", _bind(_still, data, file, 900 + number), SMALL))
    while shots or stills:
        if shots:
            yield shots.pop(0)
        if stills:
            yield stills.pop(0)


def evaluation(data: Path, cache: Path) -> Iterator[Job]:
    """Three people on video and three photos that no training saw."""
    for name, clip in EVALUATED_VIDEOS.items():
        yield name, _bind(videos, name, cache, data, [clip], (None,)), PackOptions()
    held, names = held_out_clips(data), _identities(data, "video")
    grid = [file.stem for file in clips(data) if names.get(str(file.relative_to(data))) == SPEAKER]
    stems = sorted(
        [stem for stem in grid if stem in held] + [stem for stem in grid if stem not in held][::SPEAKER_EVERY]
    )
    yield "grid_s1", _bind(videos, SPEAKER, cache, data, stems, tuple(stem in held for stem in stems)), PackOptions()
    for file in EVALUATED_PHOTOS:
        yield Path(file).stem, _bind(_full, data, file), PackOptions()


def _last_held(count: int) -> tuple[bool | None, ...]:
    return tuple(number == count - 1 for number in range(count))


def _still(data: Path, file: str, seed: int) -> Source:
    return taught(data, file, snippets(_programme(), TAKES, TAKE_FRAMES, seed))


def _full(data: Path, file: str) -> Source:
    return taught(data, file, programme(1500))


def _bind(make: Callable[..., Source], *given: object) -> Callable[[], Source]:
    return lambda: make(*given)


def run(jobs: Iterator[Job], folder: Path, part: int, parts: int, say: Callable[[str], None]) -> None:
    """Every `parts`-th pair of packs from `part` on; finished ones are kept, people who cannot be packed are named."""
    for number, (name, make, options) in enumerate(jobs):
        target = folder / name
        if number // 2 % parts != part or (target / "pack.json").is_file():
            continue
        try:
            pack = make_pack(make(), target, options)
        except LivefaceError as error:
            say(f"{number} {name}: {error}")
            continue
        info = pack.info
        say(f"{number} {name} {len(pack)} frames, {info['held_out']} held out, rejected {info['rejected']}, "
            f"{info['made_in_s']} s")  # fmt: skip


def main() -> None:
    """Pack from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("packs", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--part", default="1/1", help="share of the people, such as 1/2")
    parser.add_argument("--what", choices=("people", "evaluation"), default="people")
    given = parser.parse_args()
    part, parts = (int(number) for number in given.part.split("/"))
    cv2.setNumThreads(1)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    jobs = corpus(given.data, given.cache) if given.what == "people" else evaluation(given.data, given.cache)
    run(jobs, given.packs, part - 1, parts, say)


if __name__ == "__main__":
    main()
