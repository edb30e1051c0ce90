"""Training of the listener: the audio encoder of the online denoiser with its regression and its naming head.

    liveface train recipes/speech-listener.toml

Notable choices: it may begin with the weights of a first speech network (`recipes/speech.toml`), whose style table is
folded into biases; it is trained before the denoiser and stays as it is from then on, so that what it hears in the
whole set is computed once, and the lips of the denoiser are never worse than the lips it begins with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from liveface.nets.online import STYLE, house_encoder
from liveface.nets.speech import SpeechConfig, SpeechNet
from liveface.train.loop import CHECKPOINT, Run, averaged_weights
from liveface.train.recipe import parse_options
from liveface.train.speech_codes import CODES_FILE, VALIDATION_FILE, SpeechCodes
from liveface.train.speech_windows import MouthLoss, Windows, mouth_scores
from liveface.types import Array


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """The table `[task]` of a listener's recipe.

    Attributes:
        codes: folder of `python -m liveface.train.speech_codes`.
        begin: run folder of a first speech network to begin with, or "".
        shares: how often each kind is drawn.
        window: frames of one sample.
        firm, rounded: extra weight of frames with closed and with rounded lips.
        naming: weight of the head that names sounds.
    """

    codes: str = "build/speech-codes"
    begin: str = ""
    shares: dict[str, float] = field(
        default_factory=lambda: {"video": 0.3, "rig": 0.12, "taught": 0.25, "synthetic": 0.21, "noise": 0.12}
    )
    window: int = 110
    firm: float = 3.0
    rounded: float = 1.5
    naming: float = 0.15


def begin_with(network: SpeechNet, folder: Path) -> None:
    """Take the weights of a first speech network, in place; its mean style moves into biases."""
    old = averaged_weights(folder / CHECKPOINT)
    style = old["styles.weight"].mean(0)
    weights = {
        name: old[name] if name in old and old[name].shape == value.shape else value
        for name, value in network.state_dict().items()
    }
    for index in range(len(network.config.dilations)):
        weights[f"blocks.{index}.mix.bias"] = (
            old[f"blocks.{index}.mix.bias"] + old[f"blocks.{index}.style.weight"] @ style
        )
    wide, width = old["hidden.weight"], network.config.width
    weights["hidden.weight"] = torch.cat([wide[:, :width], torch.zeros(width, STYLE)], dim=1)
    weights["hidden.bias"] = old["hidden.bias"] + wide[:, width:] @ style
    network.load_state_dict(weights)


def hear(network: SpeechNet, features: Array, style: Array) -> tuple[Array, Array]:
    """Hidden `[T, D]` and mouth `[T, 17]` (real units) of a whole recording `[T * 4, 64]` in a style `[4]`."""
    with torch.inference_mode():
        told = torch.from_numpy(np.asarray(style, np.float32))[None, None]
        hidden, _ = network.trunk(torch.from_numpy(features.astype(np.float32))[None], network.start(), told)
        mouth = network.head(hidden, told)
    return hidden[0].float().numpy(), mouth[0].float().numpy()


class ListenerTask:
    """What the shared loop trains for the encoder."""

    def __init__(self, run: Run) -> None:
        self.run, recipe = run, run.recipe
        self.options = parse_options(ListenerOptions, recipe.options, "the table [task]")
        sizes = {"styles": 1, "style_width": STYLE, "motion": house_encoder().motion, **recipe.network}
        network = SpeechNet(parse_options(SpeechConfig, sizes, "the table [network]"))
        if self.options.begin:
            begin_with(network, Path(self.options.begin))
        folder = Path(self.options.codes)
        self.windows = Windows(folder / CODES_FILE, self.options.window, self.options.shares, recipe.seed)
        self.validation = SpeechCodes.load(folder / VALIDATION_FILE)
        self.loss = MouthLoss(firm=self.options.firm, rounded=self.options.rounded)
        self.networks: dict[str, nn.Module] = {"main": network}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "main": torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.02)
        }

    def step(self, index: int) -> dict[str, float]:
        """One optimizer step."""
        network, optimizer = self.networks["main"], self.optimizers["main"]
        assert isinstance(network, SpeechNet)
        network.train()
        batch = self.windows.draw(self.run.recipe.batch)
        with self.run.autocast():
            hidden, _ = network.trunk(self._masked(batch.features), network.start(len(batch.rows)), batch.style)
            made, named = network.head(hidden, batch.style).float(), network.sounds(hidden).float()
        true = batch.neutral[..., : made.shape[-1]]
        parts = self.loss(made, true, self.loss.weight(batch))
        known = (batch.sounds >= 0) & (batch.trust > 0)
        parts["naming"] = self.options.naming * nn.functional.cross_entropy(named[known], batch.sounds[known])
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), self.run.recipe.clip)
        optimizer.step()
        return {"loss": float(total.detach()), **{name: float(value.detach()) for name, value in parts.items()}}

    def _masked(self, seen: Tensor) -> Tensor:
        """Hide a random band and shift the level a little, so that no band is trusted alone."""
        seen = seen + 0.15 * torch.randn(len(seen), 1, 1)
        rng = self.windows.rng
        if rng.random() < 0.5:
            first, width = int(rng.integers(0, seen.shape[2])), int(rng.integers(2, 12))
            seen[:, :, first : first + width] = -1.5
        return seen

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on the validation recordings, each in its own style."""
        assert isinstance(network, SpeechNet)
        return mouth_scores([mouth for _, mouth in heard(network, self.validation)], self.validation)

    def sample(self, network: nn.Module, folder: Path, index: int) -> None:
        """Nothing to look at: the denoiser's task draws curves."""


def heard(network: SpeechNet, kept: SpeechCodes) -> list[tuple[Array, Array]]:
    """`hear` of every recording of a set."""
    out = []
    for (first, frames, _), style in zip(kept.spans, kept.style, strict=True):
        features = kept.features[first * 4 : (first + frames) * 4]
        out.append(hear(network.eval(), features, np.clip(style, -2, 2)))
    return out
