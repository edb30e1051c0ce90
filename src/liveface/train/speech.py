"""Training of the speech network: `liveface train recipes/speech.toml`.

Notable choices: errors are measured in centimetres of the lips, not in coefficients, because that is what is seen;
velocities count twice and the spread of each window is matched, because a network that is punished for errors alone
learns to mumble; closures and silence weigh more than open mouths; a second head that names the sound shapes the
hidden layers; after training one house style is chosen and each track's gain is set against true motion of clips that
neither training nor the held-out test uses.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from liveface.errors import RecipeError
from liveface.lipsync import correlation
from liveface.motion.codes import MOUTH_TRACKS
from liveface.motion.face_model import FaceModel
from liveface.nets.speech import SpeechConfig, SpeechNet
from liveface.signals.features import FRAME_SAMPLES, HOPS_PER_FRAME, log_mel
from liveface.train import phones as speech
from liveface.train import speech_data as data
from liveface.train.faces import held_out_clips
from liveface.train.loop import CHECKPOINT, Run, averaged_weights
from liveface.train.recipe import data_folder, parse_options, read_recipe
from liveface.train.speech_data import KINDS, Item, SpeechSet
from liveface.train.speech_labels import MouthSpace
from liveface.types import Array

SET_FILE, VALIDATION_FILE = "speech_set.npz", "validation.npz"
VALIDATION_EVERY = 12  # every twelfth tracked sentence validates
_FIRST = [names[0] for names in MOUTH_TRACKS]
_SPREAD = ("mouthFunnel", "mouthPucker", "mouthSmileLeft", "mouthUpperUpLeft", "mouthLowerDownLeft")
_WIDENS = ("mouthPucker", "mouthSmileLeft", "mouthStretchLeft", "mouthDimpleLeft", "mouthFrownLeft")
MOST_GAIN = 1.5
EMPHASIS = 1.3  # the second head is never sure, so a little more than what is missing
_CLOSED, _ROUND = (1, 2), (9, 10)  # classes of `nets.speech.SOUNDS`


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """The table `[task]` of a speech recipe.

    Attributes:
        faces: folder of the tracking cache (`python -m liveface.train.faces`).
        phones: file of `tools/align_phones.py`.
        videos: parts of file names; a tracked clip with one of them is used.
        dropped: stems of clips whose sound and mouth do not agree.
        takes: facegood takes.
        manners: speakers whose manner the phone teacher lends to recorded speech.
        teacher_steps: optimizer steps of the phone teacher.
        variants: how often each kind of recording is made, in ever worse sound; for noise, how many 8 s pieces.
        shares: how often each kind is drawn.
        window: frames of one sample.
        firm: extra weight of frames with closed lips.
        round: extra weight of frames with rounded lips.
        spread: weight of the spread of a window.
        naming: weight of the second head.
    """

    faces: str = "build/faces"
    phones: str = "build/phones.json"
    videos: tuple[str, ...] = ("grid-s1", "grid-more", "lipnet")
    dropped: tuple[str, ...] = ()
    takes: tuple[str, ...] = ("1114_2_01", "1114_2_02", "1114_2_03", "1114_2_04", "1114_2_05", "1114_3_15")
    manners: tuple[str, ...] = ("s1", "s31", "s4")
    teacher_steps: int = 2500
    variants: dict[str, int] = field(default_factory=lambda: {"video": 8, "rig": 7, "taught": 4, "noise": 220})
    shares: dict[str, float] = field(
        default_factory=lambda: {"video": 0.38, "rig": 0.14, "taught": 0.37, "noise": 0.11}
    )
    window: int = 100
    firm: float = 3.0
    round: float = 1.5
    spread: float = 0.1
    naming: float = 0.15

    def __post_init__(self) -> None:
        if set(self.variants) != set(KINDS) or set(self.shares) != set(KINDS):
            raise RecipeError(f"variants and shares name {sorted(self.variants)}, {sorted(self.shares)}; use {KINDS}.")


def mouth_space() -> MouthSpace:
    """The mouth of the face model that ships."""
    model = FaceModel.load()
    return MouthSpace.of(model.mean, model.expression)


def collect(options: SpeechOptions, groups: tuple[str, ...]) -> tuple[list[Item], list[Item], list[str]]:
    """All items of a recipe: for training, for validation, and the styles by name."""
    root, space = data_folder(), mouth_space()
    styles: list[str] = []
    held, phones = held_out_clips(root), data.read_phones(Path(options.phones))
    folders = ["video/open"] + (["video/permissive"] if "permissive" in groups else [])
    names = [
        str(file.relative_to(root))
        for folder in folders
        for file in sorted((root / folder).rglob("*.mp4"))
        if any(part in str(file) for part in options.videos) and file.stem not in {*held, *options.dropped}
    ]
    clips = data.video_items(root, Path(options.faces), names, phones, space, styles)
    validation = clips[5::VALIDATION_EVERY]
    training = [clip for index, clip in enumerate(clips) if index % VALIDATION_EVERY != 5]
    aligned = [(clip.phones, clip.tracks, clip.style) for clip in training if clip.phones]
    teacher = speech.train_teacher(aligned, space.flat(), len(styles), steps=options.teacher_steps)
    manners = [styles.index(name) for name in options.manners]
    taught = data.taught_items(root, phones, groups, teacher, manners)
    rig = data.rig_items(root, options.takes, space, styles)
    return training + rig + taught, validation, styles


class SpeechTask:
    """What the shared loop trains for the speech network."""

    def __init__(self, run: Run) -> None:
        self.run, recipe = run, run.recipe
        self.options = parse_options(SpeechOptions, recipe.options, "the table [task]")
        config = parse_options(SpeechConfig, recipe.network, "the table [network]")
        if config.motion != len(MOUTH_TRACKS):
            raise RecipeError(f"the network has {config.motion} outputs; expected {len(MOUTH_TRACKS)}.")
        self.set, self.validation = self._prepared()
        network = SpeechNet(config).to(run.device)
        self.networks: dict[str, nn.Module] = {"main": network}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.02)
        }
        self.rng = np.random.default_rng(recipe.seed * 1000 + run.rank)
        space = mouth_space()
        self.flat = torch.from_numpy(space.flat()).to(run.device)
        self.gap = torch.from_numpy(space.gap()).to(run.device)
        self.width = torch.from_numpy(space.width()).to(run.device)
        spans = self.set.spans
        spans = spans[spans[:, 1] >= self.options.window]
        share = np.array([self.options.shares[kind] for kind in KINDS])
        frames = np.array([spans[spans[:, 2] == kind, 1].sum() for kind in range(len(KINDS))])
        self.spans = spans
        self.chance = share[spans[:, 2]] * spans[:, 1] / np.maximum(frames, 1)[spans[:, 2]]
        self.chance /= self.chance.sum()
        self.balance = torch.tensor([1.0, 0.7, 0.6, 1.0], device=run.device)  # trust in each kind, chosen

    def _prepared(self) -> tuple[SpeechSet, list[Item]]:
        """The training set, from the run folder when it is there."""
        file = self.run.folder / SET_FILE
        if not file.is_file():
            items, validation, styles = collect(self.options, self.run.recipe.groups)
            data.build_set(items, styles, self.options.variants, self.run.recipe.seed).save(file)
            data.save_items(validation, self.run.folder / VALIDATION_FILE)
        return SpeechSet.load(file), data.load_items(self.run.folder / VALIDATION_FILE)

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Features, tracks, sounds, style, kind and whether the window begins its recording."""
        window, hops = self.options.window, HOPS_PER_FRAME
        picks = self.rng.choice(len(self.spans), self.run.recipe.batch, p=self.chance)
        rows, begins = [], []
        for first, frames, _ in self.spans[picks]:
            offset = 0 if self.rng.random() < 0.15 else int(self.rng.integers(0, frames - window + 1))
            rows.append(first + offset)
            begins.append(offset == 0)
        seen = np.stack([self.set.features[row * hops : (row + window) * hops] for row in rows])
        true = np.stack([self.set.tracks[row : row + window] for row in rows])
        sounds = np.stack([self.set.sounds[row : row + window] for row in rows])
        style = self.set.style[rows].astype(np.int64)
        for index in np.flatnonzero(self.spans[picks, 2] == KINDS.index("noise")):
            style[index] = self.rng.integers(0, len(self.set.styles))  # nobody's silence moves
            if self.rng.random() < 0.2:  # digital silence, at whatever level the follower has sunk to
                seen[index] = self.rng.uniform(-2.4, -0.9)
        device = self.run.device
        return (
            torch.from_numpy(seen).float().to(device),
            torch.from_numpy(true).float().to(device),
            torch.from_numpy(sounds).long().to(device),
            torch.from_numpy(style).to(device),
            torch.from_numpy(self.spans[picks, 2]).to(device),
            torch.tensor(begins, device=device),
        )

    def step(self, index: int) -> dict[str, float]:
        """One optimizer step."""
        network = self.networks["main"]
        assert isinstance(network, SpeechNet)
        network.train()
        seen, true, sounds, speaker, kind, begins = self.batch()
        seen = self._masked(seen)
        with self.run.autocast():
            style = network.styles(speaker)[:, None]
            style = style * (torch.rand(len(style), 1, 1, device=style.device) > 0.1)
            x, _ = network.trunk(seen, network.start(len(seen)), style)
            made, named = network.head(x, style), network.sounds(x)
        losses = self.losses(made.float(), named.float(), true, sounds, (kind, begins))
        weights = {
            "lips": 1.0,
            "speed": 1.5,
            "gap": 0.6,
            "width": 1.0,
            "spread": self.options.spread,
            "naming": self.options.naming,
        }
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        optimizer = self.optimizers["main"]
        optimizer.zero_grad()
        total.backward()
        self.run.average_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), self.run.recipe.clip)
        optimizer.step()
        return {"loss": float(total.detach()), **{name: float(value.detach()) for name, value in losses.items()}}

    def _masked(self, seen: Tensor) -> Tensor:
        """Hide a random band and shift the level a little, so that no band is trusted alone."""
        seen = seen + 0.15 * torch.randn(len(seen), 1, 1, device=seen.device)
        if self.rng.random() < 0.5:
            first, width = int(self.rng.integers(0, seen.shape[2])), int(self.rng.integers(2, 12))
            seen[:, :, first : first + width] = -1.5
        return seen

    def losses(
        self, made: Tensor, named: Tensor, true: Tensor, sounds: Tensor, where: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """The parts of the loss.

        Args:
            made, true: `[B, T, N]` tracks; named: `[B, T, sounds]` logits; sounds: `[B, T]`, -1 unknown.
            where: kind of recording `[B]` and whether the window begins it `[B]`.
        """
        kind, begins = where
        error = made - true
        lips = error @ self.flat  # [B, T, 3K], weighted cm
        weight = self.balance[kind][:, None].expand(-1, true.shape[1]).clone()
        weight[:, :10] *= begins[:, None].float()  # no judgement before the window has heard anything
        gap = true @ self.gap
        for classes, extra in ((_CLOSED, self.options.firm), (_ROUND, self.options.round)):
            weight = weight * (1 + extra * sum((sounds == index).float() for index in classes))
        weight = weight * (1 + 1.0 * (sounds == 0).float() * (gap < 0.1).float())
        total = weight.sum()
        speed = (error[:, 1:] - error[:, :-1]) @ self.flat
        pairs = torch.minimum(weight[:, 1:], weight[:, :-1])
        spread = [self._spread(made @ self.gap, gap), self._spread(made @ self.width, true @ self.width)]
        for name in _SPREAD:
            spread.append(0.4 * self._spread(made[..., _FIRST.index(name)] * 2, true[..., _FIRST.index(name)] * 2))
        parts = {
            "lips": 10 * (weight * _soft(lips)).sum() / total,
            "speed": 10 * (pairs * _soft(speed)).sum() / pairs.sum(),
            "gap": (weight * (error @ self.gap).abs()).sum() / total,
            "width": (weight * (error @ self.width).abs()).sum() / total,
            "spread": torch.stack(spread).sum(),
        }
        known = sounds >= 0
        if bool(known.any()):
            parts["naming"] = nn.functional.cross_entropy(named[known], sounds[known])
        return parts

    @staticmethod
    def _spread(made: Tensor, true: Tensor) -> Tensor:
        """How far the standard deviation over time is off, in logarithms, for windows `[B, T]` that move."""
        there, here = true[:, 10:].std(1), made[:, 10:].std(1)
        moving = (there > 0.05).float()
        return (moving * ((here + 0.02) / (there + 0.02)).log().abs()).sum() / moving.sum().clamp(min=1)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on the validation sentences, each in its speaker's style and in the mean style."""
        assert isinstance(network, SpeechNet)
        own = [self._scores(network, item, item.style) for item in self.validation]
        mean = [self._scores(network, item, None) for item in self.validation]
        out = {f"own_{name}": float(np.nanmedian([row[name] for row in own])) for name in own[0]}
        return {**out, **{f"mean_{name}": float(np.nanmedian([row[name] for row in mean])) for name in mean[0]}}

    def _scores(self, network: SpeechNet, item: Item, style: int | None) -> dict[str, float]:
        made = run_whole(network, item.samples, style)
        return compare(made, item, self.gap.cpu().numpy())

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """Curves of true (grey) and predicted (dark) opening of four validation sentences."""
        assert isinstance(network, SpeechNet)
        folder.mkdir(parents=True, exist_ok=True)
        gap = self.gap.cpu().numpy()
        rows = []
        for item in self.validation[:: max(1, len(self.validation) // 4)][:4]:
            made = np.clip(run_whole(network, item.samples, item.style), 0, 1)
            rows.append(draw_curves([item.tracks @ gap, made @ gap], item.phones or []))
        cv2.imwrite(str(folder / f"opening_{index:06d}.png"), np.concatenate(rows))


def _soft(error: Tensor) -> Tensor:
    """Smooth absolute error averaged over the last axis; quadratic below half a millimetre."""
    return nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.05, reduction="none").mean(-1)


def run_whole(network: SpeechNet, samples: Array, style: int | None = None) -> Array:
    """Tracks `[T, N]` of a whole recording `[S]`; style None is the house style."""
    frames = len(samples) // FRAME_SAMPLES
    features = torch.from_numpy(log_mel(samples[: frames * FRAME_SAMPLES]))[None]
    device = network.stem.weight.device
    with torch.inference_mode():
        code = None if style is None else network.styles.weight[style][None, None]
        out, _ = network(features.to(device), network.start(), code)
    tracks: Array = out[0].cpu().numpy()
    return tracks


def compare(made: Array, item: Item, gap: Array) -> dict[str, float]:
    """Correlation, amplitude and closure of predicted tracks against an item's labels."""
    made, true = np.clip(made, 0, 1), item.tracks
    count = min(len(made), len(true))
    here, there = made[:count] @ gap, true[:count] @ gap
    scores = {
        "correlation": correlation(here, there),
        "amplitude": float(here.std() / max(there.std(), 1e-6)),
        "error_cm": float(np.abs(here - there).mean()),
        "pressed_cm": float("nan"),
        "rest_cm": float("nan"),
    }
    if item.phones:
        pressed = speech.firmness(item.phones, count, "P B M") >= 1
        rest = speech.quiet(item.phones, count) >= 1
        scores["pressed_cm"] = float(here[pressed].mean()) if pressed.any() else float("nan")
        scores["rest_cm"] = float(np.abs(here[rest]).mean()) if rest.any() else float("nan")
    return scores


def draw_curves(curves: list[Array], phones: list[speech.Phone], width: int = 1200, height: int = 220) -> np.ndarray:
    """A chart `[H, W, 3]` uint8 BGR of openings in cm (0 to 2), with the phones written below."""
    chart = np.full((height, width, 3), 255, np.uint8)
    frames = len(curves[0])
    for curve, colour in zip(curves, ((170, 170, 170), (160, 40, 30), (40, 40, 200)), strict=False):
        x = np.arange(len(curve)) * width / frames
        y = height - 30 - np.clip(curve, -0.1, 2) * (height - 40) / 2
        cv2.polylines(chart, [np.stack([x, y], 1).astype(np.int32)], isClosed=False, color=colour, thickness=2)
    for name, start, _ in phones:
        at = (int(start * 30 * width / frames), height - 8)
        cv2.putText(chart, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return chart


def settle(network: SpeechNet, validation: list[Item], styles: list[str], space: MouthSpace) -> dict[str, object]:
    """Choose the house style and set the gains, in place, on validation sentences.

    The style is the one whose opening and width of the mouth correlate best with all validation speakers, among the
    speakers' own and their mean; opening alone would take a speaker who never spreads the lips. Two gains match
    standard deviations over time, each from 1 to `MOST_GAIN`: that of the tracks which open the mouth, and that of
    those which change its width. Then each sound gets back what its mean frame still lacks.
    """
    network.eval()
    gap, width = space.gap(), space.width()
    table = network.styles.weight.detach()[: len(styles)]
    options = {"mean": table.mean(0), **{name: table[index] for index, name in enumerate(styles)}}
    scores: dict[str, tuple[float, float, float]] = {}
    for name, code in options.items():
        network.house_style.copy_(code)
        network.gain.fill_(1.0)
        tracks = [run_whole(network, item.samples) for item in validation]
        opened, wide = (
            [compare(made, item, axis) for made, item in zip(tracks, validation, strict=True)] for axis in (gap, width)
        )
        pairs = ((opened, "correlation"), (wide, "correlation"), (opened, "amplitude"))
        first, second, third = (float(np.median([row[key] for row in rows])) for rows, key in pairs)
        scores[name] = (first, second, third)
    best = max(scores, key=lambda name: scores[name][0] + 0.5 * scores[name][1] + 0.1 * min(scores[name][2], 1.0))
    network.house_style.copy_(options[best])
    gains = {}
    network.emphasis.zero_()
    for kind, direction in (("opening", gap), ("width", width)):
        rows = [compare(run_whole(network, item.samples), item, direction) for item in validation]
        gains[kind] = float(np.clip(1 / np.median([row["amplitude"] for row in rows]), 1.0, MOST_GAIN))
        for index, name in enumerate(_FIRST):
            if (name in _WIDENS) == (kind == "width"):
                network.gain[index] = gains[kind]
    network.emphasis.copy_(torch.from_numpy(_missing(network, validation)))
    return {"house_style": best, "gains": gains, "styles": scores, "emphasis": network.emphasis.tolist()}


def _missing(network: SpeechNet, validation: list[Item]) -> Array:
    """What the mean frame of each sound lacks of its labels, `[sounds, N]`; sounds seldom heard count for less."""
    lacks = np.zeros(tuple(network.emphasis.shape), np.float32)
    counts = np.zeros(len(lacks), np.float32)
    for item in validation:
        made = np.clip(run_whole(network, item.samples), 0, 1)
        frames = min(len(made), len(item.tracks))
        named = speech.sounds(item.phones or [], frames)
        for index in range(1, len(lacks)):  # not silence
            chosen = named == index
            lacks[index] += (item.tracks[:frames] - made[:frames])[chosen].sum(0)
            counts[index] += chosen.sum()
    return (EMPHASIS * lacks / (counts + 20)[:, None]).astype(np.float32)


def finish(folder: Path) -> dict[str, object]:
    """Settle the averaged weights of the run in `folder` and store them as `settled.pt` for export."""
    recipe = read_recipe(folder / "recipe.toml")
    config = parse_options(SpeechConfig, recipe.network, "the table [network]")
    network = SpeechNet(config)
    network.load_state_dict(averaged_weights(folder / CHECKPOINT))
    styles = SpeechSet.load(folder / SET_FILE).styles
    found = settle(network, data.load_items(folder / VALIDATION_FILE), styles, mouth_space())
    torch.save({"config": json.dumps(asdict(config)), "network": network.state_dict()}, folder / "settled.pt")
    (folder / "settled.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    finish(parser.parse_args().run)
