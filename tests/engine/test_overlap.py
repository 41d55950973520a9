"""A transfer with a window or a lead stalls the core only for what the work beside it leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.device.board import Board
from sim.device.loader import load_board
from sim.trace import CORE, FETCH, FETCH_NOT_DONE, SPILL, WINDOW_NOT_DRAINED
from tests.engine.toy import (
    ADD_PS,
    DISPATCH_PS,
    RELU_PS,
    board,
    fork,
    laid_out,
    latency,
    play,
    spilled,
    stalls,
    the,
    timed,
)

WAITS = 6
BUSY_PS = (1 + WAITS) * RELU_PS + ADD_PS + 3 * DISPATCH_PS
"""The core's own work in a fork with one spill and one fetch."""

EDGE = (-1, 0, 1, 12_345)


@pytest.mark.parametrize("late_ps", EDGE)
@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_spill_drains_behind_the_ops_of_its_window(window: int, late_ps: int) -> None:
    work = window * RELU_PS  # the ops until t<window + 2> overwrites t1
    toy = board(timed("ram", read_ps=1, write_ps=work + late_ps))
    program = laid_out(spilled(fork(WAITS), "ram", hold=window), {f"t{window + 2}": "t1"})
    trace = play(program, toy)
    late = max(0, late_ps)
    assert stalls(trace) == ({WINDOW_NOT_DRAINED: late} if late else {}) | {FETCH_NOT_DONE: 1}
    assert latency(trace) == BUSY_PS + late + 1


@pytest.mark.parametrize("late_ps", EDGE)
@pytest.mark.parametrize("lead", [1, 2, 4])
def test_a_fetch_hides_behind_the_ops_of_its_lead(lead: int, late_ps: int) -> None:
    toy = board(timed("ram", read_ps=lead * RELU_PS + late_ps, write_ps=1))
    trace = play(laid_out(spilled(fork(WAITS), "ram", lead=lead)), toy)
    late = max(0, late_ps)
    assert stalls(trace) == ({FETCH_NOT_DONE: late} if late else {}) | {WINDOW_NOT_DRAINED: 1}
    assert latency(trace) == BUSY_PS + late + 1


def test_a_window_that_nothing_ends_costs_nothing() -> None:
    toy = board(timed("ram", read_ps=1, write_ps=WAITS * RELU_PS))
    trace = play(laid_out(spilled(fork(WAITS), "ram", hold=1)), toy)
    assert stalls(trace) == {FETCH_NOT_DONE: 1}
    assert the(trace, "ram", SPILL, "t1").duration_ps == WAITS * RELU_PS


@pytest.mark.parametrize("late_ps", EDGE)
def test_a_fetch_waits_for_its_own_spill(late_ps: int) -> None:
    """The spill, the fetch behind it, and all work but the last op at the same time."""
    write = (WAITS - 2) * RELU_PS + late_ps
    toy = board(timed("ram", read_ps=2 * RELU_PS, write_ps=write))
    trace = play(laid_out(spilled(fork(WAITS), "ram", hold=1, lead=2)), toy)
    spill, fetch = the(trace, "ram", SPILL, "t1"), the(trace, "ram", FETCH, "t1/fetch")
    asked_ps = max(s.stop_ps for s in trace.of(CORE) if s.subject == "READ_VARIABLE")
    assert fetch.start_ps == max(spill.stop_ps, asked_ps)
    late = max(0, late_ps - DISPATCH_PS)  # READ_VARIABLE is one more op beside the spill
    assert stalls(trace) == ({FETCH_NOT_DONE: late} if late else {})


def test_the_end_of_an_inference_waits_for_what_is_on_its_way() -> None:
    graph = spilled(fork(waits=1), "ram", hold=2)
    without_fetch = replace(
        graph,
        ops=tuple(
            replace(op, inputs=(op.inputs[0], op.inputs[0])) if op.kind == "ADD" else op
            for op in graph.ops
            if op.kind != "READ_VARIABLE"
        ),
    )
    toy = board(timed("ram", read_ps=1, write_ps=10 * RELU_PS))
    trace = play(laid_out(without_fetch), toy, frames=2)
    work = 2 * DISPATCH_PS + 2 * RELU_PS + ADD_PS
    spill_ps = RELU_PS + 2 * DISPATCH_PS + 10 * RELU_PS
    assert trace.frames == ((0, spill_ps), (spill_ps, 2 * spill_ps))
    assert stalls(trace) == {WINDOW_NOT_DRAINED: 2 * (spill_ps - work)}


SKIP = 80 * 120 * 8
"""Bytes of a U-Net's first skip."""

ORDERED = ("uart", "qspi", "sd", "sdram")


def quiet_portenta() -> Board:
    """The board without busy spikes and with a bus for everybody."""
    real = load_board("arduino_portenta_h7")
    storages = tuple(replace(s, busy=None) for s in real.storages)
    return replace(real, storages=storages, bus_bytes_per_s=10**15)


def test_stalls_of_real_storages_as_the_formulas_order_them() -> None:
    real = quiet_portenta()
    found = {}
    for name in ORDERED:
        program = laid_out(spilled(fork(size=SKIP), name))
        found[name] = sum(stalls(play(program, real)).values())
        storage = real.storage(name)
        assert found[name] == storage.write_ps(SKIP) + storage.read_ps(SKIP)
    assert sorted(found, key=found.__getitem__, reverse=True) == list(ORDERED)


@pytest.mark.parametrize("name", ORDERED)
def test_overlapping_never_takes_longer_than_blocking(name: str) -> None:
    real = quiet_portenta()
    times = [
        latency(play(laid_out(spilled(fork(WAITS, size=SKIP), name, hold, lead)), real))
        for hold, lead in ((0, 0), (0, 2), (2, 0), (2, 2))
    ]
    blocking, led, held, both = times
    assert blocking > max(led, held)
    assert min(led, held) >= both
