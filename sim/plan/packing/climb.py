"""Climbs from order to order: a block that sticks out goes to an earlier place, if that helps."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sim.plan.packing.first_fit import first_fit
from sim.plan.packing.improve import Found
from sim.plan.packing.problem import Problem

NO_LIMIT = 1 << 60
TOPS = 6  # of so many blocks that reach highest, one is moved
ANYWHERE = 0.3  # how often it is any block instead
MOST_MOVES = 500  # from each order


@dataclass(slots=True)
class _Climber:
    name: str
    order: list[int]
    offsets: list[int]
    size: int


def climb(
    problem: Problem,
    found: Found,
    orders: Mapping[str, Sequence[int]],
    work: int,
    seed: int,
    enough: int = 0,
) -> Found:
    """The best packing after some moves from each order; `work` bounds the distances looked at.

    Ends as soon as one is no larger than `enough`.
    """
    rng = random.Random(seed)
    once = 1 + sum(len(near) for near in problem.neighbours) // 2
    moves = min(MOST_MOVES, work // (once * len(orders)))
    for name, order in orders.items():
        offsets = first_fit(problem, order, NO_LIMIT)
        if offsets is not None:
            climber = _Climber(name, list(order), offsets, problem.size(offsets))
            found = _climbed(problem, climber, found, moves, rng, enough)
    return found


def _climbed(
    problem: Problem,
    climber: _Climber,
    found: Found,
    moves: int,
    rng: random.Random,
    enough: int,
) -> Found:
    """Takes every move that makes the packing no larger."""
    count = len(climber.order)
    for _ in range(moves):
        if found.size <= max(found.bound, enough):
            break
        tops = heapq.nlargest(TOPS, range(count), lambda i: climber.offsets[i] + problem.height[i])
        block = rng.choice(tops) if rng.random() > ANYWHERE else rng.randrange(count)
        order = climber.order.copy()
        at = order.index(block)
        order.pop(at)
        order.insert(rng.randrange(max(1, at)), block)
        offsets = first_fit(problem, order, climber.size + 1)
        if offsets is None:
            continue
        climber.order, climber.offsets, climber.size = order, offsets, problem.size(offsets)
        if climber.size < found.size:
            method = f"climb from {climber.name}"
            found = replace(found, offsets=offsets, size=climber.size, method=method)
    return found
