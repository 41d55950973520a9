"""Writes a Graph as a .tflite file: equal constants once, every buffer at a multiple of 16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim.files import write_whole
from sim.graph import flatbuffer
from sim.graph.graph import WINDOWS_METADATA, Body, Graph, Op, Quantization, Table, Tensor

LAST_BYTE_CODE = 127
"""Builtin codes above this do not fit the schema's old one-byte field (schema.fbs)."""


def write(graph: Graph, path: str | Path) -> bytes:
    """Writes the file as a whole or not at all, and returns its bytes."""
    data = to_bytes(graph)
    write_whole(path, data)
    return data


def to_bytes(graph: Graph) -> bytes:
    """The bytes of the .tflite file; the same graph gives the same bytes."""
    return flatbuffer.build_root(_Writer(graph).model())


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.buffers: list[bytes] = [b""]
        self.buffer_of: dict[bytes, int] = {}
        self.codes: dict[tuple[str, str | None, int], int] = {}

    def model(self) -> Table:
        graph = self.graph
        main = Body(graph.name, graph.ops, graph.inputs, graph.outputs, 0, graph.main_tensors)
        subgraphs = tuple(self._subgraph(body) for body in (main, *graph.bodies))
        metadata = tuple(
            Table("Metadata", {"name": name, "buffer": self._own_buffer(data)})
            for name, data in (*graph.metadata, *_windows(graph))
        )
        fields: dict[str, Any] = {
            "version": 3,
            "operator_codes": tuple(_operator_code(*key) for key in self.codes),
            "subgraphs": subgraphs,
            "description": graph.description,
            "buffers": tuple(
                Table("Buffer", {"data": data} if data else {}) for data in self.buffers
            ),
            "metadata": metadata,
            "signature_defs": tuple(self._signatures((main, *graph.bodies))),
        }
        return Table("Model", {key: value for key, value in fields.items() if value})

    def _subgraph(self, body: Body) -> Table:
        first = body.first_tensor
        tensors = self.graph.tensors[first : body.stop_tensor]
        return Table(
            "SubGraph",
            {
                "tensors": tuple(self._tensor(t) for t in tensors),
                "inputs": _local(body.inputs, first),
                "outputs": _local(body.outputs, first),
                "operators": tuple(self._op(op, first) for op in body.ops),
                "name": body.name,
            },
        )

    def _shared_buffer(self, data: bytes | None) -> int:
        if data is None:
            return 0
        if data not in self.buffer_of:
            self.buffer_of[data] = self._own_buffer(data)
        return self.buffer_of[data]

    def _own_buffer(self, data: bytes) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1

    def _tensor(self, tensor: Tensor) -> Table:
        fields: dict[str, Any] = {
            "shape": tensor.shape,
            "type": flatbuffer.enum_number("TensorType", tensor.dtype),
            "buffer": self._shared_buffer(tensor.data),
            "name": tensor.name,
            "quantization": _quantization(tensor.quantization),
            "is_variable": tensor.is_variable,
            "sparsity": tensor.sparsity,
            "shape_signature": tensor.shape_signature or None,
            "has_rank": tensor.has_rank,
            "variant_tensors": tensor.variants or None,
        }
        return Table("Tensor", {key: value for key, value in fields.items() if value is not None})

    def _op(self, op: Op, first: int) -> Table:
        key = (op.kind, op.custom_code, op.version)
        fields: dict[str, Any] = {
            "opcode_index": self.codes.setdefault(key, len(self.codes)),
            "inputs": _local(op.inputs, first),
            "outputs": _local(op.outputs, first),
            "custom_options": op.custom_options,
            "intermediates": _local(op.intermediates, first) or None,
            "mutating_variable_inputs": op.mutating_inputs or None,
        }
        if op.options.name:
            second = flatbuffer.is_second_union(op.options.name)
            fields["builtin_options2" if second else "builtin_options"] = op.options
        return Table("Operator", {key: value for key, value in fields.items() if value is not None})

    def _signatures(self, bodies: tuple[Body, ...]) -> list[Table]:
        made = []
        for signature in self.graph.signatures:
            first = bodies[signature.subgraph].first_tensor
            maps = [
                tuple(
                    Table("TensorMap", {"name": name, "tensor_index": tensor - first})
                    for name, tensor in pairs
                )
                for pairs in (signature.inputs, signature.outputs)
            ]
            fields = {
                "inputs": maps[0],
                "outputs": maps[1],
                "signature_key": signature.key,
                "subgraph_index": signature.subgraph,
            }
            made.append(Table("SignatureDef", fields))
        return made


def _windows(graph: Graph) -> list[tuple[str, bytes]]:
    windows = [[step, op.window] for step, op in enumerate(graph.ops) if op.window]
    return [(WINDOWS_METADATA, json.dumps(windows).encode())] if windows else []


def _local(ids: tuple[int, ...], first: int) -> tuple[int, ...]:
    return tuple(i - first if i >= 0 else -1 for i in ids)


def _operator_code(kind: str, custom_code: str | None, version: int) -> Table:
    number = flatbuffer.enum_number("BuiltinOperator", kind)
    fields: dict[str, Any] = {
        "deprecated_builtin_code": min(number, LAST_BYTE_CODE),
        "builtin_code": number,
        "version": version,
    }
    if custom_code is not None:
        fields["custom_code"] = custom_code
    return Table("OperatorCode", fields)


def _quantization(quantization: Quantization | None) -> Table | None:
    if quantization is None:
        return None
    fields: dict[str, Any] = {
        "min": quantization.minimum or None,
        "max": quantization.maximum or None,
        "scale": quantization.scale or None,
        "zero_point": quantization.zero_point or None,
        "quantized_dimension": quantization.dimension,
        "details": quantization.details,
    }
    set_fields = {key: value for key, value in fields.items() if value is not None}
    return Table("QuantizationParameters", set_fields)
