"""A zip file read with suspicion: a few small files with plain names, and nothing else.

Notable choices: the whole archive is in memory and small, so every offset is checked before a byte is unpacked; only
what our own writer makes is accepted (stored or deflated, no directories, no links, no comment, no gap before or
between entries), because every further feature of the format has served somebody as a way in. Known attacks that are
refused: names that leave the folder, names that differ only in case or hide behind a NUL, symbolic links, devices,
encrypted entries, entries that share their bytes, compression bombs, sizes that lie.
"""

from __future__ import annotations

import io
import math
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from liveface.errors import AvatarError

MAX_ENTRIES = 64
MAX_ENTRY_BYTES = 32 << 20
MAX_BYTES = 64 << 20  # packed, and unpacked
MAX_RATIO = 100  # unpacked over packed; networks measured 1.1 to 1.6, flat pictures below 30
RATIO_FREE_BYTES = 1 << 20  # entries up to here may be packed as well as they like
MAX_TABLE_BYTES = 16 << 20  # of all arrays in an .npz, unpacked
MAGIC = b"PK\x03\x04"
_END, _END_BYTES = b"PK\x05\x06", 22
_LOCAL_BYTES = 30
_DATE = (1980, 1, 1, 0, 0, 0)  # the same content makes the same bytes
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*){0,3}")
_ENCRYPTED, _STREAMED = 0x1, 0x8
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, NotImplementedError, IndexError)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a zip with `files` in their order; the first is stored as it is, so that its name and text show."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for at, (name, content) in enumerate(files.items()):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3
            worth = at > 0 and len(zlib.compress(content, 6)) < 0.95 * len(content)
            entry.compress_type = zipfile.ZIP_DEFLATED if worth else zipfile.ZIP_STORED
            archive.writestr(entry, content, compresslevel=6)
    return whole.getvalue()


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """Every file of a zip by name, after all checks; `name` is that of the archive, for messages.

    Raises:
        AvatarError: what is wrong with it.
    """
    _check_frame(data, name)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, archive.start_dir, name)
            return {entry.filename: _content(archive, entry, name) for entry in entries}
    except _DAMAGE as no:
        raise AvatarError(
            f"{name} is a damaged archive ({no}); expected a whole avatar file: copy or download it again."
        ) from no


def _check_frame(data: bytes, name: str) -> None:
    """The archive begins with an entry, ends with its directory, and is of a usable size."""
    if len(data) > MAX_BYTES:
        raise AvatarError(
            f"{name} has {len(data) / 1e6:.0f} MB; expected an avatar of at most {MAX_BYTES >> 20} MiB: it is not one "
            "of ours, do not use it."
        )
    if not data.startswith(MAGIC) or data[-_END_BYTES : -_END_BYTES + 4] != _END or data[-2:] != b"\0\0":
        raise AvatarError(
            f"{name} does not begin and end as an avatar file does (it is cut off, or something was added to it); "
            "expected the file as it was written: copy or download it again."
        )


def _check_entries(entries: list[zipfile.ZipInfo], directory: int, name: str) -> None:
    """Names, kinds, sizes and places of all entries."""
    if not 1 <= len(entries) <= MAX_ENTRIES:
        raise AvatarError(f"{name} holds {len(entries)} files; expected 1 to {MAX_ENTRIES}: it is no avatar of ours.")
    seen: set[str] = set()
    for entry in entries:
        _check_entry(entry, name)
        if entry.filename.lower() in seen:
            raise AvatarError(f"{name} holds {entry.filename!r} twice; expected each file once: do not use it.")
        seen.add(entry.filename.lower())
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        raise AvatarError(
            f"{name} unpacks to {total / 1e6:.0f} MB; expected at most {MAX_BYTES >> 20} MiB: do not use it."
        )
    places = sorted((entry.header_offset, entry.compress_size, len(entry.orig_filename)) for entry in entries)
    ends = [place + _LOCAL_BYTES + named + packed for place, packed, named in places]
    if [place for place, _, _ in places] + [directory] != [0, *ends]:
        raise AvatarError(
            f"{name} has files that overlap or hide bytes between them; expected one after the other: do not use it."
        )


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    """One entry is a plain file with a plain name and an honest size."""
    shown = entry.orig_filename[:80]
    if entry.orig_filename != entry.filename or not _NAME.fullmatch(shown) or ".." in shown:
        raise AvatarError(
            f"{name} holds a file named {shown!r}; expected names of small letters, digits and _ . - within its own "
            "folders: do not use it."
        )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        raise AvatarError(f"{name} holds {shown!r}, which is a link or no file; expected plain files: do not use it.")
    if entry.flag_bits & (_ENCRYPTED | _STREAMED) or entry.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise AvatarError(
            f"{name} holds {shown!r} encrypted or packed by an unknown method; expected stored or deflated files: "
            "write it with liveface."
        )
    bomb = entry.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * entry.compress_size)
    if entry.file_size > MAX_ENTRY_BYTES or bomb:
        raise AvatarError(
            f"{name} holds {shown!r}, {entry.compress_size} bytes that unpack to {entry.file_size}; expected at most "
            f"{MAX_ENTRY_BYTES >> 20} MiB and {MAX_RATIO} times the packed size: do not use it."
        )


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes:
    """One file unpacked, never more than it said."""
    with archive.open(entry) as stream:
        content = stream.read(entry.file_size + 1)  # zipfile compares the check sum at the end
    if len(content) != entry.file_size:
        raise AvatarError(
            f"{name} says {entry.filename!r} has {entry.file_size} bytes but holds {len(content)}; expected them to "
            "agree: do not use it."
        )
    return content


def check_table(data: bytes, name: str) -> None:
    """Refuse an `.npz` that `numpy.load` would stumble over: too large, objects, or shapes that lie.

    Args:
        data: its bytes; name: for messages.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_ENTRIES or total > MAX_TABLE_BYTES:
                raise AvatarError(
                    f"{name} unpacks to {len(entries)} arrays of {total} bytes; expected at most {MAX_ENTRIES} of "
                    f"{MAX_TABLE_BYTES >> 20} MiB: do not use it."
                )
            for entry in entries:
                _check_array(archive, entry)
    except _DAMAGE as no:
        raise AvatarError(
            f"{name} is a damaged table ({no}); expected arrays as liveface writes them: copy it again."
        ) from no


def _check_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """One array has exactly the bytes its header promises, and no objects."""
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"array format {version}")
        shape, _, kind = read(stream)
        promised = stream.tell() + math.prod(shape) * kind.itemsize
    if kind.hasobject or kind.itemsize == 0 or promised != entry.file_size:
        raise ValueError(f"an array of {promised} bytes in {entry.file_size}")
