"""`Wav2Vec`: features of wav2vec 1.0 for users who have its weights, streaming and without torch.

Nothing of it ships: the weights are the user's, and a speech network that reads these features (`nets.online`,
`wav2vec_encoder`) is trained by the user. Loading is strict: every tensor must be there, with its shape, and none more.

Notable choices: both stacks of convolutions look only back, as in the original; its group norms look at a whole
recording, which a stream does not have, so their statistics follow the last two seconds instead. One row of features
a frame of 30 fps is the mean of the rows of 100 Hz that the frame completes. Only wav2vec 1.0: the networks called
wav2vec 2.0 attend to the future.

Source: Schneider et al. 2019 (wav2vec) and the layout of tensors in fairseq's `Wav2VecModel`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from liveface.errors import WeightsError
from liveface.signals.resample import Resampler
from liveface.types import HOUSE_RATE_HZ, Array, State

RATE_HZ = 16_000
MEMORY_S = 2.0  # that the statistics of the norms follow (chosen)
TRAINED_ONLY = ("wav2vec_predictions.", "vector_quantizer.")  # parts of a checkpoint that features do not need
MOST_HEADER = 100_000_000  # bytes of a safetensors header, as the format says
_EPSILON = 1e-5
_TYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


@dataclass(frozen=True, slots=True)
class Wav2VecConfig:
    """Sizes of wav2vec 1.0; the defaults are those of `wav2vec_large`.

    Attributes:
        extractor: width, taps and stride of every layer from samples to rows.
        aggregator: the same of every layer over rows; each is added to its input.
        residual: share of power that a sum keeps.
    """

    extractor: tuple[tuple[int, int, int], ...] = (
        (512, 10, 5), (512, 8, 4), (512, 4, 2), (512, 4, 2), (512, 4, 2), (512, 1, 1), (512, 1, 1),
    )  # fmt: skip
    aggregator: tuple[tuple[int, int, int], ...] = tuple((512, taps, 1) for taps in range(2, 14))
    residual: float = 0.5

    @property
    def width(self) -> int:
        """Features of a frame."""
        return self.aggregator[-1][0]

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of every tensor, as in the original's checkpoints."""
        out: dict[str, tuple[int, ...]] = {}
        wide = 1
        for index, (width, taps, _) in enumerate(self.extractor):
            name = f"feature_extractor.conv_layers.{index}"
            out |= {f"{name}.0.weight": (width, wide, taps), f"{name}.2.weight": (width,), f"{name}.2.bias": (width,)}
            wide = width
        for index, (width, taps, _) in enumerate(self.aggregator):
            name = f"feature_aggregator.conv_layers.{index}"
            if wide != width:
                out[f"feature_aggregator.residual_proj.{index}.weight"] = (width, wide, 1)
            out |= {f"{name}.1.weight": (width, wide, taps), f"{name}.1.bias": (width,)}
            out |= {f"{name}.3.weight": (width,), f"{name}.3.bias": (width,)}
            wide = width
        return out


def read_tensors(file: str | Path) -> dict[str, Array]:
    """The tensors of a .safetensors or .npz file as float32.

    Raises:
        WeightsError: it is neither, is damaged, or holds other than floating-point numbers.
    """
    file = Path(file)
    if not file.is_file():
        raise WeightsError(f"there is no weights file {file}; expected a .safetensors or .npz file: check its path.")
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as content:
                found = {name: np.asarray(content[name]) for name in content.files}
        elif file.suffix == ".safetensors":
            found = _read_safetensors(file.read_bytes())
        else:
            raise WeightsError(f"{file.name} is no .safetensors or .npz file; convert it, keeping the tensors' names.")
    except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
        raise WeightsError(f"{file.name} cannot be read ({error}); expected whole tensors: copy it again.") from error
    for name, value in found.items():
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise WeightsError(
                f"tensor {name} of {file.name} is {value.dtype}; expected finite floating-point numbers."
            )
    return {name: value.astype(np.float32) for name, value in found.items()}


def _read_safetensors(content: bytes) -> dict[str, npt.NDArray[np.floating]]:
    """Source: the description of the format by its authors (huggingface/safetensors)."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(MOST_HEADER, len(content) - 8):
        raise ValueError(f"a header of {length} bytes in {len(content)}")
    header = json.loads(content[8 : 8 + length])
    body, out = memoryview(content)[8 + length :], {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= len(body):
            raise ValueError(f"tensor {name} lies at {begin} to {end} of {len(body)} bytes")
        out[name] = np.frombuffer(body[begin:end], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


@dataclass(frozen=True, slots=True)
class Wav2Vec:
    """Frames `[800]` at the house rate in, one row of features a frame out.

    Attributes:
        tensors: weights by the original's names.
        config: sizes.
        name: of the weights, for messages.
    """

    tensors: dict[str, Array] = field(repr=False)
    config: Wav2VecConfig = field(default_factory=Wav2VecConfig)
    name: str = "wav2vec weights"
    _resampler: Resampler = field(init=False, repr=False, default_factory=lambda: Resampler(HOUSE_RATE_HZ, RATE_HZ))

    def __post_init__(self) -> None:
        wanted = self.config.tensors
        found = {name: value.shape for name, value in self.tensors.items() if not name.startswith(TRAINED_ONLY)}
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        if wrong:
            first = wrong[0]
            raise WeightsError(
                f"{self.name} has {len(wrong)} tensors that do not fit, such as {first} {found.get(first, 'missing')}; "
                f"expected {wanted.get(first, 'none of that name')}: give weights of wav2vec 1.0 of these sizes."
            )

    @staticmethod
    def load(file: str | Path, config: Wav2VecConfig | None = None) -> Wav2Vec:
        """The network of a .safetensors or .npz file; `config` None means `wav2vec_large`."""
        return Wav2Vec(read_tensors(file), config or Wav2VecConfig(), Path(file).name)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features of one frame."""
        return 1, self.config.width

    def start(self) -> State:
        """The state before the first sample: what every layer still needs of its input, and what its norm followed."""
        state: State = {f"sound_{name}": value for name, value in self._resampler.start().items()}
        wide = 1
        for part, layers in (("extractor", self.config.extractor), ("aggregator", self.config.aggregator)):
            for index, (width, _, _) in enumerate(layers):
                state[f"{part}_{index}"] = np.zeros((0, wide), np.float32)
                state[f"{part}_{index}_norm"] = np.zeros(3)  # rows, mean, mean of squares
                wide = width
        state["last"] = np.zeros((1, self.config.width), np.float32)
        return state

    def step(self, state: State, samples: Array) -> tuple[State, Array]:
        """Features `[1, D]` of a frame of sound at the house rate."""
        sound = {name[6:]: value for name, value in state.items() if name.startswith("sound_")}
        sound, made = self._resampler.step(sound, samples)
        later, rows = self.rows({name: v for name, v in state.items() if not name.startswith("sound_")}, made)
        features = rows.mean(0, keepdims=True) if len(rows) else np.asarray(state["last"], np.float32)
        later |= {f"sound_{name}": value for name, value in sound.items()}
        return {**later, "last": features}, features

    def rows(self, state: State, samples: Array) -> tuple[State, Array]:
        """Features `[T, D]` at 100 Hz of the rows that `samples` at 16 kHz complete."""
        x, later, rate = np.asarray(samples, np.float32)[:, None], dict(state), float(RATE_HZ)
        for index, (_, taps, stride) in enumerate(self.config.extractor):
            rate /= stride
            weights = self._named(f"feature_extractor.conv_layers.{index}", 0, 2)
            x = _layer(later, f"extractor_{index}", x, (taps, stride), weights, rate)
        x = np.log(np.abs(x) + 1)
        for index, (_, taps, stride) in enumerate(self.config.aggregator):
            key, weights = f"aggregator_{index}", self._named(f"feature_aggregator.conv_layers.{index}", 1, 3)
            if len(x) and not len(np.asarray(later[key])):  # before the first row there was the same
                later[key] = np.repeat(x[:1], taps - 1, axis=0)
            made = _layer(later, key, x, (taps, stride), weights, rate)
            across = self.tensors.get(f"feature_aggregator.residual_proj.{index}.weight")
            x = (made + (x if across is None else x @ across[:, :, 0].T)) * np.float32(np.sqrt(self.config.residual))
        return later, np.asarray(x, np.float32)

    def _named(self, layer: str, conv: int, norm: int) -> tuple[Array, Array | None, Array, Array]:
        """Weights and bias of a layer's convolution, and scale and shift of its norm."""
        find = self.tensors
        bias = find.get(f"{layer}.{conv}.bias")
        return find[f"{layer}.{conv}.weight"], bias, find[f"{layer}.{norm}.weight"], find[f"{layer}.{norm}.bias"]


def _layer(
    state: State,
    key: str,
    x: Array,
    shape: tuple[int, int],
    tensors: tuple[Array, Array | None, Array, Array],
    rate: float,
) -> Array:
    """Convolution, norm and rectifier of new rows `[T, D]`; `state[key]` and its norm move on.

    Args:
        shape: taps and stride. rate: rows a second that come out.
    """
    (taps, stride), (weight, bias, scale, shift) = shape, tensors
    held = np.concatenate([np.asarray(state[key], np.float32), x])
    count = max(0, (len(held) - taps) // stride + 1)
    state[key] = held[count * stride :]
    if not count:
        return np.zeros((0, len(weight)), np.float32)
    at = np.arange(count)[:, None] * stride + np.arange(taps)
    out = held[at].transpose(0, 2, 1).reshape(count, -1) @ weight.reshape(len(weight), -1).T  # [count, D]
    if bias is not None:
        out = out + bias
    seen, mean, square = (float(value) for value in np.asarray(state[f"{key}_norm"]))
    total = seen + count
    mean = (seen * mean + count * float(out.mean(dtype=np.float64))) / total
    square = (seen * square + count * float(np.square(out, dtype=np.float64).mean())) / total
    state[f"{key}_norm"] = np.array([min(total, MEMORY_S * rate), mean, square])
    normed = (out - mean) / np.sqrt(max(square - mean**2, 0.0) + _EPSILON) * scale + shift
    return np.asarray(np.maximum(normed, 0), np.float32)
