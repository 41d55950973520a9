"""The core: runs the ops in order, starts transfers, and waits at the fences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.engine.storage import Job, Process, StorageActor
from sim.graph.graph import Graph, Op
from sim.graph.rewrite import TRANSFER_KINDS
from sim.trace import (
    COMPUTE,
    COPY,
    CORE,
    FETCH,
    FETCH_NOT_DONE,
    STALL,
    STORAGE_BUSY,
    WINDOW_NOT_DRAINED,
    Span,
)
from sim.transfers import Transfer, fences
from sim.units import cycles_to_ps


class Core:
    """One inference after another; the time of every op is known, what it waits for is not."""

    def __init__(
        self,
        env: Clock,
        graph: Graph,
        cycles: Sequence[int],
        clock_hz: int,
        moves: tuple[Transfer, ...],
        bus: Bus,
        storages: Mapping[str, StorageActor],
        log: Callable[[Span], None],
    ) -> None:
        self.env, self.graph, self.bus = env, graph, bus
        self.moves = {move.step: move for move in moves}
        self.fences = fences(moves, len(graph.ops))
        self.storages, self.log = storages, log
        self.work_ps = [cycles_to_ps(n, clock_hz) for n in cycles]
        self.op_bytes = [_bytes_touched(graph, op) for op in graph.ops]

    def infer(self, frame: int) -> Process:
        """Runs every op of the graph once."""
        jobs: dict[int, Job] = {}
        for step, op in enumerate(self.graph.ops):
            yield from self._wait(step, frame, [jobs[s] for s in self.fences[step]])
            yield from self._compute(step, op.kind, frame)
            transfer = self.moves.get(step)
            if transfer is not None:
                earlier = [jobs[s] for s in transfer.after]
                subject = self.graph.tensors[transfer.tensor].name
                job = Job(transfer, subject, frame, self.env.event(), earlier)
                jobs[step] = job
                self.storages[transfer.storage].start(job)
                if not self.storages[transfer.storage].storage.dma:
                    yield from self._copy(step, frame, job)
        last = len(self.graph.ops) - 1
        yield from self._wait(last, frame, [jobs[s] for s in self.fences[-1]])

    def _wait(self, step: int, frame: int, jobs: Sequence[Job]) -> Process:
        for job in jobs:
            if job.done.processed:
                continue
            start_ps = self.env.now_ps
            yield job.done
            self._log_wait(step, frame, job, start_ps, self.env.now_ps)

    def _log_wait(self, step: int, frame: int, job: Job, start_ps: int, stop_ps: int) -> None:
        """A wait, cut where the storage itself was busy."""
        fetch = job.transfer.kind == FETCH
        cause = FETCH_NOT_DONE if fetch else WINDOW_NOT_DRAINED
        at = start_ps
        for spike_start, spike_stop in self.storages[job.transfer.storage].spikes_since(start_ps):
            first, last = max(at, spike_start), min(stop_ps, spike_stop)
            if first >= last:
                continue
            self._log(at, first, STALL, job.subject, frame, step, cause)
            self._log(first, last, STALL, job.subject, frame, step, STORAGE_BUSY)
            at = last
        self._log(at, stop_ps, STALL, job.subject, frame, step, cause)

    def _compute(self, step: int, kind: str, frame: int) -> Process:
        start_ps, work_ps = self.env.now_ps, self.work_ps[step]
        if not self.bus.outstanding:
            yield self.env.timeout(work_ps)
            self._log(start_ps, self.env.now_ps, COMPUTE, kind, frame, step)
            return
        left_ps = work_ps
        slowed: dict[str, int] = {}
        while left_ps > 0:
            share = self.bus.core_share(self.op_bytes[step], work_ps)
            cause, changed, began = self.bus.cause, self.bus.changed, self.env.now_ps
            done_ps = 0
            if share == 0:
                yield changed
            else:
                need_ps = -(-left_ps * share.denominator // share.numerator)
                if need_ps:
                    yield self.env.timeout(need_ps) | changed
                passed_ps = self.env.now_ps - began
                done_ps = left_ps if passed_ps >= need_ps else int(passed_ps * share)
            left_ps -= done_ps
            lost_ps = self.env.now_ps - began - done_ps
            if lost_ps:
                slowed[cause] = slowed.get(cause, 0) + lost_ps
        self._log(start_ps, start_ps + work_ps, COMPUTE, kind, frame, step)
        at = start_ps + work_ps
        for cause, lost_ps in slowed.items():
            self._log(at, at + lost_ps, STALL, kind, frame, step, cause)
            at += lost_ps

    def _copy(self, step: int, frame: int, job: Job) -> Process:
        """The core itself moves the bytes: it waits until it may begin, then it is busy."""
        start_ps = self.env.now_ps
        if not job.done.processed:
            yield job.done
        self._log_wait(step, frame, job, start_ps, job.started_ps)
        self._log(job.started_ps, self.env.now_ps, COPY, job.subject, frame, step)

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
            self.log(Span(start_ps, stop_ps, CORE, kind, subject, frame, step, 0, cause))


def _bytes_touched(graph: Graph, op: Op) -> int:
    """Activation bytes that the core moves for an op, each once; a storage moves a transfer's."""
    if op.kind in TRANSFER_KINDS:
        return 0
    tensors = (graph.tensors[t] for t in {*op.reads, *op.outputs})
    return sum(t.nbytes for t in tensors if not t.is_constant)
