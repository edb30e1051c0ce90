"""Contact sheets: what was true over what was made, with mouths and eyes enlarged, for eyes that judge.

A sheet shows the people of its clip; it stays with whoever may see the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from liveface.lipsync import opening
from liveface.metrics import EYE_CORNERS, lid_opening, mouth_box, on_eye_line
from liveface.types import Array, Pixels

MOMENTS = 6


def save_sheet(true: Sequence[Pixels], made: Sequence[Pixels], points: Array, file: Path) -> None:
    """Write a sheet as PNG: rows of true and made pictures, then mouths, then eyes of both; see `save_rows`."""
    save_rows((true, made), points, file)


def save_rows(reels: Sequence[Sequence[Pixels]], points: Array, file: Path) -> None:
    """Write a sheet as PNG: a row of pictures of every reel, then a row of mouths of each, then a row of eyes of each.

    Args:
        reels: the first one true, the others made; uint8 `[H, W, 3]` each, as many of one as of the other.
        points: `[T, 478, 2 or 3]` tracked points of the first reel, NaN where no face was found.
        file: ends in .png; its folder is made.
    """
    height, width = reels[0][0].shape[:2]
    rows: list[list[Pixels]] = [[] for _ in range(3 * len(reels))]
    for at in moments(points):
        mouth, eyes = mouth_box(points[at], (width, height)), eye_box(points[at], (width, height))
        for row, pictures in enumerate(reels):
            near, wide = len(reels) + row, 2 * len(reels) + row
            rows[row].append(pictures[at])
            rows[near].append(cv2.resize(pictures[at][mouth], (width, width), interpolation=cv2.INTER_CUBIC))
            rows[wide].append(cv2.resize(pictures[at][eyes], (width, width // 2), interpolation=cv2.INTER_CUBIC))
    sheet = np.vstack([np.hstack(row) for row in rows])
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def eye_box(points: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns around both eyes of one face `[478, 2]`, twice as wide as high, inside `size`."""
    ends = points[list(EYE_CORNERS), :2]
    wide = 0.8 * float(np.linalg.norm(ends[1] - ends[0]))
    reach = np.array([wide, wide / 2])
    low = np.clip(ends.mean(0) - reach, 0, np.array(size) - 16).astype(int)
    high = np.clip(ends.mean(0) + reach, low + 8, size).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def moments(points: Array, count: int = MOMENTS) -> list[int]:
    """Frames worth a look: the first, the widest mouth, the most shut eyes, both largest turns, some between."""
    known = np.flatnonzero(np.isfinite(points[:, 0, 0]))
    seen = points[known]
    nose = on_eye_line(seen)[:, 1, 0]
    chosen = {int(known[0])}
    for track in (-opening(seen), lid_opening(seen), nose, -nose):
        chosen.add(int(known[np.argmin(track)]))
    for at in np.linspace(0, len(known) - 1, count + 2)[1:-1].astype(int):
        if len(chosen) < count:
            chosen.add(int(known[at]))
    return sorted(chosen)
