"""Training of the head network on a tiny made-up pack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.train.portrait_pack_of_noise import SIDE, write

from liveface.errors import RecipeError
from liveface.nets.mobileportrait import MobilePortrait, PortraitConfig
from liveface.render.mobileportrait.sizes import FLOW_UNIT, SIZES, PortraitSize
from liveface.train import mobileportrait_loss as losses
from liveface.train import portrait_features
from liveface.train.mobileportrait_ablation import ROWS, ablation, taken_away, told
from liveface.train.mobileportrait_batch import Emphasis, batch_of, smooth_difference
from liveface.train.mobileportrait_draw import draw, drawn_whole, met
from liveface.train.mobileportrait_score import judged, sheet
from liveface.train.portrait_data import PortraitPack
from liveface.train.recipe import Recipe
from liveface.train.tasks import train

TINY = PortraitSize(
    "tiny", (8, 16), (1, 1), (16, 16, 16, 16), (0, 1, 1, 1), (1, 1, 1), facial=30, hidden=16, detector=(8, 8)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pack"))


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", TINY)


@pytest.fixture(scope="module")
def features(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("features") / "features.npz"
    portrait_features.learn(folder, file, minutes=0.01)
    return file


def test_an_untrained_network_answers_the_base(folder, tiny):
    sample = PortraitPack.open(folder).tuning(1)[0]
    made = drawn_whole(MobilePortrait(PortraitConfig(size="tiny")), sample, torch.device("cpu"))
    assert np.abs(made.astype(int) - sample.base).max() <= 1


def test_crops_agree_with_the_whole(folder, tiny):
    torch.manual_seed(0)
    network = MobilePortrait(PortraitConfig(size="tiny", views=False))
    torch.nn.init.normal_(network.motion.head.weight, std=0.02)
    sample = PortraitPack.open(folder).sample(0, views=False)
    whole = batch_of([sample], [[(0, 0)]], SIDE, 30, Emphasis())
    part = batch_of([sample], [[(32, 64)]], 64, 30, Emphasis())
    with torch.no_grad():
        one, two = draw(network, whole), draw(network, part)
    torch.testing.assert_close(one.warped[:, :, 64:128, 32:96], two.warped)
    assert (one.warped - whole.wanted).abs().max() > 0.01


def test_the_truth_is_met_where_the_flow_puts_the_base(folder):
    sample = PortraitPack.open(folder).sample(0)
    shifted = replace(
        sample,
        truth=np.roll(sample.base, (3, -2), (0, 1)),
        truth_points=sample.points + np.array([-2, 3, 0], np.float32),
    )
    column, row = np.round(sample.points[4, :2]).astype(int)
    field = smooth_difference(shifted)[row // 3, column // 3]
    np.testing.assert_allclose(field, [-2 * 2 / SIDE, 3 * 2 / SIDE, 1], rtol=0.1)
    corner = (int(column) - 16, int(row) - 16)
    batch = batch_of([shifted], [[corner]], 32, 30, Emphasis())
    here = batch.picture[:, :, corner[1] : corner[1] + 32, corner[0] : corner[0] + 32]
    still = torch.zeros(1, 3, 64, 64)
    gap = [float((one - here).abs().mean()) for one in (batch.wanted, met(batch, still, 32))]
    assert gap[1] < 0.35 * gap[0]
    mended = torch.cat([-batch.mismatch[:, :2] / (2 * FLOW_UNIT), still[:, :1]], 1)
    torch.testing.assert_close(met(batch, mended, 32), batch.wanted, atol=0.02, rtol=0)


def recipe(folder, features, **options):
    return Recipe(
        "tiny", "mobileportrait", steps=options.pop("steps", 3), batch=2, precision="float32", evaluate_every=100,
        network={"size": "tiny", **options.pop("network", {})},
        options={"pack": str(folder), "features": str(features), "crop": 64, "crops": 2, "tuning": 2, **options},
    )  # fmt: skip


def test_a_run_with_critic_learns_scores_and_resumes(folder, tiny, features, tmp_path):
    first = recipe(folder, features, critic_from=1, critic_ramp=1, penalty_every=2)
    scores = train(first, tmp_path / "run")
    assert {"mouth", "mouth_base", "eyes", "eyes_sharp", "whole", "ssim", "video_mouth_gain"} <= scores.keys()
    assert (tmp_path / "run" / "samples" / "000003.png").is_file()
    train(replace(first, steps=4), tmp_path / "run")
    assert (tmp_path / "run" / "samples" / "000004.png").is_file()


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ({"keypoints": "facial"}, {"knowledge": False, "align": False}),
        ({"keypoints": "neural", "views": False, "background": False}, {}),
        ({"initial": "tps", "residual_flow": False}, {}),
    ],
)
def test_every_ablation_runs(folder, tiny, features, tmp_path, network, options):
    scores = train(recipe(folder, features, steps=1, network=network, **options), tmp_path / "run")
    assert np.isfinite(list(scores.values())).all()


def test_learning_mends_the_bars(folder, tiny, tmp_path):
    long = replace(recipe(folder, "", steps=25, critic_from=1000), learning_rate=3e-3, ema=0.5)
    scores = train(long, tmp_path / "run")
    assert scores["whole"] > scores["whole_base"] + 0.2


def test_unknown_keys_and_missing_features_are_refused(folder, tiny, tmp_path):
    with pytest.raises(RecipeError, match="adversarial"):
        train(recipe(folder, "", adversarail=1), tmp_path / "one")
    with pytest.raises(RecipeError, match="portrait_features"):
        train(recipe(folder, "nowhere.npz"), tmp_path / "two")


def test_features_tell_and_forget_names(folder, features):
    network = portrait_features.load(features)
    assert network.person is None
    one, two = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    weight = torch.ones(2, 1, 64, 64)
    assert float(network.distance(network(one), network(one), weight)) == 0
    assert float(network.distance(network(one), network(two), weight)) > 0.01
    assert network.tell_parts(network(one)).shape == (2, 6, 16, 16)


def test_losses_are_zero_on_the_truth_and_count_by_weight():
    true = torch.rand(2, 3, 32, 32)
    weight = torch.ones(2, 1, 32, 32)
    for loss in (losses.pixel_and_slope(true, true, weight)[0], losses.texture(true, true, weight)):
        assert float(loss) < 1e-6
    wrong = true.clone()
    wrong[:, :, :16] = 0
    weight[:, :, 16:] = 0.01
    heavy = losses.weighted(wrong - true, weight)
    assert heavy > losses.weighted(wrong - true, weight.flip(2))
    blurred = torch.nn.functional.avg_pool2d(true, 3, 1, 1)
    assert losses.texture(blurred, true, torch.ones(2, 1, 32, 32)) > 0.01


def test_a_bend_and_its_way_back():
    torch.manual_seed(0)
    maps, back = losses.bend(3, torch.device("cpu"))
    points = torch.rand(3, 7, 2)
    torch.testing.assert_close(losses.moved(losses.moved(points, maps), back), points)


def test_scores_and_sheet(folder):
    samples = PortraitPack.open(folder).tuning(2)
    perfect = judged(samples, [sample.truth for sample in samples])
    assert perfect["mouth"] > 60
    assert perfect["mouth_sharp"] == 1
    assert perfect["video_mouth_gain"] == pytest.approx(perfect["mouth"] - perfect["mouth_base"], abs=0.01)
    assert sheet(samples, [sample.base for sample in samples]).shape == (2 * 192, 10 * 192, 3)


def test_parts_are_taken_from_a_trained_network(folder, tiny, features, tmp_path):
    whole = recipe(folder, features, steps=1)
    train(whole, tmp_path / "run")
    found = taken_away(whole, tmp_path / "run" / "checkpoint.pt", tmp_path)
    assert found.keys() >= {"all", "no views", "no residual flow"}
    assert np.isfinite(list(found["no views"].values())).all()
    assert (tmp_path / "mobileportrait_parts.json").is_file()


def test_the_ablation_keeps_rows_and_tells_them(folder, tiny, features, tmp_path, monkeypatch):
    rows = [row for row in ROWS if row.name in ("all", "no residual flow")]
    whole = recipe(folder, features)
    found = ablation(whole, tmp_path, rows, 0.001, 1.0, 64)
    assert list(found) == ["all", "no residual flow"]
    monkeypatch.setattr("liveface.train.mobileportrait_ablation.run_task", lambda *_: pytest.fail("ran a row again"))
    assert ablation(whole, tmp_path, rows, 0.001, 1.0, 64) == found
    assert told(found).splitlines()[2].startswith("| mesh alone |")
