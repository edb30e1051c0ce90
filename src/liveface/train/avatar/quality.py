"""Which frames are good enough to learn from: Haar detection, sharpness, likeness; thresholds follow the clip.

Notable choices: every judgement is made on a small grey picture of the face that follows the tracked eyes, so that
position, size and roll of the head do not count and a judgement costs about a millisecond. Source of the three tests
and of their thresholds: LiveFace (Rodin and Rodin 2026), which rejects about 0.6 % of its teacher's frames; numbers
that it does not give are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface.metrics import ssim_map
from liveface.types import Array, Pixels

VIEW_PX, VIEW_E = 96, 3.7  # side of the view of the face in pixels, and in eye distances
REASONS = ("lost", "no face", "size", "blurred", "unlike", "glitch")
"""No tracked face; no Haar face; Haar face of another size; blurred; unlike the neutral; unlike the frame before."""

HAAR_SHARE = 0.5  # of the frames the cascade must find, else it does not know this face and says nothing (chosen)
AREA_CHANGE = 0.40  # a Haar box may differ from the clip's median area by so much
SHARP_SHARE = 0.50  # of the clip's median Laplacian variance
LIKE_NEUTRAL, LIKE_BEFORE = 0.35, 0.60  # least SSIM to the frame at rest and to the frame before
LIKE_SHARE = 0.5  # of the clip's median SSIM to the frame at rest; less than this counts, when it is below .35 too
_HAAR_LEAST_PX = 36  # a face fills more of the view than this


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))


def face_view(pixels: Pixels, points: Array) -> Pixels:
    """The face upright in the middle of a small grey picture, uint8 `[VIEW_PX, VIEW_PX]`.

    Args:
        points: `[478, 2 or 3]` pixels of the picture.
    """
    left, right = points[33, :2], points[263, :2]
    across = right - left
    angle = float(np.arctan2(across[1], across[0]))
    size = max(float(np.hypot(*across)), 1.15 * float(np.linalg.norm(points[152, :2] - points[10, :2])) / 1.7)
    scale = VIEW_PX / (VIEW_E * 0.7 * size)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * scale
    middle = points[[10, 152, 234, 454], :2].mean(0)  # forehead, chin, both cheeks
    matrix = np.column_stack([turn, (VIEW_PX - 1) / 2 - turn @ middle])
    source = pixels
    if scale < 0.5:  # averaged down first, so that sharpness is not a matter of aliasing
        x, y = np.floor(middle - 0.8 * VIEW_PX / scale).astype(int).clip(0)
        far_x, far_y = np.ceil(middle + 0.8 * VIEW_PX / scale).astype(int)
        part = pixels[y : max(far_y, y + 2), x : max(far_x, x + 2)]
        factor = 2 * scale
        if part.size:
            source = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            matrix[:, 2] += matrix[:, :2] @ [x, y]
            matrix[:, :2] /= factor
    grey = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
    return np.asarray(
        cv2.warpAffine(grey, matrix, (VIEW_PX, VIEW_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def haar_areas(view: Pixels) -> list[float]:
    """Areas in pixels of the faces that the Haar cascade finds in a view, largest first; it looks twice."""
    even, least = cv2.equalizeHist(view), (_HAAR_LEAST_PX, _HAAR_LEAST_PX)
    for finer, neighbours in ((1.1, 2), (1.05, 1)):
        found = _cascade().detectMultiScale(even, finer, neighbours, minSize=least)
        if len(found):
            break
    return sorted((float(w * h) for _, _, w, h in found), reverse=True)


def sharpness(view: Pixels) -> float:
    """Variance of the Laplacian of a view."""
    return float(cv2.Laplacian(view, cv2.CV_32F).var())


@dataclass
class Looks:
    """Every frame of a clip as the filter sees it; `see` once a frame, then `verdicts`."""

    views: list[Pixels] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    sharp: list[float] = field(default_factory=list)

    def see(self, pixels: Pixels, points: Array | None) -> None:
        """Take one frame in; `points` is None when the tracker lost the face."""
        view = np.zeros((VIEW_PX, VIEW_PX), np.uint8) if points is None else face_view(pixels, points)
        areas = [] if points is None else haar_areas(view)
        self.views.append(view)
        self.areas.append(areas[0] if areas else 0.0)
        self.sharp.append(0.0 if points is None else sharpness(view))

    def verdicts(self, seen: npt.NDArray[np.bool_], neutral: int, take: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
        """Index into `REASONS` of why each frame is rejected, -1 where it is kept.

        Args:
            seen: `[T]` whether the tracker had the face.
            neutral: the frame that shows the person at rest.
            take: `[T]` number of the take; a frame is compared with the one before in the same take only.
        """
        areas, sharp = np.array(self.areas), np.array(self.sharp)
        boxed = seen & (areas > 0)
        area = float(np.median(areas[boxed])) if boxed.any() else 1.0
        telling = boxed.sum() >= HAAR_SHARE * seen.sum()
        usual = float(np.median(sharp[seen])) if seen.any() else 0.0
        like = np.array([_likeness(view, self.views[neutral]) for view in self.views])
        before = np.ones(len(like))
        for at in range(1, len(like)):
            if take[at] == take[at - 1] and seen[at] and seen[at - 1]:
                before[at] = _likeness(self.views[at], self.views[at - 1])
        tests = (
            ~seen,
            (areas == 0) & telling,
            (areas > 0) & (np.abs(areas / area - 1) > AREA_CHANGE) & telling,
            sharp < SHARP_SHARE * usual,
            like < min(LIKE_NEUTRAL, LIKE_SHARE * float(np.median(like[seen])) if seen.any() else 1.0),
            before < LIKE_BEFORE,
        )
        out = np.full(len(like), -1, np.int8)
        for number, failed in reversed(list(enumerate(tests))):
            out[failed] = number
        return out


def _likeness(one: Pixels, other: Pixels) -> float:
    """Mean SSIM of two grey views."""
    pair = [cv2.cvtColor(view, cv2.COLOR_GRAY2RGB) for view in (one, other)]
    return float(ssim_map(pair[0], pair[1]).mean())


def counts(verdicts: npt.NDArray[np.int8]) -> dict[str, int]:
    """How many frames were rejected for each reason."""
    return {reason: int((verdicts == number).sum()) for number, reason in enumerate(REASONS)}


class RejectedSheet:
    """A contact sheet of rejected frames, up to `most` of them spread over the clip."""

    def __init__(self, verdicts: npt.NDArray[np.int8], most: int = 24, height: int = 160) -> None:
        rejected = np.flatnonzero(verdicts >= 0)
        if len(rejected) > most:
            rejected = rejected[np.linspace(0, len(rejected) - 1, most).astype(int)]
        self._wanted = {int(at): REASONS[int(verdicts[at])] for at in rejected}
        self._height, self._tiles = height, list[Pixels]()

    def offer(self, at: int, pixels: Pixels) -> None:
        """Keep a small copy of frame `at` when it belongs on the sheet."""
        if at not in self._wanted:
            return
        wide = round(pixels.shape[1] * self._height / pixels.shape[0])
        tile = cv2.resize(pixels, (wide, self._height), interpolation=cv2.INTER_AREA)
        words = f"{at} {self._wanted[at]}"
        for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(tile, words, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, thick, cv2.LINE_AA)
        self._tiles.append(np.asarray(tile))

    def save(self, file: Path, columns: int = 8) -> bool:
        """Write the sheet as PNG; False when nothing was rejected."""
        if not self._tiles:
            return False
        wide = max(tile.shape[1] for tile in self._tiles)
        padded = [np.pad(tile, ((0, 0), (0, wide - tile.shape[1]), (0, 0))) for tile in self._tiles]
        padded += [np.zeros_like(padded[0])] * (-len(padded) % min(columns, len(padded)))
        across = min(columns, len(padded))
        rows = [np.hstack(padded[at : at + across]) for at in range(0, len(padded), across)]
        return bool(cv2.imwrite(str(file), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)))
