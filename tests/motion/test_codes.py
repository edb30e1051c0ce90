"""Codes of motion and the slot of the eyes: there and back."""

import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion import codes
from liveface.motion.idle import IdleMotion
from liveface.types import ARKIT_INDEX, Motion


def test_codes_come_back() -> None:
    made = np.random.default_rng(0).uniform(0, 1, (9, codes.CODES)).astype(np.float32)
    again = codes.codes_of(codes.motion_of(made))
    assert np.allclose(again, made, atol=1e-5)
    assert len(codes.CODE_NAMES) == codes.CODES == 26


def test_left_and_right_are_averaged() -> None:
    motion = Motion.rest(1)
    motion.expression[0, ARKIT_INDEX["mouthSmileLeft"]] = 0.6
    found = codes.codes_of(motion)[0, codes.CODE_NAMES.index("mouthSmileLeft")]
    assert found == pytest.approx(0.3)


def test_groups_cover_the_code_once() -> None:
    seen = np.zeros(codes.CODES, int)
    for part in codes.GROUPS.values():
        seen[part] += 1
    assert (seen == 1).all()


def test_eyes_come_back_from_the_slot() -> None:
    eyes = codes.eyes_of(IdleMotion(2, blink=2).run(90))
    slot = codes.lift_eyes(eyes)
    assert slot.shape == (90, codes.EYE_SLOT)
    assert np.allclose(codes.read_eyes(slot), eyes, atol=1e-5)
    assert eyes[:, 2].max() > 0.5


def test_other_shapes_are_refused() -> None:
    with pytest.raises(MotionError, match="expected"):
        codes.motion_of(np.zeros((3, 17), np.float32))
