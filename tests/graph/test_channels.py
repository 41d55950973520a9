"""Splitting any run of ops along channels computes the same in both runtimes, no MAC twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_tflm
from sim.errors import PolicyError
from sim.graph.channels import most_parts, split
from sim.graph.graph import Graph, Table
from sim.graph.rewrite import drop_dead_tensors
from sim.graph.tflite_writer import to_bytes
from sim.program import pack_graph
from sim.ranges import Range
from tests import strategies
from tests.graph.test_stripes import computes_the_same, total_macs
from tests.graphs import NONE, RELU6, SAME, VALID, Net
from tests.plan.one_kind import CASES, graph_of

pytest.importorskip("tflite_micro")
pytest.importorskip("ai_edge_litert")

ONE = Range(0, 1)


def runs(graph: Graph) -> dict[Range, int]:
    """All steps that can be split, and into how many parts at most."""
    steps = range(len(graph.ops) + 1)
    found = {Range(a, b): most_parts(graph, Range(a, b)) for a in steps for b in steps if a < b}
    return {run: most for run, most in found.items() if most > 1}


def works(graph: Graph, steps: Range, parts: int) -> Graph:
    """Bit for bit, with the same MACs, and not one byte of weights more."""
    made = split(graph, steps, parts)
    assert total_macs(made) == total_macs(graph)
    whole = tensors_inside(graph, steps)
    assert not whole & {t.name for t in made.tensors}
    computes_the_same(graph, made)
    return made


def works_in_tflm(graph: Graph, steps: Range, parts: int) -> None:
    """For graphs that LiteRT refuses, split or not."""
    made, sets = split(graph, steps, parts), input_sets(graph, 2, 0)
    assert total_macs(made) == total_macs(graph)
    wanted, found = (run_tflm(to_bytes(g), sets).outputs for g in (graph, made))
    for was, now in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(was[0], now[0], strict=True)


def tensors_inside(graph: Graph, steps: Range) -> set[str]:
    return {graph.tensors[op.outputs[0]].name for op in graph.ops[steps.start : steps.stop - 1]}


def parameter_bytes(graph: Graph) -> int:
    """Bytes of weights and biases, those of shapes and positions not counted."""
    return sum(len(t.data or b"") for t in graph.tensors if t.name in ("weights", "bias"))


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """Ops that mostly work channel by channel, behind one that sums."""
    net = Net(draw(st.integers(0, 99)), per_channel=draw(st.booleans()))
    x = net.input(1, *(draw(st.integers(1, 9)) for _ in range(2)), draw(st.integers(1, 12)))
    x = draw(st.sampled_from(FIRST))(draw, net, x)
    for block in draw(st.lists(st.sampled_from(BLOCKS), max_size=4)):
        x = block(draw, net, x)
    return net.graph(draw(st.sampled_from(LAST))(draw, net, x))


def wide(draw: st.DrawFn, net: Net, x: int) -> int:
    return net.conv(x, draw(st.integers(2, 24)), draw(st.integers(1, 3)))


def grown(draw: st.DrawFn, net: Net, x: int) -> int:
    padding = draw(st.sampled_from([SAME, VALID]))
    return net.transpose_conv(x, draw(st.integers(2, 9)), draw(st.integers(1, 3)), 2, padding)


def nothing(_draw: st.DrawFn, _net: Net, x: int) -> int:
    return x


def relu6(_draw: st.DrawFn, net: Net, x: int) -> int:
    out = net.like(x)
    net.op("RELU6", [x], [out])
    return out


def logistic(_draw: st.DrawFn, net: Net, x: int) -> int:
    out = net.tensor(net.shape(x), scale=1 / 256, zero=-128)
    net.op("LOGISTIC", [x], [out])
    return out


def requantized(_draw: st.DrawFn, net: Net, x: int) -> int:
    return net.requantize(x, net.scale(x) * 1.3, 7)


def scaled(draw: st.DrawFn, net: Net, x: int) -> int:
    """Times or plus a constant for each channel, or one for all."""
    count = draw(st.sampled_from([1, net.shape(x)[-1]]))
    shape = draw(st.sampled_from([(count,), (1, 1, count), (1, 1, 1, count)]))
    values = net.random.integers(-128, 128, shape, dtype=np.int8)
    other = net.tensor(shape, scale=0.02, zero=3, data=values.tobytes())
    out = net.tensor(net.shape(x), scale=net.scale(x) * 2, zero=1)
    kind = draw(st.sampled_from(["ADD", "MUL"]))
    options = Table(f"{kind.capitalize()}Options", {"fused_activation_function": RELU6})
    net.op(kind, draw(st.permutations([x, other])), [out], options, 2)
    return out


def beside(_draw: st.DrawFn, net: Net, x: int) -> int:
    """Two ways from one tensor, added up."""
    return net.add(net.relu(x), requantized(_draw, net, x))


def pooled(draw: st.DrawFn, net: Net, x: int) -> int:
    """The mean over all rows and columns, by one of the two ops, flattened or not."""
    _, height, width, channels = net.shape(x)
    kind = draw(st.sampled_from(["MEAN", "pool", "squeezing MEAN"]))
    if kind == "MEAN":
        y = net.mean(x)
    elif kind == "pool" and height == width:
        y = net.pool(x, "AVERAGE", height, 1)
    else:
        y = net.like(x, 1, channels)
        axes = net.ints(*draw(st.permutations([-3, 2])))
        net.op("MEAN", [x, axes], [y], Table("ReducerOptions", {"keep_dims": False}), 2)
    return net.reshape(y, (1, channels)) if draw(st.booleans()) else y


def dense(draw: st.DrawFn, net: Net, x: int) -> int:
    return net.relu(net.dense(pooled(draw, net, x), draw(st.integers(2, 30))))


FIRST = (wide, grown, nothing)
BLOCKS = (
    strategies.depthwise, strategies.pool, strategies.pad,
    relu6, logistic, requantized, scaled, beside,
)  # fmt: skip
LAST = (nothing, pooled, dense)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=chains())
def test_any_run_in_any_parts(data: st.DataObject, graph: Graph) -> None:
    found = runs(graph)
    assume(found)
    longest = max(run.length for run in found)
    steps = data.draw(st.sampled_from([r for r in found if r.length >= longest - 1]))
    made = works(graph, steps, data.draw(st.integers(2, found[steps])))
    assert parameter_bytes(made) == parameter_bytes(graph)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=strategies.graphs())
def test_runs_of_any_graph(data: st.DataObject, graph: Graph) -> None:
    graph = drop_dead_tensors(graph)
    found = runs(graph)
    assume(found)
    steps = data.draw(st.sampled_from(sorted(found)))
    works(graph, steps, data.draw(st.integers(2, found[steps])))


@pytest.mark.parametrize("line", [case for case in CASES if most_parts(graph_of(case), ONE) > 1])
def test_every_kind_that_can_be_split(line: str) -> None:
    """Also with float and int16 tensors; in TFLM, as LiteRT does not know all these versions."""
    graph = graph_of(line)
    for parts in (2, most_parts(graph, ONE)):
        works_in_tflm(graph, ONE, parts)


def test_the_kinds_that_can_be_split() -> None:
    kinds = {case.partition(":")[0] for case in CASES if most_parts(graph_of(case), ONE) > 1}
    assert kinds >= {
        "CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D", "MAX_POOL_2D",
        "AVERAGE_POOL_2D", "ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU",
        "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "ELU", "ABS", "LOGISTIC", "TANH", "QUANTIZE",
        "DEQUANTIZE", "PAD", "PADV2", "MEAN",
    }  # fmt: skip
    assert not kinds & {"SOFTMAX", "L2_POOL_2D", "BATCH_MATMUL", "SVDF", "CONCATENATION"}


def head(pool: str, flat: bool) -> Graph:
    """As MobileNets end: a pointwise convolution to many channels, and their mean."""
    net = Net()
    x = net.conv(net.input(1, 6, 6, 8), 96, 1, activation=RELU6)
    x = net.mean(x) if pool == "MEAN" else net.pool(x, "AVERAGE", 6, 1)
    return net.graph(net.reshape(x, (1, 96)) if flat else x)


@pytest.mark.parametrize("pool", ["MEAN", "AVERAGE_POOL_2D"])
@pytest.mark.parametrize("flat", [True, False])
def test_the_wide_tensor_of_a_head_never_exists_whole(pool: str, flat: bool) -> None:
    """What is left is the input, a part of the wide tensor, the means (each part of them rounded

    up to 16 bytes), and MEAN's scratch.
    """
    graph = head(pool, flat)
    steps = Range(0, len(graph.ops))
    assert most_parts(graph, steps) == 96
    made = works(graph, steps, 12)
    assert parameter_bytes(made) == parameter_bytes(graph)
    assert max(t.nbytes for t in made.tensors if not t.is_constant) == 6 * 6 * 8
    program, _ = pack_graph(made)
    scratch = max((p.span.length for p in program.plan.placements if p.tensor is None), default=0)
    assert program.plan.size_bytes <= 288 + 288 + 12 * 16 + scratch
    assert program.plan.size_bytes < pack_graph(graph)[0].plan.size_bytes // 2


def test_more_than_ten_parts_are_joined_through_a_tree() -> None:
    net = Net(3)
    graph = net.graph(net.depthwise(net.conv(net.input(1, 5, 7, 3), 23, 1)))
    for parts, joins in ((2, 1), (10, 1), (11, 3), (23, 4)):
        made = works(graph, Range(0, 2), parts)
        found = [op for op in made.ops if op.kind == "CONCATENATION"]
        assert len(found) == joins
        assert max(len(op.inputs) for op in found) <= 10


def test_parts_are_as_equal_as_may_be() -> None:
    net = Net()
    graph = net.graph(net.conv(net.input(1, 4, 4, 3), 11, 1))
    made = split(graph, Range(0, 1), 4)
    shapes = [made.tensors[op.outputs[0]].shape[3] for op in made.ops if op.kind == "CONV_2D"]
    assert sorted(shapes) == [2, 3, 3, 3]
    weights = [made.tensors[op.inputs[1]] for op in made.ops if op.kind == "CONV_2D"]
    scales = [s for w in weights if w.quantization for s in w.quantization.scale]
    whole = graph.tensors[graph.ops[0].inputs[1]]
    assert whole.quantization is not None and tuple(scales) == whole.quantization.scale
    assert b"".join(w.data or b"" for w in weights) == whole.data


def test_one_channel_that_makes_many_is_read_whole() -> None:
    net = Net(2)
    graph = net.graph(net.pool(net.depthwise(net.input(1, 9, 8, 1), multiplier=6)))
    made = works(graph, Range(0, 2), 4)
    assert [op.kind for op in made.ops].count("SLICE") == 0
    multipliers = [
        op.options.integer("depth_multiplier") for op in made.ops if op.kind == "DEPTHWISE_CONV_2D"
    ]
    assert sorted(multipliers) == [1, 1, 2, 2]


def test_channels_that_belong_together_are_cut_together() -> None:
    """Twice a multiplier: six channels of the output come from one of the input."""
    net = Net(2)
    x = net.depthwise(net.input(1, 5, 6, 4), multiplier=2)
    graph = net.graph(net.depthwise(x, multiplier=3))
    assert most_parts(graph, Range(0, 2)) == 4
    made = works(graph, Range(0, 2), 4)
    assert [op.kind for op in made.ops].count("SLICE") == 4
    assert most_parts(graph, Range(1, 2)) == 8


def test_an_activation_from_outside_is_cut_along() -> None:
    """Also where it is read twice, by ops that need different channels of it."""
    net = Net(4)
    x, gate = net.input(1, 4, 6, 6), net.input(1, 1, 1, 1)
    y = net.add(net.conv(x, 6, 1), x)
    y = net.add(net.depthwise(y, multiplier=2), net.depthwise(x, multiplier=2))
    out = net.like(y)
    net.op("MUL", [y, gate], [out], Table("MulOptions", {}), 2)
    graph = net.graph(out)
    works(graph, Range(0, 5), 3)


def test_what_sums_over_channels_ends_the_run() -> None:
    """Of pointwise + depthwise + pointwise the last stays outside."""
    net = Net()
    x = net.depthwise(net.conv(net.input(1, 8, 8, 4), 24, 1))
    graph = net.graph(net.softmax(net.dense(net.mean(net.conv(x, 4, 1, activation=NONE)), 3)))
    assert most_parts(graph, Range(0, 2)) == 24
    for steps in (Range(0, 3), Range(1, 3), Range(5, 7), Range(6, 7), Range(0, 0), Range(3, 99)):
        assert most_parts(graph, steps) == 0
    with pytest.raises(PolicyError, match=r"ops 0\.\.3: parts .* found 2, wanted none"):
        split(graph, Range(0, 3), 2)
    with pytest.raises(PolicyError, match=r"ops 0\.\.2: .* found 25, wanted 2\.\.24"):
        split(graph, Range(0, 2), 25)


def test_what_is_read_outside_stays_whole() -> None:
    net = Net()
    first = net.conv(net.input(1, 4, 4, 2), 4)
    second = net.relu(first)
    third = net.relu(second)
    graph = net.graph(third, first)
    assert most_parts(graph, Range(0, 2)) == 0  # first is an output
    assert most_parts(graph, Range(1, 3)) == 4
    assert most_parts(net.graph(net.add(third, second)), Range(1, 3)) == 0


def changed(graph: Graph, position: int, **fields: object) -> Graph:
    """The graph with another input at a position of its first op."""
    tensors = list(graph.tensors)
    old = tensors[graph.ops[0].inputs[position]]
    tensors[old.id] = replace(old, **fields)  # type: ignore[arg-type]
    return replace(graph, tensors=tuple(tensors))


def test_weights_that_cannot_be_cut() -> None:
    """Packed or sparse ones, scales along another axis, groups of channels."""
    net = Net()
    graph = net.graph(net.conv(net.input(1, 4, 4, 2), 4))
    weights = graph.tensors[graph.ops[0].inputs[1]]
    assert weights.quantization is not None
    assert most_parts(graph, ONE) == 4
    turned = replace(weights.quantization, dimension=3)
    detailed = replace(weights.quantization, details=Table("CustomQuantization"))
    for fields in (
        {"dtype": "INT4", "data": b"\0" * 36},
        {"sparsity": Table("SparsityParameters")},
        {"quantization": turned},
        {"quantization": detailed},
        {"data": (weights.data or b"")[1:]},
        {"shape": (4, 3, 6, 1)},
    ):
        assert most_parts(changed(graph, 1, **fields), ONE) == 0
    no_scales = changed(graph, 1, quantization=None)
    assert most_parts(no_scales, ONE) == 4
    assert len(split(no_scales, ONE, 2).ops) == 3


def test_a_bias_may_name_the_dimension_of_its_weights() -> None:
    """As person_detect's do, which TFLM runs and LiteRT refuses."""
    net = Net()
    graph = net.graph(net.depthwise(net.input(1, 4, 4, 6)))
    bias = graph.tensors[graph.ops[0].inputs[2]]
    assert bias.quantization is not None
    named = changed(graph, 2, quantization=replace(bias.quantization, dimension=3))
    works_in_tflm(named, ONE, 3)


def test_shared_weights_stay_for_whoever_else_reads_them() -> None:
    net = Net(1)
    x = net.input(1, 4, 4, 3)
    other = net.relu(x)
    first = net.conv(x, 6)
    graph = net.graph(net.add(first, net.again(net.ops[-1], other)))
    made = works(graph, Range(1, 2), 3)
    assert parameter_bytes(made) == 2 * parameter_bytes(graph)
    made = works(graph, Range(1, 4), 3)
    assert parameter_bytes(made) == parameter_bytes(graph)
