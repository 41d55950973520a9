"""The tables and the node data, read back by other readers than ours."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from sim.engine.run import traced
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.memory_map import memory_map
from sim.op_profile import OpProfile, op_profiles
from sim.render.op_table import node_data, ops_csv, tensors_csv
from sim.system import System
from tests.render.material import BOARD, PROGRAM

FOUND = memory_map(PROGRAM)
NAME = read_bytes(to_bytes(PROGRAM.graph), "other.tflite").name
"""Of the subgraph in the deployed file, by which Model Explorer's adapter calls the graph."""


@pytest.fixture(scope="module")
def profiles() -> tuple[OpProfile, ...]:
    return op_profiles(PROGRAM, FOUND, traced(System(PROGRAM), BOARD, frames=3, seed=0))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_line_for_each_op(profiles: tuple[OpProfile, ...]) -> None:
    found = rows(ops_csv(profiles))
    assert [row["kind"] for row in found] == [op.kind for op in PROGRAM.graph.ops]
    assert [int(row["step"]) for row in found] == list(range(len(found)))
    assert max(int(row["top_bytes"]) for row in found) == PROGRAM.plan.size_bytes
    for row, profile in zip(found, profiles, strict=True):
        us = float(row["compute_us"]) + float(row["stall_us"])
        assert us * 10**6 == pytest.approx(profile.latency_ps)
        assert (row["storage"], int(row["moved_bytes"]) > 0) in (("sd", True), ("", False))
        assert bool(row["stalls"]) == (float(row["stall_us"]) > 0)


def test_a_line_for_each_block_of_the_arena() -> None:
    found = rows(tensors_csv(PROGRAM, FOUND))
    ends = [int(row["offset_bytes"]) + int(row["placed_bytes"]) for row in found]
    assert max(ends) == PROGRAM.plan.size_bytes
    by_name = {row["tensor"]: row for row in found}
    x = PROGRAM.graph.tensors[PROGRAM.graph.inputs[0]]
    assert by_name[x.name]["shape"] == "x".join(map(str, x.shape))
    assert (by_name[x.name]["kind"], by_name[x.name]["first_step"]) == ("input", "-1")


def test_node_data_is_what_model_explorer_reads(profiles: tuple[OpProfile, ...]) -> None:
    """By graph, then by output tensor or number of the op; a value for every op."""
    files = {name: json.loads(text) for name, text in node_data(PROGRAM, profiles, FOUND).items()}
    assert set(files) == {"peak_bytes.json", "latency_us.json", "where.json"}
    outputs = {t.name for t in PROGRAM.graph.tensors}
    for document in files.values():
        assert list(document) == [NAME]
        results = document[NAME]["results"]
        assert len(results) == len(PROGRAM.graph.ops)
        assert all(key in outputs or key.isdecimal() for key in results)
        assert all(set(result) == {"value"} for result in results.values())
    peak = files["peak_bytes.json"][NAME]
    assert max(r["value"] for r in peak["results"].values()) == FOUND.peak.live_bytes
    assert [item["stop"] for item in peak["gradient"]] == [0, 0.5, 1]
    places = {r["value"] for r in files["where.json"][NAME]["results"].values()}
    assert "sd" in places and any(place.startswith("arena 0..") for place in places)


def test_tensors_that_are_called_like_a_node_go_by_the_op_s_number() -> None:
    """The adapter's own names of nodes are numbers."""
    tensors = tuple(replace(t, name=str(t.id + 1)) for t in PROGRAM.graph.tensors)
    program = replace(PROGRAM, graph=replace(PROGRAM.graph, tensors=tensors))
    profiles = op_profiles(program, FOUND, traced(System(program), BOARD, frames=1, seed=0))
    results = json.loads(node_data(program, profiles, FOUND)["peak_bytes.json"])[NAME]["results"]
    assert list(results) == [str(step) for step in range(len(program.graph.ops))]
