"""From torch to LiteRT: float `.tflite`, INT8 or half weights with float inputs and outputs, and a table that compares.

Notable choices: inputs are named by the module's own argument names; INT8 is static: weights per channel, activations
over the whole range of real samples, for the quantizer's running average of ranges clips bright pictures (it cost 0.6
dB); inputs and outputs stay float, as browsers need; parity is measured on samples the calibration did not see. Sizes
of a network travel in the manifest entry that `describe` makes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from liveface.errors import ExportError
from liveface.runtime import Step
from liveface.types import Array

Sample = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an exported file is from the network it came from.

    Attributes:
        output: name of the output.
        largest, mean: absolute difference over all samples.
        decibel: peak signal to noise ratio, for a peak of `peak`.
        peak: the range of the reference.
    """

    output: str
    largest: float
    mean: float
    decibel: float
    peak: float


def export_float(network: nn.Module, sample: Sample, file: Path) -> Path:
    """Convert `network`, called with the named arrays of `sample`, to a float `.tflite`; returns `file`."""
    import litert_torch

    given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in sample.items()}
    try:
        litert_torch.convert(network.eval(), sample_kwargs=given).export(str(file))
    except (RuntimeError, ValueError, TypeError) as error:
        kind = type(network).__name__
        raise ExportError(f"{kind} could not be converted ({error}); use operators that LiteRT knows.") from error
    return file


def export_int8(float_file: Path, samples: Iterable[Sample], file: Path) -> Path:
    """Quantize a float `.tflite` to INT8, calibrated on `samples`; inputs and outputs stay float."""
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer import recipe as recipes

    worker = quantizer.Quantizer(str(float_file), recipes.static_wi8_ai8())
    for edge in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        worker.update_quantization_recipe(regex=".*", operation_name=edge, algorithm_key="no_quantize")
    signature = _signature(float_file)
    statistics: dict[str, dict[str, Array]] = {}
    for sample in samples:
        for name, seen in worker.calibrate({signature: [sample]}, num_threads=1).items():
            known = statistics.setdefault(name, dict(seen))
            if "min" in known:
                known["min"] = np.minimum(known["min"], seen["min"])
                known["max"] = np.maximum(known["max"], seen["max"])
    worker.quantize(statistics).export_model(str(file), overwrite=True)
    return file


def export_half(float_file: Path, file: Path) -> Path:
    """Store the weights of a float `.tflite` in 16 bits; it still computes in 32, with inputs and outputs as before."""
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    worker = quantizer.Quantizer(str(float_file))
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    worker.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    worker.quantize().export_model(str(file), overwrite=True)
    return file


def _signature(file: Path) -> str:
    """The name of a file's only signature."""
    from ai_edge_litert.interpreter import Interpreter

    names = list(Interpreter(model_path=str(file)).get_signature_list())
    if len(names) != 1:
        raise ExportError(f"{file} has the signatures {names}; expected exactly one. Export it again.")
    return str(names[0])


def parity(reference: nn.Module | Path, file: Path, samples: Sequence[Sample]) -> list[Parity]:
    """Compare `file` with the torch network or another file on `samples`; one line per output."""
    step = Step(file)
    truths: dict[str, list[Array]] = {}
    found: dict[str, list[Array]] = {}
    names = list(step.outputs)
    other = Step(reference) if isinstance(reference, Path) else None
    for sample in samples:
        got = step(**sample)
        wanted = other(**sample) if other else _call(reference, sample, names)  # type: ignore[arg-type]
        for name, key in zip(names, wanted, strict=True):
            found.setdefault(name, []).append(got[name])
            truths.setdefault(name, []).append(wanted[key])
    table = []
    for name in names:
        a, b = np.stack(truths[name]).astype(np.float64), np.stack(found[name]).astype(np.float64)
        error, peak = np.abs(a - b), float(np.ptp(a)) + 1e-12
        ratio = 20 * np.log10(peak) - 10 * np.log10(float((error**2).mean()) + 1e-20)
        table.append(Parity(name, float(error.max()), float(error.mean()), round(float(ratio), 2), round(peak, 4)))
    return table


def _call(network: nn.Module, sample: Sample, names: list[str]) -> Sample:
    """One call of a torch network; its outputs in the file's order."""
    with torch.no_grad():
        out = network(**{name: torch.from_numpy(array) for name, array in sample.items()})
    if isinstance(out, dict):
        return {name: out[name].numpy() for name in names}
    outputs: Sequence[Tensor] = [out] if isinstance(out, Tensor) else list(out)
    return {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}


def describe(file: Path, *, source: str, licence: str, sizes: Any = None) -> dict[str, Any]:
    """The manifest entry of a shipped file: size, SHA-256, source, licence and the sizes that rebuild the network."""
    content = file.read_bytes()
    entry = {
        "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "licence": licence, "source": source,
    }  # fmt: skip
    return entry if sizes is None else {**entry, "sizes": asdict(sizes)}


def add_to_manifest(manifest: Path, file: Path, entry: dict[str, Any]) -> None:
    """Put or replace one file's entry in `manifest.json`; the other entries stay as they are."""
    content = json.loads(manifest.read_text("utf-8"))
    content["files"][file.name] = entry
    content["files"] = dict(sorted(content["files"].items()))
    manifest.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
