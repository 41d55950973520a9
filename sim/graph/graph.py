"""Tensor, Op and Graph: an immutable model in the order in which its ops run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType
from typing import Any

from sim.errors import ModelError

ITEM_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "FLOAT32": 4, "FLOAT16": 2, "BFLOAT16": 2, "FLOAT64": 8,
        "INT4": 1, "INT2": 1, "UINT4": 1,
        "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
        "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8,
        "BOOL": 1, "COMPLEX64": 8, "COMPLEX128": 16,
        "RESOURCE": 4, "VARIANT": 0, "STRING": 0,
    }
)  # fmt: skip
"""Bytes per element in the arena, as TFLM counts them (memory_helpers.cc, TfLiteTypeSizeOf)."""

OFFLINE_PLAN = "OfflineMemoryAllocation"
"""TFLM's name for the metadata entry with an offset per tensor (see sim.plan.offline)."""

WINDOWS_METADATA = "spillway_windows"
"""A file's entry for what TFLite has no words for: JSON [[step, window], ...] of the spills."""

_BODY_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "IF": ("then_subgraph_index", "else_subgraph_index"),
        "CALL_ONCE": ("init_subgraph_index",),
        "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    }
)

PACKED_BITS: Mapping[str, int] = MappingProxyType({"INT4": 4, "UINT4": 4, "INT2": 2})
"""Types whose constants are stored with less than a byte per element."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the TFLite schema: its type's name, and the fields that are set by schema name.

    An op's options are one ("Conv2DOptions": padding, stride_w, ...); the empty name means none.
    """

    name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.fields.get(key)

    def tables(self, key: str) -> tuple[Table, ...]:
        """The field's nested tables, empty when it is not set."""
        return self.fields.get(key) or ()

    def integer(self, key: str, default: int = 0) -> int:
        """The field as an int; the default when it is not set."""
        value = self.fields.get(key)
        return default if value is None else int(value)

    def text(self, key: str) -> str:
        """The field as a str, empty when it is not set."""
        return self.fields.get(key) or ""


NO_OPTIONS = Table()

LEFT_OUT = -1
"""An op's mark for an optional input that it does without."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantization: one scale and zero point, or one pair per slice of `dimension`."""

    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    dimension: int = 0
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()
    details: Table | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value; constant when it has data. `id` is its index in `Graph.tensors`."""

    id: int
    name: str
    shape: tuple[int, ...]
    dtype: str = "INT8"
    quantization: Quantization | None = None
    data: bytes | None = field(default=None, repr=False)
    is_variable: bool = False
    shape_signature: tuple[int, ...] = ()
    has_rank: bool = False
    sparsity: Table | None = None
    variants: tuple[Table, ...] = ()

    @property
    def label(self) -> str:
        """The name as people are shown it: on one line, and never empty."""
        shown = "".join(c if c.isprintable() else " " for c in self.name).strip()
        return shown or f"tensor {self.id}"

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in the arena; a scalar counts one element."""
        return self.elements * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Op:
    """One step. `kind` is TFLite's name ("CONV_2D"), or "CUSTOM" with `custom_code`.

    An input may be LEFT_OUT. `window` is the number of further steps for which
    a spill keeps its source bytes, while the transfer runs; 0 blocks.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table = NO_OPTIONS
    version: int = 1
    custom_code: str | None = None
    custom_options: bytes | None = None
    intermediates: tuple[int, ...] = ()
    mutating_inputs: tuple[bool, ...] = ()
    window: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """The inputs that are there."""
        return tuple(t for t in self.inputs if t != LEFT_OUT)

    @property
    def calls(self) -> tuple[int, ...]:
        """The numbers of the subgraphs that a control-flow op runs; number n is `bodies[n - 1]`."""
        return tuple(self.options.integer(key, -1) for key in _BODY_FIELDS.get(self.kind, ()))


@dataclass(frozen=True, slots=True)
class Body:
    """A further subgraph, run by IF, WHILE or CALL_ONCE; it owns tensors [first, stop)."""

    name: str
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    first_tensor: int
    stop_tensor: int


@dataclass(frozen=True, slots=True)
class Signature:
    """A named entry point: (argument name, tensor id) pairs; `subgraph` 0 is the graph itself."""

    key: str
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    subgraph: int = 0


@dataclass(frozen=True, slots=True)
class Graph:
    """A model: tensors of all subgraphs, the ops of the main one in running order.

    `tensors[i].id == i`; the tensors of `bodies` follow the main ones, as in TFLM's offline plan.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    bodies: tuple[Body, ...] = ()
    metadata: tuple[tuple[str, bytes], ...] = ()
    signatures: tuple[Signature, ...] = ()
    description: str = ""

    @property
    def main_tensors(self) -> int:
        """How many tensors belong to the main subgraph."""
        return self.bodies[0].first_tensor if self.bodies else len(self.tensors)

    @property
    def weights_bytes(self) -> int:
        """Bytes of constants, shared ones counted once."""
        return sum(len(data) for data in {t.data for t in self.tensors if t.data is not None})

    def meta(self, name: str) -> bytes | None:
        """The metadata entry of that name, if there is one."""
        return next((data for key, data in self.metadata if key == name), None)

    def without_plan(self) -> Graph:
        """The graph without its offline plan, so that TFLM would place the tensors by itself."""
        kept = tuple((name, data) for name, data in self.metadata if name != OFFLINE_PLAN)
        return replace(self, metadata=kept)

    def all_ops(self) -> Iterator[Op]:
        yield from self.ops
        for body in self.bodies:
            yield from body.ops

    def verify(self) -> None:
        """Raises ModelError for an id out of range, a value not yet made, endless control flow."""
        for index, tensor in enumerate(self.tensors):
            if tensor.id != index:
                raise ModelError(f"{self.name}: tensor {index}: found id {tensor.id}")
        main = Body("main", self.ops, self.inputs, self.outputs, 0, self.main_tensors)
        bodies = (main, *self.bodies)
        for body in bodies:
            _verify_body(self, body)
        _verify_calls(self, bodies)
        for signature in self.signatures:
            owner, where = bodies[signature.subgraph], f"signature {signature.key}"
            for _, tensor_id in (*signature.inputs, *signature.outputs):
                _verify_id(self, owner, tensor_id, where)


def _verify_body(graph: Graph, body: Body) -> None:
    for tensor in (*body.inputs, *body.outputs):
        _verify_id(graph, body, tensor, f"subgraph {body.name}: inputs and outputs")
    own = graph.tensors[body.first_tensor : body.stop_tensor]
    ready = {t.id for t in own if t.is_constant or t.is_variable} | set(body.inputs)
    for step, op in enumerate(body.ops):
        where = f"subgraph {body.name}: op {step} {op.kind}"
        for tensor in (*op.reads, *op.outputs, *(t for t in op.intermediates if t != LEFT_OUT)):
            _verify_id(graph, body, tensor, where)
        for tensor in op.reads:
            if tensor not in ready and graph.tensors[tensor].nbytes:
                raise ModelError(
                    f"{graph.name}: {where}: reads tensor {tensor} "
                    f"({graph.tensors[tensor].name}) before any op makes it"
                )
        for tensor in op.outputs:
            if tensor in ready and not graph.tensors[tensor].is_variable:
                raise ModelError(
                    f"{graph.name}: {where}: writes tensor {tensor} "
                    f"({graph.tensors[tensor].name}), which is an input, a constant or made already"
                )
            ready.add(tensor)
    for tensor in body.outputs:
        if tensor not in ready:
            raise ModelError(
                f"{graph.name}: subgraph {body.name}: output tensor {tensor} is never made"
            )


def _verify_id(graph: Graph, body: Body, tensor: int, where: str) -> None:
    if not body.first_tensor <= tensor < body.stop_tensor:
        raise ModelError(
            f"{graph.name}: {where}: found tensor {tensor}, "
            f"wanted {body.first_tensor}..{body.stop_tensor - 1}"
        )


def _verify_calls(graph: Graph, bodies: Sequence[Body]) -> None:
    calls: list[set[int]] = []
    for body in bodies:
        for step, op in enumerate(body.ops):
            for number in op.calls:
                if not 1 <= number < len(bodies):
                    raise ModelError(
                        f"{graph.name}: subgraph {body.name}: op {step} {op.kind}: "
                        f"found subgraph {number}, wanted 1..{len(bodies) - 1}"
                    )
        calls.append({number for op in body.ops for number in op.calls})
    for number, body in enumerate(bodies):
        reached: set[int] = set()
        ahead = calls[number]
        while ahead:
            reached |= ahead
            ahead = set().union(*(calls[n] for n in ahead)) - reached
        if number in reached:
            raise ModelError(f"{graph.name}: subgraph {body.name}: runs itself again and again")
