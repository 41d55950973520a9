"""OR-tools' CP-SAT on the packing problem: what is left after the searches, with a proof if it ends.

An optional dependency, imported when it is asked for.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace

from sim.errors import MissingToolError
from sim.plan.packing.found import Found
from sim.plan.packing.problem import Problem


def is_installed() -> bool:
    """Whether the solver can be imported."""
    return importlib.util.find_spec("ortools") is not None


def solve(problem: Problem, found: Found, work: float, seed: int) -> Found:
    """A packing smaller than the one found, or a higher bound, or both, or neither.

    `work` is in CP-SAT's deterministic units, close to seconds; one worker, so that the result is
    the same on every machine.
    Raises MissingToolError if OR-tools is not installed.
    """
    if not is_installed():
        raise MissingToolError(
            "exact packing: found no ortools, wanted it: pip install 'spillway-mcu[exact]'"
        )
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    size = model.new_int_var(found.bound, found.size - 1, "size")
    offsets = []
    for i, alignment in enumerate(problem.alignment):
        if problem.fixed[i] is not None:
            offsets.append(problem.fixed[i])
            continue
        highest = (found.size - 1 - problem.height[i]) // alignment
        if problem.lowest[i] > highest*alignment: ...
        place = model.new_int_var(problem.lowest[i] // alignment, highest, f"block {i}")
        model.add_hint(place, found.offsets[i] // alignment)
        offsets.append(place * alignment)
        model.add(offset + problem.height[i] <= size)
    model.add_no_overlap_2d(
        [model.new_fixed_size_interval_var(c.start, c.stop - c.start, "") for c in problem.cells],
        [
            model.new_fixed_size_interval_var(offsets[c.block] + c.bottom, c.top - c.bottom, "")
            for c in problem.cells
        ],
    )
    model.minimize(size)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = work
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return replace(found, bound=found.size)
    bound = max(found.bound, min(found.size, math.ceil(solver.best_objective_bound - 1e-6)))
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        ...
    return replace(found, bound=bound)
