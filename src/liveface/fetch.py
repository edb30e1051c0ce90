"""Weights of others, brought by the user: checked, converted to safetensors, recorded.

Notable choices: a checkpoint is a pickle, and a pickle is a program. Its instructions are first read without
being run; only those that rebuild plain tensors pass, and only then does torch load it, with `weights_only`. Keys and
shapes must be exactly those of our network, values must be finite numbers. Files are made in a folder beside their own
and moved when all are well; the record comes last, so that a fetch that was stopped leaves nothing that looks whole.
"""

from __future__ import annotations

import json
import os
import pickletools
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveface import store
from liveface.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
Say = Callable[[str], None]

SLACK = 4.0  # a file may be so many times as large as its numbers in float32: optimizer states, doubles
ROOM_BYTES = 32 << 20  # and so much larger still
MAX_PROGRAM = 16 << 20  # bytes of a checkpoint's pickle, without its numbers; official ones stay below 1 MB
PLAIN = {
    ("collections", "OrderedDict"),
    ("torch", "BFloat16Storage"),
    ("torch", "BoolStorage"),
    ("torch", "DoubleStorage"),
    ("torch", "FloatStorage"),
    ("torch", "HalfStorage"),
    ("torch", "IntStorage"),
    ("torch", "LongStorage"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"),
}
"""All that a checkpoint of tensors needs to name."""


def fetch(name: str, source: str | Path, say: Say = lambda _: None) -> Path:
    """Check and keep the weights of a model.

    Args:
        name: in `liveface.store.MODELS`.
        source: a folder that holds the official files, at any depth.
        say: told what happens, a line at a time.

    Returns: the folder in which they lie.

    Raises:
        WeightsError: a file is missing, is no checkpoint of tensors, or is not the network it should be.
    """
    model, source = store.model_of(name), Path(source)
    if not source.is_dir():
        raise WeightsError(f"{source} is no folder; expected one with the official files: see `liveface fetch {name}`.")
    from liveface.fetched import expected, prepared

    files: dict[str, list[Path]] = {}
    for part in model.parts:
        if part.required or all(_matches(source, file) for file in part.files):
            files[part.name] = [_find(source, file, name) for file in part.files]
    target = store.folder(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    record: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as waiting:
        for kept, found in files.items():
            shapes = expected(name, kept)
            state: dict[str, Tensor] = {}
            for file in found:
                state.update(prepared(name, kept, read_checkpoint(file, limit_of(shapes))))
            check(state, shapes, f"{kept} ({', '.join(file.name for file in found)})")
            record[kept] = entry = _write(state, Path(waiting) / store.kept(name, kept).name, found)
            say(f"{kept}: {len(state)} tensors, {entry['bytes'] / 1e6:.0f} MB, SHA-256 {entry['sha256'][:16]}")
        target.mkdir(exist_ok=True)
        (target / store.RECORD).unlink(missing_ok=True)  # from here until the new one, nothing looks whole
        for file in Path(waiting).iterdir():
            file.replace(target / file.name)
    _write_record(target / store.RECORD, {"model": name, "parts": record})
    return target


def limit_of(shapes: Shapes) -> int:
    """Bytes that a file with these tensors may have at most."""
    numbers = 0
    for shape in shapes.values():
        count = 1
        for side in shape:
            count *= side
        numbers += count
    return int(SLACK * 4 * numbers) + ROOM_BYTES


def _matches(source: Path, file: str) -> list[Path]:
    """Files called so, or the same as safetensors; the path may be given in parts ("vae/model.bin")."""
    names = (file, str(Path(file).with_suffix(".safetensors")))
    found = [path for name in names for path in sorted(source.rglob(name)) if path.is_file()]
    return [path for path in found if not path.name.startswith(".")]


def _find(source: Path, file: str, model: str) -> Path:
    found = _matches(source, file)
    if not found:
        raise WeightsError(
            f"{file} is nowhere in {source}; expected all files that `liveface fetch {model}` lists: download it too."
        )
    several = [path for path in found if path.suffix == found[0].suffix]
    if len(several) > 1:
        raise WeightsError(
            f"{source} holds {len(several)} files called {file} ({several[0]}, {several[1]}); expected one: "
            "name a folder that holds only those of the model."
        )
    return found[0]


def read_checkpoint(file: Path, limit: int) -> dict[str, Any]:
    """The tables of tensors in a checkpoint, without running anything that is in it.

    Args:
        limit: bytes it may have at most.

    Raises:
        WeightsError: it is too large, damaged, or holds more than tensors.
    """
    size = file.stat().st_size
    if size > limit:
        raise WeightsError(f"{file} has {size} bytes; expected {limit} at most: it is not the file it is called after.")
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    inspect(file, limit)
    import torch

    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{file} cannot be read ({error}); expected a checkpoint of tensors: get it again."
        ) from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{file} holds a {type(loaded).__name__}; expected a table of tensors.")
    return dict(loaded)


def _read_safetensors(file: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except SafetensorError as error:
        raise WeightsError(f"{file} cannot be read ({error}); expected safetensors: get it again.") from error


def inspect(file: Path, limit: int) -> None:
    """Read a checkpoint's instructions without running them; only those that rebuild tensors pass.

    Raises:
        WeightsError: it is no archive of torch, unpacks to more than `limit` bytes, or names anything but tensors.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            programs = [entry for entry in entries if entry.filename.endswith("data.pkl")]
            unpacked = sum(entry.file_size for entry in entries)
            if len(programs) != 1 or programs[0].file_size > MAX_PROGRAM or unpacked > limit:
                raise WeightsError(
                    f"{file} unpacks to {unpacked} bytes with {len(programs)} lists of tensors; expected one list and "
                    f"{limit} bytes at most: it is not the file it is called after."
                )
            program = archive.read(programs[0])
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(
            f"{file} is no checkpoint of torch 1.6 or later ({error}); expected an official file, or safetensors."
        ) from error
    try:
        named = set(names_in(program))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise WeightsError(f"{file} is damaged ({error}); expected a checkpoint of tensors: get it again.") from error
    for module, thing in sorted(named - PLAIN):
        raise WeightsError(
            f"{file} would run {module}.{thing} when loaded; expected tensors only: do not use it, it may be harmful."
        )


def names_in(program: bytes) -> Iterator[tuple[str, str]]:
    """Everything that a pickle would import, as (module, name); nothing is imported."""
    texts: list[str] = []  # every text so far; a name that is taken from the stack is made of two of them
    for operation, argument, _ in pickletools.genops(program):
        if operation.name in ("GLOBAL", "INST"):
            module, _, thing = str(argument).partition(" ")
            yield module, thing
        elif operation.name == "STACK_GLOBAL":  # torch never writes it; what it takes can be hidden by the memo
            yield (texts[-2], texts[-1]) if len(texts) > 1 else ("an unknown module", "unknown name")
            yield "a name", "hidden on the stack"
        elif operation.name in ("EXT1", "EXT2", "EXT4"):
            yield "an extension", str(argument)
        elif isinstance(argument, str):
            texts.append(argument)


def check(state: Mapping[str, Tensor], shapes: Shapes, what: str) -> None:
    """Compare keys and shapes with the network's, and look that every number is finite.

    Raises:
        WeightsError: the first few differences.
    """
    import torch

    wrong = [f"lacks {key}" for key in shapes if key not in state]
    wrong += [f"has {key}, which is unknown" for key in state if key not in shapes]
    wrong += [
        f"has {key} of shape {tuple(value.shape)} instead of {shapes[key]}"
        for key, value in state.items()
        if key in shapes and tuple(value.shape) != tuple(shapes[key])
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(
            f"{what} is not the network that was expected: it {'; it '.join(wrong[:3])}{more}. Get the official file."
        )
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{what} has numbers in {key} that are not finite; expected real ones: get it again.")


def _write(state: dict[str, Tensor], file: Path, sources: list[Path]) -> dict[str, Any]:
    """Write tensors as safetensors, floats as float32; returns the record's entry."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    try:  # copies, because tensors of one file may share memory, which safetensors refuses
        save_file({key: value.contiguous().clone() for key, value in plain.items()}, file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} cannot be written ({error}); expected room and permission there.") from error
    return {
        "bytes": file.stat().st_size,
        "sha256": store.digest(file),
        "tensors": len(plain),
        "from": {source.name: store.digest(source) for source in sources},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_record(file: Path, record: dict[str, Any]) -> None:
    waiting = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        waiting.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        waiting.replace(file)
    finally:
        waiting.unlink(missing_ok=True)
