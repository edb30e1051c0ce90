"""`liveportrait`: a photo moved by the face in a video, or by motion that another renderer acts out.

What a driver's picture shows is seen by LivePortrait's own motion extractor. Speech, motion files and trackers have no
picture; for them the mesh renderer moves the very same photo, and its picture drives. So everything drives that drives
the house, and the two faces have one identity, which is what relative driving wants.

Notable choices: the driver's crop is one level square for the whole clip, the median over its first seconds (officially
the mean over the clip, which a stream does not know); eyes and lips that are opened by the retargeting networks do not
take the driver's expression too, which would open them twice; the mask with which the crop is pasted back is ours.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np

from liveface.errors import MotionMismatch, SignalError
from liveface.render.mesh import MeshRenderer
from liveface.signals.face import Face
from liveface.torch_renderers.liveportrait.crop import (
    DRIVING_RAISE,
    DRIVING_SCALE,
    SOURCE_RAISE,
    SOURCE_SCALE,
    Square,
    face_square,
    mean_square,
    openness,
)
from liveface.torch_renderers.liveportrait.drive import (
    EYE_POINTS,
    LENGTH,
    LIP_POINTS,
    Driving,
    Seen,
    driven,
    friendliness,
    parse_driving,
)
from liveface.torch_renderers.liveportrait.engine import Engine, centred, cut_square
from liveface.types import ARKIT_NAMES, Array, Frame, Motion, Pixels, State, arkit_spec

LIPS_OPEN = 0.03  # opening over width from which on the photo's lips are shut before relative driving; official
FEATHER = 0.12  # of the crop's side, over which it fades into the photo, chosen by eye


class Watcher:
    """Sees the pictures of one driver with the motion extractor.

    Args:
        engine: the networks.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._square: Square | None = None
        self._last = np.full(2 * LENGTH, np.nan, np.float32)

    def meet(self, faces: list[Face]) -> None:
        """The driver's face in its first seconds: the square that is cut from every frame."""
        if faces:
            self._square = mean_square(
                [face_square(face.points, DRIVING_SCALE, DRIVING_RAISE, upright=False) for face in faces]
            )

    def look(self, pixels: Pixels, face: Face | None) -> Array:
        """What a frame shows and what the first with a face showed, `[2 * LENGTH]`.

        Without a face it is what was last seen, and not a number when nothing was.
        """
        if face is None:
            return self._last
        if self._square is None:
            self.meet([face])
        assert self._square is not None
        crop = cut_square(pixels, self._square, self._engine.size.picture)
        now = self._engine.look(crop, np.concatenate(openness(face.points))).flat()
        first = now if np.isnan(self._last).any() else self._last[LENGTH:]
        self._last = np.concatenate([now, first])
        return self._last


class LivePortraitRenderer:
    """Renders a driver's face, or motion, onto one photo.

    Args:
        pixels: uint8 `[h, w, 3]` sRGB photo with a face.
        size: width and height of the output in pixels, even.
        face: which face to take when there are several, 1 for the largest; None takes the largest.
        driving: how the driver drives.
        engine: the networks; None opens the user's.
        threads: of the CPU, for an engine that is opened here.

    Attributes:
        needs: any rate will do.
        faces: how many faces the photo has.
        photo: motion (`T = 1`) that shows the photo as it is.
        square: the square of the canvas that is drawn anew.

    Raises:
        FaceError: no usable face. WeightsError, DeviceError: the networks cannot be opened.
    """

    delay = 0

    def __init__(
        self,
        pixels: Pixels,
        size: tuple[int, int] = (360, 640),
        *,
        face: int | None = None,
        driving: Driving | None = None,
        engine: Engine | None = None,
        threads: int = 1,
    ) -> None:
        self._engine = engine or Engine.open(threads=threads)
        self._driving = driving or Driving()
        self._actor = MeshRenderer(pixels, size, face=face)
        self.needs = arkit_spec()
        self.faces, self.photo = self._actor.faces, self._actor.photo
        canvas = self._actor.canvas
        self._still = canvas.shrink(canvas.texture)
        points = canvas.points[:, :2] + 0.5
        self.square = face_square(points, SOURCE_SCALE, SOURCE_RAISE)
        crop = cut_square(canvas.texture, _on_texture(self.square, canvas.margin), self._engine.size.picture)
        self._volume = self._engine.appearance(crop)
        self._source = self._engine.look(crop, np.concatenate(openness(points)))
        self._acted = face_square(points, DRIVING_SCALE, DRIVING_RAISE, upright=False)
        self._shut = self._shutting()
        self._mask = soft_mask(2 * self._engine.size.picture)

    @property
    def plate(self) -> Pixels:
        """There is none.

        Raises:
            SignalError: always.
        """
        raise SignalError(
            "liveportrait draws the photo's own background with the face; expected no --background: change the photo."
        )

    def watcher(self) -> Watcher:
        """What sees one driver's pictures for this renderer; a new one for every driver."""
        return Watcher(self._engine)

    def start(self) -> State:
        """A fresh state: the index of the next frame."""
        return {"index": np.zeros((), np.int64)}

    def step(self, state: State, motion: Motion) -> tuple[State, list[Frame]]:
        """Render every frame of `motion`; what was watched in a driver's picture goes before its coefficients."""
        if motion.spec.expression != ARKIT_NAMES:
            raise MotionMismatch(
                f"liveportrait needs {self.needs.name} or a video, not {motion.spec.name}; convert it first."
            )
        index, at_rest = int(state["index"]), self._source.place()
        frames = [
            Frame(self.paste(self._engine.draw(self._volume, at_rest, self.move(one))), index + at, motion.fps)
            for at, one in enumerate(motion)
        ]
        return {"index": np.asarray(index + len(motion))}, frames

    def move(self, motion: Motion) -> Array:
        """One frame of motion to the keypoints `[21, 3]` that are drawn, in the crop, which is [-1, 1] wide."""
        if motion.watched is None:
            return self.keypoints(self._rest, self._act(motion), acted=True)
        if np.isnan(motion.watched).any():  # no face has been seen so far: the photo as it is
            return self._source.place()
        now, first = np.split(motion.watched[0], 2)
        return self.keypoints(Seen.of(first), Seen.of(now))

    def keypoints(self, first: Seen, now: Seen, *, acted: bool = False) -> Array:
        """Keypoints `[21, 3]` of the photo's face as a driver moves it.

        Args:
            first: the driver at rest; now: the driver.
            acted: the driver is the photo itself, so its lips start from the photo's.
        """
        driving, at_rest = self._driving, self._source.place()
        now = _without_opened(first, now, driving)
        moved = driven(self._source, first, now, driving).place()
        if driving.friendly:
            begin = driven(self._source, first, first, driving).place()
            moved = at_rest + friendliness(at_rest, begin) * (moved - begin)
        if driving.eyes:
            wanted = now.open[:2].mean(keepdims=True)
            moved = moved + self._engine.opening(at_rest, np.concatenate([self._source.open[:2], wanted]))
        if driving.lips:
            moved = moved + self._engine.opening(at_rest, np.array([self._source.open[2], now.open[2]], np.float32))
        if driving.stitch:
            moved = self._engine.stitched(at_rest, moved)
        if self._shut is not None and not acted and not driving.lips:
            moved = moved + self._shut
        return np.asarray(at_rest + driving.strength * (moved - at_rest), np.float32)

    def paste(self, drawn: Pixels) -> Pixels:
        """The crop `[2S, 2S, 3]` put back into the photo on its canvas, uint8 `[H, W, 3]`."""
        height, width = self._still.shape[:2]
        to_crop = centred(self.square.to_crop(len(drawn)))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(drawn, to_crop, (width, height), flags=flags)
        share = cv2.warpAffine(self._mask, to_crop, (width, height), flags=flags)[..., None]
        return np.asarray((self._still * (1 - share) + moved * share).round(), np.uint8)

    @cached_property
    def _rest(self) -> Seen:
        """The actor as the photo shows the face."""
        return self._act(replace(self.photo, head=np.zeros_like(self.photo.head)))

    def _act(self, motion: Motion) -> Seen:
        """What the motion extractor sees when the mesh renderer acts the motion out."""
        _, frames = self._actor.step(self._actor.start(), motion)
        crop = cut_square(frames[0].pixels, self._acted, self._engine.size.picture)
        return self._engine.look(crop, np.concatenate(openness(self._actor.points(motion))))

    def _shutting(self) -> Array | None:
        """Offsets `[21, 3]` that shut the photo's lips, where they are open and shall be shut."""
        driving, opened = self._driving, float(self._source.open[2])
        if not driving.shut or driving.mode != "relative" or opened < LIPS_OPEN or driving.region in ("pose", "eyes"):
            return None
        return self._engine.opening(self._source.place(), np.array([opened, 0], np.float32))


def open_renderer(
    pixels: Pixels, *, size: tuple[int, int], face: int | None, threads: int, driving: str
) -> LivePortraitRenderer:
    """The renderer with the user's weights; `driving` as in `parse_driving`."""
    return LivePortraitRenderer(pixels, size, face=face, driving=parse_driving(driving), threads=threads)


def _on_texture(square: Square, margin: int) -> Square:
    """A square of the canvas on its texture, which is twice as fine and has a margin."""
    return Square((square.centre + margin) * 2, square.side * 2, square.angle)


def _without_opened(first: Seen, now: Seen, driving: Driving) -> Seen:
    """The driver with the expression of eyes and lips at rest where the retargeting networks open them."""
    still = [*(EYE_POINTS if driving.eyes else ()), *(LIP_POINTS if driving.lips else ())]
    if not still:
        return now
    shape = now.expression.copy()
    shape[still] = first.expression[still]
    return replace(now, expression=shape)


def soft_mask(size: int) -> Array:
    """`[size, size]` float32: 1 inside, 0 at the border, smooth in between, corners rounded."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    ramp = np.clip(np.minimum(at, 1 - at) / FEATHER, 0, 1)
    away = np.hypot(1 - ramp[:, None], 1 - ramp[None])
    inside = np.clip(1 - away, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside), np.float32)
