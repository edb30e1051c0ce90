"""Training of the eye camera: pictures moved, lit and spoiled at random, six numbers as truth, 160 as answer.

Half of a batch is tracked video, half rendered portraits; within either, rare eyes (shut, turned far) come more often,
and people with many pictures less. Gaze does not count where lids hide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.errors import RecipeError
from liveface.motion.codes import EYE_NAMES, EYE_UNITS, eye_basis
from liveface.nets.eye_camera import HEIGHT, WIDTH, EyeCameraConfig, EyeCameraNet
from liveface.train.eye_camera_data import MARGIN, EyePictures
from liveface.train.loop import Run
from liveface.train.recipe import parse_options
from liveface.types import Array

WEIGHTS = (1.5, 1.5, 1.0, 1.0, 0.5, 0.5)  # of EYE_NAMES; wide and squint are the least certain truths
SWAPPED = (0, 1, 3, 2, 4, 5)  # EYE_NAMES of a mirrored face
GAZE = 2  # the first so many of EYE_NAMES


@dataclass(frozen=True, slots=True)
class EyeCameraOptions:
    """What the recipe's table `[task]` may say.

    Attributes:
        pictures: file of `liveface.train.eye_camera_data`.
        shift_px, turn_rad, zoom: largest random misplacement of a picture of 48 x 32 pixels.
        quiet: weight of the slot's other directions, which shall stay at 0.
        decay: weight decay.
    """

    pictures: str = "out/eyes.npz"
    shift_px: float = 3.0
    turn_rad: float = 0.1
    zoom: float = 0.13
    quiet: float = 0.1
    decay: float = 0.01


def placed(pixels: Tensor, options: EyeCameraOptions | None = None) -> Tensor:
    """Stored pictures `[B, 40, 60]` as the network's `[B, 32, 48]`; with options, misplaced at random."""
    batch = len(pixels)
    turn, zoom = torch.zeros(batch), torch.ones(batch)
    shift = torch.zeros(batch, 2)
    if options is not None:
        turn = (torch.rand(batch) * 2 - 1) * options.turn_rad
        zoom = 1 + (torch.rand(batch) * 2 - 1) * options.zoom
        shift = (torch.rand(batch, 2) * 2 - 1) * options.shift_px * 2 / torch.tensor([WIDTH, HEIGHT]) / MARGIN
    ratio = HEIGHT / WIDTH  # grids count -1 to 1 on either side
    cos, sin = torch.cos(turn) * zoom / MARGIN, torch.sin(turn) * zoom / MARGIN
    rows = torch.stack(
        [torch.stack([cos, -sin * ratio, shift[:, 0]], 1), torch.stack([sin / ratio, cos, shift[:, 1]], 1)], 1
    )
    grid = F.affine_grid(rows, [batch, 1, HEIGHT, WIDTH], align_corners=False)
    return F.grid_sample(pixels[:, None], grid, align_corners=False, padding_mode="border")[:, 0]


def spoiled(pair: Tensor) -> Tensor:
    """Pictures `[B, 2, 32, 48]` in other light: gamma, slope, contrast, infrared's pale irises, blur, noise, glints."""
    batch = len(pair)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *(shape or (1, 1, 1)))

    pair = pair.clamp(1e-3, 1) ** torch.exp(draw(-0.6, 0.6))
    infrared = (torch.rand(batch, 1, 1, 1) < 0.25).float()  # the iris turns pale, the pupil stays dark
    pair = pair + infrared * draw(0.1, 0.35) * torch.exp(-(((pair - 0.25) / 0.12) ** 2))
    across, down = torch.linspace(-1, 1, WIDTH), torch.linspace(-1, 1, HEIGHT)[:, None]
    pair = pair + draw(-0.2, 0.2, 2, 1, 1) * across + draw(-0.2, 0.2, 2, 1, 1) * down
    soft = F.avg_pool2d(F.pad(pair, (1, 1, 1, 1), mode="replicate"), 3, 1)
    softer = F.avg_pool2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = draw(-0.5, 1).clamp(0, 1)
    pair = pair * (1 - share) + torch.where(torch.rand(batch, 1, 1, 1) < 0.5, soft, softer) * share
    x, y = draw(-0.6, 0.6, 2, 1, 1), draw(-0.6, 0.6, 2, 1, 1)
    glint = torch.exp(-(((across - x) * 14) ** 2) - ((down - y) * 9) ** 2)
    pair = pair + (torch.rand(batch, 1, 1, 1) < 0.3).float() * draw(0.1, 0.6) * glint
    return (pair * draw(0.5, 1.2) + draw(-0.1, 0.2) + draw(0, 0.05) * torch.randn_like(pair)).clamp(0, 1)


def balance(pictures: EyePictures, members: np.ndarray) -> Tensor:
    """How often each of `members` is drawn: rare eyes more, people with many pictures less."""
    eyes, person = pictures.eyes[members], pictures.person[members]
    share = 1 / np.sqrt(np.bincount(person)[person])
    share = share * (1 + 3 * (eyes[:, 2:4].max(1) > 0.2) + 3 * (np.abs(eyes[:, :2]) > 0.12).any(1) + (eyes[:, 4] > 0.1))
    return torch.from_numpy(share / share.sum())


def agreement(found: Array, true: Array) -> dict[str, float]:
    """Scores of eyes `[N, 6]`: mean error of gaze in degrees where eyes are open, of lids, and correlations."""
    seen = true[:, 2:4].max(1) < 0.5
    scores = {"blink_error": float(np.abs(found - true)[:, 2:4].mean())}
    scores["gaze_deg"] = float(np.degrees(np.hypot(*(found - true)[seen, :2].T)).mean())
    scores["gaze_mean_deg"] = float(np.degrees(np.hypot(*(true - true[seen].mean(0))[seen, :2].T)).mean())
    for index, name in enumerate(EYE_NAMES):
        rows = seen if index < GAZE else np.ones(len(true), bool)
        moves = true[rows, index].std() > 1e-6 and found[rows, index].std() > 1e-6
        scores[f"r_{name}"] = float(np.corrcoef(found[rows, index], true[rows, index])[0, 1]) if moves else 0.0
    return {name: round(value, 3) for name, value in scores.items()}


class EyeCameraTask:
    """Network, optimizer and data of the eye camera."""

    def __init__(self, run: Run) -> None:
        recipe = run.recipe
        where = f"recipe {recipe.name!r}"
        self.options = parse_options(EyeCameraOptions, recipe.options, where)
        self._run = run
        network = EyeCameraNet(parse_options(EyeCameraConfig, recipe.network, where)).to(run.device)
        self.networks: dict[str, nn.Module] = {"main": network}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=self.options.decay)
        }
        self.pictures = EyePictures.load(Path(self.options.pictures))
        allowed = ~self.pictures.held_out
        if "permissive" not in recipe.groups:
            allowed &= self.pictures.open_group
        self._groups = [np.flatnonzero(allowed & (self.pictures.rendered == drawn)) for drawn in (False, True)]
        if not all(len(group) for group in self._groups):
            counts = [len(group) for group in self._groups]
            raise RecipeError(f"{where} finds {counts} tracked and rendered pictures; expected some of both.")
        self._shares = [balance(self.pictures, group) for group in self._groups]
        self._basis = torch.from_numpy(eye_basis()).to(run.device)
        self._weights = torch.tensor(WEIGHTS, device=run.device)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Pictures `[B, 2, 32, 48]` and eyes `[B, 6]` in the slot's units."""
        half = max(1, self._run.recipe.batch // 2)
        picks = [group[torch.multinomial(share, half, replacement=True).numpy()]
                 for group, share in zip(self._groups, self._shares, strict=True)]  # fmt: skip
        chosen = np.concatenate(picks)
        pair = torch.from_numpy(self.pictures.pixels[chosen].astype(np.float32) / 255)
        truth = torch.from_numpy(self.pictures.eyes[chosen] / EYE_UNITS)
        pair = torch.stack([placed(pair[:, eye], self.options) for eye in range(2)], 1)
        mirrored = torch.rand(len(pair)) < 0.5  # of the face: eyes change places, yaw its sign
        pair = torch.where(mirrored[:, None, None, None], pair.flip(1), pair)
        swapped = truth[:, SWAPPED] * torch.tensor([1.0, -1, 1, 1, 1, 1])
        truth = torch.where(mirrored[:, None], swapped, truth)
        return spoiled(pair).to(self._run.device), truth.to(self._run.device)

    def loss(self, slot: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """`eyes` and `quiet` of slots `[B, 160]` and eyes `[B, 6]` in the slot's units."""
        found = slot @ self._basis
        weights = self._weights.expand_as(truth).clone()
        shut = (truth[:, 2:4] * EYE_UNITS[2]).amax(1)
        weights[:, :GAZE] *= (1 - 1.3 * shut).clamp(0.02, 1)[:, None]
        eyes = (F.smooth_l1_loss(found, truth, reduction="none", beta=0.3) * weights).mean()
        quiet = (slot - found @ self._basis.T).square().mean()
        return {"eyes": eyes, "quiet": quiet}

    def step(self, index: int) -> dict[str, float]:
        del index
        network, optimizer = self.networks["main"], self.optimizers["main"]
        pair, truth = self.batch()
        with self._run.autocast():
            slot = network(pair[:, 0], pair[:, 1])
        parts = self.loss(slot.float(), truth)
        optimizer.zero_grad()
        total: Tensor = parts["eyes"] + self.options.quiet * parts["quiet"]
        total.backward()  # type: ignore[no-untyped-call]
        self._run.average_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), self._run.recipe.clip)
        optimizer.step()
        return {name: float(value.detach()) for name, value in parts.items()}

    def read(self, network: nn.Module, members: np.ndarray) -> Array:
        """Eyes `[N, 6]` that a network reads off stored pictures, unspoiled."""
        out = []
        with torch.inference_mode():
            for start in range(0, len(members), 256):
                stored = self.pictures.pixels[members[start : start + 256]].astype(np.float32) / 255
                pair = torch.stack([placed(torch.from_numpy(stored[:, eye])) for eye in range(2)], 1)
                pair = pair.to(self._run.device)
                out.append((network(pair[:, 0], pair[:, 1]) @ self._basis).cpu().numpy() * EYE_UNITS)
        return np.concatenate(out).astype(np.float32)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        scores: dict[str, float] = {}
        for drawn, kind in ((False, "tracked"), (True, "rendered")):
            members = np.flatnonzero(self.pictures.held_out & (self.pictures.rendered == drawn))
            if len(members) > 1:
                found = agreement(self.read(network, members), self.pictures.eyes[members])
                scores |= {f"{kind}_{name}": value for name, value in found.items()}
        return scores

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """A sheet of held-out eyes with truth above and answer below."""
        members = np.flatnonzero(self.pictures.held_out)
        members = members[np.linspace(0, len(members) - 1, 48).astype(int)]
        cells = []
        for member, found in zip(members, self.read(network, members), strict=True):
            left, right = self.pictures.pixels[member]
            cell = cv2.resize(np.hstack([right[:, ::-1], left]), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            for line, values in ((10, self.pictures.eyes[member]), (76, found)):
                text = " ".join(f"{value:.1f}" for value in values)
                cv2.putText(cell, text, (3, line), cv2.FONT_HERSHEY_SIMPLEX, 0.35, 255, 1)
            cells.append(cell)
        folder.mkdir(parents=True, exist_ok=True)
        sheet = np.vstack([np.hstack(cells[start : start + 6]) for start in range(0, 48, 6)])
        cv2.imwrite(str(folder / f"{index:06d}.png"), sheet)
