"""Program: a graph, where its bytes lie, and the runtime that interprets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.errors import PlanError
from sim.graph.copies import copies
from sim.graph.graph import Graph, Op
from sim.graph.groups import Group
from sim.graph.lifetimes import ARENA_ALIGNMENT, buffers, peak
from sim.plan.blocks import Puzzle, puzzle, tie
from sim.plan.memory_plan import MemoryPlan, Placement
from sim.plan.offline import offline_offsets, with_offline_plan
from sim.plan.packer import Packing, pack
from sim.plan.runtime import STATIC, Runtime
from sim.plan.tflm_greedy import ONLINE, tflm_greedy
from sim.plan.value_check import check_values


@dataclass(frozen=True, slots=True)
class Arena:
    """Bytes of SRAM that a program needs, as TFLM splits them.

    `activations` is what TFLM records as the head, scratch included; `required` is the least
    arena that works, spilled bytes not counted since they lie in their storage. A static runtime
    has no temporary bytes, and its persistent ones are the model's own variables.
    """

    activations: int
    persistent: int
    temporary: int
    required: int


@dataclass(frozen=True, slots=True)
class Program:
    """What runs and where its bytes lie; made by `place`, so that the plan is what TFLM does."""

    graph: Graph
    plan: MemoryPlan
    runtime: Runtime = field(default_factory=Runtime)

    def arena(self) -> Arena:
        """The SRAM that this program needs on the board."""
        head = self.plan.size_bytes
        extra = self.runtime.overhead(self.graph, head)
        return Arena(
            activations=head,
            persistent=extra.tail_bytes,
            temporary=extra.temporary_bytes,
            required=head + extra.tail_bytes + extra.temporary_bytes,
        )

    def cycles(self, board: Board) -> tuple[int, ...]:
        """Cycles of each op on the board's core, transfers not counted.

        A static engine leaves out the copies of bytes that lie at their place already.
        """
        if self.runtime.name != STATIC:
            return tuple(op_cycles(self.graph, op, board) for op in self.graph.ops)
        board = board.without_interpreter()
        at = {p.tensor: p.offset_bytes for p in self.plan.placements if p.tensor is not None}
        return tuple(
            op_cycles(self.graph, op, board, staying_bytes=self._staying_bytes(op, at))
            for op in self.graph.ops
        )

    def _staying_bytes(self, op: Op, at: Mapping[int, int]) -> int:
        return sum(
            copy.nbytes
            for copy in copies(self.graph, op)
            if copy.source in at
            and copy.target in at
            and at[copy.source] + copy.source_start == at[copy.target] + copy.target_start
        )

    def verify(self) -> None:
        """Raises ModelError or PlanError if the graph or the plan breaks a rule."""
        self.graph.verify()
        if self.graph.bodies:
            self.plan.verify(self.graph)
        else:
            check_values(self.graph, self.plan)


def place(graph: Graph, runtime: Runtime | None = None) -> Program:
    """The program as TFLM runs this graph: its offline plan where there is one, else its own."""
    runtime = runtime or Runtime()
    offline = offline_offsets(graph)
    variables = frozenset(
        t.id for t in graph.tensors if t.is_variable and offline and offline[t.id] != ONLINE
    )
    held, claimed = (
        buffers(graph, runtime.kernels, bits=runtime.bits, claims=claims, variables=variables)
        for claims in (False, True)
    )
    fixed = None
    if offline is not None:
        fixed = [ONLINE if b.tensor is None else offline[b.tensor] for b in held]
    offsets = tflm_greedy(held, fixed)
    placements = tuple(
        Placement(b.tensor, b.scratch_of, offset, b.size, b.lifetime)
        for b, offset in zip(claimed, offsets, strict=True)
    )
    return Program(graph, MemoryPlan(placements), runtime)


def pack_graph(
    graph: Graph, runtime: Runtime | None = None, *, effort: int = 1, aliasing: bool = True
) -> tuple[Program, Packing]:
    """The program with the best placement that the packer finds, embedded as an offline plan.

    With `aliasing`, views lie inside their parents and in-place results on their inputs, where the
    runtime's kernels are shown to allow it.
    """
    runtime = runtime or Runtime()
    if aliasing and runtime.allows_aliasing:
        program, packing = _packed(graph, runtime, effort, aliasing=True)
        if program.plan.size_bytes <= peak(buffers(graph, runtime.kernels, claims=True)).bytes:
            return program, packing
        plain = _packed(graph, runtime, effort, aliasing=False)
        smaller = program.plan.size_bytes < plain[0].plan.size_bytes
        return (program, packing) if smaller else plain
    return _packed(graph, runtime, effort, aliasing=False)


def _packed(
    graph: Graph, runtime: Runtime, effort: int, *, aliasing: bool
) -> tuple[Program, Packing]:
    """The packed program; where TFLM's scratch would cut a draining spill short, the better of two.

    TFLM knows no windows and puts scratch into the lowest gap, so the second try has what drains at
    the top of the arena.
    """
    tied = tie(graph, aliasing=aliasing)
    made = puzzle(graph, runtime.kernels, aliasing=aliasing, tied=tied)
    packing = pack(made.blocks, made.apart, floor=made.floor(), effort=effort)
    program = _embedded(graph, runtime, tied, packing.offsets)
    draining = _cut_short(program)
    blocks = list(made.blocks)
    for index, group in enumerate(tied):
        if any(tensor in draining for tensor, _ in group.members):
            height = max(r.offset + r.size for r in blocks[index].rects)
            top = (packing.size_bytes - height) // ARENA_ALIGNMENT * ARENA_ALIGNMENT
            blocks[index] = replace(blocks[index], fixed=top)
    if draining:
        raised = _try_pack(replace(made, blocks=tuple(blocks)), effort)
        if raised is not None and raised.size_bytes <= packing.size_bytes:
            other = _embedded(graph, runtime, tied, raised.offsets)
            smaller = other.plan.size_bytes <= program.plan.size_bytes
            if smaller and len(_cut_short(other)) < len(draining):
                program, packing = other, raised
    program.verify()
    return program, packing


def _try_pack(made: Puzzle, effort: int) -> Packing | None:
    try:
        return pack(made.blocks, made.apart, floor=made.floor(), effort=effort)
    except PlanError:
        return None


def _embedded(
    graph: Graph, runtime: Runtime, tied: Sequence[Group], offsets: Sequence[int]
) -> Program:
    chosen = {
        tensor: offset + inside
        for group, offset in zip(tied, offsets, strict=False)
        for tensor, inside in group.members
    }
    return place(with_offline_plan(graph, chosen), runtime)


def _cut_short(program: Program) -> set[int]:
    """Tensors whose spill still drains when some op's scratch is put onto them."""
    life = {b.tensor: b.lifetime for b in buffers(program.graph, program.runtime.kernels)}
    placements = program.plan.placements
    held = [p for p in placements if p.tensor is not None and p.claim != life[p.tensor]]
    scratch = [p for p in placements if p.tensor is None] if held else []
    return {
        p.tensor
        for p in held
        for s in scratch
        if p.tensor is not None and p.span.overlaps(s.span) and p.claim.overlaps(s.claim)
    }
