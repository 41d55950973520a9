"""Runs a model on the core: op after op, starts transfers, and waits at the fences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simpy import Event

from sim.engine.bus import FULL, Use
from sim.engine.clock import Process, Task, Tick
from sim.engine.machine import Machine
from sim.engine.storage import Request
from sim.graph.graph import Graph, Op
from sim.graph.rewrite import TRANSFER_KINDS
from sim.program import Program
from sim.trace import COMPUTE, COPY, FETCH, FETCH_NOT_DONE, PREEMPTED, STALL, WINDOW_NOT_DRAINED
from sim.transfers import Transfer, fences
from sim.units import PS_PER_S, cycles_to_ps


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
        self.env, self.cpu, self.bus = machine.env, machine.cpu, machine.bus
        self.moves = {move.step: move for move in moves}
        self.fences = fences(moves, len(graph.ops))
        self.names = {move.step: graph.tensors[move.tensor].name for move in moves}
        works_ps = [cycles_to_ps(n, board.core.clock_hz) for n in program.cycles(board)]
        demands = [
            _bytes_touched(graph, op) * PS_PER_S // max(1, work_ps)
            for op, work_ps in zip(graph.ops, works_ps, strict=True)
        ]
        self.steps = [
            (step, *work, self.fences[step], self.moves.get(step))
            for step, work in enumerate(zip(works_ps, demands, strict=True))
        ]
        self.kinds = [op.kind for op in graph.ops]
        self.use = Use()

    def infer(self, frame: int) -> Task[str]:
        """Runs every op of the graph once, on a core that it gives back in the end.

        Returns why a transfer failed, "" if all went well. After a failure no further op is run;
        what is under way is waited for, since it uses the arena.
        """
        requests: dict[int, Request] = {}
        env, spans, failed, worked_ps = self.env, self.machine.spans, "", 0
        quiet_from = 0 if self.alone else len(self.kinds)
        if not self.cpu.take():
            yield from self._get_core(0, frame)
        now_ps = env.now_ps
        for step, work_ps, demand, waits, move in self.steps:
            if waits:
                failed = yield from self._wait_for(step, frame, waits, requests)
                if failed:
                    break
                now_ps = env.now_ps
            start_ps = now_ps
            if step >= quiet_from:
                yield Tick(env, work_ps)
                now_ps += work_ps
            else:
                start_ps = yield from self._compute(step, frame, work_ps, demand)
                now_ps = env.now_ps
            worked_ps += work_ps
            if spans is not None:
                stop_ps = start_ps + work_ps
                spans(start_ps, stop_ps, self.actor, COMPUTE, self.kinds[step], frame, step, 0, "")
            if move is not None:
                if self._start(move, frame, requests):
                    yield from self._copy(step, frame, requests[step])
                    now_ps = env.now_ps
                quiet_from = max(quiet_from, move.done_before)
        waits = tuple(requests) if failed else self.fences[-1]
        later = yield from self._wait_for(step, frame, waits, requests)
        self.cpu.release()
        self.machine.tally.worked(self.actor, worked_ps)
        return failed or later

    def _compute(self, step: int, frame: int, work_ps: int, demand: int) -> Task[int]:
        """An op, when others may want the core or the bus. Returns when it began."""
        env, cpu, bus, use = self.env, self.cpu, self.bus, self.use
        if cpu.waiting and cpu.wanted(self.priority):
            cpu.release()
            yield from self._get_core(step, frame)
        start_ps = env.now_ps
        use.begin(demand, work_ps, start_ps)
        use.taken_ps = cpu.interrupts_ps
        bus.core = use
        if bus.users or cpu.interrupted_until_ps > start_ps:
            bus.begin_core(use)
        if use.share is FULL:
            yield Tick(env, work_ps)
        taken_ps = use.taken_ps
        while use.since_ps == start_ps and use.share is FULL:
            stolen_ps = cpu.taken_ps(env.now_ps) - taken_ps
            if not stolen_ps:
                use.left_ps = 0
                break
            taken_ps += stolen_ps  # the common case: interrupts alone made it late
            yield Tick(env, stolen_ps)
        if use.left_ps:
            bus.settle_core()
            yield from bus.finish(use)
            self._log_lost(step, frame, start_ps + work_ps)
        elif taken_ps > use.taken_ps:
            late_ps = start_ps + work_ps
            stop_ps = late_ps + taken_ps - use.taken_ps
            self._log(late_ps, stop_ps, STALL, self.kinds[step], frame, step, PREEMPTED)
        bus.end_core()
        return start_ps

    def _start(self, move: Transfer, frame: int, requests: dict[int, Request]) -> bool:
        """Hands a transfer to its storage. Whether no DMA serves that, so that the core copies."""
        request = requests[move.step] = Request(
            move.kind, move.nbytes, self.names[move.step], self.actor, frame, move.step,
            self.priority, Event(self.env), [requests[s] for s in move.after],
        )  # fmt: skip
        storage = self.machine.storages[move.storage]
        storage.start(request)
        return not storage.storage.dma

    def _log_lost(self, step: int, frame: int, at_ps: int) -> None:
        """What the op lost to others, told after its work."""
        for cause, lost_ps in self.use.lost_ps.items():
            self._log(at_ps, at_ps + int(lost_ps), STALL, self.kinds[step], frame, step, cause)
            at_ps += int(lost_ps)

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
