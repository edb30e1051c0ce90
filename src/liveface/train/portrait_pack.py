"""Training pictures for the portrait networks: what the mesh renderer draws beside what it should have drawn.

Three kinds. "video": two frames of one clip, the first plays the photo, the motion to the second is the run time's.
"cycle": a portrait is drawn with another person's expression and pose, that picture is enrolled as a photo, and driven
back to where the portrait was; the truth is the real portrait. "smile": neutral and smiling portraits of one person,
both ways, where heads align; only the face counts.

    python -m liveface.train.portrait_pack CACHE OUT [--kinds video,cycle,smile] [--part 1/2] [--groups open,permissive]

CACHE is of `liveface.train.faces`. A stopped run goes on where it was: finished jobs are kept, shard by shard.
Held-out people are those of `liveface.train.faces`; clips and stills of people who stand on both sides of that split
are used on neither.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from liveface.errors import FaceError, RecipeError
from liveface.motion.face_model import FaceModel
from liveface.signals.image import read_image
from liveface.train.faces import clips, data_folder, held_out_clips, held_out_portraits
from liveface.train.mouth_data import SAME_PEOPLE
from liveface.train.portrait_drawn import Bank, Drawn, of_clip, of_portrait, of_smile
from liveface.train.portrait_pairs import Track, solve
from liveface.train.portrait_store import ShardWriter, finished
from liveface.types import Array, Motion

KINDS = ("video", "cycle", "smile")
TARGETS = 6  # of one source of a clip
ROUNDS = 3  # a clip is visited so often, so that early shards show everybody
MOST, MOST_OF_SMALL, MOST_OF_MADE = 240, 66, 90  # samples of a person; of small faces, and of generated clips
SMALL_PX = 165  # height of a face in its clip below which it is blurred on the canvas
VARIANTS = (3, 2)  # drawn pictures of one portrait, at each visit
BANK_FRAMES, BANK_STEP = 60, 4  # of every clip whose motion portraits wear; every so manieth is solved
STILLS = ("liveportrait__driving__d9", "echomimic__test-imgs__c")  # held-out people under other names

_log = logging.getLogger(__name__)

Say = Callable[[str], None]
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that is done wholly or not at all.

    Attributes:
        name: unique; its random choices follow from it.
        person: whom it shows; files: below the data folder; sources: how many of a clip, or variants of a portrait.
    """

    name: str
    person: str
    files: tuple[str, ...]
    sources: int = 0

    def random(self) -> np.random.Generator:
        """The same choices every time."""
        return np.random.default_rng(zlib.crc32(self.name.encode()))


@dataclass(frozen=True, slots=True)
class Makers:
    """What jobs need: the folders, the face model and the groups that may be used."""

    data: Path
    cache: Path
    groups: tuple[str, ...]
    model: FaceModel

    def jobs(self, kind: str) -> list[Job]:
        """All jobs of a kind, in the order in which they are best done."""
        return {"video": self.videos, "cycle": self.portraits, "smile": self.smiles}[kind]()

    def make(self, kind: str) -> Callable[[Job], Drawn]:
        """The function that does a job of a kind."""
        if kind == "video":
            return self._clip
        if kind == "smile":
            tracked = self._tracked()
            return lambda job: of_smile(
                [self.data / file for file in job.files], [tracked[file] for file in job.files], self.model
            )
        bank = Bank.of(self._worn(), BANK_FRAMES, np.random.default_rng(0))
        return lambda job: of_portrait(
            read_image(self.data / job.files[0]), bank, job.sources, job.random(), self.model
        )

    def videos(self) -> list[Job]:
        """Clips, some sources of each at a time; every person within his cap."""
        about = self._catalog("video")
        files = [file.relative_to(self.data).as_posix() for file in self._clips()]
        length, small = {}, Counter[str]()
        for file in files:
            with np.load(self.cache / f"{Path(file).stem}.npz", allow_pickle=False) as stored:
                points, seen = stored["points"], stored["score"] > 0.5
            height = np.linalg.norm(points[seen, 152, :2] - points[seen, 10, :2], axis=1)
            length[file] = int(seen.sum())
            small[file] = int(bool(len(height)) and float(np.median(height)) < SMALL_PX)
        of_person = defaultdict(list)
        for file in files:
            of_person[about[file]["identity"]].append(file)
        jobs: list[list[Job]] = [[] for _ in range(ROUNDS)]
        for person, own in of_person.items():
            made = about[own[0]]["type"] == "ai_generated"
            cap = MOST_OF_SMALL if small[own[0]] else MOST_OF_MADE if made else MOST
            for file, sources in _shares(own, length, cap // TARGETS).items():
                for visit, count in enumerate(_split(sources, ROUNDS)):
                    if count:
                        jobs[visit].append(Job(f"{Path(file).stem}:{visit}", person, (file,), count))
        return [job for number, visit in enumerate(jobs) for job in _shuffled(visit, number)]

    def portraits(self) -> list[Job]:
        """Portraits that were tracked and are nobody's who is held out, in random order."""
        about, out = self._catalog("portrait"), held_out_portraits(self.data)
        usable = [file for file in self._tracked() if file not in out and file in about]
        usable = [
            file
            for file in usable
            if Path(file).stem not in STILLS and about[file]["type"] != "painting" and "__zoom__" not in file
        ]
        return [
            Job(f"{Path(file).stem}:{visit}", about[file]["identity"], (file,), variants)
            for visit, variants in enumerate(VARIANTS)
            for file in _shuffled(usable, visit)
        ]

    def smiles(self) -> list[Job]:
        """People with a neutral and a smiling portrait."""
        pictured: dict[str, dict[str, str]] = defaultdict(dict)
        for job in self.portraits():
            file = job.files[0]
            for look in ("neutral-front__", "smiling-front__"):
                if look in file:
                    pictured[job.person][look] = file
        pairs = {person: looks for person, looks in pictured.items() if len(looks) == 2}
        return [Job(f"smile {person}", person, tuple(pairs[person].values())) for person in sorted(pairs)]

    def _clip(self, job: Job) -> Drawn:
        file = self.data / job.files[0]
        track = Track.load(self.cache / f"{file.stem}.npz", self.model)
        return [] if track is None else of_clip(file, track, job.sources, TARGETS, job.random())

    def _clips(self) -> list[Path]:
        out = held_out_clips(self.data)
        return [
            file
            for file in clips(self.data)
            if file.stem not in out and file.stem not in SAME_PEOPLE
            and (self.cache / f"{file.stem}.npz").is_file() and self._may(file.relative_to(self.data).as_posix())
        ]  # fmt: skip

    def _worn(self) -> Iterator[Motion]:
        """One clip of everybody whose motion portraits wear."""
        about, met = self._catalog("video"), set()
        for file in self._clips():
            person = about[file.relative_to(self.data).as_posix()]["identity"]
            if person in met:
                continue
            met.add(person)
            with np.load(self.cache / f"{file.stem}.npz", allow_pickle=False) as stored:
                points, seen, size = stored["points"][::BANK_STEP], stored["score"][::BANK_STEP] > 0.5, stored["size"]
                fps = float(stored["fps"]) / BANK_STEP
            if seen.sum() > 10:
                yield solve(points[seen], seen[seen], fps, (int(size[0]), int(size[1])), self.model, smooth=False)

    def _tracked(self) -> dict[str, Array]:
        """Points of every portrait that may be used."""
        with np.load(self.cache / "portraits.npz", allow_pickle=False) as stored:
            named = {str(file): points for file, points in zip(stored["files"], stored["points"], strict=True)}
        return {file: points for file, points in named.items() if self._may(file)}

    def _may(self, file: str) -> bool:
        return any(f"/{group}/" in f"/{file}" for group in self.groups)

    def _catalog(self, kind: str) -> dict[str, dict[str, str]]:
        with (self.data / "catalog.csv").open(encoding="utf-8", newline="") as stream:
            return {row["file"]: row for row in csv.DictReader(stream) if row["kind"] == kind}


def _shares(files: Sequence[str], length: dict[str, int], sources: int) -> dict[str, int]:
    """How many of `sources` each clip gives: by its length, whole, in sum no more."""
    total = sum(length[file] for file in files)
    exact = np.array([sources * length[file] / max(total, 1) for file in files])
    whole = np.floor(exact).astype(int)
    for at in np.argsort(whole - exact)[: sources - int(whole.sum())]:
        whole[at] += 1
    most = [max(1, length[file] // 12) for file in files]
    return {file: int(min(count, limit)) for file, count, limit in zip(files, whole, most, strict=True)}


def _shuffled(things: list[Thing], seed: int) -> list[Thing]:
    return [things[at] for at in np.random.default_rng(seed).permutation(len(things))]


def _split(count: int, parts: int) -> list[int]:
    return [(count + parts - 1 - part) // parts for part in range(parts)]


def write(makers: Makers, kind: str, out: Path, part: int, parts: int, say: Say) -> int:
    """Do every `parts`-th job of a kind from `part` on that is not done yet; returns how many samples were added."""
    front = f"{kind}-{part + 1}of{parts}-"
    done = finished(out, f"{kind}-")  # of any split, so that a run may go on in more parts
    left = [job for job in makers.jobs(kind)[part::parts] if job.name not in done]
    if not left:
        return 0
    make, total = makers.make(kind), 0
    about = {"groups": list(makers.groups)}
    number = len(list(out.glob(f"{front}*.npz")))
    writer, names = ShardWriter(out, f"{front}{number:03d}", about), []
    for place, job in enumerate(left):
        try:
            drawn = make(job)
        except FaceError as error:
            _log.warning("%s is left out: %s", job.name, error)
            drawn = []
        for source, samples in drawn:
            if samples:
                at = writer.add_source(source, job.person)
                for sample in samples:
                    writer.add(sample, at, kind)
        names.append(job.name)
        if writer.full or place == len(left) - 1:
            writer.close(names)
            total, number = total + len(writer), number + 1
            say(f"{kind}: {place + 1} of {len(left)} jobs, {total} samples")
            writer, names = ShardWriter(out, f"{front}{number:03d}", about), []
    return total


def main() -> None:
    """Write a pack from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--part", default="1/1", help="share of the jobs, such as 1/2")
    parser.add_argument("--groups", default="open,permissive")
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    if not set(kinds) <= set(KINDS):
        raise RecipeError(f"there is no kind of sample in {given.kinds!r}; expected {', '.join(KINDS)}.")
    part, parts = (int(number) for number in given.part.split("/"))
    cv2.setNumThreads(1)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    makers = Makers(given.data, given.cache, tuple(given.groups.split(",")), FaceModel.load())
    for kind in kinds:
        write(makers, kind, given.out, part - 1, parts, say)


if __name__ == "__main__":
    main()
