"""patch: stages run patch by patch, each alone, with its halo computed again.

MCUNetV2 (NeurIPS 2021, section 3.1): a patch needs nothing of its neighbours, at the price of
repeated work where receptive fields overlap; msf-CNN (NeurIPS 2025) has several such stages. Strips
of columns stand alone; a strip's rows may keep what the next ones need, which saves work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.stages import Stage, check_feed, check_stages, fed_from, staged, with_feed
from policies.staging import Staging
from sim.device.board import Board
from sim.graph.graph import Graph
from sim.graph.stripes import Cut
from sim.policy import Goal, Policy
from sim.ranges import Range

STRIPS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Patch:
    """Stages left out are chosen for the goal.

    A stage is [start, stop, rows, columns, keep]: ops `start` up to `stop` (not included), whose
    output is computed in patches of `rows` x `columns` (0: whole rows); with `keep` 1 a patch keeps
    the rows that the one below it needs, and no tensor inside gets more than `rows` at once. `feed`
    and `feed_rows` as for stream.
    """

    stages: tuple[tuple[int, int, int, int, int], ...] | None = None
    feed: str | None = None
    feed_rows: int = 1

    name: ClassVar[str] = "patch"
    summary: ClassVar[str] = "stages run in patches, halos computed again"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_stages(self.stages, ("rows", 1), ("columns", 0), ("keep", 0))
        check_feed(self.feed, self.feed_rows)

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
            told = tuple(
                (s.steps.start, s.steps.stop, s.cut.rows, s.columns, int(s.cut.keep_halos))
                for s in stages
            )
            yield replace(self, stages=told)

    def _plans(self, graph: Graph, board: Board, goal: Goal) -> list[tuple[Stage, ...]]:
        feed = fed_from(board, self.feed, self.feed_rows)
        found = Staging(graph, board, goal, by_patches, feed=feed).best(by_patches_finely)
        return [plan.stages for plan in found]

    def cut(self, graph: Graph, board: Board) -> list[Stage]:
        """The stages as the rewriter takes them."""
        feed = fed_from(board, self.feed, self.feed_rows)
        return [
            with_feed(graph, Stage(Range(start, stop), _cut(rows, bool(keep)), columns), feed)
            for start, stop, rows, columns, keep in self.stages or ()
        ]


def _cut(rows: int, keep: bool) -> Cut:
    return Cut(rows, rows if keep else None, keep_halos=keep, roll=keep)


def by_patches(shape: tuple[int, ...]) -> Iterator[tuple[Cut, int]]:
    """Square patches, few first."""
    for count in (2, 4):
        columns = _part(shape[2], count)
        yield _cut(_part(shape[1], count), False), columns if columns < shape[2] else 0


def by_patches_finely(shape: tuple[int, ...]) -> Iterator[tuple[Cut, int]]:
    """Strips of all widths, by few rows that are computed again or by fewer that are kept."""
    for strips in STRIPS:
        columns = _part(shape[2], strips) if strips > 1 else 0
        for parts, keep in ((2, False), (4, False), (4, True), (48, True)):
            yield _cut(_part(shape[1], parts), keep), columns


def _part(size: int, count: int) -> int:
    return -(-size // count)
