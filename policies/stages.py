"""Stages: runs of ops that go depth first, by rows; how policies write them and make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.device.board import Board
from sim.errors import CannotFitError
from sim.graph.channels import split
from sim.graph.gather import gather
from sim.graph.graph import Graph
from sim.graph.padding import COLUMNS
from sim.graph.rewrite import drop_dead_tensors
from sim.graph.stripes import Cut, Feed, is_segment, patch, store, stripe
from sim.ranges import Range

NEAR = 2
"""Readers so many steps behind a tensor's maker may take it whole from the arena."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Ops that run depth first, cut by rows and, unless `columns` is 0, by columns before.

    With `parts` they run in so many parts by channels; where there is a feed, one op whose input
    has its channels apart there.
    """

    steps: Range
    cut: Cut
    columns: int = 0
    feed: Feed | None = None
    parts: int = 0

    def apply(self, graph: Graph) -> Graph:
        """Raises CannotFitError if the ops can't be cut so."""
        steps = self.steps
        if self.columns and self.feed is not None and self._makes(graph, self.feed):
            raise CannotFitError(
                f"{graph.name}: ops {steps.start}..{steps.stop}: in strips of columns they can't "
                "write a tensor to a storage by rows"
            )
        if self.parts and self.feed is not None:
            return gather(graph, steps.start, self.parts, self.feed)
        if self.parts:
            return split(graph, steps, self.parts)
        within = 0 <= steps.start < steps.stop <= len(graph.ops)
        able = within and is_segment(graph, steps, feed=self.feed)
        if not able or (self.columns and not is_segment(graph, steps, COLUMNS)):
            raise CannotFitError(
                f"{graph.name}: ops {steps.start}..{steps.stop}: not a segment that can run by "
                f"rows{' and columns' if able else ''}"
            )
        if self.columns:
            return patch(graph, steps, self.columns, self.cut, self.feed)
        return stripe(graph, steps, self.cut, self.feed)

    def _makes(self, graph: Graph, feed: Feed) -> bool:
        """Whether some op of the stage makes what the feed names."""
        inside = graph.ops[self.steps.start : self.steps.stop]
        return any(graph.tensors[t].name in feed.tensors for op in inside for t in op.outputs)


def with_feed(graph: Graph, stage: Stage, feed: Feed | None) -> Stage:
    """The stage with the feed; if that is of the graph's inputs, only if it alone reads them."""
    if feed is not None and feed.tensors:
        return replace(stage, feed=feed)
    ops = graph.ops[stage.steps.start : stage.steps.stop]
    made = {t for op in ops for t in op.outputs}
    read = {t for op in ops for t in op.reads if not graph.tensors[t].is_constant} - made
    others = {t for s, op in enumerate(graph.ops) if s not in stage.steps for t in op.reads}
    able = read <= set(graph.inputs) and not read & (others | set(graph.outputs))
    names = [graph.tensors[t].name for t in graph.inputs]
    able = able and all(names) and len(set(names)) == len(names)  # slots go by them
    ends = feed is not None and feed.outputs and made & set(graph.outputs)
    able = able or bool(ends and not read & set(graph.inputs))
    return replace(stage, feed=feed) if able else stage


def fed_from(board: Board, storage: str | None, rows: int, outputs: bool = False) -> Feed | None:
    """The feed from a storage of the board. Raises PolicyError if there is none of the name."""
    if storage is None:
        return None
    return Feed(board.storage(storage).name, rows, outputs=outputs)


def staged(graph: Graph, stages: Sequence[Stage], drain: int = 0) -> Graph:
    """The graph with each of its stages cut; stages don't overlap.

    What stages are fed with and none of them makes is written to its slots once it is made, which
    may take `drain` ops more.
    """
    if not stages:
        return drop_dead_tensors(graph)
    given = {graph.tensors[t].name for t in graph.inputs}  # their slots the caller fills
    feeds = {name: s.feed for s in stages if s.feed for name in s.feed.tensors}
    makers = {graph.tensors[t].name: s for s, op in enumerate(graph.ops) for t in op.outputs}
    for stage in sorted(stages, key=lambda s: -s.steps.start):
        graph = stage.apply(graph)
    for name in sorted(feeds.keys() - given):
        if not any(makers.get(name, -1) in stage.steps for stage in stages):
            tensor = next(t.id for t in graph.tensors if t.name == name)
            graph = store(graph, tensor, feeds[name], drain)
    return graph


def check_stages(stages: object, *bounds: tuple[str, int], optional: int = 0) -> None:
    """Raises TypeError if the stages are not lists of as many whole numbers, in order.

    `bounds` are names and least values of the numbers behind the first two, a stage's first op and
    the one behind its last. So many as are `optional` may be left out at the end.
    """
    if stages is None:
        return
    names = ["start", "stop", *(name for name, _ in bounds)]
    least = [0, 0, *(low for _, low in bounds)]
    wanted = f"[[{', '.join(names)}], ...]"
    if not isinstance(stages, tuple):
        raise TypeError(f"stages: found {stages!r}, wanted {wanted}")
    end = 0
    for stage in stages:
        if (
            not isinstance(stage, tuple)
            or not len(names) - optional <= len(stage) <= len(names)
            or any(type(n) is not int or n < low for n, low in zip(stage, least, strict=False))
        ):
            raise TypeError(f"stages: found {stage!r}, wanted {wanted} with whole numbers")
        if not end <= stage[0] < stage[1]:
            raise TypeError(f"stages: found {stage[0]}..{stage[1]}, wanted ops from {end} on")
        end = stage[1]


def check_feed(storage: object, rows: object) -> None:
    """Raises TypeError if the storage is no name or the rows are not a whole number from 1 on."""
    if storage is not None and not isinstance(storage, str):
        raise TypeError(f"feed: found {storage!r}, wanted a name")
    if type(rows) is not int or rows < 1:
        raise TypeError(f"feed_rows: found {rows!r}, wanted a whole number, 1 or above")
