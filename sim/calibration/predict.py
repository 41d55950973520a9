"""What the simulation says to a measurement: the same board, clock, profile and model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from sim.calibration.measurements import IN_RAM, OP, WHOLE, Measurement
from sim.calibration.structures import structure
from sim.device.board import Board, CostProfile
from sim.device.cost import op_cycles, weight_bytes
from sim.device.loader import load_board, load_profile
from sim.errors import ConfigError
from sim.graph.graph import Graph, Op


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement with the part of the model it is of, on the board as it was then."""

    measurement: Measurement
    board: Board
    graph: Graph
    ops: tuple[Op, ...]

    def with_profile(self, profile: CostProfile) -> Point:
        """The point as another profile sees it."""
        return replace(self, board=self.board.with_profile(profile))

    @property
    def cycles(self) -> int:
        return sum(op_cycles(self.graph, op, self.board) for op in self.ops)

    @property
    def latency_ms(self) -> float:
        return self.cycles / self.board.core.clock_hz * 1e3

    @property
    def energy_uj(self) -> float:
        """At the measurement's voltage, the core active throughout."""
        supply_mv = round(self.measurement.supply_v * 1000) or self.board.supply_mv
        return self.latency_ms * self.board.active_uw_at(supply_mv) / 1e3

    @property
    def stall_cycles(self) -> float:
        """Cycles that the core waits for weights, which no profile holds."""
        nbytes = sum(weight_bytes(self.graph, op) for op in self.ops)
        return self.board.weight_stall_cycles_per_byte * nbytes

    @property
    def error(self) -> float:
        """Simulated over measured latency, less 1."""
        return self.latency_ms / self.measurement.latency_ms - 1


def points(
    measurements: tuple[Measurement, ...], profile: Callable[[str], CostProfile] | None = None
) -> tuple[Point, ...]:
    """Each measurement's point; `profile` finds cost profiles by name.

    Left out, that is the board's own where a row has its name or none, else an installed one.
    Raises ConfigError for a board, profile, model or unit that isn't there.
    """
    find = cache(profile or load_profile)
    board, graph = cache(load_board), cache(_model)
    made = []
    for row in measurements:
        plain = board(row.board)
        own = plain.core.profile
        is_own = profile is None and row.profile in ("", own.name)
        named = own if is_own else find(row.profile)
        core = replace(plain.core, clock_hz=round(row.clock_mhz * 1e6), profile=named)
        stall = 0.0 if row.weights_in == IN_RAM else plain.weight_stall_cycles_per_byte
        there = replace(plain, core=core, weight_stall_cycles_per_byte=stall)
        model = graph(row.model)
        made.append(Point(row, there, model, _ops(model, row)))
    return tuple(made)


def _model(name: str) -> Graph:
    if name.endswith(".tflite"):
        from sim.graph.tflite_reader import read

        return read(Path(name))
    return structure(name)


def _ops(graph: Graph, row: Measurement) -> tuple[Op, ...]:
    if row.unit == WHOLE:
        return graph.ops
    number = row.unit.removeprefix(OP)
    if row.unit.startswith(OP) and number.isdigit() and int(number) < len(graph.ops):
        return (graph.ops[int(number)],)
    found = tuple(op for op in graph.ops if op.kind == row.unit)
    if not found:
        kinds = ", ".join(sorted({op.kind for op in graph.ops}))
        wanted = f"{WHOLE}, {OP}0 to {OP}{len(graph.ops) - 1}, or one of: {kinds}"
        raise ConfigError(f"measurements: {row.model}", None, "unit", row.unit, wanted)
    return found
