"""Trials: policies in a row on one model and board, placed and timed, and which of them is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.timing import Timing, timing
from sim.device.board import Board
from sim.errors import CannotFitError, ModelError, PlanError, PolicyError
from sim.graph.graph import Graph
from sim.policy import Choice, Goal, Policy, written_choice
from sim.program import Program, pack_graph

FAILURES = (CannotFitError, ModelError, PlanError, PolicyError)


@dataclass(frozen=True, slots=True)
class Trial:
    """Policies in a row, the program that they make, its required arena in bytes and its timing."""

    policies: tuple[Policy, ...]
    program: Program
    required: int
    timing: Timing

    @property
    def text(self) -> str:
        """The policies as `sim.policy.parse_choice` reads them."""
        return written_choice(self.policies)


class Trials:
    """All trials for one graph, board and goal."""

    def __init__(self, graph: Graph, board: Board, goal: Goal) -> None:
        self.graph, self.board, self.goal = graph, board, goal
        self.made: dict[str, Trial | None] = {}

    def run(self, policies: Sequence[Policy]) -> Trial | None:
        """The policies applied, placed quickly and timed; None where they can't be."""
        row = tuple(policies)
        text = written_choice(row)
        if text not in self.made:
            self.made[text] = self._run(row)
        return self.made[text]

    def _run(self, row: tuple[Policy, ...]) -> Trial | None:
        try:
            graph = Choice(row, ((),) * len(row)).apply(self.graph, self.board, self.goal)
            program, _ = pack_graph(graph, self.goal.target, effort=0)
        except FAILURES:
            return None
        return Trial(row, program, program.arena().required, timing(program, self.board))

    def fits(self, trial: Trial) -> bool:
        return trial.required <= self.goal.sram_bytes

    def figure(self, trial: Trial) -> int:
        """What is to be least: picojoules, bytes, or picoseconds."""
        figures = {
            "latency": trial.timing.latency_ps,
            "p99": trial.timing.latency_ps,
            "energy": trial.timing.energy_pj,
            "arena": trial.required,
            "activations": trial.program.plan.size_bytes,
        }
        return figures[self.goal.minimize]

    def ranked(self) -> list[Trial]:
        """The best first: what fits, then the goal's figure, then arena and time."""
        found = [trial for trial in self.made.values() if trial is not None]
        return sorted(found, key=self._rank)

    def _rank(self, trial: Trial) -> tuple[int, ...]:
        over = max(0, trial.required - self.goal.sram_bytes)
        return (over, self.figure(trial), trial.required, trial.timing.latency_ps)
