"""Who waits for a transfer in flight: whoever writes its bytes or reads what it brings."""

from __future__ import annotations

import pytest

from sim.graph.graph import Graph
from sim.graph.rewrite import Rewrite
from sim.program import Program
from sim.trace import (
    CORE,
    FETCH,
    FETCH_NOT_DONE,
    SPILL,
    STALL,
    WINDOW_NOT_DRAINED,
    Span,
    Trace,
)
from tests.engine.toy import (
    DISPATCH_PS,
    RELU_PS,
    SIZE,
    board,
    fork,
    laid_out,
    play,
    spilled,
    stalls,
    the,
    timed,
)
from tests.graphs import Net

WAITS = 6
LONG_PS = 100 * RELU_PS
SLOW, QUICK = timed("slow", read_ps=LONG_PS, write_ps=LONG_PS), timed("quick", read_ps=5)


def waits(trace: Trace) -> list[tuple[int, str, str]]:
    """Step, tensor and cause of each of the core's stalls."""
    return [(s.step, s.subject, s.cause) for s in trace.of(CORE) if s.kind == STALL]


def step_of(program: Program, name: str) -> int:
    """The op that makes the tensor."""
    graph = program.graph
    return next(
        s for s, op in enumerate(graph.ops) if graph.tensors[(*op.outputs, 0)[0]].name == name
    )


@pytest.mark.parametrize("name", [f"t{n}" for n in range(3, WAITS + 2)])
def test_the_op_that_overwrites_the_source_waits(name: str) -> None:
    program = laid_out(spilled(fork(WAITS), "slow", hold=1), {name: "t1"})
    trace = play(program, board(SLOW))
    assert waits(trace)[0] == (step_of(program, name), "t1", WINDOW_NOT_DRAINED)
    ops_between = int(name[1:]) - 2
    assert stalls(trace)[WINDOW_NOT_DRAINED] == LONG_PS - ops_between * RELU_PS


def test_ops_that_do_not_touch_the_source_go_on() -> None:
    program = laid_out(spilled(fork(WAITS), "slow", hold=1))
    trace = play(program, board(SLOW))
    (only,) = waits(trace)
    assert only == (len(program.graph.ops) - 1, "t1/fetch", FETCH_NOT_DONE)
    spill = the(trace, "slow", SPILL, "t1")
    assert the(trace, CORE, "compute", "READ_VARIABLE").stop_ps < spill.stop_ps


def test_overwriting_one_byte_is_enough() -> None:
    graph = spilled(fork(WAITS), "slow", hold=1)
    touching, beside = (_with_t4_at(graph, offset) for offset in (2 * SIZE - 16, 2 * SIZE))
    assert WINDOW_NOT_DRAINED in stalls(play(touching, board(SLOW)))
    assert WINDOW_NOT_DRAINED not in stalls(play(beside, board(SLOW)))


def _with_t4_at(graph: Graph, offset: int) -> Program:
    """t1 lies at SIZE, and the place of t2 behind it is free when t4 is made."""
    from sim.plan.offline import with_offline_plan
    from sim.program import place

    known = laid_out(graph)
    offsets = {p.tensor: p.offset_bytes for p in known.plan.placements if p.tensor is not None}
    t4 = next(t.id for t in graph.tensors if t.name == "t4")
    program = place(with_offline_plan(graph, offsets | {t4: offset}))
    program.verify()
    return program


def scratch_net(source_elsewhere: bool) -> Program:
    """The input is spilled, then MEAN's scratch comes to lie at the start of the arena."""
    net = Net(name="scratch")
    x = net.input(1, 4, 4, 4)
    y = net.relu(net.relu(x))
    mean, late = net.mean(y), net.relu(x)
    edit = Rewrite(net.graph(mean, late))
    edit.spill(x, "slow", 0, [(3, 3)], 1)
    graph = edit.graph()
    if not source_elsewhere:
        return laid_out(graph)
    return laid_out(graph, {"input0": "input0/fetch"})


def test_scratch_overwrites_too() -> None:
    program = scratch_net(source_elsewhere=False)
    scratch = [p for p in program.plan.placements if p.scratch_of is not None]
    source = next(p for p in program.plan.placements if p.tensor == 0)
    mean = next(s for s, op in enumerate(program.graph.ops) if op.kind == "MEAN")
    assert {p.scratch_of for p in scratch} == {mean}
    assert any(p.span.overlaps(source.span) for p in scratch)
    trace = play(program, board(SLOW))
    assert waits(trace)[0] == (mean, "input0", WINDOW_NOT_DRAINED)
    assert stalls(trace)[WINDOW_NOT_DRAINED] == LONG_PS - RELU_PS


def test_scratch_beside_the_source_does_not_wait() -> None:
    program = scratch_net(source_elsewhere=True)
    assert WINDOW_NOT_DRAINED not in stalls(play(program, board(SLOW)))


def two_spilled(shared: dict[str, str]) -> tuple[Span, Span, int]:
    """t1 goes to the slow storage, t2 comes back early from the quick one: t1's spill, t2's
    fetch, and when that was asked for."""
    edit = Rewrite(fork(WAITS, kept=2))
    edit.spill(1, "slow", 0, [(2 + WAITS, 2 + WAITS)], 2)
    edit.spill(2, "quick", 1, [(5, 3 + WAITS)], 2)
    program = laid_out(edit.graph(), shared)
    trace = play(program, board(SLOW, QUICK))
    reads = [s.stop_ps for s in trace.of(CORE) if s.subject == "READ_VARIABLE"]
    return the(trace, "slow", SPILL, "t1"), the(trace, "quick", FETCH, "t2/fetch"), reads[0]


def test_a_fetch_onto_bytes_still_being_spilled_starts_after_them() -> None:
    spill, fetch, asked_ps = two_spilled({"t2/fetch": "t1"})
    assert asked_ps < spill.stop_ps == fetch.start_ps


def test_a_fetch_onto_other_bytes_starts_at_once() -> None:
    spill, fetch, asked_ps = two_spilled({})
    assert fetch.start_ps == asked_ps < spill.stop_ps


def test_a_spill_waits_for_the_fetch_of_its_source() -> None:
    early = spilled(fork(WAITS), "slow", lead=2)
    fetch = next(s for s, op in enumerate(early.ops) if op.kind == "READ_VARIABLE")
    edit, last = Rewrite(early), len(early.ops) - 1
    edit.spill(early.ops[fetch].outputs[0], "quick", fetch, [(last, last)], fetch + 1)
    program = laid_out(edit.graph())
    trace = play(program, board(SLOW, QUICK))
    assign = [s for s, op in enumerate(program.graph.ops) if op.kind == "ASSIGN_VARIABLE"][1]
    assert waits(trace)[1] == (assign, "t1/fetch", FETCH_NOT_DONE)
    assert stalls(trace)[FETCH_NOT_DONE] == LONG_PS - DISPATCH_PS + QUICK.read_ps(SIZE)
