"""stream: a run of layers goes row by row, depth first; each row is computed once.

The rule: the last tensor of a segment asks for its next rows, what it needs is computed just then,
and rows go as soon as their last reader has run. StreamNet (2023) and TinyTS (HPCA 2024) do so in
kernels of their own; here SLICE, PAD, VALID convolutions and CONCATENATION do it in stock TFLM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from policies.segments import Wish
from sim.device.board import Board
from sim.graph.graph import Graph
from sim.policy import Goal, Policy, check_counts

CHUNKS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Stream:
    """Parameters left out are chosen for the goal.

    Ops `start` up to `stop` (not included) make the segment; its output is computed `rows` rows at
    a time, the tensors inside at most `chunk` rows at a time, 0 for all that are asked for.
    """

    start: int | None = None
    stop: int | None = None
    rows: int | None = None
    chunk: int | None = None

    name: ClassVar[str] = "stream"
    summary: ClassVar[str] = "layers run by rows, depth first, no row computed twice"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_counts(self, "start", "stop", "rows", "chunk")

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return self._wish().apply(graph, board, goal)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best cuts by estimate, and the graph as it is (rows 0)."""
        for cut in self._wish().cuts(graph, board, goal):
            yield Stream(cut.steps.start, cut.steps.stop, cut.rows, cut.chunk)

    def _wish(self) -> Wish:
        return Wish(
            self.name, self.start, self.stop, self.rows, self.chunk, CHUNKS, keep_halos=True
        )
