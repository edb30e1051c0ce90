"""A tracker's packets mirror what pages show."""

import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pytest
from plain_face import PlainFace

from liveface.errors import SignalError
from liveface.live import sessions
from liveface.live.engine import CAMERA_S, DELAY_S, Engine
from liveface.live.studio import Studio
from liveface.motion.tracked import REST_PACKETS
from liveface.trackers import MotionSender
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, HOUSE_FPS, Motion, arkit_spec


def tracked(opening, yaw=0.3):
    expression = np.zeros((1, len(ARKIT_NAMES)), np.float32)
    expression[0, ARKIT_INDEX["jawOpen"]] = opening
    head = np.array([[0, yaw, 0, 0, 0, 0]], np.float32)
    return Motion(expression, head, np.zeros((1, 4), np.float32), arkit_spec())


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_the_first_packets_tell_how_the_head_rests_and_then_it_drives_until_it_is_silent():
    face = PlainFace()
    engine = Engine(face)
    engine.tick(0.0)
    now_s = 0.0
    for number in range(REST_PACKETS + 30):
        now_s += 1 / HOUSE_FPS
        engine.follow(tracked(0.8), now_s)
        shot = engine.tick(now_s + DELAY_S)
        assert (shot.source == "camera") == (number >= REST_PACKETS)
    assert shot.pixels[0, 0, 0] > 150
    assert abs(float(face.motions[-1].head[0, 1])) < 0.1  # not the 0.3 at which the phone lies
    while shot.source == "camera":
        now_s += 1 / HOUSE_FPS
        shot = engine.tick(now_s + DELAY_S)
        assert now_s < 30
    assert now_s > CAMERA_S


def test_packets_reach_every_page(tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "opened", lambda listed: (PlainFace(), None))
    port, got = free_port(), []
    studio = Studio(tmp_path, most_sessions=2, tracker=f"livelink:127.0.0.1:{port}")
    try:
        assert studio.sessions.reserve()
        page = studio.sessions.open(studio.shelf.first, got.append, "jpeg")
        with MotionSender(f"livelink:127.0.0.1:{port}", HOUSE_FPS) as sender:
            for _ in range(200):
                sender.send(tracked(0.9))
                page.worker.ack(sum(isinstance(one, bytes) for one in got))
                time.sleep(0.02)
                if any(isinstance(one, bytes) and one[3] == 2 for one in got):  # a picture that the camera drives
                    break
            else:
                pytest.fail("no page saw the tracker")
    finally:
        studio.stop()
    with pytest.raises(SignalError, match="names no tracker"):
        Studio(tmp_path, tracker="phone")
