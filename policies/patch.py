"""patch: a first stage runs stripe by stripe, each stripe alone, its halo computed again.

MCUNetV2 (NeurIPS 2021, section 3.1): a patch needs no rows of its neighbours, at the price of
repeated work where receptive fields overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from policies.segments import Wish
from sim.device.board import Board
from sim.graph.graph import Graph
from sim.policy import Goal, Policy, check_counts


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

    def __post_init__(self) -> None:
        check_counts(self, "start", "stop", "rows")

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return self._wish().apply(graph, board, goal)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best cuts by estimate, and the graph as it is (rows 0)."""
        for cut in self._wish().cuts(graph, board, goal):
            yield Patch(cut.steps.start, cut.steps.stop, cut.rows)

    def _wish(self) -> Wish:
        return Wish(self.name, self.start, self.stop, self.rows, None, (0,), keep_halos=False)
