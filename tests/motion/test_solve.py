"""Points to motion, on faces made from the model: what goes in comes out."""

from __future__ import annotations

import numpy as np
import pytest

from liveface.geometry import head_rotation
from liveface.motion.face_model import FaceModel
from liveface.motion.fit import Pose
from liveface.motion.solve import MotionSolver, fit_photo, look, residual_percent, solve_photo
from liveface.signals.face import Box, Face
from liveface.types import ARKIT_INDEX, Array, Motion

MODEL = FaceModel.load()
SIZE = (640, 480)


def _face(
    angles: tuple[float, float, float] = (0, 0, 0),
    gaze: tuple[float, float, float, float] = (0, 0, 0, 0),
    shift: tuple[float, float] = (320, 240),
    scale: float = 20.0,
    **coefficients: float,
) -> Face:
    """The mean person's face with named coefficients, as the tracker would report it."""
    expression = np.zeros(52, np.float32)
    for name, value in coefficients.items():
        expression[ARKIT_INDEX[name]] = value
    shape = MODEL.points(None, expression, np.array(gaze, np.float32))
    points = Pose(head_rotation(*angles), scale, np.array(shift, np.float32)).project(shape)
    box = Box(0, 0, 100, 100, 1.0, np.zeros((6, 2), np.float32))
    return Face(np.column_stack([points, np.zeros(478, np.float32)]).astype(np.float32), 1.0, box)


def _solver() -> MotionSolver:
    solver = MotionSolver(30, SIZE, MODEL)
    solver.calibrate([_face((0.02 * k, 0.05 * k, 0)) for k in range(-4, 5)])
    return solver


def _settled(solver: MotionSolver, face: Face) -> Motion:
    for _ in range(8):
        motion = solver.step(face)
    return motion


@pytest.mark.parametrize(
    "angles", [(0.25, 0, 0), (-0.2, 0, 0), (0, 0.35, 0), (0, -0.35, 0), (0, 0, 0.3), (0.1, -0.2, 0.1)]
)
def test_head_angles_come_back_with_their_signs(angles: tuple[float, float, float]) -> None:
    motion = _settled(_solver(), _face(angles))
    np.testing.assert_allclose(motion.head[0, :3], angles, atol=0.035)  # two degrees


def test_translation_counts_from_the_first_frame_in_centimetres() -> None:
    solver = _solver()
    np.testing.assert_allclose(solver.step(_face()).head[0, 3:], 0, atol=0.02)
    motion = _settled(solver, _face(shift=(360, 200)))
    np.testing.assert_allclose(motion.head[0, 3:5], (2, -2), atol=0.1)
    assert _settled(solver, _face(scale=24.0)).head[0, 5] < -5  # a larger face is nearer


@pytest.mark.parametrize("gaze", [(0.25, 0, 0.25, 0), (-0.2, 0, -0.2, 0), (0, 0.3, 0, 0.3), (0, -0.3, 0, -0.3)])
def test_gaze_comes_back_with_its_signs(gaze: tuple[float, float, float, float]) -> None:
    motion = _settled(_solver(), _face((0.05, 0.1, 0), gaze, **look(np.array(gaze, np.float32))))
    np.testing.assert_allclose(motion.gaze[0], gaze, atol=0.06)
    side = ARKIT_INDEX["eyeLookOutLeft"]  # the left eye looks out when it looks to the image's right
    assert (motion.expression[0, side] > 0.2) == (gaze[1] > 0.1)


def test_eyes_close_fully_and_stay_open() -> None:
    solver = _solver()
    blink = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
    assert (_settled(solver, _face()).expression[0, blink] < 0.05).all()
    assert (_settled(solver, _face(eyeBlinkLeft=1, eyeBlinkRight=1)).expression[0, blink] > 0.95).all()
    wink = _settled(solver, _face(eyeBlinkLeft=1)).expression[0, blink]
    assert wink[0] > 0.95
    assert wink[1] < 0.1


@pytest.mark.parametrize(
    "name", ["jawOpen", "mouthSmileLeft", "mouthPucker", "browInnerUp", "mouthRollLower", "mouthLeft"]
)
def test_coefficients_come_back(name: str) -> None:
    motion = _settled(_solver(), _face((0.05, -0.1, 0.02), **{name: 0.7}))
    assert motion.coefficient(name)[0] == pytest.approx(0.7, abs=0.25)
    assert motion.expression[0].argmax() == ARKIT_INDEX[name]


def test_closed_mouth_keeps_the_jaw_up() -> None:
    motion = _settled(_solver(), _face(mouthSmileLeft=0.5, mouthSmileRight=0.5))
    assert motion.coefficient("jawOpen")[0] < 0.05


def test_everything_is_bounded_and_mouth_close_needs_an_open_jaw() -> None:
    random = np.random.default_rng(0)
    solver = _solver()
    for _ in range(20):
        face = _face(jawOpen=random.uniform(), mouthClose=random.uniform(), mouthPucker=random.uniform())
        face.points[:, :2] += random.normal(0, 1.0, (478, 2)).astype(np.float32)
        motion = solver.step(face)
        assert (motion.expression >= 0).all()
        assert (motion.expression <= 1).all()
        assert motion.coefficient("mouthClose")[0] <= motion.coefficient("jawOpen")[0] + 0.1


def test_a_cut_to_another_place_and_pose_is_survived() -> None:
    solver = _solver()
    _settled(solver, _face((0.3, -0.5, -0.4), shift=(100, 80), scale=35.0))
    leap = (-0.3, 0.5, 0.5)
    solver.step(_face(leap, shift=(500, 400), scale=9.0, jawOpen=0.4))
    np.testing.assert_allclose(solver.pose.angles, leap, atol=0.06)


def test_a_lost_face_holds_the_last_motion() -> None:
    solver = _solver()
    before = _settled(solver, _face(jawOpen=0.5))
    np.testing.assert_array_equal(solver.step(None).expression, before.expression)
    assert len(MotionSolver(30, SIZE, MODEL).step(None)) == 1


def test_one_path_gives_the_same_twice() -> None:
    faces = [_face((0, 0.01 * k, 0), jawOpen=0.02 * k) for k in range(20)]
    runs = []
    for _ in range(2):
        solver = MotionSolver(30, SIZE, MODEL)
        runs.append(Motion.concat([solver.step(face) for face in faces]))
    np.testing.assert_array_equal(runs[0].expression, runs[1].expression)


def test_photo_of_another_identity_fits() -> None:
    identity = np.zeros(10, np.float32)
    identity[:5] = (1, -1, 0.5, 1, -0.5)
    truth = Pose(head_rotation(0.1, 0.3, -0.1), 25.0, np.array([320, 240], np.float32))
    points = truth.project(MODEL.points(identity))
    photo = fit_photo(points, MODEL, SIZE)
    shape = MODEL.points(photo.identity, photo.expression)
    assert residual_percent(points, photo.pose, shape) < 1.0
    np.testing.assert_allclose(photo.head, (0.1, 0.3, -0.1), atol=0.06)
    assert photo.expression[ARKIT_INDEX["jawOpen"]] < 0.1
    face: Array = np.column_stack([points, np.zeros(478)]).astype(np.float32)
    again = solve_photo(Face(face, 1.0, _face().box), SIZE)
    np.testing.assert_allclose(again.head, photo.head, atol=1e-4)
