"""Integer ends: the same numbers inside, fewer bytes outside."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from liveface import weights
from liveface.avatar import read_avatar
from liveface.render.liveface.paste import to_rgba
from liveface.runtime import Step
from liveface.tflite import inspect, integer_ends
from tiny_network import tiny_network


@pytest.mark.parametrize("name", ["compositor.tflite", "compositor_384x672.tflite"])
def test_integer_ends_change_no_number(name: str) -> None:
    file = weights.path(name)
    data = integer_ends(file.read_bytes(), ("canvas", "grid"))
    plain, small = Step(file), Step(file, content=data)
    assert inspect(data, name) == inspect(file.read_bytes(), name)
    assert {key: str(kind) for key, (_, kind) in small.inputs.items()} == {"canvas": "int8", "features": "float32"}
    assert small.outputs["grid"] == (plain.outputs["grid"][0], np.dtype(np.int8))
    assert small.steps["canvas"] == (pytest.approx(1 / 255), -128)
    random = np.random.default_rng(1)
    seen = random.integers(0, 256, plain.inputs["canvas"][0], dtype=np.uint8)
    features = random.random(plain.inputs["features"][0], np.float32)
    expected = plain(canvas=seen.astype(np.float32) / 255, features=features)["grid"]
    found = small(canvas=(seen ^ 128).view(np.int8), features=features)["grid"]
    size, zero = small.steps["grid"]
    np.testing.assert_array_equal((found.astype(np.float32) - zero) * np.float32(size), expected)
    assert np.ptp(expected) > 20 * size


@pytest.mark.parametrize("name", ["mouth", "eyes", "hair", "body"])
def test_a_clamp_at_the_end_becomes_the_readers(name: str) -> None:
    content = read_avatar(str(weights.path("ada.avatar"))).networks[name]
    plain, small = Step(Path(name), content=content), Step(Path(name), content=integer_ends(content, ("grid",)))
    assert small.outputs["grid"] == (plain.outputs["grid"][0], np.dtype(np.int8))
    random = np.random.default_rng(2)
    given = {key: random.uniform(-1, 1, shape).astype(np.float32) for key, (shape, _) in plain.inputs.items()}
    expected = to_rgba(plain(**given)["grid"][0])
    np.testing.assert_array_equal(to_rgba(small(**given)["grid"][0], small.steps["grid"]), expected)
    assert np.ptp(expected) > 100


def test_ends_that_are_floats_stay() -> None:
    data = tiny_network({"canvas": (1, 4, 4, 10)}, {"grid": (1, 1, 1, 192)})
    assert integer_ends(data, ("canvas", "grid")) == data
    shipped = weights.path("compositor.tflite").read_bytes()
    assert integer_ends(shipped, ("unknown",)) == shipped
