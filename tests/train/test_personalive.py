"""The small PersonaLive's stages on toy pictures: what learns in each, and that a clip streams afterwards."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from liveface.errors import RecipeError
from liveface.nets.personalive.small import CODE, SmallPersonaLive, SmallSize
from liveface.torch_renderers.personalive.engine import Engine, Small
from liveface.train import personalive_stream
from liveface.train.loop import Run, open_run, run_task
from liveface.train.personalive import STAGES, PersonaLiveTask
from liveface.train.personalive_data import Faces
from liveface.train.recipe import Recipe

SIDE, FRAMES = 128, 22
NETWORK = {"side": SIDE, "widths": (32, 32, 32, 32), "pose_widths": (8, 8, 8, 8), "vae_width": 8, "hidden": 16,
           "vae_blocks": (0, 1, 1, 1), "latent": 4, "cross": 8}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    random = np.random.default_rng(0)
    clips = 4
    count = clips * FRAMES
    faces = Faces(
        random.integers(0, 255, (count, SIDE, SIDE, 3), np.uint8),
        random.uniform(-0.5, 0.5, (count, 7, 2)).astype(np.float32),
        random.random((count, CODE), np.float32),
        np.repeat(np.arange(clips, dtype=np.int32), FRAMES),
        np.array([f"clip{number}" for number in range(clips)]),
        np.arange(clips) * FRAMES,
        np.array([False, False, True, False]),
        np.array([False, False, False, True]),
        np.ones(clips, bool),
    )
    file = tmp_path_factory.mktemp("faces") / "faces.npz"
    faces.save(file)
    return file


def recipe(stage, pictures, start=""):
    options = {"stage": stage, "pictures": str(pictures), "start": str(start), "critic_from": 0, "slides": 1}
    return Recipe(
        f"personalive-{stage}", "personalive", steps=2, batch=2, precision="float32", evaluate_every=2, save_every=2,
        log_every=1, ema=0.0, learning_rate=1e-2, warmup_steps=1, network=NETWORK, options=options,
    )  # fmt: skip


def test_each_stage_learns_its_own_part_and_starts_from_the_one_before(pictures, tmp_path):
    start = ""
    for stage in STAGES:
        with open_run(recipe(stage, pictures, start), tmp_path / stage, "cpu") as run:
            task = PersonaLiveTask(run)
            before = {name: value.clone() for name, value in task.networks["main"].state_dict().items()}
            scores = run_task(run, task)
        changed = {
            name for name, value in task.networks["main"].state_dict().items() if not torch.equal(value, before[name])
        }
        of_time = {name for name in before if "temporal_modules" in name}
        if stage == "vae":
            assert changed
            assert all(name.startswith("vae.") for name in changed)
        elif stage == "stream":
            assert changed
            assert changed <= of_time
        else:
            assert any(name.startswith("reference.") for name in changed)
            assert not changed & of_time
            assert not any(name.startswith("vae.") for name in changed)
        assert np.isfinite(list(scores.values())).all()
        assert ("streamed" in scores) == (stage != "vae")
        assert (tmp_path / stage / "samples" / "000002.png").is_file()
        start = tmp_path / stage


def test_a_stage_without_the_one_before_is_refused(pictures, tmp_path):
    run = Run(recipe("image", pictures), tmp_path, torch.device("cpu"))
    with pytest.raises(RecipeError, match="has no start"):
        PersonaLiveTask(run)


def test_an_unknown_stage_is_named(pictures, tmp_path):
    wrong = recipe("vae", pictures)
    wrong = replace(wrong, options={**wrong.options, "stage": "dream"})
    with pytest.raises(RecipeError, match="'dream'"):
        PersonaLiveTask(Run(wrong, tmp_path, torch.device("cpu")))


def test_the_released_size_fits_ten_megabytes_in_half_precision():
    with torch.device("meta"):
        network = SmallPersonaLive(SmallSize())
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 10e6


def test_a_simulated_stream_reports_memory_drift_and_both_times(monkeypatch):
    monkeypatch.setattr(personalive_stream, "ROUND_S", 2.0)
    torch.manual_seed(0)
    engine = Engine(Small(SmallPersonaLive(SmallSize(**NETWORK))), "cpu")
    told = []
    wanted = personalive_stream.Wanted(minutes=0.1, fps=10, chunk=2, window=4)
    report = personalive_stream.stream(engine, wanted, told.append)
    assert report == told[-1]
    assert report["frames"] == 60
    assert len(report["memory_mb_by_minute"]) == 2
    assert report["driver_to_picture_ms"] == pytest.approx(200 + 100 + report["chunk_ms"]["p50"], abs=0.2)
    assert report["frames_a_second_possible"] > 0
    apart = report["levels_apart_from_first_round"]
    assert apart
    assert all(0 <= value < 128 for value in apart)
