"""auto: the best way to run a model under a budget, out of all the others and their mixtures.

The rule: a shortest path over fusion blocks (policies.fusion) says which ops run by rows, how
finely, and which tensors leave for which storage, so that time is least under the budget; what lies
idle may be spilled whole beside. The paths are placed, timed, and the limit is drawn tighter until
the arena that is required meets the budget. The engine judges the best of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.cold import cold_ranges
from policies.fused_fetch import FusedFetch
from policies.fusion import DRAIN, Fusion, Path, Terms, Work
from policies.plan import Plan
from policies.reorder import Reorder
from policies.spill import Spill
from policies.stages import NEAR
from policies.stream import Stream, told
from policies.timing import Timing, timing
from sim.device.board import Board, Storage
from sim.errors import CannotFitError, ModelError, PlanError, PolicyError
from sim.graph.graph import Graph
from sim.graph.padding import is_image
from sim.graph.rewrite import drop_dead_tensors
from sim.policy import Choice, Goal, Policy, check_counts, parse_choice, written_choice
from sim.program import Program, pack_graph
from sim.progress import report, stopped

FAILURES = (CannotFitError, ModelError, PlanError, PolicyError)
FINALISTS = 4
ROUNDS = 8
"""How often a limit is drawn tighter for what the placement needs beyond it."""
WORK, WORK_PER_OP = 5_000, 400
"""Ops that are made in a search, with effort 1; more of them for each op of the model."""
SHARES = 6
"""Parts of that after which another attempt may have its turn."""
STORAGES = 2
CLOSE = 1.002
"""A plan that takes no more than this times the least there is needs no better one."""
SLOTS = ((4, 1), (1, 2), (2, 1), (1, 1))
"""Rows to a slot and slots read ahead that are tried beside the least, the first one always."""


@dataclass(frozen=True, slots=True)
class Auto:
    """`does` are the policies in a row that it comes to; left out, they are chosen for the goal.

    `storage` names the only storage to use, `feed` says whether the model's input and output may
    come and go through a storage by rows; `effort` 0 is quick, each step more looks at more.
    """

    does: str | None = None
    storage: str | None = None
    feed: bool = True
    effort: int = 1

    name: ClassVar[str] = "auto"
    summary: ClassVar[str] = "all policies weighed together for the goal"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_counts(self, "effort")
        for name in ("does", "storage"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name}: found {value!r}, wanted a text")
        if type(self.feed) is not bool:
            raise TypeError(f"feed: found {self.feed!r}, wanted true or false")
        if self.does is not None:
            parse_choice(self.does)

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        if self.does is not None:
            return parse_choice(self.does).apply(graph, board, goal)
        best = next(iter(self.candidates(graph, board, goal)))
        return best.apply(graph, board, goal)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best by estimate, the best first."""
        if self.does is not None:
            yield self
            return
        for trial in _Search(self, graph, board, goal).best():
            yield replace(self, does=trial.text)


@dataclass(frozen=True, slots=True)
class Trial:
    """Policies in a row, the program that they make, and what it comes to."""

    policies: tuple[Policy, ...]
    program: Program
    required: int
    timing: Timing

    @property
    def text(self) -> str:
        return written_choice(self.policies)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Terms under a limit of bytes, to be tried so many rounds more."""

    fusion: Fusion
    terms: Terms
    storage: Storage | None
    limit: int
    rounds: int

    @property
    def told(self) -> str:
        if self.storage is None:
            return f"by rows under {self.limit:,} B"
        waiting, spilled = len(self.terms.waiting), len(self.terms.spilled)
        return f"{self.storage.name}, {waiting} by rows, {spilled} whole, under {self.limit:,} B"


class _Search:
    def __init__(self, policy: Auto, graph: Graph, board: Board, goal: Goal) -> None:
        self.policy, self.board, self.goal = policy, board, goal
        self.given = graph
        self.first: tuple[Policy, ...] = ()
        ordered = Reorder().apply(graph, board, goal)
        self.graph = drop_dead_tensors(graph)
        if ordered.ops != self.graph.ops:
            self.first, self.graph = (Reorder(),), ordered
        self.trials: list[Trial] = []
        self.tried: set[str] = set()
        plain = goal.target.overhead(self.graph, 0)
        self.fixed = plain.tail_bytes + plain.temporary_bytes
        self.number = 0
        self.queue: list[tuple[int, int, _Attempt]] = []
        total = (WORK + WORK_PER_OP * len(self.graph.ops)) * (1 + policy.effort) // 2
        self.work = Work(total, total // 2, total // SHARES)

    def best(self) -> list[Trial]:
        """The finalists, the best by estimate first; the model as it is among them."""
        plain = self._try(())
        assert plain is not None
        if not self._is_good(plain):
            self._explore()
        return sorted(self.trials, key=self._rank)[:FINALISTS]

    def _explore(self) -> None:
        """The most promising terms first: what they would come to by sketches, then as made."""
        storages = self._storages() or [None]
        for number, storage in enumerate(storages):
            fusion = Fusion(self.graph, self.board, self.goal, storage, self.work)
            for terms in self._terms(storage):
                if number == 0 or terms.moves:
                    self._queue(_Attempt(fusion, terms, storage, self.goal.sram_bytes, ROUNDS))
        while self.queue and not stopped():
            promised_ps, _, attempt = heapq.heappop(self.queue)
            if promised_ps * CLOSE >= self._best_ps():
                break
            self._go_on(attempt)
            if self.work.left < 0 and (self._fits() or self.work.left < -self.work.reserve):
                break

    def _fits(self) -> bool:
        return any(t.required <= self.goal.sram_bytes for t in self.trials)

    def _queue(self, attempt: _Attempt) -> bool:
        """Puts an attempt where its sketches promise it to be; whether they promise anything."""
        path = attempt.fusion.search(attempt.limit, attempt.terms, fixed=self.fixed, make=0)
        if path is not None:
            promised = path.time_ps + self._waiting_ps(attempt)
            self.number += 1
            heapq.heappush(self.queue, (promised, self.number, attempt))
        return path is not None

    def _go_on(self, attempt: _Attempt) -> None:
        """Makes the attempt's blocks; if that keeps the promise, tries its path as a whole."""
        fusion, terms, storage = attempt.fusion, attempt.terms, attempt.storage
        report(f"auto: {attempt.told}")
        if terms.slots == Terms().slots and terms.boundaries and attempt.rounds == ROUNDS:
            for rows, ahead in SLOTS[1:]:
                other = replace(terms, slot_rows=rows, ahead=ahead)
                self._queue(replace(attempt, terms=other))
        path = fusion.search(attempt.limit, terms, fixed=self.fixed, make=self.work.share)
        if path is None:
            return
        found_ps = path.time_ps + self._waiting_ps(attempt)
        better = self.queue and found_ps > self.queue[0][0] * CLOSE
        if (better or not path.is_made) and self.work.left > 0:
            self.number += 1
            heapq.heappush(self.queue, (found_ps, self.number, attempt))
            return
        trial = self._try(self._policies(path, terms, storage))
        budget = self.goal.sram_bytes
        if trial is None or trial.required <= budget or attempt.rounds <= 1:
            return
        limit = attempt.limit
        if not fusion.refute(path, self._in_the_way(trial), trial.required - self.fixed, terms):
            limit -= max(limit // 100, trial.required - budget)
        self._queue(replace(attempt, limit=limit, rounds=attempt.rounds - 1))

    def _in_the_way(self, trial: Trial) -> frozenset[int]:
        """Tensors of the model whose parts reach beyond the budget."""
        known = {t.name: t.id for t in self.graph.tensors}
        room = self.goal.sram_bytes - (trial.required - trial.program.plan.size_bytes)
        found = set()
        for placement in trial.program.plan.placements:
            if placement.tensor is None or placement.span.stop <= room:
                continue
            name = trial.program.graph.tensors[placement.tensor].name
            while name and name not in known:
                name = name.rpartition("/")[0]
            if name:
                found.add(known[name])
        return frozenset(found)

    def _waiting_ps(self, attempt: _Attempt) -> int:
        """The time of whole spills, of which half is taken to be hidden."""
        storage = attempt.storage
        if storage is None:
            return 0
        sizes = [self.graph.tensors[t].nbytes for t in attempt.terms.spilled]
        total = sum(storage.read_ps(n) + storage.write_ps(n) for n in sizes)
        return total // 2 if storage.dma else total

    def _best_ps(self) -> int:
        """The least time of those that fit."""
        fitting = [t for t in self.trials if t.required <= self.goal.sram_bytes]
        return min((t.timing.latency_ps for t in fitting), default=1 << 62)

    def _terms(self, storage: Storage | None) -> Iterator[Terms]:
        """What the search may do at first, with the least slots and with large ones."""
        yield Terms()
        if storage is None:
            return
        waiting = self._waiting()
        long, short = waiting
        sets = dict.fromkeys(
            (frozenset(long[:1]), frozenset(long), frozenset(long + short), frozenset[int]())
        )
        for some in sets:
            if some:
                yield Terms(spilled=some)
        for ends in (False, True) if self.policy.feed else (False,):
            for some in sets:
                least = Terms(some, boundaries=True, ends=ends)
                yield least
                yield replace(least, slot_rows=SLOTS[0][0], ahead=SLOTS[0][1])

    def _policies(self, path: Path, terms: Terms, storage: Storage | None) -> tuple[Policy, ...]:
        """The path as policies in a row."""
        found, tensors = path.stages(), self.graph.tensors
        stages = told([s for s in found if not s.parts])
        pools = tuple((s.steps.start, s.parts) for s in found if s.parts)
        if storage is None:
            return (Stream(stages),) if stages else ()
        stored = {tensors[t].name for t in path.stored()}
        last = path.blocks[-1]
        if last.way.leaves:
            stored.add(tensors[self.graph.outputs[0]].name)
        made: list[Policy] = []
        if stages:
            made.append(
                FusedFetch(
                    stages,
                    tuple(sorted(stored)),
                    storage.name,
                    rows=terms.slot_rows,
                    ahead=terms.ahead,
                    drain=DRAIN,
                    pools=pools,
                )
            )
        if terms.spilled:
            spilled = tuple(sorted(tensors[t].name for t in terms.spilled))
            made.append(
                Spill(
                    storage.name, target=max(0, self.goal.sram_bytes - self.fixed), tensors=spilled
                )
            )
        return tuple(made)

    def _try(self, policies: Sequence[Policy]) -> Trial | None:
        """The policies applied, placed and timed; None where they can't be, or were before."""
        row = (*self.first, *policies) or (Plan(),)
        text = written_choice(row)
        if text in self.tried:
            return next((t for t in self.trials if t.text == text), None)
        self.tried.add(text)
        try:
            graph = Choice(row, ((),) * len(row)).apply(self.given, self.board, self.goal)
            program, _ = pack_graph(graph, self.goal.target, effort=0)
        except FAILURES:
            return None
        self.work.left -= len(graph.ops)
        trial = Trial(row, program, program.arena().required, timing(program, self.board))
        self.trials.append(trial)
        return trial

    def _storages(self) -> list[Storage | None]:
        """Those that may be used, the quickest first."""
        if self.policy.storage is not None:
            return [self.board.storage(self.policy.storage)]
        probe = 1 << 12
        able = sorted(
            self.board.storages, key=lambda s: (s.read_ps(probe) + s.write_ps(probe), s.name)
        )
        return list(able[: 1 if self.policy.effort < STORAGES else STORAGES])

    def _waiting(self) -> tuple[list[int], list[int]]:
        """Images that wait for more than a few steps, and for fewer; the largest first."""
        gaps: dict[int, int] = {}
        for cold in cold_ranges(self.graph):
            if cold.made >= 0 and is_image(self.graph.tensors[cold.tensor]):
                gaps[cold.tensor] = max(gaps.get(cold.tensor, 0), cold.gap.length)
        ordered = sorted(gaps, key=lambda t: (-self.graph.tensors[t].nbytes, t))
        return [t for t in ordered if gaps[t] > NEAR], [t for t in ordered if gaps[t] <= NEAR]

    def _figure(self, trial: Trial) -> int:
        return trial.timing.energy_pj if self.goal.minimize == "energy" else trial.timing.latency_ps

    def _rank(self, trial: Trial) -> tuple[int, ...]:
        """Less is better: what fits, then the goal's figure."""
        over = max(0, trial.required - self.goal.sram_bytes)
        if self.goal.minimize == "arena":
            return (over, trial.required, trial.timing.latency_ps)
        if self.goal.minimize == "activations":
            return (over, trial.program.plan.size_bytes, trial.timing.latency_ps)
        return (over, self._figure(trial), trial.required)

    def _is_good(self, trial: Trial) -> bool:
        """Whether it fits and nothing can be much better."""
        if self.goal.wants_memory or trial.required > self.goal.sram_bytes:
            return False
        return self._figure(trial) <= self._figure(self.trials[0]) * CLOSE
