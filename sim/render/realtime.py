"""What the frames lived through, for people: delays, losses, waits, other users, luck."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.compare import Comparison, Outcome
from sim.report import Report
from sim.seeds import Figure
from sim.units import PS_PER_S, format_time
from sim.workload.arrivals import BACK_TO_BACK
from sim.workload.workload import CORE_USE


def show_over_time(out: Console, comparison: Comparison) -> None:
    """A table of what became of the frames under each policy, and the winner's worst waits."""
    out.print(Text(f"\nOver time: {_setting(comparison)}", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("", width=1)
    table.add_column("policy", overflow="fold")
    for name in ("done", "lost", "late", "mean", "p99", "p99 within", "mJ"):
        table.add_column(name, justify="right", no_wrap=True)
    for index, outcome in enumerate(comparison.outcomes):
        if outcome.report is not None:
            table.add_row("*" if index == comparison.winner else "", *_row(comparison, outcome))
    out.print(table)
    out.print(
        "from arrival to result; p99 within: its 95 % interval; mJ: from result to result",
        style="dim",
    )
    for line in _remarks(comparison):
        out.print(line)
    if comparison.spreads:
        _show_spreads(out, comparison)


def _setting(comparison: Comparison) -> str:
    """When frames come, and who else is there."""
    workload = comparison.workload
    arrivals = workload.arrivals
    parts = []
    if arrivals.kind == BACK_TO_BACK:
        parts.append("one frame after the other")
    else:
        parts.append(f"a frame each {format_time(arrivals.mean_gap_ps)}, {arrivals.kind}")
    if workload.deadline_ps:
        parts.append(f"due after {format_time(workload.deadline_ps)}")
    if workload.camera is not None:
        parts.append(f"{workload.camera.buffers} camera buffers")
    parts += [r.name for r in comparison.residents] + [u.name for u in workload.background]
    parts += [f"{fault.kind} {fault.on}".strip() for fault in workload.faults]
    return ", ".join(parts)


def _row(comparison: Comparison, outcome: Outcome) -> Iterable[str]:
    assert outcome.report is not None
    fate, latency = outcome.report.fate, outcome.report.latency
    yield comparison.label(outcome)
    yield f"{fate.done:,}"
    yield f"{fate.lost_frames:,}" if fate.lost_frames else "-"
    yield f"{fate.missed:,}" if fate.missed else "-"
    if not fate.done:
        yield from ("-",) * 4
        return
    yield precise(latency.mean_ps)
    yield precise(latency.p99_ps)
    yield _within(latency.p99_low_ps, latency.p99_high_ps)
    yield f"{outcome.frame_pj / 10**9:.3g}"


def precise(ps: int) -> str:
    """A time, seconds to the hundredth: delays are compared with each other."""
    return f"{ps / PS_PER_S:.2f} s" if ps >= PS_PER_S else format_time(ps)


def _within(low_ps: int, high_ps: int) -> str:
    low, unit = precise(low_ps).split()
    high, high_unit = precise(high_ps).split()
    if low == high and unit == high_unit:
        return "-"
    return f"{low}..{high} {unit}" if unit == high_unit else f"{low} {unit}..{high} {high_unit}"


def _remarks(comparison: Comparison) -> Iterable[str]:
    for outcome in comparison.outcomes:
        if outcome.report is not None and outcome.report.fate.lost:
            reasons = ", ".join(f"{n:,} {why}" for why, n in outcome.report.fate.lost.items())
            again = outcome.report.fate.recomputed
            yield f"{comparison.label(outcome)}: lost: {reasons}" + f"; {again:,} run again" * bool(
                again
            )
    best = comparison.best
    if best.report is None:
        return
    yield _shares(comparison, best.report)


def _shares(comparison: Comparison, report: Report) -> str:
    """How busy each actor is with the winner."""
    on_core = {user.name for user in comparison.workload.background if user.uses == CORE_USE}
    shares = (
        f"{actor}{' (core)' if actor in on_core else ''} {100 * report.utilisation(actor):.3g} %"
        for actor in report.busy_ps
        if report.busy_ps[actor]
    )
    return "busy: " + ", ".join(shares)


def _show_spreads(out: Console, comparison: Comparison) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    first, *figures = SPREAD_COLUMNS
    table.add_column(first, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for row in spread_rows(comparison):
        table.add_row(*row)
    out.print(Text(f"\n{spread_title(comparison)}", style="bold"))
    out.print(table)


SPREAD_COLUMNS = ("policy", "mean", "p99", "lost", "late", "mJ")


def spread_title(comparison: Comparison) -> str:
    """What the rows of `spread_rows` are."""
    seeds = next(iter(comparison.spreads.values())).seeds
    return f"Over {seeds} seeds: mean and half of its 95 % interval"


def spread_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Each policy's figures over many seeds, as `SPREAD_COLUMNS` names them."""
    for index, spread in comparison.spreads.items():
        yield (
            comparison.label(comparison.outcomes[index]),
            _time(spread.mean_ps),
            _time(spread.p99_ps),
            _percent(spread.lost),
            _percent(spread.missed),
            f"{spread.frame_pj.mean / 10**9:.3g}",
        )


def _time(figure: Figure) -> str:
    relative = 100 * figure.error / figure.mean if figure.mean else 0.0
    return f"{precise(round(figure.mean))} ±{relative:.2g} %"


def _percent(figure: Figure) -> str:
    return f"{100 * figure.mean:.2g} ±{100 * figure.error:.2g} %" if figure.most else "-"
