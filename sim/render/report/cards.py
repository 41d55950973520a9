"""The headline cards of a report: what people ask first, each beside what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from sim.compare import Comparison
from sim.render.realtime import precise
from sim.report import Report

GOOD, BAD, PLAIN = "good", "bad", ""


def cards(comparison: Comparison, proven: bool | None, facts: Sequence[tuple[str, str]]) -> str:
    """The cards as HTML; `facts` go beneath them, a line each."""
    made = "".join(_cards(comparison, proven))
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f'<div class="cards">{made}</div><dl class="facts">{lines}</dl>'


def _cards(comparison: Comparison, proven: bool | None) -> Iterator[str]:
    best, goal = comparison.best, comparison.goal
    assert best.arena is not None and best.report is not None
    required, report = best.arena.required, best.report
    label = comparison.label(best)
    fits = best.fits(goal)
    yield _card("fits", "fits" if fits else "does not fit", f"with {label}", GOOD if fits else BAD)
    left = goal.sram_bytes - required
    beside = f"{left:,} B left of" if left >= 0 else f"{-left:,} B more than"
    yield _card(
        "arena", f"{required:,} B", f"required arena; {beside} {goal.sram_bytes:,} B",
        GOOD if left >= 0 else BAD, required / goal.sram_bytes,
    )  # fmt: skip
    yield _latency(comparison, report)
    yield _energy(comparison)
    yield from _fate(comparison, report)
    words = {True: "bit-exact", False: "DIFFERENT", None: "not judged"}
    state = {True: GOOD, False: BAD, None: PLAIN}[proven]
    yield _card(
        "proof", words[proven], "beside the original, in every runtime that can run it", state
    )


def _latency(comparison: Comparison, report: Report) -> str:
    if not report.fate.done:
        return _card("latency", "-", "no frame came to its end", BAD)
    mean_ps, p99_ps = report.latency.mean_ps, report.latency.p99_ps
    deadline_ps = comparison.workload.deadline_ps
    if not deadline_ps:
        return _card("latency", precise(mean_ps), f"a frame; 99 % within {precise(p99_ps)}")
    detail = f"a frame; 99 % within {precise(p99_ps)}, due after {precise(deadline_ps)}"
    kept = p99_ps <= deadline_ps
    return _card(
        "latency", precise(mean_ps), detail, GOOD if kept else BAD, p99_ps / deadline_ps
    )  # fmt: skip


def _energy(comparison: Comparison) -> str:
    used_pj, allowed_pj = comparison.best.frame_pj, comparison.goal.energy_pj
    value = f"{used_pj / 10**9:.3g} mJ"
    if not allowed_pj:
        return _card("energy", value, "from frame to frame")
    detail = f"from frame to frame; {allowed_pj / 10**9:.3g} mJ are allowed"
    return _card(
        "energy", value, detail, GOOD if used_pj <= allowed_pj else BAD, used_pj / allowed_pj
    )


def _fate(comparison: Comparison, report: Report) -> Iterator[str]:
    if not comparison.workload.eventful:
        return
    fate = report.fate
    failed = fate.lost_frames + fate.missed
    detail = f"of {fate.offered:,} frames: {fate.lost_frames:,} lost, {fate.missed:,} late"
    yield _card("frames", f"{fate.done - fate.missed:,} in time", detail, BAD if failed else GOOD)


def _card(
    name: str, value: str, detail: str, state: str = PLAIN, share: float | None = None
) -> str:
    """`share` of what is allowed, as a bar."""
    bar = ""
    if share is not None:
        width = min(100.0, 100 * share)
        bar = f'<div class="bar"><i style="width:{width:.1f}%"></i></div>'
    return (
        f'<div class="card {state}" id="card-{name}"><h3>{escape(name)}</h3>'
        f"<b>{escape(value)}</b>{bar}<span>{escape(detail)}</span></div>"
    )
