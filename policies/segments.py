"""Which segments are worth striping, and how finely: settings ranked by a quick estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.graph.graph import Graph
from sim.graph.lifetimes import buffers, live_bytes
from sim.graph.stripes import is_segment
from sim.plan.blocks import group_blocks, live_bytes_of
from sim.plan.packer import pack
from sim.plan.runtime_overhead import runtime_overhead
from sim.policy import Goal
from sim.ranges import Range

ENDS_TRIED = 6
STRIPES_TRIED = (2, 3, 4, 8, 16, 48)
MOST_OPS = 1500


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
    made = group_blocks(graph, goal.kernels, aliasing=goal.aliasing)
    head = pack(made).size_bytes if packed else max(live_bytes_of(made).values(), default=0)
    extra = runtime_overhead(graph, head_bytes=head, kernels=goal.kernels)
    cycles = sum(op_cycles(graph, op, board) for op in graph.ops)
    return Estimate(head, head + extra.tail_bytes + extra.temporary_bytes, cycles)


def ranked(
    graph: Graph,
    board: Board,
    goal: Goal,
    cuts: Iterator[Striping],
    rewrite: Callable[[Striping], Graph],
    keep: int,
) -> list[Striping]:
    """The best cuts for the goal by estimate, best first; leaving it uncut is always among them."""
    found: list[tuple[tuple[int, ...], Striping]] = []
    for cut in cuts:
        made = rewrite(cut)
        if len(made.ops) > MOST_OPS:
            continue
        found.append((_cost(estimate(made, board, goal), goal), cut))
    found.sort(key=lambda f: (f[0], f[1].steps, f[1].rows, f[1].chunk))
    best = [cut for _, cut in found[:keep]]
    everything = [cut for _, cut in found]
    return best if UNCUT in best or UNCUT not in everything else [*best, UNCUT]


def best_packed(
    board: Board, goal: Goal, cuts: Sequence[Striping], rewrite: Callable[[Striping], Graph]
) -> Graph | None:
    """The rewritten graph of the cut that serves the goal best once placed; None without cuts."""
    made = [rewrite(cut) for cut in cuts]
    return min(made, key=lambda g: _cost(estimate(g, board, goal, packed=True), goal), default=None)


def _cost(found: Estimate, goal: Goal) -> tuple[int, ...]:
    if goal.minimize == "activations":
        return (found.activations, found.cycles)
    if goal.minimize == "arena":
        return (found.required, found.cycles)
    over = max(0, found.required - goal.sram_bytes)
    return (over, found.cycles, found.required)
