"""fused_fetch: a tensor that waits in a storage leaves and comes back piece by piece of its rows.

The rule: a segment runs by rows, as in `stream`; what then waits long are pieces of a few rows, and
those are spilled, as in `spill`. So a spilled tensor never exists whole, neither before it goes nor
after it comes back. TinySeg (LCTES 2024, section 4) fuses the fetch into its reader alike, with
custom ops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from policies.segments import UNCUT, Wish
from policies.spill import Spill
from sim.device.board import Board
from sim.graph.graph import Graph
from sim.policy import Goal, Policy, check_counts

CHUNKS = (0, 2)
CUTS_TRIED = 2
SPILLS_TRIED = 3


@dataclass(frozen=True, slots=True)
class FusedFetch:
    """Parameters left out are chosen for the goal.

    `start`, `stop`, `rows` and `chunk` as for stream; `storage` and `target` as for spill.
    """

    start: int | None = None
    stop: int | None = None
    rows: int | None = None
    chunk: int | None = None
    storage: str | None = None
    target: int | None = None

    name: ClassVar[str] = "fused_fetch"
    summary: ClassVar[str] = "layers run by rows; rows that wait long wait in a storage"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_counts(self, "start", "stop", "rows", "chunk")
        self._spill()

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return self._spill().apply(self._wish().apply(graph, board, goal), board, goal)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best cuts by estimate, each with spill's mildest and strongest; and spill alone."""
        wish = self._wish()
        cuts = [cut for cut in wish.cuts(graph, board, goal) if cut != UNCUT][:CUTS_TRIED]
        for cut in [*cuts, UNCUT] if self.rows is None else cuts:
            striped = wish.rewrite(graph, cut)
            settings = list(self._spill().candidates(striped, board, goal))
            for found in dict.fromkeys([*settings[:1], *settings[-SPILLS_TRIED:]]):
                assert isinstance(found, Spill)
                yield FusedFetch(
                    cut.steps.start, cut.steps.stop, cut.rows, cut.chunk,
                    found.storage, found.target,
                )  # fmt: skip

    def _wish(self) -> Wish:
        return Wish(
            self.name, self.start, self.stop, self.rows, self.chunk, CHUNKS, keep_halos=True
        )

    def _spill(self) -> Spill:
        return Spill(storage=self.storage, target=self.target)
