"""What a search has learned of its blocks: bytes as made, and what sketches may be hoped for."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

from policies.blocks import Block, Terms, Way
from sim.graph.cut import Cut

OPTIMISM = (1.0, 0.93)
"""Of the bytes of a sketch, what is hoped for until the block has been made: at first, then."""
DAMPING = 0.8
"""How much of what one cut of a run needed beyond its sketch is expected of a finer one."""
NO_LIMIT = 1 << 60

Setting = tuple[Cut, int, int, frozenset[int], tuple[int, int]]
"""How a way was made: cut, columns, parts, what waits by rows, and how the slots are used."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What one way's blocks need, of bytes: as they were made, else what sketches are hoped for.

    `beside` are bytes of what lies beside the way all the time.
    """

    made: Mapping[Setting, tuple[int, int]]
    hope: float
    beside: int
    terms: Terms

    def nbytes(self, cut: Cut, columns: int, sketched: int) -> int:
        """Bytes of a cut whose sketch says so many, with all beside."""
        if self.made:
            known = self.made.get((cut, columns, 0, self.terms.waiting, self.terms.slots))
            if known is not None:
                return known[0] + self.beside
        return int(sketched * self.hope) + self.beside

    def block(self, block: Block, hoped: int | None = None) -> Block:
        """The block with the bytes that it needed, or else with those that are hoped for."""
        made = self.made.get(_setting(block, self.terms))
        if hoped is None:
            hoped = int(block.sketch.peak * self.hope)
        nbytes, extra = made or (hoped, block.sketch.extra)
        sketch = replace(block.sketch, peak=nbytes + self.beside, extra=extra)
        return replace(block, sketch=sketch, made=made is not None)


class Known:
    """Bytes of blocks that were made, and those of ops as they are."""

    def __init__(self) -> None:
        self.alone: dict[int, int] = {}
        self.made: dict[Way, dict[Setting, tuple[int, int]]] = {}
        self._ratio: dict[Hashable, float] = {}
        self.optimism = OPTIMISM[0]

    def judge(self, way: Way, terms: Terms, beside: int) -> Judge:
        """What is known of a way under these terms."""
        return Judge(self.made.get(way, {}), self.hope(way), beside, terms)

    def note(self, block: Block, terms: Terms, nbytes: int, extra: int) -> None:
        """The block needs so many bytes, and its ops cost the runtime so many."""
        self.made.setdefault(block.way, {})[_setting(block, terms)] = (nbytes, extra)

    def compare(self, way: Way, nbytes: int, sketched: int) -> None:
        """The way's sketch promised so many bytes, and it came to others."""
        for key in _kinships(way):
            self._ratio[key] = nbytes / max(1, sketched)

    def refute(self, block: Block, terms: Terms, nbytes: int) -> bool:
        """Notes that the block needs at least so many bytes; whether that is news."""
        if block.cut is None:
            step = block.way.steps.start
            if nbytes <= self.alone.get(step, 0):
                return False
            self.alone[step] = nbytes
            return True
        made = self.made.get(block.way, {}).get(_setting(block, terms))
        if made is not None and nbytes <= made[0]:
            return False
        self.note(block, terms, nbytes, block.sketch.extra)
        return True

    def hope(self, way: Way) -> float:
        """Of the bytes of a way's sketch, what it may come to: as with its like that were made."""
        kin = _kinships(way)
        if kin[0] in self._ratio:
            return 1 + (self._ratio[kin[0]] - 1) * DAMPING
        seen = [self._ratio[key] for key in kin if key in self._ratio]
        return (self.optimism + sum(seen)) / (1 + len(seen))


def _kinships(way: Way) -> tuple[Hashable, ...]:
    """What ways have in common, the way itself first."""
    fed, start, stop = bool(way.fed), way.steps.start, way.steps.stop
    return way, (fed, way.leaves, start, None), (fed, way.leaves, None, stop)


def _setting(block: Block, terms: Terms) -> Setting:
    assert block.cut is not None
    return (block.cut, block.columns, block.parts, terms.waiting, terms.slots)
