"""Compares policies on one model and board: tries their settings, simulates, names the winner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sim.device.board import Board
from sim.errors import ModelError, PlanError, PolicyError, SpillwayError
from sim.graph.graph import Graph
from sim.policy import Choice, Goal
from sim.program import Arena, Program, pack_graph, place
from sim.progress import listening, stopped
from sim.progress import report as report_progress
from sim.report import Report, check, report
from sim.shortfall import Shortfall, shortfall
from sim.trace import Trace
from sim.usage import UNPACED, Usage

TRIAL_FRAMES = 4
"""Inferences simulated to judge one setting among a policy's candidates."""

FAILURES = (ModelError, PlanError, PolicyError)
"""What a policy's row reports when the policy can't be applied, or makes what is not valid."""

Progress = Callable[[str], None]


class Simulate(Protocol):
    """The engine: plays a program on a board."""

    def __call__(self, program: Program, board: Board, *, frames: int, seed: int) -> Trace: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """A policy with its setting: the program that it makes and how that runs.

    Where the policy could not be applied, `error` says why and the rest is empty.
    """

    choice: Choice
    program: Program | None = None
    arena: Arena | None = None
    report: Report | None = None
    proven: bool = False
    error: str = ""

    def fits(self, goal: Goal) -> bool:
        return self.arena is not None and self.arena.required <= goal.sram_bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """Outcomes in the order asked for; `winner` and `pareto` are indices into them."""

    graph: Graph
    board: Board
    goal: Goal
    outcomes: tuple[Outcome, ...]
    winner: int
    pareto: frozenset[int]
    usage: Usage = UNPACED

    @property
    def best(self) -> Outcome:
        return self.outcomes[self.winner]

    @property
    def shortfall(self) -> Shortfall | None:
        """What stands in the way, where not even the winner meets the budget."""
        best = self.best
        if best.program is None or best.fits(self.goal):
            return None
        return shortfall(best.program, self.goal.sram_bytes)


def compare(
    graph: Graph,
    board: Board,
    goal: Goal,
    choices: Sequence[Choice],
    simulate: Simulate,
    *,
    frames: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    usage: Usage = UNPACED,
) -> Comparison:
    """The best setting of each choice under the goal, and which of them wins.

    Once a stop is asked for (sim.progress), each choice takes the best setting that it has by then.
    Raises PolicyError if not one of the choices can be applied.
    """
    with listening(progress or (lambda _: None)):
        search = _Search(graph, board, goal, simulate, seed)
        outcomes = tuple(search.best(choice, frames) for choice in choices)
    alive = [i for i, o in enumerate(outcomes) if o.program is not None]
    if not alive:
        raise PolicyError("; ".join(o.error for o in outcomes) or "no policy was named")
    winner = min(alive, key=lambda i: (_rank(outcomes[i], goal), _plainness(outcomes[i]), i))
    return Comparison(graph, board, goal, outcomes, winner, _pareto(outcomes, alive), usage)


@dataclass(frozen=True, slots=True)
class _Search:
    """One model, board and goal; tries the settings of one choice after another."""

    graph: Graph
    board: Board
    goal: Goal
    simulate: Simulate
    seed: int

    def best(self, choice: Choice, frames: int) -> Outcome:
        """The setting that serves the goal best, simulated for all frames."""
        best: Outcome | None = None
        failure: SpillwayError | None = None
        try:
            for setting in self._settings(choice):
                if stopped() and best is not None:
                    break
                report_progress(f"trying {setting.name} {setting.params or ''}")
                try:
                    trial = self._run(self._make(setting), TRIAL_FRAMES)
                except FAILURES as error:
                    failure = failure or error
                    continue
                if best is None or _rank(trial, self.goal) < _rank(best, self.goal):
                    best = trial
        except FAILURES as error:
            failure = failure or error
        if best is None:
            return Outcome(choice, error=str(failure or f"{choice.name}: nothing to try"))
        return self._run(best, frames)

    def _settings(self, choice: Choice) -> Iterator[Choice]:
        """The candidates of the choice's last policy, after the ones before it as written."""
        *first, last = choice.policies
        graph = self.graph
        for policy in first:
            graph = policy.apply(graph, self.board, self.goal)
        for setting in last.candidates(graph, self.board, self.goal):
            yield replace(choice, policies=(*first, setting))

    def _make(self, choice: Choice) -> Outcome:
        runtime = self.goal.target
        rewritten = choice.apply(self.graph, self.board, self.goal)
        if not choice.packs:
            program = place(rewritten, runtime)
            program.verify()
            return Outcome(choice, program, program.arena())
        program, packing = pack_graph(rewritten, runtime)
        return Outcome(choice, program, program.arena(), proven=packing.optimal)

    def _run(self, outcome: Outcome, frames: int) -> Outcome:
        assert outcome.program is not None
        trace = self.simulate(outcome.program, self.board, frames=frames, seed=self.seed)
        check(trace)
        return replace(outcome, report=report(trace, self.board))


def _rank(outcome: Outcome, goal: Goal) -> tuple[int, ...]:
    """Less is better: first what fits, then the goal's figure, then the others."""
    assert outcome.arena is not None and outcome.report is not None
    arena, latency = outcome.arena, outcome.report.latency.mean_ps
    if not outcome.fits(goal):
        return (1, arena.required, latency)
    figures = {
        "latency": (latency, arena.required),
        "energy": (outcome.report.energy_pj, arena.required),
        "arena": (arena.required, latency),
        "activations": (arena.activations, latency),
    }
    return (0, *figures[goal.minimize])


def _plainness(outcome: Outcome) -> int:
    """Of equals, the policy with the fewest parameters wins: nobody needs a spill of nothing."""
    return len(outcome.choice.params)


def _pareto(outcomes: Sequence[Outcome], alive: Sequence[int]) -> frozenset[int]:
    """Those that no other beats in required arena and mean latency both."""

    def cost(index: int) -> tuple[int, int]:
        outcome = outcomes[index]
        assert outcome.arena is not None and outcome.report is not None
        return outcome.arena.required, outcome.report.latency.mean_ps

    return frozenset(
        i
        for i in alive
        if not any(
            cost(j) != cost(i) and all(a <= b for a, b in zip(cost(j), cost(i), strict=True))
            for j in alive
        )
    )
