"""Random int8 graphs, and random spills of them; all run in LiteRT's reference kernels and TFLM."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from sim.graph.graph import Graph, Table
from sim.graph.rewrite import Rewrite
from tests.graphs import NONE, RELU, RELU6, SAME, VALID, Net

SIZES = st.integers(1, 11)
CHANNELS = st.integers(1, 8)
PADDINGS = st.sampled_from([SAME, VALID])
MOST_PIXELS = 24 * 24

Sizes = st.SearchStrategy[int]
Block = Callable[[st.DrawFn, Net, int], int]
"""Adds layers to a net, behind a 4-D tensor; returns the last one's output."""


@st.composite
def graphs(
    draw: st.DrawFn, *, unused: bool = False, sizes: Sizes = SIZES, varied: bool = False
) -> Graph:
    """Chains, residuals, branches and U-Nets, with one head or several outputs.

    With `unused`, there may also be tensors that no op uses and inputs that no op reads. `varied`
    adds kernels up to 7, nearest neighbours and element-wise ops of all kinds.
    """
    net = Net(draw(st.integers(0, 99)), per_channel=draw(st.booleans()))
    x = net.input(1, draw(sizes), draw(sizes), draw(CHANNELS))
    taps = []
    blocks = BLOCKS + MORE_BLOCKS if varied else BLOCKS
    for block in draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=5)):
        if unused and draw(st.booleans()):
            net.tensor((1, draw(st.integers(1, 500))))
        x = block(draw, net, x)
        if draw(st.integers(0, 4)) == 0:
            taps.append(x)
    if unused and draw(st.booleans()):
        net.input(1, draw(st.integers(1, 500)))
    heads = (no_head, no_head, *HEADS) if varied else HEADS
    last = draw(st.sampled_from(heads))(draw, net, x)
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


def wide(draw: st.DrawFn, net: Net, x: int) -> int:
    """A convolution that reaches over many rows, depthwise or not, thinner than others."""
    _, height, width, _ = net.shape(x)
    padding, dilation = draw(PADDINGS), draw(st.integers(1, 3))
    stride = draw(st.integers(1, 3)) if dilation == 1 else 1
    if draw(st.booleans()):
        kernel = _kernel(draw, min(height, width), padding, 7, dilation)
        return net.depthwise(x, kernel, stride, padding, 1, dilation)
    kernels = (
        _kernel(draw, height, padding, 7, dilation),
        _kernel(draw, width, padding, 7, dilation),
    )
    return net.conv(x, draw(st.integers(1, 4)), kernels, stride, padding, dilation)


def resized(draw: st.DrawFn, net: Net, x: int) -> int:
    """Grown by repeating or mixing pixels, as long as it stays small; then a convolution."""
    n, height, width, c = net.shape(x)
    factors = draw(st.tuples(*[st.integers(1, 3)] * 2))
    if height * width * factors[0] * factors[1] > MOST_PIXELS:
        return net.relu(x)
    shape = (height * factors[0], width * factors[1])
    out = net.like(x, n, *shape, c)
    kind = draw(st.sampled_from(["NearestNeighbor", "NearestNeighbor", "Bilinear"]))
    corners = draw(st.sampled_from([{}, {}, {"align_corners": True}, {"half_pixel_centers": True}]))
    name = {"NearestNeighbor": "RESIZE_NEAREST_NEIGHBOR", "Bilinear": "RESIZE_BILINEAR"}[kind]
    net.op(name, [x, net.ints(*shape)], [out], Table(f"Resize{kind}Options", corners), 3)
    return net.conv(out, draw(st.integers(1, 4)))


def sliced(draw: st.DrawFn, net: Net, x: int) -> int:
    """Two parts of rows, columns or channels, which may overlap, joined along the same axis."""
    axis = draw(st.integers(1, 3))
    shape = net.shape(x)
    parts = []
    for _ in range(2):
        begin, wanted = [0] * 4, list(shape)
        begin[axis] = draw(st.integers(0, shape[axis] - 1))
        wanted[axis] = draw(st.integers(1, shape[axis] - begin[axis]))
        parts.append(net.crop(x, tuple(begin), tuple(wanted)))
    return net.concat(parts, axis)


def elementwise(draw: st.DrawFn, net: Net, x: int) -> int:
    """Ops with one input, or with two, of which one may be a constant or one value a channel."""
    c = net.shape(x)[3]
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["RELU6", "QUANTIZE", "TANH", "LOGISTIC"]))
        ranges = {"QUANTIZE": (1 / 50, -9), "TANH": (1 / 128, 0), "LOGISTIC": (1 / 256, -128)}
        scale, zero = ranges.get(kind, (net.scale(x), net.zero(x)))
        out = net.tensor(net.shape(x), scale=scale, zero=zero)
        net.op(kind, [x], [out], version=2)
        return out
    other = draw(st.sampled_from(["itself", "late", "constant", "channels", "scalar", "mean"]))
    if other == "itself":
        y = net.requantize(x, net.scale(x) / 2, 3)
    elif other == "late":
        y = net.depthwise(net.relu(x))
    elif other == "mean":
        y = net.conv(net.mean(x), c, 1)
    else:
        shape = {"channels": (c,), "scalar": (1,)}.get(other, net.shape(x))
        data = net.random.integers(-128, 128, shape, dtype="int8").tobytes()
        y = net.tensor(shape, scale=net.scale(x), zero=1, data=data, name="constant")
    kind = draw(st.sampled_from(["ADD", "SUB", "MUL"]))
    scale = max(net.scale(x), net.scale(y)) * 1.5 * (30 if kind == "MUL" else 1)
    out = net.tensor(net.shape(x), scale=scale, zero=-2)
    activation = draw(st.sampled_from([NONE, RELU]))
    options = Table(f"{kind.title()}Options", {"fused_activation_function": activation})
    net.op(kind, draw(st.permutations([x, y])), [out], options, 2)
    return out


def no_head(_draw: st.DrawFn, _net: Net, x: int) -> int:
    return x


def dense(draw: st.DrawFn, net: Net, x: int) -> int:
    return net.dense(net.dense(x, draw(st.integers(1, 40))), draw(st.integers(1, 10)))


def classifier(draw: st.DrawFn, net: Net, x: int) -> int:
    return net.softmax(dense(draw, net, net.mean(x) if draw(st.booleans()) else x))


BLOCKS: tuple[Block, ...] = (
    conv, depthwise, pool, pad, stripes, residual, branches, unet, grown, siamese, late_input,
)  # fmt: skip
MORE_BLOCKS: tuple[Block, ...] = (wide, wide, resized, sliced, elementwise, elementwise)
HEADS: tuple[Block, ...] = (no_head, dense, classifier)


def _kernel(draw: st.DrawFn, size: int, padding: int, largest: int, dilation: int = 1) -> int:
    """A kernel's extent that fits into `size`."""
    fitting = largest if padding == SAME else min(largest, (size - 1) // dilation + 1)
    return draw(st.integers(1, fitting))
