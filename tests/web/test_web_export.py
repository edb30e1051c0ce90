"""The folder that `liveface export --to web` writes: whole, the same every time, and asking nobody for anything."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from liveface import cli, web_export, weights
from liveface.avatar import read_avatar
from liveface.errors import AvatarError, SinkError, WeightsError
from liveface.web_export import BUILT, NOT_KEPT, built, export_web, folder_files

ROOT = Path(__file__).parents[2]
TEXT = (".html", ".css", ".js", ".webmanifest", ".svg")


@cache
def files() -> dict[str, bytes]:
    return folder_files(read_avatar(weights.path("ada.avatar")))


def links(page: str) -> list[str]:
    """What a page's elements refer to."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attrs if name in ("href", "src") and value)

    Reader().feed(page)
    return found


def kept() -> list[str]:
    """The files that the service worker keeps."""
    head = files()["service.js"].split(b"\n", 1)[0].decode()
    return list(json.loads(head[head.index("FILES = ") + 8 : -1]))


def test_the_verb_writes_the_same_folder_again(tmp_path, capsys):
    source = weights.path("ada.avatar")
    assert cli.main(["export", str(source), "--to", "web", str(tmp_path / "site")]) == 0
    assert "29 files" in capsys.readouterr().err
    written = {str(one.relative_to(tmp_path / "site")): one for one in (tmp_path / "site").rglob("*") if one.is_file()}
    assert {name: one.read_bytes() for name, one in written.items()} == files()
    assert [one.name for one in tmp_path.iterdir()] == ["site"]


def test_nothing_in_it_asks_for_anything_elsewhere():
    page = files()["index.html"].decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy[1].split(";")}
    assert rules["default-src"] == ["'none'"]
    for name, places in rules.items():
        assert set(places) <= {"'none'", "'self'", "blob:", "'wasm-unsafe-eval'"}, name
    assert "script-src" in rules
    assert "'wasm-unsafe-eval'" not in [*rules["connect-src"], *rules["style-src"], *rules["img-src"]]
    for name, content in files().items():
        if name.endswith(TEXT):
            found = set(re.findall(rb"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}[^\s\"'`]*", content))
            assert not found - {b"http://www.w3.org/2000/svg"} - {b"//www.w3.org/2000/svg"}, name
    assert " style=" not in page
    assert "<script>" not in page


def test_every_link_leads_to_a_file_of_the_folder():
    page = files()["index.html"].decode()
    assert "ada.avatar" in links(page)
    for target in links(page):
        assert target == "./" or target in files(), target
    manifest = json.loads(files()["manifest.webmanifest"])
    for icon in manifest["icons"]:
        picture = cv2.imdecode(np.frombuffer(files()[icon["src"]], np.uint8), cv2.IMREAD_COLOR)
        assert icon["sizes"] == f"{picture.shape[1]}x{picture.shape[0]}"


def test_the_service_worker_keeps_all_that_runs():
    needed = {name for name in files() if name not in NOT_KEPT and not name.startswith("types/")}
    assert set(kept()) == needed
    scripts = b"".join(files()[name] for name in needed if name.endswith(".js")).decode()
    named = set(re.findall(r'"([a-z_0-9-]+\.(?:tflite|npz|wasm|flac))"', scripts))
    assert len(named) >= 8
    glue = {"litert_wasm_internal.wasm", "litert_wasm_compat_internal.wasm"}  # never asked for: bytes are handed over
    assert named - glue <= needed


def test_another_avatar_is_another_version():
    one = files()["service.js"].split(b"\n", 1)[0]
    other = web_export._service({**{name: files()[name] for name in kept()}, "ada.avatar": b"another"})
    assert other.split(b"\n", 1)[0] != one
    assert web_export._service({name: files()[name] for name in kept()}).split(b"\n", 1)[0] == one


def test_both_builds_of_the_run_time_are_whole():
    for name in built()["litert"]:
        content = gzip.decompress(files()[f"{name}.gz"])
        assert content.startswith(b"\0asm")
        assert len(content) == built()["litert"][name]


def test_an_avatars_words_are_never_markup(monkeypatch):
    avatar = read_avatar(weights.path("ada.avatar"))
    words = "\"><script>alert('x')</script>"
    monkeypatch.setattr(web_export, "pack_web_avatar", lambda one: b"avatar")
    monkeypatch.setattr(web_export, "_wasm", dict)
    made = folder_files(replace(avatar, about=replace(avatar.about, name=words, maker=words)))
    page = made["index.html"].decode()
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") >= 2
    assert json.loads(made["manifest.webmanifest"])["name"].startswith(words)
    assert "script-alert-x-script.avatar" in made
    monkeypatch.setattr(web_export, "pack_web_avatar", lambda one: b"avatar")
    nameless = folder_files(replace(avatar, about=replace(avatar.about, name="¿?")))
    assert "face.avatar" in nameless


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(web_export, "folder_files", lambda avatar: {"index.html": b"page", "types/a.d.ts": b"types"})


def test_an_empty_folder_may_be_there(tmp_path, quick):
    (tmp_path / "site").mkdir()
    made = export_web(weights.path("ada.avatar"), tmp_path / "site")
    assert (made.files, made.size) == (2, 9)
    assert (tmp_path / "site" / "types" / "a.d.ts").read_bytes() == b"types"


def full(path: Path) -> Path:
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    return path


REFUSED: list[tuple[Any, str]] = [
    (lambda folder: full(folder / "site"), "holds files already"),
    (lambda folder: folder / "none" / "site", "no folder"),
    (lambda folder: full(folder / "x") / "mine.txt", "is a file"),
]


@pytest.mark.parametrize(("place", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_place_that_is_taken_is_left_as_it_is(tmp_path, quick, place, words):
    folder = place(tmp_path)
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    with pytest.raises(SinkError, match=words):
        export_web(weights.path("ada.avatar"), folder)
    assert {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()} == before


@pytest.mark.parametrize("name", ["portrait.jpg", "speech.flac", "missing.avatar"])
def test_what_is_no_avatar_is_refused_in_one_sentence(tmp_path, capsys, name):
    with pytest.raises(AvatarError):
        export_web(weights.FOLDER / name, tmp_path / "site")
    assert cli.main(["export", str(weights.FOLDER / name), "--to", "web", str(tmp_path / "site")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", [0, 1])
def test_a_full_disk_leaves_nothing_behind(tmp_path, quick, monkeypatch, at):
    write, count = Path.write_bytes, iter(range(9))

    def stumble(self: Path, data: bytes) -> int:
        if next(count) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", stumble)
    with pytest.raises(SinkError, match="No space left"):
        export_web(weights.path("ada.avatar"), tmp_path / "site")
    assert not list(tmp_path.iterdir())


def test_a_built_file_that_was_altered_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(web_export, "BUILT", tmp_path)
    with pytest.raises(WeightsError, match="not whole"):
        web_export._built("page.js")
    (tmp_path / "build.json").write_bytes((BUILT / "build.json").read_bytes())
    (tmp_path / "page.js").write_text("something else")
    with pytest.raises(WeightsError, match=r"page\.js is missing or was altered"):
        web_export._built("page.js")


def test_what_is_built_is_listed_and_small():
    lying = {str(one.relative_to(BUILT)) for one in BUILT.rglob("*") if one.is_file()} - {"build.json"}
    assert lying == set(built()["files"])
    assert sum(one.stat().st_size for one in BUILT.rglob("*") if one.is_file()) < 3e6


def test_the_build_is_of_these_sources():
    """Otherwise: python tools/build_web.py."""
    spec = importlib.util.spec_from_file_location("build_web", ROOT / "tools" / "build_web.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert built()["sources"] == module.source_hash()
