"""A TiGrIS run under our cost model: the cycles, MACs and time of what its events say.

The cycles of a kernel call are those that the cost model gives the whole op, times the share of it
that the call computes, and once more what every call costs whatever it computes: the call, and the
wait for all of the op's weights (sim.device.cost, fixed_cycles), which our stripes pay as well;
`weights_again_ps` tells how much that is.
Assumed: each load and spill is a blocking transfer of the storage, as TiGrIS's runtime copies by
memcpy. `overlapped_ps` is what no overlap of transfers and computing could fall below. In its
favour are left out: dispatching loads and spills, bytes moved within fast memory (rolled rows) and
within slow memory (compaction), and ops that its plan has folded away; a Reshape costs a call only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from benchmarks.peers.process import PeerError
from benchmarks.peers.recording import Recording
from benchmarks.peers.tiles import Call, Load, Spill, Step
from sim.device.board import Board, Storage
from sim.device.cost import fixed_cycles, op_cycles, weight_bytes
from sim.graph.graph import Graph, Op
from sim.graph.macs import macs
from sim.units import cycles_to_ps

VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
ADDED = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""Ops that TiGrIS's import puts in by itself, before a Gemm for instance."""


@dataclass(frozen=True, slots=True)
class Work:
    """Cycles of the core; what runs by itself between transfers."""

    cycles: int


Timed = Work | Load | Spill


def match(recording: Recording, graph: Graph) -> list[Op | None]:
    """The graph's op behind each op of the plan, by the name of its output; None for a view.

    TiGrIS makes an op from several by ONNX's rules and names what stands between them
    NAME_float, NAME_float_relu and the like. Raises PeerError where none is found.
    """
    free: dict[str, list[Op]] = defaultdict(list)
    for op in graph.ops:
        free[graph.tensors[op.outputs[0]].name].append(op)
    found: list[Op | None] = []
    for planned in recording.ops:
        name = recording.tensors[planned.outputs[0]].name
        ops = free.get(name) or free.get(re.sub(r"_float(_[a-z0-9]+)?$", "", name)) or []
        view = planned.kind in ADDED
        fitting = [op for op in ops if (op.kind in VIEWS) == view]
        if fitting:
            ops.remove(fitting[0])
        elif not view:
            raise PeerError(f"plan: {planned.kind} {name!r}: found no such op in the model")
        found.append(fitting[0] if fitting else None)
    return found


def timed(
    steps: Sequence[Step], ops: Sequence[Op | None], graph: Graph, board: Board
) -> list[Timed]:
    """The steps with their cycles, on a board seen without an interpreter."""
    board = board.without_interpreter()
    return [
        Work(call_cycles(graph, ops[step.op], step.share, board))
        if isinstance(step, Call)
        else step
        for step in steps
    ]


def call_cycles(graph: Graph, op: Op | None, share: Fraction, board: Board) -> int:
    """Cycles of a kernel call that computes a share of the op, rounded up to a whole one."""
    if op is None:
        return board.core.profile.dispatch_cycles
    fixed = Fraction(round(fixed_cycles(graph, op, board), 6))
    return ceil(fixed + (op_cycles(graph, op, board) - fixed) * share)


def call_macs(steps: Sequence[Step], ops: Sequence[Op | None], graph: Graph) -> int:
    """Multiply-accumulates of all calls, halos counted as often as they are computed."""
    total = Fraction(0)
    for step in steps:
        op = ops[step.op] if isinstance(step, Call) else None
        if op is not None and isinstance(step, Call):
            total += macs(graph, op) * step.share
    return round(total)


def weights_again_ps(
    steps: Sequence[Step], ops: Sequence[Op | None], graph: Graph, board: Board
) -> int:
    """The part of the calls' time that is waiting for weights which an earlier call had read."""
    calls = Counter(step.op for step in steps if isinstance(step, Call))
    nbytes = sum(
        (count - 1) * weight_bytes(graph, op)
        for number, count in calls.items()
        if (op := ops[number]) is not None
    )
    return cycles_to_ps(ceil(nbytes * board.weight_stall_cycles_per_byte), board.core.clock_hz)


def compute_ps(run: Sequence[Timed], board: Board) -> int:
    """Time of the core's work alone."""
    hz = board.core.clock_hz
    return sum(cycles_to_ps(t.cycles, hz) for t in run if isinstance(t, Work))


def transfer_ps(run: Sequence[Timed], storage: Storage) -> int:
    """Time of the transfers alone."""
    read = sum(storage.read_ps(t.nbytes) for t in run if isinstance(t, Load))
    return read + sum(storage.write_ps(t.nbytes) for t in run if isinstance(t, Spill))


def blocking_ps(run: Sequence[Timed], board: Board, storage: Storage) -> int:
    """Latency where the core waits for every transfer."""
    return compute_ps(run, board) + transfer_ps(run, storage)


def overlapped_ps(run: Sequence[Timed], board: Board, storage: Storage) -> int:
    """Latency where all transfers overlap with the core's work and never wait for it."""
    return max(compute_ps(run, board), transfer_ps(run, storage))
