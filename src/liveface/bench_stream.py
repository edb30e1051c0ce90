"""Hours of live speech, simulated: nothing drifts, nothing grows, nothing freezes.

    python -m liveface.bench_stream [--hours 10] [--loss 0.1] [-o bench/results/stream.json]

Packets of 20 ms at 48 kHz come over a bad network (lost, up to 60 ms late, out of order) from a sender whose clock is
50 millionths fast: the embedded speech, pauses, and room noise, again and again. The clock is simulated, so ten hours
take as long as the computer needs for them; the file is written anew after every hour of stream. Notable choices: every
quarter of the stream is compared with the first, since a slow drift of levels, noise or history would show as a mouth
that opens otherwise than in the beginning.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from liveface import weights
from liveface.machine import describe
from liveface.motion.audio import SpeechToMotion
from liveface.motion.live import LiveFrame, LiveSpeech, SpeechModel
from liveface.signals.media import read_audio
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array, AudioBlock

Report = dict[str, Any]
RATE_HZ, PACKET = 48_000, 960  # 20 ms, as telephony sends
FAST = 50e-6  # by which the sender's clock is fast: a usual crystal
LATE_S = 0.06  # packets take up to this long
PAUSE_S, ROOM = 2.0, 3e-4  # of silence after the speech; amplitude of the noise of a room
STILL = 1e-4  # change of jawOpen below which a frame stands still
TALKING = 0.02  # jawOpen of an open mouth
QUARTERS = 4


def programme(seed: int = 0) -> Array:
    """What the sender says in one round: the embedded speech, a pause, and the room's noise over all of it."""
    speech = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"), RATE_HZ)])
    whole = np.concatenate([speech, np.zeros(round(PAUSE_S * RATE_HZ), np.float32)])
    whole = whole[: len(whole) // PACKET * PACKET]
    return (whole + ROOM * np.random.default_rng(seed).normal(size=len(whole))).astype(np.float32)


def packets(seconds: float, loss: float, seed: int = 0) -> Iterator[tuple[float, AudioBlock]]:
    """Packets and when they arrive by our clock, in order of arrival; `loss` is the share that never does."""
    sound, rng = programme(seed), np.random.default_rng(seed)
    waiting: list[tuple[float, int, AudioBlock]] = []
    for number in range(int(seconds * RATE_HZ * (1 + FAST)) // PACKET):
        sent_s = (number + 1) * PACKET / RATE_HZ / (1 + FAST)
        while waiting and waiting[0][0] <= sent_s:
            arrived_s, _, block = waiting.pop(0)
            yield arrived_s, block
        if rng.random() < loss:
            continue
        at = number * PACKET % len(sound)
        block = AudioBlock(sound[at : at + PACKET], number * PACKET, RATE_HZ)
        waiting.append((sent_s + float(rng.uniform(0, LATE_S)), number, block))
        waiting.sort(key=lambda one: one[:2])
    yield from ((arrived_s, block) for arrived_s, _, block in waiting)


class Watch:
    """Follows a stream of `frames`: how long the mouth stands still, how far it opens, how late it is."""

    def __init__(self, frames: int) -> None:
        self.seen = self.still = self.longest_still = self.wrong_index = 0
        self.missing = 0.0
        self.openings, self.sound_s = np.full(frames, np.nan, np.float32), np.full(frames, np.nan)

    def see(self, frame: LiveFrame) -> None:
        """Take a frame into account."""
        opening = float(frame.motion.expression[0, ARKIT_INDEX["jawOpen"]])
        last = float(self.openings[self.seen - 1]) if self.seen else 0.0
        self.still = self.still + 1 if opening > TALKING and abs(opening - last) < STILL else 0
        self.longest_still = max(self.longest_still, self.still)
        self.wrong_index += frame.index != self.seen
        self.missing += frame.missing
        self.openings[self.seen], self.sound_s[self.seen] = opening, frame.sound_s
        self.seen += 1

    def summary(self) -> dict[str, Any]:
        """Frames, their place in time, stillness, and opening by quarter of the stream."""
        ours_s = np.arange(self.seen) / HOUSE_FPS
        late_ms = 1000 * (ours_s - self.sound_s[: self.seen] / (1 + FAST))[2 * HOUSE_FPS :]
        quarters = np.array_split(self.openings[: self.seen], QUARTERS)
        return {
            "frames": self.seen,
            "frames_out_of_order": self.wrong_index,
            "sound_behind_ms": [round(float(value), 1) for value in np.quantile(late_ms, [0, 0.5, 1])],
            "missing_percent": round(100 * self.missing / max(self.seen, 1), 2),
            "longest_still_frames": self.longest_still,
            "jaw_open_by_quarter": [round(float(part.mean()), 5) for part in quarters],
        }


def resident_mb() -> float:
    """Memory of this process now; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    line = next(line for line in status.read_text("utf-8").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def stream(
    model: SpeechModel, hours: float, loss: float, seed: int = 0, progress: Callable[[Report], None] | None = None
) -> Report:
    """Play `hours` of packets into `model` and say what came of it.

    Args:
        model: speech to motion.
        hours: of stream.
        loss: share of packets that never arrive.
        seed: of the network's whims.
        progress: told after every hour of stream what came of it so far.

    Returns: what `Watch` saw, counts of packets, memory after every hour in MB, and milliseconds of processor time a
        frame.
    """
    frames, memory, spent_s = int(3600 * hours * HOUSE_FPS), [resident_mb()], 0.0
    live, watch, arrivals = LiveSpeech(model, LATE_S), Watch(frames + 1), packets(3600 * hours, loss, seed)
    pending, report = next(arrivals, None), Report()
    for number in range(1, frames + 1):
        now_s = number / HOUSE_FPS
        since = time.process_time()
        while pending is not None and pending[0] <= now_s:
            live.hear(pending[1], pending[0])
            pending = next(arrivals, None)
        made = live.frames(now_s)
        spent_s += time.process_time() - since
        for frame in made:
            watch.see(frame)
        if number % (3600 * HOUSE_FPS) == 0 or number == frames:
            memory.append(resident_mb())
            report = {
                "hours": round(number / HOUSE_FPS / 3600, 4),
                "loss": loss,
                **watch.summary(),
                "packets": asdict(live.counts),
                "memory_mb_by_hour": [round(value, 1) for value in memory],
                "cpu_ms_a_frame": round(1000 * spent_s / number, 3),
            }
            if progress is not None:
                progress(report)
    return report


def main() -> None:
    """Simulate and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--loss", type=float, default=0.1, help="share of packets that never arrive (0.1)")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench/results/stream.json"))
    given = parser.parse_args()

    def write(report: Report) -> None:
        draft = given.output.with_suffix(".tmp")
        draft.write_text(json.dumps({"machine": describe(), **report}, indent=1) + "\n", "utf-8")
        draft.replace(given.output)
        sys.stderr.write(f"{report['hours']:g} of {given.hours:g} hours\n")

    sys.stdout.write(json.dumps(stream(SpeechToMotion(), given.hours, given.loss, progress=write)) + "\n")


if __name__ == "__main__":
    main()
