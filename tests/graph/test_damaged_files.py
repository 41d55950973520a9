"""A file that is no whole model gives one ModelError: the file, what was found, what was wanted."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import process_time

import flatbuffers
import numpy as np
import pytest
import tflite
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ModelError
from sim.graph.graph import Graph, Signature
from sim.graph.tflite_reader import read, read_bytes
from sim.graph.tflite_writer import to_bytes
from tests.graph.control_flow import if_graph, while_graph
from tests.graphs import Net

MOST_SECONDS = 2.0
"""Of processor time for any file of a few kilobytes; an honest one takes some milliseconds."""


@cache
def small() -> Graph:
    net = Net(name="small")
    x = net.input(1, 4, 4, 2)
    graph = net.graph(net.softmax(net.dense(net.conv(x, 2, 1), 3)))
    signature = Signature("serve", (("x", x),), (("y", graph.outputs[0]),))
    return replace(graph, signatures=(signature,), metadata=(("note", b"kept"),))


def refused(data: bytes) -> str:
    """The message about bytes that are read as the file `bad.tflite`."""
    with pytest.raises(ModelError) as caught:
        read_bytes(data, "bad.tflite")
    message = str(caught.value)
    assert message.startswith("bad.tflite: ")
    assert "\n" not in message
    return message


def read_or_refused(data: bytes) -> Graph | None:
    start = process_time()
    try:
        graph = read_bytes(data, "bad.tflite")
    except ModelError as error:
        assert str(error).startswith("bad.tflite: ")
        graph = None
    assert process_time() - start < MOST_SECONDS
    return graph


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: can't be read: No such file"):
        read(tmp_path / "none.tflite")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{tmp_path}: can't be read: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL", b"\x89PNG\r\n\x1a\n" * 9])
def test_a_foreign_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: not a TFLite model: file identifier: found {data[4:8]!r}, wanted b'TFL3'"
    )


@given(st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    refused(data)


@given(st.binary(max_size=400))
def test_random_bytes_behind_the_identifier(data: bytes) -> None:
    assert read_or_refused(b"\x10\x00\x00\x00TFL3" + data) is None


def test_a_file_cut_at_any_place() -> None:
    whole, graph = to_bytes(small()), read_bytes(to_bytes(small()))
    readable = [cut for cut in range(len(whole)) if read_or_refused(whole[:cut])]
    for cut in readable:
        assert read_bytes(whole[:cut]) == graph
        assert not any(whole[cut:]), "only padding may be missing"
    assert read_bytes(whole + b"more") == graph


@given(
    make=st.sampled_from([small, while_graph]),
    flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=4),
)
@settings(max_examples=300)
def test_flipped_bits(make: Callable[[], Graph], flips: list[tuple[int, int]]) -> None:
    """What can still be read can be written, and then read as the same."""
    data = bytearray(whole_file(make))
    for place, mask in flips:
        data[place % len(data)] ^= mask
    graph = read_or_refused(bytes(data))
    if graph is not None:
        assert repr(read_bytes(to_bytes(graph))) == repr(graph)  # repr: a scale may be no number


@cache
def whole_file(make: Callable[[], Graph]) -> bytes:
    return to_bytes(make())


@given(place=st.integers(0, 2**16), word=st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1]))
@settings(max_examples=300)
def test_extreme_words(place: int, word: int) -> None:
    """Every offset and length of the file lies at a multiple of 4."""
    data = bytearray(whole_file(small))
    struct.pack_into("<I", data, place % (len(data) // 4) * 4, word)
    read_or_refused(bytes(data))


def test_a_vector_longer_than_the_file() -> None:
    data = bytearray(whole_file(small))
    weights = tflite.Model.GetRootAs(data).Buffers(1)._tab
    struct.pack_into("<I", data, weights.Vector(weights.Offset(4)) - 4, 2**31)
    assert refused(bytes(data)) == (
        f"bad.tflite: damaged TFLite model: vector length: found {2**31}, "
        f"wanted at most the file's {len(data)} bytes"
    )


def test_a_root_outside_the_file() -> None:
    data = struct.pack("<I", 10**6) + whole_file(small)[4:]
    assert "offset 1000000 leaves the file" in refused(data)


def test_an_options_type_that_no_schema_has() -> None:
    data = bytearray(whole_file(small))
    table = tflite.Model.GetRootAs(data).Subgraphs(0).Operators(0)._tab
    data[table.Pos + table.Offset(10)] = 250
    assert refused(bytes(data)) == (
        "bad.tflite: BuiltinOptions: found 250, which this version of the schema does not know"
    )


def test_tables_that_are_referenced_again_and_again() -> None:
    """2,000 ops that are one table, with 5,000 inputs: a file of 30 KB, ten million elements."""
    builder = flatbuffers.Builder()
    inputs = builder.CreateNumpyVector(np.zeros(5000, "<i4"))
    tflite.OperatorStart(builder)
    tflite.OperatorAddInputs(builder, inputs)
    op = tflite.OperatorEnd(builder)
    tflite.SubGraphStartOperatorsVector(builder, 2000)
    for _ in range(2000):
        builder.PrependUOffsetTRelative(op)
    ops = builder.EndVector()
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddOperators(builder, ops)
    subgraph = tflite.SubGraphEnd(builder)
    tflite.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(subgraph)
    subgraphs = builder.EndVector()
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    data = bytes(builder.Output())
    assert read_or_refused(data) is None
    assert "the same bytes are referenced again and again" in refused(data)


@dataclass(frozen=True)
class Bad:
    """A model with one field changed, and what the message says of it."""

    message: str
    change: Callable[[schema.ModelT], None]
    make: Callable[[], Graph] = small


def field(path: str, value: object) -> Callable[[schema.ModelT], None]:
    """Sets a field of LiteRT's object API: "subgraphs.0.name"."""

    def change(model: schema.ModelT) -> None:
        *steps, last = path.split(".")
        target = model
        for step in steps:
            target = target[int(step)] if step.isdigit() else getattr(target, step)
        setattr(target, last, value)

    return change


def entry(text: bytes) -> Callable[[schema.ModelT], None]:
    """Gives the model an entry with windows of spills."""

    def change(model: schema.ModelT) -> None:
        model.metadata[0].name = b"spillway_windows"
        model.buffers[model.metadata[0].buffer].data = list(text)

    return change


NO_WINDOWS = "metadata spillway_windows: found b'{}', wanted [[step, window], ...]"
WINDOW = (
    "metadata spillway_windows: found window {} of step {}, "
    "wanted one of 0 or more, that ends before step 4"
)
BAD = [
    Bad("schema version: found 4, wanted 3", field("version", 4)),
    Bad("subgraphs: found none, wanted at least one", field("subgraphs", [])),
    Bad("subgraph main: inputs and outputs: found tensor 10, wanted 0..9",
        field("subgraphs.0.outputs", [10])),
    Bad("subgraph main: op 0 CONV_2D: found tensor 10, wanted 0..9",
        field("subgraphs.0.operators.0.inputs", [10, 1, 2])),
    Bad("subgraph main: op 0 CONV_2D: found tensor -2, wanted 0..9",
        field("subgraphs.0.operators.0.inputs", [0, 1, -2])),
    Bad("subgraph main: op 0 CONV_2D: found tensor -1, wanted 0..9",
        field("subgraphs.0.operators.0.outputs", [-1])),
    Bad("subgraph main: op 3 SOFTMAX: found tensor 99, wanted 0..9",
        field("subgraphs.0.operators.3.intermediates", [-1, 99])),
    Bad("subgraph main: op 3 SOFTMAX: reads tensor 8 (t8) before any op makes it",
        field("subgraphs.0.operators.2.outputs", [])),
    Bad("subgraph main: op 0 CONV_2D: writes tensor 0 (input0), which is an input, a constant or "
        "made already", field("subgraphs.0.operators.0.outputs", [0])),
    Bad("subgraph main: output tensor 9 is never made",
        field("subgraphs.0.operators.3.outputs", [])),
    Bad("op 1: opcode index: found 4, wanted below 4",
        field("subgraphs.0.operators.1.opcodeIndex", 4)),
    Bad("op 1: builtin code: found -5, wanted 0 or more", lambda model: [
        field("operatorCodes.1.builtinCode", -5)(model),
        field("operatorCodes.1.deprecatedBuiltinCode", -6)(model)]),
    Bad("op 3: custom options outside the flatbuffer can't be kept",
        field("subgraphs.0.operators.3.largeCustomOptionsOffset", 64)),
    Bad("tensor 1 (weights): buffer: found 9, wanted below 7",
        field("subgraphs.0.tensors.1.buffer", 9)),
    Bad("tensor 1 (weights): type: found 99, wanted a type of this schema",
        field("subgraphs.0.tensors.1.type", 99)),
    Bad("tensor 1 (weights): shape: found (2, -1, 1, 2), wanted no negative dimension",
        field("subgraphs.0.tensors.1.shape", [2, -1, 1, 2])),
    Bad("tensor 1 (weights): data: found 3 B, wanted 4 B", field("buffers.1.data", [1, 2, 3])),
    Bad("buffer 2: found bytes 4096..4100, wanted at most ", lambda model: [
        field("buffers.2.offset", 4096)(model), field("buffers.2.size", 4)(model)]),
    Bad("metadata note: buffer: found 70, wanted below 7", field("metadata.0.buffer", 70)),
    Bad("signature serve: subgraph: found 1, wanted below 1",
        field("signatureDefs.0.subgraphIndex", 1)),
    Bad("signature serve: found tensor 12, wanted 0..9",
        field("signatureDefs.0.outputs.0.tensorIndex", 12)),
    Bad(NO_WINDOWS.format("spilled"), entry(b"spilled")),
    Bad(NO_WINDOWS.format("7"), entry(b"7")),
    Bad(NO_WINDOWS.format("[[1, 2, 3]]"), entry(b"[[1, 2, 3]]")),
    Bad(NO_WINDOWS.format("[[1, Infinity]]"), entry(b"[[1, Infinity]]")),
    Bad(NO_WINDOWS.format("[[1, true]]"), entry(b"[[1, true]]")),
    Bad(NO_WINDOWS.format("[" * 40), entry(b"[" * 9999)),
    Bad(WINDOW.format(1, 4), entry(b"[[4, 1]]")),
    Bad(WINDOW.format(-1, 0), entry(b"[[0, -1]]")),
    Bad(WINDOW.format(3, 1), entry(b"[[1, 3]]")),
    Bad("subgraph main: op 1 WHILE: found subgraph 3, wanted 1..2",
        field("subgraphs.0.operators.1.builtinOptions.bodySubgraphIndex", 3), while_graph),
    Bad("subgraph main: op 1 WHILE: found subgraph -1, wanted 1..2",
        field("subgraphs.0.operators.1.builtinOptions", None), while_graph),
    Bad("subgraph main: op 1 IF: found subgraph 0, wanted 1..2",
        field("subgraphs.0.operators.1.builtinOptions.elseSubgraphIndex", 0), if_graph),
    Bad("subgraph body2: op 0 MAX_POOL_2D: found tensor 24, wanted 15..21",
        field("subgraphs.2.operators.0.inputs", [9]), if_graph),
    Bad("subgraph body2: op 0 MAX_POOL_2D: found tensor -7, wanted 15..21",
        field("subgraphs.2.operators.0.inputs", [-7]), if_graph),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.message[:50])
def test_a_field_out_of_range(bad: Bad) -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(to_bytes(bad.make())))
    bad.change(model)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    message = refused(bytes(builder.Output()))
    assert message.startswith(f"bad.tflite: {bad.message}")
    assert re.search(r"wanted|before|which|never|can't", message)


def test_a_subgraph_that_runs_itself() -> None:
    graph = while_graph()
    loop = graph.bodies[1]
    again = replace(graph.ops[1], inputs=loop.inputs, outputs=(), options=graph.ops[1].options)
    endless = replace(graph, bodies=(graph.bodies[0], replace(loop, ops=(*loop.ops, again))))
    assert refused(to_bytes(endless)) == "bad.tflite: subgraph body2: runs itself again and again"
