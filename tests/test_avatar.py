"""The avatar file: what is written is read back; what was tampered with is refused in one sentence."""

import hashlib
import io
import json
import stat
import struct
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from avatars import NETWORK, about, flat_picture, paper
from liveface import avatar as avatars
from liveface import weights
from liveface.archive import MAX_BYTES, pack, unpack
from liveface.avatar import is_avatar, parse_avatar, read_avatar, write_avatar
from liveface.errors import AvatarError, SinkError, WeightsError
from liveface.motion.reach import Reach
from liveface.signals.image import read_image
from liveface.tflite import inspect


@pytest.fixture(scope="module")
def files():
    return avatars._files(paper())


def altered(files, changes):
    """`files` with `avatar.json` changed by name; a change may be a function of the table."""
    content = json.loads(files["avatar.json"])
    for name, value in changes.items():
        if callable(value):
            value(content[name])
        else:
            content[name] = value
    return {**files, "avatar.json": json.dumps(content).encode()}


def with_file(files, name, content):
    """`files` with one more file, or another content, listed with its right hash."""
    table = json.loads(files["avatar.json"])
    table["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {**files, name: content, "avatar.json": json.dumps(table).encode()}


def refused(data, match):
    with pytest.raises(AvatarError, match=match) as caught:
        parse_avatar(data, "x.avatar")
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")


def test_what_is_written_is_read_back(tmp_path):
    made = paper()
    path = write_avatar(made, tmp_path / "me.avatar")
    assert is_avatar(path)
    assert read_avatar(path) == made
    assert not list(tmp_path.glob("*.part"))
    first = path.read_bytes()
    assert write_avatar(made, path).read_bytes() == first  # the same content makes the same bytes


def test_a_file_of_the_first_version_is_read_and_holds_nothing(files):
    table = json.loads(files["avatar.json"])
    del table["reach"]
    old = {**files, "avatar.json": json.dumps({**table, "version": 1}).encode()}
    assert parse_avatar(pack(old), "old.avatar").about == replace(about(), reach=Reach())


def test_an_avatar_is_known_by_its_content(tmp_path, files):
    hidden = tmp_path / "me.jpg"
    hidden.write_bytes(pack(files))
    assert is_avatar(hidden)
    assert not is_avatar(weights.path("portrait.jpg"))
    assert not is_avatar(tmp_path / "nothing")


def test_it_says_that_it_is_synthetic_and_by_whose_consent(files):
    content = json.loads(files["avatar.json"])
    assert content["synthetic"] is True
    assert "agreed" in content["consent"]
    assert content["licence"]
    refused(pack(altered(files, {"synthetic": False})), "synthetic")


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "me.avatar"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(avatars.os, "fsync", full)
    with pytest.raises(SinkError, match="No space left"):
        write_avatar(paper(), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["me.avatar"]


@pytest.mark.parametrize("name", ["me.zip", "nowhere/me.avatar", "."])
def test_places_that_cannot_be_written_are_refused(tmp_path, name):
    with pytest.raises(SinkError):
        avatars.check_output(tmp_path / name)


def test_parts_that_make_no_avatar_are_not_written(tmp_path):
    with pytest.raises(AvatarError, match="networks for"):
        write_avatar(paper(networks={"mouth": NETWORK}), tmp_path / "me.avatar")
    with pytest.raises(AvatarError, match="poster"):
        write_avatar(paper(poster=b"no picture"), tmp_path / "me.avatar")
    with pytest.raises(AvatarError, match="canvas"):
        write_avatar(paper(about=about(canvas=(100, 100))), tmp_path / "me.avatar")
    assert not list(tmp_path.iterdir())


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(AvatarError, match="there is no file"):
        read_avatar(tmp_path / "me.avatar")
    with pytest.raises(AvatarError, match="is a folder"):
        read_avatar(tmp_path)


@pytest.mark.parametrize("cut", [0, 3, 40, 2_000, -30, -1])
def test_cut_off_files_are_refused(files, cut):
    refused(pack(files)[:cut], "x.avatar")


def test_bytes_before_behind_or_a_comment_are_refused(files):
    whole = pack(files)
    refused(b"MZ" + whole, "begin and end")
    refused(whole + b"more", "begin and end")
    commented = bytearray(whole + b"hello")
    commented[-5 - 2 : -5] = struct.pack("<H", 5)
    refused(bytes(commented), "begin and end")


@pytest.mark.parametrize("name", [
    "../evil.sh", "/etc/passwd", "rig/../../evil", "c:\\evil", "rig\\evil", "rig//evil", ".hidden", "rig/.hidden",
    "a b", "rig/\u202egpj", "rig/", "a/b/c/d/e",
])  # fmt: skip
def test_names_that_leave_the_folder_are_refused(files, name):
    refused(zip_of({**files, name: b"x"}), "holds")


def zip_of(files, change=lambda entry: None):
    """A zip made without any of the house's care."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            change(entry)
            archive.writestr(entry, content)
    return whole.getvalue()


def test_a_name_cut_short_by_a_zero_byte_is_refused(files):
    whole = pack({**files, "rig/plate.pngxevil": b"x"})
    refused(whole.replace(b"rig/plate.pngxevil", b"rig/plate.png\0evil"), "holds a file named")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(files):
    whole = io.BytesIO(pack(files))
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("avatar.json", b"{}")
    refused(whole.getvalue(), "twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(files, kind):
    def change(entry):
        if entry.filename.startswith("poster"):
            entry.external_attr = (kind | 0o777) << 16

    refused(zip_of(files, change), "link or no file")


def test_encrypted_entries_and_foreign_methods_are_refused(files):
    whole = bytearray(pack(files))
    directory = whole.rindex(b"PK\x01\x02")
    whole[directory + 8] |= 1
    refused(bytes(whole), "encrypted")

    def change(entry):
        entry.compress_type = zipfile.ZIP_BZIP2

    refused(zip_of(files, change), "unknown method")


def test_bombs_are_refused_before_they_are_unpacked(files):
    def change(entry):
        entry.compress_type = zipfile.ZIP_DEFLATED

    refused(zip_of({**files, "rig/zeros.png": bytes(20 << 20)}, change), "times the packed size")
    many = {f"rig/{index}.png": b"x" for index in range(100)}
    refused(zip_of({**files, **many}), "files; expected 1 to")
    refused(b"PK\x03\x04" + bytes(MAX_BYTES), "at most")


def test_a_directory_that_lies_about_sizes_is_refused(files):
    whole = bytearray(zip_of(files))
    directory = whole.rindex(b"PK\x01\x02")
    size = struct.unpack_from("<I", whole, directory + 24)[0]
    struct.pack_into("<I", whole, directory + 24, size + 1)
    refused(bytes(whole), "x.avatar")


def test_entries_that_share_bytes_are_refused(files):
    whole = bytearray(zip_of(files))
    first = whole.index(b"PK\x01\x02")
    last = whole.rindex(b"PK\x01\x02")
    struct.pack_into("<I", whole, last + 42, struct.unpack_from("<I", whole, first + 42)[0])
    refused(bytes(whole), "overlap")


def test_altered_content_is_refused(files):
    whole = bytearray(zip_of(files))
    at = whole.index(NETWORK[:64]) + len(NETWORK) // 2
    whole[at] ^= 1
    refused(bytes(whole), "x.avatar")  # the zip's own check sum
    other = {**files, "networks/eyes.tflite": NETWORK + b"\0"}
    refused(pack(other), "was altered")


def test_files_that_are_not_listed_or_missing_are_refused(files):
    refused(pack({**files, "rig/more.png": b"x"}), "holds 'rig/more.png'")
    refused(pack({name: file for name, file in files.items() if name != "rig/plate.png"}), "lacks 'rig/plate.png'")
    refused(pack(with_file(files, "rig/run.py", b"x")), "no avatar has")
    refused(pack(with_file(files, "networks/ears.tflite", NETWORK)), "networks for")
    refused(pack(with_file(files, "poster.png", flat_picture())), "2 posters")
    refused(pack(dict(reversed(files.items()))), "does not begin with")


@pytest.mark.parametrize(("changes", "match"), [
    ({"version": 3}, "install a newer liveface"), ({"version": 0}, "create it again"), ({"version": "1"}, "version"),
    ({"version": True}, "version"), ({"format": "zip"}, "says it is"), ({"surprise": 1}, "does not know"),
    ({"fps": 1e9}, "fps"), ({"fps": None}, "fps"), ({"canvas": [360]}, "canvas"), ({"canvas": [360.5, 640]}, "canvas"),
    ({"canvas": [4096, 4096]}, "canvas"), ({"motion": "arkit51@30"}, "motion"), ({"size": "huge"}, "size"),
    ({"name": "\x1b[2Jnobody"}, "printed"), ({"consent": "x" * 5000}, "printed"), ({"consent": 3}, "consent"),
    ({"behaviour": {"gaze": 9}}, "gaze"), ({"behaviour": {"gaze": "9"}}, "gaze"), ({"behaviour": {"mood": 1}}, "mood"),
    ({"reach": {}}, "ranges and follow"), ({"version": 1}, "does not know"),
    ({"reach": {"ranges": {"gaze": [[1, 2], [3, 4]]}, "follow": None}}, "two rows of 4"),
    ({"measured": {"a": {"b": {"c": {"d": {"e": 1}}}}}}, "too deep"), ({"measured": {"a": "\x07"}}, "measured"),
    ({"measured": {"a": [[1]]}}, "measured"), ({"shared": {}}, "shared"),
    ({"shared": {"compositor": {"name": "x", "sha256": "y"}}}, "sha256"),
    ({"regions": lambda table: table.pop("mouth")}, "mouth"),
    ({"regions": lambda table: table["mouth"].update(size=[4096, 8])}, "multiples of 8"),
    ({"regions": lambda table: table["mouth"].update(box=[1, 2])}, "6 numbers"),
    ({"files": lambda table: table["poster.jpg"].update(size="many")}, "size"),
])  # fmt: skip
def test_avatar_json_is_read_strictly(files, changes, match):
    refused(pack(altered(files, changes)), match)


@pytest.mark.parametrize("text", [
    b"[]", b"{", b"\xff\xfe", b'{"format": NaN}', b'{"format": 1, "format": 2}', b"[" * 100_000, b" " * 300_000,
    b'{"measured": 1e999}',
])  # fmt: skip
def test_damaged_json_is_refused(files, text):
    refused(pack({**files, "avatar.json": text}), "avatar.json")


def test_pictures_and_tables_in_the_rig_are_looked_at(files):
    refused(pack(with_file(files, "rig/plate.png", b"no picture")), "plate.png")
    refused(pack(with_file(files, "rig/plate.png", flat_picture(".jpg"))), "expected a PNG")
    header = bytearray(flat_picture())
    header[16:24] = struct.pack(">II", 50_000, 50_000)
    refused(pack(with_file(files, "rig/plate.png", bytes(header))), "pixels")
    refused(pack(with_file(files, "rig/rig.npz", b"no table")), "damaged table")

    def table(**arrays):
        whole = io.BytesIO()
        np.savez_compressed(whole, **arrays)
        return whole.getvalue()

    fine = table(points=np.zeros((478, 3), np.float32), margin=np.array(3))
    assert "rig/rig.npz" in parse_avatar(pack(with_file(files, "rig/rig.npz", fine)), "x").rig
    refused(pack(with_file(files, "rig/rig.npz", table(x=np.zeros(5 << 20, np.float64)))), "MiB")
    refused(pack(with_file(files, "rig/rig.npz", table(x=np.array([{}], object)))), "damaged table")
    lying = io.BytesIO()
    with zipfile.ZipFile(lying, "w") as archive, archive.open("x.npy", "w") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    refused(pack(with_file(files, "rig/rig.npz", lying.getvalue())), "damaged table")


def test_foreign_networks_are_refused(files):
    refused(pack(with_file(files, "networks/eyes.tflite", b"no network at all")), "no .tflite network")
    foreign = weights.path("selfie_segmentation.tflite").read_bytes()
    refused(pack(with_file(files, "networks/eyes.tflite", foreign)), "custom code")
    refused(pack(with_file(files, "networks/eyes.tflite", NETWORK[:1000])), "damaged network")


def test_a_network_is_outlined_without_running_it():
    content = weights.path("mouth.tflite").read_bytes()
    graph = inspect(content, "mouth")
    assert set(graph.operators) == {"CONV_2D", "ADD", "TRANSPOSE_CONV", "QUANTIZE", "DEQUANTIZE"}
    assert graph.weight_bytes == pytest.approx(len(content), rel=0.1)


def test_damaged_networks_are_refused_or_harmless():
    random = np.random.default_rng(0)
    for _ in range(2000):
        data = bytearray(NETWORK)
        for at in random.integers(0, len(NETWORK), 4):
            data[int(at)] = int(random.integers(256))
        with suppress(WeightsError):
            inspect(bytes(data), "mouth")


def test_damaged_archives_are_refused_or_harmless(files):
    random = np.random.default_rng(1)
    small = {name: file for name, file in files.items() if "networks" not in name}
    whole = pack(small)
    for _ in range(600):
        data = bytearray(whole)
        for at in random.integers(0, len(data), 3):
            data[int(at)] = int(random.integers(256))
        with suppress(AvatarError):
            unpack(bytes(data), "x.avatar")


def test_shared_networks_must_be_the_same(tmp_path):
    made = paper()
    assert made.shared_network("compositor") == weights.path("mouth.tflite")
    other = replace(made.about.shared["compositor"], sha256="0" * 64)
    with pytest.raises(AvatarError, match="made with compositor"):
        replace(made, about=replace(made.about, shared={"compositor": other})).shared_network("compositor")
    gone = replace(other, name="gone.tflite")
    with pytest.raises(AvatarError, match="none of that name"):
        replace(made, about=replace(made.about, shared={"compositor": gone})).shared_network("compositor")
    with pytest.raises(AvatarError, match="names no appearance"):
        made.shared_network("appearance")


def test_a_photo_is_no_avatar():
    with pytest.raises(AvatarError, match="begin and end"):
        read_avatar(weights.path("portrait.jpg"))
    assert read_image(weights.path("portrait.jpg")).ndim == 3
