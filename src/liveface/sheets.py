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


def save_columns(columns: Sequence[tuple[str, Sequence[Pixels], Array]], file: Path) -> None:
    """Write a sheet as PNG: one row a moment, with a column for every reel, then all mouths, then all eyes.

    Args:
        columns: name, pictures uint8 `[H, W, 3]` and their tracked points `[T, 478, 2 or 3]`; the second reel, the
            driver, says which moments are worth a look.
        file: ends in .png; its folder is made.
    """
    rows = []
    for at in moments(columns[1][2]):
        whole, mouths, eyes = [], [], []
        for _, pictures, points in columns:
            picture, face = pictures[at], points[at]
            if not np.isfinite(face[0]).all():
                face = points[int(np.flatnonzero(np.isfinite(points[:, 0, 0]))[0])]
            size = (picture.shape[1], picture.shape[0])
            whole.append(_high(picture[head_rows(face, size)]))
            mouths.append(cv2.resize(picture[mouth_box(face, size)], (240, 240), interpolation=cv2.INTER_CUBIC))
            eyes.append(cv2.resize(picture[eye_box(face, size)], (300, 150), interpolation=cv2.INTER_CUBIC))
        tall = [cv2.copyMakeBorder(eye, 45, 45, 0, 0, cv2.BORDER_CONSTANT) for eye in eyes[1:]]
        rows.append(np.hstack([*whole, *mouths[1:], *tall]))
    wide = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 4), (0, wide - row.shape[1]), (0, 0))) for row in rows]
    sheet = np.vstack([_heading([name for name, *_ in columns], wide), *rows])
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def head_rows(points: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a square around one head `[478, 2]`, inside `size`."""
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    half = 0.72 * float((high - low).max())
    first = np.clip(np.floor((low + high) / 2 - half), 0, np.array(size) - 16).astype(int)
    last = np.clip(np.ceil((low + high) / 2 + half), first + 16, size).astype(int)
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))


def _high(picture: Pixels) -> Pixels:
    """A picture fitted into 240 x 240."""
    scale = 240 / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    spare = 240 - small.shape[0], 240 - small.shape[1]
    return np.asarray(cv2.copyMakeBorder(small, 0, spare[0], 0, spare[1], cv2.BORDER_CONSTANT))


def _heading(names: Sequence[str], wide: int) -> Pixels:
    """A strip that names the columns."""
    strip = np.zeros((22, wide, 3), np.uint8)
    places = [240 * at for at in range(len(names))]
    places += [240 * (len(names) + at) for at in range(len(names) - 1)]
    places += [240 * (2 * len(names) - 1) + 300 * at for at in range(len(names) - 1)]
    for name, left in zip([*names, *names[1:], *names[1:]], places, strict=True):
        cv2.putText(strip, name, (left + 4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return strip
