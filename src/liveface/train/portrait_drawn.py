"""The three kinds of samples of the portrait pack, drawn: see `liveface.train.portrait_pack`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface.geometry import head_rotation
from liveface.metrics import EYES, MOUTH, angle_deg, point_error
from liveface.motion.face_model import FaceModel
from liveface.motion.solve import MotionSolver
from liveface.render.mesh import MeshRenderer
from liveface.render.mobileportrait.crop import head_crop
from liveface.render.mobileportrait.sizes import VIEW_TURNS
from liveface.render.topology import OVAL
from liveface.signals.face import Face, FaceTracker, segment_person
from liveface.signals.image import read_image
from liveface.train.faces import face_of, frames
from liveface.train.portrait_pairs import SMOOTHED, Track, frame_numbers, joined, onward, pairs
from liveface.train.portrait_store import SampleRecord, SourceRecord
from liveface.types import ARKIT_INDEX, Array, Motion, Pixels

SIZE = (360, 640)
DRAWN_SIZE = (450, 800)  # of a cycle's drawn picture: about as many pixels as the portraits have

EDGE = 8  # canvas pixels at the photo's own border that do not count, as in `liveface.evaluate`
TURN_DEG = (6.0, 9.0, 5.0)  # standard deviations of pitch, yaw and roll of a cycle's drawn picture
MOST_TURN_DEG = (12.0, 18.0, 12.0)
SHIFT_CM = (0.7, 0.5, 1.5)  # of its head: right, down, away
BLINK_SHARE = 0.6  # photos rarely show shut eyes, so a cycle's drawn picture closes them by so much at most
WORST = {"video": (4.5, 7.0, 14.0), "cycle": (4.0, 6.0, 12.0), "smile": (4.0, 9.0, 16.0)}
"""Percent of the eye distance by which drawn points of face, mouth and eyes may miss those tracked on the truth; more
is a wrong track, a lost face or a photo of another size, and teaches nothing."""
MOST_BEHIND = 12.0  # levels by which still backgrounds may differ; more is a moving camera

Drawn = list[tuple[SourceRecord, list[SampleRecord]]]


class Enrolled:
    """A photo with its renderer and its square."""

    def __init__(self, pixels: Pixels) -> None:
        # As it draws by itself: what its points miss is what `liveface.train.portrait_points` learns.
        self.renderer = MeshRenderer(pixels, SIZE, corrected=False)
        self.canvas = self.renderer.canvas
        self.crop = head_crop(self.canvas.points, SIZE)
        self.rest = replace(self.renderer.photo, head=np.zeros((1, 6), np.float32), landmarks=None)
        inside = cv2.warpAffine(
            np.full(pixels.shape[:2], 255, np.uint8), self.canvas.to_canvas, SIZE, flags=cv2.INTER_NEAREST
        )
        inside = np.asarray(cv2.erode(inside, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)))
        self.valid = self.crop.cut(inside)
        beyond = max(0, -self.crop.corner[0])
        self.valid[:, :beyond] = self.valid[:, len(self.valid) - beyond :] = 0

    def draw(self, motion: Motion) -> Pixels:
        """The square as the mesh renderer draws it."""
        return self.crop.cut(self.renderer.step(self.renderer.start(), motion)[1][0].pixels)

    def matte(self, motion: Motion) -> Pixels:
        """Where the person is in it."""
        return self.crop.cut(self.renderer.matte(self.renderer.start(), motion))

    def record(self) -> SourceRecord:
        """What the pack keeps of it."""
        picture = self.canvas.shrink(self.canvas.texture)
        turns = np.zeros((len(VIEW_TURNS), 6), np.float32)
        turns[:, :2] = VIEW_TURNS
        views = [self.draw(replace(self.rest, head=turn[None])) for turn in turns]
        return SourceRecord(
            self.crop.cut(picture), self.crop.cut(self.renderer.plate), self.matte(self.rest), views,
            self.crop.points(self.canvas.points),
        )  # fmt: skip

    def sample(self, motion: Motion, pixels: Pixels, points: Array) -> SampleRecord:
        """A drawn square beside the true one.

        Args:
            motion: to the truth.
            pixels: uint8 `[h, w, 3]` of the photo's own camera; points: `[478, 3]` tracked on them.
        """
        canvas = self.canvas.cut(pixels)
        true = points * self.canvas.to_canvas[0, 0]
        true[:, :2] += self.canvas.to_canvas[:, 2]
        drawn, true = self.crop.points(self.renderer.points(motion)), self.crop.points(true)
        numbers = frame_numbers(self.crop.points(self.canvas.points), drawn, true)
        numbers["turn"] = angle_deg(head_rotation(*motion.head[0, :3]), np.eye(3, dtype=np.float32))
        for name, members in (("mouth_error", MOUTH), ("eye_error", EYES)):
            numbers[name] = float(point_error(drawn[None], true[None], members)[0])
        matte = np.asarray(np.round(segment_person(canvas) * 255), np.uint8)
        return SampleRecord(
            self.draw(motion), self.crop.cut(canvas), self.matte(motion), self.crop.cut(matte), self.valid, drawn,
            true, numbers,
        )  # fmt: skip


def teaches(sample: SampleRecord, kind: str) -> bool:
    """Whether the truth is what was meant to be drawn: the same face in the same place before the same wall."""
    found = (sample.numbers[name] for name in ("face_error", "mouth_error", "eye_error"))
    if any(value > worst for value, worst in zip(found, WORST[kind], strict=True)):
        return False
    behind = (sample.base_matte < 8) & (sample.truth_matte < 24) & (sample.valid > 0)
    if kind == "smile" or behind.mean() < 0.02:
        return True
    return bool(cv2.absdiff(sample.base, sample.truth)[behind].mean() < MOST_BEHIND)


def of_clip(file: Path, track: Track, sources: int, targets: int, random: np.random.Generator) -> Drawn:
    """Samples of kind "video" of one clip."""
    chosen = pairs(track, sources, targets, random)
    wanted = {frame for source, others in chosen for frame in (source, *others)}
    pictures = _pictures(file, wanted)
    found: Drawn = []
    for source, others in chosen:
        if source not in pictures:
            continue
        photo = Enrolled(pictures[source])
        samples = []
        for other in others:
            motions = track.smooth if random.random() < SMOOTHED else track.raw
            motion = onward(photo.rest, track.raw[source], motions[other])
            if other in pictures:
                samples.append(photo.sample(motion, pictures[other], track.points[other]))
        found.append((photo.record(), [sample for sample in samples if teaches(sample, "video")]))
    return found


def _pictures(file: Path, wanted: set[int]) -> dict[int, Pixels]:
    """Some frames of a clip by number."""
    last = max(wanted, default=-1)
    found: dict[int, Pixels] = {}
    for at, pixels in enumerate(frames(file) if wanted else ()):
        if at in wanted:
            found[at] = pixels
        if at >= last:
            break
    return found


@dataclass(frozen=True, slots=True)
class Bank:
    """Motion of many people, to be worn by portraits; frames of `[N]` relative to each person's rest."""

    motions: Motion

    @staticmethod
    def of(clips: Iterable[Motion], frames_each: int, random: np.random.Generator) -> Bank:
        """Frames of every clip's motion, two of three with wide mouths or strong expressions."""
        parts = []
        for motion in clips:
            jaw = motion.expression[:, ARKIT_INDEX["jawOpen"]]
            strength = np.linalg.norm(motion.expression, axis=1)
            third = frames_each // 3
            strong = np.concatenate([np.argsort(-jaw)[: 2 * third], np.argsort(-strength)[: 2 * third]])
            at = np.concatenate([random.choice(strong, 2 * third), random.integers(len(motion), size=third)])
            rest = Motion(np.zeros_like(motion.expression[at]), np.median(motion.head, 0)[None].repeat(len(at), 0),
                          np.median(motion.gaze, 0)[None].repeat(len(at), 0), motion.spec)  # fmt: skip
            parts.append(onward(rest, rest, motion_at(motion, at)))
        return Bank(Motion(
            np.concatenate([part.expression for part in parts]), np.concatenate([part.head for part in parts]),
            np.concatenate([part.gaze for part in parts]),
        ))  # fmt: skip

    def draw(self, random: np.random.Generator) -> Motion:
        """One frame, larger or smaller, and turned at random."""
        at = int(random.integers(len(self.motions)))
        expression = self.motions.expression[at] * random.uniform(0.6, 1.25)
        blinks = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
        expression[blinks] = np.minimum(expression[blinks], random.uniform(0, BLINK_SHARE))
        turn = np.degrees(self.motions.head[at, :3]) * random.uniform(0, 1) + random.normal(0, TURN_DEG)
        shift = random.normal(0, SHIFT_CM)
        head = np.concatenate([np.radians(np.clip(turn, -np.array(MOST_TURN_DEG), MOST_TURN_DEG)), shift])
        gaze = self.motions.gaze[at] + np.tile(random.normal(0, (0.05, 0.1)), 2)
        return Motion(expression[None], head[None], gaze[None], self.motions.spec)


def motion_at(motion: Motion, at: npt.NDArray[np.intp]) -> Motion:
    """Some frames of motion, by number."""
    return Motion(motion.expression[at], motion.head[at], motion.gaze[at], motion.spec)


def of_portrait(pixels: Pixels, bank: Bank, variants: int, random: np.random.Generator, model: FaceModel) -> Drawn:
    """Samples of kind "cycle" of one portrait."""
    real = MeshRenderer(pixels, DRAWN_SIZE, corrected=False)
    truth = real.canvas.shrink(real.canvas.texture)
    pictures = [real.step(real.start(), bank.draw(random))[1][0].pixels for _ in range(variants)]
    tracker = FaceTracker(static=True)
    faces = [tracker.track(picture) for picture in (truth, *pictures)]
    if faces[0] is None:
        return []
    motions = solved([face for face in faces if face is not None], model)
    found: Drawn = []
    number = 0
    for picture, face in zip(pictures, faces[1:], strict=True):
        if face is None:
            continue
        number += 1
        photo = Enrolled(picture)
        motion = onward(photo.rest, motions[number], motions[0])
        sample = photo.sample(motion, truth, faces[0].points)
        found.append((photo.record(), [sample] if teaches(sample, "cycle") else []))
    return found


def solved(faces: Sequence[Face], model: FaceModel) -> Motion:
    """Absolute motion of single pictures of one person, one frame each."""
    solver = MotionSolver(25, DRAWN_SIZE, model, smooth=False)
    solver.calibrate(list(faces))
    return joined([solver.step(face) for face in faces])


def of_smile(files: Sequence[Path], points: Sequence[Array], model: FaceModel) -> Drawn:
    """Samples of kind "smile": two portraits of one person, each led to the other; only the face is compared."""
    pictures = [read_image(file) for file in files]
    if pictures[0].shape != pictures[1].shape:
        return []
    motions = solved([face_of(found, 1.0) for found in points], model)
    found: Drawn = []
    for first, then in ((0, 1), (1, 0)):
        photo = Enrolled(pictures[first])
        sample = photo.sample(onward(photo.rest, motions[first], motions[then]), pictures[then], points[then])
        face = np.zeros_like(sample.valid)
        cv2.fillPoly(face, [np.round(sample.truth_points[OVAL, :2]).astype(np.int32)], 255)
        face = np.asarray(cv2.GaussianBlur(cv2.erode(face, np.ones((5, 5), np.uint8)), (0, 0), 3))
        sample = replace(sample, valid=np.minimum(face, sample.valid))
        found.append((photo.record(), [sample] if teaches(sample, "smile") else []))
    return found
