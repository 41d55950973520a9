"""A stage in numbers, without its ops: what a run of ops by rows needs in the steady state.

Every tensor of a stage keeps the rows that its readers need again and gets the rows that they need
next; bytes, calls and transfers follow from that in closed form. Edges (padding, the last stripe)
are left out, and placement is taken to be perfect, so a sketch is a guide: what it chooses is made
and measured afterwards. StreamNet (2023) and msf-CNN (NeurIPS 2025) estimate stages alike.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import ceil

from policies.sketch_stage import TFLM_BYTES_PER_OP, Reach, Sketch, SketchedStage
from sim.device.board import Board, Storage
from sim.device.cost import fixed_cycles, op_cycles
from sim.graph.cut import Cut
from sim.graph.graph import Graph, Op
from sim.graph.kinds import WINDOWED
from sim.graph.padding import ROWS, padding, windows
from sim.graph.rows import alignment, demands
from sim.graph.scratch import scratch_bytes
from sim.plan.runtime import STATIC
from sim.policy import Goal
from sim.ranges import Range
from sim.units import cycles_to_ps

TFLM_BYTES_PER_CHANNEL = 8
"""What each output channel of a convolution adds: its multiplier and its shift."""


class Sketcher:
    """Sketches of one graph's stages, on a board as the goal's runtime sees it."""

    def __init__(self, graph: Graph, board: Board, goal: Goal, storage: Storage | None) -> None:
        self.graph, self.board, self.goal, self.storage = graph, board, goal, storage
        self.static = goal.runtime == STATIC
        self.cycles = [op_cycles(graph, op, board) for op in graph.ops]
        self.fixed = [fixed_cycles(graph, op, board) for op in graph.ops]
        self.scratch = [sum(scratch_bytes(graph, op, goal.kernels)) for op in graph.ops]
        self.copy_cycles = board.core.profile.cycles_per_byte.get("copy", 0.0)
        self.dispatch = board.core.profile.dispatch_cycles
        self.row = [_row_bytes(graph, t) for t in range(len(graph.tensors))]
        self.multipliers = [_multiplier_bytes(graph, op) for op in graph.ops]
        self.across = [_padding_across(graph, op) for op in graph.ops]
        self.last_reader = {t: step for step, op in enumerate(graph.ops) for t in op.reads}
        self.unit = cache(lambda step, axis: alignment(graph, graph.ops[step], axis))
        self.reaches: Callable[[int, int], tuple[Reach, ...] | None] = cache(self._reaches)

    def whole(self, step: int) -> int:
        """Picoseconds of an op as it is."""
        return self.ps(self.cycles[step])

    def stage(
        self,
        steps: Range,
        cut: Cut,
        columns: int = 0,
        *,
        fed: frozenset[int] = frozenset(),
        tapped: frozenset[int] = frozenset(),
        leaves: bool = False,
        slot_rows: int = 1,
        ahead: int = 1,
    ) -> Sketch | None:
        """The stage; `fed` inputs come from the storage by rows, what is `tapped` goes there.

        With `leaves` the stage's output, one of those, goes nowhere else. None if an op has no
        rule. Bytes of what the stage has nothing to do with are not counted.
        """
        return SketchedStage(
            self, steps, cut, columns, fed, tapped, leaves, slot_rows, ahead
        ).sketch()

    def pool(self, step: int, tensor: int, parts: int, slot_rows: int) -> Sketch:
        """One op in parts by channels that are fetched for each; its bytes are not counted."""
        source, storage = self.graph.tensors[tensor], self.storage
        assert storage is not None
        slots = parts * ceil(source.shape[ROWS] / slot_rows)
        reads = slots * storage.read_ps(source.nbytes // slots or 1)
        apart_ps = slots * (storage.write_ps(1) - storage.write_ps(0))
        calls = parts * (self.fixed[step] + self.dispatch) + 2 * slots * self.dispatch
        time_ps = self.ps(self.cycles[step] + calls) + reads + apart_ps
        return Sketch(0, self.extra(4 * slots * TFLM_BYTES_PER_OP), time_ps, source.nbytes)

    def split(self, steps: Range, parts: int) -> Sketch:
        """A run of ops in parts by channels: between them there is one part of each tensor."""
        inside = range(steps.start, steps.stop)
        ops = [self.graph.ops[s] for s in inside]
        made = {t for op in ops for t in op.outputs}
        read = {t for op in ops for t in op.reads} - made
        sizes = self.graph.tensors
        into = sum(sizes[t].nbytes for t in read if not sizes[t].is_constant)
        out = sum(sizes[t].nbytes for t in ops[-1].outputs)
        between = sum(sizes[t].nbytes for t in made) - out + sum(self.scratch[s] for s in inside)
        fixed = sum(self.fixed[s] + self.dispatch for s in inside)
        cycles = sum(self.cycles[s] for s in inside) + (parts - 1) * fixed
        cycles += self.dispatch + self.copy_cycles * out
        extra = sum((parts - 1) * TFLM_BYTES_PER_OP + self.multipliers[s] // 2 for s in inside)
        return Sketch(into + out + -(-between // parts), self.extra(extra), self.ps(cycles))

    def extra(self, nbytes: int) -> int:
        """What ops cost the runtime: nothing, if it is compiled ahead of time."""
        return 0 if self.static else nbytes

    def ps(self, cycles: float) -> int:
        return cycles_to_ps(ceil(cycles), self.board.core.clock_hz)

    def _reaches(self, step: int, axis: int) -> tuple[Reach, ...] | None:
        graph, op = self.graph, self.graph.ops[step]
        if len(op.outputs) != 1 or len(graph.tensors[op.outputs[0]].shape) != 4:
            return None
        height = graph.tensors[op.outputs[0]].shape[axis]
        found = demands(graph, op, Range(0, height), axis)
        if found is None:
            return None
        if op.kind in WINDOWED:
            source, down, across = windows(graph, op)
            w = down if axis == ROWS else across
            return (Reach(source.id, w.stride, w.reach - w.stride, w.before),)
        unit = alignment(graph, op, axis)
        middle = height // 2 // unit * unit
        made = []
        for demand in found:
            scale = graph.tensors[demand.tensor].shape[axis] / height
            probe = demands(graph, op, Range(middle, min(height, middle + unit)), axis) or found
            rows = next(d.rows for d in probe if d.tensor == demand.tensor)
            halo = max(0.0, rows.length - unit * scale)
            made.append(Reach(demand.tensor, scale, halo, max(0.0, middle * scale - rows.start)))
        return tuple(made)


def _padding_across(graph: Graph, op: Op) -> tuple[int, int]:
    """Columns of padding before and after a windowed op's input."""
    sides = padding(graph, op)
    return sides[1] if sides is not None else (0, 0)


def _multiplier_bytes(graph: Graph, op: Op) -> int:
    """What a convolution's channels add to each call of it, where they have scales of their own."""
    if op.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"):
        return 0
    return TFLM_BYTES_PER_CHANNEL * graph.tensors[op.outputs[0]].shape[-1]


def _row_bytes(graph: Graph, tensor: int) -> int:
    """Bytes of one row of an image, 0 of what has none."""
    found = graph.tensors[tensor]
    return found.nbytes // max(1, found.shape[ROWS]) if len(found.shape) == 4 else 0
