"""Training of the one-step student of speech: `liveface train recipes/speech-student.toml`.

Notable choices: the student begins as the teacher and is asked for pure noise alone; it matches what the teacher draws
in several steps from the same noise after the same past, stays with the true lips, and is pulled towards what the
teacher finds likely by the difference of two scores, the teacher's and that of a copy which learns the student's own
drawings as they come; half of its pasts are streams that it drew itself, so that what goes wrong in a stream is seen in
training; how much brows and head stir in those streams is matched to people.

Source: Yin et al. 2024 (distribution matching distillation) for the two scores, Lee et al. 2025 for doing so with
motion in a stream, Huang et al. 2025 (self forcing) for own streams as past.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from liveface.errors import RecipeError
from liveface.motion.codes import GROUPS
from liveface.motion.diffusion import levels
from liveface.nets.online import Conditions, Memory, OnlineNet
from liveface.train.diffusion import like_noise, lowered, noised
from liveface.train.loop import CHECKPOINT, Run, averaged_weights
from liveface.train.recipe import parse_options
from liveface.train.speech_streams import free_run, hold_back
from liveface.train.speech_teacher import TeacherOptions, TeacherTask, _soft, group_weights
from liveface.train.speech_windows import Batch

_LOWEST, _HIGHEST = 0.02, 0.98  # levels at which the two scores are compared
_BEGIN, _AWAY = 20, 1.5  # frames with which own streams begin, and standard deviations by which they are displaced
_POOL = 3  # batches of own streams drawn at a time


@dataclass(frozen=True, slots=True)
class StudentOptions(TeacherOptions):
    """The table `[task]` of a student's recipe; `own` is the share of batches whose past is an own stream.

    Attributes:
        teacher: run folder of the teacher.
        teacher_steps: denoising steps of the teacher that are matched.
        match: weight of the teacher's drawings.
        lips_match: how much the mouth counts in them and in the difference of scores: it has true lips to stay with.
        rest_match: how much brows and head count there.
        held_back: factor on the teacher's inertia, without which its streams of several steps walk away.
        distribution: weight of the difference of scores; 0 leaves that out.
        stir, anchor: weights of how much brows and head stir in own streams, and of where they are on average.
        refresh: steps between new own streams.
    """

    teacher: str = "build/speech-teacher"
    teacher_steps: int = 4
    held_back: float = 0.85
    match: float = 1.0
    lips_match: float = 0.3
    rest_match: float = 0.5
    distribution: float = 0.1
    stir: float = 0.01
    anchor: float = 0.5
    refresh: int = 8


class StudentTask(TeacherTask):
    """What the shared loop trains for the student: the student itself and the score of its drawings."""

    options: StudentOptions

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        folder = Path(self.options.teacher)
        if not (folder / CHECKPOINT).is_file():
            raise RecipeError(f"there is no teacher in {folder}; train recipes/speech-teacher.toml first.")
        self.teacher = copy.deepcopy(self.network)
        self.teacher.load_state_dict(averaged_weights(folder / CHECKPOINT))
        self.teacher.requires_grad_(requires_grad=False)
        self.network.load_state_dict(self.teacher.state_dict())
        hold_back(self.teacher, self.options.held_back)
        self.pool: list[tuple[Batch, tuple[Tensor, Tensor], Tensor, Tensor]] = []
        if self.options.distribution:
            score = copy.deepcopy(self.network)
            self.networks["score"] = score
            learning = [value for value in score.parameters() if value.requires_grad]
            self.optimizers["score"] = torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.02, betas=(0.5, 0.98))

    def read_options(self, values: dict[str, object]) -> TeacherOptions:
        return parse_options(StudentOptions, values, "the table [task]")

    def step(self, index: int) -> dict[str, float]:
        """One step of the student, and one of the score of its drawings."""
        if index % self.options.refresh == 0 or not self.pool:
            self._stream()
        self.network.train()
        streamed = self.rng.random() < self.options.own
        if streamed:
            batch, heard, noise, shown = self.pool[int(self.rng.integers(len(self.pool)))]
            true, seen = self.network.standard(batch.codes), torch.ones(shown.shape[:2], dtype=torch.bool)
        else:
            batch, heard = self.batch()
            true = self.network.standard(batch.codes)
            noise = like_noise(tuple(true.shape))  # type: ignore[arg-type]
            shown, seen = self.worsened(true)
        past, top = (shown, seen), torch.ones(len(true), 1)
        with self.run.autocast():
            told = _told(self.network, batch, heard)
            memory = self.network.remember(told.heard, shown, seen)
            made = self.network.draw(told, noise, top, memory, past).float()
            parts = self._parts(made, true, batch, streamed=streamed)
            with torch.no_grad():
                taught = _told(self.teacher, batch, heard)
                known = self.teacher.remember(taught.heard, shown, seen)
                wanted = drawn(self.teacher, taught, noise, (known, past), self.options.teacher_steps)
            parts["match"] = self.options.match * self._matched(made, wanted, batch)
            if self.options.distribution:
                parts["matching"] = self._distribution(made, (taught, known), (batch, heard), past)
        self.update(parts, "main")
        numbers = {name: float(value.detach()) for name, value in parts.items()}
        if self.options.distribution:
            numbers["score"] = self._learn_score(made.detach(), batch, heard, past)
        return numbers

    @torch.no_grad()
    def _stream(self) -> None:
        """Fresh own streams as pasts."""
        self.network.eval()
        drawn_ = [self.batch() for _ in range(_POOL)]
        told = [_told(self.network, batch, heard) for batch, heard in drawn_]
        heard, mouth = (torch.cat([getattr(one, name) for one in told]) for name in ("heard", "mouth"))
        noise = like_noise((len(heard), heard.shape[1], self.network.config.codes))
        with self.run.autocast():
            begin = self._displaced(torch.cat([batch.codes for batch, _ in drawn_]))
            shown = free_run(self.network, (heard, mouth), noise, begin=begin).float().clone()
        size = len(shown) // _POOL
        self.pool = [
            (batch, ears, noise[at * size : (at + 1) * size], shown[at * size : (at + 1) * size])
            for at, (batch, ears) in enumerate(drawn_)
        ]

    def _displaced(self, codes: Tensor) -> Tensor:
        """First frames of own streams: true ones, in most of them with brows and head far off, to come back from."""
        begin = self.network.standard(codes[:, :_BEGIN])
        away = _AWAY * torch.randn(len(begin), 1, begin.shape[-1]) * (torch.rand(len(begin), 1, 1) < 0.7)
        away[..., GROUPS["mouth"]] = 0
        return begin + away

    def _parts(self, made: Tensor, true: Tensor, batch: Batch, *, streamed: bool) -> dict[str, Tensor]:
        """Losses against recordings: lips always, brows and head only after a true past, stirring after an own one."""
        open_ = torch.ones(made.shape[:2])
        parts = self.losses(made, true, batch, open_)
        if not streamed:
            return parts
        for name in ("rest", "sway"):
            parts[name] = 0 * parts[name]
        known = group_weights(batch.known)
        parts["stir"] = self.options.stir * _stirring(made[:, _BEGIN:], true[:, _BEGIN:], known)
        parts["anchor"] = self.options.anchor * _astray(made[:, _BEGIN:], true[:, _BEGIN:], known)
        return parts

    def _matched(self, made: Tensor, wanted: Tensor, batch: Batch) -> Tensor:
        """How far the student is from the teacher's drawings."""
        mouth = GROUPS["mouth"]
        lips = self.loss(self.network.real(made)[..., mouth], self.network.real(wanted)[..., mouth],
                         torch.ones(made.shape[:2]))  # fmt: skip
        rest = _soft((made - wanted)[..., mouth.stop :], 0.1)
        sway = _soft((made[:, 1:] - made[:, :-1] - wanted[:, 1:] + wanted[:, :-1])[..., mouth.stop :], 0.1)
        return self.options.lips_match * (lips["lips"] + lips["speed"]) + self.options.rest_match * (
            rest.mean() + 2 * sway.mean()
        )

    def _distribution(
        self, made: Tensor, taught: tuple[Conditions, Memory], given: tuple[Batch, tuple[Tensor, Tensor]],
        past: tuple[Tensor, Tensor],
    ) -> Tensor:  # fmt: skip
        """A loss whose gradient points from what the student draws to what the teacher finds likely.

        Source: Yin et al. 2024, equations 7 and 8, with clean-signal predictions.
        """
        level = _LOWEST + (_HIGHEST - _LOWEST) * torch.rand(len(made), 1)
        score = self.networks["score"]
        assert isinstance(score, OnlineNet)
        with torch.no_grad():
            noisy = noised(made, torch.randn_like(made), level)
            likely = self.teacher.draw(taught[0], noisy, level, taught[1], past).float()
            told = _told(score, *given)
            own = score.draw(told, noisy, level, score.remember(told.heard, *past), past).float()
            size = (made - likely).abs().mean((1, 2), keepdim=True).clamp(min=0.02)
            aim = made - (own - likely) / size
        share = torch.full((made.shape[-1],), self.options.rest_match)
        share[GROUPS["mouth"]] = self.options.lips_match
        return self.options.distribution * 0.5 * (share * (made - aim) ** 2).mean()

    def _learn_score(
        self, made: Tensor, batch: Batch, heard: tuple[Tensor, Tensor], past: tuple[Tensor, Tensor]
    ) -> float:
        """One denoising step of the score on the student's drawings."""
        score = self.networks["score"]
        assert isinstance(score, OnlineNet)
        level = _LOWEST + (_HIGHEST - _LOWEST) * torch.rand(len(made), 1)
        with self.run.autocast():
            told = _told(score, batch, heard)
            found = score.draw(
                told, noised(made, torch.randn_like(made), level), level, score.remember(told.heard, *past), past
            ).float()
        part = _soft(found - made, 0.1).mean()
        self.update({"score": part}, "score")
        return float(part.detach())


def _told(network: OnlineNet, batch: Batch, heard: tuple[Tensor, Tensor]) -> Conditions:
    return network.conditions(heard, batch.emotion, batch.style, batch.eyes)


def drawn(
    network: OnlineNet, told: Conditions, noise: Tensor, given: tuple[Memory, tuple[Tensor, Tensor]], steps: int
) -> Tensor:
    """Motion `[B, T, 26]` drawn in `steps` steps, every frame after the given past; `given`: memory, and past."""
    memory, past = given
    noisy, clean, path = noise, noise, levels(steps).tolist()
    for level, lower in pairwise(path):
        here, there = torch.full((len(noise), 1), level), torch.full((len(noise), 1), lower)
        clean = network.draw(told, noisy, here, memory, past).float()
        noisy = lowered(noisy, clean, here, there)
    return clean


def _stirring(made: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """How far the steps of brows and head are off over a window, in squared logarithms.

    Their spread is not matched: a head that wanders off has as much of it as one that nods, and the first student did.
    """
    rest = GROUPS["mouth"].stop
    here, there = ((x[:, 1:, rest:] - x[:, :-1, rest:]).abs().mean(1) for x in (made, true))
    return (known[:, 0, rest:] * ((here + 0.02) / (there + 0.02)).log() ** 2).mean()


def _astray(made: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """How far the means of brows and head over a window are from people's, which calls a stream back."""
    rest = GROUPS["mouth"].stop
    return (known[:, 0, rest:] * _soft((made - true).mean(1)[..., rest:], 0.5)).mean()
