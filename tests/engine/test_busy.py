"""Busy spikes: drawn from a seed, as often and as long as the board says, seen as a cause."""

from __future__ import annotations

from math import sqrt

import pytest

from sim.device.board import Busy, Storage
from sim.device.loader import load_board
from sim.trace import (
    COPY,
    CORE,
    FETCH_NOT_DONE,
    STALL,
    STORAGE_BUSY,
    WINDOW_NOT_DRAINED,
    Trace,
)
from tests.engine.toy import RELU_PS, SIZE, board, fork, laid_out, play, spilled, stalls, timed

WAITS = 6
READ_PS, WRITE_PS, SPIKE_PS = 900, 1100, 777_777


def spiky(probability: float = 1.0, **fields: object) -> Storage:
    busy = Busy(probability, SPIKE_PS, SPIKE_PS, SPIKE_PS)
    return timed("card", read_ps=READ_PS, write_ps=WRITE_PS, busy=busy, **fields)


def test_a_blocking_transfer_waits_for_the_spike_too() -> None:
    trace = play(laid_out(spilled(fork(WAITS), "card")), board(spiky()))
    assert stalls(trace) == {
        WINDOW_NOT_DRAINED: WRITE_PS,
        FETCH_NOT_DONE: READ_PS,
        STORAGE_BUSY: 2 * SPIKE_PS,
    }
    assert stalls(trace, "card") == {STORAGE_BUSY: 2 * SPIKE_PS}


def test_without_dma_the_core_waits_for_the_spike_and_then_copies() -> None:
    trace = play(laid_out(spilled(fork(WAITS), "card")), board(spiky(dma=False)))
    assert stalls(trace) == {STORAGE_BUSY: 2 * SPIKE_PS}
    copies = [s.duration_ps for s in trace.of(CORE) if s.kind == COPY]
    assert copies == [WRITE_PS, READ_PS]


def test_work_hides_a_spike_as_it_hides_a_transfer() -> None:
    hidden = (SPIKE_PS + WRITE_PS) // RELU_PS + 1
    program = laid_out(spilled(fork(WAITS), "card", hold=hidden), {f"t{hidden + 2}": "t1"})
    found = stalls(play(program, board(spiky())))
    assert found == {FETCH_NOT_DONE: READ_PS, STORAGE_BUSY: SPIKE_PS}


def test_the_spike_of_a_spill_is_why_the_fetch_behind_it_is_late() -> None:
    """Spill and fetch are both on their way when the core begins to wait for the fetch."""
    graph = spilled(fork(waits=1), "card", hold=1)
    trace = play(laid_out(graph), board(spiky()))
    work = RELU_PS + 8000  # t2 and READ_VARIABLE, beside the spike of the spill
    assert stalls(trace) == {
        STORAGE_BUSY: 2 * SPIKE_PS - work,
        FETCH_NOT_DONE: WRITE_PS + READ_PS,
    }


FRAMES = 1000
LOW, PEAK, HIGH = 2_000, 14_000, 250_000


def spiking(seed: int, probability: float = 0.25) -> Trace:
    busy = Busy(probability, LOW, PEAK, HIGH)
    storage = timed("card", read_ps=READ_PS, write_ps=WRITE_PS, busy=busy)
    return play(laid_out(spilled(fork(waits=1), "card")), board(storage), FRAMES, seed)


def test_the_same_seed_gives_the_same_trace() -> None:
    assert spiking(3) == spiking(3)
    assert spiking(3) != spiking(4)


@pytest.mark.parametrize("probability", [0.05, 0.25, 0.9])
def test_spikes_are_as_frequent_and_as_long_as_the_board_says(probability: float) -> None:
    """Within four standard errors, which come from the triangle's second moment."""
    trace = spiking(1, probability)
    spikes = [s.duration_ps for s in trace.of("card") if s.kind == STALL]
    requests = 2 * FRAMES
    mean = (LOW + PEAK + HIGH) / 3
    square = (LOW**2 + PEAK**2 + HIGH**2 + LOW * PEAK + LOW * HIGH + PEAK * HIGH) / 6
    often = probability * requests
    assert len(spikes) == pytest.approx(often, abs=4 * sqrt(often * (1 - probability)))
    error = sqrt((probability * square - (probability * mean) ** 2) / requests)
    assert sum(spikes) / requests == pytest.approx(probability * mean, abs=4 * error)
    assert min(spikes) >= LOW
    assert max(spikes) <= HIGH


def test_every_spike_before_a_blocking_transfer_is_a_stall() -> None:
    trace = spiking(2)
    assert stalls(trace)[STORAGE_BUSY] == stalls(trace, "card")[STORAGE_BUSY]
    latencies = {stop - start for start, stop in trace.frames}
    assert len(latencies) > 100


def test_no_spikes_no_difference_between_frames() -> None:
    trace = spiking(2, 0.0)
    assert len({stop - start for start, stop in trace.frames}) == 1
    assert STORAGE_BUSY not in stalls(trace)


def test_a_real_card_is_busy_now_and_then() -> None:
    real = load_board("arduino_portenta_h7")
    card = real.storage("sd")
    assert card.busy is not None
    program = laid_out(spilled(fork(waits=1), "sd"))
    trace = play(program, real, frames=4000)
    spikes = [s.duration_ps for s in trace.of("sd") if s.kind == STALL]
    often = 2 * len(trace.frames) * card.busy.probability
    assert len(spikes) == pytest.approx(often, abs=4 * sqrt(often))
    assert card.busy.minimum_ps <= min(spikes) <= max(spikes) <= card.busy.maximum_ps
    quiet = min(stop - start for start, stop in trace.frames)
    assert quiet >= card.write_ps(SIZE) + card.read_ps(SIZE)
