"""The avatar: one person as one small file, read with suspicion and written whole or not at all.

Notable choices (reasons in docs/decisions/avatar-file.md):
- `avatar.json` comes first and stored, so that a file is known by its content; it lists every other file with size
  and SHA-256, and has no key that this version does not know.
- A network is looked through before anything runs it: plain operators only (`tflite`).
- What all avatars share (compositor, appearance network) stays in the package; an avatar names it with its hash.
- Every avatar says who made it, by whose consent, under which licence, and that what it draws is synthetic.
- A file that was written is read back before it takes its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from liveface import weights
from liveface.archive import MAGIC, MAX_BYTES, check_table, pack, unpack
from liveface.errors import AvatarError, MotionError, SignalError, SinkError, WeightsError
from liveface.motion.behaviour import Behaviour
from liveface.motion.reach import Reach
from liveface.signals.image import checked_header
from liveface.strict import Fields
from liveface.tflite import inspect
from liveface.types import arkit_spec

FORMAT, VERSION = "liveface avatar", 2
OLDEST = 1  # version 1 says nothing of what was learned: nothing is held to a range
REGION_NAMES = ("mouth", "eyes", "hair", "body")
CANVASES = ((360, 640), (384, 672))
SHARED = ("compositor", "appearance")
ABOUT = "avatar.json"
MAX_PICTURE_PX = 16 << 20
CONSENT = (
    "By making this avatar its maker states that the person it shows agreed to be animated, or that it shows nobody."
)
LICENCE = "For its maker alone; to be passed on only with the consent of the person it shows."

_POSTERS = {b"\x89PNG": "poster.png", b"\xff\xd8\xff": "poster.jpg"}
_PLACES = re.compile(r"networks/[a-z0-9_-]+\.tflite|rig/[a-z0-9_-]+\.(npz|png|jpg)|poster\.(png|jpg)")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RegionBox:
    """One region of an avatar.

    Attributes:
        size: width and height of its patch in pixels.
        every: drawn every so many frames.
        box: six numbers, the `[2, 3]` matrix of patch pixels to canvas pixels on the reference picture.
    """

    size: tuple[int, int]
    every: int
    box: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """A network that all avatars share: its file in the package, and the hash it must have."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class About:
    """What `avatar.json` says.

    Attributes:
        name: of the avatar; maker: who made it; made: "YYYY-MM-DD"; tool: the program and its version.
        source: what it was made from: "video" or "photo"; teacher: where its pictures came from, "video" or a teacher.
        consent: the statement of its maker; licence: under which it may be used.
        size: of the networks: "small", "base" or "large".
        canvas: width and height in pixels; fps: frames a second it was made for; motion: name of the motion spec.
        regions: the four regions by name; shared: the networks of the package by role.
        behaviour: idle and listening manner.
        reach: what its decoders have learned to show, and how its shoulders follow its head.
        measured: quality and cost as measured at the end of creation; names to numbers, words or such tables.
    """

    name: str
    maker: str
    made: str
    tool: str
    source: str
    teacher: str
    size: str
    regions: dict[str, RegionBox]
    shared: dict[str, Shared]
    consent: str = CONSENT
    licence: str = LICENCE
    canvas: tuple[int, int] = CANVASES[0]
    fps: float = 30.0
    motion: str = field(default_factory=lambda: arkit_spec().name)
    behaviour: Behaviour = field(default_factory=Behaviour)
    reach: Reach = field(default_factory=Reach)
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Avatar:
    """One person, ready to be drawn.

    Attributes:
        about: what `avatar.json` says.
        rig: static assets by name ("rig/..."), as `Rig.to_files` makes them.
        networks: region to the bytes of its `.tflite`.
        poster: a PNG or JPEG of the person.
    """

    about: About
    rig: dict[str, bytes]
    networks: dict[str, bytes]
    poster: bytes

    def shared_network(self, role: str) -> Path:
        """The verified file of a shared network, "compositor" or "appearance".

        Raises:
            AvatarError: this installation has another one than the avatar was made with.
        """
        wanted = self.about.shared.get(role)
        if wanted is None:
            raise AvatarError(
                f"avatar {self.about.name!r} names no {role}; expected one it was made with: create it again."
            )
        entry = weights.manifest().get(wanted.name)
        if entry is None or entry["sha256"] != wanted.sha256:
            found = "none of that name" if entry is None else f"one with {entry['sha256'][:12]}"
            raise AvatarError(
                f"avatar {self.about.name!r} was made with {role} {wanted.name!r} (SHA-256 {wanted.sha256[:12]}); "
                f"this installation has {found}: install the version the avatar says, {self.about.tool}, or create "
                "it again."
            )
        return weights.path(wanted.name)

    def with_measured(self, **values: Any) -> Avatar:
        """The same avatar with further measured values."""
        return replace(self, about=replace(self.about, measured={**self.about.measured, **values}))


def shipped(name: str) -> Shared:
    """A network of this installation as an avatar names it."""
    weights.path(name)
    return Shared(name, weights.manifest()[name]["sha256"])


def is_avatar(path: str | Path) -> bool:
    """Whether a file begins as an avatar does, whatever its name."""
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(30 + len(ABOUT))
    except OSError:
        return False
    return head.startswith(MAGIC) and head[30:] == ABOUT.encode()


def read_avatar(path: str | Path) -> Avatar:
    """Read an avatar file; nothing in it is believed before it was checked.

    Raises:
        AvatarError: it is missing, damaged, altered, of another version, or not to be trusted.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise AvatarError(f"{path} is a folder; expected an avatar file: name one in it.")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise AvatarError(f"there is no file {path}; expected an avatar: check the name.") from None
    except OSError as error:
        raise AvatarError(
            f"{path} cannot be read ({error.strerror or error}); expected an avatar file: check its permissions."
        ) from error
    return parse_avatar(data, path.name)


def write_avatar(avatar: Avatar, path: str | Path) -> Path:
    """Write an avatar; `path` takes its name when the file is whole and was read back.

    Raises:
        SinkError: it cannot be written there. AvatarError: its parts do not make an avatar.
    """
    path = check_output(path)
    data = pack(_files(avatar))
    parse_avatar(data, path.name)
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written ({error.strerror or error}); expected room and permission for "
            f"{len(data) / 1e6:.1f} MB: free some, or choose another folder."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def check_output(path: str | Path) -> Path:
    """Refuse a place no avatar can be written to, before the work begins.

    Raises:
        SinkError: a wrong name, a missing folder, or no permission.
    """
    path = Path(path)
    if path.is_dir():
        raise SinkError(f"{path} is a folder; expected a file name: add one that ends in .avatar.")
    if path.suffix.lower() != ".avatar":
        raise SinkError(f"{path} does not end in .avatar; expected the name of an avatar: rename it.")
    if not path.parent.is_dir():
        raise SinkError(f"there is no folder {path.parent}; expected an existing one: create it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkError(f"{path} may not be written by this user; expected write permission: choose another folder.")
    return path


def parse_avatar(data: bytes, name: str) -> Avatar:
    """The avatar in the bytes of a file called `name`; see `read_avatar`."""
    files = unpack(data, name)
    if next(iter(files)) != ABOUT:
        raise AvatarError(f"{name} does not begin with {ABOUT}; expected an avatar file: check what it is.")
    text = files.pop(ABOUT)
    content = Fields.parse(text, f"{name}: {ABOUT}")
    version = _check_version(content, name)
    listed = content.table("files")
    _check_files(files, listed, name)
    about = _about(content, version)
    networks = {
        place[len("networks/") : -len(".tflite")]: file for place, file in files.items() if "networks/" in place
    }
    if set(networks) != set(REGION_NAMES):
        raise AvatarError(
            f"{name} has networks for {', '.join(sorted(networks)) or 'nothing'}; expected {', '.join(REGION_NAMES)}: "
            "create it again."
        )
    posters = [file for place, file in files.items() if place.startswith("poster.")]
    if len(posters) != 1:
        raise AvatarError(f"{name} has {len(posters)} posters; expected one picture: create it again.")
    rig = {place: file for place, file in files.items() if place.startswith("rig/")}
    for place, file in files.items():
        _check_content(place, file, name)
    return Avatar(about, rig, networks, posters[0])


def _check_version(content: Fields, name: str) -> int:
    found, version = content.take("format", str), content.take("version", int)
    if found != FORMAT:
        raise AvatarError(
            f"{name} says it is {found[:60]!r}; expected {FORMAT!r}: check that it is the file you meant."
        )
    if not OLDEST <= version <= VERSION:
        raise AvatarError(
            f"{name} has version {version}; this liveface reads versions {OLDEST} to {VERSION}: "
            f"{'install a newer liveface' if version > VERSION else 'create it again'}."
        )
    return int(version)


def _check_files(files: dict[str, bytes], listed: Fields, name: str) -> None:
    """Every file is listed, in a known place, and has the size and hash the list says."""
    if strange := sorted(set(files) ^ set(listed.names)):
        where = "holds" if strange[0] in files else "lacks"
        raise AvatarError(f"{name} {where} {strange[0]!r}, unlike its own list; expected both to agree: copy it again.")
    for place, content in files.items():
        entry = listed.table(place)
        size, digest = entry.take("size", int), entry.take("sha256", str)
        entry.end()
        if not _PLACES.fullmatch(place):
            raise AvatarError(f"{name} holds {place!r}, which no avatar has; expected networks, rig and poster only.")
        found = hashlib.sha256(content).hexdigest()
        if size != len(content) or digest != found:
            raise AvatarError(
                f"{name} was altered: {place} has {len(content)} bytes with SHA-256 {found[:12]}, expected {size} "
                f"with {digest[:12]}; copy or download it again."
            )


def _check_content(place: str, content: bytes, name: str) -> None:
    """A network is made of plain operators; a picture is one, and not huge; a table unpacks to little."""
    where = f"{place} of {name}"
    try:
        if place.endswith(".tflite"):
            inspect(content, where)
        elif place.endswith((".png", ".jpg")):
            header = checked_header(content, where)
            kind = {"png": "PNG", "jpg": "JPEG"}[place[-3:]]
            if header.format != kind or header.width * header.height > MAX_PICTURE_PX:
                raise AvatarError(
                    f"{where} is a {header.format} of {header.width} x {header.height} pixels; expected a {kind} of at "
                    f"most {MAX_PICTURE_PX >> 20} million: create the avatar again."
                )
        else:
            check_table(content, where)
    except (WeightsError, SignalError) as error:
        raise AvatarError(str(error)) from error


def _about(content: Fields, version: int) -> About:
    """The contents of `avatar.json` behind format, version and files."""
    if content.take("synthetic", bool) is not True:
        raise content.wrong("synthetic", "false", "true, for an avatar draws nothing else")
    made = content.table("made")
    regions = content.table("regions")
    shared = content.table("shared")
    canvas = content.integers("canvas", 2)
    about = About(
        name=content.text("name", 80),
        maker=made.text("maker"),
        made=made.text("on", 40),
        tool=made.text("tool", 80),
        source=made.choice("source", ("video", "photo")),
        teacher=made.text("teacher", 40),
        size=content.choice("size", ("small", "base", "large")),
        regions={name: _region(regions.table(name)) for name in REGION_NAMES},
        shared={role: _shared(shared.table(role)) for role in shared.names},
        consent=content.text("consent"),
        licence=content.text("licence"),
        canvas=(canvas[0], canvas[1]),
        fps=content.number("fps", 1, 60),
        motion=content.text("motion", 40),
        behaviour=_behaviour(content),
        reach=_reach(content) if version > 1 else Reach(),
        measured=_measured(content.take("measured", dict), content),
    )
    if about.canvas not in CANVASES:
        raise content.wrong("canvas", canvas, " or ".join(f"{width}x{height}" for width, height in CANVASES))
    if about.motion != arkit_spec().name:
        raise content.wrong("motion", about.motion, arkit_spec().name)
    if not {"compositor"} <= set(about.shared) <= set(SHARED):
        raise content.wrong("shared", sorted(about.shared), f"{' and '.join(SHARED)}")
    for part in (made, regions, shared, content):
        part.end()
    return about


def _region(table: Fields) -> RegionBox:
    size = table.integers("size", 2)
    every = table.take("every", int)
    box = [float(value) for value in table.numbers("box", 6)]
    table.end()
    if not all(8 <= side <= 512 and side % 8 == 0 for side in size) or not 1 <= every <= 30:
        raise table.wrong("size and every", [*size, every], "multiples of 8 up to 512, and 1 to 30 frames")
    return RegionBox((size[0], size[1]), every, tuple(box))


def _shared(table: Fields) -> Shared:
    name, digest = table.text("name", 80), table.text("sha256", 64)
    table.end()
    if not _HASH.fullmatch(digest):
        raise table.wrong("sha256", digest, "64 digits of a SHA-256")
    return Shared(name, digest)


def _behaviour(content: Fields) -> Behaviour:
    values = content.take("behaviour", dict)
    try:
        return Behaviour.from_dict(values)
    except MotionError as error:
        raise content.wrong("behaviour", values, str(error).rstrip(".")) from error


def _reach(content: Fields) -> Reach:
    values = content.take("reach", dict)
    try:
        return Reach.from_dict(values)
    except MotionError as error:
        raise content.wrong("reach", values, str(error).rstrip(".")) from error


def _measured(values: dict[str, Any], content: Fields, depth: int = 0) -> dict[str, Any]:
    """A table of names to numbers, words, lists of them, or such tables."""
    if depth > 3 or len(values) > 200:
        raise content.wrong("measured", "a table too deep or too long", "at most 4 levels of 200 values")
    for key, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                _measured(one, content, depth + 1)
            elif isinstance(one, str):
                content.printable("measured", one, 200)
            elif not (one is None or (isinstance(one, int | float) and abs(one) < 1e18)):
                raise content.wrong(f"measured, {key}", one, "numbers and words")
        content.printable("measured", key, 80)
    return values


def _files(avatar: Avatar) -> dict[str, bytes]:
    """Every file of an avatar by name, `avatar.json` first."""
    poster = next((name for start, name in _POSTERS.items() if avatar.poster.startswith(start)), "poster.bin")
    files = {poster: avatar.poster, **avatar.rig}
    files |= {f"networks/{name}.tflite": content for name, content in avatar.networks.items()}
    about = avatar.about
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": about.name,
        "synthetic": True,
        "made": {
            "maker": about.maker, "on": about.made, "tool": about.tool, "source": about.source,
            "teacher": about.teacher,
        },
        "consent": about.consent,
        "licence": about.licence,
        "size": about.size,
        "canvas": list(about.canvas),
        "fps": about.fps,
        "motion": about.motion,
        "regions": {
            name: {"size": list(region.size), "every": region.every, "box": [round(x, 6) for x in region.box]}
            for name, region in about.regions.items()
        },
        "shared": {role: {"name": one.name, "sha256": one.sha256} for role, one in about.shared.items()},
        "behaviour": about.behaviour.to_dict(),
        "reach": about.reach.to_dict(),
        "measured": about.measured,
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }  # fmt: skip
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()
    return {ABOUT: text, **files}
