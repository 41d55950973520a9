"""The estimate of a program's time against the engine: exact where the bus is for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.timing import Timing, timing
from sim.device.board import Board, Storage
from sim.device.loader import board_names, load_board
from sim.engine.run import simulate
from sim.errors import PolicyError, SpillwayError
from sim.graph.graph import Graph
from sim.graph.tflite_reader import read
from sim.plan.runtime import RUNTIMES, Runtime
from sim.policy import Goal, parse_choice
from sim.program import Program, pack_graph, place
from sim.report import Report, report
from tests.engine.toy import CARD, LINE, NOR, RAM, board, fork, laid_out, spilled
from tests.graphs import unet
from tests.strategies import graphs
from tests.strategies import spilled as spills

FOLDER = Path(__file__).parents[2] / "scenarios" / "models"
FRAMES = 3
"""Storages that are busy now and then differ from one inference to the next."""


def measured(program: Program, on: Board, frames: int = 1) -> Report:
    return report(simulate(program, on, frames=frames, seed=0), on)


def is_exact(program: Program, on: Board) -> None:
    """The estimate is what the engine says of one inference."""
    found, wanted = timing(program, on), measured(program, on)
    assert found.latency_ps == wanted.latency.mean_ps
    assert found.stall_ps == wanted.total_stall_ps
    assert found.moved == wanted.moved_bytes
    assert found.energy_pj == pytest.approx(wanted.energy_pj, abs=2)


def quiet(name: str) -> Board:
    """The board with a bus for everybody, and storages that are never busy."""
    real = load_board(name)
    storages = tuple(replace(s, busy=None) for s in real.storages)
    return replace(real, storages=storages, bus_bytes_per_s=10**15)


# Where the bus is for everybody


@pytest.mark.parametrize("storage", [RAM, NOR, CARD, LINE], ids=lambda s: s.name)
@pytest.mark.parametrize(("hold", "lead"), [(0, 0), (3, 0), (0, 3), (2, 2)])
@pytest.mark.parametrize("dma", [True, False])
def test_a_spill_and_a_fetch(storage: Storage, hold: int, lead: int, dma: bool) -> None:
    toy = board(replace(storage, dma=dma))
    name = toy.storages[0].name
    is_exact(laid_out(spilled(fork(6), name, hold, lead)), toy)


@pytest.mark.parametrize("hold", [0, 3])
def test_a_write_that_stalls_the_core(hold: int) -> None:
    is_exact(laid_out(spilled(fork(6), "nor", hold, 1)), board(replace(NOR, stalls_core=True)))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(), data=st.data(), runtime=st.sampled_from(RUNTIMES))
def test_any_spills(graph: Graph, data: st.DataObject, runtime: str) -> None:
    made = data.draw(spills(graph)).graph()
    on = quiet("arduino_portenta_h7")
    on = replace(on, storages=(on.storage("sdram"), replace(NOR, dma=data.draw(st.booleans()))))
    is_exact(place(made, Runtime(runtime)), on)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", board_names())
def test_compositions_without_contention(name: str, runtime: str) -> None:
    on = quiet(name)
    for program in programs(on, runtime):
        is_exact(program, on)


def test_without_transfers_it_is_the_sum_of_the_ops() -> None:
    on = load_board("arduino_portenta_h7")
    program = place(unet(16, 24, (4, 8)))
    found = timing(program, on)
    assert (found.stall_ps, found.moved) == (0, 0)
    is_exact(program, on)


def test_a_storage_that_the_board_lacks() -> None:
    with pytest.raises(PolicyError, match="storage: found 'ram'"):
        timing(laid_out(spilled(fork(), "ram")), load_board("arduino_nano_33_ble"))


# On the boards as they are


def never_busy(on: Board) -> Board:
    """The board without spikes, whose means three inferences don't show."""
    return replace(on, storages=tuple(replace(s, busy=None) for s in on.storages))


@cache
def small(name: str) -> Graph:
    return read(FOLDER / f"{name}.tflite")


def skip_of(graph: Graph) -> str:
    """The name of the U-Net's first skip."""
    return graph.tensors[graph.ops[0].outputs[0]].name


def compositions(on: Board) -> Iterator[tuple[Graph, str]]:
    net, storages = unet(24, 32, (4, 8, 8)), [s.name for s in on.storages[:2]]
    end = len(net.ops)
    for storage in storages:
        yield net, f"spill(storage={storage}, window=0, lead=0)"
        yield net, f"spill(storage={storage}, window=4, lead=4)"
        yield net, f"stream(stages=[[0,{end},2,0,1]], feed={storage}, feed_rows=2)"
        for drain, ahead in ((0, 0), (2, 1), (4, 2)):
            yield (
                net,
                f"fused_fetch(stages=[[{end - 3},{end},2,0,1]], tensors=[{skip_of(net)}], "
                f"storage={storage}, rows=2, drain={drain}, ahead={ahead})",
            )
    mobile = small("mobilenet_v2_small")
    cut = mobile.tensors[mobile.ops[3].outputs[0]].name
    yield mobile, "stream(stages=[[0,4,4,0,1]])"
    for storage in storages:
        yield (
            mobile,
            f"fused_fetch(stages=[[0,4,2,0,1],[4,6,2,0,1]], tensors=[{cut}], "
            f"storage={storage}, rows=2, drain=2, ahead=1)",
        )


def programs(on: Board, runtime: str) -> Iterator[Program]:
    goal = Goal(10**9, runtime=runtime)
    for graph, text in compositions(on):
        try:
            made = parse_choice(text).apply(graph, on, goal)
        except SpillwayError:
            continue
        yield pack_graph(made, goal.target, effort=0)[0]


@cache
def pairs(name: str, runtime: str) -> list[tuple[Timing, Report]]:
    on = never_busy(load_board(name))
    return [(timing(p, on), measured(p, on, FRAMES)) for p in programs(on, runtime)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", board_names())
def test_estimates_on_every_board(name: str, runtime: str) -> None:
    found = pairs(name, runtime)
    assert len(found) >= 10
    assert sum(estimate.moved > 0 for estimate, _ in found) >= 8
    late = [abs(e.latency_ps / r.latency.mean_ps - 1) for e, r in found]
    energy = [abs(e.energy_pj / r.energy_pj - 1) for e, r in found]
    assert mean(late) <= 0.05, late
    assert mean(energy) <= 0.05, energy
    assert [e.moved for e, _ in found] == [r.moved_bytes for _, r in found]


def test_a_busy_storage_is_late_on_average() -> None:
    """Blocking transfers wait for the mean of a spike each."""
    on = load_board("arduino_portenta_h7")
    net = unet(24, 32, (4, 8, 8))
    made = parse_choice("spill(storage=sd, window=0, lead=0)").apply(net, on, Goal(10**9))
    program = pack_graph(made, effort=0)[0]
    requests = sum(op.kind in ("ASSIGN_VARIABLE", "READ_VARIABLE") for op in made.ops)
    busy = on.storage("sd").busy
    assert busy is not None and requests
    late_ps = timing(program, on).latency_ps - timing(program, never_busy(on)).latency_ps
    assert late_ps == pytest.approx(requests * busy.mean_ps, rel=0.02)


def test_the_better_of_two_is_told() -> None:
    """Where the engine sees a fifth between two programs, the estimate sees the same order."""
    found = [pair for name in board_names() for pair in pairs(name, "tflm")]
    seen = [(e.latency_ps, r.latency.mean_ps) for e, r in found]
    apart = [(a, b) for a in seen for b in seen if a[1] * 1.2 < b[1]]
    assert apart
    assert sum(a[0] < b[0] for a, b in apart) >= 0.97 * len(apart)
