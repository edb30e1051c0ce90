import logging
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from liveface import session, trackers
from liveface.driver import Dials
from liveface.errors import SignalError, SinkError
from liveface.motion.idle import IdleMotion
from liveface.motion.tracked import TrackedFace
from liveface.motion.trackers import livelink_of_motion, vmc_of_motion
from liveface.signals.livelink import LiveLinkPacket, pack_livelink
from liveface.signals.udp import UdpPort, UdpSender
from liveface.signals.vmc import pack_vmc
from liveface.subject import open_subject
from liveface.trackers import (
    Listener,
    MotionSender,
    Place,
    is_place,
    listening,
    open_tracker,
    parse_place,
    sent,
)
from liveface.types import ARKIT_INDEX, Frame, Motion
from liveface.weights import path as shipped

JAW = ARKIT_INDEX["jawOpen"]


def free_port():
    with UdpPort("127.0.0.1", 0) as port:
        return port.port


def opened(jaw=0.5):
    motion = Motion.rest()
    motion.expression[0, JAW] = jaw
    return motion


def datagram(kind, jaw=0.5, frame=0):
    if kind == "vmc":
        _, bones = vmc_of_motion(opened(jaw))
        (whole,) = pack_vmc(dict.fromkeys(("jawOpen", "mouthClose", "browInnerUp"), jaw), bones, frame / 60)
        return whole
    return pack_livelink(LiveLinkPacket(livelink_of_motion(opened(jaw)), frame=frame))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("livelink:11111", Place("livelink", "", 11111)),
        ("livelink:", Place("livelink", "", 11111)),
        ("vmc:", Place("vmc", "", 39539)),
        ("vmc:127.0.0.1:39540", Place("vmc", "127.0.0.1", 39540)),
        ("livelink:phone.local", Place("livelink", "phone.local", 11111)),
        ("livelink:phone.local:", Place("livelink", "phone.local", 11111)),
    ],
)
def test_places_as_written(text, place):
    assert is_place(text)
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["livelink:0", "livelink:70000", "vmc:a:b", "livelink:1:2:x"])
def test_no_such_place(text):
    with pytest.raises(SignalError, match="names no tracker"):
        parse_place(text)
    assert not is_place("livelink.csv")
    assert not is_place("/home/me/vmc/a.mp4")


@pytest.mark.parametrize("kind", ["livelink", "vmc"])
def test_a_flood_of_nonsense_and_of_strangers_is_counted_and_left_aside(kind):
    face = TrackedFace(IdleMotion(head=0, blink=0))
    listener = Listener(kind, face)
    listener.take(b"\0" * 40, "10.0.0.66", 0.0)
    assert listener.sender is None
    for at in range(60):
        now_s = at / 60
        listener.take(datagram(kind, frame=at), "10.0.0.1", now_s)
        listener.take(datagram(kind, 1.0, at + 1000), "10.0.0.66", now_s)
        listener.take(b"\xff" * 30, "10.0.0.1", now_s)
        frame = face.frame(now_s)
    assert frame.expression[0, JAW] == 0.5
    assert (listener.sender, listener.counts.foreign, listener.counts.refused) == ("10.0.0.1", 60, 61)
    listener.take(datagram(kind, 1.0, 5000), "10.0.0.66", 10.0)
    assert listener.sender == "10.0.0.66"


@pytest.mark.parametrize("kind", ["livelink", "vmc"])
def test_motion_crosses_the_network_into_frames(kind, caplog):
    port = free_port()
    driver = open_tracker(f"{kind}:127.0.0.1:{port}", 30, Dials(head=0, blink=0), seconds=1.5)
    assert (driver.has_sound, driver.repeats, driver.frames_estimate) == (False, True, 45)
    made, going = [], threading.Event()

    def phone():
        with MotionSender(f"{kind}:127.0.0.1:{port}", 60) as sender:
            while not going.wait(1 / 60):
                sender.send(opened(0.5))

    thread = threading.Thread(target=phone)
    thread.start()
    try:
        with caplog.at_level(logging.WARNING, "liveface"):
            made = [motion for motion, _ in driver.stream(lambda *_: None)]
    finally:
        going.set()
        thread.join()
    assert len(made) == 45
    assert made[-1].fps == 30
    np.testing.assert_allclose(made[-1].expression[0, JAW], 0.5, atol=1e-3)
    assert "listening on port" in caplog.text
    assert "packets" in caplog.text


def test_frames_stay_exact_when_packets_are_lost_and_drawing_is_slow(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(trackers.time, "monotonic", lambda: now[0])

    class Port:
        port = 1

        def __init__(self, *_):
            self.frame = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def receive(self, timeout_s):
            now[0] += max(timeout_s, 0)
            self.frame += 1
            lost = self.frame % 10 == 0
            return [] if lost else [(datagram("livelink", 0.5, self.frame * 2), "phone")]

    monkeypatch.setattr(trackers, "UdpPort", Port)
    driver = open_tracker("livelink:1", 30, Dials(head=0, blink=0), seconds=4)
    made = []
    for at, (motion, _) in enumerate(driver.stream(lambda *_: None)):
        made.append(motion)
        now[0] += 0.25 if at == 60 else 0.01
    assert len(made) == 120
    assert now[0] == pytest.approx(104, abs=0.05)
    repeats = [at for at, (one, other) in enumerate(pairwise(made)) if one is other]
    assert repeats == list(range(60, 68))  # a quarter of a second, and what the repeats took
    assert {float(motion.expression[0, JAW]) for motion in made[40:]} == {0.5}


def test_stop_ends_the_stream_and_frees_the_port():
    port = free_port()
    driver = open_tracker(f"livelink:127.0.0.1:{port}", 30, Dials())
    assert driver.frames_estimate == 0
    with listening(driver):
        stream = driver.stream(lambda *_: None)
        next(stream)
        with pytest.raises(SignalError, match="expected a free port"):
            open_tracker(f"livelink:127.0.0.1:{port}", 30, Dials())
        driver.stop.set()
        assert list(stream) == []
    open_tracker(f"livelink:127.0.0.1:{port}", 30, Dials())


def test_a_missed_frame_is_the_same_picture_again(monkeypatch):
    shown = Motion.rest(), opened(0.3)

    class Source:
        repeats, fps, kind = True, 30, "tracker"

        def stream(self, *_):
            for motion in (shown[0], shown[0], shown[1], shown[1], shown[0]):
                yield motion, None

    face = session.Session(open_subject(shipped("portrait.jpg")), size=(144, 256))
    drawn = []
    step = face.renderer.step
    monkeypatch.setattr(face.renderer, "step", lambda *given: drawn.append(given) or step(*given))
    monkeypatch.setattr(face, "open", lambda driver: driver)
    frames = [frame for frame, _ in face.stream(Source())]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert len(drawn) == 3
    np.testing.assert_array_equal(frames[2].pixels, frames[3].pixels)


def test_a_photo_before_another_background(tmp_path):
    port = free_port()
    options = {"size": (144, 256), "background": "#0000ff"}
    source = open_tracker(f"livelink:127.0.0.1:{port}", 30, Dials(), seconds=0.2)
    report = session.animate(str(shipped("portrait.jpg")), source, tmp_path / "a.rgb", **options)
    assert report.frames == 6
    pixels = np.frombuffer((tmp_path / "a.rgb").read_bytes(), np.uint8).reshape(6, 256, 144, 3)
    assert (pixels[:, 2, 2] == (0, 0, 255)).all()
    assert (pixels[:, 120, 72, 0] > 80).all()


def test_alpha_needs_a_format_that_holds_it(tmp_path):
    with pytest.raises(SinkError, match="--format rgba"):
        session.animate(str(shipped("portrait.jpg")), session.silence(0.2), tmp_path / "a.mp4", background="alpha")
    with pytest.raises(SignalError, match="no format 'bmp'"):
        session.Options(format="bmp")
    out = tmp_path / "a.rgba"
    session.animate(str(shipped("portrait.jpg")), session.silence(0.1), out, background="alpha", size=(144, 256))
    alpha = np.frombuffer(out.read_bytes(), np.uint8).reshape(-1, 256, 144, 4)[..., 3]
    assert (alpha[:, 2, 2] == 0).all()
    assert (alpha[:, 120, 72] == 255).all()


def test_sent_motion_arrives_in_its_own_time():
    motions = [opened(value) for value in (0.1, 0.2, 0.3, 0.4)]
    with UdpPort("127.0.0.1", 0) as port:
        since = time.monotonic()
        passed = list(sent(motions, f"livelink:127.0.0.1:{port.port}", 50))
        assert time.monotonic() - since >= 3 / 50
        arrived = port.receive(1)
    assert [motion.expression[0, JAW] for motion in passed] == [motion.expression[0, JAW] for motion in motions]
    face = TrackedFace(IdleMotion())
    listener = Listener("livelink", face)
    for data, host in arrived:
        listener.take(data, host, 0.0)
    assert face.counts.packets == len(arrived) >= 1


def test_a_sender_of_garbage_does_not_stop_anything():
    port = free_port()
    driver = open_tracker(f"vmc:127.0.0.1:{port}", 30, Dials(), seconds=0.3)
    stream = driver.stream(lambda *_: None)
    next(stream)
    with UdpSender("127.0.0.1", port) as sender:
        for at in range(50):
            sender.send(bytes([at]) * (at * 7))
    assert len(list(stream)) == 8


def test_frames_carry_an_alpha_of_their_size():
    pixels = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(SignalError, match="alpha of shape"):
        Frame(pixels, alpha=np.zeros((6, 4), np.uint8))
