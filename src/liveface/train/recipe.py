"""Recipes: one TOML file describes one training run, and a frozen dataclass holds it.

Notable choices: unknown keys are refused with the nearest valid name; the network's sizes and the task's own options
live in the tables `[network]` and `[task]` and are checked against the dataclasses of that task; data comes through
the environment variable `LIVEFACE_DATA`, so that no recipe names a machine.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from liveface.errors import RecipeError

DATA_VARIABLE = "LIVEFACE_DATA"
DATA_DEFAULT = Path("../shared/data")
PRECISIONS = ("float32", "bfloat16")

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run.

    Attributes:
        name: name of the run and of its folder.
        task: which network is trained; a key of `liveface.train.loop.TASKS`.
        seed: seed of every random choice.
        groups: data groups that may be used, "open" and "permissive".
        steps: optimizer steps of the whole schedule.
        minutes: wall-clock budget of one call; training stops there and the next call resumes.
        batch: samples a step, on each process.
        learning_rate: peak rate.
        warmup_steps: linear warm-up.
        decay_from: share of the schedule after which the rate falls linearly to a twentieth.
        clip: largest gradient norm.
        ema: decay of the averaged weights that are exported.
        precision: "float32" or "bfloat16" (autocast).
        threads: CPU threads; 1 leaves the machine usable.
        log_every, evaluate_every, save_every: steps between lines of metrics, held-out scores and checkpoints.
        network: sizes of the network, checked by the task.
        options: the task's own table `[task]`, checked by the task.
    """

    name: str
    task: str
    seed: int = 0
    groups: tuple[str, ...] = ("open", "permissive")
    steps: int = 10_000
    minutes: float = 60.0
    batch: int = 16
    learning_rate: float = 6e-4
    warmup_steps: int = 50
    decay_from: float = 0.5
    clip: float = 2.0
    ema: float = 0.998
    precision: str = "bfloat16"
    threads: int = 1
    log_every: int = 50
    evaluate_every: int = 1000
    save_every: int = 1000
    network: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        for name in ("steps", "batch", "threads", "log_every", "evaluate_every", "save_every"):
            if getattr(self, name) < 1:
                raise RecipeError(f"recipe {self.name!r} has {name} = {getattr(self, name)}; expected 1 or more.")
        if not 0 < self.learning_rate < 1 or not 0 <= self.decay_from <= 1 or not 0 <= self.ema < 1:
            raise RecipeError(
                f"recipe {self.name!r} has learning_rate {self.learning_rate}, decay_from {self.decay_from}, "
                f"ema {self.ema}; expected a rate in (0, 1), a share in [0, 1] and a decay in [0, 1)."
            )
        if self.precision not in PRECISIONS:
            raise RecipeError(f"recipe {self.name!r} has precision {self.precision!r}; expected one of {PRECISIONS}.")
        if not self.groups or not set(self.groups) <= {"open", "permissive"}:
            raise RecipeError(f'recipe {self.name!r} has groups {self.groups}; expected "open", "permissive" or both.')

    def rate_at(self, step: int) -> float:
        """The learning rate of step `step`: warm-up, plateau, linear fall to a twentieth of the peak."""
        rate = self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps))
        left = self.steps * (1 - self.decay_from)
        if left <= 0:
            return rate
        return rate * min(1.0, max(0.05, (self.steps - step) / left))


def content_of(path: str | Path) -> dict[str, Any]:
    """The tables of a recipe file, unchecked."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}; expected a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe {path} is not valid TOML ({error}); correct that line.") from error


def read_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe file."""
    path, content = Path(path), content_of(path)
    if "options" in content:
        raise RecipeError(f"the recipe {path} has a table [options]; call it [task].")
    content["options"] = content.pop("task", {})
    content["task"] = content.pop("train", None)
    if not isinstance(content["task"], str):
        raise RecipeError(f'the recipe {path} names no network to train; add a line such as train = "mouth".')
    return parse_options(Recipe, {"name": path.stem, **content}, f"the recipe {path}")


def parse_options(kind: type[Options], values: Mapping[str, Any], where: str) -> Options:
    """Make the dataclass `kind` of a table; unknown keys are refused with the nearest valid name."""
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(known)}."
            raise RecipeError(f"{where} has the unknown key {key!r}; {hint}")
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return kind(**lists)
    except TypeError as error:
        raise RecipeError(f"{where} cannot be used: {error}; give every key a value of its type.") from error


def data_folder() -> Path:
    """The training data: `LIVEFACE_DATA`, else `../shared/data`.

    Raises:
        RecipeError: the folder has no catalog.
    """
    folder = Path(os.environ.get(DATA_VARIABLE, DATA_DEFAULT))
    if not (folder / "catalog.csv").is_file():
        raise RecipeError(
            f"there is no training data in {folder}; expected a folder with a catalog.csv: set {DATA_VARIABLE} to it."
        )
    return folder
