"""One page behind its WebSocket: `Link` is the way out, `serve_socket` takes it from its hello to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from liveface.errors import LivefaceError, WireError
from liveface.live.gate import Gate
from liveface.live.sessions import LiveSession
from liveface.live.studio import Studio
from liveface.live.wire import CameraPicture, parse_control, unpack
from liveface.live.worker import Push
from liveface.types import AudioBlock

HELLO_S = 8.0  # in which a page must say who it is
MOST_FAULTS = 20  # malformed messages, after which a socket is closed


class Link:
    """One WebSocket's way out: messages are handed over from threads and sent in order."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket, self._loop = socket, asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | dict[str, Any]] = asyncio.Queue()

    def push(self, message: bytes | dict[str, Any]) -> None:
        """Have a message sent; may be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._queue.put_nowait, message)

    async def drain(self) -> None:
        """Send what is handed over, for ever."""
        while True:
            await self.send(await self._queue.get())

    async def send(self, message: bytes | dict[str, Any]) -> None:
        """Send one message now."""
        if isinstance(message, bytes):
            await self.socket.send_bytes(message)
        else:
            await self.socket.send_text(json.dumps(message))

    async def end(self, code: int, text: str = "") -> None:
        """Say why, and close."""
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            if text:
                await self.send({"type": "error", "text": text, "final": True, "code": code})
            if self.socket.application_state != WebSocketState.DISCONNECTED:
                await self.socket.close(code)


async def serve_socket(socket: WebSocket, studio: Studio, gate: Gate) -> None:
    """One page, from its hello to its end."""
    await socket.accept()
    link = Link(socket)
    try:
        said = parse_control(await asyncio.wait_for(socket.receive_text(), HELLO_S))
    except (TimeoutError, WireError, KeyError, WebSocketDisconnect) as error:
        await link.end(1008, f"a hello was expected first ({error}).")
        return
    if said is None or said["type"] != "hello":
        await link.end(1008, "a hello was expected first.")
    elif not gate.knows(said.get("token", "")):
        await link.end(1008, "the token is not the one that was printed when the server began.")
    else:
        await _run(link, studio, said)


async def _run(link: Link, studio: Studio, hello: dict[str, Any]) -> None:
    """A page that may come in."""
    codec = hello.get("codec", "h264")
    session = studio.sessions.resume(hello["resume"], link.push, codec) if hello.get("resume") else None
    resumed = session is not None
    if session is None:
        if not studio.sessions.reserve():
            most = studio.sessions.most
            await link.end(1013, f"all {most} live sessions are taken; expected a free one: try again in a minute.")
            return
        face = hello.get("subject") or studio.shelf.first
        try:
            session = await asyncio.to_thread(studio.sessions.open, face, link.push, codec)
        except LivefaceError as error:
            await link.end(1008, str(error))
            return
    sender = asyncio.create_task(link.drain())
    try:
        link.push({"type": "welcome", "session": session.id, "subject": session.face, "resumed": resumed})
        await _listen(link, studio, session)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the page is gone
    finally:
        sender.cancel()
        studio.sessions.leave(session, link.push)


async def _listen(link: Link, studio: Studio, session: LiveSession) -> None:
    """Take what a page sends until it leaves."""
    faults = 0
    while faults < MOST_FAULTS:
        message = await link.socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            if message.get("bytes") is not None:
                _take(session, message["bytes"])
            else:
                await obey(studio, session, message.get("text") or "", link.push)
        except WireError as error:
            faults += 1
            link.push({"type": "error", "text": str(error), "final": False})
        except LivefaceError as error:
            link.push({"type": "error", "text": str(error), "final": False})
    await link.end(1008, f"{faults} messages could not be read; expected those of docs/decisions/live.md.")


def _take(session: LiveSession, data: bytes) -> None:
    """A binary message."""
    got = unpack(data)
    if isinstance(got, AudioBlock):
        session.worker.hear(got)
    elif isinstance(got, CameraPicture):
        session.worker.see(got)


async def obey(studio: Studio, session: LiveSession, text: str, push: Push) -> None:
    """Do what a text message says; what there is to answer goes to `push`.

    Raises:
        LivefaceError: it cannot be read, or cannot be done.
    """
    said = parse_control(text)
    if said is None:
        return
    if said["type"] == "ack":
        session.worker.ack(said["number"])
    elif said["type"] == "ping":
        push({"type": "pong", "at": said["at"]})
    elif said["type"] == "subject":
        await asyncio.to_thread(studio.sessions.change, session, said["id"])
    else:
        session.worker.control(said)
