"""A face for LiveKit Agents: `LivefaceVideo` is its `VideoGenerator`, `LivefaceAvatar` its `AvatarSession`.

```python
avatar = LivefaceAvatar("me.avatar")
await avatar.start(session, room=ctx.room)  # before session.start(...)
```

Notable choices:
- A frame goes out as a picture and then the sound that is said while it is shown; where nothing is said there is no
  sound, so that the runner's count of what was played holds.
- The generator keeps real time itself and not by the runner's full queues: those would show a picture three frames
  after its sound. What those queues hold is thrown away with an interruption.
- LiveKit's sound must not run dry, so in a runner a frame of silence goes before it, and while the face speaks pictures
  go out one frame after their sound: they are seen when it is heard. The silence counts as nothing played.
- Pictures are I420, which is what the room sends; BT.601, limited range.

Source: livekit-agents 1.8, `livekit.agents.voice.avatar`; Apache-2.0.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

try:
    from livekit import rtc
    from livekit.agents.voice.avatar import (
        AudioReceiver,
        AudioSegmentEnd,
        AvatarOptions,
        AvatarRunner,
        AvatarSession,
        QueueAudioOutput,
        VideoGenerator,
    )
except ModuleNotFoundError as error:
    from liveface.errors import DeviceError

    raise DeviceError(
        f"the LiveKit avatar needs {error.name}, which is not installed; expected the extra: pip install "
        "'liveface[livekit]'."
    ) from error

from liveface.agents.queue import Sound
from liveface.agents.stream import TalkStream
from liveface.agents.talker import Talker, TalkFrame
from liveface.session import Session
from liveface.subject import Subject
from liveface.types import HOUSE_RATE_HZ, Pixels


class LivefaceVideo(VideoGenerator):
    """Sound of an agent in, pictures and the sound that belongs to them out.

    Args:
        subject: a photo or an avatar, by name, as pixels, or an opened `Session`.
        rate_hz: of the sound that goes out.
        paced: real time; without, for files.
        options: the fields of `liveface.Options` by name: `fps`, `size`, `seed` and so on.

    Attributes:
        stream: the talker in real time.
        options: for `AvatarRunner`.
    """

    def __init__(
        self,
        subject: str | Path | Subject | Session,
        *,
        rate_hz: int = HOUSE_RATE_HZ,
        paced: bool = True,
        **options: Any,
    ) -> None:
        self.stream = TalkStream(Talker(subject, rate_hz, **options), paced=paced)
        width, height = self.stream.talker.size
        self.options = AvatarOptions(
            video_width=width,
            video_height=height,
            video_fps=self.stream.talker.fps,
            audio_sample_rate=rate_hz,
            audio_channels=1,
        )
        self._runner: AvatarRunner | None = None

    def runner(self, room: rtc.Room, audio: AudioReceiver) -> AvatarRunner:
        """The runner that shows this face in `room`; its queues are emptied with an interruption."""
        self._runner = AvatarRunner(room, audio_recv=audio, video_gen=self, options=self.options)
        return self._runner

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Take sound, or the end of a segment."""
        if isinstance(frame, AudioSegmentEnd):
            self.stream.end(frame)
            return
        samples = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
        await self.stream.say(samples[:, 0] if frame.num_channels == 1 else samples, frame.sample_rate)

    async def clear_buffer(self) -> None:
        """Forget what was not said yet and shut the mouth."""
        self.stream.interrupt()
        if self._runner is not None:
            await self._runner.av_sync.clear_queue()

    async def aclose(self) -> None:
        """End the stream and its thread."""
        await self.stream.aclose()

    def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        return self._frames()

    async def _frames(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        held: TalkFrame | None = None  # its sound went out, its picture not yet
        async for frame in self.stream:
            if held is not None and held.epoch != frame.epoch:
                held = None
            sounds = len(frame.sound) > 0 and frame.epoch == self.stream.talker.epoch
            if self._runner is None or not (sounds or held):
                yield _picture(frame)
            elif held is not None:
                yield _picture(held)
            else:
                await self._begin(self._runner)
            if sounds:
                yield self._sound(frame.sound)
            for mark in frame.ended:
                yield mark
            held = frame if sounds and self._runner is not None else None

    async def _begin(self, runner: AvatarRunner) -> None:
        """A frame of silence before the sound, and pictures in step with it."""
        talker = self.stream.talker
        runner.av_sync.reset()
        await runner.av_sync.push(self._sound(np.zeros(talker.rate_hz // talker.fps, np.int16)))

    def _sound(self, samples: Sound) -> rtc.AudioFrame:
        return rtc.AudioFrame(samples.tobytes(), self.stream.talker.rate_hz, 1, len(samples))


class LivefaceAvatar(AvatarSession[Any]):
    """The face of an `AgentSession`, shown by the agent's own participant; no other process, no service.

    Args: those of `LivefaceVideo`.

    Attributes:
        video: the generator.
        runner: of LiveKit, once started.
    """

    _room: Any  # of the base class

    def __init__(self, subject: str | Path | Subject | Session, **options: Any) -> None:
        super().__init__()
        self.video = LivefaceVideo(subject, **options)
        self.runner: AvatarRunner | None = None

    @property
    def avatar_identity(self) -> str:
        """The participant that shows the face: the agent itself; empty outside a room."""
        return "" if self._room is None else self._room.local_participant.identity

    @property
    def provider(self) -> str:
        """Who makes the face, for LiveKit's metrics."""
        return "liveface"

    async def start(self, agent_session: Any, room: rtc.Room) -> None:
        """Give the agent its face: what it says goes through the face into `room`. Call it before `session.start`."""
        audio = QueueAudioOutput(sample_rate=self.video.options.audio_sample_rate, wait_playback_start=True)
        self.runner = self.video.runner(room, audio)
        await self.runner.start()
        agent_session.output.audio = audio
        await super().start(agent_session, room)

    async def aclose(self) -> None:
        """Take the face away; the agent stays in the room."""
        if self.runner is not None:
            await self.runner.aclose()
            self.runner = None
        await self.video.aclose()
        self._leave()
        await super().aclose()

    def _leave(self) -> None:
        """Detach from the room first: the base class would remove the agent, whose participant this is."""
        if self._room is not None:
            self._room.off("connection_state_changed", self._on_connection_state_changed)
            self._room = None


def _picture(frame: TalkFrame) -> rtc.VideoFrame:
    assert frame.pixels is not None
    return video_frame(frame.pixels)


def video_frame(pixels: Pixels) -> rtc.VideoFrame:
    """A picture, uint8 `[H, W, 3]` sRGB of even size, as LiveKit's I420."""
    height, width = pixels.shape[:2]
    planes = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420)
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, planes.tobytes())
