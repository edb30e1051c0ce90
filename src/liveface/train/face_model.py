"""The recipe that learns the face model: constant offset, identity modes and ARKit basis from tracked video.

The prior is the ICT face model on MediaPipe's canonical points. The tracker's points sit a little differently, mostly
around eyes and mouth corners, and real people move a little differently. Each round fits the present model to all
chosen frames (one person per clip), then regresses what is left of every point on the coefficients, held to the prior
in proportion to how much the prior moves that point. Every frame also counts mirrored, so that left and right stay
symmetric. Identity gains modes learned from what the prior's modes leave of portraits and clips.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liveface.errors import RecipeError
from liveface.motion.face_model import IRIS, LIDS, POINTS, FaceModel
from liveface.motion.fit import point_weights
from liveface.motion.solve import EYE_RADIUS, MotionSolver, fit_photo, read_eyes, solve_seen
from liveface.train.faces import cache_points, data_folder, face_of, held_out_clips, held_out_portraits
from liveface.train.recipe import content_of, parse_options
from liveface.types import ARKIT_NAMES, Array

_CLOSED_CM = 0.04  # lid gap left at eyeBlink 1: lids that meet (chosen)
_LIP_ROWS = (  # from the person's right corner to the left: upper outer, upper inner, lower inner, lower outer
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
)
IRIS_RADIUS = 0.59  # cm; the human iris measures 11.7 mm across with little variance
_FLIP = np.array([1, -1, -1], np.float32)  # MediaPipe's canonical frame (y up, z towards the camera) to ours


@dataclass(frozen=True, slots=True)
class FaceModelRecipe:
    """What a run needs.

    Attributes:
        cache: folder written by `liveface.train.faces`; empty: `faces` in the run's folder, written when missing.
        groups: catalogue groups to learn from, "open", "permissive".
        rounds: fit and regress this often; frames_per_clip, frames_per_sentence: frames taken of a clip and of a GRID
            sentence.
        prior_modes: identity modes kept of the prior; own_modes: modes learned from our data.
        freedom: how far a point may leave the prior, as a share of its prior movement; floor_cm: the same for points
            the prior does not move; noise_cm: expected distance of one tracked point from the fit.
    """

    cache: str = ""
    groups: tuple[str, ...] = ("open", "permissive")
    rounds: int = 4
    frames_per_clip: int = 120
    frames_per_sentence: int = 8
    prior_modes: int = 30
    own_modes: int = 20
    freedom: float = 0.5
    floor_cm: float = 0.02
    noise_cm: float = 0.1

    @staticmethod
    def read(file: Path) -> FaceModelRecipe:
        """The recipe in a TOML file; unknown keys are refused."""
        content = content_of(file)
        if content.pop("train", "face-model") != "face-model":
            raise RecipeError(f'{file} is a recipe of another kind; expected one with the line: train = "face-model".')
        recipe = parse_options(FaceModelRecipe, content, f"the recipe {file}")
        if recipe.rounds < 1:
            raise RecipeError(f"the recipe {file} has {recipe.rounds} rounds; expected 1 or more.")
        return recipe


@dataclass(frozen=True, slots=True)
class Seen:
    """Fitted frames of one person: what the model explains and what it leaves.

    Attributes:
        expression: `[N, 52]`; rows: `[N, 2, 3]`, the upper part of each rotation; left: `[N, 2, 478]` cm.
    """

    expression: Array
    rows: Array
    left: Array


def mirror_index(mean: Array) -> np.ndarray:
    """For every point `[478]` the index of its mirror image on the other side of the face."""
    distance = np.linalg.norm((mean * (-1, 1, 1))[:468, None] - mean[None, :468], axis=-1)
    twin = distance.argmin(1)
    if not (twin[twin] == np.arange(468)).all():
        raise ValueError("the mean face is not symmetric enough to pair its points")
    rings = np.array([473, 476, 475, 474, 477, 468, 471, 470, 469, 472])  # a mirror swaps image right and left
    return np.concatenate([twin, rings])


def mirror_names() -> np.ndarray:
    """For every coefficient `[52]` the index of the same movement on the other side."""
    swap = {"Left": "Right", "Right": "Left"}
    twins = []
    for name in ARKIT_NAMES:
        side = next((side for side in swap if name.endswith(side)), None)
        twins.append(ARKIT_NAMES.index(name if side is None else name.removesuffix(side) + swap[side]))
    return np.array(twins)


def prior(data: Path, modes: int = 60) -> FaceModel:
    """The ICT face on MediaPipe's points (`face3d/face3d.npz`), in our frame and with irises."""
    with np.load(data / "face3d" / "face3d.npz") as stored:
        mean = np.zeros((POINTS, 3), np.float32)
        mean[:468] = stored["neutral"] * _FLIP
        identity = np.zeros((modes, POINTS, 3), np.float32)
        identity[:, :468] = stored["identity"][:modes].astype(np.float32) * _FLIP
        expression = np.zeros((52, POINTS, 3), np.float32)
        expression[:, :468] = stored["arkit"].astype(np.float32) * _FLIP
        centres = stored["eye_centre"] * _FLIP
        triangles = stored["faces"].astype(np.int32)
    return FaceModel(*with_irises(mean, identity, centres), expression, centres, triangles)


def with_irises(mean: Array, identity: Array, centres: Array) -> tuple[Array, Array]:
    """Put both irises before their eye centres `[2, 3]`, and let them follow the lids with identity."""
    ring = np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]], np.float32) * IRIS_RADIUS
    for eye in range(2):
        mean[IRIS[eye], :2] = centres[eye, :2] + ring
        mean[IRIS[eye], 2] = centres[eye, 2] - EYE_RADIUS
        identity[:, IRIS[eye]] = identity[:, list(LIDS[eye])].mean(1, keepdims=True)
    return mean, identity


def observe(model: FaceModel, stored: dict[str, Any], most: int) -> Seen | None:
    """Fit up to `most` frames, spread over a tracked clip, as one person; None when it shows no face."""
    seen = np.flatnonzero(stored["score"] > 0)
    if len(seen) < 10:  # too short to know the person
        return None
    points = stored["points"][seen[np.linspace(0, len(seen) - 1, min(most, len(seen))).astype(int)]]
    solver = MotionSolver(float(stored["fps"]), (int(stored["size"][0]), int(stored["size"][1])), model)
    solver.calibrate([face_of(frame, 1.0) for frame in points])
    fitted = [solve_seen(solver, frame[:, :2]) for frame in points]
    expression, rows, left = (np.stack(part) for part in zip(*fitted, strict=True))
    return Seen(expression, rows, left)


def _lift(seen: Seen) -> Array:
    """The mean leftover of one person as a shift `[478, 3]` of every point, shrunk when frames are few."""
    count = len(seen.rows)
    normal = np.einsum("fri,frj->ij", seen.rows, seen.rows) + 3.0 * np.eye(3)
    towards = np.einsum("fri,frk->ki", seen.rows, seen.left)
    return np.asarray(np.linalg.solve(normal, towards.T).T if count else towards, np.float32)


def regress_expression(model: FaceModel, start: FaceModel, people: list[Seen], recipe: FaceModelRecipe) -> Array:
    """The expression basis `[52, 478, 3]` that best explains `people`, held to the prior's basis in `start`."""
    twin, names = mirror_index(start.mean), mirror_names()
    matrix = np.zeros((156, 156))
    vector = np.zeros((156, POINTS))
    for seen in people:
        own = np.einsum("fri,ki->frk", seen.rows, _lift(seen))
        aim = (
            seen.left - own + np.einsum("fe,eki,fri->frk", seen.expression, model.expression, seen.rows, optimize=True)
        )
        for mirrored in (False, True):
            rows, coefficients, goal = seen.rows, seen.expression, aim
            if mirrored:
                rows = rows * np.array([-1, 1])[None, :, None] * np.array([-1, 1, 1])
                coefficients = coefficients[:, names]
                goal = goal[:, :, twin] * np.array([-1, 1])[None, :, None]
            design = (coefficients[:, None, :, None] * rows[:, :, None, :]).reshape(-1, 156)
            matrix += design.T @ design
            vector += design.T @ goal.reshape(-1, POINTS)
    scale = 1 / (10 * recipe.noise_cm**2)  # neighbouring frames err together: ten count as one
    spread = np.linalg.norm(start.expression, axis=2)  # [52, 478]
    allowed = (recipe.freedom * _neighbourhood(spread, start)) ** 2 + recipe.floor_cm**2
    basis = np.empty((POINTS, 156))
    before = start.expression.transpose(1, 0, 2).reshape(POINTS, 156)
    for point in range(POINTS):
        hold = np.repeat(1 / allowed[:, point], 3)
        basis[point] = np.linalg.solve(matrix * scale + np.diag(hold), vector[:, point] * scale + hold * before[point])
    learned = basis.reshape(POINTS, 52, 3).transpose(1, 0, 2).astype(np.float32)
    learned[:, 468:] = 0
    return learned


def _neighbourhood(spread: Array, model: FaceModel) -> Array:
    """Movement `[52, 478]` averaged over the points within 1.5 cm, so that the edge of a movement may shift."""
    distance = np.linalg.norm(model.mean[:, None] - model.mean[None], axis=-1)
    near = np.exp(-((distance / 0.8) ** 2))
    return np.asarray(spread @ (near / near.sum(1, keepdims=True)).T, np.float32)


def pin_meaning(mean: Array, expression: Array) -> Array:
    """Hold what ARKit's names promise and a regression only nearly gives.

    eyeBlink at 1 makes the lids meet: regression towards the mean leaves a third of the gap open. mouthClose against an
    equal jawOpen leaves the lips as far apart as at rest.
    """
    pinned = expression.copy()
    for name, middle in (("eyeBlinkLeft", ((385, 380), (386, 374))), ("eyeBlinkRight", ((158, 153), (159, 145)))):
        index = ARKIT_NAMES.index(name)
        gap = float(np.mean([mean[low, 1] - mean[up, 1] for up, low in middle]))
        change = float(np.mean([pinned[index, low, 1] - pinned[index, up, 1] for up, low in middle]))
        pinned[index] *= np.clip((_CLOSED_CM - gap) / change, 0.8, 1.8)
    close, together = ARKIT_NAMES.index("mouthClose"), pinned[ARKIT_NAMES.index("jawOpen")].copy()
    together += pinned[close]
    _, upper, lower, _ = _LIP_ROWS
    for column in range(1, len(upper) - 1):
        apart = float(together[lower[column], 1] - together[upper[column], 1])
        for row, share in zip(_LIP_ROWS, (0.25, 0.5, -0.5, -0.25), strict=True):
            pinned[close, row[column], 1] += share * apart
    return pinned


def part_lips(mean: Array) -> Array:
    """Move overlapping lips of the mean face apart until they touch."""
    parted = mean.copy()
    _, upper, lower, _ = _LIP_ROWS
    for up, low in zip(upper[1:-1], lower[1:-1], strict=True):
        overlap = max(0.0, float(parted[up, 1] - parted[low, 1]))
        parted[up, 1] -= overlap / 2
        parted[low, 1] += overlap / 2
    return parted


def learn_modes(shifts: Array, mean: Array, modes: int) -> Array:
    """Principal, symmetric-in-law modes `[modes, 478, 3]` of personal shifts `[P, 478, 3]`, one deviation each."""
    twin = mirror_index(mean)
    mirrored = shifts[:, twin] * np.array([-1, 1, 1], np.float32)
    both = np.concatenate([shifts, mirrored])
    both[:, 468:] = 0
    weight = np.sqrt(point_weights() + 1e-6)[None, :, None]
    flat = (both * weight).reshape(len(both), -1)
    _, singular, directions = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    found = directions[:modes].reshape(-1, POINTS, 3) * (singular[:modes, None, None] / np.sqrt(len(both)))
    found[:, :468] /= weight[:, :468]
    found[:, 468:] = 0
    return np.asarray(found, np.float32)


def _portraits(data: Path, cache: Path, groups: set[str]) -> list[tuple[Array, tuple[int, int]]]:
    """Points `[478, 2]` and picture size of every training portrait."""
    with np.load(cache / "portraits.npz") as stored:
        names, points, sizes = stored["files"], stored["points"], stored["sizes"]
    held = held_out_portraits(data)
    return [
        (frame[:, :2], (int(size[0]), int(size[1])))
        for name, frame, size in zip(names, points, sizes, strict=True)
        if str(name) not in held and Path(str(name)).parts[1] in groups
    ]


def look_straight(model: FaceModel, portraits: list[tuple[Array, tuple[int, int]]]) -> FaceModel:
    """Move the centres of the eyes so that portraits, whose people look into the camera, have no gaze."""
    seen = []
    for points, size in portraits:
        fit = fit_photo(points, model, size)
        gaze = read_eyes(points, fit.pose, model.eyes(fit.identity)).gaze.reshape(2, 2)
        seen.append(EYE_RADIUS * np.stack([np.sin(gaze[:, 1]) * np.cos(gaze[:, 0]), np.sin(gaze[:, 0])], 1))
    left, right = np.median(np.array(seen), axis=0)
    apart, down = (left[0] - right[0]) / 2, (left[1] + right[1]) / 2
    centres = model.eye_centre + np.array([[apart, down, 0], [-apart, down, 0]], np.float32)
    mean, identity = with_irises(model.mean.copy(), model.identity, centres)
    return FaceModel(mean, identity, model.expression, centres, model.triangles)


def run(file: Path, folder: Path) -> dict[str, float]:
    """Run the recipe in `file`: track the data when that was not done, learn, write `folder/face_model.npz`.

    Lines of `folder/metrics.jsonl` say how it goes; returned is what the last round left, in millimetres.
    """
    recipe = FaceModelRecipe.read(file)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / "recipe.toml")
    cache = Path(recipe.cache) if recipe.cache else folder / "faces"
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as log:

        def say(line: str) -> None:
            log.write(json.dumps({"line": line}) + "\n")
            log.flush()

        if not (cache / "portraits.npz").is_file():
            cache_points(data_folder(), cache, say)
        model, left_mm = train(recipe, cache, say)
    model.save(folder / "face_model.npz")
    return {"left_mm": left_mm}


def train(recipe: FaceModelRecipe, cache: Path, say: Callable[[str], None]) -> tuple[FaceModel, float]:
    """Learn the face model from a tracking cache; also returns what its last round left of a point, in mm rms."""
    data = data_folder()
    held = held_out_clips(data)
    portraits = _portraits(data, cache, set(recipe.groups))
    start = prior(data, recipe.prior_modes)
    model, error = start, float("nan")
    files = [file for file in sorted(cache.glob("*.npz")) if file.stem not in held | {"portraits"}]
    for turn in range(recipe.rounds):
        people = []
        for file in files:
            with np.load(file) as opened:
                stored = dict(opened)
            place = str(stored["path"])
            if place.split("/")[1] not in recipe.groups:
                continue
            seen = observe(model, stored, recipe.frames_per_sentence if "grid" in place else recipe.frames_per_clip)
            if seen is not None:
                people.append(seen)
        error = 10 * np.sqrt(np.mean(np.concatenate([seen.left[:, :, :468].ravel() ** 2 for seen in people])))
        say(f"round {turn}: {len(people)} clips, {sum(len(p.rows) for p in people)} frames, left {error:.3f} mm")
        photos = [fit_photo(points, model, size).offset for points, size in portraits]
        shifts = np.stack(photos + [_lift(seen) for seen in people])
        expression = pin_meaning(model.mean, regress_expression(model, start, people, recipe))
        model = _refreshed(model, shifts, expression, recipe, own=turn == min(1, recipe.rounds - 2))
    for _ in range(3):  # each round sees the eyes where the last one put them
        model = look_straight(model, portraits[::4])
    return model, float(error)


def _refreshed(model: FaceModel, shifts: Array, expression: Array, recipe: FaceModelRecipe, *, own: bool) -> FaceModel:
    """The next model: mean moved by what everybody shows, own identity modes added once, new expressions."""
    twin = mirror_index(model.mean)
    common = np.median(shifts, axis=0)
    common = (common + common[twin] * (-1, 1, 1)) / 2
    common[468:] = 0
    identity = model.identity
    if own:
        identity = np.concatenate([identity, learn_modes(shifts - common, model.mean, recipe.own_modes)])
    centres = model.eye_centre.copy()
    for eye in range(2):
        centres[eye] += common[list(LIDS[eye])].mean(0)
    mean, identity = with_irises(part_lips((model.mean + common).astype(np.float32)), identity, centres)
    return FaceModel(mean, identity, expression, centres, model.triangles)
