"""What people see of a Pareto front: a table, and a plot of latency over required arena."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from sim.front import Front, Point
from sim.policy import written_choice
from sim.render.plot import save_plot
from sim.render.tables import console, grouped
from sim.units import format_time

MOST_CHARACTERS = 150
"""Of a setting below the table; --json has it in full."""

MARKERS = "osD^vPp*h<>"
LOG_RATIO = 12
"""Latencies this many times apart are drawn on a logarithmic scale."""
LEAST_SPAN = 0.1
"""Of the longest latency, what the scale shows at least: a per cent should not look like much."""
FAR = 1.6
"""A budget this many times the largest arena is named, and not drawn."""
FRONT_COLOUR, BASELINE_COLOUR, BUDGET_COLOUR = "0.6", "black", "firebrick"


LABEL_WIDTH = 24
"""Characters of a policy in the table; its setting stands in full below."""


def show_front(front: Front, title: str) -> None:
    """The points by arena, each against the unmodified model; their settings below."""
    out, goal = console(), front.goal
    out.print(Text(title, style="bold"))
    out.print(
        f"{front.board.title}; budget at most {grouped(goal.sram_bytes)} B of SRAM, "
        f"least {goal.minimize}",
        style="dim",
    )
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", justify="right", no_wrap=True)
    for name in ("arena B", "change", "latency", "change", "stalls", "moved B"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("policy", overflow="ellipsis", no_wrap=True)
    for number, point in enumerate(front.points, 1):
        label = point.choice.label
        short = label if len(label) <= LABEL_WIDTH else point.choice.brief
        table.add_row(str(number), *_row(point, front.baseline), short[:LABEL_WIDTH])
    table.add_row("", *_row(front.baseline, front.baseline), "as it is", style="dim")
    out.print(table)
    for number, point in enumerate(front.points, 1):
        out.print(_setting(number, point), style="dim")
    if not front.fits:
        over = front.points[0].arena.required - goal.sram_bytes
        out.print(f"Nothing fits: the smallest is {grouped(over)} B over the budget.")


def _row(point: Point, baseline: Point) -> Iterable[str]:
    required, latency_ps, moved = point.cost
    stalls_ps = point.report.total_stall_ps
    return (
        grouped(required),
        _change(required, baseline.cost[0]),
        format_time(latency_ps),
        _change(latency_ps, baseline.cost[1]),
        format_time(stalls_ps) if stalls_ps else "-",
        grouped(moved) if moved else "-",
    )


def _change(value: int, first: int) -> str:
    return f"{100 * (value - first) / first:+.1f} %" if first and value != first else ""


def _setting(number: int, point: Point) -> Table:
    text = written_choice(point.choice.policies)
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]}…"
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=2, justify="right")
    line.add_column(overflow="fold")
    line.add_row(str(number), text)
    return line


def plot_front(front: Front, title: str, path: str, *, budget: bool) -> None:
    """Draws the points into a file, PNG or SVG by its name; with `budget` the goal's line too.

    Raises what `save_plot` raises.
    """
    save_plot(path, (9, 5.5), lambda figure: _draw(figure, front, title, budget))


def _draw(figure: Any, front: Front, title: str, budget: bool) -> None:
    axes = figure.add_subplot()
    drawn = (*front.points, front.baseline)
    _draw_step(axes, front)
    colours = _draw_points(axes, front)
    if colours is not None:
        figure.colorbar(colours, ax=axes, label="moved per inference (kB)", pad=0.02)
    axes.scatter(
        [_kb(front.baseline)], [_ms(front.baseline)],
        marker="X", s=110, c=BASELINE_COLOUR, edgecolors="white", label="as it is", zorder=4,
    )  # fmt: skip
    _scale(axes, drawn)
    subtitle = f"{front.board.title}, {front.goal.kernels} kernels"
    if budget:
        subtitle += f", budget {front.goal.sram_bytes / 1000:g} kB"
        _draw_budget(axes, front, max(map(_kb, drawn)))
    axes.set_title(f"{title}\n", loc="left", fontweight="bold", fontsize=12)
    axes.text(0, 1.02, subtitle, transform=axes.transAxes, fontsize=10, color="0.35")
    axes.set_xlabel("required arena (kB)")
    axes.set_ylabel("latency (ms)")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=True, framealpha=0.9, edgecolor="0.85")


def _draw_points(axes: Any, front: Front) -> Any:
    """The points, numbered as in the table, a marker per choice; what their colours stand for."""
    from matplotlib.colors import Normalize

    moved = max(p.report.moved_bytes for p in front.points) / 1000
    scale = Normalize(0, moved or 1)
    labels = list(dict.fromkeys(p.choice.label for p in front.points))
    shown = None
    for index, label in enumerate(labels):
        mine = [p for p in front.points if p.choice.label == label]
        shown = axes.scatter(
            [_kb(p) for p in mine], [_ms(p) for p in mine],
            c=[p.report.moved_bytes / 1000 for p in mine], cmap="plasma_r", norm=scale,
            marker=MARKERS[index % len(MARKERS)], s=80, edgecolors="black", linewidths=0.8,
            label=label if moved else f"{label} (nothing is moved)", zorder=3,
        )  # fmt: skip
    for number, point in enumerate(front.points, 1):
        axes.annotate(
            str(number), (_kb(point), _ms(point)), xytext=(7, 6), textcoords="offset points"
        )
    return shown if moved else None


def _draw_step(axes: Any, front: Front) -> None:
    """The least latency within each arena."""
    least = [
        p
        for i, p in enumerate(front.points)
        if not any(_ms(other) <= _ms(p) for other in front.points[:i])
    ]
    axes.step(
        [_kb(p) for p in least], [_ms(p) for p in least],
        where="post", color=FRONT_COLOUR, linewidth=1.2, zorder=2, label="least latency",
    )  # fmt: skip


def _draw_budget(axes: Any, front: Front, largest: float) -> None:
    kb = front.goal.sram_bytes / 1000
    if kb <= FAR * largest:
        axes.axvline(kb, color=BUDGET_COLOUR, linestyle="--", linewidth=1.2, label="budget")


def _scale(axes: Any, drawn: Iterable[Point]) -> None:
    """Room for the numbers; powers of ten where latencies lie far apart."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    times = [_ms(p) for p in drawn]
    axes.margins(0.08, 0.12)
    if min(times) > 0 and max(times) > LOG_RATIO * min(times):
        axes.set_yscale("log")
        few = max(times) < 1000 * min(times)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        return
    axes.ticklabel_format(useOffset=False, style="plain")
    low, high = axes.get_ylim()
    missing = LEAST_SPAN * max(times) - (high - low)
    if missing > 0:
        axes.set_ylim(low - missing / 2, high + missing / 2)


def _kb(point: Point) -> float:
    return point.arena.required / 1000


def _ms(point: Point) -> float:
    return point.report.latency.mean_ps / 10**9
