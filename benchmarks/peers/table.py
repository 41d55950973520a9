"""The table of a model, its verdicts and the summary, to be read at 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.peers.rows import Row
from benchmarks.peers.verdict import Verdict

WIDTH = 100
PS_PER_MS = 10**9


def show_model(
    console: Console,
    title: str,
    rows: Sequence[Row],
    verdicts: Sequence[Verdict],
    boards: Mapping[str, str],
) -> None:
    """`boards` are short names by the boards' own: the heads of the columns."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("tool", no_wrap=True)
    for head in ("budget", "activ.", "required", "written", "read", "MACs"):
        table.add_column(head, justify="right", no_wrap=True)
    for short in boards.values():
        table.add_column(f"{short} ms", justify="right", no_wrap=True)
        table.add_column(f"{short} >=", justify="right", no_wrap=True)
    table.add_column("wall", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, boards))
    console.print(table)
    for row in rows:
        if row.note:
            console.print(Text(f"  {_label(row)}: {row.note}"))
    for verdict in verdicts:
        console.print(Text(f"  {verdict.budget:,} B, {boards[verdict.board]}: {verdict.text}"))
    console.print()


def show_summary(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(line))


def short(row: Row, board: str) -> Row:
    """A row of ours with the board that it holds for in its name."""
    return replace(row, tool=f"{row.tool}, {board}")


def _label(row: Row) -> str:
    return row.tool if row.budget is None else f"{row.tool}, {row.budget:,} B"


def _cells(row: Row, boards: Mapping[str, str]) -> list[str]:
    cells = [row.tool]
    cells += [_count(n) for n in (row.budget, row.activations, row.required, row.written, row.read)]
    cells.append("" if row.macs is None else f"{row.macs / 10**6:.2f}M")
    for board in boards:
        cells += [_ms(row.latency_ps.get(board)), _ms(row.bound_ps.get(board))]
    cells.append("" if row.seconds is None else f"{row.seconds:.1f} s")
    return cells


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _ms(ps: int | None) -> str:
    """Milliseconds with about four digits."""
    if ps is None:
        return ""
    ms = ps / PS_PER_MS
    return f"{ms:.2f}" if ms < 100 else f"{ms:.1f}" if ms < 1000 else f"{ms:,.0f}"
