"""Program: a graph, where its bytes lie, and the runtime that interprets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.graph.graph import Graph
from sim.graph.lifetimes import Buffer, buffers
from sim.graph.rewrite import spills
from sim.plan.memory_plan import MemoryPlan, Placement
from sim.plan.offline import offline_offsets, with_offline_plan
from sim.plan.packer import Block, Packing, Rect, pack
from sim.plan.runtime_overhead import runtime_overhead
from sim.plan.tflm_greedy import ONLINE, tflm_greedy


@dataclass(frozen=True, slots=True)
class Runtime:
    """What interprets the graph on the board: TFLM with these kernels, pointers of `bits`."""

    name: str = "tflm"
    kernels: str = "reference"
    bits: int = 32


@dataclass(frozen=True, slots=True)
class Arena:
    """Bytes of SRAM that a program needs, as TFLM splits them.

    `activations` is what TFLM records as the head, scratch included; `required` is the least
    arena that works, spilled bytes not counted since they lie in their storage.
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
        extra = runtime_overhead(
            self.graph,
            head_bytes=head,
            bits=self.runtime.bits,
            kernels=self.runtime.kernels,
            variables_in_arena=not spills(self.graph),
        )
        return Arena(
            activations=head,
            persistent=extra.tail_bytes,
            temporary=extra.temporary_bytes,
            required=head + extra.tail_bytes + extra.temporary_bytes,
        )

    def verify(self) -> None:
        """Raises ModelError or PlanError if the graph or the plan breaks a rule."""
        self.graph.verify()
        self.plan.verify(self.graph)


def place(graph: Graph, runtime: Runtime | None = None) -> Program:
    """The program as TFLM runs this graph: its offline plan where there is one, else its own."""
    runtime = runtime or Runtime()
    held = buffers(graph, runtime.kernels)
    claimed = buffers(graph, runtime.kernels, claims=True)
    offline = offline_offsets(graph)
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
    graph: Graph, runtime: Runtime | None = None, *, effort: int = 1
) -> tuple[Program, Packing]:
    """The program with the best placement that the packer finds, embedded as an offline plan.

    Raises PlanError if TFLM would put a scratch buffer onto bytes that are still in use.
    """
    runtime = runtime or Runtime()
    held = buffers(graph, runtime.kernels, claims=True)
    packing = pack([_block(b) for b in held], effort=effort)
    program = _embed(graph, runtime, held, packing.offsets)
    program.verify()
    return program, packing


def _embed(
    graph: Graph, runtime: Runtime, held: Sequence[Buffer], offsets: Sequence[int]
) -> Program:
    chosen = {b.tensor: o for b, o in zip(held, offsets, strict=True) if b.tensor is not None}
    return place(with_offline_plan(graph, chosen), runtime)


def _block(buffer: Buffer) -> Block:
    return Block((Rect(0, buffer.size, buffer.lifetime.start, buffer.lifetime.stop),))
