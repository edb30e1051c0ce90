"""Make a pack from a source: look once to measure and judge, choose frames, look again to cut them.

Notable choices: the first pass holds only points and small grey views, so that memory stays small for minutes of
video; the reference is the frame that shows the person at rest, or the photo itself; of a long recording the frames
kept are half spread evenly and half the ones that differ most in their motion from those already kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liveface.errors import FaceError, RecipeError
from liveface.render.liveface.controls import Controls, tracked_lips
from liveface.render.liveface.paste import cut_patch
from liveface.render.liveface.regions import REGIONS, VISEME_FRAMES
from liveface.render.liveface.rig import Posed, Rig
from liveface.render.mesh import ABSOLUTE
from liveface.render.topology import CHIN
from liveface.signals.face import FaceTracker
from liveface.train.avatar.canvas import Cutter, Shoulders
from liveface.train.avatar.capture import require
from liveface.train.avatar.colour import matched, skin_colour, take_gains
from liveface.train.avatar.pack import Pack, PackWriter
from liveface.train.avatar.quality import Looks, RejectedSheet, counts
from liveface.train.avatar.refine import Refiner
from liveface.train.avatar.sources import GAP_S, HELD_MOST_S, HELD_SHARE, Source
from liveface.train.avatar.track import Raw, Track, label, pick_reference, solve
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, HOUSE_FPS, Array, Motion, Pixels, State, arkit_spec

LEAST_FRAMES = 24  # good ones that may be learned
TAKE_APART = 1000  # added to the frame numbers from take to take, so that no neighbours are made up
_MEANING = np.array([0.3 if name.startswith(("cheek", "nose")) else 1.0 for name in ARKIT_NAMES], np.float32)

_log = logging.getLogger(__name__)

Cut = tuple[dict[str, Pixels], dict[str, Pixels], tuple[Pixels, Pixels], dict[str, npt.NDArray[Any]]]
"""True and warped patches by region, the true and the warped canvas, values by file and name."""
Say = Callable[[str, float], None]
"""Takes the name of a stage and how far it is, 0 to 1."""


@dataclass(frozen=True, slots=True)
class PackOptions:
    """What a pack should hold.

    Attributes:
        size: width and height of the canvas.
        most: largest number of learned frames.
        canvases: whole canvases besides the held-out ones' (spread over the learned frames).
        held_canvases: most held-out frames that are kept at all, whole; they follow each other.
        refine: whether the head's pose is refined on every frame's picture.
    """

    size: tuple[int, int] = (360, 640)
    most: int = 3000
    canvases: int = 48
    held_canvases: int = 600
    refine: bool = True


@dataclass(frozen=True)
class _Plan:
    """What the first pass found out: what to keep, and what every frame shows."""

    track: Track
    motion: Motion
    reference: int
    verdicts: npt.NDArray[np.int8]
    held: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    gains: Array  # [takes, 3] of the colours


def make_pack(source: Source, folder: Path, options: PackOptions | None = None, say: Say | None = None) -> Pack:
    """Make the pack of one person.

    Args:
        source: frames; asked two or three times for all of them.
        folder: where the pack goes.
        say: told the progress.

    Raises:
        SignalError: the recording cannot be learned from, see `capture`.
        FaceError: no face in the source.
        RecipeError: too few good frames to learn from.
    """
    options, say, since = options or PackOptions(), say or _silent, time.perf_counter()
    findings = source.check()
    require(findings, source.name)
    for finding in findings:
        _log.warning("%s: %s", source.name, finding.words)
    track, looks, colours = _look(source, say)
    raw = solve(track)
    held = _held_out(source, track)
    plan = _plan(source, (track, looks, colours), raw, held, options)
    rig = Rig.of(_reference(source, plan), options.size).with_own(plan.motion.expression[plan.reference])
    kept = np.flatnonzero(plan.kept)
    canvases = _whole(plan.held[kept], options)
    writer, rejected = PackWriter(folder, rig, len(kept), canvases), RejectedSheet(plan.verdicts)
    for frame in _cut(source, plan, rig, rejected, say, refine=options.refine):
        writer.add(*frame)
    (folder / "rejected.png").unlink(missing_ok=True)
    rejected.save(folder / "rejected.png")
    info = _info(source, plan, kept, time.perf_counter() - since)
    return writer.finish({**info, "capture": [finding.words for finding in findings]})


def _look(source: Source, say: Say) -> tuple[Track, Looks, Array]:
    """First pass: points (tracked, or known already), the filter's view and the skin's colour of every frame."""
    looks, tracker, known = Looks(), FaceTracker(), source.known
    points: list[Array] = []
    score: list[float] = []
    takes: list[int] = []
    colours: list[Array] = []
    size = (0, 0)
    for at, (take, pixels) in enumerate(source.frames()):
        if known is None:
            if takes and takes[-1] != take:
                tracker.reset()
            face = tracker.track(pixels)
            points.append(face.points if face else points[-1] if points else np.zeros((478, 3), np.float32))
            score.append(face.score if face else 0.0)
        elif at < len(known.score):
            points.append(known.points[at])
            score.append(float(known.score[at]))
        else:
            break
        size = (pixels.shape[1], pixels.shape[0])
        takes.append(take)
        looks.see(pixels, points[-1] if score[-1] > 0 else None)
        colours.append(skin_colour(pixels, points[-1]) if score[-1] > 0 else np.full(3, np.nan, np.float32))
        say("looking", at / max(source.frames_estimate, 1))
    if not any(score):
        raise FaceError(f"no face was found in the {len(score)} frames of {source.name}; film one face, well lit.")
    track = Track(np.array(points), np.array(score, np.float32), np.array(takes, np.int32), size, source.fps)
    return track, looks, np.array(colours)


def _held_out(source: Source, track: Track) -> npt.NDArray[np.int8]:
    """For every frame 1 when it is held out, 0 when it may be learned, -1 when it is neither (between both)."""
    out = np.zeros(len(track.take), np.int8)
    for take, held in enumerate(source.held):
        here = np.flatnonzero(track.take == take)
        if held is None:
            seconds = max(1.0, min(HELD_MOST_S, np.floor(HELD_SHARE * len(here) / track.fps)))
            first = max(0, len(here) - round(seconds * track.fps))
            out[here[first:]] = 1
            out[here[max(0, first - round(GAP_S * track.fps)) : first]] = -1
        elif held:
            out[here] = 1
    return out


def _plan(
    source: Source,
    looked: tuple[Track, Looks, Array],
    raw: Raw,
    held: npt.NDArray[np.int8],
    options: PackOptions,
) -> _Plan:
    """Reference, labels, verdicts, and which frames to keep."""
    track, looks, colours = looked
    sharp = np.array(looks.sharp, np.float32)
    learnable = track.seen & (held == 0)
    if not learnable.any():
        raise RecipeError(f"{source.name} leaves no frame to learn from; give a longer recording.")
    reference = 0 if source.on_canvas else pick_reference(raw, track.points, learnable, sharp)
    motion = label(raw, track, reference)
    if source.on_canvas:  # a photo's own smile is its rest; lips and jaw alone are absolute
        own = motion.expression[reference].copy()
        own[[ARKIT_INDEX[name] for name in ABSOLUTE]] = 0
        motion = replace(motion, expression=np.clip(motion.expression - own, -1, 1))
    verdicts = looks.verdicts(track.seen, reference, track.take)
    good = verdicts < 0
    kept = np.zeros(len(good), bool)
    kept[_choose(motion, np.flatnonzero(good & (held == 0)), options.most)] = True
    kept[np.flatnonzero(good & (held == 1))[: options.held_canvases]] = True
    if (kept & (held == 0)).sum() < LEAST_FRAMES:
        raise RecipeError(
            f"{source.name} has {int((kept & (held == 0)).sum())} good frames to learn from; expected at least "
            f"{LEAST_FRAMES}: give a longer or clearer recording."
        )
    return _Plan(track, motion, reference, verdicts, held == 1, kept, take_gains(colours, track.take, reference))


def _choose(motion: Motion, frames: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """At most `most` of `frames`: half evenly spread, half those whose motion is farthest from what is kept."""
    if len(frames) <= most:
        return frames
    table = np.concatenate([motion.expression * _MEANING, 3 * motion.head[:, :3], 2 * motion.gaze], 1)[frames]
    chosen = list(np.unique(np.linspace(0, len(frames) - 1, most - most // 2).astype(int)))
    nearest = np.full(len(frames), np.inf, np.float32)
    for at in chosen:
        nearest = np.minimum(nearest, ((table - table[at]) ** 2).sum(1))
    while len(chosen) < most:
        at = int(np.argmax(nearest))
        chosen.append(at)
        nearest = np.minimum(nearest, ((table - table[at]) ** 2).sum(1))
    return frames[np.sort(chosen)]


def _on_canvas(source: Source, track: Track, rig: Rig) -> Array:
    """Tracked points `[T, 478, 2]` in canvas pixels."""
    points = track.points[..., :2]
    return points if source.on_canvas else points @ rig.to_canvas[:, :2].T + rig.to_canvas[:, 2]


def _reference(source: Source, plan: _Plan) -> Pixels:
    """The reference picture: the photo, or the chosen frame."""
    if source.photo is not None:
        return source.photo
    return next(pixels for at, (_, pixels) in enumerate(source.frames()) if at == plan.reference)


def _cut(source: Source, plan: _Plan, rig: Rig, rejected: RejectedSheet, say: Say, *, refine: bool) -> Iterator[Cut]:
    """Second pass: patches, bases and controls of the kept frames, in order."""
    canvas, controls = rig.canvas, _History(Controls(rig), plan.motion)
    cut = Cutter(canvas)
    shoulders = Shoulders(rig.reference, canvas.shrink(rig.matte), rig.points[CHIN, :2], rig.eye_px)
    points = _on_canvas(source, plan.track, rig)
    refiner = Refiner(rig) if refine else None
    for at, (take, pixels) in enumerate(source.frames()):
        if at >= len(plan.kept):
            return
        rejected.offer(at, pixels)
        if not plan.kept[at]:
            continue
        motion, picture = plan.motion[at], pixels if source.on_canvas else matched(cut(pixels), plan.gains[take])
        motion = refiner(motion, picture) if refiner is not None else motion
        moved = shoulders(picture)
        posed = rig.pose(motion, moved)
        base = rig.base(posed)
        found = controls.at(at, plan.track.take, posed, motion.head - plan.motion.head[at])
        rows = {f"controls/{name}": row for name, row in found.items()}
        rows |= {
            "controls/tracked": tracked_lips(rig, posed, points[at], motion),
            "controls/time": np.asarray(at + TAKE_APART * take, np.int64),
            "controls/held": np.asarray(plan.held[at]),
            "motion/expression": motion.expression[0],
            "motion/head": motion.head[0],
            "motion/gaze": motion.gaze[0],
            "motion/shoulders": moved,
        }
        rows |= {f"boxes/{name}": posed.boxes[name] for name in REGIONS}
        true, warped = (
            {name: cut_patch(whole, posed.boxes[name], name) for name in REGIONS} for whole in (picture, base)
        )
        yield true, warped, (picture, base), rows
        say("cutting", at / len(plan.kept))


class _History:
    """Control vectors of any frame, with the two house frames before it taken from the motion of its take."""

    def __init__(self, controls: Controls, motion: Motion) -> None:
        self._controls, self._motion = controls, motion

    def at(self, frame: int, take: npt.NDArray[np.int32], posed: Posed, refined: Array) -> dict[str, Array]:
        """Controls of one frame; `refined` `[1, 6]` is added to its head and to those before it: speeds stay."""
        state: State = self._controls.start()
        first = int(np.searchsorted(take, take[frame]))
        found: dict[str, Array] = {}
        for back in range(VISEME_FRAMES - 1, -1, -1):
            earlier = self._between(frame - back * self._motion.fps / HOUSE_FPS, first)
            state, found = self._controls.step(state, replace(earlier, head=earlier.head + refined), posed)
        return found

    def _between(self, position: float, first: int) -> Motion:
        """Motion at a fractional frame, not before the take's `first`."""
        position = max(position, float(first))
        low = int(position)
        share = np.float32(position - low)
        if share < 1e-3:
            return replace(self._motion[low], spec=arkit_spec())
        one, two = self._motion[low], self._motion[low + 1]
        expression, head, gaze = (
            getattr(one, name) * (1 - share) + getattr(two, name) * share for name in ("expression", "head", "gaze")
        )
        return Motion(expression, head, gaze, arkit_spec())


def _whole(held: npt.NDArray[np.bool_], options: PackOptions) -> npt.NDArray[np.int64]:
    """Which kept frames are stored whole: the held-out ones, and some of the learned."""
    learned = np.flatnonzero(~held)
    spread = learned[np.unique(np.linspace(0, len(learned) - 1, min(options.canvases, len(learned))).astype(int))]
    return np.sort(np.concatenate([np.flatnonzero(held), spread])).astype(np.int64)


def _info(source: Source, plan: _Plan, kept: npt.NDArray[np.intp], seconds: float) -> dict[str, Any]:
    judged = len(plan.verdicts)
    return {
        "source": source.name,
        "teacher": source.teacher,
        "fps": source.fps,
        "takes": len(source.held),
        "seen": judged,
        "seen_s": round(judged / source.fps, 2),
        "held_out": int(plan.held[kept].sum()),
        "reference": plan.reference,
        "rejected": {name: count for name, count in counts(plan.verdicts).items() if count},
        "colours_matched": round(float(np.abs(plan.gains - 1).max()), 3),
        "rejection_rate": round(float((plan.verdicts >= 0).mean()), 5),
        "made_in_s": round(seconds, 1),
    }


def _silent(_stage: str, _share: float) -> None:
    """Nobody listens."""
