"""Ours against TiGrIS at one budget on one board: what holds, and where it can't, why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.rows import Row

MOVED_MARK = 0.50
LATENCY_MARK = 0.90


@dataclass(frozen=True, slots=True)
class Verdict:
    """Ratios are ours / TiGrIS, None where there is nothing to divide by.

    `holds` are the marks that are met: "budget", "moved", "latency". `reasons` are words for what
    no plan could reach.
    """

    budget: int
    board: str
    both: bool
    moved: float | None
    latency: float | None
    holds: frozenset[str]
    reasons: tuple[str, ...]
    text: str

    def document(self) -> dict[str, Any]:
        return {
            "budget_bytes": self.budget,
            "board": self.board,
            "comparable": self.both,
            "moved_ratio": self.moved,
            "latency_ratio": self.latency,
            "holds": sorted(self.holds),
            "reasons": list(self.reasons),
            "text": self.text,
        }


def judge(ours: Row, theirs: Row, board: str, compute_ps: int) -> Verdict:
    """The verdict on a budget; `compute_ps` is what the unmodified graph takes to compute."""
    budget = ours.budget or 0
    fits = _fits(ours)
    if not fits or not _fits(theirs):
        return _one_sided(budget, board, ours, theirs)
    holds = {"budget"}
    reasons: list[str] = []
    latency = ours.latency_ps[board] / theirs.latency_ps[board]
    share = compute_ps / theirs.latency_ps[board]
    words = ["both fit"]
    if theirs.moved:
        moved = (ours.moved or 0) / theirs.moved
        words.append(f"moved {_mark(moved, MOVED_MARK)}")
        holds |= {"moved"} if moved <= MOVED_MARK else set()
    else:
        moved = None
        words.append(f"TiGrIS moves nothing, ours {ours.moved or 0:,} B")
        reasons.append("TiGrIS moves nothing")
        holds |= set() if ours.moved else {"moved"}
    words.append(f"latency {_mark(latency, LATENCY_MARK)}")
    words.append(f"{ours.latency_ps[board] / theirs.bound_ps[board]:.2f} of its bound")
    if latency <= LATENCY_MARK:
        holds.add("latency")
    elif share > LATENCY_MARK:
        reasons.append(f"compute alone is {share:.1%} of TiGrIS's latency")
    text = ", ".join(words) + "".join(f"; {reason}" for reason in reasons)
    return Verdict(budget, board, True, moved, latency, frozenset(holds), tuple(reasons), text)


def _fits(row: Row) -> bool:
    return row.required is not None and row.budget is not None and row.required <= row.budget


def _one_sided(budget: int, board: str, ours: Row, theirs: Row) -> Verdict:
    """Where one of the two has no plan, there is nothing to compare but that."""
    fits = _fits(ours)
    missing = "ours" if not fits else "TiGrIS"
    row = theirs if fits else ours
    why = row.note if row.required is None else f"needs {row.required:,} B"
    words = f"only {'ours' if fits else 'TiGrIS'} fits"
    if not fits and not _fits(theirs):
        words = "neither fits"
    holds = frozenset({"budget"}) if fits else frozenset()
    text = f"{words}; {missing}: {why}"
    return Verdict(budget, board, False, None, None, holds, (), text)


def summary(verdicts: Sequence[Verdict]) -> list[str]:
    """How many of the points hold, and of those that don't, how many never could."""
    both = [v for v in verdicts if v.both]
    impossible = sum(any(r.startswith("compute") for r in v.reasons) for v in both)
    nothing = sum(v.moved is None and "moved" not in v.holds for v in both)
    held = {name: sum(name in v.holds for v in verdicts) for name in ("budget", "moved", "latency")}
    return [
        f"budget met by ours: {held['budget']} of {len(verdicts)} points, "
        f"{len(both)} of them by both",
        f"moved bytes <= {MOVED_MARK:.2f} of TiGrIS's: {held['moved']} of {len(both)}"
        + (f", not to be had in {nothing} where it moves nothing" if nothing else ""),
        f"latency <= {LATENCY_MARK:.2f} of TiGrIS's: {held['latency']} of {len(both)}"
        + (f", not to be had in {impossible} where computing alone takes more" * bool(impossible)),
    ]


def _mark(ratio: float, mark: float) -> str:
    return f"{ratio:.3f} ({'holds' if ratio <= mark else 'NOT'} <= {mark:.2f})"
