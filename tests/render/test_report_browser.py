"""The report in a browser: it opens without a word or a request, and can be read and zoomed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.compare import Comparison, compare
from sim.engine.run import play, traced
from sim.prepare import prepare
from sim.render.report.page import Shown, report_page
from sim.scenario import load_scenario
from sim.system import System
from tests.render.browser import opened
from tests.scenarios.stored import FOLDER, NAMES, stored

pytest.importorskip("plotly")
pytest.importorskip("playwright")
FRAMES = 12


def winner_of(name: str) -> tuple[Comparison, Path]:
    """The scenario's winner alone, for a few frames beyond its warm-up."""
    scenario = load_scenario(FOLDER / f"{name}.yaml")
    wins = [row["winner"] for row in stored(name)["results"]]
    ready = prepare(scenario, play, lambda _: None)
    found = compare(
        ready.graph, ready.board, ready.goal, [scenario.choices[wins.index(True)]], play,
        frames=scenario.workload.warm_up + FRAMES, seed=scenario.seed, usage=scenario.usage,
        workload=scenario.workload, residents=ready.residents,
    )  # fmt: skip
    return found, scenario.model


@pytest.mark.parametrize("name", NAMES)
def test_the_report_of_each_scenario(name: str, tmp_path: Path) -> None:
    found, model = winner_of(name)
    program = found.best.program
    assert program is not None
    system = System(program, found.workload, found.residents)
    trace = traced(system, found.board, frames=FRAMES, seed=1)
    path = tmp_path / "report.html"
    path.write_text(report_page(Shown(name, model.name, found, trace, True, [])))
    with opened(path) as page:
        reads_the_map(page, program.plan.size_bytes)
        hovers_and_zooms(page)
        clicks_a_frame(page)
        searches(page)


def reads_the_map(page: Any, peak_bytes: int) -> None:
    assert page.get_attribute("#map", "data-peak") == str(peak_bytes)
    ends = page.evaluate(
        """() => Math.max(...document.getElementById("map").data
        .filter((t) => t.type === "bar" && t.name !== "the runtime's own")
        .flatMap((t) => t.base.map((base, n) => base + t.y[n])))"""
    )
    assert ends == peak_bytes
    assert f"peak {peak_bytes:,} B" in page.text_content("#map")
    assert page.inner_text("#peak").startswith(f"The peak: {peak_bytes:,} B at op ")
    assert page.locator("#alive li").count() > 0


def hovers_and_zooms(page: Any) -> None:
    """Over a block stands its name and bytes; a drag over the plot shows a part of the steps."""
    page.locator("#map .barlayer .point path").first.hover(force=True)
    page.wait_for_selector("#map .hoverlayer .hovertext")
    assert " B" in page.text_content("#map .hoverlayer")
    before = page.evaluate("document.getElementById('map').layout.xaxis.range")
    box = page.locator("#map .nsewdrag").first.bounding_box()
    drag(page, box)
    after = page.evaluate("document.getElementById('map').layout.xaxis.range")
    assert before[0] < after[0] < after[1] < before[1]


def drag(page: Any, box: Any) -> None:
    """Over the middle third of a plot, from edge to edge of its height."""
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + 2 * box["width"] / 3, box["y"] + box["height"] * 0.9, steps=8)
    page.mouse.up()
    page.wait_for_timeout(400)


def clicks_a_frame(page: Any) -> None:
    """A click on a frame shows its time below, a drag there a part of it, with more bars."""
    page.click("#all-frames")
    page.wait_for_timeout(200)
    whole = page.evaluate("document.getElementById('lanes').layout.xaxis.range")
    page.locator("#frames .barlayer .point path").nth(3).click(force=True)
    page.wait_for_timeout(300)
    frame = page.evaluate("document.getElementById('lanes').layout.xaxis.range")
    assert frame[1] - frame[0] < whole[1] - whole[0]
    page.locator("#lanes").scroll_into_view_if_needed()
    drag(page, page.locator("#lanes .nsewdrag").first.bounding_box())
    part = page.evaluate("document.getElementById('lanes').layout.xaxis.range")
    assert frame[0] < part[0] < part[1] < frame[1]
    assert page.locator("#lanes .barlayer .point").count() > 0


def searches(page: Any) -> None:
    page.fill("#search", "core.clock")
    assert page.locator("#sources tbody tr:visible").count() == 1
    assert page.inner_text("#found") == "1 constants, 0 of them assumed"
