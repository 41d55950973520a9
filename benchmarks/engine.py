"""The engine beside a bare SimPy loop, and how time and memory grow with the frames.

    python -m benchmarks.engine

Run it at the repository's root. Each run of the engine is paired with a loop of a single SimPy
process that waits for as many timeouts as the run had events: SimPy's own, and those that the
engine does without, where a plain loop would need one for each op and each interrupt. Figures are
ratios of the two, the median of several pairs. Then the drone_seg scenario with 100 frames and with
1,000, all of its background on: in the engine alone, and as the command `sim run`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import simpy
from rich.console import Console
from rich.table import Table

from sim.device.board import Board
from sim.engine.clock import Process
from sim.engine.run import Simulation, play
from sim.policy import Goal, parse_choice
from sim.prepare import Prepared, prepare
from sim.program import Program, pack_graph, place
from sim.scenario import Scenario, load_scenario
from sim.system import System

CARD = "spill(storage=sd)"
POLICIES = ("baseline", "spill(storage=sdram)", CARD, "fused_fetch(storage=sdram)")
PAIRS = 5
FRAMES = 300


def program(ready: Prepared, policy: str) -> Program:
    if policy == "baseline":
        return place(ready.graph)
    goal = Goal(ready.goal.sram_bytes)
    return pack_graph(parse_choice(policy).apply(ready.graph, ready.board, goal))[0]


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median_seconds(run: Callable[[], object], times: int) -> float:
    return statistics.median(seconds(run) for _ in range(times))


def bare(events: int) -> None:
    """A loop that does nothing but wait."""
    env = simpy.Environment()

    def wait() -> Process:
        for _ in range(events):
            yield env.timeout(5)

    env.process(wait())
    env.run()


def pair(system: System, board: Board) -> tuple[int, float, float]:
    """Events of a run, events a second, and the ratio of its event rate to the bare loop's."""
    simulation = Simulation(system, board, frames=FRAMES, seed=0)
    taken = seconds(simulation.run)
    machine = simulation.machine
    events = next(machine.env._eid) + machine.saved_events + machine.cpu.saved_events
    return events, events / taken, seconds(lambda: bare(events)) / taken


def rates(scenario: Scenario, ready: Prepared) -> Table:
    table = Table(
        "policy", "board", "events a frame", "events a second", "of a bare loop", box=None
    )
    for policy in POLICIES:
        made = program(ready, policy)
        for name, system in (
            ("idle", System(made)),
            ("drone_seg's", System(made, scenario.workload)),
        ):
            found = [pair(system, ready.board) for _ in range(PAIRS)]
            events = found[0][0] / FRAMES
            rate, ratio = (statistics.median(f[n] for f in found) for n in (1, 2))
            table.add_row(policy, name, f"{events:,.0f}", f"{rate:,.0f}", f"{100 * ratio:.0f} %")
    return table


def growth(scenario: Scenario, ready: Prepared) -> Table:
    table = Table("frames", "engine s", "ratio", "peak KB", "sim run s", "ratio", box=None)
    workload = replace(scenario.workload, warm_up=0)
    system = System(program(ready, CARD), workload)
    first: list[float] = []
    for frames in (100, 1000):
        taken = [
            statistics.median(
                seconds(partial(live, system, ready.board, frames)) for _ in range(9)
            ),
            statistics.median(seconds(partial(command, frames)) for _ in range(3)),
        ]
        first = first or taken
        tracemalloc.start()
        live(system, ready.board, frames)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        ratios = [f"{now / then:.1f} x" for now, then in zip(taken, first, strict=True)]
        table.add_row(
            f"{frames:,}", f"{taken[0]:.2f}", ratios[0], f"{peak / 1000:,.0f}", f"{taken[1]:.2f}",
            ratios[1],
        )  # fmt: skip
    return table


def live(system: System, board: Board, frames: int) -> None:
    play(system, board, frames=frames, seed=0)


def command(frames: int) -> None:
    """`sim run` as a whole process."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable, "-m", "sim.cli", "run", "drone_seg", "--policy", CARD,
                "--frames", str(frames), "-o", folder,
            ],
            check=True, capture_output=True,
        )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.parse_args(arguments)
    scenario = load_scenario("drone_seg")
    ready = prepare(scenario, play, lambda _: None)
    console = Console()
    console.print(rates(scenario, ready))
    console.print(growth(scenario, ready))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
