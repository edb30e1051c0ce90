"""Exported networks of an avatar: names, shapes, the identity inside, parity of torch, float and INT8."""

import numpy as np
import pytest
import torch

from liveface.errors import ExportError
from liveface.export.liveface import (
    FLOAT_TOLERANCE,
    INT8_DECIBEL,
    MOST_LOSS_DB,
    AppearanceForExport,
    CompositorForExport,
    blended,
    export_decoder,
    export_network,
    pixels,
    quality_loss,
)
from liveface.nets.liveface import make_compositor, make_decoder
from liveface.render.liveface.paste import shuffle
from liveface.render.liveface.regions import CONTROL_SIZES
from liveface.runtime import Step


def learned(name, given, true, steps=30):
    """A small decoder that has learned a little: `given` controls to `true` patches `[B, 4, h, w]`."""
    torch.manual_seed(0)
    network = make_decoder(name, "small")
    network.set_mean(true.mean(0))
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(steps):
        loss = (network(given, torch.ones(1, 128)) - true).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    given = random.uniform(-1, 1, (24, CONTROL_SIZES["eyes"])).astype(np.float32)
    x, y = np.meshgrid(np.linspace(0, 9, 192), np.linspace(0, 5, 80))
    waves = 0.5 + 0.15 * (given[:, :1, None] * np.sin(x) + given[:, 1:2, None] * np.cos(y))
    true = torch.from_numpy(np.repeat(waves[:, None], 4, 1).astype(np.float32))
    true[:, 3] = 1
    network = learned("eyes", torch.from_numpy(given), true)
    samples = [{"eyes": row[None]} for row in given]
    folder = tmp_path_factory.mktemp("eyes")
    return network, samples, true, export_decoder(network, torch.ones(128), samples, folder)


def test_a_decoder_agrees_with_its_files(eyes):
    network, samples, _, made = eyes
    assert made.plain.name == "eyes.float.tflite"
    assert made.to_torch.largest < FLOAT_TOLERANCE
    assert made.to_float.decibel > INT8_DECIBEL
    for file in (made.plain, made.small):
        step = Step(file)
        assert step.inputs == {"eyes": ((1, 18), np.dtype(np.float32))}
        assert step.outputs == {"grid": ((1, 10, 24, 256), np.dtype(np.float32))}
    with torch.no_grad():
        patch = network(torch.from_numpy(samples[0]["eyes"]), torch.ones(1, 128)).clamp(0, 1)
    grid = Step(made.plain)(**samples[0])["grid"][0]
    np.testing.assert_allclose(pixels(grid), patch[0].permute(1, 2, 0).numpy(), atol=FLOAT_TOLERANCE)
    assert np.array_equal(pixels(grid), shuffle(grid, 4))
    assert made.small.stat().st_size < 0.4 * made.plain.stat().st_size
    assert made.numbers()["bytes_int8"] == made.small.stat().st_size


def test_int8_costs_little_quality(eyes):
    _, samples, true, made = eyes
    truths = list(true[:, :3].permute(0, 2, 3, 1).numpy())
    loss = quality_loss(made, samples, truths, truths)
    assert loss["float_db"] > 20
    assert loss["loss_db"] <= MOST_LOSS_DB


def test_a_patch_is_blended_over_the_base():
    patch = np.dstack([np.full((2, 2, 3), 1.2), np.full((2, 2, 1), 0.25)])
    np.testing.assert_allclose(blended(patch, np.zeros((2, 2, 3))), 0.25)


def test_the_mouth_is_one_file_with_both_inputs(tmp_path):
    torch.manual_seed(0)
    network = make_decoder("mouth", "small").eval()
    random = np.random.default_rng(0)
    samples = [
        {"visemes": random.normal(0, 0.5, (1, 58)).astype(np.float32),
         "landmarks": random.normal(0, 0.5, (1, 85)).astype(np.float32),
         "mode": np.full((1, 1), number % 2, np.float32)}
        for number in range(10)
    ]  # fmt: skip
    made = export_decoder(network, torch.zeros(128), samples, tmp_path, "lips")
    step = Step(made.small)
    assert {name: shape for name, (shape, _) in step.inputs.items()} == {
        "visemes": (1, 58), "landmarks": (1, 85), "mode": (1, 1),
    }  # fmt: skip
    heard, seen = (step(**{**samples[0], "mode": np.full((1, 1), flag, np.float32)})["grid"] for flag in (0, 1))
    assert np.abs(heard - seen).max() > 0.02
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lips.float.tflite", "lips.tflite"]
    with pytest.raises(ExportError, match="at least 5"):
        export_decoder(network, torch.zeros(128), samples[:3], tmp_path)


@pytest.mark.parametrize("canvas", [(360, 640), (384, 672)])
def test_the_compositor_and_its_appearance(tmp_path, canvas):
    torch.manual_seed(0)
    network = make_compositor("small", canvas).eval()
    torch.nn.init.normal_(network.head.weight, std=0.02)
    rows, columns = canvas[1] // 8, canvas[0] // 8
    random = np.random.default_rng(0)
    samples = [
        {"canvas": random.random((1, canvas[1] // 2, canvas[0] // 2, 10), np.float32),
         "features": random.random((1, rows, columns, 16), np.float32)}
        for _ in range(5)
    ]  # fmt: skip
    made = export_network(CompositorForExport(network), samples, tmp_path, "compositor")
    assert made.to_torch.largest < FLOAT_TOLERANCE
    assert Step(made.small).outputs == {"grid": ((1, rows, columns, 192), np.dtype(np.float32))}
    pictures = [{"reference": sample["canvas"][..., :3].copy()} for sample in samples]
    looked = export_network(AppearanceForExport(network.look), pictures, tmp_path, "appearance")
    assert looked.to_torch.largest < FLOAT_TOLERANCE * max(1.0, looked.to_torch.peak)
    assert Step(looked.small).outputs == {"features": ((1, rows, columns, 16), np.dtype(np.float32))}
