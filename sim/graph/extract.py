"""A run of ops as a graph of its own: what a quick estimate of a stage looks at."""

from __future__ import annotations

from dataclasses import replace

from sim.graph.graph import Graph
from sim.graph.lifetimes import ARENA_ALIGNMENT, in_arena, timeline
from sim.graph.rewrite import drop_dead_tensors
from sim.ranges import Range, round_up


def extract(graph: Graph, steps: Range) -> Graph:
    """The ops of these steps; what they read comes in, what is read later goes out."""
    ops = graph.ops[steps.start : steps.stop]
    made = {t for op in ops for t in op.outputs}
    read = dict.fromkeys(t for op in ops for t in op.reads)
    later = {t for op in graph.ops[steps.stop :] for t in op.reads} | set(graph.outputs)
    inputs = tuple(t for t in read if t not in made and graph.tensors[t].data is None)
    outputs = tuple(t for t in (*inputs, *dict.fromkeys(made)) if t in later)
    part = replace(
        graph.without_plan(), ops=ops, inputs=inputs, outputs=tuple(sorted(outputs)), signatures=()
    )
    return drop_dead_tensors(part)


def bytes_beside(graph: Graph, steps: Range) -> int:
    """The most bytes alive during these steps that the ops there have nothing to do with."""
    ops = graph.ops[steps.start : steps.stop]
    used = {t for op in ops for t in (*op.reads, *op.outputs)}
    lifetimes, placed = timeline(graph).lifetimes, in_arena(graph)
    beside = [t for t, life in enumerate(lifetimes) if placed[t] and t not in used]
    return max(
        sum(
            round_up(graph.tensors[t].nbytes, ARENA_ALIGNMENT)
            for t in beside
            if step in lifetimes[t]
        )
        for step in range(steps.start, steps.stop)
    )
