"""Runs a model on the core: op after op, starts transfers, and waits at the fences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from simpy import Event

from sim.engine.bus import Use
from sim.engine.clock import Process, Task, Tick
from sim.engine.machine import Machine
from sim.engine.storage import Request
from sim.graph.graph import Graph, Op
from sim.graph.rewrite import TRANSFER_KINDS
from sim.program import Program
from sim.trace import COMPUTE, COPY, FETCH, FETCH_NOT_DONE, PREEMPTED, STALL, WINDOW_NOT_DRAINED
from sim.transfers import Transfer, fences, subjects
from sim.units import PS_PER_S, cycles_to_ps


@dataclass(frozen=True, slots=True)
class Run:
    """Ops that follow each other without a wait before or a transfer behind any but the ends.

    `unslowed`: the bus is wide enough for each of them beside all transfers of the model.
    """

    steps: range
    work_ps: int
    unslowed: bool
    waits: tuple[int, ...]
    move: Transfer | None


class Model:
    """One inference after another; the time of every op is known, what it waits for is not.

    `actor` is its name in spans. `alone`: nobody else uses core or bus, so that an op is slowed by
    nothing but transfers of its own model.
    """

    def __init__(
        self,
        machine: Machine,
        actor: str,
        program: Program,
        moves: tuple[Transfer, ...],
        *,
        priority: int = 0,
        alone: bool = False,
    ) -> None:
        graph, board = program.graph, machine.board
        self.machine, self.actor, self.priority, self.alone = machine, actor, priority, alone
        self.env, self.cpu = machine.env, machine.cpu
        self.moves = {move.step: move for move in moves}
        self.fences = fences(moves, len(graph.ops))
        names = subjects(graph, moves)
        self.names = {move.step: names[move.tensor] for move in moves}
        self.bus_bytes_per_s = board.bus_bytes_per_s
        self.kinds = [op.kind for op in graph.ops]
        self.works_ps = [cycles_to_ps(n, board.core.clock_hz) for n in program.cycles(board)]
        self.demands = [
            _bytes_touched(graph, op) * PS_PER_S // max(1, work_ps)
            for op, work_ps in zip(graph.ops, self.works_ps, strict=True)
        ]
        self.runs = self._runs()
        self.use = Use()

    def _runs(self) -> list[Run]:
        """Stretches of ops with no fence and no transfer in between."""
        count = len(self.kinds)
        starts = {step for step in range(count) if self.fences[step]}
        starts |= {step + 1 for step in self.moves if step + 1 < count}
        bounds = [*sorted(starts | {0}), count]
        left = self._left_by_transfers()
        return [
            Run(
                range(first, stop), sum(self.works_ps[first:stop]),
                max(self.demands[first:stop]) <= left, self.fences[first], self.moves.get(stop - 1),
            )
            for first, stop in pairwise(bounds)
        ]  # fmt: skip

    def _left_by_transfers(self) -> int:
        """Bytes a second of the bus that the model's transfers leave when all storages are at it.

        Below 0 where one of them makes the core stand still.
        """
        most: dict[str, int] = {}
        for move in self.moves.values():
            storage = self.machine.storages[move.storage]
            _, demand, stalls_core = storage.cost(move.kind, move.nbytes)
            if stalls_core:
                return -1
            most[move.storage] = max(demand, most.get(move.storage, 0))
        return self.bus_bytes_per_s - sum(most.values())

    def infer(self, frame: int) -> Task[str]:
        """Runs every op of the graph once, on a core that it gives back in the end.

        Returns why a transfer failed, "" if all went well. After a failure no further op is run;
        what is under way is waited for, since it uses the arena.
        """
        requests: dict[int, Request] = {}
        failed, worked_ps, step = "", 0, 0
        quiet_from = 0 if self.alone else len(self.kinds)
        if not self.cpu.take():
            yield from self._get_core(0, frame)
        for run in self.runs:
            step = run.steps.start
            if run.waits:
                failed = yield from self._wait_for(step, frame, run.waits, requests)
                if failed:
                    break
            if step >= quiet_from or (self.alone and run.unslowed):
                yield from self._run_undisturbed(run, frame)
            else:
                for step in run.steps:
                    yield from self._compute(step, frame)
            worked_ps += run.work_ps
            move = run.move
            if move is not None:
                if self._start(move, frame, requests):
                    yield from self._copy(move.step, frame, requests[move.step])
                quiet_from = max(quiet_from, move.done_before)
        waits = tuple(requests) if failed else self.fences[-1]
        later = yield from self._wait_for(step, frame, waits, requests)
        self.cpu.release()
        self.machine.tally.worked(self.actor, worked_ps)
        return failed or later

    def _run_undisturbed(self, run: Run, frame: int) -> Process:
        """Ops while nothing else happens: all of them take a single event."""
        start_ps = self.env.now_ps
        yield Tick(self.env, run.work_ps)
        self.machine.saved_events += len(run.steps) - 1
        if self.machine.spans is not None:
            for step in run.steps:
                self._log_work(step, frame, start_ps)
                start_ps += self.works_ps[step]

    def _compute(self, step: int, frame: int) -> Process:
        """An op, when others may want the core or the bus."""
        cpu, use, work_ps = self.cpu, self.use, self.works_ps[step]
        if cpu.waiting and cpu.wanted(self.priority):
            cpu.release()
            yield from self._get_core(step, frame)
        start_ps = self.env.now_ps
        yield from cpu.work(use, self.demands[step], work_ps)
        if self.machine.spans is not None:
            self._log_work(step, frame, start_ps)
        for cause, since_ps, until_ps in use.losses(start_ps + work_ps):
            self._log(since_ps, until_ps, STALL, self.kinds[step], frame, step, cause)

    def _log_work(self, step: int, frame: int, start_ps: int) -> None:
        """The span of an op's work; the tally gets the sum over an inference."""
        assert self.machine.spans is not None
        stop_ps, kind = start_ps + self.works_ps[step], self.kinds[step]
        self.machine.spans(start_ps, stop_ps, self.actor, COMPUTE, kind, frame, step, 0, "")

    def _start(self, move: Transfer, frame: int, requests: dict[int, Request]) -> bool:
        """Hands a transfer to its storage. Whether no DMA serves that, so that the core copies."""
        request = requests[move.step] = Request(
            move.kind, move.nbytes, self.names[move.step], self.actor, frame, move.step,
            self.priority, Event(self.env), [requests[s] for s in move.after],
        )  # fmt: skip
        storage = self.machine.storages[move.storage]
        storage.start(request)
        return not storage.storage.dma

    def _wait_for(
        self, step: int, frame: int, waits: Sequence[int], requests: Mapping[int, Request]
    ) -> Task[str]:
        """Waits for transfers, without the core. Returns why the first that failed did so."""
        failed = ""
        for earlier in waits:
            request = requests[earlier]
            if not request.over:
                start_ps = self.env.now_ps
                self.cpu.release()
                yield request.done
                self._log_wait(step, frame, request, start_ps, self.env.now_ps)
                if not self.cpu.take():
                    yield from self._get_core(step, frame)
            failed = failed or request.failed
        return failed

    def _get_core(self, step: int, frame: int) -> Process:
        start_ps = self.env.now_ps
        yield self.cpu.turn(self.priority)
        self._log(start_ps, self.env.now_ps, STALL, self.kinds[step], frame, step, PREEMPTED)

    def _log_wait(
        self, step: int, frame: int, request: Request, start_ps: int, stop_ps: int
    ) -> None:
        """A wait, cut where the storage itself was the cause."""
        plain = FETCH_NOT_DONE if request.kind == FETCH else WINDOW_NOT_DRAINED
        at = start_ps
        storage = self.machine.storages[self.moves[request.step].storage]
        for began, ended, cause in storage.delays_since(start_ps):
            first, last = max(at, began), min(stop_ps, ended)
            if first >= last:
                continue
            self._log(at, first, STALL, request.subject, frame, step, plain)
            self._log(first, last, STALL, request.subject, frame, step, cause)
            at = last
        self._log(at, stop_ps, STALL, request.subject, frame, step, plain)

    def _copy(self, step: int, frame: int, request: Request) -> Process:
        """The core itself moves the bytes: it waits until it may begin, then it is busy."""
        start_ps = self.env.now_ps
        if not request.over:
            yield request.done
        began_ps = max(start_ps, request.started_ps)
        self._log_wait(step, frame, request, start_ps, began_ps)
        self._log(began_ps, self.env.now_ps, COPY, request.subject, frame, step)

    def _log(
        self,
        start_ps: int,
        stop_ps: int,
        kind: str,
        subject: str,
        frame: int,
        step: int,
        cause: str = "",
    ) -> None:
        if stop_ps > start_ps:
            self.machine.log(start_ps, stop_ps, self.actor, kind, subject, frame, step, 0, cause)


def _bytes_touched(graph: Graph, op: Op) -> int:
    """Activation bytes that the core moves for an op, each once; a storage moves a transfer's."""
    if op.kind in TRANSFER_KINDS:
        return 0
    tensors = (graph.tensors[t] for t in {*op.reads, *op.outputs})
    return sum(t.nbytes for t in tensors if not t.is_constant)
