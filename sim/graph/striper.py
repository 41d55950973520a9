"""Writes the ops of one striped segment: rows are made when a later op asks for them.

See sim.graph.stripes for what a segment is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import lcm

from sim.graph.cut import Cut
from sim.graph.feed import Feed, Slots, can_be_fed, can_leave, named_tensors
from sim.graph.graph import Graph, Op
from sim.graph.padding import padded_rows, padding
from sim.graph.pieces import Writer
from sim.graph.rewrite import Rewrite
from sim.graph.rows import alignment, demands, emit, rows_from, rows_until
from sim.graph.waiting import Waiting
from sim.ranges import Range, round_up

FEW_WINDOWS = 2
"""A tensor rolls if no more rows of it wait than this many windows of its widest reader."""

FEED = "FEED"
"""What stands for the op that makes a fed input, in here alone."""


class Striper:
    """Runs one segment by demand: `run` adds its ops to `to`, whose rewrite the caller applies.

    The segment's output asks for its next rows. An op that is asked for rows asks its inputs for
    what it needs of them, computes a piece, and lets go of rows that no reader will ask for again.
    Rows are counted along the cut's axis. The steps have to be a segment (`stripes.is_segment`),
    which is not looked at again. Raises PolicyError if the graph has control flow.
    """

    def __init__(self, graph: Graph, steps: Range, how: Cut, feed: Feed | None) -> None:
        self.graph, self.how, self.axis = graph, how, how.axis
        self.to = Writer(Rewrite(graph))
        self.segment: Sequence[Op] = graph.ops[steps.start : steps.stop]
        self.last = self.segment[-1].outputs[0]
        self.maker = {op.outputs[0]: op for op in self.segment}
        self.slots = Slots(graph, feed, self.to, self.axis) if feed else None
        named = named_tensors(graph, feed)
        self.tapped = {t for t in named if t in self.maker}
        self.leaves = can_leave(graph, self.last, feed)
        if self.leaves:
            self.tapped.add(self.last)
        outside = [t for t in named if t not in self.maker]
        self.fed = [t for t in outside if can_be_fed(graph, self.segment, t, self.axis)]
        self.maker.update({t: Op(FEED, (), (t,)) for t in self.fed})
        self.readers: dict[int, list[Op]] = {t: [] for t in self.maker}
        for op in self.segment:
            for tensor in dict.fromkeys(op.reads):
                if tensor in self.maker:
                    self.readers[tensor].append(op)
        rolls = self._rolling(steps, feed) if how.roll else set[int]()
        padders = {t: self._padder(t, rolls) for t in self.maker}
        self.waiting = Waiting(graph, self.to, self.axis, padders, rolls)
        self.made = dict.fromkeys(self.maker, 0)

    def run(self) -> list[int]:
        """Computes the segment's output; how many ops there are after each stripe, from 0 on."""
        ends = [0]
        for target in self._stripes():
            if not self.how.keep_halos and self.made[self.last] < target.stop:
                self._start_anew()
            self._advance(self.last, target.stop)
            ends.append(len(self.to.ops))
        for tensor in sorted(self.tapped):  # the readers outside may want more than those inside
            self._advance(tensor, self._height(tensor))
        self._finish()
        return ends

    def _stripes(self) -> list[Range]:
        """The segment's output rows, so many at a time."""
        height = self._height(self.last)
        rows = round_up(self.how.rows, self._unit(self.maker[self.last]))
        return [Range(s, min(height, s + rows)) for s in range(0, height, rows)]

    def _start_anew(self) -> None:
        """Forgets what is there; each tensor begins with the first row that is needed next."""
        first = {self.last: self.made[self.last]}
        for op in reversed(self.segment):
            out, unit = op.outputs[0], self._unit(op)
            begin = first.get(out, self._height(out)) // unit * unit
            start = rows_from(self.graph, op, begin, self.axis)
            self.made[out] = start
            if out != self.last:
                self.waiting.drop_all(out)
            if start < self._height(out):
                ahead = Range(start, self._until(op, start + unit))
                for demand in demands(self.graph, op, ahead, self.axis) or ():
                    known = first.get(demand.tensor, demand.rows.start)
                    first[demand.tensor] = min(known, demand.rows.start)
        for tensor in self.fed:
            unit = self._unit(self.maker[tensor])
            self.made[tensor] = first.get(tensor, self._height(tensor)) // unit * unit
            self.waiting.drop_all(tensor)

    def _advance(self, tensor: int, stop: int) -> None:
        """Computes the tensor's rows below `stop` that are not there yet."""
        op, height = self.maker[tensor], self._height(tensor)
        unit, chunk = self._unit(op), self.how.chunk
        if op.kind == FEED and self.slots is not None:
            stop += self.slots.feed.ahead * unit
        while self.made[tensor] < min(stop, height):
            start = self.made[tensor]
            end = round_up(min(stop, height), unit)
            if chunk is not None:
                end = min(end, start + round_up(chunk, unit))
            rows = Range(start, self._until(op, end))
            for demand in demands(self.graph, op, rows, self.axis) or ():
                if demand.tensor in self.maker:
                    self._advance(demand.tensor, demand.rows.stop)
            self._compute(op, rows)
            self.made[tensor] = rows.stop
            for source in dict.fromkeys(op.reads):
                if source in self.maker:
                    self._forget(source)

    def _compute(self, op: Op, rows: Range) -> None:
        """Makes a piece of the op's output, or fetches one; what it needs is there."""
        out, padded = op.outputs[0], False
        if op.kind == FEED:
            self._fetch(out, rows)
            return
        sources: dict[int, int] = {}
        for demand in demands(self.graph, op, rows, self.axis) or ():
            tensor = demand.tensor
            if self.waiting.is_padded_for(op, tensor):
                padded = True
                sources[tensor] = self.waiting.read_padded(op, tensor, rows)
            else:
                sources[tensor] = self.waiting.read(tensor, demand.rows)
        piece = emit(self.graph, op, rows, sources, self.to, axis=self.axis, padded=padded)
        if self.slots is not None and out in self.tapped:  # as soon as they are made
            self.slots.store(out, piece, rows)
        self.waiting.keep(out, piece, rows)

    def _fetch(self, tensor: int, rows: Range) -> None:
        """Reads the slots that hold these rows of a fed tensor."""
        assert self.slots is not None
        for part in self.slots.feed.parts(rows):
            self.waiting.expect(tensor, self.slots.fetch(tensor, part), part)

    def _forget(self, tensor: int) -> None:
        """Drops the rows that no reader will ask for again."""
        first = self.waiting.end(tensor)
        for op in self.readers[tensor]:
            done, height = self.made[op.outputs[0]], self._height(op.outputs[0])
            if done >= height:
                continue
            ahead = Range(done, self._until(op, done + self._unit(op)))
            if self.waiting.is_padded_for(op, tensor):
                first = min(first, padded_rows(self.graph, op, ahead, self.axis).start)
                continue
            for demand in demands(self.graph, op, ahead, self.axis) or ():
                if demand.tensor == tensor:
                    first = min(first, demand.rows.start + self.waiting.above(tensor))
        self.waiting.drop_before(tensor, first)

    def _finish(self) -> None:
        """Joins the pieces of the segment's output, but where they have left."""
        if self.leaves:
            self.to.edit.drop_output(self.last)
            return
        self.waiting.join_into(self.last)

    def _rolling(self, steps: Range, feed: Feed | None) -> set[int]:
        """Tensors whose rows lie together: not those of which many wait for a reader far behind."""
        alone = {t for t in self.maker if len(self.readers[t]) == 1}
        if len(alone) < len(self.maker) - 1:
            trial = Striper(self.graph, steps, replace(self.how, roll=False), feed)
            trial.run()
            for tensor, held in trial.waiting.most.items():
                if held <= FEW_WINDOWS * max(
                    self._reach(op, tensor) for op in self.readers[tensor]
                ):
                    alone.add(tensor)
        return alone

    def _padder(self, tensor: int, rolls: set[int]) -> Op | None:
        """The reader whose padding goes onto the tensor's pieces: the only one, or the widest."""
        readers = [op for op in self.readers[tensor] if padding(self.graph, op)]
        if not readers or (len(self.readers[tensor]) > 1 and tensor not in rolls):
            return None
        return max(readers, key=lambda op: self._reach(op, tensor))

    def _reach(self, op: Op, tensor: int) -> int:
        """The most rows of the tensor that one row, or what is made at once, needs."""
        rows = Range(0, min(self._unit(op), self._height(op.outputs[0])))
        if padding(self.graph, op):
            return padded_rows(self.graph, op, rows, self.axis).length
        found = demands(self.graph, op, rows, self.axis) or ()
        return max((d.rows.length for d in found if d.tensor == tensor), default=1)

    def _height(self, tensor: int) -> int:
        return self.graph.tensors[tensor].shape[self.axis]

    def _unit(self, op: Op) -> int:
        """The op's output rows are made in multiples of this, but for the last ones."""
        slots = self.slots
        if op.kind == FEED and slots is not None:
            return slots.feed.rows
        unit = alignment(self.graph, op, self.axis)
        if slots is not None and op.outputs[0] in self.tapped:
            return lcm(unit, slots.feed.rows)
        return unit

    def _until(self, op: Op, stop: int) -> int:
        """The row at or below `stop` up to which the op may compute at once."""
        return rows_until(self.graph, op, min(stop, self._height(op.outputs[0])), self.axis)
