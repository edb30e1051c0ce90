"""A talker: sound and picture stay together, segments end, an interruption shuts the mouth, any rate goes."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from talking import RATE, babble, speech, still_talker

from liveface import weights
from liveface.agents.queue import SoundQueue
from liveface.agents.talker import Talker
from liveface.errors import MotionError, SignalError
from liveface.lipsync import opening_of
from liveface.session import Session


def mouths(one: Talker, frames: int) -> np.ndarray:
    """How far the mouth is open in the next frames."""
    for _ in range(frames):
        one.step()
    return np.concatenate([opening_of(motion.expression) for motion in one._session.renderer.motions[-frames:]])


def opening(one: Talker, number=-1) -> float:
    return float(opening_of(one._session.renderer.motions[number].expression)[0])


def test_a_queue_gives_back_what_came_and_marks_stand_where_they_were_set():
    queue, sound = SoundQueue(), np.arange(1000, dtype=np.int16)
    for part in np.array_split(sound, 7):
        queue.put(part)
    queue.end("a")
    queue.put(sound[:10])
    queue.end("b")
    queue.end("c")
    taken = [queue.take(300) for _ in range(6)]
    assert [len(part) for part, _ in taken] == [300, 300, 300, 100, 10, 0]
    assert [marks for _, marks in taken] == [(), (), (), ("a",), ("b", "c"), ()]
    assert np.array_equal(np.concatenate([part for part, _ in taken[:4]]), sound)
    queue.put(sound)
    assert queue.clear() == 1000
    assert queue.waiting == 0
    assert queue.whole is None


@pytest.mark.parametrize(("fps", "rate_hz"), [(25, 24_000), (30, 24_000), (30, 16_000), (25, 22_050), (30, 48_000)])
def test_what_goes_in_comes_out_once_and_in_order(fps, rate_hz):
    one, sound = still_talker(fps=fps, rate_hz=rate_hz), babble(0.734, rate_hz)
    for part in np.array_split(sound, 11):
        one.say(part, rate_hz)
    one.end("done")
    frames = [one.step() for _ in range(28)]
    assert np.array_equal(np.concatenate([frame.sound for frame in frames]), sound)
    assert [frame.ended for frame in frames if frame.ended] == [("done",)]
    assert [frame.index for frame in frames] == list(range(28))
    assert all(len(frame.sound) <= -(-rate_hz // fps) for frame in frames)
    assert one.idle
    assert not frames[-1].speaking


@pytest.fixture(scope="module")
def straight() -> np.ndarray:
    """The mouth of the embedded speech, said at once."""
    one = still_talker()
    one.say(speech(2.0))
    return mouths(one, 60)


@pytest.mark.parametrize(("fps", "rate_hz"), [(30, 24_000), (25, 24_000), (30, 48_000), (25, 16_000)])
def test_the_mouth_moves_with_the_sound_that_goes_out(straight, fps, rate_hz):
    """The picture's mouth is that of the same speech said at once, in step to a frame, whenever it begins."""
    one = still_talker(fps, rate_hz)
    first = [one.step() for _ in range(7)]
    one.say(speech(2.0), RATE)
    one.end()
    before = len(one._session.renderer.motions)
    mouth = mouths(one, 2 * fps + 4)
    assert not any(len(frame.sound) for frame in first)
    delay = int(fps != 30)  # at 25 fps sound and picture go out one frame later
    at = np.interp(np.arange(2 * fps) * 30 / fps, np.arange(60), straight)
    likeness = {lag: np.corrcoef(mouth[2 + delay + lag :][: 2 * fps - 3], at[2:-1])[0, 1] for lag in (-2, -1, 0, 1, 2)}
    assert before == 7
    assert max(likeness, key=likeness.get) == 0, likeness
    assert likeness[0] > 0.95


@pytest.mark.parametrize(("fps", "frames"), [(30, 3), (25, 3)])
def test_an_interruption_forgets_the_sound_and_shuts_the_mouth(fps, frames):
    """`frames` are shown 40 ms or less after each other, the first one within a frame: at most 120 ms."""
    one = still_talker(fps=fps)
    one.say(speech(5.0))
    while mouths(one, 1)[0] < 3:  # percent of the distance of the eyes
        pass
    before = one.waiting_s
    assert one.interrupt() == pytest.approx(before)
    assert one.idle
    after = [one.step() for _ in range(frames + 10)]
    assert not any(len(frame.sound) for frame in after)
    assert {frame.epoch for frame in after} == {1}
    assert "interrupted" in after[0].events
    quiet = still_talker(fps=fps)
    for _ in range(len(one._session.renderer.motions)):
        quiet.step()
    for number in range(-11, 0):
        assert opening(one, number) < 0.3 + opening(quiet, number)


def test_after_an_interruption_the_next_segment_is_said_and_seen():
    one = still_talker()
    one.say(babble(1.0))
    one.step()
    one.interrupt()
    one.say(babble(1.0))
    one.end("second")
    frames = [one.step() for _ in range(40)]
    assert np.array_equal(np.concatenate([frame.sound for frame in frames]), babble(1.0))
    assert [mark for frame in frames for mark in frame.ended] == ["second"]
    assert max(opening(one, number) for number in range(-40, 0)) > 1


def test_a_segment_that_runs_dry_waits_for_a_whole_frame():
    one = still_talker()
    one.say(babble(0.1)[:2000])
    sizes = [len(one.step().sound) for _ in range(5)]
    one.say(babble(0.1)[2000:])
    one.end()
    sizes += [len(one.step().sound) for _ in range(2)]
    assert sizes == [800, 800, 0, 0, 0, 800, 0]


def test_a_segment_without_end_comes_out_after_a_moment():
    one = still_talker()
    one.say(np.ones(500, np.int16))
    sizes = [len(one.step().sound) for _ in range(12)]
    assert sum(sizes) == 500
    assert sizes.index(500) == 7


def test_sound_of_another_rate_keeps_its_length_and_its_tail():
    one = still_talker()
    for part in np.array_split(babble(1.0, 44_100), 9):
        one.say(part, 44_100)
    one.end()
    sound = np.concatenate([one.step().sound for _ in range(40)]).astype(float)
    assert abs(len(sound) - 24_000) <= 2
    wanted = babble(1.0).astype(float)
    assert np.corrcoef(sound[:23_990], wanted[:23_990])[0, 1] > 0.999


def test_stereo_and_floats_are_taken_and_nonsense_is_refused():
    one = still_talker()
    one.say(np.stack([np.full(800, 0.5, np.float32), np.full(800, 0.25, np.float32)], 1))
    assert set(one.step().sound.tolist()) == {12288}
    with pytest.raises(SignalError, match="not finite"):
        one.say(np.full(10, np.nan, np.float32))
    with pytest.raises(SignalError, match="expected int16"):
        one.say(np.zeros(10, np.uint8))
    with pytest.raises(SignalError, match="not usable"):
        one.say(np.zeros(10, np.int16), 100)


def test_frames_without_a_picture_keep_time():
    one = still_talker()
    one.say(babble(0.2))
    frames = [one.step(draw=number % 2 == 0) for number in range(6)]
    assert [frame.pixels is None for frame in frames] == [False, True] * 3
    assert sum(len(frame.sound) for frame in frames) == len(babble(0.2))


def test_a_photo_becomes_pictures_of_the_size_asked_for():
    session = Session(weights.path("portrait.jpg"), size=(64, 64))
    one = Talker(session)
    one.say(babble(0.3))
    frame = one.step()
    assert frame.pixels.shape == (64, 64, 3)
    assert frame.pixels.std() > 5
    with pytest.raises(SignalError, match="open the session with them"):
        Talker(session, fps=25)


def test_an_emotion_begins_while_it_speaks_and_nonsense_is_refused():
    """A smile pulls the corners of the mouth; the emotion passes over within a second."""
    smiles = []
    for emotion in ("", "happy:1"):
        one = still_talker()
        one.direct(emotion=emotion, style="articulation:0.5")
        mouths(one, 40)
        smiles.append(one._session.renderer.motions[-1].coefficient("mouthSmileLeft")[0])
    assert smiles[1] > smiles[0] + 0.1
    with pytest.raises(MotionError):
        one.direct(emotion="hungry:1")
    with pytest.raises(SignalError, match="hears a recording as a whole"):
        still_talker(quality="best")
