"""Take the face networks out of the pinned mediapipe wheel into the package.

python tools/fetch_models.py [WHEEL]      without WHEEL it is downloaded with pip into a temporary folder

The wheel is Apache-2.0; its licence text is copied beside the models. Users never install mediapipe.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from manifest import FOLDER, enter

VERSION = "0.10.21"
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"  # cp311 manylinux_2_28 x86_64
MODULES = {
    "face_detection_short_range.tflite": "face_detection",
    "face_detection_full_range_sparse.tflite": "face_detection",
    "face_landmark.tflite": "face_landmark",
    "iris_landmark.tflite": "iris_landmark",
    "selfie_segmentation.tflite": "selfie_segmentation",
    "selfie_segmentation_landscape.tflite": "selfie_segmentation",
}


def download(folder: Path) -> Path:
    """Download the pinned wheel with pip; the platform is fixed so that the hash is."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), "--only-binary=:all:"]
    command += ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", f"mediapipe=={VERSION}"]
    subprocess.run(command, check=True)
    return next(folder.glob("mediapipe-*.whl"))


def extract(wheel: Path, folder: Path = FOLDER) -> None:
    """Verify the wheel and write its models, their licence text and their manifest entries into `folder`."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        sys.exit(f"{wheel} has SHA-256 {digest}; expected {WHEEL_SHA256} (mediapipe {VERSION}).")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name, module in MODULES.items():
            inner = f"mediapipe/modules/{module}/{name}"
            (folder / name).write_bytes(archive.read(inner))
            enter(name, "Apache-2.0", f"mediapipe {VERSION} wheel (Google), {inner}", folder)
        licence = archive.read(f"mediapipe-{VERSION}.dist-info/LICENSE")
        (folder / "LICENSE.mediapipe.txt").write_bytes(licence)


def main() -> None:
    """Fetch from the wheel that is given, or from a fresh download."""
    if len(sys.argv) > 1:
        extract(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        extract(download(Path(folder)))


if __name__ == "__main__":
    main()
