"""The eye camera's network: two small grey pictures to the slot of the eyes.

Notable choices: one trunk sees both eyes, the right one mirrored; pictures are levelled inside, so that light, exposure
and infrared cameras cancel; the slot's six known directions are read by a fixed matrix and the others stay near 0, so
that a speech network which only ever saw lifted numbers is not surprised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEIGHT, SLOT = 48, 32, 160


@dataclass(frozen=True, slots=True)
class EyeCameraConfig:
    """Sizes of the network.

    Attributes:
        channels: width at 1/2, 1/4, 1/8 and 1/16 of a picture.
        eye: numbers that describe one eye; pair: hidden numbers that see both.
    """

    channels: tuple[int, ...] = (16, 32, 48, 64)
    eye: int = 56
    pair: int = 96


class EyeCameraNet(nn.Module):
    """`left` and `right` `[B, 32, 48]`, 0 to 1, the right one mirrored, to the slot `[B, 160]`."""

    def __init__(self, config: EyeCameraConfig | None = None) -> None:
        super().__init__()
        self.config = config or EyeCameraConfig()
        before, layers = 1, []
        for number, width in enumerate(self.config.channels):
            size = 5 if number == 0 else 3
            layers += [nn.Conv2d(before, width, size, stride=2, padding=size // 2), nn.ReLU()]
            before = width
        self.trunk = nn.Sequential(*layers)
        shrink = 2 ** len(self.config.channels)
        cells = -(-WIDTH // shrink) * -(-HEIGHT // shrink)
        self.eye = nn.Linear(before * cells, self.config.eye)
        self.pair = nn.Linear(2 * self.config.eye, self.config.pair)
        self.slot = nn.Linear(self.config.pair, SLOT)
        for layer in (*self.trunk, self.eye, self.pair):
            if not isinstance(layer, nn.ReLU):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.slot.bias)
        nn.init.normal_(self.slot.weight, std=0.02)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        both = torch.cat([self._look(left), self._look(right)], 1)
        return self.slot(F.relu(self.pair(both)))

    def _look(self, picture: Tensor) -> Tensor:
        """`[B, 32, 48]` to `[B, eye]`."""
        flat = picture.flatten(1)
        level = flat - flat.mean(1, keepdim=True)
        level = level / torch.sqrt((level * level).mean(1, keepdim=True) + 1e-3)
        seen = self.trunk(level.reshape(-1, 1, HEIGHT, WIDTH))
        return F.relu(self.eye(seen.flatten(1)))
