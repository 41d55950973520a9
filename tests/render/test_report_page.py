"""The report as a file: it needs nothing else, holds the whole trace, and breaks on no name."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.compare import Comparison, compare
from sim.engine.run import play, traced
from sim.files import write_whole
from sim.policy import parse_choice, written_choice
from sim.render.report.page import Shown, library, report_page
from sim.render.report.timeline import category, packed_timeline
from sim.system import System
from sim.trace import STALL, Trace
from sim.workload.workload import Fault
from tests.render.browser import opened
from tests.render.material import BOARD, GOAL, GRAPH, WORDS, WORKLOAD
from tests.render.reading import hovers_and_zooms, reads_the_map

pytest.importorskip("bokeh")
CHOICES = [
    parse_choice("baseline"),
    parse_choice("spill(storage=sd)"),
    parse_choice("spill(storage=x)"),
]


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(
        GRAPH, BOARD, GOAL, CHOICES, play, frames=20, workload=WORKLOAD, residents=(WORDS,)
    )


@pytest.fixture(scope="module")
def trace(found: Comparison) -> Trace:
    assert found.best.program is not None
    system = System(found.best.program, found.workload, found.residents)
    return traced(system, BOARD, frames=12, seed=0)


def shown(found: Comparison, trace: Trace) -> Shown:
    return Shown("a <b>title</b>", "m.tflite", found, trace, True, [("proof", "x & y")])


@pytest.fixture(scope="module")
def page(found: Comparison, trace: Trace) -> str:
    return report_page(
        Shown("a <b>title</b>", "m.tflite", found, trace, True, [("proof", "x & y")])
    )


def data_of(page: str) -> dict[str, Any]:
    text = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    found: dict[str, Any] = json.loads(text.group(1))
    return found


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    own = page.replace(library(), "")
    assert "http" not in re.sub(r"<td>[^<]*</td>", "", own)
    assert not re.search(r"<(script|img|iframe)[^>]*\ssrc=", own)
    assert re.findall(r"<link[^>]*>", own) == ['<link rel="icon" href="data:,">']


def test_the_same_run_gives_the_same_page(found: Comparison, trace: Trace, page: str) -> None:
    assert report_page(shown(found, trace)) == page


def named(found: Comparison, name: str) -> Comparison:
    """With the name for each of the winner's tensors."""
    best = found.best
    assert best.program is not None
    tensors = tuple(replace(t, name=name) for t in best.program.graph.tensors)
    program = replace(best.program, graph=replace(best.program.graph, tensors=tensors))
    outcomes = tuple(replace(o, program=program) if o is best else o for o in found.outcomes)
    return replace(found, outcomes=outcomes)


def test_names_are_text(found: Comparison, trace: Trace) -> None:
    """A tensor may be called like the end of a script."""
    evil = "</script><script>alert(1)</script>"
    told = Shown(evil, evil, named(found, evil), trace, None, [(evil, evil)])
    page = report_page(told)
    assert "<script>alert" not in page
    assert any(block[0] == evil for block in data_of(page)["maps"]["shown"][0]["blocks"])


def unpacked(timeline: dict[str, Any]) -> dict[str, Any]:
    """The columns, read as the page does it."""
    raw, at, found = zlib.decompress(base64.b64decode(timeline["spans"])), 0, {}
    for name, dtype in timeline["columns"].items():
        found[name] = np.frombuffer(raw, dtype, timeline["count"], at)
        at += found[name].nbytes
    assert at == len(raw)
    return found


def test_every_span_is_in_the_page(trace: Trace, page: str) -> None:
    timeline = data_of(page)["timeline"]
    assert timeline == json.loads(json.dumps(packed_timeline(trace)))
    columns = unpacked(timeline)
    assert all(np.diff(columns["start"]) >= 0)
    names = [c["name"] for c in timeline["categories"]]
    found = sorted(
        (timeline["lanes"][lane], names[number], start, stop, int(nbytes))
        for lane, number, start, stop, nbytes in zip(
            *(columns[key] for key in ("lane", "category", "start", "stop", "bytes")), strict=True
        )
        if names[number] not in ("done", "lost")
    )
    assert found == sorted(
        (s.actor, category(s), s.start_ps / 10**9, s.stop_ps / 10**9, s.nbytes) for s in trace.spans
    )
    active = {s.actor for s in trace.spans}
    assert timeline["lanes"] == [
        "frames",
        "words frames",
        *(actor for actor in trace.actors if actor in active),
    ]
    assert {"core", "words", "sd"} <= active and "log" not in active  # its bytes go to the card


def test_every_stall_has_a_colour_by_its_cause(trace: Trace, page: str) -> None:
    causes = {span.cause for span in trace.spans if span.kind == STALL}
    categories = data_of(page)["timeline"]["categories"]
    colours = {c["name"]: c["colour"] for c in categories}
    assert {f"waits: {cause}" for cause in causes} <= set(colours)
    assert len(set(colours.values())) == len(colours)


def test_each_policy_that_runs_has_a_map(found: Comparison, page: str) -> None:
    maps = data_of(page)["maps"]
    alive = [o for o in found.outcomes if o.arena is not None]
    assert {m["label"] for m in maps["shown"]} == {found.label(o) for o in alive}
    assert maps["shown"][0]["label"] == found.label(found.best)
    assert len(alive) == 2 and "wanted one of" in page  # why the third could not be applied
    for drawn in maps["shown"]:
        (outcome,) = (o for o in alive if found.label(o) == drawn["label"])
        assert outcome.arena is not None
        assert max(block[3] for block in drawn["blocks"]) == outcome.arena.activations
        assert (drawn["head"], drawn["required"]) == (
            outcome.arena.activations, outcome.arena.required,
        )  # fmt: skip


def test_the_setting_that_was_chosen_can_be_copied(found: Comparison, page: str) -> None:
    chosen = written_choice(found.outcomes[1].choice.policies)
    assert "target=" in chosen
    assert f'title="{chosen}">{chosen}</div>' in page
    assert page.count('class="setting"') == 1


def test_long_names_and_narrow_windows(found: Comparison, trace: Trace, tmp_path: Path) -> None:
    """Names as TensorFlow joins them push neither a tooltip nor the page to the side."""
    long = "model/stage/convolution;model/stage/batch_normalization;" * 5
    write_whole(tmp_path / "report.html", report_page(shown(named(found, long), trace)))
    with opened(tmp_path / "report.html") as page:
        hovers_and_zooms(page)
        page.set_viewport_size({"width": 700, "height": 900})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("#policies td:nth-child(2)").first.bounding_box()["width"] > 100


def test_a_far_budget_is_told_above_the_map(
    found: Comparison, trace: Trace, tmp_path: Path
) -> None:
    """The blocks would be flat beneath it."""
    best = found.best
    assert best.arena is not None
    goal = replace(found.goal, sram_bytes=10 * best.arena.required)
    write_whole(tmp_path / "report.html", report_page(shown(replace(found, goal=goal), trace)))
    with opened(tmp_path / "report.html") as page:
        reads_the_map(page, best.arena.activations, f"budget {goal.sram_bytes:,} B")
        hovers_and_zooms(page)


def test_where_no_frame_came_to_its_end(found: Comparison, trace: Trace) -> None:
    """The card is out all the time: what needs it has no latency and is no best of anything."""
    away = replace(WORKLOAD, faults=(Fault("removed", "sd", at_ps=(0,), lasts_ps=10**15),))
    lost = compare(GRAPH, BOARD, GOAL, CHOICES[:2], play, frames=5, workload=away)
    dead = next(i for i, o in enumerate(lost.outcomes) if o.choice.name == "spill")
    assert lost.outcomes[dead].report is not None and not lost.outcomes[dead].report.fate.done
    assert lost.pareto == {1 - dead}
    only = replace(lost, winner=dead)
    page = report_page(Shown("lost", "m.tflite", only, trace, None, []))
    assert [point["label"] for point in data_of(page)["policies"]] == ["baseline"]
    assert '<div class="card bad" id="card-latency"><h3>latency</h3><b>-</b>' in page
    assert "No frame came to its end" in page


def test_maps_that_are_too_large_are_told(
    found: Comparison, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.render.report.maps.BLOCKS_MAX", 0)
    maps = data_of(report_page(shown(found, trace)))["maps"]
    assert [m["label"] for m in maps["shown"]] == [found.label(found.best)]
    assert len(maps["left_out"]) == 1
