"""The head network's files: their contract, their parity with torch, and the pictures they make at run time."""

import numpy as np
import pytest
import torch

from liveface.errors import ExportError
from liveface.export.litert import Parity
from liveface.export.mobileportrait import (
    MODULES,
    SynthesisForExport,
    check_quality,
    export_part,
    random_samples,
    shake,
)
from liveface.nets.mobileportrait import MobilePortrait
from liveface.render.mobileportrait.crop import RESOLUTION
from liveface.render.mobileportrait.files import PARTS
from liveface.render.mobileportrait.networks import Networks
from liveface.render.mobileportrait.sizes import PortraitSize
from liveface.train.mobileportrait_release import Recorder, difference, made_of, window_of
from liveface.train.portrait_data import Sample

TINY = PortraitSize("tiny", (16, 16), (1, 1), (16, 16, 16, 16), (0, 1, 1, 1), (1, 1, 1), facial=20, hidden=16)
WINDOW = (96, 128)


def a_sample(seed):
    """A square of soft noise with scattered points."""
    random = np.random.default_rng(seed)

    def soft(*channels):
        small = random.random((12, 12, *channels)) * 255
        return np.kron(small, np.ones((32, 32, *[1 for _ in channels]))).astype(np.uint8)

    points = random.normal(RESOLUTION / 2, 30, (478, 3)).astype(np.float32)
    points[33], points[263], points[2] = (150, 180, 0), (230, 180, 0), (190, 220, 0)
    moved = points + random.normal(0, 2, points.shape).astype(np.float32)
    picture = soft(3)
    return Sample(
        picture, soft(3), soft(), np.stack([picture] * 4), picture, soft(3), soft(), soft(),
        np.full((RESOLUTION, RESOLUTION), 255, np.uint8), points, moved, moved, "video", "nobody", seed,
    )  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = MobilePortrait(size=TINY).eval()
    shake(made)
    return made


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """Calibrated as a release is: on what the run time gives the graphs."""
    folder, recorder = tmp_path_factory.mktemp("portrait"), Recorder(network, WINDOW)
    for seed in range(5):
        made_of(a_sample(seed), recorder)
    return {part: export_part(network, part, recorder.calls[part], folder) for part in PARTS}


@pytest.fixture(scope="module")
def files(exported):
    return Networks(TINY, read=lambda part: exported[part].shipped.read_bytes())


def test_every_part_is_near_its_network(exported):
    for part, made in exported.items():
        assert max(line.largest for line in made.to_torch) < 1e-3
        if PARTS[part] == "int8":
            check_quality(part, made.to_float)
    assert exported["synthesis"].shipped.stat().st_size < 0.6 * exported["synthesis"].plain.stat().st_size


def test_the_synthesis_is_rewritten_without_changing_it(network):
    for sample in random_samples(network, WINDOW, 2)["synthesis"]:
        given = {name: torch.from_numpy(array) for name, array in sample.items()}
        with torch.no_grad():
            plain = network.synthesis(*(x.permute(0, 3, 1, 2) for x in given.values()))
            made = SynthesisForExport(network)(**given)
        for expected, name in zip(plain, ("grid", "low"), strict=True):
            torch.testing.assert_close(made[name], expected.permute(0, 2, 3, 1), atol=1e-5, rtol=1e-4)


def test_files_make_the_pictures_that_torch_makes(network, files):
    assert files.window == WINDOW
    sample = a_sample(9)
    apart = difference([sample], Recorder(network, WINDOW), files)
    assert apart["to_each_other"] > 40
    window = window_of(sample, WINDOW)
    changed = np.abs(made_of(sample, files).astype(int) - window.cut(sample.base)).mean()
    assert changed > 1  # or there was nothing to compare


def test_a_network_serves_one_photo_after_another(files):
    first = made_of(a_sample(1), files)
    made_of(a_sample(2), files)
    np.testing.assert_array_equal(made_of(a_sample(1), files), first)


def test_a_file_that_lost_too_much_is_refused():
    with pytest.raises(ExportError, match="motion lies at"):
        check_quality("motion", [Parity("motion", 1.0, 0.5, 10.0, 1.0)])


def test_too_few_samples_are_refused(network, tmp_path):
    with pytest.raises(ExportError, match="expected at least 5"):
        export_part(network, "motion", random_samples(network, WINDOW, 3)["motion"], tmp_path)


def test_modules_and_parts_go_together():
    assert list(MODULES) == list(PARTS)
