"""The report: one HTML file that opens offline, with its pictures drawn by BokehJS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from string import Template
from typing import Any

from sim import __version__
from sim.advice import largest_stalls
from sim.compare import Comparison, Outcome
from sim.device.constants import constants
from sim.errors import MissingToolError
from sim.policy import written_choice
from sim.render.colours import BUDGET, IN_USE, PEAK, RUNTIME
from sim.render.plot import INSTALL
from sim.render.realtime import SPREAD_COLUMNS, precise, spread_rows, spread_title
from sim.render.report.cards import cards
from sim.render.report.maps import maps
from sim.render.report.timeline import packed_timeline
from sim.render.tables import trust
from sim.trace import Trace
from sim.units import format_time

STALLS_SHOWN = 10
SCRIPTS = ("figures.js", "map.js", "time.js", "front.js", "page.js")
"""In this order: each uses what stands before it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a report is of: a comparison, a trace of its winner, and what is known beside.

    `proven` says whether the winner was found to compute what the model does, None where that was
    not judged; `facts` are lines of text with their names, such as the verdict of the runtimes.
    """

    title: str
    model: str
    comparison: Comparison
    trace: Trace
    proven: bool | None
    facts: Sequence[tuple[str, str]]


def check_report() -> None:
    """Raises MissingToolError without Bokeh."""
    if find_spec("bokeh") is None:
        raise MissingToolError(f"report.html: found no bokeh, wanted it: {INSTALL}")


def report_page(shown: Shown) -> str:
    """The page as text. Same input, same bytes. Raises what `check_report` raises."""
    check_report()
    folder = files("sim.render.report")
    page = Template((folder / "page.html").read_text("utf-8"))
    comparison = shown.comparison
    return page.substitute(
        title=escape(shown.title),
        subtitle=_subtitle(shown),
        style=(folder / "page.css").read_text("utf-8"),
        library=library(),
        script="\n".join((folder / name).read_text("utf-8") for name in SCRIPTS),
        data=_embedded(_data(shown)),
        cards=cards(comparison, shown.proven, shown.facts),
        stalls=_stalls(comparison),
        policies=_policies(comparison),
        spreads=_spreads(comparison),
        sources=_sources(comparison),
        trust=escape(trust(comparison)),
        version=__version__,
    )


def library() -> str:
    """BokehJS and its plotting interface, as they stand in the Python package."""
    from bokeh.resources import Resources

    found = Resources(mode="inline", components=["bokeh", "bokeh-api"]).js_raw[:2]
    return "\n".join(text.replace("</script", "<\\/script") for text in found)


def _embedded(data: dict[str, Any]) -> str:
    """JSON that can stand inside a script element, whatever names it holds."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


def _data(shown: Shown) -> dict[str, Any]:
    return {
        "colours": {"runtime": RUNTIME, "budget": BUDGET, "peak": PEAK, "in_use": IN_USE},
        "maps": maps(shown.comparison),
        "timeline": packed_timeline(shown.trace),
        "policies": _points(shown.comparison),
    }


def _points(comparison: Comparison) -> list[dict[str, Any]]:
    """The policies as points: required arena against latency."""
    return [
        {
            "label": comparison.label(o),
            "arena": o.arena.required,
            "latency": o.report.latency.mean_ps / 10**9,
            "p99": o.report.latency.p99_ps / 10**9,
            "fits": o.fits(comparison.goal),
            "winner": i == comparison.winner,
            "pareto": i in comparison.pareto,
        }
        for i, o in enumerate(comparison.outcomes)
        if o.arena is not None and o.report is not None and o.report.fate.done
    ]


def _subtitle(shown: Shown) -> str:
    board, goal = shown.comparison.board, shown.comparison.goal
    text = (
        f"{shown.model} on {board.title}, {board.core.name} at "
        f"{board.core.clock_hz / 10**6:g} MHz; budget {goal.sram_bytes:,} B of SRAM, "
        f"least {goal.minimize}"
    )
    return escape(text)


def _row(cells: Iterable[str], tag: str = "td", row: str = "") -> str:
    """Cells are HTML."""
    return f"<tr{row}>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _table(header: Sequence[str], rows: Iterable[str], name: str) -> str:
    head = _row((escape(text) for text in header), "th")
    return f'<table id="{name}"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _stalls(comparison: Comparison) -> str:
    best = comparison.best
    assert best.report is not None and best.program is not None
    found = largest_stalls(
        best.report, best.program, comparison.board, best.choice.params, STALLS_SHOWN
    )
    if not best.report.fate.done:
        return "<p>No frame came to its end.</p>"
    if not found:
        return "<p>The core never waits.</p>"
    rows = (_row(map(escape, (format_time(s.ps), s.cause, s.subject, s.advice))) for s in found)
    return _table(("a frame", "cause", "tensor or op", "what may help"), rows, "stalls")


POLICY_COLUMNS = (
    "", "policy", "fits", "peak B", "arena B", "budget", "mean", "p99", "stalls", "moved B",
    "mJ a frame", "late", "lost",
)  # fmt: skip


def _policies(comparison: Comparison) -> str:
    rows = (_policy(comparison, i, outcome) for i, outcome in enumerate(comparison.outcomes))
    return _table(POLICY_COLUMNS, rows, "policies")


def _policy(comparison: Comparison, index: int, outcome: Outcome) -> str:
    label = escape(comparison.label(outcome))
    if outcome.arena is None or outcome.report is None:
        return _row(("", label, "failed", f'<span class="note">{escape(outcome.error)}</span>'))
    report, required = outcome.report, outcome.arena.required
    latency, done = report.latency, report.fate.done
    mark = "★" * (index == comparison.winner) + "○" * (index in comparison.pareto)
    fits = outcome.fits(comparison.goal)
    verdict = '<span class="good">yes</span>' if fits else '<span class="bad">no</span>'
    cells = (
        mark, label + _setting(outcome), verdict, f"{outcome.arena.activations:,}", f"{required:,}",
        f"{100 * required / comparison.goal.sram_bytes:.0f} %",
        *((precise(ps) for ps in (latency.mean_ps, latency.p99_ps)) if done else "--"),
        format_time(report.total_stall_ps) if report.total_stall_ps else "-",
        f"{report.moved_bytes:,}" if report.moved_bytes else "-",
        f"{outcome.frame_pj / 10**9:.3g}",
        f"{report.fate.missed:,}", f"{report.fate.lost_frames:,}",
    )  # fmt: skip
    return _row(cells, row=' class="winner"' if index == comparison.winner else "")


def _spreads(comparison: Comparison) -> str:
    if not comparison.spreads:
        return ""
    rows = (_row(map(escape, row)) for row in spread_rows(comparison))
    table = _table(SPREAD_COLUMNS, rows, "spreads")
    return f"<h3>{escape(spread_title(comparison))}</h3>{table}"


def _setting(outcome: Outcome) -> str:
    """The parameters that were chosen, as a scenario or `--policy` takes them."""
    chosen = written_choice(outcome.choice.policies)
    if chosen in (outcome.choice.name, outcome.choice.label):
        return ""
    return f'<div class="setting" title="{escape(chosen)}">{escape(chosen)}</div>'


def _sources(comparison: Comparison) -> str:
    rows = (
        _row(
            (escape(c.path), escape(c.value), escape(c.source)),
            row=' class="assumed"' if c.assumed else "",
        )
        for c in constants(comparison.board)
    )
    return _table(("constant", "value", "where it comes from"), rows, "sources")
