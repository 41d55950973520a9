"""What benchmarks.peers computes itself: a recorded run's tiles, its time, the verdicts' words."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.peers import ours, process
from benchmarks.peers.mcufit import mcufit_row
from benchmarks.peers.omnimalloc import omnimalloc_row
from benchmarks.peers.process import NOT_INSTALLED, PeerError
from benchmarks.peers.recording import PlanOp, PlanTensor, Recording, parse
from benchmarks.peers.replay import (
    Work,
    blocking_ps,
    call_cycles,
    call_macs,
    compute_ps,
    match,
    overlapped_ps,
    timed,
    transfer_ps,
)
from benchmarks.peers.rows import Row
from benchmarks.peers.table import WIDTH, show_model
from benchmarks.peers.tigris import tigris_row
from benchmarks.peers.tiles import Call, Load, Spill, area_read, steps
from benchmarks.peers.vela import sram_bytes, vela_row
from benchmarks.peers.verdict import judge, summary
from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.device.loader import load_board
from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.plan.runtime import STATIC, Runtime
from sim.program import place
from sim.ranges import Range
from tests.engine.toy import RAM, STORAGES, fork, laid_out, latency, play, spilled
from tests.engine.toy import board as toy_board
from tests.graphs import VALID, Net

ROWS, WIDTH_, CHANNELS = 8, 6, 4
ROW = WIDTH_ * CHANNELS
BUDGET = 400

WINDOW = {"kernel": [3, 3], "stride": [1, 1], "dilation": [1, 1], "pad": [1, 1]}
POINT = {"kernel": [0, 0], "stride": [0, 0], "dilation": [0, 0], "pad": [0, 0]}


def two_convolutions(rows: int = ROWS) -> Graph:
    """Two 3x3 convolutions and a mean, as the recording runs them."""
    net = Net()
    x = net.input(1, rows, WIDTH_, CHANNELS)
    return net.graph(net.mean(net.conv(net.conv(x, CHANNELS), CHANNELS)))


def event(kind: str, rows: tuple[int, int] | None = None, **fields: Any) -> dict[str, Any]:
    span = {} if rows is None else {"row0": rows[0], "row1": rows[1]}
    return {"kind": kind, **span, **fields}


def recorded() -> dict[str, Any]:
    """A run of two_convolutions: both in a chain of two tiles, then the mean in bands of 6 rows.

    Tile 1 of the chain makes rows 4 to 8 of the second: it needs rows 3 to 8 of the first, of
    which tile 0, which made rows 0 to 5, left two; as its bottom is padded they are made again.
    """
    graph = two_convolutions()
    made = [graph.tensors[op.outputs[0]].name for op in graph.ops]
    shape = [1, ROWS, WIDTH_, CHANNELS]
    names = ["input", f"{made[0]}_float_relu", f"{made[1]}_float_relu6", made[2]]
    chain = [
        event("stage_begin", path="chain"),
        event("tile_begin", (0, 6), op=0),
        event("load", (0, 6), tensor=0, pool="fast", bytes=6 * ROW),
        event("op", op=0),
        event("op", op=1),
        event("spill", (0, 4), tensor=2, pool="slow", bytes=4 * ROW),
        event("tile_begin", (2, 8), op=1),
        event("load", (2, 8), tensor=0, pool="fast", bytes=6 * ROW),
        event("op", op=0),
        event("op", op=1),
        event("spill", (4, 8), tensor=2, pool="slow", bytes=4 * ROW),
        event("stage_end"),
    ]
    bands = [
        event("stage_begin", path="by_input"),
        *(
            found
            for rows in ((0, 6), (6, 8))
            for found in (
                event("tile_begin", rows, op=0),
                event("load", rows, tensor=2, pool="fast", bytes=(rows[1] - rows[0]) * ROW),
                event("op", op=2),
            )
        ),
        event("spill", (0, 1), tensor=3, pool="slow", bytes=CHANNELS),
        event("move", tensor=3, pool="slow", bytes=32),
    ]
    return {
        "memory": {"fast_peak_bytes": 384},
        "tensors": [
            *({"name": name, "shape": shape} for name in names[:3]),
            {"name": names[3], "shape": [1, 1, 1, CHANNELS]},
        ],
        "ops": [
            {"kind": "Conv", "inputs": [0], "outputs": [1], **WINDOW},
            {"kind": "Conv", "inputs": [1], "outputs": [2], **WINDOW},
            {"kind": "GlobalAveragePool", "inputs": [2], "outputs": [3], **POINT},
        ],
        "events": chain + bands,
    }


def with_roll(rows: tuple[int, int]) -> Recording:
    """The same run, had tile 1 kept these rows of the first convolution."""
    document = recorded()
    kept = event("move", rows, tensor=1, pool="fast", bytes=(rows[1] - rows[0]) * ROW)
    document["events"].insert(8, kept)
    return parse(document)


def shares(recording: Recording) -> list[tuple[int, Fraction]]:
    return [(s.op, s.share) for s in steps(recording) if isinstance(s, Call)]


def test_a_tile_computes_its_halo_again() -> None:
    assert steps(parse(recorded())) == [
        Load(6 * ROW), Call(0, Fraction(5, 8)), Call(1, Fraction(1, 2)), Spill(4 * ROW),
        Load(6 * ROW), Call(0, Fraction(5, 8)), Call(1, Fraction(1, 2)), Spill(4 * ROW),
        Load(6 * ROW), Call(2, Fraction(3, 4)), Load(2 * ROW), Call(2, Fraction(1, 4)),
        Spill(CHANNELS),
    ]  # fmt: skip


def test_kept_rows_are_not_computed_again() -> None:
    assert shares(with_roll((3, 5)))[2] == (0, Fraction(3, 8))


def test_an_op_whose_rows_are_all_kept_is_not_called() -> None:
    """What it reads is made all the same, as the runtime goes by rows that are needed."""
    document = recorded()
    document["events"][9] = event("move", (4, 8), tensor=2, pool="fast", bytes=4 * ROW)
    calls = shares(parse(document))
    assert [op for op, _ in calls] == [0, 1, 0, 2, 2]
    assert calls[2] == (0, Fraction(5, 8))


def test_a_tile_of_columns_computes_its_share_of_them() -> None:
    document = recorded()
    for found in document["events"][:12]:
        if "row0" in found:
            found |= {"col0": 0, "col1": 4 if found["kind"] == "spill" else 6}
    document["events"][0]["path"] = "tiled_2d"
    first, second = shares(parse(document))[:2]
    assert second == (1, Fraction(1, 2) * Fraction(4, 6))
    assert first == (0, Fraction(5, 8) * Fraction(5, 6))


def test_untiled_ops_compute_everything() -> None:
    document = recorded()
    keep = ("stage_begin", "load", "op", "spill")
    document["events"] = [e for e in document["events"][:6] if e["kind"] in keep]
    document["events"][0]["path"] = "normal"
    assert shares(parse(document)) == [(0, Fraction(1)), (1, Fraction(1))]


def test_a_tile_that_nobody_reads_is_an_error() -> None:
    document = recorded()
    del document["events"][5]
    with pytest.raises(PeerError, match="op 1: found nobody who reads its tile"):
        steps(parse(document))


@pytest.mark.parametrize(
    ("op", "made", "there", "here", "read"),
    [
        (PlanOp("Conv", (), (), (3, 3), (2, 2), pad=(0, 0)), (2, 4), 9, 4, (4, 9)),
        (PlanOp("MaxPool", (), (), (2, 2), (2, 2)), (0, 3), 8, 4, (0, 6)),
        (PlanOp("Conv", (), (), (3, 3), (1, 1), (2, 2), (2, 2)), (0, 2), 8, 8, (0, 4)),
        (PlanOp("ConvTranspose", (), (), (2, 2), (2, 2)), (2, 5), 4, 8, (1, 3)),
        (PlanOp("ConvTranspose", (), (), (3, 3), (2, 2), pad=(1, 1)), (2, 3), 4, 8, (1, 2)),
        (PlanOp("Resize", (), ()), (2, 5), 4, 8, (1, 4)),
        (PlanOp("Add", (), ()), (2, 5), 8, 8, (2, 5)),
        (PlanOp("Add", (), ()), (2, 5), 1, 8, (0, 1)),
    ],
)
def test_rows_that_are_read(
    op: PlanOp, made: tuple[int, int], there: int, here: int, read: tuple[int, int]
) -> None:
    source, target = (PlanTensor("", (1, rows, rows, 1)) for rows in (there, here))
    area = area_read(op, (Range(*made), Range(*made)), source, target)
    assert area == (Range(*read), Range(*read))


def test_ops_are_found_by_the_names_of_their_outputs() -> None:
    graph, recording = two_convolutions(), parse(recorded())
    assert match(recording, graph) == list(graph.ops)


def test_a_reshape_that_tigris_put_in_is_nobodys() -> None:
    graph, recording = two_convolutions(), parse(recorded())
    name = graph.tensors[graph.ops[0].outputs[0]].name
    tensors = (*recording.tensors, PlanTensor(f"{name}_float_rows", (1, 192)))
    ops = (PlanOp("Reshape", (0,), (4,)), *recording.ops)
    found = match(replace(recording, tensors=tensors, ops=ops), graph)
    assert found == [None, *graph.ops]


def test_an_op_that_the_model_lacks_is_an_error() -> None:
    recording = parse(recorded())
    ops = (*recording.ops, recording.ops[0])
    with pytest.raises(PeerError, match="found no such op in the model"):
        match(replace(recording, ops=ops), two_convolutions())


@pytest.mark.parametrize("name", ["arduino_portenta_h7", "esp32_s3_devkitc"])
def test_a_call_for_half_the_rows_costs_what_an_op_with_half_the_rows_does(name: str) -> None:
    board = load_board(name)

    def conv(rows: int) -> Graph:
        net = Net()
        return net.graph(net.conv(net.input(1, rows + 2, 8, 16), 8, padding=VALID))

    whole, half = conv(12), conv(6)
    assert call_cycles(whole, whole.ops[0], Fraction(1), board) == op_cycles(
        whole, whole.ops[0], board
    )
    assert call_cycles(whole, whole.ops[0], Fraction(1, 2), board) == op_cycles(
        half, half.ops[0], board
    )


def test_macs_count_halos_as_often_as_they_are_computed() -> None:
    graph, run = two_convolutions(), steps(parse(recorded()))
    first, second, _ = (macs(graph, op) for op in graph.ops)
    assert call_macs(run, list(graph.ops), graph) == first * 10 // 8 + second


@pytest.mark.parametrize("storage", STORAGES, ids=lambda s: s.kind)
def test_blocking_time_is_the_engines(storage: Any) -> None:
    """A program that spills and fetches with no window, played by the engine."""
    board = toy_board(*STORAGES)
    program = laid_out(spilled(fork(), storage.name))
    nbytes = program.graph.tensors[1].nbytes
    run: list[Work | Load | Spill] = []
    for op, cycles in zip(program.graph.ops, program.cycles(board), strict=True):
        run.append(Work(cycles))
        run += {"ASSIGN_VARIABLE": [Spill(nbytes)], "READ_VARIABLE": [Load(nbytes)]}.get(
            op.kind, []
        )
    assert blocking_ps(run, board, storage) == latency(play(program, board))


def test_an_untiled_run_without_transfers_is_the_engines() -> None:
    """What TiGrIS would take, did it run every op once and move nothing."""
    graph, board = two_convolutions(), load_board("arduino_portenta_h7")
    calls = [Call(number, Fraction(1)) for number in range(len(graph.ops))]
    run = timed(calls, list(graph.ops), graph, board)
    trace = play(place(graph, Runtime(STATIC)), board)
    assert blocking_ps(run, board, RAM) == latency(trace) == ours.compute_ps(graph, board)


def test_overlapped_time_is_the_longer_of_the_two() -> None:
    board = toy_board(RAM)
    run = [Load(64), Work(100), Spill(64)]
    moving = RAM.read_ps(64) + RAM.write_ps(64)
    assert transfer_ps(run, RAM) == moving
    assert overlapped_ps(run, board, RAM) == max(100_000, moving)
    assert overlapped_ps([Work(10), *run], board, RAM) == max(110_000, moving)
    assert compute_ps(run, board) == 100_000


def a_row(tool: str, required: int, moved: int, ps: int, bound_ps: int = 0) -> Row:
    return Row(
        tool, BUDGET, required, required, moved // 2, moved - moved // 2, 1,
        {"b": ps}, {"b": bound_ps or ps},
    )  # fmt: skip


THEIRS = a_row("TiGrIS", 390, 1000, 10_000, 8_000)


def test_what_holds() -> None:
    found = judge(a_row("ours", 400, 500, 9_000), THEIRS, "b", 8_000)
    assert (found.moved, found.latency, found.reasons) == (0.5, 0.9, ())
    assert found.holds == {"budget", "moved", "latency"}
    assert found.text == (
        "both fit, moved 0.500 (holds <= 0.50), latency 0.900 (holds <= 0.90), 1.12 of its bound"
    )


def test_what_does_not_hold_and_could_not() -> None:
    found = judge(a_row("ours", 400, 510, 9_800), THEIRS, "b", 9_730)
    assert found.holds == {"budget"}
    assert found.text.endswith("; compute alone is 97.3% of TiGrIS's latency")
    assert "moved 0.510 (NOT <= 0.50), latency 0.980 (NOT <= 0.90)" in found.text


def test_a_mark_that_was_within_reach_has_no_excuse() -> None:
    found = judge(a_row("ours", 400, 500, 9_800), THEIRS, "b", 9_000)
    assert "latency" not in found.holds
    assert found.reasons == ()


@pytest.mark.parametrize(("moved", "holds"), [(0, True), (2, False)])
def test_where_tigris_moves_nothing(moved: int, holds: bool) -> None:
    found = judge(a_row("ours", 1, moved, 10), a_row("TiGrIS", 1, 0, 10), "b", 10)
    assert found.moved is None
    assert ("moved" in found.holds) is holds
    assert f"TiGrIS moves nothing, ours {moved} B" in found.text


def test_where_one_has_no_plan() -> None:
    none = Row("TiGrIS", BUDGET, note="no plan: too small")
    mine = a_row("ours", 400, 0, 10)
    assert judge(mine, none, "b", 10).text == "only ours fits; TiGrIS: no plan: too small"
    big = judge(a_row("ours", 401, 0, 10), THEIRS, "b", 10)
    assert (big.text, big.holds) == ("only TiGrIS fits; ours: needs 401 B", frozenset())
    assert (
        judge(Row("ours", BUDGET, note="can't"), none, "b", 1).text == "neither fits; ours: can't"
    )


def test_the_summary_counts() -> None:
    points = [
        judge(a_row("ours", 400, 500, 9_000), THEIRS, "b", 8_000),
        judge(a_row("ours", 400, 700, 9_800), THEIRS, "b", 9_730),
        judge(a_row("ours", 400, 0, 9_800), Row("TiGrIS", BUDGET, note="no plan"), "b", 1),
    ]
    assert summary(points) == [
        "budget met by ours: 3 of 3 points, 2 of them by both",
        "moved bytes <= 0.50 of TiGrIS's: 1 of 2",
        "latency <= 0.90 of TiGrIS's: 1 of 2, not to be had in 1 where computing alone takes more",
    ]


def test_the_table_can_be_read_at_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    wide = 10**12
    row = Row(
        "ours, alone", 499_200, 499_200, 1_499_200, 9_393_600, 9_641_456, 186_600_000,
        {"b": 2_780 * 10**9, "c": wide}, {"b": 374 * 10**9, "c": wide}, 12.3,
    )  # fmt: skip
    judged = judge(row, row, "b", 1)
    show_model(Console(width=WIDTH), "title", [row], [judged], {"b": "H7", "c": "S3"})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    figures = "ours, alone 499,200 499,200 1,499,200 9,393,600 9,641,456 186.60M 2,780 374.0 1,000"
    assert lines[2].split() == [*figures.split(), "1,000", "12.3", "s"]


def test_sram_of_vela() -> None:
    summary_csv = "network,sram_memory_used,dram_memory_used\nds_cnn,11.71875,0.0\n"
    assert sram_bytes(summary_csv) == 12_000


def test_a_peer_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPILLWAY_PEERS", str(tmp_path))
    assert process.interpreter() == tmp_path / "bin" / "python"
    boards: dict[str, Board] = {}
    row = tigris_row("model.tflite", two_convolutions(), BUDGET, boards)
    assert (row.note, row.moved) == (NOT_INSTALLED, None)
    assert omnimalloc_row(two_convolutions()).note == NOT_INSTALLED
    assert {vela_row("m.tflite").note, mcufit_row("m.tflite").note} == {NOT_INSTALLED}


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text("import no_such_package")
    monkeypatch.delenv("SPILLWAY_PEERS", raising=False)
    monkeypatch.setattr(process, "HERE", tmp_path)
    assert process.interpreter() == Path(sys.executable)
    with pytest.raises(PeerError, match=NOT_INSTALLED):
        process.script("peer.py")


def test_a_script_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text("import sys; sys.exit('unknown op')")
    monkeypatch.delenv("SPILLWAY_PEERS", raising=False)
    monkeypatch.setattr(process, "HERE", tmp_path)
    with pytest.raises(PeerError, match="unknown op"):
        process.script("peer.py")


def test_rows_have_units_in_their_json() -> None:
    document = json.loads(json.dumps(THEIRS.document()))
    assert document["budget_bytes"] == BUDGET
    assert document["overlapped_latency_ps"] == {"b": 8_000}
    assert {"written_bytes", "read_bytes", "wall_s", "required_bytes"} <= set(document)
