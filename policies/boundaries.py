"""What lies between the ops of a graph: which tensors are alive where, and which could leave."""

from __future__ import annotations

from functools import cache

from sim.graph.graph import Graph
from sim.graph.lifetimes import ARENA_ALIGNMENT, in_arena
from sim.graph.padding import is_image
from sim.ranges import Range, round_up


class Boundaries:
    """One graph's tensors by where they are made and read; a position lies before the op there."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.placed = in_arena(graph)
        self.maker = {t: s for s, op in enumerate(graph.ops) for t in op.outputs}
        self.readers: dict[int, list[int]] = {}
        for step, op in enumerate(graph.ops):
            for tensor in dict.fromkeys(op.reads):
                self.readers.setdefault(tensor, []).append(step)
        self.alive = cache(self._alive)
        self.beside = cache(self._beside)
        self.entering = cache(self._entering)
        self.between = cache(self._between)
        self.can_leave = cache(self._can_leave)

    def input(self) -> int | None:
        """The graph's input, if there is one alone and it can come by rows."""
        inputs = self.graph.inputs
        return inputs[0] if len(inputs) == 1 and self.can_leave(inputs[0]) else None

    def _between(self, position: int, gone: frozenset[int]) -> int | None:
        """The tensor that alone is alive there, but for those that wait elsewhere."""
        made = self.graph.ops[position - 1].outputs
        alive = [t for t in self.alive(position) if t not in gone]
        alone = len(made) == 1 and alive == [made[0]] and made[0] not in self.graph.outputs
        return made[0] if alone and self.can_leave(made[0]) else None

    def _can_leave(self, tensor: int) -> bool:
        """Whether the tensor has rows, and a name that slots can go by."""
        found = self.graph.tensors[tensor]
        alone = sum(t.name == found.name for t in self.graph.tensors) == 1
        return is_image(found) and bool(found.name) and alone

    def _alive(self, position: int) -> tuple[int, ...]:
        """Tensors of the arena made before this op and read by it or later, or by the caller."""
        outputs = set(self.graph.outputs)
        return tuple(
            t
            for t in (*self.graph.inputs, *self.maker)
            if self.placed[t]
            and self.maker.get(t, -1) < position
            and (t in outputs or any(s >= position for s in self.readers.get(t, ())))
        )

    def _entering(self, steps: Range) -> frozenset[int]:
        """Tensors of the arena that these ops read and don't make."""
        read = {t for s in range(steps.start, steps.stop) for t in self.graph.ops[s].reads}
        return frozenset(t for t in read if self.placed[t] and self.maker.get(t, -1) < steps.start)

    def _beside(self, steps: Range, gone: frozenset[int]) -> int:
        """Bytes alive over all these steps that the ops there have nothing to do with."""
        inside = range(steps.start, steps.stop)
        used = {t for s in inside for t in (*self.graph.ops[s].reads, *self.graph.ops[s].outputs)}
        both = set(self.alive(steps.start)) & set(self.alive(steps.stop))
        sizes = [self.graph.tensors[t].nbytes for t in both - used - gone]
        return sum(round_up(n, ARENA_ALIGNMENT) for n in sizes)
