"""The central types: numpy only, frozen, validated once, sliceable.

Axis letters, fixed for the whole project: `B` batch, `T` frames, `S` samples, `M` mel bins, `E` expression, `K`
landmarks, `D` width, `C H W` image. Angles are radians, durations end in `_s` or `_ms`.

The face frame is metric and the same everywhere: centimetres, x to the viewer's right (image right), y down, z away
from the camera. A head at rest that looks into the camera has rotation (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from liveface.errors import MotionError, MotionMismatch, SignalError

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
State = dict[str, npt.NDArray[np.generic]]

HOUSE_RATE_HZ = 24_000  # house audio rate: divides by 30 fps (800 samples a frame) and by 25 fps (960)
HOUSE_FPS = 30  # rate of every motion network

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 52 blendshape names of ARKit in Apple's order. Left and right are the person's own."""

ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}


@dataclass(frozen=True, slots=True)
class MotionSpec:
    """What a motion sequence means. Two parts fit when their specs are equal; nothing is guessed."""

    name: str
    expression: tuple[str, ...]
    fps: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fps) and 0 < self.fps <= 1000):
            raise MotionError(f"motion rate {self.fps} fps is not usable; expected a number above 0 and up to 1000.")

    def at(self, fps: float) -> MotionSpec:
        """The same fields at another rate."""
        return replace(self, name=f"{self.name.split('@')[0]}@{fps:g}", fps=float(fps))


def arkit_spec(fps: float = HOUSE_FPS) -> MotionSpec:
    """The house's motion: 52 ARKit coefficients, head and gaze, at `fps` frames per second."""
    return MotionSpec(name=f"arkit52@{fps:g}", expression=ARKIT_NAMES, fps=float(fps))


@dataclass(frozen=True, slots=True)
class Motion:
    """A sequence of facial motion; one frame is `T = 1`.

    Attributes:
        expression: `[T, 52]` float32 ARKit coefficients, nominally 0 to 1.
        head: `[T, 6]` float32; pitch, yaw, roll in radians, then x, y, z in centimetres of the face frame.
            Positive pitch looks down, positive yaw looks to the image's right, positive roll leans the top of the
            head to the image's right (clockwise as seen); see `liveface.geometry.head_rotation`.
        gaze: `[T, 4]` float32 radians relative to the head; left eye's pitch and yaw, right eye's pitch and yaw,
            signs as for the head.
        spec: names and rate.
        landmarks: `[T, 478, 2]` float32 pixels of the tracked picture, or None.
        watched: `[T, C]` float32 what a renderer's own network saw in the driver's pictures, not a number where there
            was no face, or None.
    """

    expression: Array
    head: Array
    gaze: Array
    spec: MotionSpec = field(default_factory=arkit_spec)
    landmarks: Array | None = None
    watched: Array | None = None

    def __post_init__(self) -> None:
        frames = len(self.expression)
        wanted = {"expression": (frames, len(self.spec.expression)), "head": (frames, 6), "gaze": (frames, 4)}
        for name, shape in wanted.items():
            value = np.ascontiguousarray(getattr(self, name), np.float32)
            if value.shape != shape:
                raise MotionError(f"motion field {name!r} has shape {value.shape}; expected {shape}.")
            if not np.isfinite(value).all():
                raise MotionError(f"motion field {name!r} has values that are not finite; expected real numbers.")
            object.__setattr__(self, name, value)
        if self.landmarks is not None and (self.landmarks.ndim != 3 or len(self.landmarks) != frames):
            raise MotionError(f"motion landmarks have shape {self.landmarks.shape}; expected ({frames}, K, 2).")
        if self.watched is not None and (self.watched.ndim != 2 or len(self.watched) != frames):
            raise MotionError(f"watched motion has shape {self.watched.shape}; expected ({frames}, C).")

    def __len__(self) -> int:
        return len(self.expression)

    def __getitem__(self, index: int | slice) -> Motion:
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"motion has {len(self)} frames; frame {index} does not exist.")
            index = slice(index % len(self), index % len(self) + 1)
        landmarks = None if self.landmarks is None else self.landmarks[index]
        watched = None if self.watched is None else self.watched[index]
        return Motion(self.expression[index], self.head[index], self.gaze[index], self.spec, landmarks, watched)

    def __iter__(self) -> Iterator[Motion]:
        return (self[index] for index in range(len(self)))

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.spec.fps

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self) / self.spec.fps

    def coefficient(self, name: str) -> Array:
        """The track `[T]` of one named coefficient."""
        if name not in self.spec.expression:
            raise MotionError(f"there is no coefficient {name!r} in {self.spec.name}; see liveface.ARKIT_NAMES.")
        return self.expression[:, self.spec.expression.index(name)]

    def resample(self, fps: float) -> Motion:
        """The same motion at another rate, linearly interpolated; landmarks too, what was watched is lost."""
        if fps == self.fps or not len(self):
            return self if fps == self.fps else replace(self, spec=self.spec.at(fps))
        frames = max(1, round(len(self) * fps / self.fps))
        at = np.clip(np.arange(frames) * (self.fps / fps), 0, len(self) - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, len(self) - 1)
        share = (at - low).astype(np.float32)

        def blend(track: Array) -> Array:
            weight = share.reshape(-1, *[1] * (track.ndim - 1))
            return track[low] * (1 - weight) + track[high] * weight

        landmarks = None if self.landmarks is None else blend(self.landmarks)
        return Motion(blend(self.expression), blend(self.head), blend(self.gaze), self.spec.at(fps), landmarks)

    @staticmethod
    def concat(parts: list[Motion]) -> Motion:
        """Join sequences of one spec end to end; what not every part has does not survive."""
        if not parts:
            raise MotionError("nothing to join; expected at least one motion sequence.")
        for part in parts:
            if part.spec != parts[0].spec:
                raise MotionMismatch(f"cannot join {parts[0].spec.name} and {part.spec.name}; resample one of them.")
        return Motion(
            np.concatenate([part.expression for part in parts]),
            np.concatenate([part.head for part in parts]),
            np.concatenate([part.gaze for part in parts]),
            parts[0].spec,
            _joined([part.landmarks for part in parts]),
            _joined([part.watched for part in parts]),
        )

    @staticmethod
    def rest(frames: int = 1, fps: float = HOUSE_FPS) -> Motion:
        """`frames` frames of a neutral face that looks into the camera."""
        expression, head, gaze = (np.zeros((frames, width), np.float32) for width in (52, 6, 4))
        return Motion(expression, head, gaze, arkit_spec(fps))


def _joined(tracks: list[Array | None]) -> Array | None:
    known = [track for track in tracks if track is not None]
    return np.concatenate(known) if len(known) == len(tracks) else None


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """Mono sound at the house rate.

    Attributes:
        samples: `[S]` float32 in [-1, 1].
        start: index of the first sample since the beginning of the stream.
        rate_hz: samples per second.
    """

    samples: Array
    start: int = 0
    rate_hz: int = HOUSE_RATE_HZ

    def __post_init__(self) -> None:
        if self.samples.ndim != 1:
            raise SignalError(f"sound has shape {self.samples.shape}; expected one channel, shape (samples,).")

    @property
    def time_s(self) -> float:
        """Time of the first sample."""
        return self.start / self.rate_hz


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: `pixels` uint8 `[H, W, 3]` sRGB; `index` and `fps` are the truth, seconds are derived.

    `alpha` is uint8 `[H, W]`, 255 where the person is, for frames without a background (colours are not multiplied by
    it); None is a whole picture.
    """

    pixels: Pixels
    index: int = 0
    fps: float = HOUSE_FPS
    alpha: Pixels | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            shape, dtype = self.pixels.shape, self.pixels.dtype
            raise SignalError(f"frame has shape {shape} and type {dtype}; expected (height, width, 3) and uint8.")
        if self.alpha is not None and (self.alpha.dtype != np.uint8 or self.alpha.shape != self.pixels.shape[:2]):
            raise SignalError(f"frame has an alpha of shape {self.alpha.shape}; expected {self.pixels.shape[:2]}.")

    @property
    def time_s(self) -> float:
        """Time since the first frame."""
        return self.index / self.fps


@runtime_checkable
class MotionModel(Protocol):
    """Signal to motion, one step at a time; state is an argument."""

    spec: MotionSpec
    lookahead_ms: float

    def start(self) -> State: ...

    def step(self, state: State, signal: AudioBlock) -> tuple[State, Motion]: ...


@runtime_checkable
class Renderer(Protocol):
    """Motion to pictures, one step at a time; state is an argument."""

    needs: MotionSpec
    delay: int

    def start(self) -> State: ...

    def step(self, state: State, motion: Motion) -> tuple[State, list[Frame]]: ...


class Sink(Protocol):
    """Where frames go; a context manager."""

    def write(self, frame: Frame, audio: AudioBlock | None) -> None: ...
