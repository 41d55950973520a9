"""Packs blocks of bytes with lifetimes into the least arena that can be found, with a proof if any.

First fit in several orders; if none reaches the lower bound, searches between that and the best;
with more effort, and if it is installed, OR-tools' CP-SAT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sim.errors import PlanError
from sim.plan.packing.block import Apart, Block, Packing, Rect
from sim.plan.packing.climb import climb
from sim.plan.packing.components import Part, components
from sim.plan.packing.exact import is_installed, solve
from sim.plan.packing.first_fit import first_fit, orders
from sim.plan.packing.improve import Found, Improvement
from sim.plan.packing.problem import Problem, problem_of
from sim.plan.packing.repair import repair

__all__ = ["Apart", "Block", "Packing", "Rect", "lower_bound", "pack", "verify"]

NO_SIZE = 1 << 60  # more than any packing takes
REPAIR_WORK = 4_000_000  # of the repairs, for each effort
QUICK_WORK = 500_000  # of repairs and climbs at effort 0
CLIMB_WORK = 16_000_000  # of the climbs, for each effort
WORK = 400_000  # of the searches, at effort 1
SOLVER_WORK = 10.0  # of the exact solver, at effort 2 and below
GROWTH = 8  # of that work, with each further effort


def pack(
    blocks: Sequence[Block],
    apart: Sequence[Apart] = (),
    *,
    floor: int = 0,
    enough: int = 0,
    effort: int = 1,
    exact: bool | None = None,
    seed: int = 0,
) -> Packing:
    """The best packing found; the same for the same arguments, whatever the machine.

    Effort 0 is for a first look, without the searches. `floor` is a size that the caller knows to
    be the least possible; with `enough` the search ends at any size up to that. `exact` asks for
    the solver, or, if None, takes it from effort 2 on where it is installed.
    Raises PlanError if fixed blocks overlap, and MissingToolError if the solver is asked for and
    not installed.
    """
    if not blocks:
        return Packing((), 0, 0, True, "empty")
    problem = problem_of(blocks, apart)
    solver = exact or (exact is None and effort >= 2 and is_installed())
    parts = components(problem, blocks, apart)
    if len(parts) == 1:
        found = _packed(problem, floor, enough, effort, solver, seed)
    else:
        found = _apart(parts, floor, enough, effort, solver, seed)
    verify(blocks, found.offsets, apart)
    return Packing(
        tuple(found.offsets), found.size, found.bound, found.size == found.bound, found.method
    )


def _apart(
    parts: Sequence[Part], floor: int, enough: int, effort: int, solver: bool, seed: int
) -> Found:
    """Parts packed one after another, that with the largest lower bound first.

    None of the others needs to be smaller than what one of them takes anyway.
    """
    problems = [problem_of(blocks, apart) for _, blocks, apart in parts]
    bounds = [problem.lower_bound() for problem in problems]
    found = Found((), 0, max(floor, *bounds), "")
    offsets: dict[int, int] = {}
    for number in sorted(range(len(parts)), key=lambda n: -bounds[n]):
        small = max(enough, found.bound, found.size)
        part = _packed(problems[number], 0, small, effort, solver, seed)
        offsets.update(zip(parts[number][0], part.offsets, strict=True))
        if part.size > found.size:
            found = replace(found, size=part.size, method=part.method)
        found = replace(found, bound=max(found.bound, part.bound))
    return replace(found, offsets=[offsets[i] for i in range(len(offsets))])


def _packed(
    problem: Problem, floor: int, enough: int, effort: int, solver: bool, seed: int
) -> Found:
    """The best packing of one part, or one that is small enough."""
    ways = orders(problem)
    found = _first(problem, ways, floor, enough)
    if found.size > max(found.bound, enough):
        found = repair(problem, found, ways, REPAIR_WORK * effort or QUICK_WORK)
    if found.size > max(found.bound, enough):
        work = CLIMB_WORK * effort or QUICK_WORK
        found = climb(problem, found, ways, work, seed, enough)
    if found.size > max(found.bound, enough) and effort > 0:
        found = Improvement(problem, found, WORK * GROWTH ** (effort - 1)).run(ways, seed)
    if found.size > max(found.bound, enough) and solver:
        found = solve(problem, found, SOLVER_WORK * GROWTH ** max(0, effort - 2), seed)
    return found


def _first(problem: Problem, ways: dict[str, list[int]], floor: int, enough: int) -> Found:
    """The best of first fit in all orders, or the first that is small enough."""
    best = Found((), NO_SIZE, max(floor, problem.lower_bound()), "")
    for name, order in ways.items():
        offsets = first_fit(problem, order, best.size)
        if offsets is not None:
            size = problem.size(offsets)
            best = replace(best, offsets=offsets, size=size, method=f"first fit by {name}")
        if best.size <= max(best.bound, enough):
            break
    return best


def lower_bound(blocks: Sequence[Block]) -> int:
    return problem_of(blocks).lower_bound() if blocks else 0


def verify(blocks: Sequence[Block], offsets: Sequence[int], apart: Sequence[Apart] = ()) -> None:
    """Raises PlanError where two blocks share a byte or keep a forbidden distance,

    or one is misaligned, below 0 or moved.
    """
    for a in apart:
        if a.low <= offsets[a.second] - offsets[a.first] < a.high:
            raise PlanError(f"blocks {a.first} and {a.second} keep a forbidden distance")
    for number, (block, offset) in enumerate(zip(blocks, offsets, strict=True)):
        if any(offset + r.offset < 0 for r in block.rects):
            raise PlanError(f"block {number}: offset: found {offset}, wanted 0 or more")
        if block.fixed is not None and offset != block.fixed:
            raise PlanError(f"block {number}: offset: found {offset}, wanted {block.fixed}")
        if block.fixed is None and offset % block.alignment:
            raise PlanError(
                f"block {number}: offset: found {offset}, wanted a multiple of {block.alignment}"
            )
    rects = sorted(
        (r.start, r.stop, offset + r.offset, offset + r.offset + r.size, number)
        for number, (block, offset) in enumerate(zip(blocks, offsets, strict=True))
        for r in block.rects
    )
    active: list[tuple[int, int, int, int, int]] = []
    for rect in rects:
        active = [a for a in active if a[1] > rect[0]]
        for other in active:
            if other[4] != rect[4] and other[2] < rect[3] and rect[2] < other[3]:
                raise PlanError(f"blocks {other[4]} and {rect[4]} overlap at step {rect[0]}")
        active.append(rect)
