"""The mouth network: shapes, budget, grid order."""

import torch

from liveface.nets.mouth import (
    INPUT_CHANNELS,
    PATCH_HEIGHT,
    PATCH_WIDTH,
    ForExport,
    MouthConfig,
    MouthCritic,
    MouthNet,
    multiply_accumulates,
    unfold,
)
from liveface.render import patch

TINY = MouthConfig(channels=(8, 8, 16), blocks=(1, 1, 1))


def test_sizes_agree_with_the_run_time():
    assert (PATCH_WIDTH, PATCH_HEIGHT, INPUT_CHANNELS) == (patch.WIDTH, patch.HEIGHT, patch.CHANNELS)


def test_shapes_at_patch_size_and_on_a_crop():
    network = MouthNet(TINY)
    assert network(torch.zeros(2, INPUT_CHANNELS, 64, 112)).shape == (2, 12, 32, 56)
    assert unfold(network(torch.zeros(1, INPUT_CHANNELS, 64, 112))).shape == (1, 3, 64, 112)
    assert ForExport(network)(torch.zeros(1, 64, 112, INPUT_CHANNELS)).shape == (1, 32, 56, 12)
    score, features = MouthCritic()(torch.zeros(2, 6, 64, 112))
    assert score.shape == (2, 1, 8, 14)
    assert len(features) == 4


def test_the_grid_is_row_column_colour():
    grid = torch.arange(12.0)[None, :, None, None]
    picture = unfold(grid)
    assert picture.shape == (1, 3, 2, 2)
    assert picture[0, :, 1, 0].tolist() == [6.0, 7.0, 8.0]


def test_the_budget():
    assert 0.15e9 < multiply_accumulates(MouthConfig()) < 0.2e9
    assert sum(part.numel() for part in MouthNet().parameters()) < 1.5e6
