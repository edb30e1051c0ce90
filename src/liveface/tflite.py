"""What a `.tflite` file holds, read without running it; and its ends as the integers they are inside.

A network that came from somebody else is walked through before the run time sees it: every offset lies within the
file, every operator is one of the few that our networks are made of (none that calls, branches, keeps variables or
loads code), and no tensor is larger than our networks need. Source of the layout: the FlatBuffers internals page and
the schema of TensorFlow Lite, version 3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from liveface.errors import WeightsError

OPERATORS: dict[int, str] = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE", 9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 21: "RELU6",
    22: "RESHAPE", 23: "RESIZE_BILINEAR", 25: "SOFTMAX", 26: "SPACE_TO_DEPTH", 28: "TANH", 34: "PAD", 36: "GATHER",
    39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV", 43: "SQUEEZE", 45: "STRIDED_SLICE", 49: "SPLIT", 53: "CAST",
    55: "MAXIMUM", 57: "MINIMUM", 60: "PADV2", 65: "SLICE", 67: "TRANSPOSE_CONV", 69: "TILE", 70: "EXPAND_DIMS",
    74: "SUM", 76: "RSQRT", 83: "PACK", 88: "UNPACK", 97: "RESIZE_NEAREST_NEIGHBOR", 98: "LEAKY_RELU",
    100: "MIRROR_PAD", 102: "SPLIT_V", 114: "QUANTIZE", 117: "HARD_SWISH", 123: "SELECT_V2", 126: "BATCH_MATMUL",
    130: "BROADCAST_TO", 152: "RELU_0_TO_1",
}  # fmt: skip
"""Operators that networks of an avatar may use. Source: builtin operators of the TensorFlow Lite schema."""

SCHEMA_VERSION = 3
MAX_ELEMENTS = 1 << 24  # of one tensor; the largest of ours has 2.2 million
MAX_PARTS = 4096  # tensors, operators or buffers of one network; the largest of ours has below 600
MAX_TENSOR_BYTES = 256 << 20  # all tensors that are no weights, four bytes an element


@dataclass(frozen=True, slots=True)
class Graph:
    """The outline of a network file.

    Attributes:
        operators: names of the operators it uses, in the order of the file.
        weight_bytes: of all constants.
        elements: of all tensors that are no constants.
    """

    operators: tuple[str, ...]
    weight_bytes: int
    elements: int


def inspect(data: bytes, name: str) -> Graph:
    """Walk through a network file; `name` is for messages.

    Raises:
        WeightsError: it is damaged, uses an operator that is not in `OPERATORS`, or wants absurd memory.
    """
    if data[4:8] != b"TFL3":
        raise WeightsError(f"{name} is no .tflite network; expected one that liveface exported: export it again.")
    try:
        return _walk(_Buffer(data), name)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{name} is a damaged network ({error}); expected one that liveface exported: copy it again."
        ) from error


def integer_ends(data: bytes, names: Sequence[str]) -> bytes:
    """The same network with some inputs and outputs as INT8: what its QUANTIZE would make, its DEQUANTIZE would read.

    A frame then goes in and out as a quarter of the bytes, and two passes over it fall away; every number inside stays
    the same. A clamp to 0 .. 1 behind a DEQUANTIZE falls away with it and is the reader's. Ends that are not quantized
    stay as they are.

    Args:
        data: a whole file, as `inspect` accepts it.
        names: of inputs and outputs, as in the file's signature.
    """
    made, file = bytearray(data), _Buffer(data)
    root = file.follow(0)
    graph = file.tables(root, 2)[0]
    codes = [_operator(file, table, "the network") for table in file.tables(root, 1)]
    left = [
        _Call(place, codes[file.number(place, 0, "<I", 0)], file.integers(place, 1), file.integers(place, 2))
        for place in file.tables(graph, 3)
    ]
    ends = {
        file.text(end, 0): file.number(end, 1, "<I", 0)
        for signature in file.tables(root, 7)
        for end in (*file.tables(signature, 0), *file.tables(signature, 1))
    }
    for name in names:
        found = _converting(left, ends.get(name, -1))
        if found:
            inner = found[0].takes[0] if found[0].code == "DEQUANTIZE" else found[0].gives[0]
            left = [call for call in left if call not in found]
            _exchange(made, graph, [call.place for call in left], ends[name], inner)
    _write_tables(made, graph, 3, [call.place for call in left])
    return bytes(made)


@dataclass(frozen=True, slots=True)
class _Call:
    """An operator at its place in the graph."""

    place: int
    code: str
    takes: list[int]
    gives: list[int]


def _converting(calls: list[_Call], end: int) -> list[_Call]:
    """What stands between an end and its integers, the conversion first; empty when it has none to itself."""
    readers = [call for call in calls if end in call.takes]
    if [call.code for call in readers] == ["QUANTIZE"]:
        return readers
    makers = [call for call in calls if end in call.gives]
    if [call.code for call in makers] == ["RELU_0_TO_1"] and not readers:
        end = makers[0].takes[0]
        readers = [call for call in calls if end in call.takes and call not in makers]
        makers = [call for call in calls if end in call.gives] + makers
    return makers if makers and makers[0].code == "DEQUANTIZE" and not readers else []


def _exchange(made: bytearray, graph: int, operators: list[int], end: int, inner: int) -> None:
    """Let two tensors change places, so that what the file calls its end is the integer one within."""
    file = _Buffer(bytes(made))
    tensors = file.tables(graph, 0)
    tensors[end], tensors[inner] = tensors[inner], tensors[end]
    _write_tables(made, graph, 0, tensors)
    for operator in operators:
        for field in (1, 2):
            at, count = file.vector(operator, field, 4)
            for place in range(at, at + 4 * count, 4):
                if struct.unpack_from("<i", made, place)[0] == inner:
                    struct.pack_into("<i", made, place, end)


def _write_tables(made: bytearray, table: int, field: int, targets: list[int]) -> None:
    """Write a vector of tables anew, in its place; it may have become shorter."""
    at, _ = _Buffer(bytes(made)).vector(table, field, 4)
    struct.pack_into("<I", made, at - 4, len(targets))
    for index, target in enumerate(targets):
        struct.pack_into("<I", made, at + 4 * index, target - (at + 4 * index))


def _walk(file: _Buffer, name: str) -> Graph:
    root = file.follow(0)
    version = file.number(root, 0, "<I", 0)
    graphs = file.tables(root, 2)
    if version != SCHEMA_VERSION or len(graphs) != 1:
        raise WeightsError(
            f"{name} has schema version {version} and {len(graphs)} graphs; expected version {SCHEMA_VERSION} and "
            "one graph: export it with liveface."
        )
    codes = [_operator(file, table, name) for table in file.tables(root, 1)]
    buffers = [file.constant_bytes(table) for table in file.tables(root, 4)]
    elements, tensors = 0, file.tables(graphs[0], 0)
    for tensor in tensors:
        buffer = file.number(tensor, 2, "<I", 0)
        count = math.prod(_shape(file, tensor, name))
        elements += 0 if buffers[buffer] else count
    if 4 * elements > MAX_TENSOR_BYTES:
        raise WeightsError(
            f"{name} needs {4 * elements / 1e6:.0f} MB to run; expected at most {MAX_TENSOR_BYTES >> 20} MiB: it is "
            "no network of liveface."
        )
    _check_wiring(file, graphs[0], len(codes), len(tensors))
    return Graph(tuple(codes), sum(buffers), elements)


def _check_wiring(file: _Buffer, graph: int, codes: int, tensors: int) -> None:
    """Every operator exists and is connected to tensors that exist."""
    ends = [*file.integers(graph, 1), *file.integers(graph, 2)]
    if not all(0 <= index < tensors for index in ends):
        raise IndexError(f"inputs and outputs {ends[:8]} of {tensors} tensors")
    for operator in file.tables(graph, 3):
        index, ends = file.number(operator, 0, "<I", 0), [*file.integers(operator, 1), *file.integers(operator, 2)]
        if index >= codes or not all(-1 <= end < tensors for end in ends):  # -1 stands for an input left out
            raise IndexError(f"operator {index} of {codes} with tensors {ends[:8]} of {tensors}")


def _operator(file: _Buffer, table: int, name: str) -> str:
    """The name of an allowed operator."""
    old, new = file.number(table, 0, "<b", 0), file.number(table, 3, "<i", 0)
    code = max(old, new)
    if code not in OPERATORS or file.has(table, 1):
        raise WeightsError(
            f"{name} uses operator {code}{' (custom code)' if code == 32 else ''}, which no network of liveface uses; "
            "expected the plain operators of its own exports: do not use this file."
        )
    return OPERATORS[code]


def _shape(file: _Buffer, tensor: int, name: str) -> list[int]:
    shape = file.integers(tensor, 0)
    if any(side < 0 for side in shape) or len(shape) > 8 or math.prod(shape) > MAX_ELEMENTS:
        raise WeightsError(
            f"{name} has a tensor of shape {shape[:8]}; expected at most {MAX_ELEMENTS} elements: it is no network "
            "of liveface."
        )
    return shape


class _Buffer:
    """Bounds-checked reading of a FlatBuffer; positions are byte offsets of tables."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def _read(self, kind: str, at: int) -> int:
        if at < 0:
            raise IndexError(f"offset {at}")
        return int(struct.unpack_from(kind, self._data, at)[0])

    def follow(self, at: int) -> int:
        """The position that the offset at `at` points to."""
        return at + self._read("<I", at)

    def _field(self, table: int, field: int) -> int:
        """Position of a table's field, 0 when it is not there."""
        layout = table - self._read("<i", table)
        if 4 + 2 * field + 2 > self._read("<H", layout):
            return 0
        offset = self._read("<H", layout + 4 + 2 * field)
        return table + offset if offset else 0

    def has(self, table: int, field: int) -> bool:
        """Whether a table sets a field."""
        return bool(self._field(table, field))

    def number(self, table: int, field: int, kind: str, default: int) -> int:
        """A scalar field."""
        at = self._field(table, field)
        return self._read(kind, at) if at else default

    def vector(self, table: int, field: int, width: int) -> tuple[int, int]:
        """Position and length of a vector whose elements have `width` bytes."""
        at = self._field(table, field)
        if not at:
            return 0, 0
        at = self.follow(at)
        count = self._read("<I", at)
        if at + 4 + count * width > len(self._data):
            raise IndexError(f"{count} elements at {at}")
        return at + 4, count

    def text(self, table: int, field: int) -> str:
        """A string."""
        at, size = self.vector(table, field, 1)
        return self._data[at : at + size].decode()

    def size(self, table: int, field: int) -> int:
        """Length of a vector of bytes."""
        return self.vector(table, field, 1)[1]

    def constant_bytes(self, table: int) -> int:
        """Size of a constant, which lies in its table or further back in the file."""
        offset, size = self.number(table, 1, "<Q", 0), self.number(table, 2, "<Q", 0)
        if offset <= 1:
            return self.size(table, 0)
        if offset + size > len(self._data):
            raise IndexError(f"constant of {size} bytes at {offset}")
        return size

    def integers(self, table: int, field: int) -> list[int]:
        """A vector of int32."""
        at, count = self.vector(table, field, 4)
        if count > MAX_PARTS:
            raise IndexError(f"{count} numbers")
        return list(struct.unpack_from(f"<{count}i", self._data, at)) if count else []

    def tables(self, table: int, field: int) -> list[int]:
        """Positions of a vector of tables."""
        at, count = self.vector(table, field, 4)
        if count > MAX_PARTS:
            raise IndexError(f"{count} parts")
        return [self.follow(at + 4 * index) for index in range(count)]
