"""What a run leaves for people: every file is there, and all of them tell one peak."""

from __future__ import annotations

import csv
import json
import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.errors import CannotFitError
from sim.files import write_whole
from sim.graph.tflite_writer import write
from tests.graphs import unet
from tests.render.test_report_page import data_of

pytest.importorskip("tflite_micro")
pytest.importorskip("bokeh")
pytest.importorskip("matplotlib")

SCENARIO = """\
title: a small U-Net
model: unet.tflite
board: arduino_portenta_h7
goal: {sram: 40 KB}
frames: 12
period: 20 ms
background:
  tick: {uses: core, period: 1 ms, work: 4 us, interrupt: true}
policies: [baseline, spill: {storage: sd}]
"""
FILES = (
    "model.tflite", "model_config.h", "model_ops.h", "verify.json", "result.json", "report.html",
    "trace.json", "ops.csv", "tensors.csv", "memory_map.png", "model_explorer/peak_bytes.json",
    "model_explorer/latency_us.json", "model_explorer/where.json",
)  # fmt: skip


def ran(folder: Path, out: str = "out") -> Path:
    """Run in its folder, so that no path differs from one to another."""
    write(unet(40, 64), folder / "unet.tflite")
    (folder / "s.yaml").write_text(SCENARIO)
    with chdir(folder):
        main(["run", "s.yaml", "-o", out])
    return folder / out


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("run"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ran(tmp_path)
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == set(FILES)
    assert all(name in shown for name in FILES)


def test_all_of_them_tell_one_peak(out: Path) -> None:
    """TFLM's head, the result, the picture's data, the tables and the trace's counter."""
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    (winner,) = (row for row in result["results"] if row["winner"])
    peak = winner["arena_bytes"]["activations"]
    assert result["deploy"]["verified"]["tflm_head_bytes"] == peak
    drawn = data_of((out / "report.html").read_text())["maps"]["shown"][0]
    assert drawn["peak"]["bytes"] == max(block[3] for block in drawn["blocks"]) == peak
    assert drawn["explained"][0].startswith(f"{peak:,} B at op {drawn['peak']['step']}, ")
    assert max(int(row["top_bytes"]) for row in rows(out / "ops.csv")) == peak
    ends = (int(r["offset_bytes"]) + int(r["placed_bytes"]) for r in rows(out / "tensors.csv"))
    assert max(ends) == peak
    events = json.loads((out / "trace.json").read_text())["traceEvents"]
    assert max(e["args"]["used"] for e in events if e["name"] == "arena bytes") == peak


def test_the_console_tells_the_same_peak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ran(tmp_path)
    shown = capsys.readouterr().out
    head = json.loads((out / "verify.json").read_text())["tflm_head_bytes"]
    assert f"\npeak {head:,} B at op " in shown and f"TFLM's head {head:,} B as planned" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_the_same_run_writes_the_same_bytes(out: Path, tmp_path: Path) -> None:
    again = ran(tmp_path)
    for name in FILES:
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_without_the_libraries_the_rest_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "out" / "report.html", "of an earlier run")
    for module in ("sim.render.plot", "sim.render.report.page"):
        monkeypatch.setattr(f"{module}.find_spec", lambda _: None)
    out = ran(tmp_path)
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == set(FILES) - {"report.html", "memory_map.png"}
    assert "not written report.html: found no bokeh, wanted it: pip install" in shown
    assert "not written memory_map.png: found no matplotlib, wanted it: pip install" in shown


@pytest.mark.parametrize("in_the_way", ["report.html", "model.tflite"])
def test_where_one_file_can_t_be_written_none_is(
    in_the_way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So files of two runs never stand side by side."""
    (tmp_path / "out" / in_the_way).mkdir(parents=True)
    write_whole(tmp_path / "out" / "result.json", "of an earlier run")
    out = ran(tmp_path)
    assert f"sim: out/{in_the_way}: can't be written: is a directory" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {in_the_way, "result.json"}
    assert (out / "result.json").read_text() == "of an earlier run"


def test_where_a_storage_is_full_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise CannotFitError("sd: no room")

    monkeypatch.setattr("sim.deployment.package", full)
    assert not ran(tmp_path).exists()
    assert "sim: sd: no room" in capsys.readouterr().err
