"""Emotions over codes: they are visible, they come slowly, and speech shuts the lips through every one of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion.codes import CODE_NAMES, CODES, codes_of, motion_of
from liveface.motion.emotion import EMOTIONS, Emoter, complete, emote, parse_emotions, resting, shut
from liveface.motion.face_model import FaceModel
from liveface.motion.idle import IdleMotion, joined
from liveface.types import Array, Motion

JAW, PRESS = CODE_NAMES.index("jawOpen"), CODE_NAMES.index("mouthPressLeft")
PUCKER, SMILE = CODE_NAMES.index("mouthPucker"), CODE_NAMES.index("mouthSmileLeft")


def one(name: str, intensity: float = 1.0) -> Array:
    return parse_emotions(f"{name}:{intensity}")


def babble(frames: int = 90) -> Array:
    """Syllables: the jaw opens and shuts three times a second, lips pressed while shut."""
    codes = np.zeros((frames, CODES), np.float32)
    swing = np.sin(2 * np.pi * 3 * np.arange(frames) / 30)
    codes[:, JAW] = np.clip(swing, 0, 1) * 0.5
    codes[:, PRESS] = np.where(swing < -0.5, 0.2, 0)
    return codes


def lip_gap_cm(codes: Array) -> Array:
    """Centimetres between the inner lips of the posed face model."""
    model = FaceModel.load()
    points = np.tensordot(motion_of(codes).expression, model.expression, 1)
    return np.asarray(points[:, 14, 1] - points[:, 13, 1])


def test_parsing_reads_names_with_and_without_intensity() -> None:
    found = parse_emotions("happy:0.7, surprised")
    assert found[EMOTIONS.index("happy")] == np.float32(0.7)
    assert found[EMOTIONS.index("surprised")] == 1
    assert found.sum() == pytest.approx(1.7)
    assert not parse_emotions("neutral").any()


@pytest.mark.parametrize("text", ["", "gleeful", "happy:", "happy:2", "happy:-0.1", "sad:nan", "sad,sad:0.3", "sad;1"])
def test_parsing_refuses_in_one_sentence(text: str) -> None:
    with pytest.raises(MotionError, match="expected"):
        parse_emotions(text)


def test_neutral_changes_nothing() -> None:
    codes = babble()
    np.testing.assert_array_equal(emote(codes, np.zeros(8, np.float32)), codes)


@pytest.mark.parametrize("name", EMOTIONS[1:])
def test_every_emotion_differs_from_every_other_and_stays_in_range(name: str) -> None:
    rest = resting(one(name))
    others = [resting(one(other)) for other in EMOTIONS if other != name]
    assert min(np.abs(rest - other).sum() for other in others) > 1
    codes = emote(babble(), one(name))
    assert codes[:, :-3].min() >= 0
    assert codes[:, :-3].max() <= 1
    half = np.abs(resting(one(name, 0.5)) - resting(one("neutral"))).sum()
    assert 0.2 < half / np.abs(rest - resting(one("neutral"))).sum() < 0.8


@pytest.mark.parametrize("name", EMOTIONS[1:])
def test_lips_shut_through_every_emotion(name: str) -> None:
    codes = babble()
    shut = (codes[:, PRESS] > 0) & (np.arange(len(codes)) > 10)
    before, after = lip_gap_cm(codes)[shut], lip_gap_cm(emote(codes, one(name)))[shut]
    assert (after - before).max() < 0.1


@pytest.mark.parametrize("name", EMOTIONS[1:])
def test_the_lip_stays_under_the_teeth_through_every_emotion(name: str) -> None:
    codes = babble()
    bite = np.zeros(CODES, np.float32)
    for track, value in {"mouthRollLower": 0.38, "jawOpen": 0.06, "mouthUpperUpLeft": 0.16}.items():
        bite[CODE_NAMES.index(track)] = value
    codes[60:64] = bite
    change = lip_gap_cm(emote(codes, one(name)))[62] - lip_gap_cm(codes)[62]
    assert change < 0.15


def test_an_opened_mouth_waits_for_silence() -> None:
    codes = np.concatenate([babble(), np.zeros((60, CODES), np.float32)])
    gap = lip_gap_cm(emote(codes, one("surprised")))
    assert gap[-1] > 0.4
    assert resting(one("surprised"))[JAW] == pytest.approx(0.24)


def test_a_smile_gives_way_to_rounded_lips() -> None:
    codes = np.zeros((1, CODES), np.float32)
    wide = emote(codes, one("happy"))[0, SMILE]
    codes[0, PUCKER] = 0.7
    assert emote(codes, one("happy"))[0, SMILE] < 0.7 * wide


def test_expressions_come_and_go_smoothly() -> None:
    wanted = np.zeros((60, 8), np.float32)
    wanted[10:40, EMOTIONS.index("happy")] = 1
    smile = emote(np.zeros((60, CODES), np.float32), wanted)[:, SMILE]
    assert np.abs(np.diff(smile)).max() < 0.2
    assert smile[9] == 0
    assert smile[25] > 0.9 * smile.max()
    assert smile[59] < 0.1 * smile.max()


def test_one_frame_at_a_time_equals_all_at_once_and_batches_are_apart() -> None:
    codes = np.stack([babble(), np.roll(babble(), 4, 0)])
    wanted = np.zeros((2, 90, 8), np.float32)
    wanted[0, 20:, 2], wanted[1, :50, 3] = 0.8, 0.6
    whole, emoter = emote(codes, wanted), Emoter()
    state = emoter.start((2,))
    for frame in range(90):
        state, out = emoter.step(state, codes[:, frame], wanted[:, frame])
        np.testing.assert_allclose(out, whole[:, frame], atol=1e-6)
    np.testing.assert_allclose(emote(codes[1], wanted[1]), whole[1], atol=1e-6)


def test_misfits_are_refused() -> None:
    with pytest.raises(MotionError, match="shape"):
        emote(np.zeros((4, 5), np.float32), one("sad"))
    with pytest.raises(MotionError, match="do not fit"):
        emote(babble(), np.zeros((3, 8), np.float32))
    with pytest.raises(MotionError, match="from 0 to 1"):
        emote(babble(), np.full(8, 2, np.float32))
    with pytest.raises(MotionError, match="do not fit"):
        complete(Motion.rest(4), np.zeros((3, 8), np.float32))


def test_completing_hangs_lids_raises_one_corner_and_keeps_blinks() -> None:
    rest = Motion.rest(90)
    sad = complete(rest, one("sad"))
    assert sad.coefficient("eyeBlinkLeft")[0] > 0.1
    assert sad.gaze[0, 0] > 0
    scorn = complete(rest, one("contemptuous"))
    assert scorn.coefficient("mouthSmileLeft")[0] > scorn.coefficient("mouthSmileRight")[0] + 0.2
    life = IdleMotion(seed=3).run(240)
    both = complete(joined(Motion.rest(240), life), one("sad"))
    blinks = life.coefficient("eyeBlinkLeft") > 0.95
    assert blinks.any()
    assert (both.coefficient("eyeBlinkLeft")[blinks] > 0.95).all()
    np.testing.assert_array_equal(complete(life, one("neutral")).expression, life.expression)
    assert np.abs(codes_of(sad) - codes_of(rest)).max() < 0.01


def test_lips_that_come_near_each_other_in_an_emotion_come_all_the_way():
    surprised = np.array([0, 0, 0, 0, 0, 0, 0.7, 0], np.float32)
    rest, jaw = resting(surprised), CODE_NAMES.index("jawOpen")
    gaps = []
    for opening in np.linspace(0, 0.6, 61):
        code = np.zeros(CODES, np.float32)
        code[jaw] = opening
        made = shut(code, surprised, rest)
        assert 0 <= made[jaw] <= opening + 1e-6
        np.testing.assert_array_equal(shut(code, np.zeros(8, np.float32), np.zeros(CODES, np.float32)), code)
        gaps.append(float(made[jaw]))
    assert all(later >= before - 1e-6 for before, later in itertools.pairwise(gaps))  # wider stays wider
    assert gaps[8] < 0.5 * 0.08  # nearly shut: brought together
    assert gaps[-1] == pytest.approx(0.6)  # wide open: left alone
