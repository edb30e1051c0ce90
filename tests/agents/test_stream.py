"""A talker in asyncio: frames when they are due, late pictures left out with their sound kept, bounded, cut off."""

import asyncio
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from talking import RATE, babble, still_talker

from liveface.agents import stream as module
from liveface.agents.stream import TalkStream


class Clock:
    """A clock that goes on by itself a little at every look, and further when told."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        self.now_s += 0.002
        return self.now_s


async def gathered(stream, until, most=200):
    frames = []
    async for frame in stream:
        frames.append(frame)
        if until(frame) or len(frames) == most:
            return frames
    return frames


def run(story):
    return asyncio.run(asyncio.wait_for(story, 30))


@pytest.mark.parametrize("paced", [False, True])
def test_a_segment_comes_out_whole_and_ends(paced):
    async def story():
        stream = TalkStream(still_talker(), paced=paced, clock=Clock())
        await stream.say(babble(0.5))
        stream.end("done")
        frames = await gathered(stream, lambda frame: frame.ended)
        await stream.aclose()
        return frames

    frames = run(story())
    assert np.array_equal(np.concatenate([frame.sound for frame in frames]), babble(0.5))
    assert [frame.index for frame in frames] == list(range(15))
    assert frames[-1].ended == ("done",)


def test_pictures_are_made_in_a_thread_of_their_own():
    names = []

    async def story():
        one = still_talker()
        step = one.step
        one.step = lambda **how: names.append(threading.current_thread().name) or step(**how)
        stream = TalkStream(one, paced=False)
        await gathered(stream, lambda frame: frame.index == 3)
        await stream.aclose()
        return await gathered(stream, lambda _: True)

    assert run(story()) == []
    assert len(names) == 4
    assert all(name.startswith("liveface-talker") for name in names)


def test_late_pictures_are_left_out_and_their_sound_is_not():
    async def story():
        clock = Clock()
        stream = TalkStream(still_talker(), clock=clock)
        await stream.say(babble(1.0))
        stream.end()
        frames = await gathered(stream, lambda frame: frame.index == 4)
        clock.now_s += 0.2
        frames += await gathered(stream, lambda frame: frame.ended)
        return frames, stream.counts

    frames, counts = run(story())
    assert np.array_equal(np.concatenate([frame.sound for frame in frames]), babble(1.0))
    assert counts.dropped >= 4
    assert counts.frames == len(frames)
    assert counts.frames + counts.dropped == frames[-1].index + 1
    assert all(frame.pixels is not None for frame in frames)


def test_a_program_that_slept_goes_on_where_it_was():
    async def story():
        clock = Clock()
        stream = TalkStream(still_talker(), clock=clock)
        await gathered(stream, lambda frame: frame.index == 2)
        clock.now_s += 3600
        frames = await gathered(stream, lambda frame: frame.index >= 4)
        return frames, stream.counts

    frames, counts = run(story())
    assert [frame.index for frame in frames] == [3, 4]
    assert counts.stalls == 1


def test_an_interruption_cuts_off_what_waits_and_what_is_being_made():
    async def story():
        one = still_talker()
        stream = TalkStream(one, paced=False)
        await stream.say(babble(2.0))
        stream.end("never")
        await gathered(stream, lambda frame: frame.index == 5)
        step = one.step

        def cut(**how):
            frame = step(**how)
            one.step = step
            stream.interrupt()
            return frame

        one.step = cut
        return await gathered(stream, lambda frame: frame.index == 12)

    frames = run(story())
    assert not any(len(frame.sound) or frame.ended for frame in frames)
    assert [frame.epoch for frame in frames] == [0] + 6 * [1]


def test_much_sound_waits_outside_and_is_forgotten_with_an_interruption(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING_S", 1.0)

    async def story():
        stream = TalkStream(still_talker(), paced=False)
        sender = asyncio.create_task(_say_all(stream, [babble(0.5)] * 10))
        await asyncio.sleep(0.05)
        held = stream.talker.waiting_s
        await gathered(stream, lambda frame: frame.index == 20)
        stream.interrupt()
        await asyncio.sleep(0.05)
        return held, sender, stream

    async def _say_all(stream, parts):
        for part in parts:
            epoch = stream.talker.epoch
            await stream.say(part)
            if stream.talker.epoch != epoch:
                return

    async def whole():
        held, sender, stream = await story()
        await sender
        return held, stream.talker.waiting_s

    held, after = run(whole())
    assert held == 1.0
    assert after == 0


def test_drained_waits_for_the_last_sample():
    async def story():
        stream = TalkStream(still_talker(), paced=False)
        await stream.say(babble(0.4))
        stream.end()
        said = 0

        async def take():
            nonlocal said
            async for frame in stream:
                said += len(frame.sound)

        task = asyncio.create_task(take())
        await stream.drained()
        await stream.aclose()
        await task
        return said

    assert run(story()) == round(0.4 * RATE)
