import numpy as np

from liveface.motion.idle import IdleMotion
from liveface.motion.tracked import HOLD_S, REST_PACKETS, TrackedFace
from liveface.types import ARKIT_INDEX, Motion

JAW = ARKIT_INDEX["jawOpen"]
SLEEPY = IdleMotion(head=0, blink=0)


def packet(jaw=0.5, pitch=0.3):
    motion = Motion.rest()
    motion.expression[0, JAW] = jaw
    motion.head[0, 0] = pitch
    return motion


def begun(seconds=1.0):
    """A face that has been driven for a while at 60 packets and 30 frames a second, and the time now."""
    face = TrackedFace(SLEEPY)
    count = round(60 * seconds)
    for at in range(count):
        face.hear(packet(), at / 60, at / 60)
        if at % 2:
            face.frame(at / 60)
    return face, count / 60


def jaw(motion):
    return float(motion.expression[0, JAW])


def test_the_newest_packet_is_shown():
    face, now_s = begun()
    for at, value in enumerate((0.1, 0.2, 0.7)):
        face.hear(packet(value), now_s + at / 60, now_s)
    assert jaw(face.frame(now_s)) == np.float32(0.7)
    assert face.counts.packets == 63
    assert face.counts.late == 0


def test_a_packet_that_was_overtaken_is_left_out():
    face, now_s = begun()
    face.hear(packet(0.8), now_s + 0.1, now_s)
    face.hear(packet(0.1), now_s + 0.05, now_s + 0.01)
    face.hear(packet(0.1), now_s + 0.1, now_s + 0.01)
    assert jaw(face.frame(now_s)) == np.float32(0.8)
    assert face.counts.late == 2


def test_a_sender_that_begins_anew_is_followed():
    face, now_s = begun(3.0)
    face.hear(packet(0.9), 0.0, now_s)
    assert jaw(face.frame(now_s)) == np.float32(0.9)


def test_packets_without_time_count_as_they_come():
    face, now_s = begun()
    face.hear(packet(0.9), None, now_s)
    assert jaw(face.frame(now_s)) == np.float32(0.9)


def test_the_last_is_held_and_then_the_face_lives_on():
    face, now_s = begun()
    frames = [face.frame(now_s + at / 30) for at in range(60)]
    held = round(HOLD_S * 30) - 2
    assert {jaw(frame) for frame in frames[:held]} == {0.5}
    assert jaw(frames[-1]) == 0
    assert not face.driven
    assert np.abs(np.diff([jaw(frame) for frame in frames])).max() < 0.15
    face.hear(packet(0.6), now_s + 2, now_s + 2)
    back = [jaw(face.frame(now_s + 2 + at / 30)) for at in range(10)]
    assert back[-1] == np.float32(0.6)
    assert 0 < back[0] < 0.1


def test_a_packet_without_a_face_holds():
    face, now_s = begun()
    face.hear(None, None, now_s)
    assert jaw(face.frame(now_s)) == 0.5
    assert face.counts.faceless == 1


def test_the_head_rests_where_it_was_first():
    face, now_s = begun()
    assert abs(face.frame(now_s).head[0, 0]) < 1e-6
    face.hear(packet(pitch=0.5), now_s + 1, now_s)
    np.testing.assert_allclose(face.frame(now_s).head[0, 0], 0.2, atol=1e-6)


def test_before_any_packet_the_face_lives_by_itself():
    face = TrackedFace(IdleMotion(seed=1))
    alive = [face.frame(at / 30) for at in range(90)]
    assert np.ptp([frame.head[0, :3] for frame in alive], axis=0).max() > 0.01
    for at in range(REST_PACKETS - 1):
        face.hear(packet(), at / 60, 3.0)
    face.frame(3.0)
    assert not face.driven


def test_dials_turn_the_tracker_and_rates_are_those_of_the_frames():
    half = lambda motion: Motion(motion.expression / 2, motion.head, motion.gaze)  # noqa: E731
    face = TrackedFace(IdleMotion(fps=25, head=0, blink=0), half)
    for at in range(100):
        face.hear(packet(0.8), at / 60, at / 60)
        frame = face.frame(at / 60)
    assert frame.fps == 25
    assert jaw(frame) == np.float32(0.4)
