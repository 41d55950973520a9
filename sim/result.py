"""The JSON documents that the commands print and write; units stand in the keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sim import __version__
from sim.compare import Comparison, Outcome
from sim.device.board import Board
from sim.device.constants import digest
from sim.errors import ModelError
from sim.front import Front
from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.plain import plain
from sim.policy import Goal
from sim.program import Arena, Program
from sim.report import Fate, Report
from sim.seeds import Figure, Spread
from sim.statistics import Distribution
from sim.units import microseconds

SCHEMA_VERSION = 2
STALLS_TOLD = 10
"""So many waits are told by cause and tensor, the longest first."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model file as it was given, and its bytes."""

    path: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def read_source(path: str | Path) -> Source:
    """The file's bytes. Raises ModelError if it can't be opened."""
    try:
        return Source(Path(path).as_posix(), Path(path).read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror or error}") from None


def dumps(document: Mapping[str, Any]) -> str:
    """The document as text; the same document gives the same bytes."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def total_macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference, bodies of control flow once."""
    return sum(macs(graph, op) for op in graph.all_ops())


def comparison_document(
    source: Source, comparison: Comparison, scenario: str, seed: int
) -> dict[str, Any]:
    """What `run` and `compare` print."""
    return {
        **_head(source, comparison.graph, comparison.board, comparison.goal, scenario, seed),
        "surroundings": _surroundings(comparison),
        "winner": comparison.best.choice.name,
        "shortfall": _shortfall(comparison),
        "results": [
            _result(comparison, index, outcome) for index, outcome in enumerate(comparison.outcomes)
        ],
    }


def front_document(source: Source, front: Front, scenario: str, seed: int) -> dict[str, Any]:
    """What `compare --front` prints: the points by required arena, and the unmodified model."""
    return {
        **_head(source, front.graph, front.board, front.goal, scenario, seed),
        "baseline": _measured(front.baseline.program, front.baseline.arena, front.baseline.report),
        "front": [
            {
                "policy": point.choice.name,
                "params": plain(point.choice.params),
                "fits": point.fits(front.goal),
                "budget_bytes": point.budget_bytes,
                **_measured(point.program, point.arena, point.report),
                "placement_proven_optimal": point.proven,
            }
            for point in front.points
        ],
    }


def _head(
    source: Source, graph: Graph, board: Board, goal: Goal, scenario: str, seed: int
) -> dict[str, Any]:
    """What was asked, of what."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tool_version": __version__,
        "scenario": {"name": scenario, "seed": seed},
        "model": {
            "path": source.path,
            "sha256": source.sha256,
            "ops": len(graph.ops),
            "macs": total_macs(graph),
            "weights_bytes": graph.weights_bytes,
        },
        "board": {
            "name": board.name,
            "sram_bytes": goal.sram_bytes,
            "clock_hz": board.core.clock_hz,
            "profile": board.core.profile.name,
            "constants_sha256": digest(board),
        },
        "goal": {
            "minimize": goal.minimize,
            "kernels": goal.kernels,
            "runtime": goal.runtime,
            "energy_uj": goal.energy_pj / 10**6 if goal.energy_pj else None,
        },
    }


def _surroundings(comparison: Comparison) -> dict[str, Any]:
    """What happens meanwhile: the outlines, and a hash of all of it."""
    workload = comparison.workload
    roles = [(resident.name, resident.role) for resident in comparison.residents]
    return {
        "arrivals": workload.arrivals.kind,
        "period_us": microseconds(workload.arrivals.mean_gap_ps),
        "deadline_us": microseconds(workload.deadline_ps),
        "camera_buffers": workload.camera.buffers if workload.camera else 0,
        "background": ", ".join(user.name for user in workload.background) or None,
        "faults": ", ".join(f"{f.kind} {f.on}".strip() for f in workload.faults) or None,
        "residents": ", ".join(resident.name for resident in comparison.residents) or None,
        "sha256": hashlib.sha256(repr((workload, roles, comparison.usage)).encode()).hexdigest(),
    }


def _shortfall(comparison: Comparison) -> dict[str, Any] | None:
    found = comparison.shortfall
    if found is None:
        return None
    return {
        "over_bytes": found.over_bytes,
        "smallest_budget_bytes": found.smallest_bytes,
        "runtime_bytes": found.fixed_bytes,
        "op": {"step": found.step, "kind": found.kind},
        "alive": [{"tensor": name, "bytes": nbytes} for name, nbytes in found.alive],
        "others": {"count": found.others[0], "bytes": found.others[1]},
        "overlap_bytes": found.overlap_bytes,
        "idle_bytes": found.idle_bytes,
    }


def _result(comparison: Comparison, index: int, outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {
        "policy": outcome.choice.name,
        "params": plain(outcome.choice.params),
        "fits": outcome.fits(comparison.goal),
        "winner": index == comparison.winner,
        "pareto": index in comparison.pareto,
        "error": outcome.error or None,
    }
    if outcome.program is None or outcome.arena is None or outcome.report is None:
        empty = ("ops", "macs", "arena_bytes", "latency_us", "stall_us", "moved_bytes")
        return found | dict.fromkeys(empty)
    return found | {
        **_measured(outcome.program, outcome.arena, outcome.report),
        **_lasting(comparison, outcome.report),
        "frame_uj": round(outcome.frame_pj / 10**6, 3),
        "spread": _spread(comparison.spreads[index]) if index in comparison.spreads else None,
        "placement_proven_optimal": outcome.proven,
    }


def _lasting(comparison: Comparison, report: Report) -> dict[str, Any]:
    """How long what wears out and what runs empty lasts, in days."""
    usage, board = comparison.usage, comparison.board
    battery = usage.battery_days(report, board)
    wear = usage.wear_days(report, board)
    return {
        "wear_days": {storage: round(days, 3) for storage, days in wear.items()},
        "battery_days": None if battery is None else round(battery, 3),
    }


def _measured(program: Program, arena: Arena, report: Report) -> dict[str, Any]:
    """The figures of one way to run the model."""
    return {
        "ops": len(program.graph.ops),
        "macs": total_macs(program.graph),
        "arena_bytes": {
            "activations": arena.activations,
            "persistent": arena.persistent,
            "temporary": arena.temporary,
            "required": arena.required,
        },
        **_figures(report),
    }


def _times(found: Distribution) -> dict[str, Any]:
    return {
        "mean": microseconds(found.mean_ps),
        "mean_error": microseconds(found.mean_error_ps),
        "p50": microseconds(found.p50_ps),
        "p90": microseconds(found.p90_ps),
        "p99": microseconds(found.p99_ps),
        "p99_interval": [microseconds(found.p99_low_ps), microseconds(found.p99_high_ps)],
        "max": microseconds(found.max_ps),
    }


def _figures(report: Report) -> dict[str, Any]:
    return {
        "frames": {name: _fate(fate) for name, fate in report.fates.items()},
        "latency_us": _times(report.latency),
        "inference_us": _times(report.service),
        "stall_us": {
            "total": microseconds(report.total_stall_ps),
            **{cause.replace(" ", "_"): microseconds(t) for cause, t in report.stall_ps.items()},
        },
        "moved_bytes": {
            storage: {"read": moved.read, "written": moved.written}
            for storage, moved in report.moved.items()
        },
        "stalled_on": [
            {"cause": cause, "tensor_or_op": subject, "us": microseconds(ps)}
            for (cause, subject), ps in report.longest_stalls(STALLS_TOLD)
        ],
        "others_bytes": {
            storage: {"read": moved.read, "written": moved.written}
            for storage, moved in report.others.items()
        },
        "failed_bytes": dict(report.failed),
        "erased_blocks": {name: round(blocks, 6) for name, blocks in report.erased.items()},
        "energy_uj": round(report.energy_pj / 10**6, 3),
        "utilisation": {actor: round(report.utilisation(actor), 6) for actor in report.busy_ps},
    }


def _fate(fate: Fate) -> dict[str, Any]:
    return {
        "offered": fate.offered,
        "done": fate.done,
        "missed_deadline": fate.missed,
        "recomputed": fate.recomputed,
        "lost": dict(fate.lost),
    }


def _spread(spread: Spread) -> dict[str, Any]:
    def figure(found: Figure, scale: float = 1.0) -> dict[str, float]:
        return {f.name: round(getattr(found, f.name) / scale, 6) for f in fields(found)}

    return {
        "seeds": spread.seeds,
        "latency_mean_us": figure(spread.mean_ps, 10**6),
        "latency_p99_us": figure(spread.p99_ps, 10**6),
        "lost_share": figure(spread.lost),
        "missed_share": figure(spread.missed),
        "frame_uj": figure(spread.frame_pj, 10**6),
    }
