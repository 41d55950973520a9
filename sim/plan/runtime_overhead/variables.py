"""Resource variables: how many slots the table needs, and what ASSIGN_VARIABLE allocates."""

from __future__ import annotations

from sim.graph.graph import Graph, Op, Tensor
from sim.plan.runtime_overhead.build import Build


def variable_slots(graph: Graph, build: Build) -> int | None:
    """Slots of the resource variable table; None for no table.

    The wheel counts unique shared names (python/tflite_micro/runtime.py, count_resource_variables);
    a device's program has to hold one slot a pair of container and shared name.
    """
    if build.variable_slots is not None:
        return build.variable_slots
    handles = [op for op in graph.all_ops() if op.kind == "VAR_HANDLE"]
    if build.recording:
        return len({op.options.text("shared_name") for op in handles}) or None
    slots = Variables(graph)
    for op in handles:
        slots.declare(op)
    return len(slots.names) or None


class Variables:
    """The variables that ops have declared so far, as MicroResourceVariables knows them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names: list[tuple[str | None, str]] = []
        self.handles: dict[int, int] = {}
        self.allocated: set[int] = set()

    def declare(self, op: Op) -> None:
        """VAR_HANDLE: finds its slot or takes a new one (micro_resource_variable.cc:44, 146)."""
        container, name = op.options["container"], op.options.text("shared_name")
        slot = next(
            (
                i
                for i, (other, known) in enumerate(self.names)
                if known == name and container in (None, other)
            ),
            len(self.names),
        )
        if slot == len(self.names):
            self.names.append((container, name))
        for tensor in op.outputs:
            self.handles[tensor] = slot

    def assign(self, op: Op) -> Tensor | None:
        """ASSIGN_VARIABLE: the value for which a buffer is allocated, at its slot's first one."""
        slot = self.handles.get(op.inputs[0]) if len(op.inputs) == 2 else None
        if slot is None or slot in self.allocated:
            return None
        self.allocated.add(slot)
        return self.graph.tensors[op.inputs[1]]
