"""Runs a model on the core: op after op, starts transfers, and waits at the fences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sim.device.board import Board
from sim.engine.bus import FULL, Bus, Use
from sim.engine.clock import Clock, Process
from sim.engine.processor import Processor
from sim.engine.storage import Request, StorageActor
from sim.graph.graph import Graph, Op
from sim.graph.rewrite import TRANSFER_KINDS
from sim.program import Program
from sim.tally import Log
from sim.trace import COMPUTE, COPY, FETCH, FETCH_NOT_DONE, PREEMPTED, STALL, WINDOW_NOT_DRAINED
from sim.transfers import Transfer, fences
from sim.units import PS_PER_S, cycles_to_ps


class Model:
    """One inference after another; the time of every op is known, what it waits for is not.

    `actor` is its name in spans.
    """

    def __init__(
        self,
        env: Clock,
        actor: str,
        program: Program,
        board: Board,
        moves: tuple[Transfer, ...],
        cpu: Processor,
        bus: Bus,
        storages: Mapping[str, StorageActor],
        log: Log,
        priority: int,
    ) -> None:
        graph = program.graph
        self.env, self.actor, self.graph, self.cpu, self.bus = env, actor, graph, cpu, bus
        self.storages, self.log, self.priority = storages, log, priority
        self.moves = {move.step: move for move in moves}
        self.fences = fences(moves, len(graph.ops))
        self.work_ps = [cycles_to_ps(n, board.core.clock_hz) for n in program.cycles(board)]
        self.demands = [
            _bytes_touched(graph, op) * PS_PER_S // max(1, work_ps)
            for op, work_ps in zip(graph.ops, self.work_ps, strict=True)
        ]
        self.kinds = [op.kind for op in graph.ops]
        self.use = Use()

    def infer(self, frame: int) -> Process:
        """Runs every op of the graph once, on a core that it gives back in the end.

        Returns why a transfer failed, "" if all went well. After a failure no further op is run;
        what is under way is waited for, since it uses the arena.
        """
        requests: dict[int, Request] = {}
        env, cpu, bus, use, log = self.env, self.cpu, self.bus, self.use, self.log
        actor, kinds, moves, fences = self.actor, self.kinds, self.moves, self.fences
        demands, priority = self.demands, self.priority
        if not cpu.take():
            yield from self._get_core(0, frame)
        for step, work_ps in enumerate(self.work_ps):
            if fences[step]:
                failed = yield from self._wait(step, frame, [requests[s] for s in fences[step]])
                if failed:
                    yield from self._wait(step, frame, list(requests.values()))
                    cpu.release()
                    return failed
            if cpu.waiting and cpu.wanted(priority):
                cpu.release()
                yield from self._get_core(step, frame)
            start_ps = env.now_ps
            use.begin(demands[step], work_ps, start_ps)
            bus.begin_core(use)
            if use.share is FULL and work_ps:
                yield env.timeout(work_ps)
            stop_ps = start_ps + work_ps
            if use.since_ps != start_ps or bus.users or start_ps < cpu.interrupted_until_ps:
                bus.settle_core()
                if use.left_ps:
                    yield from bus.finish(use)
            bus.end_core()
            log(start_ps, stop_ps, actor, COMPUTE, kinds[step], frame, step, 0, "")
            if use.lost_ps:
                self._log_lost(step, frame, stop_ps)
            if step in moves:
                yield from self._transfer(moves[step], frame, requests)
        failed = yield from self._wait(
            len(kinds) - 1, frame, [requests[s] for s in fences[-1]]
        )
        cpu.release()
        return failed

    def _transfer(self, move: Transfer, frame: int, requests: dict[int, Request]) -> Process:
        """Hands a transfer to its storage; where no DMA serves that, the core copies."""
        request = Request(
            move.kind, move.nbytes, self.graph.tensors[move.tensor].name, self.actor, frame,
            move.step, self.priority, self.env.event(), [requests[s] for s in move.after],
        )  # fmt: skip
        requests[move.step] = request
        actor = self.storages[move.storage]
        actor.start(request)
        if not actor.storage.dma:
            yield from self._copy(move.step, frame, request)

    def _wait(self, step: int, frame: int, requests: Sequence[Request]) -> Process:
        """Waits for requests, without the core if others want it. Returns why one failed."""
        failed = ""
        for request in requests:
            if not request.done.triggered:
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
        for began, ended, cause in self.storages[self._home(request)].delays_since(start_ps):
            first, last = max(at, began), min(stop_ps, ended)
            if first >= last:
                continue
            self._log(at, first, STALL, request.subject, frame, step, plain)
            self._log(first, last, STALL, request.subject, frame, step, cause)
            at = last
        self._log(at, stop_ps, STALL, request.subject, frame, step, plain)

    def _home(self, request: Request) -> str:
        return self.moves[request.step].storage

    def _log_lost(self, step: int, frame: int, at_ps: int) -> None:
        """What the op lost to the bus, to flash and to interrupts, told after its work."""
        for cause, lost_ps in self.use.lost_ps.items():
            self._log(at_ps, at_ps + lost_ps, STALL, self.kinds[step], frame, step, cause)
            at_ps += lost_ps

    def _copy(self, step: int, frame: int, request: Request) -> Process:
        """The core itself moves the bytes: it waits until it may begin, then it is busy."""
        start_ps = self.env.now_ps
        if not request.done.triggered:
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
            self.log(start_ps, stop_ps, self.actor, kind, subject, frame, step, 0, cause)


def _bytes_touched(graph: Graph, op: Op) -> int:
    """Activation bytes that the core moves for an op, each once; a storage moves a transfer's."""
    if op.kind in TRANSFER_KINDS:
        return 0
    tensors = (graph.tensors[t] for t in {*op.reads, *op.outputs})
    return sum(t.nbytes for t in tensors if not t.is_constant)
