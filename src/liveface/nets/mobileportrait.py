"""The head network after MobilePortrait (arXiv 2407.05712): mixed keypoints, dense motion, a synthesis U-Net.

Notable choices: the first picture is what the mesh renderer draws ("mesh"), so heads are zero at the start and an
untrained network answers that picture exactly; "tps" bends the photo by thin-plate splines of the mixed keypoints as
the paper does and exists to be compared. Everything a photo fixes is computed once: its keypoints, the stems over its
plate and matte, the features of its canned views. Dense 3x3 convolutions in residual blocks, ReLU, strides as 2x2
convolutions, no normalisation, cuts instead of sigmoids, pixel shuffle and sampling outside the graphs (source: the
project's measurements of INT8). A keypoint that speech drives has no picture to be seen in: a perceptron of the facial
keypoints tells where the neural ones went, as an offset from where the detector saw them in the photo.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.errors import RecipeError
from liveface.nets.liveface import count_multiply_accumulates
from liveface.nets.mobileportrait_motion import heat, identity, initial_flows, thin_plate
from liveface.nets.mouth import Residual
from liveface.render.mobileportrait.sizes import (
    BLOCK,
    COARSE,
    FLOW_UNIT,
    MASKS,
    MOTION_GRID,
    NEURAL,
    STILL_CHANNELS,
    PortraitSize,
    size_of,
)

KEYPOINTS, INITIALS = ("mixed", "neural", "facial"), ("mesh", "tps")
MOTION_STILL = 5  # source RGB, matte, landmark mask
TRANSFORMS = NEURAL // 5 + 1  # groups of five keypoints, and the still background (thin-plate-spline motion model)


@dataclass(frozen=True, slots=True)
class PortraitConfig:
    """Which network.

    Attributes:
        size: "4g", "7g" or "16g".
        keypoints: "mixed", "neural" or "facial"; the latter two for the paper's ablation.
        initial: "mesh" or "tps".
        residual_flow: whether the dense motion network may bend the first picture.
        background, views: whether the synthesis sees the plate and the features of the canned views.
    """

    size: str = "4g"
    keypoints: str = "mixed"
    initial: str = "mesh"
    residual_flow: bool = True
    background: bool = True
    views: bool = True

    def __post_init__(self) -> None:
        size_of(self.size)
        if self.keypoints not in KEYPOINTS or self.initial not in INITIALS:
            raise RecipeError(
                f"the head network has keypoints {self.keypoints!r} and initial {self.initial!r}; expected one of "
                f"{KEYPOINTS} and of {INITIALS}."
            )


class Detector(nn.Module):
    """Neural keypoints of a picture: `[B, 3, 64, 64]` to `[B, 50, 2]`, normalised.

    Every keypoint is the mean place under a learned map that starts as a hill of its own, so none starts with others.
    """

    def __init__(self, widths: tuple[int, int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 2, stride=2)
        self.near = Residual(widths[0])
        self.narrow = nn.Conv2d(widths[0], widths[1], 2, stride=2)
        self.far = nn.Sequential(Residual(widths[1]), Residual(widths[1]))
        self.head = nn.Conv2d(widths[1], NEURAL, 1)
        cells = MOTION_GRID // 4
        self.centres: Tensor
        self.hills: Tensor
        self.register_buffer("centres", (torch.arange(cells) + 0.5) * (2 / cells) - 1, persistent=False)
        place = sunflower(NEURAL) * 0.6
        down, across = torch.meshgrid(self.centres, self.centres, indexing="ij")
        away = (across - place[:, 0, None, None]) ** 2 + (down - place[:, 1, None, None]) ** 2
        self.register_buffer("hills", -away / (2 * 0.15**2), persistent=False)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, picture: Tensor) -> Tensor:
        x = F.relu(self.narrow(self.near(F.relu(self.stem(picture)))))
        maps = (self.head(self.far(x)).float() + self.hills).flatten(2).softmax(2).unflatten(2, self.hills.shape[1:])
        return torch.stack([(maps.sum(2) * self.centres).sum(2), (maps.sum(3) * self.centres).sum(2)], 2)


def sunflower(count: int) -> Tensor:
    """Points evenly spread over the unit disc, `[count, 2]`."""
    number = torch.arange(count, dtype=torch.float32)
    radius, angle = torch.sqrt((number + 0.5) / count), number * (torch.pi * (3 - 5**0.5))
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1)


class Perceptron(nn.Module):
    """Three layers, the last one zero at the start."""

    def __init__(self, given: int, hidden: int, out: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(given, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, out)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.second(F.relu(self.first(x)))))


class Keypoints(nn.Module):
    """Mixed keypoints of facial ones: the neural keypoints are told, not seen."""

    def __init__(self, size: PortraitSize, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.tell = Perceptron(2 * size.facial, size.hidden, 2 * NEURAL)
        self.merge = Perceptron(2 * size.facial + 2 * NEURAL, size.hidden, 2 * NEURAL)
        picked = torch.linspace(0, size.facial - 1, NEURAL).round().long()
        self.picked: Tensor
        self.register_buffer("picked", picked, persistent=False)

    def mix(self, facial: Tensor, neural: Tensor) -> Tensor:
        """Mixed keypoints `[B, 50, 2]` of facial `[B, F, 2]` and neural ones `[B, 50, 2]`."""
        if self.kind == "neural":
            return neural
        start = facial[:, self.picked] if self.kind == "facial" else neural
        seen = torch.zeros_like(neural) if self.kind == "facial" else neural
        return start + self.merge(torch.cat([facial.flatten(1), seen.flatten(1)], 1)).unflatten(1, (NEURAL, 2))

    def forward(self, facial: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """As run time calls it.

        Args:
            facial: `[B, 2F]`, x and y of each point in turn, normalised.
            offset: `[B, 100]`: neural keypoints of the photo less `own` of its facial keypoints.
        Returns: mixed keypoints `[B, 50, 2]` and `own` `[B, 100]`.
        """
        own = self.tell(facial)
        return self.mix(facial.unflatten(1, (-1, 2)), (own + offset).unflatten(1, (NEURAL, 2))), own


class Unet(nn.Module):
    """Residual blocks on halving grids; the features of the lowest grid may be changed by `between`."""

    def __init__(self, widths: tuple[int, ...], down: tuple[int, ...], up: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([_blocks(width, count) for width, count in zip(widths, down, strict=True)])
        self.narrow = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairs])
        self.widen = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs])
        self.up = nn.ModuleList([_blocks(width, count) for width, count in zip(widths[:-1], up, strict=True)])
        for layer in self.narrow:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The lowest features, and those of each finer level."""
        kept: list[Tensor] = []
        for level, narrow in zip(self.down, self.narrow, strict=False):
            x = level(x)
            kept.append(x)
            x = F.relu(narrow(x))
        return self.down[-1](x), kept

    def decode(self, x: Tensor, kept: list[Tensor]) -> Tensor:
        """Up again."""
        for index in range(len(self.widen) - 1, -1, -1):
            x = self.up[index](F.relu(self.widen[index](x) + kept[index]))
        return x


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[Residual(width) for _ in range(count)])


class Motion(nn.Module):
    """The dense motion network on the 64x64 grid."""

    def __init__(self, size: PortraitSize, config: PortraitConfig) -> None:
        super().__init__()
        self.initial, self.bends = config.initial, config.residual_flow
        pictures = 3 if config.initial == "mesh" else 3 * TRANSFORMS
        self.stem = nn.Conv2d(NEURAL + pictures, size.motion[0], 2, stride=2)
        self.still = nn.Conv2d(MOTION_STILL, size.motion[0], 2, stride=2)
        self.net = Unet(size.motion, size.motion_blocks, size.motion_blocks[:-1])
        self.answers = 3 if config.initial == "mesh" else 3 + TRANSFORMS
        self.head = nn.Conv2d(size.motion[0], 4 * self.answers, 1)
        self.knows = nn.Conv2d(size.motion[0], 4 * 2, 1)  # training only: the driver's matte and landmark mask
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def features(self, pictures: Tensor, heat: Tensor, still: Tensor) -> Tensor:
        """`[B, C, 32, 32]` of pictures `[B, 3, 64, 64]`, heat `[B, 50, 64, 64]` and `still` of the photo."""
        x = F.relu(self.stem(torch.cat([pictures, heat], 1)) + still)
        return self.net.decode(*self.net.encode(x))

    def answer(self, features: Tensor) -> Tensor:
        """`[B, 3 or 14, 64, 64]`: flow x and y in `FLOW_UNIT`s, occlusion before its cut, and shares of transforms."""
        answer = F.pixel_shuffle(self.head(features), 2)
        if self.bends:
            return answer
        return torch.cat([torch.zeros_like(answer[:, :2]), answer[:, 2:]], 1)

    def forward(self, pictures: Tensor, heat: Tensor, still: Tensor) -> Tensor:
        """As run time calls it ("mesh"): `[B, 12, 32, 32]`, in blocks of 2x2 cells, channels (row, column, answer).

        Answers are flow x, flow y in `FLOW_UNIT`s, and occlusion as `1 + o`, to be cut to 0..1.
        """
        grid = self.head(self.features(pictures, heat, still))
        batch, _, rows, columns = grid.shape
        grid = grid.reshape(batch, self.answers, 4, rows, columns).transpose(1, 2)
        return grid.reshape(batch, 4 * self.answers, rows, columns)


class Synthesis(nn.Module):
    """The U-Net that answers what to add to the warped first picture."""

    def __init__(self, size: PortraitSize, config: PortraitConfig) -> None:
        super().__init__()
        self.config, fine, lowest = config, size.synthesis[0], size.synthesis[-1]
        self.stem = nn.Conv2d(3, fine, BLOCK, stride=BLOCK)
        self.outlines = nn.Conv2d(len(MASKS), fine, BLOCK // 2, stride=BLOCK // 2, bias=False)
        self.coarse = nn.Conv2d(len(COARSE), fine, 1, bias=False)
        self.still = nn.Conv2d(STILL_CHANNELS, fine, BLOCK, stride=BLOCK, bias=False)
        self.net = Unet(size.synthesis, size.synthesis_down, size.synthesis_up)
        self.join = nn.Conv2d(lowest, lowest, 1)
        self.head = nn.Conv2d(fine, BLOCK * BLOCK * 3, 1)
        for layer in (self.stem, self.outlines, self.coarse, self.still):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for layer in (self.join, self.head):  # both join in at zero: the start is the first picture itself
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def photo(self, still: Tensor) -> Tensor:
        """Once a photo: `[B, 7, H, W]` (plate, source, matte) to `[B, C0, H/4, W/4]`."""
        if not self.config.background:
            still = torch.cat([torch.zeros_like(still[:, :3]), still[:, 3:]], 1)
        return self.still(still)

    def encode(self, warped: Tensor, masks: Tensor, coarse: Tensor, still: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The lowest features and those of finer levels; the picture counts as far as it is trusted."""
        x = self.stem(warped - 0.5) * coarse[:, :1]
        return self.net.encode(F.relu(x + self.outlines(masks) + self.coarse(coarse) + still))

    def forward(
        self, warped: Tensor, masks: Tensor, coarse: Tensor, still: Tensor, views: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What to add, as a grid, and the lowest features.

        Args:
            warped: `[B, 3, H, W]` RGB, 0 to 1.
            masks: `[B, 4, H/2, W/2]`; coarse: `[B, 4, H/4, W/4]`; see `liveface.render.mobileportrait.sizes`.
            still: `[B, C0, H/4, W/4]` of `photo`.
            views: `[B, C, H/32, W/32]` mean lowest features of the canned views; zero while these are computed.
        Returns: `[B, 48, H/4, W/4]`, channels (row, column, RGB), and `[B, C, H/32, W/32]`.
        """
        low, kept = self.encode(warped, masks, coarse, still)
        joined = F.relu(low + self.join(views)) if self.config.views else low
        return self.head(self.net.decode(joined, kept)), low


class MobilePortrait(nn.Module):
    """All parts of the head network."""

    def __init__(self, config: PortraitConfig | None = None, size: PortraitSize | None = None) -> None:
        super().__init__()
        self.config = config or PortraitConfig()
        self.size = size or size_of(self.config.size)
        self.detector = Detector(self.size.detector)
        self.keypoints = Keypoints(self.size, self.config.keypoints)
        self.motion = Motion(self.size, self.config)
        self.synthesis = Synthesis(self.size, self.config)

    def mixed(self, facial: Tensor, driver: Tensor, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mixed keypoints of the photo and of the driver's points on it, and the driver's neural ones as told.

        Args:
            facial, driver: `[B, F, 2]` facial keypoints of both.
            picture: `[B, 3, 64, 64]` the photo.
        """
        seen = self.detector(picture)
        offset = seen.flatten(1) - self.keypoints.tell(facial.flatten(1))
        told = (self.keypoints.tell(driver.flatten(1)) + offset).unflatten(1, (NEURAL, 2))
        return self.keypoints.mix(facial, seen), self.keypoints.mix(driver, told), told

    def first_pictures(self, base: Tensor, source: Tensor, mixed: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What the motion network sees at 64x64, and the flows it may share out (none with "mesh").

        Args:
            base, source: `[B, 3, 64, 64]`.
            mixed: keypoints `[B, 50, 2]` of the photo and of the driver.
        Returns: `[B, 3 or 33, 64, 64]`, and `[B, 11 or 0, 64, 64, 2]` places in the photo, normalised.
        """
        if self.config.initial == "mesh":
            return base, base.new_zeros(len(base), 0, MOTION_GRID, MOTION_GRID, 2)
        flows = initial_flows(thin_plate(*mixed), mixed[1], MOTION_GRID)
        many = source.repeat_interleave(flows.shape[1], 0)
        bent = F.grid_sample(many, flows.flatten(0, 1), padding_mode="border", align_corners=False)
        return bent.reshape(len(source), -1, MOTION_GRID, MOTION_GRID), flows

    def places(self, answer: Tensor, flows: Tensor) -> Tensor:
        """Where each cell's colour comes from, `[B, 64, 64, 2]`, normalised, in the base ("mesh") or in the photo."""
        residual = answer[:, :2].permute(0, 2, 3, 1) * (2 * FLOW_UNIT)
        if flows.shape[1]:
            shares = answer[:, 3:].softmax(1)[..., None]
            return (shares * flows).sum(1) + residual
        return identity(MOTION_GRID, MOTION_GRID, answer.device) + residual

    def moved_heat(self, mixed: tuple[Tensor, Tensor]) -> Tensor:
        """Heat of the driver's mixed keypoints less that of the photo's, `[B, 50, 64, 64]`."""
        return heat(mixed[1], MOTION_GRID) - heat(mixed[0], MOTION_GRID)


def shuffle(grid: Tensor) -> Tensor:
    """`[B, 48, H/4, W/4]`, channels (row, column, RGB), to `[B, 3, H, W]`."""
    batch, _, rows, columns = grid.shape
    picture = grid.reshape(batch, BLOCK, BLOCK, 3, rows, columns).permute(0, 3, 4, 1, 5, 2)
    return picture.reshape(batch, 3, BLOCK * rows, BLOCK * columns)


def count(size: PortraitSize, resolution: int = 512) -> dict[str, tuple[int, int]]:
    """Multiply-adds and weights of every part; those of a frame are "keypoints", "motion" and "synthesis".

    The paper counts at 512 pixels; the run time works at `liveface.render.mobileportrait.crop.RESOLUTION`.
    """
    network = MobilePortrait(size=size)
    cells, low, fine = resolution // BLOCK, resolution // size.lowest, size.synthesis[0]
    frame = (
        torch.zeros(1, 3, resolution, resolution),
        torch.zeros(1, len(MASKS), resolution // 2, resolution // 2),
        torch.zeros(1, len(COARSE), cells, cells),
        torch.zeros(1, fine, cells, cells),
        torch.zeros(1, size.synthesis[-1], low, low),
    )
    grid = torch.zeros(1, NEURAL, MOTION_GRID, MOTION_GRID)
    still = torch.zeros(1, size.motion[0], MOTION_GRID // 2, MOTION_GRID // 2)
    facial = torch.zeros(1, 2 * size.facial)
    counted = {
        "keypoints": (network.keypoints, (facial, torch.zeros(1, 2 * NEURAL))),
        "motion": (network.motion, (grid[:, :3], grid, still)),
        "synthesis": (network.synthesis, frame),
        "detector": (network.detector, (grid[:, :3],)),
    }
    return {name: count_multiply_accumulates(part, *given) for name, (part, given) in counted.items()}
