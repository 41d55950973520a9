"""What the packer has to place: a block for each group of tensors, and one for each scratch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.graph.graph import Graph
from sim.graph.groups import Group, Need, Needs, Overlap, byte_needs, groups, overlaps, untied
from sim.graph.lifetimes import ARENA_ALIGNMENT as ALIGNMENT
from sim.graph.lifetimes import Buffer, buffers
from sim.plan.packer import Apart, Block, Rect
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Blocks, groups first; distances that are forbidden beside; bytes taken at a step at least.

    An input that its reader may write over ends before that step; `apart` and `least` say what is
    left of it there.
    """

    blocks: tuple[Block, ...]
    apart: tuple[Apart, ...]
    least: dict[int, int]

    def floor(self) -> int:
        """The arena can't be smaller."""
        return max(self.live().values(), default=0)

    def live(self) -> dict[int, int]:
        """Bytes needed at each step, those that tensors of a group share counted once."""
        live = dict(self.least)
        for block in self.blocks:
            for step, nbytes in _covered(block).items():
                live[step] = live.get(step, 0) + nbytes
        return live


def tie(graph: Graph, *, aliasing: bool, needs: Needs | None = None) -> tuple[Group, ...]:
    """The groups of tensors that are placed together; each tensor by itself without aliasing."""
    return groups(graph, needs) if aliasing else untied(graph)


def puzzle(
    graph: Graph, kernels: str, *, aliasing: bool, tied: Sequence[Group] | None = None
) -> Puzzle:
    """The puzzle of a graph; with aliasing, outputs may run into inputs that end there."""
    needs = byte_needs(graph)
    groups = tie(graph, aliasing=aliasing, needs=needs) if tied is None else tied
    return _Maker(graph, groups, needs, kernels, aliasing=aliasing).puzzle()


def live_profile(graph: Graph, kernels: str, *, aliasing: bool) -> dict[int, int]:
    """Bytes needed at each step, those that tensors of a group share counted once."""
    return puzzle(graph, kernels, aliasing=aliasing).live()


class _Maker:
    def __init__(
        self,
        graph: Graph,
        tied: Sequence[Group],
        needs: Needs,
        kernels: str,
        *,
        aliasing: bool,
    ) -> None:
        self.graph, self.tied, self.needs, self.aliasing = graph, tied, needs, aliasing
        held = buffers(graph, kernels, claims=True)
        self.life = {b.tensor: b for b in held if b.tensor is not None}
        self.scratch = [b for b in held if b.tensor is None]
        self.home = {t: (i, at) for i, g in enumerate(tied) for t, at in g.members}
        self.over: dict[int, list[Overlap]] = {}
        for overlap in overlaps(graph) if aliasing else ():
            self._note(overlap)

    def _note(self, overlap: Overlap) -> None:
        """Keeps the overlaps between blocks; within a group the places are fixed and checked."""
        homes = self.home[overlap.source], self.home.get(overlap.target)
        apart = homes[1] is not None and homes[0][0] != homes[1][0]
        if apart and self._written_over(overlap) and not self._is_kept_for_others(overlap):
            self.over.setdefault(overlap.source, []).append(overlap)

    def _is_kept_for_others(self, overlap: Overlap) -> bool:
        """Whether another tensor of the source's group needs the same bytes at that step."""
        block, at = self.home[overlap.source]
        for tensor, there in self.tied[block].members:
            if tensor == overlap.source:
                continue
            for need in self.needs[tensor]:
                span = Range(need.span.start + there - at, need.span.stop + there - at)
                if overlap.step in need.steps and any(
                    span.overlaps(mine) for mine in self._written_over(overlap)
                ):
                    return True
        return False

    def puzzle(self) -> Puzzle:
        blocks = [self._block(group) for group in self.tied]
        blocks += [_whole(b) for b in self.scratch]
        least: dict[int, int] = {}
        for step, nbytes in self._least():
            least[step] = least.get(step, 0) + nbytes
        return Puzzle(tuple(blocks), tuple(self._apart()), least)

    def _block(self, group: Group) -> Block:
        """A block counts only the bytes that are needed, but where an op has scratch, all of it:

        TFLM looks for the scratch's place among whole tensors.
        """
        if not self.aliasing:
            return _whole(self.life[group.members[0][0]])
        rects = [
            Rect(at + need.span.start, need.span.length, steps.start, steps.stop)
            for tensor, at in group.members
            for need in self.needs[tensor]
            for steps in [self._kept(tensor, need)]
        ]
        rects += [
            Rect(at, self.life[tensor].size, buffer.lifetime.start, buffer.lifetime.stop)
            for tensor, at in group.members
            for buffer in self.scratch
            if self.life[tensor].lifetime.overlaps(buffer.lifetime)
            and not any(o.step in buffer.lifetime for o in self.over.get(tensor, ()))
        ]
        return Block(tuple(rects))

    def _kept(self, tensor: int, need: Need) -> Range:
        """The steps of a need but the last, where that may write over the tensor."""
        last = need.steps.stop - 1
        if need.steps.start < last and any(o.step == last for o in self.over.get(tensor, ())):
            return Range(need.steps.start, last)
        return need.steps

    def _apart(self) -> Iterator[Apart]:
        for source, found in self.over.items():
            block, at = self.home[source]
            size = self.life[source].size
            for overlap in found:
                other, there = self.home[overlap.target]
                length = self.life[overlap.target].size
                for span in self._written_over(overlap):
                    low = max(overlap.limit + 1, span.start - length + 1)
                    if low < span.stop:
                        shift = at - there
                        yield Apart(block, other, low + shift, span.stop + shift)
                for number, buffer in enumerate(self.scratch):
                    if overlap.step in buffer.lifetime:
                        yield Apart(block, len(self.tied) + number, at - buffer.size + 1, at + size)

    def _least(self) -> Iterator[tuple[int, int]]:
        """What an input adds to its output's bytes where the two overlap as far as they may."""
        for found in self.over.values():
            for overlap in found:
                spans = self._written_over(overlap)
                low, high = min(s.start for s in spans), max(s.stop for s in spans)
                length = self.graph.tensors[overlap.target].nbytes
                below = min(overlap.limit - low, 0)
                if (self.home[overlap.source][1] - self.home[overlap.target][1]) % ALIGNMENT == 0:
                    below = below // ALIGNMENT * ALIGNMENT
                union = max(high - low, below + length) - below
                rest = min(high - low, union - length)
                if rest:
                    yield overlap.step, rest

    def _written_over(self, overlap: Overlap) -> list[Range]:
        """The bytes of the source that the overlap's step is the last to need."""
        needs = self.needs[overlap.source]
        last = overlap.step
        return [n.span for n in needs if n.steps.stop == last + 1 and n.steps.start < last]


def _whole(buffer: Buffer) -> Block:
    return Block((Rect(0, buffer.size, buffer.lifetime.start, buffer.lifetime.stop),))


def _covered(block: Block) -> dict[int, int]:
    """The bytes of a block that are needed at each of its steps."""
    if len(block.rects) == 1:
        rect = block.rects[0]
        return dict.fromkeys(range(rect.start, rect.stop), rect.size)
    found: dict[int, list[tuple[int, int]]] = {}
    for rect in block.rects:
        for step in range(rect.start, rect.stop):
            found.setdefault(step, []).append((rect.offset, rect.offset + rect.size))
    return {step: _union(spans) for step, spans in found.items()}


def _union(spans: list[tuple[int, int]]) -> int:
    total, reached = 0, -(10**12)
    for start, stop in sorted(spans):
        total += max(0, stop - max(start, reached))
        reached = max(reached, stop)
    return total
