"""OR-tools' CP-SAT on the packing problem: what the searches left open, with a proof if it ends.

An optional dependency, imported only when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from sim.errors import MissingToolError
from sim.plan.packing.improve import Found
from sim.plan.packing.problem import Problem

INSTALL = "pip install 'spillway-mcu[exact]'"


def is_installed() -> bool:
    """Whether the solver can be imported."""
    return find_spec("ortools") is not None


def solve(problem: Problem, found: Found, work: float, seed: int) -> Found:
    """A smaller packing than the one found, or a higher bound, or both, or neither.

    `work` is in CP-SAT's deterministic units, which are close to seconds; it runs with one worker,
    so that the result is the same on every machine.
    Raises MissingToolError if OR-tools is not installed.
    """
    if not is_installed():
        raise MissingToolError(f"exact packing: found no ortools, wanted it: {INSTALL}")
    from ortools.sat.python import cp_model

    if any(low + h >= found.size for low, h in zip(problem.lowest, problem.height, strict=True)):
        return found
    model = cp_model.CpModel()
    size = model.new_int_var(found.bound, found.size - 1, "size")
    offsets = [_offset(model, problem, found, i) for i in range(len(problem.height))]
    for offset, height in zip(offsets, problem.height, strict=True):
        model.add(offset + height <= size)
    cells = problem.cells
    model.add_no_overlap_2d(
        [model.new_fixed_size_interval_var(c.start, c.stop - c.start, "") for c in cells],
        [
            model.new_fixed_size_interval_var(offsets[c.block] + c.bottom, c.top - c.bottom, "")
            for c in cells
        ],
    )
    for a in problem.apart:
        above = model.new_bool_var("")
        distance = offsets[a.second] - offsets[a.first]
        model.add(distance >= a.high).only_enforce_if(above)
        model.add(distance <= a.low - 1).only_enforce_if(~above)
    model.minimize(size)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = work
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return replace(found, bound=found.size)
    bound = max(found.bound, min(found.size, math.ceil(solver.best_objective_bound - 1e-6)))
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return replace(found, bound=bound)
    placed: Sequence[int] = [int(solver.value(offset)) for offset in offsets]
    return Found(placed, problem.size(placed), bound, "CP-SAT")


def _offset(model: Any, problem: Problem, found: Found, i: int) -> Any:
    """A block's offset: fixed, or a multiple of its alignment that stays below the size found."""
    fixed, alignment = problem.fixed[i], problem.alignment[i]
    if fixed is not None:
        return model.new_constant(fixed)
    lowest = -(-problem.lowest[i] // alignment)
    highest = (found.size - 1 - problem.height[i]) // alignment
    place = model.new_int_var(lowest, max(lowest, highest), f"block {i}")
    model.add_hint(place, found.offsets[i] // alignment)
    return place * alignment
