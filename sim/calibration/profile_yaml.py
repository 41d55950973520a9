"""A fitted profile as a YAML file for devices/cores/, every number with where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from textwrap import wrap

from sim.calibration.fit import DISPATCH, TABLES, Fit
from sim.calibration.measurements import WHOLE, Measurement
from sim.calibration.predict import Point
from sim.device.board import CostProfile

WIDTH = 96
MANY = 8


def profile_yaml(fit: Fit, prior: CostProfile, title: str) -> str:
    """The file's text. What no measurement had a say in is marked as the prior's ratio."""
    profile = fit.profile
    rows = [point.measurement for point in fit.points]
    fitted = f"fitted: {_models(rows)} on {_all(r.board for r in rows)}; {_all(_origins(rows))}"
    ratio = f"assumed: the ratio of {prior.name}, scaled by the fit"
    lines = [f"title: {_quoted(title)}"]
    lines += _folded("note", _residuals(fit), "")
    lines += [f"calibrated: {str(profile.calibrated).lower()}"]
    if profile.calibrated:
        beside = f" and {len(fit.checks)} held out" if fit.checks else ""
        of = f"the worst whole model of {len(rows)} fitted measurements{beside}"
        lines += ["error_percent:", f"  value: {profile.error_percent}"]
        lines += _folded("source", of, "  ")
    for field in TABLES:
        table = getattr(profile, field)
        if not table:
            continue
        known = [kind for kind in table if (field, kind) in fit.fitted]
        lines.append(f"{field}:")
        lines += _folded("source", fitted if known else ratio, "  ")
        for kind, value in table.items():
            if known and kind not in known:
                lines.append(f"  {kind}: {{value: {value:g}, source: {_quoted(ratio)}}}")
            else:
                lines.append(f"  {kind}: {value:g}")
    dispatch = fitted if DISPATCH in fit.fitted else ratio
    lines += ["dispatch_cycles:", f"  value: {profile.dispatch_cycles}"]
    lines += _folded("source", dispatch, "  ")
    lines.append(f"call_cycles: {{value: {profile.call_cycles}, source: {_quoted(ratio)}}}")
    return "\n".join(lines) + "\n"


def _residuals(fit: Fit) -> str:
    stacks = _all(point.measurement.stack for point in fit.points if point.measurement.stack)
    text = f"{stacks}. Residuals: {_told(fit.points)}."
    return f"{text} Held out: {_told(fit.checks)}." if fit.checks else text


def _told(points: Sequence[Point]) -> str:
    """Each point's error, or if there are many, what they come to."""
    if len(points) > MANY:
        middle = median(abs(point.error) for point in points)
        worst = max(abs(point.error) for point in points)
        return f"median {middle:.1%}, worst {worst:.1%} over {len(points)}"
    return ", ".join(f"{_part(point.measurement)} {point.error:+.1%}" for point in points)


def _part(row: Measurement) -> str:
    return row.model if row.unit == WHOLE else f"{row.model} {row.unit}"


def _models(rows: Iterable[Measurement]) -> str:
    return _all(row.model for row in rows)


def _origins(rows: Iterable[Measurement]) -> Iterable[str]:
    return (row.source for row in rows if row.source)


def _all(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _folded(key: str, text: str, indent: str) -> list[str]:
    room = WIDTH - len(indent) - 2
    return [f"{indent}{key}: >-", *(f"{indent}  {line}" for line in wrap(text, room))]
