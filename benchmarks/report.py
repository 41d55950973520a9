"""The report of a hundred frames of more than a thousand ops: its size, and the time to open it.

    python -m benchmarks.report

Run it at the repository's root; it needs the extras `plot` and `test`, and a Chromium. The program
is the inspection scenario's way over the SD card in finer rows, with everything beside it. Writing
the page is set beside playing its frames, opening it (until all pictures are drawn) beside opening
a page that holds the plotting library and nothing else; each is the median of several pairs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sim.compare import Comparison, compare
from sim.engine.run import play, traced
from sim.policy import parse_choice
from sim.prepare import prepare
from sim.render.dma import with_dma
from sim.render.report.page import Shown, library, report_page
from sim.scenario import load_scenario
from sim.system import System
from sim.trace import Trace
from tests.render.browser import executable

SCENARIO = "scenarios/inspection.yaml"
POLICY = (
    "split(start=7, stop=8, parts=2, axis=channels)+"
    "fused_fetch(stages=[[0,2,24,0,0],[13,22,6,0,1]], tensors=[t3,t7], storage=sd, rows=3, drain=2)"
)
FRAMES = 100
PAIRS = 5
EMPTY = (
    '<!doctype html><body><script>{}</script><script>document.body.dataset.ready = "yes"</script>'
)


def compared() -> Comparison:
    """Rows go over the card and come back."""
    scenario = load_scenario(SCENARIO)
    ready = prepare(scenario, play, lambda _: None)
    return compare(
        ready.graph, ready.board, ready.goal, (parse_choice(POLICY),), play, frames=20,
        seed=scenario.seed, usage=scenario.usage, workload=scenario.workload,
        residents=ready.residents,
    )  # fmt: skip


def kept(found: Comparison) -> Trace:
    assert found.best.program is not None
    system = System(found.best.program, found.workload, found.residents)
    return with_dma(traced(system, found.board, frames=FRAMES, seed=1), found.board)


def seconds_to_open(browser: Any, path: Path) -> float:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready=yes]", state="attached")
    taken = time.perf_counter() - start
    page.close()
    return taken


def opened(full: Path, empty: Path) -> tuple[float, float]:
    """Median seconds to open both pages, one after the other."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        seconds_to_open(browser, empty)
        pairs = [
            (seconds_to_open(browser, full), seconds_to_open(browser, empty)) for _ in range(PAIRS)
        ]
        browser.close()
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.parse_args(arguments)
    found = compared()
    start = time.perf_counter()
    trace = kept(found)
    played = time.perf_counter() - start
    shown = Shown("inspection", "surface_unet.tflite", found, trace, None, [])
    start = time.perf_counter()
    text = report_page(shown)
    written = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        full, empty = Path(folder) / "report.html", Path(folder) / "empty.html"
        full.write_text(text)
        empty.write_text(EMPTY.format(library()))
        to_open, to_open_empty = opened(full, empty)
    assert found.best.program is not None
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("ops", f"{len(found.best.program.graph.ops):,}"),
        ("frames", f"{FRAMES}"),
        ("spans", f"{len(trace.spans):,}"),
        ("report.html", f"{len(text.encode()) / 10**6:.1f} MB"),
        ("writing it, beside playing its frames", f"{written / played:.2f}x"),
        ("opening it", f"{to_open:.2f} s"),
        ("beside the plotting library alone", f"{to_open / to_open_empty:.1f}x"),
    ):
        table.add_row(name, value)
    Console().print(table)


if __name__ == "__main__":
    main()
