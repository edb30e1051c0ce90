"""The Pipecat video service in Pipecat's own pipelines, up to its output transport's pacing; no server."""

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    ErrorFrame,
    InterruptionFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    TextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.tests.utils import SleepFrame, run_test

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))

from talking import RATE, painted_session, speech

from liveface.agents.pipecat import LivefaceVideoService
from pipecat_offline import MemoryTransport, pipeline


def run(story, seconds=60):
    return asyncio.run(asyncio.wait_for(story, seconds))


def service(**how) -> LivefaceVideoService:
    return LivefaceVideoService(painted_session(), **how)


def tts(sound, context="one", block=480):
    """What a text-to-speech service sends for one utterance."""
    parts = np.array_split(sound, max(1, len(sound) // block))
    return [
        TTSStartedFrame(context_id=context),
        *(TTSAudioRawFrame(part.tobytes(), RATE, 1, context_id=context) for part in parts),
        TTSStoppedFrame(context_id=context),
    ]


def sound_of(frames) -> np.ndarray:
    parts = [np.frombuffer(frame.audio, np.int16) for frame in frames if isinstance(frame, TTSAudioRawFrame)]
    return np.concatenate([np.zeros(0, np.int16), *parts])


def opening(frame: OutputImageRawFrame) -> int:
    """How far the mouth is open, which the painted face shows by its brightness."""
    return frame.image[0]


def test_speech_comes_out_with_its_pictures_and_then_its_end():
    frames, _ = run(run_test(service(paced=False), frames_to_send=tts(speech(1.0)), start_timeout=20))
    kinds = [type(frame).__name__ for frame in frames]
    assert kinds[0] == "TTSStartedFrame"
    assert np.array_equal(sound_of(frames), speech(1.0))
    ends = kinds.index("TTSStoppedFrame")
    assert max(place for place, kind in enumerate(kinds) if kind == "TTSAudioRawFrame") == ends - 1
    for place, kind in enumerate(kinds):
        if kind == "TTSAudioRawFrame":
            assert kinds[place - 1] == "OutputImageRawFrame"
    pictures = [frame for frame in frames if isinstance(frame, OutputImageRawFrame)]
    assert {(frame.size, frame.format, len(frame.image)) for frame in pictures} == {((64, 64), "RGB", 64 * 64 * 3)}
    assert max(map(opening, pictures)) > 50
    assert {frame.context_id for frame in frames if isinstance(frame, TTSAudioRawFrame)} == {"one"}


def test_two_utterances_keep_their_contexts_and_their_ends():
    sent = [*tts(speech(0.5), "one"), *tts(speech(0.3), "two")]
    frames, _ = run(run_test(service(paced=False), frames_to_send=sent, start_timeout=20))
    told = [
        (type(frame).__name__, frame.context_id)
        for frame in frames
        if isinstance(frame, TTSAudioRawFrame | TTSStoppedFrame)
    ]
    names = ("TTSAudioRawFrame", "TTSStoppedFrame")
    assert list(dict.fromkeys(told)) == [(name, context) for context in ("one", "two") for name in names]
    assert np.array_equal(sound_of(frames), np.concatenate([speech(0.5), speech(0.3)]))


def test_an_interruption_drops_the_sound_and_its_end_and_shuts_the_mouth():
    sent = [*tts(speech(20.0)), SleepFrame(1.5), InterruptionFrame(), SleepFrame(1.0)]
    frames, _ = run(run_test(service(), frames_to_send=sent, start_timeout=20))
    cut = next(place for place, frame in enumerate(frames) if isinstance(frame, InterruptionFrame))
    before, after = frames[:cut], frames[cut + 1 :]
    assert 0 < len(sound_of(before)) < 15 * RATE
    assert not len(sound_of(after))
    assert not any(isinstance(frame, TTSStoppedFrame) for frame in frames)
    shut = [opening(frame) for frame in after if isinstance(frame, OutputImageRawFrame)]
    assert shut
    assert max(shut[2:], default=20) < 30
    assert shut[-1] < 30


def test_other_frames_pass_and_sound_that_cannot_be_used_is_passed_on_and_told():
    odd = TTSAudioRawFrame(bytes(200), 100, 1)
    sent = [TextFrame("hello"), odd, TTSStoppedFrame()]
    frames, up = run(run_test(service(paced=False), frames_to_send=sent, start_timeout=20))
    assert [type(frame) for frame in frames] == [TextFrame, TTSAudioRawFrame, TTSStoppedFrame]
    assert frames[1] is odd
    assert any(isinstance(frame, ErrorFrame) and "100 Hz is not usable" in frame.error for frame in up)


def test_pictures_begin_when_the_transport_is_ready():
    early, _ = run(run_test(service(), frames_to_send=[SleepFrame(0.3)], start_timeout=20))
    sent = [OutputTransportReadyFrame(), SleepFrame(1.0)]
    ready, up = run(
        run_test(service(), frames_to_send=sent, frames_to_send_direction=FrameDirection.UPSTREAM, start_timeout=20)
    )
    assert early == []
    assert any(isinstance(frame, OutputTransportReadyFrame) for frame in up)
    assert {type(frame) for frame in ready} == {OutputImageRawFrame}


@pytest.mark.parametrize("live", [True, False])
def test_a_transport_shows_and_plays_in_real_time_and_says_when_the_bot_speaks(live):
    async def story():
        transport = MemoryTransport((64, 64), fps=30, live=live)
        told = []
        worker, runner = pipeline(service(sync_with_audio=not live), transport, told.append)
        await worker.queue_frames([*tts(speech(2.0)), EndFrame()])
        await runner.add_workers(worker)
        await runner.run()
        return transport, told

    transport, told = run(story())
    played = np.concatenate([np.frombuffer(frame.audio, np.int16) for frame in transport.played])
    assert not played[:800].any()  # a frame ahead
    assert np.array_equal(played[800 : 800 + 2 * RATE], speech(2.0))
    shown = [opening(frame) for frame in transport.shown]
    assert max(shown) > min(shown) + 10  # how many are shown is the machine's affair
    kinds = [type(frame) for frame in told]
    assert kinds.count(BotStartedSpeakingFrame) == 1
    assert kinds.count(BotStoppedSpeakingFrame) == 1
