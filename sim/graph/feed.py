"""Tensors whose rows wait in slots of a storage: which can, how slots are named, read, written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.graph.graph import Graph, Op, Table
from sim.graph.padding import CHANNELS
from sim.graph.pieces import Writer, cut, resized
from sim.graph.rewrite import ASSIGN, READ
from sim.graph.rows import demands
from sim.ranges import Range

_ROWS = "/rows"


@dataclass(frozen=True, slots=True)
class Feed:
    """Tensors that don't lie in the arena: their rows wait in a storage, so many to a slot.

    A slot is a variable "tensor/rowsN" in the storage, N being its first row. `tensors` are names;
    without any, they are the graph's inputs, whose slots the caller fills. A stage that makes one
    of the tensors writes its slots; if nobody reads it whole any more, it never exists whole.
    Reading begins `ahead` slots before they are needed; writing may go on for `drain` ops more.
    With `outputs`, the graph's output that a stage makes leaves by rows too, and is no output any
    more; the caller finds it in its slots. A slot of a tensor named in `channels` holds only so
    many of its channels, for a reader that runs by them (see sim.graph.gather).
    """

    storage: str
    rows: int = 1
    tensors: frozenset[str] = frozenset()
    ahead: int = 0
    drain: int = 0
    outputs: bool = False
    channels: tuple[tuple[str, int], ...] = ()

    def parts(self, rows: Range) -> list[Range]:
        """The rows, those of one slot at a time."""
        starts = range(rows.start, rows.stop, self.rows)
        return [Range(start, min(start + self.rows, rows.stop)) for start in starts]

    def channels_of(self, name: str) -> int:
        """How many channels of a tensor are in a slot; 0 for all."""
        return dict(self.channels).get(name, 0)


def slot_name(tensor: str, start: int, channel: int | None = None) -> str:
    """The variable that holds a tensor's rows from `start` on, its channels from `channel` on."""
    apart = "" if channel is None else f"/channels{channel}"
    return f"{tensor}{_ROWS}{start}{apart}"


def slot_rows(slot: str) -> tuple[str, int] | None:
    """The tensor and the first row that `slot_name` made the name of; None if it made no such."""
    tensor, _, start = slot.rpartition(_ROWS)
    return (tensor, int(start)) if start.isdigit() else None


def named_tensors(graph: Graph, feed: Feed | None) -> list[int]:
    """The tensors that the feed names, whether their rows can wait or not."""
    if feed is None:
        return []
    if not feed.tensors:
        return list(graph.inputs)
    return [t.id for t in graph.tensors if t.name in feed.tensors]


def can_be_fed(graph: Graph, ops: Sequence[Op], tensor: int, axis: int) -> bool:
    """Whether some of the ops read the tensor, and all that do read it by rows."""
    for op in ops:
        rows = Range(0, graph.tensors[op.outputs[0]].shape[axis])
        asked = [d.tensor for d in demands(graph, op, rows, axis) or ()]
        if tensor in op.reads and tensor not in asked:
            return False
    return any(tensor in op.reads for op in ops)


def can_leave(graph: Graph, tensor: int, feed: Feed | None) -> bool:
    """Whether the tensor may leave through the feed alone: nobody reads it whole.

    Either the feed names it, or it is the graph's output and the feed is for that.
    """
    if feed is None or any(tensor in op.reads for op in graph.ops):
        return False
    name, is_output = graph.tensors[tensor].name, tensor in graph.outputs
    alone = sum(t.name == name for t in graph.tensors) == 1
    return (name in feed.tensors or (feed.outputs and is_output)) and bool(name) and alone


class Slots:
    """Writes rows of a graph's tensors to the slots of a feed, and reads them there.

    Each slot is opened once, where it is first used.
    """

    def __init__(self, graph: Graph, feed: Feed, to: Writer, axis: int) -> None:
        self.graph, self.feed, self.to, self.axis = graph, feed, to, axis
        self.handles: dict[tuple[int, int, int | None], int] = {}

    def store(self, tensor: int, piece: int, rows: Range) -> None:
        """Writes the piece, which holds these rows of the tensor, to their slots."""
        like = self.graph.tensors[tensor]
        apart = self.feed.channels_of(like.name)
        for part in self.feed.parts(rows):
            made = cut(self.to, like, piece, part.start - rows.start, part.length, self.axis)
            if not apart:
                self._write(tensor, made, part.start, None)
                continue
            for channel in range(0, like.shape[CHANNELS], apart):
                some = cut(self.to, like, made, channel, apart, CHANNELS)
                self._write(tensor, some, part.start, channel)

    def fetch(self, tensor: int, part: Range, channel: int | None = None) -> int:
        """Reads one slot, which holds these rows of the tensor; the new tensor with them.

        Where channels are apart, those from `channel` on.
        """
        like, handle = self.graph.tensors[tensor], self._handle(tensor, part.start, channel)
        shape = resized(like.shape, self.axis, part.length)
        if channel is not None:
            shape = resized(shape, CHANNELS, self.feed.channels_of(like.name))
        piece = self.to.tensor(like, shape, f"/row{part.start}")
        self.to.add(Op(READ, (handle,), (piece,), Table("ReadVariableOptions")))
        return piece

    def _write(self, tensor: int, piece: int, start: int, channel: int | None) -> None:
        handle = self._handle(tensor, start, channel)
        options = Table("AssignVariableOptions")
        self.to.add(Op(ASSIGN, (handle, piece), (), options, window=self.feed.drain))

    def _handle(self, tensor: int, start: int, channel: int | None) -> int:
        """The handle of the slot of the rows from `start` on."""
        if (tensor, start, channel) not in self.handles:
            name = slot_name(self.graph.tensors[tensor].name, start, channel)
            opened = self.to.edit.handle(self.feed.storage, name)
            self.handles[tensor, start, channel] = opened.outputs[0]
            self.to.add(opened)
        return self.handles[tensor, start, channel]
