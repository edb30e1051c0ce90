"""The live engine in simulated time: the rate, late frames, interruptions, dials, the camera, recordings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import cv2
import numpy as np
import pytest
from plain_face import PlainFace, babble

from liveface import weights
from liveface.errors import SignalError
from liveface.live.camera import CALIBRATE_FACES, decoded
from liveface.live.dials import LiveDials
from liveface.live.engine import Engine
from liveface.live.recorder import RATE_HZ, Recording, SoundShelf
from liveface.live.video import PictureCoder
from liveface.live.wire import CameraPicture
from liveface.live.worker import Worker
from liveface.motion.idle import IdleMotion
from liveface.signals.media import probe, read_audio
from liveface.types import ARKIT_INDEX, HOUSE_FPS, AudioBlock, Motion

JAW = ARKIT_INDEX["jawOpen"]


@pytest.fixture
def engine():
    return Engine(PlainFace(), delay_s=0.02)


def talk(engine, seconds, begin_s=0.0, stop_s=None, rate_hz=24_000, size=480):
    """Sound in packets of 20 ms from `begin_s` on, frames asked for every 5 ms until `stop_s`; returns the shots."""
    sound, out, at = babble(seconds, rate_hz), [], 0
    for now_s in np.arange(begin_s, begin_s + seconds if stop_s is None else stop_s, 0.005):
        while at + size <= len(sound) and begin_s + (at + size) / rate_hz <= now_s:
            engine.hear(AudioBlock(sound[at : at + size], at, rate_hz), now_s)
            at += size
        shot = engine.tick(now_s)
        out += [] if shot is None else [shot]
    return out


def opening(shots):
    return np.array([shot.pixels[0, 0, 0] for shot in shots]) / 255


def test_without_sound_the_face_lives_on_at_the_exact_rate(engine):
    shots = [shot for now_s in np.arange(0, 3, 0.004) if (shot := engine.tick(now_s)) is not None]
    assert [shot.number for shot in shots] == list(range(89))
    assert {shot.source for shot in shots} == {"idle"}
    assert np.isnan([shot.sound_s for shot in shots]).all()
    assert len({shot.pixels[0, 0, 1] for shot in shots}) > 1, "the head is never quite still"


def test_the_mouth_follows_the_sound_and_says_which(engine):
    shots = talk(engine, 2.0)
    timed = [shot for shot in shots if not np.isnan(shot.sound_s)]
    assert opening(timed).max() > 0.1
    assert "sound" in {shot.source for shot in timed}
    assert np.allclose(np.diff([shot.sound_s for shot in timed]), 1 / HOUSE_FPS, atol=1e-6)
    delays = [shot.number / HOUSE_FPS - shot.sound_s for shot in timed]
    assert 0.02 <= np.median(delays) <= 0.02 + 1 / HOUSE_FPS + 0.02


def test_late_frames_are_dropped_and_never_drawn_later():
    face = PlainFace()
    engine = Engine(face)
    engine.tick(0.0)
    shot = engine.tick(0.5)
    assert (shot.number, shot.frames, len(face.motions)) == (14, 15, 1)
    assert engine.tick(0.5) is None
    assert engine.counts.dropped == 14
    assert engine.tick(engine.due_s()).number == 15


def test_an_interruption_shuts_the_mouth_within_four_frames_and_counts_epochs(engine):
    talk(engine, 1.0)
    loudest = opening(talk(engine, 0.4, 1.0))
    engine.interrupt(5)
    shots = [shot for now_s in np.arange(1.42, 2, 0.005) if (shot := engine.tick(now_s)) is not None]
    assert loudest.max() > 0.05
    assert {shot.epoch for shot in shots} == {5}
    assert opening(shots)[4:].max() < 0.03
    assert np.isnan([shot.sound_s for shot in shots[4:]]).all()
    assert "interrupted" in shots[0].events


def test_a_jump_of_the_sender_begins_a_new_stream(engine):
    talk(engine, 0.5)
    engine.hear(AudioBlock(babble(0.1), 24_000 * 50), 0.5)
    shots = [shot for now_s in np.arange(0.5, 0.8, 0.005) if (shot := engine.tick(now_s)) is not None]
    timed = [shot.sound_s for shot in shots if not np.isnan(shot.sound_s)]
    assert timed
    assert min(timed) > 49.9


def test_the_sound_of_a_shot_is_what_was_sent():
    engine = Engine(PlainFace())
    shots = talk(engine, 1.0, rate_hz=RATE_HZ, size=960)
    sent = babble(1.0, RATE_HZ)
    timed = [shot for shot in shots if not np.isnan(shot.sound_s) and shot.sound_s > 0.05]
    for shot in timed[:10]:
        at = round(shot.sound_s * RATE_HZ)
        assert np.abs(shot.sound[:800] - sent[at : at + 800]).max() < 1e-6


def test_blinks_can_be_turned_off_while_it_runs(engine):
    talk(engine, 0.3)
    engine.turn({"type": "set", "blink": 0})
    face = engine._renderer
    face.motions.clear()
    for frame in range(300):
        engine.tick(0.4 + frame / HOUSE_FPS)
    lids = np.concatenate([motion.expression[:, ARKIT_INDEX["eyeBlinkLeft"]] for motion in face.motions])
    assert lids.max() < 0.05


def test_dials_do_what_they_say():
    motion = IdleMotion(seed=3).run(90)
    motion.expression[:, JAW] = 0.4

    def turned(**said):
        dials = LiveDials().changed(said)
        state, out = dials.start(), []
        for one in motion:
            state, made = dials.step(state, one)
            out.append(made)
        return Motion.concat(out)

    plain = turned()
    assert np.allclose(plain.head, motion.head, atol=1e-6)
    assert np.allclose(plain.expression[:, JAW], 0.4, atol=1e-5)
    assert np.allclose(turned(scale=0.5).expression[:, JAW], 0.2, atol=1e-5)
    still = turned(head=0)
    assert not still.head.any()
    space = motion.gaze + np.tile(motion.head[:, :2], 2)
    assert np.abs(still.gaze - np.clip(space, -0.7, 0.7)).max() < 1e-4, "eyes keep their target when the head is held"
    led = turned(look=[1.0, 0.0])
    assert (led.gaze[-1] + np.tile(led.head[-1, :2], 2))[1] == pytest.approx(0.35, abs=0.02)


def smile(engine):
    return float(engine._renderer.motions[-1].coefficient("mouthSmileLeft")[0])


def test_an_emotion_shows_and_goes_whoever_drives(engine):
    def run(seconds, jpeg=None):
        for _ in range(round(seconds * HOUSE_FPS)):
            if jpeg is not None:
                engine.see(CameraPicture(jpeg, 0.0), engine.due_s())
            shot = engine.tick(engine.due_s())
        return shot

    engine.tick(0.0)
    run(0.5)
    before = smile(engine)
    engine.turn({"type": "set", "emotion": {"happy": 1.0}})
    run(2.0)
    assert smile(engine) > before + 0.3
    assert run(2.0, face_jpeg()).source == "camera"
    seen = smile(engine)
    engine.turn({"type": "set", "emotion": {}})
    assert run(2.0, face_jpeg()).source == "camera"
    assert smile(engine) < seen - 0.3
    run(3.0)
    assert smile(engine) < before + 0.15


def face_jpeg():
    picture = cv2.imread(str(weights.path("portrait.jpg")))
    scale = 400 / picture.shape[1]
    return cv2.imencode(".jpg", cv2.resize(picture, None, fx=scale, fy=scale))[1].tobytes()


def test_the_camera_drives_once_it_knows_the_person_and_stops_when_it_is_silent(engine):
    jpeg, sources, events = face_jpeg(), [], []
    engine.tick(0.0)
    for frame in range(CALIBRATE_FACES + 12):
        engine.see(CameraPicture(jpeg, 100 + frame / HOUSE_FPS), frame / HOUSE_FPS)
        shot = engine.tick(engine.due_s())
        sources.append(shot.source)
        events += shot.events
    assert sources[5] == "idle"
    assert sources[-1] == "camera"
    assert events.count("camera-ready") == 1
    assert shot.camera_s == 100 + frame / HOUSE_FPS
    later = [engine.tick(engine.due_s()) for _ in range(30)]
    assert later[-1].source == "idle"
    assert np.isnan(later[-1].camera_s)


def test_bad_camera_pictures_are_left_out(engine):
    engine.tick(0.0)
    huge = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + b"\x01\x22\x00" * 3 + b"\xff\xd9"
    for jpeg in (b"no picture", face_jpeg()[:300], huge):
        engine.see(CameraPicture(jpeg, 1.0), 0.0)
        assert engine.tick(engine.due_s()).source == "idle"
    assert engine.counts.camera_bad == 3
    with pytest.raises(SignalError):
        decoded(huge)


def test_the_shelf_forgets_and_fills_with_silence():
    shelf = SoundShelf()
    ramp = np.arange(4800, dtype=np.float32) / 4800
    shelf.put(AudioBlock(ramp, 0, RATE_HZ))
    shelf.put(AudioBlock(ramp, 9600, RATE_HZ))
    assert np.array_equal(shelf.cut(0.0), ramp[:1600])
    assert not shelf.cut(0.1).any()
    assert np.array_equal(shelf.cut(0.2), ramp[:1600])
    assert not shelf.cut(5.0).any()
    shelf.put(AudioBlock(ramp, RATE_HZ * 60, RATE_HZ))
    assert not shelf.cut(0.0).any()
    assert np.array_equal(shelf.cut(60.0), ramp[:1600])
    shelf.clear()
    assert not shelf.cut(60.0).any()


def test_a_recording_holds_pictures_and_sound_in_step(tmp_path):
    recording = Recording(tmp_path / "made.mp4", (64, 112))
    tone = np.sin(2 * np.pi * 440 * np.arange(1600 * 30) / RATE_HZ).astype(np.float32) * 0.3
    picture = np.zeros((112, 64, 3), np.uint8)
    recording.write(picture, tone[: 1600 * 2], 2)
    for frame in range(2, 30):
        recording.write(picture, tone[1600 * frame : 1600 * (frame + 1)])
    assert recording.finish() == 1.0
    info = probe(tmp_path / "made.mp4")
    assert (info.kind, info.audio_rate_hz) == ("video", RATE_HZ)
    heard = np.concatenate([block.samples for block in read_audio(tmp_path / "made.mp4", RATE_HZ)])
    assert abs(len(heard) - RATE_HZ) <= 1024
    assert np.corrcoef(heard[4800:40_000], tone[4800:40_000])[0, 1] > 0.98
    lost = Recording(tmp_path / "lost.mp4", (64, 112))
    lost.write(picture, tone[:1600])
    lost.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["made.mp4"]


def test_time_stands_still_while_nobody_is_attached(engine, tmp_path):
    clock = [100.0]
    worker = Worker(engine, tmp_path, clock=lambda: clock[0])
    worker._left_s = clock[0]

    def after(seconds, action, *values):
        clock[0] += seconds
        action(*values)
        worker._empty_inbox()
        return worker.now_s()

    page, other = [].append, [].append
    begun = after(5, worker.attach, page, "jpeg")
    assert after(2, worker.detach, page) == begun + 2
    back = after(50, worker.attach, other, "jpeg")
    assert back == begun + 2
    assert after(1, worker.detach, page) == back + 1, "who was replaced has nothing to say"
    assert after(3, worker.ack, 10) == back + 4


@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_every_picture_is_coded_at_once_and_keys_come_when_asked_for(codec):
    import av

    coder, made = PictureCoder(codec), []
    for frame in range(12):
        if frame == 7:
            coder.key()
        made.append(coder.code(np.full((112, 64, 3), 20 * frame, np.uint8)))
    assert all(payload for payload, _, _ in made)
    assert [index for index, (_, key, _) in enumerate(made) if key] == (list(range(12)) if codec == "jpeg" else [0, 7])
    assert [fresh for _, _, fresh in made] == [True] + [False] * 11
    assert coder.code(np.zeros((128, 64, 3), np.uint8))[1:] == (True, True)
    if codec == "h264":
        reader, pictures = av.CodecContext.create("h264", "r"), []
        for payload, _, _ in made[7:]:  # a page that joins at a key frame
            pictures += reader.decode(av.Packet(payload))
        pictures += reader.decode(None)
        assert len(pictures) == 5
        assert abs(int(pictures[-1].to_ndarray(format="rgb24").mean()) - 220) < 8
