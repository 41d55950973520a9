"""How far the simulation is from published measurements, those it was fitted to and the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sim.calibration.measurements import EXCLUDED, FIT, HELD_OUT, WHOLE, Measurement
from sim.calibration.predict import Point, points
from sim.device.board import CostProfile

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Errors:
    """Relative errors (0.1 is 10 %), as absolute values."""

    count: int
    boards: int
    median: float
    ninth: float
    worst: float

    def document(self) -> dict[str, Any]:
        return {
            "points": self.count,
            "boards": self.boards,
            "median_percent": round(self.median * 100, 2),
            "percentile_90": round(self.ninth * 100, 2),
            "worst_percent": round(self.worst * 100, 2),
        }


@dataclass(frozen=True, slots=True)
class Validation:
    """Points that count, by what they are."""

    points: tuple[Point, ...]

    def latencies(self, use: str) -> tuple[Point, ...]:
        """Whole models that a fit saw (FIT), or did not (HELD_OUT)."""
        return self._those(lambda row: row.use == use and row.unit == WHOLE)

    def other_boards(self) -> tuple[Point, ...]:
        """Held-out whole models on boards by a profile that was fitted on another board alone."""
        fitted: dict[str, set[str]] = {}
        for point in self.points:
            if point.measurement.use == FIT:
                fitted.setdefault(point.measurement.profile, set()).add(point.measurement.board)
        return tuple(
            point
            for point in self.latencies(HELD_OUT)
            if point.measurement.profile in fitted
            and point.measurement.board not in fitted[point.measurement.profile]
        )

    def layers(self, use: str) -> tuple[Point, ...]:
        """Single ops, and ops of one kind together, that a fit saw or did not."""
        return self._those(lambda row: row.use == use and row.unit != WHOLE)

    def energies(self, use: str) -> tuple[Point, ...]:
        """Points with a measured energy at a supply voltage that is known."""
        return self._those(lambda r: r.use == use and r.energy_uj > 0 and r.supply_v > 0)

    def _those(self, keep: Callable[[Measurement], bool]) -> tuple[Point, ...]:
        return tuple(point for point in self.points if keep(point.measurement))

    def document(self) -> dict[str, Any]:
        """Everything as one JSON document."""
        return {
            "schema_version": SCHEMA_VERSION,
            "summary": {
                name: found.document() for name, found in self.summary().items() if found.count
            },
            "points": [_document(point) for point in self.points],
        }

    def summary(self) -> dict[str, Errors]:
        """The errors by what the points are."""
        return {
            "latency, held out": errors(self.latencies(HELD_OUT)),
            "of these, other boards": errors(self.other_boards()),
            "latency, fitted": errors(self.latencies(FIT)),
            "layers, held out": errors(self.layers(HELD_OUT)),
            "layers, fitted": errors(self.layers(FIT)),
            "energy, held out": errors(self.energies(HELD_OUT), energy_error),
            "energy, fitted": errors(self.energies(FIT), energy_error),
        }


def validate(
    measurements: Iterable[Measurement], profile: Callable[[str], CostProfile] | None = None
) -> Validation:
    """The measurements beside the simulation; excluded ones are left out.

    Raises ConfigError for a board, profile, model or unit that isn't there.
    """
    counted = tuple(row for row in measurements if row.use != EXCLUDED)
    return Validation(points(counted, profile))


def energy_error(point: Point) -> float:
    """Simulated over measured energy, less 1."""
    return point.energy_uj / point.measurement.energy_uj - 1


def latency_error(point: Point) -> float:
    """Simulated over measured latency, less 1."""
    return point.error


def errors(found: Sequence[Point], error: Callable[[Point], float] = latency_error) -> Errors:
    """The errors of these points; the 90th percentile by the nearest rank."""
    if not found:
        return Errors(0, 0, 0.0, 0.0, 0.0)
    each = sorted(abs(error(point)) for point in found)
    ninth = each[min(len(each) - 1, -(-9 * len(each) // 10) - 1)]
    boards = len({point.measurement.board for point in found})
    return Errors(len(each), boards, median(each), ninth, each[-1])


def _document(point: Point) -> dict[str, Any]:
    row = point.measurement
    made: dict[str, Any] = {
        "board": row.board,
        "profile": row.profile,
        "model": row.model,
        "unit": row.unit,
        "use": row.use,
        "measured_ms": row.latency_ms,
        "simulated_ms": round(point.latency_ms, 6),
        "error_percent": round(point.error * 100, 2),
        "source": row.source,
    }
    if row.energy_uj:
        made |= {"measured_uj": row.energy_uj, "simulated_uj": round(point.energy_uj, 3)}
    return made
