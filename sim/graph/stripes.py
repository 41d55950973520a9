"""Runs a segment of a graph stripe by stripe, depth first, keeping halo rows or computing them anew.

A segment is a run of ops whose tensors nobody else reads, but for the last. Its output is computed a
few rows at a time; each tensor inside exists only as a window of the rows that are still needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sim.graph.graph import Graph, Op, Table
from sim.graph.rewrite import Rewrite
from sim.graph.rows import alignment, demands, emit
from sim.ranges import Range, round_up

CONCATENATION_INPUTS = 10
"""The most that TFLM's CONCATENATION takes (kernels/concatenation.cc, kMaxInputNum)."""


def is_segment(graph: Graph, steps: Range) -> bool:
    """Whether the ops can be striped together: rules for all, and nothing inside is read outside."""
    ops = graph.ops[steps.start : steps.stop]
    inside = {t for op in ops for t in op.outputs}
    last = ops[-1].outputs[0]
    readers = (
        t
        for step, op in enumerate(graph.ops)
        if step not in steps
        for t in op.reads
    )
    leaving = inside & ({*readers, *graph.outputs})
    if leaving - {last} or any(last in op.reads for op in ops):
        return False
    read = {t for op in ops for t in op.reads}
    if (inside - {last}) - read:
        return False
    return all(
        demands(graph, op, Range(0, graph.tensors[op.outputs[0]].shape[1])) is not None
        for op in ops
        if len(op.outputs) == 1 and len(graph.tensors[op.outputs[0]].shape) == 4
    ) and all(len(op.outputs) == 1 and len(graph.tensors[op.outputs[0]].shape) == 4 for op in ops)


def stripe(graph: Graph, steps: Range, rows: int, *, keep_halos: bool = True) -> Graph:
    """The graph with the segment computed `rows` output rows at a time.

    With `keep_halos` no row is computed twice; without, every stripe stands alone and computes its
    halos again.
    """
    edit = Rewrite(graph)
    runner = _Runner(graph, edit, steps)
    last = graph.ops[steps.stop - 1].outputs[0]
    height = graph.tensors[last].shape[1]
    rows = round_up(rows, alignment(graph, graph.ops[steps.stop - 1]))
    for start in range(0, height, rows):
        runner.stripe(Range(start, min(height, start + rows)), keep_halos=keep_halos)
    runner.finish(last)
    edit.replace_ops(steps, runner.ops)
    return edit.graph()


@dataclass(slots=True)
class _Window:
    """A tensor that holds some rows of an original one."""

    tensor: int
    rows: Range


@dataclass(slots=True)
class _Runner:
    graph: Graph
    edit: Rewrite
    steps: Range
    ops: list[Op] = field(default_factory=list)
    windows: dict[int, _Window] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)
    pieces: list[int] = field(default_factory=list)

    def add(self, op: Op) -> None:
        self.ops.append(op)

    def tensor(self, like, shape, suffix):  # type: ignore[no-untyped-def]
        return self.edit.tensor(like, shape, suffix)

    def constant(self, values):  # type: ignore[no-untyped-def]
        return self.edit.constant(values)

    def filled(self, like, value):  # type: ignore[no-untyped-def]
        return self.edit.filled(like, value)

    def _segment(self) -> Sequence[Op]:
        return self.graph.ops[self.steps.start : self.steps.stop]

    def stripe(self, target: Range, *, keep_halos: bool) -> None:
        """Computes these rows of the segment's output, and what they need inside it."""
        ops = self._segment()
        inside = {op.outputs[0] for op in ops}
        if not keep_halos:
            self.windows.clear()
            self.made.clear()
        goal = self._goals(target, inside, keep_halos=keep_halos)
        last_use = {t: step for step, op in enumerate(ops) for t in op.reads if t in inside}
        for step, op in enumerate(ops):
            out = op.outputs[0]
            fresh = goal[out]
            if fresh.length > 0:
                self._compute(op, fresh, inside)
            self.made[out] = max(self.made.get(out, 0), fresh.stop)
            if keep_halos:
                for tensor in dict.fromkeys(op.reads):
                    if last_use.get(tensor) == step:
                        self._trim(tensor)

    def _goals(self, target: Range, inside: set[int], *, keep_halos: bool) -> dict[int, Range]:
        """For each tensor of the segment, the rows to compute in this stripe."""
        ops = self._segment()
        goal: dict[int, Range] = {}
        wanted: dict[int, Range] = {ops[-1].outputs[0]: target}
        for op in reversed(ops):
            out = op.outputs[0]
            done = self.made.get(out, 0)
            rows = wanted.get(out, Range(done, done))
            unit, height = alignment(self.graph, op), self.graph.tensors[out].shape[1]
            stop = min(height, round_up(rows.stop, unit))
            start = done if keep_halos else rows.start // unit * unit
            goal[out] = Range(start, max(start, stop))
            if goal[out].length <= 0:
                continue
            for demand in demands(self.graph, op, goal[out]) or ():
                if demand.tensor in inside:
                    known = wanted.get(demand.tensor, demand.rows)
                    wanted[demand.tensor] = Range(
                        min(known.start, demand.rows.start), max(known.stop, demand.rows.stop)
                    )
        return goal

    def _compute(self, op: Op, rows: Range, inside: set[int]) -> None:
        sources = {
            d.tensor: self._rows_of(d.tensor, d.rows, inside)
            for d in demands(self.graph, op, rows) or ()
        }
        piece = emit(self.graph, op, rows, sources, self)
        out = op.outputs[0]
        if op is self._segment()[-1]:
            self.pieces.append(piece)
            return
        held = self.windows.get(out)
        if held is None or held.rows.length == 0:
            self.windows[out] = _Window(piece, rows)
            return
        joined = Range(held.rows.start, rows.stop)
        self.windows[out] = _Window(self._join(out, [held.tensor, piece], joined), joined)

    def _rows_of(self, tensor: int, rows: Range, inside: set[int]) -> int:
        if tensor not in inside:
            whole = Range(0, self.graph.tensors[tensor].shape[1])
            held = _Window(tensor, whole)
        else:
            held = self.windows[tensor]
        return held.tensor if held.rows == rows else self._cut(tensor, held, rows)

    def _cut(self, tensor: int, held: _Window, rows: Range) -> int:
        like = self.graph.tensors[tensor]
        shape = (1, rows.length, *like.shape[2:])
        made = self.edit.tensor(like, shape, f"/rows{rows.start}")
        begin = self.constant(np.array([0, rows.start - held.rows.start, 0, 0], np.int32))
        size = self.constant(np.array(shape, np.int32))
        self.add(Op("SLICE", (held.tensor, begin, size), (made,), Table("SliceOptions"), version=2))
        return made

    def _trim(self, tensor: int) -> None:
        """Keeps of a tensor's window only the rows that a later stripe will read."""
        held = self.windows.get(tensor)
        if held is None:
            return
        first = held.rows.stop
        for op in self._segment():
            if tensor in op.reads:
                done = self.made.get(op.outputs[0], 0)
                height = self.graph.tensors[op.outputs[0]].shape[1]
                if done < height:
                    unit = alignment(self.graph, op)
                    ahead = Range(done, min(height, done + unit))
                    for demand in demands(self.graph, op, ahead) or ():
                        if demand.tensor == tensor:
                            first = min(first, demand.rows.start)
        kept = Range(max(first, held.rows.start), held.rows.stop)
        if kept.length == 0:
            del self.windows[tensor]
        elif kept != held.rows:
            self.windows[tensor] = _Window(self._cut(tensor, held, kept), kept)

    def _join(self, tensor: int, parts: list[int], rows: Range) -> int:
        like = self.graph.tensors[tensor]
        made = self.edit.tensor(like, (1, rows.length, *like.shape[2:]), f"/window{rows.start}")
        self.add(_concatenation(parts, made))
        return made

    def finish(self, last: int) -> None:
        """Joins the pieces of the segment's output, in a tree of at most ten inputs each."""
        like, parts = self.graph.tensors[last], self.pieces
        while len(parts) > CONCATENATION_INPUTS:
            joined = []
            for start in range(0, len(parts), CONCATENATION_INPUTS):
                some = parts[start : start + CONCATENATION_INPUTS]
                height = sum(self.edit.shape(t)[1] for t in some)
                made = self.edit.tensor(like, (1, height, *like.shape[2:]), f"/part{start}")
                self.add(_concatenation(some, made))
                joined.append(made)
            parts = joined
        if len(parts) == 1:
            self.ops[-1] = Op(
                self.ops[-1].kind, self.ops[-1].inputs, (last,), self.ops[-1].options,
                self.ops[-1].version,
            )  # fmt: skip
        else:
            self.add(_concatenation(parts, last))


def _concatenation(parts: Sequence[int], made: int) -> Op:
    return Op(
        "CONCATENATION", tuple(parts), (made,), Table("ConcatenationOptions", {"axis": 1}), version=2
    )
