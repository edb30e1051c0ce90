"""`liveface evaluate --renderer ONE,TWO`: renderers of photos on everybody whom no training saw."""

from __future__ import annotations

import argparse
from pathlib import Path

from liveface.compare import Setting, compare, table
from liveface.errors import SignalError
from liveface.evaluate import Progress, data_folder
from liveface.render import renderers
from liveface.train.faces import some_held_out_portraits
from liveface.train.likeness import Likeness


def compare_held_out(given: argparse.Namespace, progress: Progress | None) -> str:
    """Compare the renderers that the command line names; returns the table.

    Args:
        given: the options of `evaluate`; progress: told what is being done.

    Raises:
        SignalError: a renderer that draws no photos, or clips that are not there. RecipeError: no measure of likeness.
    """
    names = given.renderer.split(",")
    drawing = [name for name in renderers() if name != "liveface"]
    unknown = [name for name in names if name not in drawing]
    if unknown:
        raise SignalError(
            f"there is no renderer of photos called {unknown[0]!r}; expected some of {', '.join(drawing)}."
        )
    measure = Likeness.load(Path(given.likeness)) if given.likeness else None
    folder = data_folder(given.data)
    setting = Setting(
        seconds=given.seconds,
        size=given.size,
        recognise=measure,
        tells=measure.tells if measure is not None else {},
        sheets=Path(given.sheets) if given.sheets else None,
    )
    report = compare(
        names,
        folder,
        clips=[Path(clip) for clip in given.clips] or None,
        portraits=[] if given.clips else some_held_out_portraits(folder, given.portraits),
        setting=setting,
        out=Path(given.output or "bench/results/mobileportrait.json"),
        progress=progress,
    )
    return table(report)
