"""A run of ops by itself: whether it is closed, and it as a graph of its own.

The latter is what a quick estimate of a stage looks at.
"""

from __future__ import annotations

from dataclasses import replace

from sim.graph.graph import Graph
from sim.graph.lifetimes import ARENA_ALIGNMENT, in_arena, timeline
from sim.graph.rewrite import drop_dead_tensors
from sim.ranges import Range, round_up


def is_closed(graph: Graph, steps: Range, stored: frozenset[str] = frozenset()) -> bool:
    """Whether each op makes one tensor, and all but the last one's are read here and only here.

    Ops outside may read tensors named in `stored`, which they find in a storage.
    """
    ops = graph.ops[steps.start : steps.stop]
    if any(len(op.outputs) != 1 for op in ops):
        return False
    inside = {op.outputs[0] for op in ops[:-1]}
    read = {t for op in ops for t in op.reads}
    outside = {t for s, op in enumerate(graph.ops) if s not in steps for t in op.reads}
    outside -= {t for t in inside if graph.tensors[t].name in stored}
    return inside <= read and inside.isdisjoint(outside | set(graph.outputs))


def extract(
    graph: Graph, steps: Range, stored: frozenset[str] = frozenset(), *, leaves: bool = False
) -> Graph:
    """The ops of these steps; what they read comes in, what is read later goes out.

    Tensors named in `stored` don't go out: they leave through a storage. Of those that no op here
    reads this holds with `leaves` alone.
    """
    ops = graph.ops[steps.start : steps.stop]
    made = {t for op in ops for t in op.outputs}
    read = dict.fromkeys(t for op in ops for t in op.reads)
    later = {t for op in graph.ops[steps.stop :] for t in op.reads} | set(graph.outputs)
    inputs = tuple(t for t in read if t not in made and graph.tensors[t].data is None)
    outputs = tuple(
        t
        for t in (*inputs, *dict.fromkeys(made))
        if t in later
        and not (t in made and (leaves or t in read) and graph.tensors[t].name in stored)
    )
    part = replace(
        graph.without_plan(), ops=ops, inputs=inputs, outputs=tuple(sorted(outputs)), signatures=()
    )
    return drop_dead_tensors(part)


def bytes_beside(graph: Graph, steps: Range, stored: frozenset[str] = frozenset()) -> int:
    """The most bytes alive during these steps that the ops there have nothing to do with.

    Without tensors named in `stored`, which wait elsewhere.
    """
    ops = graph.ops[steps.start : steps.stop]
    used = {t for op in ops for t in (*op.reads, *op.outputs)}
    lifetimes, placed = timeline(graph).lifetimes, in_arena(graph)
    beside = [
        t
        for t, life in enumerate(lifetimes)
        if placed[t] and t not in used and graph.tensors[t].name not in stored
    ]
    return max(
        sum(
            round_up(graph.tensors[t].nbytes, ARENA_ALIGNMENT)
            for t in beside
            if step in lifetimes[t]
        )
        for step in range(steps.start, steps.stop)
    )
