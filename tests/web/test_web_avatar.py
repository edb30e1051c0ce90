"""What a browser is given of an avatar."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from liveface import weights
from liveface.avatar import REGION_NAMES, is_avatar, read_avatar
from liveface.render.liveface.rig import Rig
from liveface.runtime import Step
from liveface.tflite import inspect
from liveface.web_avatar import ABOUT, NUMBERS, pack_numbers, pack_web_avatar


@cache
def packed() -> bytes:
    return pack_web_avatar(read_avatar(weights.path("ada.avatar")))


def files() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def about() -> dict[str, Any]:
    return dict(json.loads(files()[ABOUT]))


def test_it_says_what_it_is_and_whose_and_lists_every_other_file():
    held, said = files(), about()
    source = read_avatar(weights.path("ada.avatar")).about
    assert next(iter(held)) == ABOUT
    assert said["synthetic"] is True
    assert (said["consent"], said["licence"]) == (source.consent, source.licence)
    assert said["files"] == {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in held.items()
        if name != ABOUT
    }


def test_the_program_does_not_take_it_for_an_avatar(tmp_path: Path):
    file = tmp_path / "ada.avatar"
    file.write_bytes(packed())
    assert not is_avatar(file)


def test_networks_are_plain_and_give_the_integers_that_the_avatars_own_give_as_floats():
    avatar, held, said = read_avatar(weights.path("ada.avatar")), files(), about()
    seed = np.random.default_rng(5)
    for name in REGION_NAMES:
        content = held[f"networks/{name}.tflite"]
        inspect(content, name)
        own, sent = (Step(Path(name), content=data) for data in (avatar.networks[name], content))
        given = {key: seed.uniform(-1, 1, shape).astype(dtype) for key, (shape, dtype) in own.inputs.items()}
        ((end, floats),) = own(**given).items()
        ((same, integers),) = sent(**given).items()
        size, zero = said["networks"][name]["steps"][same]
        assert (end, integers.dtype) == (same, np.int8)
        assert np.array_equal(np.clip((integers.astype(np.float32) - zero) * np.float32(size), 0, 1), floats)


def test_numbers_lie_where_the_table_says_and_are_the_rigs():
    held, said = files(), about()
    rig = Rig.from_files(read_avatar(weights.path("ada.avatar")).rig)
    for name, array in rig.posing().items():
        entry = said["numbers"][name]
        count = int(np.prod(entry["shape"]))
        found = np.frombuffer(held[NUMBERS], entry["type"], count, entry["at"]).reshape(entry["shape"])
        assert entry["at"] % 16 == 0
        assert np.array_equal(found, array.astype(found.dtype))


def test_packing_keeps_bytes_and_narrows_the_rest_to_32_bits():
    given = {"a": np.arange(5, dtype=np.int64), "b": np.array([[0.5]]), "c": np.array([-3], np.int8)}
    table, data = pack_numbers(given)
    assert [entry["type"] for entry in table.values()] == ["int32", "float32", "int8"]
    assert [entry["at"] for entry in table.values()] == [0, 32, 48]
    assert np.frombuffer(data, np.int32, 5).tolist() == [0, 1, 2, 3, 4]
