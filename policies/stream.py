"""stream: runs of layers go row by row, depth first; each row is computed once.

The rule: the last tensor of a stage asks for its next rows, what it needs is computed just then,
and rows go as soon as their last reader has run. StreamNet (2023) and TinyTS (HPCA 2024) do so in
kernels of their own; here SLICE, PAD, VALID convolutions and CONCATENATION do it in stock TFLM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from policies.stages import Stage, Staging, by_rows, by_rows_finely, check_stages, staged
from sim.device.board import Board
from sim.graph.graph import Graph
from sim.graph.stripes import Cut
from sim.policy import Goal, Policy
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Stream:
    """Stages left out are chosen for the goal.

    A stage is [start, stop, rows, chunk, roll]: ops `start` up to `stop` (not included), whose
    output is computed `rows` rows at a time, the tensors inside at most `chunk` rows at a time (0:
    as many as asked for); `roll` 1 moves kept rows down to make room (see sim.graph.stripes.Cut).
    """

    stages: tuple[tuple[int, int, int, int, int], ...] | None = None

    name: ClassVar[str] = "stream"
    summary: ClassVar[str] = "layers run by rows, depth first, no row computed twice"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_stages(self.stages, ("rows", 1), ("chunk", 0), ("roll", 0))

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        for policy in self.candidates(graph, board, goal):
            assert isinstance(policy, Stream)
            return staged(graph, policy.cut())
        return staged(graph, ())

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best stages, best first; none at all is always among them."""
        if self.stages is not None:
            yield self
            return
        plans = Staging(graph, board, goal, by_rows).best(by_rows_finely)
        for stages in dict.fromkeys((*(plan.stages for plan in plans), ())):
            yield Stream(told(stages))

    def cut(self) -> list[Stage]:
        """The stages as the rewriter takes them."""
        return [
            Stage(Range(start, stop), Cut(rows, chunk or None, roll=bool(roll)))
            for start, stop, rows, chunk, roll in self.stages or ()
        ]


def told(stages: Sequence[Stage]) -> tuple[tuple[int, int, int, int, int], ...]:
    """Stages as parameters."""
    return tuple(
        (s.steps.start, s.steps.stop, s.cut.rows, s.cut.chunk or 0, int(s.cut.roll)) for s in stages
    )
