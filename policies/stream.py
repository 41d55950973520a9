"""stream: a run of layers goes row by row, depth first; each row is computed once.

The rule: the last tensor of a segment asks for its next rows, what it needs is computed just then,
and rows go as soon as their last reader has run. StreamNet (2023) and TinyTS (HPCA 2024) do so in
kernels of their own; here SLICE, PAD, VALID convolutions and CONCATENATION do it in stock TFLM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from policies.segments import Striping, best_packed, ranked, stripings
from sim.device.board import Board
from sim.errors import CannotFitError
from sim.graph.graph import Graph
from sim.graph.rewrite import drop_dead_tensors
from sim.graph.stripes import is_segment, stripe
from sim.policy import Goal, Policy
from sim.ranges import Range

CHUNKS = (0, 1, 2)
CANDIDATES = 3


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

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        cuts = self._cuts(graph, board, goal)
        found = best_packed(board, goal, cuts, lambda cut: self._rewrite(graph, cut))
        return drop_dead_tensors(graph) if found is None else found

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best cuts by estimate, and the graph as it is (rows 0)."""
        for cut in self._cuts(graph, board, goal):
            yield Stream(cut.steps.start, cut.steps.stop, cut.rows, cut.chunk)

    def _cuts(self, graph: Graph, board: Board, goal: Goal) -> list[Striping]:
        if self.start is not None and self.stop is not None and self.rows is not None:
            return [Striping(Range(self.start, self.stop), self.rows, self.chunk or 0)]
        cuts = (c for c in stripings(graph, chunks=CHUNKS) if self._agrees(c))
        return ranked(graph, board, goal, cuts, lambda c: self._rewrite(graph, c), CANDIDATES)

    def _rewrite(self, graph: Graph, cut: Striping) -> Graph:
        if cut.rows == 0:
            return drop_dead_tensors(graph)
        if not 0 <= cut.steps.start < cut.steps.stop <= len(graph.ops) or not is_segment(
            graph, cut.steps
        ):
            raise CannotFitError(
                f"stream: {graph.name}: ops {cut.steps.start}..{cut.steps.stop}: not a segment "
                "that can run by rows"
            )
        return stripe(graph, cut.steps, cut.rows, chunk=cut.chunk or None)

    def _agrees(self, cut: Striping) -> bool:
        wanted = (self.start, self.stop, self.rows, self.chunk)
        found = (cut.steps.start, cut.steps.stop, cut.rows, cut.chunk)
        return all(w is None or w == f for w, f in zip(wanted, found, strict=True))
