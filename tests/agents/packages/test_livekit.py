"""The LiveKit avatar against LiveKit's own classes: generator, runner, agent's output, tracks; no server."""

import asyncio
import sys
import time
from contextlib import aclosing as closing
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.avatar import AudioSegmentEnd, QueueAudioOutput

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))

from talking import RATE, painted_session, speech

from liveface.agents.livekit import LivefaceAvatar, LivefaceVideo
from livekit_offline import LocalRoom, speak


def run(story, seconds=60):
    return asyncio.run(asyncio.wait_for(story, seconds))


def face(**how) -> LivefaceVideo:
    return LivefaceVideo(painted_session(), rate_hz=RATE, **how)


def opening(frame: rtc.VideoFrame) -> float:
    """How far the mouth is open, which the painted face shows by its brightness."""
    return float(np.frombuffer(frame.data, np.uint8)[: frame.width * frame.height].mean())


async def push(video: LivefaceVideo, sound: np.ndarray, end=True) -> None:
    for block in np.array_split(sound, max(1, len(sound) // 480)):
        await video.push_audio(rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)))
    if end:
        await video.push_audio(AudioSegmentEnd())


async def take(frames, until, most=300) -> list:
    taken = []
    async for made in frames:
        taken.append(made)
        if until(made) or len(taken) == most:
            return taken
    return taken


def sound_of(taken) -> np.ndarray:
    parts = [np.array(made.data, np.int16) for made in taken if isinstance(made, rtc.AudioFrame)]
    return np.concatenate([np.zeros(0, np.int16), *parts])


def test_the_generator_gives_each_picture_and_then_its_sound_and_ends_the_segment():
    async def story():
        video = face(paced=False)
        await push(video, speech(1.5))
        taken = await take(aiter(video), lambda made: isinstance(made, AudioSegmentEnd))
        await video.aclose()
        return taken, video.options

    taken, options = run(story())
    kinds = [type(made).__name__ for made in taken]
    assert kinds == ["VideoFrame", "AudioFrame"] * 45 + ["AudioSegmentEnd"]
    assert np.array_equal(sound_of(taken), speech(1.5))
    assert {(made.width, made.height) for made in taken[:-1:2]} == {(options.video_width, options.video_height)}
    assert {(made.sample_rate, made.num_channels) for made in taken[1::2]} == {(options.audio_sample_rate, 1)}
    mouth = np.array([opening(made) for made in taken[:-1:2]])
    loud = np.array([np.abs(np.array(made.data, float)).mean() for made in taken[1::2]])
    assert mouth[loud > 500].mean() > mouth[loud < 5].mean() + 5


def test_nobody_speaks_the_face_lives_and_no_sound_goes_out():
    async def story():
        video = face(paced=False)
        frames = aiter(video)
        taken = [await anext(frames) for _ in range(20)]
        await video.aclose()
        return taken

    assert all(isinstance(made, rtc.VideoFrame) for made in run(story()))


def test_clear_buffer_drops_the_sound_and_shuts_the_mouth_in_three_pictures():
    async def story():
        video = face(paced=False)
        await push(video, speech(4.0))
        frames = aiter(video)
        rest = opening((await take(frames, lambda _: True))[0])
        talking = await take(frames, lambda made: isinstance(made, rtc.VideoFrame) and opening(made) > rest + 30)
        await anext(frames)
        await video.clear_buffer()
        after = [await anext(frames) for _ in range(8)]
        await push(video, speech(1.0))
        again = await take(frames, lambda made: isinstance(made, AudioSegmentEnd))
        await video.aclose()
        return rest, talking, after, again

    rest, talking, after, again = run(story())
    assert opening(talking[-1]) > rest + 30
    assert all(isinstance(made, rtc.VideoFrame) for made in after)
    assert max(opening(made) for made in after[2:]) < rest + 6
    assert np.array_equal(sound_of(again), speech(1.0))


async def observed(room: LocalRoom) -> tuple[list, list, list[asyncio.Task]]:
    """What a participant gets: times and brightness of pictures, times and samples of sound."""
    seen, heard = [], []

    async def look():
        async with closing(rtc.VideoStream(await room.track("video"))) as stream:
            async for event in stream:
                seen.append((time.monotonic(), opening(event.frame)))

    async def listen():
        track = await room.track("audio")
        async with closing(rtc.AudioStream(track, sample_rate=RATE, num_channels=1)) as stream:
            async for event in stream:
                heard.append((time.monotonic(), np.array(event.frame.data, np.int16)))

    return seen, heard, [asyncio.create_task(look()), asyncio.create_task(listen())]


async def started(video: LivefaceVideo) -> tuple:
    room, agent = LocalRoom(), QueueAudioOutput(sample_rate=RATE, wait_playback_start=True)
    events = []
    agent.on("playback_started", lambda event: events.append("started"))
    agent.on("playback_finished", events.append)
    runner = video.runner(room, agent)
    await runner.start()
    seen, heard, tasks = await observed(room)
    return agent, runner, events, seen, heard, tasks


async def closed(video, runner, tasks) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runner.aclose()
    await video.aclose()


def test_an_agent_speaks_through_the_runner_and_a_participant_sees_and_hears_it():
    sound = speech(2.0)

    async def story():
        video = face()
        agent, runner, events, seen, heard, tasks = await started(video)
        await speak(agent, sound)
        await agent.wait_for_playout()
        await asyncio.sleep(0.3)
        await closed(video, runner, tasks)
        return events, seen, heard

    events, seen, heard = run(story())
    assert events[0] == "started"
    assert events[1].playback_position == pytest.approx(2.0)
    assert not events[1].interrupted
    got = np.concatenate([samples for _, samples in heard]).astype(float)
    wanted = sound.astype(float)
    shift = int(np.argmax(np.correlate(got, wanted[12_000:24_000], "valid")))
    assert np.corrcoef(got[shift : shift + 12_000], wanted[12_000:24_000])[0, 1] > 0.9  # the middle came whole
    levels = [level for _, level in seen]
    assert max(levels) > min(levels) + 10  # how many are seen is the machine's affair


def test_an_agent_is_interrupted():
    async def story():
        video = face()
        agent, runner, events, seen, heard, tasks = await started(video)
        await speak(agent, speech(5.0))
        while "started" not in events:
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.0)
        agent.clear_buffer()
        played = await agent.wait_for_playout()
        await asyncio.sleep(0.5)
        before = len(heard), len(seen)
        await asyncio.sleep(0.5)
        await closed(video, runner, tasks)
        return played, video, seen[before[1] :], heard[before[0] :]

    played, video, seen, heard = run(story())
    assert played.interrupted
    assert 0 < played.playback_position < 4
    assert video.stream.talker.idle
    assert not np.concatenate([samples for _, samples in heard]).any()
    levels = [level for _, level in seen]
    assert levels
    assert max(levels) < 50


def test_an_agent_session_gets_its_face():
    async def story():
        avatar, session, room = LivefaceAvatar(painted_session(), rate_hz=RATE), AgentSession(), LocalRoom()
        room.name, room.remote_participants = "here", {}
        await avatar.start(session, room=room)
        output = session.output.audio
        await speak(output, speech(0.5))
        played = await output.wait_for_playout()
        identity = avatar.avatar_identity
        await avatar.aclose()
        await session.aclose()
        return played, identity, avatar.provider, room

    played, identity, provider, room = run(story())
    assert (identity, provider) == ("agent", "liveface")
    assert played.playback_position == pytest.approx(0.5)
    assert set(room.tracks) == {"audio", "video"}
