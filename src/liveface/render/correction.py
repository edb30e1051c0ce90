"""Where a tracker sees the points that the mesh renderer draws: a linear correction of them before they are drawn.

The renderer's motion has 52 coefficients and a stiff head; what it draws misses the tracked face by a few pixels, and
most of that can be told from how far each point has moved from the photo: on people it did not learn from, a linear map
takes a third of the miss away (docs/decisions/mobileportrait.md). At rest nothing moves, so nothing is corrected.

Notable choices: movement is counted in the head's own frame in eye distances; the points of a pair (upper and lower
lid, upper and lower lip) are corrected alike, because the tracker sees a gap between lids and lips that touch, and shut
must stay shut; corrections are bounded, for motion that no clip showed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from liveface import weights
from liveface.errors import WeightsError
from liveface.render.mobileportrait.sizes import facial_indices
from liveface.render.patch import eye_distance
from liveface.render.topology import EYE_LOWER, EYE_UPPER, IRIS, LIP_LOWER, LIP_UPPER, eye_ring
from liveface.types import Array

FILE = "point_correction.npz"
NOSE_BASE = 2
EYES = (33, 263)  # outer corners, the image's left one first
MOST = 0.12  # eye distances that a point is moved at most
FAR = 0.12
"""Movement, root mean square in eye distances, beyond which the correction no longer grows: a tenth of what it learned
from lies beyond, and on a held-out clip that turns twice as far it moved eyes the wrong way."""
SEEN = facial_indices()
"""Points whose movement the correction is told from."""


def in_head_frame(points: Array) -> tuple[Array, Array]:
    """Points `[478, 2]` from the base of the nose along the line of the eyes in eye distances, and the way back.

    The way back is a matrix `[2, 2]` for rows: eye distances in the head's frame to pixels.
    """
    along = points[EYES[1], :2] - points[EYES[0], :2]
    along = along / (float(np.linalg.norm(along)) + 1e-6)
    back = np.array([along, (-along[1], along[0])], np.float32) * eye_distance(points[:, :2])
    return (points[:, :2] - points[NOSE_BASE, :2]) @ np.linalg.inv(back), back


def paired(moves: Array) -> Array:
    """Moves `[..., 478, 2]` with equal ones for the two points of every pair, and irises that follow their lids."""
    out = moves.copy()
    for upper, lower in (*zip(EYE_UPPER, EYE_LOWER, strict=True), (LIP_UPPER, LIP_LOWER)):
        both = (moves[..., upper, :] + moves[..., lower, :]) / 2
        out[..., upper, :] = out[..., lower, :] = both
    for eye in (0, 1):
        out[..., IRIS[eye], :] = out[..., eye_ring(eye), :].mean(-2, keepdims=True)
    return out


@dataclass(frozen=True, slots=True)
class PointCorrection:
    """A linear map of low rank.

    Attributes:
        sees: `[2 K, R]` from the movement of the points `SEEN`.
        moves: `[R, 956]` to moves of all points.
    """

    sees: Array
    moves: Array

    def tell(self, moved: Array) -> Array:
        """Moves `[N, 956]` for movements `[N, 2 K]`, both in eye distances in the head's frame, not yet bounded."""
        far = np.sqrt(2 * np.square(moved).mean(1, keepdims=True)) / FAR
        return np.asarray(moved @ self.sees @ self.moves / np.maximum(1, far))

    def __call__(self, photo: Array, drawn: Array) -> Array:
        """Points `[478, 2]` where a tracker would see those drawn, for a photo's tracked points; both in pixels."""
        rest, _ = in_head_frame(photo)
        here, back = in_head_frame(drawn)
        told = self.tell((here - rest)[SEEN].reshape(1, -1))[0].reshape(-1, 2)
        length = np.linalg.norm(told, axis=1, keepdims=True)
        told = told * (np.tanh(length / MOST) / np.maximum(length / MOST, 1e-6))
        return np.asarray(drawn[:, :2] + told @ back, np.float32)

    def save(self, file: Path) -> None:
        """Write it as `.npz`."""
        part = file.with_name(f".{file.name}.part.npz")
        np.savez(part, sees=self.sees.astype(np.float16), moves=self.moves.astype(np.float16), allow_pickle=False)
        part.replace(file)

    @staticmethod
    def load(file: Path) -> PointCorrection:
        """Read what `save` wrote.

        Raises:
            WeightsError: it is not there, or something else.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                found = PointCorrection(stored["sees"].astype(np.float32), stored["moves"].astype(np.float32))
        except (OSError, KeyError, ValueError) as error:
            raise WeightsError(f"{file} holds no point correction ({error}); install the package again.") from error
        if found.sees.shape[0] != 2 * len(SEEN) or found.moves.shape != (found.sees.shape[1], 956):
            raise WeightsError(f"{file} corrects other points than these; install the package again.")
        return found


@lru_cache(maxsize=1)
def shipped() -> PointCorrection:
    """The correction of the package."""
    return PointCorrection.load(weights.path(FILE))
