"""fused_fetch: a tensor that waits in a storage comes back a few rows at a time, into its reader.

The rule: a tensor that waits long for a stage that runs by rows, as a skip does, lies in a storage,
some rows to a slot. The stage fetches them just before it needs them, one slot ahead; a stage that
makes such a tensor writes its rows as they are made. So it never exists whole after it was spilled,
nor, if a stage makes it, before. TinySeg (LCTES 2024, section 4) fuses the fetch into its reader
alike, with custom ops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.cold import cold_ranges
from policies.spill import Spill
from policies.stages import NEAR, Stage, staged
from policies.staging import Staging, by_rows, by_rows_finely
from policies.stream import Stream, told
from sim.device.board import Board
from sim.errors import CannotFitError
from sim.graph.gather import gathered
from sim.graph.graph import Graph
from sim.graph.stripes import Cut, Feed
from sim.policy import Goal, Policy, check_counts
from sim.ranges import Range

SLOT_ROWS = 4
SETS_TRIED = 2
DRAINS = (0, 2)


@dataclass(frozen=True, slots=True)
class FusedFetch:
    """Parameters left out are chosen for the goal.

    `stages` as for stream; `tensors` are the names of those that wait in the `storage`, `rows` rows
    to a slot, read `ahead` slots before they are needed, written in the background for `drain`
    ops. `pools` are [op, parts]: that op, a pool say, runs in so many parts by channels of one of
    these tensors. `target` is that of a spill of whole
    tensors afterwards; there is none without.
    """

    stages: tuple[tuple[int, ...], ...] | None = None
    tensors: tuple[str, ...] | None = None
    storage: str | None = None
    rows: int | None = None
    ahead: int = 1
    drain: int = 0
    pools: tuple[tuple[int, int], ...] = ()
    target: int | None = None

    name: ClassVar[str] = "fused_fetch"
    summary: ClassVar[str] = "what waits long lies in a storage and comes back row by row"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Stream(self.stages)
        check_counts(self, "rows", "ahead", "drain", "target")
        if self.rows == 0:
            raise ValueError(f"rows: found {self.rows}, wanted 1 or above")
        Spill(storage=self.storage, target=self.target, tensors=self.tensors)
        pools = self.pools if isinstance(self.pools, tuple) else (self.pools,)
        for pool in pools:
            plain = isinstance(pool, tuple) and all(type(n) is int for n in pool)
            if not plain or len(pool) != 2 or pool[0] < 0 or pool[1] < 2:
                raise TypeError(
                    f"pools: found {pool!r}, wanted [[op, parts], ...], parts from 2 on"
                )

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        if self.stages is None:
            best = next(iter(self.candidates(graph, board, goal)))
            return best.apply(graph, board, goal)
        stages, storage = Stream(self.stages).cut(graph, board), self._storage(graph, board)
        stages += [Stage(Range(op, op + 1), Cut(1), parts=parts) for op, parts in self.pools]
        names = frozenset(self.tensors or ()) & _fed(graph, stages)
        for op, parts in self.pools:
            tensor = gathered(graph, op)
            found = tensor is not None and graph.tensors[tensor].name in names
            if not found or tensor in graph.inputs:  # whose slots the application fills by rows
                raise CannotFitError(
                    f"{graph.name}: op {op}: can't run in {parts} parts by channels: what it reads "
                    f"does not wait in {storage}, written by an op"
                )
        if names:
            feed = Feed(
                storage, self.rows or SLOT_ROWS, names, ahead=self.ahead, drain=self.drain,
                channels=self._apart(graph, names),
            )  # fmt: skip
            stages = [replace(stage, feed=feed) for stage in stages]
        made = staged(graph, stages, self.drain)
        if self.target is None:
            return made
        return Spill(storage=storage, target=self.target).apply(made, board, goal)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """Stages fed with all that waits long, and with the largest alone; then spills alone."""
        if self.stages is not None:
            yield self
            return
        storage = self._storage(graph, board)
        for names in self._sets(graph):
            feed = Feed(storage, self.rows or SLOT_ROWS, names, ahead=1)
            search = Staging(graph, board, goal, by_rows, feed=feed)
            for plan in search.best(by_rows_finely):
                fed = names & _fed(graph, plan.stages)
                if not fed:
                    continue
                slots = (max(s.cut.rows for s in plan.stages), SLOT_ROWS)
                for rows in dict.fromkeys([self.rows] if self.rows else slots):
                    for drain in DRAINS:
                        yield replace(
                            self, stages=told(plan.stages), tensors=tuple(sorted(fed)),
                            storage=storage, rows=rows, drain=drain,
                        )  # fmt: skip
        for found in Spill(storage=storage, target=self.target).candidates(graph, board, goal):
            assert isinstance(found, Spill)
            if found.window is None:
                yield replace(self, stages=(), tensors=(), storage=storage, target=found.target)

    def _apart(self, graph: Graph, names: frozenset[str]) -> tuple[tuple[str, int], ...]:
        """How many channels to a slot, of tensors that are read by channels."""
        found = []
        for op, parts in self.pools:
            tensor = gathered(graph, op)
            if tensor is not None and graph.tensors[tensor].name in names:
                channels = max(1, graph.tensors[tensor].shape[-1] // parts)
                found.append((graph.tensors[tensor].name, channels))
        return tuple(found)

    def _sets(self, graph: Graph) -> list[frozenset[str]]:
        """Which tensors wait together: those named, or all that could, and the largest of them."""
        waiting = _waiting(graph)
        sets = [frozenset(waiting), frozenset(waiting[:1])]
        if self.tensors is not None:
            sets = [frozenset(waiting) & frozenset(self.tensors)]
        return [s for s in dict.fromkeys(sets) if s][:SETS_TRIED]

    def _storage(self, graph: Graph, board: Board) -> str:
        """The one named, or the quickest. Raises CannotFitError on a board without any."""
        if self.storage is not None:
            return board.storage(self.storage).name
        if not board.storages:
            raise CannotFitError(
                f"fused_fetch: {graph.name}: board {board.name}: storage: found none, wanted one "
                f"for {', '.join(repr(n) for n in _waiting(graph)) or 'what waits'}"
            )
        probe = 1 << 14
        return min(board.storages, key=lambda s: s.read_ps(probe) + s.write_ps(probe)).name


def _waiting(graph: Graph) -> list[str]:
    """Names of images that wait for more than a few steps, the largest first."""
    counts = Counter(t.name for t in graph.tensors)
    sizes = {
        graph.tensors[cold.tensor].name: cold.size
        for cold in cold_ranges(graph)
        if cold.gap.length > NEAR and cold.made >= 0
    }
    images = {t.name for t in graph.tensors if len(t.shape) == 4 and t.shape[0] == 1}
    able = [n for n in sizes if counts[n] == 1 and n in images]
    return sorted(able, key=lambda n: (-sizes[n], n))


def _fed(graph: Graph, stages: Sequence[Stage]) -> frozenset[str]:
    """Tensors that no op needs whole but their stage, or ops near their maker.

    All other readers are fed. The graph's inputs are among them, and its outputs that leave.
    """
    stage_of = {step: s for s in stages for step in range(s.steps.start, s.steps.stop)}
    makers = {t: step for step, op in enumerate(graph.ops) for t in op.outputs}
    makers.update(dict.fromkeys(graph.inputs, -NEAR - 1))
    found = set()
    for tensor, maker in makers.items():
        readers = [step for step, op in enumerate(graph.ops) if tensor in op.reads]
        home = stage_of.get(maker)
        fed = [r for r in readers if r in stage_of and stage_of[r] is not home]
        rest = [r for r in readers if r not in fed]
        able = all(stage_of.get(r) is home and (home or r <= maker + NEAR) for r in rest)
        leaves = home is not None and not rest and maker == home.steps.stop - 1
        if tensor in graph.outputs:
            able = able and leaves and not fed
        if able and (leaves or (fed and (rest or home is None))):
            found.add(graph.tensors[tensor].name)
    return frozenset(found)
