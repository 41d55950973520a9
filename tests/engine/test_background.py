"""Other users of core, bus and storages, against formulas."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from sim.device.board import Board, Storage
from sim.engine.bus import Bus, Use
from sim.engine.clock import Clock, Process
from sim.engine.run import Simulation, traced
from sim.graph.rewrite import Rewrite
from sim.report import check
from sim.system import System
from sim.trace import CORE, FETCH, FETCH_NOT_DONE, PREEMPTED, SHARED, TASK, Trace
from sim.workload.arrivals import PERIODIC, TRACE, Arrivals
from sim.workload.workload import User, Workload
from tests.engine.toy import (
    ADD_PS,
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
from tests.graphs import Net

SERVICE_PS = 3 * RELU_PS + ADD_PS


def once(at_ps: int) -> Arrivals:
    return Arrivals(TRACE, times_ps=(at_ps,))


def with_users(*users: User, frames: int = 1) -> Trace:
    system = System(laid_out(fork()), Workload(background=users))
    trace = traced(system, board(), frames=frames, seed=0)
    check(trace)
    return trace


@pytest.mark.parametrize("at_ps", [0, 1, RELU_PS // 2, RELU_PS, SERVICE_PS - 1])
def test_an_interrupt_takes_its_time_at_once(at_ps: int) -> None:
    trace = with_users(User("isr", "core", once(at_ps), work_ps=77, interrupt=True))
    assert latency(trace) == SERVICE_PS + 77
    assert stalls(trace) == {PREEMPTED: 77}
    (span,) = trace.of("isr")
    assert (span.kind, span.start_ps, span.stop_ps) == (TASK, at_ps, at_ps + 77)


def test_interrupts_run_one_after_the_other() -> None:
    first = User("first", "core", once(100), work_ps=50, interrupt=True)
    second = User("second", "core", once(120), work_ps=30, interrupt=True)
    trace = with_users(first, second)
    assert [(s.start_ps, s.stop_ps) for s in trace.of("second")] == [(150, 180)]
    assert latency(trace) == SERVICE_PS + 80


def test_periodic_interrupts_slow_the_core_by_their_share() -> None:
    """Work w of each period p leaves 1 - w/p: n interrupts come until all is done."""
    period_ps, work_ps = 10_007, 1_000
    tick = User("tick", "core", Arrivals(PERIODIC, period_ps), work_ps=work_ps, interrupt=True)
    told = latency(with_users(tick))
    came = -(-told // period_ps)
    assert told == SERVICE_PS + came * work_ps


def test_a_task_waits_for_the_end_of_the_op() -> None:
    trace = with_users(User("task", "core", once(RELU_PS // 2), work_ps=500))
    (span,) = trace.of("task")
    assert (span.start_ps, span.stop_ps) == (RELU_PS, RELU_PS + 500)
    assert latency(trace) == SERVICE_PS + 500
    assert stalls(trace) == {PREEMPTED: 500}


def test_a_task_of_less_priority_waits_for_the_end_of_the_frame() -> None:
    task = User("task", "core", once(1), work_ps=500, priority=-1)
    trace = with_users(task, frames=2)
    (span,) = trace.of("task")
    assert span.start_ps == SERVICE_PS
    assert [stop - start for start, stop in trace.frames] == [SERVICE_PS, SERVICE_PS + 500]


def test_a_task_runs_while_the_model_waits_for_a_fetch() -> None:
    """It takes the core that the model has no use for, and costs nothing."""
    slow = timed("ram", read_ps=5 * RELU_PS, write_ps=1)
    program = laid_out(spilled(fork(), "ram"))
    alone = latency(play(program, board(slow)))
    started = alone - 5 * RELU_PS - ADD_PS
    task = User("task", "core", once(started + 10), work_ps=RELU_PS, priority=-1)
    trace = traced(System(program, Workload(background=(task,))), board(slow), frames=1, seed=0)
    check(trace)
    assert latency(trace) == alone
    assert [s.start_ps for s in trace.of("task")] == [started + 10]


def shared(*demands: tuple[int, int, int]) -> list[int]:
    """When transfers of (bytes a second, picoseconds alone, priority) end that begin at 0."""
    env, ends = Clock(), [0] * len(demands)
    bus = Bus(env, 1000 * 10**9)

    def move(number: int, demand: int, work_ps: int, priority: int) -> Process:
        use = Use(priority)
        use.begin(demand, work_ps, env.now_ps)
        yield from bus.carry(use)
        ends[number] = env.now_ps

    for number, (demand, work_ps, priority) in enumerate(demands):
        env.process(move(number, demand, work_ps, priority))
    env.run()
    return ends


GB = 10**9


def test_two_users_of_one_bus_share_it() -> None:
    """Both want all of it: the shorter ends after 2a, the longer, alone from then on, after a+b."""
    assert shared((1000 * GB, 300, 0), (1000 * GB, 500, 0)) == [600, 800]


def test_a_modest_user_gets_all_that_it_wants() -> None:
    """Max-min: one that wants a quarter is not slowed, the other has three quarters meanwhile."""
    modest, greedy = shared((250 * GB, 1000, 0), (1000 * GB, 1500, 0))
    assert modest == 1000
    assert greedy == 1000 + (1500 - 750)


def test_the_urgent_user_goes_first() -> None:
    urgent, other = shared((1000 * GB, 400, 1), (1000 * GB, 400, 0))
    assert (urgent, other) == (400, 800)
    urgent, other = shared((600 * GB, 500, 1), (1000 * GB, 500, 0))
    assert (urgent, other) == (500, 500 + (500 - 200))


def test_as_many_as_like_share_evenly() -> None:
    assert shared(*[(1000 * GB, 700, 0)] * 7) == [4900] * 7


def test_the_core_and_a_transfer_each_have_half_for_sure() -> None:
    """A copy that wants all of the bus beside a transfer that does, too: both at half speed."""
    rate = 2 * SIZE * 10**12 // RELU_PS  # what a RELU moves
    ram = Storage("ram", "sdram", 2**20, 0, 0, 10**18, rate, granule_bytes=1024)
    program = laid_out(spilled(fork(4), "ram", hold=4))
    trace = play(program, board(ram, bus_bytes_per_s=rate))
    relus = [s for s in trace.of(CORE) if s.cause == "bus" and s.subject == "RELU"]
    (spill,) = (s for s in trace.of("ram") if s.kind == "spill")
    slowed = [s for s in relus if s.stop_ps <= spill.stop_ps]
    assert slowed and all(s.duration_ps == RELU_PS for s in slowed)
    during = sum(
        min(s.stop_ps, spill.stop_ps) - s.start_ps
        for s in trace.of(CORE)
        if spill.start_ps <= s.start_ps < spill.stop_ps and s.subject in ("RELU", "ADD")
    )
    lost = Fraction(spill.duration_ps - ram.write_ps(SIZE))
    assert abs(lost - Fraction(during, 2)) <= RELU_PS


def test_a_request_waits_behind_another_users() -> None:
    """The logger's read came first; the model's wait for it has a cause of its own."""
    card = timed("ram", read_ps=4 * RELU_PS, write_ps=1)
    program = laid_out(spilled(fork(), "ram"))
    alone = latency(play(program, board(card)))
    begins = alone - 4 * RELU_PS - ADD_PS
    logger = User("logger", "ram", once(begins - 10), size_bytes=SIZE)
    trace = traced(System(program, Workload(background=(logger,))), board(card), frames=1, seed=0)
    check(trace)
    assert latency(trace) == alone + 4 * RELU_PS - 10
    assert stalls(trace)[SHARED] == 4 * RELU_PS - 10
    assert stalls(trace)[FETCH_NOT_DONE] == 4 * RELU_PS
    assert sum(s.nbytes for s in trace.of("ram") if s.frame < 0) == SIZE


def test_an_urgent_request_goes_before_those_that_wait() -> None:
    card = timed("ram", read_ps=1000, write_ps=1000)
    users = [
        User(name, "ram", once(at), size_bytes=1, priority=priority)
        for name, at, priority in (("a", 0, 0), ("b", 1, 0), ("c", 2, 5))
    ]
    workload = Workload(background=tuple(users))
    trace = traced(System(laid_out(fork()), workload), board(card), frames=1, seed=0)
    assert [s.subject for s in trace.of("ram")] == ["a", "c", "b"]


def test_too_many_requests_are_left_out() -> None:
    """One is served and one more waits; each of the others finds no room."""
    slow = timed("ram", read_ps=10 * SERVICE_PS, write_ps=1)
    user = User("u", "ram", Arrivals(PERIODIC, SERVICE_PS // 10), size_bytes=1, queue=2)
    system = System(laid_out(fork()), Workload(background=(user,)))
    simulation = Simulation(system, board(slow), frames=1, seed=0)
    simulation.run()
    came = simulation.users[0].left_out + simulation.users[0].owed
    assert simulation.users[0].owed == 2 and came in (10, 11)


def test_without_dma_another_users_request_takes_the_core() -> None:
    card = timed("ram", read_ps=300, write_ps=300, dma=False)
    user = User("u", "ram", once(10), size_bytes=1)
    trace = traced(
        System(laid_out(fork()), Workload(background=(user,))), board(card), frames=1, seed=0
    )
    check(trace)
    assert latency(trace) == SERVICE_PS + 300
    assert stalls(trace) == {PREEMPTED: 300}


WORK_PS = 3 * SIZE * 1000
"""A RELU on a core that takes no time between ops."""


@pytest.mark.parametrize("fetch_ps", [WORK_PS // 3, WORK_PS, 3 * WORK_PS])
@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_double_buffered_fetches(fetch_ps: int, count: int) -> None:
    """N fetches into two buffers: f + (N - 1) * max(f, c) + c, with c the work on each."""
    net = Net(name="stream")
    x = net.input(1, 1, 1, SIZE)
    made = [net.relu(x) for _ in range(count)]
    outputs = [net.relu(tensor) for tensor in made]
    edit = Rewrite(net.graph(*outputs))
    for n in range(count):
        edit.spill(1 + n, "ram", n, [(count + max(0, n - 1), count + n)], n)
    graph = edit.graph()
    buffers = [t.name for t in graph.tensors if t.name.endswith("/fetch")]
    program = laid_out(graph, {name: buffers[n % 2] for n, name in enumerate(buffers)})
    trace = play(program, instant_dispatch(board(timed("ram", read_ps=fetch_ps, write_ps=1))))
    begins = next(s.start_ps for s in trace.of("ram") if s.kind == FETCH)
    ends = max(s.stop_ps for s in trace.of(CORE))
    assert len([s for s in trace.of("ram") if s.kind == FETCH]) == count
    assert ends - begins == fetch_ps + (count - 1) * max(fetch_ps, WORK_PS) + WORK_PS


def instant_dispatch(plain: Board) -> Board:
    return plain.with_profile(replace(plain.core.profile, dispatch_cycles=0))
