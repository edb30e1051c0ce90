"""`BestSpeech`: the motion of a whole recording, drawn in more steps by a network that sees both directions.

Notable choices: ears, gate, eyes and idle life are those of `SpeechToMotion`, frame by frame; only what the network
draws differs, so both qualities move alike and take the same options. Brows and head, which have no frame before them
to go on from when all are drawn at once, are smoothed over five frames; lips are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from liveface import weights
from liveface.errors import WeightsError
from liveface.motion.audio import Heard, SpeechToMotion
from liveface.motion.codes import GROUPS
from liveface.motion.diffusion import WindowDrawer
from liveface.runtime import Step
from liveface.signals.features import FRAME_SAMPLES
from liveface.types import Array, Motion, MotionSpec

FILE = "speech_best.tflite"


@dataclass(frozen=True, slots=True)
class BestSpeech:
    """Speech to motion for files; see the module's notes.

    Attributes:
        live: what hears and shows, with its options.
        steps: of drawing a window.
        guidance: how far the conditions are exaggerated; 1 is not at all.
        file: a network of the same inputs and outputs; None is the one that ships.
    """

    live: SpeechToMotion = field(default_factory=SpeechToMotion)
    steps: int = 8
    guidance: float = 1.0
    file: Path | None = None
    _drawer: WindowDrawer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.live.ears is not None:
            raise WeightsError("the best quality hears log-mel alone; expected a live model without other ears.")
        network = Step(weights.path(FILE) if self.file is None else self.file, threads=self.live.threads)
        wanted = {"features", "noisy", "level", "emotion", "style", "eyes", "conditioned"}
        if network.inputs.keys() != wanted or not {"clean", "codes"} <= network.outputs.keys():
            raise WeightsError(
                f"{self.file or FILE} takes {sorted(network.inputs)}; expected {sorted(wanted)}: "
                "install liveface again."
            )
        object.__setattr__(self, "_drawer", WindowDrawer(network, self.steps, self.guidance))

    @property
    def spec(self) -> MotionSpec:
        """What comes out."""
        return self.live.spec

    def run(self, samples: Array) -> Motion:
        """The motion of a whole recording `[S]` at the house rate."""
        frames = -(-len(samples) // FRAME_SAMPLES)
        if not frames:
            return Motion.rest(0)
        whole = np.zeros(frames * FRAME_SAMPLES, np.float32)
        whole[: len(samples)] = samples
        begin, heard = self.live.start(), list[Heard]()
        state = begin
        for sound in whole.reshape(frames, FRAME_SAMPLES):
            state, one = self.live.hear(state, sound)
            heard.append(one)
        features, eyes = np.concatenate([one.features for one in heard]), np.stack([one.slot for one in heard])
        emotion, style = (np.asarray(begin[name], np.float32) for name in ("emotion", "style"))
        codes = calmed(self._drawer.run(features, emotion, style, eyes, self.live.seed % 2**32))
        parts, state = [], begin
        for one, code in zip(heard, codes, strict=True):
            state, motion = self.live.show(state, one, code)
            parts.append(motion)
        return Motion.concat(parts)


def calmed(codes: Array) -> Array:
    """Codes `[T, 26]` whose brows and head are smoothed over five frames with binomial weights."""
    out, first = codes.copy(), GROUPS["upper"].start
    wide = np.pad(codes[:, first:], ((2, 2), (0, 0)), mode="edge")
    rows = len(codes)
    out[:, first:] = sum(share / 16 * wide[at : at + rows] for at, share in enumerate((1, 4, 6, 4, 1)))
    return out
