"""First fit: blocks in a given order, each at the lowest offset that is free for it."""

from __future__ import annotations

from collections.abc import Sequence

from sim.plan.packing.problem import Problem
from sim.ranges import round_up


def orders(problem: Problem) -> dict[str, list[int]]:
    """Orders worth trying, by name; "crowded" ones begin where most bytes are alive.

    Each of the plain ones leads to the best packing of some known hard problem.
    """
    count = len(problem.height)
    crowd, duration, area = [0] * count, [0] * count, [0] * count
    for section in problem.sections:
        live = sum(c.top - c.bottom for c in section.cells)
        for cell in section.cells:
            crowd[cell.block] = max(crowd[cell.block], live)
            area[cell.block] += cell.top - cell.bottom
    for cell in problem.cells:
        duration[cell.block] += cell.stop - cell.start
    degree = [len(near) for near in problem.neighbours]
    keys = {"area": area, "size": problem.height, "duration": duration, "conflicts": degree}
    made = {}
    for name, key in keys.items():
        order = sorted(range(count), key=key.__getitem__, reverse=True)
        made[name] = order
        made[f"crowd and {name}"] = sorted(order, key=crowd.__getitem__, reverse=True)
    return made


def first_fit(problem: Problem, order: Sequence[int], limit: int) -> list[int] | None:
    """An offset per block, fixed ones first; None as soon as one would reach the limit."""
    offsets = list(problem.lowest)
    placed = [fixed is not None for fixed in problem.fixed]
    for i in order:
        if problem.fixed[i] is not None:
            continue
        taken = sorted(
            (offsets[j] - above, offsets[j] + below)
            for j, above, below in zip(
                problem.neighbours[i], problem.above[i], problem.below[i], strict=True
            )
            if placed[j]
        )
        at = offsets[i]
        for low, high in taken:
            if at <= low:
                break
            if at < high:
                at = round_up(high, problem.alignment[i])
        if at + problem.height[i] >= limit:
            return None
        offsets[i], placed[i] = at, True
    return offsets
