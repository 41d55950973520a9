"""TiGrIS (PyPI tigris-ml): its plan at a budget, as its own runtime reports it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.peers.process import PeerError, last_line, run, script, tool
from benchmarks.peers.recording import parse
from benchmarks.peers.replay import (
    blocking_ps,
    call_macs,
    compute_ps,
    match,
    overlapped_ps,
    timed,
    weights_again_ps,
)
from benchmarks.peers.rows import Row
from benchmarks.peers.tiles import Call, steps
from sim.device.board import Board
from sim.graph.graph import Graph

NAME = "TiGrIS"
MUCH = 0.05


@dataclass(frozen=True, slots=True)
class Analysis:
    """What `tigris analyze --json` says: bytes written and read, and the seconds that it took."""

    written: int
    read: int
    seconds: float


def tigris_row(path: str, graph: Graph, budget: int, boards: Mapping[str, Board]) -> Row:
    """The plan's figures, its latency on boards with one storage each under our cost model."""
    try:
        analysis = _analyze(path, budget)
        traced = _trace(path, budget)
        document, _ = script("tigris_events.py", path, str(budget))
        recording = parse(document)
        ran = steps(recording)
        ops = match(recording, graph)
    except PeerError as error:
        return Row(NAME, budget, note=str(error))
    written, read = recording.moved("spill"), recording.moved("load")
    if (written, read) != (analysis.written, analysis.read):
        return Row(NAME, budget, note="its trace and its analysis differ")
    runs = {name: timed(ran, ops, graph, board) for name, board in boards.items()}
    latency = {n: blocking_ps(r, boards[n], boards[n].storages[0]) for n, r in runs.items()}
    again = {n: weights_again_ps(ran, ops, graph, board) for n, board in boards.items()}
    return Row(
        NAME,
        budget,
        activations=recording.memory["fast_peak_bytes"],
        required=recording.memory["fast_capacity_bytes"],
        written=written,
        read=read,
        macs=call_macs(ran, ops, graph),
        latency_ps=latency,
        bound_ps={n: overlapped_ps(r, boards[n], boards[n].storages[0]) for n, r in runs.items()},
        seconds=analysis.seconds,
        note=_weights(again, latency),
        more={
            "trace_wall_s": traced,
            "kernel_calls": sum(isinstance(step, Call) for step in ran),
            "workspace_bytes": recording.memory["executor_workspace_bytes"],
            "moved_within_fast_bytes": recording.moved("move", "fast"),
            "moved_within_slow_bytes": recording.moved("move", "slow"),
            **{f"compute_ps.{name}": compute_ps(r, boards[name]) for name, r in runs.items()},
            **{f"weights_again_ps.{name}": ps for name, ps in again.items()},
        },
    )


def _weights(again: Mapping[str, int], latency: Mapping[str, int]) -> str:
    """Where reading the weights anew for each tile takes much of the time, how much."""
    much = {n: ps / latency[n] for n, ps in again.items() if ps > MUCH * latency[n]}
    words = ", ".join(f"{share:.0%} on {name}" for name, share in much.items())
    return f"of its time, waiting for weights that an earlier tile had read: {words}" * bool(much)


def _analyze(path: str, budget: int) -> Analysis:
    """Raises PeerError if TiGrIS has no plan at this budget."""
    ran = run(tool("tigris"), "analyze", path, "-m", str(budget), "--json")
    if not ran.out.startswith("{"):
        raise PeerError(last_line(ran.err))
    found = json.loads(ran.out)
    traffic = found["slow"]["traffic"]
    if traffic is None:
        reasons = found["fast"]["infeasible"] or found["model"]["unsupported_operators"]
        raise PeerError(f"no plan: {reasons[0]}" if reasons else "no plan")
    return Analysis(traffic["written"], traffic["read"], ran.seconds)


def _trace(path: str, budget: int) -> float:
    """Seconds of a traced run. Raises PeerError where it does not agree with itself."""
    ran = run(tool("tigris"), "analyze", path, "-m", str(budget), "--trace")
    if ran.code or "mismatch" in ran.out:
        raise PeerError(last_line(ran.err or ran.out))
    return ran.seconds
