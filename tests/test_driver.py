import numpy as np
import pytest

from liveface.driver import Dials, even_rate, idle_driver, open_driver
from liveface.errors import LivefaceError, SignalError
from liveface.motion.files import save_motion
from liveface.types import ARKIT_INDEX, Motion, arkit_spec


def some_motion(frames, fps=30.0):
    generator = np.random.default_rng(frames)
    return Motion(
        generator.uniform(0, 1, (frames, 52)),
        generator.normal(0, 1, (frames, 6)),
        generator.normal(0, 1, (frames, 4)),
        arkit_spec(fps),
    )


@pytest.mark.parametrize("frames", [1, 2, 3, 30, 31, 100])
@pytest.mark.parametrize(("fps", "wanted"), [(30, 25), (30, 30), (25, 30), (60, 25), (24, 60)])
def test_streamed_resampling_equals_its_twin(frames, fps, wanted):
    motion = some_motion(frames, fps)
    streamed = Motion.concat(list(even_rate(iter(motion), fps, wanted)))
    whole = motion.resample(wanted)
    assert streamed.fps == whole.fps
    assert abs(len(streamed) - len(whole)) <= (wanted < fps)  # a stream does not know its length until it ends
    both = min(len(streamed), len(whole))
    for field in ("expression", "head", "gaze"):
        np.testing.assert_allclose(getattr(streamed, field)[:both], getattr(whole, field)[:both], atol=1e-4)


def test_resampling_nothing_gives_nothing():
    assert list(even_rate(iter(()), 30, 25)) == []


def test_dials_scale_what_they_name():
    motion = some_motion(4)
    turned = Dials(motion_scale=0.5, head=2, blink=0).turn(motion)
    np.testing.assert_allclose(turned.coefficient("jawOpen"), motion.coefficient("jawOpen") / 2, rtol=1e-5)
    np.testing.assert_array_equal(turned.coefficient("eyeBlinkLeft"), 0)
    np.testing.assert_array_equal(turned.coefficient("eyeLookUpLeft"), motion.coefficient("eyeLookUpLeft"))
    np.testing.assert_allclose(turned.head, motion.head * 2)
    same = Dials().turn(motion)
    np.testing.assert_array_equal(same.expression, motion.expression)


@pytest.mark.parametrize("value", [-0.1, 3.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["motion_scale", "head", "blink"])
def test_dials_out_of_range_are_refused(name, value):
    with pytest.raises(SignalError, match="expected a number from 0 to 3"):
        Dials(**{name: value})


def test_words_about_speech_are_read_at_once():
    dials = Dials(emotion="happy:0.5", style="smile:1", quality="best")
    assert dials.feeling is not None
    assert dials.feeling[1] == 0.5
    assert dials.manner is not None
    assert dials.manner[1] == 1
    for wrong in ({"emotion": "glad"}, {"style": "happy:1"}, {"quality": "good"}):
        with pytest.raises(LivefaceError, match="there is no"):
            Dials(**wrong)


def test_a_motion_file_has_no_emotion_to_add(tmp_path):
    file = save_motion(some_motion(5), tmp_path / "m.lfm")
    for dials in (Dials(emotion="sad"), Dials(style="smile:1"), Dials(quality="best")):
        with pytest.raises(SignalError, match="leave the option out"):
            open_driver(file, 30, dials)


def test_one_who_listens_can_be_sad():
    plain, sad = (
        Motion.concat([motion for motion, _ in idle_driver(1.0, 25, Dials(emotion=emotion)).stream(lambda *_: None)])
        for emotion in ("", "sad")
    )
    assert len(plain) == len(sad) == 25
    assert (sad.coefficient("mouthFrownLeft") > plain.coefficient("mouthFrownLeft") + 0.2).all()


def test_a_motion_file_streams_at_the_wanted_rate(tmp_path):
    motion = some_motion(60)
    driver = open_driver(save_motion(motion, tmp_path / "m.lfm"), 25, Dials())
    assert (driver.kind, driver.has_sound, driver.frames_estimate) == ("motion", False, 50)
    made = list(driver.stream(lambda *_: None))
    assert len(made) == 50
    assert all(sound is None for _, sound in made)
    index = ARKIT_INDEX["jawOpen"]
    np.testing.assert_allclose(
        [step.expression[0, index] for step, _ in made], motion.resample(25).expression[:, index], atol=1e-3
    )
