"""Edits of a finished .tflite that the converter leaves undone; each writes aligned buffers."""

from __future__ import annotations

import copy
import re

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

ALIGNMENT = 16
FILE_IDENTIFIER = b"TFL3"


class _AlignedBuffer(schema.BufferT):
    """A buffer whose bytes start at a multiple of 16, which the stock `Pack` does not see to."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802, the name is the schema's
        vector = _aligned_vector(builder, self.data) if self.data else None
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def tidy(model: bytes) -> bytes:
    """Align all buffers, and name each tensor after its layer: up8a, up8a/weights, up8a/bias."""
    parsed = _parse(model)
    tensors = parsed.subgraphs[0].tensors
    for step, op in enumerate(parsed.subgraphs[0].operators):
        result = tensors[op.outputs[0]]
        layer = _layer_name(result.name.decode())
        if any(tensor.name == layer.encode() for tensor in tensors):
            layer = f"{layer}_{step}"
        result.name = layer.encode()
        for position, index in enumerate(op.inputs):
            if parsed.buffers[tensors[index].buffer].data is None:
                continue
            is_bias = position == len(op.inputs) - 1 and position > 1
            role = "bias" if is_bias else "parameter"
            if tensors[index].type == schema.TensorType.INT8:
                role = "weights"
            tensors[index].name = f"{layer}/{role}".encode()
    return _pack(parsed)


def order_by_level(model: bytes) -> bytes:
    """Run ops by their distance from the input, so that all branches are begun before one ends."""
    parsed = _parse(model)
    graph = parsed.subgraphs[0]
    depth: dict[int, int] = {}
    level_of: list[int] = []
    for op in graph.operators:
        level = 1 + max(depth.get(index, 0) for index in op.inputs)
        depth.update(dict.fromkeys(op.outputs, level))
        level_of.append(level)
    order = sorted(range(len(level_of)), key=lambda index: level_of[index])
    graph.operators = [graph.operators[index] for index in order]
    return _pack(parsed)


def insert_custom_op(model: bytes, after: int, name: str, options: bytes) -> bytes:
    """Put a custom op behind op number `after`; it takes and gives a tensor of the same type."""
    parsed = _parse(model)
    graph = parsed.subgraphs[0]
    source = int(graph.operators[after].outputs[0])
    result = len(graph.tensors)
    graph.tensors.append(copy.copy(graph.tensors[source]))
    graph.tensors[result].name = name.encode()
    for op in graph.operators[after + 1 :]:
        op.inputs = [result if index == source else int(index) for index in op.inputs]

    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.CUSTOM
    code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = name.encode()
    code.version = 1
    parsed.operatorCodes.append(code)

    custom = schema.OperatorT()
    custom.opcodeIndex = len(parsed.operatorCodes) - 1
    custom.inputs, custom.outputs = [source], [result]
    custom.customOptions = list(options)
    graph.operators.insert(after + 1, custom)
    return _pack(parsed)


def op_names(model: bytes) -> list[str]:
    """The kinds of all ops in the order they run; a custom op by its own name."""
    kinds = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
    parsed = _parse(model)
    codes = [parsed.operatorCodes[op.opcodeIndex] for op in parsed.subgraphs[0].operators]
    return [
        code.customCode.decode()
        if code.customCode
        else kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for code in codes
    ]


def misaligned_buffers(model: bytes) -> list[int]:
    """The buffers whose bytes do not start at a multiple of 16 in the file."""
    root = schema.Model.GetRootAs(model)
    found = []
    for index in range(root.BuffersLength()):
        table = root.Buffers(index)._tab
        field = table.Offset(4)
        if field and table.VectorLen(field) and table.Vector(field) % ALIGNMENT:
            found.append(index)
    return found


def _parse(model: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))


def _pack(model: schema.ModelT) -> bytes:
    model.buffers = [
        _AlignedBuffer(b"" if buffer.data is None else bytes(buffer.data))
        for buffer in model.buffers
    ]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _layer_name(tensor_name: str) -> str:
    """The Keras layer in a name such as model_1/layer_1/Relu;…, which Keras has numbered anew."""
    path = tensor_name.split(";", maxsplit=1)[0].split("/")
    return re.sub(r"_\d+$", "", path[1]) if len(path) > 1 else "output"


def _aligned_vector(builder: flatbuffers.Builder, data: bytes) -> int:
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())
