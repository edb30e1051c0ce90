"""The same speech in every emotion: faces that differ, lips that stay in time.

Notable choices: an emotion is seen when the mean face over a recording has moved from the neutral one; it is the right
one when that move points most along its own written target; the lips are in time when their opening still follows the
neutral one and p, b and m still shut them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from liveface.lipsync import measures as m
from liveface.lipsync.scores import Speaks, Table, recalls
from liveface.lipsync.truth import Clip
from liveface.motion.codes import GROUPS, codes_of
from liveface.motion.emotion import EMOTIONS, resting
from liveface.types import Array, Motion

INTENSITY = 0.7


def one_emotion(name: str, intensity: float = INTENSITY) -> Array:
    """A vector `[8]` of one emotion."""
    out = np.zeros(len(EMOTIONS), np.float32)
    out[EMOTIONS.index(name)] = intensity
    return out


def by_emotion(model_with: Callable[[Array], Speaks], clips: Sequence[Clip]) -> dict[str, Table]:
    """For each emotion but neutral, at `INTENSITY`.

    Args:
        model_with: gives the model for an emotion `[8]`.
        clips: speech; phones where they are known.

    Returns: per emotion `apart_mm` (how far lips and brows of the mean face are from the neutral one's), `right` (share
        of clips whose mean face moved most along this emotion's target), `lips_like_neutral` (correlation of the
        openings), `lag_frames` (between them) and the recall of `p b m closed`.
    """
    calm = [_spoken(model_with(np.zeros(len(EMOTIONS), np.float32)), clip) for clip in clips]
    out: dict[str, Table] = {}
    for name in EMOTIONS[1:]:
        model = model_with(one_emotion(name))
        felt = [_spoken(model, clip) for clip in clips]
        pairs = [
            (m.lips_of(one.expression), m.lips_of(other.expression)) for one, other in zip(felt, calm, strict=True)
        ]
        timing = [m.lagged(one.opening, other.opening) for one, other in pairs]
        moved = [_mean_codes(one) - _mean_codes(other) for one, other in zip(felt, calm, strict=True)]
        out[name] = {
            "apart_mm": round(float(np.mean([_apart_mm(one, other) for one, other in pairs])), 3),
            "right": round(float(np.mean([nearest(move) == name for move in moved])), 3),
            "lips_like_neutral": round(
                float(np.median([m.correlation(one.opening, two.opening) for one, two in pairs])), 3
            ),
            "lag_frames": float(np.median([lag for _, lag in timing])),
            "p b m closed": recalls([one for one, _ in pairs], clips).get("p b m closed", float("nan")),
        }
    return out


def nearest(move: Array) -> str:
    """The emotion along whose target a change of the mean code `[23]` points most."""
    names = EMOTIONS[1:]
    targets = [resting(one_emotion(name, 1.0))[_faces()] for name in names]
    along = [float(move @ target) / max(float(np.linalg.norm(target)), 1e-9) for target in targets]
    return names[int(np.argmax(along))]


def _faces() -> slice:
    """Mouth and upper face of a code; heads differ from talker to talker."""
    return slice(GROUPS["mouth"].start, GROUPS["upper"].stop)


def _spoken(model: Speaks, clip: Clip) -> Motion:
    return model.run(clip.samples)


def _mean_codes(motion: Motion) -> Array:
    mean: Array = codes_of(motion)[:, _faces()].mean(0)
    return mean


def _apart_mm(one: m.Lips, other: m.Lips) -> float:
    """Mean distance of the points of two mean faces, lips and brows alike."""
    pairs = ((one.lips, other.lips), (one.brows, other.brows))
    parts = [np.linalg.norm(a.mean(0) - b.mean(0), axis=-1).mean() for a, b in pairs if a is not None and b is not None]
    return m.MM_PER_CM * float(np.mean(parts))
