"""The transfers of a program, and the fences at which an op has to wait for them.

A spill with a window goes on in the background until its fence: the first op that writes bytes
which it still reads, never before the window ends. A spill with window 0 blocks: its fence is the
very next op. A fetch has its fence at the first op that reads what it brings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sim.graph.graph import Graph
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE
from sim.program import Program
from sim.ranges import Range
from sim.trace import FETCH, SPILL


@dataclass(frozen=True, slots=True)
class Transfer:
    """A spill or a fetch of a tensor, started by the op at `step`, over before op `done_before`.

    `after` are the steps of earlier transfers that must be done before it may start: the spill of
    the same slot, and whatever still uses the same bytes of the arena. `done_before` is the number
    of ops where only the end of the inference waits.
    """

    step: int
    kind: str
    storage: str
    slot: str
    tensor: int
    nbytes: int
    after: tuple[int, ...]
    done_before: int


def transfers(program: Program) -> tuple[Transfer, ...]:
    """Every spill and fetch of a program's main subgraph, in running order.

    A variable without a container is the model's own: it stays in the arena and nothing moves.
    """
    return _Scheduler(program).transfers()


def subjects(graph: Graph, moves: Iterable[Transfer]) -> dict[int, str]:
    """What the tensors that move are called, by tensor: those that share a name are numbered."""
    labels = {move.tensor: graph.tensors[move.tensor].label for move in moves}
    count = Counter(labels.values())
    return {
        tensor: label if count[label] == 1 else f"{label} (tensor {tensor})"
        for tensor, label in labels.items()
    }


def fences(moves: tuple[Transfer, ...], steps: int) -> tuple[tuple[int, ...], ...]:
    """For each of a graph's steps, the transfers (by their step) that must be done before it."""
    made: list[list[int]] = [[] for _ in range(steps + 1)]
    for move in moves:
        made[move.done_before].append(move.step)
    return tuple(tuple(waits) for waits in made)


@dataclass(slots=True)
class _Open:
    """A transfer whose fence is not found yet, and the bytes of the arena that it uses."""

    kind: str
    storage: str
    slot: str
    tensor: int
    after: tuple[int, ...]
    span: Range
    not_before: int


class _Scheduler:
    """Walks the ops once; a transfer is open from its op until its fence."""

    def __init__(self, program: Program) -> None:
        self.graph: Graph = program.graph
        placements = program.plan.placements
        self.span = {p.tensor: p.span for p in placements if p.tensor is not None}
        self.scratch: dict[int, list[Range]] = {}
        for placement in placements:
            if placement.scratch_of is not None:
                self.scratch.setdefault(placement.scratch_of, []).append(placement.span)
        self.slots: dict[int, tuple[str, str]] = {}
        self.spilled: dict[tuple[str, str], int] = {}
        self.open: dict[int, _Open] = {}
        self.done: dict[int, Transfer] = {}

    def transfers(self) -> tuple[Transfer, ...]:
        for step in range(len(self.graph.ops)):
            self._visit(step)
        for step in list(self.open):
            self._close(step, len(self.graph.ops))
        return tuple(self.done[step] for step in sorted(self.done))

    def _visit(self, step: int) -> None:
        op = self.graph.ops[step]
        for opened, transfer in list(self.open.items()):
            if transfer.kind == SPILL and transfer.not_before == opened + 1:
                self._close(opened, step)
        if op.kind == VAR_HANDLE:
            if op.options.text("container"):
                names = (op.options.text("container"), op.options.text("shared_name"))
                self.slots[op.outputs[0]] = names
            return
        read = set(op.reads)
        for opened, transfer in list(self.open.items()):
            if transfer.kind == FETCH and transfer.tensor in read:
                self._close(opened, step)
        if op.kind == ASSIGN and op.inputs[0] in self.slots:
            self._start(step, SPILL, op.inputs[0], op.inputs[1], step + 1 + op.window)
        elif op.kind == READ and op.inputs[0] in self.slots:
            self._start(step, FETCH, op.inputs[0], op.outputs[0], step + 1)
        else:
            writes = [self.span[t] for t in op.outputs if t in self.span]
            for opened in self._using(writes + self.scratch.get(step, [])):
                self._close(opened, step)

    def _start(self, step: int, kind: str, handle: int, tensor: int, not_before: int) -> None:
        storage, slot = self.slots[handle]
        span = self.span.get(tensor, Range(0, 0))
        after = set(self._using([span])) if kind == FETCH else set()
        if (storage, slot) in self.spilled:
            after.add(self.spilled[storage, slot])
        if kind == SPILL:
            self.spilled[storage, slot] = step
        waits = tuple(sorted(after))
        self.open[step] = _Open(kind, storage, slot, tensor, waits, span, not_before)

    def _using(self, spans: list[Range]) -> list[int]:
        return [s for s, t in self.open.items() if any(t.span.overlaps(span) for span in spans)]

    def _close(self, opened: int, fence: int) -> None:
        found = self.open.pop(opened)
        nbytes = self.graph.tensors[found.tensor].nbytes
        self.done[opened] = Transfer(
            opened, found.kind, found.storage, found.slot, found.tensor, nbytes, found.after, fence
        )
