"""The five networks by name, with weights or without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from liveface.nets.liveportrait.appearance import AppearanceExtractor
from liveface.nets.liveportrait.decoder import SpadeDecoder
from liveface.nets.liveportrait.motion import MotionExtractor
from liveface.nets.liveportrait.retarget import Correctors
from liveface.nets.liveportrait.size import OFFICIAL, Size
from liveface.nets.liveportrait.warping import Warping


@dataclass(frozen=True, slots=True)
class Networks:
    """All of LivePortrait, of one size."""

    size: Size
    appearance: AppearanceExtractor
    motion: MotionExtractor
    warping: Warping
    decoder: SpadeDecoder
    retarget: Correctors

    @property
    def all(self) -> tuple[nn.Module, ...]:
        """Every network."""
        return (self.appearance, self.motion, self.warping, self.decoder, self.retarget)


def build(size: Size = OFFICIAL) -> Networks:
    """Untrained networks."""
    return Networks(
        size, AppearanceExtractor(size), MotionExtractor(size), Warping(size), SpadeDecoder(size), Correctors()
    )


def load(states: Mapping[str, Mapping[str, Tensor]], size: Size = OFFICIAL) -> Networks:
    """Networks with the state dict of each part, strictly; ready to run."""
    made = build(size)
    for name in NETWORKS:
        getattr(made, name).load_state_dict(states[name], strict=True)
    for network in made.all:
        network.eval().requires_grad_(requires_grad=False)
    return made


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "appearance": partial(AppearanceExtractor, OFFICIAL),
    "motion": partial(MotionExtractor, OFFICIAL),
    "warping": partial(Warping, OFFICIAL),
    "decoder": partial(SpadeDecoder, OFFICIAL),
    "retarget": Correctors,
}
"""Part to its network in the official size."""
