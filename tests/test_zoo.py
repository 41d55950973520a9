"""The models of the zoo have the published structure, and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.zoo import ZOO, main, rounded
from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_litert, run_tflm
from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.program import place


def peak_of(graph: Graph) -> int:
    return place(graph).plan.size_bytes


def test_the_smallest_runs_and_follows_its_input(tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    assert main([str(tmp_path), "ds_cnn"]) == 0
    file = (tmp_path / "ds_cnn.tflite").read_bytes()
    assert file == to_bytes(ZOO["ds_cnn"]())
    graph = read_bytes(file)
    sets = input_sets(graph, 6, seed=0)
    ours, theirs = run_tflm(file, sets), run_litert(file, sets)
    assert ours.head_bytes == peak_of(graph)
    for (tflm,), (litert,) in zip(ours.outputs, theirs, strict=True):
        np.testing.assert_array_equal(tflm, litert)
    assert len({array.tobytes() for (array,) in theirs}) == len(sets)


def test_mobilenet_v2_takes_what_was_published() -> None:
    """311,040 bytes: the wide tensor of the second block and what a stride makes of it."""
    graph = ZOO["mobilenet_v2_035_144"]()
    assert peak_of(graph) == 72 * 72 * 48 + 36 * 36 * 48 == 311_040
    convolutions = [op for op in graph.ops if op.kind == "CONV_2D"]
    depthwise = [op for op in graph.ops if op.kind == "DEPTHWISE_CONV_2D"]
    assert (len(convolutions), len(depthwise)) == (1 + 16 + 17 + 1, 17)
    assert sum(op.kind == "ADD" for op in graph.ops) == 10


@pytest.mark.parametrize(
    ("name", "peak", "million_macs"),
    [("mobilenet_v1_025_96", 73_728, 7.5), ("ds_cnn", 16_000, 2.66), ("resnet_8", 49_152, 12.5)],
)
def test_those_of_mlperf_tiny_are_as_large_as_the_originals(
    name: str, peak: int, million_macs: float
) -> None:
    """The heads are those that TFLM records of MLPerf's own files."""
    graph = ZOO[name]()
    assert peak_of(graph) == peak
    assert sum(macs(graph, op) for op in graph.ops) / 10**6 == pytest.approx(million_macs, rel=0.01)


@pytest.mark.parametrize(
    ("asked", "made"), [(11.2, 16), (5.6, 8), (8.4, 8), (33.6, 32), (112, 112)]
)
def test_channels_are_rounded_as_in_keras(asked: float, made: int) -> None:
    assert rounded(asked) == made


def test_an_unknown_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "lenet"])
    assert "found 'lenet', wanted one of mobilenet_v2_035_144" in capsys.readouterr().err
