"""The face in three dimensions: mean, identity modes and the 52 ARKit expressions on the tracker's 478 points.

Centimetres in the face frame (x to the image's right, y down, z away from the camera), so the person's own left is
the image's right. A face is linear in identity and expression; gaze turns the five points of each iris about the
centre of its eye. Learned by `liveface.train.face_model` from tracked video with the ICT face model (USC, MIT) on
MediaPipe's canonical points (Apache-2.0) as prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from liveface import weights
from liveface.errors import WeightsError
from liveface.geometry import head_rotation
from liveface.types import ARKIT_NAMES, Array

POINTS = 478
IRIS = (slice(473, 478), slice(468, 473))  # the person's left, then right
LIDS = ((362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398),
        (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246))  # fmt: skip
"""Lid edges, left eye then right."""
FILE = "face_model.npz"


def weighted_sum(values: Array, modes: Array) -> Array:
    """Sum of `modes` `[N, ...]` times `values` `[N]`.

    Not a matrix product on purpose: BLAS would spread this little work over threads, which costs more than it saves
    and, when other work shares the cores, tens of milliseconds (measured: 38 ms a frame against 1.5).
    """
    return np.asarray(np.einsum("n,nk->k", values, modes.reshape(len(modes), -1)).reshape(modes.shape[1:]), np.float32)


@dataclass(frozen=True, slots=True)
class FaceModel:
    """A linear face.

    Attributes:
        mean: `[478, 3]` float32 cm, the neutral face of nobody.
        identity: `[I, 478, 3]` float32 cm, displacement at one standard deviation.
        expression: `[52, 478, 3]` float32 cm, displacement at coefficient 1, in the order of `ARKIT_NAMES`.
        eye_centre: `[2, 3]` float32 cm, left eye then right, of the mean face.
        triangles: `[F, 3]` int32 on the first 468 points.
    """

    mean: Array
    identity: Array
    expression: Array
    eye_centre: Array
    triangles: np.ndarray

    def __post_init__(self) -> None:
        modes = len(self.identity)
        wanted = {
            "mean": (POINTS, 3),
            "identity": (modes, POINTS, 3),
            "expression": (len(ARKIT_NAMES), POINTS, 3),
            "eye_centre": (2, 3),
        }
        for name, shape in wanted.items():
            value = np.ascontiguousarray(getattr(self, name), np.float32)
            if value.shape != shape or not np.isfinite(value).all():
                raise WeightsError(f"face model field {name!r} has shape {value.shape}; expected {shape}, finite.")
            object.__setattr__(self, name, value)

    @staticmethod
    def load(file: Path | None = None) -> FaceModel:
        """The face model that ships, or one from `file`."""
        return _shipped() if file is None else _read(file)

    def save(self, file: Path) -> None:
        """Write the model; modes and expressions as float16 (error below 0.01 mm)."""
        np.savez_compressed(
            file,
            mean=self.mean,
            identity=self.identity.astype(np.float16),
            expression=self.expression.astype(np.float16),
            eye_centre=self.eye_centre,
            triangles=self.triangles.astype(np.int16),
        )

    def points(
        self, identity: Array | None = None, expression: Array | None = None, gaze: Array | None = None
    ) -> Array:
        """The face `[478, 3]` in centimetres.

        Args:
            identity: `[I]` or shorter, standard deviations; None is the mean.
            expression: `[52]` ARKit coefficients; None is neutral.
            gaze: `[4]` radians: left eye's pitch and yaw, right eye's pitch and yaw, relative to the head.
        """
        shape = self.mean.copy()
        if identity is not None:
            shape += weighted_sum(identity, self.identity[: len(identity)])
        if expression is not None:
            shape += weighted_sum(expression, self.expression)
        if gaze is not None:
            centres = self.eyes(identity)
            for eye, ring in enumerate(IRIS):
                turn = head_rotation(float(gaze[2 * eye]), float(gaze[2 * eye + 1]), 0.0)
                shape[ring] = (shape[ring] - centres[eye]) @ turn.T + centres[eye]
        return shape.astype(np.float32)

    def eyes(self, identity: Array | None = None) -> Array:
        """Centres `[2, 3]` of both eyeballs, left then right, for an identity."""
        if identity is None:
            return self.eye_centre
        modes = self.identity[: len(identity)]
        moved = [weighted_sum(identity, modes[:, list(lids)].mean(1)) for lids in LIDS]
        return (self.eye_centre + np.stack(moved)).astype(np.float32)


def _read(file: Path) -> FaceModel:
    try:
        with np.load(file) as stored:
            fields = {name: stored[name] for name in ("mean", "identity", "expression", "eye_centre", "triangles")}
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{file} is not a face model ({error}); expected an .npz with mean and bases.") from error
    return FaceModel(
        fields["mean"],
        fields["identity"].astype(np.float32),
        fields["expression"].astype(np.float32),
        fields["eye_centre"],
        fields["triangles"].astype(np.int32),
    )


@lru_cache(maxsize=1)
def _shipped() -> FaceModel:
    return _read(weights.path(FILE))
