"""Ops and tensors as CSV, and as node data that Model Explorer lays over the deployed model."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sim.memory_map import MemoryMap
from sim.op_profile import OpProfile
from sim.program import Program
from sim.trace import CAUSES, SPILL
from sim.units import microseconds

OP_COLUMNS = (
    "step", "kind", "inputs", "outputs", "macs", "compute_us", "stall_us", "stalls",
    "live_bytes", "top_bytes", "transfer", "storage", "moved_bytes",
)  # fmt: skip
TENSOR_COLUMNS = (
    "tensor", "kind", "shape", "dtype", "bytes", "offset_bytes", "placed_bytes", "first_step",
    "last_step",
)  # fmt: skip


def ops_csv(profiles: Iterable[OpProfile]) -> str:
    """A line for each op: times in microseconds a frame, bytes in use while it runs."""
    return _csv(OP_COLUMNS, (_op(profile) for profile in profiles))


def _op(profile: OpProfile) -> tuple[object, ...]:
    move, stalls = profile.transfer, profile.stall_ps
    waits = "; ".join(f"{c} {microseconds(stalls[c])}" for c in CAUSES if stalls.get(c))
    return (
        profile.step, profile.kind, " ".join(profile.inputs), " ".join(profile.outputs),
        profile.macs, microseconds(profile.work_ps), microseconds(sum(stalls.values())), waits,
        profile.live_bytes, profile.top_bytes,
        *((move.kind, move.storage, move.nbytes) if move is not None else ("", "", 0)),
    )  # fmt: skip


def tensors_csv(program: Program, found: MemoryMap) -> str:
    """A line for each block of the arena; steps as first and last, -1 where inputs arrive."""
    tensors = program.graph.tensors
    shapes = {t.id: ("x".join(map(str, t.shape)), t.dtype) for t in tensors}
    return _csv(
        TENSOR_COLUMNS,
        (
            (
                b.name, b.kind, *(("", "") if b.tensor is None else shapes[b.tensor]), b.nbytes,
                b.span.start, b.span.length, b.steps.start, b.steps.stop - 1,
            )
            for b in found.blocks
        ),
    )  # fmt: skip


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


COLD_TO_HOT = (
    {"stop": 0, "bgColor": "#f2f7fb", "textColor": "black"},
    {"stop": 0.5, "bgColor": "#f6c667", "textColor": "black"},
    {"stop": 1, "bgColor": "#cc3311", "textColor": "white"},
)


def node_data(program: Program, profiles: Sequence[OpProfile], found: MemoryMap) -> dict[str, str]:
    """By file name, the node data of a deployed model for Model Explorer's TFLite adapter.

    An op goes by the name of its first output, or by its number where it has none of its own: the
    adapter for flatbuffers numbers the nodes so. The graph goes by the name of its subgraph. Times
    in microseconds.
    """
    where = {b.tensor: f"arena {b.span.start}..{b.span.stop}" for b in found.blocks}

    def place(profile: OpProfile) -> str:
        if profile.transfer is not None and profile.transfer.kind == SPILL:
            return profile.transfer.storage
        outputs = program.graph.ops[profile.step].outputs
        return ", ".join(where[t] for t in outputs if t in where) or "no bytes"

    keys = _node_keys(program)

    def told(name: str, value: Callable[[OpProfile], object], *, hot: bool) -> str:
        results = {key: {"value": value(p)} for key, p in zip(keys, profiles, strict=True)}
        graph = {"name": name, "results": results} | ({"gradient": COLD_TO_HOT} if hot else {})
        return json.dumps({program.graph.name: graph}, indent=1) + "\n"

    return {
        "peak_bytes.json": told("bytes in use", lambda p: p.live_bytes, hot=True),
        "latency_us.json": told("latency, us", lambda p: microseconds(p.latency_ps), hot=True),
        "where.json": told("where it lies", place, hot=False),
    }


def _node_keys(program: Program) -> list[str]:
    graph = program.graph
    count = Counter(tensor.name for tensor in graph.tensors)
    names = [graph.tensors[op.outputs[0]].name if op.outputs else "" for op in graph.ops]
    return [
        name if count[name] == 1 and name and not name.isdecimal() else str(step)
        for step, name in enumerate(names)
    ]
