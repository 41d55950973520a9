"""Runs a plan on paper: every byte carries the name of its value, and every read must find its own.

The dull verifier of aliased plans; it shares nothing with what made them but the list of copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.errors import PlanError
from sim.graph.copies import Copy, copies
from sim.graph.graph import Graph, Op
from sim.graph.overlap import overlap_limits
from sim.plan.memory_plan import MemoryPlan
from sim.ranges import Range

_Values = np.ndarray[Any, np.dtype[np.int64]]


def check_values(graph: Graph, plan: MemoryPlan) -> None:
    """Raises PlanError where an op of the main subgraph would read a byte that was overwritten.

    The graph must have no control flow. A draining spill needs no check: its fence is the first op
    that writes over its source (see sim.transfers).
    """
    _Paper(graph, plan).run()


class _Paper:
    def __init__(self, graph: Graph, plan: MemoryPlan) -> None:
        self.graph = graph
        self.span = {p.tensor: p.span for p in plan.placements if p.tensor is not None}
        self.scratch: dict[int, list[Range]] = {}
        for placement in plan.placements:
            if placement.span.start < 0:
                raise PlanError(
                    f"{graph.name}: offset: found {placement.offset_bytes}, wanted 0 or more"
                )
            if placement.scratch_of is not None:
                self.scratch.setdefault(placement.scratch_of, []).append(placement.span)
        self.arena: _Values = np.full(plan.size_bytes, -1, np.int64)
        self.wanted: dict[int, _Values] = {}
        self.names = 0
        self.last = {t: step for step, op in enumerate(graph.ops) for t in op.reads}
        self.last.update(dict.fromkeys(graph.outputs, len(graph.ops)))

    def run(self) -> None:
        for tensor in self.graph.inputs:
            self._write(tensor, self._fresh(tensor))
        for step, op in enumerate(self.graph.ops):
            self._step(step, op)
            for tensor in {*op.reads, *op.outputs}:
                if self.last.get(tensor, step) <= step:
                    self.wanted.pop(tensor, None)
        for tensor in self.graph.outputs:
            self._read(tensor, None, "the caller")

    def _step(self, step: int, op: Op) -> None:
        where = f"op {step} {op.kind}"
        found = copies(self.graph, op)
        ranged = {c.source: Range(c.source_start, c.source_start + c.nbytes) for c in found}
        several = len(found) > 1
        for tensor in dict.fromkeys(op.reads):
            self._read(tensor, None if several else ranged.get(tensor), where)
        values = {t: self._fresh(t) for t in op.outputs if t in self.span}
        if found:
            for copy in found:
                self._copy_is_exact(op, copy, where)
                part = slice(copy.target_start, copy.target_start + copy.nbytes)
                kept = slice(copy.source_start, copy.source_start + copy.nbytes)
                if copy.source in self.wanted and copy.target in values:
                    values[copy.target][part] = self.wanted[copy.source][kept]
        else:
            self._computes_apart(op, where)
        for span in self.scratch.get(step, ()):
            self._apart(span, op.reads, f"{where}: its scratch")
            self.arena[span.start : span.stop] = -1
        for tensor, value in values.items():
            self._write(tensor, value)
        for tensor in values:
            self._read(tensor, None, f"{where}: its own output")

    def _fresh(self, tensor: int) -> _Values:
        nbytes = self.graph.tensors[tensor].nbytes
        self.names += nbytes
        return np.arange(self.names - nbytes, self.names, dtype=np.int64)

    def _write(self, tensor: int, values: _Values) -> None:
        span = self.span.get(tensor)
        if span is not None:
            self.arena[span.start : span.start + len(values)] = values
            self.wanted[tensor] = values

    def _read(self, tensor: int, part: Range | None, reader: str) -> None:
        if tensor not in self.wanted:
            return
        wanted, start = self.wanted[tensor], self.span[tensor].start
        part = part or Range(0, len(wanted))
        found = self.arena[start + part.start : start + part.stop]
        wrong = np.flatnonzero(found != wanted[part.start : part.stop])
        if wrong.size:
            raise PlanError(
                f"{self.graph.name}: tensor {self.graph.tensors[tensor].name!r}: byte "
                f"{part.start + int(wrong[0])} is overwritten before {reader} reads it"
            )

    def _copy_is_exact(self, op: Op, copy: Copy, where: str) -> None:
        """A copy stays at its place, goes to bytes of its own, or runs ahead of what it writes."""
        if copy.source not in self.span or copy.target not in self.span:
            return
        begin = self.span[copy.source].start + copy.source_start
        end = self.span[copy.target].start + copy.target_start
        shared = Range(begin, begin + copy.nbytes).overlaps(Range(end, end + copy.nbytes))
        if begin != end and shared and not self._runs_ahead(op, copy.source, copy.target):
            raise PlanError(f"{self.graph.name}: {where}: copies onto a part of its own source")

    def _runs_ahead(self, op: Op, source: int, target: int) -> bool:
        limit = overlap_limits(self.graph, op).get(source)
        return limit is not None and self.span[target].start - self.span[source].start <= limit

    def _computes_apart(self, op: Op, where: str) -> None:
        for output in op.outputs:
            if output not in self.span:
                continue
            others = [
                t for t in op.reads if t not in self.span or not self._runs_ahead(op, t, output)
            ]
            size = self.graph.tensors[output].nbytes
            span = Range(self.span[output].start, self.span[output].start + size)
            self._apart(span, tuple(others), where)

    def _apart(self, span: Range, tensors: tuple[int, ...], where: str) -> None:
        for tensor in tensors:
            if tensor not in self.span or tensor not in self.wanted:
                continue
            start = self.span[tensor].start
            if span.overlaps(Range(start, start + self.graph.tensors[tensor].nbytes)):
                name = self.graph.tensors[tensor].name
                raise PlanError(f"{self.graph.name}: {where} lies on its input {name!r}")
