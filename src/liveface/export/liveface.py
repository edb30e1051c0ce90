"""The networks of an avatar as `.tflite` files, float and INT8, with their parity and their loss of quality.

Notable choices: a decoder's file carries its avatar's identity as a constant and is called by the names of its control
vectors (the mouth: `visemes`, `landmarks`, `mode`); values are clamped to 0 .. 1 inside the graph, so that INT8 steps
are 1/255; grids leave as `[1, h/8, w/8, 8 * 8 * C]`, cells ordered (row, column, channel), and are shuffled to pixels
outside (source: the project's measurements: both cost less there). Quality against float is judged on true patches,
for a distance to float alone says nothing about what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from liveface.errors import ExportError
from liveface.export.litert import Parity, Sample, export_float, export_int8, parity
from liveface.nets.liveface import Appearance, Compositor, Decoder
from liveface.render.liveface.sizes import BLOCK, CHANNELS
from liveface.runtime import Step
from liveface.types import Array

FLOAT_TOLERANCE = 1e-3
"""Largest difference between torch and the float file; values run from 0 to 1."""

INT8_DECIBEL = 36.0
"""Least peak signal to noise ratio of an INT8 file against its float file, for a peak of the output's own range."""

MOST_LOSS_DB = 0.3
"""Most that INT8 may take from the PSNR against the truth."""


class DecoderForExport(nn.Module):
    """A decoder of one avatar, called by the names of its controls."""

    def __init__(self, network: Decoder, identity: Tensor) -> None:
        super().__init__()
        self.network = network
        self.identity: Tensor
        self.register_buffer("identity", identity.detach().reshape(1, -1).clone())

    def forward(self, **controls: Tensor) -> dict[str, Tensor]:
        """Control vectors `[1, n]` (and `mode` `[1, 1]`) to `grid` `[1, h/8, w/8, 256]`, 0 to 1."""
        names = [*self.network.size.inputs, "mode"]
        given = tuple(controls[name] for name in names if name in controls)
        code = self.network.code(given if len(given) > 1 else given[0])  # type: ignore[arg-type]
        return {"grid": self.network.grid(code, self.identity).clamp(0, 1).permute(0, 2, 3, 1)}


class CompositorForExport(nn.Module):
    """The part of the compositor that runs every frame, pictures as `[B, H, W, C]`."""

    def __init__(self, network: Compositor) -> None:
        super().__init__()
        self.network = network

    def forward(self, canvas: Tensor, features: Tensor) -> dict[str, Tensor]:
        """`canvas` `[1, H/2, W/2, 10]` and `features` `[1, H/8, W/8, F]` to `grid` `[1, H/8, W/8, 192]`."""
        grid = self.network.grid(canvas.permute(0, 3, 1, 2), features.permute(0, 3, 1, 2))
        return {"grid": grid.permute(0, 2, 3, 1)}


class AppearanceForExport(nn.Module):
    """The part of the compositor that runs once per avatar."""

    def __init__(self, network: Appearance) -> None:
        super().__init__()
        self.network = network

    def forward(self, reference: Tensor) -> dict[str, Tensor]:
        """`reference` `[1, H/2, W/2, 3]`, 0 to 1, to `features` `[1, H/8, W/8, F]`."""
        return {"features": self.network(reference.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)}


@dataclass(frozen=True, slots=True)
class Exported:
    """One network as two files, and how close they are.

    Attributes:
        plain, small: the float and the INT8 file.
        to_torch: float file against torch.
        to_float: INT8 file against the float file, on samples that the calibration did not see.
    """

    plain: Path
    small: Path
    to_torch: Parity
    to_float: Parity

    def numbers(self) -> dict[str, Any]:
        """For a table."""
        return {
            "bytes_float": self.plain.stat().st_size, "bytes_int8": self.small.stat().st_size,
            "float_to_torch": asdict(self.to_torch), "int8_to_float": asdict(self.to_float),
        }  # fmt: skip


def export_network(
    module: nn.Module, samples: Sequence[Sample], folder: Path, name: str, *, peak: float = 0.0
) -> Exported:
    """Write `name.float.tflite` and `name.tflite` (INT8, float in and out) to `folder`.

    Args:
        module: one of the classes above.
        samples: inputs by name, batch 1; every fifth is kept from the calibration and only compared.
        peak: range that errors are judged against, where it is more than the output's own: 1 for what is added to a
            picture of 0 to 1.

    Raises:
        ExportError: fewer than five samples, or a file that is further from its source than stated above.
    """
    if len(samples) < 5:
        raise ExportError(
            f"{name} was given {len(samples)} samples to calibrate with; expected at least 5, better 100."
        )
    compared = list(samples[::5])
    known = [sample for index, sample in enumerate(samples) if index % 5]
    plain = export_float(module, samples[0], folder / f"{name}.float.tflite")
    small = export_int8(plain, known, folder / f"{name}.tflite")
    made = Exported(plain, small, parity(module, plain, compared[:8])[0], parity(plain, small, compared)[0])
    if made.to_torch.largest > FLOAT_TOLERANCE * max(1.0, made.to_torch.peak):
        raise ExportError(
            f"{plain.name} differs from its network by {made.to_torch.largest:.2g}; expected below {FLOAT_TOLERANCE}: "
            "do not ship it."
        )
    decibel = made.to_float.decibel + max(0.0, 20 * float(np.log10(max(peak, 1e-9) / made.to_float.peak)))
    if decibel < INT8_DECIBEL:
        raise ExportError(
            f"{small.name} lies at {decibel:.1f} dB from its float file; expected at least {INT8_DECIBEL} "
            "dB: calibrate it with more of the avatar's own controls."
        )
    return made


def export_decoder(
    network: Decoder, identity: Tensor, samples: Sequence[Sample], folder: Path, name: str | None = None
) -> Exported:
    """A decoder of the avatar `identity` `[128]` as two files; see `export_network`.

    Args:
        samples: control vectors by name, each `[1, n]` float32; for the mouth all of `visemes`, `landmarks`, `mode`,
            with both modes among them.
        name: of the files, default the region's.
    """
    return export_network(DecoderForExport(network, identity), samples, folder, name or network.size.name)


def pixels(grid: Array, channels: int = CHANNELS, block: int = BLOCK) -> Array:
    """`[h, w, block * block * C]` of a file to the picture `[block * h, block * w, C]`."""
    rows, columns, _ = grid.shape
    cells = grid.reshape(rows, columns, block, block, channels)
    return cells.transpose(0, 2, 1, 3, 4).reshape(rows * block, columns * block, channels)


def blended(patch: Array, base: Array) -> Array:
    """A decoder's RGBA patch over the warped base, both `[h, w, C]`, 0 to 1."""
    colour, alpha = np.clip(patch[..., :3], 0, 1), np.clip(patch[..., 3:], 0, 1)
    return np.asarray(alpha * colour + (1 - alpha) * base)


def quality(file: Path, samples: Sequence[Sample], truths: Sequence[Array], bases: Sequence[Array]) -> float:
    """PSNR in dB of a decoder's file over all samples, blended over the base; truth and base `[h, w, 3]`, 0 to 1."""
    step, errors = Step(file), []
    for sample, truth, base in zip(samples, truths, bases, strict=True):
        errors.append(float(((blended(pixels(step(**sample)["grid"][0]), base) - truth) ** 2).mean()))
    return -10 * float(np.log10(max(float(np.mean(errors)), 1e-12)))


def quality_loss(
    made: Exported, samples: Sequence[Sample], truths: Sequence[Array], bases: Sequence[Array]
) -> dict[str, float]:
    """PSNR in dB of both files against the truth and what INT8 lost."""
    plain, small = (quality(file, samples, truths, bases) for file in (made.plain, made.small))
    return {"float_db": round(plain, 3), "int8_db": round(small, 3), "loss_db": round(plain - small, 3)}
