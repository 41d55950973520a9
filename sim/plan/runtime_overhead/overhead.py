"""The bytes that TFLM needs beside the head, and the smallest arena that holds both."""

from __future__ import annotations

from dataclasses import dataclass

from sim.graph.graph import Graph
from sim.plan.runtime_overhead.arena import Arena
from sim.plan.runtime_overhead.build import BUILDS, Build
from sim.plan.runtime_overhead.layout import round_up
from sim.plan.runtime_overhead.replay import Replay
from sim.plan.runtime_overhead.structs import ARENA_ALIGNMENT


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes in the arena beside the head.

    `persistent_bytes`: the tail without the variables. `temporary_bytes`: what the arena must have
    beyond head and tail, for planning and preparing; with the rounding to a multiple of 16.
    `variables_bytes`: contents of resource variables and of variable tensors in the tail, each
    rounded up to 16; `spilled_bytes` of them belong to resource variables, which kernels other
    than the stock ones may keep elsewhere.
    """

    persistent_bytes: int
    temporary_bytes: int
    variables_bytes: int
    spilled_bytes: int = 0

    @property
    def tail_bytes(self) -> int:
        """The persistent part of the arena as TFLM reports it."""
        return self.persistent_bytes + self.variables_bytes


@dataclass(frozen=True, slots=True)
class Arenas:
    """Bytes of the two arenas of `MicroAllocator::Create(persistent, n, non_persistent, m)`."""

    persistent_bytes: int
    non_persistent_bytes: int


def runtime_overhead(
    graph: Graph,
    *,
    head_bytes: int,
    bits: int = 32,
    kernels: str = "reference",
    variables_in_arena: bool = True,
    build: Build | None = None,
) -> Overhead:
    """What TFLM allocates for the graph beside a head (activations and scratch) of `head_bytes`.

    `bits` 32 means a microcontroller (DEVICE32), 64 the PyPI wheel (WHEEL64); `build` names another
    one. `kernels` is one of `sim.graph.scratch.KERNELS`. Without `variables_in_arena` the contents
    of resource variables lie elsewhere. For a kernel that is not known a conservative amount is
    assumed. Not covered: TFLM's own tensor compression, and kernels of other vendors.

    Raises ModelError if an op lacks a tensor that its kernel reads, or the offline plan is broken.
    """
    chosen = build or BUILDS[bits]
    replay = Replay(graph, Arena(chosen), kernels, variables_in_arena)
    arena = replay.run(head_bytes)
    required = round_up(arena.needed_bytes, ARENA_ALIGNMENT)
    variables = replay.spilled_bytes + replay.variable_tensors_bytes
    return Overhead(
        persistent_bytes=arena.tail_bytes - variables,
        temporary_bytes=required - arena.tail_bytes - head_bytes,
        variables_bytes=variables,
        spilled_bytes=replay.spilled_bytes,
    )


def required_arena(
    graph: Graph,
    *,
    head_bytes: int,
    bits: int = 32,
    kernels: str = "reference",
    variables_in_arena: bool = True,
    build: Build | None = None,
) -> int:
    """Bytes of the smallest arena in which the graph is allocated and runs; a multiple of 16.

    The arena begins at a multiple of 16, else it needs up to 15 bytes more. Arguments and errors
    as for `runtime_overhead`.
    """
    overhead = runtime_overhead(
        graph,
        head_bytes=head_bytes,
        bits=bits,
        kernels=kernels,
        variables_in_arena=variables_in_arena,
        build=build,
    )
    return head_bytes + overhead.tail_bytes + overhead.temporary_bytes


def required_arenas(
    graph: Graph, *, head_bytes: int, bits: int = 32, kernels: str = "reference"
) -> Arenas:
    """Bytes of the smallest pair of arenas, when TFLM is given two; multiples of 16.

    Spilled tensors lie in the persistent one, which may be slow memory (micro_allocator.cc:582).
    By the sources only, not measured: neither the wheel nor mcufit can be given two arenas.
    """
    arena = Arena(Build(f"split{bits}", bits), split=True)
    Replay(graph, arena, kernels, variables_in_arena=True).run(head_bytes)
    return Arenas(
        persistent_bytes=round_up(arena.tail_bytes, ARENA_ALIGNMENT),
        non_persistent_bytes=round_up(arena.low_bytes, ARENA_ALIGNMENT),
    )
