"""A Pipecat bot with a face and without a server: a sound file is what its voice says, a video comes out.

    pip install 'liveface[pipecat]'
    python examples/pipecat_offline.py ada speech.wav out.mp4

What runs is the real thing, in real time: a pipeline with the face in it and Pipecat's output transport, which chunks,
paces and shows; only its last step keeps sound and pictures here instead of sending them to a call.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from liveface import weights
from liveface.agents.pipecat import LivefaceVideoService
from liveface.signals.media import read_audio
from liveface.sinks import VideoSink
from liveface.types import AudioBlock
from liveface.types import Frame as Picture

RATE = 24_000


class MemoryTransport(BaseOutputTransport):
    """Pipecat's output transport, whose call is this program's memory; sound is played in real time.

    Args:
        size: width and height of the pictures; fps: of the pictures.
        live: pictures are shown as they come, not with the sound that came with them.
        play: called with every chunk of sound and the picture that is seen while it is heard.

    Attributes:
        played: the sound, as it was played.
        shown: the pictures, as they were shown.
    """

    def __init__(
        self,
        size: tuple[int, int],
        fps: int,
        play: Callable[[bytes, bytes | None], None] | None = None,
        *,
        live: bool = True,
    ) -> None:
        super().__init__(
            TransportParams(
                audio_out_enabled=True,
                audio_out_sample_rate=RATE,
                audio_out_10ms_chunks=1,
                audio_out_end_silence_secs=0,
                video_out_enabled=True,
                video_out_is_live=live,
                video_out_width=size[0],
                video_out_height=size[1],
                video_out_framerate=fps,
            )
        )
        self.played: list[OutputAudioRawFrame] = []
        self.shown: list[OutputImageRawFrame] = []
        self._play, self._next_s = play, 0.0

    async def start(self, frame: StartFrame) -> None:
        """There is nobody to wait for."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Play: take as long as the sound does."""
        self.played.append(frame)
        if self._play is not None:
            self._play(frame.audio, self.shown[-1].image if self.shown else None)
        self._next_s = max(self._next_s, time.monotonic() - 0.1) + frame.num_frames / frame.sample_rate
        await asyncio.sleep(max(0.0, self._next_s - time.monotonic()))
        return True

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        """Show a picture."""
        self.shown.append(frame)
        return True


class Told(FrameProcessor):
    """Passes frames on and tells about those that come back from the transport."""

    def __init__(self, tell: Callable[[Frame], None]) -> None:
        super().__init__()
        self._tell = tell

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Tell and pass on."""
        await super().process_frame(frame, direction)
        if direction == FrameDirection.UPSTREAM:
            self._tell(frame)
        await self.push_frame(frame, direction)


def pipeline(
    face: LivefaceVideoService, transport: MemoryTransport, tell: Callable[[Frame], None]
) -> tuple[PipelineWorker, WorkerRunner]:
    """A pipeline of a face and a transport, and what runs it."""
    worker = PipelineWorker(
        Pipeline([Told(tell), face, transport]),
        params=PipelineParams(audio_out_sample_rate=RATE),
        cancel_on_idle_timeout=False,
    )
    return worker, WorkerRunner(handle_sigint=False)


def utterance(sound: np.ndarray) -> list[Any]:
    """What a text-to-speech service sends for int16 `[S]`: blocks of 20 ms between a start and an end."""
    blocks = np.array_split(sound, max(1, len(sound) // (RATE // 50)))
    return [TTSStartedFrame(), *(TTSAudioRawFrame(block.tobytes(), RATE, 1) for block in blocks), TTSStoppedFrame()]


async def main(who: str, wave: str, output: str) -> None:
    """Let `who` say what is in `wave`."""
    shipped = weights.FOLDER / f"{who}.avatar"
    sound = np.concatenate([block.samples for block in read_audio(wave)])
    face = LivefaceVideoService(shipped if shipped.exists() else who)
    width, height = face.size
    with VideoSink(output, face.size, 30, RATE) as sink:
        heard = bytearray()

        def play(chunk: bytes, image: bytes | None) -> None:
            """One picture for every 1/30 s of sound."""
            heard.extend(chunk)
            while len(heard) >= 2 * RATE // 30 and image is not None:
                samples = np.frombuffer(bytes(heard[: 2 * RATE // 30]), np.int16).astype(np.float32) / 32768
                del heard[: 2 * RATE // 30]
                pixels = np.frombuffer(image, np.uint8).reshape(height, width, 3)
                sink.write(Picture(pixels, sink.frames), AudioBlock(samples, sink.frames * RATE // 30, RATE))

        transport = MemoryTransport(face.size, 30, play)
        worker, runner = pipeline(face, transport, lambda _: None)
        await worker.queue_frames([*utterance((32767 * sound).astype(np.int16)), EndFrame()])
        await runner.add_workers(worker)
        await runner.run()
        print(f"{output}: {sink.frames} frames; the transport showed {len(transport.shown)} pictures")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
