"""A LiveKit Agents avatar without a server: a sound file is what the agent says, a video comes out.

    pip install 'liveface[livekit]'
    python examples/livekit_offline.py ada speech.wav out.mp4

What runs is the real thing, in real time: an agent's `QueueAudioOutput`, LiveKit's `AvatarRunner`, the face, and
LiveKit's own tracks. Only the room is a stand-in, which keeps the tracks here instead of sending them to a server.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import QueueAudioOutput

from liveface import weights
from liveface.agents.livekit import LivefaceVideo
from liveface.signals.media import read_audio
from liveface.sinks import VideoSink
from liveface.types import AudioBlock, Frame

FPS, RATE, MP4_RATE = 30, 24_000, 48_000


class LocalRoom:
    """Stands in for `rtc.Room`: is connected, and keeps the tracks that are published.

    Attributes:
        tracks: "audio" and "video" to LiveKit's local tracks, once they are there.
    """

    def __init__(self) -> None:
        self.tracks: dict[str, Any] = {}
        self.local_participant = SimpleNamespace(identity="agent", publish_track=self._publish)
        self._published = asyncio.Condition()

    def isconnected(self) -> bool:
        """Always."""
        return True

    def on(self, *_: Any) -> None:
        """No event ever comes."""

    def off(self, *_: Any) -> None:
        """No event ever comes."""

    async def track(self, kind: str) -> Any:
        """The track of a kind, when it is published."""
        async with self._published:
            await self._published.wait_for(lambda: kind in self.tracks)
        return self.tracks[kind]

    async def _publish(self, track: Any, _options: Any) -> Any:
        kind = "audio" if track.kind == rtc.TrackKind.KIND_AUDIO else "video"
        async with self._published:
            self.tracks[kind] = track
            self._published.notify_all()

        async def subscribed() -> None:
            return None

        return SimpleNamespace(wait_for_subscription=subscribed)


async def speak(agent: QueueAudioOutput, sound: np.ndarray) -> None:
    """What an agent does with the voice of its text-to-speech: int16 `[S]` in blocks of 20 ms, as fast as it may."""
    for block in np.array_split(sound, max(1, len(sound) // (RATE // 50))):
        await agent.capture_frame(rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)))
    agent.flush()


async def watch(room: LocalRoom) -> AsyncIterator[tuple[np.ndarray, np.ndarray]]:
    """What a participant sees and hears: for every frame of sound int16 `[S]` at 48 kHz, the newest picture."""
    newest: list[np.ndarray] = []

    async def look() -> None:
        async with aclosing(rtc.VideoStream(await room.track("video"))) as stream:
            async for event in stream:
                picture = event.frame.convert(rtc.VideoBufferType.RGB24)
                newest[:] = [np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)]

    looking = asyncio.create_task(look())
    heard = np.zeros(0, np.int16)
    try:
        track = await room.track("audio")
        async with aclosing(rtc.AudioStream(track, sample_rate=MP4_RATE, num_channels=1)) as stream:
            async for event in stream:
                heard = np.concatenate([heard, np.array(event.frame.data, np.int16)]) if newest else heard
                while len(heard) >= MP4_RATE // FPS:
                    yield newest[0], heard[: MP4_RATE // FPS]
                    heard = heard[MP4_RATE // FPS :]
    finally:
        looking.cancel()


async def record(room: LocalRoom, size: tuple[int, int], output: str) -> None:
    """Write what a participant sees and hears, until cancelled."""
    with VideoSink(output, size, FPS, MP4_RATE) as sink:
        try:
            async for picture, heard in watch(room):
                block = AudioBlock(heard.astype(np.float32) / 32768, sink.frames * MP4_RATE // FPS, MP4_RATE)
                sink.write(Frame(picture, sink.frames, FPS), block)
        except asyncio.CancelledError:
            print(f"{output}: {sink.frames} frames")


async def main(who: str, wave: str, output: str) -> None:
    """Let `who` say what is in `wave`."""
    shipped = weights.FOLDER / f"{who}.avatar"
    sound = np.concatenate([block.samples for block in read_audio(wave)])
    room = LocalRoom()
    agent = QueueAudioOutput(sample_rate=RATE, wait_playback_start=True)
    face = LivefaceVideo(shipped if shipped.exists() else who, rate_hz=RATE, fps=FPS)
    runner = face.runner(room, agent)
    await runner.start()
    recording = asyncio.create_task(record(room, face.stream.talker.size, output))
    await speak(agent, (32767 * sound).astype(np.int16))
    played = await agent.wait_for_playout()
    print(f"LiveKit played {played.playback_position:.2f} s of {len(sound) / RATE:.2f} s")
    await asyncio.sleep(0.3)  # what the tracks still hold
    recording.cancel()
    await recording
    await runner.aclose()
    await face.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
