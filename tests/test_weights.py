"""Weights: what ships is complete, unaltered and credited; what is not is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liveface import weights
from liveface.errors import WeightsError


def test_everything_in_the_manifest_is_there_unaltered_and_credited() -> None:
    for name, entry in weights.manifest().items():
        assert weights.path(name).stat().st_size == entry["size"]
        assert entry["licence"]
        assert entry["source"]


def test_every_network_that_ships_is_in_the_manifest() -> None:
    shipped = {file.name for kind in ("*.tflite", "*.npz") for file in weights.FOLDER.glob(kind)}
    assert shipped <= set(weights.manifest())


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r"face_landmark\.tflite"):
        weights.path("face_landmarks.tflite")


def test_altered_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"abc")
    entry = {"size": 3, "sha256": "0" * 64, "licence": "MIT", "source": "here"}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"net.tflite": entry}}))
    with pytest.raises(WeightsError, match="was altered"):
        weights.path("net.tflite", tmp_path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    entry = {"size": 3, "sha256": "0" * 64, "licence": "MIT", "source": "here"}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"net.tflite": entry}}))
    with pytest.raises(WeightsError, match="is missing"):
        weights.path("net.tflite", tmp_path)
    with pytest.raises(WeightsError, match="Install liveface again"):
        weights.manifest(tmp_path / "nowhere")
