"""Which segments are worth striping, and how finely: settings ranked by a quick estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.errors import CannotFitError
from sim.graph.graph import Graph
from sim.graph.lifetimes import buffers, live_bytes
from sim.graph.rewrite import drop_dead_tensors
from sim.graph.stripes import Cut, is_segment, stripe
from sim.plan.blocks import puzzle
from sim.plan.packer import pack
from sim.plan.runtime_overhead import runtime_overhead
from sim.policy import Goal
from sim.ranges import Range

ENDS_TRIED = 6
STRIPES_TRIED = (2, 3, 4, 8, 16, 48)
MOST_OPS = 1500
CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class Striping:
    """A segment and how it is cut: output rows at a time, and rows inside at a time (0: all)."""

    steps: Range
    rows: int
    chunk: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rewritten graph takes, before it is placed: bytes and cycles."""

    activations: int
    required: int
    cycles: int


UNCUT = Striping(Range(0, 0), 0, 0)
"""The graph as it is: always among the settings, since a cut need not pay."""


def segments(graph: Graph) -> list[Range]:
    """Segments from the first op that can begin one, to the ends that leave ever less outside."""
    live = live_bytes(buffers(graph))
    steps = len(graph.ops)
    found: list[Range] = []
    for start in range(steps):
        least = None
        for stop in range(start + 2, steps + 1):
            segment = Range(start, stop)
            if not is_segment(graph, segment):
                continue
            outside = max((n for s, n in live.items() if s not in segment), default=0)
            if least is None or outside < least:
                least = outside
                found.append(segment)
        if least is not None:
            break
    return found[-ENDS_TRIED:]


def stripings(graph: Graph, *, chunks: Sequence[int]) -> Iterator[Striping]:
    """The cuts worth an estimate: none, then few stripes first."""
    yield UNCUT
    for segment in segments(graph):
        height = graph.tensors[graph.ops[segment.stop - 1].outputs[0]].shape[1]
        heights = dict.fromkeys(-(-height // n) for n in STRIPES_TRIED if n <= height)
        for rows in heights:
            for chunk in chunks:
                yield Striping(segment, rows, chunk)


def estimate(graph: Graph, board: Board, goal: Goal, *, packed: bool = False) -> Estimate:
    """Live bytes of the groups, TFLM's own bytes exactly, and cycles without transfers.

    With `packed`, the bytes of a placement in the stead of live bytes.
    """
    made = puzzle(graph, goal.kernels, aliasing=goal.aliasing)
    head = made.floor()
    if packed:
        head = pack(made.blocks, made.apart, floor=head).size_bytes
    extra = runtime_overhead(graph, head_bytes=head, kernels=goal.kernels)
    cycles = sum(op_cycles(graph, op, board) for op in graph.ops)
    return Estimate(head, head + extra.tail_bytes + extra.temporary_bytes, cycles)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a striping policy was asked for; None is left to be chosen.

    `chunks` are the values of `chunk` worth trying, `keep_halos` whether rows are computed once.
    """

    policy: str
    start: int | None
    stop: int | None
    rows: int | None
    chunk: int | None
    chunks: tuple[int, ...]
    keep_halos: bool

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        """The graph with the cut that serves the goal best once it is placed."""
        made = [self.rewrite(graph, cut) for cut in self.cuts(graph, board, goal)]
        if len(made) <= 1:
            return made[0] if made else drop_dead_tensors(graph)
        return min(made, key=lambda g: _cost(estimate(g, board, goal, packed=True), goal))

    def cuts(self, graph: Graph, board: Board, goal: Goal) -> list[Striping]:
        """The best cuts by estimate, best first; leaving it uncut is among them where it may be."""
        if self.start is not None and self.stop is not None and self.rows is not None:
            return [Striping(Range(self.start, self.stop), self.rows, self.chunk or 0)]
        found: list[tuple[tuple[int, ...], Striping]] = []
        for cut in stripings(graph, chunks=self.chunks):
            made = self.rewrite(graph, cut) if self._agrees(cut) else None
            if made is not None and len(made.ops) <= MOST_OPS:
                found.append((_cost(estimate(made, board, goal), goal), cut))
        found.sort(key=lambda f: (f[0], f[1].steps, f[1].rows, f[1].chunk))
        ordered = [cut for _, cut in found]
        best = ordered[:CANDIDATES]
        return [*best, UNCUT] if UNCUT in ordered and UNCUT not in best else best

    def rewrite(self, graph: Graph, cut: Striping) -> Graph:
        """Raises CannotFitError if the ops can't be cut."""
        steps = cut.steps
        if cut.rows == 0:
            return drop_dead_tensors(graph)
        if not 0 <= steps.start < steps.stop <= len(graph.ops) or not is_segment(graph, steps):
            raise CannotFitError(
                f"{self.policy}: {graph.name}: ops {steps.start}..{steps.stop}: not a segment "
                "that can run by rows"
            )
        return stripe(graph, steps, Cut(cut.rows, cut.chunk or None, self.keep_halos))

    def _agrees(self, cut: Striping) -> bool:
        wanted = (self.start, self.stop, self.rows, self.chunk)
        found = (cut.steps.start, cut.steps.stop, cut.rows, cut.chunk)
        return all(w is None or w == f for w, f in zip(wanted, found, strict=True))


def _cost(found: Estimate, goal: Goal) -> tuple[int, ...]:
    if goal.minimize == "activations":
        return (found.activations, found.cycles)
    if goal.minimize == "arena":
        return (found.required, found.cycles)
    over = max(0, found.required - goal.sram_bytes)
    return (over, found.cycles, found.required)
