"""How alike two faces are, as a person would say "that is her": a stand-in for a face-recognition network.

No recognition network with a licence for any use was at hand, so likeness is measured by what came before them: local
binary patterns of the aligned face (Ahonen, Hadid and Pietikainen 2006; square roots, so that distances are
Hellinger's), principal components, and within-class whitening learned on people the measured avatars do not show, with
the cosine as the measure. How well it tells people apart is measured at every fit on people it did not learn from
(`Likeness.tells`), and belongs beside every number it gives.

Notable choices: the crop holds the face alone, no hair and no background, since made and true pictures share those;
pairs that teach what changes within a person are neutral and smiling portraits, and frames of one clip far apart.

    python -m liveface.train.likeness CACHE -o likeness.npz     # CACHE: of liveface.train.faces
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import RecipeError
from liveface.train.faces import data_folder, frames, held_out_clips, held_out_portraits
from liveface.types import Array, Pixels

SIZE = (96, 112)  # of the aligned face, width and height in pixels
EYES = ((24.0, 38.0), (72.0, 38.0))  # where the middles of the eyes come to lie; the crop is as wide as the face
CELL = (12, 14)  # pixels of one histogram
RADII = (1, 2)
COMPONENTS, KEPT = 220, 96  # principal components, then discriminant ones; chosen
RIDGE = 0.1  # share of the mean variance that is added within classes
FRAMES_A_CLIP = 6
CORNERS = ((33, 133), (362, 263))  # of the image's left and right eye


def aligned(pixels: Pixels, points: Array) -> Pixels:
    """The face upright and at one size, grey uint8 `[112, 96]`; points `[478, 2 or 3]` in pixels of the picture."""
    eyes = np.array([points[list(pair), :2].mean(0) for pair in CORNERS])
    across, wanted = eyes[1] - eyes[0], EYES[1][0] - EYES[0][0]
    scale = wanted / max(float(np.linalg.norm(across)), 1e-3)
    cosine, sine = scale * across / np.linalg.norm(across)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    matrix = np.column_stack([turn, np.mean(EYES, 0) - turn @ eyes.mean(0)])
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if scale < 0.6:  # averaged first, so that a large picture is no sharper than a small one
        factor = min(1.0, 1.3 * scale)
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= factor
    return np.asarray(cv2.warpAffine(grey, matrix, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def patterns(face: Pixels) -> Array:
    """Histograms of uniform local binary patterns of an aligned face, square roots, `[D]`."""
    blurred = cv2.GaussianBlur(face, (0, 0), 0.7).astype(np.float32)
    rows, columns = SIZE[1] // CELL[1], SIZE[0] // CELL[0]
    parts = []
    for radius in RADII:
        codes = np.zeros(face.shape, np.uint8)
        for bit in range(8):
            angle = 2 * np.pi * bit / 8
            shift = np.array([[1, 0, radius * np.cos(angle)], [0, 1, radius * np.sin(angle)]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            beside = cv2.warpAffine(blurred, shift, SIZE, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            codes |= (beside >= blurred).astype(np.uint8) << bit
        bins = _UNIFORM[codes].reshape(rows, CELL[1], columns, CELL[0]).transpose(0, 2, 1, 3).reshape(-1, np.prod(CELL))
        parts.append(np.stack([np.bincount(cell, minlength=59) for cell in bins]) / np.prod(CELL))
    return np.sqrt(np.concatenate(parts)).ravel().astype(np.float32)


def _uniform() -> npt.NDArray[np.int_]:
    """Code 0..255 to its bin 0..58: one for every pattern with at most two changes around the circle, one for all."""
    codes = np.arange(256)
    changes = np.array([bin(code ^ ((code >> 1) | (code & 1) << 7)).count("1") for code in codes])
    table = np.full(256, 58)
    table[changes <= 2] = np.arange((changes <= 2).sum())
    return table


_UNIFORM = _uniform()


@dataclass(frozen=True)
class Likeness:
    """A fitted measure.

    Attributes:
        mean: `[D]`; basis: `[D, K]` of the projection in which the cosine is taken.
        tells: how well it tells people apart whom it did not learn from: area under the curve, equal error rate,
            mean cosine of the same person and of two people.
    """

    mean: Array
    basis: Array
    tells: dict[str, float]

    def __call__(self, pixels: Pixels, points: Array) -> Array:
        """A unit vector `[K]` of a face; the likeness of two faces is the product of theirs, 1 at most."""
        vector = (patterns(aligned(pixels, points)) - self.mean) @ self.basis
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)

    def save(self, path: Path) -> None:
        """Write it as `.npz`."""
        part = path.with_name(f".{path.name}.part.npz")
        tells = {f"tells_{name}": np.asarray(value) for name, value in self.tells.items()}
        arrays: dict[str, npt.NDArray[Any]] = {"mean": self.mean, "basis": self.basis.astype(np.float16), **tells}
        np.savez(part, allow_pickle=False, **arrays)
        part.replace(path)

    @staticmethod
    def load(path: Path) -> Likeness:
        """Read what `save` wrote.

        Raises:
            RecipeError: it is not there, or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                tells = {name[6:]: float(stored[name]) for name in stored.files if name.startswith("tells_")}
                return Likeness(stored["mean"], stored["basis"].astype(np.float32), tells)
        except (OSError, KeyError, ValueError) as error:
            raise RecipeError(
                f"{path} holds no measure of likeness ({error}); expected one: python -m liveface.train.likeness "
                "CACHE -o likeness.npz."
            ) from error


def fit(features: Array, people: npt.NDArray[np.int_], tells: dict[str, float] | None = None) -> Likeness:
    """Learn the projection from features `[N, D]` of numbered `people` `[N]`; somebody has to be there twice."""
    mean = features.mean(0)
    centred = features - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    kept = min(COMPONENTS, len(features) - 1)
    order = np.argsort(values)[::-1][:kept]
    basis = centred.T @ (vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-6)))
    small = centred @ basis
    within = np.zeros((kept, kept))
    count = 0
    for person in np.unique(people):
        own = small[people == person]
        within += (own - own.mean(0)).T @ (own - own.mean(0))
        count += len(own) - 1
    within = within / max(count, 1)
    within += RIDGE * np.trace(within) / kept * np.eye(kept)
    spread, axes = np.linalg.eigh(within)
    white = axes / np.sqrt(spread)
    middles = np.stack([small[people == person].mean(0) for person in np.unique(people)]) @ white
    _, _, turned = np.linalg.svd(middles - middles.mean(0), full_matrices=False)
    return Likeness(mean, (basis @ white @ turned[:KEPT].T).astype(np.float32), tells or {})


def separation(measure: Likeness, features: Array, people: npt.NDArray[np.int_]) -> dict[str, float]:
    """How well a measure tells `people` `[N]` apart by their features `[N, D]`."""
    vectors = (features - measure.mean) @ measure.basis
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one, two = np.triu_indices(len(people), 1)
    cosine, same = (vectors @ vectors.T)[one, two], people[one] == people[two]
    if same.all() or not same.any():
        raise RecipeError(f"{len(people)} faces hold no pairs of both kinds; expected several faces of several people.")
    order = np.argsort(cosine)
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    area = (ranks[same].sum() - same.sum() * (same.sum() + 1) / 2) / (same.sum() * (~same).sum())
    levels = np.sort(cosine)
    missed = np.searchsorted(np.sort(cosine[same]), levels) / same.sum()
    taken = 1 - np.searchsorted(np.sort(cosine[~same]), levels) / (~same).sum()
    at = int(np.argmin(np.abs(missed - taken)))
    return {
        "area": float(area), "equal_error": float((missed[at] + taken[at]) / 2), "same": float(cosine[same].mean()),
        "other": float(cosine[~same].mean()), "people": float(len(np.unique(people))),
    }  # fmt: skip


def gather(cache: Path, data: Path, wanted: Callable[[str], bool]) -> tuple[Array, npt.NDArray[np.int_]]:
    """Features `[N, D]` and people `[N]` of the portraits and clips whose path inside `data` is `wanted`."""
    features, names = [], []
    with np.load(cache / "portraits.npz", allow_pickle=False) as stored:
        listed = list(zip(stored["files"], stored["points"], strict=True))
    for file, points in listed:
        name = str(file)
        name = name[name.index("portraits/") :] if "portraits/" in name else name
        if "__composite__" in name or not wanted(name):
            continue
        picture = cv2.imread(str(data / name), cv2.IMREAD_COLOR)
        if picture is not None:
            features.append(patterns(aligned(np.asarray(picture[:, :, ::-1], np.uint8).copy(), points)))
            names.append(_person(name))
    for file in sorted((data / "video").rglob("*.mp4")):
        track = cache / f"{file.stem}.npz"
        if track.exists() and wanted(file.relative_to(data).as_posix()):
            found = list(_of_clip(file, track))
            features += found
            names += [_person(file.stem)] * len(found)
    if not features:
        raise RecipeError(f"{cache} and {data} hold no face in common; expected the tracking cache of that data.")
    return np.array(features, np.float32), np.unique(names, return_inverse=True)[1]


def _of_clip(file: Path, track: Path) -> Iterable[Array]:
    with np.load(track, allow_pickle=False) as stored:
        points, score = stored["points"], stored["score"]
    chosen = set(np.linspace(0, len(points) - 1, FRAMES_A_CLIP).astype(int).tolist())
    for at, pixels in enumerate(frames(file)):
        if at in chosen and at < len(points) and score[at] > 0:
            yield patterns(aligned(pixels, points[at]))


def _person(name: str) -> str:
    """Who is on a file: both portraits of the London set are one person, as are the clips of a GRID speaker."""
    stem = Path(name).stem
    for front in ("neutral-front__", "smiling-front__"):
        if front in stem:
            return "london-" + stem.split(front)[1][:3]
    return stem if "/" in name or "__" not in stem or not stem.startswith(("s", "x")) else stem.split("__")[0]


def learn(cache: Path, data: Path) -> Likeness:
    """Fit on everybody but the held-out people, and measure on those."""
    clips, portraits = held_out_clips(data), held_out_portraits(data)

    def held(name: str) -> bool:
        return name in portraits or Path(name).stem in clips

    def repeated(name: str) -> bool:  # GRID's speaker 1 and his 221 clips count once
        return "grid-s1/" in name and not name.endswith("grid-s1/" + _first(data))

    def group(name: str) -> bool:  # a person who is in one picture only tells nothing about sameness
        return "portraits/" not in name or "-front__" in name

    features, people = gather(cache, data, lambda name: group(name) and not held(name) and not repeated(name))
    tests, others = gather(cache, data, lambda name: group(name) and held(name) and not repeated(name))
    measure = fit(features, people)
    told = separation(measure, tests, others)
    return Likeness(measure.mean, measure.basis, told | {"learned_from": float(len(np.unique(people)))})


def _first(data: Path) -> str:
    files = sorted((data / "video" / "open" / "grid-s1").glob("*.mp4"))
    return files[1].name if len(files) > 1 else ""


def main() -> None:
    """Fit and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("likeness.npz"))
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    measure = learn(options.cache, options.data or data_folder())
    measure.save(options.output)
    print(", ".join(f"{name} {value:.3f}" for name, value in measure.tells.items()))  # noqa: T201


if __name__ == "__main__":
    main()
