"""`sim inspect --patches` as a user calls it: the document, the table, wrong use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.graph.graph import Graph
from sim.graph.receptive_field import Grid, halo_macs, stages
from sim.graph.tflite_writer import write
from sim.patches import (
    GRIDS,
    Cut,
    Patches,
    analyse,
    document,
    kernels,
    redistribution,
    worth_a_look,
)
from tests.graphs import NONE, Net


def small() -> Graph:
    """A stem, then inverted residuals that halve the image."""
    net = Net(name="small")
    x = net.conv(net.input(1, 48, 40, 3), 8, 3, 2)
    for channels, stride in ((8, 1), (12, 2), (12, 1)):
        y = net.depthwise(net.conv(x, net.shape(x)[3] * 6, 1), 3, stride)
        y = net.conv(y, channels, 1, activation=NONE)
        x = net.add(x, y) if stride == 1 else y
    return net.graph(net.softmax(net.dense(net.mean(x), 5)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.tflite"
    write(small(), path)
    return path


@pytest.fixture(scope="module")
def found() -> Patches:
    return analyse(small())


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_each_stage_in_each_grid_stands_in_the_document(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    shown: dict[str, Any] = json.loads(output(capsys, "inspect", model, "--patches", "--json"))
    assert [s["last_op"] for s in shown["stages"]] == [s.steps.stop - 1 for s in stages(small())]
    for stage in shown["stages"]:
        assert [(g["rows"], g["columns"]) for g in stage["grids"]] == [
            (grid.rows, grid.columns) for grid in GRIDS
        ]
        whole, *others = stage["grids"]
        assert (whole["overhead"], whole["halo_macs"]) == (1, 0)
        assert whole["macs"] == stage["macs"]
        assert max(whole["peak_bytes"]["image_whole"], stage["rest_bytes"]) == shown["peak_bytes"]
        for grid in others:
            assert grid["macs"] - grid["halo_macs"] == stage["macs"]
            assert grid["redistributed"]["overhead"] <= grid["overhead"]
            assert grid["model_overhead"] == 1 + grid["halo_macs"] / shown["macs"]
        lost = [
            a - b
            for a, b in zip(
                stage["receptive_field"],
                stage["redistributed"]["receptive_field"],
                strict=True,
            )
        ]
        assert stage["redistributed"]["kernel_growth_behind"] == [
            -(-n // step) for n, step in zip(lost, stage["receptive_field_step"], strict=True)
        ]


def test_the_document_is_the_same_each_time(found: Patches) -> None:
    assert json.dumps(document(found)) == json.dumps(document(analyse(small())))


def test_the_best_cut_has_the_least_peak(found: Patches) -> None:
    best = found.best
    assert best is not None
    assert best.model_bytes.image_whole == min(c.model_bytes.image_whole for c in found.cuts)
    assert best.model_bytes.image_whole < found.peak_bytes
    assert best in worth_a_look(found.cuts)


def test_nothing_beats_what_is_shown_and_something_beats_the_rest(found: Patches) -> None:
    shown = worth_a_look(found.cuts)
    for cut in found.cuts:
        beaten = any(
            all(a <= b for a, b in zip(costs(other), costs(cut), strict=True))
            for other in shown
            if other is not cut
        )
        assert beaten != any(cut is other for other in shown)


def costs(cut: Cut) -> tuple[int, int, int]:
    peaks = cut.model_bytes
    return cut.now.halo_macs, peaks.image_whole, peaks.image_by_patch


def test_kernels_and_redistribution_of_a_cut(found: Patches) -> None:
    cut = next(c for c in found.cuts if c.grid == Grid(2, 2) and c.stage.steps.stop == 8)
    assert [k.layer.kind for k in kernels(cut)] == ["DEPTHWISE_CONV_2D"] * 2 + ["CONV_2D"]
    assert sorted(k.layer.step for k in kernels(cut)) == [0, 2, 6]
    assert {k.stride for k in kernels(cut)} == {(1, 1), (2, 2)}
    assert kernels(cut)[-1].halo_macs == 0 < kernels(cut)[0].halo_macs <= cut.now.halo_macs
    assert cut.now.halo_macs == halo_macs(cut.stage, cut.grid)
    moved = redistribution(cut.stage)
    assert moved.ops == (2,)
    assert (moved.before.size, moved.after.size) == ((11, 11), (7, 7))
    assert moved.growth == (1, 1)


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    text = output(capsys, "inspect", model, "--patches")
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "Redistributed, with 1x1 kernels in op" in text
    starred = [line for line in text.splitlines() if line.startswith("* 0..")]
    assert len(starred) == 1


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("no stage", "No first stage can run in patches"),
        ("no gain", "No stage in patches makes it"),
    ],
)
def test_a_model_without_anything_to_gain_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str, wanted: str
) -> None:
    net = Net(name="dull")
    if case == "no stage":
        graph = net.graph(net.dense(net.input(1, 20), 3))
    else:
        graph = net.graph(net.dense(net.conv(net.input(1, 4, 4, 1), 1, 1), 5000))
    write(graph, tmp_path / "dull.tflite")
    assert wanted in output(capsys, "inspect", tmp_path / "dull.tflite", "--patches")


def test_a_board_says_nothing_about_patches(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(model), "--patches", "--board", "arduino_portenta_h7"])
    assert stopped.value.code == 2
    assert "not allowed with argument --patches" in capsys.readouterr().err
