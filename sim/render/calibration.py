"""What people see of calibration: fits, and the simulation beside measurements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from sim.calibration.arena import ArenaCheck
from sim.calibration.fit import Fit
from sim.calibration.measurements import FIT, HELD_OUT, WHOLE
from sim.calibration.predict import Point
from sim.calibration.validate import Validation
from sim.render.plot import save_plot
from sim.render.tables import console, grouped

LARGE = 0.2
"""Relative errors above this are named one by one."""


def show_fits(fits: Sequence[Fit], folder: str | None) -> None:
    """One row a profile: points, errors, and the cycles that a multiply-accumulate takes."""
    out = console()
    table = _table(("profile", "points", "median", "worst", "1x1", "conv", "depthwise", "dense"))
    for fit in fits:
        macs = fit.profile.cycles_per_mac
        table.add_row(
            fit.profile.name,
            str(len(fit.points)),
            _percent(median(abs(e) for e in fit.errors)),
            _percent(max(abs(e) for e in fit.errors)),
            *(
                f"{macs.get(k, 0):.3g}"
                for k in ("conv_1x1", "conv", "depthwise", "fully_connected")
            ),
        )
    out.print(table)
    if folder is not None:
        out.print(f"written to {folder}", style="dim")


def fit_document(fit: Fit) -> dict[str, Any]:
    """A fit as JSON: its profile's coefficients and each point's error."""
    profile = fit.profile
    return {
        "name": profile.name,
        "error_percent": profile.error_percent,
        "cycles_per_mac": dict(profile.cycles_per_mac),
        "cycles_per_output": dict(profile.cycles_per_output),
        "dispatch_cycles": profile.dispatch_cycles,
        "residuals": [
            {
                "board": point.measurement.board,
                "model": point.measurement.model,
                "unit": point.measurement.unit,
                "error_percent": round(error * 100, 2),
            }
            for point, error in zip(fit.points, fit.errors, strict=True)
        ],
    }


def show_validation(found: Validation, *, every: bool) -> None:
    """By profile and board the errors held out and fitted, then what they come to in all."""
    out = console()
    table = _table(("core and library", "board", "held out", "fitted"))
    for (profile, board), group in groupby(sorted(found.points, key=_where), key=_where):
        points = tuple(group)
        table.add_row(
            profile,
            board,
            *(_errors([p for p in points if p.measurement.use == u]) for u in (HELD_OUT, FIT)),
        )
    out.print(table)
    out.print("points: median error; a single one with its sign", style="dim")
    totals = _table(("", "points", "boards", "median", "90 %", "worst"))
    for name, errors in found.summary().items():
        if errors.count:
            totals.add_row(
                name, str(errors.count), str(errors.boards),
                _percent(errors.median), _percent(errors.ninth), _percent(errors.worst),
            )  # fmt: skip
    out.print(totals)
    named = found.points if every else [p for p in found.latencies(HELD_OUT) if _is_large(p)]
    if named:
        out.print("Every point:" if every else f"Held out, off by more than {LARGE:.0%}:")
        out.print(_points(named))


def show_arenas(checks: Sequence[ArenaCheck]) -> None:
    """Predicted and recorded bytes, model by model."""
    table = _table(("model", "head", "TFLM's", "tail", "TFLM's ", "error"))
    for check in checks:
        sizes = (check.head, check.tflm_head, check.tail, check.tflm_tail)
        error = f"{check.error * 100:+.2f} %"
        table.add_row(Path(check.model).stem, *map(grouped, sizes), error)
    console().print(table)


def plot_validation(found: Validation, path: str) -> None:
    """Simulated over measured latency on logarithmic scales, held-out and fitted points apart.

    Raises what `save_plot` raises.
    """
    save_plot(path, (7.5, 7), lambda figure: _draw(figure, found))


def _draw(figure: Any, found: Validation) -> None:
    axes = figure.add_subplot()
    groups = (
        ("fitted, whole models", found.latencies(FIT), "0.65", "o"),
        ("fitted, layers", found.layers(FIT), "tab:blue", "."),
        ("held out", found.latencies(HELD_OUT) + found.layers(HELD_OUT), "tab:red", "D"),
    )
    times = [p.measurement.latency_ms for p in found.points]
    ends = [min(times) / 2, max(times) * 2]
    axes.plot(ends, ends, color="black", linewidth=1)
    axes.fill_between(
        ends, [e * (1 - LARGE) for e in ends], [e * (1 + LARGE) for e in ends],
        color="0.93", label=f"within {LARGE:.0%}",
    )  # fmt: skip
    for label, points, colour, marker in groups:
        axes.scatter(
            [p.measurement.latency_ms for p in points], [p.latency_ms for p in points],
            s=24, c=colour, marker=marker, label=f"{label} ({len(points)})", alpha=0.8,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set_xlabel("measured latency (ms)")
    axes.set_ylabel("simulated latency (ms)")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")


def _points(points: Sequence[Point]) -> Table:
    table = _table(("core and library", "model", "measured", "sim.", "error"))
    for point in points:
        row = point.measurement
        model = row.model if row.unit == WHOLE else f"{row.model} {row.unit}"
        table.add_row(
            row.profile, model, f"{row.latency_ms:.4g} ms",
            f"{point.latency_ms:.4g} ms", f"{point.error * 100:+.1f} %",
        )  # fmt: skip
    return table


def _errors(points: Sequence[Point]) -> str:
    """How many there are and the median of their errors, of both sides if there is but one."""
    if not points:
        return ""
    if len(points) == 1:
        return f"1: {points[0].error * 100:+.1f} %"
    return f"{len(points)}: {_percent(median(abs(p.error) for p in points))}"


def _where(point: Point) -> tuple[str, str]:
    return point.measurement.profile, point.measurement.board


def _is_large(point: Point) -> bool:
    return abs(point.error) > LARGE


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _table(names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        words = name in ("profile", "core and library", "board", "model", "")
        table.add_column(name, justify="left" if words else "right", no_wrap=True)
    return table
