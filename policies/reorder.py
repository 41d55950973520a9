"""reorder: the same ops in the order that needs the fewest live bytes.

The rule: of all orders that keep every op behind what it reads, one with the least peak, found by
going through sets of done ops with the best ones first; above a limit only the best sets of each
size are kept (a beam).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from sim.device.board import Board
from sim.graph.graph import Graph
from sim.graph.lifetimes import ARENA_ALIGNMENT, buffers, in_arena, peak
from sim.graph.rewrite import TRANSFER_KINDS, drop_dead_tensors
from sim.graph.scratch import scratch_bytes
from sim.policy import Goal, Policy, check_counts
from sim.ranges import round_up

BEAM = 2000
"""Sets of done ops kept of each size; graphs that never have more are solved exactly."""


@dataclass(frozen=True, slots=True)
class Reorder:
    """`beam` is the number of partial orders kept at each step."""

    beam: int = BEAM

    name: ClassVar[str] = "reorder"
    summary: ClassVar[str] = "the same ops in the order with the least live bytes"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_counts(self, "beam")

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        live = drop_dead_tensors(graph)
        moves = any(op.kind in TRANSFER_KINDS for op in live.ops)
        if live.bodies or moves or any(t.is_variable for t in live.tensors):
            return live
        order = _Search(live, goal.kernels).best(max(1, self.beam))
        better = replace(live.without_plan(), ops=tuple(live.ops[i] for i in order))
        before, after = (peak(buffers(g, goal.kernels)).bytes for g in (live, better))
        return better if after < before else live

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield self


@dataclass(frozen=True, slots=True)
class _State:
    """Ops done, as bits; the peak so far, the bytes alive now, and the order that led here."""

    done: int
    peak: int
    live: int
    order: tuple[int, ...]


class _Search:
    def __init__(self, graph: Graph, kernels: str) -> None:
        placed = in_arena(graph)
        self.size = [
            round_up(t.nbytes, ARENA_ALIGNMENT) if placed[t.id] else 0 for t in graph.tensors
        ]
        self.ops = graph.ops
        self.scratch = [
            sum(round_up(n, ARENA_ALIGNMENT) for n in scratch_bytes(graph, op, kernels))
            for op in graph.ops
        ]
        maker = {t: step for step, op in enumerate(graph.ops) for t in op.outputs}
        self.before = [_bits(maker[t] for t in op.reads if t in maker) for op in graph.ops]
        self.readers = [0] * len(graph.tensors)
        for step, op in enumerate(graph.ops):
            for tensor in op.reads:
                self.readers[tensor] |= 1 << step
        for tensor in graph.outputs:
            self.readers[tensor] |= 1 << len(graph.ops)
        self.start = sum(self.size[t] for t in graph.inputs)

    def best(self, beam: int) -> tuple[int, ...]:
        """The order with the least peak, exact where no level has more states than the beam."""
        level = [_State(0, self.start, self.start, ())]
        for _ in self.ops:
            found: dict[int, _State] = {}
            for state in level:
                for step in range(len(self.ops)):
                    if state.done >> step & 1 or self.before[step] & ~state.done:
                        continue
                    after = self._run(state, step)
                    known = found.get(after.done)
                    if known is None or after.peak < known.peak:
                        found[after.done] = after
            level = sorted(found.values(), key=lambda s: (s.peak, s.live, s.order))[:beam]
        return level[0].order

    def _run(self, state: _State, step: int) -> _State:
        op, done = self.ops[step], state.done | 1 << step
        during = state.live + sum(self.size[t] for t in op.outputs)
        gone = sum(self.size[t] for t in {*op.reads, *op.outputs} if not self.readers[t] & ~done)
        high = max(state.peak, during + self.scratch[step])
        return _State(done, high, during - gone, (*state.order, step))


def _bits(steps: Iterator[int]) -> int:
    bits = 0
    for step in steps:
        bits |= 1 << step
    return bits
