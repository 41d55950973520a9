"""What stands beside result.json for people and their tools: report, trace, tables, picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.compare import Comparison
from sim.deployment import Deployed
from sim.errors import MissingToolError
from sim.files import write_whole
from sim.result import Source

REPORT = "report.html"
TRACED_FRAMES = 100
"""So many of the winner's frames are played once more and kept, if they are not too long:"""
TRACED_OPS = 200_000
"""so many ops in all are enough."""
PERFETTO_FRAMES = 20
"""So many of them go into trace.json, which names everything in full."""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The files that were written, and why others were not."""

    files: tuple[Path, ...]
    missing: tuple[str, ...]

    def facts(self) -> list[tuple[str, str]]:
        """What to open, and what could not be written, for people."""
        reports = [path for path in self.files if path.name == REPORT]
        return [
            *(("report", path.as_posix()) for path in reports),
            *(("not written", why) for why in self.missing),
        ]


def write_artefacts(
    found: Comparison, source: Source, deployed: Deployed, *, title: str, seed: int, frames: int,
) -> Artefacts:  # fmt: skip
    """Writes what shows the winner, each file whole; pictures only where their library is there."""
    from sim.engine.run import traced
    from sim.memory_map import memory_map
    from sim.op_profile import op_profiles
    from sim.render.dma import with_dma
    from sim.render.map_picture import plot_map
    from sim.render.op_table import node_data, ops_csv, tensors_csv
    from sim.render.perfetto import perfetto
    from sim.render.report.page import Shown, report_page
    from sim.system import System

    program = found.best.program
    assert program is not None
    directory = deployed.files[0].parent
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
        title, source.path, found, lanes, deployed.good if judged else None, deployed.facts()[:1]
    )
    first = lanes.first(PERFETTO_FRAMES)
    texts = {
        "trace.json": _compact(perfetto(first, program, title)),
        "ops.csv": ops_csv(profiles),
        "tensors.csv": tensors_csv(program, drawn),
        **{f"model_explorer/{n}": t for n, t in node_data(program, profiles, drawn).items()},
    }
    for name, text in texts.items():
        write_whole(directory / name, text)
    report, picture = directory / REPORT, directory / "memory_map.png"
    label = f"{title}: {found.label(found.best)}"
    pictures: dict[Path, Callable[[], None]] = {
        report: lambda: write_whole(report, report_page(shown)),
        picture: lambda: plot_map(drawn, found.goal.sram_bytes, label, str(picture)),
    }
    written, missing = [directory / name for name in texts], []
    for path, draw in pictures.items():
        try:
            draw()
        except MissingToolError as error:
            missing.append(str(error))
            path.unlink(missing_ok=True)  # of an earlier run
        else:
            written.append(path)
    return Artefacts(tuple(written), tuple(missing))


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"
