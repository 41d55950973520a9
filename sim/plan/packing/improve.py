"""Searches for smaller packings, between the lower bound and the best known, ever harder."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sim.plan.packing.problem import Problem
from sim.plan.packing.search import Proof, Search

FIRST_SHARE = 4  # a search of the first round may place as much as this many packings need
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

    def run(self, orders: Mapping[str, Sequence[int]], seed: int) -> Found:
        """The best packing when it is optimal, the work is spent, or no search was cut short."""
        rng = random.Random(seed)
        share = FIRST_SHARE * self._one_placement(next(iter(orders.values())))
        while self.work > 0 and self.found.size > self.found.bound:
            self.was_cut = False
            self._round(orders, share)
            if not self.was_cut:
                break
            share *= GROWTH
            orders = {name: _shaken(order, rng) for name, order in orders.items()}
        return self.found

    def _one_placement(self, order: Sequence[int]) -> int:
        """The work of placing every block once, without a step back."""
        search = Search(self.problem, 2 * sum(self.problem.height), order)
        search.run(self.work)
        return search.spent

    def _round(self, orders: Mapping[str, Sequence[int]], share: int) -> None:
        """Tries the lower bound, then halves the gap between what failed and the best packing."""
        fine = max(1, (self.found.size - self.found.bound) // FINENESS)
        failed, capacity = self.found.bound - 1, self.found.bound
        while self.work > 0 and capacity > failed:
            if not self._fits(capacity, orders, share):
                failed = capacity
            if self.found.size - failed <= fine:
                break
            capacity = (failed + self.found.size) // 2

    def _fits(self, capacity: int, orders: Mapping[str, Sequence[int]], share: int) -> bool:
        """Whether a search finds a packing within the capacity."""
        for name, order in orders.items():
            search = Search(self.problem, capacity, order)
            result = search.run(min(share, self.work))
            self.work -= search.spent
            if isinstance(result, list):
                size, method = self.problem.size(result), f"search by {name}"
                self.found = replace(self.found, offsets=result, size=size, method=method)
                return True
            if result is Proof.IMPOSSIBLE:
                if self.proves:
                    self.found = replace(self.found, bound=capacity + 1)
                return False
            self.was_cut = True
        return False


def _shaken(order: Sequence[int], rng: random.Random) -> list[int]:
    far = NOISE * len(order)
    place = {i: rank + rng.gauss(0, far) for rank, i in enumerate(order)}
    return sorted(order, key=place.__getitem__)
