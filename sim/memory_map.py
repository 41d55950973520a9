"""Memory map: what lies where in the arena, step by step, and why its peak is so high."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sim.device.cost import group
from sim.graph.graph import Graph
from sim.graph.lifetimes import ARRIVAL, timeline
from sim.graph.lifetimes import UNUSED as UNUSED_STEPS
from sim.graph.roles import Roles, step_word
from sim.plan.memory_plan import Placement
from sim.program import Arena, Program
from sim.ranges import Range
from sim.trace import FETCH, SPILL
from sim.transfers import transfers

INPUT, OUTPUT, COMPUTED, KEPT, COPIED = "input", "output", "computed", "kept", "copied"
FETCHED, SPILLED, SCRATCH, VARIABLE, UNUSED = "fetched", "spilled", "scratch", "variable", "unused"
KINDS = (INPUT, OUTPUT, COMPUTED, KEPT, COPIED, SPILLED, FETCHED, SCRATCH, VARIABLE, UNUSED)
"""What a block holds. `kept` tensors wait for a later reader while other ops run; `copied` are
bytes that an op only moved, such as rows cut out or put together; `spilled` tensors leave for a
storage, `fetched` ones came from there."""

MOVING = frozenset({"copy", "rearrange", "reshape"})
"""Groups of op kinds that compute nothing."""
ARRIVES, NO_OP = "inputs arrive", "tensors that no op uses"
"""What the steps before the first op are called."""


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes [span) of the arena during [steps): a tensor's, or an op's scratch (`tensor` None).

    `nbytes` are its own, the span is rounded up as TFLM does.
    """

    name: str
    kind: str
    tensor: int | None
    nbytes: int
    span: Range
    steps: Range


@dataclass(frozen=True, slots=True)
class Step:
    """A step by its number: the op's kind, the bytes in use and where the highest of them ends.

    `where` is the step in words.
    """

    number: int
    kind: str
    where: str
    live_bytes: int
    top_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """The blocks of a program in TFLM's order, and the steps in running order.

    `ops` are the steps of each op of the main graph: one, and those of the bodies that it calls.
    `peak_step` is where the arena is used up to its end, of several the one with the most bytes
    in use.
    """

    blocks: tuple[Block, ...]
    steps: tuple[Step, ...]
    ops: tuple[Range, ...]
    arena: Arena
    peak_step: int

    @property
    def peak_bytes(self) -> int:
        """Where the highest block ends: what TFLM records as the head."""
        return max((block.span.stop for block in self.blocks), default=0)

    @property
    def peak(self) -> Step:
        return self.at(self.peak_step)

    def at(self, number: int) -> Step:
        """A step by its number."""
        return self.steps[number - self.steps[0].number]

    def of_op(self, index: int) -> Step:
        """The most bytes in use while an op runs, and where the highest of them ends."""
        span = self.ops[index]
        found = [self.at(number) for number in range(span.start, span.stop)]
        live, top = max(s.live_bytes for s in found), max(s.top_bytes for s in found)
        return replace(found[0], live_bytes=live, top_bytes=top)

    def overlap_bytes(self, step: int) -> int:
        """How many bytes more the blocks at a step have together than they cover."""
        placed = sum(block.span.length for block in self.blocks if step in block.steps)
        return placed - self.at(step).live_bytes

    def shared(self) -> Iterator[tuple[Range, Range]]:
        """Steps and bytes where blocks lie upon each other, such as an output and its input."""
        since: dict[Range, int] = {}
        first = self.steps[0].number
        by_step = _by_step(self.blocks, range(first, first + len(self.steps)))
        for number, spans in enumerate([*by_step, []], first):
            now = dict.fromkeys(_covered_twice(spans))
            for span in [span for span in since if span not in now]:
                yield Range(since.pop(span), number), span
            for span in now:
                since.setdefault(span, number)

    def alive(self, step: int) -> tuple[Block, ...]:
        """What is in use at a step, the largest first."""
        found = (block for block in self.blocks if step in block.steps and block.nbytes)
        return tuple(sorted(found, key=lambda block: (-block.nbytes, block.span.start)))


def memory_map(program: Program) -> MemoryMap:
    """The map of a program's arena, as it was placed."""
    graph = program.graph
    times = timeline(graph)
    kinds = {ARRIVAL: ARRIVES, UNUSED_STEPS.start: NO_OP}
    for op, span in sorted(times.ops, key=lambda found: -found[1].length):
        kinds |= dict.fromkeys(range(span.start, span.stop), op.kind)
    named = _kinds(program)
    blocks = tuple(_block(graph, named, placed) for placed in program.plan.placements)
    first = min((b.steps.start for b in blocks), default=0)
    word = step_word(graph)
    steps = tuple(
        Step(number, kind, f"{word} {number}, {kind}" if number >= 0 else kind, *_in_use(found))
        for number, found in enumerate(_by_step(blocks, range(first, times.steps)), first)
        for kind in (kinds.get(number, ""),)
    ) or (Step(0, "", "", 0, 0),)
    peak = max(steps, key=lambda step: (step.top_bytes, step.live_bytes, -step.number))
    ops = tuple(span for _, span in times.ops[: len(graph.ops)])
    return MemoryMap(blocks, steps, ops, program.arena(), peak.number)


def _kinds(program: Program) -> dict[int, str]:
    """By tensor; what says more comes later and wins."""
    graph = program.graph
    roles = Roles(graph)
    found = {t.id: KEPT if roles.waits(t.id) else COMPUTED for t in graph.tensors}
    for op in graph.all_ops():
        if group(graph, op) in MOVING:
            found |= dict.fromkeys(op.outputs, COPIED)
    moves = transfers(program)
    found |= {move.tensor: FETCHED for move in moves if move.kind == FETCH}
    found |= {move.tensor: SPILLED for move in moves if move.kind == SPILL}
    found |= dict.fromkeys(graph.inputs, INPUT) | dict.fromkeys(graph.outputs, OUTPUT)
    return found | {t.id: VARIABLE for t in graph.tensors if t.is_variable}


def _block(graph: Graph, kinds: dict[int, str], placed: Placement) -> Block:
    if placed.tensor is None:
        name = f"scratch of op {placed.scratch_of}"
        return Block(name, SCRATCH, None, placed.size_bytes, placed.span, placed.claim)
    tensor = graph.tensors[placed.tensor]
    kind = UNUSED if placed.claim.stop <= ARRIVAL else kinds[tensor.id]
    return Block(tensor.label, kind, tensor.id, tensor.nbytes, placed.span, placed.claim)


def _by_step(blocks: tuple[Block, ...], steps: range) -> list[list[Range]]:
    """The bytes in use at each step, in order of where they start."""
    found: list[list[Range]] = [[] for _ in steps]
    for block in sorted(blocks, key=lambda b: b.span.start):
        for step in range(block.steps.start, min(block.steps.stop, steps.stop)):
            found[step - steps.start].append(block.span)
    return found


def _in_use(spans: list[Range]) -> tuple[int, int]:
    """Bytes that spans in order cover, shared ones once, and where the highest ends."""
    covered = top = 0
    for span in spans:
        covered += max(0, span.stop - max(top, span.start))
        top = max(top, span.stop)
    return covered, top


def _covered_twice(spans: list[Range]) -> Iterator[Range]:
    """Where spans in order, of where they start, overlap."""
    top, found = 0, Range(0, 0)
    for span in spans:
        start, stop = span.start, min(span.stop, top)
        if start < stop and start <= found.stop:
            found = Range(found.start, max(found.stop, stop))
        elif start < stop:
            if found.length:
                yield found
            found = Range(start, stop)
        top = max(top, span.stop)
    if found.length:
        yield found


def explained(program: Program, found: MemoryMap) -> tuple[str, ...]:
    """The peak in words: where it is, what is in use there and why, the largest first."""
    peak, roles = found.peak, Roles(program.graph)
    gap = peak.top_bytes - peak.live_bytes
    where = f"{peak.top_bytes:,} B at {peak.where}"
    between = f", {gap:,} B of them in gaps between blocks" if gap else ""
    overlap = found.overlap_bytes(peak.number)
    upon = f"; blocks overlap by {overlap:,} B" if overlap else ""
    lines = [f"{where}{between}{upon}"]
    for block in found.alive(peak.number):
        lines.append(
            f"{block.name}: {block.nbytes:,} B, {roles.at(block.tensor, peak.number).text}"
        )
    return tuple(lines)
