"""The speech network: log-mel hops in, mouth coefficients out, one frame of 30 fps at a time.

Notable choices: a causal stack of dilated taps written as plain matrix products over `[B, T, D]`, so that training on
a whole sentence and running one frame are the same lines and the export is a handful of fully connected layers; the
past enters as an explicit state per layer; a learned style per speaker explains how far this person opens the mouth,
so that the network need not average over people (averages mumble), and the exported file carries one fixed style.
A second head names the sound being spoken. It shapes the hidden layers in training; afterwards a small table per sound
gives back what the average over contexts took from it (rounding above all).

Source: van den Oord et al. 2016 (WaveNet) for dilated causal stacks; widths, styles and heads are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from liveface.errors import RecipeError
from liveface.types import ARKIT_NAMES

MOUTH_NAMES: tuple[str, ...] = tuple(
    name for name in ARKIT_NAMES if name.startswith(("jaw", "mouth", "cheek", "noseSneer"))
)
"""The 32 coefficients that speech moves, in ARKit's order; eyes and brows belong to the idle model."""

SOUNDS: tuple[str, ...] = (
    "silence", "p b m", "f v", "th", "t d n l", "s z", "sh ch", "k g ng h", "r er", "w oo", "oh aw", "ee ih", "eh ae",
    "ah ay",
)  # fmt: skip
"""The classes of sounds that look alike, for the second head."""


@dataclass(frozen=True, slots=True)
class SpeechConfig:
    """Sizes of the speech network.

    Attributes:
        mels: bands of a hop.
        hops: hops of a frame.
        stem: width at the rate of hops.
        reach: hops that one output of the stem sees.
        width: width at the rate of frames.
        dilations: frames between the three taps of each block.
        styles: speakers the style table holds.
        style_width: numbers that describe a speaker.
        motion: coefficients that come out.
        sounds: classes of the second head.
        dropout: share of hidden numbers left out while training.
    """

    mels: int = 64
    hops: int = 4
    stem: int = 96
    reach: int = 5
    width: int = 160
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1)
    styles: int = 64
    style_width: int = 12
    motion: int = 17
    sounds: int = len(SOUNDS)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(int(value) for value in self.dilations))
        if not self.dilations or min(self.dilations) < 1 or min(self.width, self.stem, self.reach, self.styles) < 1:
            raise RecipeError(
                f"speech network with width {self.width}, stem {self.stem}, reach {self.reach}, dilations "
                f"{self.dilations}, styles {self.styles} cannot be built; expected numbers above 0."
            )

    @property
    def memory(self) -> int:
        """Frames of the past that can change the present one."""
        return 2 * sum(self.dilations) + 1

    @property
    def state_shapes(self) -> dict[str, tuple[int, int]]:
        """Name to `(rows, width)` of every state tensor, without the batch axis."""
        past = {f"past_{index}": (2 * step, self.width) for index, step in enumerate(self.dilations)}
        return {"hops": (self.reach - 1, self.mels), **past}

    @property
    def mmac(self) -> float:
        """Million multiply-adds of one frame, without the second head."""
        stem = self.hops * self.reach * self.mels * self.stem + self.hops * self.stem * self.width
        blocks = len(self.dilations) * 4 * self.width**2
        head = self.width * (self.width + self.style_width) + self.width * self.motion
        return (stem + blocks + head) / 1e6


def taps(past: Tensor, x: Tensor, step: int, count: int) -> tuple[Tensor, Tensor]:
    """`count` samples `step` apart ending at each row of `x`, side by side, and the past of the next call.

    Args:
        past: `[B, (count - 1) * step, D]`; `x`: `[B, T, D]`.
    Returns: `[B, T, count * D]`, oldest first, and `[B, (count - 1) * step, D]`.
    """
    rows, reach = x.shape[1], (count - 1) * step
    joined = torch.cat([past, x], dim=1)
    picked = [joined[:, index * step : index * step + rows] for index in range(count)]
    return torch.cat(picked, dim=-1), joined[:, joined.shape[1] - reach :]


class Block(nn.Module):
    """A residual block over three taps of the past."""

    def __init__(self, width: int, step: int, style_width: int, dropout: float) -> None:
        super().__init__()
        self.step = step
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(3 * width, width)
        self.style = nn.Linear(style_width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.out.weight, std=0.3 * width**-0.5)
        nn.init.zeros_(self.out.bias)
        nn.init.zeros_(self.style.weight)

    def forward(self, x: Tensor, past: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """`x` `[B, T, D]`, `past` `[B, 2 * step, D]`, `style` `[B, 1, S]`; returns the same two shapes."""
        seen, past = taps(past, self.norm(x), self.step, 3)
        hidden = nn.functional.silu(self.mix(seen) + self.style(style))
        return x + self.out(self.drop(hidden)), past


class SpeechNet(nn.Module):
    """Features of speech to mouth coefficients; see the module's notes."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Linear(config.reach * config.mels, config.stem)
        self.frame = nn.Linear(config.hops * config.stem, config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, step, config.style_width, config.dropout) for step in config.dilations
        )
        self.norm = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(config.width + config.style_width, config.width)
        self.motion = nn.Linear(config.width, config.motion)
        self.sounds = nn.Linear(config.width, config.sounds)
        self.styles = nn.Embedding(config.styles, config.style_width)
        nn.init.normal_(self.styles.weight, std=0.1)
        self.house_style: Tensor
        self.gain: Tensor
        self.emphasis: Tensor
        self.register_buffer("house_style", torch.zeros(config.style_width))
        self.register_buffer("gain", torch.ones(config.motion))
        self.register_buffer("emphasis", torch.zeros(config.sounds, config.motion))

    def start(self, batch: int = 1) -> dict[str, Tensor]:
        """The state before the first frame: silence."""
        device = self.stem.weight.device
        state = {
            name: torch.zeros(batch, rows, width, device=device)
            for name, (rows, width) in self.config.state_shapes.items()
        }
        state["hops"] -= 2.0  # the feature of silence, see signals.features
        return state

    def trunk(self, features: Tensor, state: dict[str, Tensor], style: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features `[B, T * hops, M]` to hidden frames `[B, T, D]`; `style` `[B, 1, S]`."""
        config, later = self.config, {}
        seen, later["hops"] = taps(state["hops"], features, 1, config.reach)
        x = self.drop(nn.functional.silu(self.stem(seen)))  # [B, T * hops, stem]
        x = self.frame(x.reshape(x.shape[0], -1, config.hops * config.stem))  # [B, T, D]
        for index, block in enumerate(self.blocks):
            x, later[f"past_{index}"] = block(x, state[f"past_{index}"], style)
        return self.norm(x), later

    def head(self, x: Tensor, style: Tensor) -> Tensor:
        """Hidden frames `[B, T, D]` and style `[B, 1, S]` to coefficients `[B, T, motion]`, not clipped."""
        wide = torch.cat([x, style.expand(-1, x.shape[1], -1)], dim=-1)
        out: Tensor = self.motion(self.drop(nn.functional.silu(self.hidden(wide))))
        return out

    def forward(
        self, features: Tensor, state: dict[str, Tensor], style: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mouth coefficients of whole frames.

        Args:
            features: `[B, T * hops, M]` of `signals.features`.
            state: as returned by `start` or the last call.
            style: `[B, 1, S]`, default the house style.
        Returns: coefficients `[B, T, motion]`, about 0 to 1 but not clipped, and the next state.
        """
        if style is None:
            style = self.house_style.expand(features.shape[0], 1, -1)
        x, later = self.trunk(features, state, style)
        said = self.sounds(x).softmax(dim=-1)  # [B, T, sounds]
        return self.head(x, style) * self.gain + said @ self.emphasis, later
