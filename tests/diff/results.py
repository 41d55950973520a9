"""Results as documents have them: one frame that waits for nothing, and what is said of two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.diff.figures import Figure
from sim.result import SCHEMA_VERSION
from sim.units import microseconds

Values = dict[str, Any]


def entry(policy: str, latency_ps: int = 1000, arena: int = 64, **others: Any) -> Values:
    """A policy's entry as a document has it: one frame that waits for nothing."""
    us = microseconds(latency_ps)
    return {
        "policy": policy,
        "params": {},
        "fits": True,
        "winner": False,
        "error": None,
        "ops": 1,
        "macs": 1,
        "arena_bytes": {"activations": arena, "persistent": 0, "temporary": 0, "required": arena},
        "frames": {"core": fate()},
        "latency_us": {"mean": us, "p99": us},
        "inference_us": {"mean": us},
        "stall_us": {"total": 0.0},
        "moved_bytes": {},
        "frame_uj": 1.0,
        **others,
    }


def fate(done: int = 1, missed: int = 0, recomputed: int = 0, **lost: int) -> Values:
    reasons = {name.replace("_", " "): count for name, count in lost.items()}
    return {
        "offered": done + sum(reasons.values()),
        "done": done,
        "missed_deadline": missed,
        "recomputed": recomputed,
        "lost": reasons,
    }


def failed(policy: str, error: str) -> Values:
    empty = dict.fromkeys(("ops", "macs", "arena_bytes", "latency_us", "stall_us", "moved_bytes"))
    return {"policy": policy, "params": {}, "fits": False, "winner": False, "error": error, **empty}


def result(*entries: Values, winner: int = 0, budget: int = 100, goal: str = "latency") -> Values:
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {"path": "m.tflite"},
        "board": {"name": "b", "sram_bytes": budget},
        "goal": {"minimize": goal},
        "winner": entries[winner]["policy"],
        "results": [{**e, "winner": i == winner} for i, e in enumerate(entries)],
    }


def saved(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def shown(capsys: pytest.CaptureFixture[str], a: Path, b: Path) -> str:
    """What the command prints for people, in lines that are not too long."""
    assert main(["diff", str(a), str(b)]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    return out


def told(capsys: pytest.CaptureFixture[str], a: Path, b: Path) -> Values:
    """The document that the command prints."""
    assert main(["diff", str(a), str(b), "--json"]) == 0
    found: Values = json.loads(capsys.readouterr().out)
    return found


def adds_up(figure: Figure) -> None:
    """Parts sum to the change, the largest first."""
    if figure.parts:
        assert sum(part.change for part in figure.parts) == figure.change
    sizes = [abs(part.change) for part in figure.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 not in sizes
