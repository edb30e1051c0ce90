"""Calls over WebRTC, with the library's own peer as the caller: over real sockets of this computer."""

import asyncio
import contextlib
import json
import sys
import urllib.error
import urllib.request
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import itertools

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from plain_face import PlainFace, babble
from serving import running

from liveface.errors import DeviceError
from liveface.live import sessions
from liveface.live.calls import IceServer, mono
from liveface.live.tracks import PACKET, SOUND_HZ, Pictures, Voice

WAIT_S = 30


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Faces that cost nothing."""
    monkeypatch.setattr(sessions, "opened", lambda face: (PlainFace(), None))


class Microphone(MediaStreamTrack):
    """Speech-like sound in real time."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self._sound, self._at, self._begun = babble(6.0, SOUND_HZ), 0, None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self._begun = loop.time() if self._begun is None else self._begun
        await asyncio.sleep(max(0, self._begun + self._at / SOUND_HZ - loop.time()))
        part = np.take(self._sound, np.arange(self._at, self._at + PACKET), mode="wrap")
        frame = av.AudioFrame.from_ndarray((32767 * part).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_HZ, self._at, Fraction(1, SOUND_HZ)
        self._at += PACKET
        return frame


def asked(port, path, body=None, method=None):
    """A call of the API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return json.loads(answer.read() or b"{}")


class Caller:
    """Whoever calls: offers a microphone, takes pictures, sound and messages."""

    def __init__(self, *, sound=True):
        self.peer = RTCPeerConnection(RTCConfiguration([]))
        self.peer.addTrack(Microphone())
        self.peer.addTransceiver("video", direction="recvonly")
        self.channel = self.peer.createDataChannel("control")
        self.said, self.pictures, self.heard = [], [], []
        self.channel.on("message", lambda text: self.said.append(json.loads(text)))
        self.peer.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self._take(track))))
        self.sound, self.tasks = sound, []

    async def _take(self, track):
        kept = self.heard if track.kind == "audio" else self.pictures
        with contextlib.suppress(MediaStreamError):
            while True:
                kept.append(await track.recv())

    async def call(self, port):
        await self.peer.setLocalDescription(await self.peer.createOffer())
        body = {"sdp": self.peer.localDescription.sdp, "sound": self.sound}
        answer = await asyncio.to_thread(asked, port, "/api/calls", body)
        await self.peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        return answer["id"]

    async def until(self, done):
        for _ in range(WAIT_S * 20):
            if done():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("what was waited for did not come")

    async def end(self):
        await self.peer.close()
        for task in self.tasks:
            task.cancel()


def test_a_caller_who_talks_sees_the_mouth_move_and_hears_the_sound_that_goes_with_it(tmp_path):
    async def scene(port, studio):
        caller = Caller()
        name = await caller.call(port)
        await caller.until(lambda: len(caller.pictures) > 45 and len(caller.heard) > 60)
        assert studio.sessions.count() == 1
        level = [np.abs(mono(frame)).max() for frame in caller.heard]
        assert max(level) > 0.05
        brightness = [frame.to_ndarray(format="gray").mean() for frame in caller.pictures[20:]]
        assert np.ptp(brightness) > 1.0  # the plain face is as bright as its mouth is open
        times = [frame.time for frame in caller.pictures]
        assert all(later > earlier for earlier, later in itertools.pairwise(times))
        caller.channel.send(json.dumps({"type": "ping", "at": 7}))
        caller.channel.send(json.dumps({"type": "interrupt", "epoch": "no"}))
        await caller.until(lambda: {"type": "pong", "at": 7} in caller.said)
        await caller.until(lambda: any(one["type"] == "error" for one in caller.said))
        await asyncio.to_thread(asked, port, f"/api/calls/{name}", None, "DELETE")
        await caller.until(lambda: studio.sessions.count() == 0)
        await caller.end()

    with running(tmp_path) as (port, studio):
        asyncio.run(scene(port, studio))


def test_a_caller_who_is_gone_leaves_nothing_behind(tmp_path):
    async def scene(port, studio):
        caller = Caller(sound=False)
        await caller.call(port)
        await caller.until(lambda: caller.pictures)
        await caller.end()
        await caller.until(lambda: studio.sessions.count() == 0)

    with running(tmp_path) as (port, studio):
        asyncio.run(scene(port, studio))


def refused(port, path, body, method=None):
    with pytest.raises(urllib.error.HTTPError) as error:
        asked(port, path, body, method)
    return error.value.code, error.value.read().decode()


def test_offers_that_cannot_be_taken_are_answered_in_a_sentence_and_hold_no_place(tmp_path):
    audio_only = (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n"
        "a=mid:0\r\na=sendrecv\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=rtcp-mux\r\n"
        f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\na=setup:actpass\r\na=rtpmap:96 opus/48000/2\r\n"
    )
    with running(tmp_path) as (port, studio):
        for sdp in ("no offer", "v=0\r\nm=video", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 40):
            code, text = refused(port, "/api/calls", {"sdp": sdp})
            assert code == 400
            assert "offer" in text
        code, text = refused(port, "/api/calls", {"sdp": audio_only})
        assert code == 400
        assert "no pictures" in text
        assert refused(port, "/api/calls", {"sdp": "x" * (1 << 17)})[0] == 422
        assert refused(port, "/api/calls", {"sdp": "x" * (1 << 21)})[0] == 413
        assert refused(port, "/api/calls/none", None, "DELETE")[0] == 404
        assert studio.sessions.count() == 0
        assert asked(port, "/api/calls") == {"possible": True, "servers": []}


def test_a_full_server_refuses_a_call(tmp_path):
    with running(tmp_path, most=1) as (port, studio):
        assert studio.sessions.reserve()
        code, text = refused(port, "/api/calls", {"sdp": "any"})
        assert code == 503
        assert "taken" in text


def test_servers_for_calls_are_read_from_the_command_line():
    assert IceServer.parse("stun:stun.example.org:3478") == IceServer("stun:stun.example.org:3478")
    assert IceServer.parse("turn:me:word@example.org:3478") == IceServer("turn:example.org:3478", "me", "word")
    for wrong in ("", "example.org", "http:example.org", "turn:me@example.org", "stun:"):
        with pytest.raises(DeviceError, match="expected"):
            IceServer.parse(wrong)


def test_tracks_leave_out_what_is_late_and_end_when_stopped():
    async def scene():
        pictures, voice = Pictures(), Voice()
        frames = [av.VideoFrame(16, 16, "yuv420p") for _ in range(3)]
        for frame in frames:
            pictures.put(frame)
        assert await pictures.recv() is frames[-1]
        voice.put(np.zeros(3 * SOUND_HZ, np.float32), 3 * SOUND_HZ)
        assert (await voice.recv()).pts == 2 * SOUND_HZ
        waiting = asyncio.ensure_future(pictures.recv())
        await asyncio.sleep(0)
        pictures.stop()
        with pytest.raises(MediaStreamError):
            await waiting

    asyncio.run(scene())
