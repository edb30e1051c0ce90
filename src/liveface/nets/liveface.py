"""The networks of an avatar: four decoders of RGBA patches and the compositor that all avatars share.

Notable choices: a decoder is two fully connected layers that fill two coarse grids, a few dense 3x3 convolutions on the
1/16 and 1/8 grid, and a pixel shuffle of 8x8 blocks outside the graph; what never changes is a mean patch, so that
the layers only have to draw what moves; the mouth has two encoders of its controls and one trunk. The compositor sees
the half-size composed picture and answers a residual on the 1/8 grid; its head starts at zero, so that an untrained
one leaves the picture as it is. ReLU only, no sigmoid, no normalisation (source: the project's measurements of INT8).
Sizes live in `liveface.render.liveface.sizes`.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface.nets.mouth import Residual
from liveface.render.liveface.sizes import BLOCK, CHANNELS, CODE, IDENTITY, CompositorSize, DecoderSize, sizes_of


class MouthControls(NamedTuple):
    """Controls of the mouth: `visemes` `[B, 58]`, `landmarks` `[B, 85]` and `mode` `[B, 1]`, 0 for the visemes."""

    visemes: Tensor
    landmarks: Tensor
    mode: Tensor


def shuffle(grid: Tensor, channels: int, block: int = BLOCK) -> Tensor:
    """`[B, block * block * channels, h, w]`, channels ordered (row, column, channel), to `[B, channels, H, W]`."""
    batch, _, rows, columns = grid.shape
    picture = grid.reshape(batch, block, block, channels, rows, columns).permute(0, 3, 4, 1, 5, 2)
    return picture.reshape(batch, channels, block * rows, block * columns)


def unshuffle(picture: Tensor, block: int = BLOCK) -> Tensor:
    """The opposite of `shuffle`: `[B, C, H, W]` to `[B, block * block * C, H / block, W / block]`."""
    batch, channels, height, width = picture.shape
    grid = picture.reshape(batch, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return grid.reshape(batch, block * block * channels, height // block, width // block)


class Encoder(nn.Module):
    """A control vector `[B, n]` to a code `[B, 256]`."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.first = nn.Linear(length, CODE)
        self.second = nn.Linear(CODE, CODE)
        # PyTorch's own start makes codes of usual controls vanish: slow to learn.
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, controls: Tensor) -> Tensor:
        return self.second(F.relu(self.first(controls)))


class Decoder(nn.Module):
    """One region of one or many avatars.

    Attributes:
        mean: `[256, h/8, w/8]` the patch around which the network draws, as a grid; zero until `set_mean`.
    """

    def __init__(self, size: DecoderSize) -> None:
        super().__init__()
        self.size = size
        (wide, narrow), out = size.widths, BLOCK * BLOCK * CHANNELS
        self.encoders = nn.ModuleDict({name: Encoder(length) for name, length in size.inputs.items()})
        self.mix = nn.Linear(CODE, CODE)
        self.who = nn.Linear(IDENTITY, CODE, bias=False)
        self.mode = nn.Parameter(torch.zeros(CODE)) if len(size.inputs) > 1 else None
        self.joint = nn.Linear(CODE, CODE)
        self.seed = nn.Linear(CODE, size.coarse_grid[0] * size.coarse_grid[1] * size.seed)
        self.fine = nn.Linear(CODE, size.grid[0] * size.grid[1] * size.fine)
        self.enter = nn.Conv2d(size.seed, wide, 3, padding=1)
        self.bottom = nn.Sequential(*[Residual(wide) for _ in range(size.blocks[0])])
        self.widen = nn.ConvTranspose2d(wide, narrow, 2, stride=2)
        self.join = nn.Conv2d(size.fine, narrow, 1)
        self.top = nn.Sequential(*[Residual(narrow) for _ in range(size.blocks[1])])
        self.head = nn.Conv2d(narrow, out, 1)
        self.mean = nn.Parameter(torch.zeros(out, *size.grid))
        for layer in (self.mix, self.joint, self.seed, self.fine, self.enter):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.who.weight, std=IDENTITY**-0.5)
        nn.init.normal_(self.head.weight, std=0.1 * narrow**-0.5)

    def codes(self, visemes: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Both codes of the mouth `[B, 256]`, for the consistency loss."""
        return self.encoders["visemes"](visemes), self.encoders["landmarks"](landmarks)

    def code(self, controls: Tensor | MouthControls | tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """The code `[B, 256]` of one control vector, or of the mouth's two and a flag `[B, 1]`."""
        if self.mode is None:
            return self.encoders[self.size.name](controls)
        visemes, landmarks, mode = controls
        heard, seen = self.codes(visemes, landmarks)
        return heard + mode * (seen - heard + self.mode)

    def grid(self, code: Tensor, identity: Tensor, mean: Tensor | None = None) -> Tensor:
        """Code `[B, 256]` and identity `[B, 128]` (or `[1, 128]`) to `[B, 256, h/8, w/8]`."""
        rows, columns = self.size.coarse_grid
        hidden = F.relu(self.mix(F.relu(code)) + self.who(identity))
        hidden = F.relu(self.joint(hidden))
        seed = F.relu(self.seed(hidden)).reshape(-1, rows, columns, self.size.seed).permute(0, 3, 1, 2)
        fine = F.relu(self.fine(hidden)).reshape(-1, 2 * rows, 2 * columns, self.size.fine).permute(0, 3, 1, 2)
        x = self.bottom(F.relu(self.enter(seed)))
        x = self.top(F.relu(self.widen(x) + self.join(fine)))
        return self.head(x) + (self.mean if mean is None else unshuffle(mean))

    def forward(
        self,
        controls: Tensor | MouthControls | tuple[Tensor, Tensor, Tensor],
        identity: Tensor,
        mean: Tensor | None = None,
    ) -> Tensor:
        """The patch, not clamped.

        Args:
            controls: `[B, n]`, or for the mouth `(visemes, landmarks, mode)`.
            identity: `[B, 128]` or `[1, 128]`.
            mean: `[B, 4, h, w]` a mean patch per sample (several identities in one batch); default the own one.
        Returns: `[B, 4, h, w]` red, green, blue and alpha, about 0 to 1.
        """
        return shuffle(self.grid(self.code(controls), identity, mean), CHANNELS)

    def set_mean(self, patch: Tensor) -> None:
        """Draw around `patch` `[4, h, w]` (RGBA, 0 to 1) from now on."""
        with torch.no_grad():
            self.mean.copy_(unshuffle(patch[None])[0])


class Mixed(nn.Module):
    """A cheap residual block at the finest grid: depthwise 3x3, then 1x1."""

    def __init__(self, width: int, more: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Conv2d(width + more, width, 1)

    def forward(self, x: Tensor, more: Tensor) -> Tensor:
        return x + self.mix(torch.cat([F.relu(self.near(x)), more], dim=1))


def _even(x: Tensor) -> Tensor:
    """Pad the lower right with zeros to even sides."""
    return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))


class Levels(nn.Module):
    """A U-Net without its stem and head: residual blocks on halving grids, strides as 2x2 convolutions.

    Its finest level ends without ReLU and starts as what came in, so that it cannot die in the first steps.
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.narrow = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairs])
        self.widen = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs])
        self.steps = nn.ModuleList(
            [nn.Sequential(*[Residual(width) for _ in range(many)]) for width, many in zip(widths, blocks, strict=True)]
        )
        for layer in self.narrow:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
        nn.init.zeros_(self.widen[0].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.widen[0].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for narrow in self.narrow:
            kept.append(x)
            x = F.relu(narrow(_even(x)))
        x = self.steps[-1](x)
        for index in range(len(self.widen) - 1, -1, -1):
            before = kept[index]
            wide = self.widen[index](x)[:, :, : before.shape[2], : before.shape[3]]
            x = self.steps[index](F.relu(wide + before) if index else wide + before)
        return x


class Appearance(nn.Module):
    """The reference picture `[B, 3, H/2, W/2]` to features `[B, F, H/8, W/8]`; run once per avatar."""

    def __init__(self, size: CompositorSize) -> None:
        super().__init__()
        looks = size.looks
        self.stem = nn.Conv2d(3, looks[0], 4, stride=4)
        self.levels = Levels(looks, (1,) * len(looks))
        self.head = nn.Conv2d(looks[0], size.features, 1)
        nn.init.kaiming_normal_(self.stem.weight, nonlinearity="relu")

    def forward(self, reference: Tensor) -> Tensor:
        return F.relu(self.head(self.levels(F.relu(self.stem(reference - 0.5)))))


class Compositor(nn.Module):
    """Blends, relights and sharpens the composed picture of any avatar.

    From stem to head runs a path without ReLU: the best linear filter is where training starts, see
    `liveface.train.compositor.start_linear`.
    """

    def __init__(self, size: CompositorSize) -> None:
        super().__init__()
        self.size = size
        self.look = Appearance(size)
        fine = size.widths[0]
        self.stem = nn.Conv2d(size.inputs, fine, 4, stride=4)
        self.levels = Levels(size.widths, size.blocks)
        self.mixed = Mixed(fine, size.features)
        self.head = nn.Conv2d(fine, BLOCK * BLOCK * 3, 1)
        nn.init.kaiming_normal_(self.stem.weight, nonlinearity="relu")
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def appearance(self, reference: Tensor) -> Tensor:
        """The features `[B, F, H/8, W/8]` of a reference picture `[B, 3, H/2, W/2]`, 0 to 1."""
        return self.look(reference)

    def grid(self, canvas: Tensor, features: Tensor) -> Tensor:
        """The residual as a grid `[B, 192, H/8, W/8]`."""
        return self.head(self.mixed(self.levels(self.stem(canvas - 0.5)), features))

    def forward(self, canvas: Tensor, features: Tensor) -> Tensor:
        """The residual to add to the composed picture.

        Args:
            canvas: `[B, 10, H/2, W/2]` composed RGB, alphas of the four patches as pasted, base RGB; 0 to 1.
            features: `[B, F, H/8, W/8]` of `appearance`.
        Returns: `[B, 3, H, W]`.
        """
        return shuffle(self.grid(canvas, features), 3)


def make_decoder(name: str, size: str = "base") -> Decoder:
    """A decoder with random weights."""
    return Decoder(sizes_of(size)[0][name])


def make_compositor(size: str = "base", canvas: tuple[int, int] = (360, 640)) -> Compositor:
    """A compositor with random weights and a zero head, for frames of `canvas` width and height."""
    return Compositor(sizes_of(size, canvas)[1])


def count_multiply_accumulates(network: nn.Module, *given: Tensor) -> tuple[int, int]:
    """Multiply-adds of one call and weights (without biases) of the layers it uses, counted with hooks."""
    total, weights = 0, 0

    def count(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total, weights
        assert isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))
        weights += module.weight.numel()
        if isinstance(module, nn.Linear):
            total += module.weight.numel()
        elif isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        else:
            total += given[0][0].numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))
    ]
    with torch.no_grad():
        network(*given)
    for hook in hooks:
        hook.remove()
    return total, weights
