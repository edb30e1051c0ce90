"""The fill rule gives the numbers that were written down when the outputs were stored."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fill import folder, keys, seed, value

MODELS = [place.name for place in sorted(folder("liveportrait").parent.iterdir()) if (place / "keys").is_dir()]


@pytest.mark.parametrize("model", MODELS)
def test_filled_entries_are_those_of_the_stored_run(model):
    compared = 0
    for name, part in json.loads((folder(model) / "fill_check.json").read_text("utf-8")).items():
        file, _, inner = name.partition("/")
        if not (folder(model) / "keys" / f"{file}.json").exists():
            continue
        shapes = keys(model, file)[inner] if inner else keys(model, file)
        for key, told in part["keys"].items():
            if key.endswith("weight_u") or np.prod(shapes[key]) > 3e6:
                continue  # the first needs its layer, the others time
            filled = value(key, shapes[key], seed(model), part["gain"], part["prefix"] + key)
            assert filled.reshape(-1)[:3] == pytest.approx(told["first3"], rel=1e-6)
            assert filled.sum(dtype=np.float64) == pytest.approx(told["sum"], rel=1e-4, abs=1e-3)
            assert np.abs(filled).sum(dtype=np.float64) == pytest.approx(told["abs_sum"], rel=1e-4)
            compared += 1
    assert compared > 20
