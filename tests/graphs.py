"""Builds small int8 graphs for tests: layers with random weights and sane quantization."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import numpy as np

from sim.graph.graph import Graph, Op, Quantization, Table, Tensor

SAME, VALID = 0, 1
NONE, RELU, RELU6 = 0, 1, 3


class Net:
    """A graph under construction; each layer returns the id of its output tensor."""

    def __init__(self, seed: int = 0, name: str = "net", *, per_channel: bool = True) -> None:
        self.random = np.random.default_rng(seed)
        self.name = name
        self.per_channel = per_channel
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.inputs: list[int] = []

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: str = "INT8",
        *,
        scale: float = 0.05,
        zero: int = 0,
        name: str = "",
        data: bytes | None = None,
        quantization: Quantization | None = None,
    ) -> int:
        new = len(self.tensors)
        if quantization is None and dtype in ("INT8", "INT16"):
            quantization = Quantization((float(np.float32(scale)),), (zero,))
        label = name or f"t{new}"
        self.tensors.append(Tensor(new, label, shape, dtype, quantization, data))
        return new

    def like(self, x: int, *shape: int) -> int:
        """A new tensor quantized as another; of the same shape if none is given."""
        return self.tensor(shape or self.shape(x), scale=self.scale(x), zero=self.zero(x))

    def input(self, *shape: int, scale: float = 0.05, zero: int = 0, dtype: str = "INT8") -> int:
        name = f"input{len(self.inputs)}"
        made = self.tensor(shape, dtype, scale=scale, zero=zero, name=name)
        self.inputs.append(made)
        return made

    def ints(self, *values: int, shape: tuple[int, ...] = ()) -> int:
        """A constant of int32: a vector, if no other shape is given."""
        data = np.array(values, "<i4").tobytes()
        return self.tensor(shape or (len(values),), "INT32", data=data, name="const")

    def op(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Table | None = None,
        version: int = 1,
    ) -> None:
        self.ops.append(Op(kind, tuple(inputs), tuple(outputs), options or Table(), version))

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.tensors[tensor].shape

    def scale(self, tensor: int) -> float:
        quantization = self.tensors[tensor].quantization
        assert quantization is not None
        return quantization.scale[0]

    def zero(self, tensor: int) -> int:
        quantization = self.tensors[tensor].quantization
        assert quantization is not None
        return quantization.zero_point[0]

    def _weights(
        self, shape: tuple[int, ...], axis: int, x: int, *, per_channel: bool = True
    ) -> tuple[int, int]:
        channels = shape[axis]
        count = channels if per_channel and self.per_channel else 1
        scales = tuple(float(np.float32(s)) for s in self.random.uniform(0.005, 0.02, count))
        values = self.random.integers(-127, 128, shape, dtype=np.int8)
        weights = self.tensor(
            shape,
            name="weights",
            data=values.tobytes(),
            quantization=Quantization(scales, (0,) * count, axis if count > 1 else 0),
        )
        bias_scales = tuple(float(np.float32(s * self.scale(x))) for s in scales)
        bias_values = self.random.integers(-2000, 2000, channels).astype("<i4")
        bias = self.tensor(
            (channels,),
            "INT32",
            name="bias",
            data=bias_values.tobytes(),
            quantization=Quantization(bias_scales, (0,) * count, 0),
        )
        return weights, bias

    def _out_scale(self, x: int, fan_in: int) -> float:
        return self.scale(x) * 0.0125 * 73 * sqrt(fan_in) / 2

    def conv(
        self,
        x: int,
        channels: int,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        padding: int = SAME,
        dilation: int = 1,
        activation: int = RELU,
    ) -> int:
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        n, h, w, c = self.shape(x)
        weights, bias = self._weights((channels, kh, kw, c), 0, x)
        oh, ow = _out(h, kh, stride, padding, dilation), _out(w, kw, stride, padding, dilation)
        out = self.tensor((n, oh, ow, channels), scale=self._out_scale(x, kh * kw * c), zero=-3)
        options = Table("Conv2DOptions", _fields(padding, stride, dilation, activation))
        self.op("CONV_2D", [x, weights, bias], [out], options, 3)
        return out

    def depthwise(
        self,
        x: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = SAME,
        multiplier: int = 1,
        dilation: int = 1,
        activation: int = RELU,
    ) -> int:
        n, h, w, c = self.shape(x)
        channels = c * multiplier
        weights, bias = self._weights((1, kernel, kernel, channels), 3, x)
        oh = _out(h, kernel, stride, padding, dilation)
        ow = _out(w, kernel, stride, padding, dilation)
        out = self.tensor((n, oh, ow, channels), scale=self._out_scale(x, kernel**2), zero=-3)
        fields = _fields(padding, stride, dilation, activation)
        options = Table("DepthwiseConv2DOptions", {**fields, "depth_multiplier": multiplier})
        self.op("DEPTHWISE_CONV_2D", [x, weights, bias], [out], options, 3)
        return out

    def transpose_conv(
        self, x: int, channels: int, kernel: int = 2, stride: int = 2, padding: int = SAME
    ) -> int:
        n, h, w, c = self.shape(x)
        weights, bias = self._weights((channels, kernel, kernel, c), 0, x)
        grown = 0 if padding == SAME else max(kernel - stride, 0)
        shape = (n, h * stride + grown, w * stride + grown, channels)
        out_shape = self.ints(*shape)
        out = self.tensor(shape, scale=self._out_scale(x, c), zero=-3)
        fields = {"padding": padding, "stride_w": stride, "stride_h": stride}
        options = Table("TransposeConvOptions", fields)
        self.op("TRANSPOSE_CONV", [out_shape, weights, x, bias], [out], options, 3)
        return out

    def again(self, op: Op, x: int) -> int:
        """A layer run once more with the same weights, on an input like its first one."""
        out = self.like(op.outputs[0])
        self.op(op.kind, [x, *op.inputs[1:]], [out], op.options, op.version)
        return out

    def pool(
        self, x: int, kind: str = "MAX", kernel: int = 2, stride: int = 2, padding: int = VALID
    ) -> int:
        n, h, w, c = self.shape(x)
        oh, ow = _out(h, kernel, stride, padding, 1), _out(w, kernel, stride, padding, 1)
        out = self.like(x, n, oh, ow, c)
        fields = {
            "padding": padding, "stride_w": stride, "stride_h": stride,
            "filter_width": kernel, "filter_height": kernel,
        }  # fmt: skip
        self.op(f"{kind}_POOL_2D", [x], [out], Table("Pool2DOptions", fields), 2)
        return out

    def mean(self, x: int) -> int:
        """The mean of each channel; its kernel asks for scratch."""
        n, _, _, c = self.shape(x)
        out = self.like(x, n, 1, 1, c)
        options = Table("ReducerOptions", {"keep_dims": True})
        self.op("MEAN", [x, self.ints(1, 2)], [out], options, 2)
        return out

    def pad(self, x: int, top: int = 1, bottom: int = 1, left: int = 1, right: int = 1) -> int:
        n, h, w, c = self.shape(x)
        out = self.like(x, n, h + top + bottom, w + left + right, c)
        paddings = self.ints(0, 0, top, bottom, left, right, 0, 0, shape=(4, 2))
        self.op("PAD", [x, paddings], [out], Table("PadOptions"))
        return out

    def crop(self, x: int, begin: tuple[int, ...], shape: tuple[int, ...]) -> int:
        out = self.like(x, *shape)
        self.op("SLICE", [x, self.ints(*begin), self.ints(*shape)], [out], Table("SliceOptions"))
        return out

    def concat(self, xs: Sequence[int], axis: int = 3) -> int:
        """Joined along an axis; inputs that are quantized otherwise than the first are adapted."""
        scale, zero = self.scale(xs[0]), self.zero(xs[0])
        same = [
            x if (self.scale(x), self.zero(x)) == (scale, zero) else self.requantize(x, scale, zero)
            for x in xs
        ]
        shape = list(self.shape(xs[0]))
        shape[axis] = sum(self.shape(x)[axis] for x in xs)
        out = self.tensor(tuple(shape), scale=scale, zero=zero)
        self.op("CONCATENATION", same, [out], Table("ConcatenationOptions", {"axis": axis}), 2)
        return out

    def requantize(self, x: int, scale: float, zero: int) -> int:
        out = self.tensor(self.shape(x), scale=scale, zero=zero)
        self.op("QUANTIZE", [x], [out], Table("QuantizeOptions"), 2)
        return out

    def add(self, a: int, b: int, activation: int = NONE) -> int:
        out = self.tensor(self.shape(a), scale=max(self.scale(a), self.scale(b)) * 1.5, zero=2)
        fields = {"fused_activation_function": activation, "pot_scale_int16": True}
        self.op("ADD", [a, b], [out], Table("AddOptions", fields), 2)
        return out

    def relu(self, x: int) -> int:
        out = self.like(x)
        self.op("RELU", [x], [out], version=2)
        return out

    def dense(self, x: int, units: int) -> int:
        features = prod(self.shape(x))
        flat = self.reshape(x, (1, features))
        weights, bias = self._weights((units, features), 0, x, per_channel=False)
        out = self.tensor((1, units), scale=self._out_scale(x, features))
        options = Table("FullyConnectedOptions", {})
        self.op("FULLY_CONNECTED", [flat, weights, bias], [out], options, 4)
        return out

    def reshape(self, x: int, shape: tuple[int, ...]) -> int:
        out = self.like(x, *shape)
        options = Table("ReshapeOptions", {"new_shape": shape})
        self.op("RESHAPE", [x, self.ints(*shape)], [out], options)
        return out

    def softmax(self, x: int) -> int:
        out = self.tensor(self.shape(x), scale=1 / 256, zero=-128)
        self.op("SOFTMAX", [x], [out], Table("SoftmaxOptions", {"beta": 1.0}), 2)
        return out

    def graph(self, *outputs: int) -> Graph:
        made = Graph(self.name, tuple(self.tensors), tuple(self.ops), tuple(self.inputs), outputs)
        made.verify()
        return made


def _out(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    if padding == SAME:
        return -(-size // stride)
    return -(-(size - (kernel - 1) * dilation) // stride)


def _fields(padding: int, stride: int, dilation: int, activation: int) -> dict[str, int]:
    return {
        "padding": padding, "stride_w": stride, "stride_h": stride,
        "dilation_w_factor": dilation, "dilation_h_factor": dilation,
        "fused_activation_function": activation,
    }  # fmt: skip


def unet(
    height: int = 80,
    width: int = 120,
    channels: tuple[int, ...] = (8, 16, 32, 64),
    classes: int = 5,
    convs: int = 1,
    net: Net | None = None,
) -> Graph:
    """A plain U-Net with 2x2 transposed convolutions; its skips live from end to end."""
    net = net or Net(name="unet")
    x = net.input(1, height, width, 3)
    skips = []
    for depth in channels[:-1]:
        for _ in range(convs):
            x = net.conv(x, depth)
        skips.append(x)
        x = net.pool(x)
    for _ in range(convs):
        x = net.conv(x, channels[-1])
    for depth, skip in zip(reversed(channels[:-1]), reversed(skips), strict=True):
        up = net.transpose_conv(x, depth)
        x = net.concat([up, skip])
        for _ in range(convs):
            x = net.conv(x, depth)
    return net.graph(net.conv(x, classes, kernel=1, activation=NONE))
