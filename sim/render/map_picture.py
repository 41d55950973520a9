"""The memory map as a picture for slides."""

from __future__ import annotations

from typing import Any

from sim.memory_map import KINDS, MemoryMap
from sim.render.colours import BLOCKS, BUDGET, IN_USE, PEAK, RUNTIME
from sim.render.map_height import map_height
from sim.render.plot import plot_bytes

SIZE = (12.0, 6.0)
"""Inches."""


def map_picture(found: MemoryMap, budget_bytes: int, title: str, name: str) -> bytes:
    """The map as PNG or SVG, by the file's name. Raises what `plot_bytes` raises."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _draw_map(axes, found, budget_bytes)
        axes.set_title(title, loc="left")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=7, frameon=False)

    return plot_bytes(name, SIZE, draw)


def _draw_map(axes: Any, found: MemoryMap, budget_bytes: int) -> None:
    """Blocks by kind, what is in use, what the runtime takes, the budget and the peak."""
    for kind in KINDS:
        mine = [block for block in found.blocks if block.kind == kind]
        axes.bar(
            [block.steps.start - 0.5 for block in mine],
            [block.span.length for block in mine],
            [block.steps.length for block in mine],
            [block.span.start for block in mine],
            align="edge", color=BLOCKS[kind], edgecolor="white",
            linewidth=min(0.8, 40 / max(1, len(found.blocks))), label=kind if mine else None,
        )  # fmt: skip
    shared = list(found.shared())
    axes.bar(
        [steps.start - 0.5 for steps, _ in shared],
        [span.length for _, span in shared],
        [steps.length for steps, _ in shared],
        [span.start for _, span in shared],
        align="edge", color="none", edgecolor="#00000055", hatch="////", linewidth=0,
        label="shared" if shared else None,
    )  # fmt: skip
    numbers = [step.number for step in found.steps]
    live = [step.live_bytes for step in found.steps]
    axes.step(numbers, live, where="mid", color=IN_USE, linestyle=":", label="in use")
    left, right = numbers[0] - 0.5, numbers[-1] + 0.5
    own = found.arena.required - found.peak_bytes
    axes.bar(
        left, own, right - left, found.peak_bytes,
        align="edge", color=RUNTIME, alpha=0.45, label="the runtime's own",
    )  # fmt: skip
    height, far = map_height(found.peak_bytes, found.arena.required, budget_bytes)
    if "budget" not in far:
        axes.axhline(budget_bytes, color=BUDGET, linestyle="--", label="budget")
    _mark_peak(axes, found, left, right)
    axes.set_xlim(left, right)
    axes.set_ylim(0, height)
    if far:
        above = ", ".join(f"{name} {nbytes:,} B" for name, nbytes in far.items())
        text = f"far above: {above}"
        axes.text(0.01, 0.98, text, color=BUDGET, va="top", transform=axes.transAxes)
    axes.set_xlabel("step (op)")
    axes.set_ylabel("bytes of the arena")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)


def _mark_peak(axes: Any, found: MemoryMap, left: float, right: float) -> None:
    late = found.peak_step > (left + right) / 2
    axes.annotate(
        f"peak {found.peak_bytes:,} B",
        (found.peak_step, found.peak_bytes),
        xytext=(-40 if late else 40, -16),
        textcoords="offset points",
        ha="right" if late else "left",
        color=PEAK,
        fontweight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
        arrowprops={"arrowstyle": "->", "color": PEAK},
    )
