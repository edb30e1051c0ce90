"""Checkpoints from strangers: what is well is kept whole, what is not is refused in a sentence and leaves nothing."""

import pickle
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from liveface import fetched, store
from liveface.errors import WeightsError
from liveface.fetch import fetch, limit_of, names_in, read_checkpoint
from liveface.nets.liveportrait.retarget import Correctors

MODEL = store.Model(
    "small", "a small model", "of no value", ("nowhere",), 1,
    (store.Part("one", ("one.pth",)), store.Part("retarget", ("both.pth", "second.pth"))),
)  # fmt: skip


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder with the official files of a small model, the store elsewhere."""
    monkeypatch.setenv("LIVEFACE_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(store.MODELS, "small", MODEL)
    monkeypatch.setitem(
        fetched.NETWORKS, "small", {"one": lambda: nn.Linear(3, 2), "retarget": lambda: nn.Conv2d(2, 3, 1)}
    )
    folder = tmp_path / "official" / "deep"
    folder.mkdir(parents=True)
    torch.save(nn.Linear(3, 2).state_dict(), folder / "one.pth")
    torch.save({"weight": torch.ones(3, 2, 1, 1)}, folder / "both.pth")
    torch.save({"bias": torch.arange(3.0).half()}, folder / "second.pth")
    return folder.parent


def nothing_kept():
    return not store.folder("small").exists() and not list(store.home().rglob("*.safetensors"))


def test_good_files_are_kept_and_recorded(source):
    said = []
    where = fetch("small", source, said.append)
    assert where == store.folder("small")
    assert len(said) == 2
    assert store.missing("small") == []
    assert "2 files" in store.describe("small")
    kept = load_file(store.kept("small", "retarget"))
    assert kept["bias"].dtype == torch.float32
    assert kept["bias"].tolist() == [0, 1, 2]
    assert sorted(file.name for file in where.iterdir()) == ["one.safetensors", "record.json", "retarget.safetensors"]
    first = store.read_record("small")["one"]
    fetch("small", source)  # again over what is there
    assert store.read_record("small")["one"]["sha256"] == first["sha256"]


def test_safetensors_are_as_good(source):
    (source / "deep" / "one.pth").unlink()
    save_file(nn.Linear(3, 2).state_dict(), source / "one.safetensors")
    fetch("small", source)
    assert store.missing("small") == []


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"weight": torch.ones(2, 3)}, "lacks bias"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)}, "more, which is unknown"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(2)}, r"shape \(3, 2\) instead of \(2, 3\)"),
        ({"weight": torch.full((2, 3), torch.nan), "bias": torch.ones(2)}, "not finite"),
        ({"weight": torch.ones(2, 3), "bias": 7}, "no tensor"),
        ([torch.ones(2)], "holds a list"),
    ],
)
def test_another_network_is_refused(source, state, sentence):
    torch.save(state, source / "deep" / "one.pth")
    with pytest.raises(WeightsError, match=sentence):
        fetch("small", source)
    assert nothing_kept()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_program_in_a_checkpoint_is_never_run(source, tmp_path, protocol):
    touched = tmp_path / "touched"
    with zipfile.ZipFile(source / "deep" / "one.pth", "w") as archive:
        archive.writestr("one/data.pkl", pickle.dumps({"weight": Evil(str(touched))}, protocol=protocol))
        archive.writestr("one/version", "3")
    with pytest.raises(WeightsError, match=r"would run .* harmful"):
        fetch("small", source)
    assert not touched.exists()
    assert nothing_kept()


def test_a_plain_pickle_and_rubbish_are_refused(source, tmp_path):
    file, touched = source / "deep" / "one.pth", tmp_path / "touched"
    for content in (pickle.dumps(Evil(str(touched))), b"", b"rubbish" * 100, file.read_bytes()[:-40]):
        file.write_bytes(content)
        with pytest.raises(WeightsError):
            fetch("small", source)
    assert not touched.exists()
    assert nothing_kept()


def test_a_file_that_unpacks_to_too_much_is_refused(source):
    limit = limit_of({"weight": (2, 3), "bias": (2,)})
    with zipfile.ZipFile(source / "deep" / "one.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one/data.pkl", b"")
        with archive.open("one/data/0", "w", force_zip64=True) as entry:
            for _ in range(limit // 2**20 + 1):
                entry.write(bytes(2**20))
    assert (source / "deep" / "one.pth").stat().st_size < limit / 100
    with pytest.raises(WeightsError, match="unpacks to"):
        fetch("small", source)


def test_missing_and_doubled_files_are_named(source):
    (source / "deep" / "second.pth").unlink()
    with pytest.raises(WeightsError, match=r"second\.pth is nowhere"):
        fetch("small", source)
    (source / "one.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="holds 2 files"):
        fetch("small", source)
    with pytest.raises(WeightsError, match="no folder"):
        fetch("small", source / "nowhere")


def test_every_import_of_a_pickle_is_seen():
    for protocol in range(6):
        named = set(names_in(pickle.dumps(torch.nn.Linear, protocol=protocol)))
        assert ("torch.nn.modules.linear", "Linear") in named


def test_the_three_correctors_are_read_from_one_file(tmp_path):
    networks = Correctors()
    tables = {
        name: {f"module.{key}": value for key, value in network.state_dict().items()}
        for name, network in networks.items()
    }
    torch.save({**tables, "epoch": 3}, tmp_path / "three.pth")
    loaded = read_checkpoint(tmp_path / "three.pth", 1 << 24)
    found = fetched.prepared("liveportrait", "retarget", loaded)
    assert {key: tuple(value.shape) for key, value in found.items()} == fetched.expected("liveportrait", "retarget")
    del loaded["retarget_eye"]
    with pytest.raises(WeightsError, match="lacks retarget_eye"):
        fetched.prepared("liveportrait", "retarget", loaded)
