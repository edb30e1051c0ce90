"""The bounded fit: against a slow twin, and back from synthetic points."""

from __future__ import annotations

import numpy as np
import pytest

from liveface.geometry import head_rotation
from liveface.motion.face_model import FaceModel
from liveface.motion.fit import CLOSE, JAW, LinearFit, Pose, first_pose, mix, point_weights, solve_bounded, unmix
from liveface.motion.solve import expression_priors

MODEL = FaceModel.load()


def _slowly(matrix: np.ndarray, vector: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Coordinate descent: the slow twin."""
    x = np.zeros_like(vector)
    for _ in range(5000):
        for i in range(len(x)):
            x[i] = np.clip(x[i] + (vector[i] - matrix[i] @ x) / matrix[i, i], low[i], high[i])
    return x


@pytest.mark.parametrize("seed", range(5))
def test_bounded_solution_equals_the_slow_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    half = random.normal(size=(30, 12))
    matrix, vector = half.T @ half + 0.1 * np.eye(12), random.normal(size=12) * 10
    low, high = np.zeros(12), np.ones(12)
    high[3] = 0.0
    found = solve_bounded(matrix, vector, low, high, random.uniform(0, 1, 12))
    np.testing.assert_allclose(found, _slowly(matrix, vector, low, high), atol=1e-3)


def test_closing_never_exceeds_opening() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        coefficients = unmix(random.uniform(0, 1, 52).astype(np.float32))
        assert coefficients[CLOSE] <= coefficients[JAW] + 1e-6
        np.testing.assert_allclose(unmix(mix(coefficients)), coefficients, atol=1e-6)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.3, -0.4, 0.2), (-0.25, 0.5, -0.3)])
def test_pose_comes_back_from_projected_points(angles: tuple[float, float, float]) -> None:
    shape = MODEL.points()
    truth = Pose(head_rotation(*angles), 21.0, np.array([300.0, 200.0], np.float32))
    found = first_pose(truth.project(shape), shape, point_weights())
    np.testing.assert_allclose(found.angles, angles, atol=2e-3)
    assert found.scale == pytest.approx(21.0, rel=1e-3)


def test_expression_comes_back_from_projected_points() -> None:
    expression = np.zeros(52, np.float32)
    for index, value in ((JAW, 0.5), (23, 0.6), (24, 0.6), (43, 0.5)):
        expression[index] = value
    truth = Pose(head_rotation(0.1, 0.2, 0.05), 30.0, np.array([200.0, 200.0], np.float32))
    points = truth.project(MODEL.points(None, expression))
    fit, pose, values = LinearFit(MODEL.expression), first_pose(points, MODEL.mean, point_weights()), np.zeros(52)
    bounds = np.stack([np.zeros(52), np.ones(52)]).astype(np.float32)
    for _ in range(6):
        pose, values = fit.step(points, MODEL.mean, pose, values.astype(np.float32), expression_priors(), bounds)
    assert np.abs(unmix(values) - expression).max() < 0.2
    assert np.abs(unmix(values) - expression)[[JAW, 23, 24, 43]].max() < 0.15
    np.testing.assert_allclose(pose.angles, (0.1, 0.2, 0.05), atol=0.03)
