"""Build the scripts of the browser export and put them into the package; says when they are fresh already.

    python tools/build_web.py [--check]

Needs node and npm, and on the first run their registry (`npm ci`); the versions are pinned in web/package-lock.json.
Nobody else needs them: what is built is committed, and a test compares the hash of the sources in `build.json` with
the sources. The same sources build the same bytes; no file holds a date.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
BUILT = ROOT / "src" / "liveface" / "web"
SCRIPTS = ("liveface.js", "worker.js", "tap.js", "service.js", "page.js", "kernels.wasm")
PAGE = ("index.html", "page.css", "icon.svg")
LITERT = {
    "litert-relaxed.wasm": "litert_wasm_internal.wasm",
    "litert-plain.wasm": "litert_wasm_compat_internal.wasm",
}
SOURCES = ("package.json", "package-lock.json", "tsconfig.json", "build.mjs", "page/*", "src/**/*.ts", "kernels/**/*")
APACHE = ROOT / "src" / "liveface" / "data" / "LICENSE.mediapipe.txt"
NOTICE = """\
liveface's own scripts (liveface.js, worker.js, page.js, tap.js, service.js, kernels.wasm): as liveface itself.

litert-relaxed.wasm, litert-plain.wasm and their glue within worker.js: LiteRT.js {version} (@litertjs/core),
Copyright Google LLC, Apache License 2.0, https://github.com/google-ai-edge/LiteRT. They hold TensorFlow Lite,
XNNPACK and what these are made of, under licences of the same kind (Apache 2.0, BSD).

face_detection_*.tflite, face_landmark.tflite, iris_landmark.tflite: MediaPipe, Copyright Google LLC, Apache
License 2.0.

The Apache License 2.0 follows.

"""


def source_hash() -> str:
    """The hash of all that the build is made of; Python's twin of the check is in tests/web."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for file in sorted(WEB.glob(pattern)):
            if file.is_file():
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{file.relative_to(WEB).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def packed(folder: Path) -> tuple[bytes, dict[str, int]]:
    """LiteRT's two builds as one packed file, and their sizes; they share most of their bytes."""
    contents = {name: (folder / file).read_bytes() for name, file in LITERT.items()}
    whole = b"".join(contents.values())
    old = BUILT / "litert.xz"
    if old.is_file() and lzma.decompress(old.read_bytes()) == whole:
        return old.read_bytes(), {name: len(content) for name, content in contents.items()}
    made = lzma.compress(whole, preset=9 | lzma.PRESET_EXTREME)
    return made, {name: len(content) for name, content in contents.items()}


def run(*command: str) -> None:
    """A command in web/, or the end with its words."""
    made = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    if made.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{made.stdout}{made.stderr}")


def build() -> None:
    """Check the types, bundle, and replace what lies in the package."""
    if not (WEB / "node_modules").is_dir():
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    run("npx", "tsc", "--noEmit", "-p", ".")
    run("node", "build.mjs")
    shutil.rmtree(WEB / "out" / "types", ignore_errors=True)
    run("npx", "tsc", "-p", ".", "--noEmit", "false", "--emitDeclarationOnly", "--declaration", "--outDir", "out/types",
        "--rootDir", ".")  # fmt: skip
    core = WEB / "node_modules" / "@litertjs" / "core"
    version = json.loads((core / "package.json").read_text("utf-8"))["version"]
    litert, sizes = packed(core / "wasm")
    files = {name: (WEB / "out" / "site" / name).read_bytes() for name in SCRIPTS}
    files |= {name: (WEB / "page" / name).read_bytes() for name in PAGE}
    files |= {
        f"types/{name}.d.ts": (WEB / "out" / "types" / "src" / f"{name}.d.ts").read_bytes()
        for name in ("liveface", "component", "audio", "protocol", "types")
    }
    files["litert.xz"] = litert
    files["LICENCES.txt"] = NOTICE.format(version=version).encode() + APACHE.read_bytes()
    shutil.rmtree(BUILT, ignore_errors=True)
    for name, content in files.items():
        (BUILT / name).parent.mkdir(parents=True, exist_ok=True)
        (BUILT / name).write_bytes(content)
    said = {
        "sources": source_hash(),
        "litert": sizes,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    (BUILT / "build.json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")


def main() -> int:
    """Build, or say whether the build is of these sources."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the build is of these sources")
    given = parser.parse_args()
    listing = BUILT / "build.json"
    fresh = listing.is_file() and json.loads(listing.read_text("utf-8"))["sources"] == source_hash()
    if not given.check and not fresh:
        build()
        print(f"built: {sum(one.stat().st_size for one in BUILT.rglob('*') if one.is_file()) / 1e6:.1f} MB")
        return 0
    print("fresh" if fresh else "stale: python tools/build_web.py")
    return int(not fresh)


if __name__ == "__main__":
    sys.exit(main())
