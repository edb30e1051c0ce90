"""Scores and contact sheets of the head network on people set aside, each beside the mesh renderer's own picture.

Notable choices: pictures are compared with the truth as the camera saw it, where it may be compared; sharpness is the
energy of the Laplacian over the truth's, so 1 is natural and less is blur.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from liveface.metrics import mouth_box, psnr, ssim_map
from liveface.render.patch import eye_distance
from liveface.render.topology import eye_ring
from liveface.train.portrait_data import Sample
from liveface.types import Array, Pixels

ZOOM = 192  # pixels of a zoom on a sheet
Box = tuple[slice, slice]


def eye_box(points: Array, side: int) -> Box:
    """Rows and columns around both eyes."""
    rings = points[np.concatenate([eye_ring(0), eye_ring(1)]), :2]
    room = 0.25 * eye_distance(points)
    low = np.clip(np.floor(rings.min(0) - room), 0, side - 8).astype(int)
    high = np.clip(np.ceil(rings.max(0) + room), low + 8, side).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def one_eye(points: Array, side: int) -> Box:
    """A square around the image's left eye."""
    ring = points[eye_ring(0), :2]
    middle, half = ring.mean(0), 0.5 * eye_distance(points)
    low = np.clip(np.floor(middle - half), 0, side - 8).astype(int)
    high = np.clip(np.ceil(middle + half), low + 8, side).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def energy(picture: Pixels) -> float:
    """Energy of the Laplacian of the luma."""
    return float(np.square(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)).mean())


def scores_of(made: Pixels, sample: Sample) -> dict[str, float]:
    """Numbers of one picture against its truth."""
    side = made.shape[0]
    mask = sample.valid[..., None] > 127
    one, two = np.where(mask, made, 0).astype(np.uint8), np.where(mask, sample.truth, 0).astype(np.uint8)
    mouth, eyes = mouth_box(sample.truth_points, (side, side)), eye_box(sample.truth_points, side)
    return {
        "whole": psnr(one, two),
        "ssim": float(ssim_map(one, two).mean()),
        "mouth": psnr(one[mouth], two[mouth]),
        "eyes": psnr(one[eyes], two[eyes]),
        "mouth_sharp": energy(made[mouth]) / max(energy(sample.truth[mouth]), 1e-3),
        "eyes_sharp": energy(made[eyes]) / max(energy(sample.truth[eyes]), 1e-3),
    }


def judged(samples: Sequence[Sample], made: Sequence[Pixels]) -> dict[str, float]:
    """Means over the samples, each beside the base's, and the mouth's of each kind; sharpness as a median."""
    rows = [scores_of(picture, sample) for picture, sample in zip(made, samples, strict=True)]
    bases = [scores_of(sample.base, sample) for sample in samples]
    out: dict[str, float] = {}
    for name in rows[0] if rows else ():
        middle = np.median if name.endswith("sharp") else np.mean
        out[name] = round(float(middle([row[name] for row in rows])), 3)
        out[f"{name}_base"] = round(float(middle([row[name] for row in bases])), 3)
    for kind in sorted({sample.kind for sample in samples}):
        here = [at for at, sample in enumerate(samples) if sample.kind == kind]
        for name in ("mouth", "eyes"):
            gain = [rows[at][name] - bases[at][name] for at in here]
            out[f"{kind}_{name}_gain"] = round(float(np.mean(gain)), 3)
    return out


def sheet(samples: Sequence[Sample], made: Sequence[Pixels]) -> Pixels:
    """A row per sample: photo, base, made, truth; the mouth of base, made, truth; the left eye of the three."""
    rows = []
    for sample, picture in zip(samples, made, strict=True):
        side = picture.shape[0]
        shown = [cv2.resize(one, (ZOOM, ZOOM), interpolation=cv2.INTER_AREA)
                 for one in (sample.source, sample.base, picture, sample.truth)]  # fmt: skip
        for box in (mouth_box(sample.truth_points, (side, side)), one_eye(sample.truth_points, side)):
            for one in (sample.base, picture, sample.truth):
                zoom = cv2.resize(np.ascontiguousarray(one[box]), (ZOOM, ZOOM), interpolation=cv2.INTER_CUBIC)
                shown.append(np.asarray(zoom))
        rows.append(np.concatenate(shown, axis=1))
    return np.concatenate(rows, axis=0)
