"""Each scenario comes to what is stored of it, and tells the story that the README tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.engine.run import traced
from sim.render.dma import with_dma
from sim.render.report.page import Shown, report_page
from sim.system import System
from tests.render.browser import opened
from tests.render.reading import read_report
from tests.scenarios.stored import NAMES, Run, kept, run, stored

EXACT = ("policy", "fits", "winner", "arena_bytes")
FRAMES = 12
RELATIVE = 1e-4
"""Random times come from the machine's logarithm, whose last bit is not the same everywhere."""


def test_the_scenarios() -> None:
    assert NAMES == ("doorbell", "drone_seg", "inspection", "two_models", "wearable")


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_comes_to_its_stored_result_and_its_report_can_be_read(
    name: str, tmp_path: Path
) -> None:
    """One test, since a scenario takes its time; the report needs a browser."""
    done = run(name)
    found, wanted = kept(done), stored(name)
    assert found.keys() == wanted.keys()
    assert [r["policy"] for r in found["results"]] == [r["policy"] for r in wanted["results"]]
    for row, old in zip(found["results"], wanted["results"], strict=True):
        assert {key: row[key] for key in EXACT} == {key: old[key] for key in EXACT}
        assert flat(row) == pytest.approx(flat(old), rel=RELATIVE)
    pytest.importorskip("bokeh")
    path, program = tmp_path / "report.html", done.found.best.program
    assert program is not None
    path.write_text(report(done))
    with opened(path) as page:
        read_report(page, program.plan.size_bytes)


def report(done: Run) -> str:
    """As `sim run` writes it, of a few frames."""
    found = done.found
    assert found.best.program is not None
    system = System(found.best.program, found.workload, found.residents)
    frames = done.scenario.workload.warm_up + FRAMES
    trace = with_dma(traced(system, found.board, frames=frames, seed=1), found.board)
    return report_page(Shown(done.scenario.name, done.ready.source.path, found, trace, True, []))


def flat(value: Any, path: str = "") -> dict[str, float]:
    """The numbers of a document by their path."""
    if isinstance(value, dict):
        parts = [flat(item, f"{path}.{key}") for key, item in value.items()]
    elif isinstance(value, list):
        parts = [flat(item, f"{path}.{n}") for n, item in enumerate(value)]
    else:
        return {path: value} if isinstance(value, int | float) else {}
    return {key: number for part in parts for key, number in part.items()}


def test_the_best_on_the_mean_is_not_the_best_on_the_99th_percentile() -> None:
    rows = [row for row in stored("inspection")["results"] if row["fits"]]
    mean = min(rows, key=lambda row: row["latency_us"]["mean"])
    tail = min(rows, key=lambda row: row["latency_us"]["p99"])
    assert mean["winner"] and mean is not tail
    low, _ = mean["latency_us"]["p99_interval"]
    assert tail["latency_us"]["p99"] < low
