"""Transfers of a program, and the fences at which an op has to wait for them."""

from __future__ import annotations

from dataclasses import dataclass

from sim.graph.graph import Graph
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE
from sim.program import Program
from sim.ranges import Range
from sim.trace import FETCH, SPILL


@dataclass(frozen=True, slots=True)
class Transfer:
    """A spill or a fetch, started by the op at `step`.

    `after` are the steps of earlier transfers that must be done before it may start: the spill of
    the same slot, and whatever still reads or writes the same bytes of the arena.
    """

    step: int
    kind: str
    storage: str
    slot: str
    tensor: str
    nbytes: int
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Transfers by their step; `fences[step]` are the transfers the op at `step` waits for."""

    transfers: dict[int, Transfer]
    fences: tuple[tuple[int, ...], ...]


def schedule(program: Program) -> Schedule:
    """The transfers and fences of a program's main subgraph.

    An op waits for the fetches of what it reads, and for every transfer whose bytes it writes. A
    variable without a container is the model's own: it stays in the arena and nothing moves.
    """
    return _Scheduler(program).schedule()


class _Scheduler:
    def __init__(self, program: Program) -> None:
        self.graph: Graph = program.graph
        placements = program.plan.placements
        self.span = {p.tensor: p.span for p in placements if p.tensor is not None}
        self.scratch: dict[int, list[Range]] = {}
        for placement in placements:
            if placement.scratch_of is not None:
                self.scratch.setdefault(placement.scratch_of, []).append(placement.span)
        self.slots: dict[int, tuple[str, str]] = {}
        self.transfers: dict[int, Transfer] = {}
        self.assigned: dict[tuple[str, str], int] = {}
        self.fetched: dict[int, int] = {}
        self.pending: dict[int, Range] = {}

    def schedule(self) -> Schedule:
        fences = tuple(self._fence(step) for step in range(len(self.graph.ops)))
        return Schedule(self.transfers, fences)

    def _fence(self, step: int) -> tuple[int, ...]:
        op = self.graph.ops[step]
        if op.kind == VAR_HANDLE and op.options.text("container"):
            slot = (op.options.text("container"), op.options.text("shared_name"))
            self.slots[op.outputs[0]] = slot
            return ()
        if op.kind == ASSIGN and op.inputs[0] in self.slots:
            return self._spill(step, *op.inputs)
        if op.kind == READ and op.inputs[0] in self.slots:
            return self._fetch(step, op.inputs[0], op.outputs[0])
        waits = {self.fetched[t] for t in op.reads if t in self.fetched}
        writes = [self.span[t] for t in op.outputs if t in self.span]
        waits.update(self._touching(writes + self.scratch.get(step, [])))
        return self._settle(waits)

    def _spill(self, step: int, handle: int, source: int) -> tuple[int, ...]:
        storage, slot = self.slots[handle]
        earlier = self.assigned.get((storage, slot))
        self.transfers[step] = self._transfer(
            step, SPILL, storage, slot, source, () if earlier is None else (earlier,)
        )
        self.assigned[storage, slot] = step
        if source in self.span:
            self.pending[step] = self.span[source]
        return self._settle({self.fetched[source]} if source in self.fetched else set())

    def _fetch(self, step: int, handle: int, target: int) -> tuple[int, ...]:
        storage, slot = self.slots[handle]
        after = self._touching([self.span[target]])
        if (storage, slot) in self.assigned:
            after.add(self.assigned[storage, slot])
        self.transfers[step] = self._transfer(
            step, FETCH, storage, slot, target, tuple(sorted(after))
        )
        self.fetched[target] = step
        self.pending[step] = self.span[target]
        return ()

    def _transfer(
        self, step: int, kind: str, storage: str, slot: str, tensor: int, after: tuple[int, ...]
    ) -> Transfer:
        nbytes = self.graph.tensors[tensor].nbytes
        return Transfer(step, kind, storage, slot, self.graph.tensors[tensor].name, nbytes, after)

    def _touching(self, spans: list[Range]) -> set[int]:
        return {
            step
            for step, pending in self.pending.items()
            if any(pending.overlaps(span) for span in spans)
        }

    def _settle(self, waits: set[int]) -> tuple[int, ...]:
        """Once waited for, a transfer is pending no longer."""
        for step in waits:
            self.pending.pop(step, None)
        return tuple(sorted(waits))
