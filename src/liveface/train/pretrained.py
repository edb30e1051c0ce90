"""Where a new avatar's decoders start: weights learned on many people, stored small.

Notable choices: weights are 8-bit integers with one scale per output row, because they are only a start that
adaptation moves on from; the identities of all people seen are kept, and a new person starts from the ones that fit
best; loading is strict and goes through the package's manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from liveface import weights
from liveface.errors import WeightsError
from liveface.types import Array

SIZES = ("base",)
"""Sizes whose pretrained decoders ship."""
_IDENTITIES = "identities"


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A decoder learned on many people.

    Attributes:
        region: what it paints.
        size: name of its size.
        state: weights by name, without the mean patch.
        identities: `[P, 128]` of the people it learned from.
    """

    region: str
    size: str
    state: dict[str, Tensor]
    identities: Array


def file_name(region: str, size: str) -> str:
    """Name of the shipped file."""
    return f"decoder-{region}-{size}.npz"


def write(pretrained: Pretrained, file: Path) -> Path:
    """Store a pretrained decoder; returns `file`, which is replaced only when the new one is whole."""
    arrays: dict[str, Any] = {_IDENTITIES: pretrained.identities.astype(np.float16)}
    for name, tensor in pretrained.state.items():
        values = tensor.detach().float().cpu().numpy()
        if values.ndim < 2:
            arrays[f"plain/{name}"] = values.astype(np.float16)
            continue
        rows = values.reshape(len(values), -1)
        scale = np.maximum(np.abs(rows).max(1), 1e-8) / 127
        arrays[f"bytes/{name}"] = np.round(rows / scale[:, None]).astype(np.int8).reshape(values.shape)
        arrays[f"scale/{name}"] = scale.astype(np.float32)
    part = file.with_name(f"{file.stem}.part.npz")
    np.savez_compressed(part, **arrays)
    part.replace(file)
    return file


def read(file: Path, region: str, size: str) -> Pretrained:
    """Read a stored decoder.

    Raises:
        WeightsError: the file holds something else.
    """
    state: dict[str, Tensor] = {}
    try:
        with np.load(file) as stored:
            identities = stored[_IDENTITIES].astype(np.float32)
            for key in stored.files:
                kind, _, name = key.partition("/")
                if kind == "plain":
                    state[name] = torch.from_numpy(stored[key].astype(np.float32))
                elif kind == "bytes":
                    values, scale = stored[key].astype(np.float32), stored[f"scale/{name}"]
                    state[name] = torch.from_numpy(values * scale.reshape(-1, *[1] * (values.ndim - 1)))
    except (OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{file} is not a pretrained decoder ({error}); install liveface again.") from error
    return Pretrained(region, size, state, identities)


def load(region: str, size: str, folder: Path = weights.FOLDER) -> Pretrained:
    """The shipped decoder of a region.

    Raises:
        WeightsError: this size was not trained on many people.
    """
    if size not in SIZES:
        raise WeightsError(
            f"no pretrained decoders of size {size!r} ship, only of {', '.join(SIZES)}; "
            "start from scratch, or train them by recipe."
        )
    return read(weights.path(file_name(region, size), folder), region, size)
