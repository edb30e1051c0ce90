"""A quarter of a minute of what the command does for ten hours: nothing drifts, nothing freezes."""

import numpy as np

from liveface import bench_stream
from liveface.motion.audio import SpeechToMotion


def test_a_bad_network_and_a_fast_clock_leave_no_trace():
    report = bench_stream.stream(SpeechToMotion(), 0.004, 0.1)  # 14 s
    assert report["frames"] == 431
    assert report["frames_out_of_order"] == 0
    assert 3 < report["missing_percent"] < 15
    assert report["longest_still_frames"] <= 3
    low, middle, high = report["sound_behind_ms"]
    assert 0 < low <= middle <= high < 250
    assert all(value > 0.01 for value in report["jaw_open_by_quarter"])
    assert report["cpu_ms_a_frame"] > 0


def test_packets_come_late_but_not_early():
    arrivals = list(bench_stream.packets(5.0, 0.2))
    assert 180 < len(arrivals) < 220
    times = [at_s for at_s, _ in arrivals]
    assert times == sorted(times)
    late = np.array([at_s - (block.start + len(block.samples)) / 48_000 for at_s, block in arrivals])
    assert -1e-3 < late.min()
    assert late.max() <= bench_stream.LATE_S
    assert len({block.start for _, block in arrivals}) == len(arrivals)
