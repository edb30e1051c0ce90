"""PersonaLive's networks at work: a reference, what drives it, and chunks of pictures.

Two casts play the same part. `Official` sees faces in pictures, with the networks that were published; `Small` is told
motion in the house's own numbers. Both say what drives a frame as one row of numbers, so that the renderer above keeps
rows and needs to know neither.

Notable choices: on a GPU everything runs in bfloat16 except the motion extractor, whose angles need more; on a CPU in
float32. Pictures of a chunk are decoded together.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from liveface import store
from liveface.errors import WeightsError
from liveface.nets.liveportrait.size import POINTS as KEYPOINTS
from liveface.nets.personalive import head, image_encoder, motion_encoder, pose
from liveface.nets.personalive.build import NETWORKS
from liveface.nets.personalive.modules import MOTION_TOKENS, MOTION_WIDTH
from liveface.nets.personalive.small import CODE, SmallPersonaLive, SmallSize
from liveface.nets.personalive.stream import Drive, Networks, Plan, Reference, lead_motion, refer
from liveface.types import Array, Pixels

TOKENS = MOTION_TOKENS * MOTION_WIDTH
HEAD = 3 + 1 + 3 + 3 * KEYPOINTS
LENGTH = HEAD + TOKENS
"""Numbers of a row of the official cast: pose of the head, then motion tokens."""
PLACES = 14
RUN_FILE = "checkpoint.pt"


class Cast(Protocol):
    """Networks that can be driven.

    Attributes:
        side: of the pictures, pixels.
        length: numbers of a row.
        sees: whether rows are seen in pictures, or made of motion.
        parts: every network, by name.
    """

    @property
    def side(self) -> int: ...

    @property
    def length(self) -> int: ...

    @property
    def sees(self) -> bool: ...

    @property
    def parts(self) -> dict[str, nn.Module]: ...

    @property
    def networks(self) -> Networks: ...

    def plan(self, chunk: int, window: int) -> Plan: ...

    def encode(self, picture: Tensor) -> Tensor: ...

    def embed(self, picture: Tensor, latents: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...

    def drive(self, rows: Tensor, rest: Tensor, first: Tensor) -> Drive: ...

    def lead(self, rest: Tensor, first: Tensor, count: int) -> Drive: ...


@dataclass
class Official:
    """The published networks.

    Attributes:
        tiny: whether the tiny autoencoder decodes.
    """

    parts: dict[str, nn.Module]
    side: int = 512
    tiny: bool = False
    length: int = LENGTH
    sees: bool = True

    @property
    def networks(self) -> Networks:
        """The two that a call of the stream runs."""
        return Networks(self._part("reference"), self._part("denoiser"))

    def plan(self, chunk: int, window: int) -> Plan:
        """How it streams."""
        return Plan(chunk, window)

    def encode(self, picture: Tensor) -> Tensor:
        """A picture `[1, 3, S, S]` in [-1, 1] to its latents."""
        return self._part("vae").encode(picture)

    def embed(self, picture: Tensor, latents: Tensor) -> Tensor:
        """The picture's embedding `[1, 1, 768]`."""
        del latents
        return self._part("image")(image_encoder.prepare(picture / 2 + 0.5))[:, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents to pictures in [-1, 1], not clamped."""
        return self._part("tiny" if self.tiny else "vae").decode(latents)

    def look(self, picture: Tensor) -> Tensor:
        """What a picture `[1, 3, S, S]` in [-1, 1] of a driver shows, as a row `[LENGTH]`."""
        small = F.interpolate(picture, size=(head.SIDE, head.SIDE), mode="bilinear", align_corners=False)
        seen = self._part("extractor").heads(small.float() / 2 + 0.5)
        box = pose.face_boxes(seen.keypoints(), self.side)[0]
        if int(box[2]) <= int(box[0]) or int(box[3]) <= int(box[1]):  # keypoints beyond the picture: no face to crop
            box = box.new_tensor([0, 0, self.side, self.side])
        face = pose.crop_face(picture[0], box, motion_encoder.SIDE)
        tokens = self._part("encoder")(face[None])
        return torch.cat([part.flatten().float() for part in (*seen, tokens)])

    def drive(self, rows: Tensor, rest: Tensor, first: Tensor) -> Drive:
        """Rows `[T, LENGTH]` as what drives the reference, whose own row is `rest`."""
        driven = head.follow(pose_of(rest[None]), pose_of(first[None]), pose_of(rows))
        return Drive(rows[:, HEAD:].unflatten(1, (MOTION_TOKENS, MOTION_WIDTH)), self._features(driven))

    def lead(self, rest: Tensor, first: Tensor, count: int) -> Drive:
        """The way from the reference to the first driven frame."""
        way = head.approach(pose_of(rest[None]), pose_of(first[None]), count)
        still, moved = (row[HEAD:].unflatten(0, (MOTION_TOKENS, MOTION_WIDTH)) for row in (rest, first))
        return Drive(lead_motion(still, moved, count), self._features(way))

    def _features(self, heads: head.HeadPose) -> Tensor:
        canvas = pose.draw(heads.keypoints(), self.side)
        return self._part("pose")(canvas)

    def _part(self, name: str) -> Any:
        return self.parts[name]


@dataclass
class Small:
    """The small one of our own recipe."""

    network: SmallPersonaLive
    length: int = CODE + PLACES
    sees: bool = False

    @property
    def side(self) -> int:
        """Of its pictures, pixels."""
        return self.network.size.side

    @property
    def parts(self) -> dict[str, nn.Module]:
        """All of it."""
        return {"small": self.network}

    @property
    def networks(self) -> Networks:
        """The two that a call of the stream runs."""
        return self.network.networks

    def plan(self, chunk: int, window: int) -> Plan:
        """How it streams."""
        return self.network.plan(chunk, window)

    def encode(self, picture: Tensor) -> Tensor:
        """A picture `[1, 3, S, S]` in [-1, 1] to its latents."""
        return self.network.vae.encode(picture)

    def embed(self, picture: Tensor, latents: Tensor) -> Tensor:
        """The picture's embedding, read from its latents."""
        del picture
        return self.network.picture(latents)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents to pictures in [-1, 1], not clamped."""
        return self.network.vae.decode(latents)

    def drive(self, rows: Tensor, rest: Tensor, first: Tensor) -> Drive:
        """Rows `[T, 70]` as what drives the reference."""
        del rest, first
        places = rows[:, CODE:].unflatten(1, (PLACES // 2, 2))
        return Drive(self.network.tokens(rows[:, :CODE]), self.network.pose_features(places))

    def lead(self, rest: Tensor, first: Tensor, count: int) -> Drive:
        """The way from the reference to the first driven frame."""
        share = torch.arange(count, dtype=rest.dtype, device=rest.device)[:, None] / count
        ends = self.drive(torch.stack([rest, first]), rest, first)
        way = self.drive(rest + share * (first - rest), rest, first)
        return Drive(lead_motion(ends.motion[0], ends.motion[1], count), way.pose)


class Engine:
    """A cast on one device.

    Args:
        cast: who plays.
        device: "cpu" or "cuda"; None takes a GPU where there is one.
        threads: of the CPU.
        compiled: whether the denoiser is compiled; the first calls then take minutes, later ones less.
    """

    def __init__(self, cast: Cast, device: str | None = None, threads: int = 1, *, compiled: bool = False) -> None:
        self.cast = cast
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._threads = threads
        self._turn = threading.Lock()  # torch has one number of threads for all
        for part in cast.parts.values():
            part.to(self.device).eval()
        if compiled:
            cast.networks.denoiser.compile(mode="reduce-overhead" if self.device.type == "cuda" else "default")

    @staticmethod
    def open(
        small: str = "", device: str | None = None, threads: int = 1, *, tiny: bool = False, compiled: bool = False
    ) -> Engine:
        """The networks with the user's weights.

        Args:
            small: run folder of the small one's recipe; empty for the official networks.
            tiny: decode with the tiny autoencoder.
            compiled: see above.

        Raises:
            WeightsError: they are not here. DeviceError: a package is missing.
        """
        if small:
            return Engine(read_small(Path(small)), device, threads, compiled=compiled)
        return Engine(read_official(store.require("personalive"), tiny=tiny), device, threads, compiled=compiled)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """No gradients, this engine's threads, bfloat16 on a GPU; one caller at a time."""
        with self._turn, torch.inference_mode():
            before = torch.get_num_threads()
            torch.set_num_threads(self._threads)
            try:
                with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                    yield
            finally:
                torch.set_num_threads(before)

    def picture(self, pixels: Pixels) -> Tensor:
        """uint8 `[S, S, 3]` as `[1, 3, S, S]` in [-1, 1]."""
        side = self.cast.side
        assert pixels.shape == (side, side, 3), pixels.shape
        return torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(2, 0, 1)[None].float() / 127.5 - 1

    def refer(self, pixels: Pixels) -> Reference:
        """Read the reference once."""
        with self.at_work():
            picture = self.picture(pixels)
            latents = self.cast.encode(picture)
            return refer(self.cast.networks, latents, self.cast.embed(picture, latents))

    def look(self, pixels: Pixels) -> Array:
        """What a driver's picture uint8 `[S, S, 3]` shows, as a row; only of a cast that sees."""
        assert isinstance(self.cast, Official)
        with self.at_work():
            return np.asarray(self.cast.look(self.picture(pixels)).cpu().numpy(), np.float32)

    def pictures(self, latents: Tensor) -> list[Pixels]:
        """Clean latents `[T, C, h, w]` as pictures uint8 `[S, S, 3]`."""
        made = (self.cast.decode(latents).float() / 2 + 0.5).clamp(0, 1).mul(255).round().byte()
        return [np.asarray(picture, np.uint8) for picture in made.permute(0, 2, 3, 1).cpu().numpy()]

    def noise(self, seed: int, call: int, count: int, like: Tensor) -> Tensor:
        """Noise `[count, C, h, w]` that only depends on the seed and the number of the call."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + call)
        return torch.randn(count, *like.shape[1:], generator=generator).to(like)


def pose_of(rows: Tensor) -> head.HeadPose:
    """The pose of the head in rows `[T, LENGTH]`."""
    angles, scale, shift, shape = rows[:, :HEAD].split([3, 1, 3, 3 * KEYPOINTS], dim=1)
    return head.HeadPose(angles, scale, shift, shape.unflatten(1, (KEYPOINTS, 3)))


def read_official(folder: Path, *, tiny: bool = False) -> Official:
    """The networks that `liveface fetch personalive` left in a folder.

    Raises:
        WeightsError: the tiny autoencoder was asked for and not fetched.
    """
    from safetensors.torch import load_file

    if tiny and not store.kept("personalive", "tiny").is_file():
        raise WeightsError(
            "the tiny autoencoder is not here; expected its file in the folder of `liveface fetch personalive --from "
            "DIR`: `liveface fetch personalive` tells where to get it."
        )
    parts: dict[str, nn.Module] = {}
    for name, kind in NETWORKS.items():
        if name == "tiny" and not tiny:
            continue
        with torch.device("meta"):
            network: nn.Module = kind()
        network.load_state_dict(load_file(folder / f"{name}.safetensors"), assign=True)
        parts[name] = network
    return Official(parts, tiny=tiny)


def read_small(folder: Path) -> Small:
    """The small one from the run folder of its recipe.

    Raises:
        WeightsError: there is no run, or of other networks.
    """
    file = folder / RUN_FILE
    if not file.is_file():
        raise WeightsError(
            f"there is no {file}; expected the run folder of the small PersonaLive: "
            f"`liveface train recipes/personalive-stream.toml -o {folder}` makes it."
        )
    content = torch.load(file, map_location="cpu", weights_only=True)
    try:
        told: dict[str, Any] = json.loads(content["recipe"])["network"]
        sizes: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
        size = SmallSize(**sizes)
        network = SmallPersonaLive(size)
        network.load_state_dict(content["averaged"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{file} is of other networks ({error}); expected a run of recipes/personalive-stream.toml."
        ) from error
    return Small(network)
