"""Speech diffusion without torch: its noise and levels, and the drawing of whole recordings for `--quality best`.

Notable choices: levels run from 0 (clean) to 1 (pure noise) along the cosine schedule; few steps are spaced
quadratically, because what one frame adds to the last is small and only low levels decide it.

Source: Nichol and Dhariwal 2021 for the cosine schedule, Song et al. 2021 (DDIM) for the step; the spacing is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from liveface.motion.codes import GROUPS
from liveface.runtime import Arrays, Step
from liveface.signals.features import HOPS_PER_FRAME
from liveface.types import Array

OFFSET = 0.008  # keeps the first levels from being too clean; Nichol and Dhariwal 2021
SILENT_FEATURE = -2.0  # what the network heard before the first sample, see signals.features
NOISE_MEMORY = 0.9  # of the noise of one frame in the next, in training and in streams


def shares(level: Array) -> tuple[Array, Array]:
    """Shares of signal and of noise (their squares add up to 1) at levels from 0 to 1."""
    start = np.pi / 2 * OFFSET / (1 + OFFSET)
    angle = np.pi / 2 * (np.asarray(level, np.float32) + OFFSET) / (1 + OFFSET)
    signal = np.clip(np.cos(angle) / np.cos(start), 0, 1).astype(np.float32)
    return signal, np.sqrt(1 - signal**2)


def levels(steps: int) -> Array:
    """The levels `[steps + 1]` of a drawing in `steps` steps, from 1 down to 0."""
    return (np.linspace(1, 0, steps + 1) ** 2).astype(np.float32)


def lowered(noisy: Array, clean: Array, level: Array, lower: Array) -> Array:
    """The noisy motion at a lower level, given the clean motion that was found under it.

    All levels have the shape of the motion, or broadcast to it.
    """
    signal, noise = shares(level)
    left = (noisy - signal * clean) / np.maximum(noise, 1e-4)
    signal, noise = shares(lower)
    return np.asarray(signal * clean + noise * left, np.float32)


def next_noise(last: Array | None, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Normal noise of the next frame, which resembles that of the last frame; None begins."""
    fresh = rng.normal(size=shape).astype(np.float32)
    if last is None:
        return fresh
    return np.asarray(NOISE_MEMORY * last + np.sqrt(1 - NOISE_MEMORY**2) * fresh, np.float32)


@dataclass(frozen=True, slots=True)
class WindowDrawer:
    """Draws the codes of a whole recording in overlapping windows whose frames see both sides.

    Brows and head are drawn in all steps; the mouth, of which sound tells nearly everything, is the mean of what the
    first step finds under several noises: further steps only gave it jitter (docs/log.md).

    Attributes:
        network: `speech_best.tflite`.
        steps: denoising steps of a window.
        guidance: how far the conditions are exaggerated; 1 is not at all, and costs half as much.
        overlap: frames at the beginning of a window that the last one has already fixed.
        draws: noises of which the mouth is the mean.
    """

    network: Step
    steps: int = 8
    guidance: float = 1.0
    overlap: int = 30
    draws: int = 3

    def run(self, features: Array, emotion: Array, style: Array, eyes: Array, seed: int = 0) -> Array:
        """Codes `[T, 26]`, not clipped.

        Args:
            features: `[T * hops, M]` of `signals.features`.
            emotion: intensities `[8]`, or `[T, 8]` (each window has the mean of its own); style: `[4]`.
            eyes: `[160]` or `[T, 160]`.
            seed: of the noise.
        """
        window, codes = self.network.inputs["noisy"][0][1:]
        rows, mels = self.network.inputs["features"][0][1:]
        hops = HOPS_PER_FRAME
        lead, frames = rows // hops - window, len(features) // hops
        padded = np.full(((lead + frames + window) * hops, mels), SILENT_FEATURE, np.float32)
        padded[lead * hops : (lead + frames) * hops] = features[: frames * hops]
        emotions = np.broadcast_to(emotion, (frames, emotion.shape[-1]))
        slots = np.broadcast_to(eyes, (frames, eyes.shape[-1]))
        rng = np.random.default_rng(seed)
        tracks: list[Array] = []
        for _ in range(frames + window):
            tracks.append(next_noise(tracks[-1] if tracks else None, rng, (self.draws, codes)))
        noise = np.stack(tracks, axis=1)  # [draws, T, 26]
        drawn, real = np.zeros((frames + window, codes), np.float32), np.zeros((frames + window, codes), np.float32)
        for begin in range(0, frames, window - self.overlap):
            fixed, part = self.overlap if begin else 0, slice(begin, begin + window)
            here = slice(begin, min(begin + window, frames))
            gaze = np.zeros((1, window, eyes.shape[-1]), np.float32)
            gaze[0, : here.stop - begin] = slots[here]
            given = {
                "features": padded[None, begin * hops : begin * hops + rows],
                "emotion": emotions[here].mean(0, dtype=np.float32)[None],
                "style": np.asarray(style, np.float32)[None],
                "eyes": gaze,
            }
            noisy = noise[:, part].copy()
            noisy[:, :fixed] = drawn[begin : begin + fixed]
            drawn[part], real[part] = self._window(noisy, fixed, given, real[part])
        return real[:frames]

    def _window(self, noise: Array, fixed: int, given: Arrays, known: Array) -> tuple[Array, Array]:
        """One window `[W, 26]`, its first `fixed` frames given: standardised and in real units.

        `noise` `[draws, W, 26]` is motion where it is fixed; the first row is drawn to the end.
        """
        free = (np.arange(noise.shape[1]) >= fixed).astype(np.float32)
        path, noisy = levels(self.steps), noise[0]
        firsts = [self._found(row, free, given) for row in noise]
        clean, codes = firsts[0]
        for level, lower in pairwise(path):
            if level < 1:
                clean, codes = self._found(noisy, level * free, given)
            stepped = lowered(noisy, clean, np.full((1, 1), level), np.full((1, 1), lower))
            noisy = np.where(free[:, None] > 0, stepped, noisy)
        mouth = GROUPS["mouth"]
        clean[:, mouth], codes[:, mouth] = (np.mean([one[k][:, mouth] for one in firsts], axis=0) for k in (0, 1))
        return np.where(free[:, None] > 0, clean, noise[0]), np.where(free[:, None] > 0, codes, known)

    def _found(self, noisy: Array, level: Array, given: Arrays) -> tuple[Array, Array]:
        """What the network finds under a noisy window `[W, 26]` of levels `[W]`: standardised and in real units."""
        ask = {**given, "noisy": noisy[None].astype(np.float32), "level": level[None].astype(np.float32)}
        made = self.network(**ask, conditioned=np.ones((1, 1), np.float32))
        found = [made["clean"][0].copy(), made["codes"][0].copy()]
        if self.guidance != 1:
            plain = self.network(**ask, conditioned=np.zeros((1, 1), np.float32))
            found = [plain[name][0] + self.guidance * (one - plain[name][0])
                     for name, one in zip(("clean", "codes"), found, strict=True)]  # fmt: skip
        return found[0], found[1]
