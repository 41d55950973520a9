"""Repairs an order: what sticks out at the top of a first fit is placed earlier next time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sim.plan.packing.first_fit import first_fit
from sim.plan.packing.improve import Found
from sim.plan.packing.problem import Problem

ROUNDS = 60
NO_LIMIT = 1 << 60


def repair(problem: Problem, found: Found, orders: Mapping[str, Sequence[int]], work: int) -> Found:
    """The best packing after some rounds for each order; `work` bounds the distances looked at."""
    once = 1 + sum(len(near) for near in problem.neighbours)
    rounds = min(ROUNDS, work // (once * len(orders)))
    for name, first in orders.items():
        order: Sequence[int] = first
        for _ in range(rounds + 1):
            if found.size == found.bound:
                return found
            offsets = first_fit(problem, order, NO_LIMIT)
            if offsets is None:
                break
            size = problem.size(offsets)
            if size < found.size:
                method = f"first fit by {name}, repaired"
                found = replace(found, offsets=offsets, size=size, method=method)
            order = _raised(problem, order, offsets, size)
    return found


def _raised(problem: Problem, order: Sequence[int], offsets: Sequence[int], size: int) -> list[int]:
    """The order with each block at the very top moved before all that are in its way."""
    moved = list(order)
    for i in order:
        if problem.fixed[i] is None and offsets[i] + problem.height[i] == size:
            at, near = moved.index(i), set(problem.neighbours[i])
            first = next((k for k, j in enumerate(moved[:at]) if j in near), at)
            moved.insert(first, moved.pop(at))
    return moved
