"""What a scenario comes to, and what it came to when that was stored.

    python -m tests.scenarios.stored NAME...

stores it anew, for the scenarios named.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scenarios
from sim.compare import Comparison, compare
from sim.engine.run import play
from sim.files import write_whole
from sim.prepare import Prepared, prepare
from sim.result import comparison_document, dumps
from sim.scenario import Scenario, load_scenario

FOLDER = Path(scenarios.__file__).parent
RESULTS = FOLDER / "results"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
KEPT = (
    "policy", "fits", "winner", "arena_bytes", "latency_us", "frames", "moved_bytes", "frame_uj",
    "battery_days",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario, what it was asked of, and what came of it."""

    scenario: Scenario
    ready: Prepared
    found: Comparison


def run(name: str) -> Run:
    """A scenario, compared as `sim run` does it."""
    scenario = load_scenario(FOLDER / f"{name}.yaml")
    ready = prepare(scenario, play, lambda _: None)
    found = compare(
        ready.graph, ready.board, ready.goal, scenario.choices, play,
        frames=scenario.frames, seed=scenario.seed, usage=scenario.usage,
        workload=scenario.workload, residents=ready.residents,
    )  # fmt: skip
    return Run(scenario, ready, found)


def kept(done: Run) -> dict[str, Any]:
    """The figures of a scenario that are kept."""
    name, seed = done.scenario.name, done.scenario.seed
    document = comparison_document(done.ready.source, done.found, name, seed)
    return {
        "scenario": name,
        "frames": done.scenario.frames,
        "results": [{key: row[key] for key in KEPT} for row in document["results"]],
    }


def stored(name: str) -> dict[str, Any]:
    """What was stored."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        write_whole(RESULTS / f"{name}.json", dumps(kept(run(name))))
        print(name)
