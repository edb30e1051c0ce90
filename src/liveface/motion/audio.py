"""`SpeechToMotion`: speech in, a talking face out, one frame of 30 fps for every 800 samples.

Notable choices: frame `t` is what the face does from `t / 30` s on, and is made when the sound of that same thirtieth
of a second has been heard, so the look-ahead is one frame, 33.3 ms, and nothing later can change it; the network moves
the mouth and the seeded idle model everything else; blocks of any size may come in, and each frame is computed alone,
so that every cut of the stream gives the same numbers; when the gate of `signals.voice` is shut the mouth is led shut,
whatever the network makes of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from liveface import weights
from liveface.errors import SignalError, WeightsError
from liveface.motion.codes import MOUTH_TRACKS
from liveface.motion.idle import IdleMotion, joined
from liveface.runtime import Step
from liveface.signals.features import FRAME_SAMPLES, HOPS_PER_FRAME, MELS, LogMel, loudness
from liveface.signals.voice import VoiceInput
from liveface.types import (
    ARKIT_INDEX,
    HOUSE_FPS,
    HOUSE_RATE_HZ,
    Array,
    AudioBlock,
    Motion,
    MotionSpec,
    State,
    arkit_spec,
)

FILE = "speech.tflite"
_SPREAD = np.zeros((len(MOUTH_TRACKS), 52), np.float32)  # tracks to coefficients
for _row, _names in enumerate(MOUTH_TRACKS):
    _SPREAD[_row, [ARKIT_INDEX[name] for name in _names]] = 1
FADE_FRAMES = 5  # after the gate has shut the mouth is led shut within 0.17 s; chosen
SHUT_FRAMES = 4  # after an interruption within 0.13 s
RETURN = 0.6  # share of the way back in the first frame with a voice
_START_FEATURE = -2.0  # the network's past before the first sample, as in training


@dataclass(frozen=True, slots=True)
class SpeechToMotion:
    """A motion model driven by sound; see the module's notes.

    Attributes:
        idle: blinks, gaze, brows and head; None leaves them still.
        scale: size of the mouth's motion; 1 is natural.
        threads: CPU threads of the network.
        spec: what comes out.
        lookahead_ms: how far past the beginning of a frame sound can change it.
    """

    idle: IdleMotion | None = field(default_factory=IdleMotion)
    scale: float = 1.0
    threads: int = 1
    spec: MotionSpec = field(default_factory=arkit_spec)
    lookahead_ms: float = 1000 * FRAME_SAMPLES / HOUSE_RATE_HZ
    _network: Step = field(init=False, repr=False)
    _voice: VoiceInput = field(init=False, repr=False, default_factory=VoiceInput)
    _mel: LogMel = field(init=False, repr=False, default_factory=LogMel)

    def __post_init__(self) -> None:
        network = Step(weights.path(FILE), threads=self.threads)
        wanted = {"features": (1, HOPS_PER_FRAME, MELS), "tracks": (1, 1, len(MOUTH_TRACKS))}
        found = {name: shape for name, (shape, _) in {**network.inputs, **network.outputs}.items()}
        if any(found.get(name) != shape for name, shape in wanted.items()):
            raise WeightsError(f"{FILE} has shapes {found}; expected {wanted} among them: install liveface again.")
        if self.idle is not None and self.idle.fps != HOUSE_FPS:
            raise SignalError(f"the idle model runs at {self.idle.fps:g} fps; speech needs one at {HOUSE_FPS} fps.")
        object.__setattr__(self, "_network", network)

    def start(self) -> State:
        """The state before the first sample."""
        state: State = {"held": np.zeros(FRAME_SAMPLES, np.float32), "count": np.zeros((), np.int64)}
        state |= {f"voice_{name}": value for name, value in self._voice.start().items()}
        state |= {f"mel_{name}": value for name, value in self._mel.start().items()}
        state |= {
            "share": np.zeros(()),
            "shut": np.zeros((), np.int64),
        }  # of the mouth's motion; frames left to shut it
        for name, (shape, dtype) in self._network.inputs.items():
            if name != "features":
                state[f"net_{name}"] = np.full(shape, _START_FEATURE if name == "hops" else 0, dtype)
        if self.idle is not None:
            state |= {f"idle_{name}": value for name, value in self.idle.start().items()}
        return state

    def step(self, state: State, signal: AudioBlock) -> tuple[State, Motion]:
        """The frames that `signal` completes: none, one or several.

        Raises:
            SignalError: the block is not at the house rate or has samples that are no numbers.
        """
        if signal.rate_hz != HOUSE_RATE_HZ:
            raise SignalError(f"sound at {signal.rate_hz} Hz came in; expected {HOUSE_RATE_HZ} Hz: resample it first.")
        if not np.isfinite(signal.samples).all():
            raise SignalError("sound has samples that are not finite; expected numbers from -1 to 1: check its source.")
        count = int(state["count"])
        stream = np.concatenate([state["held"][:count], signal.samples]).astype(np.float32)
        frames = len(stream) // FRAME_SAMPLES
        later, parts = dict(state), []
        for frame in range(frames):
            later, motion = self._frame(later, stream[frame * FRAME_SAMPLES : (frame + 1) * FRAME_SAMPLES])
            parts.append(motion)
        rest = stream[frames * FRAME_SAMPLES :]
        held = np.zeros(FRAME_SAMPLES, np.float32)
        held[: len(rest)] = rest
        later |= {"held": held, "count": np.array(len(rest), np.int64)}
        return later, Motion.concat(parts) if parts else Motion.rest(0)

    def interrupt(self, state: State) -> State:
        """The state after the speaker was cut short: the mouth shuts in four frames, unused sound is forgotten."""
        forgotten = {f"voice_{name}": value for name, value in self._voice.forget(_part(state, "voice_")).items()}
        return {**state, **forgotten, "count": np.zeros((), np.int64), "shut": np.array(SHUT_FRAMES, np.int64)}

    def speaking(self, state: State) -> bool:
        """Whether a voice was heard a moment ago."""
        return self._voice.open(_part(state, "voice_"))

    def finish(self, state: State) -> tuple[State, Motion]:
        """The last, unfinished frame, as if silence followed; nothing when the sound ended on a frame."""
        missing = (FRAME_SAMPLES - int(state["count"])) % FRAME_SAMPLES
        return self.step(state, AudioBlock(np.zeros(missing, np.float32)))

    def run(self, samples: Array) -> Motion:
        """The motion of a whole recording `[S]` at the house rate: the same steps without waiting."""
        state, body = self.step(self.start(), AudioBlock(np.asarray(samples, np.float32)))
        return Motion.concat([body, self.finish(state)[1]])

    def _frame(self, state: State, samples: Array) -> tuple[State, Motion]:
        """One frame of exactly `FRAME_SAMPLES` samples."""
        later = dict(state)
        voice, heard = self._voice.step(_part(state, "voice_"), samples)
        mel, features = self._mel.step(_part(state, "mel_"), heard.samples)
        made = self._network(features=features[None], **_part(state, "net_"))
        later |= {f"voice_{name}": value for name, value in voice.items()}
        later |= {f"mel_{name}": value for name, value in mel.items()}
        later |= {f"net_{name[5:]}": value for name, value in made.items() if name.startswith("next_")}
        loud = float(loudness(features)[0])
        share, shut = shared(float(state["share"]), int(state["shut"]), open_=heard.open)
        later |= {"share": np.array(share), "shut": np.array(shut, np.int64)}
        tracks = np.clip(made["tracks"][0] * (self.scale * share), 0, 1)  # [1, N]
        motion = Motion.rest(1)
        motion = Motion(tracks @ _SPREAD, motion.head, motion.gaze, self.spec)
        if self.idle is None:
            return later, motion
        idle, life = self.idle.step(_part(state, "idle_"), loud)
        later |= {f"idle_{name}": value for name, value in idle.items()}
        return later, joined(motion, life)


def shared(share: float, shut: int, *, open_: bool) -> tuple[float, int]:
    """One frame later: the share of the mouth's motion that is let through, and the frames left to shut it.

    Args:
        share: so far; shut: frames left after an interruption, which outweighs the gate.
        open_: whether the gate is open.
    """
    if shut > 0:
        return share * (shut - 1) / shut, shut - 1
    if open_:
        return share + RETURN * (1 - share), 0
    return max(0.0, share - 1 / FADE_FRAMES), 0


def _part(state: State, prefix: str) -> State:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
