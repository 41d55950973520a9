"""Place or raise: a depth-first search for a packing within a capacity, or a proof of none.

A node takes the lowest block that can come next. Either it lies below all its unplaced neighbours,
or above one of them: placed first, raised when that fails. After M. Moffitt, "MiniMalloc" (ASPLOS
2023), for sections; after P. Le Pape et al., "Time-versus-capacity compromises in project
scheduling" (1994), for the branching; after P. Prosser, "Hybrid algorithms for the constraint
satisfaction problem" (1993), for the jumps back.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
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
        self.first = [len(self.members)] * count
        self.last = [0] * count
        for k, members in enumerate(self.members):
            for i, *_ in members:
                self.first[i] = min(self.first[i], k)
                self.last[i] = k
        self.queue: set[int] = set()
        self.spent = 0

    def run(self, work: int) -> list[int] | Proof:
        """The offsets of a packing, or what was shown without one; `work` bounds the steps."""
        items = sorted(self.order, key=self.first.__getitem__)
        parts = self._parts(items, -1)
        stack: list[tuple[int, int, list[list[int]]]] = []
        self.queue.update(range(len(self.members)))
        conflict = self._tighten()
        while conflict is None or stack:
            if conflict is not None:
                i, mark, parts = stack.pop()
                self._undo(mark)
                if conflict >> i & 1:
                    conflict = self._raise(i, conflict & ~(1 << i))
                continue
            if not parts:
                return self.low
            if self.spent > work:
                return Proof.NOTHING
            items = parts[-1]
            self.spent += len(items)
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
        base, why = self.low[i], self.why[i] | 1 << i
        near = self.problem.neighbours[i]
        self.spent += len(near)
        for j, above in zip(near, self.problem.above[i], strict=True):
            if self.placed[j]:
                continue
            if self.waiting[j]:
                self._set(self.waiting, j, 0)
            if self.low[j] < base + above and not self._lift(j, base + above, why):
                return why
        self.queue.update(range(self.first[i], self.last[i] + 1))
        return self._tighten()

    def _raise(self, i: int, why: int) -> int | None:
        """Puts block i above one of its unplaced neighbours: it can not lie below them all."""
        near = zip(self.problem.neighbours[i], self.problem.below[i], strict=True)
        unplaced = [(j, below) for j, below in near if not self.placed[j]]
        if not unplaced:
            return why
        self._set(self.waiting, i, 1)
        self._set(self.refuted, i, why)
        bound = min(self.low[j] + below for j, below in unplaced)
        if bound > self.low[i]:
            why |= self._union(self.why, (j for j, _ in unplaced))
            if not self._lift(i, bound, why):
                return why
        return self._tighten()

    def _tighten(self) -> int | None:
        """Lifts what can't be lowest in a section; the conflict if a section is overfull."""
        low, placed, queue = self.low, self.placed, self.queue
        while queue:
            k = queue.pop()
            members, room = self.members[k], self.room[k]
            self.spent += len(members)
            live = [
                (low[j] + bottom, size, bottom, j) for j, bottom, size in members if not placed[j]
            ]
            slack = room - sum([size for _, size, _, _ in live])
            if not live or max(live)[0] <= slack:
                continue
            live.sort()
            conflict = self._overfull(live, room)
            if conflict is None:
                conflict = self._lift_all(live, slack)
            if conflict is not None:
                queue.clear()
                return conflict
        return None

    def _overfull(self, live: list[tuple[int, int, int, int]], room: int) -> int | None:
        """The conflict if the live cells, by least place, reach above the room when stacked."""
        top = begin = 0
        for n, (place, size, _, _) in enumerate(live):
            if place > top:
                top, begin = place, n
            top += size
            if top > room:
                return self._union(self.why, (j for *_, j in live[begin : n + 1]))
        return None

    def _lift_all(self, live: list[tuple[int, int, int, int]], slack: int) -> int | None:
        """Lifts the cells that would leave too little room above them if they were the lowest."""
        tops = [place + size for place, size, _, _ in live]
        least = min(tops)
        early = [c for c in live if slack < c[0] < least]
        if not early or len(live) == 1:
            return None
        second = sorted(tops)[1]
        why = self._union(self.why, (j for *_, j in live))
        for place, size, bottom, j in early:
            bound = second if place + size == least else least
            if bound - bottom > self.low[j] and not self._lift(j, bound - bottom, why):
                return why
        return None

    def _lift(self, j: int, bound: int, why: int) -> bool:
        """Raises the least offset of block j; False if it lies too high then."""
        offset = round_up(bound, self.problem.alignment[j])
        self._set(self.low, j, offset)
        self._set(self.why, j, why)
        self.queue.update(range(self.first[j], self.last[j] + 1))
        return offset <= self.latest[j]

    def _union(self, masks: list[int], blocks: Iterable[int]) -> int:
        return functools.reduce(operator.or_, (masks[j] for j in blocks), 0)

    def _set(self, values: list[int], i: int, value: int) -> None:
        self.trail.append((values, i, values[i]))
        values[i] = value

    def _undo(self, mark: int) -> None:
        while len(self.trail) > mark:
            values, i, value = self.trail.pop()
            values[i] = value
