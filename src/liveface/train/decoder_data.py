"""What the decoders learn from: the patches of one region out of one pack or many, drawn at random.

Notable choices: patches stay memory-mapped bytes until they are drawn, so that a hundred people fit; the mouth's
two inputs come from the same frame and a random one of them is used; the lip points are the motion's or the tracker's
at random, because the run time gives the first and an enrolled person's own video the second; controls get a little
noise, so that a tracker's jitter does not become flicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from liveface.errors import RecipeError
from liveface.render.liveface.regions import CONTROL_SIZES, REGIONS
from liveface.types import Array, Pixels

MODES = {"visemes": 0.0, "landmarks": 1.0, "tracked": 1.0}
"""The mouth's inputs in a pack and the flag each is given with; the tracked points enter as landmarks."""
MEAN_FRAMES = 200  # enough for a mean picture; all 3000 take seconds

Controls: TypeAlias = Tensor | tuple[Tensor, Tensor, Tensor]


def control_names(region: str) -> tuple[str, ...]:
    """The arrays of a pack's `controls.npz` that steer a region."""
    return tuple(MODES) if region == "mouth" else (region,)


LINKED = 0.25  # brows and squint this near to rest in a blink are the tracker's doing
BINS, RARE = 8, 0.8  # ranges of a value; 0 draws frames alike, 1 draws ranges alike
KEYS: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {
    "mouth": ("landmarks", ((80,), (81,), (0,), (20,))),  # jaw, aspect, both corners
    # Openness of either eye, gaze up and down, sideways, brows down, brows up.
    "eyes": ("eyes", ((0,), (1,), (2, 4), (3, 5), (6, 7), (8, 9))),
}
"""The control vector and the columns of it that tell which frames of a region are rare."""


@dataclass(frozen=True, slots=True)
class Frames:
    """One region of one pack.

    Attributes:
        region: its name.
        truth: `[N, h, w, 3]` uint8 true patches, memory-mapped.
        base: the same of the warped reference picture.
        controls: name to `[N, D]` float32; see `control_names`.
        time: `[N]` int64 frame numbers; neighbours in time differ by 1.
        held: `[N]`; frames that are only measured, never learned.
    """

    region: str
    truth: Pixels
    base: Pixels
    controls: dict[str, Array]
    time: npt.NDArray[np.int64]
    held: npt.NDArray[np.bool_]

    @classmethod
    def open(cls, folder: str | Path, region: str) -> Frames:
        """One region of the pack in `folder`.

        Raises:
            RecipeError: files are missing or do not fit each other.
        """
        folder, (width, height) = Path(folder), REGIONS[region].size
        try:
            truth = np.load(folder / f"{region}.npy", mmap_mode="r")
            base = np.load(folder / f"{region}_base.npy", mmap_mode="r")
            with np.load(folder / "controls.npz") as stored:
                controls = {name: stored[name].astype(np.float32) for name in control_names(region)}
                time, held = stored["time"].astype(np.int64), stored["held"].astype(bool)
        except (OSError, KeyError, ValueError) as error:
            raise RecipeError(f"{folder} is not a pack of {region} patches ({error}); make the pack again.") from error
        count = len(time)
        shapes = {truth.shape, base.shape, (count, height, width, 3)}
        widths = {name: CONTROL_SIZES["landmarks" if name == "tracked" else name] for name in controls}
        if len(shapes) > 1 or any(array.shape != (count, widths[name]) for name, array in controls.items()):
            raise RecipeError(
                f"the pack {folder} has {region} patches {truth.shape} and {base.shape} for {count} frames; expected "
                f"{(count, height, width, 3)} and controls of widths {widths}: make the pack again."
            )
        if held.all():
            raise RecipeError(f"all {count} frames of the pack {folder} are held out; give a longer recording.")
        return cls(region, truth, base, controls, time, held)

    @property
    def learned(self) -> npt.NDArray[np.intp]:
        """Numbers of the frames that may be learned."""
        return np.flatnonzero(~self.held)

    @property
    def tests(self) -> npt.NDArray[np.intp]:
        """Numbers of the held-out frames."""
        return np.flatnonzero(self.held)

    def mean(self) -> Array:
        """The mean true patch `[3, h, w]`, 0 to 1, over evenly chosen learned frames."""
        learned = self.learned
        chosen = learned[np.linspace(0, len(learned) - 1, min(MEAN_FRAMES, len(learned))).astype(int)]
        total = np.zeros(self.truth.shape[1:], np.float64)
        for number in chosen:
            total += self.truth[number]
        return np.asarray(total.transpose(2, 0, 1) / (255 * len(chosen)), np.float32)

    def steer(self, numbers: npt.NDArray[np.intp], mode: str = "landmarks") -> Controls:
        """The controls of some frames; for the mouth with `mode` "visemes", "landmarks" or "tracked"."""
        if self.region != "mouth":
            return torch.from_numpy(self.controls[self.region][numbers])
        points = self.controls["tracked" if mode == "tracked" else "landmarks"][numbers]
        flag = torch.full((len(numbers), 1), MODES[mode])
        return torch.from_numpy(self.controls["visemes"][numbers]), torch.from_numpy(points), flag


@dataclass(slots=True)
class Batch:
    """What one step learns from.

    Attributes:
        truth, base: `[B, 3, h, w]`, 0 to 1.
        controls: `[B, D]`, or the mouth's visemes, landmarks and mode flag `[B, 1]`.
        person: `[B]` int64, the number of each frame's pack.
        gain: `[B, 3, 1, 1]` of the colours, or None.
    """

    truth: Tensor
    base: Tensor
    controls: Controls
    person: Tensor
    gain: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        gain = None if self.gain is None else self.gain.to(device)
        controls, person = moved(self.controls, device), self.person.to(device)
        return Batch(self.truth.to(device), self.base.to(device), controls, person, gain)


def moved(controls: Controls, device: torch.device) -> Controls:
    """Controls on a device."""
    if isinstance(controls, Tensor):
        return controls.to(device)
    visemes, landmarks, mode = controls
    return visemes.to(device), landmarks.to(device), mode.to(device)


def as_picture(patches: Pixels) -> Tensor:
    """`[B, h, w, 3]` bytes as `[B, 3, h, w]` from 0 to 1, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(patches)).permute(0, 3, 1, 2).float().div_(255)


def rarity(frames: Frames, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """How likely each of some frames is drawn `[N]`: shut lids, far glances and open mouths are few and count more.

    Each telling value is cut into `BINS` equal ranges; a range's frames count by one over the power `RARE` of how many
    there are; the values' counts are averaged.
    """
    if frames.region not in KEYS:
        return np.full(len(numbers), 1 / len(numbers))
    name, columns = KEYS[frames.region]
    total = np.zeros(len(numbers))
    for members in columns:
        value = frames.controls[name][numbers][:, list(members)].mean(1)
        low, high = float(value.min()), float(value.max())
        at = np.minimum(((value - low) / max(high - low, 1e-6) * BINS).astype(int), BINS - 1)
        share = np.bincount(at, minlength=BINS)[at] ** -RARE
        total += share / share.sum()
    return np.asarray(total / total.sum())


def unlinked(row: Array) -> Array:
    """The controls of the eyes `[18]` without what a tracker adds where lids are shut.

    It finds gaze, brows and squint a little lower in a blink, but whoever only says "blink" leaves them at rest: lids
    stayed half open for them. What is far from rest is meant, and stays.
    """
    shut, out = 1 - np.clip(row[:2], 0, 1), row.copy()
    for eye in (0, 1):
        out[2 + 2 * eye : 4 + 2 * eye] *= 1 - shut[eye]
    around = out[6:12]
    out[6:12] = np.where(np.abs(around) < LINKED, around * (1 - shut.min()), around)
    return out


@dataclass(slots=True)
class Sampler:
    """Draws batches: a person first (by the square root of the recording's length), then a learned frame by `rarity`.

    Attributes:
        people: one region of every pack.
        random: source of every choice.
        noise: standard deviation of the noise on the controls.
        tint: largest relative change of a person's colours, alike in truth and base; only for pretraining.
    """

    people: Sequence[Frames]
    random: np.random.Generator
    noise: float = 0.01
    tint: float = 0.0
    _odds: npt.NDArray[np.float64] = field(init=False)
    _frame_odds: list[npt.NDArray[np.float64]] = field(init=False)
    _learned: list[npt.NDArray[np.intp]] = field(init=False)

    def __post_init__(self) -> None:
        self._learned = [frames.learned for frames in self.people]
        odds = np.sqrt([len(numbers) for numbers in self._learned])
        self._odds = odds / odds.sum()
        self._frame_odds = [rarity(frames, numbers) for frames, numbers in zip(self.people, self._learned, strict=True)]

    def draw(self, size: int) -> Batch:
        """A batch of `size` frames."""
        persons = self.random.choice(len(self.people), size=size, p=self._odds)
        numbers = [int(self.random.choice(self._learned[who], p=self._frame_odds[who])) for who in persons]
        pairs = [(self.people[person], number) for person, number in zip(persons, numbers, strict=True)]
        truth = as_picture(np.stack([frames.truth[number] for frames, number in pairs]))
        base = as_picture(np.stack([frames.base[number] for frames, number in pairs]))
        gain = None
        if self.tint:
            gain = torch.from_numpy(self.random.uniform(1 - self.tint, 1 + self.tint, (size, 3, 1, 1))).float()
            truth, base = truth * gain, base * gain
        return Batch(truth, base, self.steer(pairs), torch.from_numpy(persons), gain)

    def steer(self, pairs: list[tuple[Frames, int]]) -> Controls:
        """The controls of the drawn frames, noisy; the mouth's input is chosen at random."""
        if pairs[0][0].region != "mouth":
            rows = [frames.controls[frames.region][number] for frames, number in pairs]
            if pairs[0][0].region == "eyes":
                rows = [unlinked(row) if self.random.random() < 0.5 else row for row in rows]
            return self.shaken(rows)
        points = ["tracked" if self.random.random() < 0.5 else "landmarks" for _ in pairs]
        landmarks = [frames.controls[name][number] for name, (frames, number) in zip(points, pairs, strict=True)]
        mode = torch.from_numpy(self.random.integers(0, 2, (len(pairs), 1))).float()
        return self.shaken([frames.controls["visemes"][n] for frames, n in pairs]), self.shaken(landmarks), mode

    def shaken(self, rows: list[Array]) -> Tensor:
        """Rows as a tensor, with noise."""
        table = np.stack(rows)
        return torch.from_numpy(table + self.random.normal(0, self.noise, table.shape).astype(np.float32))
