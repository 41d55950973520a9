"""fused_fetch: a tensor that waits in a storage leaves and comes back piece by piece of its rows.

The rule: a stage runs by rows, as in `stream`; what then waits long are pieces of a few rows, and
those are spilled, as in `spill`. So a spilled tensor never exists whole, neither before it goes nor
after it comes back. TinySeg (LCTES 2024, section 4) fuses the fetch into its reader alike, with
custom ops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from policies.spill import Spill
from policies.stages import Stage, Staging, by_rows, by_rows_finely, check_stages, staged
from policies.stream import Stream, told
from sim.device.board import Board
from sim.graph.graph import Graph
from sim.policy import Goal, Policy

SPILLS_TRIED = 3


@dataclass(frozen=True, slots=True)
class FusedFetch:
    """Parameters left out are chosen for the goal.

    `stages` as for stream; `storage` and `target` as for spill.
    """

    stages: tuple[tuple[int, int, int, int, int], ...] | None = None
    storage: str | None = None
    target: int | None = None

    name: ClassVar[str] = "fused_fetch"
    summary: ClassVar[str] = "layers run by rows; rows that wait long wait in a storage"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_stages(self.stages, ("rows", 1), ("chunk", 0), ("roll", 0))
        self._spill()

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        stages = self._stages(graph, board, goal)[0]
        return self._spill().apply(staged(graph, stages), board, goal)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best stages, each with spill's mildest and strongest; and spill alone."""
        for stages in self._stages(graph, board, goal):
            settings = list(self._spill().candidates(staged(graph, stages), board, goal))
            for found in dict.fromkeys([*settings[:1], *settings[-SPILLS_TRIED:]]):
                assert isinstance(found, Spill)
                yield FusedFetch(told(stages), found.storage, found.target)

    def _stages(self, graph: Graph, board: Board, goal: Goal) -> list[tuple[Stage, ...]]:
        if self.stages is not None:
            return [tuple(Stream(self.stages).cut(graph, board))]
        plans = Staging(graph, board, goal, by_rows, spills=True).best(by_rows_finely)
        return list(dict.fromkeys((*(plan.stages for plan in plans), ())))

    def _spill(self) -> Spill:
        return Spill(storage=self.storage, target=self.target)
