"""Why a tensor is in the arena at a step: it is read, written, or only waits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from sim.graph.graph import Graph
from sim.graph.lifetimes import ARRIVAL


@dataclass(frozen=True, slots=True)
class Role:
    """In words; `cold` where the bytes only wait for a later reader and could lie elsewhere."""

    text: str
    cold: bool = False


SCRATCH_ROLE = Role("scratch")


class Roles:
    """The roles of one graph's tensors; its uses are looked up once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._uses: dict[int, list[int]] = {t: [ARRIVAL] for t in graph.inputs}
        for step, op in enumerate(graph.ops):
            for tensor in dict.fromkeys((*op.reads, *op.outputs)):
                self._uses.setdefault(tensor, []).append(step)

    def waits(self, tensor: int) -> bool:
        """Whether some op runs between two uses of a tensor that has nothing to do with it."""
        uses = self._uses.get(tensor, [])
        return any(later - earlier > 1 for earlier, later in pairwise(uses))

    def at(self, tensor: int | None, step: int) -> Role:
        """What a tensor is for at a step; None stands for an op's scratch."""
        if tensor is None:
            return SCRATCH_ROLE
        uses = self._uses.get(tensor, [])
        if step in uses:
            written = step >= 0 and tensor in self._graph.ops[step].outputs
            return Role("written here" if written else "read here")
        before = max((u for u in uses if u < step), default=ARRIVAL)
        after = min((u for u in uses if u > step), default=None)
        until = f"op {after}" if after is not None else "the end"
        made = "the input" if before == ARRIVAL else f"op {before}"
        return Role(f"waits from {made} to {until}", after is not None)
