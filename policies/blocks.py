"""What a way through a graph is made of: blocks, each a run of ops that meets its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from policies.sketch_stage import Sketch
from policies.stages import Stage
from sim.graph.cut import Cut
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Way:
    """How a run of ops meets its neighbours: which inputs are fed, whether its output leaves."""

    steps: Range
    fed: frozenset[int] = frozenset()
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A way with a cut (None: one op as it is), bytes with all that lies beside, and its time.

    With `parts` the ops run in so many parts by channels.
    """

    way: Way
    cut: Cut | None
    columns: int
    sketch: Sketch
    made: bool
    parts: int = 0

    def stage(self) -> Stage | None:
        """The stage that it is; None for an op as it is."""
        if self.cut is None:
            return None
        return Stage(self.way.steps, self.cut, self.columns, parts=self.parts)


@dataclass(frozen=True, slots=True)
class Path:
    """Blocks from the first op to the last one."""

    blocks: tuple[Block, ...]

    @property
    def peak(self) -> int:
        return max((b.sketch.peak for b in self.blocks), default=0)

    @property
    def extra(self) -> int:
        return sum(b.sketch.extra for b in self.blocks)

    @property
    def time_ps(self) -> int:
        return sum(b.sketch.time_ps for b in self.blocks)

    @property
    def is_made(self) -> bool:
        return all(b.made for b in self.blocks)

    def stages(self) -> tuple[Stage, ...]:
        return tuple(s for b in self.blocks if (s := b.stage()) is not None)

    def stored(self) -> frozenset[int]:
        """Tensors that some block is fed with."""
        return frozenset(t for b in self.blocks for t in b.way.fed)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the search may do: tensors that wait in the storage all the time (by rows, or whole),

    whether other tensors between blocks may leave, whether the graph's inputs and outputs may,
    and whether blocks may run in strips of columns.
    """

    waiting: frozenset[int] = frozenset()
    spilled: frozenset[int] = frozenset()
    boundaries: bool = False
    ends: bool = False
    slot_rows: int = 1
    ahead: int = 0
    strips: bool = False

    @property
    def gone(self) -> frozenset[int]:
        """What does not lie in the arena while it waits."""
        return self.waiting | self.spilled

    @property
    def moves(self) -> bool:
        """Whether a storage is needed."""
        return bool(self.waiting or self.spilled or self.boundaries or self.ends)

    @property
    def slots(self) -> tuple[int, int]:
        return self.slot_rows, self.ahead


@dataclass(slots=True)
class Work:
    """Ops that may still be made; below 0, only what is needed for any result at all."""

    left: int
    reserve: int
    share: int
