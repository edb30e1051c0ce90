"""Live sound: any packets in, motion at the exact rate out; lost and late packets, drifting clocks, interruption."""

from itertools import pairwise

import numpy as np
import pytest

from liveface.errors import SignalError
from liveface.lipsync import opening_of
from liveface.motion.audio import SpeechToMotion
from liveface.motion.live import LiveFrame, LiveSpeech, filling
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, AudioBlock, Motion


@pytest.fixture(scope="module")
def model() -> SpeechToMotion:
    return SpeechToMotion(idle=None, parts=("mouth",))


def babble(seconds: float, rate_hz: int = HOUSE_RATE_HZ) -> np.ndarray:
    """Syllables of a buzz through a resonance that moves."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    envelope = np.clip(np.sin(2 * np.pi * 2.1 * time_s), 0, 1) ** 0.7
    middle_hz = 900 + 350 * np.sin(2 * np.pi * 0.9 * time_s)
    sound = sum(np.sin(2 * np.pi * 115 * k * time_s) / (1 + ((115 * k - middle_hz) / 200) ** 2) for k in range(1, 28))
    return (0.1 * envelope * sound).astype(np.float32)


def packets(samples: np.ndarray, rate_hz: int, size: int, start: int = 0) -> list[AudioBlock]:
    return [AudioBlock(samples[at : at + size], start + at, rate_hz) for at in range(0, len(samples), size)]


def play(
    live: LiveSpeech, arrivals: list[tuple[float, AudioBlock]], seconds: float, tick_s: float = 0.005
) -> list[LiveFrame]:
    """Packets at their times of arrival, frames asked for every tick."""
    out, waiting = [], sorted(arrivals, key=lambda one: one[0])
    for now_s in np.arange(0, seconds, tick_s):
        while waiting and waiting[0][0] <= now_s:
            at_s, block = waiting.pop(0)
            live.hear(block, at_s)
        out += live.frames(now_s)
    return out


def sent(
    samples: np.ndarray, rate_hz: int = 48_000, size: int = 960, skew: float = 1.0
) -> list[tuple[float, AudioBlock]]:
    """Packets that arrive when they are whole; `skew` above 1: the sender's clock is fast."""
    return [((block.start + len(block.samples)) / rate_hz / skew, block) for block in packets(samples, rate_hz, 960)]


def openings(frames: list[LiveFrame]) -> np.ndarray:
    return opening_of(Motion.concat([frame.motion for frame in frames]).expression)


def longest_still(track: np.ndarray) -> int:
    """The longest run of frames that do not change while the mouth is open."""
    run = best = 0
    for one, two in pairwise(track):
        run = run + 1 if abs(two - one) < 1e-4 and two > 0.5 else 0
        best = max(best, run)
    return best


@pytest.mark.parametrize(("rate_hz", "size"), [(24_000, 800), (24_000, 317), (16_000, 320), (44_100, 1024), (8000, 57)])
def test_frames_come_at_the_exact_rate_from_any_blocks(model, rate_hz, size):
    live, frames = LiveSpeech(model), []
    for block in packets(babble(2.0, rate_hz), rate_hz, size):
        live.hear(block)
        frames += live.frames()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert 59 <= len(frames) <= 60
    assert max(abs(frame.sound_s - frame.index / HOUSE_FPS) for frame in frames) < 1e-9
    assert not any(frame.missing for frame in frames)


def test_blocks_of_the_house_give_the_motion_of_the_whole(model):
    samples, live, frames = babble(1.5), LiveSpeech(model), []
    for block in packets(samples, HOUSE_RATE_HZ, 333):
        live.hear(block)
        frames += live.frames()
    whole = model.run(samples)
    assert np.array_equal(whole.expression, Motion.concat([frame.motion for frame in frames]).expression)


def test_a_clock_gets_a_frame_every_thirtieth_whatever_comes(model):
    live = LiveSpeech(model)
    frames = play(live, sent(babble(1.0, 48_000)), 3.0)
    assert len(frames) == 89
    assert frames[60].missing == 1
    assert openings(frames)[70:].max() < 0.1
    talking = next(frame for frame in frames if frame.motion.coefficient("jawOpen")[0] > 0.1)
    delay_s = talking.index / HOUSE_FPS - talking.sound_s
    assert 0.02 <= delay_s <= live.delay_s + 1 / HOUSE_FPS


def test_packets_out_of_order_change_nothing(model):
    arrivals = sent(babble(2.0, 48_000))
    rng = np.random.default_rng(2)
    jittered = [(at_s + rng.uniform(0, 0.045), block) for at_s, block in arrivals]
    straight, crooked = LiveSpeech(model), LiveSpeech(model)
    first, second = play(straight, arrivals, 2.2), play(crooked, jittered, 2.2)
    assert crooked.counts.reordered > 10
    assert crooked.counts.late == 0
    one, two = openings(first), openings(second)
    shift = max(range(-3, 4), key=lambda lag: np.corrcoef(one[5:-5], np.roll(two, lag)[5:-5])[0, 1])
    assert np.corrcoef(one[5:-5], np.roll(two, shift)[5:-5])[0, 1] > 0.9


def test_a_tenth_of_all_packets_lost_leaves_no_freeze(model):
    arrivals = sent(babble(6.0, 48_000))
    rng = np.random.default_rng(0)
    kept = [one for one in arrivals if rng.random() > 0.1]
    live, whole = LiveSpeech(model), LiveSpeech(model)
    frames, untouched = play(live, kept, 6.0), play(whole, arrivals, 6.0)
    assert live.counts.filled_samples > 20_000
    assert longest_still(openings(frames)) <= longest_still(openings(untouched)) + 1
    assert np.corrcoef(openings(frames), openings(untouched)[: len(frames)])[0, 1] > 0.85


def test_late_packets_are_left_out(model):
    arrivals = sent(babble(2.0, 48_000))
    held = [(at_s + 0.3 if 20 <= index < 25 else at_s, block) for index, (at_s, block) in enumerate(arrivals)]
    live = LiveSpeech(model)
    frames = play(live, held, 2.3)
    assert live.counts.late == 5
    assert len(frames) == 68
    assert 0 < sum(frame.missing for frame in frames[:40]) < 4


@pytest.mark.parametrize("skew", [1.005, 0.995])
def test_clocks_that_differ_stay_together(model, skew):
    """At 0.5 percent, fifty times a bad sound card, sixteen seconds differ by 80 ms."""
    live = LiveSpeech(model)
    frames = play(live, sent(np.tile(babble(2.0, 48_000), 8), skew=skew), 15.5, 0.01)
    lags = np.array([frame.index / HOUSE_FPS - frame.sound_s / skew for frame in frames])
    assert lags.max() - lags.min() < 0.07
    assert lags.max() < 0.16
    assert sum(frame.missing for frame in frames[90:-3]) < 3
    assert (live.counts.skipped_hops if skew > 1 else live.counts.repeated_hops) > 0


def test_a_network_that_becomes_slow_costs_a_moment(model):
    """From the second second on every packet is 0.3 s late; from the fourth on none is."""
    arrivals = sent(babble(8.0, 48_000) * (np.arange(384_000) % 72_000 < 36_000).astype(np.float32))
    slow = [(at_s + 0.3 * (2 < at_s < 4), block) for at_s, block in arrivals]
    live = LiveSpeech(model)
    frames = play(live, slow, 8.0, 0.01)
    missing = np.array([frame.missing for frame in frames])
    assert live.counts.resyncs == 1
    assert missing[60:85].max() == 1
    assert missing[85:].max() < 0.5
    lags = np.array([frame.index / HOUSE_FPS - frame.sound_s for frame in frames])
    assert lags[100] > 0.3
    assert lags[-1] < 0.2
    assert live.counts.skipped_hops > 10


def test_an_interruption_shuts_the_mouth_within_150_ms(model):
    samples, live = np.abs(babble(4.0)) ** 0.5 * np.sign(babble(4.0)) * 0.3, LiveSpeech(model)
    live.hear(AudioBlock(samples[:48_000]))
    before = live.frames()[-20:]
    peak = int(np.argmax(openings(before)))
    live = LiveSpeech(model)
    live.hear(AudioBlock(samples[: (40 + peak + 1) * 800 + 4000]))
    frames = live.frames()[: 40 + peak + 1]
    assert openings(frames[-1:])[0] > 1
    live.interrupt()
    live.hear(AudioBlock(samples[60_000:84_000], 60_000))  # whoever interrupts may go on at once
    after = live.frames()
    track = openings(after)
    assert track[3] < 0.1  # four frames are 133 ms
    assert "interrupted" in after[0].events
    assert track[6:].max() > 1
    assert after[0].sound_s == pytest.approx(2.5)


def test_speech_begins_and_ends_with_an_event(model):
    live = LiveSpeech(model)
    samples = np.concatenate([np.zeros(12_000), babble(2.0), np.zeros(24_000)]).astype(np.float32)
    live.hear(AudioBlock(samples))
    events = [(frame.index, event) for frame in live.frames() for event in frame.events]
    assert events[0][1] == "speech-start"
    assert 15 <= events[0][0] <= 18
    assert events[-1][1] == "speech-end"
    assert 70 <= events[-1][0] <= 85


def test_a_jump_of_the_senders_time_begins_anew(model):
    live = LiveSpeech(model)
    live.hear(AudioBlock(babble(1.0)))
    live.hear(AudioBlock(babble(1.0), 9_000_000))
    frames = live.frames()
    assert live.counts.resyncs == 1
    assert frames[-1].sound_s > 375
    assert sum("resync" in frame.events for frame in frames) == 1


def test_gaps_are_filled_by_the_last_period_and_fade():
    rate = 24_000
    tone = np.sin(2 * np.pi * 150 * np.arange(rate // 10) / rate).astype(np.float32)
    made = filling(tone, rate // 10, 0, rate)
    wanted = np.sin(2 * np.pi * 150 * (len(tone) + np.arange(len(made))) / rate)
    assert np.abs(made - wanted)[: rate // 50].max() < 0.05
    again = np.concatenate([filling(tone, 500, 0, rate), filling(tone, len(made) - 500, 500, rate)])
    assert np.array_equal(made, again)
    assert not filling(tone, 100, rate, rate).any()


def test_unusable_sound_is_refused(model):
    with pytest.raises(SignalError, match="not finite"):
        LiveSpeech(model).hear(AudioBlock(np.full(10, np.inf, np.float32)))
    with pytest.raises(SignalError, match="4000 to 192000"):
        LiveSpeech(model).hear(AudioBlock(np.zeros(10, np.float32), 0, 1000))
    with pytest.raises(SignalError, match="delay"):
        LiveSpeech(model, delay_s=-1)
