"""`export_web`: an avatar as a folder that any static host serves; it runs in the browser and asks for nothing.

Notable choices (reasons in docs/decisions/browser.md):
- The scripts lie built in `liveface/web`, so that neither node nor a network is needed; `build.json` there says of
  which sources they are, and both builds of LiteRT's WebAssembly are one packed file.
- The folder is written under a temporary name and renamed when it is whole; the same avatar makes the same bytes.
- The service worker knows every file and a version made of their hashes: what changes is fetched anew, once.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import lzma
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from liveface import weights
from liveface.avatar import Avatar, read_avatar
from liveface.errors import SinkError, WeightsError
from liveface.web_avatar import pack_web_avatar

BUILT = Path(__file__).parent / "web"
PAGE = ("page.css", "page.js", "liveface.js", "worker.js", "tap.js", "icon.svg", "kernels.wasm")
NETWORKS = ("speech.tflite",)
MIRROR = (
    "face_detection_short_range.tflite", "face_detection_full_range_sparse.tflite", "face_landmark.tflite",
    "iris_landmark.tflite", "face_model.npz",
)  # fmt: skip
SAMPLE = "speech.flac"  # what the page's button says until somebody drops another sound
LITERT = "litert.xz"
NOT_KEPT = ("service.js", "LICENCES.txt", "READ-ME.txt")  # by the service worker; types neither
ICONS = {"icon-192.png": 192, "icon-512.png": 512}
ICON_TOP = 0.12  # of the poster's height left out above the face

READ_ME = """\
{name}, a synthetic face for the browser.

Serve this folder with any static web server and open its index.html; nothing else is needed, and after
loading the page asks for nothing. For a first look: python3 -m http.server (then http://localhost:8000).
Microphone, webcam and installing need https or localhost.

In a page of your own, from the same origin:
    <script type="module" src="liveface.js"></script>
    <live-face src="{avatar}"></live-face>
    const face = document.querySelector("live-face");
    await face.speak("hello.wav");   face.setEmotion("happy", 0.7);   face.interrupt();
types/liveface.d.ts says all it can do.

Made by: {maker}
Consent: {consent}
Licence of the avatar: {licence}
"""


@dataclass(frozen=True, slots=True)
class WebFolder:
    """What was written: the folder, how many files, and how many bytes in all."""

    path: Path
    files: int
    size: int


def export_web(source: str | Path, folder: str | Path) -> WebFolder:
    """Write the folder of an avatar for browsers.

    Args:
        source: an avatar file; folder: a name that is free, or an empty folder.

    Raises:
        AvatarError: `source` is no avatar. SinkError: the folder cannot be written, or holds something.
    """
    folder = Path(folder)
    _check_folder(folder)
    files = folder_files(read_avatar(source))
    _write(folder, files)
    return WebFolder(folder, len(files), sum(map(len, files.values())))


def folder_files(avatar: Avatar) -> dict[str, bytes]:
    """Every file of an avatar's folder by its name; the same for the same avatar."""
    about = avatar.about
    name = f"{re.sub(r'[^a-z0-9]+', '-', about.name.lower()).strip('-')[:40] or 'face'}.avatar"
    files = {one: _built(one) for one in PAGE}
    files |= {one: weights.path(one).read_bytes() for one in (*NETWORKS, *MIRROR, SAMPLE)}
    files |= _wasm()
    files[name] = pack_web_avatar(avatar)
    files |= _icons(avatar.poster)
    said = {"name": about.name, "avatar": name, "maker": f"Made by {about.maker}." if about.maker else ""}
    files["index.html"] = _filled(_built("index.html").decode(), said).encode()
    files["manifest.webmanifest"] = _manifest(about.name)
    files = dict(sorted(files.items()))
    files["service.js"] = _service(files)
    files["READ-ME.txt"] = READ_ME.format(
        name=about.name, avatar=name, maker=about.maker, consent=about.consent, licence=about.licence
    ).encode()
    files["LICENCES.txt"] = _built("LICENCES.txt")
    files |= {f"types/{one.name}": one.read_bytes() for one in sorted((BUILT / "types").glob("*.d.ts"))}
    return files


def built() -> dict[str, Any]:
    """What `build.json` says of the built files: their hashes, their sources' hash, sizes of LiteRT's builds."""
    try:
        said: dict[str, Any] = json.loads((BUILT / "build.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{BUILT} is not whole ({error}); expected the built files: install liveface again."
        ) from error
    return said


def _built(name: str) -> bytes:
    """A built file, as it was built."""
    try:
        content = (BUILT / name).read_bytes()
    except OSError:
        content = b""
    digest = built()["files"].get(name)
    if hashlib.sha256(content).hexdigest() != digest:
        raise WeightsError(
            f"{BUILT / name} is missing or was altered; expected the built file: install liveface again."
        )
    return content


def _wasm() -> dict[str, bytes]:
    """LiteRT's two builds, each packed for the way; the name of no day and no file is inside."""
    whole = lzma.decompress(_built(LITERT))
    out, at = {}, 0
    for name, size in built()["litert"].items():
        out[f"{name}.gz"] = gzip.compress(whole[at : at + size], 9, mtime=0)
        at += size
    return out


def _filled(text: str, said: dict[str, str]) -> str:
    """A page with its `{{words}}`, none of which can be read as markup."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: html.escape(said[found[1]], quote=True), text)


def _manifest(name: str) -> bytes:
    content = {
        "name": f"{name}, a face that talks",
        "short_name": name[:12],
        "description": "A synthetic face that talks, in this browser, without a network.",
        "id": "./",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#0e1015",
        "theme_color": "#0e1015",
        "icons": [{"src": icon, "sizes": f"{side}x{side}", "type": "image/png"} for icon, side in ICONS.items()],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _icons(poster: bytes) -> dict[str, bytes]:
    """The poster's face as square PNGs."""
    picture = cv2.imdecode(np.frombuffer(poster, np.uint8), cv2.IMREAD_COLOR)
    height, width = picture.shape[:2]
    side = min(width, height)
    top = min(round(ICON_TOP * height), height - side)
    square = picture[top : top + side, (width - side) // 2 : (width + side) // 2]
    out = {}
    for name, wanted in ICONS.items():
        way = cv2.INTER_AREA if wanted < side else cv2.INTER_CUBIC
        out[name] = bytes(cv2.imencode(".png", cv2.resize(square, (wanted, wanted), interpolation=way))[1])
    return out


def _service(files: dict[str, bytes]) -> bytes:
    """The service worker with the list of what it keeps, and a version made of all of it."""
    kept = [name for name in files if name not in NOT_KEPT]
    digest = hashlib.sha256(_built("service.js"))
    for name in kept:
        digest.update(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n".encode())
    head = f"const VERSION = {json.dumps(digest.hexdigest()[:16])}, FILES = {json.dumps(kept)};\n"
    return head.encode() + _built("service.js")


def _check_folder(folder: Path) -> None:
    """Refuse a place that is taken or that cannot be written to, before the work begins."""
    if folder.is_dir():
        if any(folder.iterdir()):
            raise SinkError(
                f"{folder} holds files already; expected a new or an empty folder: remove it, or name another."
            )
    elif folder.exists() or folder.is_symlink():
        raise SinkError(f"{folder} is a file; expected the name of a new folder: name another.")
    if not folder.absolute().parent.is_dir():
        raise SinkError(f"there is no folder {folder.parent}; expected an existing one: create it first.")


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """All files under a temporary name, which becomes the folder's; or nothing."""
    final = folder.absolute()
    part = final.with_name(f".{final.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        for name, content in files.items():
            place = part / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        part.rename(final)
    except OSError as error:
        size = sum(map(len, files.values())) / 1e6
        raise SinkError(
            f"{folder} cannot be written ({error.strerror or error}); expected room and permission for {size:.0f} MB: "
            "free some, or choose another folder."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
