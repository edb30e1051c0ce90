"""The official networks by name, and what their files call things differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from liveface.nets.liveportrait.size import OFFICIAL
from liveface.nets.personalive.head import MotionExtractor
from liveface.nets.personalive.image_encoder import ImageEncoder
from liveface.nets.personalive.motion_encoder import MotionEncoder
from liveface.nets.personalive.pose import PoseGuider
from liveface.nets.personalive.unet import DenoisingUNet, ReferenceUNet
from liveface.nets.personalive.vae import TinyVae, Vae, rename_old

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "denoiser": DenoisingUNet,
    "reference": ReferenceUNet,
    "pose": PoseGuider,
    "encoder": MotionEncoder,
    "extractor": MotionExtractor,
    "vae": Vae,
    "image": ImageEncoder,
    "tiny": TinyVae,
}
"""Part to its network in the official size."""
COUNTED = "vision_model.embeddings.position_ids"  # numbers from 0 on, which older files of the image encoder hold
BINS = "idx_tensor"  # of the extractor; files without it are as good


def official_names(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one official file under the names of our network."""
    found = dict(state)
    if part == "vae":
        return rename_old(found)
    if part == "image":
        found.pop(COUNTED, None)
    if part == "extractor":
        found.setdefault(BINS, torch.arange(OFFICIAL.bins, dtype=torch.float32))
    return found
