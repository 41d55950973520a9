"""patch: a first stage runs stripe by stripe, each stripe alone, its halo computed again.

MCUNetV2 (NeurIPS 2021, section 3.1): a patch needs no rows of its neighbours, at the price of
repeated work where receptive fields overlap.
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
        setting = next(iter(self._settings(graph, board, goal)), self)
        if setting.start is None or setting.stop is None or setting.rows is None:
            return graph
        steps = Range(setting.start, setting.stop)
        if not 0 <= steps.start < steps.stop <= len(graph.ops) or not is_segment(graph, steps):
            raise CannotFitError(
                f"patch: {graph.name}: ops {steps.start}..{steps.stop}: not a segment that can "
                "run by rows"
            )
        return stripe(graph, steps, setting.rows, keep_halos=False)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best cuts by estimate; the graph as it is where nothing can be cut."""
        settings = self._settings(graph, board, goal)
        yield from settings or [self]

    def _settings(self, graph: Graph, board: Board, goal: Goal) -> list[Patch]:
        if None not in (self.start, self.stop, self.rows):
            return [self]

        def rewrite(cut: Striping) -> Graph:
            return stripe(graph, cut.steps, cut.rows, keep_halos=False)

        cuts = (c for c in stripings(graph, chunks=(0,)) if self._agrees(c))
        best = ranked(graph, board, goal, cuts, rewrite, CANDIDATES)
        return [replace(self, start=c.steps.start, stop=c.steps.stop, rows=c.rows) for c in best]

    def _agrees(self, cut: Striping) -> bool:
        wanted = (self.start, self.stop, self.rows)
        found = (cut.steps.start, cut.steps.stop, cut.rows)
        return all(w is None or w == f for w, f in zip(wanted, found, strict=True))
