"""Fits a cost profile: the least relative errors, and no further from a prior than they ask for.

With measurements y_i, amounts of work a_ij and the prior's coefficients p_j, scaled so that its
geometric mean error is 0, the factors x_j >= 0 minimize

    sum_i (sum_j a_ij p_j x_j / y_i - 1)^2 + STIFFNESS^2 sum_j (x_j - 1)^2

which is ridge regression in relative terms. What no measurement tells apart keeps the prior's
ratio. Waits for weights come from the board and are taken off y beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.calibration.measurements import WHOLE
from sim.calibration.predict import Point
from sim.device.board import CostProfile
from sim.device.cost import amounts, coefficient_name, group
from sim.errors import MissingToolError, SpillwayError

STIFFNESS = 0.1
"""How much a factor's departure from the prior counts beside a relative error."""
TABLES = (
    "cycles_per_mac", "cycles_per_output", "cycles_per_input", "cycles_per_byte", "cycles_per_call",
)  # fmt: skip
"""Fields of a profile that hold a coefficient for each group."""
DISPATCH = ("dispatch_cycles", "")
DIGITS = 4

Floats = NDArray[np.float64]
Name = tuple[str, str]
"""A coefficient: the profile's field and the group of op kinds."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A profile, the coefficients that measurements had a say in, the points that it learnt from,

    and those that it did not see (`checks`).
    """

    profile: CostProfile
    fitted: frozenset[Name]
    points: tuple[Point, ...]
    checks: tuple[Point, ...] = ()

    @property
    def errors(self) -> tuple[float, ...]:
        """Simulated over measured latency, less 1, in the order of the points."""
        return tuple(point.error for point in self.points)


def fit(
    points: Sequence[Point], prior: CostProfile, name: str, checks: Sequence[Point] = ()
) -> Fit:
    """The profile of that name for these points, starting from the ratios of the prior.

    Its error is the largest of whole models, of the points and of the checks, which it does not
    learn from; where ops were measured one by one, those of a model count together. A single
    measurement without a check tells no error, and the profile is not called calibrated.
    Raises SpillwayError if there are no points, if a point is no longer than its waits for weights
    or the prior has no cost for it; MissingToolError without scipy (the extra `calibrate`).
    """
    if not points:
        raise SpillwayError(f"calibrate: profile {name}: found no measurement to fit, wanted one")
    names, costs = _coefficients(prior)
    rows = np.array([_shares(point, prior, names) for point in points])
    rows *= costs
    totals = rows.sum(axis=1)
    if not totals.all():
        raise SpillwayError(
            f"calibrate: profile {name}: found ops that cost nothing in {prior.name}, wanted a "
            f"profile to start from that has coefficients for them"
        )
    scale = exp(-float(np.mean([log(total) for total in totals])))
    factors = _factors(rows * scale) * scale
    made = _with_costs(prior, names, costs * factors)
    used = frozenset(n for n, column in zip(names, rows.T, strict=True) if column.any())
    checked = len(points) + len(checks) > 1  # one measurement is met whatever the ratios are
    profile = replace(made, name=name, calibrated=checked, error_percent=None)
    learnt, unseen = (
        tuple(point.with_profile(profile) for point in some) for some in (points, checks)
    )
    if checked:
        worst = round(max(_model_errors((*learnt, *unseen))) * 100, 1)
        profile = replace(profile, error_percent=worst)
    return Fit(profile, used, learnt, unseen)


def _shares(point: Point, prior: CostProfile, names: Sequence[Name]) -> Floats:
    """The point's work by coefficient, over the cycles that it took without waits for weights."""
    measured = point.measurement.cycles - point.stall_cycles
    if measured <= 0:
        raise SpillwayError(
            f"calibrate: {point.measurement.board}, {point.measurement.model}: found "
            f"{point.measurement.cycles:,.0f} cycles, wanted more than the "
            f"{point.stall_cycles:,.0f} that the core waits for weights"
        )
    work = dict.fromkeys(names, 0.0)
    for op in point.ops:
        work[DISPATCH] += 1
        kind = group(point.graph, op)
        if kind == "state":
            continue
        for (field, of), amount in amounts(point.graph, op).items():
            name = (field, coefficient_name(prior, field, of))
            if name in work:
                work[name] += amount
        if ("cycles_per_call", kind) in work:
            work["cycles_per_call", kind] += 1
    return np.array([work[name] for name in names]) / measured


def _model_errors(points: Iterable[Point]) -> Iterator[float]:
    """The absolute error of each whole model, and of each that was measured in parts."""
    parts: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        if point.measurement.unit == WHOLE:
            yield abs(point.error)
        else:
            row = point.measurement
            parts.setdefault((row.board, row.model), []).append(point)
    for some in parts.values():
        measured = sum(point.measurement.latency_ms for point in some)
        yield abs(sum(point.latency_ms for point in some) / measured - 1)


def _factors(rows: Floats) -> Floats:
    try:
        from scipy.optimize import nnls
    except ImportError as error:
        raise MissingToolError(
            "calibrate: found no scipy, wanted it: pip install spillway-mcu[calibrate]"
        ) from error
    count = rows.shape[1]
    system = np.vstack([rows, STIFFNESS * np.eye(count)])
    wanted = np.concatenate([np.ones(rows.shape[0]), np.full(count, STIFFNESS)])
    found: Floats = nnls(system, wanted)[0]
    return found


def _coefficients(profile: CostProfile) -> tuple[list[Name], Floats]:
    made: dict[Name, float] = {}
    for field in TABLES:
        table = getattr(profile, field)
        made |= {(field, kind): float(table[kind]) for kind in sorted(table)}
    made[DISPATCH] = float(profile.dispatch_cycles)
    return list(made), np.array(list(made.values()))


def _with_costs(prior: CostProfile, names: Sequence[Name], costs: Floats) -> CostProfile:
    tables: dict[str, Any] = {field: {} for field in TABLES}
    for (field, kind), cost in zip(names, costs, strict=True):
        if field in tables:
            tables[field][kind] = float(f"{cost:.{DIGITS}g}")
    dispatch = float(costs[list(names).index(DISPATCH)])
    share = prior.call_cycles / prior.dispatch_cycles if prior.dispatch_cycles else 0.0
    return replace(
        prior, dispatch_cycles=round(dispatch), call_cycles=round(dispatch * share), **tables
    )
