"""The benchmark: what it measures exists, what it stores is complete, and its last line is JSON."""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from avatars import living
from liveface import bench as be
from liveface.avatar import write_avatar
from liveface.machine import describe, peak_memory_mb
from liveface.session import Report
from liveface.signals.media import probe

STAGE = {"min": 1.0, "p50": 2.0, "p95": 3.0, "mean": 2.0}


def _run(driver: str, threads: int) -> dict:
    stages = ("listen",) if driver == "speech" else ("track", "solve")
    report = Report(be.RESULTS, 240, 30.0, 4.0, dict.fromkeys((*stages, "render", "encode"), STAGE), driver)
    return be._row(report, threads, enrol_s=0.8)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> dict:
    """A whole benchmark, as short as it can be, on one thread."""
    out = tmp_path_factory.mktemp("bench") / "results" / "bench.json"
    report = be.bench(seconds=0.5, threads=(1,), repeats=1, size=(180, 320), out=out)
    assert json.loads(out.read_text("utf-8")) == report
    return report


def test_a_whole_run_has_every_number(stored):
    assert {"date", "commit", "cpu", "cores", "load", "python", "libraries"} <= stored["machine"].keys()
    assert [(run["driver"], run["threads"]) for run in stored["runs"]] == [("speech", 1), ("video", 1)]
    for run in stored["runs"]:
        assert run["frames"] == 15
        assert run["fps"] > 0
        assert run["times_real_time"] == pytest.approx(run["fps"] / 30, abs=0.01)
        assert 30 < run["peak_memory_mb"] < 4000
        for stage, driver in be.STAGES.items():
            if driver == run["driver"] or stage in {"render", "encode"}:
                times = run["stages_ms"][stage]
                assert 0 < times["min"] <= times["p50"] <= times["p95"]


def test_renderers_of_photos_are_measured_in_one_run(stored):
    photos = stored["photos"]
    for name in ("mesh_ms", "mobileportrait_ms"):
        assert 0 < photos[name]["min"] <= photos[name]["p50"] <= photos[name]["p95"]
    assert photos["stages_ms"].keys() == {"mesh", "motion", "warp", "synthesis", "paste"}
    assert photos["times_mesh"] > 0
    assert 1 < photos["file_mb"] < 20


def test_the_table_ends_in_one_line_of_json(stored):
    lines = be.table(stored).splitlines()
    assert json.loads(lines[-1]) == stored
    for stage in be.STAGES:
        assert any(line.startswith(f"| {stage}") for line in lines)
    assert any("times real time" in line for line in lines)


def test_a_table_of_two_thread_counts():
    runs = [_run(driver, threads) for threads in (1, 2) for driver in ("speech", "video")]
    report = {"machine": describe(), "size": [360, 640], "fps": 30, "seconds": 8.0, "repeats": 3, "runs": runs}
    report["avatars"] = []
    text = be.table(report)
    assert "1 thread " in text
    assert "2 threads" in text
    assert text.count("1.00 / 2.00 / 3.00") == 10
    assert text.count("60 fps, 2 times real time") == 4


def test_the_rest_is_what_no_stage_explains():
    row = _run("speech", 1)
    assert row["rest_ms"] == pytest.approx(1000 * (4.0 - 0.8) / 240 - 6, abs=1e-3)
    assert row["fps"] == 60.0
    assert row["enrol_ms"] == 800


def test_the_embedded_speech_is_repeated_to_length(tmp_path):
    be.write_speech(tmp_path / "speech.wav", 11.0)
    with wave.open(str(tmp_path / "speech.wav"), "rb") as file:
        assert file.getnframes() == 11 * 24_000
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(samples).max() > 3000
    assert probe(tmp_path / "speech.wav").kind == "audio"


def test_the_made_up_motion_moves_everything():
    motion = be.lively(240)
    assert len(motion) == 240
    assert motion.coefficient("eyeBlinkLeft").max() > 0.9
    assert motion.coefficient("jawOpen").max() > 0.3
    assert np.ptp(motion.head[:, 1]) > 0.3
    assert motion.expression.min() >= 0
    assert motion.expression.max() <= 1


def test_the_machine_is_described_in_plain_values():
    told = describe()
    assert json.loads(json.dumps(told)) == told
    assert told["cores"] >= 1
    assert told["libraries"]["numpy"] == np.__version__
    assert peak_memory_mb() > 20


def test_an_avatar_is_timed_stage_by_stage(tmp_path, monkeypatch):
    avatar = write_avatar(living(tmp_path, monkeypatch, size=(360, 640)), tmp_path / "nobody.avatar")
    speech = tmp_path / "speech.wav"
    be.write_speech(speech, 0.3)
    monkeypatch.setattr(be.os, "sched_setaffinity", lambda *_: None, raising=False)
    row = be.measure_avatar(str(avatar), str(speech), 1)
    assert row["frames"] == 9
    assert set(row["stages_ms"]) == set(be.AVATAR_STAGES)
    parts = sum(row["stages_ms"][stage]["mean"] for stage in be.AVATAR_STAGES if stage != "frame")
    assert parts == pytest.approx(row["stages_ms"]["frame"]["mean"], rel=0.2)
    assert row["fps"] > 0
    report = {"machine": describe(), "size": [360, 640], "fps": 30, "seconds": 0.3, "repeats": 1, "avatars": [row],
              "runs": [_run("speech", 1), _run("video", 1)]}  # fmt: skip
    assert "| compositor " in be.table(report)
    assert "nobody.avatar" in be.table(report)
