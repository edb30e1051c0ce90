"""Step: a network is called with exactly what it declares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from liveface import weights
from liveface.errors import WeightsError
from liveface.runtime import Step


def test_step_runs_and_is_deterministic() -> None:
    step = Step(weights.path("face_landmark.tflite"))
    picture = np.full((1, 192, 192, 3), 0.5, np.float32)
    first, second = step(input_1=picture), step(input_1=picture)
    assert set(first) == set(step.outputs)
    for name, (shape, dtype) in step.outputs.items():
        assert first[name].shape == shape
        assert first[name].dtype == dtype
        np.testing.assert_array_equal(first[name], second[name])


def test_memory_of_the_network_holds_what_a_call_gives() -> None:
    step = Step(weights.path("face_landmark.tflite"))
    picture = np.random.default_rng(3).random((1, 192, 192, 3), np.float32)
    expected = step(input_1=picture)
    step.fill("input_1")[:] = picture
    for _ in range(2):  # inputs stay as they were written
        for name, found in step.run().items():
            np.testing.assert_array_equal(found, expected[name])
        del found
    held = step.run()
    with pytest.raises(RuntimeError, match="internal data"):
        step.run()
    assert held.keys() == expected.keys()


def test_threads_that_share_a_network_take_turns() -> None:
    step = Step(weights.path("iris_landmark.tflite"))
    ((name, (shape, dtype)),) = step.inputs.items()
    given = [np.full(shape, value, dtype) for value in (0.1, 0.9)]
    expected = [step(**{name: array}) for array in given]

    def right(turn: int) -> bool:
        found = step(**{name: given[turn % 2]})
        return all(np.array_equal(found[key], value) for key, value in expected[turn % 2].items())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(200)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"picture": np.zeros((1, 192, 192, 3), np.float32)}, "expected .*input_1"),
        ({"input_1": np.zeros((1, 64, 64, 3), np.float32)}, "1, 192, 192, 3"),
        ({"input_1": np.zeros((1, 192, 192, 3))}, "float64"),
    ],
)
def test_wrong_input_is_named(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        Step(weights.path("face_landmark.tflite"))(**arrays)


def test_loading_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Step(weights.path("iris_landmark.tflite"))
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"expected a \.tflite"):
        Step(file)
