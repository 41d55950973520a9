"""Why a model is so big: the peak step, what is alive there, and what could be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.device.board import Board
from sim.graph.graph import Graph
from sim.graph.lifetimes import Buffer, Peak, buffers, peak, timeline
from sim.graph.rewrite import drop_dead_tensors
from sim.graph.roles import SCRATCH_ROLE, Roles
from sim.plan.runtime import Runtime
from sim.program import Program, pack_graph, place


@dataclass(frozen=True, slots=True)
class Alive:
    """Something alive at the peak: why it is there, and how long it only waits (half-open)."""

    name: str
    nbytes: int
    role: str
    cold: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """`tflm` is the program as TFLM runs the file, `packed` the same graph placed by the packer."""

    graph: Graph
    peak: Peak
    peak_kind: str
    alive: tuple[Alive, ...]
    tflm: Program
    packed: Program
    proven: bool

    @property
    def lower_bound_bytes(self) -> int:
        return self.peak.bytes


def inspect(graph: Graph, kernels: str = "reference") -> Inspection:
    """The peak of a graph and its placements."""
    runtime = Runtime(kernels=kernels)
    live = drop_dead_tensors(graph)
    held = buffers(live, kernels)
    top = peak(held)
    packed, packing = pack_graph(live, runtime, aliasing=False)
    steps = timeline(live)
    kind = next((op.kind for op, span in steps.ops if top.step in span), "input")
    roles = Roles(live)
    return Inspection(
        graph=graph,
        peak=top,
        peak_kind=kind,
        alive=tuple(_alive(live, roles, b, top.step) for b in top.alive),
        tflm=place(graph, runtime),
        packed=packed,
        proven=packing.optimal,
    )


def _alive(graph: Graph, roles: Roles, buffer: Buffer, step: int) -> Alive:
    role = roles.at(buffer.tensor, step)
    scratch = f"scratch of op {buffer.scratch_of}"
    name = scratch if buffer.tensor is None else graph.tensors[buffer.tensor].label
    return Alive(name, buffer.size, role.text, role.cold)


def advice(found: Inspection) -> list[str]:
    """What could make the peak smaller, the largest saving first, in words."""
    saved = found.tflm.plan.size_bytes - found.packed.plan.size_bytes
    cold = [a for a in found.alive if a.cold]
    scratch = sum(a.nbytes for a in found.alive if a.role == SCRATCH_ROLE.text)
    options: list[tuple[int, str]] = []
    if saved > 0:
        options.append((saved, f"plan: a better placement alone saves {saved:,} B"))
    if cold:
        total = sum(a.nbytes for a in cold)
        names = "one tensor only waits" if len(cold) == 1 else f"{len(cold)} tensors only wait"
        options.append((total, f"spill: {names} here, {total:,} B could lie in a storage"))
    if scratch:
        text = f"{found.peak_kind}'s scratch takes {scratch:,} B; running it by rows shrinks that"
        options.append((scratch, text))
    return [text for _, text in sorted(options, key=lambda o: -o[0])]


def document(found: Inspection, board: Board | None) -> dict[str, Any]:
    """What `inspect --json` prints; with a board, whether the model fits as it is."""
    arena = found.tflm.arena()
    made: dict[str, Any] = {
        "ops": len(found.graph.ops),
        "peak": {
            "op": found.peak.step,
            "kind": found.peak_kind,
            "activations_bytes": found.peak.bytes,
            "alive": [{"tensor": a.name, "bytes": a.nbytes, "role": a.role} for a in found.alive],
        },
        "lower_bound_bytes": found.lower_bound_bytes,
        "tflm_greedy_bytes": found.tflm.plan.size_bytes,
        "packed_bytes": found.packed.plan.size_bytes,
        "packed_proven_optimal": found.proven,
        "required_arena_bytes": arena.required,
        "advice": advice(found),
    }
    if board is not None:
        usable = board.largest_usable_bytes
        fits = arena.required <= usable
        made["board"] = {"name": board.name, "usable_bytes": usable, "fits": fits}
    return made
