"""The online denoiser: a windowed causal transformer that draws one frame of motion from noise at a time.

Notable choices: what was shown and what is to be drawn are different tokens. A shown frame `t` looks at `[t - w, t]` of
the shown ones, a drawn frame `t` at `[t - w, t - 1]` of the shown ones and at itself, so the keys and values of shown
frames are a cache, a stream is computed frame by frame with the same numbers as a whole sentence, and nothing heard
later changes what was drawn. Positions are rotary and count from the window's edge (slots), so hours of stream cost
and weigh the same as seconds. The mouth begins at what plain regression hears in the sound, brows and head at what
they were a frame ago, held back a little; the transformer adds to that, and begins by adding nothing. For files, all
frames of a window can be drawn at once, each looking `w` frames to both sides.

Source: Lee et al. 2025 (AudioRTA, arXiv 2510.01176) for the window, the rotary positions, out-painting and the
zero-initialised emotion; Su et al. 2021 (RoFormer) for rotary positions; Salimans and Ho 2022 for predicting the clean
signal. Separate shown and drawn tokens, the two skips and all sizes are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from liveface.errors import RecipeError
from liveface.nets.speech import SpeechConfig, SpeechNet

STYLE = 4
"""Numbers of a style: articulation, smile, energy of the brows, energy of the head; 0 is an average talker."""
SHOWN, DRAWN, BOTH = 0, 1, 2  # rows of the table of token kinds
MOUTH_CALM = 0.3  # size of the mouth's noise in streams; measured: .008 of correlation and a hundredth of jitter
FARTHEST = 8.0  # standard deviations to which inertia carries, so that no stream runs away; emotions reach 6
_NEVER = -1e4  # added to a score that must not count
Memory: TypeAlias = "list[tuple[Tensor, Tensor]]"
"""Keys and values `[B, S, D]` of shown frames, one pair a layer, not yet rotated."""


def house_encoder() -> SpeechConfig:
    """The house's own ears: levelled log-mel, four hops a frame."""
    return SpeechConfig(styles=1, style_width=STYLE)


def wav2vec_encoder(width: int = 768) -> SpeechConfig:
    """An encoder for `width` wav2vec features a frame, brought to 30 frames a second; no weights of it ship."""
    return SpeechConfig(mels=width, hops=1, stem=160, reach=3, styles=1, style_width=STYLE)


@dataclass(frozen=True, slots=True)
class OnlineConfig:
    """Sizes of the online denoiser.

    Attributes:
        encoder: sizes of the audio encoder, whose width is the transformer's.
        layers, heads, inner: of the transformer; `inner` is the width of its feed-forward part.
        window: frames of the past that a frame sees.
        codes: numbers of one frame of motion; the first `encoder.motion` are the mouth.
        emotions, eyes: width of these conditions.
        waves: sinusoids that describe a noise level.
    """

    encoder: SpeechConfig = field(default_factory=house_encoder)
    layers: int = 4
    heads: int = 4
    inner: int = 320
    window: int = 60
    codes: int = 26
    emotions: int = 8
    eyes: int = 160
    waves: int = 16

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):  # from a recipe or a stored file
            object.__setattr__(self, "encoder", SpeechConfig(**self.encoder))
        width = self.encoder.width
        if min(self.layers, self.heads, self.inner, self.window, self.waves) < 1 or width % (2 * self.heads):
            raise RecipeError(
                f"online network with width {width}, heads {self.heads}, layers {self.layers}, window {self.window} "
                f"cannot be built; expected numbers above 0 and a width that twice the heads divide."
            )
        if self.encoder.style_width != STYLE or self.encoder.motion > self.codes:
            raise RecipeError(
                f"encoder with style_width {self.encoder.style_width} and {self.encoder.motion} tracks does not fit; "
                f"expected style_width {STYLE} and at most {self.codes} tracks."
            )

    @property
    def width(self) -> int:
        """Width of every token."""
        return self.encoder.width

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of every state tensor of the stream, without the batch axis."""
        cache = (self.layers, self.window, self.width)
        return {**self.encoder.state_shapes, "heard": (1, self.width), "keys": cache, "values": cache, "count": (1,)}

    @property
    def mmac(self) -> float:
        """Million multiply-adds of one streamed frame: two tokens and the encoder."""
        width = self.width
        layer = 4 * width**2 + 2 * width * self.inner + 2 * self.window * width
        ends = width * (2 * self.codes + width + self.eyes + STYLE + self.emotions)
        return self.encoder.mmac + (2 * self.layers * layer + 2 * ends) / 1e6


class Conditions(NamedTuple):
    """What a motion depends on beside its past.

    Attributes:
        hidden: `[B, T, D]` of the audio encoder.
        mouth: `[B, T, motion]` that regression hears, standardised.
        heard: `[B, T, D]` the sum of all conditions, as tokens see it.
    """

    hidden: Tensor
    mouth: Tensor
    heard: Tensor


def _rotate(x: Tensor, places: Tensor, heads: int) -> Tensor:
    """Split `[B, T, D]` into heads and turn it by its places `[T]`: `[B, heads, T, D / heads]`.

    Source: Su et al. 2021. The slowest pair turns once in 6000 frames.
    """
    batch, rows, width = x.shape
    half = width // heads // 2
    pace = 1000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = places.to(torch.float32)[:, None] * pace  # [T, half]
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    x = x.reshape(batch, rows, heads, 2 * half).transpose(1, 2)
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward; its two last matrices begin small."""

    def __init__(self, config: OnlineConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.before = nn.LayerNorm(width)
        self.mixed = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.inner)
        self.down = nn.Linear(config.inner, width)
        for part in (self.out, self.down):
            nn.init.normal_(part.weight, std=0.3 * width**-0.5)
            nn.init.zeros_(part.bias)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values `[B, T, D]` of tokens."""
        query, key, value = self.mixed(self.before(x)).chunk(3, dim=-1)
        return query, key, value

    def attend(self, x: Tensor, query: Tensor, memory: tuple[Tensor, Tensor], look: Look) -> Tensor:
        """Tokens `[B, T, D]` after they looked at `memory`, and at themselves where `look.own` says so."""
        key, value = memory
        turned = _rotate(query, look.at, self.heads) * (query.shape[-1] // self.heads) ** -0.5
        scores = turned @ _rotate(key, look.of, self.heads).transpose(2, 3) + look.mask.to(x.dtype)  # [B, heads, T, S]
        value = value.reshape(value.shape[0], value.shape[1], self.heads, -1).transpose(1, 2)
        if look.own is None:
            seen = scores.softmax(dim=-1) @ value
        else:
            alone = (turned * _rotate(look.own[0], look.at, self.heads)).sum(-1, keepdim=True)  # [B, heads, T, 1]
            share = torch.cat([scores, alone], dim=-1).softmax(dim=-1)
            mine = look.own[1].reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)
            seen = share[..., :-1] @ value + share[..., -1:] * mine
        x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
        out: Tensor = x + self.down(nn.functional.silu(self.up(self.between(x))))
        return out


class Look(NamedTuple):
    """Where tokens look.

    Attributes:
        at: `[T]` places of the tokens; of: `[S]` places of the memory.
        mask: 0 where a token may look and `_NEVER` elsewhere, to be broadcast to `[B, heads, T, S]`.
        own: key and value of the tokens themselves, when each also looks at itself alone.
    """

    at: Tensor
    of: Tensor
    mask: Tensor
    own: tuple[Tensor, Tensor] | None = None


class OnlineNet(nn.Module):
    """Sound, conditions and the motion so far to the next frame of motion; see the module's notes."""

    def __init__(self, config: OnlineConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.encoder = SpeechNet(config.encoder)
        self.audio = nn.Linear(width, width)
        self.deaf = nn.Parameter(torch.zeros(width))
        self.code = nn.Linear(config.codes, width)
        self.style = nn.Linear(STYLE, width, bias=False)
        self.eyes = nn.Linear(config.eyes, width, bias=False)
        self.emotion = nn.Linear(config.emotions, width, bias=False)
        self.level = nn.Sequential(nn.Linear(2 * config.waves, width), nn.SiLU(), nn.Linear(width, width))
        self.kind = nn.Embedding(3, width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.codes)
        self.inertia = nn.Parameter(torch.full((config.codes - config.encoder.motion,), 3.0))  # 0.95 after the sigmoid
        for part in (self.eyes, self.emotion, self.out):
            nn.init.zeros_(part.weight)
        nn.init.zeros_(self.out.bias)
        nn.init.normal_(self.kind.weight, std=0.02)
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.zeros(config.codes))
        self.register_buffer("spread", torch.ones(config.codes))

    def standard(self, codes: Tensor) -> Tensor:
        """Codes `[..., 26]` in standard deviations from the mean."""
        return (codes - self.mean) / self.spread

    def real(self, standard: Tensor) -> Tensor:
        """The inverse of `standard`."""
        return standard * self.spread + self.mean

    def start(self, batch: int = 1) -> dict[str, Tensor]:
        """The state before the first frame: silence, and nothing shown."""
        device = self.mean.device
        state = {name: torch.zeros(batch, *shape, device=device) for name, shape in self.config.state_shapes.items()}
        state["hops"] -= 2.0  # the feature of silence, see signals.features
        return state

    def listen(
        self, features: Tensor, state: dict[str, Tensor], style: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Features `[B, T * hops, M]` and style `[B, 1, 4]` to hidden `[B, T, D]`, regressed mouth `[B, T, motion]`
        in real units, and the encoder's next state.
        """  # fmt: skip
        past = {name: state[name] for name in self.config.encoder.state_shapes}
        hidden, later = self.encoder.trunk(features, past, style)
        return hidden, self.encoder.head(hidden, style), later

    def conditions(
        self, heard: tuple[Tensor, Tensor], emotion: Tensor, style: Tensor, eyes: Tensor, kept: Tensor | None = None
    ) -> Conditions:
        """Everything a motion depends on, in one sum.

        Args:
            heard: hidden `[B, T, D]` and regressed mouth `[B, T, motion]` in real units, of `listen`.
            emotion: `[B, 1 or T, 8]`; style: `[B, 1, 4]`; eyes: `[B, 1 or T, 160]`.
            kept: `[B, 1, 1]`, 0 where all conditions are left out (guidance), else 1.
        """
        hidden, mouth = heard
        motion = self.config.encoder.motion
        mouth = (mouth - self.mean[:motion]) / self.spread[:motion]
        told = self.audio(hidden) + self.style(style) + self.eyes(eyes) + self.emotion(emotion)
        if kept is not None:
            told = kept * told + (1 - kept) * self.deaf
            mouth = kept * mouth
        return Conditions(hidden, mouth, told)

    def remember(self, heard: Tensor, shown: Tensor, seen: Tensor) -> Memory:
        """Keys and values of a whole sequence of shown frames.

        Args:
            heard: `[B, T, D]` of `conditions`.
            shown: `[B, T, 26]` standardised.
            seen: `[B, T]` bool, False where the past is unknown.
        """
        rows = shown.shape[1]
        x = heard + self.code(shown) + self._kind(SHOWN, torch.zeros(1, 1, device=shown.device))
        at = torch.arange(rows, device=shown.device)
        gap = at[:, None] - at
        allowed = (gap >= 0) & (gap <= self.config.window)
        mask = torch.where(allowed & (seen[:, None, :] | (gap == 0)), 0.0, _NEVER)[:, None]
        memory = []
        for layer in self._stack():
            query, key, value = layer.project(x)
            x = layer.attend(x, query, (key, value), Look(at, at, mask))
            memory.append((key, value))
        return memory

    def draw(
        self, told: Conditions, noisy: Tensor, level: Tensor, memory: Memory, past: tuple[Tensor, Tensor]
    ) -> Tensor:
        """The clean motion `[B, T, 26]` (standardised) under every noisy frame, given the shown frames before it.

        Args:
            told: the conditions.
            noisy: `[B, T, 26]` standardised.
            level: `[B, 1 or T]`, 0 clean to 1 pure noise.
            memory: of `remember`.
            past: `shown` and `seen` as given to `remember`.
        """
        shown, seen = past
        at = torch.arange(noisy.shape[1], device=noisy.device)
        gap = at[:, None] - at
        allowed = (gap >= 1) & (gap <= self.config.window)
        mask = torch.where(allowed & seen[:, None, :], 0.0, _NEVER)[:, None]
        last = nn.functional.pad(shown * seen[..., None], (0, 0, 1, 0))[:, :-1]
        x = told.heard + self.code(noisy) + self._kind(DRAWN, level)
        return self._finished(self._drawn(x, memory, Look(at, at, mask)), told.mouth, last)

    def draw_both(self, told: Conditions, noisy: Tensor, level: Tensor) -> Tensor:
        """The clean motion `[B, T, 26]` under frames that look at each other, `window` to both sides.

        `level` `[B, T]` is 0 where `noisy` holds motion that is already fixed.
        """
        at = torch.arange(noisy.shape[1], device=noisy.device)
        mask = torch.where((at[:, None] - at).abs() <= self.config.window, 0.0, _NEVER)
        x = told.heard + self.code(noisy) + self._kind(BOTH, level)
        for layer in self._stack():
            query, key, value = layer.project(x)
            x = layer.attend(x, query, (key, value), Look(at, at, mask))
        return self._finished(x, told.mouth, torch.zeros_like(noisy))

    def step(
        self, told: Tensor, mouth: Tensor, noise: tuple[Tensor, Tensor], last: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One frame of a stream, drawn in one step.

        Args:
            told: `[B, 1, D]` and mouth `[B, 1, motion]` of `conditions`.
            noise: noisy frame `[B, 1, 26]` and its level `[B, 1]`.
            last: `[B, 1, 26]` standardised, the frame shown before; not used in the first frame.
            state: `heard`, `keys`, `values`, `count`.
        Returns: the clean frame `[B, 1, 26]` and the next values of those four.
        """
        memory, later = self.recall(last, state)
        return self.answer((told, mouth), noise, last, memory, state["count"]), {"heard": told, **later}

    def recall(self, last: Tensor, state: dict[str, Tensor]) -> tuple[Memory, dict[str, Tensor]]:
        """Keys and values after the frame `last` was shown, and the state that keeps them; see `step`."""
        window, device = self.config.window, last.device
        slots = torch.arange(window + 1, device=device)
        count = state["count"][:, :, None, None]  # [B, 1, 1, 1]
        fresh = torch.where(slots >= window, 0.0, (window + 1 - count - slots).clamp(0, 1) * _NEVER)  # itself always
        x = state["heard"] + self.code(last) + self._kind(SHOWN, torch.zeros(1, 1, device=device))
        memory = []
        for index, layer in enumerate(self._stack()):
            query, key, value = layer.project(x)
            key = torch.cat([state["keys"][:, index], key], dim=1)  # [B, window + 1, D]
            value = torch.cat([state["values"][:, index], value], dim=1)
            if index + 1 < len(self.layers):  # the last layer's answer to a shown token is never asked for
                x = layer.attend(x, query, (key, value), Look(slots[window:], slots, fresh))
            memory.append((key[:, 1:], value[:, 1:]))
        keys, values = (torch.stack(list(parts), 1) for parts in zip(*memory, strict=True))
        return memory, {"keys": keys, "values": values, "count": (state["count"] + 1).clamp(max=window + 1)}

    def answer(
        self, told: tuple[Tensor, Tensor], noise: tuple[Tensor, Tensor], last: Tensor, memory: Memory, count: Tensor
    ) -> Tensor:
        """The clean frame under a noisy one; `told`: heard and mouth, `count`: of the state before, see `step`."""
        window, device = self.config.window, last.device
        slots = torch.arange(window + 2, device=device)
        older = (window - count[:, :, None, None] - slots[:window]).clamp(0, 1) * _NEVER
        x = told[0] + self.code(noise[0]) + self._kind(DRAWN, noise[1])
        x = self._drawn(x, memory, Look(slots[window + 1 :], slots[1 : window + 1], older))
        return self._finished(x, told[1], last * count.clamp(0, 1)[..., None])

    def _stack(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def _drawn(self, x: Tensor, memory: Memory, look: Look) -> Tensor:
        """Noisy tokens through all layers over the memory."""
        for layer, known in zip(self._stack(), memory, strict=True):
            query, key, value = layer.project(x)
            x = layer.attend(x, query, known, look._replace(own=(key, value)))
        return x

    def _finished(self, x: Tensor, mouth: Tensor, last: Tensor) -> Tensor:
        """Tokens to motion: the two skips plus what the transformer adds."""
        still = last[..., self.config.encoder.motion :].clamp(-FARTHEST, FARTHEST) * self.inertia.sigmoid()
        out: Tensor = torch.cat([mouth, still], dim=-1) + self.out(self.norm(x))
        return out

    def _kind(self, kind: int, level: Tensor) -> Tensor:
        """`[B, T, D]` that tells a token its kind and its noise level `[B, T]`."""
        wave = torch.exp(
            torch.linspace(0, 6, self.config.waves, device=level.device)
        )  # 1 to 400 radians over the range
        angle = level[..., None] * wave
        out: Tensor = self.level(torch.cat([angle.sin(), angle.cos()], dim=-1)) + self.kind.weight[kind]
        return out


def calmed(noise: Tensor, motion: int) -> Tensor:
    """Noise `[..., 26]` of a stream, calmer in its first `motion` numbers: sound tells nearly all about the mouth."""
    return torch.cat([noise[..., :motion] * MOUTH_CALM, noise[..., motion:]], dim=-1)


class OnlineStep(nn.Module):
    """One streamed frame of a one-step student with its state as named inputs and outputs, for export."""

    def __init__(self, network: OnlineNet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, features: Tensor, noise: Tensor, last: Tensor, emotion: Tensor, style: Tensor, eyes: Tensor,
        **state: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        """One frame.

        Args:
            features: `[1, hops, M]`; noise: `[1, 26]` normal, alike from frame to frame.
            last: `[1, 26]` code shown last; emotion: `[1, 8]`; style: `[1, 4]`; eyes: `[1, 160]`.
            state: see `OnlineConfig.state_shapes`.
        Returns: `codes` `[1, 26]`, not clipped, and `next_` of every state.
        """
        network = self.network
        noise = calmed(noise, network.config.encoder.motion)
        hidden, mouth, later = network.listen(features, state, style[:, None])
        told = network.conditions((hidden, mouth), emotion[:, None], style[:, None], eyes[:, None])
        top = torch.ones(1, 1)
        clean, shown = network.step(
            told.heard, told.mouth, (noise[:, None], top), network.standard(last)[:, None], state
        )
        return {
            "codes": network.real(clean)[:, 0],
            **{f"next_{name}": value for name, value in {**later, **shown}.items()},
        }


class BestStep(nn.Module):
    """One denoising step over a window of frames that see both sides, for export."""

    def __init__(self, network: OnlineNet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, features: Tensor, noisy: Tensor, level: Tensor, emotion: Tensor, style: Tensor, eyes: Tensor,
        conditioned: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        """One step.

        Args:
            features: `[1, (lead + T) * hops, M]`, lead = `encoder.memory - 1` frames before the window (-2 before the
                beginning of a recording).
            noisy: `[1, T, 26]` standardised; level: `[1, T]`, 0 clean to 1 noise.
            emotion: `[1, 8]`; style: `[1, 4]`; eyes: `[1, T, 160]`.
            conditioned: `[1, 1]`, 1, or 0 to leave all conditions out, for guidance.
        Returns: `clean` `[1, T, 26]` standardised and `codes`, the same in real units.
        """
        network, rows = self.network, noisy.shape[1]
        hidden, mouth, _ = network.listen(features, network.start(), style[:, None])
        told = network.conditions(
            (hidden[:, -rows:], mouth[:, -rows:]), emotion[:, None], style[:, None], eyes, conditioned[:, None]
        )
        clean = network.draw_both(told, noisy, level)
        return {"clean": clean, "codes": network.real(clean)}
