"""The winner, told on the console: its memory over the ops, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.padding import Padding
from rich.text import Text

from sim.advice import largest_stalls
from sim.compare import Comparison
from sim.memory_map import memory_map
from sim.render.tables import brief, console, grouped
from sim.terminal import encodes
from sim.units import counted, format_time

STALLS_SHOWN = 3
WORTH_TELLING = 1000
"""Waits that are so many times less than all together are left to the report."""
BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.:-=+*#"
"""From the least to the most; the second where the output can't encode the first."""
SPARKLINE_WIDTH = 76


def show_winner(comparison: Comparison) -> None:
    """The bytes in use op by op as a line of bars, and the three longest waits with advice."""
    out, best = console(), comparison.best
    assert best.program is not None and best.report is not None
    found = memory_map(best.program)
    out.print(
        Text(
            f"\nMemory of {comparison.label(best)} over its {counted(len(found.ops), 'op')}",
            style="bold",
        )
    )
    live = [found.of_op(index).live_bytes for index in range(len(found.ops))]
    line = sparkline(live, SPARKLINE_WIDTH)
    out.print(line if encodes(out.encoding, line) else line.translate(str.maketrans(BLOCKS, ASCII)))
    peak = found.peak
    out.print(f"peak {grouped(found.peak_bytes)} B at {peak.where}", style="dim")
    stalls = largest_stalls(
        best.report, best.program, comparison.board, best.choice.params, STALLS_SHOWN
    )
    total_ps = best.report.total_stall_ps
    if not stalls:
        return
    told = f"\nThe core waits {format_time(total_ps)} a frame, the longest for"
    out.print(Text(told, style="bold"))
    for stall in stalls:
        if stall.ps * WORTH_TELLING < total_ps:
            continue
        out.print(f"{format_time(stall.ps):>8}  {stall.cause}, {brief(stall.subject)}")
        out.print(Padding(Text(stall.advice, style="dim"), (0, 0, 0, 10), expand=False))


def sparkline(values: Sequence[int], width: int) -> str:
    """Bars for values of 0 or more, the largest of neighbours where there are more than columns."""
    count = len(values)
    columns = min(count, width)
    highest = max(values, default=0) or 1
    made = []
    for column in range(columns):
        part = values[column * count // columns : (column + 1) * count // columns]
        made.append(BLOCKS[min(len(BLOCKS) - 1, max(part) * len(BLOCKS) // highest)])
    return "".join(made)
