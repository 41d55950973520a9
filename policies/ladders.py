"""The cuts of one way through a graph, each sketched when it is asked for, once for all limits."""

from __future__ import annotations

from collections.abc import Iterator

from policies.blocks import Block, Way
from policies.cuts import Family, families
from policies.known import Judge
from policies.sketch import Sketcher
from policies.sketch_stage import Sketch
from sim.graph.cut import Cut


class Ladders:
    """A way's families of cuts: down a ladder they get finer, need less and take longer."""

    def __init__(
        self, to: Sketcher, way: Way, tapped: frozenset[int], slots: tuple[int, int]
    ) -> None:
        self.to, self.way, self.tapped, self.slots = to, way, tapped, slots
        graph = to.graph
        shape = graph.tensors[graph.ops[way.steps.stop - 1].outputs[0]].shape
        self._families = families(shape, moves=bool(way.fed or way.leaves))
        self._sketches: dict[tuple[Cut, int], Sketch | None] = {}

    def sketch(self, cut: Cut, columns: int) -> Sketch | None:
        """The sketch of a cut; None if there is no rule for it."""
        if (cut, columns) not in self._sketches:
            self._sketches[cut, columns] = self.to.stage(
                self.way.steps, cut, columns, fed=self.way.fed, tapped=self.tapped,
                leaves=self.way.leaves, slot_rows=self.slots[0], ahead=self.slots[1],
            )  # fmt: skip
        return self._sketches[cut, columns]

    def coarsest(self, judge: Judge, room: int, *, strips: bool) -> Iterator[Block]:
        """The coarsest cut of each family that needs no more bytes than the room.

        Strips of columns are looked at if that is asked for, and nothing made inside is kept.
        """
        stripped = strips and not self.tapped
        for family in self._families if stripped else self._families[:-1]:
            at = self._highest(family, judge, room)
            if at is not None:
                cut, columns = family[at]
                sketch = self.sketch(cut, columns)
                assert sketch is not None
                yield judge.block(Block(self.way, cut, columns, sketch, made=False))

    def _highest(self, family: Family, judge: Judge, room: int) -> int | None:
        def fits(at: int) -> bool:
            cut, columns = family[at]
            sketch = self.sketch(cut, columns)
            return sketch is not None and judge.nbytes(cut, columns, sketch.peak) <= room

        low, high = 0, len(family) - 1
        if high < 0 or not fits(high):
            return None
        while low < high:
            middle = (low + high) // 2
            if fits(middle):
                high = middle
            else:
                low = middle + 1
        return high
