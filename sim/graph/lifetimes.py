"""When each tensor is alive, as TFLM counts it, and what is alive at each step.

A step is the index of an op in running order; a control-flow op is followed by the steps of its
bodies, each opened by one step in which the body's inputs arrive. The graph's own inputs arrive
at step -1. (tensorflow/lite/micro/micro_allocation_info.cc, MarkAllocationLifetimes.)
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.graph.graph import Body, Graph, Op
from sim.graph.scratch import scratch_bytes
from sim.ranges import Range, round_up

ARENA_ALIGNMENT = 16
"""TFLM's MicroArenaBufferAlignment(): the size of every buffer is rounded up to it."""

ARRIVAL = -1
UNUSED = Range(-2, -1)
"""Tensors that no op uses: TFLM places them all, alive at the same time as each other only."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes that the arena must hold: a tensor, or an op's scratch (then `tensor` is None)."""

    tensor: int | None
    scratch_of: int | None
    nbytes: int
    lifetime: Range

    @property
    def size(self) -> int:
        """Bytes as placed: rounded up to TFLM's alignment."""
        return round_up(self.nbytes, ARENA_ALIGNMENT)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The steps of a graph: each op's range of steps, and each tensor's lifetime.

    `ops` are in TFLM's order of preparation (the main ops, then each body's). `lifetimes[t]` is
    what TFLM assumes, `claims[t]` what is really in use: a spill holds its source for its window.
    """

    ops: tuple[tuple[Op, Range], ...]
    lifetimes: tuple[Range, ...]
    claims: tuple[Range, ...]
    steps: int


def timeline(graph: Graph) -> Timeline:
    """The steps and lifetimes of a graph as TFLM runs it."""
    return _Marker(graph).timeline()


class _Marker:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.main = Body("", graph.ops, graph.inputs, graph.outputs, 0, graph.main_tensors)
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.op_steps: dict[tuple[int, int], Range] = {}
        self.step = ARRIVAL

    def timeline(self) -> Timeline:
        self._mark(0, self.main)
        count = len(self.graph.tensors)
        lifetimes = tuple(self._lifetime(t) for t in range(count))
        claims = tuple(
            Range(life.start, max(life.stop, self.held[t] + 1)) if t in self.held else life
            for t, life in enumerate(lifetimes)
        )
        ops = tuple(
            (op, self.op_steps[number, index])
            for number, body in enumerate((self.main, *self.graph.bodies))
            for index, op in enumerate(body.ops)
            if (number, index) in self.op_steps
        )
        return Timeline(ops, lifetimes, claims, self.step + 1)

    def _lifetime(self, tensor: int) -> Range:
        """From the first op that makes it to the last that uses it; a variable was always there."""
        was_there = UNUSED.start if self.graph.tensors[tensor].is_variable else None
        start, last = self.first.get(tensor, was_there), self.last.get(tensor)
        return UNUSED if start is None or last is None else Range(start, last + 1)

    def _use(self, tensor: int) -> None:
        self.last[tensor] = self.step

    def _create(self, tensor: int) -> None:
        self.first.setdefault(tensor, self.step)

    def _mark(self, number: int, body: Body) -> None:
        for tensor in body.inputs:
            self._create(tensor)
            self._use(tensor)
        for index, op in enumerate(body.ops):
            self.step += 1
            start = self.step
            for tensor in op.outputs:
                self._create(tensor)
            for called in op.calls:
                self.step += 1
                self._mark(called, self.graph.bodies[called - 1])
            for tensor in (*op.reads, *op.outputs):
                self._use(tensor)
            if op.window:
                self._hold(op, self.step + op.window)
            known = self.op_steps.get((number, index))
            self.op_steps[number, index] = Range(known.start if known else start, self.step + 1)
        for tensor in body.outputs:
            self._create(tensor)
            self._use(tensor)

    def _hold(self, op: Op, until: int) -> None:
        for tensor in op.reads:
            self.held[tensor] = max(until, self.held.get(tensor, until))


def in_arena(graph: Graph) -> tuple[bool, ...]:
    """Per tensor, whether TFLM gives it a place in the head of the arena.

    Not constants, not variables, nothing empty, and not the output of VAR_HANDLE, which points
    into the op's own data (kernels/var_handle.cc).
    """
    handles = {t for op in graph.all_ops() if op.kind == "VAR_HANDLE" for t in op.outputs}
    return tuple(
        not (t.is_constant or t.is_variable) and t.nbytes > 0 and t.id not in handles
        for t in graph.tensors
    )


def buffers(
    graph: Graph,
    kernels: str = "reference",
    *,
    bits: int = 32,
    claims: bool = False,
    variables: frozenset[int] = frozenset(),
) -> tuple[Buffer, ...]:
    """What the arena must hold, in TFLM's order: tensors by id, then scratch as requested.

    `bits` of a pointer, for scratch that holds some. With `claims`, the source of a spill is alive
    for the spill's window too. `variables` have a place in the head, since a plan gives them one.
    """
    times = timeline(graph)
    alive = times.claims if claims else times.lifetimes
    placed = in_arena(graph)
    tensors = [
        Buffer(t.id, None, t.nbytes, alive[t.id])
        for t in graph.tensors
        if placed[t.id] or t.id in variables
    ]
    scratch = [
        Buffer(None, number, nbytes, steps)
        for number, (op, steps) in enumerate(times.ops)
        for nbytes in scratch_bytes(graph, op, kernels, bits)
        if nbytes
    ]
    return (*tensors, *scratch)


def live_bytes(held: tuple[Buffer, ...]) -> dict[int, int]:
    """Bytes alive at each step, sizes rounded as placed."""
    changes: dict[int, int] = {}
    for buffer in held:
        changes[buffer.lifetime.start] = changes.get(buffer.lifetime.start, 0) + buffer.size
        changes[buffer.lifetime.stop] = changes.get(buffer.lifetime.stop, 0) - buffer.size
    live: dict[int, int] = {}
    if not changes:
        return live
    now = 0
    for step in range(min(changes), max(changes)):
        now += changes.get(step, 0)
        live[step] = now
    return live


@dataclass(frozen=True, slots=True)
class Peak:
    """The step at which the most bytes are alive; no plan of whole buffers can be smaller."""

    step: int
    bytes: int
    alive: tuple[Buffer, ...]


def peak(held: tuple[Buffer, ...]) -> Peak:
    """The first step with the most live bytes, and what is alive there, largest first."""
    live = live_bytes(held)
    if not live:
        return Peak(0, 0, ())
    step = max(live, key=lambda s: (live[s], -s))
    alive = sorted((b for b in held if step in b.lifetime), key=lambda b: -b.nbytes)
    return Peak(step, live[step], tuple(alive))
