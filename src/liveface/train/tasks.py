"""The table of everything `liveface train` can train, and the verb itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from liveface.errors import RecipeError
from liveface.train import face_model
from liveface.train.compositor import CompositorTask
from liveface.train.decoders import DecoderTask
from liveface.train.eye_camera import EyeCameraTask
from liveface.train.loop import Run, Task, open_run, run_task
from liveface.train.mobileportrait import PortraitTask
from liveface.train.mouth import MouthTask
from liveface.train.personalive import PersonaLiveTask
from liveface.train.recipe import Recipe, content_of, read_recipe
from liveface.train.speech import SpeechTask
from liveface.train.speech_listener import ListenerTask
from liveface.train.speech_student import StudentTask
from liveface.train.speech_teacher import TeacherTask

TASKS: dict[str, Callable[[Run], Task]] = {
    "mouth": MouthTask,
    "speech": SpeechTask,
    "speech-listener": ListenerTask,
    "speech-teacher": TeacherTask,
    "speech-student": StudentTask,
    "decoder": DecoderTask,
    "compositor": CompositorTask,
    "eye-camera": EyeCameraTask,
    "personalive": PersonaLiveTask,
    "mobileportrait": PortraitTask,
}
"""A recipe's `train` key to the function that builds its task; a new network adds one line."""


def train(recipe: Recipe | str | Path, folder: str | Path, device: str | None = None) -> dict[str, float]:
    """Run or resume a recipe in `folder` until its steps or its minutes are over; returns the last held-out scores."""
    if (
        not isinstance(recipe, Recipe) and content_of(recipe).get("train") == "face-model"
    ):  # learned by regression, without steps
        return face_model.run(Path(recipe), Path(folder))
    if not isinstance(recipe, Recipe):
        source, recipe = Path(recipe), read_recipe(recipe)
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, Path(folder) / "recipe.toml")
    if recipe.task not in TASKS:
        raise RecipeError(f"recipe {recipe.name!r} trains {recipe.task!r}; expected one of {', '.join(TASKS)}.")
    with open_run(recipe, Path(folder), device) as run:
        return run_task(run, TASKS[recipe.task](run))
