"""The same run under many seeds, side by side: how much of a figure is luck."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from sim.device.board import Board
from sim.progress import report as report_progress
from sim.report import Report
from sim.statistics import mean_and_error
from sim.system import System
from sim.usage import Usage


class Play(Protocol):
    """The engine: plays a system on a board, with time and bytes accounted for."""

    def __call__(self, system: System, board: Board, *, frames: int, seed: int) -> Report: ...


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over the seeds: its mean, half of the mean's 95 % interval, its extremes."""

    mean: float
    error: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Figures of one system over many seeds; times in picoseconds.

    `lost` and `missed` are shares of the frames, `frame_pj` is the energy from frame to frame in
    picojoule.
    """

    seeds: int
    mean_ps: Figure
    p99_ps: Figure
    lost: Figure
    missed: Figure
    frame_pj: Figure


def spreads(
    systems: Sequence[System],
    board: Board,
    usage: Usage,
    play: Play,
    *,
    frames: int,
    seed: int,
    seeds: int,
) -> tuple[Spread, ...]:
    """Plays each system under `seeds` seeds from `seed` on, in a process for each core.

    `play` has to be a function of a module, which other processes can find. The result does not
    depend on how many there are.
    """
    with ProcessPoolExecutor() as pool:
        running = [
            [pool.submit(play, system, board, frames=frames, seed=seed + n) for n in range(seeds)]
            for system in systems
        ]
        found = []
        for number, futures in enumerate(running, 1):
            report_progress(f"seeds: {number} of {len(systems)}")
            reports = [future.result() for future in futures]
            energies = [usage.frame_pj(report, board) for report in reports]
            found.append(_spread(reports, energies))
    return tuple(found)


def _spread(reports: Sequence[Report], energies_pj: Sequence[int]) -> Spread:
    return Spread(
        len(reports),
        _figure([r.latency.mean_ps for r in reports]),
        _figure([r.latency.p99_ps for r in reports]),
        _figure([r.fate.lost_frames / max(1, r.fate.offered) for r in reports]),
        _figure([r.fate.missed / max(1, r.fate.offered) for r in reports]),
        _figure(energies_pj),
    )


def _figure(values: Sequence[float]) -> Figure:
    mean, error = mean_and_error(values)
    return Figure(mean, error, min(values), max(values))
