"""The numpy wav2vec against the same layers in torch."""

import math

import numpy as np
import pytest

from liveface.signals.wav2vec import Wav2Vec, Wav2VecConfig

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train


def in_torch(tensors: dict[str, np.ndarray], config: Wav2VecConfig, samples: np.ndarray) -> np.ndarray:
    """The original's forward pass over a whole recording, written with torch's own layers."""
    functional = torch.nn.functional
    given = {name: torch.from_numpy(value) for name, value in tensors.items()}
    x = torch.from_numpy(samples)[None, None]
    for index, (_, _, stride) in enumerate(config.extractor):
        name = f"feature_extractor.conv_layers.{index}"
        x = functional.conv1d(x, given[f"{name}.0.weight"], stride=stride)
        x = functional.group_norm(x, 1, given[f"{name}.2.weight"], given[f"{name}.2.bias"]).relu()
    x = (x.abs() + 1).log()
    for index, (_, taps, _) in enumerate(config.aggregator):
        name, across = (
            f"feature_aggregator.conv_layers.{index}",
            given.get(f"feature_aggregator.residual_proj.{index}.weight"),
        )
        held = x if across is None else functional.conv1d(x, across)
        x = functional.pad(x, (taps - 1, 0), mode="replicate")
        x = functional.conv1d(x, given[f"{name}.1.weight"], given[f"{name}.1.bias"])
        x = functional.group_norm(x, 1, given[f"{name}.3.weight"], given[f"{name}.3.bias"]).relu()
        x = (x + held) * math.sqrt(config.residual)
    return x[0].T.numpy()


def test_a_whole_recording_is_the_originals():
    config = Wav2VecConfig(
        extractor=((16, 10, 5), (16, 8, 4), (16, 4, 2), (16, 4, 2), (16, 4, 2), (16, 1, 1)),
        aggregator=((16, 2, 1), (16, 3, 1), (24, 5, 1)),
    )
    rng = np.random.default_rng(0)
    tensors = {name: (rng.normal(size=shape) * 0.4).astype(np.float32) for name, shape in config.tensors.items()}
    samples = (0.2 * rng.normal(size=16_000)).astype(np.float32)
    network = Wav2Vec(tensors, config)
    made = network.rows(network.start(), samples)[1]
    wanted = in_torch(tensors, config, samples)
    assert made.shape == wanted.shape
    assert np.abs(made - wanted).max() < 2e-4
