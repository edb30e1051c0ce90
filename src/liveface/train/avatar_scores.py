"""Scores of what an avatar draws on frames nothing learned from, against the true frames: pixels, points, steadiness.

Notable choices: the avatar is driven as the product drives it, by motion through its renderer, frame after frame in
every run of held-out frames; the `mesh` renderer gets the same reference picture and the same motion; made and true
frames are tracked anew by the same tracker, so that its noise counts on both sides; a picture flickers where it changes
although the truth does not, so changes are counted on the pixels that are still in the true video, whose own change
(grain, compression) stands beside.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import RecipeError
from liveface.lipsync import opening
from liveface.metrics import EYES, MOUTH, lid_opening, mouth_box, point_error, psnr, ssim_map
from liveface.render.liveface.paste import cut_patch
from liveface.render.liveface.rig import Rig
from liveface.render.mesh import MeshRenderer
from liveface.signals.face import FaceTracker
from liveface.train.avatar.pack import Pack
from liveface.types import Array, Motion, Pixels, Renderer, State, arkit_spec

STILL_LEVELS = 2.0  # of 255: what changes less than this in the truth, over 5 x 5 pixels, counts as still; chosen
STILL_LEAST = 0.02  # share of the frame that must be still
MOST_FRAMES = 600

Scores = dict[str, float]
Recogniser = Callable[[Pixels, Array], Array]
"""A picture and the tracked points of its face to a unit vector; faces are alike by the product of theirs."""


@dataclass(frozen=True)
class Scene:
    """Held-out frames of one person, in runs of neighbours.

    Attributes:
        name: of the person.
        rig: the person's geometry and reference picture.
        true: uint8 `[H, W, 3]` each.
        motion: expression absolute, head and gaze relative to the reference; one frame for every picture.
        boxes: region name to `[T, 2, 3]`, patch pixels to canvas pixels.
        runs: which frames follow each other in time.
        fps: frames per second.
    """

    name: str
    rig: Rig
    true: Sequence[Pixels]
    motion: Motion
    boxes: dict[str, Array]
    runs: list[slice]
    fps: float

    @staticmethod
    def of(pack: Pack, most: int = MOST_FRAMES) -> Scene:
        """The first `most` held-out frames of a pack.

        Raises:
            RecipeError: it holds none out.
        """
        places = [at for at, frame in enumerate(pack.frames_at) if pack.held[frame]][:most]
        if len(places) < 2:
            raise RecipeError(
                f"the pack {pack.folder} holds out {len(places)} whole frames; expected at least 2: make it from a "
                "longer recording."
            )
        at = pack.frames_at[places]
        motion = Motion(pack.expression[at], pack.head[at], pack.gaze[at], arkit_spec(pack.fps))
        breaks = np.flatnonzero(np.diff(pack.time[at]) != 1) + 1
        ends = [0, *breaks.tolist(), len(at)]
        runs = [slice(first, last) for first, last in pairwise(ends)]
        frames = pack.frames
        boxes = {name: box[at] for name, box in pack.boxes.items()}
        pictures = [np.array(frames[place]) for place in places]
        return Scene(pack.folder.name, pack.rig, pictures, motion, boxes, runs, pack.fps)


@dataclass(slots=True)
class Drawn:
    """What a renderer made of a scene.

    Attributes:
        pictures: uint8 `[H, W, 3]`, one for every frame of the scene.
        times_ms: how long each took.
    """

    pictures: list[Pixels]
    times_ms: list[float] = field(default_factory=list)

    @property
    def spread_ms(self) -> tuple[float, float]:
        """Median and 95th percentile of the time of a frame, milliseconds."""
        middle, high = np.percentile(self.times_ms, [50, 95])
        return round(float(middle), 3), round(float(high), 3)


def draw(renderer: Renderer, scene: Scene, motion: Motion | None = None) -> Drawn:
    """Every frame of a scene by a renderer; each run begins with a fresh state."""
    motion = scene.motion if motion is None else motion
    drawn = Drawn([])
    for run in scene.runs:
        state: State = renderer.start()
        for one in motion[run]:
            since = time.perf_counter()
            state, frames = renderer.step(state, one)
            drawn.times_ms.append(1000 * (time.perf_counter() - since))
            drawn.pictures += [frame.pixels for frame in frames]
    return drawn


def draw_mesh(scene: Scene) -> Drawn:
    """The same by the `mesh` renderer from the same reference picture."""
    rig = scene.rig
    edge = 2 * rig.margin
    photo = np.ascontiguousarray(rig.texture[edge : rig.texture.shape[0] - edge, edge : rig.texture.shape[1] - edge])
    renderer = MeshRenderer(photo, rig.size)
    added = renderer.photo.expression - rig.head.own  # what the renderer shows for the reference's own expression
    motion = Motion(scene.motion.expression + added, scene.motion.head, scene.motion.gaze, scene.motion.spec)
    drawn = draw(renderer, scene, motion)
    drawn.pictures = [_on_canvas(picture, renderer.canvas.to_canvas) for picture in drawn.pictures]
    return drawn


def _on_canvas(picture: Pixels, to_canvas: Array) -> Pixels:
    """A picture of a renderer that framed the reference (twice the canvas) anew, back on the rig's canvas."""
    half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])  # pixels of the texture to the canvas, centres at integers
    back = np.linalg.inv(np.vstack([to_canvas, [0, 0, 1]]))
    matrix = (np.vstack([half, [0, 0, 1]]) @ back)[:2]
    if np.abs(matrix - np.eye(2, 3)).max() < 0.02:
        return picture
    height, width = picture.shape[:2]
    moved = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def track(scene: Scene, pictures: Sequence[Pixels]) -> Array:
    """Points `[T, 478, 3]` of the face in every picture of a scene, NaN where there is none."""
    points = np.full((len(pictures), 478, 3), np.nan, np.float32)
    for run in scene.runs:
        tracker = FaceTracker()
        for at in range(run.start, run.stop):
            face = tracker.track(pictures[at])
            if face is not None:
                points[at] = face.points
    return points


def score(
    scene: Scene, pictures: Sequence[Pixels], points: tuple[Array, Array], recognise: Recogniser | None = None
) -> Scores:
    """All scores of the pictures made for a scene.

    Args:
        points: tracked points `[T, 478, 3]` of the true and of the made pictures.
        recognise: what tells faces apart; None leaves `identity` out.
    """
    found = _pixels(scene, pictures, points[0]) | _points(*points) | _steadiness(scene, pictures)
    if recognise is not None:
        found |= _identity(scene, pictures, points, recognise)
    return {name: round(value, 4) for name, value in found.items() if np.isfinite(value)}


def _pixels(scene: Scene, pictures: Sequence[Pixels], points: Array) -> Scores:
    """PSNR and SSIM of the frame, PSNR of patches and of the mouth's box, sharpness of the mouth beside the truth's."""
    rows: dict[str, list[float]] = defaultdict(list)
    energy, patches = np.zeros(2), np.zeros(2)
    height, width = scene.true[0].shape[:2]
    for at, (made, true) in enumerate(zip(pictures, scene.true, strict=True)):
        rows["psnr_db"].append(psnr(made, true))
        rows["ssim"].append(float(ssim_map(made, true).mean()))
        for name, boxes in scene.boxes.items():
            pair = [cut_patch(picture, boxes[at], name) for picture in (made, true)]
            rows[f"{name}_patch_psnr_db"].append(psnr(*pair))
            patches += [detail(patch) for patch in pair] if name == "mouth" else 0
        if np.isfinite(points[at, 0, 0]):
            box = mouth_box(points[at], (width, height))
            rows["mouth_psnr_db"].append(psnr(made[box], true[box]))
            energy += [detail(picture[box]) for picture in (made, true)]
    scores = {name: float(np.mean(values)) for name, values in rows.items()}
    near, fine = (float(one[0] / max(one[1], 1e-9)) for one in (energy, patches))
    return scores | {"sharpness": near, "patch_sharpness": fine}


def detail(picture: Pixels) -> float:
    """Energy of the Laplacian of a picture's luma."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(np.square(cv2.Laplacian(grey, cv2.CV_32F)).sum())


def _points(true: Array, made: Array) -> Scores:
    """Errors of lips and lids after tracking anew, percent of the inter-ocular distance."""
    seen = np.isfinite(true[:, 0, 0])
    both = seen & np.isfinite(made[:, 0, 0])
    lost = float(seen.sum() - both.sum())
    if not both.any():
        return {"lost": lost}
    one, other = made[both], true[both]
    return {
        "mouth_error": float(point_error(one, other, MOUTH).mean()),
        "eye_error": float(point_error(one, other, EYES).mean()),
        "lip_gap_error": float(np.abs(opening(one) - opening(other)).mean() / 0.7),
        "lid_gap_error": float(np.abs(lid_opening(one) - lid_opening(other)).mean()),
        "lost": lost,
    }


def _steadiness(scene: Scene, pictures: Sequence[Pixels]) -> Scores:
    """Change from frame to frame, in levels of 255, where the truth is still: of the pictures and of the truth."""
    rows = []
    for run in scene.runs:
        for at in range(run.start, run.stop - 1):
            still = still_pixels(scene.true[at], scene.true[at + 1])
            if still.mean() >= STILL_LEAST:
                pairs = ((pictures[at], pictures[at + 1]), (scene.true[at], scene.true[at + 1]))
                rows.append([float(cv2.absdiff(*pair)[still].mean()) for pair in pairs])
    if not rows:
        return {}
    made, true = np.mean(rows, 0)
    return {"flicker": float(made), "flicker_true": float(true)}


def still_pixels(before: Pixels, after: Pixels) -> npt.NDArray[np.bool_]:
    """Where `[H, W]` two neighbouring true frames show the same thing."""
    change = cv2.absdiff(before, after).max(2).astype(np.float32)
    return np.asarray(cv2.blur(change, (5, 5)) < STILL_LEVELS)


def _identity(scene: Scene, pictures: Sequence[Pixels], points: tuple[Array, Array], recognise: Recogniser) -> Scores:
    """How alike made faces are to the person, beside how alike the person's own other frames are.

    Both are measured against the mean of the true frames of the other half of the scene.
    """
    both = np.flatnonzero(np.isfinite(points[0][:, 0, 0]) & np.isfinite(points[1][:, 0, 0]))
    both = both[np.unique(np.linspace(0, len(both) - 1, min(len(both), 60)).astype(int))] if len(both) else both
    if len(both) < 4:
        return {}
    true = np.array([recognise(scene.true[int(at)], points[0][at]) for at in both])
    made = np.array([recognise(pictures[int(at)], points[1][at]) for at in both])
    half = len(both) // 2
    alike: list[list[float]] = [[], []]
    for part, other in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        template = true[other].mean(0)
        template /= np.linalg.norm(template)
        for index, vectors in enumerate((made, true)):
            alike[index] += (vectors[part] @ template).tolist()
    return {"identity": float(np.mean(alike[0])), "identity_true": float(np.mean(alike[1]))}
