"""The reference picture as one vector: CLIP's vision transformer.

Source: Radford et al. 2021 (CLIP); names as in the published weights, its misspelt `pre_layrnorm` too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224
MEAN = (0.48145466, 0.4578275, 0.40821073)
FINE = 2**22
SPREAD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class ImageEncoderSize:
    """Sizes: width of the tokens, of the layers inside, their count, heads, pixels a patch, width of the answer."""

    width: int = 1024
    inner: int = 4096
    layers: int = 24
    heads: int = 16
    patch: int = 14
    out: int = 768


class Embeddings(nn.Module):
    """A class token and the patches of a picture, each with its place's vector."""

    def __init__(self, size: ImageEncoderSize) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(size.width))
        self.patch_embedding = nn.Conv2d(3, size.width, size.patch, stride=size.patch, bias=False)
        self.position_embedding = nn.Embedding((SIDE // size.patch) ** 2 + 1, size.width)

    def forward(self, pictures: Tensor) -> Tensor:
        patches = self.patch_embedding(pictures).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], dim=1)
        return tokens + self.position_embedding.weight


class SelfAttention(nn.Module):
    """Attention with separate layers for queries, keys and values, all with bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj = (nn.Linear(width, width) for _ in range(3))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        def split(tokens: Tensor) -> Tensor:
            return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x)))
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two layers with the quick approximation of GELU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.fc1(x)
        return self.fc2(inner * torch.sigmoid(1.702 * inner))


class Layer(nn.Module):
    """Attention, then a perceptron, each after its normalisation and about a sum."""

    def __init__(self, size: ImageEncoderSize) -> None:
        super().__init__()
        self.self_attn = SelfAttention(size.width, size.heads)
        self.layer_norm1 = nn.LayerNorm(size.width)
        self.mlp = Perceptron(size.width, size.inner)
        self.layer_norm2 = nn.LayerNorm(size.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Stack(nn.Module):
    """The layers, one after the other."""

    def __init__(self, size: ImageEncoderSize) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(size) for _ in range(size.layers)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class VisionModel(nn.Module):
    """Everything before the projection; its answer is the class token's."""

    def __init__(self, size: ImageEncoderSize) -> None:
        super().__init__()
        self.embeddings = Embeddings(size)
        self.pre_layrnorm = nn.LayerNorm(size.width)
        self.encoder = Stack(size)
        self.post_layernorm = nn.LayerNorm(size.width)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.post_layernorm(self.encoder(self.pre_layrnorm(self.embeddings(pictures)))[:, 0])


class ImageEncoder(nn.Module):
    """A prepared picture `[B, 3, 224, 224]` to a vector `[B, 768]`."""

    def __init__(self, size: ImageEncoderSize | None = None) -> None:
        super().__init__()
        size = size or ImageEncoderSize()
        self.vision_model = VisionModel(size)
        self.visual_projection = nn.Linear(size.width, size.out, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.visual_projection(self.vision_model(pictures))


def prepare(pictures: Tensor) -> Tensor:
    """Pictures `[B, 3, H, W]` in [0, 1] as CLIP wants them: shorter side 224, the middle square, its normalisation.

    In whole numbers of 8 bits like CLIP's own preparation: across, rounded, then down, rounded.
    """
    height, width = pictures.shape[-2:]
    share = SIDE / min(height, width)
    rows, columns = resampling(height, int(height * share)), resampling(width, int(width * share))
    whole = (pictures.double() * 255).round()
    for weights, letters in ((columns, "nchw,xw->nchx"), (rows, "nchw,yh->ncyw")):
        sums = torch.einsum(letters, whole, weights.to(whole))
        whole = torch.floor(sums / FINE + 0.5).clamp(0, 255)
    top, left = (len(rows) - SIDE) // 2, (len(columns) - SIDE) // 2
    middle = (whole[:, :, top : top + SIDE, left : left + SIDE] / 255).to(pictures)
    mean, spread = (middle.new_tensor(values)[:, None, None] for values in (MEAN, SPREAD))
    return (middle - mean) / spread


def resampling(before: int, after: int) -> Tensor:
    """Weights of bicubic scaling with smoothing, `[after, before]`, in whole numbers of 1 / 2 ** 22.

    Source: the well-known kernel of Keys 1981 with -0.5; the fixed point is that of the Pillow library.
    """
    share = max(before / after, 1.0)
    centres = (torch.arange(after, dtype=torch.float64) + 0.5) * (before / after)
    place = torch.arange(before, dtype=torch.float64)
    apart = (place + 0.5 - centres[:, None]) / share
    first, last = (centres - 2 * share + 0.5).floor().clamp(min=0), (centres + 2 * share + 0.5).floor()
    inside = (place >= first[:, None]) & (place < last[:, None])
    near = apart.abs()
    kernel = torch.where(near < 1, (1.5 * near - 2.5) * near**2 + 1, ((-0.5 * near + 2.5) * near - 4) * near + 2)
    kernel = torch.where(inside & (near < 2), kernel, 0)
    return (kernel / kernel.sum(dim=1, keepdim=True) * FINE).round()
