"""What the portrait networks learn from, one sample at a time: read, chosen in balance, mirrored and lit at random.

Notable choices: chance is by kind, then by person (the square root of what there is of each, so that one person with
many clips does not become the face of the network), then raised for what is rare and matters: blinks, mouths that open
or shut, turns. Mirroring swaps the points of left and right. Light and tint change alike in all pictures of a sample,
so that the truth stays the truth. People set aside for tuning, told by their name, are never drawn.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import RecipeError
from liveface.metrics import EYES, MOUTH
from liveface.motion.face_model import FaceModel
from liveface.train.portrait_store import NUMBERS, Shard
from liveface.types import Array, Pixels

TUNING_EVERY = 16  # one person in so many is set aside; the name decides
TUNING_ALSO = ("LP_d18", "GRID_s31")  # real people on video, whom chance left out
KEPT_SOURCES = 64  # decoded sources that are kept, about 3.5 MB each
SHARES = {"video": 0.5, "cycle": 0.45, "smile": 0.05}
STEP = 8  # pixels: corners of windows lie on this grid
MIRRORED_VIEWS = [1, 0, 2, 3]  # canned views left, right, up, down
Table = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, in the square of its source, R pixels; pictures uint8 RGB.

    Attributes:
        source, plate: `[R, R, 3]` the photo and its background without the person.
        matte: `[R, R]` the photo's person.
        views: `[4, R, R, 3]` canned poses of the photo, or None.
        base, truth: `[R, R, 3]` what the mesh renderer drew, and what the camera saw.
        base_matte, truth_matte: `[R, R]` the person in either.
        valid: `[R, R]`, 255 where the truth may be compared.
        source_points: `[478, 3]`; points: as drawn, known at run time; truth_points: tracked on the truth.
        kind, person, index: where it comes from.
    """

    source: Pixels
    plate: Pixels
    matte: Pixels
    views: Pixels | None
    base: Pixels
    truth: Pixels
    base_matte: Pixels
    truth_matte: Pixels
    valid: Pixels
    source_points: Array
    points: Array
    truth_points: Array
    kind: str
    person: str
    index: int


class PortraitPack:
    """All finished shards of a pack.

    Attributes:
        table: columns of the N samples: kind, person, source, tuning and `portrait_store.NUMBERS`.
        sources: how many sources there are.
    """

    def __init__(self, shards: list[Shard]) -> None:
        self._shards = shards
        self._shard = np.repeat(np.arange(len(shards)), [len(shard.source) for shard in shards])
        self._row = np.concatenate([np.arange(len(shard.source)) for shard in shards])
        first = np.cumsum([0, *[len(shard.people) for shard in shards]])
        self.sources = int(first[-1])
        people = np.concatenate([shard.people[shard.source] for shard in shards])
        aside = {name: set_aside(str(name)) for name in np.unique(people)}
        self.table: Table = {
            "kind": np.concatenate([shard.kind for shard in shards]),
            "person": people,
            "source": np.concatenate([shard.source + start for shard, start in zip(shards, first[:-1], strict=True)]),
            "tuning": np.array([aside[name] for name in people]),
        }
        numbers = np.concatenate([shard.numbers for shard in shards])
        self.table |= {name: numbers[:, at] for at, name in enumerate(NUMBERS)}
        self._kept: OrderedDict[tuple[int, bool], tuple[Pixels, Pixels, Pixels, Pixels | None]] = OrderedDict()
        self._chances = self._balance()

    def __len__(self) -> int:
        return len(self._row)

    @staticmethod
    def open(folder: Path, groups: tuple[str, ...] = ("open", "permissive")) -> PortraitPack:
        """Read the finished shards of `folder` that were made of `groups` alone.

        Raises:
            RecipeError: there are none.
        """
        shards = [shard for table in sorted(folder.glob("[!.]*.npz")) if (shard := Shard.open(table)) is not None]
        shards = [shard for shard in shards if set(shard.about["groups"]) <= set(groups)]
        if not shards:
            raise RecipeError(
                f"there is no portrait pack of {' and '.join(groups)} data in {folder}; run python -m "
                f"liveface.train.portrait_pack CACHE {folder}."
            )
        return PortraitPack(shards)

    def points_of(self, index: int) -> tuple[Array, Array, Array]:
        """Points `[478, 3]` of one sample's source, of its base and of its truth, without its pictures."""
        shard, row = self._shards[self._shard[index]], self._row[index]
        return shard.source_points[shard.source[row]], shard.points[row], shard.truth_points[row]

    def sample(self, index: int, *, views: bool = True) -> Sample:
        """Everything of one sample, as stored."""
        shard, row = self._shards[self._shard[index]], self._row[index]
        source, plate, matte, seen = self._source(index, views=views)
        base, truth, *masks = [shard.picture(span) for span in shard.spans[row]]
        base_matte, truth_matte, valid = (cv2.resize(mask, base.shape[1::-1]) for mask in masks)
        return Sample(
            source, plate, matte, seen, base, truth, base_matte, truth_matte, valid,
            shard.source_points[shard.source[row]].copy(), shard.points[row].copy(), shard.truth_points[row].copy(),
            str(shard.kind[row]), str(shard.people[shard.source[row]]), int(index),
        )  # fmt: skip

    def draw(
        self, count: int, random: np.random.Generator, shares: dict[str, float] | None = None, *, views: bool = True
    ) -> list[Sample]:
        """Samples of people to learn from, in balance, half of them mirrored, each lit in its own way.

        Args:
            shares: of the kinds; what a pack lacks goes to the others. None takes `SHARES`.
        """
        wanted = {kind: share for kind, share in (shares or SHARES).items() if kind in self._chances and share > 0}
        if not wanted:
            raise RecipeError(
                f"the pack holds {', '.join(self._chances)}; expected one of {', '.join(shares or SHARES)}."
            )
        kinds = random.choice(list(wanted), count, p=np.array(list(wanted.values())) / sum(wanted.values()))
        drawn = []
        for kind in kinds:
            members, summed = self._chances[str(kind)]
            place = int(np.searchsorted(summed, random.random()))
            index = int(members[min(place, len(members) - 1)])
            sample = relit(self.sample(index, views=views), random)
            drawn.append(mirrored(sample) if random.random() < 0.5 else sample)
        return drawn

    def tuning(self, count: int, seed: int = 0, *, views: bool = True) -> list[Sample]:
        """The same `count` samples every time, as stored, of the people set aside; fewer when there are fewer."""
        members = np.flatnonzero(self.table["tuning"])
        chosen = np.random.default_rng(seed).permutation(members)[:count]
        return [self.sample(int(index), views=views) for index in np.sort(chosen)]

    def _source(self, index: int, *, views: bool) -> tuple[Pixels, Pixels, Pixels, Pixels | None]:
        number = (int(self.table["source"][index]), views)
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        shard = self._shards[self._shard[index]]
        spans = shard.source_spans[shard.source[self._row[index]]]
        picture, plate, matte = (shard.picture(span) for span in spans[:3])
        seen = np.stack([shard.picture(span) for span in spans[3:]]) if views else None
        self._kept[number] = (picture, plate, matte, seen)
        if len(self._kept) > KEPT_SOURCES:
            self._kept.popitem(last=False)
        return self._kept[number]

    def _balance(self) -> dict[str, tuple[npt.NDArray[np.intp], Array]]:
        """Of every kind, the samples to learn from and their summed chances."""
        table, weight = self.table, rarity(self.table)
        found = {}
        for kind in np.unique(table["kind"]):
            members = np.flatnonzero((table["kind"] == kind) & ~table["tuning"].astype(bool))
            if not len(members):
                continue
            _, number, size = np.unique(table["person"][members], return_inverse=True, return_counts=True)
            chance = weight[members] / np.sqrt(size[number])
            found[str(kind)] = (members, np.cumsum(chance / chance.sum()))
        return found


def set_aside(person: str) -> bool:
    """Whether somebody is kept for tuning."""
    return person in TUNING_ALSO or zlib.crc32(person.encode()) % TUNING_EVERY == 0


def rarity(table: Table) -> Array:
    """How much more often than others a sample is shown, `[N]`, 1 to 4: for blinks, openings and turns."""
    column = {name: np.asarray(table[name], np.float32) for name in NUMBERS}
    blink = (column["lids"] < 0.5 * column["lids_source"]).astype(np.float32)
    mouth = np.clip(np.abs(column["opening"] - column["opening_source"]) / 0.15, 0, 1)
    turn = np.clip(column["turn"] / 12, 0, 1)
    return np.asarray(1 + 1.5 * blink + mouth + 0.5 * turn, np.float32)


@cache
def swapped() -> npt.NDArray[np.int_]:
    """`[478]`: the point that each one becomes in a mirror."""
    middle = FaceModel.load().mean[:468]
    apart = np.linalg.norm((middle * [-1, 1, 1])[:, None] - middle[None], axis=2)
    order = apart.argmin(1)
    irises = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]  # centre, right, top, left, bottom of each
    return np.concatenate([order, irises])


def mirrored(sample: Sample) -> Sample:
    """The sample in a mirror."""
    names = ("source", "plate", "matte", "base", "truth", "base_matte", "truth_matte", "valid")
    changed: dict[str, Any] = {name: np.ascontiguousarray(getattr(sample, name)[:, ::-1]) for name in names}
    views = None if sample.views is None else np.ascontiguousarray(sample.views[MIRRORED_VIEWS, :, ::-1])
    last = sample.base.shape[1] - 1
    for name in ("source_points", "points", "truth_points"):
        moved = getattr(sample, name)[swapped()]
        moved[:, 0] = last - moved[:, 0]
        changed[name] = moved
    return replace(sample, views=views, **changed)


def relit(sample: Sample, random: np.random.Generator) -> Sample:
    """The sample under another exposure, contrast and tint; all its pictures alike."""
    curve = (np.arange(256) / 255) ** np.exp(random.normal(0, 0.15))
    gains = np.exp(random.normal(0, 0.07)) * np.exp(random.normal(0, 0.03, 3))
    table = np.clip(curve[:, None] * gains * 255 + random.normal(0, 3) + 0.5, 0, 255).astype(np.uint8)[None]
    lit: dict[str, Any] = {name: cv2.LUT(getattr(sample, name), table) for name in ("source", "plate", "base", "truth")}
    views = None if sample.views is None else np.stack([cv2.LUT(view, table) for view in sample.views])
    return replace(sample, views=views, **lit)


def window(sample: Sample, size: int, random: np.random.Generator) -> tuple[int, int]:
    """Corner x, y of a crop to learn on: by the mouth in 55 %, by an eye in 25 %, anywhere on the head else."""
    chance = random.random()
    if chance < 0.55:
        members = MOUTH
    elif chance < 0.8:
        members = EYES
    else:
        members = np.arange(468)
    at = sample.truth_points[int(random.choice(members)), :2]
    if chance >= 0.8:  # hair and chin lie around the points
        middle = sample.truth_points[:468, :2].mean(0)
        at = middle + (at - middle) * random.uniform(0.3, 1.5)
    side = sample.base.shape[0]
    corner = at - size / 2 + random.uniform(-0.25, 0.25, 2) * size
    x, y = np.clip(np.round(corner / STEP) * STEP, 0, side - size).astype(int)
    return int(x), int(y)
