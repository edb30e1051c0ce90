"""What the browser's motion code shares with Python is up to date; the browser's side is held against it in node."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "web_motion_vectors.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The tool that writes them."""
    spec = importlib.util.spec_from_file_location("web_motion_vectors", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["tables.ts", "motion-speech.pcm", "motion-speech.json", "motion-face.json"])
def test_what_is_stored_is_what_python_makes(tool: ModuleType, name: str) -> None:
    path, make = next((path, make) for path, make in tool.files().items() if path.name == name)
    assert tool.alike(path.read_bytes(), make(), path.suffix), f"{name} is out of date: run {TOOL.name}."


def test_a_change_is_noticed(tool: ModuleType) -> None:
    stored = (tool.VECTORS / "motion-speech.pcm").read_bytes()
    louder = (np.frombuffer(stored, "<i2") // 2).astype("<i2").tobytes()
    assert not tool.alike(stored, louder, ".pcm")
    table = tool.TABLES.read_bytes()
    assert not tool.alike(table, table.replace(b"0.76", b"0.77", 1), ".ts")
    speech = (tool.VECTORS / "motion-speech.json").read_text()
    assert not tool.alike(speech.encode(), speech.replace('"speech-start"', '"speech-end"', 1).encode(), ".json")
