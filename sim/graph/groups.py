"""Groups of tensors that lie at fixed offsets to one another, and when each byte of them is needed.

A view lies inside its parent, a joined part inside the whole, an in-place result on its input. Two
tensors of a group may share a byte at the same step only if it holds the same value for both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.graph.copies import Copy, copies
from sim.graph.graph import Graph
from sim.graph.lifetimes import in_arena, timeline
from sim.graph.overlap import overlap_limits
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of a tensor, counted from its start, that are needed during these steps."""

    span: Range
    steps: Range


@dataclass(frozen=True, slots=True)
class Group:
    """Tensors with their offsets in bytes from the group's origin; the least offset is 0."""

    members: tuple[tuple[int, int], ...]


def byte_needs(graph: Graph) -> tuple[tuple[Need, ...], ...]:
    """For each tensor, its byte ranges and the steps in which they are needed.

    An op that copies a range needs no more than that range; every other reader needs all of it.
    Bytes that nobody reads are needed at the step that writes them.
    """
    times = timeline(graph)
    reads: list[list[tuple[Range, int]]] = [[] for _ in graph.tensors]
    for op, steps in times.ops:
        found = copies(graph, op)
        ranged = {c.source for c in found}
        for tensor in op.reads:
            whole = Range(0, graph.tensors[tensor].nbytes)
            if tensor not in ranged:
                reads[tensor].append((whole, steps.stop))
        for copy in found:
            span = Range(copy.source_start, copy.source_start + copy.nbytes)
            reads[copy.source].append((span, steps.stop))
    ends = dict.fromkeys(graph.outputs, times.steps + 1)  # read by the caller after the last op
    for tensor, claim in enumerate(times.claims):
        if tensor in ends or claim.stop > times.lifetimes[tensor].stop:
            whole = Range(0, graph.tensors[tensor].nbytes)
            reads[tensor].append((whole, max(claim.stop, ends.get(tensor, 0))))
    return tuple(
        _needs(graph.tensors[t].nbytes, times.claims[t].start, reads[t])
        for t in range(len(graph.tensors))
    )


def _needs(nbytes: int, start: int, reads: Sequence[tuple[Range, int]]) -> tuple[Need, ...]:
    if nbytes == 0:
        return ()
    cuts = sorted({0, nbytes, *(p for span, _ in reads for p in (span.start, span.stop))})
    made: list[Need] = []
    for low, high in itertools.pairwise(cuts):
        stops = [stop for span, stop in reads if span.start <= low and high <= span.stop]
        steps = Range(start, max(stops, default=start + 1))
        if made and made[-1].steps == steps:
            made[-1] = Need(Range(made[-1].span.start, high), steps)
        else:
            made.append(Need(Range(low, high), steps))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Overlap:
    """At a step, the output `target` may overlap the input `source`, which is not needed later,

    if it begins at most `limit` bytes behind the input's start.
    """

    source: int
    target: int
    step: int
    limit: int


def overlaps(graph: Graph) -> tuple[Overlap, ...]:
    """Where an op may write over an input; none in a graph with control flow."""
    if graph.bodies:
        return ()
    placed, times = in_arena(graph), timeline(graph)
    return tuple(
        Overlap(source, op.outputs[0], step, limit)
        for step, op in enumerate(graph.ops)
        for source, limit in overlap_limits(graph, op).items()
        if placed[source] and times.claims[source] == times.lifetimes[source]
    )


Needs = tuple[tuple[Need, ...], ...]
"""For each tensor of a graph, its byte ranges and when they are needed."""


def groups(graph: Graph, needs: Needs | None = None) -> tuple[Group, ...]:
    """Every tensor of the arena in one group; ties that would spoil a value are left out.

    The ties that save most bytes are made first. `needs` are the graph's, if they are known.
    """
    return _Grouper(graph, byte_needs(graph) if needs is None else needs).groups()


def untied(graph: Graph) -> tuple[Group, ...]:
    """Every tensor of the arena in a group of its own."""
    return tuple(Group(((t, 0),)) for t, placed in enumerate(in_arena(graph)) if placed)


@dataclass(frozen=True, slots=True)
class _Tie:
    """`second` lies `delta` bytes behind the start of `first`, which saves that many bytes."""

    nbytes: int
    step: int
    first: int
    second: int
    delta: int
    is_slice: bool

    def rank(self) -> tuple[int, bool, int, int, int]:
        """Most bytes first; of as many, a join before a slice, which may roll instead."""
        return -self.nbytes, self.is_slice, self.step, self.first, self.second


@dataclass(frozen=True, slots=True)
class _Placed:
    """A tensor at an offset of its group, and the steps from its first need to its last."""

    tensor: int
    offset: int
    nbytes: int
    steps: Range

    @property
    def end(self) -> int:
        return self.offset + self.nbytes

    def shifted(self, by: int) -> _Placed:
        return _Placed(self.tensor, self.offset + by, self.nbytes, self.steps)

    def beside(self, others: Iterable[_Placed]) -> list[_Placed]:
        """Those that share a byte and a step with it, as far as their ends tell."""
        low, high, first, last = self.offset, self.end, self.steps.start, self.steps.stop
        return [
            o
            for o in others
            if o.steps.start < last
            and first < o.steps.stop
            and o.offset < high
            and low < o.offset + o.nbytes
        ]


class _Grouper:
    def __init__(self, graph: Graph, needs: Needs) -> None:
        self.needs = needs
        self.graph = graph
        self.placed = in_arena(graph)
        self.values = _Values(graph)
        self.overlaps = {(o.source, o.target, o.step): o for o in overlaps(graph)}
        self.home = {t: (t, 0) for t, placed in enumerate(self.placed) if placed}
        self.members = {t: [self._whole(t)] for t in self.home}

    def _whole(self, tensor: int) -> _Placed:
        needs = self.needs[tensor]
        steps = Range(
            min((n.steps.start for n in needs), default=0),
            max((n.steps.stop for n in needs), default=0),
        )
        return _Placed(tensor, 0, self.graph.tensors[tensor].nbytes, steps)

    def groups(self) -> tuple[Group, ...]:
        if not self.graph.bodies:
            for tie in sorted(self._ties(), key=_Tie.rank):
                self._tie(tie)
        made = []
        for members in self.members.values():
            low = min(m.offset for m in members)
            made.append(Group(tuple(sorted((m.tensor, m.offset - low) for m in members))))
        return tuple(made)

    def _ties(self) -> Iterable[_Tie]:
        for step, op in enumerate(self.graph.ops):
            for copy in copies(self.graph, op):
                delta = copy.source_start - copy.target_start
                is_slice = op.kind == "SLICE"
                yield _Tie(copy.nbytes, step, copy.source, copy.target, delta, is_slice)
                if is_slice and delta:  # kept rows roll down where their tensor began
                    yield _Tie(0, step, copy.source, copy.target, 0, is_slice)

    def _tie(self, tie: _Tie) -> None:
        if not (self.placed[tie.first] and self.placed[tie.second]):
            return
        (first_root, first_at), (second_root, second_at) = (
            self.home[tie.first],
            self.home[tie.second],
        )
        if first_root == second_root:
            return
        shift = first_at + tie.delta - second_at
        moved = [m.shifted(shift) for m in self.members[second_root]]
        here = self.members[first_root]
        if _stretch(here, moved) or any(self._spoils(a, b) for b in moved for a in b.beside(here)):
            return
        here.extend(moved)
        del self.members[second_root]
        self.home.update({m.tensor: (first_root, m.offset) for m in moved})

    def _spoils(self, a: _Placed, b: _Placed) -> bool:
        """Whether two placed tensors need the same byte at the same step for different values."""
        first, first_at, second, second_at = a.tensor, a.offset, b.tensor, b.offset
        for need in self.needs[first]:
            low, high = need.span.start + first_at, need.span.stop + first_at
            for other in self.needs[second]:
                start = max(low, other.span.start + second_at)
                stop = min(high, other.span.stop + second_at)
                if start >= stop or not need.steps.overlaps(other.steps):
                    continue
                if self._replaces(a, b, need, other) or self._replaces(b, a, other, need):
                    continue
                if not self.values.equal(
                    first, start - first_at, second, start - second_at, stop - start
                ):
                    return True
        return False

    def _replaces(self, a: _Placed, b: _Placed, old: Need, new: Need) -> bool:
        """Whether an op writes b over a, whose bytes it is the last to need, far enough below."""
        step = new.steps.start
        found = self.overlaps.get((a.tensor, b.tensor, step))
        last = old.steps.stop == step + 1
        return found is not None and last and b.offset - a.offset <= found.limit


def _stretch(here: Sequence[_Placed], moved: Sequence[_Placed]) -> bool:
    """Whether a group would be longer than its longest member: it slides along the arena."""
    both = (*here, *moved)
    low, high = min(m.offset for m in both), max(m.end for m in both)
    return high - low > max(m.nbytes for m in both)


class _Values:
    """Which bytes are copies of which: every byte as (tensor that computed it, byte in there)."""

    def __init__(self, graph: Graph) -> None:
        self.parts: dict[int, list[Copy]] = {}
        for op in graph.ops:
            for copy in copies(graph, op):
                self.parts.setdefault(copy.target, []).append(copy)

    def equal(self, a: int, a_start: int, b: int, b_start: int, nbytes: int) -> bool:
        return self._runs(a, a_start, nbytes) == self._runs(b, b_start, nbytes)

    def _runs(self, tensor: int, start: int, nbytes: int) -> list[tuple[int, int, int]]:
        """The bytes as runs (tensor, first byte, bytes) of what was computed, joined."""
        runs: list[tuple[int, int, int]] = []
        at, stop = start, start + nbytes
        for part in self.parts.get(tensor, ()):
            low = max(at, part.target_start)
            high = min(stop, part.target_start + part.nbytes)
            if low >= high:
                continue
            if at < low:
                runs.append((tensor, at, low - at))
            source = part.source_start + low - part.target_start
            runs.extend(self._runs(part.source, source, high - low))
            at = high
        if at < stop:
            runs.append((tensor, at, stop - at))
        return _merged(runs)


def _merged(runs: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    made: list[tuple[int, int, int]] = []
    for tensor, start, nbytes in runs:
        if made and made[-1][0] == tensor and made[-1][1] + made[-1][2] == start:
            made[-1] = (tensor, made[-1][1], made[-1][2] + nbytes)
        else:
            made.append((tensor, start, nbytes))
    return made
