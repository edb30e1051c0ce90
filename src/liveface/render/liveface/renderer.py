"""The run time of an avatar: motion to frames with four decoders and the compositor, in LiteRT.

Mouth and eyes are drawn every frame; hair and body every third, in turns, and blended over the frames between, so the
cost of a frame is even. What never changes (appearance features, the picture's layer, grids) is made once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from liveface.avatar import Avatar
from liveface.errors import AvatarError, MotionMismatch
from liveface.render.head import ease_turn
from liveface.render.liveface.compositor import ENDS, Compositor, half
from liveface.render.liveface.controls import Controls
from liveface.render.liveface.paste import faded, paste, to_rgba
from liveface.render.liveface.regions import CONTROL_SIZES, REGIONS
from liveface.render.liveface.rig import Posed, Rig
from liveface.runtime import Arrays, Step
from liveface.tflite import integer_ends
from liveface.types import ARKIT_NAMES, Array, Frame, Motion, MotionSpec, Pixels, State, arkit_spec

BODY_FOLLOW = 0.35  # how much of the head's shift the shoulders follow, as in `layers`
MOUTH_MODES = ("landmarks", "visemes")

Clock = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class _Phase:
    """When a slow region is drawn: at frames with `index % every == offset`."""

    every: int
    offset: int


SLOW = {"hair": _Phase(REGIONS["hair"].every, 0), "body": _Phase(REGIONS["body"].every, 1)}


class LiveFaceRenderer:
    """Renders motion with an avatar.

    Args:
        avatar: the avatar, as read.
        mouth: which input of the mouth decoder is used, "landmarks" or "visemes".
        threads: CPU threads of the networks.
        clock: told the name and the seconds of every stage, for benchmarks.

    Attributes:
        needs: any rate will do; frames come at the rate of the motion.
        photo: motion (`T = 1`) that shows the reference picture.
        rig: the avatar's geometry.
        features: `[1, h, w, F]` float32, what the compositor knows of the person's looks.

    Raises:
        AvatarError: its networks do not fit this version.
    """

    delay = 0
    faces = 1

    def __init__(
        self, avatar: Avatar, *, mouth: str = "landmarks", threads: int = 1, clock: Clock | None = None
    ) -> None:
        if mouth not in MOUTH_MODES:
            raise AvatarError(f"there is no mouth input {mouth!r}; expected one of {', '.join(MOUTH_MODES)}.")
        self.needs: MotionSpec = arkit_spec()
        self.avatar, self.rig = avatar, Rig.from_files(avatar.rig)
        if self.rig.size != avatar.about.canvas:
            raise AvatarError(
                f"avatar {avatar.about.name!r} has a rig for {self.rig.size} and says {avatar.about.canvas}; "
                "expected both alike: create it again."
            )
        self._controls = Controls(self.rig, visemes=mouth == "visemes", reach=avatar.about.reach)
        self._mode = np.full((1, 1), float(mouth == "landmarks"), np.float32)
        self._decoders = {
            name: Step(Path(f"{name}.tflite"), threads, content=integer_ends(avatar.networks[name], ENDS))
            for name in REGIONS
        }
        self._compositor = Compositor(avatar.shared_network("compositor"), threads)
        self.features = self._appearance(Step(avatar.shared_network("appearance"), threads))
        self._compositor.learn(self.features)
        self._clock = clock or (lambda stage, seconds: None)
        self._check()
        own = self.rig.head.own
        self.photo = Motion(
            own[None], np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32),
            landmarks=self.rig.points[None, :, :2],
        )  # fmt: skip

    def _appearance(self, network: Step) -> Array:
        """Features of the reference, once; one network serves every canvas, its grid is brought to the canvas's."""
        rows, columns = network.inputs["reference"][0][1:3]
        picture = cv2.resize(self.rig.reference, (columns, rows), interpolation=cv2.INTER_AREA)
        features = _only(network(reference=picture[None].astype(np.float32) / 255))
        rows, columns = self._compositor.step.inputs["features"][0][1:3]
        if features.shape[:2] != (rows, columns):
            parts = [cv2.resize(part, (columns, rows)) for part in np.moveaxis(features, -1, 0)]
            features = np.stack(parts, -1)
        return np.ascontiguousarray(features[None], np.float32)

    def _check(self) -> None:
        """Every network must take and give what this version says."""
        width, height = self.rig.size
        for name, step in self._decoders.items():
            patch = REGIONS[name].size
            names = ("visemes", "landmarks") if name == "mouth" else (name,)
            takes = {key: (1, CONTROL_SIZES[key]) for key in names} | ({"mode": (1, 1)} if name == "mouth" else {})
            gives = [(1, patch[1] // 8, patch[0] // 8, 256)]
            found = {key: shape for key, (shape, _) in step.inputs.items()}
            if found != takes or [shape for shape, _ in step.outputs.values()] != gives:
                raise AvatarError(
                    f"the {name} network of avatar {self.avatar.about.name!r} takes {found} and gives "
                    f"{step.outputs}; expected {takes} and {gives[0]}: create the avatar again."
                )
            try:
                step(**{key: np.zeros(shape, dtype) for key, (shape, dtype) in step.inputs.items()})
            except (RuntimeError, ValueError) as error:
                raise AvatarError(
                    f"the {name} network of avatar {self.avatar.about.name!r} does not run ({error}); expected one "
                    "that liveface exported: create the avatar again."
                ) from error
        canvas, _ = self._compositor.step.inputs["canvas"]
        if canvas != (1, height // 2, width // 2, 10):
            raise AvatarError(f"the compositor takes {canvas}; expected a canvas of {width}x{height}.")

    def start(self) -> State:
        """A fresh state: nothing was drawn yet."""
        state: State = {"index": np.zeros((), np.int64)}
        for name in SLOW:
            width, height = REGIONS[name].size
            for which in ("before", "after"):
                state[f"{name}/{which}"] = np.zeros((height, width, 4), np.uint8)
        return state | {f"controls/{name}": value for name, value in self._controls.start().items()}

    def step(self, state: State, motion: Motion) -> tuple[State, list[Frame]]:
        """Render every frame of `motion`; head and gaze are relative to the reference picture."""
        if motion.spec.expression != ARKIT_NAMES:
            raise MotionMismatch(f"an avatar needs {self.needs.name}, not {motion.spec.name}; convert it first.")
        frames = []
        for one in motion:
            index = int(state["index"])
            state, pixels = self._draw(state, one)
            frames.append(Frame(pixels, index, motion.fps))
        return state, frames

    def shoulders(self, head: Array, time_s: float) -> Array:
        """Shift of the shoulders `[2]` in eye distances: they follow the head and rise with the breath."""
        follow = self.avatar.about.reach.shoulders(head, self.rig.head.px_per_cm / self.rig.eye_px * BODY_FOLLOW)
        return np.asarray(follow - np.array([0, self.avatar.about.behaviour.breath(time_s)]), np.float32)

    def _draw(self, state: State, motion: Motion) -> tuple[State, Pixels]:
        since = time.perf_counter()
        index = int(state["index"])
        time_s = index / motion.fps
        motion, posed = self._pose(motion, time_s)
        held = {name.removeprefix("controls/"): value for name, value in state.items() if name.startswith("controls/")}
        phase = 2 * np.pi * self.avatar.about.behaviour.breaths_per_min / 60 * time_s
        held, controls = self._controls.step(held, motion, posed, breath=phase)
        after: State = {f"controls/{name}": value for name, value in held.items()}
        since = self._tick("controls", since)
        picture = self.rig.base(posed)
        below = half(picture)
        since = self._tick("base", since)
        fronts = {name: self._decode(name, controls) for name in REGIONS if name not in SLOW}
        for name, phase_of in SLOW.items():
            fronts[name], kept = self._slow(name, phase_of, index, state, controls)
            after |= kept
        since = self._tick("decoders", since)
        alphas = paste(picture, fronts, posed.boxes)
        since = self._tick("paste", since)
        self._compositor(picture, alphas, below)
        self._tick("compositor", since)
        return after | {"index": np.asarray(index + 1, np.int64)}, picture

    @property
    def plate(self) -> Pixels:
        """The background without the person, uint8 `[H, W, 3]`."""
        return self.rig.plate

    def matte(self, state: State, motion: Motion) -> Pixels:
        """Where the person is in the picture that `step` makes of `state` and one frame of motion, uint8 `[H, W]`."""
        return self.rig.cover(self._pose(motion, int(state["index"]) / motion.fps)[1])

    def _pose(self, motion: Motion, time_s: float) -> tuple[Motion, Posed]:
        """Motion within reach, and the geometry it gives."""
        motion = self.avatar.about.reach.motion(_within_reach(motion))
        return motion, self.rig.pose(motion, self.shoulders(motion.head[0], time_s))

    def _tick(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self._clock(stage, now - since)
        return now

    def _decode(self, name: str, controls: dict[str, Array]) -> Pixels:
        """A region's patch, faded towards its border."""
        step = self._decoders[name]
        known = {"mode": self._mode, "controls": controls.get(name, self._mode), **controls}
        for key in step.inputs:
            step.fill(key)[:] = known[key]
        ((end, grid),) = step.run().items()
        return faded(to_rgba(grid[0], step.steps[end]), name)

    def _slow(
        self, name: str, phase: _Phase, index: int, state: State, controls: dict[str, Array]
    ) -> tuple[Pixels, State]:
        """A slow region's patch between its last two drawings, and what to keep."""
        before, after = state[f"{name}/before"], state[f"{name}/after"]
        if index == 0:
            before = after = self._decode(name, controls)
        elif (index - phase.offset) % phase.every == 0:
            before, after = after, self._decode(name, controls)
        share = ((index - phase.offset) % phase.every + 1) / phase.every
        mixed = after if before is after else cv2.addWeighted(before, 1 - share, after, share, 0)
        return np.asarray(mixed, np.uint8), {f"{name}/before": before, f"{name}/after": after}


def _within_reach(motion: Motion) -> Motion:
    """Turns eased towards what a recording from the front can hold."""
    head = motion.head.copy()
    head[0, :3] = ease_turn(head[0, :3])
    return Motion(motion.expression, head, motion.gaze, motion.spec)


def _only(result: Arrays) -> Array:
    """The single output of a network, without its batch."""
    (value,) = result.values()
    return np.asarray(value[0], np.float32)
