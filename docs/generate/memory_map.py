"""Draws a program: its ops as a strip of boxes, below it the arena's bytes over the ops.

The blocks below, what they are called and their colours are those of report.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from matplotlib.patches import Patch

from sim import memory_map
from sim.graph.graph import Op
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE
from sim.memory_map import Block, MemoryMap
from sim.program import Program
from sim.ranges import Range
from sim.render.colours import BLOCKS, PEAK
from sim.transfers import transfers

CONVOLUTION, DEPTHWISE, OTHER, MOVE = "#3f8fbf", "#a9d8f0", "#d9d9d9", "#5c6b75"
SPILL, FETCH = BLOCKS[memory_map.SPILLED], BLOCKS[memory_map.FETCHED]
OPS = {
    "convolution, dense": (CONVOLUTION, {"CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}),
    "depthwise": (DEPTHWISE, {"DEPTHWISE_CONV_2D"}),
    "slice, concat, pad": (MOVE, {"SLICE", "STRIDED_SLICE", "CONCATENATION", "PAD", "SPLIT"}),
    "spill": (SPILL, {VAR_HANDLE, ASSIGN}),
    "fetch": (FETCH, {READ}),
}
"""The colour of an op's box, and its kinds; all others are OTHER."""
DARK = frozenset({CONVOLUTION, MOVE, SPILL})
DARK_BLOCKS = frozenset({memory_map.INPUT, memory_map.OUTPUT, memory_map.KEPT, memory_map.SPILLED})
STANDING_OUT = frozenset({VAR_HANDLE, ASSIGN, READ})
SHORT = {
    "CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "TRANSPOSE_CONV": "conv up",
    "FULLY_CONNECTED": "dense", "MAX_POOL_2D": "max pool", "AVERAGE_POOL_2D": "pool",
    "CONCATENATION": "concat", "STRIDED_SLICE": "slice", VAR_HANDLE: "slot", ASSIGN: "SPILL",
    READ: "FETCH",
}  # fmt: skip
FEW, SOME = 17, 32
"""Ops whose boxes have room for a long label, or a short one."""
TITLE_WIDTH = 52
"""Characters of a title's line."""
HEADS = ("before: ", "after: ")


@dataclass(frozen=True, slots=True)
class Panel:
    """A program, what made it, and how long it takes."""

    title: str
    program: Program
    time: str = ""

    @property
    def told(self) -> str:
        """The panel in words."""
        ops, peak = len(self.program.graph.ops), self.program.plan.size_bytes
        return ", ".join(
            part for part in (self.title, f"{ops} ops", f"{peak:,} B", self.time) if part
        )


def draw(figure: Any, panels: Sequence[Panel]) -> None:
    """The panels side by side, their bytes on one scale, and a legend of the colours."""
    moving = any(_waiting(panel.program) for panel in panels)
    heights = [1.15, 0.5, 4.4] if moving else [1.15, 4.4]
    grid = figure.subplots(len(heights), len(panels), gridspec_kw={"height_ratios": heights})
    maps = [memory_map.memory_map(panel.program) for panel in panels]
    top = max(found.peak_bytes for found in maps)
    numbers = _numbers(panels)
    for column, panel in enumerate(panels):
        axes = [row[column] for row in grid]
        _strip(axes[0], panel, HEADS[column], numbers)
        if moving:
            _outside(axes[1], panel.program, first=column == 0)
        _arena(axes[-1], maps[column], top, first=column == 0)
    _legends(figure, panels, maps)


def _numbers(panels: Sequence[Panel]) -> Mapping[str, int]:
    """Where the ops of the last panel stood in the first, by their outputs' names.

    Empty where they are still in that order, or there are others.
    """
    first, last = ([_output(p.program, op) for op in p.program.graph.ops] for p in panels)
    if first == last or sorted(first) != sorted(last):
        return {}
    return {name: step for step, name in enumerate(first)}


def _output(program: Program, op: Op) -> str:
    return program.graph.tensors[op.outputs[0]].name if op.outputs else ""


def _colour(kind: str) -> str:
    return next((colour for colour, kinds in OPS.values() if kind in kinds), OTHER)


def _strip(axes: Any, panel: Panel, head: str, numbers: Mapping[str, int]) -> None:
    """The ops in running order."""
    ops = panel.program.graph.ops
    width = 0.9 if len(ops) <= SOME else 1.0
    for step, op in enumerate(ops):
        low, high = (-0.12, 1.12) if op.kind in STANDING_OUT else (0, 1)
        _box(axes, step, width, low, high, _colour(op.kind))
        number = numbers.get(_output(panel.program, op))
        if len(ops) <= SOME:
            _name(
                axes, step, op.kind, "" if number is None else f"{number}: ", long=len(ops) <= FEW
            )
    time = f", {panel.time}" if panel.time else ""
    title = "\n".join(wrap(head + panel.title, TITLE_WIDTH))
    axes.set_title(f"{title}\n{len(ops)} ops{time}", fontsize=13, loc="left")
    _bare(axes, len(ops))
    axes.set_ylim(-0.15, 1.15)


def _name(axes: Any, step: int, kind: str, number: str, *, long: bool) -> None:
    axes.text(
        step, 0.5, number + SHORT.get(kind, kind.lower()), rotation=90, ha="center", va="center",
        fontsize=10 if long and not number else 8.5,
        color="white" if _colour(kind) in DARK else "black",
    )  # fmt: skip


def _outside(axes: Any, program: Program, *, first: bool) -> None:
    """Which bytes wait outside the arena, from the spill to the end of the last fetch."""
    rows = _waiting(program)
    for row, (_, steps, _) in enumerate(rows):
        width = steps.length
        middle = steps.start + width / 2 - 0.5
        _box(axes, middle, width, row / len(rows), (row + 0.9) / len(rows), SPILL)
    if rows:
        names = ", ".join(dict.fromkeys(name for name, _, _ in rows))
        start, stop = min(s.start for _, s, _ in rows), max(s.stop for _, s, _ in rows)
        axes.text(
            (start + stop) / 2 - 0.5, 0.5, f"{sum(n for _, _, n in rows):,} B in {names}",
            ha="center", va="center", fontsize=10,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    _bare(axes, len(program.graph.ops))
    axes.set_ylim(0, 1)
    if first:
        axes.set_ylabel("outside", fontsize=10, rotation=0, ha="right", va="center")
    for side in ("top", "bottom"):
        axes.spines[side].set(visible=True, color="#bbbbbb")


def _waiting(program: Program) -> list[tuple[str, Range, int]]:
    """Storage, steps and bytes of each slot."""
    found: dict[tuple[str, str], tuple[str, Range, int]] = {}
    for move in transfers(program):
        key = (move.storage, move.slot)
        steps = found[key][1] if key in found else Range(move.step, move.done_before)
        steps = Range(min(steps.start, move.step), max(steps.stop, move.done_before))
        found[key] = (move.storage, steps, move.nbytes)
    return list(found.values())


def _arena(axes: Any, found: MemoryMap, top: int, *, first: bool) -> None:
    """What lies where, and what shares bytes: a view with its whole, an output with its input."""
    blocks = sorted(found.blocks, key=lambda block: (-block.nbytes, block.steps.start))
    for block in blocks:
        _fill(axes, block.steps, block.span, facecolor=BLOCKS[block.kind], edgecolor="white")
    for steps, span in found.shared():
        _fill(axes, steps, span, facecolor="none", edgecolor="white", hatch="////")
    for block in blocks:
        _bytes(axes, block, found, top)
    peak, last = found.peak_bytes, found.steps[-1].number + 0.5
    axes.axhline(peak, color=PEAK, linewidth=1.6, linestyle=(0, (4, 2)))
    axes.text(
        last, peak + 0.01 * top, f"{peak:,} B", ha="right", va="bottom", fontsize=13,
        fontweight="bold", color=PEAK,
    )  # fmt: skip
    axes.set(xlim=(-1.5, last), ylim=(0, 1.09 * top))
    axes.set_xlabel("step (op)", fontsize=12)
    axes.set_ylabel("bytes of the arena" if first else "", fontsize=12)
    axes.tick_params(labelsize=11, labelleft=first)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def _fill(axes: Any, steps: Range, span: Range, **look: Any) -> None:
    left, right = max(steps.start, -1) - 0.5, steps.stop - 0.5
    axes.fill_between([left, right], span.start, span.stop, linewidth=0.8, **look)


def _bytes(axes: Any, block: Block, found: MemoryMap, top: int) -> None:
    """The bytes of what has room for the number, and nothing else there."""
    number = f"{block.nbytes:,}"
    width, height = (0.019 * len(number) + 0.01) * len(found.steps), 0.045 * top
    if block.steps.length < width or block.span.length < height:
        return
    x, y = (block.steps.start + block.steps.stop) / 2, (block.span.start + block.span.stop) / 2
    for other in found.blocks:
        beside = other.steps.stop <= x - width / 2 or other.steps.start >= x + width / 2
        apart = other.span.stop <= y - height / 2 or other.span.start >= y + height / 2
        if other is not block and not beside and not apart:
            return
    dark = block.kind in DARK_BLOCKS
    axes.text(
        x - 0.5, y, number, ha="center", va="center", fontsize=10,
        color="white" if dark else "black",
    )  # fmt: skip


def _box(axes: Any, middle: float, width: float, low: float, high: float, colour: str) -> None:
    axes.bar(
        middle, high - low, width, low, color=colour, edgecolor="white", linewidth=0.5,
    )  # fmt: skip


def _bare(axes: Any, ops: int) -> None:
    axes.set(xlim=(-1.5, ops - 0.5), xticks=[], yticks=[])
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)


def _legends(figure: Any, panels: Sequence[Panel], maps: Sequence[MemoryMap]) -> None:
    """Above, the colours of the ops; below, those of what lies in the arena."""
    kinds = {op.kind for panel in panels for op in panel.program.graph.ops}
    ops = [(label, colour) for label, (colour, own) in OPS.items() if own & kinds]
    if kinds - set().union(*(own for _, own in OPS.values())):
        ops.append(("other op", OTHER))
    _legend(figure, "outside upper left", [Patch(facecolor=c, label=label) for label, c in ops])
    used = {block.kind for found in maps for block in found.blocks if block.nbytes}
    blocks = [
        Patch(facecolor=BLOCKS[kind], label=kind) for kind in memory_map.KINDS if kind in used
    ]
    if any(True for found in maps for _ in found.shared()):
        blocks.append(Patch(facecolor="#999999", edgecolor="white", hatch="////", label="shared"))
    _legend(figure, "outside lower center", blocks)


def _legend(figure: Any, where: str, handles: Sequence[Patch]) -> None:
    figure.legend(
        handles=handles, loc=where, ncols=len(handles), frameon=False, fontsize=11,
        handlelength=1.2, columnspacing=1.4,
    )  # fmt: skip
