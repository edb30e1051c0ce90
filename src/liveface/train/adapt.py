"""One avatar's decoders from its pack, in minutes: `adapt`.

Notable choices: every decoder has its share of the time and its own clock of learning, whose rate stays high until
held-out quality stops rising (or half of its time is spent) and then falls to almost nothing, so that any budget ends
settled; the averaged weights are what is judged and kept; a checkpoint after every turn makes stopping harmless; all
weights learn, from people already known or from chance.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from liveface.errors import RecipeError
from liveface.nets.liveface import Decoder, make_decoder
from liveface.render.liveface.regions import window
from liveface.render.liveface.sizes import IDENTITY
from liveface.train.decoder_data import MODES, Frames, Sampler
from liveface.train.decoder_loss import Weights, judge
from liveface.train.decoders import (
    TEST_FRAMES,
    as_bytes,
    lesson,
    mean_patch,
    painted_frames,
    sheet_of,
    spread,
    total_loss,
)
from liveface.train.loop import average_weights
from liveface.train.pretrained import Pretrained, load
from liveface.types import Array

SHARES = {"mouth": 0.4, "eyes": 0.25, "hair": 0.25, "body": 0.1}
"""Share of the time that each decoder learns."""
CHECKPOINT = "decoders.pt"
LAST = ("join", "top", "head", "mean")
"""Layers of a decoder on its finest grid, by the start of their names."""


@dataclass(frozen=True, slots=True)
class AdaptOptions:
    """How an avatar learns; the defaults are what `liveface create` uses.

    Attributes:
        batch: frames a step.
        rate, scratch_rate: peak learning rates, from pretrained weights and from scratch.
        identity_rate: of the identity over the last layers'.
        trunk_rate: of all layers before the last ones, over the last layers'; 0 keeps them as they were pretrained
            (measured: 0.2 dB worse than 1 after 40 seconds, docs/decisions/decoders.md).
        noise: standard deviation of the noise on the controls.
        ema: decay of the averaged weights.
        settle_from: share of a region's time after which the rate falls, at the latest.
        settle_share: share of a region's time over which the rate falls once quality stopped rising.
        looks: held-out scores in a full budget.
        patience: scores without a rise by `rise_db` after which quality counts as no longer rising.
        rise_db: decibels that count as a rise.
        turn_s: seconds a region learns before the next one's turn.
        weights: of the losses.
        processor_time: count seconds of this process on a processor instead of seconds on the wall; for measurements
            with one thread on a machine that is shared.
        seed: of every random choice.
    """

    batch: int = 8
    rate: float = 1.5e-3
    scratch_rate: float = 1.5e-3
    identity_rate: float = 5.0
    trunk_rate: float = 1.0
    noise: float = 0.01
    ema: float = 0.99
    settle_from: float = 0.5
    settle_share: float = 0.25
    looks: int = 16
    patience: int = 4
    rise_db: float = 0.05
    turn_s: float = 20.0
    weights: Weights = field(default_factory=Weights)
    processor_time: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One held-out look at a region, handed to the progress callback.

    Attributes:
        region: its name.
        done: share of all of the time that is spent, 0 to 1.
        minutes: minutes this region has learned.
        step: optimizer steps of this region.
        scores: held-out scores; see `decoder_loss.judge`. For the mouth `visemes_*` and `landmarks_*` beside the
            plain ones, which are their means.
        sample: a picture of base, truth and decoder on held-out frames.
    """

    region: str
    done: float
    minutes: float
    step: int
    scores: dict[str, float]
    sample: Path


@dataclass(frozen=True, slots=True)
class AdaptedDecoder:
    """One finished decoder.

    Attributes:
        region, size: what it is.
        weights: averaged weights of `nets.liveface.Decoder`, mean patch included.
        identity: `[128]` float32.
        curve: held-out scores over time, each with `minutes` and `step`; the last one is the finished decoder's.
    """

    region: str
    size: str
    weights: dict[str, Tensor]
    identity: Array
    curve: tuple[dict[str, float], ...]

    @property
    def scores(self) -> dict[str, float]:
        """Held-out scores of the finished decoder."""
        return self.curve[-1]

    def network(self) -> Decoder:
        """The network, ready for export."""
        decoder = make_decoder(self.region, self.size)
        decoder.load_state_dict(self.weights)
        return decoder.eval()


@dataclass(frozen=True, slots=True)
class Adapted:
    """All decoders of one avatar.

    Attributes:
        decoders: by region.
        minutes: minutes of learning, all regions together.
        settled: whether every decoder stopped because its quality no longer rose, rather than for want of time.
    """

    decoders: dict[str, AdaptedDecoder]
    minutes: float
    settled: bool

    @property
    def mode_gap_db(self) -> float:
        """How much better the mouth is when it is given lip points instead of visemes, in decibels."""
        scores = self.decoders["mouth"].scores
        return round(scores["landmarks_psnr"] - scores["visemes_psnr"], 3)


class Learner:
    """One region of one avatar while it learns.

    Args:
        frames: its patches.
        size: name of the decoder's size.
        budget_s: seconds it may learn.
        options: how.
        start: pretrained weights, or None to start from chance.
        resumed: the identity comes with `restore`, so none is looked for.
    """

    def __init__(
        self,
        frames: Frames,
        size: str,
        budget_s: float,
        options: AdaptOptions,
        start: Pretrained | None,
        *,
        resumed: bool = False,
    ) -> None:
        self.frames, self.size, self.budget_s, self.options = frames, size, budget_s, options
        self.tests = spread(frames.tests, TEST_FRAMES)
        self.window = torch.from_numpy(window(frames.region))
        self.random = np.random.default_rng(options.seed)
        self.sampler = Sampler([frames], self.random, options.noise)
        self.rate = options.scratch_rate if start is None else options.rate
        torch.manual_seed(options.seed)
        decoder = make_decoder(frames.region, size)
        identity = torch.zeros(1, IDENTITY)
        if start is not None:
            decoder.load_state_dict({**start.state, "mean": decoder.mean.data})
        decoder.set_mean(mean_patch(frames))
        if start is not None and not resumed:
            identity = nearest_identity(decoder, frames, start.identities)
        decoder = decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.main = Person(decoder, identity)
        self.averaged = copy.deepcopy(self.main).requires_grad_(requires_grad=False)
        last: list[nn.Parameter] = []
        trunk: list[nn.Parameter] = []
        for name, weight in decoder.named_parameters():
            (last if name.startswith(LAST) else trunk).append(weight)
            weight.requires_grad = name.startswith(LAST) or options.trunk_rate > 0
        groups: list[dict[str, Any]] = [
            {"params": last, "scale": 1.0},
            {"params": trunk, "scale": options.trunk_rate},
            {"params": [self.main.identity], "scale": options.identity_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, self.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
        self.step, self.spent_s, self.looked_s, self.stalled_s = 0, 0.0, 0.0, -1.0
        self.curve: list[dict[str, float]] = []

    @property
    def settles_s(self) -> float:
        """When the rate begins to fall."""
        latest = self.options.settle_from * self.budget_s
        return latest if self.stalled_s < 0 else min(latest, self.stalled_s)

    @property
    def ends_s(self) -> float:
        """When this region has finished."""
        if self.stalled_s < 0 or self.stalled_s >= self.options.settle_from * self.budget_s:
            return self.budget_s
        return min(self.budget_s, self.stalled_s + self.options.settle_share * self.budget_s)

    @property
    def done(self) -> bool:
        """Whether it has finished."""
        return self.spent_s >= self.ends_s

    @property
    def pace(self) -> float:
        """Learning rate over its peak: a short rise, a plateau, a straight fall to a fiftieth."""
        left = (self.ends_s - self.spent_s) / max(self.ends_s - self.settles_s, 1e-9)
        return min(1.0, (self.step + 1) / 30) * min(1.0, max(0.02, left))

    def learn(self) -> dict[str, float]:
        """One step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * self.pace * group["scale"]
        batch = self.sampler.draw(self.options.batch)
        with torch.autocast("cpu", torch.bfloat16):
            painted, disagreement = lesson(self.main.decoder, batch, self.main.identity)
        loss, parts = total_loss(painted, disagreement, batch, self.window, self.frames.region, self.options.weights)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.main.parameters(), 1.0)
        self.optimizer.step()
        average_weights(self.averaged, self.main, min(self.options.ema, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return parts

    def look(self) -> dict[str, float]:
        """Held-out scores of the averaged weights; notes when they no longer rise."""
        scores: dict[str, float] = {}
        modes = list(MODES) if self.frames.region == "mouth" else [""]
        for mode in modes:
            made, true = painted_frames(self.averaged.decoder, self.frames, self.tests, self.averaged.identity, mode)
            found = judge(made, true, self.frames.time[self.tests], self.window.numpy())
            scores |= {f"{mode}_{name}".strip("_"): value for name, value in found.items()}
        if len(modes) > 1:
            for name in ("psnr", "psnr_middle", "sharpness", "change"):
                both = [scores[f"{mode}_{name}"] for mode in ("visemes", "landmarks") if f"{mode}_{name}" in scores]
                scores |= {name: round(float(np.mean(both)), 3)} if both else {}
        scores = {"minutes": round(self.spent_s / 60, 3), "step": self.step, **scores}
        self.curve.append(scores)
        self.looked_s = self.spent_s
        best = [line["psnr"] for line in self.curve]
        patience = self.options.patience
        if self.stalled_s < 0 and len(best) > patience:
            if max(best[-patience:]) < max(best[:-patience]) + self.options.rise_db:
                self.stalled_s = self.spent_s
        return scores

    def sheet(self, file: Path) -> Path:
        """Base, truth and decoder on six held-out frames."""
        shown = self.tests[np.linspace(0, len(self.tests) - 1, 6).astype(int)]
        made, true = painted_frames(self.averaged.decoder, self.frames, shown, self.averaged.identity, "visemes")
        rows = [list(self.frames.base[shown]), [as_bytes(x) for x in torch.cat(true)],
                [as_bytes(x) for x in torch.cat(made)]]  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.stem}.part.png")
        cv2.imwrite(str(part), sheet_of(rows)[:, :, ::-1])
        return part.replace(file)

    def state(self) -> dict[str, Any]:
        """Everything a resumed learner needs."""
        return {
            "main": self.main.state_dict(), "averaged": self.averaged.state_dict(), "step": self.step,
            "optimizer": self.optimizer.state_dict(), "spent_s": self.spent_s, "looked_s": self.looked_s,
            "stalled_s": self.stalled_s, "curve": self.curve, "random": self.random.bit_generator.state,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.main.load_state_dict(state["main"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent_s, self.looked_s = state["step"], state["spent_s"], state["looked_s"]
        self.stalled_s, self.curve = state["stalled_s"], list(state["curve"])
        self.random.bit_generator.state = state["random"]

    def finished(self) -> AdaptedDecoder:
        """The averaged decoder as a result."""
        weights = {name: tensor.clone() for name, tensor in self.averaged.decoder.state_dict().items()}
        identity = self.averaged.identity.detach()[0].numpy().copy()
        return AdaptedDecoder(self.frames.region, self.size, weights, identity, tuple(self.curve))


class Person(nn.Module):
    """A decoder and one identity `[1, 128]`."""

    def __init__(self, decoder: Decoder, identity: Tensor) -> None:
        super().__init__()
        self.decoder = decoder
        self.identity = nn.Parameter(identity.clone())


@torch.no_grad()
def nearest_identity(decoder: Decoder, frames: Frames, identities: Array, count: int = 4) -> Tensor:
    """The mean `[1, 128]` of the `count` known identities under which the decoder errs least on a few frames."""
    learned = frames.learned
    some = learned[np.linspace(0, len(learned) - 1, min(8, len(learned))).astype(int)]
    errors = []
    for identity in torch.from_numpy(identities):
        made, true = painted_frames(decoder, frames, some, identity[None], "landmarks")
        errors.append(float((torch.cat(made) - torch.cat(true)).abs().mean()))
    best = np.argsort(errors)[:count]
    return torch.from_numpy(identities[best].mean(0, keepdims=True))


def adapt(
    pack: str | Path,
    run: str | Path,
    size: str = "base",
    minutes: float = 5.0,
    *,
    pretrained: bool = True,
    progress: Callable[[Look], None] | None = None,
    options: AdaptOptions | None = None,
    regions: tuple[str, ...] = tuple(SHARES),
) -> Adapted:
    """Learn the decoders of one avatar, or go on learning them.

    The same call resumes: what was learned lies in `run`. It ends when the time is spent or when the held-out quality
    of every region no longer rises.

    Args:
        pack: folder of the avatar's pack.
        run: folder of checkpoint and live samples (`samples/*.png`), made if it does not exist.
        size: "small", "base" or "large".
        minutes: minutes of learning in all, those of earlier calls included.
        pretrained: start from the weights that ship; else from chance.
        progress: called after every held-out look.
        options: how to learn.
        regions: which decoders; the time is shared among them.

    Raises:
        RecipeError: the pack cannot be used, or `run` belongs to another pack, size or start.
    """
    pack, run, options = Path(pack), Path(run), options or AdaptOptions()
    if minutes <= 0:
        raise RecipeError(f"creation was given {minutes:g} minutes; expected more than 0.")
    run.mkdir(parents=True, exist_ok=True)
    whole = sum(SHARES[region] for region in regions)
    learners = {
        region: Learner(
            Frames.open(pack, region), size, 60 * minutes * SHARES[region] / whole, options,
            load(region, size) if pretrained else None, resumed=(run / CHECKPOINT).is_file(),
        )
        for region in regions
    }  # fmt: skip
    key = f"{size} {pretrained} {_digest(pack)}"
    _resume(run / CHECKPOINT, key, learners)
    try:
        while not all(learner.done for learner in learners.values()):
            for learner in learners.values():
                if not learner.done:
                    _take_turn(learner, learners, run, progress)
            _save(run / CHECKPOINT, key, learners)
    except KeyboardInterrupt:
        _save(run / CHECKPOINT, key, learners)
        raise
    _save(run / CHECKPOINT, key, learners)
    return Adapted(
        {region: learner.finished() for region, learner in learners.items()},
        round(sum(learner.spent_s for learner in learners.values()) / 60, 2),
        all(learner.stalled_s >= 0 for learner in learners.values()),
    )


def _take_turn(
    learner: Learner, learners: dict[str, Learner], run: Path, progress: Callable[[Look], None] | None
) -> None:
    """Let one region learn for a while; look at it when a look is due, and always at its end."""
    options, turn_s = learner.options, 0.0
    clock = time.process_time if options.processor_time else time.perf_counter
    while turn_s < min(options.turn_s, learner.budget_s / 4) and not learner.done:
        began = clock()
        learner.learn()
        spent = clock() - began
        turn_s += spent
        learner.spent_s += spent
    if learner.done or learner.spent_s - learner.looked_s >= learner.budget_s / options.looks:
        scores = learner.look()
        sample = learner.sheet(run / "samples" / f"{learner.frames.region}-{learner.step:06d}.png")
        if progress is not None:
            done = sum(min(1.0, one.spent_s / one.ends_s) for one in learners.values()) / len(learners)
            progress(Look(learner.frames.region, done, learner.spent_s / 60, learner.step, scores, sample))


def _digest(pack: Path) -> str:
    """A name for a pack by its controls, which no two recordings share."""
    return hashlib.sha256((pack / "controls.npz").read_bytes()).hexdigest()[:16]


def _save(file: Path, key: str, learners: dict[str, Learner]) -> None:
    """Store all learners; the old checkpoint is replaced only when the new one is whole."""
    part = file.with_suffix(".part")
    torch.save({"key": key, "regions": {name: one.state() for name, one in learners.items()}}, part)
    part.replace(file)


def _resume(file: Path, key: str, learners: dict[str, Learner]) -> None:
    """Restore what an earlier call learned."""
    if not file.is_file():
        return
    content = torch.load(file, map_location="cpu", weights_only=True)
    if content["key"] != key or set(content["regions"]) != set(learners):
        raise RecipeError(
            f"{file} belongs to another recording, size, start or choice of regions than this call; "
            "use another run folder, or delete it to begin again."
        )
    for name, learner in learners.items():
        learner.restore(content["regions"][name])
