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

from policies.assembly import assembled
from policies.blocks import Path, Terms, Work
from policies.cold import cold_ranges
from policies.fused_fetch import FusedFetch
from policies.fusion import Fusion
from policies.known import OPTIMISM
from policies.patch import Patch
from policies.plan import Plan
from policies.reorder import Reorder
from policies.split import Split
from policies.stages import NEAR
from policies.stream import Stream
from policies.trials import FAILURES, Trial, Trials
from sim.device.board import Board, Storage
from sim.graph.graph import Graph
from sim.graph.padding import is_image
from sim.graph.rewrite import drop_dead_tensors
from sim.policy import Goal, Policy, check_counts, parse_choice
from sim.progress import report, stopped

FINALISTS = 4
ROUNDS = 8
"""How often a limit is drawn tighter for what the placement needs beyond it."""
WORK, WORK_PER_OP = 5_000, 400
"""Ops that are made in a search, with effort 1; more of them for each op of the model."""
SHARES = 6
"""Parts of that after which another attempt may have its turn."""
SMALL = 40
"""Ops of a model for which effort 1 asks all policies in the end."""
PROBE = 1 << 12
"""Bytes by whose time storages are compared."""
CLOSE = 1.002
"""A plan that takes no more than this times the least there is needs no better one."""
SLOTS = ((4, 1), (1, 2), (2, 1), (1, 1))
"""Rows to a slot and slots read ahead that are tried beside the least, the first one always."""


@dataclass(frozen=True, slots=True)
class Auto:
    """`does` are the policies in a row that it comes to; left out, they are chosen for the goal.

    `storage` names the only storage to use. `spill` says whether tensors may wait in it, `feed`
    whether the model's input and output may come and go through it by rows. `effort` 0 is quick,
    each step more looks at more; from 2 on every policy is asked by itself as well, so that none of
    them alone does better.
    """

    does: str | None = None
    storage: str | None = None
    spill: bool = True
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
        for name in ("spill", "feed"):
            if type(getattr(self, name)) is not bool:
                raise TypeError(f"{name}: found {getattr(self, name)!r}, wanted true or false")
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
class _Attempt:
    """Terms under a limit of bytes, to be tried so many rounds more."""

    terms: Terms
    limit: int
    rounds: int

    @property
    def told(self) -> str:
        if not self.terms.moves:
            return f"by rows under {self.limit:,} B"
        waiting, spilled = len(self.terms.waiting), len(self.terms.spilled)
        return f"{waiting} wait by rows, {spilled} whole, under {self.limit:,} B"


class _Search:
    def __init__(self, policy: Auto, graph: Graph, board: Board, goal: Goal) -> None:
        self.policy, self.board, self.goal = policy, board, goal
        self.first: tuple[Policy, ...] = ()
        ordered = Reorder().apply(graph, board, goal)
        self.graph = drop_dead_tensors(graph)
        if ordered.ops != self.graph.ops:
            self.first, self.graph = (Reorder(),), ordered
        self.trials = Trials(graph, board, goal)
        tail = goal.target.overhead(self.graph, 0).tail_bytes
        head = max(0, goal.sram_bytes - tail)  # planning may use what the head will fill
        self.fixed = tail + goal.target.overhead(self.graph, head).temporary_bytes
        total = (WORK + WORK_PER_OP * len(self.graph.ops)) * (1 + policy.effort) // 2
        self.work = Work(total, total // 2, total // SHARES)
        self.is_small = policy.effort > 1 or len(self.graph.ops) <= SMALL
        self.storage = self._storage()
        self.fusion = Fusion(self.graph, board, goal, self.storage, self.work)
        self.number = 0
        self.queue: list[tuple[int, int, _Attempt]] = []
        self.plain: Trial | None = None

    def best(self) -> list[Trial]:
        """The finalists, the best by estimate first; the model as it is among them."""
        self.plain = self._try(())
        if self.plain is None or not self._is_done(self.plain):
            self._explore()
            if self.goal.wants_memory or not self._fits():
                self._go_low()
                self._ask_others()
            elif self.policy.effort > 1:
                self._ask_others()
        return self.trials.ranked()[:FINALISTS]

    def _explore(self) -> None:
        """The most promising terms first: what they would come to by sketches, then as made.

        Strips of columns, which repeat work, are for budgets that nothing else meets.
        """
        if self.goal.wants_memory:
            return
        self._queue(_Attempt(Terms(), self.goal.sram_bytes, ROUNDS))
        self._search()
        if self._is_close():
            return
        for strips, optimism in ((False, OPTIMISM[0]), (False, OPTIMISM[1]), (True, OPTIMISM[0])):
            if strips and self._fits():
                break
            self.fusion.known.optimism = optimism
            for terms in self._terms():
                if terms.moves or strips or optimism < OPTIMISM[0]:
                    found = replace(terms, strips=strips)
                    self._queue(_Attempt(found, self.goal.sram_bytes, ROUNDS))
            self._search()

    def _is_close(self) -> bool:
        """Whether what was found takes hardly more time than the ops as they are."""
        return self.plain is not None and self._best_ps() <= self.plain.timing.latency_ps * CLOSE

    def _search(self) -> None:
        while self.queue and not stopped():
            promised, _, attempt = heapq.heappop(self.queue)
            if promised * CLOSE >= self._best_ps():
                break
            self._go_on(attempt)
            if self.work.left < 0 and (self._fits() or self.work.left < -self.work.reserve):
                break

    def _go_low(self) -> None:
        """Where less memory is all: the least that blocks can do."""
        report("auto: as little memory as can be")
        self.work.left = max(self.work.left, self.work.reserve)
        every = list(self._terms())
        for plain in (*every[:1], *every[-2:], *every[1:-2]):  # what may do most at first
            if stopped() or self.work.left < 0:
                break
            terms = replace(plain, strips=True)
            path = self.fusion.lowest(terms, self.fixed)
            if path is not None:
                self._walk(path, terms)

    def _ask_others(self) -> None:
        """Each policy's own search: none of them alone shall do better."""
        for policy in self._others():
            report(f"auto: {policy.name} by itself")
            if stopped():
                break
            try:
                for setting in policy.candidates(self.graph, self.board, self.goal):
                    self._try((setting,))
            except FAILURES:
                continue

    def _others(self) -> Iterator[Policy]:
        """Policies with a search of their own."""
        if self.is_small:
            yield Split()
        if self.policy.effort and self.is_small:
            yield Stream()
            if self.storage is not None and self.policy.spill:
                yield FusedFetch(storage=self.storage.name)
            if self.storage is not None and self.policy.feed:
                yield Stream(feed=self.storage.name)
            yield Patch()

    def _fits(self) -> bool:
        return any(self.trials.fits(t) for t in self.trials.ranked()[:1])

    def _is_done(self, trial: Trial) -> bool:
        """Whether nothing can be better: what costs no time fits."""
        return not self.goal.wants_memory and self.trials.fits(trial)

    def _queue(self, attempt: _Attempt) -> None:
        """Puts an attempt where its sketches promise it to be, if they promise anything."""
        path = self.fusion.search(attempt.limit, attempt.terms, fixed=self.fixed, make=0)
        if path is not None:
            self._push(path, attempt)

    def _push(self, path: Path, attempt: _Attempt) -> None:
        self.number += 1
        promised = path.time_ps + self._waiting_ps(attempt.terms)
        heapq.heappush(self.queue, (promised, self.number, attempt))

    def _go_on(self, attempt: _Attempt) -> None:
        """Makes the attempt's blocks; if that keeps the promise, tries its path as a whole."""
        terms, budget = attempt.terms, self.goal.sram_bytes
        report(f"auto: {attempt.told}")
        if terms.slots == Terms().slots and terms.boundaries and attempt.rounds == ROUNDS:
            for rows, ahead in SLOTS[1:]:
                other = replace(terms, slot_rows=rows, ahead=ahead)
                self._queue(replace(attempt, terms=other))
        path = self.fusion.search(attempt.limit, terms, fixed=self.fixed, make=self.work.share)
        if path is None:
            return
        found_ps = path.time_ps + self._waiting_ps(terms)
        better = self.queue and found_ps > self.queue[0][0] * CLOSE
        if (better or not path.is_made) and self.work.left > 0:
            self._push(path, attempt)
            return
        trial = self._walk(path, terms)
        if trial is None or self.trials.fits(trial) or attempt.rounds <= 1:
            return
        limit = attempt.limit
        nbytes = trial.required - self.fixed
        if not self.fusion.refute(path, self._in_the_way(trial), nbytes, terms):
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

    def _waiting_ps(self, terms: Terms) -> int:
        """The time of whole spills, of which half is taken to be hidden."""
        storage = self.storage
        if storage is None:
            return 0
        sizes = [self.graph.tensors[t].nbytes for t in terms.spilled]
        total = sum(storage.read_ps(n) + storage.write_ps(n) for n in sizes)
        return total // 2 if storage.dma else total

    def _best_ps(self) -> int:
        """The least time of those that fit."""
        best = self.trials.ranked()[:1]
        return best[0].timing.latency_ps if best and self.trials.fits(best[0]) else 1 << 62

    def _terms(self) -> Iterator[Terms]:
        """What the search may do at first, with the least slots and with large ones."""
        yield Terms()
        if self.storage is None:
            return
        long, short = self._waiting()
        sets = [frozenset[int]()]
        if self.policy.spill:
            sets = [frozenset(long[:1]), frozenset(long), frozenset(long + short), *sets]
        for some in dict.fromkeys(s for s in sets if s):
            yield Terms(spilled=some)
        for ends in (False, True) if self.policy.feed else (False,):
            for some in dict.fromkeys(sets):
                least = Terms(some, boundaries=self.policy.spill, ends=ends)
                if least.moves:
                    yield least
                    yield replace(least, slot_rows=SLOTS[0][0], ahead=SLOTS[0][1])

    def _walk(self, path: Path, terms: Terms) -> Trial | None:
        """The path as a trial."""
        room = max(0, self.goal.sram_bytes - self.fixed)
        return self._try(assembled(path, terms, self.graph, self.storage, room))

    def _try(self, policies: Sequence[Policy]) -> Trial | None:
        """The policies, after those that come first, as a trial."""
        trial = self.trials.run((*self.first, *policies) or (Plan(),))
        if trial is not None:
            self.work.left -= len(trial.program.graph.ops)
        return trial

    def _storage(self) -> Storage | None:
        """The one named, or the quickest for small transfers; None without any."""
        if self.policy.storage is not None:
            return self.board.storage(self.policy.storage)
        if not (self.policy.spill or self.policy.feed):
            return None
        return min(
            self.board.storages,
            key=lambda s: (s.read_ps(PROBE) + s.write_ps(PROBE), s.name),
            default=None,
        )

    def _waiting(self) -> tuple[list[int], list[int]]:
        """Images that wait for more than a few steps, and for fewer; the largest first."""
        gaps: dict[int, int] = {}
        for cold in cold_ranges(self.graph):
            if cold.made >= 0 and is_image(self.graph.tensors[cold.tensor]):
                gaps[cold.tensor] = max(gaps.get(cold.tensor, 0), cold.gap.length)
        ordered = sorted(gaps, key=lambda t: (-self.graph.tensors[t].nbytes, t))
        return [t for t in ordered if gaps[t] > NEAR], [t for t in ordered if gaps[t] <= NEAR]
