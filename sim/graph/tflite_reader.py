"""Reads a .tflite file into a Graph, keeping everything that it can't interpret verbatim."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from sim.errors import ModelError
from sim.graph import flatbuffer
from sim.graph.graph import (
    ITEM_BYTES,
    NO_OPTIONS,
    PACKED_BITS,
    WINDOWS_METADATA,
    Body,
    Graph,
    Op,
    Quantization,
    Signature,
    Table,
    Tensor,
)

SCHEMA_VERSION = 3


def read(path: str | Path) -> Graph:
    """The graph in the file.

    Raises ModelError if the file can't be opened or is not a whole, valid TFLite model.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror or error}") from None
    return read_bytes(data, str(path))


def read_bytes(data: bytes, source: str = "model") -> Graph:
    """The graph in the bytes of a .tflite file; `source` names them in errors.

    Raises ModelError if they are not a whole, valid TFLite model.
    """
    model = flatbuffer.read_root(data, source)
    reader = _Reader(model, data, source)
    graph = reader.graph(Path(source).stem)
    replace(graph, name=source).verify()
    return graph


class _Reader:
    def __init__(self, model: Table, file: bytes, source: str) -> None:
        self.model, self.file, self.source = model, file, source
        self.codes = model.tables("operator_codes")
        self.buffers = tuple(self._buffer(i, b) for i, b in enumerate(model.tables("buffers")))

    def graph(self, name: str) -> Graph:
        version = self.model["version"]
        if version != SCHEMA_VERSION:
            raise self._error(f"schema version: found {version}, wanted {SCHEMA_VERSION}")
        subgraphs = self.model.tables("subgraphs")
        if not subgraphs:
            raise self._error("subgraphs: found none, wanted at least one")
        firsts = [0]
        for subgraph in subgraphs:
            firsts.append(firsts[-1] + len(subgraph.tables("tensors")))
        tensors = tuple(
            self._tensor(first + i, table)
            for first, subgraph in zip(firsts, subgraphs, strict=False)
            for i, table in enumerate(subgraph.tables("tensors"))
        )
        bodies = tuple(
            Body(
                name=subgraph.text("name"),
                ops=self._ops(subgraph, first),
                inputs=_ids(subgraph["inputs"], first),
                outputs=_ids(subgraph["outputs"], first),
                first_tensor=first,
                stop_tensor=stop,
            )
            for subgraph, first, stop in zip(subgraphs, firsts, firsts[1:], strict=False)
        )
        main = bodies[0]
        metadata = [self._metadata(m) for m in self.model.tables("metadata")]
        signatures = self.model.tables("signature_defs")
        return Graph(
            name=main.name or name,
            tensors=tensors,
            ops=self._with_windows(main.ops, dict(metadata).get(WINDOWS_METADATA)),
            inputs=main.inputs,
            outputs=main.outputs,
            bodies=bodies[1:],
            metadata=tuple((n, data) for n, data in metadata if n != WINDOWS_METADATA),
            signatures=tuple(self._signature(s, firsts) for s in signatures),
            description=self.model.text("description"),
        )

    def _error(self, message: str) -> ModelError:
        return ModelError(f"{self.source}: {message}")

    def _buffer(self, index: int, table: Table) -> bytes | None:
        offset, size = table.integer("offset"), table.integer("size")
        if offset > 1 or size > 1:  # a large buffer behind the flatbuffer (schema.fbs, Buffer)
            if offset + size > len(self.file):
                raise self._error(
                    f"buffer {index}: found bytes {offset}..{offset + size}, "
                    f"wanted at most {len(self.file)} (truncated?)"
                )
            return self.file[offset : offset + size]
        return table["data"] or None

    def _tensor(self, tensor_id: int, table: Table) -> Tensor:
        name = table.text("name")
        where = f"tensor {tensor_id} ({name})"
        shape = table["shape"] or ()
        if any(d < 0 for d in shape):
            raise self._error(f"{where}: shape: found {shape}, wanted no negative dimension")
        dtype = flatbuffer.enum_name("TensorType", table.integer("type"))
        if dtype is None or dtype not in ITEM_BYTES:
            found = dtype or table.integer("type")
            raise self._error(f"{where}: type: found {found}, wanted a type of this schema")
        index = table.integer("buffer")
        if index >= len(self.buffers):
            raise self._error(f"{where}: buffer: found {index}, wanted below {len(self.buffers)}")
        tensor = Tensor(
            id=tensor_id,
            name=name,
            shape=shape,
            dtype=dtype,
            quantization=_quantization(table["quantization"]),
            data=self.buffers[index],
            is_variable=bool(table["is_variable"]),
            shape_signature=table["shape_signature"] or (),
            has_rank=bool(table["has_rank"]),
            sparsity=table["sparsity"],
            variants=table.tables("variant_tensors"),
        )
        if tensor.data is not None and tensor.sparsity is None:
            wanted = -(-tensor.elements * PACKED_BITS.get(dtype, 8 * ITEM_BYTES[dtype]) // 8)
            if len(tensor.data) < wanted:
                raise self._error(f"{where}: data: found {len(tensor.data)} B, wanted {wanted} B")
        return tensor

    def _ops(self, subgraph: Table, first: int) -> tuple[Op, ...]:
        return tuple(self._op(i, op, first) for i, op in enumerate(subgraph.tables("operators")))

    def _op(self, step: int, table: Table, first: int) -> Op:
        index = table.integer("opcode_index")
        if index >= len(self.codes):
            raise self._error(
                f"op {step}: opcode index: found {index}, wanted below {len(self.codes)}"
            )
        if table.integer("large_custom_options_offset") > 1:
            raise self._error(f"op {step}: custom options outside the flatbuffer can't be kept")
        code = self.codes[index]
        number = max(code.integer("builtin_code"), code.integer("deprecated_builtin_code"))
        if number < 0:
            raise self._error(f"op {step}: builtin code: found {number}, wanted 0 or more")
        kind = flatbuffer.enum_name("BuiltinOperator", number) or f"BUILTIN_{number}"
        return Op(
            kind=kind,
            inputs=_ids(table["inputs"], first),
            outputs=_ids(table["outputs"], first),
            options=table["builtin_options"] or table["builtin_options2"] or NO_OPTIONS,
            version=code.integer("version", 1),
            custom_code=code.text("custom_code") if kind == "CUSTOM" else None,
            custom_options=table["custom_options"],
            intermediates=_ids(table["intermediates"], first),
            mutating_inputs=tuple(bool(b) for b in table["mutating_variable_inputs"] or ()),
        )

    def _with_windows(self, ops: tuple[Op, ...], entry: bytes | None) -> tuple[Op, ...]:
        if entry is None:
            return ops
        windows: dict[int, int] = {}
        for step, window in self._windows(entry):
            if not (0 <= step < len(ops) and 0 <= window < len(ops) - step):
                raise self._error(
                    f"metadata {WINDOWS_METADATA}: found window {window} of step {step}, "
                    f"wanted one of 0 or more, that ends before step {len(ops)}"
                )
            windows[step] = window
        return tuple(replace(op, window=windows.get(i, 0)) for i, op in enumerate(ops))

    def _windows(self, entry: bytes) -> list[tuple[int, int]]:
        try:
            pairs = [(step, window) for step, window in json.loads(entry)]
        except (ValueError, TypeError, RecursionError):
            pairs = [(None, None)]
        if any(type(number) is not int for pair in pairs for number in pair):
            raise self._error(
                f"metadata {WINDOWS_METADATA}: found {entry[:40]!r}, wanted [[step, window], ...]"
            )
        return pairs

    def _metadata(self, table: Table) -> tuple[str, bytes]:
        index = table.integer("buffer")
        if index >= len(self.buffers):
            raise self._error(
                f"metadata {table.text('name')}: buffer: found {index}, "
                f"wanted below {len(self.buffers)}"
            )
        return table.text("name"), self.buffers[index] or b""

    def _signature(self, table: Table, firsts: list[int]) -> Signature:
        subgraph = table.integer("subgraph_index")
        if subgraph >= len(firsts) - 1:
            raise self._error(
                f"signature {table.text('signature_key')}: subgraph: found {subgraph}, "
                f"wanted below {len(firsts) - 1}"
            )
        first = firsts[subgraph]

        def pairs(key: str) -> tuple[tuple[str, int], ...]:
            maps = table.tables(key)
            return tuple((m.text("name"), first + m.integer("tensor_index")) for m in maps)

        return Signature(table.text("signature_key"), pairs("inputs"), pairs("outputs"), subgraph)


def _ids(local: tuple[int, ...] | None, first: int) -> tuple[int, ...]:
    return tuple(i + first if i >= 0 else i for i in local or ())


def _quantization(table: Table | None) -> Quantization | None:
    if table is None:
        return None
    return Quantization(
        scale=table["scale"] or (),
        zero_point=table["zero_point"] or (),
        dimension=table.integer("quantized_dimension"),
        minimum=table["min"] or (),
        maximum=table["max"] or (),
        details=table["details"],
    )
