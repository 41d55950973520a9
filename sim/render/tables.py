"""The tables that people read; good at 80 columns, without colour and in a pipe."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.compare import Comparison, Outcome
from sim.device.board import Board
from sim.device.cost import group
from sim.inspect import Inspection, advice
from sim.policy import Policy
from sim.shortfall import Shortfall
from sim.units import counted, format_time

WINNER, PARETO = "*", "o"
VERDICT_STYLES = {"passed": "green", "failed": "red", "skipped": "yellow"}
WEAR_WARNING_DAYS = 365
WIDTH, LEAST_WIDTH = 80, 60
"""Columns of what goes into a pipe, and those that a table needs: a terminal with less breaks its
lines, but loses nothing."""


def console() -> Console:
    """Standard output; no colour in a pipe or under NO_COLOR.

    Brackets are text: parameters and tensor names have them.
    """
    made = Console(highlight=False, markup=False)
    least = LEAST_WIDTH if sys.stdout.isatty() else WIDTH
    return made if made.width >= least else Console(highlight=False, markup=False, width=least)


def brief(name: str, width: int = 60) -> str:
    """A name with its middle left out where it is longer than that."""
    half = (width - 1) // 2
    return name if len(name) <= width else f"{name[:half]}…{name[-half:]}"


def grouped(nbytes: int) -> str:
    """Bytes with thousands apart, the form of all tables."""
    return f"{nbytes:,}"


def show_comparison(comparison: Comparison, title: str) -> None:
    """The policies side by side: what people ask first stands first."""
    out, goal = console(), comparison.goal
    out.print(Text(title, style="bold"))
    allowed = f", {goal.energy_pj / 10**9:.3g} mJ a frame" if goal.energy_pj else ""
    out.print(
        f"{comparison.board.title}; budget {grouped(goal.sram_bytes)} B of SRAM{allowed}, "
        f"least {goal.minimize}",
        style="dim",
    )
    for resident in comparison.residents:
        needs = grouped(resident.program.arena().required)
        out.print(f"beside it {resident.name}: {needs} B, {resident.role.arena} arena", style="dim")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("", width=2)
    table.add_column("policy", overflow="fold")
    for name in ("fits", "arena B", "budget", "latency", "change", "stalls", "moved B"):
        table.add_column(name, justify="right", no_wrap=True)
    first = _first_latency(comparison)
    for index, outcome in enumerate(comparison.outcomes):
        table.add_row(*_row(comparison, index, outcome, first))
    out.print(table)
    out.print(
        f"{WINNER} winner   {PARETO} no other is better in both arena and latency", style="dim"
    )
    for line in _remarks(comparison):
        out.print(line, soft_wrap=False)
    if comparison.workload.eventful or comparison.residents or comparison.spreads:
        from sim.render.realtime import show_over_time

        show_over_time(out, comparison)


def _first_latency(comparison: Comparison) -> int:
    reports = [o.report for o in comparison.outcomes if o.report is not None]
    return reports[0].latency.mean_ps if reports else 0


def _row(comparison: Comparison, index: int, outcome: Outcome, first: int) -> Iterable[Any]:
    mark = WINNER if index == comparison.winner else " "
    mark += PARETO if index in comparison.pareto else " "
    if outcome.arena is None or outcome.report is None:
        return (mark, comparison.label(outcome), Text("failed", style="red"), *[""] * 6)
    fits = outcome.fits(comparison.goal)
    latency, report = outcome.report.latency.mean_ps, outcome.report
    done = report.fate.done
    change = f"{100 * (latency - first) / first:+.1f} %" if first and done else ""
    return (
        mark,
        Text(comparison.label(outcome), style="bold" if index == comparison.winner else ""),
        Text("yes", style="green") if fits else Text("no", style="red"),
        grouped(outcome.arena.required),
        f"{100 * outcome.arena.required / comparison.goal.sram_bytes:.0f} %",
        format_time(latency) if done else "-",
        change,
        format_time(report.total_stall_ps) if report.total_stall_ps else "-",
        grouped(report.moved_bytes) if report.moved_bytes else "-",
    )


def _remarks(comparison: Comparison) -> Iterable[str]:
    """What the figures leave open: settings, stalls, wear, trust."""
    for outcome in comparison.outcomes:
        if outcome.error:
            yield f"{comparison.label(outcome)}: {outcome.error}"
        elif outcome.report is not None and outcome.report.moved:
            yield f"{comparison.label(outcome)}: {spilled(outcome)}{_stalled(outcome)}"
            yield from _wear(outcome, comparison)
    yield from _too_hungry(comparison)
    missing = comparison.shortfall
    if missing is not None:
        yield (
            f"Nothing fits: {grouped(missing.over_bytes)} B are missing; the smallest budget that "
            f"something was found for is {grouped(missing.smallest_bytes)} B."
        )
        yield f"In the way at {missing.where}: {_in_the_way(missing)}"
    yield from _battery(comparison)
    yield trust(comparison)


def _in_the_way(missing: Shortfall) -> str:
    """What adds up to the smallest budget that was found."""
    parts = [f"{brief(name)} ({grouped(nbytes)} B)" for name, nbytes in missing.alive]
    count, nbytes = missing.others
    if count:
        parts.append(f"{counted(count, 'other')} ({grouped(nbytes)} B)")
    text = ", ".join(parts)
    if missing.overlap_bytes:
        text += f", overlapping by {grouped(missing.overlap_bytes)} B"
    if missing.idle_bytes:
        text += f"; {grouped(missing.idle_bytes)} B are not in use then"
    if missing.fixed_bytes:
        text += f"; {grouped(missing.fixed_bytes)} B are the runtime's"
    return text


def _too_hungry(comparison: Comparison) -> Iterable[str]:
    """That what fits into the SRAM takes more energy than a frame may."""
    limit_pj, sram = comparison.goal.energy_pj, comparison.goal.sram_bytes
    fitting = [
        o.frame_pj for o in comparison.outcomes
        if o.arena is not None and o.report is not None and o.arena.required <= sram
    ]  # fmt: skip
    if limit_pj and fitting and min(fitting) > limit_pj:
        yield (
            f"Nothing keeps to both budgets: {limit_pj / 10**9:.3g} mJ a frame are allowed, and "
            f"what fits into the SRAM takes {min(fitting) / 10**9:.3g} mJ or more."
        )


def trust(comparison: Comparison) -> str:
    """How far the times can be believed: the profile's error, and what it only assumes here."""
    profile = comparison.board.core.profile
    error = f"within {profile.error_percent:g} %" if profile.error_percent else "error not known"
    state = "calibrated" if profile.calibrated else "not calibrated"
    groups = {group(comparison.graph, op) for op in comparison.graph.all_ops()}
    assumed = sorted(
        name
        for name in groups
        if any(
            key.endswith(f".{name}") and source.startswith("assumed")
            for key, source in profile.sources.items()
        )
    )
    text = f"Times: {profile.title or profile.name}; {state}, {error}"
    return f"{text}; assumed for {', '.join(assumed)}." if assumed else f"{text}."


def spilled(outcome: Outcome) -> str:
    """What an outcome moves and where to."""
    assert outcome.report is not None
    parts = [
        f"{grouped(m.written)} B out and {grouped(m.read)} B back over {storage}"
        for storage, m in outcome.report.moved.items()
    ]
    return ", ".join(parts)


def _stalled(outcome: Outcome) -> str:
    assert outcome.report is not None
    stalls = [(cause, ps) for cause, ps in outcome.report.stall_ps.items() if ps]
    worst = sorted(stalls, key=lambda item: -item[1])
    if not worst:
        return ", hidden behind the computation"
    return "; waits: " + ", ".join(f"{cause} {format_time(ps)}" for cause, ps in worst)


def _wear(outcome: Outcome, comparison: Comparison) -> Iterable[str]:
    """A warning for each storage that wears out within a year."""
    assert outcome.report is not None
    usage = comparison.usage
    paced = f"a frame each {format_time(usage.period_ps)}" if usage.period_ps else "without a pause"
    for name, days in usage.wear_days(outcome.report, comparison.board).items():
        if days < WEAR_WARNING_DAYS:
            yield f"  {name} wears out after {days:,.3g} days, {paced}"


def _battery(comparison: Comparison) -> Iterable[str]:
    """How long the battery lasts with the winner."""
    best, usage = comparison.best, comparison.usage
    if best.report is None:
        return
    days = usage.battery_days(best.report, comparison.board)
    if days is not None:
        each = usage.frame_pj(best.report, comparison.board) / 10**9
        yield (
            f"The battery lasts {days:,.3g} days with {comparison.label(best)}: {each:.3g} mJ from "
            f"frame to frame, the core alone."
        )


def show_inspection(found: Inspection, path: str, board: Board | None) -> None:
    """The peak, what is alive there, and what could be done."""
    out = console()
    graph = found.graph
    out.print(Text(path, style="bold"))
    out.print(
        f"{len(graph.ops)} ops, {grouped(graph.weights_bytes)} B of weights, "
        f"{len(graph.tensors)} tensors",
        style="dim",
    )
    sizes = Table(box=None, pad_edge=False, show_header=False)
    sizes.add_column("")
    sizes.add_column("", justify="right")
    sizes.add_column("")
    proof = f"no byte shared; {'proven the least' if found.proven else 'best found'}"
    sizes.add_row("TFLM's own plan", f"{grouped(found.tflm.plan.size_bytes)} B", "")
    sizes.add_row("best placement", f"{grouped(found.packed.plan.size_bytes)} B", proof)
    sizes.add_row(
        "lower bound", f"{grouped(found.lower_bound_bytes)} B", "whole tensors, this order"
    )
    arena = found.tflm.arena()
    sizes.add_row(
        "required arena",
        f"{grouped(arena.required)} B",
        f"as it is: + {grouped(arena.persistent)} B persistent, "
        f"{grouped(arena.temporary)} B temporary",
    )
    if board is not None:
        left = board.largest_usable_bytes
        verdict = "fits" if arena.required <= left else "does not fit"
        sizes.add_row(f"{board.name}", f"{grouped(left)} B", f"usable for the arena: {verdict}")
    out.print(sizes)
    out.print(
        f"\nThe peak is at op {found.peak.step}, {found.peak_kind}: "
        f"{grouped(found.peak.bytes)} B are alive."
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("tensor", overflow="ellipsis", no_wrap=True, max_width=36)
    table.add_column("why it is there")
    for alive in found.alive:
        share = f"{100 * alive.nbytes / found.peak.bytes:.0f} %"
        table.add_row(grouped(alive.nbytes), share, alive.name, alive.role)
    out.print(table)
    for line in advice(found):
        out.print(f"- {line}")


def show_policies(rows: Sequence[tuple[str, str, str]]) -> None:
    """Policies: name, what it does, parameters with defaults."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy", no_wrap=True)
    table.add_column("what it does")
    table.add_column("parameters")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def show_policy(policy: type[Policy], defaults: Mapping[str, Any]) -> None:
    """One policy: what it does, and each parameter with its default."""
    out = console()
    out.print(Text(f"{policy.name}: {policy.summary}", style="bold"))
    for paragraph in inspect.cleandoc(policy.__doc__ or "").split("\n\n"):
        out.print(" ".join(paragraph.splitlines()))
    for name, default in defaults.items():
        out.print(f"  {name} = {'chosen for the goal' if default is None else default}")


def show_findings(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Checks of a policy: check, model, verdict, message; and how many came out how."""
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("check", "model", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for check, model, verdict, message in rows:
        styled = Text(verdict, style=VERDICT_STYLES[verdict])
        table.add_row(check, model, styled, Text(message))
    out.print(table)
    verdicts = [row[2] for row in rows]
    out.print(", ".join(f"{verdicts.count(name)} {name}" for name in VERDICT_STYLES))


def show_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Names and values, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    console().print(table)
