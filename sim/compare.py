"""Compares policies on one model and board: tries their settings, simulates, names the winner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sim.device.board import Board
from sim.errors import ModelError, PlanError, PolicyError, SpillwayError
from sim.graph.graph import Graph
from sim.policy import Choice, Goal
from sim.program import Arena, Program, pack_graph, place
from sim.progress import listening, stopped
from sim.progress import report as report_progress
from sim.report import Report
from sim.seeds import Play, Spread, spreads
from sim.shortfall import Shortfall, shortfall
from sim.system import Resident, System
from sim.units import counted
from sim.usage import UNPACED, Usage
from sim.workload.workload import IDLE, Workload

TRIAL_FRAMES = 4
"""Inferences simulated to judge one setting among a policy's candidates."""
TAIL_FRAMES = 400
"""The same where the 99th percentile is to be least."""

LABEL_WIDTH = 40
"""A longer label than this has the parameters left out."""

FAILURES = (ModelError, PlanError, PolicyError)
"""What a policy's row reports when the policy can't be applied, or makes what is not valid."""

Progress = Callable[[str], None]


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
    frame_pj: int = 0
    """Energy from one frame to the next, sleep in between included."""

    def fits(self, goal: Goal) -> bool:
        """Whether arena and energy are within what the goal allows."""
        if self.arena is None or self.arena.required > goal.sram_bytes:
            return False
        return not goal.energy_pj or self.frame_pj <= goal.energy_pj


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
    workload: Workload = IDLE
    residents: tuple[Resident, ...] = ()
    spreads: Mapping[int, Spread] = field(default_factory=dict)
    """By outcome, its figures over many seeds."""

    @property
    def best(self) -> Outcome:
        return self.outcomes[self.winner]

    def label(self, outcome: Outcome) -> str:
        """What to call an outcome: as it was written, or without the parameters if they are long.

        Unless that would make two outcomes look alike.
        """
        written = outcome.choice.label
        brief = outcome.choice.brief
        alike = [o for o in self.outcomes if o.choice.brief == brief]
        return brief if len(written) > LABEL_WIDTH and len(alike) == 1 else written

    @property
    def shortfall(self) -> Shortfall | None:
        """What stands in the way, where not even the winner meets the budget."""
        best = self.best
        arena = best.arena
        if best.program is None or arena is None or arena.required <= self.goal.sram_bytes:
            return None
        return shortfall(best.program, self.goal.sram_bytes)


def compare(
    graph: Graph,
    board: Board,
    goal: Goal,
    choices: Sequence[Choice],
    play: Play,
    *,
    frames: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    usage: Usage = UNPACED,
    workload: Workload = IDLE,
    residents: tuple[Resident, ...] = (),
) -> Comparison:
    """The best setting of each choice under the goal, and which of them wins.

    Settings are tried on a board that does nothing else; what each choice comes to is played with
    the workload and the other residents.
    Once a stop is asked for (sim.progress), each choice takes the best setting that it has by then.
    Raises ModelError if the graph has no ops, PolicyError if not one of the choices can be applied.
    """
    if not graph.ops:
        raise ModelError(f"{graph.name}: found no ops, wanted one at least")
    with listening(progress or (lambda _: None)):
        search = _Search(graph, board, goal, play, seed, usage, workload, residents)
        outcomes = tuple(
            search.best(choice, frames, f"policy {number} of {len(choices)}")
            for number, choice in enumerate(choices, 1)
        )
    alive = [i for i, o in enumerate(outcomes) if o.program is not None]
    if not alive:
        raise PolicyError("; ".join(o.error for o in outcomes) or "no policy was named")
    winner = min(alive, key=lambda i: (_rank(outcomes[i], goal), _plainness(outcomes[i]), i))
    pareto = _pareto(outcomes, [i for i in alive if _finishes(outcomes[i])])
    return Comparison(graph, board, goal, outcomes, winner, pareto, usage, workload, residents)


def over_seeds(found: Comparison, play: Play, *, frames: int, seed: int, seeds: int) -> Comparison:
    """The comparison with the spread of each outcome that could be played, over many seeds."""
    alive = {i: o.program for i, o in enumerate(found.outcomes) if o.program is not None}
    systems = [System(p, found.workload, found.residents) for p in alive.values()]
    told = spreads(systems, found.board, found.usage, play, frames=frames, seed=seed, seeds=seeds)
    return replace(found, spreads=dict(zip(alive, told, strict=True)))


@dataclass(frozen=True, slots=True)
class _Search:
    """One model, board and goal; tries the settings of one choice after another."""

    graph: Graph
    board: Board
    goal: Goal
    play: Play
    seed: int
    usage: Usage
    workload: Workload
    residents: tuple[Resident, ...]

    def best(self, choice: Choice, frames: int, where: str) -> Outcome:
        """The setting that serves the goal best, simulated for all frames.

        `where` says how far the comparison is, for those who listen.
        """
        report_progress(f"{where}: {choice.label}")
        best: Outcome | None = None
        failure: SpillwayError | None = None
        try:
            for setting in self._settings(choice):
                if stopped() and best is not None:
                    break
                report_progress(f"{where}: trying {setting.label}")
                try:
                    trial = self._try(self._make(setting))
                except FAILURES as error:
                    failure = failure or error
                    continue
                if best is None or _rank(trial, self.goal) < _rank(best, self.goal):
                    best = trial
        except FAILURES as error:
            failure = failure or error
        if best is None:
            return Outcome(choice, error=str(failure or f"{choice.name}: nothing to try"))
        several = counted(frames, "frame")
        report_progress(f"{where}: playing {best.choice.label}, {several}")
        return self._live(best, frames)

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

    def _try(self, outcome: Outcome) -> Outcome:
        """Judges one setting among many, on a board that does nothing else."""
        assert outcome.program is not None
        frames = TAIL_FRAMES if self.goal.minimize == "p99" else TRIAL_FRAMES
        return self._played(outcome, System(outcome.program), frames)

    def _live(self, outcome: Outcome, frames: int) -> Outcome:
        """What the best setting comes to in its surroundings."""
        assert outcome.program is not None
        system = System(outcome.program, self.workload, self.residents)
        return self._played(outcome, system, frames)

    def _played(self, outcome: Outcome, system: System, frames: int) -> Outcome:
        found = self.play(system, self.board, frames=frames, seed=self.seed)
        frame_pj = self.usage.frame_pj(found, self.board)
        return replace(outcome, report=found, frame_pj=frame_pj)


def _rank(outcome: Outcome, goal: Goal) -> tuple[int, ...]:
    """Less is better: what fits, then the frames that fail, then the goal's figure, then others.

    Frames count by the whole per cent, so that a single one does not decide.
    """
    assert outcome.arena is not None and outcome.report is not None
    arena, latency = outcome.arena, outcome.report.latency.mean_ps
    if not outcome.fits(goal):
        return (1, max(0, arena.required - goal.sram_bytes), arena.required, latency)
    figures = {
        "latency": (latency, arena.required),
        "p99": (outcome.report.latency.p99_ps, arena.required),
        "energy": (outcome.frame_pj, arena.required),
        "arena": (arena.required, latency),
        "activations": (arena.activations, latency),
    }
    return (0, int(100 * outcome.report.fate.failed_share), *figures[goal.minimize])


def _finishes(outcome: Outcome) -> bool:
    """Whether some frame came to its end, so that there is a latency."""
    return outcome.report is not None and outcome.report.fate.done > 0


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
