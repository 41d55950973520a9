"""Cold ranges: the steps between two uses of a tensor, where it is alive and only waits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sim.graph.graph import Graph
from sim.graph.lifetimes import ARENA_ALIGNMENT, ARRIVAL, in_arena
from sim.graph.rewrite import TRANSFER_KINDS
from sim.ranges import Range, round_up


@dataclass(frozen=True, slots=True, order=True)
class Cold:
    """A tensor and one gap between two of its uses; `made` is the step that makes it."""

    made: int
    tensor: int
    gap: Range
    size: int

    def steps(self) -> Iterator[int]:
        return iter(range(self.gap.start, self.gap.stop))


def cold_ranges(graph: Graph) -> list[Cold]:
    """Every gap of at least one step between the uses of every tensor in the arena.

    `size` is in bytes as placed. What is in a storage already is left there.
    """
    uses: dict[int, list[int]] = {t: [ARRIVAL] for t in graph.inputs}
    moved: set[int] = set()
    for step, op in enumerate(graph.ops):
        for tensor in dict.fromkeys((*op.outputs, *op.reads)):
            uses.setdefault(tensor, []).append(step)
        if op.kind in TRANSFER_KINDS:
            moved.update((*op.outputs, *op.reads))
    placed = in_arena(graph)
    return [
        Cold(steps[0], tensor, Range(before + 1, after), size)
        for tensor, steps in uses.items()
        if placed[tensor] and tensor not in moved
        for size in [round_up(graph.tensors[tensor].nbytes, ARENA_ALIGNMENT)]
        for before, after in itertools.pairwise(steps)
        if after - before > 1
    ]


def least_after_spills(ranges: Sequence[Cold], live: Mapping[int, int]) -> int:
    """The least live bytes that spilling can reach: what is in use at the worst step."""
    relief: dict[int, int] = {}
    for cold in ranges:
        for step in cold.steps():
            relief[step] = relief.get(step, 0) + cold.size
    return max((n - relief.get(s, 0) for s, n in live.items()), default=0)
