"""`SpeechToMotion`: speech in, a talking face out, one frame of 30 fps for every 800 samples.

Notable choices: frame `t` is what the face does from `t / 30` s on, and is made when the sound of that same thirtieth
of a second has been heard, so the look-ahead is one frame, 33.3 ms, and nothing later can change it; the network draws
each frame in one step from noise, given the frames already shown, and the noise of one frame resembles that of the
last; blinks and glances come from the seeded idle model, or from whoever measures the eyes, and reach both the network
and the face; the idle model's sway, breath and brows add to what the network moves; when the gate of `signals.voice` is
shut, the mouth is led to what it is at rest in its emotion, and more slowly so brows and head, whatever the network
makes of the noise. Blocks of any size may come in, and each frame is computed alone, so that every cut of the stream
gives the same numbers.

Source: Lee et al. 2025 (AudioRTA) for one-step drawing with out-painting; gate, rest and idle life are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from liveface import weights
from liveface.errors import MotionError, SignalError, WeightsError
from liveface.motion.codes import CODES, EYE_SLOT, GROUPS, TRACKS, lift_eyes, motion_of, read_eyes
from liveface.motion.diffusion import next_noise
from liveface.motion.emotion import EMOTIONS, ONSET_S, check_emotion, complete, resting, shut
from liveface.motion.eyes import EyeFeed, show_eyes
from liveface.motion.idle import IdleMotion
from liveface.motion.style import STYLES, check_style
from liveface.runtime import Step
from liveface.signals.features import FRAME_SAMPLES, HOPS_PER_FRAME, MELS, LogMel, loudness
from liveface.signals.voice import VoiceInput
from liveface.types import (
    ARKIT_INDEX,
    ARKIT_NAMES,
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
FADE_FRAMES = 5  # after the gate has shut the mouth is led to rest within 0.17 s; chosen
SHUT_FRAMES = 4  # after an interruption within 0.13 s
RETURN = 0.85  # share of the way back in the first frame with a voice; measured: .6 dulls the onset of words
TALK_S, LISTEN_S = 0.3, 0.8  # time constants in which brows and head begin to follow speech, and cease; chosen
IDLE_BROWS = (
    0.4  # share of idle brows beside speech's own; with all of them a face raised its brows twice as much as real
)
FARTHEST_HEAD = 6.0  # head numbers are held to 0.6 rad, as far as any avatar turns
_START_FEATURE = -2.0  # the network's past before the first sample, as in training
_WIDTHS = {"noise": CODES, "last": CODES, "emotion": len(EMOTIONS), "style": len(STYLES), "eyes": EYE_SLOT}
_LIDS = np.array([name.startswith(("eyeBlink", "eyeLook")) for name in ARKIT_NAMES])
_BROWS = np.array([name.startswith("brow") for name in ARKIT_NAMES])
_OPENINGS = [ARKIT_INDEX[f"eye{name}{side}"] for name in ("Wide", "Squint") for side in ("Left", "Right")]


class Ears(Protocol):
    """Features of sound other than the house's own; `signals.wav2vec` has some."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features of a frame."""
        ...

    def start(self) -> State: ...

    def step(self, state: State, samples: Array) -> tuple[State, Array]: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """One frame of sound and what the face does beside it.

    Attributes:
        features: `[4, 64]` levelled log-mel, or those of other ears.
        open: whether somebody speaks, as the gate says.
        life: idle life of this frame, `T = 1`.
        slot: `[160]` what the eyes do.
        measured: share of the eyes that is measured rather than idle, 0 to 1.
    """

    features: Array
    open: bool
    life: Motion
    slot: Array
    measured: float


@dataclass(frozen=True, slots=True)
class SpeechToMotion:
    """A motion model driven by sound; see the module's notes.

    Attributes:
        idle: blinks, gaze, breath, and a head and brows that are never quite still; None adds nothing.
        scale: size of the expression; 1 is natural.
        head: size of the head's motion in speech; 0 turns it off.
        emotion: `[8]` intensities of `EMOTIONS`, 0 to 1; None is neutral.
        style: `[4]` numbers of `STYLES`; None is an average talker.
        seed: of what sound does not tell.
        parts: which of `GROUPS` the network moves.
        threads: CPU threads of the network.
        file: a network of the same inputs and outputs; None is the one that ships.
        ears: features that `file` was trained on; None is the house's log-mel.
        spec: what comes out.
        lookahead_ms: how far past the beginning of a frame sound can change it.
    """

    idle: IdleMotion | None = field(default_factory=IdleMotion)
    scale: float = 1.0
    head: float = 1.0
    emotion: Array | None = None
    style: Array | None = None
    seed: int = 0
    parts: tuple[str, ...] = tuple(GROUPS)
    threads: int = 1
    file: Path | None = None
    ears: Ears | None = None
    spec: MotionSpec = field(default_factory=arkit_spec)
    lookahead_ms: float = 1000 * FRAME_SAMPLES / HOUSE_RATE_HZ
    _network: Step = field(init=False, repr=False)
    _size: Array = field(init=False, repr=False)
    _voice: VoiceInput = field(init=False, repr=False, default_factory=VoiceInput)
    _mel: LogMel = field(init=False, repr=False, default_factory=LogMel)
    _feed: EyeFeed = field(init=False, repr=False, default_factory=EyeFeed)

    def __post_init__(self) -> None:
        if self.idle is not None and self.idle.fps != HOUSE_FPS:
            raise SignalError(f"the idle model runs at {self.idle.fps:g} fps; speech needs one at {HOUSE_FPS} fps.")
        if strange := set(self.parts) - set(GROUPS):
            raise MotionError(f"a face has no part {sorted(strange)[0]!r}; expected some of {', '.join(GROUPS)}.")
        object.__setattr__(self, "_network", _opened(self.file, self.ears, self.threads))
        size = np.zeros(CODES, np.float32)
        for part in self.parts:
            size[GROUPS[part]] = self.head if part == "head" else self.scale
        object.__setattr__(self, "_size", size)

    def start(self) -> State:
        """The state before the first sample.

        `wanted` and `emotion` are the emotion asked for and the one in force, `share` what of the mouth's motion is
        let through, `shut` the frames left to shut it, `talk` how much brows and head belong to speech.
        """
        wanted = np.zeros(len(EMOTIONS), np.float32) if self.emotion is None else check_emotion(self.emotion)
        style = np.zeros(len(STYLES), np.float32) if self.style is None else check_style(self.style)
        state: State = {"held": np.zeros(FRAME_SAMPLES, np.float32), "count": np.zeros((), np.int64)}
        state |= {"frame": np.zeros((), np.int64), "wanted": wanted, "emotion": wanted, "style": style}
        state |= {"share": np.zeros(()), "shut": np.zeros((), np.int64), "talk": np.zeros(())}
        state |= {"noise": np.zeros(CODES, np.float32), "last": np.zeros(CODES, np.float32)}
        for prefix, part in (("voice_", self._voice), ("mel_", self._mel), ("eyes_", self._feed)):
            state |= _named(prefix, part.start())
        for name, (shape, dtype) in self._network.inputs.items():
            if name not in _WIDTHS and name != "features":
                state[f"net_{name}"] = np.full(shape, _START_FEATURE if name == "hops" else 0, dtype)
        state |= {} if self.idle is None else _named("idle_", self.idle.start())
        state |= {} if self.ears is None else _named("ears_", self.ears.start())
        return state

    def step(self, state: State, signal: AudioBlock, eyes: Array | None = None) -> tuple[State, Motion]:
        """The frames that `signal` completes: none, one or several.

        Args:
            state: of `start` or the last call.
            signal: sound at the house rate.
            eyes: `[160]` the slot of measured eyes in these frames (`motion.codes.lift_eyes`, `signals.eye_camera`).

        Raises:
            SignalError: the block is not at the house rate or has samples that are no numbers.
        """
        return self._framed(state, signal, lambda now, samples: self._frame(now, samples, eyes))

    def direct(self, state: State, *, emotion: Array | None = None, style: Array | None = None) -> State:
        """The state with another emotion `[8]` or style `[4]` from the next frame on; emotions pass over smoothly."""
        changed: State = {} if emotion is None else {"wanted": check_emotion(emotion)}
        return {**state, **changed, **({} if style is None else {"style": check_style(style)})}

    def interrupt(self, state: State) -> State:
        """The state after the speaker was cut short: the mouth shuts in four frames, unused sound is forgotten."""
        forgotten = _named("voice_", self._voice.forget(_part(state, "voice_")))
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

    def _framed(
        self, state: State, signal: AudioBlock, frame: Callable[[State, Array], tuple[State, Motion]]
    ) -> tuple[State, Motion]:
        """Cut what has come in into frames."""
        if signal.rate_hz != HOUSE_RATE_HZ:
            raise SignalError(f"sound at {signal.rate_hz} Hz came in; expected {HOUSE_RATE_HZ} Hz: resample it first.")
        if not np.isfinite(signal.samples).all():
            raise SignalError("sound has samples that are not finite; expected numbers from -1 to 1: check its source.")
        count = int(state["count"])
        stream = np.concatenate([state["held"][:count], signal.samples]).astype(np.float32)
        whole = len(stream) // FRAME_SAMPLES * FRAME_SAMPLES
        later, parts = dict(state), []
        for samples in stream[:whole].reshape(-1, FRAME_SAMPLES):
            later, motion = frame(later, samples)
            parts.append(motion)
        held = np.zeros(FRAME_SAMPLES, np.float32)
        held[: len(stream) - whole] = stream[whole:]
        later |= {"held": held, "count": np.array(len(stream) - whole, np.int64)}
        return later, Motion.concat(parts) if parts else Motion.rest(0)

    def _frame(self, state: State, samples: Array, eyes: Array | None) -> tuple[State, Motion]:
        """One frame of exactly `FRAME_SAMPLES` samples."""
        later, heard = self.hear(state, samples, eyes)
        frame = int(state["frame"])
        rng = np.random.default_rng([self.seed % 2**32, frame])
        noise = next_noise(np.asarray(state["noise"], np.float32) if frame else None, rng, (CODES,))
        given = {name: np.asarray(later[name], np.float32) for name in ("last", "emotion", "style")}
        given |= {"noise": noise, "eyes": heard.slot, "features": heard.features}
        made = self._network(**{name: value[None] for name, value in given.items()}, **_part(state, "net_"))
        later |= {f"net_{name[5:]}": value for name, value in made.items() if name.startswith("next_")}
        later |= {"noise": noise, "frame": np.array(frame + 1, np.int64)}
        return self.show(later, heard, made["codes"][0])

    def hear(self, state: State, samples: Array, eyes: Array | None = None) -> tuple[State, Heard]:
        """The ears and the idle life of one frame."""
        voice, spoken = self._voice.step(_part(state, "voice_"), samples)
        mel, features = self._mel.step(_part(state, "mel_"), spoken.samples)
        later = {**state, **_named("voice_", voice), **_named("mel_", mel)}
        life = Motion.rest(1)
        if self.idle is not None:
            idle, life = self.idle.step(_part(state, "idle_"), float(loudness(features)[0]))
            later |= _named("idle_", idle)
        if self.ears is not None:
            ears, features = self.ears.step(_part(state, "ears_"), spoken.samples)
            later |= _named("ears_", ears)
        fed, slot = self._feed.step(_part(state, "eyes_"), life, eyes)
        emotion, wanted = (np.asarray(state[name], np.float32) for name in ("emotion", "wanted"))
        now = emotion + (wanted - emotion) * np.float32(1 - np.exp(-1 / (HOUSE_FPS * ONSET_S)))
        later |= {**_named("eyes_", fed), "emotion": np.asarray(now, np.float32)}
        return later, Heard(features, spoken.open, life, slot, float(fed["share"]))

    def show(self, state: State, heard: Heard, codes: Array) -> tuple[State, Motion]:
        """What is shown of the network's codes `[26]`, with eyes and idle life."""
        emotion = np.asarray(state["emotion"], np.float32)
        share, left = shared(float(state["share"]), int(state["shut"]), open_=heard.open)
        talk = float(state["talk"])
        talk += (heard.open - talk) * (1 - np.exp(-1 / (HOUSE_FPS * (TALK_S if heard.open else LISTEN_S))))
        tracks, angles = codes[: len(TRACKS)], codes[len(TRACKS) :]
        shown = np.concatenate([np.clip(tracks, 0, 1), np.clip(angles, -FARTHEST_HEAD, FARTHEST_HEAD)])
        rest = resting(emotion) if emotion.any() else np.zeros(CODES, np.float32)
        shown = shut(shown.astype(np.float32), emotion, rest)
        spoken = np.full(CODES, talk, np.float32)
        spoken[GROUPS["mouth"]] = share
        shown = spoken * shown + (1 - spoken) * rest
        shown = shown.astype(np.float32)
        motion = _living(motion_of((shown * self._size)[None]), heard, 1 - (1 - IDLE_BROWS) * talk)
        changed: State = {"share": np.array(share), "shut": np.array(left, np.int64), "talk": np.array(talk)}
        return {**state, **changed, "last": shown}, complete(motion, emotion) if emotion.any() else motion


def _living(motion: Motion, heard: Heard, brows: float) -> Motion:
    """One frame of speech with eyes and idle life, `brows` of its brows."""
    life = heard.life
    idle = np.where(_LIDS, 0, life.expression)
    idle[:, _BROWS] *= brows
    # Eyes hold their target while the head moves otherwise than idle life meant it to; measured eyes know.
    eyes = read_eyes(heard.slot)
    eyes[:2] -= motion.head[0, :2] * (1 - heard.measured)
    seen = show_eyes(motion, lift_eyes(eyes))
    expression = np.clip(seen.expression + idle, 0, 1)
    expression[:, _OPENINGS] = np.maximum(seen.expression[:, _OPENINGS], motion.expression[:, _OPENINGS])
    return replace(seen, expression=expression, head=motion.head + life.head)


def _opened(file: Path | None, ears: Ears | None, threads: int) -> Step:
    """The network, once its inputs and outputs are those of a speech network."""
    network = Step(weights.path(FILE) if file is None else file, threads=threads)
    shape = (HOPS_PER_FRAME, MELS) if ears is None else ears.shape
    wanted: dict[str, tuple[int, ...]] = {"features": (1, *shape), "codes": (1, CODES)}
    wanted |= {name: (1, width) for name, width in _WIDTHS.items()}
    found = {name: shape for name, (shape, _) in {**network.inputs, **network.outputs}.items()}
    if any(found.get(name) != shape for name, shape in wanted.items()):
        raise WeightsError(
            f"{file or FILE} has shapes {found}; expected {wanted} among them, as a speech network has: "
            "install liveface again."
        )
    return network


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


def _named(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}
