"""What stands beside result.json for people and their tools: report, trace, tables, picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sim.compare import Comparison
from sim.deployment import Deployed
from sim.errors import MissingToolError
from sim.files import Content
from sim.result import Source

REPORT, PICTURE = "report.html", "memory_map.png"
TRACED_FRAMES = 100
"""So many of the winner's frames are played once more and kept, if they are not too long:"""
TRACED_OPS = 200_000
"""so many ops in all are enough."""
PERFETTO_FRAMES = 20
"""So many of them go into trace.json, which names everything in full."""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The files' contents by name, and why others, by name too, could not be made."""

    contents: Mapping[str, Content]
    missing: Mapping[str, str]


def artefacts(
    found: Comparison, source: Source, deployed: Deployed, *, title: str, seed: int, frames: int,
) -> Artefacts:  # fmt: skip
    """What shows the winner; pictures only where their library is there."""
    from sim.engine.run import traced
    from sim.memory_map import memory_map
    from sim.op_profile import op_profiles
    from sim.render.dma import with_dma
    from sim.render.map_picture import map_picture
    from sim.render.op_table import node_data, ops_csv, tensors_csv
    from sim.render.perfetto import perfetto
    from sim.render.report.page import Shown, report_page
    from sim.system import System

    program = found.best.program
    assert program is not None
    system = System(program, found.workload, found.residents)
    short_enough = max(1, TRACED_OPS // max(1, len(program.graph.ops)))
    kept = min(frames, TRACED_FRAMES, short_enough)
    trace = traced(system, found.board, frames=kept, seed=seed)
    lanes = with_dma(trace, found.board)
    drawn = memory_map(program)
    profiles = op_profiles(program, drawn, trace)
    verification = deployed.verification
    judged = verification is not None and verification.equal is not None
    shown = Shown(
        title, source.path, found, lanes, deployed.good if judged else None,
        [("verified", deployed.verdict)],
    )  # fmt: skip
    first = lanes.first(PERFETTO_FRAMES)
    label = f"{title}: {found.label(found.best)}"
    contents: dict[str, Content] = {
        "trace.json": _compact(perfetto(first, program, title)),
        "ops.csv": ops_csv(profiles),
        "tensors.csv": tensors_csv(program, drawn),
        **{f"model_explorer/{n}": t for n, t in node_data(program, profiles, drawn).items()},
    }
    pictures: dict[str, Callable[[], Content]] = {
        REPORT: lambda: report_page(shown),
        PICTURE: lambda: map_picture(drawn, found.goal.sram_bytes, label, PICTURE),
    }
    missing = {}
    for name, draw in pictures.items():
        try:
            contents[name] = draw()
        except MissingToolError as error:
            missing[name] = str(error)
    return Artefacts(contents, missing)


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"
