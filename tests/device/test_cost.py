"""Cycles as formulas of the profile's numbers, and whole models against published latencies."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest

from sim.device.board import Board
from sim.device.cost import MEMBERS, op_cycles
from sim.device.loader import load_board
from sim.device.schema import GROUPS
from sim.graph.graph import Graph
from sim.graph.macs import macs
from tests.device.good import GOOD
from tests.device.test_macs import MODELS, one_op

DISPATCH = 1000
published = pytest.mark.skipif(not MODELS.is_dir(), reason="needs ../shared/models")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    path = tmp_path / "toy.yaml"
    path.write_text(GOOD)
    return load_board(path)


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "expected"),
    [
        ("CONV_2D", [(1, 4, 4, 8), (6, 1, 1, 8)], (1, 4, 4, 6), 3 * 4 * 4 * 6 * 8),
        ("CONV_2D", [(1, 4, 4, 8), (6, 3, 3, 8)], (1, 4, 4, 6), 4 * 4 * 4 * 6 * 72),
        ("DEPTHWISE_CONV_2D", [(1, 4, 4, 8), (1, 3, 3, 8)], (1, 4, 4, 8), 10 * 4 * 4 * 8 * 9),
        ("TRANSPOSE_CONV", [(4,), (5, 2, 2, 7), (1, 4, 4, 7)], (1, 8, 8, 5), 4 * 112 * 5 * 4),
        ("FULLY_CONNECTED", [(1, 30), (7, 30)], (1, 7), 2 * 7 * 30),
        ("BATCH_MATMUL", [(4, 5), (5, 6)], (4, 6), 2 * 4 * 5 * 6),
        ("ADD", [(1, 40), (1, 40)], (1, 40), 100 * 40),
        ("RELU6", [(1, 40)], (1, 40), 20 * 40),
        ("LOGISTIC", [(1, 40)], (1, 40), 90 * 40),
        ("SOFTMAX", [(1, 12)], (1, 12), 300 * 12 + 600),
        ("MAX_POOL_2D", [(1, 8, 8, 2)], (1, 4, 4, 2), 12 * 128),
        ("MEAN", [(1, 8, 8, 2), (2,)], (1, 2), 11 * 128),
        ("CONCATENATION", [(1, 40), (1, 60)], (1, 100), 150),
        ("PAD", [(1, 3), (2, 2)], (1, 5), 8),
        ("TRANSPOSE", [(3, 4), (2,)], (4, 3), 9 * 12),
        ("RESHAPE", [(3, 4), (2,)], (12,), 70),
        ("RESIZE_BILINEAR", [(1, 2, 2, 1), (2,)], (1, 4, 4, 1), 0),
        ("CUSTOM", [(1, 40), (1, 60)], (1, 10), 25 * 110),
        ("SOME_NEW_KIND", [(1, 40), (1, 60)], (1, 10), 25 * 110),
        ("VAR_HANDLE", [], (1,), 0),
        ("ASSIGN_VARIABLE", [(1,), (1, 1000)], (1,), 0),
        ("READ_VARIABLE", [(1,)], (1, 1000), 0),
    ],
)
def test_cycles_of_one_op(
    board: Board, kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], expected: int
) -> None:
    graph, op = one_op(kind, inputs, output, constant=())
    assert op_cycles(graph, op, board) == expected + DISPATCH


@pytest.mark.parametrize("nbytes", [0, 1, 2, 3])
def test_weights_stall_once_per_byte_rounded_up(board: Board, nbytes: int) -> None:
    graph, op = one_op("FULLY_CONNECTED", [(1, 3), (1, 3)], (1, 1))
    tensors = (graph.tensors[0], replace(graph.tensors[1], data=bytes(nbytes)), graph.tensors[2])
    cycles = op_cycles(replace(graph, tensors=tensors), op, board)
    assert cycles == 2 * 3 + DISPATCH + ceil(nbytes / 2)


def test_a_constant_of_an_unknown_op_is_read_but_not_moved(board: Board) -> None:
    graph, op = one_op("CUSTOM", [(1, 40), (1, 60)], (1, 10), constant=(1,))
    assert op_cycles(graph, op, board) == 25 * 50 + DISPATCH


def test_weights_in_ram_cost_no_stall(board: Board) -> None:
    graph, op = one_op("FULLY_CONNECTED", [(1, 3), (1, 3)], (1, 1))
    tensors = (graph.tensors[0], replace(graph.tensors[1], data=bytes(3)), graph.tensors[2])
    in_ram = replace(board, weight_stall_cycles_per_byte=0)
    assert op_cycles(replace(graph, tensors=tensors), op, in_ram) == 2 * 3 + DISPATCH


def test_rounding_is_not_upset_by_binary_fractions(board: Board) -> None:
    """0.1 * 30 is above 3 in floating point; the result is 3 cycles all the same."""
    profile = replace(board.core.profile, cycles_per_mac={"fully_connected": 0.1})
    tenth = replace(board, core=replace(board.core, profile=profile))
    graph, op = one_op("FULLY_CONNECTED", [(1, 30), (1, 30)], (1, 1))
    assert op_cycles(graph, op, tenth) == 3 + DISPATCH


def test_every_group_is_one_that_a_profile_may_name() -> None:
    assert set(MEMBERS) - {"state"} | {"conv", "conv_1x1", "unknown"} == GROUPS


def test_no_kind_is_in_two_groups() -> None:
    kinds = [kind for members in MEMBERS.values() for kind in members]
    assert len(kinds) == len(set(kinds))


def _load(file: str) -> Graph:
    from sim.graph.tflite_reader import read

    return read(MODELS / file)


FILES = {
    "vww": "vww_96_int8.tflite",
    "ic": "pretrainedResnet_quant.tflite",
    "kws": "kws_ref_model.tflite",
    "ad": "ad01_int8.tflite",
    "person": "person_detect.tflite",
}
MEASURED = [
    ("cortex_m7_cmsisnn", 480, 0.27, "kws", 12.794),
    ("cortex_m7_cmsisnn", 480, 0.27, "ad", 1.170),
    ("cortex_m4_cmsisnn", 120, 0.50, "vww", 301.2048),
    ("cortex_m4_cmsisnn", 120, 0.50, "ic", 389.5598),
    ("cortex_m4_cmsisnn", 120, 0.50, "kws", 99.8104),
    ("cortex_m4_cmsisnn", 120, 0.50, "ad", 8.6050),
    ("cortex_m4_cmsisnn", 180, 0.50, "kws", 59.883),
    ("cortex_m4_cmsisnn", 180, 0.50, "ad", 4.965),
    ("cortex_m4_arduino", 64, 0.50, "kws", 224.553),
    ("cortex_m4_arduino", 64, 0.50, "ic", 1241.774),
    ("cortex_m4_arduino", 64, 0.50, "ad", 22.025),
    ("cortex_m33_cmsisnn", 128, 0.43, "vww", 232.0186),
    ("cortex_m33_cmsisnn", 128, 0.43, "ic", 316.1555),
    ("cortex_m33_cmsisnn", 128, 0.43, "kws", 76.0861),
    ("cortex_m33_cmsisnn", 128, 0.43, "ad", 6.2665),
    ("lx7_esp32s3_espnn", 240, 6.0, "person", 47.0),
]
"""Profile, MHz, stall cycles per weight byte, model, published ms.

M7 and the M4 at 180 MHz: raws-labs/tigris-bench@50f599c. M4 at 120 MHz and M33: MLPerf Tiny v1.0,
OctoML microtvm_cmsis_nn. M4 at 64 MHz: avionicharshit-byte/mcufit-bench@88f8d23. LX7:
espressif/esp-nn@d45b843 README.
"""


@published
@pytest.mark.parametrize(("profile", "mhz", "stall", "model", "latency_ms"), MEASURED)
def test_latency_is_within_the_error_that_the_profile_states(
    profile: str, mhz: int, stall: float, model: str, latency_ms: float, tmp_path: Path
) -> None:
    start, end = GOOD.index("  profile:"), GOOD.index("memories:")
    path = tmp_path / "board.yaml"
    path.write_text(f"{GOOD[:start]}  profile: {profile}\n{GOOD[end:]}")
    board = replace(load_board(path), weight_stall_cycles_per_byte=stall)
    graph = _load(FILES[model])
    simulated_ms = sum(op_cycles(graph, op, board) for op in graph.ops) / (mhz * 1000)
    stated_percent = board.core.profile.error_percent
    assert stated_percent is not None and stated_percent <= 25
    assert abs(simulated_ms / latency_ms - 1) * 100 <= stated_percent


@published
@pytest.mark.parametrize("name", ["arduino_portenta_h7", "stm32f746g_disco"])
def test_built_in_m7_boards_agree_with_the_measured_h753(name: str) -> None:
    """KWS took 6,140,919 cycles and AD 561,545 on an H753; the clock divides out."""
    board = load_board(name)
    for model, cycles in (("kws", 6_140_919), ("ad", 561_545)):
        graph = _load(FILES[model])
        assert sum(op_cycles(graph, op, board) for op in graph.ops) == pytest.approx(
            cycles, rel=0.25
        )


@published
def test_macs_make_most_of_a_convolutional_network() -> None:
    board = load_board("arduino_portenta_h7")
    graph = _load(FILES["kws"])
    with_macs = sum(op_cycles(graph, op, board) for op in graph.ops if macs(graph, op))
    assert with_macs > 0.9 * sum(op_cycles(graph, op, board) for op in graph.ops)
