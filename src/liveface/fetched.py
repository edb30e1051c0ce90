"""What the files of each fetched model must hold: names and shapes as our networks have them, and what is renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from liveface.errors import WeightsError
from liveface.nets.liveportrait.build import NETWORKS as LIVEPORTRAIT
from liveface.nets.liveportrait.retarget import EYE, LIP, STITCH
from liveface.nets.personalive.build import NETWORKS as PERSONALIVE
from liveface.nets.personalive.build import official_names

Builders = Mapping[str, Callable[[], nn.Module]]

NETWORKS: dict[str, Builders] = {"liveportrait": LIVEPORTRAIT, "personalive": PERSONALIVE}
"""Model to part to its network, as the official files have it."""


def expected(model: str, part: str) -> dict[str, tuple[int, ...]]:
    """Key to shape of one part; its network is built without memory for its numbers."""
    with torch.device("meta"):
        state = NETWORKS[model][part]().state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def prepared(model: str, part: str, loaded: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of one file under our names.

    Raises:
        WeightsError: it is built in another way.
    """
    if (model, part) == ("liveportrait", "retarget"):
        return _correctors(loaded)
    if model == "personalive":
        return official_names(part, _flat(loaded, part))
    return _flat(loaded, part)


def _correctors(loaded: Mapping[str, Any]) -> dict[str, Tensor]:
    """Three tables in one file, whose names carry a trace of parallel training; other entries are not needed."""
    if all(isinstance(value, Tensor) for value in loaded.values()):  # converted before: flat
        return _flat(loaded, "retarget")
    found: dict[str, Tensor] = {}
    for name in (STITCH, LIP, EYE):
        table = loaded.get(name)
        if not isinstance(table, dict):
            raise WeightsError(f"the file of retarget lacks {name}; expected three tables of tensors.")
        found.update({f"{name}.{key.replace('module.', '')}": value for key, value in _flat(table, name).items()})
    return found


def _flat(loaded: Mapping[str, Any], what: str) -> dict[str, Tensor]:
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"the file of {what} has {str(key)!r}, which is no tensor; expected tensors only.")
    return dict(loaded)
