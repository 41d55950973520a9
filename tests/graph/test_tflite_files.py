"""A graph survives its .tflite file, and the file what runs it: LiteRT computes the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import RuntimeRefusal, run_litert, run_tflm
from sim.graph.graph import Graph, Op, Quantization, Signature, Table, Tensor
from sim.graph.rewrite import Rewrite
from sim.graph.tflite_reader import read, read_bytes
from sim.graph.tflite_writer import to_bytes, write
from tests.graph.control_flow import CONTROL_FLOW
from tests.graphs import Net, unet
from tests.strategies import graphs


def plain(value: Any) -> Any:
    """A graph as nested tuples, without fields that hold the schema's default."""
    if isinstance(value, Table):
        kept = {key: plain(field) for key, field in value.fields.items()}
        implied = {f"{key}_type" for key in kept}  # a union's type is its table's
        return value.name, {k: field for k, field in kept.items() if field and k not in implied}
    if is_dataclass(value):
        return tuple(plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    assert not isinstance(value, Mapping)
    return value


def data_offsets(file: bytes) -> dict[int, bytes]:
    """Where each buffer's data starts in the file, and the data, by TFLite's own accessors."""
    model = tflite.Model.GetRootAs(file)
    found = {}
    for index in range(model.BuffersLength()):
        table = model.Buffers(index)._tab
        field = table.Offset(4)
        if field:
            start = table.Vector(field)
            found[start] = file[start : start + table.VectorLen(field)]
    return found


def opened(file: bytes) -> schema.ModelT:
    """The model as LiteRT's own object API holds it."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(file))


def packed(model: schema.ModelT) -> bytes:
    """The file as LiteRT's own object API writes it."""
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def lists(outputs: list[list[np.ndarray[Any, Any]]]) -> list[list[Any]]:
    return [[array.tolist() for array in arrays] for arrays in outputs]


def test_a_real_model_survives(model_path: Path, tmp_path: Path) -> None:
    graph, before = read(model_path), model_path.read_bytes()
    after = write(graph, tmp_path / "again.tflite")
    assert read(tmp_path / "again.tflite") == graph
    sets = input_sets(graph, 2, seed=7)
    assert lists(run_tflm(after, sets).outputs) == lists(run_tflm(before, sets).outputs)
    if model_path.stem == "person_detect":
        with pytest.raises(RuntimeRefusal, match="quantized_dimension must be in range"):
            run_litert(before, sets)
    else:
        assert lists(run_litert(after, sets)) == lists(run_litert(before, sets))


@given(graph=graphs(unused=True))
@settings(max_examples=60)
def test_generated_graphs_survive(graph: Graph) -> None:
    file = to_bytes(graph)
    again = read_bytes(file)
    assert plain(again) == plain(graph)
    assert to_bytes(again) == file


@given(graph=graphs())
@settings(max_examples=25)
def test_a_file_of_another_writer_survives(graph: Graph) -> None:
    foreign = packed(opened(to_bytes(graph)))
    again = read_bytes(foreign)
    assert plain(again) == plain(graph)
    sets = input_sets(graph, 1, seed=7)
    assert lists(run_litert(to_bytes(again), sets)) == lists(run_litert(foreign, sets))


@given(graph=graphs(unused=True))
@settings(max_examples=20)
def test_data_is_aligned_and_stored_once(graph: Graph) -> None:
    offsets = data_offsets(to_bytes(graph))
    assert [start for start in offsets if start % 16] == []
    stored = sorted(offsets.values())
    assert stored == sorted({t.data for t in graph.tensors if t.data is not None})


def test_real_weights_are_aligned(model_path: Path) -> None:
    offsets = data_offsets(to_bytes(read(model_path)))
    assert offsets
    assert [start for start in offsets if start % 16] == []


def test_metadata_keeps_a_buffer_of_its_own() -> None:
    """TFLM reads the plan in place, so its bytes are not shared with a tensor's."""
    net = Net()
    constant = net.ints(1, 1, 1, -1)
    x = net.input(4)
    graph = replace(net.graph(x), metadata=(("a", net.tensors[constant].data or b""), ("b", b"")))
    file = to_bytes(graph)
    assert list(data_offsets(file).values()).count(net.tensors[constant].data or b"") == 2
    assert read_bytes(file).metadata == graph.metadata


@pytest.mark.parametrize("make", CONTROL_FLOW)
def test_control_flow_survives(make: Any) -> None:
    graph = make()
    file = to_bytes(graph)
    assert plain(read_bytes(file)) == plain(graph)
    assert to_bytes(read_bytes(file)) == file
    sets = input_sets(graph, 3, seed=7)
    assert lists(run_litert(file, sets)) == lists(run_litert(packed(opened(file)), sets))


def everything() -> Graph:
    """A graph with every feature that a file can hold; made to be kept, not to be run."""
    net = Net(name="everything")
    x = net.input(1, 4, 4, 2)
    y = net.conv(x, 4)
    net.ops[-1] = replace(net.ops[-1], inputs=(x, net.ops[-1].inputs[1], -1))
    custom = net.tensor((1, 7), scale=0.3, zero=-128)
    net.ops.append(
        Op(
            "CUSTOM",
            (y,),
            (custom,),
            custom_code="Ωmega",
            custom_options=b"\x00\xff" * 9,
            version=4,
        )
    )
    future = net.tensor((1, 7))
    net.ops.append(
        Op("BUILTIN_4711", (custom, -1), (future,), version=2, mutating_inputs=(True, False))
    )
    hidden = net.tensor((0,), "FLOAT32")
    slices = Table("StablehloSliceOptions", {"start_indices": (2**40,), "limit_indices": (-1,)})
    hlo = net.tensor((1, 7))
    net.ops.append(Op("STABLEHLO_SLICE", (future,), (hlo,), slices, intermediates=(hidden, -1)))
    dense = {"dense_size": 2, "format": 0}
    segments = Table("Uint16Vector", {"values": (0, 40000, 65535)})
    sparse = Table("DimensionMetadata", {
        "format": 1, "array_segments": segments,
        "array_indices": Table("Uint8Vector", {"values": b"\x00\x01\xff"}),
    })  # fmt: skip
    sparsity = Table("SparsityParameters", {
        "traversal_order": (0, 1), "dim_metadata": (Table("DimensionMetadata", dense), sparse),
    })  # fmt: skip
    custom_details = Table("CustomQuantization", {"custom": b"details"})
    state = len(net.tensors)
    net.tensors += [
        Tensor(state, "state", (1, 9), "INT16", None, is_variable=True),
        Tensor(state + 1, "sparse", (2, 50), "INT8", None, b"\x01\x02", sparsity=sparsity),
        Tensor(
            state + 2, "half-known", (1, 3), "FLOAT32", None, b"\x00" * 12,
            shape_signature=(-1, 3), has_rank=True,
        ),
        Tensor(
            state + 3, "limits", (1,), "UINT8",
            Quantization((0.5,), (2**40,), 0, (-1.5,), (2.5,), custom_details), b"\x07",
        ),
        Tensor(
            state + 4, "list", (), "VARIANT", None,
            variants=(Table("VariantSubType", {"shape": (2, 3), "type": 9, "has_rank": True}),),
        ),
        Tensor(state + 5, "nibbles", (3,), "INT4", None, b"\x21\x03"),
    ]  # fmt: skip
    return replace(
        net.graph(hlo),
        metadata=(("author", b"me"), ("empty", b"")),
        signatures=(
            Signature("serving_default", (("image", x),), (("scores", hlo), ("again", hlo))),
        ),
        description="all of it",
    )


def test_everything_survives() -> None:
    graph = everything()
    file = to_bytes(graph)
    assert plain(read_bytes(file)) == plain(graph)
    assert to_bytes(read_bytes(file)) == file


@pytest.mark.parametrize("unset", ["builtinCode", "deprecatedBuiltinCode"])
def test_either_of_the_two_fields_for_a_builtin_code_will_do(unset: str) -> None:
    """TFLite takes the greater one (schema/schema_utils.cc, GetBuiltinCode)."""
    graph = unet(8, 8, (2, 2))
    model = opened(to_bytes(graph))
    for code in model.operatorCodes:
        setattr(code, unset, 0)
    assert plain(read_bytes(packed(model))) == plain(graph)


def test_large_buffers_behind_the_flatbuffer_are_read() -> None:
    """Files above 2 GB keep their data behind the tables: an offset and a size (schema.fbs)."""
    net = Net()
    net.ints(1, 2, 3)
    model = opened(to_bytes(net.graph(net.input(4))))
    buffer = model.buffers[1]
    data, buffer.data = bytes(buffer.data), None
    buffer.offset, buffer.size = 2, len(data)
    buffer.offset = len(packed(model))
    file = packed(model) + data
    assert read_bytes(file).tensors[0].data == np.array([1, 2, 3], "<i4").tobytes()


def test_windows_of_spills_survive() -> None:
    """They stand in a metadata entry of our own, which the graph itself does not show."""
    graph = unet(16, 16, (4, 8, 16))
    edit = Rewrite(graph)
    last = len(graph.ops) - 1
    for step, window in ((0, 3), (2, 1)):
        edit.spill(graph.ops[step].outputs[0], "sdram", step + 1, [(last, last)], step + 1 + window)
    spilled = edit.graph()
    windows = {op.inputs[1]: op.window for op in spilled.ops if op.kind == "ASSIGN_VARIABLE"}
    assert all(windows.values())
    again = read_bytes(to_bytes(spilled))
    assert plain(again) == plain(spilled)
    assert again.metadata == spilled.metadata == ()


def test_the_same_graph_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from tests.graphs import unet; from sim.graph.tflite_writer import *;"
        "print(hashlib.sha256(to_bytes(unet(16, 16, (4, 8)))).hexdigest())"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "4", "PYTHONPATH": str(root)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert run.stdout.strip() == hashlib.sha256(to_bytes(unet(16, 16, (4, 8)))).hexdigest()


def test_a_graph_without_a_name_gets_that_of_its_file(tmp_path: Path) -> None:
    net = Net(name="")
    write(net.graph(net.input(4)), tmp_path / "kws.tflite")
    assert read(tmp_path / "kws.tflite").name == "kws"
