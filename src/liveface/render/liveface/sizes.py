"""Sizes of the five networks of an avatar: one frozen dataclass each, in three sizes, with their cost.

Notable choices: almost all arithmetic happens on the grids of 1/8 and 1/16 of a patch and no convolution runs finer;
parameters sit in fully connected layers and coarse grids, where they cost little time; widths are multiples of 16
(source: the project's measurements of INT8 in LiteRT). The compositor's appearance network runs once per avatar, so its
parameters count and its arithmetic does not. Nothing here needs torch: budgets are checked on these numbers alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from liveface.errors import AvatarError
from liveface.render.liveface.regions import CONTROL_SIZES, REGIONS

CODE, IDENTITY = 256, 128
"""Width of the encoded controls and of an avatar's learned identity."""

BLOCK = 8
"""Pixels along each side of one cell of the grid that a network ends in."""

CHANNELS = 4
"""Red, green, blue and alpha of a patch."""

MOST_GMAC, MOST_BYTES = 0.40, 22_000_000
"""Budgets of all five networks together: multiply-adds of an average frame in 10^9, and bytes as INT8."""


@dataclass(frozen=True, slots=True)
class DecoderSize:
    """Sizes of one decoder.

    Attributes:
        name: region it paints.
        patch: width and height of the patch in pixels, multiples of 16.
        inputs: control vectors and their lengths; two for the mouth, of which a flag picks one.
        seed: channels of the 1/16 grid that the code fills.
        fine: channels of the 1/8 grid that the code fills.
        widths: channels at 1/16 and 1/8 of the patch.
        blocks: residual blocks at 1/16 and 1/8.
    """

    name: str
    patch: tuple[int, int]
    inputs: dict[str, int]
    seed: int
    fine: int
    widths: tuple[int, int]
    blocks: tuple[int, int]

    @property
    def coarse_grid(self) -> tuple[int, int]:
        """Rows and columns of the 1/16 grid."""
        return self.patch[1] // 16, self.patch[0] // 16

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the 1/8 grid that the network ends in."""
        return self.patch[1] // BLOCK, self.patch[0] // BLOCK

    def layers(self) -> list[tuple[int, int]]:
        """`(weights, uses)` of every layer with weights, in the order of the network."""
        (rows, columns), (wide, narrow) = self.coarse_grid, self.widths
        coarse, cells = rows * columns, self.grid[0] * self.grid[1]
        out = BLOCK * BLOCK * CHANNELS
        encoders = [(length * CODE, 1) for length in self.inputs.values()] + [(CODE * CODE, 1)] * len(self.inputs)
        joint = [(CODE * CODE, 1), (IDENTITY * CODE, 1), (CODE * CODE, 1)]
        grids = [(CODE * coarse * self.seed, 1), (CODE * cells * self.fine, 1)]
        bottom = [(9 * self.seed * wide, coarse)] + [(9 * wide * wide, coarse)] * (2 * self.blocks[0])
        up = [(wide * narrow * 4, coarse), (self.fine * narrow, cells)]
        top = [(9 * narrow * narrow, cells)] * (2 * self.blocks[1]) + [(narrow * out, cells)]
        return encoders + joint + grids + bottom + up + top

    @property
    def parameters(self) -> int:
        """Weights of the layers and of the mean patch; biases are left out."""
        return sum(weights for weights, _ in self.layers()) + self.patch[0] * self.patch[1] * CHANNELS

    @property
    def mmac(self) -> float:
        """Million multiply-adds of one patch."""
        return sum(weights * uses for weights, uses in self.layers()) / 1e6


@dataclass(frozen=True, slots=True)
class CompositorSize:
    """Sizes of the compositor and of its appearance network.

    Attributes:
        widths: channels at 1/8, 1/16 and 1/32 of the frame.
        blocks: residual blocks of dense 3x3 convolutions at each of them.
        features: channels of the appearance grid.
        looks: channels of the appearance network at 1/8, 1/16, 1/32, 1/64 and 1/128 of the frame.
        canvas: width and height of the frame in pixels, multiples of 8.
    """

    widths: tuple[int, int, int]
    blocks: tuple[int, int, int]
    features: int = 16
    looks: tuple[int, ...] = (32, 64, 160, 320, 448)
    canvas: tuple[int, int] = (360, 640)

    @property
    def inputs(self) -> int:
        """Channels of the half-size canvas: composed RGB, four alphas, base RGB."""
        return 10

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the 1/8 grid."""
        return self.canvas[1] // BLOCK, self.canvas[0] // BLOCK

    def cells(self, levels: int) -> list[int]:
        """Cells of the grids at 1/8, 1/16, ...; odd sides are rounded up."""
        (rows, columns), out = self.grid, []
        for _ in range(levels):
            out.append(rows * columns)
            rows, columns = -(-rows // 2), -(-columns // 2)
        return out

    def layers(self) -> list[tuple[int, int]]:
        """`(weights, uses)` of every layer of the part that runs every frame."""
        cells, (fine, middle, coarse) = self.cells(3), self.widths
        out = BLOCK * BLOCK * 3
        ends = [(16 * self.inputs * fine, cells[0]), (9 * fine, cells[0]), (fine * out, cells[0])]
        ends += [((fine + self.features) * fine, cells[0])]
        down = [(4 * fine * middle, cells[1]), (4 * middle * coarse, cells[2])]
        up = [(4 * fine * middle, cells[1]), (4 * middle * coarse, cells[2])]
        blocks = [
            (9 * width * width, count)
            for width, count, many in zip(self.widths, cells, self.blocks, strict=True)
            for _ in range(2 * many)
        ]
        return ends + down + up + blocks

    def appearance_layers(self) -> list[tuple[int, int]]:
        """`(weights, uses)` of every layer of the part that runs once per avatar."""
        cells, looks = self.cells(len(self.looks)), self.looks
        layers = [(16 * 3 * looks[0], cells[0]), (looks[0] * self.features, cells[0])]
        for index, (width, after) in enumerate(itertools.pairwise(looks)):
            layers += [(4 * width * after, cells[index + 1])] * 2
        for width, count in zip(looks, cells, strict=True):
            layers += [(9 * width * width, count)] * 2
        return layers

    @property
    def parameters(self) -> int:
        """Weights of both parts; biases are left out."""
        return sum(weights for weights, _ in self.layers() + self.appearance_layers())

    @property
    def mmac(self) -> float:
        """Million multiply-adds of one frame; the appearance runs once per avatar and is not in it."""
        return sum(weights * uses for weights, uses in self.layers()) / 1e6

    @property
    def appearance_mmac(self) -> float:
        """Million multiply-adds of one run of the appearance network."""
        return sum(weights * uses for weights, uses in self.appearance_layers()) / 1e6


def _decoders(**chosen: tuple[int, int, tuple[int, int], tuple[int, int]]) -> dict[str, DecoderSize]:
    """The four decoders of one size from `(seed, fine, widths, blocks)` of each."""
    inputs = {name: {name: CONTROL_SIZES[name]} for name in ("eyes", "hair", "body")}
    inputs["mouth"] = {name: CONTROL_SIZES[name] for name in ("visemes", "landmarks")}
    return {name: DecoderSize(name, REGIONS[name].size, inputs[name], *chosen[name]) for name in REGIONS}


SIZES: dict[str, tuple[dict[str, DecoderSize], CompositorSize]] = {
    "small": (
        _decoders(
            mouth=(32, 16, (96, 64), (1, 1)),
            eyes=(32, 8, (64, 48), (1, 1)),
            hair=(16, 4, (64, 48), (1, 1)),
            body=(32, 8, (64, 48), (1, 1)),
        ),
        CompositorSize((16, 16, 32), (0, 1, 1)),
    ),
    "base": (
        _decoders(
            mouth=(48, 32, (144, 128), (1, 1)),
            eyes=(32, 16, (112, 64), (1, 1)),
            hair=(32, 8, (96, 64), (1, 1)),
            body=(32, 16, (96, 48), (1, 1)),
        ),
        CompositorSize((32, 32, 48), (0, 1, 1)),
    ),
    "large": (
        _decoders(
            mouth=(64, 48, (176, 128), (1, 2)),
            eyes=(48, 16, (128, 80), (1, 1)),
            hair=(32, 8, (128, 80), (1, 1)),
            body=(48, 16, (112, 64), (1, 1)),
        ),
        CompositorSize((32, 48, 64), (0, 1, 1)),
    ),
}
"""Size name to its decoders and its compositor. Only `base` is trained and shipped by this project."""


def sizes_of(size: str, canvas: tuple[int, int] = (360, 640)) -> tuple[dict[str, DecoderSize], CompositorSize]:
    """Decoders and compositor of a named size, for frames of `canvas` width and height."""
    if size not in SIZES:
        raise AvatarError(f"there is no network size {size!r}; expected one of {', '.join(SIZES)}.")
    decoders, compositor = SIZES[size]
    return decoders, replace(compositor, canvas=canvas)


def gmac_per_frame(size: str, canvas: tuple[int, int] = (360, 640)) -> float:
    """10^9 multiply-adds of an average frame: every network's over how often it is drawn."""
    decoders, compositor = sizes_of(size, canvas)
    return (sum(decoder.mmac / REGIONS[name].every for name, decoder in decoders.items()) + compositor.mmac) / 1e3


def parameters_of(size: str) -> int:
    """Weights of all five networks; as INT8 about as many bytes."""
    decoders, compositor = sizes_of(size)
    return sum(decoder.parameters for decoder in decoders.values()) + compositor.parameters
