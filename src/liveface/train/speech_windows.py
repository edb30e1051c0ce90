"""Windows of a set of speech and codes for training, and the loss and the scores of mouths.

Notable choices: what a recording does not show is filled with another one's brows and head and is judged lightly or not
at all, so that every past looks like one that a stream will have; emotions are written on windows as they are drawn,
so that no recording has just one; errors of the mouth are centimetres of the lips, relative to how far this speaker
articulates, closures and roundings count more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from liveface.lipsync.measures import CLOSED, correlation, jitter
from liveface.motion.codes import EYE_SLOT, GROUPS, MOUTH_TRACKS, lift_eyes
from liveface.motion.emotion import EMOTIONS, emote
from liveface.motion.face_model import FaceModel
from liveface.signals.features import HOPS_PER_FRAME
from liveface.train.speech_codes import SpeechCodes
from liveface.train.speech_labels import MouthSpace
from liveface.train.speech_takes import ARTICULATION_UNIT, KINDS
from liveface.types import Array

UNHEARD = 10  # first frames of a window cut from a recording, not judged: the encoder has heard too little
BORROWED = 0.3  # weight of brows and head that another recording lends
_TRUST = {"video": 1.0, "rig": 0.7, "taught": 0.6, "synthetic": 0.6, "noise": 1.0}  # in mouths of each kind, chosen
_CLOSED, _ROUND, _PRESSED = (1, 2), (9, 10), 1  # classes of `nets.speech.SOUNDS`
_FIRST = [names[0] for names in MOUTH_TRACKS]
_SPREAD = ("mouthFunnel", "mouthPucker", "mouthSmileLeft", "mouthUpperUpLeft", "mouthLowerDownLeft")


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of T frames.

    Attributes:
        rows: `[B]` first frame of each in the set.
        features: `[B, T * 4, 64]`.
        neutral: `[B, T, 26]` codes without emotion; codes: the same with it. Unknown groups are borrowed.
        known: `[B, T, 3]` weight of mouth, upper face and head.
        eyes: `[B, T, 160]` slots, zero where unknown.
        emotion: `[B, T, 8]`; style: `[B, 1, 4]`.
        sounds: `[B, T]` int64, -1 unknown.
        trust: `[B, T]` weight of the mouth, 0 where nothing was heard yet.
    """

    rows: Array
    features: Tensor
    neutral: Tensor
    codes: Tensor
    known: Tensor
    eyes: Tensor
    emotion: Tensor
    style: Tensor
    sounds: Tensor
    trust: Tensor


class Windows:
    """Draws batches of windows from a stored set; seeded."""

    def __init__(
        self, file: Path, window: int, shares: dict[str, float], seed: int, *, emotional: float = 0.0,
        unheard: int = UNHEARD,
    ) -> None:  # fmt: skip
        """`shares`: how often each kind is drawn; `emotional`: share of windows with an emotion."""
        self.set, self.window, self.emotional, self.unheard = SpeechCodes.load(file), window, emotional, unheard
        self.rng = np.random.default_rng(seed)
        spans = self.set.spans
        self.items = np.flatnonzero(spans[:, 1] >= window)
        spans = spans[self.items]
        share = np.array([shares.get(kind, 0.0) for kind in KINDS])
        frames = np.array([spans[spans[:, 2] == kind, 1].sum() for kind in range(len(KINDS))])
        chance = share[spans[:, 2]] * spans[:, 1] / np.maximum(frames, 1)[spans[:, 2]]
        self.chance = chance / chance.sum()
        first = spans[:, 0]
        self.lenders = [self.items[self.set.known[first, group] & (spans[:, 2] == 0)] for group in (1, 2)]
        self.trust = np.array([_TRUST[kind] for kind in KINDS], np.float32)

    def place(self, item: int) -> tuple[int, bool]:
        """A random window of a recording: its first frame, and whether that begins the recording."""
        first, frames, _ = self.set.spans[item]
        offset = 0 if self.rng.random() < 0.15 else int(self.rng.integers(0, frames - self.window + 1))
        return int(first + offset), offset == 0

    def draw(self, batch: int) -> Batch:
        """`batch` windows of the kinds' shares."""
        window, rng, kept = self.window, self.rng, self.set
        items = self.items[rng.choice(len(self.items), batch, p=self.chance)]
        places = [self.place(item) for item in items]
        rows = np.array([row for row, _ in places])
        frames = rows[:, None] + np.arange(window)
        codes, known = kept.codes[frames].astype(np.float32), kept.known[frames].astype(np.float32)
        for group, lenders in enumerate(self.lenders, start=1):
            numbers = list(GROUPS.values())[group]
            for index in np.flatnonzero(known[:, 0, group] == 0):
                row, _ = self.place(int(rng.choice(lenders)))
                codes[index, :, numbers] = kept.codes[row : row + window, numbers].astype(np.float32)
                known[index, :, group] = BORROWED
        hops = (frames[:, :, None] * HOPS_PER_FRAME + np.arange(HOPS_PER_FRAME)).reshape(batch, -1)
        trust = np.repeat(self.trust[kept.spans[items, 2]][:, None], window, 1)
        trust[~np.array([begins for _, begins in places]), : self.unheard] = 0
        emotion = self._emotions(batch)
        slots = np.where(kept.eyes_known[frames][..., None], lift_eyes(kept.eyes[frames].astype(np.float32)), 0)
        slots = slots.reshape(batch, window, EYE_SLOT).astype(np.float32)
        style = np.clip(kept.style[items], -2, 2).astype(np.float32)
        felt = np.flatnonzero(emotion.any((1, 2)))
        shown = codes.copy()
        if len(felt):
            shown[felt] = emote(codes[felt], emotion[felt])
        return Batch(
            rows,
            torch.from_numpy(kept.features[hops].astype(np.float32)),
            torch.from_numpy(codes),
            torch.from_numpy(shown),
            torch.from_numpy(known),
            torch.from_numpy(slots),
            torch.from_numpy(emotion),
            torch.from_numpy(style[:, None]),
            torch.from_numpy(kept.sounds[frames].astype(np.int64)),
            torch.from_numpy(trust),
        )

    def _emotions(self, batch: int) -> Array:
        """Intensities `[B, T, 8]`: none, one, sometimes two, sometimes changing on the way."""
        rng, out = self.rng, np.zeros((batch, self.window, len(EMOTIONS)), np.float32)
        for index in np.flatnonzero(rng.random(batch) < self.emotional):
            start = 0
            for part in range(2 if rng.random() < 0.25 else 1):
                felt = np.zeros(len(EMOTIONS), np.float32)
                if part == 0 or rng.random() < 0.7:
                    felt[rng.integers(1, len(EMOTIONS))] = rng.uniform(0.3, 1.0)
                    if rng.random() < 0.15:
                        felt[rng.integers(1, len(EMOTIONS))] = rng.uniform(0.1, 0.5)
                out[index, start:] = felt
                start = int(rng.integers(10, self.window - 10))
        return out


def soft(error: Tensor, beta: float = 0.05) -> Tensor:
    """Smooth absolute error averaged over the last axis; quadratic below `beta` (cm: half a millimetre)."""
    return nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="none").mean(-1)


class MouthLoss:
    """How far mouths are off, in centimetres of the lips."""

    def __init__(self, *, firm: float = 3.0, rounded: float = 1.5) -> None:
        """`firm`, `rounded`: extra weight of frames with closed and with rounded lips."""
        space = mouth_space()
        self.firm, self.rounded = firm, rounded
        self.flat = torch.from_numpy(space.flat())
        self.gap = torch.from_numpy(space.gap())
        self.width = torch.from_numpy(space.width())

    def weight(self, batch: Batch) -> Tensor:
        """How much each frame counts, `[B, T]`."""
        sounds, gap = batch.sounds, batch.neutral[..., : len(MOUTH_TRACKS)] @ self.gap
        weight = batch.trust * batch.known[..., 0]
        weight = weight * (-ARTICULATION_UNIT * batch.style[..., 0]).exp().clamp(0.6, 1.7)
        for classes, extra in ((_CLOSED, self.firm), (_ROUND, self.rounded)):
            weight = weight * (1 + extra * sum((sounds == index).float() for index in classes))
        return weight * (1 + (sounds == 0).float() * (gap < 0.1).float())

    def __call__(self, made: Tensor, true: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Parts of the loss of tracks `[B, T, 17]`, weighted so that their sum can be taken."""
        error, total = made - true, weight.sum().clamp(min=1)
        speed = (error[:, 1:] - error[:, :-1]) @ self.flat
        pairs = torch.minimum(weight[:, 1:], weight[:, :-1])
        gap, judged = true @ self.gap, weight > 0
        spread = [self._spread(made @ axis, true @ axis, judged) for axis in (self.gap, self.width)]
        for name in _SPREAD:
            index = _FIRST.index(name)
            spread.append(0.4 * self._spread(made[..., index] * 2, true[..., index] * 2, judged))
        return {
            "lips": 10 * (weight * soft(error @ self.flat)).sum() / total,
            "speed": 15 * (pairs * soft(speed)).sum() / total,
            "gap": 0.6 * (weight * (made @ self.gap - gap).abs()).sum() / total,
            "width": (weight * (error @ self.width).abs()).sum() / total,
            "spread": 0.1 * torch.stack(spread).sum(),
        }

    @staticmethod
    def _spread(made: Tensor, true: Tensor, judged: Tensor) -> Tensor:
        """How far the standard deviation over time is off, in logarithms, for windows `[B, T]` that move."""
        there, here = true[:, UNHEARD:].std(1), made[:, UNHEARD:].std(1)
        moving = (there > 0.04).float() * judged[:, UNHEARD:].all(1)
        return (moving * ((here + 0.02) / (there + 0.02)).log().abs()).sum() / moving.sum().clamp(min=1)


def mouth_space() -> MouthSpace:
    """The mouth of the face model that ships."""
    model = FaceModel.load()
    return MouthSpace.of(model.mean, model.expression)


def pressed(opening: Array, sounds: Array) -> tuple[int, int]:
    """How many p, b, m come with lips closed within a fifth of the range of `opening` `[T]`, and how many there are."""
    rest, wide = np.quantile(opening, [0.05, 0.95])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (sounds == _PRESSED).astype(int), [0]])))
    hits = 0
    for first, last in edges.reshape(-1, 2):
        inside = opening[max(0, first - 1) : last + 1]
        hits += int(inside.min() <= rest + CLOSED * (wide - rest))
    return hits, len(edges) // 2


def mouth_scores(made: list[Array], kept: SpeechCodes) -> dict[str, float]:
    """Medians over the recordings of a set of mouths `[T, 17]` made for each of them, or for their first frames.

    Opening in cm: correlation, size relative to the truth, jitter relative to the truth, share of closed p b m,
    opening while nobody speaks.
    """
    gap, rows, closed = mouth_space().gap(), [], np.zeros(2, int)
    rest = []
    for (first, most, _), mouth in zip(kept.spans, made, strict=True):
        if not kept.known[first, 0]:
            continue
        frames = min(most, len(mouth))
        true = kept.codes[first : first + frames, : len(gap)].astype(np.float32) @ gap
        here, sounds = np.clip(mouth[:frames], 0, 1) @ gap, kept.sounds[first : first + frames]
        rows.append((correlation(here, true), here.std() / max(true.std(), 1e-6),
                     jitter(here) / max(jitter(true), 1e-6)))  # fmt: skip
        closed += pressed(here, sounds)
        quiet = (sounds == 0) & (true < 0.05)
        rest += [float(here[quiet].mean())] if quiet.any() else []
    correlated, size, shaken = (float(value) for value in np.median(np.array(rows), axis=0))
    return {
        "correlation": round(correlated, 4),
        "size": round(size, 3),
        "jitter": round(shaken, 3),
        "pressed": round(float(closed[0] / max(closed[1], 1)), 3),
        "rest_cm": round(float(np.mean(rest)), 4) if rest else 0.0,
    }
