"""Frames that come by themselves: queues against queueing theory, cameras, drops, deadlines."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.run import play, traced
from sim.report import check
from sim.system import OWN_ARENA, Resident, Role, System
from sim.trace import CORE, NO_BUFFER, PREEMPTED, QUEUE_FULL, TOO_LATE, Trace
from sim.workload.arrivals import PERIODIC, POISSON, TRACE, Arrivals
from sim.workload.workload import OLDEST, SKIP, Camera, User, Workload
from tests.engine.toy import ADD_PS, RELU_PS, board, fork, laid_out

BOARD = board()
PROGRAM = laid_out(fork())
SERVICE_PS = 3 * RELU_PS + ADD_PS


def every(period_ps: int, **fields: int) -> Arrivals:
    return Arrivals(PERIODIC, period_ps, **fields)


def at(*times_ps: int) -> Arrivals:
    return Arrivals(TRACE, times_ps=times_ps)


def run(workload: Workload, frames: int, *residents: Resident, seed: int = 0) -> Trace:
    trace = traced(System(PROGRAM, workload, residents), BOARD, frames=frames, seed=seed)
    check(trace)
    return trace


def delays(trace: Trace) -> list[int]:
    """From arrival to result, of the main model's frames that have one."""
    return [f.stop_ps - f.arrived_ps for f in trace.records if f.model == CORE and not f.lost]


def lost(trace: Trace) -> list[tuple[int, str]]:
    return [(f.number, f.lost) for f in trace.records if f.lost]


def test_one_inference_takes_its_time() -> None:
    assert delays(run(Workload(), 1)) == [SERVICE_PS]


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_poisson_arrivals_wait_as_in_m_d_1(load: float) -> None:
    """Pollaczek and Khinchine: the mean wait is load * service / (2 * (1 - load))."""
    arrivals = Arrivals(POISSON, round(SERVICE_PS / load))
    workload = Workload(arrivals=arrivals, queue=None, warm_up=500)
    found = [
        play(System(PROGRAM, workload), BOARD, frames=20_000, seed=seed).latency
        for seed in range(4)
    ]
    wanted = SERVICE_PS + load * SERVICE_PS / (2 * (1 - load))
    mean = sum(f.mean_ps for f in found) / len(found)
    error = sum(f.mean_error_ps for f in found) / len(found) / len(found) ** 0.5
    assert abs(mean - wanted) < 1.5 * error
    assert error < 0.05 * wanted


def test_periodic_frames_that_are_slow_enough_never_wait() -> None:
    assert delays(run(Workload(arrivals=every(SERVICE_PS)), 9)) == [SERVICE_PS] * 9


def test_frames_come_when_the_file_says() -> None:
    trace = run(Workload(arrivals=at(5, 7, 10 * SERVICE_PS)), 3)
    arrived = [f.arrived_ps for f in trace.records]
    assert arrived == [5, 7, 10 * SERVICE_PS]
    assert delays(trace) == [SERVICE_PS, 2 * SERVICE_PS - 2, SERVICE_PS]


def test_a_file_may_hold_fewer_frames_than_were_asked_for() -> None:
    assert len(run(Workload(arrivals=at(5, 7)), 100).records) == 2


def test_jitter_moves_each_frame_by_no_more_than_it() -> None:
    period_ps, jitter_ps = 10 * SERVICE_PS, 1000
    trace = run(Workload(arrivals=every(period_ps, jitter_ps=jitter_ps)), 50)
    off = [f.arrived_ps - n * period_ps for n, f in enumerate(trace.records)]
    assert all(abs(o) <= jitter_ps for o in off) and len(set(off)) > 40


@pytest.mark.parametrize(
    ("workload", "gone"),
    [
        (Workload(queue=1), [2, 3]),
        (Workload(queue=1, drop=OLDEST), [1, 2]),
        (Workload(queue=0), [1, 2, 3]),
        (Workload(queue=2), [3]),
        (Workload(queue=None), []),
    ],
)
def test_a_full_queue_drops_the_newest_or_the_oldest(workload: Workload, gone: list[int]) -> None:
    trace = run(replace(workload, arrivals=at(0, 1, 2, 3)), 4)
    assert sorted(lost(trace)) == [(n, QUEUE_FULL) for n in gone]
    assert len(trace.records) == 4


def test_late_frames_are_skipped_or_counted() -> None:
    late = Workload(arrivals=at(0, 1, 2), queue=None, deadline_ps=SERVICE_PS + 10)
    told = play(System(PROGRAM, late), BOARD, frames=3, seed=0).fate
    assert (told.done, told.missed, told.lost_frames) == (3, 2, 0)
    skipped = run(replace(late, late=SKIP), 3)
    assert lost(skipped) == [(2, TOO_LATE)]  # the second began in time and ended late


@pytest.mark.parametrize(("buffers", "gone"), [(1, [1, 2]), (2, [2]), (3, [])])
def test_a_frame_without_a_buffer_is_lost(buffers: int, gone: list[int]) -> None:
    """Frames come every half fill; the camera fills one buffer after the other."""
    fill_ps = SERVICE_PS // 4
    camera = Camera(buffers, fill_ps, 64)
    arrivals = at(0, fill_ps // 2, fill_ps)
    trace = run(Workload(arrivals=arrivals, camera=camera), 3)
    assert sorted(lost(trace)) == [(n, NO_BUFFER) for n in gone]
    assert delays(trace)[0] == fill_ps + SERVICE_PS


def test_a_single_buffer_makes_camera_and_model_take_turns() -> None:
    fill_ps = SERVICE_PS // 2
    whole_ps = fill_ps + SERVICE_PS
    workload = Workload(arrivals=every(whole_ps + 1), camera=Camera(1, fill_ps, 64))
    assert delays(run(workload, 5)) == [whole_ps] * 5
    hurried = replace(workload, arrivals=every(whole_ps - 1))
    assert lost(run(hurried, 5))


def test_two_buffers_overlap_camera_and_model() -> None:
    fill_ps = SERVICE_PS // 2
    workload = Workload(arrivals=every(SERVICE_PS), camera=Camera(2, fill_ps, 64))
    assert delays(run(workload, 5)) == [fill_ps + SERVICE_PS] * 5


def test_a_gate_lets_its_share_through() -> None:
    gate = Resident("detect", PROGRAM, Role(gates=0.25))
    workload = Workload(arrivals=every(4 * SERVICE_PS))
    told = play(System(PROGRAM, workload, (gate,)), BOARD, frames=4000, seed=0)
    assert told.fates["detect"].done == 4000
    assert told.fate.offered == told.fate.done
    assert abs(told.fate.done - 1000) < 100
    assert told.latency.mean_ps == 2 * SERVICE_PS and told.service.mean_ps == SERVICE_PS


def test_an_urgent_model_with_its_own_arena_runs_between_ops() -> None:
    other = Resident("words", PROGRAM, Role(OWN_ARENA, arrivals=at(RELU_PS // 2), priority=1))
    trace = run(Workload(), 1, other)
    (main,) = (f for f in trace.records if f.model == CORE)
    (words,) = (f for f in trace.records if f.model == "words")
    assert words.stop_ps == RELU_PS + SERVICE_PS
    assert main.stop_ps == 2 * SERVICE_PS
    stall = sum(s.duration_ps for s in trace.of(CORE) if s.cause == PREEMPTED)
    assert stall == SERVICE_PS


def test_models_in_one_arena_never_run_at_a_time() -> None:
    other = Resident("words", PROGRAM, Role(arrivals=at(RELU_PS // 2), priority=1))
    trace = run(Workload(arrivals=at(0, 1), queue=None), 2, other)
    spans = sorted((f.start_ps, f.stop_ps) for f in trace.records)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4 * SERVICE_PS), st.integers(0, 3), st.integers(0, 9),
    st.booleans(),
)  # fmt: skip
def test_every_frame_is_done_or_lost(
    buffers: int, period_ps: int, queue: int, seed: int, filled: bool
) -> None:
    """And with spans or without, the figures are the same."""
    workload = Workload(
        arrivals=Arrivals(POISSON, period_ps),
        queue=queue,
        camera=Camera(buffers, SERVICE_PS // 3, 64) if filled else None,
        background=(User("tick", "core", every(7001), work_ps=100, interrupt=True),),
    )
    trace = run(workload, 40, seed=seed)
    assert sorted(f.number for f in trace.records) == list(range(40))
    told = play(System(PROGRAM, workload), BOARD, frames=40, seed=seed).fate
    assert told.done == len(delays(trace)) and told.lost_frames == len(lost(trace))
    assert told.offered == 40
