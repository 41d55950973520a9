"""What breaks: nothing is lost without a reason, on no policy, and nobody waits for ever."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import pytest

from sim.device.behaviour import Behaviour
from sim.device.board import Board, Busy
from sim.device.loader import load_board
from sim.engine.faults import _instants
from sim.engine.run import play, traced
from sim.errors import PolicyError
from sim.policy import Goal, policy_names
from sim.program import Program, pack_graph, place
from sim.report import check
from sim.system import System
from sim.trace import (
    BROWNED_OUT,
    ERASE,
    ERASING,
    FETCH,
    LINK_ASLEEP,
    LINK_LOST,
    LINK_RETRY,
    LOSSES,
    OUTAGES,
    SPILL,
    STALL,
    STORAGE_BUSY,
)
from sim.workload.arrivals import PERIODIC, POISSON, TRACE, Arrivals
from sim.workload.workload import (
    BROWN_OUT,
    CRC,
    DROP,
    FAULTS,
    OLDEST,
    RECOMPUTE,
    REMOVED,
    SKIP,
    Camera,
    Fault,
    User,
    Workload,
)
from tests.engine.toy import board, fork, laid_out, latency, spilled, stalls, timed
from tests.graphs import unet

MS = 10**9
FRAMES = 10_000


def angry(plain: Board) -> Board:
    """Every storage with every mood there is, a hundred times too often, and no time lost on it."""
    moods = Behaviour(
        loss=0.1, timeout_ps=MS, retries=2, sleep_after_ps=MS, wake_ps=MS // 10,
        collect_every_bytes=4096, collect_minimum_ps=MS // 10, collect_maximum_ps=MS,
    )  # fmt: skip
    busy = Busy(0.1, MS // 100, MS // 10, MS)
    erasing = replace(moods, area_bytes=4 * 2**20, erase_ahead=True)
    storages = tuple(
        replace(s, behaviour=erasing if s.needs_erase else moods, busy=busy) for s in plain.storages
    )
    return replace(plain, storages=storages)


BOARD = angry(load_board("arduino_portenta_h7"))
GRAPH = unet(16, 24, (4, 8, 16))
EVERYTHING = Workload(
    arrivals=Arrivals(POISSON, 5 * MS),
    deadline_ps=20 * MS,
    queue=2,
    drop=OLDEST,
    late=SKIP,
    fallback=RECOMPUTE,
    camera=Camera(2, MS),
    background=(
        User("tick", "core", Arrivals(PERIODIC, MS), work_ps=MS // 100, interrupt=True),
        User("task", "core", Arrivals(POISSON, 4 * MS), work_ps=MS // 2),
        User("dma", "bus", Arrivals(PERIODIC, 7 * MS), size_bytes=10**6, bytes_per_s=10**9),
        *(
            User(
                f"log {s.name}",
                s.name,
                Arrivals(POISSON, 90 * MS),
                size_bytes=512,
                writes=not s.needs_erase,
            )
            for s in BOARD.storages
        ),
    ),
    faults=(
        Fault(BROWN_OUT, every_ps=200 * MS, lasts_ps=10 * MS),
        *(
            Fault(kind, s.name, every_ps=50 * MS, lasts_ps=5 * MS, probability=0.02 * (kind == CRC))
            for kind in FAULTS
            if kind != BROWN_OUT
            for s in BOARD.storages
        ),
    ),
)


def program_of(policy: str) -> Program:
    """What the policy makes of the graph when it is pressed for memory; else the graph packed."""
    from sim.policy import policy_class

    goal = Goal(int(0.6 * pack_graph(GRAPH)[0].arena().required))
    for setting in policy_class(policy)().candidates(GRAPH, BOARD, goal):
        try:
            made = setting.apply(GRAPH, BOARD, goal)
        except PolicyError:
            continue
        return pack_graph(made)[0] if setting.packs else place(made)
    return place(GRAPH)


@pytest.mark.parametrize("policy", policy_names())
@pytest.mark.usefixtures("little_work")
def test_ten_thousand_frames_with_every_fault(policy: str) -> None:
    """The engine itself checks that every byte and picosecond is accounted for."""
    told = play(System(program_of(policy), EVERYTHING), BOARD, frames=FRAMES, seed=1).fate
    assert told.offered == FRAMES
    assert told.done + told.lost_frames == FRAMES
    assert told.done > 0 and told.lost_frames > 0
    assert set(told.lost) <= set(LOSSES)
    assert {BROWNED_OUT} <= set(told.lost)


def test_spilling_meets_every_kind_of_loss() -> None:
    found = play(System(program_of("spill"), EVERYTHING), BOARD, frames=FRAMES, seed=1)
    assert set(OUTAGES.values()) <= set(found.fate.lost)
    assert found.fate.recomputed > 0
    assert found.failed


@pytest.mark.parametrize("fallback", [DROP, RECOMPUTE])
def test_with_spans_the_laws_hold_too(fallback: str) -> None:
    workload = replace(EVERYTHING, fallback=fallback)
    trace = traced(System(program_of("spill"), workload), BOARD, frames=200, seed=3)
    check(trace)
    assert sorted(f.number for f in trace.records) == list(range(200))


CARD_PS = 1000
PROGRAM = laid_out(spilled(fork(), "ram"))


def card(**moods: float) -> Board:
    plain = timed("ram", read_ps=CARD_PS, write_ps=CARD_PS)
    return board(replace(plain, behaviour=Behaviour(**moods)))  # type: ignore[arg-type]


def removed(at_ps: int, lasts_ps: int) -> Fault:
    return Fault(REMOVED, "ram", at_ps=(at_ps,), lasts_ps=lasts_ps)


def fates(workload: Workload, on: Board, frames: int = 3) -> list[str]:
    trace = traced(System(PROGRAM, workload), on, frames=frames, seed=0)
    check(trace)
    return [f.lost for f in trace.records]


WHOLE_PS = latency(traced(System(PROGRAM), card(), frames=1, seed=0))


def test_a_removed_card_loses_the_frames_that_need_it() -> None:
    workload = Workload(
        arrivals=Arrivals(PERIODIC, 2 * WHOLE_PS), faults=(removed(WHOLE_PS, 2 * WHOLE_PS),)
    )
    assert fates(workload, card(), 4) == ["", "card removed", "", ""]


def test_instants_given_and_at_random_come_in_order() -> None:
    fault = Fault(REMOVED, "ram", at_ps=(50 * MS, 20 * MS), every_ps=9 * MS)
    found = list(islice(_instants(fault, random.Random(0)), 20))
    assert found == sorted(found) and {20 * MS, 50 * MS} <= set(found)
    assert len([at for at in found if at < 50 * MS]) > 2


def test_a_frame_may_be_run_again() -> None:
    """The card is back before the second attempt."""
    trace = traced(System(PROGRAM), card(), frames=1, seed=0)
    (spill,) = (s for s in trace.of("ram") if s.kind == SPILL)
    workload = Workload(fallback=RECOMPUTE, faults=(removed(10, spill.start_ps),))
    told = play(System(PROGRAM, workload), card(), frames=1, seed=0).fate
    assert (told.done, told.recomputed, told.lost) == (1, 1, {})


def test_a_card_pulled_out_during_a_transfer_harms_it() -> None:
    trace = traced(System(PROGRAM), card(), frames=1, seed=0)
    (spill,) = (s for s in trace.of("ram") if s.kind == SPILL)
    workload = Workload(faults=(removed(spill.start_ps + 1, 1),))
    harmed = traced(System(PROGRAM, workload), card(retries=0), frames=1, seed=0)
    assert [f.lost for f in harmed.records] == ["card removed"]


def test_a_link_is_tried_again_with_longer_and_longer_waits() -> None:
    down = Fault("link_down", "ram", at_ps=(0,), lasts_ps=6 * MS)
    on = card(timeout_ps=MS, retries=4, back_off=2.0)
    trace = traced(System(PROGRAM, Workload(faults=(down,))), on, frames=1, seed=0)
    waits = [s.duration_ps for s in trace.of("ram") if s.cause == LINK_RETRY]
    assert waits == [MS, 2 * MS, 4 * MS]
    assert [f.lost for f in trace.records] == [""]
    assert stalls(trace)[LINK_RETRY] == 7 * MS


def test_a_link_is_given_up_after_its_retries() -> None:
    on = card(loss=1.0, timeout_ps=MS, retries=2, back_off=1.0)
    assert fates(Workload(), on, 2) == [LINK_LOST, LINK_LOST]


def test_how_often_a_lossy_link_tries() -> None:
    """Each attempt is lost with probability p: p + p^2 + ... = p / (1 - p) further attempts."""
    on = card(loss=0.25, timeout_ps=1, retries=50)
    told = traced(System(PROGRAM), on, frames=3000, seed=0)
    again = sum(1 for s in told.of("ram") if s.cause == LINK_RETRY)
    assert again / 6000 == pytest.approx(1 / 3, rel=0.1)


def test_damaged_bytes_are_moved_again_and_told_apart() -> None:
    fault = Fault(CRC, "ram", at_ps=(0,))
    told = play(System(PROGRAM, Workload(faults=(fault,))), card(), frames=1, seed=0)
    assert told.fate.lost == {} and told.failed == {"ram": 64}
    assert told.moved["ram"].written == told.moved["ram"].read == 64


def test_a_sleeping_link_wakes_up_first() -> None:
    on = card(sleep_after_ps=1, wake_ps=777)
    trace = traced(System(PROGRAM), on, frames=1, seed=0)
    wakes = [s.duration_ps for s in trace.of("ram") if s.cause == LINK_ASLEEP]
    assert wakes == [777, 777]
    awake = card(sleep_after_ps=10 * WHOLE_PS, wake_ps=777)
    assert LINK_ASLEEP not in stalls(traced(System(PROGRAM), awake, frames=5, seed=0))


def test_a_card_tidies_up_after_so_many_bytes() -> None:
    on = card(collect_every_bytes=640, collect_minimum_ps=500, collect_maximum_ps=500)
    trace = traced(System(PROGRAM), on, frames=101, seed=0)
    pauses = [s for s in trace.of("ram") if s.kind == STALL]
    assert len(pauses) == 10 and {s.cause for s in pauses} == {STORAGE_BUSY}


def test_a_brown_out_waits_for_the_end_of_the_frame_and_loses_those_that_wait() -> None:
    workload = Workload(
        arrivals=Arrivals(TRACE, times_ps=(0, 1, 2, WHOLE_PS + 5, 3 * WHOLE_PS)),
        queue=None,
        faults=(Fault(BROWN_OUT, at_ps=(3,), lasts_ps=WHOLE_PS),),
    )
    trace = traced(System(PROGRAM, workload), card(), frames=5, seed=0)
    lost = {f.number: f.lost for f in trace.records}
    assert lost == {0: "", 1: BROWNED_OUT, 2: BROWNED_OUT, 3: BROWNED_OUT, 4: ""}


BLOCK = 4096


def flash(*, ahead: bool, area: int) -> Board:
    plain = timed("ram", read_ps=CARD_PS, write_ps=CARD_PS, block_bytes=BLOCK, block_erase_ps=9000)
    moods = Behaviour(area_bytes=area, erase_ahead=ahead)
    return board(replace(plain, behaviour=moods, endurance_cycles=1000))


def test_blocks_that_were_erased_ahead_cost_a_spill_nothing() -> None:
    workload = Workload(arrivals=Arrivals(PERIODIC, 3 * WHOLE_PS))
    trace = traced(System(PROGRAM, workload), flash(ahead=True, area=3 * BLOCK), frames=9, seed=0)
    check(trace)
    assert ERASING not in stalls(trace)
    assert len([s for s in trace.of("ram") if s.kind == ERASE]) >= 8
    slow = traced(System(PROGRAM, workload), flash(ahead=False, area=0), frames=9, seed=0)
    assert slow.frames[0][1] - trace.frames[0][1] == 9000


def test_who_comes_too_soon_waits_for_the_erase() -> None:
    """With a single spare block, and frames that follow each other at once."""
    long = replace(flash(ahead=True, area=2 * BLOCK).storage("ram"), block_erase_ps=5 * WHOLE_PS)
    trace = traced(System(PROGRAM), board(long), frames=3, seed=0)
    check(trace)
    assert stalls(trace)[ERASING] > 0


def test_an_area_bears_the_wear_of_its_slots_together() -> None:
    from sim.usage import Usage

    days = {}
    for area in (0, 10 * BLOCK):
        on = flash(ahead=False, area=area)
        told = play(System(PROGRAM), on, frames=100, seed=0)
        days[area] = Usage(MS).wear_days(told, on)["ram"]
    assert days[10 * BLOCK] == pytest.approx(10 * days[0])


def test_an_area_that_is_too_small_is_refused() -> None:
    with pytest.raises(PolicyError, match="storage ram: area: found 4096 B, wanted more than"):
        play(System(PROGRAM), flash(ahead=True, area=BLOCK), frames=1, seed=0)


def test_memory_does_not_grow_with_the_frames() -> None:
    import tracemalloc

    def peak(frames: int) -> int:
        tracemalloc.start()
        play(System(PROGRAM, replace(EVERYTHING, background=(), faults=())), card(), frames=frames,
             seed=0)  # fmt: skip
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(5000)
    assert peak(18_000) < 1.2 * peak(6000)


def test_fetches_and_spills_of_a_frame_are_all_told() -> None:
    trace = traced(System(PROGRAM), card(), frames=4, seed=0)
    kinds = [s.kind for s in trace.of("ram")]
    assert kinds.count(SPILL) == kinds.count(FETCH) == 4
