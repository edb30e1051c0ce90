import numpy as np
import pytest

from liveface.geometry import head_rotation
from liveface.motion.files import load_motion, save_motion
from liveface.motion.trackers import (
    livelink_of_motion,
    motion_of_livelink,
    motion_of_vmc,
    quaternion_of,
    rotation_of,
    vmc_of_motion,
)
from liveface.types import ARKIT_INDEX, Motion


def some_motion():
    generator = np.random.default_rng(1)
    head = np.zeros((1, 6))
    head[0, :3] = 0.2, -0.4, 0.15
    return Motion(generator.uniform(0, 1, (1, 52)), head, generator.normal(0, 0.2, (1, 4)))


def about(axis, angle):
    half = np.sin(angle / 2)
    return np.array([*(half * np.array(axis)), np.cos(angle / 2)], np.float32)


def same(one, other, atol=1e-5):
    for field in ("expression", "head", "gaze"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=atol)


def test_livelink_and_back():
    motion = some_motion()
    same(motion_of_livelink(livelink_of_motion(motion)), motion)


def test_livelink_has_the_signs_of_its_file(tmp_path):
    motion = some_motion()
    stored = load_motion(save_motion(Motion.concat([motion, motion]), tmp_path / "m.csv"))
    same(motion_of_livelink(livelink_of_motion(motion)), stored[0], atol=1e-4)


def test_livelink_without_eye_angles_looks_where_its_coefficients_say():
    values = np.zeros(61, np.float32)
    values[ARKIT_INDEX["eyeLookDownLeft"]] = values[ARKIT_INDEX["eyeLookDownRight"]] = 0.5
    gaze = motion_of_livelink(values).gaze[0]
    assert gaze[0] == gaze[2] > 0.2


def test_vmc_and_back():
    motion = some_motion()
    same(motion_of_vmc(*vmc_of_motion(motion)), motion)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.3, 0, 0), (-0.5, 0.6, 0.1), (0.1, -1.2, -0.7)])
def test_quaternions_and_back(angles):
    turn = head_rotation(*angles)
    np.testing.assert_allclose(rotation_of(quaternion_of(turn)), turn, atol=1e-5)


def test_unity_turns_are_ours():
    # Unity, seen from an avatar that looks along z with y up and x to its right: positive turns about x look down,
    # about y to its own right (the image's left), about z lean to its own left (the image's right).
    for axis, slot, sign in (((1, 0, 0), 0, 1), ((0, 1, 0), 1, -1), ((0, 0, 1), 2, 1)):
        head = motion_of_vmc({}, {"Head": about(axis, 0.2)}).head[0]
        assert head[slot] == pytest.approx(0.2 * sign, abs=1e-5)
        assert np.abs(np.delete(head, slot)).max() < 1e-5


def test_neck_and_head_add_up():
    both = motion_of_vmc({}, {"Neck": about((0, 1, 0), 0.1), "Head": about((0, 1, 0), 0.25)})
    assert both.head[0, 1] == pytest.approx(-0.35, abs=1e-5)


@pytest.mark.parametrize("written", [str.upper, lambda name: name.replace("Left", "_L").replace("Right", "_R")])
def test_names_count_as_trackers_write_them(written):
    blends = {written(name): 0.5 for name in ARKIT_INDEX}
    np.testing.assert_allclose(motion_of_vmc(blends, {}).expression, 0.5)


def test_presets_of_both_versions_move_the_face():
    def of(**blends):
        motion = motion_of_vmc(blends, {})
        return lambda name: float(motion.coefficient(name)[0])

    assert of(A=1.0)("jawOpen") == of(aa=1.0)("jawOpen") > 0.5
    assert of(U=1.0)("mouthPucker") > 0.5
    assert of(Blink_L=0.75)("eyeBlinkLeft") == of(blinkLeft=0.75)("eyeBlinkLeft") == 0.75
    assert of(Blink_R=0.75)("eyeBlinkLeft") == 0
    assert of(Blink=1.0)("eyeBlinkRight") == 1
    assert of(Joy=1.0)("mouthSmileLeft") > of(Fun=1.0)("mouthSmileLeft") > 0.2
    assert of(Sorrow=1.0)("mouthFrownLeft") > 0.3
    assert of(LookLeft=1.0)("eyeLookOutLeft") == 1
    assert of(Unknown=1.0, Neutral=1.0)("jawOpen") == 0
    left = motion_of_vmc({"LookLeft": 1.0}, {}).gaze[0]
    assert left[1] == left[3] > 0.4  # the person's left is the image's right


def test_a_sender_with_arkit_names_does_not_speak_presets():
    blends = dict.fromkeys(list(ARKIT_INDEX)[:20], 0.0)
    assert motion_of_vmc({**blends, "A": 1.0, "Joy": 1.0}, {}).expression.max() == 0
