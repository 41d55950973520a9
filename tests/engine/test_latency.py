"""Without transfers an inference takes the sum of its ops; with blocking ones, their times more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.device.board import Storage
from sim.device.cost import op_cycles
from sim.device.loader import load_board
from sim.engine.run import simulate
from sim.program import place
from sim.trace import COMPUTE, COPY, CORE, FETCH, FETCH_NOT_DONE, SPILL, WINDOW_NOT_DRAINED
from tests.engine.toy import (
    ADD_PS,
    DISPATCH_PS,
    RELU_PS,
    SIZE,
    STORAGES,
    board,
    fork,
    laid_out,
    latency,
    play,
    spilled,
    stalls,
    timed,
)
from tests.graphs import unet

TRANSFERS_PS = 3 * DISPATCH_PS
"""VAR_HANDLE, ASSIGN_VARIABLE and READ_VARIABLE, for the core."""


def test_without_transfers_the_ops_add_up() -> None:
    trace = play(laid_out(fork(waits=5)), board())
    assert latency(trace) == 6 * RELU_PS + ADD_PS
    assert [s.duration_ps for s in trace.spans] == [RELU_PS] * 6 + [ADD_PS]
    assert {(s.actor, s.kind) for s in trace.spans} == {(CORE, COMPUTE)}


@pytest.mark.parametrize("hz", [480_000_000, 216_000_000, 3])
def test_cycles_become_time_op_by_op_rounded_up(hz: int) -> None:
    toy = board()
    toy = replace(toy, core=replace(toy.core, clock_hz=hz))
    trace = play(laid_out(fork(waits=2)), toy)
    relu, add = RELU_PS // 1000, ADD_PS // 1000  # cycles
    assert latency(trace) == 3 * -(-relu * 10**12 // hz) + -(-add * 10**12 // hz)


@pytest.mark.parametrize("name", ["arduino_portenta_h7", "esp32_s3_devkitc"])
def test_a_real_model_takes_the_sum_of_its_ops(name: str) -> None:
    graph, real = unet(16, 24, (4, 8)), load_board(name)
    trace = play(place(graph), real, frames=3)
    once = sum(-(-op_cycles(graph, op, real) * 10**12 // real.core.clock_hz) for op in graph.ops)
    assert trace.frames == ((0, once), (once, 2 * once), (2 * once, 3 * once))
    assert trace.actors == (CORE,)


@pytest.mark.parametrize("storage", STORAGES, ids=lambda s: s.kind)
def test_blocking_transfers_stall_for_their_whole_time(storage: Storage) -> None:
    trace = play(laid_out(spilled(fork(), storage.name)), board(*STORAGES))
    assert stalls(trace) == {
        WINDOW_NOT_DRAINED: storage.write_ps(SIZE),
        FETCH_NOT_DONE: storage.read_ps(SIZE),
    }
    work = 3 * RELU_PS + ADD_PS + TRANSFERS_PS
    assert latency(trace) == work + storage.write_ps(SIZE) + storage.read_ps(SIZE)
    assert trace.actors == (CORE, storage.name)


def test_times_of_the_toy_storages() -> None:
    ram, nor, card, line = STORAGES
    assert (ram.write_ps(SIZE), ram.read_ps(SIZE)) == (13 + 32_000, 11 + 64_000)
    assert nor.write_ps(SIZE) == 10**9 + 19 + 640_000 + 4 * 10**6  # erase, setup, bytes, pages
    assert nor.read_ps(SIZE) == 17 + 640_000
    assert card.write_ps(SIZE) == 3 * 10**7 + 512 * 10**5
    assert line.read_ps(SIZE) == 10**8 + -(-SIZE * 10**12 // 90_000)


@pytest.mark.parametrize("frames", [1, 4])
def test_frames_follow_each_other(frames: int) -> None:
    storage = timed("ram", read_ps=700, write_ps=900)
    program, toy = laid_out(spilled(fork(), "ram")), board(storage)
    once = latency(simulate(program, toy))
    trace = play(program, toy, frames=frames)
    assert trace.frames == tuple((n * once, (n + 1) * once) for n in range(frames))
    assert trace.elapsed_ps == frames * once


def test_without_dma_the_core_copies() -> None:
    storage = timed("ram", read_ps=700, write_ps=900, dma=False)
    trace = play(laid_out(spilled(fork(waits=4), "ram", hold=3, lead=1)), board(storage))
    copies = [(s.kind, s.duration_ps) for s in trace.of(CORE) if s.kind != COMPUTE]
    assert copies == [(COPY, 900), (COPY, 700)]
    assert [(s.kind, s.nbytes) for s in trace.of("ram")] == [(SPILL, SIZE), (FETCH, SIZE)]
    assert latency(trace) == 5 * RELU_PS + ADD_PS + TRANSFERS_PS + 900 + 700
