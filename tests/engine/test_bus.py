"""Core and DMA share the bus: transfers go first, up to half of it, the op gets what is left."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sim.device.board import Storage
from sim.graph.rewrite import TRANSFER_KINDS, Rewrite
from sim.trace import BUS, COMPUTE, CORE, FETCH_NOT_DONE, FLASH_WAIT, STALL, Trace
from tests.engine.toy import (
    ADD_PS,
    DISPATCH_PS,
    RELU_PS,
    SIZE,
    board,
    fork,
    laid_out,
    latency,
    play,
    spilled,
    stalls,
    timed,
)

WAITS = 4
NEED = 2 * SIZE * 10**12 // RELU_PS
"""Bytes a second that a RELU reads and writes."""

RATE = 4 * 10**8
LONG = Storage("ram", "sdram", 2**20, 0, 0, 10**12, RATE, granule_bytes=2**16)
"""Its writes take RATE from the bus for longer than all ops last."""


def test_the_numbers_come_out_even() -> None:
    assert NEED * RELU_PS == 2 * SIZE * 10**12
    assert LONG.write_ps(SIZE) * RATE == 2**16 * 10**12
    assert LONG.write_ps(SIZE) > 4 * (WAITS * RELU_PS + ADD_PS)


def slowed(trace: Trace, step: int) -> int:
    """The bus stall of an op."""
    return sum(s.duration_ps for s in trace.of(CORE) if (s.step, s.cause) == (step, BUS))


def share(bus: int, taken: int) -> Fraction:
    left = bus - min(taken, bus // 2)
    return min(Fraction(1), Fraction(left, min(NEED, bus)))


def later(work_ps: int, part: Fraction) -> int:
    """How much longer work takes at a part of full speed."""
    return -(-work_ps * part.denominator // part.numerator) - work_ps


@pytest.mark.parametrize(
    "bus", [NEED + RATE - 1, NEED + RATE - 10**6, 10**9, 2 * RATE, 7 * 10**8, NEED, NEED // 2]
)
def test_an_op_gets_what_the_transfer_leaves(bus: int) -> None:
    trace = play(
        laid_out(spilled(fork(WAITS), "ram", hold=WAITS)), board(LONG, bus_bytes_per_s=bus)
    )
    for step in range(3, 3 + WAITS):  # the chain, behind t1, VAR_HANDLE and ASSIGN_VARIABLE
        assert slowed(trace, step) == later(RELU_PS, share(bus, RATE)) > 0


@pytest.mark.parametrize("bus", [NEED + RATE, NEED + RATE + 1, 10**12])
def test_a_bus_wide_enough_slows_nobody(bus: int) -> None:
    trace = play(
        laid_out(spilled(fork(WAITS), "ram", hold=WAITS)), board(LONG, bus_bytes_per_s=bus)
    )
    assert BUS not in stalls(trace)


def test_no_op_is_slower_than_half() -> None:
    assert share(NEED // 2, 10**12) == Fraction(1, 2)
    assert share(NEED // 1000, 10**12) == Fraction(1, 2)


def test_an_op_is_slow_only_while_the_transfer_lasts() -> None:
    bus, lasts_ps = 10**9 + 9, 128_000
    short = Storage("ram", "sdram", 2**20, 0, 0, 10**12, SIZE * 10**12 // lasts_ps)
    assert short.write_ps(SIZE) == lasts_ps < RELU_PS
    assert short.write_bytes_per_s <= bus // 2 < NEED
    trace = play(
        laid_out(spilled(fork(WAITS), "ram", hold=WAITS)), board(short, bus_bytes_per_s=bus)
    )
    part = share(bus, short.write_bytes_per_s)
    assert (lasts_ps * part).denominator > 1  # what is left of a picosecond is lost
    assert slowed(trace, 3) == lasts_ps - int(lasts_ps * part) > 0
    assert slowed(trace, 4) == 0


def test_transfers_at_the_same_time_add_up() -> None:
    bus, quarter = 4 * NEED // 3, NEED // 4
    storages = [
        Storage(n, "sdram", 2**20, 0, 0, 10**12, quarter, granule_bytes=2**16) for n in ("a", "b")
    ]
    taken = sum(2**16 * 10**12 // s.write_ps(SIZE) for s in storages)
    edit = Rewrite(fork(WAITS, kept=2))
    edit.spill(1, "a", 0, [(2 + WAITS, 2 + WAITS)], 1 + WAITS)
    edit.spill(2, "b", 1, [(3 + WAITS, 3 + WAITS)], 1 + WAITS)
    trace = play(laid_out(edit.graph()), board(*storages, bus_bytes_per_s=bus))
    assert slowed(trace, 3) == 0  # t2, beside one transfer
    assert slowed(trace, 6) == later(RELU_PS, share(bus, taken)) > 0


def test_a_transfer_op_moves_no_bytes_itself() -> None:
    edit = Rewrite(fork(WAITS, kept=2))
    edit.spill(1, "ram", 0, [(2 + WAITS, 2 + WAITS)], 1 + WAITS)
    edit.spill(2, "ram", 1, [(3 + WAITS, 3 + WAITS)], 1 + WAITS)
    graph = edit.graph()
    trace = play(laid_out(graph), board(LONG, bus_bytes_per_s=1000))
    transfers = [step for step, op in enumerate(graph.ops) if op.kind in TRANSFER_KINDS]
    assert len(transfers) == 6
    assert sum(slowed(trace, step) for step in transfers) == 0
    assert stalls(trace)[BUS] > 0


def test_without_dma_the_bus_is_the_cores_own() -> None:
    storage = timed("ram", read_ps=50, write_ps=50, dma=False)
    trace = play(
        laid_out(spilled(fork(WAITS), "ram", hold=2, lead=1)), board(storage, bus_bytes_per_s=1)
    )
    assert stalls(trace) == {}


WRITE_PS, READ_PS = 3 * RELU_PS + 7, RELU_PS + 5


def test_the_core_stands_still_while_its_flash_is_written() -> None:
    flash = timed("nor", read_ps=READ_PS, write_ps=WRITE_PS, stalls_core=True)
    trace = play(laid_out(spilled(fork(WAITS), "nor", hold=2)), board(flash))
    assert stalls(trace) == {FLASH_WAIT: WRITE_PS, FETCH_NOT_DONE: READ_PS}
    assert latency(trace) == (1 + WAITS) * RELU_PS + ADD_PS + 3 * DISPATCH_PS + WRITE_PS + READ_PS
    (stall,) = (s for s in trace.of(CORE) if s.cause == FLASH_WAIT)
    assert (stall.kind, stall.step, stall.subject) == (STALL, 3, "RELU")


def test_the_core_goes_on_while_its_flash_is_read() -> None:
    flash = timed("nor", read_ps=READ_PS, write_ps=WRITE_PS, stalls_core=True)
    trace = play(laid_out(spilled(fork(WAITS), "nor", lead=2)), board(flash))
    assert FLASH_WAIT not in stalls(trace)
    assert FETCH_NOT_DONE not in stalls(trace)
    works = [s.duration_ps for s in trace.of(CORE) if s.kind == COMPUTE and s.subject == "RELU"]
    assert works == [RELU_PS] * (1 + WAITS)


def test_an_op_begun_before_its_flash_is_written_waits_inside() -> None:
    """The write sits behind another one in the queue, and begins in the middle of a RELU."""
    flash = timed("nor", read_ps=1, write_ps=WRITE_PS, stalls_core=True)
    other = timed("ram", read_ps=1, write_ps=RELU_PS + 2 * DISPATCH_PS + RELU_PS // 2)
    edit = Rewrite(fork(WAITS, kept=2))
    edit.spill(1, "ram", 0, [(2 + WAITS, 2 + WAITS)], 1 + WAITS)
    edit.spill(2, "nor", 1, [(3 + WAITS, 3 + WAITS)], 1 + WAITS)
    trace = play(laid_out(edit.graph()), board(flash, other, dma_channels=1))
    (stall,) = (s for s in trace.of(CORE) if s.cause == FLASH_WAIT)
    assert (stall.step, stall.duration_ps) == (6, WRITE_PS)
