"""Memory maps as the page draws them: one for each policy that could be applied."""

from __future__ import annotations

from typing import Any

from sim.compare import Comparison
from sim.graph.roles import step_word
from sim.memory_map import KINDS, MemoryMap, explained, memory_map
from sim.program import Program
from sim.render.colours import BLOCKS
from sim.render.map_height import map_height

BLOCKS_MAX = 40_000
"""Maps are shown while they have so many blocks together; the winner's always is."""


def maps(comparison: Comparison) -> dict[str, Any]:
    """The winner's map first, then the others' in their order, as many as a page can take."""
    order = sorted(range(len(comparison.outcomes)), key=lambda i: i != comparison.winner)
    shown: list[dict[str, Any]] = []
    left_out: list[str] = []
    left = BLOCKS_MAX
    for index in order:
        outcome = comparison.outcomes[index]
        if outcome.program is None:
            continue
        label, size = comparison.label(outcome), len(outcome.program.plan.placements)
        if shown and size > left:
            left_out.append(label)
            continue
        left -= size
        shown.append(_map(label, outcome.program, comparison.goal.sram_bytes))
    return {
        "budget": comparison.goal.sram_bytes,
        "kinds": [{"name": kind, "colour": BLOCKS[kind]} for kind in KINDS],
        "shown": shown,
        "left_out": left_out,
    }


def _map(label: str, program: Program, budget_bytes: int) -> dict[str, Any]:
    """Blocks as [name, kind, first byte, end, first step, end, own bytes], what they share as

    [first byte, end, first step, end], steps as [kind, bytes in use, highest of them].
    """
    found = memory_map(program)
    kinds = dict.fromkeys(step.kind for step in found.steps)
    number = {kind: n for n, kind in enumerate(kinds)}
    height, far = map_height(found.peak_bytes, found.arena.required, budget_bytes)
    return {
        "label": label,
        "blocks": [
            [
                b.name, KINDS.index(b.kind), b.span.start, b.span.stop, b.steps.start, b.steps.stop,
                b.nbytes,
            ]
            for b in found.blocks
        ],
        "shared": [
            [span.start, span.stop, steps.start, steps.stop] for steps, span in found.shared()
        ],
        "first_step": found.steps[0].number,
        "op_kinds": list(kinds),
        "word": step_word(program.graph),
        "steps": [[number[s.kind], s.live_bytes, s.top_bytes] for s in found.steps],
        **_sizes(found),
        "height": height,
        "far": far,
        "peak": {"step": found.peak_step, "bytes": found.peak_bytes},
        "explained": list(explained(program, found)),
    }  # fmt: skip


def _sizes(found: MemoryMap) -> dict[str, int]:
    return {
        "head": found.peak_bytes,
        "persistent": found.arena.persistent,
        "temporary": found.arena.temporary,
        "required": found.arena.required,
    }
