"""The compositor learns from packs: faults, scores, the loop, and the frames it leaves alone."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from liveface import weights
from liveface.errors import RecipeError
from liveface.nets.liveface import make_compositor, unshuffle
from liveface.render.liveface.paste import cut_patch
from liveface.render.liveface.regions import REGIONS
from liveface.render.liveface.rig import Rig
from liveface.signals.image import read_image
from liveface.train.avatar.pack import CONTROLS, PackWriter
from liveface.train.compositor import IDENTITIES, LEAST_ERROR, Batch, losses, start_linear
from liveface.train.compositor_data import Faults, People, band, half_size, patched, seams
from liveface.train.compositor_drawn import draw_all
from liveface.train.compositor_release import equalised
from liveface.train.compositor_score import (
    CLEAN,
    DRAWN,
    HALF_DRAWN,
    USUAL,
    energy,
    exams_of,
    finished,
    painter_of,
    scores,
)
from liveface.train.recipe import Recipe
from liveface.train.tasks import train


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def rig():
    return Rig.of(read_image(weights.path("portrait.jpg")))


def write_pack(folder, rig, seed, count=5):
    """A person whose face brightens from frame to frame; the last two frames are held out."""
    random = np.random.default_rng(seed)
    writer = PackWriter(folder, rig, count, np.arange(count))
    for at in range(count):
        base = rig.reference
        truth = np.clip(base * (1 + 0.05 * np.sin(at + seed)) + random.normal(0, 2), 0, 255).astype(np.uint8)
        boxes = rig.rest_boxes
        rows = {f"controls/{name}": np.zeros(width, np.float32) for name, width in CONTROLS.items()}
        rows |= {"controls/time": np.int64(at), "controls/held": np.bool_(at >= count - 2)}
        rows |= {f"motion/{name}": np.zeros(width, np.float32)
                 for name, width in (("expression", 52), ("head", 6), ("gaze", 4), ("shoulders", 2))}  # fmt: skip
        rows |= {f"boxes/{name}": box for name, box in boxes.items()}
        writer.add(
            {name: cut_patch(truth, boxes[name], name) for name in REGIONS},
            {name: cut_patch(base, boxes[name], name) for name in REGIONS},
            (truth, base),
            rows,
        )
    writer.finish({"fps": 30.0})


@pytest.fixture(scope="module")
def packs(tmp_path_factory, rig):
    folder = tmp_path_factory.mktemp("packs")
    for seed, name in enumerate(("ben", "eve", "ida")):
        write_pack(folder / name, rig, seed)
    return folder


def test_people_are_split_and_held_out_frames_stay_out(packs):
    people = People(packs)
    assert [person.name for person in people.seen] == ["ben", "eve"]
    assert [person.name for person in people.unseen] == ["ida"]
    assert people.seen[0].learnt.tolist() == [0, 1, 2]
    assert [person.name for person in People(packs, ("ev*",)).seen] == ["ben"]
    reference, sights = people.draw(2, Faults(), slice(64, 192), np.random.default_rng(0))
    assert reference.shape == (320, 180, 3)
    assert sights[0].seen.shape == (64, 180, 10)
    assert sights[0].truth.shape == (128, 360, 3)
    with pytest.raises(RecipeError, match="at least 2"):
        People(packs / "ben")


def test_without_faults_the_composed_picture_is_nearly_the_truth(packs):
    person = People(packs).unseen[0]
    random = np.random.default_rng(0)
    clean, spoilt = (person.sight(4, faults, random) for faults in (CLEAN, USUAL))
    size = (360, 640)
    inside = patched(clean.seen, size)
    assert np.abs(clean.canvas.astype(int) - clean.truth)[inside].mean() < 6
    assert seams(clean.seen, size).mean() < inside.mean()
    assert energy(spoilt.canvas, inside) < energy(spoilt.truth, inside)
    assert person.sight(4, USUAL, np.random.default_rng(1)).seen.shape == (320, 180, 10)


def test_the_input_is_what_the_run_time_gives():
    random = np.random.default_rng(0)
    canvas, base = (random.integers(0, 255, (16, 8, 3)).astype(np.uint8) for _ in range(2))
    alphas = random.integers(0, 255, (4, 8, 4)).astype(np.uint8)
    seen = half_size(canvas, alphas, base)
    assert seen.shape == (8, 4, 10)
    assert np.array_equal(seen[..., :3], cv2.resize(canvas, (4, 8), interpolation=cv2.INTER_AREA))
    assert np.array_equal(seen[..., 4], alphas[1])


def test_an_untrained_compositor_changes_nothing(packs):
    people = People(packs)
    exams = exams_of(people.unseen, USUAL, frames=1)
    assert len(exams) == 1
    paint = painter_of(make_compositor("small").eval())
    sight = exams[0].sight
    assert np.array_equal(finished(sight, paint(exams[0].reference, sight.seen)), sight.canvas)
    numbers = scores(exams, paint)
    assert numbers["whole_gain_db"] == numbers["seam_gain_db"] == numbers["harmed"] == 0


def batch_of(canvas, truth):
    return Batch(truth, torch.zeros(len(truth)), canvas, truth, torch.zeros(len(truth), 10, 32, 8), slice(0, 8))


def test_losses_are_relative_to_doing_nothing():
    torch.manual_seed(0)
    truth = torch.rand(2, 3, 64, 16)
    canvas = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    batch = batch_of(canvas, truth)
    assert losses(canvas, batch, 3.0)["error"] == pytest.approx(1)
    assert losses(canvas, batch, 3.0)["texture"] == pytest.approx(1)
    assert [float(value) for value in losses(truth, batch, 3.0).values()] == [0, 0]
    worse = losses(canvas + 2 * (canvas - truth), batch, 3.0)
    assert worse["error"] == pytest.approx(9)
    assert losses(truth + 0.01, batch_of(truth, truth), 3.0)["error"] == pytest.approx(0.0001 / LEAST_ERROR, rel=1e-3)


def test_training_starts_at_the_best_linear_filter():
    torch.manual_seed(0)
    network = make_compositor("base").eval()
    seen = torch.rand(4, 10, 32, 40)
    canvas = torch.nn.functional.interpolate(seen[:, :3], scale_factor=2.0)
    batch = Batch(canvas[:1], torch.zeros(4), canvas, canvas * 0.9 + 0.01, seen, slice(0, 8))
    start_linear(network, [batch])
    features = torch.zeros(4, 16, 8, 10)
    with torch.no_grad():
        linear = network.head(network.stem(seen - 0.5))
        assert network(seen, features).isfinite().all()
    goal = unshuffle(batch.truth - canvas)
    assert float(((linear - goal) ** 2).mean()) < 0.6 * float((goal**2).mean())


def test_bands_are_aligned():
    random = np.random.default_rng(0)
    starts = {band(640, 384, random).start for _ in range(100)}
    assert starts == {0, 64, 128, 192, 256}


def test_patches_of_pretrained_decoders_take_part(packs, tmp_path):
    options = {"packs": str(packs), "region": "eyes", "size": "small"}
    recipe = Recipe("eyes", "decoder", steps=1, batch=2, log_every=1, evaluate_every=1, save_every=1,
                    precision="float32", options=options)  # fmt: skip
    train(recipe, tmp_path / "eyes")
    assert draw_all(packs, tmp_path / "drawn", [tmp_path / "eyes"]) == 3
    drawn = np.load(tmp_path / "drawn" / "ida" / "eyes.npy")
    assert drawn.shape == (5, 80, 192, 4)
    with pytest.raises(RecipeError, match=r"mouth\.npy"):
        People(packs, (), tmp_path / "drawn")
    for name in ("ben", "eve", "ida"):
        for region, shape in REGIONS.items():
            width, height = shape.size
            flat = np.full((5, height, width, 4), (200, 0, 0, 255), np.uint8)
            np.save(tmp_path / "drawn" / name / f"{region}.npy", flat)
    person = People(packs, (), tmp_path / "drawn").unseen[0]
    red, half = (person.sight(4, faults, np.random.default_rng(0)) for faults in (DRAWN, HALF_DRAWN))
    x, y = person.pack.boxes["mouth"][4] @ np.array([64, 48, 1])
    assert red.canvas[int(y), int(x)].tolist() == [200, 0, 0]
    assert np.abs(half.canvas[int(y), int(x)].astype(int) - half.truth[int(y), int(x)] // 2 - [100, 0, 0]).max() < 4


def test_equalised_channels_compute_the_same():
    torch.manual_seed(0)
    network = make_compositor("base").eval()
    torch.nn.init.normal_(network.head.weight, std=0.02)
    torch.nn.init.normal_(network.levels.widen[0].weight, std=0.1)
    with torch.no_grad():
        network.stem.weight[0] *= 50
    random = np.random.default_rng(0)
    samples = [{"canvas": random.random((1, 320, 180, 10), np.float32),
                "features": random.random((1, 80, 45, 16), np.float32)}]  # fmt: skip
    even = equalised(network, samples)
    given = [torch.from_numpy(samples[0][name]).permute(0, 3, 1, 2) for name in ("canvas", "features")]
    with torch.no_grad():
        torch.testing.assert_close(even.grid(*given), network.grid(*given), rtol=1e-4, atol=1e-5)
        reach = even.mixed(even.levels(even.stem(given[0] - 0.5)), given[1]).abs().amax((0, 2, 3))
    assert float(reach.max() / reach.median()) < 4


def test_it_trains_by_recipe(packs, tmp_path):
    options = {"packs": str(packs), "size": "small", "people": 1, "rows": 128}
    recipe = Recipe("tiny", "compositor", steps=2, batch=2, log_every=1, evaluate_every=2, save_every=2,
                    precision="float32", options=options)  # fmt: skip
    numbers = train(recipe, tmp_path / "run")
    assert {"seen_whole_gain_db", "unseen_seam_gain_db", "clean_harmed"} <= set(numbers)
    assert json.loads((tmp_path / "run" / IDENTITIES).read_text())["unseen"] == ["ida"]
    assert (tmp_path / "run" / "samples" / "000002.png").is_file()
    with pytest.raises(RecipeError, match="multiple"):
        train(Recipe("odd", "compositor", batch=3, options={**options, "people": 2}), tmp_path / "odd")
