"""The memory map: what it shows is what lies in the arena, and its peak is TFLM's head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.device.loader import load_board
from sim.graph.graph import Graph, Table
from sim.graph.roles import Roles
from sim.memory_map import (
    COMPUTED,
    COPIED,
    FETCHED,
    INPUT,
    KEPT,
    OUTPUT,
    SCRATCH,
    SPILLED,
    explained,
    memory_map,
)
from sim.policy import Goal, parse_choice
from sim.program import Program, pack_graph, place
from tests.graph.control_flow import call_once_graph, two_ifs_graph, while_graph
from tests.graphs import Net, unet
from tests.strategies import graphs, spilled

BOARD = load_board("arduino_portenta_h7")


def painted(program: Program) -> dict[int, Any]:
    """How many blocks lie on each byte, by step, painted byte by byte."""
    coats: dict[int, Any] = {}
    for placement in program.plan.placements:
        for step in range(placement.claim.start, placement.claim.stop):
            row = coats.setdefault(step, np.zeros(program.plan.size_bytes, int))
            row[placement.span.start : placement.span.stop] += 1
    return coats


@given(graphs(), st.booleans(), st.data())
def test_the_map_is_what_was_painted(graph: Graph, packed: bool, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        graph = data.draw(spilled(graph)).graph()
    program = pack_graph(graph)[0] if packed else place(graph)
    found = memory_map(program)
    coats = painted(program)
    shared: dict[int, Any] = {number: np.zeros_like(row, bool) for number, row in coats.items()}
    for steps, span in found.shared():
        for number in range(steps.start, steps.stop):
            assert not shared[number][span.start : span.stop].any()  # told once
            shared[number][span.start : span.stop] = True
    for step in found.steps:
        row = coats.pop(step.number, np.zeros(1, int))
        assert step.live_bytes == (row > 0).sum()
        assert step.top_bytes == row.nonzero()[0].max(initial=-1) + 1
        assert found.overlap_bytes(step.number) == row.sum() - step.live_bytes
        assert np.array_equal(shared.get(step.number, row > 1), row > 1)
    assert not coats
    assert found.peak_bytes == program.plan.size_bytes == program.arena().activations
    assert found.peak.top_bytes == found.peak_bytes
    assert len(found.blocks) == len(program.plan.placements)
    assert [found.of_op(i).kind for i in range(len(graph.ops))] == [op.kind for op in graph.ops]


def kinds(program: Program) -> dict[str, str]:
    return {block.name: block.kind for block in memory_map(program).blocks}


def test_blocks_are_told_apart() -> None:
    graph = unet(16, 24, (4, 8))
    policy = parse_choice("spill(storage=sd)").policies[0]
    goal = Goal(int(0.6 * pack_graph(graph)[0].arena().required))
    moved = next(policy.candidates(graph, BOARD, goal)).apply(graph, BOARD, goal)
    before, after = kinds(place(graph)), kinds(pack_graph(moved)[0])
    assert {INPUT, OUTPUT, COMPUTED, KEPT, COPIED, SCRATCH} <= set(before.values())
    assert {SPILLED, FETCHED} <= set(after.values()) - set(before.values())
    left = [name for name, kind in after.items() if kind == SPILLED]
    assert all(before[name] == KEPT for name in left)


def test_the_peak_is_explained() -> None:
    """Two convolutions of 16x16x8 bytes each: at the second both are in use."""
    net = Net()
    x = net.conv(net.input(1, 16, 16, 1), 8)
    y = net.conv(x, 8)
    program = place(net.graph(net.mean(y)))
    found = memory_map(program)
    lines = explained(program, found)
    names = program.graph.tensors
    assert lines[0] == "4,096 B at op 1, CONV_2D"
    assert set(lines[1:]) == {
        f"{names[x].name}: 2,048 B, read here",
        f"{names[y].name}: 2,048 B, written here",
    }


def test_what_is_shared_at_the_peak_is_told() -> None:
    """A convolution's output runs into its input, of which it has 2,048 bytes as well."""
    net = Net()
    program = pack_graph(net.graph(net.mean(net.conv(net.input(1, 16, 16, 8), 8))))[0]
    peak = program.plan.size_bytes
    first = explained(program, memory_map(program))[0]
    assert peak < 4096
    assert first == f"{peak:,} B at op 0, CONV_2D; blocks overlap by {4096 - peak:,} B"


def test_gaps_and_what_is_shared_add_up() -> None:
    """An offline plan whose output runs into its input, above a third tensor and a gap."""
    from sim.plan.offline import with_offline_plan

    net = Net()
    x = net.input(1, 4, 4, 4)
    y = net.relu(x)
    graph = with_offline_plan(net.graph(net.add(x, net.relu(y))), {0: 0, 1: 96, 2: 128, 3: 0})
    found = memory_map(place(graph))
    for step in found.steps:
        placed = sum(block.span.length for block in found.alive(step.number))
        gap = step.top_bytes - step.live_bytes
        assert placed - found.overlap_bytes(step.number) + gap == step.top_bytes
    first = explained(place(graph), found)[0]
    assert (
        first == "192 B at op 1, RELU, 32 B of them in gaps between blocks; blocks overlap by 32 B"
    )


def test_a_gap_at_the_peak_is_told() -> None:
    """An offline plan that leaves room between input and output."""
    from sim.plan.offline import with_offline_plan

    net = Net()
    x = net.input(1, 4, 4, 4)
    y = net.relu(x)
    program = place(with_offline_plan(net.graph(y), {x: 0, y: 128}))
    assert explained(program, memory_map(program))[0] == (
        "192 B at op 0, RELU, 64 B of them in gaps between blocks"
    )


def told(program: Program) -> tuple[str, list[str]]:
    first, *others = explained(program, memory_map(program))
    return first, [line.split(": ")[1] for line in others]


def test_the_steps_of_bodies_are_explained_as_well() -> None:
    """The peak lies in the loop's body, where one convolution writes what the next one reads."""
    where, reasons = told(place(while_graph()))
    assert " B at step " in where and where.endswith("CONV_2D")
    for role in ("written here", "read here"):
        assert any(role in reason for reason in reasons)


@pytest.mark.parametrize("graph", [while_graph(), two_ifs_graph(), call_once_graph()])
def test_what_an_op_of_the_main_graph_holds_is_told_as_used(graph: Graph) -> None:
    """What an op reads and writes does not wait, wherever bodies have shifted the steps."""
    found, roles = memory_map(place(graph)), Roles(graph)
    for op, steps in zip(graph.ops, found.ops, strict=True):
        used = {b.tensor for b in found.blocks} & {*op.reads, *op.outputs}
        texts = [roles.at(tensor, steps.stop - 1).text for tensor in used]
        assert set(texts) <= {"read here", "written here"}


def test_before_the_first_op_the_inputs_arrive() -> None:
    net = Net()
    x = net.input(1, 64)
    program = place(net.graph(x))
    assert explained(program, memory_map(program))[0] == "64 B at inputs arrive"


def test_a_models_own_variable_is_not_spilled() -> None:
    """Without a container nothing moves; the reader and the writer are ops like others."""
    net = Net()
    x = net.input(1, 16)
    handle, value = net.tensor((), "RESOURCE"), net.like(x)
    net.op("VAR_HANDLE", [], [handle], Table("VarHandleOptions", {"shared_name": "own"}))
    net.op("READ_VARIABLE", [handle], [value], Table("ReadVariableOptions"))
    total = net.add(x, value)
    net.op("ASSIGN_VARIABLE", [handle, total], [], Table("AssignVariableOptions"))
    program = place(net.graph(net.relu(total)))
    assert not {SPILLED, FETCHED} & set(kinds(program).values())
