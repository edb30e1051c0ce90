"""The speech network as a `.tflite` file with explicit state, and its parity with torch over a stream.

python -m liveface.export.speech RUN [--out src/liveface/data/speech.tflite]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from liveface.errors import ExportError
from liveface.export.litert import add_to_manifest, describe, export_float
from liveface.nets.speech import SpeechConfig, SpeechNet, SpeechStep
from liveface.runtime import Step
from liveface.types import Array
from liveface.weights import FOLDER

SETTLED = "settled.pt"
SOURCE = (
    "trained by recipes/speech.toml: GRID corpus (Cooke et al., CC BY 4.0), FACEGOOD Audio2Face (MIT), LibriSpeech and "
    "VCTK excerpts (CC BY 4.0), Microsoft samples (MIT); see docs/cards/speech.md"
)


def load_settled(folder: Path) -> SpeechNet:
    """The network of a finished run, with its house style and gain."""
    file = folder / SETTLED
    if not file.is_file():
        raise ExportError(f"there is no {file}; train first, then run `python -m liveface.train.speech {folder}`.")
    content = torch.load(file, map_location="cpu", weights_only=True)
    network = SpeechNet(SpeechConfig(**json.loads(content["config"])))
    network.load_state_dict(content["network"])
    return network.eval()


def start_arrays(network: SpeechNet) -> dict[str, Array]:
    """The state before the first frame as arrays."""
    return {name: value.numpy() for name, value in network.start().items()}


def stream(step: Step, features: Array, start: dict[str, Array]) -> Array:
    """Tracks `[T, N]` of features `[T, hops, M]`, one frame at a time through an exported file."""
    state, out = start, []
    for frame in features:
        made = step(features=frame[None], **state)
        out.append(made["tracks"][0, 0])
        state = {name[len("next_") :]: value for name, value in made.items() if name.startswith("next_")}
    return np.stack(out)


def export_speech(network: SpeechNet, file: Path, frames: int = 120) -> float:
    """Write `file` and return the largest difference from torch over `frames` streamed frames of noise.

    Raises:
        ExportError: the difference is over a thousandth.
    """
    config, start = network.config, start_arrays(network)
    noise = np.random.default_rng(0).normal(-0.8, 0.9, (frames, config.hops, config.mels)).astype(np.float32)
    export_float(SpeechStep(network), {"features": noise[:1], **start}, file)
    streamed = stream(Step(file), noise, start)
    with torch.inference_mode():
        whole, _ = network(torch.from_numpy(noise.reshape(1, -1, config.mels)), network.start())
    worst = float(np.abs(streamed - whole[0].numpy()).max())
    if worst > 1e-3:
        raise ExportError(f"{file} differs from its network by {worst:.2g}; expected below 0.001: do not ship it.")
    return worst


def main() -> None:
    """Export the run named on the command line and enter it in the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=FOLDER / "speech.tflite")
    given = parser.parse_args()
    network = load_settled(given.run)
    export_speech(network, given.out)
    entry = describe(given.out, source=SOURCE, licence="MIT", sizes=network.config)
    add_to_manifest(given.out.parent / "manifest.json", given.out, entry)


if __name__ == "__main__":
    main()
