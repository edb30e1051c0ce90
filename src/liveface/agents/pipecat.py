"""A face for Pipecat: `LivefaceVideoService` stands between the text-to-speech and the output transport.

```python
Pipeline([..., tts, LivefaceVideoService("me.avatar"), transport.output(), ...])
```

Notable choices:
- `TTSAudioRawFrame`s are taken and go out again in step with the pictures, a frame's worth at a time and in their
  context; where nothing is said only pictures go out. `TTSStoppedFrame` follows the last sample of its sound, so that
  the transport says at the right moment that the bot stopped speaking. All other frames pass at once.
- In real time a frame of silence goes before speech: the transport shows a picture one frame after it came, and its
  sound has that much in hand.
- An `InterruptionFrame` forgets the sound that waits, and the ends of its segments with it.
- Nothing is sent before the output transport is ready, or, where there is none, before the first sound.

Source: pipecat-ai 1.14, `pipecat.services.ai_service` and `pipecat.transports.base_output`; BSD-2-Clause.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

try:
    from pipecat.frames.frames import (
        CancelFrame,
        EndFrame,
        Frame,
        InterruptionFrame,
        OutputImageRawFrame,
        OutputTransportReadyFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
    from pipecat.services.ai_service import AIService
    from pipecat.services.settings import ServiceSettings
except ModuleNotFoundError as error:
    from liveface.errors import DeviceError

    raise DeviceError(
        f"the Pipecat video service needs {error.name}, which is not installed; expected the extra: pip install "
        "'liveface[pipecat]'."
    ) from error

from liveface.agents.queue import Sound
from liveface.agents.stream import TalkStream
from liveface.agents.talker import Talker, TalkFrame
from liveface.errors import LivefaceError
from liveface.session import Options, Session
from liveface.subject import Subject
from liveface.types import HOUSE_RATE_HZ


@dataclass
class LivefaceVideoSettings(ServiceSettings):
    """Settings that may change while the service runs: none."""


class LivefaceVideoService(AIService):
    """The face of a bot; see the module's notes.

    Args:
        subject: a photo or an avatar, by name, as pixels, or an opened `Session`.
        paced: real time; without, for files.
        sync_with_audio: pictures go through the transport's queue of sound; for a transport whose video is not live.
        options: the fields of `liveface.Options` by name (`fps`, `size`, `seed` and so on), and what `AIService` takes.
    """

    Settings = LivefaceVideoSettings

    def __init__(
        self,
        subject: str | Path | Subject | Session,
        *,
        paced: bool = True,
        sync_with_audio: bool = False,
        **options: Any,
    ) -> None:
        looks = {name: options.pop(name) for name in Options.__slots__ if name in options}
        super().__init__(settings=LivefaceVideoSettings(model=None), **options)
        self._session = subject if isinstance(subject, Session) else Session(subject, Options(**looks))
        self._paced, self._in_step = paced, sync_with_audio
        self._stream: TalkStream | None = None
        self._rate_hz = HOUSE_RATE_HZ  # of the pipeline, once it is set up
        self._task: asyncio.Task[None] | None = None
        self._contexts: deque[str | None] = deque()  # of the segments that were begun and not said to their end
        self._begun = False  # a segment is coming in
        self._sounds = False  # sound went out with the last frame

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        size = self._session.options.size
        assert size is not None
        return size

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Open the face at the pipeline's rate of sound."""
        await super().setup(setup)
        self._rate_hz = setup.audio_out_sample_rate
        self._stream = TalkStream(Talker(self._session, self._rate_hz), paced=self._paced)

    async def stop(self, frame: EndFrame) -> None:
        """Say what was begun, then end."""
        await super().stop(frame)
        if self._stream is not None and self._task is not None:
            await self._stream.drained()
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """End at once."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """End at once, if that did not happen."""
        await super().cleanup()
        await self._close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take speech and its end; pass everything else on."""
        await super().process_frame(frame, direction)
        stream = self._stream
        if stream is None or direction == FrameDirection.UPSTREAM:
            self._begin_at(frame)
        elif isinstance(frame, TTSAudioRawFrame):
            await self._say(stream, frame)
            return
        elif isinstance(frame, TTSStoppedFrame) and self._task is not None:
            stream.end((frame, self._begun))
            self._begun = False
            return
        elif isinstance(frame, InterruptionFrame):
            stream.interrupt()
            self._contexts.clear()
            self._begun = False
        await self.push_frame(frame, direction)

    def _begin_at(self, frame: Frame) -> None:
        """Begin to send once the transport is ready."""
        if isinstance(frame, OutputTransportReadyFrame):
            self._begin()

    def _begin(self) -> None:
        if self._task is None and self._stream is not None:
            self._task = self.create_task(self._send(self._stream))

    async def _say(self, stream: TalkStream, frame: TTSAudioRawFrame) -> None:
        """Give the face what it is to say; sound that cannot be used is passed on as it is, and said why."""
        samples = np.frombuffer(frame.audio, np.int16).reshape(-1, frame.num_channels)
        try:
            await stream.say(samples[:, 0] if frame.num_channels == 1 else samples, frame.sample_rate)
        except LivefaceError as error:
            await self.push_error(error_msg=str(error), exception=error)
            await self.push_frame(frame)
            return
        if not self._begun:
            self._contexts.append(frame.context_id)
            self._begun = True
        self._begin()

    async def _send(self, stream: TalkStream) -> None:
        """Send frames until the stream ends."""
        async for frame in stream:
            await self._send_frame(stream, frame)

    async def _send_frame(self, stream: TalkStream, frame: TalkFrame) -> None:
        assert frame.pixels is not None
        begun, self._sounds = self._sounds, len(frame.sound) > 0 and frame.epoch == stream.talker.epoch
        if self._sounds and not begun and self._paced:
            await self._send_sound(np.zeros(self._rate_hz // stream.talker.fps, np.int16))
        height, width = frame.pixels.shape[:2]
        picture = OutputImageRawFrame(frame.pixels.tobytes(), (width, height), "RGB")
        picture.sync_with_audio = self._in_step
        await self.push_frame(picture)
        if self._sounds:
            await self._send_sound(frame.sound)
        for stopped, was_begun in frame.ended:
            if was_begun and self._contexts:
                self._contexts.popleft()
            await self.push_frame(stopped)

    async def _send_sound(self, samples: Sound) -> None:
        """Send sound in the context of the segment that is being said."""
        context = self._contexts[0] if self._contexts else None
        await self.push_frame(TTSAudioRawFrame(samples.tobytes(), self._rate_hz, 1, context_id=context))

    async def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()
        if self._task is not None:
            await self.cancel_task(self._task)
            self._task = None
