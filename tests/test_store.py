"""Weights of others: nothing is here, something is missing, something was altered; always a sentence that helps."""

import json

import pytest

from liveface import cli, store
from liveface.errors import WeightsError


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("LIVEFACE_HOME", str(tmp_path))


@pytest.mark.parametrize("name", store.MODELS)
def test_without_weights_the_sentence_names_the_command(name):
    if store.find_spec("safetensors") is None or store.find_spec("torch") is None:
        with pytest.raises(store.DeviceError, match="pip install 'liveface"):
            store.require(name)
        return
    with pytest.raises(WeightsError, match=f"liveface fetch {name} --from DIR"):
        store.require(name)


@pytest.mark.parametrize("name", store.MODELS)
def test_fetch_alone_explains_where_weights_come_from(name, capsys):
    assert cli.main(["fetch", name]) == 0
    told = capsys.readouterr().out
    assert f"liveface fetch {name} --from DIR" in told
    for part in store.MODELS[name].parts:
        for file in part.files:
            assert file in told
    assert store.MODELS[name].licence in told


def test_unknown_model_is_named(capsys):
    assert cli.main(["fetch", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


def keep(name, part, content):
    """A file as `fetch` would leave it, and its record's entry."""
    file = store.kept(name, part)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return {"bytes": len(content), "sha256": store.digest(file)}


def test_what_is_there_is_described_and_what_was_altered_is_seen():
    model = store.MODELS["liveportrait"]
    assert "none" in store.describe(model.name)
    parts = {part.name: keep(model.name, part.name, part.name.encode() * 9) for part in model.parts}
    record = store.folder(model.name) / store.RECORD
    record.write_text(json.dumps({"parts": parts}))
    assert store.missing(model.name) == []
    assert "all whole" in store.describe(model.name)
    file = store.kept(model.name, "decoder")
    file.write_bytes(file.read_bytes()[::-1])
    assert store.missing(model.name) == []  # the size is the same: the hash tells
    assert "decoder missing or altered" in store.describe(model.name)
    file.write_bytes(b"short")
    assert store.missing(model.name) == ["decoder"]
    record.write_text("[]")
    with pytest.raises(WeightsError, match="cannot be read"):
        store.read_record(model.name)


def test_home_follows_the_environment(monkeypatch, tmp_path):
    assert store.home() == tmp_path
    monkeypatch.delenv("LIVEFACE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store.home() == tmp_path / "data" / "liveface"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert store.home().parts[-3:] == (".local", "share", "liveface")
