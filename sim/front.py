"""The Pareto front of required arena, latency and moved bytes: what less memory costs in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sim.compare import Outcome, Progress, compare
from sim.device.board import Board
from sim.errors import PolicyError
from sim.graph.graph import Graph
from sim.policy import Choice, Goal, parse_choice
from sim.program import Arena, Program
from sim.progress import stopped
from sim.report import Report
from sim.seeds import Play

LEVELS = 12
HEAD_PARTS = 32
"""The levels aim at the runtime's own bytes and this part of the unmodified model's activations."""


@dataclass(frozen=True, slots=True)
class Point:
    """A way to run the model: a choice with the parameters found under `budget_bytes`."""

    choice: Choice
    budget_bytes: int
    program: Program
    arena: Arena
    report: Report
    proven: bool = False

    @property
    def cost(self) -> tuple[int, int, int]:
        """Required bytes, picoseconds, moved bytes; less is better in each."""
        return self.arena.required, self.report.latency.mean_ps, self.report.moved_bytes

    def fits(self, goal: Goal) -> bool:
        return self.arena.required <= goal.sram_bytes


@dataclass(frozen=True, slots=True)
class Front:
    """Points that no other beats in everything, by arena; `baseline` is the unmodified model.

    They all fit the goal, unless nothing that was found does.
    """

    graph: Graph
    board: Board
    goal: Goal
    baseline: Point
    points: tuple[Point, ...]

    @property
    def fits(self) -> bool:
        return any(point.fits(self.goal) for point in self.points)


def front(
    graph: Graph,
    board: Board,
    goal: Goal,
    choices: Sequence[Choice],
    play: Play,
    *,
    levels: int = LEVELS,
    frames: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """The front of what the choices come to under ever smaller budgets, none above the goal's.

    Raises PolicyError if not one of the choices can be applied under any of them.
    """
    search = _Search(graph, board, goal, play, frames, seed, progress or (lambda _: None))
    baseline = search.point(parse_choice("baseline"), goal.sram_bytes)
    found: list[Point] = []
    failures: list[str] = []
    for choice in choices:
        found += search.points(choice, baseline.arena, levels, failures)
    if not found:
        raise PolicyError("; ".join(dict.fromkeys(failures)) or "no policy was named")
    fitting = [point for point in found if point.fits(goal)]
    return Front(graph, board, goal, baseline, best_points(fitting or found))


def best_points(points: Sequence[Point]) -> tuple[Point, ...]:
    """Those that no other beats in all three costs, by arena; of equals the plainest, the first."""
    first: dict[tuple[int, int, int], Point] = {}
    for point in sorted(points, key=lambda p: len(p.choice.params)):
        first.setdefault(point.cost, point)
    return tuple(
        first[cost]
        for cost in sorted(first)
        if not any(
            other != cost and all(a <= b for a, b in zip(other, cost, strict=True))
            for other in first
        )
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """One model, board and goal; runs one choice after another under a series of budgets."""

    graph: Graph
    board: Board
    goal: Goal
    play: Play
    frames: int
    seed: int
    progress: Progress

    def point(self, choice: Choice, budget_bytes: int) -> Point:
        """What the choice comes to under a budget, whether or not it meets it.

        Raises PolicyError if it can't be applied.
        """
        goal = replace(self.goal, sram_bytes=budget_bytes)
        found = compare(
            self.graph, self.board, goal, (choice,), self.play,
            frames=self.frames, seed=self.seed,
            progress=lambda text: self.progress(f"under {budget_bytes:,} B: {text}"),
        )  # fmt: skip
        return _point(found.best, budget_bytes)

    def points(
        self, choice: Choice, unmodified: Arena, levels: int, failures: list[str]
    ) -> Iterator[Point]:
        """What the choice comes to, down to the first budget that it does not meet.

        A budget between an arena that was found and the budget it was found under is passed over:
        the best under the larger one meets it too.
        """
        level = min(unmodified.required, self.goal.sram_bytes)
        floor = unmodified.required - unmodified.activations + unmodified.activations // HEAD_PARTS
        for left in range(levels, 0, -1):
            if stopped() or level < 0:
                return
            self.progress(f"{choice.label} under {level:,} B")
            reached = level
            try:
                point = self.point(choice, level)
            except PolicyError as error:
                failures.append(str(error))
            else:
                yield point
                reached = point.arena.required
            if reached > level:
                return
            level = _next_level(reached, floor, left)


def _next_level(reached: int, floor: int, left: int) -> int:
    """The first of so many geometric levels between what was reached and the floor."""
    if not 0 < floor < reached:
        return reached - 1
    return min(reached - 1, int(reached * (floor / reached) ** (1 / left)))


def _point(outcome: Outcome, budget_bytes: int) -> Point:
    program, arena, report = outcome.program, outcome.arena, outcome.report
    assert program is not None and arena is not None and report is not None
    return Point(outcome.choice, budget_bytes, program, arena, report, outcome.proven)
