"""Runs a segment of a graph depth first, a few rows at a time, keeping halo rows or computing anew.

A segment is a run of ops whose tensors nobody else reads, but for the last. Each tensor inside it
exists only as pieces of a few rows, made when a later op asks for them and gone when all have read
them. Padding goes onto the pieces, where the one reader wants it. Along axis 2 all is the same with
columns.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from sim.errors import CannotFitError
from sim.graph.cut import Cut
from sim.graph.extract import is_closed
from sim.graph.feed import Feed, slot_name
from sim.graph.graph import Graph, Op
from sim.graph.padding import COLUMNS, ROWS
from sim.graph.rewrite import Rewrite, drop_dead_tensors
from sim.graph.rows import demands
from sim.graph.striper import Striper
from sim.ranges import Range

__all__ = ["Cut", "Feed", "is_segment", "patch", "store", "stripe"]


def is_segment(graph: Graph, steps: Range, axis: int = ROWS, feed: Feed | None = None) -> bool:
    """Whether the ops can be striped together: nothing inside is read outside, rules for all.

    What the feed writes to a storage may be read outside: its readers are fed.
    """
    ops = graph.ops[steps.start : steps.stop]
    if not ops or not all(_can_stripe(graph, op, axis) for op in ops):
        return False
    made = {op.outputs[0] for op in ops}
    for op in ops:  # what is read whole must be there already
        rows = Range(0, graph.tensors[op.outputs[0]].shape[axis])
        asked = {d.tensor for d in demands(graph, op, rows, axis) or ()}
        if made.intersection(op.reads) - asked:
            return False
    if any(ops[-1].outputs[0] in op.reads for op in ops):
        return False
    return is_closed(graph, steps, feed.tensors if feed else frozenset())


def _can_stripe(graph: Graph, op: Op, axis: int) -> bool:
    if len(op.outputs) != 1 or len(graph.tensors[op.outputs[0]].shape) != 4:
        return False
    height = graph.tensors[op.outputs[0]].shape[axis]
    return demands(graph, op, Range(0, height), axis) is not None


def stripe(graph: Graph, steps: Range, how: Cut, feed: Feed | None = None) -> Graph:
    """The graph with the segment's output computed some rows at a time.

    With `feed`, the segment takes the rows of the graph's inputs from a storage; an input that
    nobody else reads is no input any more. Raises PolicyError if the graph has control flow,
    ModelError if an op outside reads whole what the feed keeps by rows.
    """
    made, _ = _striped(graph, steps, how, feed)
    return without_unread_inputs(made, graph) if feed else made


def store(graph: Graph, tensor: int, feed: Feed, drain: int = 0) -> Graph:
    """The graph with a tensor's rows written to their slots right after it is made.

    Writing may go on for `drain` ops more. Raises PolicyError if the graph has control flow,
    CannotFitError if the feed wants channels apart.
    """
    edit, made = Rewrite(graph), graph.tensors[tensor]
    if feed.channels_of(made.name):
        raise CannotFitError(
            f"{graph.name}: tensor {made.name!r}: its channels are wanted apart in {feed.storage}, "
            "which only ops that run by rows can do"
        )
    maker = next((s for s, op in enumerate(graph.ops) if tensor in op.outputs), -1)
    for part in feed.parts(Range(0, made.shape[1])):
        slot = slot_name(made.name, part.start)
        edit.store_rows(tensor, part, feed.storage, slot, maker, drain)
    return edit.graph()


def patch(graph: Graph, steps: Range, columns: int, how: Cut, feed: Feed | None = None) -> Graph:
    """The graph with the segment's output computed in strips of so many columns, each by rows.

    Strips stand alone, their halos are computed again; a strip runs by rows as `how` says. Raises
    as `stripe` does.
    """
    strips = Cut(columns, keep_halos=False, axis=COLUMNS)
    made, parts = _striped(graph, steps, strips)
    for part in reversed(parts):
        if is_segment(made, part):
            made, _ = _striped(made, part, how, feed)
    return without_unread_inputs(made, graph) if feed else made


def without_unread_inputs(graph: Graph, before: Graph) -> Graph:
    """The graph without those inputs that had readers before and have none now."""
    read = {before.tensors[t].name for op in before.ops for t in op.reads}
    still = {t for op in graph.ops for t in op.reads} | set(graph.outputs)
    gone = {t for t in graph.inputs if t not in still and graph.tensors[t].name in read}
    signatures = tuple(
        replace(s, inputs=tuple((n, t) for n, t in s.inputs if s.subgraph or t not in gone))
        for s in graph.signatures
    )
    kept = tuple(t for t in graph.inputs if t not in gone)
    return drop_dead_tensors(replace(graph, inputs=kept, signatures=signatures))


def _striped(
    graph: Graph, steps: Range, how: Cut, feed: Feed | None = None
) -> tuple[Graph, list[Range]]:
    """The striped graph, and the steps of each stripe's ops in it."""
    runner = Striper(graph, steps, how, feed)
    ends = runner.run()
    runner.to.edit.replace_ops(steps, runner.to.ops)
    parts = [Range(steps.start + a, steps.start + b) for a, b in itertools.pairwise(ends) if a < b]
    return runner.to.edit.graph(), parts
