"""Print the size of a bare install: everything in this environment's site-packages but pip and setuptools.

Notable choice: megabytes are decimal and every file counts, compiled bytecode included; a second number in mebibytes
is what `du -sh` would say. An editable install counts the source tree of the package as well.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

LIMIT_MB = 400  # the house's promise for a bare install without the networks and avatars that ship
DATA_LIMIT_MB = 60  # of those
NOT_COUNTED = ("pip", "setuptools", "_distutils_hack", "distutils-precedence", "pkg_resources")


def tree_bytes(path: Path) -> int:
    """Bytes of one file, or of all files under a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file() and not item.is_symlink())


def main() -> int:
    """Measure and compare with the limits; exit code 1 when above one."""
    site = Path(sysconfig.get_paths()["purelib"])
    sizes = {item.name: tree_bytes(item) for item in site.iterdir() if not item.name.startswith(NOT_COUNTED)}
    if not (site / "liveface").exists():
        sizes["liveface (source tree)"] = tree_bytes(Path(__file__).parents[1] / "src" / "liveface")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:12]:
        print(f"{size / 1e6:8.1f} MB  {name}")
    package = site / "liveface" if (site / "liveface").exists() else Path(__file__).parents[1] / "src" / "liveface"
    data = tree_bytes(package / "data") / 1e6
    rest = sum(sizes.values()) / 1e6 - data
    print(f"{data:8.1f} MB  networks and avatars that ship, limit {DATA_LIMIT_MB} MB")
    print(f"{rest:8.1f} MB  everything else, limit {LIMIT_MB} MB")
    print(f"{data + rest:8.1f} MB  in all ({(data + rest) * 1e6 / 2**20:.0f} MiB)")
    return int(rest > LIMIT_MB or data > DATA_LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
