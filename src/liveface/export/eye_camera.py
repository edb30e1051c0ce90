"""The eye camera as a `.tflite` file, its parity with torch, and its held-out scores.

python -m liveface.export.eye_camera RUN [--out src/liveface/data/eye_camera.tflite]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from liveface.errors import ExportError
from liveface.export.litert import add_to_manifest, describe, export_float, parity
from liveface.nets.eye_camera import HEIGHT, WIDTH, EyeCameraConfig, EyeCameraNet
from liveface.weights import FOLDER

CHECKPOINT = "checkpoint.pt"
MOST_DIFFERENCE = 1e-3
SOURCE = (
    "liveface recipe eye-camera.toml: eyes of talking video and of portraits of the project's data (US government "
    "works; Face Research Lab London Set and others by L. DeBruine and B. Jones, CC BY 4.0; GRID corpus, CC BY 4.0; "
    "demo files of MIT and Apache repositories); see docs/cards/eye-camera.md"
)


def load_run(run: Path) -> EyeCameraNet:
    """The averaged network of a run folder.

    Raises:
        ExportError: the folder holds no finished run.
    """
    recipe, checkpoint = run / "recipe.json", run / CHECKPOINT
    if not (recipe.is_file() and checkpoint.is_file()):
        raise ExportError(f"{run} holds no run; expected recipe.json and {CHECKPOINT}: run `liveface train` first.")
    sizes, usual = json.loads(recipe.read_text("utf-8"))["network"], EyeCameraConfig()
    channels = tuple(int(width) for width in sizes.get("channels", usual.channels))
    config = EyeCameraConfig(channels, int(sizes.get("eye", usual.eye)), int(sizes.get("pair", usual.pair)))
    network = EyeCameraNet(config)
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["averaged"])
    return network.eval()


def export_eye_camera(network: EyeCameraNet, file: Path) -> float:
    """Write `file` and return the largest difference from torch over twelve random pairs.

    Raises:
        ExportError: the difference is over a thousandth.
    """
    random = np.random.default_rng(0)
    pairs = [{name: random.random((1, HEIGHT, WIDTH), np.float32) for name in ("left", "right")} for _ in range(12)]

    class Named(torch.nn.Module):
        """Gives the output its name."""

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"slot": network(left, right)}

    named = Named()
    export_float(named, pairs[0], file)
    worst = max(line.largest for line in parity(named, file, pairs))
    if worst > MOST_DIFFERENCE:
        raise ExportError(
            f"{file} differs from its network by {worst:.2g}; expected below {MOST_DIFFERENCE}: do not ship it."
        )
    return worst


def main() -> None:
    """Export the run named on the command line and enter it in the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=FOLDER / "eye_camera.tflite")
    given = parser.parse_args()
    network = load_run(given.run)
    part = given.out.with_suffix(".part.tflite")
    export_eye_camera(network, part)
    part.replace(given.out)
    entry = describe(given.out, source=SOURCE, licence="MIT", sizes=network.config)
    add_to_manifest(given.out.parent / "manifest.json", given.out, entry)


if __name__ == "__main__":
    main()
