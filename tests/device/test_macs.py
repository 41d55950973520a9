"""MACs by hand for each kind, and the published totals of the MLPerf Tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.graph.graph import Graph, Op, Table, Tensor
from sim.graph.macs import macs

MODELS = Path(__file__).parents[3] / "shared" / "models"


def one_op(
    kind: str,
    inputs: list[tuple[int, ...]],
    output: tuple[int, ...],
    constant: tuple[int, ...] = (1,),
    options: Table | None = None,
) -> tuple[Graph, Op]:
    """A graph of one op with int8 tensors of these shapes; the `constant` inputs hold data."""
    shapes = [*inputs, output]
    tensors = tuple(
        Tensor(i, f"t{i}", shape, data=b"" if i in constant and i < len(inputs) else None)
        for i, shape in enumerate(shapes)
    )
    op = Op(kind, tuple(range(len(inputs))), (len(inputs),), options or Table())
    free = tuple(i for i in range(len(inputs)) if i not in constant)
    return Graph("one", tensors, (op,), free, (len(inputs),)), op


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "expected"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 5, 3), (16,)], (1, 4, 4, 16), 4 * 4 * 16 * 3 * 5 * 3),
        ("CONV_2D", [(1, 4, 4, 8), (6, 3, 3, 4)], (1, 2, 2, 6), 2 * 2 * 6 * 3 * 3 * 4),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 8)], (1, 8, 8, 8), 8 * 8 * 8 * 9),
        ("TRANSPOSE_CONV", [(4,), (5, 2, 3, 7), (1, 4, 4, 7)], (1, 8, 8, 5), 4 * 4 * 7 * 5 * 2 * 3),
        ("CONV_3D", [(1, 4, 4, 4, 2), (3, 3, 3, 2, 5)], (1, 2, 2, 2, 5), 8 * 5 * 27 * 2),
        ("FULLY_CONNECTED", [(2, 30), (7, 30)], (2, 7), 2 * 7 * 30),
        ("BATCH_MATMUL", [(3, 4, 5), (3, 5, 6)], (3, 4, 6), 3 * 4 * 5 * 6),
        ("SVDF", [(2, 10), (8, 10), (8, 4)], (2, 8), 2 * (8 * 10 + 8 * 4)),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 5, 10), (8, 10), (8, 8)], (1, 5, 8), 5 * (80 + 64)),
        ("ADD", [(1, 8), (1, 8)], (1, 8), 0),
        ("AVERAGE_POOL_2D", [(1, 8, 8, 1)], (1, 4, 4, 1), 0),
        ("CUSTOM", [(1, 8), (1, 8)], (1, 8), 0),
        ("CONV_2D", [(1, 8, 8, 3)], (1, 4, 4, 16), 0),
        ("TRANSPOSE_CONV", [(4,), (5, 2, 3, 7)], (1, 8, 8, 5), 0),
        ("SVDF", [(), (8, 10)], (2, 8), 0),
        ("BATCH_MATMUL", [(3,), (3,)], (1,), 0),
    ],
)
def test_macs(
    kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], expected: int
) -> None:
    graph, op = one_op(kind, inputs, output, constant=(1, 2))
    assert macs(graph, op) == expected


def test_batch_matmul_with_transposed_left_operand() -> None:
    options = Table("BatchMatMulOptions", {"adj_x": True})
    graph, op = one_op("BATCH_MATMUL", [(3, 5, 4), (3, 5, 6)], (3, 4, 6), (), options)
    assert macs(graph, op) == 3 * 4 * 5 * 6


@pytest.mark.skipif(not MODELS.is_dir(), reason="needs ../shared/models")
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("vww_96_int8.tflite", 7_489_664),
        ("pretrainedResnet_quant.tflite", 12_501_632),
        ("kws_ref_model.tflite", 2_656_768),
        ("ad01_int8.tflite", 264_192),
        ("person_detect.tflite", 7_157_888),
    ],
)
def test_macs_of_published_models(file: str, expected: int) -> None:
    from sim.graph.tflite_reader import read

    graph = read(MODELS / file)
    assert sum(macs(graph, op) for op in graph.ops) == expected
