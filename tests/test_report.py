"""The figures of hand-made traces against other ways of counting, and the laws that they break."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.device.board import Board, Storage
from sim.device.loader import board_names, load_board
from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.engine.storage import Request, StorageActor
from sim.errors import SpillwayError
from sim.report import Moved, check, inferences_until_worn, report
from sim.statistics import distribution
from sim.tally import Tally
from sim.trace import (
    BUS,
    COMPUTE,
    COPY,
    CORE,
    FETCH,
    FETCH_NOT_DONE,
    SPILL,
    STALL,
    STORAGE_BUSY,
    Span,
    Trace,
)
from tests.traces import hand_made

times = st.lists(st.integers(0, 10**15), min_size=1, max_size=300)


@given(times)
def test_percentiles_are_the_least_time_that_so_many_stay_below(found: list[int]) -> None:
    told = distribution(found)
    for percent, time in ((50, told.p50_ps), (99, told.p99_ps), (100, told.max_ps)):
        assert time in found
        assert 100 * sum(t <= time for t in found) >= percent * len(found)
        assert 100 * sum(t < time for t in found) < percent * len(found)
    assert told.mean_ps == int(Fraction(sum(found), len(found)))


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=300))
def test_percentiles_as_numpy_counts_them(found: list[int]) -> None:
    told = distribution(found)
    wanted = np.percentile(np.array(found), [50, 99, 100], method="inverted_cdf")
    assert [told.p50_ps, told.p99_ps, told.max_ps] == wanted.tolist()


@pytest.mark.parametrize(("count", "p99"), [(1, 1), (99, 99), (100, 99), (101, 100), (200, 198)])
def test_the_99th_of_so_many(count: int, p99: int) -> None:
    assert distribution(range(count, 0, -1)).p99_ps == p99


RAM = Storage(
    "ram", "sdram", 2**20, 0, 0, 1, 1, granule_bytes=8, read_pj_per_byte=3, write_pj_per_byte=5
)
NOR = Storage(
    "nor", "qspi_nor", 2**20, 0, 0, 1, 1, block_bytes=16, block_erase_ps=1, write_pj_per_byte=7,
    erase_pj_per_block=1000,
)  # fmt: skip


def toy() -> Board:
    board = load_board("arduino_portenta_h7")
    core = replace(board.core, active_uw=2_000_000, waiting_uw=300_000)
    return replace(board, core=core, storages=(RAM, NOR))


def trace() -> Trace:
    """Two inferences of 100 and 60 ps."""
    spans = (
        Span(0, 30, CORE, COMPUTE, "CONV_2D", 0, 0),
        Span(30, 50, "ram", SPILL, "a", 0, 1, 20),
        Span(30, 70, CORE, STALL, "a", 0, 2, 0, FETCH_NOT_DONE),
        Span(50, 58, "nor", STALL, "a", 0, 2, 0, STORAGE_BUSY),
        Span(58, 70, "nor", SPILL, "b", 0, 2, 40),
        Span(70, 80, CORE, STALL, "ADD", 0, 3, 0, BUS),
        Span(80, 100, CORE, COPY, "b", 0, 4),
        Span(100, 125, CORE, COMPUTE, "CONV_2D", 1, 0),
        Span(125, 151, CORE, STALL, "a", 1, 2, 0, FETCH_NOT_DONE),
        Span(125, 150, "ram", FETCH, "a", 1, 2, 20),
        Span(151, 160, CORE, COMPUTE, "ADD", 1, 3),
    )
    return hand_made(spans, ((0, 100), (100, 160)), (CORE, "ram", "nor"))


def test_figures_of_a_trace() -> None:
    check(trace())
    told = report(trace(), toy())
    assert (told.frames, told.elapsed_ps) == (2, 160)
    assert (told.latency.mean_ps, told.latency.p50_ps, told.latency.max_ps) == (80, 60, 100)
    assert told.stall_ps == {BUS: 10 // 2, FETCH_NOT_DONE: (40 + 26) // 2}
    assert told.total_stall_ps == 38
    assert told.moved == {"ram": Moved(read=10, written=10), "nor": Moved(read=0, written=20)}
    assert told.moved_bytes == 40
    assert told.busy_ps == {CORE: 30 + 20 + 25 + 9, "ram": 20 + 25, "nor": 12}
    assert told.utilisation("nor") == 12 / 160
    assert told.utilisation("sd") == 0


def test_energy_is_power_times_time_and_the_storages_own() -> None:
    busy_ps, stall_ps = 84, 40 + 10 + 26
    core_pj = (2 * busy_ps + Fraction(3, 10) * stall_ps) // 1  # W times ps
    ram_pj = 24 * 5 + 24 * 3  # 20 B are three granules, written and read
    nor_pj = 40 * 7 + 3 * 1000  # 40 B cover three blocks
    assert report(trace(), toy()).energy_pj == (core_pj + ram_pj + nor_pj) // 2


def test_waiting_costs_less_than_working() -> None:
    board = toy()
    work = hand_made((Span(0, 10**9, CORE, COMPUTE, "ADD", 0, 0),), ((0, 10**9),), (CORE,))
    wait = hand_made(
        (Span(0, 10**9, CORE, STALL, "a", 0, 0, 0, FETCH_NOT_DONE),), ((0, 10**9),), (CORE,)
    )
    assert report(work, board).energy_pj == board.core.active_uw * 10**3
    assert report(wait, board).energy_pj == board.core.waiting_uw * 10**3


def test_a_trace_of_nothing_takes_no_time() -> None:
    told = report(hand_made((), ((0, 0),), (CORE,)), toy())
    assert (told.elapsed_ps, told.latency.max_ps, told.energy_pj) == (0, 0, 0)
    assert told.utilisation(CORE) == 0


CARD = Storage("sd", "sd_sdio", 10**9, 0, 0, 1, 1, granule_bytes=512, endurance_cycles=300)


@pytest.mark.parametrize(
    ("storage", "written", "wanted"),
    [
        (CARD, 1000, 10**9 * 300 // 1000),
        (CARD, 10**9, 300),
        (CARD, 10**9 + 1, 299),
        (CARD, 0, None),
        (replace(CARD, endurance_cycles=None), 1000, None),
        (replace(NOR, endurance_cycles=100_000), 1000, 100_000),
        (replace(NOR, endurance_cycles=100_000), 10**6, 100_000),
        (replace(NOR, endurance_cycles=100_000), 0, None),
        (replace(NOR, kind="internal_flash", endurance_cycles=10_000), 1, 10_000),
        (replace(CARD, kind="usb"), 1000, 10**9 * 300 // 1000),
        (RAM, 1000, None),
    ],
)
def test_wear(storage: Storage, written: int, wanted: int | None) -> None:
    assert inferences_until_worn(storage, written) == wanted


def test_of_the_built_in_storages_only_flash_and_cards_wear() -> None:
    storages = [s for name in board_names() for s in load_board(name).storages]
    worn = {s.kind for s in storages if inferences_until_worn(s, 1000) is not None}
    assert worn == {"internal_flash", "qspi_nor", "sd_sdio", "sd_spi"}
    for storage in storages:
        if storage.kind == "qspi_nor":
            assert inferences_until_worn(storage, 1000) == 100_000


def test_an_actor_in_two_places_is_found() -> None:
    twice = Span(69, 75, "nor", FETCH, "c", 0, 3, 4)
    with pytest.raises(SpillwayError, match="nor is in two places at 69 ps"):
        check(replace(trace(), spans=(*trace().spans, twice)))


def test_a_span_that_ends_before_it_begins_is_found() -> None:
    back = Span(160, 159, "nor", FETCH, "c", 1, 3, 4)
    with pytest.raises(SpillwayError, match="nor is in two places"):
        check(replace(trace(), spans=(*trace().spans, back)))


@pytest.mark.parametrize("left_out", [n for n, s in enumerate(trace().spans) if s.actor == CORE])
def test_a_hole_in_the_cores_time_is_found(left_out: int) -> None:
    spans = trace().spans
    frame, length = spans[left_out].frame, spans[left_out].duration_ps
    passed = (100, 60)[frame]
    wanted = f"inference {frame}: found {passed - length} ps .*, wanted the {passed} ps"
    with pytest.raises(SpillwayError, match=wanted):
        check(replace(trace(), spans=spans[:left_out] + spans[left_out + 1 :]))


def test_time_beyond_an_inference_does_not_fill_a_hole_in_it() -> None:
    spans = tuple(
        replace(s, start_ps=s.start_ps + 30, stop_ps=s.stop_ps + 30) if s.start_ps >= 125 else s
        for s in trace().spans
    )
    with pytest.raises(SpillwayError, match=r"inference 1: found .* wanted the 60 ps"):
        check(replace(trace(), spans=spans))


def test_one_inference_does_not_lend_time_to_another() -> None:
    with pytest.raises(SpillwayError, match=r"inference 1: found 60 ps .*, wanted the 61 ps"):
        check(hand_made(trace().spans, ((0, 99), (99, 160)), trace().actors))


def test_time_that_is_not_accounted_for_is_an_error() -> None:
    """The engine asks this of every inference; spans need not be kept."""
    tally = Tally(toy())
    tally.worked(CORE, 5)
    tally.inference(CORE, 10, 15)
    tally.worked(CORE, 5)
    with pytest.raises(SpillwayError, match="found 5 ps accounted for, wanted the 6 ps"):
        tally.inference(CORE, 15, 21)


def test_bytes_that_are_not_accounted_for_are_an_error() -> None:
    env = Clock()
    actor = StorageActor(env, RAM, Bus(env, 1), None, 0, Tally(toy()).add)
    actor.start(Request(SPILL, 20, "a", "us", 0, 0, 0, env.event()))
    actor.check(0)  # they wait
    with pytest.raises(SpillwayError, match="ram: bytes: found 21 accounted for, wanted the 20"):
        actor.check(1)
