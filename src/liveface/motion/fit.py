"""Fitting the face model to points: scaled pose and bounded coefficients, together.

The arithmetic under `liveface.motion.solve`. A face is seen as
`pixels = scale * (rotation @ shape)[:2] + shift`: linear in coefficients and, for small turns, in the pose. One
Gauss-Newton step solves both. No perspective: the mesh network takes it out by itself (measured on one face
photographed from 15, 30, 45 and 60 cm: every finite viewing distance fits worse than none, see
docs/decisions/face-model.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.geometry import head_angles
from liveface.motion.face_model import LIDS, weighted_sum
from liveface.types import ARKIT_INDEX, Array

NOISE_CM = 0.10  # how far a tracked point typically lies from the fitted face
WITNESSES = 60.0  # neighbouring points err together; all of them count as this many independent ones (chosen)
JAW, CLOSE = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["mouthClose"]

_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
         78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415)  # fmt: skip
_BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
         150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


def point_weights() -> Array:
    """Weight `[478]` of every point: lips and lids decide, the face's outline slides and counts little."""
    weight = np.ones(478, np.float32)
    weight[list(_OVAL)] = 0.4
    weight[list(_BROWS)] = 2.0
    weight[list(_LIPS)] = 4.0
    weight[[point for lids in LIDS for point in lids]] = 2.0
    weight[468:] = 0.0
    return weight


def solve_bounded(matrix: Array, vector: Array, low: Array, high: Array, start: Array) -> Array:
    """Minimise `x @ matrix @ x / 2 - vector @ x` with `low <= x <= high` to within 1e-4, from `start`.

    Projected Newton: coordinates at a wall whose gradient points into the wall rest, the others take a Newton step that
    is cut at the walls. Source: Bertsekas 1982.

    Args:
        matrix: `[N, N]` symmetric positive definite; vector, low, high, start: `[N]`.
    """
    matrix, vector = matrix.astype(np.float64), vector.astype(np.float64)
    x = np.minimum(np.maximum(start, low), high).astype(np.float64)
    movable = low < high
    for _ in range(20):  # measured: 2 to 4 rounds from the last frame's solution
        gradient = matrix @ x - vector
        free = movable & ((x > low) | (gradient < 0)) & ((x < high) | (gradient > 0))
        index = np.flatnonzero(free)
        if not len(index):
            break
        step = np.zeros_like(x)
        step[index] = np.linalg.solve(matrix[index[:, None], index], -gradient[index])
        length = 1.0
        move = np.minimum(np.maximum(x + step, low), high) - x
        while gradient @ move + 0.5 * move @ (matrix @ move) > 0 and length > 0.01:  # give up
            length /= 2
            move = np.minimum(np.maximum(x + length * step, low), high) - x
        x += move
        if np.abs(move).max() < 1e-4:  # a hundredth of what is visible
            break
    return np.asarray(x, np.float32)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the head is: rotation `[3, 3]`, pixels per centimetre at its centre, and that centre `[2]` in pixels."""

    rotation: Array
    scale: float
    shift: Array

    def project(self, shape: Array) -> Array:
        """Pixels `[K, 2]` of a face `[K, 3]` in centimetres."""
        return np.asarray(self.scale * (shape @ self.rotation[:2].T) + self.shift, np.float32)

    def flatten(self, points: Array) -> Array:
        """Points `[K, 2]` in centimetres around the head's centre, as seen."""
        return np.asarray((points - self.shift) / self.scale, np.float32)

    @property
    def angles(self) -> tuple[float, float, float]:
        """Pitch, yaw and roll in radians."""
        return head_angles(self.rotation)


def turn_of(vector: Array) -> Array:
    """Rotation `[3, 3]` about `vector` by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-9:  # nothing to turn
        return np.eye(3, dtype=np.float32)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross, np.float32)


def first_pose(points: Array, shape: Array, weights: Array) -> Pose:
    """A pose from scratch: the best affine map `[2, 3]` of `shape` to `points` `[K, 2]`, made a scaled rotation."""
    weight = weights / weights.sum()
    centre_points, centre_shape = weight @ points, weight @ shape
    a, b = shape - centre_shape, points - centre_points
    affine = np.linalg.lstsq(a * np.sqrt(weight)[:, None], b * np.sqrt(weight)[:, None], rcond=None)[0].T
    u, singular, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    rotation = np.stack([rows[0], rows[1], np.cross(rows[0], rows[1])]).astype(np.float32)
    scale = float(singular.mean())
    return Pose(rotation, scale, np.asarray(centre_points - scale * rotation[:2] @ centre_shape, np.float32))


class SeenModes:
    """Modes `[N, 478, 3]` as a turned camera sees them, and their weighted products, both cheap for any turn."""

    def __init__(self, modes: Array, weights: Array) -> None:
        axes = np.ascontiguousarray(modes.transpose(2, 0, 1), np.float32)
        self._basis = axes.reshape(3, -1)
        self._count = len(modes)
        products = []
        for a, b in _PAIRS:
            product = np.einsum("nk,mk->nm", axes[a] * weights.astype(np.float32), axes[b])  # no BLAS, as weighted_sum
            products.append(product if a == b else product + product.T)
        self._products = np.stack(products).astype(np.float32)

    def from_front(self, rows: Array) -> tuple[Array, Array]:
        """Modes `[2, N, 478]` through the first two rows `[2, 3]` of a rotation, and products `[N, N]`."""
        gram = rows.T @ rows
        matrix = weighted_sum(np.array([gram[a, b] for a, b in _PAIRS], np.float32), self._products)
        return (rows @ self._basis).reshape(2, self._count, -1), matrix


class LinearFit:
    """A set of modes ready to be fitted. Modes `[N, 478, 3]`; the first 52 are the ARKit expressions.

    Inside, jawOpen and mouthClose are replaced by "mouth open" and "jaw down behind closed lips", both not negative,
    so that mouthClose never exceeds jawOpen.
    """

    def __init__(self, modes: Array, weights: Array | None = None) -> None:
        mixed = modes.copy()
        mixed[CLOSE] = modes[CLOSE] + modes[JAW]
        weights = point_weights() if weights is None else weights
        self.weights = np.asarray(weights * (WITNESSES / NOISE_CM**2 / weights.sum()), np.float32)
        self._modes = mixed
        self._seen = SeenModes(mixed, self.weights)

    def shape(self, base: Array, values: Array) -> Array:
        """The face `[478, 3]` for mixed values `[N]` on top of `base`."""
        return np.asarray(base + weighted_sum(values, self._modes), np.float32)

    def step(
        self, points: Array, base: Array, pose: Pose, values: Array, priors: tuple[Array, Array], bounds: Array
    ) -> tuple[Pose, Array]:
        """One Gauss-Newton step.

        Args:
            points: `[478, 2]` pixels; base: `[478, 3]` cm, the face at values 0; values: `[N]` mixed values.
            priors: curvature `[N, N]` and pull `[N]`, added to the normal equations.
            bounds: `[2, N]`, low and high.
        Returns: the next pose and values.
        """
        turned = self.shape(base, values) @ pose.rotation.T
        flat = pose.flatten(points)
        rows = pose.rotation[:2]
        seen, matrix = self._seen.from_front(rows)
        zero, one = np.zeros(len(points), np.float32), np.ones(len(points), np.float32)
        x, y, z = turned.T
        about = np.stack([[zero, -z], [z, zero], [-y, x], [x, y], [one, zero], [zero, one]])  # [6, 2, K]
        rest = (flat - base @ rows.T).T  # [2, K], what pose and modes together must explain
        weighted = about * self.weights
        vector = np.einsum("ank,ak->n", seen, rest * self.weights)
        across = weighted[:, 0] @ seen[0].T + weighted[:, 1] @ seen[1].T  # [6, N]
        own = weighted[:, 0] @ about[:, 0].T + weighted[:, 1] @ about[:, 1].T  # [6, 6]
        own_vector = weighted[:, 0] @ rest[0] + weighted[:, 1] @ rest[1]
        cleared = np.linalg.solve(own, np.column_stack([across, own_vector])).astype(np.float32)
        reduced = matrix - across.T @ cleared[:, :-1]
        pull = vector - across.T @ cleared[:, -1]
        curvature, towards = priors
        values = solve_bounded(reduced + curvature, pull + towards, bounds[0], bounds[1], values)
        change = cleared[:, -1] - cleared[:, :-1] @ values
        rotation = turn_of(change[:3]) @ pose.rotation
        scale = pose.scale * float(np.exp(np.clip(change[3], -0.3, 0.3)))
        return Pose(rotation, scale, np.asarray(pose.shift + pose.scale * change[4:], np.float32)), values


def unmix(values: Array) -> Array:
    """ARKit coefficients `[52]` from mixed values."""
    coefficients = np.asarray(values[:52], np.float32).copy()
    coefficients[JAW] = min(1.0, float(values[JAW] + values[CLOSE]))
    return coefficients


def mix(coefficients: Array) -> Array:
    """Mixed values `[52]` from ARKit coefficients."""
    values = np.asarray(coefficients, np.float32).copy()
    values[JAW] = max(0.0, float(coefficients[JAW] - coefficients[CLOSE]))
    return values
