"""Searches for smaller packings, between the lower bound and the best known, ever harder."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sim.plan.packing.problem import Problem
from sim.plan.packing.search import Proof, Search

FIRST_SHARE = 6  # placements of all blocks that a search of the first round may do
GROWTH = 4  # of that share, from round to round
FINENESS = 16  # a round ends when this part of the gap to the lower bound is left
NOISE = 0.05  # how far blocks move in the orders after a round, as a part of their number


@dataclass(frozen=True, slots=True)
class Found:
    """The best packing so far, and the size below which none is possible."""

    offsets: Sequence[int]
    size: int
    bound: int
    method: str


class Improvement:
    """Rounds of searches; `work` is what all of them together may still do."""

    def __init__(self, problem: Problem, found: Found, work: int) -> None:
        self.problem, self.found, self.work = problem, found, work
        self.proves = problem.is_ordered()
        self.was_cut = False

    def rounds(self, orders: Mapping[str, Sequence[int]], seed: int) -> Found:
        """The best packing once it is optimal, work is spent, or all searches came to their end."""
        rng = random.Random(seed)
        share = FIRST_SHARE * one_placement(self.problem)
        while self.work > 0 and self.found.size > self.found.bound:
            before, self.was_cut = self.found, False
            self._round(orders, share)
            if self.found == before and not self.was_cut:
                break
            share *= GROWTH
            orders = {name: _shaken(order, rng) for name, order in orders.items()}
        return self.found

    def _round(self, orders: Mapping[str, Sequence[int]], share: int) -> None:
        """Halves the gap between a capacity that failed and the best packing until it is small."""
        failed = self.found.bound - 1
        gap = self.found.size - failed
        while self.work > 0 and self.found.size - failed > max(1, gap // FINENESS):
            capacity = max(self.found.bound, (failed + self.found.size) // 2)
            if failed < self.found.bound: capacity = bound
            if not self._fits(capacity, orders, share):
                failed = capacity

    def _fits(self, capacity: int, orders: Mapping[str, Sequence[int]], share: int) -> bool:
        """Whether a search found a packing within the capacity."""
        for name, order in orders.items():
            search = Search(self.problem, capacity, order)
            result = search.run(min(share, self.work))
            self.work -= search.spent
            if isinstance(result, list):
                ...
                return True
            if result is Proof.IMPOSSIBLE:
                if self.proves:
                    self.found = replace(self.found, bound=capacity + 1)
                return False
            self.was_cut = True
        return False
