"""Runs an op by channels of a tensor that waits in a storage, in slots of rows and channels.

A pool over all rows can't run by rows. Where its input is written to the storage row by row, with
the channels apart, each part of the pool fetches the rows of its own channels alone.
"""

from __future__ import annotations

from sim.errors import CannotFitError
from sim.graph.channels import most_parts, split
from sim.graph.feed import Feed, Slots
from sim.graph.graph import Graph, Op
from sim.graph.padding import ROWS, is_image
from sim.graph.pieces import Writer, join
from sim.graph.rewrite import Rewrite
from sim.graph.stripes import without_unread_inputs
from sim.ranges import Range


def gathered(graph: Graph, step: int) -> int | None:
    """The tensor that an op by channels would gather; None if it can't run by channels so."""
    if step >= len(graph.ops):
        return None
    images = [t for t in dict.fromkeys(graph.ops[step].reads) if not graph.tensors[t].is_constant]
    if len(images) != 1 or not is_image(graph.tensors[images[0]]):
        return None
    channels = graph.tensors[images[0]].shape[-1]
    return images[0] if most_parts(graph, Range(step, step + 1)) == channels > 1 else None


def gather(graph: Graph, step: int, parts: int, feed: Feed) -> Graph:
    """The graph with an op done in parts, each with the channels that it fetches from the feed.

    Raises CannotFitError if the op can't be split so, or the feed has not these channels apart.
    """
    tensor = gathered(graph, step)
    if tensor is None or graph.tensors[tensor].shape[-1] % parts:
        raise CannotFitError(f"{graph.name}: op {step}: can't run in {parts} parts by channels")
    name = graph.tensors[tensor].name
    channels = graph.tensors[tensor].shape[-1] // parts
    if feed.channels_of(name) != channels:
        raise CannotFitError(
            f"{graph.name}: op {step}: channels of {name!r} to a slot: "
            f"found {feed.channels_of(name) or 'all'}, wanted {channels}"
        )
    made = split(graph, Range(step, step + 1), parts)
    edit = Rewrite(made)
    slots = {
        s: op
        for s, op in enumerate(made.ops)
        if op.kind == "SLICE" and made.tensors[op.inputs[0]].name == name
    }
    for number, (place, op) in enumerate(slots.items()):
        edit.replace_ops(Range(place, place + 1), _fetched(made, op, number * channels, feed, edit))
    return without_unread_inputs(edit.graph(), graph)


def _fetched(graph: Graph, op: Op, first: int, feed: Feed, edit: Rewrite) -> list[Op]:
    """The ops that put together what a SLICE would cut out."""
    to, source = Writer(edit), graph.tensors[op.inputs[0]]
    slots = Slots(graph, feed, to, ROWS)
    rows = feed.parts(Range(0, source.shape[ROWS]))
    pieces = [slots.fetch(source.id, part, first) for part in rows]
    join(to, source, pieces, ROWS, lambda start: f"/channels{first}/{start}", into=op.outputs[0])
    return to.ops
