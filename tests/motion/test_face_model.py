"""The face model that ships: shapes, symmetry, meaning."""

from __future__ import annotations

import numpy as np
import pytest

from liveface.errors import WeightsError
from liveface.motion.face_model import IRIS, LIDS, FaceModel
from liveface.types import ARKIT_INDEX

MODEL = FaceModel.load()


def _gap(shape: np.ndarray, upper: int, lower: int) -> float:
    return float(shape[lower, 1] - shape[upper, 1])


def test_centimetres_in_the_face_frame() -> None:
    face = MODEL.points()
    assert face.shape == (478, 3)
    assert 8 < face[263, 0] - face[33, 0] < 10  # the person's left outer eye corner is at the image's right
    assert face[152, 1] > face[10, 1] + 12  # the chin is below the forehead, y down
    assert face[1, 2] < face[234, 2] - 4  # the nose is nearer to the camera than the ear, z away


@pytest.mark.parametrize(
    ("name", "upper", "lower", "least", "most"),
    [
        ("jawOpen", 13, 14, 2.5, 6.0),
        ("eyeBlinkLeft", 386, 374, -1.5, -0.6),
        ("eyeBlinkRight", 159, 145, -1.5, -0.6),
        ("eyeWideLeft", 386, 374, 0.05, 0.8),
        ("mouthUpperUpLeft", 13, 14, 0.05, 1.5),
    ],
)
def test_expressions_move_what_their_names_say(name: str, upper: int, lower: int, least: float, most: float) -> None:
    expression = np.zeros(52, np.float32)
    expression[ARKIT_INDEX[name]] = 1
    change = _gap(MODEL.points(None, expression), upper, lower) - _gap(MODEL.points(), upper, lower)
    assert least < change < most


def test_mouth_close_undoes_the_gap_of_an_open_jaw() -> None:
    expression = np.zeros(52, np.float32)
    expression[ARKIT_INDEX["jawOpen"]] = expression[ARKIT_INDEX["mouthClose"]] = 0.5
    closed = _gap(MODEL.points(None, expression), 13, 14) - _gap(MODEL.points(), 13, 14)
    assert abs(closed) < 0.35


@pytest.mark.parametrize("name", ["mouthSmile", "eyeBlink", "browDown", "mouthFrown", "mouthStretch"])
def test_left_and_right_mirror_each_other(name: str) -> None:
    left, right = (MODEL.expression[ARKIT_INDEX[name + side]] for side in ("Left", "Right"))
    one, other = (386, 159) if name == "eyeBlink" else (291, 61)
    np.testing.assert_allclose(left[one] * (-1, 1, 1), right[other], atol=0.02)
    assert np.linalg.norm(left[MODEL.mean[:, 0] > 1]) > np.linalg.norm(left[MODEL.mean[:, 0] < -1])


def test_gaze_turns_the_irises_where_the_signs_say() -> None:
    rest = MODEL.points()
    moved = MODEL.points(gaze=np.array([0.3, 0.2, 0.3, 0.2], np.float32)) - rest
    for ring in IRIS:
        assert (moved[ring, :2].mean(0) > 0.1).all()  # down and to the image's right
    np.testing.assert_array_equal(moved[:468], 0)


def test_irises_lie_before_their_eye_centres_and_between_the_lids() -> None:
    for eye in range(2):
        iris, lids = MODEL.mean[IRIS[eye]].mean(0), MODEL.mean[list(LIDS[eye])]
        np.testing.assert_allclose(iris[:2], MODEL.eye_centre[eye, :2], atol=1e-3)
        assert (lids[:, :2].min(0) < iris[:2]).all()
        assert (iris[:2] < lids[:, :2].max(0)).all()


def test_wrong_shape_and_wrong_file_are_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match="mean"):
        FaceModel(MODEL.mean[:10], MODEL.identity, MODEL.expression, MODEL.eye_centre, MODEL.triangles)
    (tmp_path / "model.npz").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a face model"):
        FaceModel.load(tmp_path / "model.npz")


def test_save_and_load_agree(tmp_path) -> None:
    MODEL.save(tmp_path / "model.npz")
    again = FaceModel.load(tmp_path / "model.npz")
    np.testing.assert_allclose(again.expression, MODEL.expression, atol=2e-3)
    np.testing.assert_array_equal(again.triangles, MODEL.triangles)
