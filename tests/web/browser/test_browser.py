"""The browser's own run time: its parts in node against Python's vectors, and the exported page in a real Chromium."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def ran(*command: str, folder: Path, seconds: float) -> str:
    known = {**os.environ, "PYTHON": sys.executable}  # of what Python writes for the comparison
    done = subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_types_hold():
    ran("npx", "tsc", "--noEmit", "-p", ".", folder=ROOT / "web", seconds=300)


def test_declarations_serve_a_page_of_ones_own(tmp_path):
    types = ROOT / "src" / "liveface" / "web" / "types"
    (tmp_path / "page.ts").write_text(
        f'import {{ type LiveFace, type Stats }} from "{types}/liveface.js";\n'
        'const face: LiveFace = document.querySelector("live-face")!;\n'
        'face.addEventListener("stats", (event) => { const told: Stats = event.detail; void told.stages; });\n'
        'void face.speak(new Float32Array(9), { rate: 24000 }).then((how: "ended" | "interrupted") => how);\n'
        'face.setEmotion("happy", 0.5);\n'
        "// @ts-expect-error: there is no such emotion\n"
        'face.setEmotion("hungry");\n'
    )
    flags = ("--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler",
             "--lib", "es2023,dom,dom.iterable", "--types", "")  # fmt: skip
    ran(str(ROOT / "web" / "node_modules" / ".bin" / "tsc"), *flags, "page.ts", folder=tmp_path, seconds=300)


def test_parts_agree_with_python():
    ran("node", "build.mjs", "--test", folder=ROOT / "web", seconds=300)
    tests = sorted(str(one.relative_to(ROOT / "web")) for one in (ROOT / "web" / "out" / "test").glob("*.test.mjs"))
    assert len(tests) >= 4
    said = ran("node", "--test", "--test-reporter=tap", *tests, folder=ROOT / "web", seconds=900)
    assert "# fail 0" in said
    assert "# skipped 0" in said


def test_the_page_talks_without_a_network(tmp_path):
    report = tmp_path / "web.json"
    command = (sys.executable, "tools/web_page.py", "--seconds", "6", "--report", str(report))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert report.is_file(), done.stderr[-3000:]
    said = json.loads(report.read_text("utf-8"))["so"]
    told = [name for name, so in said.items() if not so and not name.endswith(" ms")]  # a busy machine is no fault
    assert not told
