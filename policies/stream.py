"""stream: a run of layers goes row by row, depth first; each row is computed once.

The rule: the last tensor of a segment asks for its next rows, what it needs is computed just then,
and rows go as soon as their last reader has run. StreamNet (2023) and TinyTS (HPCA 2024) do so in
kernels of their own; here SLICE, PAD, VALID convolutions and CONCATENATION do it in stock TFLM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.segments import Striping, ranked, stripings
from sim.device.board import Board
from sim.errors import CannotFitError
from sim.graph.graph import Graph
from sim.graph.stripes import is_segment, stripe
from sim.policy import Goal, Policy
from sim.ranges import Range

CHUNKS = (0, 1, 2, 4)
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
        setting = next(iter(self._settings(graph, board, goal)), self)
        if setting.start is None or setting.stop is None or setting.rows is None:
            return graph
        steps = Range(setting.start, setting.stop)
        if not 0 <= steps.start < steps.stop <= len(graph.ops) or not is_segment(graph, steps):
            raise CannotFitError(
                f"stream: {graph.name}: ops {steps.start}..{steps.stop}: not a segment that can "
                "run by rows"
            )
        return stripe(graph, steps, setting.rows, chunk=setting.chunk or None)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best cuts by estimate; the graph as it is where nothing can be cut."""
        settings = self._settings(graph, board, goal)
        yield from settings or [self]

    def _settings(self, graph: Graph, board: Board, goal: Goal) -> list[Stream]:
        if None not in (self.start, self.stop, self.rows):
            return [self]

        def rewrite(cut: Striping) -> Graph:
            return stripe(graph, cut.steps, cut.rows, chunk=cut.chunk or None)

        cuts = (c for c in stripings(graph, chunks=CHUNKS) if self._agrees(c))
        best = ranked(graph, board, goal, cuts, rewrite, CANDIDATES)
        return [
            replace(self, start=c.steps.start, stop=c.steps.stop, rows=c.rows, chunk=c.chunk)
            for c in best
        ]

    def _agrees(self, cut: Striping) -> bool:
        wanted = (self.start, self.stop, self.rows, self.chunk)
        found = (cut.steps.start, cut.steps.stop, cut.rows, cut.chunk)
        return all(w is None or w == f for w, f in zip(wanted, found, strict=True))
