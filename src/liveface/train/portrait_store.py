"""The format of the portrait pack: shards of JPEG pictures with a table beside each.

A shard is two files: `NAME.bin` holds pictures one after another, `NAME.npz` says where each begins and holds all
numbers; the table is written last, so a shard with a table is whole. Shards stand alone (their samples refer to their
own sources), stay near 20 MB, and can be read while others are being made.

Notable choices: JPEG without subsampled colour at quality 95, since teeth and lips are made of colour edges; views and
mattes, which are context and no truth, are kept more coarsely.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import RecipeError
from liveface.types import Array, Pixels

SHARD_BYTES = 20_000_000
QUALITY, COARSE = 95, 88
VIEWS = 4


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A photo as the networks see it, in its square of R pixels.

    Attributes:
        picture, plate: uint8 `[R, R, 3]`, the photo and its background without the person.
        matte: uint8 `[R, R]`, where the person is.
        views: four uint8 `[R, R, 3]`, canned poses.
        points: `[478, 3]`.
    """

    picture: Pixels
    plate: Pixels
    matte: Pixels
    views: Sequence[Pixels]
    points: Array


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """What was drawn and what it should have been, in the source's square.

    Attributes:
        base, truth: uint8 `[R, R, 3]`.
        base_matte, truth_matte: uint8 `[R, R]`, where the person is in either.
        valid: uint8 `[R, R]`, 255 where the truth may be compared.
        points, truth_points: `[478, 3]`, as drawn and as tracked on the truth.
        numbers: what balance goes by, see `NUMBERS`.
    """

    base: Pixels
    truth: Pixels
    base_matte: Pixels
    truth_matte: Pixels
    valid: Pixels
    points: Array
    truth_points: Array
    numbers: dict[str, float]


NUMBERS = (
    "opening", "opening_drawn", "opening_source", "lids", "lids_drawn", "lids_source", "turn", "moved", "mouth_error",
    "eye_error", "face_error",
)  # fmt: skip
"""Openings of mouth and lids on truth, base and source over the eye distance (lids in percent of it); degrees between
source and truth; mean distance of points between source and truth in eye distances; percent of distance between drawn
and tracked points of mouth, eyes and face."""


@dataclass
class ShardWriter:
    """Collects one shard.

    Attributes:
        folder: of the pack; name: of the shard.
        about: goes into the table as JSON, such as the groups.
    """

    folder: Path
    name: str
    about: dict[str, Any]
    _blob: bytearray = field(default_factory=bytearray)
    _sources: list[tuple[Any, ...]] = field(default_factory=list)
    _samples: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether it is time for the next shard."""
        return len(self._blob) > SHARD_BYTES

    def __len__(self) -> int:
        return len(self._samples)

    def add_source(self, source: SourceRecord, person: str) -> int:
        """Store a source; returns its number within the shard."""
        pictures = [(source.picture, QUALITY), (source.plate, QUALITY), (source.matte, QUALITY)]
        pictures += [(view, COARSE) for view in source.views]
        self._sources.append(([self._put(*picture) for picture in pictures], person, source.points))
        return len(self._sources) - 1

    def add(self, sample: SampleRecord, source: int, kind: str) -> None:
        """Store a sample of a stored source."""
        small = [cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                 for mask in (sample.base_matte, sample.truth_matte, sample.valid)]  # fmt: skip
        pictures = [(sample.base, QUALITY), (sample.truth, QUALITY), *[(np.asarray(mask), COARSE) for mask in small]]
        spans = [self._put(*picture) for picture in pictures]
        numbers = [sample.numbers[name] for name in NUMBERS]
        self._samples.append((spans, source, kind, sample.points, sample.truth_points, numbers))

    def close(self, done: Sequence[str]) -> None:
        """Write the shard; `done` names the jobs that are finished with it."""
        table: dict[str, npt.NDArray[Any]] = {"done": np.array(list(done), dtype=str)}
        table["about"] = np.array(json.dumps(self.about))
        if self._samples:
            spans, people, points = zip(*self._sources, strict=True)
            table |= {"source_spans": np.array(spans, np.int64), "people": np.array(people),
                      "source_points": np.array(points, np.float32)}  # fmt: skip
            spans, source, kind, points, true, numbers = zip(*self._samples, strict=True)
            table |= {
                "spans": np.array(spans, np.int64), "source": np.array(source, np.int32), "kind": np.array(kind),
                "points": np.array(points, np.float32), "truth_points": np.array(true, np.float32),
                "numbers": np.array(numbers, np.float32),
            }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{self.name}.bin").write_bytes(self._blob)
        part = self.folder / f".{self.name}.part.npz"
        np.savez(part, allow_pickle=False, **table)
        part.replace(self.folder / f"{self.name}.npz")

    def _put(self, picture: Pixels, quality: int) -> tuple[int, int]:
        shown = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
        how = [cv2.IMWRITE_JPEG_QUALITY, quality]
        if quality == QUALITY:
            how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        _, data = cv2.imencode(".jpg", shown, how)
        start = len(self._blob)
        self._blob += data.tobytes()
        return start, len(self._blob)


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard, pictures on disk.

    Attributes:
        blob: uint8 `[B]`, mapped.
        source_spans: `[S, 7, 2]`; people: `[S]` names; source_points: `[S, 478, 3]`.
        spans: `[N, 5, 2]`; source, kind: `[N]`; points, truth_points: `[N, 478, 3]`; numbers: `[N, 11]`.
        done: names of finished jobs; about: as given to the writer.
    """

    blob: npt.NDArray[np.uint8]
    source_spans: npt.NDArray[np.int64]
    people: npt.NDArray[np.str_]
    source_points: Array
    spans: npt.NDArray[np.int64]
    source: npt.NDArray[np.int32]
    kind: npt.NDArray[np.str_]
    points: Array
    truth_points: Array
    numbers: Array
    done: tuple[str, ...]
    about: dict[str, Any]

    @staticmethod
    def open(table: Path) -> Shard | None:
        """Read a shard; None when it is whole but holds no sample.

        Raises:
            RecipeError: it is damaged or of another format.
        """
        try:
            with np.load(table, allow_pickle=False) as stored:
                if "spans" not in stored.files:
                    return None
                names = {item.name for item in fields(Shard)} - {"blob", "done", "about"}
                parts: dict[str, Any] = {name: stored[name] for name in names}
                done, about = tuple(stored["done"].tolist()), json.loads(str(stored["about"]))
            blob = np.memmap(table.with_suffix(".bin"), np.uint8, "r")
        except (OSError, KeyError, ValueError) as error:
            raise RecipeError(f"{table} is no shard of a portrait pack ({error}); make the pack again.") from error
        return Shard(blob=blob, done=done, about=about, **parts)

    def picture(self, span: npt.NDArray[np.int64]) -> Pixels:
        """A stored picture: RGB `[R, R, 3]`, or `[R, R]`."""
        found = cv2.imdecode(np.asarray(self.blob[span[0] : span[1]]), cv2.IMREAD_UNCHANGED)
        return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB) if found.ndim == 3 else found)


def finished(folder: Path, front: str) -> set[str]:
    """Names of the jobs that shards whose names begin with `front` hold."""
    done: set[str] = set()
    for table in folder.glob(f"{front}*.npz"):
        with np.load(table, allow_pickle=False) as stored:
            done |= set(stored["done"].tolist())
    return done
