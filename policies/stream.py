"""stream: runs of layers go row by row, depth first; each row is computed once.

The rule: the last tensor of a stage asks for its next rows, what it needs is computed just then,
and rows go as soon as their last reader has run. StreamNet (2023) and TinyTS (HPCA 2024) do so in
kernels of their own; here SLICE, PAD, VALID convolutions and CONCATENATION do it in stock TFLM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.stages import Stage, check_feed, check_stages, fed_from, staged, with_feed
from policies.staging import Staging, by_rows, by_rows_finely
from sim.device.board import Board
from sim.graph.graph import Graph
from sim.graph.stripes import Cut
from sim.policy import Goal, Policy
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Stream:
    """Stages left out are chosen for the goal.

    A stage is [start, stop, rows, chunk, roll, columns]: ops `start` up to `stop` (not included),
    whose output is computed `rows` rows at a time, the tensors inside at most `chunk` rows at a
    time (0: as many as asked for); `roll` 1 moves kept rows down to make room (see
    sim.graph.stripes.Cut); `columns`, where given and not 0, cuts the output into strips of so
    many, whose halos are computed again.
    `feed` names a storage where the model's input waits, `feed_rows` rows to a slot, so that it
    takes no arena; without, the input lies in the arena and its rows go as they are used. With
    `drain`, the output that a stage makes leaves to that storage by rows as well.
    """

    stages: tuple[tuple[int, ...], ...] | None = None
    feed: str | None = None
    feed_rows: int = 1
    drain: bool = False

    name: ClassVar[str] = "stream"
    summary: ClassVar[str] = "layers run by rows, depth first, no row computed twice"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_stages(
            self.stages, ("rows", 1), ("chunk", 0), ("roll", 0), ("columns", 0), optional=1
        )
        check_feed(self.feed, self.feed_rows)
        if type(self.drain) is not bool or (self.drain and self.feed is None):
            raise TypeError(f"drain: found {self.drain!r}, wanted true or false, true with a feed")

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        if self.stages is not None:
            return staged(graph, self.cut(graph, board))
        return staged(graph, self._plans(graph, board, goal)[0])

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best stages, best first; none at all is always among them."""
        if self.stages is not None:
            yield self
            return
        for stages in dict.fromkeys((*self._plans(graph, board, goal), ())):
            yield replace(self, stages=told(stages))

    def _plans(self, graph: Graph, board: Board, goal: Goal) -> list[tuple[Stage, ...]]:
        feed = fed_from(board, self.feed, self.feed_rows, self.drain)
        found = Staging(graph, board, goal, by_rows, feed=feed).best(by_rows_finely)
        return [plan.stages for plan in found]

    def cut(self, graph: Graph, board: Board) -> list[Stage]:
        """The stages as the rewriter takes them."""
        feed = fed_from(board, self.feed, self.feed_rows, self.drain)
        return [
            with_feed(
                graph,
                Stage(Range(start, stop), Cut(rows, chunk or None, roll=bool(roll)), sum(columns)),
                feed,
            )
            for start, stop, rows, chunk, roll, *columns in self.stages or ()
        ]


def told(stages: Sequence[Stage]) -> tuple[tuple[int, ...], ...]:
    """Stages as parameters."""
    return tuple(
        (s.steps.start, s.steps.stop, s.cut.rows, s.cut.chunk or 0, int(s.cut.roll))
        + ((s.columns,) if s.columns else ())
        for s in stages
    )
