"""Runs a segment of a graph depth first, a few rows at a time, keeping halo rows or computing anew.

A segment is a run of ops whose tensors nobody else reads, but for the last. Each tensor inside it
exists only as pieces of a few rows, made when a later op asks for them and gone when all have read
them. Padding goes onto the pieces, where the one reader wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.graph.graph import Graph, Op, Table
from sim.graph.rewrite import Rewrite
from sim.graph.rows import (
    alignment,
    demands,
    emit,
    pad,
    padded_rows,
    padding,
    rows_from,
    rows_until,
)
from sim.ranges import Range, round_up

CONCATENATION_INPUTS = 10
"""The most that TFLM's CONCATENATION takes (kernels/concatenation.cc, kMaxInputNum)."""

NO_PADDING = (0, 0, 0, 0)


def is_segment(graph: Graph, steps: Range) -> bool:
    """Whether the ops can be striped together: nothing inside is read outside, rules for all."""
    ops = graph.ops[steps.start : steps.stop]
    if not ops or not all(_can_stripe(graph, op) for op in ops):
        return False
    inside = [op.outputs[0] for op in ops]
    last = inside.pop()
    outside = {t for s, op in enumerate(graph.ops) if s not in steps for t in op.reads}
    read = {t for op in ops for t in op.reads}
    leaves = any(t in outside or t in graph.outputs or t not in read for t in inside)
    return not leaves and last not in read


def _can_stripe(graph: Graph, op: Op) -> bool:
    if len(op.outputs) != 1 or len(graph.tensors[op.outputs[0]].shape) != 4:
        return False
    height = graph.tensors[op.outputs[0]].shape[1]
    return demands(graph, op, Range(0, height)) is not None


def stripe(
    graph: Graph, steps: Range, rows: int, *, chunk: int | None = None, keep_halos: bool = True
) -> Graph:
    """The graph with the segment's output computed `rows` rows at a time.

    `chunk` is the most rows of a tensor inside that are computed at once; None: as many as asked
    for. With `keep_halos` no row is computed twice; without, every stripe stands alone.
    """
    edit = Rewrite(graph)
    runner = _Runner(graph, edit, steps, chunk)
    for target in runner.stripes(rows):
        if not keep_halos and runner.made[runner.last] < target.stop:
            runner.start_anew()
        runner.advance(runner.last, target.stop)
    runner.finish()
    edit.replace_ops(steps, runner.ops)
    return edit.graph()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A new tensor that holds some rows of an original one, counted with the padding above."""

    tensor: int
    rows: Range


class _Runner:
    def __init__(self, graph: Graph, edit: Rewrite, steps: Range, chunk: int | None) -> None:
        self.graph, self.edit, self.chunk = graph, edit, chunk
        self.segment: Sequence[Op] = graph.ops[steps.start : steps.stop]
        self.maker = {op.outputs[0]: op for op in self.segment}
        self.last = self.segment[-1].outputs[0]
        self.readers: dict[int, list[Op]] = {t: [] for t in self.maker}
        for op in self.segment:
            for tensor in dict.fromkeys(op.reads):
                if tensor in self.maker:
                    self.readers[tensor].append(op)
        self.sides = {t: self._sides(t) for t in self.maker}
        self.ops: list[Op] = []
        self.made = dict.fromkeys(self.maker, 0)
        self.pieces: dict[int, list[_Piece]] = {t: [] for t in self.maker}
        self.tensor, self.constant, self.filled = edit.tensor, edit.constant, edit.filled
        self.add = self.ops.append

    def _sides(self, tensor: int) -> tuple[int, int, int, int]:
        """The padding put onto the tensor's pieces: its reader's, if that is the only one."""
        readers = self.readers[tensor]
        sides = padding(self.graph, readers[0]) if len(readers) == 1 else None
        return sides or NO_PADDING

    def _height(self, tensor: int) -> int:
        return self.graph.tensors[tensor].shape[1]

    def stripes(self, rows: int) -> list[Range]:
        """The segment's output rows, so many at a time."""
        height = self._height(self.last)
        rows = round_up(rows, alignment(self.graph, self.maker[self.last]))
        return [Range(s, min(height, s + rows)) for s in range(0, height, rows)]

    def start_anew(self) -> None:
        """Forgets what is there; each tensor begins with the first row that is needed next."""
        first = {self.last: self.made[self.last]}
        for op in reversed(self.segment):
            out = op.outputs[0]
            unit = alignment(self.graph, op)
            start = rows_from(self.graph, op, first.get(out, self._height(out)) // unit * unit)
            self.made[out] = start
            if out != self.last:
                self.pieces[out] = []
            if start < self._height(out):
                ahead = Range(start, rows_until(self.graph, op, start + unit))
                for demand in demands(self.graph, op, ahead) or ():
                    known = first.get(demand.tensor, demand.rows.start)
                    first[demand.tensor] = min(known, demand.rows.start)

    def advance(self, tensor: int, stop: int) -> None:
        """Computes the tensor's rows below `stop` that are not there yet."""
        op = self.maker[tensor]
        unit, height = alignment(self.graph, op), self._height(tensor)
        while self.made[tensor] < min(stop, height):
            start = self.made[tensor]
            end = round_up(min(stop, height), unit)
            if self.chunk is not None:
                end = min(end, start + round_up(self.chunk, unit))
            rows = Range(start, rows_until(self.graph, op, min(end, height)))
            for demand in demands(self.graph, op, rows) or ():
                if demand.tensor in self.maker:
                    self.advance(demand.tensor, demand.rows.stop)
            self._compute(op, rows)
            self.made[tensor] = rows.stop
            for source in dict.fromkeys(op.reads):
                if source in self.maker:
                    self._forget(source)

    def _compute(self, op: Op, rows: Range) -> None:
        out, padded = op.outputs[0], False
        sources: dict[int, int] = {}
        for demand in demands(self.graph, op, rows) or ():
            above = self.sides.get(demand.tensor, NO_PADDING)[0]
            wanted = Range(demand.rows.start + above, demand.rows.stop + above)
            if self.sides.get(demand.tensor, NO_PADDING) != NO_PADDING:
                wanted, padded = padded_rows(self.graph, op, rows), True
            sources[demand.tensor] = self._gather(demand.tensor, wanted)
        piece = emit(self.graph, op, rows, sources, self, padded=padded)
        above, below, before, after = self.sides[out]
        if any(self.sides[out]):
            over = above if rows.start == 0 else 0
            under = below if rows.stop == self._height(out) else 0
            like, reader = self.graph.tensors[out], self.readers[out][0]
            piece = pad(self.graph, reader, like, piece, rows, (over, under, before, after), self)
            start = 0 if rows.start == 0 else rows.start + above
            rows = Range(start, rows.stop + above + under)
        self.pieces[out].append(_Piece(piece, rows))

    def _gather(self, tensor: int, rows: Range) -> int:
        """One tensor with exactly these rows: a piece, a part of one, or several joined."""
        if tensor not in self.maker:
            whole = _Piece(tensor, Range(0, self._height(tensor)))
            return self._cut(tensor, whole, rows)
        parts = [
            self._cut(tensor, p, Range(max(rows.start, p.rows.start), min(rows.stop, p.rows.stop)))
            for p in self.pieces[tensor]
            if p.rows.overlaps(rows)
        ]
        return self._joined(tensor, parts, f"/window{rows.start}")

    def _cut(self, tensor: int, piece: _Piece, rows: Range) -> int:
        if piece.rows == rows:
            return piece.tensor
        shape = (1, rows.length, *self.edit.shape(piece.tensor)[2:])
        made = self.edit.tensor(self.graph.tensors[tensor], shape, f"/rows{rows.start}")
        begin = self.constant(np.array([0, rows.start - piece.rows.start, 0, 0], np.int32))
        size = self.constant(np.array(shape, np.int32))
        options = Table("SliceOptions")
        self.add(Op("SLICE", (piece.tensor, begin, size), (made,), options, version=2))
        return made

    def _forget(self, tensor: int) -> None:
        """Drops the pieces that no reader will ask for again."""
        first = self._height(tensor) + self.sides[tensor][0] + self.sides[tensor][1]
        for op in self.readers[tensor]:
            done, height = self.made[op.outputs[0]], self._height(op.outputs[0])
            if done >= height:
                continue
            stop = min(height, done + alignment(self.graph, op))
            ahead = Range(done, rows_until(self.graph, op, stop))
            if self.sides[tensor] != NO_PADDING:
                first = min(first, padded_rows(self.graph, op, ahead).start)
                continue
            for demand in demands(self.graph, op, ahead) or ():
                if demand.tensor == tensor:
                    first = min(first, demand.rows.start)
        self.pieces[tensor] = [p for p in self.pieces[tensor] if p.rows.stop > first]

    def _joined(self, tensor: int, parts: list[int], suffix: str, into: int | None = None) -> int:
        """The parts in one tensor, through a tree where there are more than ten."""
        like = self.graph.tensors[tensor]
        while len(parts) > 1 or (into is not None and parts != [into]):
            last = len(parts) <= CONCATENATION_INPUTS
            joined = []
            for start in range(0, len(parts), CONCATENATION_INPUTS):
                some = parts[start : start + CONCATENATION_INPUTS]
                height = sum(self.edit.shape(t)[1] for t in some)
                if last and into is not None:
                    made = into
                else:
                    shape = (1, height, *self.edit.shape(some[0])[2:])
                    made = self.edit.tensor(like, shape, f"{suffix}/{start}" if start else suffix)
                options = Table("ConcatenationOptions", {"axis": 1})
                self.add(Op("CONCATENATION", tuple(some), (made,), options, version=2))
                joined.append(made)
            parts = joined
        return parts[0]

    def finish(self) -> None:
        """Joins the pieces of the segment's output."""
        parts = [piece.tensor for piece in self.pieces[self.last]]
        self._joined(self.last, parts, "/part", into=self.last)
