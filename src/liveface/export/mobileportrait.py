"""The head network as four `.tflite` files: once a photo, and keypoints, motion and synthesis of every frame.

Notable choices: what is computed once stays float with 16-bit weights; the keypoints too, for they are tiny and a step
of INT8 would be a step of a pixel; motion and synthesis are INT8, calibrated on samples as the run time makes them. The
synthesis is cut to a window of the square (it is convolutional and was trained on crops): its cost goes with the
window's area. Sampling and the pixel shuffle stay outside of the graphs. Half grey is taken off the picture inside the
stem's bias, not as an operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.errors import ExportError
from liveface.export.litert import Parity, Sample, export_float, export_half, export_int8, parity
from liveface.nets.mobileportrait import MobilePortrait
from liveface.render.mobileportrait.files import PARTS, file_name
from liveface.runtime import Step

GREY = 0.5
"""What the synthesis takes off its picture before its stem."""

FLOAT_TOLERANCE = 2e-3
"""Largest difference between torch and a float file, of the reference's range or of 1."""

LEAST_DECIBEL = {"motion": 34.0, "synthesis": 36.0}
"""Least peak signal to noise ratio of an INT8 file against its float file on samples the calibration did not see, for a
peak of the output's own range or of `PEAKS`, whichever is larger."""

PEAKS = {"motion": 2.0, "synthesis": 1.0}
"""Range that errors are judged against: two units of flow; the picture that the residual is added to."""


class PhotoForExport(nn.Module):
    """What is computed once a photo."""

    def __init__(self, network: MobilePortrait) -> None:
        super().__init__()
        self.network = network

    def forward(self, small: Tensor, square: Tensor) -> dict[str, Tensor]:
        """A photo's neural keypoints and the stems over what never changes.

        Args:
            small: `[1, 64, 64, 5]`: source RGB, its matte, its landmark mask.
            square: `[1, h, w, 7]`: plate RGB, source RGB, matte; the window of the synthesis.
        Returns: `neural` `[1, 100]`, `motion_still` `[1, 32, 32, C]`, `synthesis_still` `[1, h / 4, w / 4, C]`.
        """
        picture = small.permute(0, 3, 1, 2)
        return {
            "neural": self.network.detector(picture[:, :3]).flatten(1),
            "motion_still": self.network.motion.still(picture).permute(0, 2, 3, 1),
            "synthesis_still": self.network.synthesis.photo(square.permute(0, 3, 1, 2)).permute(0, 2, 3, 1),
        }


class KeypointsForExport(nn.Module):
    """Facial keypoints to mixed ones."""

    def __init__(self, network: MobilePortrait) -> None:
        super().__init__()
        self.network = network.keypoints

    def forward(self, facial: Tensor, offset: Tensor) -> dict[str, Tensor]:
        """`facial` `[1, 2F]` and `offset` `[1, 100]` to `mixed` `[1, 100]` and `own` `[1, 100]`."""
        mixed, own = self.network(facial, offset)
        return {"mixed": mixed.flatten(1), "own": own}


class MotionForExport(nn.Module):
    """The dense motion network."""

    def __init__(self, network: MobilePortrait) -> None:
        super().__init__()
        self.network = network.motion

    def forward(self, base: Tensor, heat: Tensor, still: Tensor) -> dict[str, Tensor]:
        """`base` `[1, 64, 64, 3]`, `heat` `[1, 64, 64, 50]`, `still` `[1, 32, 32, C]` to `motion` `[1, 32, 32, 12]`.

        Channels are (row, column, answer) of blocks of 2x2 cells; see `Motion.forward`.
        """
        return {"motion": self.network(*(x.permute(0, 3, 1, 2) for x in (base, heat, still))).permute(0, 2, 3, 1)}


class SynthesisForExport(nn.Module):
    """The synthesis network, written so that INT8 has few operations on the finest grid; parity with it is tested."""

    def __init__(self, network: MobilePortrait) -> None:
        super().__init__()
        self.network, self.stem = network.synthesis, deepcopy(network.synthesis.stem)
        assert self.stem.bias is not None
        with torch.no_grad():
            self.stem.bias -= GREY * self.stem.weight.sum((1, 2, 3))

    def forward(self, warped: Tensor, masks: Tensor, coarse: Tensor, still: Tensor, views: Tensor) -> dict[str, Tensor]:
        """Pictures as `[1, h, w, C]`; see `Synthesis.forward`. Returns `grid` `[1, h / 4, w / 4, 48]` and `low`."""
        net = self.network
        warped, masks, coarse, still, views = (x.permute(0, 3, 1, 2) for x in (warped, masks, coarse, still, views))
        seen = self.stem(warped) * coarse[:, :1]
        low, kept = net.net.encode(F.relu(seen + net.outlines(masks) + net.coarse(coarse) + still))
        joined = F.relu(low + net.join(views)) if net.config.views else low
        grid = net.head(net.net.decode(joined, kept))
        return {"grid": grid.permute(0, 2, 3, 1), "low": low.permute(0, 2, 3, 1)}


MODULES: dict[str, Callable[[MobilePortrait], nn.Module]] = {
    "photo": PhotoForExport,
    "keypoints": KeypointsForExport,
    "motion": MotionForExport,
    "synthesis": SynthesisForExport,
}


@dataclass(frozen=True, slots=True)
class Exported:
    """One part as files.

    Attributes:
        shipped: the file that ships.
        plain: the float file.
        to_torch: float file against torch.
        to_float: shipped file against the float file, on samples that the calibration did not see.
    """

    shipped: Path
    plain: Path
    to_torch: list[Parity]
    to_float: list[Parity]


def export_part(
    network: MobilePortrait, part: str, samples: Sequence[Sample], folder: Path, *, precision: str | None = None
) -> Exported:
    """Write one part of `PARTS` to `folder`.

    Args:
        network: trained, on the CPU.
        part: "photo", "keypoints", "motion" or "synthesis".
        samples: inputs by name, batch 1, as the run time makes them; every fifth is kept from the calibration.
        precision: "int8", "half" or "float"; None takes that of `PARTS`.

    Raises:
        ExportError: too few samples, or a file that is further from its source than stated above.
    """
    kind = precision or PARTS[part]
    if len(samples) < 2 or (kind == "int8" and len(samples) < 5):
        raise ExportError(f"{part} was given {len(samples)} samples; expected at least 5, better 100.")
    module = MODULES[part](network.eval())
    target = folder / file_name(network.size.name, part)
    plain = export_float(module, samples[0], folder / f"{target.stem}.float.tflite")
    compared = list(samples[::5])[:8]
    if kind == "int8":
        export_int8(plain, [sample for index, sample in enumerate(samples) if index % 5], target)
    elif kind == "half":
        export_half(plain, target)
    else:
        target.write_bytes(plain.read_bytes())
    made = Exported(target, plain, parity(module, plain, compared[:3]), parity(plain, target, compared))
    for line in made.to_torch:
        if line.largest > FLOAT_TOLERANCE * max(1.0, line.peak):
            raise ExportError(
                f"{plain.name} differs from its network by {line.largest:.2g} in {line.output!r}; expected below "
                f"{FLOAT_TOLERANCE}: do not ship it."
            )
    return made


def check_quality(part: str, table: Sequence[Parity]) -> None:
    """Refuse an INT8 file too far from its float file.

    Raises:
        ExportError: it is.
    """
    line = table[0]
    found = line.decibel + max(0.0, 20 * float(np.log10(PEAKS[part] / line.peak)))
    if found < LEAST_DECIBEL[part]:
        raise ExportError(
            f"{part} lies at {found:.1f} dB from its float file; expected at least {LEAST_DECIBEL[part]} dB: "
            "calibrate it with more pictures, or ship it with 16-bit weights."
        )


def shake(network: nn.Module, seed: int = 0) -> None:
    """Give every weight that is zero a small random number, in place: what is always zero has no range to calibrate."""
    random = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        if not weight.detach().any():
            scale = 0.1 / max(1.0, float(weight[0].numel()) ** 0.5)
            weight.data = scale * torch.randn(weight.shape, generator=random)


def random_samples(
    network: MobilePortrait, window: tuple[int, int], count: int = 6, seed: int = 0
) -> dict[str, list[Sample]]:
    """Inputs of every part with numbers of about the right size, for measuring and tests.

    Args:
        window: width and height of the synthesis, multiples of 32.
    """
    random, size = np.random.default_rng(seed), network.size
    width, height = window
    fine, low = size.synthesis[0], size.synthesis[-1]

    def unit(*shape: int) -> np.ndarray:
        return random.random((1, *shape), np.float32)

    def normal(scale: float, *shape: int) -> np.ndarray:
        return (scale * random.standard_normal((1, *shape))).astype(np.float32)

    made: dict[str, list[Sample]] = {part: [] for part in PARTS}
    for _ in range(count):
        made["photo"].append({"small": unit(64, 64, 5), "square": unit(height, width, 7)})
        made["keypoints"].append({"facial": normal(0.3, 2 * size.facial), "offset": normal(0.1, 100)})
        made["motion"].append(
            {"base": unit(64, 64, 3), "heat": normal(0.2, 64, 64, 50), "still": normal(0.5, 32, 32, size.motion[0])}
        )
        made["synthesis"].append(
            {
                "warped": unit(height, width, 3),
                "masks": unit(height // 2, width // 2, 4),
                "coarse": unit(height // 4, width // 4, 4),
                "still": normal(0.5, height // 4, width // 4, fine),
                "views": np.abs(normal(0.5, height // size.lowest, width // size.lowest, low)),
            }
        )
    return made


def inputs_of(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file's inputs."""
    return {name: shape for name, (shape, _) in Step(file).inputs.items()}
