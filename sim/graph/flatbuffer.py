"""FlatBuffers tables of the TFLite schema as plain values, read with bounds checked and built back.

A table becomes `Table(name, fields)`; a field is a number, a str, bytes (vector of ubyte), a tuple
of numbers, a nested table or a tuple of tables. Nothing of a table that the schema knows is lost.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import flatbuffers
import numpy as np
import tflite
from flatbuffers import number_types

from sim.errors import ModelError
from sim.graph.graph import Table

FILE_IDENTIFIER = b"TFL3"
DATA_ALIGNMENT = 16

_UNION_OF = {
    "builtin_options": "BuiltinOptions",
    "builtin_options2": "BuiltinOptions2",
    "details": "QuantizationDetails",
    "array_segments": "SparseIndexVector",
    "array_indices": "SparseIndexVector",
}
_TABLE_COUNTS = 16
"""What reading a table counts in vector elements; an honest table takes 8 bytes at least."""

_READ_FAULTS = (
    struct.error, IndexError, ValueError, TypeError, KeyError, OverflowError, AttributeError,
    MemoryError, UnicodeError,
)  # fmt: skip


def read_root(data: bytes, source: str) -> Table:
    """The model's root table.

    Raises ModelError if the bytes are not a whole TFLite model, naming the source.
    """
    if len(data) < 8 or data[4:8] != FILE_IDENTIFIER:
        found = bytes(data[4:8])
        raise ModelError(
            f"{source}: not a TFLite model: file identifier: found {found!r}, "
            f"wanted {FILE_IDENTIFIER!r}"
        )
    budget = _Budget(len(data))
    try:
        return _read(_guard(tflite.Model.GetRootAs(data), budget), "Model", budget)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from None
    except _READ_FAULTS as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{source}: damaged TFLite model of {len(data)} bytes (truncated?): {detail}"
        ) from None


def build_root(model: Table) -> bytes:
    """The file of a model's root table; every ubyte vector lies at a multiple of 16."""
    builder = flatbuffers.Builder(1 << 16)
    root = _build(builder, model)
    builder.Finish(root, FILE_IDENTIFIER)
    return bytes(builder.Output())


def enum_name(enum: str, number: int) -> str | None:
    """The name of an enumeration's value, None where this version of the schema has none."""
    return _enum_names(enum).get(number)


def enum_number(enum: str, name: str) -> int:
    """The value of an enumeration's name; "BUILTIN_213" is the number itself.

    Raises ModelError if there is no such name.
    """
    number = _enum_numbers(enum).get(name)
    if number is not None:
        return number
    if name.startswith("BUILTIN_") and name[8:].isdigit():
        return int(name[8:])
    raise ModelError(f"{enum}: found {name}, which this version of the schema does not know")


def is_second_union(options: str) -> bool:
    """Whether an options table belongs to the schema's second union (StableHLO and later)."""
    return options in _enum_numbers("BuiltinOptions2")


class _Budget:
    """Bounds what a file may make us read: honest files hold each byte in one vector."""

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self.left = 4 * file_bytes + 4096

    def spend(self, elements: int) -> None:
        if elements > self.file_bytes:
            raise ModelError(
                f"damaged TFLite model: vector length: found {elements}, "
                f"wanted at most the file's {self.file_bytes} bytes"
            )
        self.take(elements)

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ModelError("damaged TFLite model: the same bytes are referenced again and again")


class _BoundedTable(flatbuffers.table.Table):  # type: ignore[misc]
    """A table that refuses strings and vectors which leave the file."""

    __slots__ = ("budget",)

    def __init__(self, buf: bytes, pos: int, budget: _Budget) -> None:
        super().__init__(buf, pos)
        self.budget = budget
        if not 0 <= pos < len(buf):
            raise ModelError(f"damaged TFLite model: offset {pos} leaves the file")

    def Offset(self, slot: int) -> int:  # noqa: N802
        vtable = self.Pos - self.Get(number_types.SOffsetTFlags, self.Pos)
        if not 0 <= vtable < len(self.Bytes):
            raise ModelError(f"damaged TFLite model: table at {self.Pos} has no layout")
        return int(super().Offset(slot))

    def VectorLen(self, off: int) -> int:  # noqa: N802
        length = int(super().VectorLen(off))
        self.budget.spend(length)
        return length

    def String(self, off: int) -> bytes:  # noqa: N802
        start = off + self.Get(number_types.UOffsetTFlags, off)
        length = self.Get(number_types.UOffsetTFlags, start)
        self.budget.spend(length)
        if start + 4 + length > len(self.Bytes):
            raise ModelError(f"damaged TFLite model: string at {start} leaves the file (truncated)")
        return bytes(self.Bytes[start + 4 : start + 4 + length])


def _guard(accessor: Any, budget: _Budget) -> Any:
    accessor._tab = _BoundedTable(accessor._tab.Bytes, accessor._tab.Pos, budget)
    return accessor


@dataclass(frozen=True, slots=True)
class _Field:
    key: str
    accessor: str
    is_vector: bool
    is_numeric: bool


@cache
def _fields(name: str) -> tuple[_Field, ...]:
    members = vars(getattr(tflite, name))
    found = []
    for accessor in members:
        if accessor in ("Init", "GetRootAs") or accessor.startswith(("_", "GetRootAs")):
            continue
        stem = re.sub(r"(AsNumpy|Length|IsNone)$", "", accessor)
        if (stem != accessor and stem in members) or accessor.endswith("HasIdentifier"):
            continue
        is_vector = f"{accessor}Length" in members
        found.append(_Field(_snake(accessor), accessor, is_vector, f"{accessor}AsNumpy" in members))
    return tuple(found)


def _snake(camel: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", camel).lower()


def _read(accessor: Any, name: str, budget: _Budget) -> Table:
    budget.take(_TABLE_COUNTS)
    fields: dict[str, Any] = {}
    for spec in _fields(name):
        if spec.is_vector:
            value: Any = _read_vector(accessor, spec, budget)
        else:
            value = _read_value(getattr(accessor, spec.accessor)(), spec, fields, budget)
        if value is not None:
            fields[spec.key] = value
    if name == "OperatorCode":
        fields["builtin_code"] = _builtin_code(accessor._tab)
    return Table(name, fields)


def _builtin_code(table: flatbuffers.table.Table) -> int:
    """The field as it stands: below 127 the package's accessor gives the deprecated one instead."""
    offset = table.Offset(10)
    return int(table.Get(number_types.Int32Flags, table.Pos + offset)) if offset else 0


def _read_value(value: Any, spec: _Field, fields: Mapping[str, Any], budget: _Budget) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, flatbuffers.table.Table):
        name = _union_member(_UNION_OF[spec.key], fields.get(f"{spec.key}_type", 0))
        if name is None:
            return None
        member = getattr(tflite, name)()
        member.Init(value.Bytes, value.Pos)
        return _read(_guard(member, budget), name, budget)
    return _read(_guard(value, budget), type(value).__name__, budget)


def _union_member(union: str, number: int) -> str | None:
    name = enum_name(union, number)
    if name is None:
        raise ModelError(f"{union}: found {number}, which this version of the schema does not know")
    return None if name == "NONE" else name


@cache
def _enum_names(enum: str) -> dict[int, str]:
    return {n: name for name, n in vars(getattr(tflite, enum)).items() if isinstance(n, int)}


@cache
def _enum_numbers(enum: str) -> dict[str, int]:
    return {name: number for number, name in _enum_names(enum).items()}


def _read_vector(accessor: Any, spec: _Field, budget: _Budget) -> Any:
    if getattr(accessor, f"{spec.accessor}IsNone")():
        return None
    if spec.is_numeric:
        array = getattr(accessor, f"{spec.accessor}AsNumpy")()
        if array.dtype == np.uint8:
            return array.tobytes()
        return tuple(array.tolist())
    length = getattr(accessor, f"{spec.accessor}Length")()
    element = getattr(accessor, spec.accessor)
    return tuple(_read_value(element(i), spec, {}, budget) for i in range(length))


def _build(builder: flatbuffers.Builder, table: Table) -> int:
    made: list[tuple[str, Any]] = []
    for spec in _fields(table.name):
        value = table[spec.key]
        if value is None:
            continue
        if isinstance(value, str):
            value = builder.CreateString(value.encode("utf-8", "surrogateescape"))
        elif isinstance(value, Table):
            if spec.key in _UNION_OF:
                kind = _enum_numbers(_UNION_OF[spec.key])[value.name]
                made.append((f"{spec.accessor}Type", kind))
            value = _build(builder, value)
        elif isinstance(value, bytes):
            value = _build_bytes(builder, value)
        elif isinstance(value, tuple):
            value = _build_vector(builder, table.name, spec, value)
        elif spec.key.removesuffix("_type") in _UNION_OF:
            continue
        made.append((spec.accessor, value))
    _function(f"{table.name}Start")(builder)
    for accessor, value in made:
        _function(f"{table.name}Add{accessor}")(builder, value)
    return int(_function(f"{table.name}End")(builder))


def _build_bytes(builder: flatbuffers.Builder, data: bytes) -> int:
    builder.StartVector(1, len(data), DATA_ALIGNMENT)
    builder.head = builder.Head() - len(data)
    builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
    return int(builder.EndVector())


def _build_vector(
    builder: flatbuffers.Builder, name: str, spec: _Field, values: tuple[Any, ...]
) -> int:
    start = _function(f"{name}Start{spec.accessor}Vector")
    if spec.is_numeric:
        kind = "i" if any(v < 0 for v in values) else "u"
        if any(isinstance(v, float) for v in values):
            kind = "f"
        width = _element_bytes(f"{name}Start{spec.accessor}Vector")
        return int(builder.CreateNumpyVector(np.array(values, dtype=f"<{kind}{width}")))
    if values and isinstance(values[0], str):
        offsets = [builder.CreateString(v.encode("utf-8", "surrogateescape")) for v in values]
    else:
        offsets = [_build(builder, v) for v in values]
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _function(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(tflite, name)
    return function


@cache
def _element_bytes(start: str) -> int:
    """Element width of a vector: what its generated start function asks a builder for."""
    probe = _Probe()
    _function(start)(probe, 0)
    return probe.width


class _Probe:
    width = 0

    def StartVector(self, width: int, _count: int, _alignment: int) -> None:  # noqa: N802
        self.width = width
