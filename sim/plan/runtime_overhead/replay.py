"""Replays what TFLM allocates, in its order, from an empty arena to a model ready to run."""

from __future__ import annotations

from collections.abc import Iterator

from sim.graph.graph import Body, Graph, Op, Tensor
from sim.graph.scratch import check_kernels, scratch_bytes
from sim.graph.scratch.call import Call
from sim.plan.offline import offline_offsets
from sim.plan.runtime_overhead import structs
from sim.plan.runtime_overhead.arena import Arena
from sim.plan.runtime_overhead.kernels import kernel_of, params_of
from sim.plan.runtime_overhead.layout import round_up
from sim.plan.runtime_overhead.variables import Variables, variable_slots
from sim.plan.tflm_greedy import ONLINE


class Replay:
    """One model's allocation, phase by phase as in MicroInterpreter::AllocateTensors."""

    def __init__(
        self, graph: Graph, arena: Arena, kernels: str, variables_in_arena: bool = True
    ) -> None:
        check_kernels(kernels)
        self.graph, self.arena, self.kernels = graph, arena, kernels
        self.variables_in_arena = variables_in_arena
        self.calls = tuple(Call(graph, op, arena.build.bits) for op in graph.all_ops())
        self.requests = 0
        self.spilled_bytes = 0
        self.variable_tensors_bytes = 0
        main = Body("main", graph.ops, graph.inputs, graph.outputs, 0, graph.main_tensors)
        self.bodies = (main, *graph.bodies)

    def run(self, head_bytes: int) -> Arena:
        """The arena after all phases, with a head of `head_bytes` at the end."""
        self._create()
        self._start()
        self._parse()
        self._init()
        self._prepare()
        self._plan()
        self._finish(head_bytes)
        return self.arena

    def _create(self) -> None:
        """The allocator and the variable table (recording_micro_allocator.cc:45)."""
        arena, build = self.arena, self.arena.build
        if arena.split:
            arena.keep_struct(structs.PERSISTENT_ARENA_ALLOCATOR)
            arena.keep_struct(structs.NON_PERSISTENT_ARENA_ALLOCATOR)
        elif build.recording:
            arena.keep_struct(structs.RECORDING_ARENA_ALLOCATOR)
        else:
            arena.keep_struct(structs.SINGLE_ARENA_ALLOCATOR)
        arena.keep_struct(structs.GREEDY_PLANNER)
        arena.keep_struct(
            structs.RECORDING_MICRO_ALLOCATOR if build.recording else structs.MICRO_ALLOCATOR
        )
        slots = variable_slots(self.graph, build)
        if slots is not None:
            arena.keep(build.size_of(structs.RESOURCE_VARIABLES))
            arena.keep(build.size_of(structs.RESOURCE_VARIABLE) * slots)

    def _start(self) -> None:
        """Tables of tensors and nodes (micro_allocator.cc:625, StartModelAllocation)."""
        arena = self.arena
        arena.keep_struct(structs.BUILTIN_DATA_ALLOCATOR)
        arena.keep_struct(structs.SUBGRAPH_ALLOCATIONS, len(self.bodies))
        for body in self.bodies:
            arena.keep_struct(structs.EVAL_TENSOR, body.stop_tensor - body.first_tensor)
        for body in self.bodies:
            arena.keep_struct(structs.NODE_AND_REGISTRATION, len(body.ops))

    def _parse(self) -> None:
        """Each op's options, out of the flatbuffer (micro_interpreter.cc:107)."""
        params = self.arena.build.params
        for call in self.calls:
            layout = params.get(call.op.kind) or params_of(call.op.kind)
            if layout:
                self.arena.keep_struct(layout)

    def _init(self) -> None:
        """Each kernel's Init."""
        for call in self.calls:
            size = self.arena.build.size_of(kernel_of(call.name, self.kernels).data)
            if size:
                self.arena.keep(size)

    def _requests_end(self) -> int:
        """The head holds the scratch requests, with room for one more op's (:695-765)."""
        count = self.requests + structs.MAX_SCRATCH_A_OP
        return self.arena.build.size_of(structs.SCRATCH_REQUEST) * count

    def _prepare(self) -> None:
        """Each kernel's Prepare; its temporaries lie above the scratch requests.

        TFLM lets a buffer that is kept overlap temporaries made before it, which works by luck;
        here an op's temporaries and all that it keeps are apart.
        """
        variables = Variables(self.graph)
        for call in self.calls:
            kernel = kernel_of(call.name, self.kernels)
            end = self._requests_end()
            for tensor in _looked_at(call, kernel.looks_at):
                end = self.arena.after_tensor(end, tensor)
            for size in kernel.tables(call) if kernel.tables else ():
                self.arena.keep(size)
            self._prepare_variable(call.op, variables)
            self.arena.low(end)
            self.requests += len(scratch_bytes(self.graph, call.op, self.kernels, call.bits))

    def _prepare_variable(self, op: Op, variables: Variables) -> None:
        """Declares a variable or, at its first assignment, takes a buffer for its content."""
        if op.kind == "VAR_HANDLE":
            variables.declare(op)
        if op.kind != "ASSIGN_VARIABLE" or not self.variables_in_arena:
            return
        value = variables.assign(op)
        if value is not None:
            self.spilled_bytes += self._keep_variable(value)

    def _keep_variable(self, tensor: Tensor) -> int:
        self.arena.keep(tensor.nbytes)
        return round_up(tensor.nbytes, structs.ARENA_ALIGNMENT)

    def _plan(self) -> None:
        """Finds the offsets, in the gap (micro_allocator.cc:1117, CommitStaticMemoryPlan)."""
        arena = self.arena
        if self.requests:
            arena.keep_struct(structs.SCRATCH_HANDLE, self.requests)
        end = arena.after(self._requests_end(), "P", len(self.bodies))
        entries = len(self.graph.tensors) + self.requests
        end = arena.after(end, structs.ALLOCATION_INFO, entries)
        arena.low(end)
        offsets = offline_offsets(self.graph) or (ONLINE,) * len(self.graph.tensors)
        for body in self.bodies:
            tensors = self.graph.tensors[body.first_tensor : body.stop_tensor]
            # TFLM looks up a variable's offset by its index in its own subgraph (:1078).
            for tensor, offset in zip(tensors, offsets, strict=False):
                if tensor.is_variable and offset == ONLINE:
                    self.variable_tensors_bytes += self._keep_variable(tensor)
        end = round_up(end, structs.ARENA_ALIGNMENT)
        end += structs.PLANNER_BYTES_A_BUFFER * (self._planned_tensors(offsets) + self.requests)
        # The planner is given whole units of 16 bytes.
        arena.low(end + -arena.tail_bytes % structs.ARENA_ALIGNMENT)

    def _planned_tensors(self, offsets: tuple[int, ...]) -> int:
        """How many tensors get a place in the head (micro_allocation_info.cc:178-214)."""
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
            arena.keep(arena.build.pointer_bytes * len(ids))
            for tensor in ids:
                arena.keep_tensor(graph.tensors[tensor])
        arena.low(head_bytes)


def _looked_at(call: Call, spec: str) -> Iterator[Tensor]:
    """The tensors that `Kernel.looks_at` names and the op has."""
    for token in spec.split():
        ids = call.op.inputs if token[0] == "i" else call.op.outputs
        chosen = ids if token[1] == "*" else ids[int(token[1]) : int(token[1]) + 1]
        yield from (call.graph.tensors[i] for i in chosen if i >= 0)
