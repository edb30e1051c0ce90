"""How much the compositor helps: the composed picture before and after it, on frames that nothing learned from.

Notable choices: identities it learned from and identities it never saw are scored apart, on held-out frames of both,
with the same faults; each frame counts equally, in decibels gained, because pictures differ in difficulty; sharpness
is the energy of the Laplacian where patches lie, over the truth's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from liveface.nets.liveface import Compositor
from liveface.render.liveface.paste import shuffle
from liveface.render.liveface.sizes import BLOCK
from liveface.runtime import Step
from liveface.train.compositor_data import Faults, Person, Sight, patched, seams
from liveface.types import Array, Pixels

Painter = Callable[[Pixels, Pixels], Array]
"""Takes the reference `[H/2, W/2, 3]` and the input `[H/2, W/2, 10]`, both uint8; returns the residual `[H, W, 3]`."""

CLEAN = Faults(0, 0, 0, 0, 0, 0, reach=0)
DRAWN = Faults(0, 0, 0, 0, 0, 0, drawn=1.0, reach=0)
HALF_DRAWN = Faults(0, 0, 0, 0, 0, 0, drawn=0.5, reach=0)
"""Half the error of decoders that share their weights among many people: nearer to those of one avatar."""
USUAL = Faults(blur=0.9, ghost=0.15, colour=0.005, shift=1.0, noise=1.0, missing=0, reach=0.5)


@dataclass(frozen=True, slots=True)
class Exam:
    """One frame to score.

    Attributes:
        name: of the person; reference: uint8 `[H/2, W/2, 3]`.
        sight: what the compositor sees and what is true.
    """

    name: str
    reference: Pixels
    sight: Sight


def exams_of(people: Sequence[Person], faults: Faults, *, frames: int = 2, most: int = 24) -> list[Exam]:
    """Held-out frames of at most `most` people, evenly spread; the same ones and the same faults at every call."""
    able = [person for person in people if len(person.held)]
    picked = [able[at] for at in np.unique(np.linspace(0, len(able) - 1, min(most, len(able))).astype(int))]
    out = []
    for number, person in enumerate(picked):
        random = np.random.default_rng(number)
        for at in np.linspace(0, len(person.held) - 1, frames + 2)[1:-1].astype(int):
            out.append(Exam(person.name, person.reference, person.sight(int(person.held[at]), faults, random)))
    return out


def painter_of(network: Compositor) -> Painter:
    """A torch network as a painter."""
    device = next(network.parameters()).device

    def picture(pixels: Pixels) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(2, 0, 1)[None].float() / 255

    def paint(reference: Pixels, seen: Pixels) -> Array:
        with torch.inference_mode():
            residual = network(picture(seen), network.appearance(picture(reference)))
        return np.asarray(residual[0].permute(1, 2, 0).float().cpu().numpy())

    return paint


def painter_of_files(compositor: Path, appearance: Path) -> Painter:
    """Two `.tflite` files as a painter."""
    step, look = Step(compositor), Step(appearance)

    def paint(reference: Pixels, seen: Pixels) -> Array:
        features = look(reference=reference[None].astype(np.float32) / 255)["features"]
        grid = step(canvas=seen[None].astype(np.float32) / 255, features=features)["grid"][0]
        return shuffle(grid, 3)

    return paint


def finished(sight: Sight, residual: Array) -> Pixels:
    """The composed picture with the residual `[H, W, 3]`, weighed by the patches' alphas as at run time; uint8."""
    height, width = sight.canvas.shape[:2]
    cells = (width // BLOCK, height // BLOCK)
    drawn = cv2.resize(sight.seen[..., 3:7].max(2), cells, interpolation=cv2.INTER_AREA)
    share = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
    return np.asarray(np.clip(sight.canvas + share * residual + 0.5, 0, 255), np.uint8)


def decibel(made: Pixels, truth: Pixels, where: npt.NDArray[np.bool_] | None = None) -> float:
    """PSNR in dB, of all pixels or of those in the mask `[H, W]`."""
    error = (made.astype(np.float32) - truth) ** 2
    mean = float(error.mean() if where is None else error[where].mean())
    return float(10 * np.log10(255**2 / max(mean, 1e-3)))


def energy(picture: Pixels, where: npt.NDArray[np.bool_]) -> float:
    """Mean squared Laplacian of the grey picture inside a mask `[H, W]`."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float((cv2.Laplacian(grey, cv2.CV_32F)[where] ** 2).mean())


def scores(exams: Sequence[Exam], paint: Painter) -> dict[str, float]:
    """Means over frames: PSNR before and after and what was gained, whole, in seams and where patches lie.

    `harmed` is the share of frames whose whole picture lost more than 0.05 dB.
    """
    rows: list[dict[str, float]] = []
    for exam in exams:
        sight = exam.sight
        made = finished(sight, paint(exam.reference, sight.seen))
        size = (made.shape[1], made.shape[0])
        masks = {"whole": None, "seam": seams(sight.seen, size), "patches": patched(sight.seen, size)}
        row: dict[str, float] = {}
        for name, mask in masks.items():
            if mask is not None and not mask.any():
                continue
            before, after = decibel(sight.canvas, sight.truth, mask), decibel(made, sight.truth, mask)
            row |= {f"{name}_before_db": before, f"{name}_after_db": after, f"{name}_gain_db": after - before}
        inside = masks["patches"]
        if inside is not None and inside.any():
            true = max(energy(sight.truth, inside), 1e-3)
            row |= {"sharp_before": energy(sight.canvas, inside) / true, "sharp_after": energy(made, inside) / true}
        row["harmed"] = float(row["whole_gain_db"] < -0.05)
        rows.append(row)
    names = sorted({name for row in rows for name in row})
    return {name: round(float(np.mean([row[name] for row in rows if name in row])), 3) for name in names}


def save_sheet(exams: Sequence[Exam], paint: Painter, file: Path) -> None:
    """Write a PNG: for each test the composed picture, the result, the truth, and what changed, five times as strong.

    A second row of each shows the head at twice the size.
    """
    rows = []
    for exam in exams:
        sight = exam.sight
        residual = paint(exam.reference, sight.seen)
        made = finished(sight, residual)
        change = np.clip(128 + 5 * (made.astype(np.float32) - sight.canvas), 0, 255).astype(np.uint8)
        pictures = [sight.canvas, made, sight.truth, change]
        rows.append(np.hstack(pictures))
        height, width = made.shape[:2]
        spots = np.argwhere(sight.seen[..., 3:5].max(2) > 128)
        middle = 2 * spots.mean(0).astype(int) if len(spots) else np.array([height // 2, width // 2])
        top = int(np.clip(middle[0] - height // 8, 0, height * 3 // 4))
        left = int(np.clip(middle[1] - width // 4, 0, width // 2))
        near = [one[top : top + height // 4, left : left + width // 2] for one in pictures]
        rows.append(np.hstack([cv2.resize(one, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for one in near]))
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
