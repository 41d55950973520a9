"""The small int8 models on which `sim.conformance` tries a policy.

A few rows high each, so that what cuts by rows tries every height; odd widths, so that sizes end
off the alignment. Weights are random, and scales such that outputs hardly saturate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from types import MappingProxyType

import numpy as np

from sim.graph.graph import Graph, Op, Quantization, Table, Tensor

SAME, VALID = 0, 1
NONE, RELU = 0, 1
WEIGHT_ROOT_MEAN_SQUARE = 73
WEIGHT_SCALE = 0.0125
SOFTNESS = 1 / 64


def unet() -> Graph:
    """A skip waits beside the deeper layers."""
    net = Net(0, "unet")
    skip = net.conv(net.input(4, 12, 3), 4)
    up = net.grow(net.conv(net.pool(skip), 8), 4)
    return net.graph(net.conv(net.conv(net.concat(up, skip), 4), 5, 1, NONE))


def chain() -> Graph:
    """No tensor waits for anybody."""
    net = Net(1, "chain")
    x = net.conv(net.input(4, 12, 3), 8)
    return net.graph(net.dense(net.pool(net.depthwise(x)), 10))


def residual() -> Graph:
    """Three blocks whose input waits beside a wider middle; the head asks for scratch."""
    net = Net(2, "residual")
    x = net.conv(net.input(4, 12, 3), 4)
    for _ in range(3):
        x = net.add(x, net.conv(net.depthwise(net.conv(x, 24, 1)), 4, 1, NONE))
    return net.graph(net.softmax(net.dense(net.mean(x), 5)))


def siblings() -> Graph:
    """Two inputs, one of which waits, and two outputs, one of them the last op's input."""
    net = Net(3, "siblings")
    late, x = net.input(4, 16, 4), net.input(4, 16, 4)
    early = net.conv(x, 4)
    y = net.conv(net.conv(net.conv(early, 16), 16), 4)
    return net.graph(net.add(net.add(y, late), early), early)


def in_place() -> Graph:
    """A tensor waits whose next reader could overwrite it."""
    net = Net(4, "in_place")
    waiting = net.conv(net.input(4, 16, 3), 8)
    y = net.relu(waiting)
    for channels in (32, 8):
        y = net.conv(y, channels)
    return net.graph(net.add(y, waiting))


def pads() -> Graph:
    """A copy whose bytes end off the alignment, at the end of the arena."""
    net = Net(5, "pads")
    return net.graph(net.pad(net.pad(net.input(3, 3, 9), 1, 0, 0, 0), 1, 1, 1, 1))


MODELS: Mapping[str, Callable[[], Graph]] = MappingProxyType(
    {made.__name__: made for made in (unet, chain, residual, siblings, in_place, pads)}
)


class Net:
    """A graph under construction; each layer returns the id of its output tensor."""

    def __init__(self, seed: int, name: str) -> None:
        self._random, self._name = np.random.default_rng(seed), name
        self._tensors: list[Tensor] = []
        self._ops: list[Op] = []
        self._inputs: list[int] = []

    def graph(self, *outputs: int) -> Graph:
        tensors, ops, inputs = tuple(self._tensors), tuple(self._ops), tuple(self._inputs)
        made = Graph(self._name, tensors, ops, inputs, outputs)
        made.verify()
        return made

    def input(self, height: int, width: int, channels: int) -> int:
        name = f"input{len(self._inputs)}"
        made = self._tensor((1, height, width, channels), name=name)
        self._inputs.append(made)
        return made

    def conv(self, x: int, channels: int, kernel: int = 3, activation: int = RELU) -> int:
        n, h, w, c = self._shape(x)
        weights = self._weights((channels, kernel, kernel, c), 0, x)
        out = self._weighed(x, (n, h, w, channels), kernel * kernel * c)
        return self._op("CONV_2D", [x, *weights], out, _conv("Conv2DOptions", activation), 3)

    def depthwise(self, x: int) -> int:
        weights = self._weights((1, 3, 3, self._shape(x)[3]), 3, x)
        out = self._weighed(x, self._shape(x), 9)
        options = _conv("DepthwiseConv2DOptions", RELU, depth_multiplier=1)
        return self._op("DEPTHWISE_CONV_2D", [x, *weights], out, options, 3)

    def grow(self, x: int, channels: int) -> int:
        """A transposed convolution that doubles height and width."""
        n, h, w, c = self._shape(x)
        weights, bias = self._weights((channels, 2, 2, c), 0, x)
        shape = (n, 2 * h, 2 * w, channels)
        options = Table("TransposeConvOptions", {"padding": SAME, "stride_w": 2, "stride_h": 2})
        inputs = [self._ints(*shape), weights, x, bias]
        return self._op("TRANSPOSE_CONV", inputs, self._weighed(x, shape, c), options, 3)

    def dense(self, x: int, units: int) -> int:
        features = prod(self._shape(x))
        flat = self._like(x, 1, features)
        reshape = Table("ReshapeOptions", {"new_shape": (1, features)})
        self._op("RESHAPE", [x, self._ints(1, features)], flat, reshape)
        weights = self._weights((units, features), 0, x, per_channel=False)
        out = self._weighed(x, (1, units), features)
        options = Table("FullyConnectedOptions")
        return self._op("FULLY_CONNECTED", [flat, *weights], out, options, 4)

    def pool(self, x: int) -> int:
        n, h, w, c = self._shape(x)
        size = {"stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}
        options = Table("Pool2DOptions", {"padding": VALID, **size})
        return self._op("MAX_POOL_2D", [x], self._like(x, n, h // 2, w // 2, c), options, 2)

    def mean(self, x: int) -> int:
        """The mean of each channel; its kernel asks for scratch."""
        n, _, _, c = self._shape(x)
        options = Table("ReducerOptions", {"keep_dims": True})
        return self._op("MEAN", [x, self._ints(1, 2)], self._like(x, n, 1, 1, c), options, 2)

    def pad(self, x: int, top: int, bottom: int, left: int, right: int) -> int:
        n, h, w, c = self._shape(x)
        out = self._like(x, n, h + top + bottom, w + left + right, c)
        edges = self._ints(0, 0, top, bottom, left, right, 0, 0, shape=(4, 2))
        return self._op("PAD", [x, edges], out, Table("PadOptions"))

    def concat(self, a: int, b: int) -> int:
        """Joined along the channels; b is quantized anew, as a is."""
        n, h, w, c = self._shape(a)
        adapted = self._like(a, *self._shape(b))
        self._op("QUANTIZE", [b], adapted, Table("QuantizeOptions"), 2)
        out = self._like(a, n, h, w, c + self._shape(b)[3])
        options = Table("ConcatenationOptions", {"axis": 3})
        return self._op("CONCATENATION", [a, adapted], out, options, 2)

    def add(self, a: int, b: int) -> int:
        out = self._tensor(self._shape(a), 1.5 * max(self._scale(a), self._scale(b)), 2)
        fields = {"fused_activation_function": NONE, "pot_scale_int16": True}
        return self._op("ADD", [a, b], out, Table("AddOptions", fields), 2)

    def relu(self, x: int) -> int:
        return self._op("RELU", [x], self._like(x, *self._shape(x)), Table(), 2)

    def softmax(self, x: int) -> int:
        """Soft enough that no class gets all; else it would hide what went wrong before it."""
        out = self._tensor(self._shape(x), 1 / 256, -128)
        beta = SOFTNESS / self._scale(x)
        return self._op("SOFTMAX", [x], out, Table("SoftmaxOptions", {"beta": beta}), 2)

    def _op(
        self, kind: str, inputs: Sequence[int], output: int, options: Table, version: int = 1
    ) -> int:
        self._ops.append(Op(kind, tuple(inputs), (output,), options, version))
        return output

    def _tensor(
        self, shape: tuple[int, ...], scale: float = 0.05, zero: int = 0, name: str = ""
    ) -> int:
        quantization = Quantization((float(np.float32(scale)),), (zero,))
        label = name or f"t{len(self._tensors)}"
        self._tensors.append(Tensor(len(self._tensors), label, shape, "INT8", quantization))
        return len(self._tensors) - 1

    def _like(self, x: int, *shape: int) -> int:
        """A tensor of another shape, quantized as x."""
        quantization = self._tensors[x].quantization
        assert quantization is not None
        return self._tensor(shape, quantization.scale[0], quantization.zero_point[0])

    def _weighed(self, x: int, shape: tuple[int, ...], fan_in: int) -> int:
        """The output of a layer that sums up so many weighted inputs."""
        spread = WEIGHT_SCALE * WEIGHT_ROOT_MEAN_SQUARE * sqrt(fan_in) / 2
        return self._tensor(shape, self._scale(x) * spread, -3)

    def _weights(
        self, shape: tuple[int, ...], axis: int, x: int, *, per_channel: bool = True
    ) -> tuple[int, int]:
        channels = shape[axis]
        count = channels if per_channel else 1
        scales = tuple(float(np.float32(s)) for s in self._random.uniform(0.005, 0.02, count))
        values = self._random.integers(-127, 128, shape, dtype=np.int8)
        biases = self._random.integers(-2000, 2000, channels).astype("<i4")
        bias_scales = tuple(float(np.float32(s * self._scale(x))) for s in scales)
        zeros = (0,) * count
        weights = Quantization(scales, zeros, axis if per_channel else 0)
        return (
            self._constant("weights", shape, "INT8", values.tobytes(), weights),
            self._constant(
                "bias", (channels,), "INT32", biases.tobytes(), Quantization(bias_scales, zeros)
            ),
        )

    def _ints(self, *values: int, shape: tuple[int, ...] = ()) -> int:
        data = np.array(values, "<i4").tobytes()
        return self._constant("const", shape or (len(values),), "INT32", data)

    def _constant(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        data: bytes,
        quantization: Quantization | None = None,
    ) -> int:
        new = Tensor(len(self._tensors), name, shape, dtype, quantization, data)
        self._tensors.append(new)
        return new.id

    def _shape(self, x: int) -> tuple[int, ...]:
        return self._tensors[x].shape

    def _scale(self, x: int) -> float:
        quantization = self._tensors[x].quantization
        assert quantization is not None
        return quantization.scale[0]


def _conv(name: str, activation: int, **more: int) -> Table:
    fields = {
        "padding": SAME, "stride_w": 1, "stride_h": 1,
        "dilation_w_factor": 1, "dilation_h_factor": 1,
        "fused_activation_function": activation, **more,
    }  # fmt: skip
    return Table(name, fields)
