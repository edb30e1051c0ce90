"""How the pose of a source and of a driver become the keypoints that are drawn.

Everything here is plain arithmetic on a few hundred numbers, so it is numpy. Rotations stand to the right of row
vectors, as in `liveface.nets.liveportrait.keypoints`. Source: LivePortrait (Guo and others 2024), its released options.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from liveface.errors import SignalError
from liveface.types import Array

Mask = npt.NDArray[np.bool_]

POINTS = 21
LENGTH = 9 + 3 * POINTS + 1 + 3 + 3 * POINTS + 3
"""Numbers of a `Seen`, flat."""
LIP_POINTS = (6, 12, 14, 17, 19, 20)
EYE_POINTS = (11, 13, 15, 16, 18)
_WHOLE = (1, 2, 6, *range(11, 21))  # keypoints that absolute driving takes over wholly
_PARTS = ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2))  # and (keypoint, coordinate) of those it takes in part
REGIONS = ("all", "pose", "exp", "lip", "eyes")
MODES = ("relative", "absolute")


def _absolute_mask() -> Mask:
    mask = np.zeros((POINTS, 3), bool)
    mask[list(_WHOLE)] = True
    for point, coordinate in _PARTS:
        mask[point, coordinate] = True
    return mask


ABSOLUTE = _absolute_mask()
"""`[21, 3]` what of the driver's expression absolute driving takes; the rest is the shape of a face and stays."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the motion extractor saw in one picture of a face.

    Attributes:
        rotation: `[3, 3]`; expression: `[21, 3]`; scale: a number; shift: `[3]`, depth 0; keypoints: `[21, 3]`.
        open: `[3]` how open the left eye, the right eye and the lips are, opening over width.
    """

    rotation: Array
    expression: Array
    scale: float
    shift: Array
    keypoints: Array
    open: Array

    def flat(self) -> Array:
        """All of it as `[LENGTH]` float32."""
        parts = (self.rotation, self.expression, [self.scale], self.shift, self.keypoints, self.open)
        return np.concatenate([np.asarray(part, np.float32).ravel() for part in parts])

    @staticmethod
    def of(flat: Array) -> Seen:
        """The opposite of `flat`."""
        assert flat.shape == (LENGTH,), flat.shape
        turn, shape, scale, shift, points, opened = np.split(flat, np.cumsum([9, 3 * POINTS, 1, 3, 3 * POINTS]))
        return Seen(
            turn.reshape(3, 3), shape.reshape(POINTS, 3), float(scale[0]), shift, points.reshape(POINTS, 3), opened
        )

    def place(self) -> Array:
        """Keypoints `[21, 3]` in the picture: turned, then shaped, then scaled, then shifted."""
        return np.asarray(self.scale * (self.keypoints @ self.rotation + self.expression) + self.shift, np.float32)


@dataclass(frozen=True, slots=True)
class Driving:
    """How a driver drives.

    Attributes:
        mode: "relative" adds what changed since the driver's first frame; "absolute" takes the driver's pose as it is.
        region: what is taken over: "all", "pose", "exp" (expression), "lip" or "eyes".
        friendly: take only how keypoints move after the first frame, scaled by the ratio of the two faces' sizes; in
            relative driving of a photo the two are the same and it changes nothing.
        stitch: keep shoulders and neck where the photo has them.
        eyes, lips: open them as far as the driver's are, by the retargeting networks.
        shut: close the photo's own lips before relative driving, where they are open.
        strength: size of the motion of keypoints; 1 is natural.
    """

    mode: str = "relative"
    region: str = "all"
    friendly: bool = False
    stitch: bool = True
    eyes: bool = False
    lips: bool = False
    shut: bool = True
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SignalError(f"there is no way of driving {self.mode!r}; expected {' or '.join(MODES)}.")
        if self.region not in REGIONS:
            raise SignalError(f"there is no region {self.region!r} to drive; expected {', '.join(REGIONS)}.")
        if not 0 <= self.strength <= 3:
            raise SignalError(f"driving strength {self.strength} is not usable; expected a number from 0 to 3.")


def parse_driving(text: str) -> Driving:
    """Words such as "absolute,lips,region:exp,strength:0.8"; "no-stitch" and "no-shut" turn off.

    Raises:
        SignalError: a word that is none of them.
    """
    chosen, switches = Driving(), {field.name for field in fields(Driving) if field.type == "bool"}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = word.partition(":")
        off = name.removeprefix("no-")
        if word in MODES:
            chosen = replace(chosen, mode=word)
        elif off in switches and not value:
            chosen = replace(chosen, **{off: off == name})  # type: ignore[arg-type]
        elif name == "region":
            chosen = replace(chosen, region=value)
        elif name == "strength":
            chosen = replace(chosen, strength=_number(value))
        else:
            known = [*MODES, "region:NAME", "strength:NUMBER", *(f"{name} or no-{name}" for name in sorted(switches))]
            raise SignalError(f"driving knows no {word!r}; expected {', '.join(known)}.")
    return chosen


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SignalError(f"driving strength {text!r} is no number; expected one from 0 to 3.") from None


def driven(source: Seen, first: Seen, now: Seen, driving: Driving) -> Seen:
    """The source as the driver moves it; its keypoints stay the source's.

    Args:
        first: the driver's first frame, which counts as rest in relative driving.
    """
    relative = driving.mode == "relative"
    wanted = source.expression + now.expression - first.expression if relative else now.expression
    moved = replace(source, expression=np.where(_taken(driving), wanted, source.expression).astype(np.float32))
    if driving.region not in ("all", "pose"):
        return moved
    shift = np.array(source.shift + now.shift - first.shift if relative else now.shift, np.float32)
    shift[2] = 0  # the networks learned without it
    if not relative:
        return replace(moved, rotation=now.rotation, shift=shift)
    turn = np.asarray(now.rotation @ first.rotation.T @ source.rotation, np.float32)
    return replace(moved, rotation=turn, shift=shift, scale=source.scale * now.scale / first.scale)


def _taken(driving: Driving) -> Mask:
    """`[21, 3]` whose expression comes from the driver."""
    if driving.region == "pose":
        return np.zeros((POINTS, 3), bool)
    taken = np.ones((POINTS, 3), bool) if driving.mode == "relative" else ABSOLUTE
    groups = {"lip": LIP_POINTS, "eyes": EYE_POINTS}
    if driving.region not in groups:
        return taken
    only = np.zeros((POINTS, 3), bool)
    only[list(groups[driving.region])] = True
    return taken & only


def face_volume(points: Array) -> float:
    """Volume of the convex hull of keypoints `[21, 3]`; 0 when they lie in a plane.

    Every facet is a triple of points with all others on one side; there are 1330 triples, so that no library is needed.
    """
    points = points.astype(np.float64)
    triples = _triples(len(points))
    one, two, three = (points[triples[:, at]] for at in range(3))
    normal = np.cross(two - one, three - one)
    height = np.einsum("td,tpd->tp", normal, points[None] - one[:, None])
    slack = 1e-9 * max(float(np.abs(height).max()), 1e-300)
    outer = (height <= slack).all(1) | (height >= -slack).all(1)
    inside = points.mean(0)
    heights = np.abs(np.einsum("td,td->t", normal, inside - one))
    return float((heights * outer).sum() / 6)


def _triples(count: int) -> npt.NDArray[np.intp]:
    grid = np.array(np.meshgrid(*[np.arange(count)] * 3, indexing="ij")).reshape(3, -1).T
    return grid[(grid[:, 0] < grid[:, 1]) & (grid[:, 1] < grid[:, 2])]


def friendliness(source: Array, first: Array) -> float:
    """How much smaller the source's keypoints `[21, 3]` are than the driver's first: the factor of friendly driving."""
    volume = face_volume(first)
    return float(np.sqrt(face_volume(source) / volume)) if volume > 0 else 1.0
