"""Replays what TFLM allocates, in its order, from an empty arena to a model ready to run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.graph.graph import Body, Graph, Op, Tensor
from sim.graph.scratch import scratch_bytes
from sim.graph.scratch.call import Call
from sim.plan.offline import offline_offsets
from sim.plan.runtime_overhead import structs
from sim.plan.runtime_overhead.arena import Arena
from sim.plan.runtime_overhead.build import BUILDS, Build
from sim.plan.runtime_overhead.kernels import Kernel, kernel_of, params_of
from sim.plan.runtime_overhead.layout import round_up
from sim.plan.runtime_overhead.variables import Variables, variable_slots
from sim.plan.tflm_greedy import ONLINE


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes in the arena beside the head.

    `persistent_bytes`: the tail without the variables. `temporary_bytes`: what the arena must have
    beyond head and tail, for planning and preparing; with the rounding to a multiple of 16.
    `variables_bytes`: contents of resource variables and of variable tensors in the tail, each
    rounded as TFLM does; `spilled_bytes` of them belong to resource variables, which kernels other
    than the stock ones may keep elsewhere.
    """

    persistent_bytes: int
    temporary_bytes: int
    variables_bytes: int
    spilled_bytes: int = 0

    @property
    def tail_bytes(self) -> int:
        """What TFLM reports as the tail."""
        return self.persistent_bytes + self.variables_bytes


def runtime_overhead(
    graph: Graph,
    *,
    head_bytes: int,
    bits: int = 32,
    kernels: str = "reference",
    build: Build | None = None,
    variables_in_arena: bool = True,
) -> Overhead:
    """What TFLM allocates for the graph beside a head (activations and scratch) of `head_bytes`.

    `bits` 32 means a microcontroller (DEVICE32), 64 the PyPI wheel (WHEEL64); `build` names another
    one. `kernels` is one of `sim.graph.scratch.KERNELS`. Without `variables_in_arena` the contents
    of resource variables lie elsewhere. For a kernel that is not known a conservative amount is
    assumed. Not covered: TFLM's own tensor compression, and kernels of other vendors.

    Raises ModelError if an op lacks a tensor that its kernel reads, or the offline plan is broken.
    """
    replay = _Replay(graph, build or BUILDS[bits], kernels, variables_in_arena)
    replay.run(head_bytes)
    arena = replay.arena
    required = round_up(arena.needed_bytes, structs.ARENA_ALIGNMENT)
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
    """Bytes of the smallest 16-byte aligned arena in which the graph is allocated and runs.

    A multiple of 16. Arguments and errors as for `runtime_overhead`.
    """
    overhead = runtime_overhead(
        graph,
        head_bytes=head_bytes,
        bits=bits,
        kernels=kernels,
        build=build,
        variables_in_arena=variables_in_arena,
    )
    return head_bytes + overhead.tail_bytes + overhead.temporary_bytes


class _Replay:
    """One model's allocation, phase by phase as in MicroInterpreter::AllocateTensors."""

    def __init__(self, graph: Graph, build: Build, kernels: str, variables_in_arena: bool) -> None:
        self.graph, self.build, self.kernels = graph, build, kernels
        self.variables_in_arena = variables_in_arena
        self.arena = Arena(build)
        self.requests = 0
        self.spilled_bytes = 0
        self.variable_tensors_bytes = 0
        main = Body("main", graph.ops, graph.inputs, graph.outputs, 0, graph.main_tensors)
        self.bodies = (main, *graph.bodies)

    def run(self, head_bytes: int) -> None:
        self._create()
        self._start()
        for op in self.graph.all_ops():
            params = self.build.params.get(op.kind) or params_of(op.kind)
            if params:
                self.arena.keep_struct(params)
        for op in self.graph.all_ops():
            data = self.build.size_of(self._kernel(op).data)
            if data:
                self.arena.keep(data)
        self._prepare()
        self._plan()
        self._finish(head_bytes)

    def _kernel(self, op: Op) -> Kernel:
        return kernel_of(Call(self.graph, op).name, self.kernels)

    def _create(self) -> None:
        """The allocator and the variable table (recording_micro_allocator.cc:46-64)."""
        arena, build = self.arena, self.build
        arena.keep_struct(
            structs.RECORDING_ARENA_ALLOCATOR if build.recording else structs.SINGLE_ARENA_ALLOCATOR
        )
        arena.keep_struct(structs.GREEDY_PLANNER)
        arena.keep_struct(
            structs.RECORDING_MICRO_ALLOCATOR if build.recording else structs.MICRO_ALLOCATOR
        )
        slots = variable_slots(self.graph, build)
        if slots is not None:
            arena.keep(build.size_of(structs.RESOURCE_VARIABLES))
            arena.keep(build.size_of(structs.RESOURCE_VARIABLE) * slots)

    def _start(self) -> None:
        """Tables of tensors and nodes (micro_allocator.cc:621-668, StartModelAllocation)."""
        arena = self.arena
        arena.keep_struct(structs.BUILTIN_DATA_ALLOCATOR)
        arena.keep_struct(structs.SUBGRAPH_ALLOCATIONS, len(self.bodies))
        for body in self.bodies:
            arena.keep_struct(structs.EVAL_TENSOR, body.stop_tensor - body.first_tensor)
        for body in self.bodies:
            arena.keep_struct(structs.NODE_AND_REGISTRATION, len(body.ops))

    def _requests_end(self) -> int:
        """The head holds the scratch requests, with room for one more op's (:701-778)."""
        count = self.requests + structs.MAX_SCRATCH_A_OP
        return self.build.size_of(structs.SCRATCH_REQUEST) * count

    def _prepare(self) -> None:
        """Each kernel's Prepare; its temporaries lie above the scratch requests."""
        variables = Variables(self.graph)
        for op in self.graph.all_ops():
            call, kernel = Call(self.graph, op, self.build.bits), self._kernel(op)
            end = self._requests_end()
            for tensor in _looked_at(call, kernel.looks_at):
                end = self.arena.temporary_tensor(end, tensor)
            for size in kernel.tables(call) if kernel.tables else ():
                self.arena.keep(size)
            self._prepare_variable(op, variables)
            self.arena.low(end)
            self.requests += len(scratch_bytes(self.graph, op, self.kernels, self.build.bits))
            self.arena.low(self._requests_end())

    def _prepare_variable(self, op: Op, variables: Variables) -> None:
        """Declares a variable or, at its first assignment, takes a buffer for its content."""
        if op.kind == "VAR_HANDLE":
            variables.declare(op)
        if op.kind != "ASSIGN_VARIABLE" or not self.variables_in_arena:
            return
        value = variables.assign(op)
        if value is not None:
            self.spilled_bytes += self.arena.keep(value.nbytes)

    def _plan(self) -> None:
        """Finds the offsets, in the gap (micro_allocator.cc:1041-1135, CommitStaticMemoryPlan)."""
        arena = self.arena
        if self.requests:
            arena.keep_struct(structs.SCRATCH_HANDLE, self.requests)
        end = arena.temporary(self._requests_end(), "P", len(self.bodies))
        entries = len(self.graph.tensors) + self.requests
        end = arena.temporary(end, structs.ALLOCATION_INFO, entries)
        arena.low(end)
        offsets = offline_offsets(self.graph) or (ONLINE,) * len(self.graph.tensors)
        for body in self.bodies:
            tensors = self.graph.tensors[body.first_tensor : body.stop_tensor]
            # TFLM looks up a variable's offset by its index in its own subgraph (:1022).
            for tensor, offset in zip(tensors, offsets, strict=False):
                if tensor.is_variable and offset == ONLINE:
                    self.variable_tensors_bytes += arena.keep(tensor.nbytes)
        end = round_up(end, structs.ARENA_ALIGNMENT)
        end += structs.PLANNER_BYTES_A_BUFFER * (self._planned_tensors(offsets) + self.requests)
        # The planner is given whole units of 16 bytes.
        arena.low(end + -arena.tail_bytes % structs.ARENA_ALIGNMENT)

    def _planned_tensors(self, offsets: tuple[int, ...]) -> int:
        """How many tensors get a place in the head (micro_allocation_info.cc:180-213)."""
        handles = {t for op in self.graph.all_ops() if op.kind == "VAR_HANDLE" for t in op.outputs}
        return sum(
            offset != ONLINE
            if tensor.is_variable
            else tensor.data is None and tensor.nbytes > 0 and tensor.id not in handles
            for tensor, offset in zip(self.graph.tensors, offsets, strict=True)
        )

    def _finish(self, head_bytes: int) -> None:
        """The head is reserved, then what a program sees of inputs and outputs is kept."""
        arena, graph = self.arena, self.graph
        for ids in (graph.inputs, graph.outputs):
            arena.keep(self.build.pointer_bytes * len(ids))
            for tensor in ids:
                arena.keep_tensor(graph.tensors[tensor])
        arena.low(head_bytes)


def _looked_at(call: Call, spec: str) -> Iterator[Tensor]:
    """The tensors that `Kernel.looks_at` names and the op has."""
    for token in spec.split():
        ids = call.op.inputs if token[0] == "i" else call.op.outputs
        chosen = ids if token[1] == "*" else ids[int(token[1]) : int(token[1]) + 1]
        yield from (call.graph.tensors[i] for i in chosen if i >= 0)
