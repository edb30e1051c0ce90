"""wav2vec features on a tiny network of the same class: strict loading, streaming, nothing heard later matters."""

import json
from pathlib import Path

import numpy as np
import pytest

from liveface.errors import WeightsError
from liveface.signals.features import FRAME_SAMPLES
from liveface.signals.wav2vec import Wav2Vec, Wav2VecConfig, read_tensors

TINY = Wav2VecConfig(
    extractor=((8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 4, 2), (8, 4, 2)), aggregator=((8, 2, 1), (12, 3, 1))
)


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) * 0.3 for name, shape in TINY.tensors.items()}


def write_safetensors(file: Path, content: dict[str, np.ndarray]) -> None:
    header, at = {}, 0
    for name, value in content.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(value.tobytes() for value in content.values()))


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=frames * FRAME_SAMPLES)).astype(np.float32)


def streamed(network: Wav2Vec, samples: np.ndarray) -> np.ndarray:
    state, out = network.start(), []
    for frame in samples.reshape(-1, FRAME_SAMPLES):
        state, features = network.step(state, frame)
        out.append(features[0])
    return np.stack(out)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_files_are_read(tmp_path, ending):
    file, content = tmp_path / f"tiny.{ending}", tensors()
    if ending == "npz":
        np.savez(file, **content)
    else:
        write_safetensors(file, content)
    found = Wav2Vec.load(file, TINY).tensors
    assert all(np.array_equal(found[name], value) for name, value in content.items())


def test_loading_is_strict(tmp_path):
    good = tensors()
    first = next(iter(good))
    for change, why in (
        ({first: np.zeros((8, 1, 9), np.float32)}, "do not fit"),
        ({"extra.weight": np.zeros(3, np.float32)}, "none of that name"),
    ):
        with pytest.raises(WeightsError, match=why):
            Wav2Vec({**good, **change}, TINY)
    with pytest.raises(WeightsError, match="missing"):
        Wav2Vec({name: value for name, value in good.items() if name != first}, TINY)
    Wav2Vec({**good, "wav2vec_predictions.weight": np.zeros(3, np.float32)}, TINY)  # not needed for features


def test_files_that_are_not_weights_are_refused(tmp_path):
    torn = tmp_path / "torn.safetensors"
    write_safetensors(torn, tensors())
    torn.write_bytes(torn.read_bytes()[:-100])
    whole = tmp_path / "whole.npz"
    np.savez(whole, numbers=np.arange(3))
    other = tmp_path / "network.pt"
    other.write_bytes(b"x")
    for file, why in (
        (torn, "cannot be read"),
        (whole, "floating-point"),
        (other, "convert"),
        (tmp_path / "no", "no weights"),
    ):
        with pytest.raises(WeightsError, match=why):
            read_tensors(file)


def test_one_row_a_frame_and_the_past_only():
    network = Wav2Vec(tensors(), TINY)
    samples, other = noise(40), noise(40)
    other[20 * FRAME_SAMPLES :] = noise(20, 5)
    first, second = streamed(network, samples), streamed(network, other)
    assert first.shape == (40, 12)
    assert np.isfinite(first).all()
    assert np.array_equal(first[:20], second[:20])
    assert not np.array_equal(first[20:], second[20:])


def test_a_state_can_be_used_again():
    network, samples = Wav2Vec(tensors(), TINY), noise(3)
    state, _ = network.step(network.start(), samples[:FRAME_SAMPLES])
    kept = {name: value.copy() for name, value in state.items()}
    first = network.step(state, samples[FRAME_SAMPLES : 2 * FRAME_SAMPLES])[1]
    assert all(np.array_equal(kept[name], state[name]) for name in kept)
    assert np.array_equal(first, network.step(state, samples[FRAME_SAMPLES : 2 * FRAME_SAMPLES])[1])
