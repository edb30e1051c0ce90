"""Name to verified local file.

Every network and table that ships lies in the package folder `liveface/data` and has an entry in `manifest.json`
with its size, SHA-256, licence and source. Both are checked on the first use in a process, so that a half-copied or
altered file is named instead of misbehaving.
"""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from liveface.errors import WeightsError

FOLDER = Path(__file__).parent / "data"


def manifest(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The manifest: file name to `size`, `sha256`, `licence` and `source`."""
    listing = folder / "manifest.json"
    if not listing.is_file():
        raise WeightsError(f"{listing} is missing; expected the list of shipped files. Install liveface again.")
    try:
        entries: dict[str, dict[str, Any]] = json.loads(listing.read_text("utf-8"))["files"]
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{listing} cannot be read ({error}); expected JSON. Install liveface again.") from error
    return entries


@lru_cache(maxsize=64)
def path(name: str, folder: Path = FOLDER) -> Path:
    """The file called `name`, after its size and SHA-256 were compared with the manifest."""
    entries = manifest(folder)
    if name not in entries:
        near = get_close_matches(name, entries, 1) or sorted(entries)
        raise WeightsError(f"there is no weights file {name!r}; did you mean {', '.join(near)}?")
    file, entry = folder / name, entries[name]
    if not file.is_file():
        raise WeightsError(f"weights file {file} is missing; expected {entry['size']} bytes. Install liveface again.")
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry["sha256"]:
        raise WeightsError(
            f"weights file {file} was altered: {len(content)} bytes with SHA-256 {digest[:12]}, expected "
            f"{entry['size']} bytes with {entry['sha256'][:12]}. Install liveface again."
        )
    return file
