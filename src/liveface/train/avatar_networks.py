"""What INT8 costs: every decoder of an avatar in floating point, from its checkpoint, beside its exported network.

Both draw the same held-out patches from the same controls, blended with the same base, against the same truth; the
compositor that all avatars share is judged on whole frames in the same way, with its appearance network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from liveface.avatar import SHARED, Avatar
from liveface.errors import RecipeError
from liveface.metrics import psnr
from liveface.nets.liveface import Decoder, make_decoder
from liveface.render.liveface.regions import REGIONS, window
from liveface.render.liveface.renderer import LiveFaceRenderer
from liveface.runtime import Step
from liveface.train.avatar_scores import Scene, draw
from liveface.train.decoder_data import Frames
from liveface.train.decoder_loss import judge
from liveface.train.decoders import painted_frames, spread

FRAMES = 60  # held-out frames of every network


class Exported(nn.Module):
    """A `.tflite` decoder that can be called as the network it came from."""

    def __init__(self, content: bytes, region: str) -> None:
        super().__init__()
        self._step, self._region = Step(Path(f"{region}.tflite"), content=content), region

    def forward(self, controls: Tensor | tuple[Tensor, ...], identity: Tensor, mean: Tensor | None = None) -> Tensor:
        """Patches `[B, 4, h, w]`; the identity and the mean patch are part of the file."""
        del identity, mean
        names = ("visemes", "landmarks", "mode") if self._region == "mouth" else (self._region,)
        parts = controls if isinstance(controls, tuple) else (controls,)
        rows = [self._one(dict(zip(names, row, strict=True))) for row in zip(*parts, strict=True)]
        return torch.stack(rows)

    def _one(self, row: dict[str, Tensor]) -> Tensor:
        given = {}
        for name in self._step.inputs:
            value = next((row[key] for key in row if key == name), None)
            if value is None:  # a decoder with one input may call it as it likes
                (value,) = row.values()
            given[name] = value.numpy()[None].astype(np.float32)
        (grid,) = self._step(**given).values()
        rows, columns = grid.shape[1:3]
        parts = torch.from_numpy(np.asarray(grid[0], np.float32)).view(rows, columns, 8, 8, 4)
        return parts.permute(4, 0, 2, 1, 3).reshape(4, rows * 8, columns * 8)


def network_losses(avatar: Avatar, pack: Path, checkpoint: Path) -> dict[str, dict[str, float]]:
    """PSNR of every decoder's held-out patches in floating point and as INT8, and what is lost, in decibels.

    Raises:
        RecipeError: the checkpoint is not of this avatar's decoders.
    """
    try:
        learned = torch.load(checkpoint, map_location="cpu", weights_only=True)["regions"]
    except (OSError, KeyError, RuntimeError) as error:
        raise RecipeError(
            f"{checkpoint} holds no decoders ({error}); expected the checkpoint of a creation."
        ) from error
    return {
        name: loss_of(avatar, name, Frames.open(pack, name), learned[name]["averaged"])
        for name in REGIONS
        if name in learned
    }


def loss_of(avatar: Avatar, region: str, frames: Frames, learned: dict[str, Tensor]) -> dict[str, float]:
    """The same for one decoder with its learned weights, identity included."""
    decoder = make_decoder(region, avatar.about.size)
    state = {name.removeprefix("decoder."): value for name, value in learned.items() if name.startswith("decoder.")}
    decoder.load_state_dict(state)
    identity, tests = learned["identity"], spread(frames.tests, FRAMES)
    values = []
    exported = cast("Decoder", Exported(avatar.networks[region], region))  # called alike, and that is all
    for network in (decoder.eval(), exported):
        made, true = painted_frames(network, frames, tests, identity, "landmarks")
        values.append(judge(made, true, frames.time[tests], window(region))["psnr"])
    return {"float_db": values[0], "int8_db": values[1], "loss_db": round(values[0] - values[1], 3)}


@dataclass(frozen=True)
class _Plain(Avatar):
    """An avatar whose shared networks are floating-point files of a folder."""

    folder: Path

    def shared_network(self, role: str) -> Path:
        """`ROLE.float.tflite` in the folder."""
        return self.folder / f"{role}.float.tflite"


def compositor_loss(avatar: Avatar, scene: Scene, folder: Path) -> dict[str, float]:
    """PSNR of whole held-out frames with the shared networks of `folder` in floating point and as they ship, in dB.

    Raises:
        RecipeError: the folder lacks one of them.
    """
    lacking = [role for role in SHARED if not (folder / f"{role}.float.tflite").is_file()]
    if lacking:
        raise RecipeError(f"{folder} lacks {lacking[0]}.float.tflite; expected the export of a compositor's training.")
    plain = _Plain(avatar.about, avatar.rig, avatar.networks, avatar.poster, folder)
    values = [
        float(
            np.mean([psnr(*pair) for pair in zip(draw(LiveFaceRenderer(one), scene).pictures, scene.true, strict=True)])
        )
        for one in (plain, avatar)
    ]
    return {"float_db": round(values[0], 3), "int8_db": round(values[1], 3), "loss_db": round(values[0] - values[1], 3)}
