"""`Calls`: the same sessions over WebRTC, for viewers on other networks, where TCP would wait for what was lost.

One offer is one session: its sound drives the face, its camera mirrors it, its data channel carries the text messages
of `liveface.live.wire`, and what comes back is the picture and, where asked for, the sound that goes with it. Notable
choices: pictures and sound leave on one clock, that of the frames, so that a receiver keeps them together; a picture
that was not sent yet is replaced by the next one; nobody outside is asked for addresses unless a server for that is
named, for the library's own default is a server of somebody else. Needs the `webrtc` extra.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import av
import cv2
import numpy as np

from liveface.errors import DeviceError, LivefaceError, WireError
from liveface.live.engine import Shot
from liveface.live.jobs import Busy
from liveface.live.link import obey
from liveface.live.sessions import LiveSession
from liveface.live.studio import Studio
from liveface.live.subjects import Unknown
from liveface.live.wire import CameraPicture
from liveface.sinks import to_yuv420
from liveface.types import HOUSE_FPS, Array, AudioBlock

MOST_OFFER = 1 << 16  # characters
CONNECT_S = 20.0  # in which a caller must get through
A_FRAME = 48_000 // HOUSE_FPS  # samples of `Shot.sound`
VIDEO_HZ = 90_000
CAMERA_WIDTH, CAMERA_QUALITY = 480, 80


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server: its address, and a name and password where it asks for them."""

    url: str
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> IceServer:
        """Of "stun:host:port" or "turn:user:password@host:port".

        Raises:
            DeviceError: it is neither.
        """
        scheme, _, rest = text.partition(":")
        login, at, host = rest.rpartition("@")
        user, colon, password = login.partition(":")
        if scheme not in ("stun", "stuns", "turn", "turns") or not host or bool(at) != bool(colon and user):
            raise DeviceError(
                f"{text!r} is no server for calls; expected stun:host:port or turn:user:password@host:port."
            )
        return cls(f"{scheme}:{host}", user, password)


def can_call() -> bool:
    """Whether the extra is installed."""
    return find_spec("aiortc") is not None


class Calls:
    """All calls of one server; every method belongs to its event loop.

    Args:
        studio: whose sessions they are.
        servers: that tell a caller's and our own address to the outside; none by default.
    """

    def __init__(self, studio: Studio, servers: Sequence[IceServer] = ()) -> None:
        self._studio, self.servers = studio, tuple(servers)
        self._calls: dict[str, Call] = {}

    async def answer(self, offer: str, face: str = "", *, sound: bool = False) -> tuple[str, str]:
        """Take a call; its id and the answer's SDP.

        Raises:
            Busy: all sessions are taken. WireError: the offer cannot be read, or asks for no pictures. LivefaceError:
                the extra is missing, or the face cannot be shown.
        """
        if not can_call():
            raise DeviceError("aiortc is not installed; expected the webrtc extra: pip install 'liveface[webrtc]'.")
        sessions = self._studio.sessions
        if not sessions.reserve():
            raise Busy(f"all {sessions.most} live sessions are taken; expected a free one: try again in a minute.")
        call = Call(self._studio, self.servers)
        try:
            answer = await call.negotiate(offer, sound=sound)
        except BaseException:
            sessions.release()
            await call.end()
            raise
        try:
            shelf = self._studio.shelf
            session = await asyncio.to_thread(sessions.open, face or shelf.first, call.push, "h264", call.show)
        except BaseException:  # its place was given back
            await call.end()
            raise
        self._calls[session.id] = call
        call.begin(session, lambda: self._calls.pop(session.id, None))
        return session.id, answer

    async def end(self, call: str) -> None:
        """Hang up.

        Raises:
            Unknown: there is no such call.
        """
        if call not in self._calls:
            raise Unknown(f"there is no call {call[:40]!r}; expected one that goes on.")
        await self._calls[call].end()

    async def stop(self) -> None:
        """Hang all up."""
        for call in list(self._calls.values()):
            await call.end()


class Call:
    """One call: a peer connection and, once it is answered, a session."""

    def __init__(self, studio: Studio, servers: Sequence[IceServer]) -> None:
        from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection

        from liveface.live.tracks import Pictures, Voice

        named = [RTCIceServer(one.url, one.user or None, one.password or None) for one in servers]
        self._peer: Any = RTCPeerConnection(RTCConfiguration(named))
        self._studio, self._loop = studio, asyncio.get_running_loop()
        self._pictures, self._voice = Pictures(), Voice()
        self._channel: Any = None
        self._session: LiveSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False
        self._gone: Any = lambda: None

    async def negotiate(self, offer: str, *, sound: bool) -> str:
        """Read an offer and answer it.

        Raises:
            WireError: it is none, or none for pictures.
        """
        from aiortc import RTCSessionDescription

        self._peer.on("track", self._heard)
        self._peer.on("datachannel", self._opened)
        self._peer.on("connectionstatechange", self._changed)
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            kinds = [one.kind for one in self._peer.getTransceivers()]
            if "video" in kinds:
                self._peer.addTrack(self._pictures)
                if sound and "audio" in kinds:
                    self._peer.addTrack(self._voice)
                await self._peer.setLocalDescription(await self._peer.createAnswer())
        except Exception as error:  # the library's reader of SDP raises whatever its parts raise
            raise WireError(
                f"the offer cannot be read ({type(error).__name__}); expected the SDP of a browser."
            ) from error
        if "video" not in kinds:
            raise WireError("the offer asks for no pictures; expected one with a video section that receives.")
        return str(self._peer.localDescription.sdp)

    def begin(self, session: LiveSession, gone: Any) -> None:
        """Go on with a session; `gone` is called when the call has ended."""
        self._session, self._gone = session, gone
        self._spawn(self._expect())
        if self._ended:  # hung up meanwhile
            self._spawn(self._finish())

    def push(self, message: bytes | dict[str, Any]) -> None:
        """Have a text message sent; may be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._tell, message)

    def show(self, shot: Shot) -> None:
        """Have a picture and its sound sent; called from the session's thread."""
        frame = av.VideoFrame.from_numpy_buffer(to_yuv420(shot.pixels), "yuv420p")
        frame.pts, frame.time_base = shot.number * (VIDEO_HZ // HOUSE_FPS), Fraction(1, VIDEO_HZ)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._pictures.put, frame)
            self._loop.call_soon_threadsafe(self._voice.put, shot.sound, (shot.number + 1) * A_FRAME)

    async def end(self) -> None:
        """Hang up; once is enough."""
        if self._ended:
            return
        self._ended = True
        await self._finish()

    async def _finish(self) -> None:
        for track in (self._pictures, self._voice):
            track.stop()
        if self._session is not None:
            await asyncio.to_thread(self._studio.sessions.end, self._session)
            self._gone()
        await self._peer.close()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expect(self) -> None:
        """Hang up on a caller who does not get through."""
        await asyncio.sleep(CONNECT_S)
        if self._peer.connectionState != "connected":
            await self.end()

    async def _changed(self) -> None:
        if self._peer.connectionState in ("failed", "closed", "disconnected"):
            await self.end()

    def _heard(self, track: Any) -> None:
        """A track of the caller."""
        self._spawn(self._listen(track) if track.kind == "audio" else self._look(track))

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.on("message", lambda text: self._spawn(self._obey(text)))

    async def _obey(self, text: Any) -> None:
        if self._session is None or not isinstance(text, str):
            return
        try:
            await obey(self._studio, self._session, text, self.push)
        except LivefaceError as error:
            self._tell({"type": "error", "text": str(error), "final": False})

    def _tell(self, message: bytes | dict[str, Any]) -> None:
        if isinstance(message, dict) and self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(message))

    async def _listen(self, track: Any) -> None:
        """The caller's sound, until it ends."""
        async for frame in _frames(track):
            if self._session is not None and frame.pts is not None:
                block = AudioBlock(mono(frame), int(frame.pts * frame.time_base * frame.sample_rate), frame.sample_rate)
                self._session.worker.hear(block)

    async def _look(self, track: Any) -> None:
        """The caller's camera, until it ends; mirrored, as one knows oneself."""
        async for frame in _frames(track):
            if self._session is not None and frame.time is not None:
                picture = CameraPicture(await asyncio.to_thread(_shrunk, frame), float(frame.time))
                self._session.worker.see(picture)


async def _frames(track: Any) -> Any:
    """Frames of a track until it ends."""
    from aiortc.mediastreams import MediaStreamError

    while True:
        try:
            yield await track.recv()
        except MediaStreamError:
            return


def mono(frame: av.AudioFrame) -> Array:
    """Samples `[n]` from -1 to 1 of a frame of 16-bit sound with any number of channels."""
    samples = frame.to_ndarray().astype(np.float32) / 32768
    channels = len(frame.layout.channels)
    mixed: Array = (samples.reshape(-1, channels) if samples.shape[0] == 1 else samples.T).mean(1).astype(np.float32)
    return mixed


def _shrunk(frame: av.VideoFrame) -> bytes:
    """A camera's picture as a mirrored JPEG."""
    width = min(CAMERA_WIDTH, frame.width)
    height = max(1, round(frame.height * width / frame.width))
    pixels = frame.reformat(width, height, "bgr24").to_ndarray()
    return bytes(cv2.imencode(".jpg", pixels[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, CAMERA_QUALITY])[1])
