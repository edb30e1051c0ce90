"""The ablation: every row hears the same, and steps cost time."""

import numpy as np
import pytest
import torch

from liveface.lipsync.measures import lips_of
from liveface.lipsync.truth import Clip
from liveface.nets.online import OnlineConfig, OnlineNet
from liveface.nets.speech import SpeechConfig
from liveface.signals.features import FRAME_SAMPLES
from liveface.train.speech_ablation import Row, ablation, cropped, made, told

ENCODER = SpeechConfig(stem=8, width=16, dilations=(1, 2), styles=1, style_width=4)
TINY = OnlineConfig(encoder=ENCODER, layers=1, heads=2, inner=16, window=8)
FRAMES = 50


@pytest.fixture
def clips() -> list[Clip]:
    rng, out = np.random.default_rng(0), []
    for name in "ab":
        true = lips_of(rng.random((FRAMES, 52)).astype(np.float32) * 0.3)
        samples = rng.normal(size=FRAMES * FRAME_SAMPLES - 100).astype(np.float32) * 0.1
        out.append(Clip(name, name, samples, true.opening, (("B", 0.2, 0.3), ("AA", 0.3, 1.5)), true))
    return out


@pytest.fixture
def network() -> OnlineNet:
    torch.manual_seed(0)
    net = OnlineNet(TINY).eval()
    torch.nn.init.normal_(net.out.weight, std=0.1)
    net.spread.fill_(0.1)
    return net


def test_rows_hear_the_same_and_differ_in_what_they_make_of_it(network, clips):
    given = told(network, clips)
    rows = [
        Row("regression", network, 0),
        Row("one", network, 1),
        Row("four", network, 4),
        Row("both", network, 2, both=True),
    ]
    codes = [made(row, given) for row in rows]
    assert all(part.shape == (2, FRAMES, 26) for part in codes)
    assert np.allclose(codes[0][..., :17], given[1].numpy() * 0.1, atol=1e-5)
    assert not codes[0][..., 17:].any()
    assert all(not np.allclose(codes[1], other) for other in (codes[0], codes[2], codes[3]))
    assert np.array_equal(made(rows[1], given), codes[1])
    assert not np.array_equal(made(rows[1], given, seed=1), codes[1])


def test_the_table_has_scores_times_and_ratios(network, clips):
    lines: list[str] = []
    result = ablation([Row("one", network, 1), Row("nine", network, 9)], clips, lines.append)
    table = result["rows"]
    assert set(table) == {"one", "nine"}
    assert len(lines) == 2
    for line in table.values():
        assert {
            "correlation",
            "lip_error_mm",
            "lip_speed_error_mm",
            "jitter_ratio",
            "p b m closed",
            "ms_a_frame",
        } <= set(line)
    assert table["nine"]["times_faster"] == 1 or table["one"]["times_faster"] == 1


def test_clips_are_cropped_as_a_whole(clips):
    short = cropped(clips[0], 30)
    assert len(short.opening) == len(short.lips.lips) == 30
    assert len(short.samples) == 30 * FRAME_SAMPLES
    assert short.phones == (("B", 0.2, 0.3),)
