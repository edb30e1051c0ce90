"""Held-out scores of a mouth network, whatever runs it: torch, LiteRT float or LiteRT INT8."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from liveface.render.patch import (
    HEIGHT,
    INNER,
    STORED_HEIGHT,
    STORED_WIDTH,
    WIDTH,
    Lock,
    assemble,
    chain,
    eye_distance,
    hole_mask,
    move,
    paint_rows,
    patch_affine,
    place,
    premultiply,
)
from liveface.train.mouth_data import Patches
from liveface.types import Array, Pixels

Painter = Callable[[Array], Array]
RUN_FRAMES = 36  # of one moving stretch
_NONE = np.zeros((HEIGHT, WIDTH, 4), np.uint8)


class HeldOut:
    """Fixed held-out samples.

    Args:
        patches: all stored patches.
        keep: numbers of the held-out ones with an open mouth.
    """

    def __init__(self, patches: Patches, keep: npt.NDArray[np.int64]) -> None:
        self.patches = patches
        portraits, frames = keep[patches.portrait[keep]], keep[~patches.portrait[keep]]
        self.portraits = portraits[:: max(1, len(portraits) // 48)][:48]
        self.mates: dict[int, int] = {}
        stills, self.runs = [], []
        for source in np.unique(patches.source[frames]):
            here = frames[patches.source[frames] == source]
            if len(here) < 12:
                continue
            self.mates[int(source)] = int(here[np.argmin(np.abs(patches.opening[here] - 0.16))])
            stills.append(here[:: max(1, len(here) // 24)][:24])
            self.runs.append(here[len(here) // 3 :][:RUN_FRAMES])
        self.frames = np.concatenate(stills) if stills else frames
        self.frames = self.frames[[n not in self.mates.values() for n in self.frames.tolist()]]

    def given(self, number: int, *, shown: bool) -> tuple[Array, Pixels, Array, Array]:
        """Input, true patch, hole and the patch's affine map of one stored patch, with its exemplar or alone."""
        points = self.patches.points[number]
        affine = patch_affine(points)
        true = cv2.warpAffine(self.patches.pixels[number], affine, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        hole = hole_mask(move(affine, points[INNER]), 1.0)
        soft = (hole / 255).astype(np.float32)
        textures = (_NONE, _NONE)
        if shown:
            mate = self.mates.get(int(self.patches.source[number]), number)
            ring = self.patches.points[mate][INNER, :2]
            cut = premultiply(self.patches.pixels[mate], hole_mask(ring, 0, (STORED_WIDTH, STORED_HEIGHT)))
            textures = place((cut, cut), Lock.of(self.patches.points[mate]), points, affine)
        unit = eye_distance(points) * float(np.hypot(*affine[0, :2]))
        given = assemble(true, hole, textures, paint_rows(points, affine), move(affine, points[2:3])[0], unit)
        return given, true, soft, affine

    def composite(self, painter: Painter, number: int, *, shown: bool) -> tuple[Array, Array, Array, Array]:
        """Painted and true patch in [0, 1], hole, affine map."""
        given, true, hole, affine = self.given(number, shown=shown)
        truth = (true / 255).astype(np.float32)
        painted = truth + (painter(given)[0] - truth) * hole[:, :, None]
        return painted.astype(np.float32), truth, hole, affine

    def scores(self, painter: Painter) -> dict[str, float]:
        """PSNR inside the hole (dB), Laplacian energy over truth's, temporal change over truth's.

        Keys end in `_portrait`, `_video` (alone) and `_video_shown` (with an exemplar of the same clip).
        """
        out: dict[str, float] = {}
        for name, numbers, shown in (
            ("portrait", self.portraits, False), ("video", self.frames, False), ("video_shown", self.frames, True),
        ):  # fmt: skip
            decibel, sharp = [], []
            for number in numbers.tolist():
                picture, truth, hole, _ = self.composite(painter, number, shown=shown)
                error = (((picture - truth) ** 2).mean(2) * hole).sum() / hole.sum()
                decibel.append(-10 * np.log10(error + 1e-6))
                sharp.append(_detail(picture, hole) / (_detail(truth, hole) + 1e-6))
            if decibel:
                out[f"psnr_{name}"] = round(float(np.mean(decibel)), 3)
                out[f"sharp_{name}"] = round(float(np.median(sharp)), 3)
        for name, shown in (("video", False), ("video_shown", True)):
            ratios = [self.flicker(painter, run, shown=shown) for run in self.runs]
            if ratios:
                out[f"flicker_{name}"] = round(float(np.mean(ratios)), 3)
        return out

    def flicker(self, painter: Painter, run: npt.NDArray[np.int64], *, shown: bool) -> float:
        """Skull-compensated change between neighbouring frames inside both holes, over the truth's change."""
        mine, truths, before = 0.0, 1e-6, None
        for number in run.tolist():
            picture, truth, hole, affine = self.composite(painter, number, shown=shown)
            points = self.patches.points[number]
            if before is not None:
                old_picture, old_truth, old_hole, old_affine, old_points = before
                way = Lock.of(old_points).affines(points)[0]
                turn = chain(affine, chain(way, cv2.invertAffineTransform(old_affine))).astype(np.float32)
                moved = [cv2.warpAffine(part, turn, (WIDTH, HEIGHT)) for part in (old_picture, old_truth, old_hole)]
                both = (moved[2] * hole)[:, :, None]
                mine += float((np.abs(picture - moved[0]) * both).sum())
                truths += float((np.abs(truth - moved[1]) * both).sum())
            before = (picture, truth, hole, affine, points)
        return mine / truths

    def sheet(self, painter: Painter, columns: int = 3) -> Pixels:
        """Held-out mouths side by side: truth, hole, alone, with exemplar, at twice the patch's size."""
        picked = np.concatenate([self.portraits[::3][:15], self.frames[:: max(1, len(self.frames) // 15)][:15]])
        tiles = []
        for number in picked.tolist():
            alone, truth, hole, _ = self.composite(painter, number, shown=False)
            shown = self.composite(painter, number, shown=True)[0]
            dark = truth * (1 - hole[:, :, None])
            row = np.hstack([truth, dark, alone, shown])
            tiles.append(cv2.resize(np.clip(row * 255, 0, 255).astype(np.uint8), None, fx=1.6, fy=1.6))
        tiles = tiles[: len(tiles) // columns * columns]
        return np.hstack([np.vstack(tiles[k::columns]) for k in range(columns)])


def _detail(picture: Array, hole: Array) -> float:
    """Laplacian energy inside the hole."""
    return float((np.abs(cv2.Laplacian(picture.mean(2), cv2.CV_32F)) * hole).sum() / hole.sum())
