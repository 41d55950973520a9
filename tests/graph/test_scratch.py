"""Scratch requests: in real builds of TFLM, and as CMSIS-NN's own functions answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flatbuffers import flexbuffers

from sim.errors import ModelError
from sim.graph.graph import Graph, Op, Table, Tensor
from sim.graph.scratch import KERNELS, scratch_bytes
from sim.graph.scratch.cmsis_nn import CMSIS_NN
from sim.graph.scratch.reference import REFERENCE
from tests.plan.one_kind import CASES, SIGNAL, graph_of
from tests.plan.tflm_builds import Wheel, run_on_wasm

DETECTION = (
    "TFLite_Detection_PostProcess: FLOAT32 1,6,4; FLOAT32 1,6,3; FLOAT32 6,4 =1*"
    " > FLOAT32 1,3,4; FLOAT32 1,3; FLOAT32 1,3; FLOAT32 1 | max_detections=3"
    " max_classes_per_detection=1 num_classes=2 nms_score_threshold=0 nms_iou_threshold=1"
    " y_scale=1 x_scale=1 h_scale=1 w_scale=1"
)
CUSTOM = [*SIGNAL, DETECTION]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wheel]:
    pytest.importorskip("tflite_micro")
    runner = Wheel(tmp_path_factory.mktemp("wheel"))
    yield runner
    runner.close()


def head_of_one_op(graph: Graph, bits: int) -> int:
    """All that one op reads, writes and asks for is alive at once; each rounded up to 16."""
    held = [t.nbytes for t in graph.tensors if not t.is_constant and not t.is_variable]
    held += scratch_bytes(graph, graph.ops[0], bits=bits)
    return sum(-(-size // 16) * 16 for size in held)


@pytest.mark.parametrize("line", CASES, ids=lambda line: line.partition(":")[0])
def test_wheel_asks_for_exactly_this(wheel: Wheel, line: str) -> None:
    run = wheel.run(graph_of(line), 1_000_000)
    assert run is not None, wheel.said
    assert run.head_bytes == head_of_one_op(graph_of(line), bits=64)


@pytest.mark.parametrize("line", CUSTOM, ids=lambda line: line.partition(":")[0])
def test_wheel_asks_for_exactly_this_in_custom_ops(wheel: Wheel, line: str) -> None:
    graph = graph_of(line, custom=True)
    run = wheel.run(graph, 1_000_000)
    assert run is not None, wheel.said
    assert run.head_bytes == head_of_one_op(graph, bits=64)


def test_wasm_asks_for_exactly_this(tmp_path: Path) -> None:
    some = [graph_of(line) for line in CASES if not line.startswith(("DIV", "EMBEDDING"))]
    some += [graph_of(line, custom=True) for line in SIGNAL]
    heads = [head for head, _ in run_on_wasm(some, tmp_path)]
    assert heads == [head_of_one_op(graph, bits=32) for graph in some]


def test_every_kind_with_scratch_is_measured() -> None:
    measured = {line.partition(":")[0] for line in (*CASES, *CUSTOM)}
    assert set(REFERENCE) - measured == {"ethos-u"}


def test_order_of_requests() -> None:
    line = next(line for line in CASES if line.startswith("SVDF"))
    assert scratch_bytes(graph_of(line), graph_of(line).ops[0]) == (8 * 4, 4 * 4)
    line = next(line for line in CASES if line.startswith("MEAN"))
    assert scratch_bytes(graph_of(line), graph_of(line).ops[0]) == (4 * 4, 4 * 4, 2 * 4)
    line = [line for line in CASES if line.startswith("TRANSPOSE_CONV")][2]
    assert scratch_bytes(graph_of(line), graph_of(line).ops[0]) == (6 * 6 * 5 * 8, 5 * 8)


def test_pointers_have_the_width_of_the_target() -> None:
    graph = graph_of("ADD_N: INT8 4; INT8 4; INT8 4 > INT8 4")
    assert scratch_bytes(graph, graph.ops[0]) == (3 * 4,)
    assert scratch_bytes(graph, graph.ops[0], bits=64) == (3 * 8,)
    npu = graph_of("ethos-u: INT8 64; INT8 4 > INT8 4", custom=True)
    assert scratch_bytes(npu, npu.ops[0]) == (3 * 8, 3 * 4)


def test_detection_without_readable_options_is_an_upper_bound() -> None:
    exact = graph_of(DETECTION, custom=True)
    op = exact.ops[0]
    negative = flexbuffers.Dumps({"max_detections": -1, "num_classes": [2]})
    for unreadable in (None, b"", b"\xff" * 9, bytes(negative), bytes(flexbuffers.Dumps([1]))):
        other = Op(
            "CUSTOM", op.inputs, op.outputs, custom_code=op.custom_code, custom_options=unreadable
        )
        bound = scratch_bytes(exact, other)
        assert all(a >= b for a, b in zip(bound, scratch_bytes(exact, op), strict=True))


# --- CMSIS-NN ------------------------------------------------------------------------------------
# What arm_*_get_buffer_size_dsp and _mve of CMSIS-NN 4ab83cc3 answer, compiled for the host. Input,
# filter and output shapes; padding, strides and dilations (height, width); with DSP; with MVE.
SAME, VALID = 0, 1
CONV = [
    ("INT8", (1, 96, 96, 3), (8, 3, 3, 3), (1, 48, 48, 8), SAME, (2, 2), (1, 1), [112], [128]),
    ("INT8", (1, 8, 13, 8), (2, 1, 1, 8), (1, 4, 7, 2), VALID, (2, 2), (1, 1), [], []),
    ("INT8", (1, 2, 16, 3), (16, 1, 3, 3), (1, 2, 7, 16), VALID, (1, 2), (2, 1), [48], [64]),
    ("INT8", (1, 8, 18, 8), (2, 3, 8, 8), (1, 4, 9, 2), SAME, (2, 2), (1, 1), [768], [768]),
    ("INT8", (1, 1, 23, 32), (1, 2, 1, 1), (1, 1, 23, 1), SAME, (1, 1), (2, 1), [256], [256]),
    ("INT8", (1, 1, 18, 4), (8, 1, 3, 4), (1, 1, 18, 8), SAME, (1, 1), (1, 1), [48], [16]),
    ("INT8", (1, 1, 18, 4), (8, 1, 3, 4), (1, 1, 16, 8), VALID, (1, 1), (1, 1), [48], [12]),
    ("INT8", (1, 1, 17, 8), (8, 1, 5, 8), (1, 1, 9, 8), SAME, (1, 2), (1, 1), [160], [56]),
    ("INT8", (1, 1, 3, 4), (4, 1, 8, 4), (1, 1, 3, 4), SAME, (1, 1), (1, 1), [128], [128]),
    ("INT4", (1, 8, 19, 8), (16, 3, 1, 8), (1, 8, 19, 16), SAME, (1, 1), (1, 1), [96], [128]),
    ("INT16", (1, 5, 8, 32), (16, 3, 3, 32), (1, 3, 3, 16), VALID, (1, 2), (1, 1), [1152], [2304]),
    ("INT16", (1, 1, 22, 8), (8, 1, 1, 8), (1, 1, 8, 8), SAME, (1, 3), (2, 1), [32], [64]),
]
DEPTHWISE = [
    ("INT8", (1, 5, 10, 4), (1, 3, 3, 4), (1, 2, 10, 4), SAME, (3, 1), (1, 1), [], [4464]),
    ("INT8", (1, 13, 9, 8), (1, 1, 5, 8), (1, 5, 5, 8), SAME, (3, 2), (1, 1), [80], [2480]),
    ("INT8", (1, 5, 4, 1), (1, 3, 3, 2), (1, 5, 4, 2), SAME, (1, 1), (1, 1), [], [82]),
    ("INT8", (1, 1, 15, 1), (1, 1, 5, 2), (1, 1, 15, 2), SAME, (1, 1), (2, 1), [], [74]),
    ("INT8", (1, 2, 19, 4), (1, 2, 3, 8), (1, 1, 19, 8), SAME, (2, 1), (2, 1), [], []),
    ("INT4", (1, 5, 15, 1), (1, 2, 8, 1), (1, 2, 8, 1), VALID, (3, 1), (1, 1), [32], [7936]),
    ("INT4", (1, 13, 6, 3), (1, 5, 3, 3), (1, 13, 3, 3), SAME, (1, 2), (2, 1), [], []),
    ("INT16", (1, 13, 24, 8), (1, 2, 1, 8), (1, 7, 8, 8), SAME, (2, 3), (1, 1), [], []),
]
TWINS = [
    ("INT8", (1, 1, 19, 17), (2, 1, 2, 17), (1, 1, 19, 2), VALID, (1, 1), [144, 68], [192, 68]),
    ("INT8", (1, 8, 15, 8), (8, 5, 3, 8), (1, 8, 45, 8), VALID, (1, 3), [7200, 0], [7200, 0]),
    ("INT8", (1, 1, 17, 32), (8, 2, 5, 32), (1, 3, 17, 8), SAME, (3, 1), [2016, 0], [2016, 0]),
    ("INT16", (1, 2, 2, 4), (3, 3, 3, 4), (1, 4, 4, 3), SAME, (2, 2), [384], [384]),
]
TRANSPOSE_CONV = [(*row[:6], (1, 1), *row[6:]) for row in TWINS]
ANSWERS = [
    *(("CONV_2D", *row) for row in CONV),
    *(("DEPTHWISE_CONV_2D", *row) for row in DEPTHWISE),
    *(("TRANSPOSE_CONV", *row) for row in TRANSPOSE_CONV),
]
Shape = tuple[int, ...]


@pytest.mark.parametrize(
    ("kind", "dtype", "source", "weights", "target", "padding", "stride", "dilation", "dsp", "mve"),
    ANSWERS,
)
def test_cmsis_nn_convolutions(
    kind: str, dtype: str, source: Shape, weights: Shape, target: Shape, padding: int,
    stride: Shape, dilation: Shape, dsp: list[int], mve: list[int],
) -> None:  # fmt: skip
    activations = "INT8" if dtype == "INT4" else dtype
    tensors = (
        Tensor(0, "shape", (4,), "INT32"),
        Tensor(1, "weights", weights, "INT4" if dtype == "INT4" else "INT8"),
        Tensor(2, "x", source, activations),
        Tensor(3, "y", target, activations),
    )
    options = {"padding": padding, "stride_h": stride[0], "stride_w": stride[1]}
    options |= {"dilation_h_factor": dilation[0], "dilation_w_factor": dilation[1]}
    inputs = (0, 1, 2) if kind == "TRANSPOSE_CONV" else (2, 1)
    op = Op(kind, inputs, (3,), Table("Options", options))
    graph = Graph("conv", tensors, (op,), (2,), (3,))
    assert scratch_bytes(graph, op, "cmsis_nn") == tuple(dsp)
    assert scratch_bytes(graph, op, "cmsis_nn_mve") == tuple(mve)


FC = "FULLY_CONNECTED: INT8 {} > INT8 {} | FullyConnectedOptions"
POOL = "Pool2DOptions padding=1 stride_w=2 stride_h=2 filter_width=2 filter_height=2"
UNIT = "Conv2DOptions padding=1 stride_w=1 stride_h=1"
OTHERS = [  # DSP, MVE, DSP built by Arm Compiler 6
    (FC.format("1,8; INT8 5,8 =", "1,5"), (), (), ()),
    (FC.format("1,8; INT8 5,8", "1,5"), (), (5 * 4,), ()),
    (FC.format("1,7,8; INT8 5,8 =", "1,7,5"), (5 * 8,), (5 * 8,), (5 * 8, 2 * 8 * 2)),
    (FC.format("1,7,8; INT8 5,8 = /5@0", "1,7,5"), (), (), (2 * 8 * 2,)),
    (FC.format("1,7,6; INT8 5,6", "1,7,5"), (), (5 * 4,), ()),
    (f"AVERAGE_POOL_2D: INT8 1,4,4,6 > INT8 1,2,2,6 | {POOL}", (6 * 4,), (), (6 * 4,)),
    (f"AVERAGE_POOL_2D: FLOAT32 1,4,4,6 > FLOAT32 1,2,2,6 | {POOL}", (), (), ()),
    (f"MAX_POOL_2D: INT8 1,4,4,6 > INT8 1,2,2,6 | {POOL}", (), (), ()),
    ("BATCH_MATMUL: INT8 2,3,4; INT8 2,4,5 > INT8 2,3,5 | BatchMatMulOptions", (), (5 * 4,), ()),
    (f"CONV_2D: INT8 1,4,4,8; INT8 2,1,1,8 = > INT8 1,4,4,2 | {UNIT}", (), (), (2 * 8 * 2,)),
    (f"CONV_2D: FLOAT32 1,4,4,8; FLOAT32 2,3,3,8 = > FLOAT32 1,2,2,2 | {UNIT}", (), (), ()),
    ("MIRROR_PAD: INT8 2,4; INT32 2,2 =1* > INT8 4,6 | MirrorPadOptions", (8, 8), (8, 8), (8, 8)),
]  # fmt: skip


@pytest.mark.parametrize(("line", "dsp", "mve", "armclang"), OTHERS)
def test_cmsis_nn_others(line: str, dsp: Shape, mve: Shape, armclang: Shape) -> None:
    graph = graph_of(line)
    libraries = ("cmsis_nn", "cmsis_nn_mve", "cmsis_nn_armclang")
    assert tuple(scratch_bytes(graph, graph.ops[0], k) for k in libraries) == (dsp, mve, armclang)


def test_cmsis_nn_lstm_needs_three_gates() -> None:
    lstm = [line for line in CASES if line.startswith("UNIDIRECTIONAL")]
    graphs = [graph_of(line) for line in lstm]
    assert [scratch_bytes(g, g.ops[0], "cmsis_nn") for g in graphs] == [(24,) * 4, (12,) * 3]
    assert [scratch_bytes(g, g.ops[0]) for g in graphs] == [(24,) * 4, (12,) * 4]


def test_every_cmsis_nn_kind_has_an_answer_here() -> None:
    tested = {row[0] for row in ANSWERS} | {line.partition(":")[0] for line, *_ in OTHERS}
    assert set(CMSIS_NN) - tested == {"UNIDIRECTIONAL_SEQUENCE_LSTM"}


# --- wrong use -----------------------------------------------------------------------------------
def test_unknown_library() -> None:
    graph = graph_of("RELU: INT8 4 > INT8 4")
    with pytest.raises(
        ModelError, match=r"kernels: found 'esp_nn', wanted one of reference, cmsis"
    ):
        scratch_bytes(graph, graph.ops[0], "esp_nn")
    assert all(scratch_bytes(graph, graph.ops[0], kernels) == () for kernels in KERNELS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("CONV_2D: INT8 1,4,4,1 > INT8 1,4,4,1", "op CONV_2D: found 1 inputs, wanted input 1"),
        ("SVDF: INT8 1,4; - > INT8 1,4", "op SVDF: found 2 inputs, wanted input 1"),
        ("SVDF: INT8 .; INT8 4 > INT8 4", r"op SVDF: tensor t0: found \(\), wanted rank 1"),
    ],
)
def test_op_without_what_its_kernel_reads(line: str, message: str) -> None:
    graph = graph_of(line)
    with pytest.raises(ModelError, match=message):
        scratch_bytes(graph, graph.ops[0])


def test_op_without_output() -> None:
    graph = graph_of("MEAN: INT8 4; INT32 1 =0 > INT8 1")
    bare = Op("MEAN", graph.ops[0].inputs, ())
    with pytest.raises(ModelError, match="op MEAN: found 0 outputs, wanted output 0"):
        scratch_bytes(graph, bare)
