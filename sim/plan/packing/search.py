"""Place or raise: a depth-first search for a packing within a capacity, with proofs that none exists.

A node takes the lowest block that can come next. Either it lies below all its unplaced neighbours,
or above one of them: placed first, raised when that fails. After M. Moffitt, "MiniMalloc" (ASPLOS
2023), for sections; after P. Le Pape et al., "Time-versus-capacity compromises in project
scheduling" (1994), for the branching; after P. Prosser, "Hybrid algorithms for the constraint
satisfaction problem" (1993), for the jumps back.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from sim.plan.packing.problem import Problem
from sim.ranges import round_up


class Proof(Enum):
    """What a search without a packing has shown."""

    IMPOSSIBLE = "no packing fits"
    NOTHING = "the work was spent"


class Search:
    """Lower bounds of the offsets, tightened by decisions and taken back with them.

    `low[i]` is the least offset of block i, and `why[i]` the decisions that it rests on: a bit for
    each placed block. A conflict is such a set of decisions that can't all stand.
    """

    def __init__(self, problem: Problem, capacity: int, order: Sequence[int]) -> None:
        count = len(order)
        self.problem, self.order = problem, order
        self.rank = [0] * count
        for rank, i in enumerate(order):
            self.rank[i] = rank
        self.low = list(problem.lowest)
        self.latest = [
            capacity - height if fixed is None else min(fixed, capacity - height)
            for height, fixed in zip(problem.height, problem.fixed, strict=True)
        ]
        self.why = [0] * count
        self.placed = [0] * count
        self.waiting = [0] * count  # raised, and no neighbour placed since
        self.refuted = [0] * count  # why it can't lie below all that were unplaced then
        self.trail: list[tuple[list[int], int, int]] = []
        self.members = [
            [(c.block, c.bottom, round_up(c.top - c.bottom, s.unit)) for c in s.cells]
            for s in problem.sections
        ]
        self.room = [round_up(capacity, s.unit) for s in problem.sections]
        self.need = [sum(size for _, _, size in m) for m in self.members]
        self.first = [len(self.members)] * count
        self.last = [0] * count
        self.nonempty = [True] * len(self.members)
        for k, members in enumerate(self.members):
            for i, _, _ in members:
                self.first[i] = min(self.first[i], k)
                self.last[i] = k
        self.queue: set[int] = set()
        self.work = 0

    def run(self, work: int) -> list[int] | Proof:
        """The offsets of a packing, or what was shown without one; `work` bounds the steps taken."""
        self.work = work
        items = sorted(self.order, key=self.first.__getitem__)
        parts: list[list[int]] = self._parts(items, -1)
        stack: list[tuple[int, int, list[list[int]]]] = []
        self.queue.update(range(len(self.members)))
        conflict = self._tighten()
        while conflict is None or stack:
            if conflict is not None:
                i, mark, parts = stack.pop()
                self._undo(mark)
                if conflict >> i & 1:
                    conflict = self._raise_above_one(i, conflict & ~(1 << i))
                continue
            if not parts:
                return self.low
            if self.work < 0:
                return Proof.NOTHING
            items = parts[-1]
            self.work -= len(items)
            chosen = self._choose(items)
            if chosen is None:
                conflict = self._union(self.refuted, items)
                continue
            stack.append((chosen, len(self.trail), parts))
            conflict = self._place(chosen)
            parts = parts[:-1] + self._parts(items, chosen)
        return Proof.IMPOSSIBLE

    def _choose(self, items: list[int]) -> int | None:
        count, low, rank, waiting = len(self.order), self.low, self.rank, self.waiting
        keys = [low[j] * count + rank[j] for j in items if not waiting[j]]
        return self.order[min(keys) % count] if keys else None

    def _parts(self, items: list[int], but: int) -> list[list[int]]:
        """The items but one, cut where no block reaches from one section to the next."""
        parts: list[list[int]] = []
        reach = -1
        for j in items:
            if j == but:
                continue
            if self.first[j] > reach:
                parts.append([])
            parts[-1].append(j)
            reach = max(reach, self.last[j])
        return parts

    def _place(self, i: int) -> int | None:
        """Puts block i at its least offset, below all its unplaced neighbours."""
        self._set(self.placed, i, 1)
        why = self.why[i] | 1 << i
        base = self.low[i]
        low, placed, waiting = self.low, self.placed, self.waiting
        near = self.problem.neighbours[i]
        self.work -= len(near)
        for j, above in zip(near, self.problem.above[i], strict=True):
            if placed[j]:
                continue
            if waiting[j]:
                self._set(waiting, j, 0)
            if low[j] < base + above and self._lift(j, base + above, why):
                return why
        for k in range(self.first[i], self.last[i] + 1):
            ...
        return self._tighten()
