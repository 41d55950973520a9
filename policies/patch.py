"""patch: a first stage runs stripe by stripe, each stripe alone, its halo computed again.

MCUNetV2 (NeurIPS 2021, section 3.1): a patch needs no rows of its neighbours, at the price of
repeated work where receptive fields overlap.
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

CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class Patch:
    """Parameters left out are chosen for the goal.

    Ops `start` up to `stop` (not included) make the stage; its output is computed in patches of
    `rows` whole rows.
    """

    start: int | None = None
    stop: int | None = None
    rows: int | None = None

    name: ClassVar[str] = "patch"
    summary: ClassVar[str] = "a first stage runs in patches, halos computed again"
    packs: ClassVar[bool] = True

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        cuts = self._cuts(graph, board, goal)
        found = best_packed(board, goal, cuts, lambda cut: self._rewrite(graph, cut))
        return drop_dead_tensors(graph) if found is None else found

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best cuts by estimate, and the graph as it is (rows 0)."""
        for cut in self._cuts(graph, board, goal):
            yield Patch(cut.steps.start, cut.steps.stop, cut.rows)

    def _cuts(self, graph: Graph, board: Board, goal: Goal) -> list[Striping]:
        if self.start is not None and self.stop is not None and self.rows is not None:
            return [Striping(Range(self.start, self.stop), self.rows, 0)]
        cuts = (c for c in stripings(graph, chunks=(0,)) if self._agrees(c))
        return ranked(graph, board, goal, cuts, lambda c: self._rewrite(graph, c), CANDIDATES)

    def _rewrite(self, graph: Graph, cut: Striping) -> Graph:
        if cut.rows == 0:
            return drop_dead_tensors(graph)
        if not 0 <= cut.steps.start < cut.steps.stop <= len(graph.ops) or not is_segment(
            graph, cut.steps
        ):
            raise CannotFitError(
                f"patch: {graph.name}: ops {cut.steps.start}..{cut.steps.stop}: not a segment "
                "that can run by rows"
            )
        return stripe(graph, cut.steps, cut.rows, keep_halos=False)

    def _agrees(self, cut: Striping) -> bool:
        wanted = (self.start, self.stop, self.rows)
        found = (cut.steps.start, cut.steps.stop, cut.rows)
        return all(w is None or w == f for w, f in zip(wanted, found, strict=True))
