"""Training of the diffusion teacher of speech: `liveface train recipes/speech-teacher.toml`.

Notable choices: all frames of a window are drawn at once, each from its own noise and from the true past, which is made
worse on purpose (noise, gaps, the network's own drawings), because in a stream the past is never the true one; part of
the batches have no past and see both sides, which is the mode for files; conditions are left out at times (guidance).

Source: Ho et al. 2020 and Salimans and Ho 2022 (diffusion, clean signal predicted), Ho and Salimans 2022 (guidance),
Bengio et al. 2015 (own drawings as past), Lee et al. 2025 (velocity and jitter losses over a window).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from liveface.motion.codes import CODE_NAMES, GROUPS, HEAD_NAMES
from liveface.nets.online import Conditions, OnlineConfig, OnlineNet
from liveface.train.diffusion import jitter_ratio, like_noise, noised, random_levels
from liveface.train.loop import CHECKPOINT, Run, averaged_weights
from liveface.train.recipe import parse_options
from liveface.train.speech_codes import CODES_FILE, VALIDATION_FILE, SpeechCodes
from liveface.train.speech_streams import Heard, stream_set
from liveface.train.speech_windows import Batch, MouthLoss, Windows, mouth_scores, mouth_space
from liveface.types import Array

_LEAST_SPREAD = {"mouth": 0.03, "upper": 0.06, "head": 0.2}
_WORSE = 0.25  # standard deviations of mouth noise in the past, on average; brows and head get a fifth of it
_UNSEEN, _LATE = 0.1, 0.25  # shares of windows without a past, and with one that begins late
_TRACKS = 0.1  # weight of the mouth's numbers beside the distances they make
_FIXED_FRAMES = 40  # most frames at the beginning of a window that are fixed, when both sides are seen
EVALUATED_FRAMES = 240


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """The table `[task]` of a teacher's recipe.

    Attributes:
        codes: folder of `python -m liveface.train.speech_codes`.
        listener: run folder of `recipes/speech-listener.toml`.
        shares: how often each kind is drawn.
        window: frames of one sample.
        emotional: share of windows with an emotion.
        dropped: share of windows without conditions.
        own: share of batches whose past is the network's own drawing.
        both: share of batches in which frames see both sides.
        lips, rest, jitter: weights of the mouth's loss, of brows and head, and of jitter.
        firm: extra weight of frames with closed lips.
        steps: denoising steps of the scores on the way.
    """

    codes: str = "build/speech-codes"
    listener: str = "build/speech-listener"
    shares: dict[str, float] = field(
        default_factory=lambda: {"video": 0.4, "rig": 0.1, "taught": 0.2, "synthetic": 0.2, "noise": 0.1}
    )
    window: int = 96
    emotional: float = 0.5
    dropped: float = 0.1
    own: float = 0.4
    both: float = 0.2
    lips: float = 1.0
    rest: float = 1.0
    jitter: float = 0.02
    firm: float = 3.0
    steps: int = 1


def moments(kept: SpeechCodes) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `[26]` of the codes where they are known."""
    mean, spread = np.zeros(26, np.float32), np.ones(26, np.float32)
    for index, (name, group) in enumerate(GROUPS.items()):
        values = kept.codes[kept.known[:, index]][:, group].astype(np.float32)
        mean[group], spread[group] = values.mean(0), np.maximum(values.std(0), _LEAST_SPREAD[name])
    return torch.from_numpy(mean), torch.from_numpy(spread)


def denoiser(config: OnlineConfig, listener: Path, kept: SpeechCodes) -> OnlineNet:
    """A new denoiser with the ears of a finished listener, which do not learn any more."""
    network = OnlineNet(config)
    network.encoder.load_state_dict(averaged_weights(listener / CHECKPOINT))
    network.encoder.requires_grad_(requires_grad=False)
    mean, spread = moments(kept)
    network.mean.copy_(mean)
    network.spread.copy_(spread)
    return network


def group_weights(known: Tensor) -> Tensor:
    """Weights `[B, T, 3]` of groups as weights `[B, T, 26]` of numbers."""
    sizes = [group.stop - group.start for group in GROUPS.values()]
    return torch.cat([known[..., index : index + 1].expand(-1, -1, size) for index, size in enumerate(sizes)], dim=-1)


class TeacherTask:
    """What the shared loop trains for the teacher."""

    def __init__(self, run: Run) -> None:
        self.run, recipe = run, run.recipe
        self.options = self.read_options(recipe.options)
        folder = Path(self.options.codes)
        self.windows = Windows(
            folder / CODES_FILE, self.options.window, self.options.shares, recipe.seed * 1000 + run.rank,
            emotional=self.options.emotional, unheard=0,
        )  # fmt: skip
        self.validation = SpeechCodes.load(folder / VALIDATION_FILE)
        config = parse_options(OnlineConfig, recipe.network, "the table [network]")
        network = denoiser(config, Path(self.options.listener), self.windows.set)
        self.ears = Heard.of(network, self.windows.set, run.folder / "heard.npz")
        self.validated = Heard.of(network, self.validation)
        self.loss = MouthLoss(firm=self.options.firm)
        self.networks: dict[str, nn.Module] = {"main": network}
        learning = [value for value in network.parameters() if value.requires_grad]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.02, betas=(0.9, 0.98))
        }
        self.rng = np.random.default_rng(recipe.seed)

    def read_options(self, values: dict[str, object]) -> TeacherOptions:
        """The table `[task]`."""
        return parse_options(TeacherOptions, values, "the table [task]")

    @property
    def network(self) -> OnlineNet:
        """The denoiser in training."""
        network = self.networks["main"]
        assert isinstance(network, OnlineNet)
        return network

    def batch(self) -> tuple[Batch, tuple[Tensor, Tensor]]:
        """Windows, and what the listener heard in them."""
        batch = self.windows.draw(self.run.recipe.batch)
        frames = batch.rows[:, None] + np.arange(self.options.window)
        ears = (self.ears.hidden, self.ears.mouth)
        hidden, mouth = (torch.from_numpy(part[frames].astype(np.float32)) for part in ears)
        return batch, (hidden, mouth)

    def told(self, batch: Batch, heard: tuple[Tensor, Tensor]) -> Conditions:
        """The conditions of a batch, left out at times."""
        kept = (torch.rand(len(batch.rows), 1, 1) >= self.options.dropped).float()
        seeing = (torch.rand(len(batch.rows), 1, 1) >= self.options.dropped).float()
        return self.network.conditions(heard, batch.emotion, batch.style, batch.eyes * seeing, kept)

    def worsened(self, true: Tensor) -> tuple[Tensor, Tensor]:
        """A past `[B, T, 26]` with noise, and where it is seen at all `[B, T]`."""
        batch, frames, _ = true.shape
        size = torch.full((26,), 0.2)
        size[GROUPS["mouth"]] = 1.0
        amount = _WORSE * -torch.rand(batch, 1, 1).clamp(min=1e-3).log() * (torch.rand(batch, 1, 1) < 0.8)
        shown = true + amount.clamp(max=1.5) * size * torch.randn_like(true)
        begins = torch.where(torch.rand(batch) < _LATE, torch.rand(batch) * frames, torch.zeros(batch))
        begins = torch.where(torch.rand(batch) < _UNSEEN, torch.full((batch,), float(frames)), begins)
        return shown, torch.arange(frames) >= begins[:, None]

    def step(self, index: int) -> dict[str, float]:
        """One optimizer step."""
        network, options = self.network, self.options
        network.train()
        batch, heard = self.batch()
        true = network.standard(batch.codes)
        noise, level = like_noise(tuple(true.shape)), random_levels(len(true))  # type: ignore[arg-type]
        with self.run.autocast():
            told = self.told(batch, heard)
            if self.rng.random() < options.both:
                fixed = (torch.rand(len(true), 1) * 2 - 1).clamp(min=0) * _FIXED_FRAMES
                open_ = (torch.arange(true.shape[1]) >= fixed).float()
                level = level * open_
                made = network.draw_both(told, noised(true, noise, level), level).float()
            else:
                open_ = torch.ones(true.shape[:2])
                shown, seen = self.worsened(true)
                if index > 200 and self.rng.random() < options.own:
                    shown = self.own(told, noise, (shown, seen))
                memory = network.remember(told.heard, shown, seen)
                made = network.draw(told, noised(true, noise, level), level, memory, (shown, seen)).float()
        parts = self.losses(made, true, batch, open_)
        self.update(parts, "main")
        return {name: float(value.detach()) for name, value in parts.items()}

    @torch.no_grad()
    def own(self, told: Conditions, noise: Tensor, past: tuple[Tensor, Tensor]) -> Tensor:
        """A past in which most stretches are what the network itself draws from noise."""
        shown, seen = past
        memory = self.network.remember(told.heard, shown, seen)
        made = self.network.draw(told, noise, torch.ones(len(noise), 1), memory, past).float()
        steady = torch.rand(len(noise), 1, 1) < 0.7
        swing = torch.rand(len(noise), noise.shape[1], 1) < 0.5
        return torch.where(steady | swing, made, shown)

    def losses(self, made: Tensor, true: Tensor, batch: Batch, open_: Tensor) -> dict[str, Tensor]:
        """Parts of the loss of drawn codes `[B, T, 26]` (standardised), judged where `open_` `[B, T]`."""
        options, mouth = self.options, GROUPS["mouth"]
        weight = self.loss.weight(batch) * open_
        lips = self.loss(self.network.real(made)[..., mouth], batch.codes[..., mouth], weight)
        known = group_weights(batch.known) * open_[..., None]
        rest = known[..., mouth.stop :]
        error = (made - true)[..., mouth.stop :]
        count = rest.sum().clamp(min=1)
        pairs = torch.minimum(rest[:, 1:], rest[:, :-1])
        parts = {name: options.lips * value for name, value in lips.items()}
        cheeks = _soft((made - true)[..., mouth], 0.3).mean(-1)  # what moves no lips, but makes a smile true
        parts["tracks"] = _TRACKS * (weight * cheeks).sum() / weight.sum().clamp(min=1)
        parts["rest"] = options.rest * (rest * _soft(error, 0.15)).sum() / count
        parts["sway"] = 2 * options.rest * (pairs * _soft(error[:, 1:] - error[:, :-1], 0.1)).sum() / count
        parts["jitter"] = options.jitter * jitter_ratio(made, true, (known > 0).float())
        return parts

    def update(self, parts: dict[str, Tensor], name: str) -> None:
        """One step of one optimizer down the sum of the parts."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        learning = [value for group in optimizer.param_groups for value in group["params"]]
        self.run.average_gradients(learning)
        nn.utils.clip_grad_norm_(learning, self.run.recipe.clip)
        optimizer.step()

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores of free-running streams on the validation recordings."""
        assert isinstance(network, OnlineNet)
        made = stream_set(network, self.validation, self.validated, steps=self.options.steps, most=EVALUATED_FRAMES)
        self.streams = made
        scores = mouth_scores([codes[:, GROUPS["mouth"]] for codes in made], self.validation)
        return {**scores, **life(made, self.validation)}

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """Curves of the streams that were scored last: opening, brows and head, true (grey) and drawn (dark)."""
        folder.mkdir(parents=True, exist_ok=True)
        chosen = np.flatnonzero(self.validation.known[self.validation.spans[:, 0]].all(1))[:3].tolist()
        chosen += np.flatnonzero(~self.validation.known[self.validation.spans[:, 0], 1])[:2].tolist()
        rows = []
        for item in chosen:
            first, frames, _ = self.validation.spans[item]
            true = self.validation.codes[first : first + min(frames, EVALUATED_FRAMES)].astype(np.float32)
            rows.append(curves(true, self.streams[item]))
        cv2.imwrite(str(folder / f"streams_{index:06d}.png"), np.concatenate(rows))


def _soft(error: Tensor, beta: float) -> Tensor:
    return nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="none")


def life(made: list[Array], kept: SpeechCodes) -> dict[str, float]:
    """How alive brows and head are: standard deviation and mean step a frame, drawn over true; 1 is as people are."""
    out: dict[str, float] = {}
    for index, name in ((1, "upper"), (2, "head")):
        rows = []
        for (first, frames, kind), codes in zip(kept.spans, made, strict=True):
            if not kept.known[first, index] or kind:
                continue
            true = kept.codes[first : first + min(frames, len(codes)), GROUPS[name]].astype(np.float32)
            here = codes[: len(true), GROUPS[name]]
            rows.append([np.std(x, axis=0).mean() for x in (here, true)]
                        + [np.abs(np.diff(x, axis=0)).mean() for x in (here, true)])  # fmt: skip
        if rows:
            drawn, true_, step, true_step = np.mean(rows, axis=0)
            out |= {f"{name}_spread": round(float(drawn / true_), 3), f"{name}_step": round(float(step / true_step), 3)}
    return out


def curves(true: Array, made: Array, width: int = 1400) -> np.ndarray:
    """A chart `[H, W, 3]` uint8 of opening (cm), two brows and the three angles of the head (0.1 rad)."""
    gap, mouth = mouth_space().gap(), GROUPS["mouth"]
    rows = [("opening", true[:, mouth] @ gap, made[:, mouth] @ gap, (0.0, 2.0, 150))]
    for name in ("browInnerUp", "browDownLeft", *HEAD_NAMES):
        at = CODE_NAMES.index(name)
        rows.append((name, true[:, at], made[:, at], (-1.5, 1.5, 70) if name in HEAD_NAMES else (0.0, 0.6, 70)))
    parts = []
    for name, there, here, (low, high, height) in rows:
        chart = np.full((height, width, 3), 255, np.uint8)
        for track, colour in ((there, (170, 170, 170)), (here, (160, 40, 30))):
            y = height - 3 - (np.clip(track, low, high) - low) / (high - low) * (height - 6)
            x = np.arange(len(track)) * width / max(len(true), len(made))
            cv2.polylines(chart, [np.stack([x, y], 1).astype(np.int32)], isClosed=False, color=colour, thickness=1)
        cv2.putText(chart, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        chart[-1] = 200
        parts.append(chart)
    return np.concatenate(parts)
