"""One resumable training loop for every network of the house.

Notable choices: a task owns its networks, losses and data and the loop owns time, rates, averaging, metrics and
files, so that adversarial and plain tasks share it; the run folder holds a copy of the recipe, the environment,
`metrics.jsonl`, `samples/` and one checkpoint that is replaced atomically; the same call resumes; the same code runs on
a CPU, on a GPU and under `torchrun`, where gradients are averaged explicitly.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from liveface.errors import RecipeError
from liveface.train.recipe import Recipe

CHECKPOINT = "checkpoint.pt"


class Task(Protocol):
    """What the loop trains. `networks["main"]` is averaged and exported; others (a critic) are only stored."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def step(self, index: int) -> dict[str, float]:
        """One optimizer step; returns the numbers to log."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Held-out scores of the averaged network."""

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """Write pictures or sounds to look at."""


@dataclass(slots=True)
class Run:
    """Where and on what a run happens; handed to every task.

    Attributes:
        recipe: the run's recipe.
        folder: the run folder, outside the repository.
        device: where networks and batches live.
        rank, world: this process among all of them.
    """

    recipe: Recipe
    folder: Path
    device: torch.device
    rank: int = 0
    world: int = 1
    started_s: float = field(default_factory=time.monotonic)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @property
    def minutes(self) -> float:
        """Minutes since this call began."""
        return (time.monotonic() - self.started_s) / 60

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision of the recipe, for the forward pass."""
        if self.recipe.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over all processes; nothing to do for one."""
        if self.world > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.world


def average_weights(target: nn.Module, source: nn.Module, decay: float) -> None:
    """Move the averaged weights a little towards the trained ones; buffers are copied."""
    with torch.no_grad():
        for old, new in zip(target.parameters(), source.parameters(), strict=True):
            old.data.lerp_(new.detach(), 1 - decay)
        for kept, moved in zip(target.buffers(), source.buffers(), strict=True):
            kept.copy_(moved)


def save_checkpoint(path: Path, step: int, task: Task, averaged: nn.Module, recipe: Recipe) -> None:
    """Store everything a resumed run needs; the old file is replaced only when the new one is whole."""
    content = {
        "step": step,
        "recipe": json.dumps(asdict(recipe)),
        "networks": {name: network.state_dict() for name, network in task.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in task.optimizers.items()},
        "averaged": averaged.state_dict(),
    }
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def load_checkpoint(path: Path, task: Task, averaged: nn.Module) -> int:
    """Restore a run; returns the next step. Loading is strict."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        for name, network in task.networks.items():
            network.load_state_dict(content["networks"][name])
        averaged.load_state_dict(content["averaged"])
        for name, optimizer in task.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
    except (KeyError, RuntimeError) as error:
        raise RecipeError(f"{path} does not fit the recipe's network ({error}); use another run folder.") from error
    return int(content["step"])


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint, for export."""
    if not path.is_file():
        raise RecipeError(f"there is no checkpoint {path}; run `liveface train` first.")
    content: dict[str, dict[str, Tensor]] = torch.load(path, map_location="cpu", weights_only=True)
    return content["averaged"]


def write_line(folder: Path, values: dict[str, Any]) -> None:
    """Append one line to `metrics.jsonl`."""
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(values) + "\n")


@contextlib.contextmanager
def open_run(recipe: Recipe, folder: Path, device: str | None = None) -> Iterator[Run]:
    """Set up device, processes, threads, seeds and the run folder.

    `torchrun` is recognised by its variables; then each process takes its own GPU, or the CPU with gloo.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = device or (f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu")
    if world > 1:
        torch.distributed.init_process_group("nccl" if chosen.startswith("cuda") else "gloo")
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed * 1000 + rank)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, folder, torch.device(chosen), rank, world)
    if run.leads:
        (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1), encoding="utf-8")
        about = {"torch": torch.__version__, "python": platform.python_version(), "device": chosen, "world": world}
        (folder / "environment.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    try:
        yield run
    finally:
        if world > 1:
            torch.distributed.destroy_process_group()


def run_task(run: Run, task: Task) -> dict[str, float]:
    """Run or resume a task until its steps or its minutes are over; returns the last held-out scores."""
    recipe, checkpoint = run.recipe, run.folder / CHECKPOINT
    averaged = copy.deepcopy(task.networks["main"]).requires_grad_(requires_grad=False)
    start = load_checkpoint(checkpoint, task, averaged) if checkpoint.is_file() else 0
    scores: dict[str, float] = {}
    sums: dict[str, float] = {}
    since_s, step = time.monotonic(), start
    for step in range(start, recipe.steps):
        for optimizer in task.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step) * group.get("rate_scale", 1.0)
        numbers = task.step(step)
        average_weights(averaged, task.networks["main"], min(recipe.ema, (step + 1) / (step + 10)))
        for name, value in numbers.items():
            sums[name] = sums.get(name, 0.0) + value
        if not math.isfinite(sum(numbers.values())):
            raise RecipeError(f"training of {recipe.name!r} left the real numbers at step {step}: {numbers}.")
        last = step + 1 == recipe.steps or run.minutes >= recipe.minutes
        if run.leads and (step + 1) % recipe.log_every == 0:
            spent_s = time.monotonic() - since_s
            line = {name: round(value / recipe.log_every, 5) for name, value in sums.items()}
            write_line(run.folder, {"step": step + 1, "s_per_step": round(spent_s / recipe.log_every, 4), **line})
            sums, since_s = {}, time.monotonic()
        if run.leads and (last or (step + 1) % recipe.save_every == 0):
            save_checkpoint(checkpoint, step + 1, task, averaged, recipe)
        if run.leads and (last or (step + 1) % recipe.evaluate_every == 0):
            averaged.eval()
            scores = task.evaluate(averaged)
            task.sample(averaged, run.folder / "samples", step + 1)
            write_line(run.folder, {"step": step + 1, "minutes": round(run.minutes, 2), "held_out": scores})
            since_s = time.monotonic()
        if last:
            break
    return scores
