"""Pseudo-weights by a stated rule, stored outputs of the official networks, and how close is close enough.

The folder with the stored outputs is `LIVEFACE_PARITY`, or `tests/parity/data`, a part of it that lives here. In it one
folder a model: `keys/NAME.json`, `NAME.npz`, `fill_check.json`. Which seed made them is found from `fill_check.json`.
"""

import json
import os
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent / "data"
SEEDS = 10_000  # tried, from 0
BATCH_STATISTICS = {"running_var": lambda n: 1 + 0.1 * np.abs(n), "running_mean": lambda n: 0.02 * n}


def folder(model):
    """The stored outputs of `model`: "liveportrait" or "personalive"."""
    place = Path(os.environ.get("LIVEFACE_PARITY") or HERE) / model
    assert place.is_dir(), f"{place} is no folder; expected the stored outputs: set LIVEFACE_PARITY or leave it out"
    return place


def whole(model):
    """Whether all stored outputs are at hand, not just the part that lives here."""
    return folder(model).parent.resolve() != HERE.resolve()


def keys(model, name):
    """Key to shape of one network's state dict; of a file of several dicts, name to such a table."""
    table = json.loads((folder(model) / "keys" / f"{name}.json").read_text("utf-8"))

    def shapes(entries):
        return {key: tuple(entry[0]) if isinstance(entry, list) else shapes(entry) for key, entry in entries.items()}

    return shapes(table)


def stored(model, name):
    """Arrays of `NAME.npz` by name."""
    with np.load(folder(model) / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def noise(name, shape, seed):
    """Standard normal float32 of `shape`, told by a name and a seed alone."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + seed)).standard_normal(
        shape, dtype=np.float32
    )


@cache
def seed(model):
    """The seed of a folder: the one with which the stored first values of `fill_check.json` come out."""
    parts = json.loads((folder(model) / "fill_check.json").read_text("utf-8")).values()
    part = next(part for part in parts if any(key.endswith(".bias") for key in part["keys"]))
    key, told = next((key, told) for key, told in part["keys"].items() if key.endswith(".bias"))
    count = len(told["first3"])
    for candidate in range(SEEDS):
        if np.allclose(0.02 * noise(part["prefix"] + key, (count,), candidate), told["first3"], rtol=1e-5, atol=0):
            return candidate
    raise AssertionError(f"no seed below {SEEDS} makes {key} of {model}")


def value(key, shape, seed, gain=1.0, name=None):
    """One filled entry; `name` is what the noise goes by when it is more than `key` (a prefix before it)."""
    n = noise(name or key, shape, seed)
    last = key.rsplit(".", 1)[-1]
    if last == "weight_v":
        return n / np.linalg.norm(n)
    if n.ndim >= 2:
        return (n * (gain / np.sqrt(np.prod(shape[1:])))).astype(np.float32)
    if last in BATCH_STATISTICS:
        return BATCH_STATISTICS[last](n).astype(np.float32)
    return 1 + np.float32(0.02) * n if last == "weight" else np.float32(0.02) * n


def fill(network, seed, gain=1.0, prefix="", constant=()):
    """Fill every float entry of a network's state dict in place; returns the network in eval mode.

    Args:
        constant: ends of the keys that keep what they were constructed with.
    """
    state = network.state_dict()
    with torch.no_grad():
        for key, entry in state.items():
            if not entry.is_floating_point() or key.endswith((*constant, "weight_u")):
                continue
            entry.copy_(torch.from_numpy(np.asarray(value(key, tuple(entry.shape), seed, gain, prefix + key))))
        for key, entry in state.items():
            if key.endswith("weight_u"):  # spectral norm: what one step from the stored weight_v gives
                weight = state[key[:-1] + "orig"].double().flatten(1)
                out = weight @ state[key[:-1] + "v"].double()
                entry.copy_(out / out.norm())
    return network.eval()


def close(found, expected, tolerance, mean=None):
    """Largest difference of two arrays; fails when it is above `tolerance`, or its mean above `mean`."""
    found = found.detach().cpu().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    assert np.isfinite(apart).all(), "not a number"
    assert apart.max() <= tolerance, f"{apart.max():.3g} apart, {tolerance:.3g} allowed"
    assert mean is None or apart.mean() <= mean, f"{apart.mean():.3g} apart in the mean, {mean:.3g} allowed"
    return float(apart.max())


def scaled(expected, relative, absolute=1e-5):
    """A tolerance in parts of the largest expected value."""
    return relative * float(np.abs(expected).max()) + absolute
