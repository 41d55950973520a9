"""What interprets a graph on the board, and the bytes that it takes beside the tensors."""

from __future__ import annotations

from dataclasses import dataclass

from sim.graph.graph import Graph
from sim.graph.lifetimes import ARENA_ALIGNMENT
from sim.graph.rewrite import ASSIGN, VAR_HANDLE, spills
from sim.plan.offline import offline_offsets
from sim.plan.runtime_overhead import Overhead, runtime_overhead
from sim.plan.tflm_greedy import ONLINE
from sim.ranges import round_up

TFLM, STATIC = "tflm", "static"
RUNTIMES = (TFLM, STATIC)


@dataclass(frozen=True, slots=True)
class Runtime:
    """TFLM, or "static": an engine that is compiled ahead of time, as generated C is.

    To TFLM every op and tensor costs bytes of the arena; a static engine has them in flash, and
    only the tensors and the model's own variables take SRAM. `kernels` are those of the op library,
    `bits` the size of a pointer.
    """

    name: str = TFLM
    kernels: str = "reference"
    bits: int = 32

    @property
    def allows_aliasing(self) -> bool:
        """Whether the kernels were seen to copy onto themselves and to work in place."""
        return self.kernels == "reference"

    def overhead(self, graph: Graph, head_bytes: int) -> Overhead:
        """The bytes beside a head of so many; spilled tensors lie in their storage.

        Raises ModelError as `runtime_overhead` does.
        """
        if self.name == STATIC:
            return Overhead(0, 0, _own_variables_bytes(graph))
        return runtime_overhead(
            graph,
            head_bytes=head_bytes,
            bits=self.bits,
            kernels=self.kernels,
            variables_in_arena=not spills(graph),
        )

    def required(self, graph: Graph, head_bytes: int) -> int:
        """The smallest arena for the graph with a head of so many bytes."""
        extra = self.overhead(graph, head_bytes)
        return head_bytes + extra.tail_bytes + extra.temporary_bytes


def _own_variables_bytes(graph: Graph) -> int:
    """Variables that are in no storage and not among the planned tensors."""
    offsets = offline_offsets(graph)
    planned = {t for t, offset in enumerate(offsets or ()) if offset != ONLINE}
    states = [t.nbytes for t in graph.tensors if t.is_variable and t.id not in planned]
    own = {
        op.outputs[0]: op.options.text("shared_name")
        for op in graph.all_ops()
        if op.kind == VAR_HANDLE and not op.options.text("container")
    }
    resources = {
        own[op.inputs[0]]: graph.tensors[op.inputs[1]].nbytes
        for op in graph.all_ops()
        if op.kind == ASSIGN and op.inputs[0] in own
    }
    return sum(round_up(n, ARENA_ALIGNMENT) for n in (*states, *resources.values()))
