"""What the compositor learns from: true patches, spoilt as decoders spoil them, pasted over the warped reference.

Notable choices: a decoder misses by blur, ghosts of other frames, colour and a pixel or two of place, so the true
patches of a pack are given those faults at random and go through the same paste as at run time; alpha of hair and body
follows where the base is wrong, as their decoders learn it; several frames of one person share one reference picture,
so that the appearance network runs once for them; the part of the canvas a step sees is a band of rows around the head
or below it, aligned to the coarsest grid.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface.errors import RecipeError
from liveface.render.liveface.paste import compose
from liveface.render.liveface.regions import REGIONS, window
from liveface.train.avatar.pack import Pack
from liveface.types import Array, Pixels

FEATURE_STEP = 8  # canvas pixels per cell of the appearance grid
BAND_STEP = 64  # canvas rows between two possible bands: two cells of the coarsest grid
FULL_ALPHA_AT = (10, 60)  # levels by which the base is wrong where hair or body cover it fully
FAINT = (0.25, 0.6)  # of that cover is what the network is told: real decoders give 0.15 to 0.3 on average
REACH = {"mouth": (0.9, 1.1), "eyes": (0.9, 1.1), "hair": (0.7, 1.9), "body": (0.7, 1.9)}
"""How far a patch goes from the warped reference to the truth, and beyond: else carrying on what it began would pay."""
DRAWN_SHARE = 0.5  # of the steps that show patches of real decoders, where there are any
DRAWN_RANGE = (0.1, 0.5)  # of their error: decoders shared by many people err more than one avatar's own
UNSEEN_EVERY = 8  # one identity in so many is never learned from; its name decides, so that more packs change nobody


@dataclass(frozen=True, slots=True)
class Faults:
    """How much true patches are spoilt; 1 is as decoders were seen to do it.

    Attributes:
        blur: largest Gaussian sigma in patch pixels.
        ghost: largest share of another frame.
        colour: standard deviation of gain; also of offsets, in 1/255 times a hundred.
        shift: largest displacement in canvas pixels along each axis.
        noise: largest standard deviation of pixel noise, in levels of 255.
        missing: chance that a region is not drawn at all.
        drawn: how much of the error of pretrained decoders is in the patches, 0 to 1; see `compositor_drawn`.
        reach: how much of `REACH` applies.
    """

    blur: float = 1.4
    ghost: float = 0.25
    colour: float = 0.008
    shift: float = 2.0
    noise: float = 2.0
    missing: float = 0.04
    drawn: float = 0.0
    reach: float = 1.0

    def times(self, strength: float, drawn: float = 0.0) -> Faults:
        """The same faults, stronger or weaker, and so much of the decoders' own."""
        return Faults(
            self.blur * strength, self.ghost * strength, self.colour * strength, self.shift * strength,
            self.noise * strength, self.missing, drawn, self.reach,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame as the compositor sees it, and the truth.

    Attributes:
        canvas: uint8 `[H, W, 3]` the composed picture.
        seen: uint8 `[H/2, W/2, 10]` its input, see `half_size`.
        truth: uint8 `[H, W, 3]`.
    """

    canvas: Pixels
    seen: Pixels
    truth: Pixels


class Person:
    """The whole canvases of one pack.

    Args:
        folder: of the pack.
        drawn: folder of `compositor_drawn`, or None.
    """

    def __init__(self, folder: Path, drawn: Path | None = None) -> None:
        self.name = folder.name
        self.pack = Pack.open(folder)
        self.frames, self.bases = self.pack.frames, self.pack.bases
        self.patches = {name: self.pack.truth(name) for name in REGIONS}
        self.drawn: dict[str, Pixels] = {}
        if drawn is not None:
            files = {name: drawn / folder.name / f"{name}.npy" for name in REGIONS}
            missing = [file for file in files.values() if not file.is_file()]
            if missing:
                raise RecipeError(f"there is no {missing[0]}; draw the packs with liveface.train.compositor_drawn.")
            self.drawn = {name: np.load(file, mmap_mode="r") for name, file in files.items()}
        held = self.pack.held[self.pack.frames_at]
        self.learnt, self.held = np.flatnonzero(~held), np.flatnonzero(held)
        picture = self.pack.rig.reference
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        self.reference: Pixels = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA))

    def sight(self, at: int, faults: Faults, random: np.random.Generator) -> Sight:
        """Whole canvas number `at` with spoilt patches."""
        frame = int(self.pack.frames_at[at])
        others = self.pack.frames_at[self.held if self.pack.held[frame] else self.learnt]
        truth, base = np.asarray(self.frames[at]), np.asarray(self.bases[at])
        patches, boxes = {}, {}
        for name in REGIONS:
            if random.random() < faults.missing:
                continue
            box = self.pack.boxes[name][frame].astype(np.float64)
            true, ghost = self.patches[name][frame], self.patches[name][int(random.choice(others))]
            alpha = self._alpha(name, frame, random)
            if faults.drawn and self.drawn:
                made = self.drawn[name][at]
                true = cv2.addWeighted(made[..., :3].copy(), faults.drawn, np.asarray(true), 1 - faults.drawn, 0)
                if name in ("mouth", "eyes"):
                    alpha = made[..., 3]
            reach = 1 + faults.reach * (random.uniform(*REACH[name]) - 1)
            warped = np.asarray(self.pack.base(name)[frame])
            true = cv2.addWeighted(np.asarray(true), reach, warped, 1 - reach, 0)
            patches[name] = np.dstack([spoil(np.asarray(true), ghost, faults, random), alpha])
            boxes[name] = shifted(box, faults.shift, random)
        canvas, alphas = compose(base, patches, boxes)
        for slow in alphas[2:]:  # a decoder's picture is right as composed, however faint its alpha
            cv2.multiply(slow, random.uniform(*FAINT), slow)
        return Sight(canvas, half_size(canvas, alphas, base), truth)

    def _alpha(self, name: str, frame: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
        """The alpha `[h, w]` that a decoder of that region might give."""
        width, height = REGIONS[name].size
        cloud = low_frequency((height, width), 5, random)  # about -1 to 1
        if name in ("mouth", "eyes"):
            value = np.clip(window(name) * 1.5 + 0.5 + 0.4 * cloud, 0, 1)
        else:
            apart = np.abs(self.patches[name][frame].astype(np.float32) - self.pack.base(name)[frame]).mean(2)
            value = np.clip(cv2.GaussianBlur(apart, (0, 0), 3) / random.uniform(*FULL_ALPHA_AT) + 0.1 * cloud, 0, 1)
            value = cv2.GaussianBlur(value, (0, 0), random.uniform(1.5, 4))
        return np.asarray(value * 255, np.uint8)


def low_frequency(shape: tuple[int, int], cells: int, random: np.random.Generator) -> Array:
    """Smooth noise `[h, w]`, mostly within -1 to 1."""
    coarse = random.normal(0, 0.5, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC))


def spoil(patch: Pixels, ghost: Pixels, faults: Faults, random: np.random.Generator) -> Pixels:
    """A true patch `[h, w, 3]` as a decoder might draw it; `ghost` is another frame's."""
    picture = patch.astype(np.float32)
    share = faults.ghost * random.random() ** 2
    picture += share * (ghost.astype(np.float32) - picture)
    sigma = faults.blur * random.random()
    if sigma > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    gain = 1 + random.normal(0, faults.colour, 3).astype(np.float32)
    offset = random.normal(0, 100 * faults.colour, 3).astype(np.float32)
    light = low_frequency(picture.shape[:2], 3, random) * np.float32(200 * faults.colour)
    picture = picture * gain + offset * random.random() + light[..., None] * np.float32(random.random())
    noise = faults.noise * random.random()
    if noise > 0.3:
        grain = random.standard_normal((picture.shape[0] // 2, picture.shape[1] // 2, 3), np.float32) * noise
        picture += cv2.resize(grain, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(picture + 0.5, 0, 255), np.uint8)


def shifted(box: Array, most: float, random: np.random.Generator) -> Array:
    """A box `[2, 3]` a little out of place."""
    moved = box.copy()
    moved[:, 2] += random.uniform(-most, most, 2) * random.random()
    return moved


def half_size(canvas: Pixels, alphas: Pixels, base: Pixels) -> Pixels:
    """The compositor's input as bytes `[H/2, W/2, 10]`: composed RGB, alphas `[4, H/2, W/2]`, base RGB."""
    half = (canvas.shape[1] // 2, canvas.shape[0] // 2)
    small = [cv2.resize(picture, half, interpolation=cv2.INTER_AREA) for picture in (canvas, base)]
    return np.asarray(cv2.merge([small[0], *alphas, small[1]]))


def seams(seen: Pixels, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where patches fade into what lies below `[H, W]`: some alpha neither near 0 nor near 1."""
    alphas = seen[..., 3:7]
    fading = ((alphas > 12) & (alphas < 243)).any(2).astype(np.uint8)
    return np.asarray(cv2.resize(fading, size, interpolation=cv2.INTER_NEAREST)) > 0


def patched(seen: Pixels, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where a patch is drawn at all `[H, W]`."""
    drawn = (seen[..., 3:7] > 12).any(2).astype(np.uint8)
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_NEAREST)) > 0


class People:
    """All packs of a folder, split into identities to learn from and identities that are never shown.

    Args:
        folder: of packs, one folder each.
        unseen: patterns of names that are never learned from, besides one in eight.
        drawn: folder of `compositor_drawn`, or None.

    Raises:
        RecipeError: fewer than two packs.
    """

    def __init__(self, folder: Path, unseen: Sequence[str] = (), drawn: Path | None = None) -> None:
        names = sorted(path.parent.name for path in folder.glob("*/pack.json"))
        if len(names) < 2:
            raise RecipeError(f"{folder} holds {len(names)} packs; expected at least 2: make packs of more people.")
        hidden = {name for name in names if zlib.crc32(name.encode()) % UNSEEN_EVERY == 0}
        hidden |= {name for name in names for pattern in unseen if fnmatch(name, pattern)}
        everyone = [Person(folder / name, drawn) for name in names]
        self.seen = [person for person in everyone if person.name not in hidden and len(person.learnt)]
        self.unseen = [person for person in everyone if person.name in hidden]
        if not self.seen or not self.unseen:
            raise RecipeError(f"{folder} leaves nobody to learn from or nobody to test on; make packs of more people.")

    @property
    def height(self) -> int:
        """Rows of the canvas."""
        return int(self.seen[0].frames.shape[1])

    def draw(self, count: int, faults: Faults, rows: slice, random: np.random.Generator) -> tuple[Pixels, list[Sight]]:
        """Some frames of one person to learn from, lit and mirrored at random: the reference and `rows` of frames."""
        person = self.seen[int(random.integers(len(self.seen)))]
        strength = random.random() ** 0.7
        mild = faults.times(strength)
        if person.drawn and random.random() < DRAWN_SHARE:
            mild = faults.times(0.5 * strength, random.uniform(*DRAWN_RANGE))
        sights = [person.sight(int(random.choice(person.learnt)), mild, random) for _ in range(count)]
        table, half = tone(random), slice(rows.start // 2, rows.stop // 2)
        mirrored = random.random() < 0.5
        return varied(person.reference, table, mirrored=mirrored), [
            Sight(
                varied(one.canvas[rows], table, mirrored=mirrored),
                _varied_seen(one.seen[half], table, mirrored=mirrored),
                varied(one.truth[rows], table, mirrored=mirrored),
            )
            for one in sights
        ]


def tone(random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A look-up table `[256]` of another exposure."""
    curve = (np.arange(256) / 255) ** np.exp(random.normal(0, 0.2)) * np.exp(random.normal(0, 0.08))
    return np.asarray(np.clip(curve * 255 + 0.5, 0, 255), np.uint8)


def varied(picture: Pixels, table: npt.NDArray[np.uint8], *, mirrored: bool) -> Pixels:
    """A picture under another exposure, mirrored or not."""
    lit = cv2.LUT(picture, table)
    return np.asarray(cv2.flip(lit, 1) if mirrored else lit)


def _varied_seen(seen: Pixels, table: npt.NDArray[np.uint8], *, mirrored: bool) -> Pixels:
    """The same for the compositor's input; alphas keep their values."""
    lit = cv2.LUT(seen, table)
    lit[..., 3:7] = seen[..., 3:7]
    return np.ascontiguousarray(lit[:, ::-1]) if mirrored else np.asarray(lit)


def band(height: int, rows: int, random: np.random.Generator) -> slice:
    """Canvas rows that one step learns on: `rows` of `height`, at an aligned place, more often near the middle."""
    places = (height - rows) // BAND_STEP
    first = round(float(random.beta(1.5, 1.5)) * places) * BAND_STEP
    return slice(first, first + rows)
