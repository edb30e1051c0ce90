"""Write or refresh the entry of one file in `src/liveface/data/manifest.json`.

python tools/manifest.py NAME --licence MIT --source "where it comes from"     (the file must lie in the data folder)
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "liveface" / "data"


def enter(name: str, licence: str, source: str, folder: Path = FOLDER) -> dict[str, object]:
    """Measure `folder/name` and store size, SHA-256, licence and source under its name; other entries stay."""
    content = (folder / name).read_bytes()
    listing = folder / "manifest.json"
    document = json.loads(listing.read_text("utf-8")) if listing.is_file() else {"files": {}}
    entry = {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": licence,
        "source": source,
    }
    document["files"][name] = entry
    document["files"] = dict(sorted(document["files"].items()))
    listing.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return entry


def main() -> None:
    """Read the arguments and write the entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--source", required=True)
    given = parser.parse_args()
    print(given.name, enter(given.name, given.licence, given.source))


if __name__ == "__main__":
    main()
