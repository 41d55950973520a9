"""The arena that TFLM needs, against two real builds of TFLM: the wheel and mcufit's wasm32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from sim.errors import ModelError
from sim.graph.graph import Body, Graph, Op, Table, Tensor
from sim.graph.scratch import KERNELS, scratch_bytes
from sim.graph.tflite_reader import read
from sim.plan.offline import with_offline_plan
from sim.plan.runtime_overhead import (
    BUILDS,
    DEVICE32,
    WASM32,
    Overhead,
    required_arena,
    required_arenas,
    runtime_overhead,
)
from sim.plan.runtime_overhead.kernels import CMSIS_NN, HELIUM, REFERENCE
from sim.plan.runtime_overhead.layout import alignment_of, round_up, size_of
from sim.plan.runtime_overhead.structs import PARAMS
from tests.graphs import Net
from tests.plan.one_kind import CASES, SIGNAL, graph_of
from tests.plan.tflm_builds import Wheel, run_on_wasm
from tests.strategies import graphs

MODELS = sorted((Path(__file__).parents[3] / "shared" / "models").glob("*.tflite"))
ROOMY = 2_000_000
RANDOM = [line for line in CASES if not line.startswith(("DIV", "EMBEDDING"))]
"""Kinds that mcufit's benchmark can run: it feeds random bytes, also as indices and divisors."""

KEPT_AFTER_TEMPORARIES = {
    "BATCH_MATMUL", "CUMSUM", "DEPTH_TO_SPACE", "EMBEDDING_LOOKUP", "FULLY_CONNECTED", "GATHER",
    "GATHER_ND", "L2_POOL_2D", "LOG_SOFTMAX", "SOFTMAX", "SPACE_TO_DEPTH",
}  # fmt: skip
"""Their Prepare keeps buffers after its temporaries; TFLM does not see it when the two overlap."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wheel]:
    pytest.importorskip("tflite_micro")
    runner = Wheel(tmp_path_factory.mktemp("wheel"))
    yield runner
    runner.close()


def check_on_wheel(wheel: Wheel, graph: Graph, slack: int = 0) -> None:
    """The tail is exact, the predicted arena is enough, one of `slack` + 16 bytes less is not."""
    roomy = wheel.run(graph, ROOMY)
    assert roomy is not None, wheel.said
    overhead = runtime_overhead(graph, head_bytes=roomy.head_bytes, bits=64)
    assert overhead.tail_bytes == roomy.tail_bytes
    required = required_arena(graph, head_bytes=roomy.head_bytes, bits=64)
    enough = wheel.run(graph, required)
    assert enough is not None, wheel.said
    assert enough.digest == roomy.digest
    small = wheel.run(graph, required - slack - 16)
    assert small is None or small.digest != roomy.digest


def tails_on_wasm(some: list[Graph], folder: Path) -> list[tuple[int, int]]:
    """Predicted and measured tail of each graph."""
    measured = run_on_wasm(some, folder)
    return [
        (runtime_overhead(graph, head_bytes=head, build=WASM32).tail_bytes, tail)
        for graph, (head, tail) in zip(some, measured, strict=True)
    ]


def spills(names: list[str], containers: list[str] | None = None) -> Graph:
    """Spills and fetches the input once a name."""
    net = Net(1)
    x = net.input(1, 8, 8, 4)
    for index, name in enumerate(names):
        fields = {"shared_name": name, "container": containers[index] if containers else ""}
        handle = net.tensor((1,), "RESOURCE")
        net.op("VAR_HANDLE", (), (handle,), Table("VarHandleOptions", fields))
        net.op("ASSIGN_VARIABLE", (handle, x), ())
        x = net.like(x)
        net.op("READ_VARIABLE", (handle,), (x,))
    return net.graph(x)


def tensors(*specs: str) -> tuple[Tensor, ...]:
    """Tensors of one element: "BOOL", "INT32", or "INT32=" for a constant."""
    return tuple(
        Tensor(i, f"t{i}", (1,), spec.rstrip("="), data=b"\1\0\0\0" if "=" in spec else None)
        for i, spec in enumerate(specs)
    )


def branches(name: str, first: str, second: str) -> Table:
    """Options that name the bodies 1 and 2."""
    return Table(name, {f"{first}_subgraph_index": 1, f"{second}_subgraph_index": 2})


ADD = Table("AddOptions")
VARIABLE = Table("VarHandleOptions", {"shared_name": "v", "container": ""})
WHILE = Graph(
    "while",
    tensors("INT32", "INT32", "INT32", "BOOL", "INT32=", "INT32", "INT32", "INT32="),
    (Op("WHILE", (0,), (1,), branches("WhileOptions", "cond", "body")),),
    (0,),
    (1,),
    bodies=(
        Body("more", (Op("LESS", (2, 4), (3,)),), (2,), (3,), 2, 5),
        Body("step", (Op("ADD", (5, 7), (6,), ADD),), (5,), (6,), 5, 8),
    ),
)
IF = Graph(
    "if",
    tensors("BOOL", "INT32", "INT32", "INT32", "INT32", "INT32", "INT32"),
    (Op("IF", (0, 1), (2,), branches("IfOptions", "then", "else")),),
    (0, 1),
    (2,),
    bodies=(
        Body("yes", (Op("ADD", (3, 3), (4,), ADD),), (3,), (4,), 3, 5),
        Body("no", (Op("MUL", (5, 5), (6,), Table("MulOptions")),), (5,), (6,), 5, 7),
    ),
)
CALL_ONCE = Graph(
    "call_once",
    tensors("INT32", "RESOURCE", "INT32", "INT32", "RESOURCE", "INT32="),
    (
        Op("CALL_ONCE", (), (), Table("CallOnceOptions", {"init_subgraph_index": 1})),
        Op("VAR_HANDLE", (), (1,), VARIABLE),
        Op("READ_VARIABLE", (1,), (2,)),
        Op("ADD", (0, 2), (3,), ADD),
    ),
    (0,),
    (3,),
    bodies=(
        Body(
            "init",
            (Op("VAR_HANDLE", (), (4,), VARIABLE), Op("ASSIGN_VARIABLE", (4, 5), ())),
            (),
            (),
            4,
            6,
        ),
    ),
)
SPECIAL = {
    "while": WHILE,
    "if": IF,
    "call once": CALL_ONCE,
    "spill": spills(["a", "b", "c"]),
    "shared slot": spills(["a", "b", "a"]),
    "containers": spills(["a", "b", "c"], ["psram", "flash", "psram"]),
}


def on_offline_plan(graph: Graph) -> Graph:
    """Every tensor at a place of its own."""
    offsets, at = {}, 0
    for tensor in graph.tensors:
        if not tensor.is_constant:
            offsets[tensor.id], at = at, at + round_up(tensor.nbytes, 16)
    return with_offline_plan(graph, offsets)


# --- the wheel -----------------------------------------------------------------------------------
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_models_on_wheel(wheel: Wheel, path: Path) -> None:
    check_on_wheel(wheel, read(path))
    check_on_wheel(wheel, on_offline_plan(read(path)))


@pytest.mark.parametrize("line", CASES, ids=lambda line: line.partition(":")[0])
def test_each_kind_on_wheel(wheel: Wheel, line: str) -> None:
    slack = 48 if line.partition(":")[0] in KEPT_AFTER_TEMPORARIES else 0
    check_on_wheel(wheel, graph_of(line), slack)
    check_on_wheel(wheel, graph_of(line, repeat=3), slack)


@pytest.mark.parametrize("line", SIGNAL, ids=lambda line: line.partition(":")[0])
def test_custom_kinds_on_wheel(wheel: Wheel, line: str) -> None:
    graph = graph_of(line, repeat=2, custom=True)
    roomy = wheel.run(graph, ROOMY)
    assert roomy is not None, wheel.said
    predicted = runtime_overhead(graph, head_bytes=roomy.head_bytes, bits=64)
    assert predicted.tail_bytes == roomy.tail_bytes


@pytest.mark.parametrize("name", SPECIAL)
def test_subgraphs_and_variables_on_wheel(wheel: Wheel, name: str) -> None:
    check_on_wheel(wheel, SPECIAL[name])


def test_variable_tensor_with_offline_offset(wheel: Wheel) -> None:
    graph = graph_of(next(line for line in CASES if line.startswith("SVDF")))
    check_on_wheel(wheel, on_offline_plan(graph))
    planned = runtime_overhead(on_offline_plan(graph), head_bytes=0)
    assert (planned.variables_bytes, runtime_overhead(graph, head_bytes=0).variables_bytes) == (
        0,
        80,
    )


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(unused=True))
def test_random_graphs_on_wheel(wheel: Wheel, graph: Graph) -> None:
    check_on_wheel(wheel, graph, slack=48)


@pytest.mark.parametrize("kind", ["CONV_2D", "SLICE", "PAD", "CONCATENATION", "TRANSPOSE_CONV"])
def test_hundreds_of_ops_on_wheel(wheel: Wheel, kind: str) -> None:
    line = next(line for line in CASES if line.startswith(kind))
    check_on_wheel(wheel, on_offline_plan(graph_of(line, repeat=200)))


def test_hundreds_of_spills_on_wheel(wheel: Wheel) -> None:
    check_on_wheel(wheel, spills([f"slot{i}" for i in range(200)]))


# --- wasm32 --------------------------------------------------------------------------------------
def test_models_on_wasm(tmp_path: Path) -> None:
    for predicted, tail in tails_on_wasm([read(path) for path in MODELS], tmp_path):
        assert predicted == tail


def test_each_kind_on_wasm(tmp_path: Path) -> None:
    some = [graph_of(line, repeat=2) for line in RANDOM]
    tails = tails_on_wasm(some, tmp_path)
    assert [pair for pair in tails if pair[0] != pair[1]] == []
    assert len(tails) == len(RANDOM)


def test_custom_kinds_subgraphs_and_variables_on_wasm(tmp_path: Path) -> None:
    some = [graph_of(line, repeat=2, custom=True) for line in SIGNAL] + list(SPECIAL.values())
    tails = tails_on_wasm(some, tmp_path)
    assert [pair for pair in tails if pair[0] != pair[1]] == []
    assert len(tails) == len(some)


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_device_is_what_mcufit_measured_on_an_esp32(path: Path) -> None:
    """mcufit found wasm32 to read 2,128 bytes more than an ESP32, whatever the model."""
    graph, august = read(path), replace(DEVICE32, params=WASM32.params)
    on_wasm = runtime_overhead(graph, head_bytes=0, build=WASM32).tail_bytes
    assert on_wasm - runtime_overhead(graph, head_bytes=0, build=august).tail_bytes == 2128


# --- the model itself ----------------------------------------------------------------------------
def test_every_builtin_kind_has_a_case() -> None:
    cases = {line.partition(":")[0] for line in CASES}
    control = {"IF", "WHILE", "CALL_ONCE", "VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"}
    assert {kind for kind in REFERENCE if kind.isupper()} == cases | control | {
        "CIRCULAR_BUFFER",
        "TFLM_DECODE",
    }
    assert set(PARAMS) <= set(REFERENCE)
    assert set(CMSIS_NN) <= set(REFERENCE)


@pytest.mark.parametrize(
    ("layout", "size32", "size64"),
    [
        ("", 0, 0),
        ("3b", 3, 3),
        ("b i", 8, 8),
        ("h b h", 6, 6),
        ("P i", 8, 16),
        ("(b q) i", 24, 24),
        ("2(b i) b", 20, 20),
        ("P c", 4, 8),
        ("i C", 4, 4),
    ],
)
def test_layouts(layout: str, size32: int, size64: int) -> None:
    assert (size_of(layout, 32), size_of(layout, 64)) == (size32, size64)


def test_layout_of_a_compression_build() -> None:
    assert (size_of("P c", 64, compression=True), size_of("i C", 32, compression=True)) == (16, 8)
    assert (alignment_of("b i", 64), alignment_of("2(b q)", 32)) == (4, 8)
    with pytest.raises(ValueError, match="found 'x', wanted a member"):
        size_of("i x", 32)


def test_variables_elsewhere() -> None:
    graph = spills(["a", "b"])
    inside = runtime_overhead(graph, head_bytes=768)
    outside = runtime_overhead(graph, head_bytes=768, variables_in_arena=False)
    assert (inside.variables_bytes, inside.spilled_bytes) == (2 * 256, 2 * 256)
    assert outside == replace(inside, variables_bytes=0, spilled_bytes=0)
    arenas = [
        required_arena(graph, head_bytes=768, variables_in_arena=inside) for inside in (True, False)
    ]
    assert arenas[0] - arenas[1] == 2 * 256


def test_two_arenas_together_hold_what_one_does() -> None:
    graph = spills(["a", "b"])
    two, one = required_arenas(graph, head_bytes=768), required_arena(graph, head_bytes=768)
    assert two.non_persistent_bytes >= 768
    assert 0 <= two.persistent_bytes + two.non_persistent_bytes - one < 1024
    assert required_arenas(graph, head_bytes=99_991).non_persistent_bytes == 100_000


def test_a_kind_that_is_not_known_costs_more_than_a_known_one() -> None:
    known = graph_of("RELU: INT8 1,4 > INT8 1,4")
    unknown = replace(known, ops=(replace(known.ops[0], kind="FANCY"),))
    custom = replace(known, ops=(replace(known.ops[0], kind="CUSTOM", custom_code="Fancy"),))
    for bits in BUILDS:
        needs = [required_arena(g, head_bytes=32, bits=bits) for g in (known, custom, unknown)]
        assert needs == sorted(set(needs))


def test_kernel_libraries_differ() -> None:
    graph = graph_of(next(line for line in CASES if line.startswith("FULLY_CONNECTED")))
    tails = {k: runtime_overhead(graph, head_bytes=0, kernels=k).tail_bytes for k in KERNELS}
    cmsis, mve = (size_of(lib["FULLY_CONNECTED"].data, 32) for lib in (CMSIS_NN, HELIUM))
    plain = size_of(REFERENCE["FULLY_CONNECTED"].data, 32)
    assert tails["cmsis_nn"] - tails["reference"] == round_up(cmsis, 16) - round_up(plain, 16)
    assert tails["cmsis_nn_mve"] - tails["cmsis_nn"] == round_up(5 * 4, 16)
    assert cmsis == mve


def test_overhead_adds_up() -> None:
    graph = spills(["a"])
    overhead = runtime_overhead(graph, head_bytes=777)
    assert isinstance(overhead, Overhead)
    assert overhead.tail_bytes == overhead.persistent_bytes + overhead.variables_bytes
    required = required_arena(graph, head_bytes=777)
    assert required == 777 + overhead.tail_bytes + overhead.temporary_bytes
    assert required % 16 == 0


def test_scratch_is_counted() -> None:
    graph = graph_of(next(line for line in CASES if line.startswith("TRANSPOSE_CONV")))
    without = graph_of("RELU: INT8 1,4 > INT8 1,4")
    assert len(scratch_bytes(graph, graph.ops[0])) == 1
    assert scratch_bytes(without, without.ops[0]) == ()


def test_kernels_that_are_not_known() -> None:
    graph = graph_of("RELU: INT8 1,4 > INT8 1,4")
    with pytest.raises(ModelError, match="kernels: found 'esp_nn', wanted one of reference"):
        runtime_overhead(graph, head_bytes=0, kernels="esp_nn")
