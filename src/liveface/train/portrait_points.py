"""Learns `liveface.render.correction` from a portrait pack: drawn points against tracked ones.

Notable choices: ridge regression without a constant, so that the photo at rest is left alone; persons count by the
square root of their samples; of the solution the strongest directions are kept; what is told is measured on people left
out, fold by fold, as it ships (paired, of low rank).

    python -m liveface.train.portrait_points PACK -o point_correction.npz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from liveface.metrics import EYES, MOUTH
from liveface.render.correction import SEEN, PointCorrection, in_head_frame, paired
from liveface.train.portrait_data import PortraitPack
from liveface.types import Array

RIDGE, RANK, FOLDS = 3.0, 12, 8


def movements(pack: PortraitPack) -> tuple[Array, Array, npt.NDArray[np.str_]]:
    """What there is to learn from, of every video sample.

    Returns:
        How far the seen points moved `[N, 2 K]` and how far the truth lies from what was drawn `[N, 956]`, both in eye
        distances in the head's frame; and the person.
    """
    given, wanted, people = [], [], []
    kinds, persons = (np.asarray(pack.table[name]) for name in ("kind", "person"))
    for number in np.flatnonzero(kinds == "video"):
        source, drawn, truth = pack.points_of(int(number))
        rest, _ = in_head_frame(source)
        here, back = in_head_frame(drawn)
        given.append((here - rest)[SEEN].ravel())
        wanted.append(paired((truth[:, :2] - drawn[:, :2]) @ np.linalg.inv(back)).ravel())
        people.append(str(persons[number]))
    return np.array(given), np.array(wanted), np.array(people)


def fit(given: Array, wanted: Array, people: npt.NDArray[np.str_]) -> PointCorrection:
    """The correction of least squares."""
    _, number, count = np.unique(people, return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(count[number])
    weight = (weight / weight.mean())[:, None]
    square = given.T @ (given * weight) + RIDGE * np.eye(given.shape[1])
    whole = np.linalg.solve(square, given.T @ (wanted * weight))
    # Directions are kept by how much they move points on the data, not by the size of their weights.
    spread = np.linalg.cholesky(square)
    left, size, right = np.linalg.svd(spread.T @ whole, full_matrices=False)
    rank = min(RANK, len(size))
    sees = np.linalg.solve(spread.T, left[:, :rank])
    scale = np.sqrt(np.abs(sees).max(0) + 1e-12)  # even sizes on both sides, for halves
    return PointCorrection(
        np.asarray(sees / scale, np.float32), np.asarray(scale[:, None] * size[:rank, None] * right[:rank], np.float32)
    )


def missed(given: Array, wanted: Array, correction: PointCorrection | None) -> dict[str, float]:
    """Mean distance in percent of the eye distance of mouth, eyes and face, corrected or not."""
    told = correction.tell(given) if correction else 0
    left = 100 * np.linalg.norm((wanted - told).reshape(len(wanted), -1, 2), axis=2)
    members = {"mouth": MOUTH, "eyes": EYES, "face": np.arange(468)}
    return {name: round(float(left[:, at].mean()), 3) for name, at in members.items()}


def unseen(given: Array, wanted: Array, people: npt.NDArray[np.str_]) -> dict[str, dict[str, float]]:
    """What is missed before and after on people left out, mean over the folds' samples."""
    names = np.unique(people)
    fold = dict(zip(np.random.default_rng(0).permutation(names), np.arange(len(names)) % FOLDS, strict=True))
    number = np.array([fold[person] for person in people])
    before, after, sizes = [], [], []
    for part in range(min(FOLDS, len(names))):
        out = number == part
        learned = fit(given[~out], wanted[~out], people[~out])
        before.append(list(missed(given[out], wanted[out], None).values()))
        after.append(list(missed(given[out], wanted[out], learned).values()))
        sizes.append(int(out.sum()))
    keys = ("mouth", "eyes", "face")
    return {
        name: dict(zip(keys, np.round(np.average(rows, 0, sizes), 3).tolist(), strict=True))
        for name, rows in (("before", before), ("after", after))
    }


def main(argv: list[str] | None = None) -> int:
    """Fit, print what is missed on people left out, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args(argv)
    found = movements(PortraitPack.open(options.pack))
    sys.stdout.write(f"{len(found[0])} samples of {len(np.unique(found[2]))} people: {unseen(*found)}\n")
    fit(*found).save(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
