"""Random int8 graphs, and random spills of them; all run in LiteRT's reference kernels and TFLM."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from sim.graph.graph import Graph
from sim.graph.rewrite import Rewrite
from tests.graphs import NONE, RELU, RELU6, SAME, VALID, Net

SIZES = st.integers(1, 11)
CHANNELS = st.integers(1, 8)
PADDINGS = st.sampled_from([SAME, VALID])
MOST_PIXELS = 24 * 24

Block = Callable[[st.DrawFn, Net, int], int]
"""Adds layers to a net, behind a 4-D tensor; returns the last one's output."""


@st.composite
def graphs(draw: st.DrawFn, *, unused: bool = False) -> Graph:
    """Chains, residuals, branches and U-Nets, with one head or several outputs.

    With `unused`, there may also be tensors that no op uses and inputs that no op reads.
    """
    net = Net(draw(st.integers(0, 99)), per_channel=draw(st.booleans()))
    x = net.input(1, draw(SIZES), draw(SIZES), draw(CHANNELS))
    taps = []
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=5)):
        if unused and draw(st.booleans()):
            net.tensor((1, draw(st.integers(1, 500))))
        x = block(draw, net, x)
        if draw(st.integers(0, 4)) == 0:
            taps.append(x)
    if unused and draw(st.booleans()):
        net.input(1, draw(st.integers(1, 500)))
    last = draw(st.sampled_from(HEADS))(draw, net, x)
    return net.graph(last, *(tap for tap in dict.fromkeys(taps) if tap != last))


@st.composite
def spilled(draw: st.DrawFn, graph: Graph) -> Rewrite:
    """Edits of the graph: some tensors go to slots somewhere between two uses, and come back."""
    edit, end = Rewrite(graph), len(graph.ops)
    made = {t: step for step, op in enumerate(graph.ops) for t in op.outputs}
    made |= dict.fromkeys(graph.inputs, -1)
    for tensor in draw(st.sets(st.sampled_from(sorted(made)), min_size=1, max_size=3)):
        uses = [step for step, op in enumerate(graph.ops) if tensor in op.reads]
        uses += [end] if tensor in graph.outputs else []
        if not uses:
            continue
        after = draw(st.integers(made[tensor], uses[-1] - 1))
        later = [step for step in uses if step > after]
        readers = sorted(draw(st.sets(st.sampled_from(later), min_size=1)))
        reads = [(draw(st.integers(after + 1, reader)), reader) for reader in readers]
        until = draw(st.integers(-1, end - 1))
        edit.spill(tensor, draw(st.sampled_from(["sdram", "nor"])), after, reads, until)
    return edit


def conv(draw: st.DrawFn, net: Net, x: int) -> int:
    _, height, width, _ = net.shape(x)
    padding, dilation = draw(PADDINGS), draw(st.integers(1, 2))
    kernel = (
        _kernel(draw, height, padding, 5, dilation),
        _kernel(draw, width, padding, 5, dilation),
    )
    stride = draw(st.integers(1, 3)) if dilation == 1 else 1
    activation = draw(st.sampled_from([NONE, RELU, RELU6]))
    return net.conv(x, draw(CHANNELS), kernel, stride, padding, dilation, activation)


def depthwise(draw: st.DrawFn, net: Net, x: int) -> int:
    padding, dilation = draw(PADDINGS), draw(st.integers(1, 2))
    kernel = _kernel(draw, min(net.shape(x)[1:3]), padding, 3, dilation)
    stride = draw(st.integers(1, 2)) if dilation == 1 else 1
    multiplier = draw(st.integers(1, 3)) if net.shape(x)[3] < 9 else 1
    return net.depthwise(x, kernel, stride, padding, multiplier, dilation)


def pool(draw: st.DrawFn, net: Net, x: int) -> int:
    padding, kind = draw(PADDINGS), draw(st.sampled_from(["MAX", "AVERAGE"]))
    kernel = _kernel(draw, min(net.shape(x)[1:3]), padding, 3)
    return net.pool(x, kind, kernel, draw(st.integers(1, 3)), padding)


def pad(draw: st.DrawFn, net: Net, x: int) -> int:
    edges = draw(st.tuples(*[st.integers(0, 2)] * 4))
    return net.pad(x, *edges)


def stripes(draw: st.DrawFn, net: Net, x: int) -> int:
    """Some of the rows, or all of them in two stripes that are joined again."""
    n, height, width, c = net.shape(x)
    cut = draw(st.integers(1, height))
    first = net.crop(x, (0, 0, 0, 0), (n, cut, width, c))
    if cut == height or draw(st.booleans()):
        return first
    second = net.crop(x, (0, cut, 0, 0), (n, height - cut, width, c))
    return net.concat([first, second], axis=1)


def residual(draw: st.DrawFn, net: Net, x: int) -> int:
    y = net.conv(net.depthwise(x), net.shape(x)[3], 1, activation=NONE)
    return net.add(*draw(st.permutations([x, y])), draw(st.sampled_from([NONE, RELU])))


def branches(draw: st.DrawFn, net: Net, x: int) -> int:
    """Several chains of different length and width, joined along the channels or added up."""
    added = draw(st.booleans())
    depths = draw(st.lists(st.integers(0, 3), min_size=2, max_size=4))
    ends = []
    for depth in depths:
        y = x
        for _ in range(depth):
            y = net.conv(y, draw(CHANNELS), draw(st.sampled_from([1, 3])))
        ends.append(net.conv(y, 4, 1) if added else y)
    if not added:
        return net.concat(ends)
    joined = ends[0]
    for end in ends[1:]:
        joined = net.add(joined, end)
    return joined


def unet(draw: st.DrawFn, net: Net, x: int) -> int:
    """Halved, something done, doubled by a transposed convolution, joined with the skip."""
    n, height, width, _ = net.shape(x)
    if height % 2 or width % 2:
        x = net.pad(x, 0, height % 2, 0, width % 2)
        n, height, width, _ = net.shape(x)
    if draw(st.booleans()):
        x = net.conv(x, draw(CHANNELS))
    down = net.pool(x)
    deeper = height > 4 and draw(st.booleans())
    down = unet(draw, net, down) if deeper else net.conv(down, draw(CHANNELS))
    up = net.transpose_conv(down, draw(CHANNELS), draw(st.integers(2, 3)))
    if net.shape(up)[1:3] != (height, width):  # the inner U-Net padded
        up = net.crop(up, (0, 0, 0, 0), (n, height, width, net.shape(up)[3]))
    return net.concat(draw(st.permutations([up, x])))


def grown(draw: st.DrawFn, net: Net, x: int) -> int:
    """A transposed convolution alone, as long as the tensor is small."""
    _, height, width, _ = net.shape(x)
    if height * width * 4 > MOST_PIXELS:
        return net.relu(x)
    padding = draw(PADDINGS)
    return net.transpose_conv(x, draw(CHANNELS), draw(st.integers(1, 3)), 2, padding)


def siamese(draw: st.DrawFn, net: Net, x: int) -> int:
    """One convolution, its weights used on two tensors."""
    first = net.conv(x, draw(CHANNELS))
    second = net.again(net.ops[-1], net.relu(x))
    return net.add(first, second)


def late_input(draw: st.DrawFn, net: Net, x: int) -> int:
    """A further input of the graph joins in."""
    other = net.input(*net.shape(x), scale=0.07, zero=5)
    return net.add(x, other) if draw(st.booleans()) else net.concat([x, other])


def no_head(_draw: st.DrawFn, _net: Net, x: int) -> int:
    return x


def dense(draw: st.DrawFn, net: Net, x: int) -> int:
    return net.dense(net.dense(x, draw(st.integers(1, 40))), draw(st.integers(1, 10)))


def classifier(draw: st.DrawFn, net: Net, x: int) -> int:
    return net.softmax(dense(draw, net, net.mean(x) if draw(st.booleans()) else x))


BLOCKS: tuple[Block, ...] = (
    conv, depthwise, pool, pad, stripes, residual, branches, unet, grown, siamese, late_input,
)  # fmt: skip
HEADS: tuple[Block, ...] = (no_head, dense, classifier)


def _kernel(draw: st.DrawFn, size: int, padding: int, largest: int, dilation: int = 1) -> int:
    """A kernel's extent that fits into `size`."""
    fitting = largest if padding == SAME else min(largest, (size - 1) // dilation + 1)
    return draw(st.integers(1, fitting))
