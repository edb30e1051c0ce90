"""What a file is, read from its bytes and never from its name.

Pictures are recognised and measured here before anything decodes them, so that a picture too large for memory is
refused from its header alone and a file that ends early is noticed. Sound and video are opened by PyAV instead; only
the top-level boxes of an MP4 are looked at, to tell an unfinished copy from a damaged one.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

MOTION_COLUMNS = ("eyeblinkleft", "jawopen")  # both stand in the first line of every ARKit motion table
MAX_PROFILE = 4_000_000  # bytes of a colour profile; those of printers reach 3 MB
TEXT_SAMPLE = 4096  # bytes looked at when telling text from binary data; chosen


@dataclass(frozen=True, slots=True)
class Picture:
    """The header of a picture.

    Attributes:
        format: name for people, for instance "JPEG".
        width: pixels of a row as stored, before `orientation`; 0 when the header is unreadable.
        height: rows as stored.
        orientation: EXIF orientation 1 to 8; 1 needs nothing.
        frames: pictures in the file; above 1 it is an animation (2 stands for "several" where counting is dear).
        complete: False when the file ends before its picture does.
        profile: embedded ICC colour profile, or nothing.
        tiles: HEIC only: stream ids of the picture's tiles in reading order, and tiles in one row.
    """

    format: str
    width: int = 0
    height: int = 0
    orientation: int = 1
    frames: int = 1
    complete: bool = True
    profile: bytes = b""
    tiles: tuple[tuple[int, ...], int] = ((), 1)

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height as seen, after the orientation."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def picture(data: bytes) -> Picture | None:
    """Read the header of a whole picture file; None when the bytes are no picture format of this list."""
    for recognise, parse in _FORMATS:
        name = recognise(data)
        if name:
            try:
                return parse(data, name)
            except (struct.error, LookupError, ValueError, zlib.error):
                return Picture(name, complete=False)
    return None


def picture_name(head: bytes) -> str | None:
    """The picture format that the first 64 bytes announce, or None."""
    return next((name for recognise, _ in _FORMATS if (name := recognise(head))), None)


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file read as text."""
    sample = head[:TEXT_SAMPLE]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    if b"\0" in sample:
        return False
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(sample) - 3 and error.reason == "unexpected end of data"
    return True


def is_motion_table(head: bytes) -> bool:
    """Whether the first line names ARKit coefficients, as Live Link Face CSV files do."""
    first = head.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace").lower().replace(" ", "")
    return all(name in first for name in MOTION_COLUMNS)


def mp4_parts(stream: BinaryIO, size: int) -> tuple[set[str], bool]:
    """Names of the top-level boxes of an MP4 of `size` bytes, and whether the last one ends inside the file."""
    names: set[str] = set()
    position = 0
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        names.add(kind.decode("latin-1"))
        if length == 0:  # reaches to the end of the file
            return names, True
        if length < 8:
            return names, False
        position += length
    return names, position == size


def clockwise_degrees(orientation: int) -> int:
    """The turn that an EXIF orientation asks for, mirrors aside."""
    return {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(orientation, 0)


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, of an EXIF block (a TIFF header and its first directory); 1 when it has none."""
    try:
        return _tiff_tags(tiff).get(274, 1)
    except (struct.error, ValueError):
        return 1


def _tiff_tags(data: bytes) -> dict[int, int]:
    """The whole-number tags of the first directory of a TIFF."""
    order = {b"II": "<", b"MM": ">"}[bytes(data[:2])] if bytes(data[:2]) in (b"II", b"MM") else ""
    if not order:
        raise ValueError("no TIFF header")
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    tags: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
        if number == 1 and kind in (3, 4):
            tags[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)[0]
    tags[274] = tags.get(274, 1) if 1 <= tags.get(274, 1) <= 8 else 1
    return tags


def _jpeg(data: bytes, name: str) -> Picture:
    at, found = 2, Picture(name)
    while True:
        while data[at] != 0xFF:
            at += 1
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 1)
        body = data[at + 3 : at + 1 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", body, 1)
            found = replace(found, width=width, height=height)
        elif marker == 0xE1 and body[:6] == b"Exif\0\0":
            found = replace(found, orientation=exif_orientation(body[6:]))
        elif marker == 0xE2 and body[:12] == b"ICC_PROFILE\0":  # in parts, which follow each other in order
            found = replace(found, profile=found.profile + body[14:])
        elif marker == 0xDA:  # the scan: from here on FF D9 can only be the end, other FF bytes are escaped
            return replace(found, complete=data.find(b"\xff\xd9", at + length) >= 0)
        at += 1 + length


def _png(data: bytes, name: str) -> Picture:
    at, found, ended = 8, Picture(name), False
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, at + 8)
            found = replace(found, width=width, height=height)
        elif kind == b"acTL":
            found = replace(found, frames=struct.unpack_from(">I", data, at + 8)[0])
        elif kind == b"eXIf":
            found = replace(found, orientation=exif_orientation(data[at + 8 : at + 8 + length]))
        elif kind == b"iCCP":
            packed = data[at + 8 : at + 8 + length].split(b"\0", 1)[1][1:]
            found = replace(found, profile=zlib.decompressobj().decompress(packed, MAX_PROFILE))
        elif kind == b"IEND":
            ended = True
            break
        at += 12 + length
    return replace(found, complete=ended)


def _gif(data: bytes, name: str) -> Picture:
    width, height, packed = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (packed & 7) + 1 if packed & 0x80 else 0)
    frames = 0
    while at < len(data):
        if data[at] == 0x3B:
            return Picture(name, width, height, frames=frames)
        if data[at] == 0x2C:
            frames += 1
            local = data[at + 9]
            at += 11 + (3 << (local & 7) + 1 if local & 0x80 else 0)
        elif data[at] == 0x21:
            at += 2
        else:
            break
        while data[at]:
            at += data[at] + 1
        at += 1
    return Picture(name, width, height, frames=frames, complete=frames > 1)


def _webp(data: bytes, name: str) -> Picture:
    (size,) = struct.unpack_from("<I", data, 4)
    found = Picture(name, complete=size + 8 <= len(data))
    at, frames = 12, 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"VP8X":
            width, height = (int.from_bytes(body[i : i + 3], "little") + 1 for i in (4, 7))
            found = replace(found, width=width, height=height)
        elif kind == b"VP8 " and not found.width:
            width, height = struct.unpack_from("<HH", body, 6)
            found = replace(found, width=width & 0x3FFF, height=height & 0x3FFF)
        elif kind == b"VP8L" and not found.width:
            (bits,) = struct.unpack_from("<I", body, 1)
            found = replace(found, width=(bits & 0x3FFF) + 1, height=(bits >> 14 & 0x3FFF) + 1)
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"ICCP":
            found = replace(found, profile=body)
        elif kind == b"EXIF":
            found = replace(found, orientation=exif_orientation(body.removeprefix(b"Exif\0\0")))
        at += 8 + length + (length & 1)
    return replace(found, frames=max(1, frames))


def _tiff(data: bytes, name: str) -> Picture:
    tags = _tiff_tags(data)
    return Picture(name, tags.get(256, 0), tags.get(257, 0), tags[274])


def _bmp(data: bytes, name: str) -> Picture:
    size, header = struct.unpack_from("<I", data, 2)[0], struct.unpack_from("<I", data, 14)[0]
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return Picture(name, abs(width), abs(height), complete=size <= len(data))


def _pnm(data: bytes, name: str) -> Picture:
    words: list[bytes] = []
    for line in data[2:4096].split(b"\n"):
        words += line.split(b"#", 1)[0].split()
        if len(words) >= 2:
            return Picture(name, int(words[0]), int(words[1]))
    return Picture(name, complete=False)


def _jp2(data: bytes, name: str) -> Picture:
    at = data.find(b"\xff\x4f\xff\x51")  # start of codestream, then the size segment
    x1, y1, x0, y0 = struct.unpack_from(">IIII", data, at + 8)
    return Picture(name, x1 - x0, y1 - y0, complete=at >= 0)


def _boxes(data: bytes, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """Boxes of an ISO file between two positions: kind, start and end of the content."""
    found: list[tuple[bytes, int, int]] = []
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            length, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        length = length or end - start
        if length < head or start + length > end:
            raise ValueError("a box ends after its parent")
        found.append((kind, start + head, start + length))
        start += length
    return found


def _heif(data: bytes, name: str) -> Picture:
    """AVIF and HEIC: the primary item's size, turn and, for a grid, its tiles.

    Source: ISO/IEC 23008-12 (items, properties, image grids) and 14496-12 (boxes).
    """
    complete = mp4_parts(io.BytesIO(data), len(data))[1]
    top = _boxes(data, 0, len(data)) if complete else []
    frames = 2 if data[8:12] in (b"avis", b"hevc") and any(kind == b"moov" for kind, _, _ in top) else 1
    meta = next(((a + 4, b) for kind, a, b in top if kind == b"meta"), None)
    if meta is None:
        return Picture(name, complete=False)
    parts = {kind: (a, b) for kind, a, b in _boxes(data, *meta)}
    at = parts[b"pitm"][0]
    (primary,) = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)
    width, height, turn, mirror, profile = _item_properties(data, parts[b"iprp"], primary)
    orientation = {0: 1, 1: 8, 2: 3, 3: 6}[turn]
    if mirror is not None:  # after the turn: 0 exchanges top and bottom, 1 left and right
        orientation = {1: (4, 2), 8: (5, 7), 3: (2, 4), 6: (7, 5)}[orientation][mirror]
    tiles = _item_references(data, parts[b"iref"], primary) if b"iref" in parts else ()
    columns = _grid_columns(data, parts, primary) if tiles else 1
    return Picture(name, width, height, orientation, frames, complete, profile, (tiles or (primary,), columns))


def _item_properties(data: bytes, iprp: tuple[int, int], item: int) -> tuple[int, int, int, int | None, bytes]:
    """Width, height, quarter turns anticlockwise, mirror axis and colour profile of one item."""
    parts = {kind: (a, b) for kind, a, b in _boxes(data, *iprp)}
    kinds = _boxes(data, *parts[b"ipco"])
    at = parts[b"ipma"][0]
    wide, large = data[at] > 0, data[at + 3] & 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    width = height = turn = 0
    mirror: int | None = None
    profile = b""
    for _ in range(count):
        (owner,) = struct.unpack_from(">I" if wide else ">H", data, at)
        at += 4 if wide else 2
        number = data[at]
        at += 1
        for _ in range(number):
            index = struct.unpack_from(">H", data, at)[0] & 0x7FFF if large else data[at] & 0x7F
            at += 2 if large else 1
            if owner != item or not 1 <= index <= len(kinds):
                continue
            kind, start, end = kinds[index - 1]
            if kind == b"ispe":
                width, height = struct.unpack_from(">II", data, start + 4)
            elif kind == b"irot":
                turn = data[start] & 3
            elif kind == b"imir":
                mirror = data[start] & 1
            elif kind == b"colr" and data[start : start + 4] in (b"prof", b"rICC"):
                profile = data[start + 4 : end]
    return width, height, turn, mirror, profile


def _item_references(data: bytes, iref: tuple[int, int], item: int) -> tuple[int, ...]:
    """The items a derived picture is made of, in order."""
    code, step = (">H", 2) if data[iref[0]] == 0 else (">I", 4)
    for kind, start, _ in _boxes(data, iref[0] + 4, iref[1]):
        if kind == b"dimg" and struct.unpack_from(code, data, start)[0] == item:
            (count,) = struct.unpack_from(">H", data, start + step)
            first = start + step + 2
            return tuple(struct.unpack_from(code, data, first + step * i)[0] for i in range(count))
    return ()


def _grid_columns(data: bytes, parts: dict[bytes, tuple[int, int]], item: int) -> int:
    """Tiles in one row of a grid item: the fourth byte of its content."""
    at = parts[b"iloc"][0]
    version = data[at]
    sizes = data[at + 4], data[at + 5]
    widths = [sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4, sizes[1] & 15 if version else 0]
    (count,) = struct.unpack_from(">H" if version < 2 else ">I", data, at + 6)
    at += 8 if version < 2 else 10

    def number(width: int) -> int:
        nonlocal at
        at += width
        return int.from_bytes(data[at - width : at], "big")

    for _ in range(count):
        owner = number(2 if version < 2 else 4)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(widths[2])
        for extent in range(number(2)):
            number(widths[3])
            start = base + number(widths[0])
            number(widths[1])
            if owner == item and extent == 0:
                start += parts[b"idat"][0] if method == 1 else 0
                return data[start + 3] + 1
    raise ValueError("the grid has no content")


def _starts(name: str, *heads: bytes) -> Callable[[bytes], str | None]:
    return lambda data: name if data.startswith(heads) else None


def _is_heif(data: bytes) -> str | None:
    if data[4:8] != b"ftyp":
        return None
    (length,) = struct.unpack_from(">I", data)
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, min(length, 64), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & {b"heic", b"heix", b"heim", b"heis", b"mif1"} and data[8:12] != b"isom" else None


def _is_webp(data: bytes) -> str | None:
    return "WebP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _is_pnm(data: bytes) -> str | None:
    return "PNM" if len(data) > 3 and data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace() else None


def _is_bmp(data: bytes) -> str | None:
    headers = (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0")  # sizes of the known versions
    return "BMP" if data[:2] == b"BM" and data[14:18] in headers else None


_FORMATS = (
    (_starts("JPEG", b"\xff\xd8\xff"), _jpeg),
    (_starts("PNG", b"\x89PNG\r\n\x1a\n"), _png),
    (_starts("GIF", b"GIF87a", b"GIF89a"), _gif),
    (_is_webp, _webp),
    (_starts("TIFF", b"II*\0", b"MM\0*"), _tiff),
    (_is_bmp, _bmp),
    (_is_pnm, _pnm),
    (_starts("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), _jp2),
    (_is_heif, _heif),
)
