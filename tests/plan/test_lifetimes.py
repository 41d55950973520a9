"""Lifetimes against a dull count of what is still needed; live bytes against painted steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.graph.graph import Graph, Tensor
from sim.graph.lifetimes import (
    ARRIVAL,
    UNUSED,
    Buffer,
    buffers,
    in_arena,
    live_bytes,
    peak,
    timeline,
)
from sim.graph.rewrite import Rewrite
from sim.ranges import Range
from tests.graph.control_flow import if_graph, while_graph
from tests.graphs import Net
from tests.strategies import graphs

BUFFERS = st.lists(
    st.builds(
        lambda nbytes, start, steps: Buffer(0, None, nbytes, Range(start, start + steps)),
        st.integers(0, 300),
        st.integers(-2, 30),
        st.integers(1, 12),
    ),
    max_size=20,
)


def needed(graph: Graph, step: int) -> set[int]:
    """What exists at a step and is still touched: by this op, a later one, or whoever called."""
    if step == ARRIVAL:
        return set(graph.inputs)
    exists, touched = set(graph.inputs), set(graph.outputs)
    for index, op in enumerate(graph.ops):
        if index <= step:
            exists.update(op.outputs)
        if index >= step:
            touched.update(op.reads, op.outputs)
    return exists & touched


@given(graph=graphs(unused=True))
@settings(max_examples=60)
def test_a_tensor_is_alive_while_it_exists_and_is_still_needed(graph: Graph) -> None:
    times = timeline(graph)
    assert times.steps == len(graph.ops)
    assert times.claims == times.lifetimes
    for step in range(ARRIVAL, times.steps):
        alive = {t for t, life in enumerate(times.lifetimes) if step in life}
        assert alive == needed(graph, step)


@given(graph=graphs(unused=True))
@settings(max_examples=30)
def test_buffers_are_the_tensors_by_id_and_then_the_scratch(graph: Graph) -> None:
    times, held = timeline(graph), buffers(graph)
    placed = [b for b in held if b.tensor is not None]
    assert [b.tensor for b in placed] == [t.id for t in graph.tensors if not t.is_constant]
    assert [b.lifetime for b in placed] == [times.lifetimes[b.tensor] for b in placed]
    scratch = held[len(placed) :]
    asking = {"TRANSPOSE_CONV": 1, "MEAN": 3}
    wanted = [s for s, op in enumerate(graph.ops) for _ in range(asking.get(op.kind, 0))]
    assert [(b.tensor, b.scratch_of) for b in scratch] == [(None, step) for step in wanted]
    assert all(b.lifetime == Range(b.scratch_of, b.scratch_of + 1) for b in scratch)
    assert all(b.size % 16 == 0 and 0 <= b.size - b.nbytes < 16 for b in held)


def test_what_nothing_uses() -> None:
    """An input that no op reads arrives; a tensor that no op knows is held at no step at all."""
    net = Net()
    x, ignored = net.input(1, 4, 4, 2), net.input(1, 50)
    forgotten = net.tensor((1, 70))
    dead_end = net.relu(x)
    out = net.relu(net.relu(x))
    times = timeline(net.graph(out))
    assert times.lifetimes[x] == Range(-1, 2)
    assert times.lifetimes[ignored] == Range(-1, 0)
    assert times.lifetimes[forgotten] == UNUSED
    assert times.lifetimes[dead_end] == Range(0, 1)
    assert times.lifetimes[out] == Range(2, 3)
    assert not any(life.overlaps(UNUSED) for t, life in enumerate(times.lifetimes) if t != 2)


def test_an_input_that_is_an_output_too_is_alive_to_the_end() -> None:
    net = Net()
    x = net.input(1, 4)
    assert timeline(net.graph(net.relu(x), x)).lifetimes[x] == Range(-1, 1)


def test_what_has_no_place_in_the_arena() -> None:
    net = Net()
    x = net.input(1, 8)
    net.tensors += [
        Tensor(1, "constant", (8,), data=bytes(8)),
        Tensor(2, "variable", (8,), is_variable=True),
        Tensor(3, "empty", (0, 8)),
        Tensor(4, "handle", (), "RESOURCE"),
        Tensor(5, "scalar", (), "INT32"),
    ]
    net.op("VAR_HANDLE", [], [4])
    net.op("SHAPE", [x], [5])
    graph = net.graph(5)
    assert in_arena(graph) == (True, False, False, False, False, True)
    assert [(b.tensor, b.nbytes) for b in buffers(graph)] == [(0, 8), (5, 4)]


def test_a_window_holds_the_source_of_a_spill_and_nothing_else() -> None:
    net = Net()
    skip = x = net.conv(net.input(1, 4, 4, 2), 2)
    for _ in range(6):
        x = net.relu(x)
    graph = net.graph(net.add(x, skip))
    for held in range(1, 6):
        edit = Rewrite(graph)
        edit.spill(skip, "ram", 1, [(7, 7)], hold_until=1 + held)
        times = timeline(edit.graph())
        spill = next(s for s, (op, _) in enumerate(times.ops) if op.kind == "ASSIGN_VARIABLE")
        source = times.ops[spill][0].inputs[1]
        assert times.lifetimes[source] == Range(0, spill + 1)
        assert times.claims[source] == Range(0, spill + held + 1)
        others = [t for t in range(len(times.claims)) if t != source]
        handle = times.ops[spill][0].inputs[0]
        assert all(times.claims[t] == times.lifetimes[t] for t in others if t != handle)


def lifetimes_by_name(graph: Graph) -> dict[str, Range]:
    times = timeline(graph)
    return {
        t.name: life
        for t, life in zip(graph.tensors, times.lifetimes, strict=True)
        if not t.is_constant
    }


def steps_by_kind(graph: Graph) -> list[tuple[str, Range]]:
    return [(op.kind, steps) for op, steps in timeline(graph).ops]


def test_the_steps_of_an_if() -> None:
    """Conv 0, IF 1; the one way arrives at 2 and runs 3 to 5, the other at 6, 7 to 9; ADD 10."""
    graph = if_graph()
    assert steps_by_kind(graph) == [
        ("CONV_2D", Range(0, 1)), ("IF", Range(1, 10)), ("ADD", Range(10, 11)),
        ("CONV_2D", Range(3, 4)), ("CONV_2D", Range(4, 5)), ("QUANTIZE", Range(5, 6)),
        ("MAX_POOL_2D", Range(7, 8)), ("TRANSPOSE_CONV", Range(8, 9)), ("QUANTIZE", Range(9, 10)),
    ]  # fmt: skip
    assert lifetimes_by_name(graph) == {
        "input0": Range(-1, 10), "input1": Range(-1, 1),
        "t4": Range(0, 11), "t5": Range(1, 11), "t6": Range(10, 11),
        "1/input0": Range(2, 4), "1/t3": Range(3, 5), "1/t6": Range(4, 6), "1/t7": Range(5, 6),
        "2/input0": Range(6, 8), "2/t1": Range(7, 9), "2/t5": Range(8, 10), "2/t6": Range(9, 10),
    }  # fmt: skip
    assert timeline(graph).steps == 11


def test_a_way_gone_twice_holds_its_bytes_between() -> None:
    """The second IF is 9 steps behind the first, and so is the last use of all that it runs."""
    once, twice = if_graph(), if_graph(times=2)
    before = lifetimes_by_name(once)
    after = lifetimes_by_name(twice)
    for name in before:
        if "/" in name:
            assert after[name] == Range(before[name].start, before[name].stop + 9)
    scratch = next(b for b in buffers(twice) if b.tensor is None)
    assert scratch.lifetime == Range(8, 8 + 9 + 1)


def test_the_steps_of_a_while() -> None:
    """Conv 0, WHILE 1; the condition arrives at 2, runs 3; the body arrives at 4, runs 5 to 8."""
    graph = while_graph()
    assert steps_by_kind(graph) == [
        ("CONV_2D", Range(0, 1)), ("WHILE", Range(1, 9)), ("CONV_2D", Range(9, 10)),
        ("LESS", Range(3, 4)),
        ("ADD", Range(5, 6)), ("CONV_2D", Range(6, 7)), ("CONV_2D", Range(7, 8)),
        ("QUANTIZE", Range(8, 9)),
    ]  # fmt: skip
    found = lifetimes_by_name(graph)
    assert found["t3"] == Range(0, 9)
    assert (found["t5"], found["t6"]) == (Range(1, 9), Range(1, 10))
    assert (found["1/input1"], found["2/t2"]) == (Range(2, 3), Range(5, 9))


def test_a_subgraph_that_no_op_runs_holds_nothing() -> None:
    graph = if_graph()
    idle = replace(graph, ops=(graph.ops[0],), outputs=(graph.ops[0].outputs[0],))
    assert len(timeline(idle).ops) == 1
    found = lifetimes_by_name(idle)
    assert {life for name, life in found.items() if "/" in name} == {UNUSED}


@given(held=BUFFERS)
def test_live_bytes_and_peak_are_what_painting_shows(held: list[Buffer]) -> None:
    first = min((b.lifetime.start for b in held), default=0)
    last = max((b.lifetime.stop for b in held), default=0)
    painted = np.zeros((len(held) * 304, last - first), bool)
    for row, buffer in enumerate(held):
        life = buffer.lifetime
        painted[row * 304 : row * 304 + buffer.size, life.start - first : life.stop - first] = True
    live = {first + column: int(n) for column, n in enumerate(painted.sum(axis=0))}
    assert live_bytes(tuple(held)) == live
    top = peak(tuple(held))
    if not held:
        assert (top.step, top.bytes, top.alive) == (0, 0, ())
        return
    assert top.bytes == max(live.values()) == live[top.step]
    assert all(nbytes < top.bytes for step, nbytes in live.items() if step < top.step)
    assert sum(b.size for b in top.alive) == top.bytes
    assert [b.nbytes for b in top.alive] == sorted((b.nbytes for b in top.alive), reverse=True)
    assert all(top.step in b.lifetime for b in top.alive)
