"""The pictures that the browser's renderer is held to are what Python draws."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "web_vectors.py"))


def test_vectors_are_what_python_draws_now():
    assert TOOL["stale"]() == []


def test_the_motion_moves_everything():
    spread = np.ptp(TOOL["motion"](), axis=0)
    assert (spread[52:] > 0.05).all()
    assert (spread[:52] > 0.1).sum() == 12


def test_vectors_stay_small():
    assert sum(file.stat().st_size for file in TOOL["VECTORS"].glob("picture*")) < 300_000
