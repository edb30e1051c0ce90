"""Motion files: the Live Link Face CSV that trackers and engines share, and a compact file of our own (`.lfm`).

Notable choices:
- The CSV has a time code, a count and 61 values a row: 52 ARKit coefficients in Live Link's names and order, then
  yaw, pitch and roll of the head and of both eyes in radians. Signs, read off recordings of the app by comparing eye
  angles with the eyeLook coefficients, and confirmed by Unreal's conversion of ARKit's axes: positive pitch looks
  down, positive yaw looks to the person's own right (the image's left), positive roll leans the head to the image's
  right. The house differs in yaw only, so yaw changes its sign on the way in and out.
- The CSV carries no position and no landmarks: x, y, z become zero. Eye rolls are ignored and written as zero.
- Rates are read off the time code `HH:MM:SS:FF.fff`: the frame count rolls over once a second. So that a short file of
  ours can be read back too, our first row is the last frame of a second (`00:59:59:29.000` at 30 fps).
- Rows in which the app lost the face hold no values; they, and skipped frames, are filled by interpolation in time.
- `.lfm` is `LFM1`, a length, a JSON header, and one zlib stream: coefficients as float16, all else as float32, each
  track contiguous. Nothing in it is executable, sizes are checked before anything is allocated.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from liveface.errors import MotionError, SinkError
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, HOUSE_FPS, Array, Motion, arkit_spec

MAGIC = b"LFM1"
MAX_FRAMES = 432_000  # two hours at 60 fps: 110 MB in memory, chosen
MAX_LINE = 65_536  # characters; a row of 63 columns has about 800
MAX_HEADER = 1_000_000  # bytes of an .lfm header
FULL_GAZE_RAD = 0.52  # eyeLook coefficient 1.0, measured on recordings of the app (coefficient over angle)
MIN_COLUMNS = 8  # fewer known coefficients than this is some other table
MAX_VALUE = 10.0  # coefficients beyond this are another unit (percent), not a strong expression
LIVE_LINK_FPS = 60  # the app's default, for files too short to show a rollover
MAX_STRIDE = 6.5  # rows further apart than this many frames are gaps, not a rate
COMMON_FPS = (24, 25, 30, 48, 50, 60, 90, 100, 120)

_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
LIVE_LINK_NAMES: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
"""The 52 coefficients in the CSV's order, which has jawRight and mouthRight before their left sides."""
ANGLE_NAMES = tuple(f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll"))

_TIMECODE = re.compile(r"^\s*(\d{1,3}):(\d{1,2}):(\d{1,2})[:;.](\d{1,4}(?:\.\d*)?)\s*$")


def save_motion(motion: Motion, path: str | Path) -> Path:
    """Write `motion` to `path`: Live Link Face CSV for `.csv`, the compact own file for `.lfm`."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".csv", ".lfm"):
        raise MotionError(f"cannot write motion to {path.name!r}; expected a name that ends in .csv or .lfm.")
    if motion.spec.expression != ARKIT_NAMES:
        raise MotionError(f"cannot write {motion.spec.name!r} motion to a file; expected the 52 ARKit coefficients.")
    if not len(motion):
        raise MotionError("cannot write a motion of 0 frames; expected at least one frame.")
    if not path.parent.is_dir():
        raise SinkError(f"folder {path.parent} does not exist; make it first, or name another output.")
    temporary = path.with_name(f".{path.name}.part")
    try:
        if kind == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                write_csv(motion, stream)
        else:
            temporary.write_bytes(_pack(motion))
        temporary.replace(path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}; free some space or name another.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_motion(path: str | Path, fps: float | None = None) -> Motion:
    """Read a motion file, told apart by its content.

    Args:
        path: a Live Link Face CSV or an `.lfm` file.
        fps: the CSV's rate where the time code does not tell; `.lfm` knows its own.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) == MAGIC:
                return _unpack(stream, path.name)
        with path.open("r", encoding="utf-8-sig", errors="replace", newline=None) as text:
            return read_csv(text, path.name, fps)
    except FileNotFoundError:
        raise MotionError(f"there is no file {path}; check the name.") from None
    except OSError as error:
        raise MotionError(f"cannot read {path}: {error.strerror or error}; check the name and permissions.") from error


def write_csv(motion: Motion, stream: IO[str]) -> None:
    """Write the Live Link Face CSV; a rate that is no whole number is resampled to the nearest one."""
    rate = max(1, round(motion.fps))
    motion = motion.resample(rate)
    names = [name[0].upper() + name[1:] for name in LIVE_LINK_NAMES]
    stream.write(",".join(["Timecode", "BlendshapeCount", *names, *ANGLE_NAMES]) + "\n")
    order = [ARKIT_INDEX[name] for name in LIVE_LINK_NAMES]
    zero = np.zeros(len(motion), np.float32)
    pitch, yaw, roll = motion.head[:, 0], motion.head[:, 1], motion.head[:, 2]
    left, right = motion.gaze[:, :2], motion.gaze[:, 2:]
    angles = np.stack([-yaw, pitch, roll, -left[:, 1], left[:, 0], zero, -right[:, 1], right[:, 0], zero], 1)
    rows = np.concatenate([motion.expression[:, order], angles], 1)
    for index, row in enumerate(rows):
        second, frame = divmod(3600 * rate - 1 + index, rate)
        time = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{frame:02d}.000"
        stream.write(f"{time},{len(row)}," + ",".join(f"{value:.10f}" for value in row) + "\n")


def read_csv(stream: IO[str], name: str = "motion.csv", fps: float | None = None) -> Motion:
    """Read a Live Link Face CSV from text; `name` is used in messages, `fps` overrides the time code."""
    lines = _lines(stream, name)
    header = next(lines, (0, ""))[1]
    split = max(",;\t", key=header.count)
    columns = [_plain(cell) for cell in header.split(split)]
    places = {column: index for index, column in reversed(list(enumerate(columns)))}
    known = [(ARKIT_INDEX[coefficient], places[_plain(coefficient)]) for coefficient in ARKIT_NAMES
             if _plain(coefficient) in places]  # fmt: skip
    if len(known) < MIN_COLUMNS:
        raise MotionError(
            f"{name} names {len(known)} of the 52 ARKit coefficients in its first line; "
            "expected a Live Link Face CSV, or an .lfm file."
        )
    angles = [(slot, places[_plain(angle)]) for slot, angle in enumerate(ANGLE_NAMES) if _plain(angle) in places]
    wanted = [*known, *((52 + slot, place) for slot, place in angles)]
    codes, rows = [], []
    for number, line in lines:
        cells = line.split(split)
        values = _row_values(cells, wanted, f"{name}, line {number}")
        codes.append(cells[places["timecode"]] if "timecode" in places and places["timecode"] < len(cells) else "")
        rows.append(values)
    table = np.array([row for row in rows if row is not None], np.float32)
    if not len(table):
        raise MotionError(f"{name} holds no row with values; expected at least one frame of motion.")
    times, rate = _clock(codes, fps)
    kept = np.array([row is not None for row in rows])
    table = _even(times[kept] - times[kept][0], table, rate)
    if len(table) > MAX_FRAMES:
        raise MotionError(f"{name} spans {len(table)} frames; expected at most {MAX_FRAMES}. Cut it into parts.")
    return _from_table(table, {slot for slot, _ in wanted}, rate, name)


def _lines(stream: IO[str], name: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank, with every limit kept."""
    count = number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise MotionError(f"line {number} of {name} is longer than {MAX_LINE} characters; expected a motion table.")
        if not line.strip(" \t\r\n,;\ufeff\0"):
            continue
        count += 1
        if count > MAX_FRAMES + 1:
            raise MotionError(f"{name} has more than {MAX_FRAMES} frames; cut it into parts.")
        yield number, line.rstrip("\r\n")


def _plain(name: str) -> str:
    """A column's name without case, quotes, spaces, and with `_L` / `_R` written out."""
    name = name.strip(" \t\"'\ufeff").replace(" ", "")
    name = re.sub(r"_?[lL]$", "Left", name) if re.search(r"_[lL]$", name) else name
    name = re.sub(r"_[rR]$", "Right", name)
    return name.replace("_", "").lower()


def _row_values(cells: list[str], wanted: list[tuple[int, int]], where: str) -> list[float] | None:
    """The 61 values of one row; None where the app wrote a row without a face."""
    values = [0.0] * 61
    empty = 0
    for slot, place in wanted:
        cell = cells[place].strip(" \t\"'\0") if place < len(cells) else ""
        if not cell:
            empty += 1
            continue
        try:
            value = float(cell)
        except ValueError:
            raise MotionError(f"{where}: {cell[:40]!r} is no number; expected a motion coefficient.") from None
        limit = MAX_VALUE if slot < 52 else 360.0
        if not abs(value) <= limit:
            raise MotionError(f"{where}: value {cell[:40]} is out of range; expected at most {limit:g}.")
        values[slot] = value
    if empty == len(wanted):
        return None
    if empty:
        raise MotionError(f"{where}: {empty} of {len(wanted)} values are missing; the file seems cut off or damaged.")
    return values


def _clock(codes: list[str], fps: float | None) -> tuple[Array, float]:
    """Times of the rows in seconds, and the rate; rows are taken as even where time codes do not help."""
    count = len(codes)
    found = [_TIMECODE.match(code) for code in codes]
    parts = [(int(m[1]) * 3600 + int(m[2]) * 60 + int(m[3]), float(m[4])) for m in found if m]
    if len(parts) < count or count < 2:
        rate = float(fps or (HOUSE_FPS if len(parts) < count else LIVE_LINK_FPS))
        return (np.arange(count) / rate).astype(np.float32), rate
    seconds = np.array([part[0] for part in parts], np.float64)
    seconds += 86_400 * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -43_200)  # past midnight
    frames = np.array([part[1] for part in parts])
    highest = int(frames.max())
    rolled = bool((np.diff(frames) < 0).any())
    base = next((rate for rate in COMMON_FPS if rate > highest), highest + 1)
    base = base if rolled or highest >= LIVE_LINK_FPS else LIVE_LINK_FPS
    times = seconds + frames / base
    steps = np.diff(times)
    if (steps <= 0).any() or fps:
        rate = float(fps or base)  # a clock that stands still or runs back tells nothing
        return (np.arange(count) / rate).astype(np.float32), rate
    stride = float(np.median(steps)) * base  # frames of the time code from row to row: 1, or 2 for 30 of 60
    rate = base / max(1, round(stride)) if stride < MAX_STRIDE else float(base)
    return (times - times[0]).astype(np.float32), rate


def _even(times: Array, table: Array, rate: float) -> Array:
    """The rows `[T, 61]` on an even grid; untouched when they already are within half a frame."""
    wanted = round(float(times[-1]) * rate) + 1
    if wanted > MAX_FRAMES:
        return np.zeros((wanted, 0), np.float32)  # refused by the caller with its length
    index = np.arange(len(times)) / rate
    if wanted == len(times) and np.abs(times - index).max() < 0.5 / rate:
        return table
    grid = np.arange(wanted) / rate
    return np.stack([np.interp(grid, times, column) for column in table.T], 1).astype(np.float32)


def _from_table(table: Array, present: set[int], rate: float, name: str) -> Motion:
    """Motion from 61 columns in house order of coefficients and CSV order of angles."""
    expression = np.clip(table[:, :52], -0.5, 1.5)
    angles = table[:, 52:]
    if np.abs(angles).max(initial=0) > np.pi:
        angles = np.deg2rad(angles)  # some exporters write degrees
    head = np.zeros((len(table), 6), np.float32)
    head[:, 0], head[:, 1], head[:, 2] = angles[:, 1], -angles[:, 0], angles[:, 2]
    if {55, 56, 58, 59} <= present:
        gaze = np.stack([angles[:, 4], -angles[:, 3], angles[:, 7], -angles[:, 6]], 1)
    else:
        gaze = gaze_from_expression(expression)
    try:
        return Motion(expression, head, gaze, arkit_spec(rate))
    except MotionError as error:
        raise MotionError(f"{name}: {error}") from error


def gaze_from_expression(expression: Array) -> Array:
    """Gaze `[T, 4]` in radians from the eyeLook coefficients of `expression` `[T, 52]`."""
    look = {name: expression[:, ARKIT_INDEX[name]] for name in ARKIT_NAMES if name.startswith("eyeLook")}
    left = look["eyeLookOutLeft"] - look["eyeLookInLeft"]  # the person's left is the image's right
    right = look["eyeLookInRight"] - look["eyeLookOutRight"]
    pitch = [look[f"eyeLookDown{side}"] - look[f"eyeLookUp{side}"] for side in ("Left", "Right")]
    return (FULL_GAZE_RAD * np.stack([pitch[0], left, pitch[1], right], 1)).astype(np.float32)


def _pack(motion: Motion) -> bytes:
    """The bytes of an `.lfm` file."""
    tracks: dict[str, tuple[Array, str]] = {
        "expression": (motion.expression, "<f2"),
        "head": (motion.head, "<f4"),
        "gaze": (motion.gaze, "<f4"),
    }
    if motion.landmarks is not None:
        tracks["landmarks"] = (motion.landmarks, "<f4")
    raw = b"".join(np.moveaxis(value, 0, -1).astype(kind).tobytes() for value, kind in tracks.values())
    header = {
        "version": 1,
        "fps": motion.fps,
        "expression": list(motion.spec.expression),
        "tracks": [[name, list(value.shape), kind] for name, (value, kind) in tracks.items()],
        "crc32": zlib.crc32(raw),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + zlib.compress(raw, 6)


def _unpack(stream: IO[bytes], name: str) -> Motion:
    """Motion from an `.lfm` stream behind its magic; anything unexpected is refused."""
    damaged = f"{name} is not a whole .lfm motion file; it seems cut off, altered or of another version."
    length = stream.read(4)
    size = struct.unpack("<I", length)[0] if len(length) == 4 else MAX_HEADER + 1
    if size > MAX_HEADER:
        raise MotionError(damaged)
    try:
        header: dict[str, Any] = json.loads(stream.read(size))
        tracks = [
            (str(track), tuple(int(side) for side in shape), str(kind)) for track, shape, kind in header["tracks"]
        ]
        fps, crc, version = float(header["fps"]), int(header["crc32"]), header["version"]
        names = tuple(header["expression"])
    except (ValueError, KeyError, TypeError) as error:
        raise MotionError(damaged) from error
    if version != 1 or names != ARKIT_NAMES:
        raise MotionError(f"{name} has version {version} and {len(names)} coefficients; expected version 1 and 52.")
    _check_tracks(tracks, damaged)
    sizes = [int(np.prod(shape)) * np.dtype(kind).itemsize for _, shape, kind in tracks]
    unzip = zlib.decompressobj()
    try:
        raw = unzip.decompress(stream.read(), sum(sizes) + 1)
    except zlib.error as error:
        raise MotionError(damaged) from error
    if len(raw) != sum(sizes) or zlib.crc32(raw) != crc or unzip.unused_data:
        raise MotionError(damaged)
    values, start = {}, 0
    for (track, shape, kind), count in zip(tracks, sizes, strict=True):
        flat = np.frombuffer(raw, kind, offset=start, count=count // np.dtype(kind).itemsize)
        values[track] = np.moveaxis(flat.reshape(*shape[1:], shape[0]), -1, 0).astype(np.float32)
        start += count
    return Motion(values["expression"], values["head"], values["gaze"], arkit_spec(fps), values.get("landmarks"))


def _check_tracks(tracks: list[tuple[str, tuple[int, ...], str]], damaged: str) -> None:
    """Refuse track tables whose names, shapes or types are not the format's, before anything is allocated."""
    frames = tracks[0][1][0] if tracks and tracks[0][1] else 0
    plain = [("expression", (frames, 52), "<f2"), ("head", (frames, 6), "<f4"), ("gaze", (frames, 4), "<f4")]
    full = [*plain, ("landmarks", (frames, 478, 2), "<f4")]
    if not 0 < frames <= MAX_FRAMES or tracks not in (plain, full):
        raise MotionError(damaged)
