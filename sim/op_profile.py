"""Op profile: what each op of a program takes of the core, the arena and the storages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sim.graph.graph import Graph, Op
from sim.graph.macs import macs
from sim.memory_map import MemoryMap
from sim.program import Program
from sim.trace import COMPUTE, COPY, CORE, STALL, Trace
from sim.transfers import Transfer, transfers


@dataclass(frozen=True, slots=True)
class OpProfile:
    """One op of the main graph.

    `work_ps` and `stall_ps`, by cause, are the core's time in a frame: the mean over the frames
    that came to their end at the first attempt. `live_bytes` are in use while it runs, the highest
    of them ends at `top_bytes`.
    """

    step: int
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int
    work_ps: int
    stall_ps: Mapping[str, int]
    live_bytes: int
    top_bytes: int
    transfer: Transfer | None

    @property
    def latency_ps(self) -> int:
        return self.work_ps + sum(self.stall_ps.values())


def op_profiles(program: Program, found: MemoryMap, trace: Trace) -> tuple[OpProfile, ...]:
    """The profile of each op, in running order; times are 0 where no frame was finished."""
    graph = program.graph
    work, stalls, frames = _times(trace)
    moves = {move.step: move for move in transfers(program)}
    return tuple(
        OpProfile(
            step=step,
            kind=op.kind,
            inputs=tuple(graph.tensors[t].label for t in op.reads),
            outputs=tuple(graph.tensors[t].label for t in op.outputs),
            macs=_macs(graph, op),
            work_ps=work[step] // frames,
            stall_ps={cause: ps // frames for cause, ps in stalls[step].items()},
            live_bytes=found.of_op(step).live_bytes,
            top_bytes=found.of_op(step).top_bytes,
            transfer=moves.get(step),
        )
        for step, op in enumerate(graph.ops)
    )


def _macs(graph: Graph, op: Op) -> int:
    """Of an op and of the bodies that it calls, each once."""
    inside = (inner for called in op.calls for inner in graph.bodies[called - 1].ops)
    return macs(graph, op) + sum(_macs(graph, inner) for inner in inside)


def _times(trace: Trace) -> tuple[Mapping[int, int], Mapping[int, dict[str, int]], int]:
    """The core's work and stalls by step, summed over the frames that count, and their number."""
    whole = {f.number for f in trace.records if f.model == CORE and not f.lost and f.runs == 1}
    work: dict[int, int] = defaultdict(int)
    stalls: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for span in trace.of(CORE):
        if span.frame not in whole:
            continue
        if span.kind in (COMPUTE, COPY):
            work[span.step] += span.duration_ps
        elif span.kind == STALL:
            stalls[span.step][span.cause] += span.duration_ps
    return work, stalls, max(1, len(whole))
