"""Why a tensor is in the arena at a step: it is read, written, or only waits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from sim.graph.graph import Graph
from sim.graph.lifetimes import ARRIVAL, timeline
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Role:
    """In words; `cold` where the bytes only wait for a later reader and could lie elsewhere."""

    text: str
    cold: bool = False


SCRATCH_ROLE = Role("scratch")


def step_word(graph: Graph) -> str:
    """What a step is called: an op, where bodies of control flow don't take steps of their own."""
    return "step" if graph.bodies else "op"


class Roles:
    """The roles of one graph's tensors; its uses are looked up once.

    An op uses its tensors during all of its steps, those of the bodies that it calls included.
    """

    def __init__(self, graph: Graph) -> None:
        arrives = Range(ARRIVAL, ARRIVAL + 1)
        self._uses: dict[int, list[Range]] = {t: [arrives] for t in graph.inputs}
        self._written: dict[int, list[Range]] = {}
        self._step = step_word(graph)
        for op, steps in timeline(graph).ops:
            for tensor in dict.fromkeys((*op.reads, *op.outputs)):
                self._uses.setdefault(tensor, []).append(steps)
            for tensor in op.outputs:
                self._written.setdefault(tensor, []).append(steps)
        for uses in self._uses.values():
            uses.sort(key=lambda steps: (steps.start, steps.stop))

    def waits(self, tensor: int) -> bool:
        """Whether some op runs between two uses of a tensor that has nothing to do with it."""
        uses = self._uses.get(tensor, [])
        return any(later.start > earlier.stop for earlier, later in pairwise(uses))

    def at(self, tensor: int | None, step: int) -> Role:
        """What a tensor is for at a step; None stands for an op's scratch."""
        if tensor is None:
            return SCRATCH_ROLE
        uses = self._uses.get(tensor, [])
        if any(step in steps for steps in uses):
            written = any(step in steps for steps in self._written.get(tensor, []))
            return Role("written here" if written else "read here")
        before = max((steps.stop - 1 for steps in uses if steps.stop <= step), default=ARRIVAL)
        after = min((steps.start for steps in uses if steps.start > step), default=None)
        until = f"{self._step} {after}" if after is not None else "the end"
        made = "the input" if before == ARRIVAL else f"{self._step} {before}"
        return Role(f"waits from {made} to {until}", after is not None)
