"""The student of speech as a `.tflite` with explicit state, the teacher as one for files, and their parity with torch.

    python -m liveface.export.speech STUDENT_RUN [--best BEST_RUN] [--out src/liveface/data]

Notable choices: weights are stored in 16 bits, which halves the files and changes no code by a thousandth; INT8 was
measured with the first network and its openings did not agree.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from liveface.errors import ExportError
from liveface.export.litert import add_to_manifest, describe, export_float, export_half
from liveface.nets.online import BestStep, OnlineConfig, OnlineNet, OnlineStep
from liveface.runtime import Arrays, Step
from liveface.types import Array
from liveface.weights import FOLDER

STREAM_FILE, BEST_FILE = "speech.tflite", "speech_best.tflite"
BEST_FRAMES = 120  # frames of a window that is drawn at once
MOST_DIFFERENCE = 5e-3  # of a code, and of the standardised window
SOURCE = (
    "trained by recipes/speech-{}.toml: GRID corpus (Cooke et al., CC BY 4.0), FACEGOOD Audio2Face (MIT), LibriSpeech "
    "and VCTK excerpts (CC BY 4.0), Microsoft samples (MIT), synthetic voices of espeak-ng, heads and brows of open "
    "and permissive video; see docs/cards/speech.md"
)


def load_online(folder: Path) -> OnlineNet:
    """The averaged network of a teacher's or a student's run.

    Raises:
        ExportError: the run has not been trained, or its weights do not fit its recipe.
    """
    file = folder / "checkpoint.pt"
    if not file.is_file():
        raise ExportError(f"there is no {file}; train recipes/speech-student.toml first.")
    content = torch.load(file, map_location="cpu", weights_only=True)
    network = OnlineNet(OnlineConfig(**json.loads(content["recipe"])["network"]))
    try:
        network.load_state_dict(content["averaged"])
    except RuntimeError as error:
        raise ExportError(f"{file} does not fit the network of its recipe ({error}); train it again.") from error
    return network.eval()


def start_arrays(network: OnlineNet) -> dict[str, Array]:
    """The state before the first frame as arrays."""
    return {name: value.numpy() for name, value in network.start().items()}


def examples(network: OnlineNet, frames: int) -> list[Arrays]:
    """Inputs of a stream of noise, one frame each, without state."""
    config, rng = network.config, np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    encoder = config.encoder
    return [
        {
            "features": normal(1, encoder.hops, encoder.mels) * 0.9 - 0.8,
            "noise": normal(1, config.codes), "last": 0.3 * normal(1, config.codes),
            "emotion": np.abs(0.3 * normal(1, config.emotions)), "style": normal(1, encoder.style_width),
            "eyes": normal(1, config.eyes),
        }
        for _ in range(frames)
    ]  # fmt: skip


def stream(step: Step, inputs: list[Arrays], start: dict[str, Array]) -> Array:
    """Codes `[T, 26]` of a stream through an exported file; every frame is told the code drawn before it."""
    state = start
    out: list[Array] = []
    for given in inputs:
        made = step(**{**given, "last": out[-1] if out else given["last"]}, **state)
        out.append(made["codes"])
        state = {name[len("next_") :]: value for name, value in made.items() if name.startswith("next_")}
    return np.concatenate(out)


@torch.inference_mode()
def stream_torch(network: OnlineNet, inputs: list[Arrays]) -> Array:
    """The same stream through the network itself."""
    step, state = OnlineStep(network), network.start()
    out: list[torch.Tensor] = []
    for given in inputs:
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        made = step(**{**tensors, "last": out[-1] if out else tensors["last"]}, **state)
        out.append(made["codes"])
        state = {name[len("next_") :]: value for name, value in made.items() if name.startswith("next_")}
    return torch.cat(out).numpy()


def export_stream(network: OnlineNet, file: Path, frames: int = 90) -> float:
    """Write the streaming step and return the largest difference from torch over `frames` frames of noise.

    Raises:
        ExportError: the difference is too large.
    """
    inputs, start = examples(network, frames), start_arrays(network)
    part = file.with_suffix(".float.tflite")
    export_float(OnlineStep(network), {**inputs[0], **start}, part)
    export_half(part, file)
    part.unlink()
    return _agreed(file, stream(Step(file), inputs, start), stream_torch(network, inputs))


def export_best(network: OnlineNet, file: Path, frames: int = BEST_FRAMES) -> float:
    """Write the step over a whole window and return the largest difference from torch on noise.

    Raises:
        ExportError: the difference is too large.
    """
    config, rng = network.config, np.random.default_rng(0)
    encoder = config.encoder
    shapes = {
        "features": (1, (encoder.memory - 1 + frames) * encoder.hops, encoder.mels), "noisy": (1, frames, config.codes),
        "level": (1, frames), "emotion": (1, config.emotions), "style": (1, encoder.style_width),
        "eyes": (1, frames, config.eyes),
    }  # fmt: skip
    given = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    given |= {"level": np.abs(given["level"]).clip(0, 1), "conditioned": np.ones((1, 1), np.float32)}
    part = file.with_suffix(".float.tflite")
    export_float(BestStep(network), given, part)
    export_half(part, file)
    part.unlink()
    with torch.inference_mode():
        truth = BestStep(network)(**{name: torch.from_numpy(value) for name, value in given.items()})
    return _agreed(file, Step(file)(**given)["codes"], truth["codes"].numpy())


def _agreed(file: Path, made: Array, true: Array) -> float:
    """The largest difference of codes."""
    worst = float(np.abs(made - true).max())
    if worst > MOST_DIFFERENCE:
        raise ExportError(
            f"{file} differs from its network by {worst:.2g}; expected below {MOST_DIFFERENCE}: do not ship it."
        )
    return worst


def main() -> None:
    """Export the runs named on the command line and enter them in the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", type=Path)
    parser.add_argument("--best", type=Path, help="run of recipes/speech-best.toml, for speech_best.tflite")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    made = [(STREAM_FILE, export_stream, given.student, "student")]
    made += [(BEST_FILE, export_best, given.best, "best")] if given.best else []
    for name, export, run, role in made:
        network = load_online(run)
        export(network, given.out / name)
        entry = describe(given.out / name, source=SOURCE.format(role), licence="MIT", sizes=network.config)
        add_to_manifest(given.out / "manifest.json", given.out / name, entry)


if __name__ == "__main__":
    main()
