"""A tiny network file without torch: every output is the mean of the inputs plus random numbers per channel."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


class _Graph:
    """A float graph in the making."""

    def __init__(self):
        self.tensors, self.operators, self.buffers, self.codes = [], [], [schema.BufferT()], []

    def tensor(self, name, shape, value=None, kind=schema.TensorType.FLOAT32):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), kind, 0
        if value is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def integers(self, name, values):
        return self.tensor(name, [len(values)], np.array(values, np.int32), schema.TensorType.INT32)

    def call(self, code, inputs, shape, kind=None, options=None):
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self.codes.index(code), inputs
        operator.outputs = [self.tensor(f"t{len(self.tensors)}", shape)]
        if options is not None:
            operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.operators.append(operator)
        return operator.outputs[0]


def tiny_network(inputs, outputs, seed=0, low=0.0, high=1.0, gain=1.0):
    """The bytes of a `.tflite`.

    Args:
        inputs, outputs: name to shape, all float32.
        seed: of its numbers, low to high; gain: of the inputs' mean.
    """
    op, random, graph = schema.BuiltinOperator, np.random.default_rng(seed), _Graph()
    places = {name: graph.tensor(name, shape) for name, shape in inputs.items()}
    total = None
    for name, shape in inputs.items():
        keep = schema.ReducerOptionsT()
        keep.keepDims = False
        axes = graph.integers(f"axes_{name}", list(range(len(shape))))
        mean = graph.call(op.MEAN, [places[name], axes], [], schema.BuiltinOptions.ReducerOptions, keep)
        total = (
            mean
            if total is None
            else graph.call(op.ADD, [total, mean], [], schema.BuiltinOptions.AddOptions, schema.AddOptionsT())
        )
    size = graph.tensor("gain", [], np.float32(gain))
    total = graph.call(op.MUL, [total, size], [], schema.BuiltinOptions.MulOptions, schema.MulOptionsT())
    ends = {}
    for name, shape in outputs.items():
        row = graph.tensor(f"row_{name}", [shape[-1]], random.uniform(low, high, shape[-1]).astype(np.float32))
        both = graph.call(op.ADD, [row, total], [shape[-1]], schema.BuiltinOptions.AddOptions, schema.AddOptionsT())
        ends[name] = graph.call(op.BROADCAST_TO, [both, graph.integers(f"shape_{name}", shape)], shape)
    return _packed(graph, places, ends)


def _packed(graph, places, ends):
    whole, model, signature = schema.SubGraphT(), schema.ModelT(), schema.SignatureDefT()
    whole.tensors, whole.operators = graph.tensors, graph.operators
    whole.inputs, whole.outputs = list(places.values()), list(ends.values())
    model.version, model.subgraphs, model.buffers = 3, [whole], graph.buffers
    model.operatorCodes = []
    for code in graph.codes:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
        entry.version = 2 if code == schema.BuiltinOperator.BROADCAST_TO else 1
        model.operatorCodes.append(entry)
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = _named(places), _named(ends)
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _named(places):
    maps = []
    for name, index in places.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        maps.append(entry)
    return maps
