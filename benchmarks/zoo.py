"""Builds models of the field that can't be shipped: their structure, with random int8 weights.

    python -m benchmarks.zoo FOLDER [NAME...]

Run it at the repository's root. Same seed, same bytes. What counts for memory is the structure;
weights and scales are chosen so that activations spread over their range and the outputs follow
the inputs, or a proof of bit-exactness would prove little.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod, sqrt
from pathlib import Path

import numpy as np

from sim.calibration.structures import MOBILENET_V1, MOBILENET_V2, rounded
from sim.graph.graph import Graph, Quantization, Table
from sim.graph.tflite_writer import to_bytes
from tests.graphs import NONE, RELU, RELU6, SAME, VALID, Net, unet

SIGMAS = 4
"""Standard deviations that a tensor's range covers to each side."""
BEFORE_RELU = 2.0
"""Standard deviation before an activation: RELU6 cuts off a half below and little above."""
RELU_VARIANCE = 0.34
"""Variance of max(x, 0) for x of variance 1."""
LOGITS = 4.0
"""Standard deviation of logits: of 1000 classes, a few are above softmax's step of 1/256."""


class Calibrated(Net):
    """A net whose weights keep the variance of what they see; it is known of each tensor.

    Rows of weights sum up to zero, so that the mean of positive activations doesn't add up.
    """

    def __init__(self, seed: int, name: str) -> None:
        super().__init__(seed, name)
        self.variance: dict[int, float] = {}
        self.wanted = 1.0

    def image(self, *shape: int) -> int:
        """An input from -1 to 1."""
        return self.input(*shape, scale=2 / 255, zero=-1)

    def input(self, *shape: int, scale: float = 0.05, zero: int = 0, dtype: str = "INT8") -> int:
        made = super().input(*shape, scale=scale, zero=zero, dtype=dtype)
        self.variance[made] = (255 * scale) ** 2 / 12
        return made

    def like(self, x: int, *shape: int) -> int:
        made = super().like(x, *shape)
        self.variance[made] = self.variance[x]
        return made

    def _weights(
        self, shape: tuple[int, ...], axis: int, x: int, *, per_channel: bool = True
    ) -> tuple[int, int]:
        rest = tuple(i for i in range(len(shape)) if i != axis)
        fan_in = prod(shape[i] for i in rest)
        real = self.random.standard_normal(shape)
        if fan_in > 1:
            real -= real.mean(rest, keepdims=True)
        real *= self.wanted / sqrt(self.variance[x]) / np.sqrt((real**2).sum(rest, keepdims=True))
        steps = np.abs(real).max(rest if per_channel else None, keepdims=True) / 127
        scales = tuple(float(np.float32(s)) for s in steps.ravel())
        along = axis if per_channel else 0
        weights = self.tensor(
            shape,
            name="weights",
            data=np.rint(real / steps).astype(np.int8).tobytes(),
            quantization=Quantization(scales, (0,) * len(scales), along),
        )
        fine = [float(np.float32(s * self.scale(x))) for s in scales]
        offsets = self.random.standard_normal(shape[axis]) * self.wanted / 4
        bias = self.tensor(
            (shape[axis],),
            "INT32",
            name="bias",
            data=np.rint(offsets / np.array(fine)).astype("<i4").tobytes(),
            quantization=Quantization(tuple(fine), (0,) * len(fine), 0),
        )
        return weights, bias

    def _settled(self, x: int, sigma: float, activation: int = NONE) -> int:
        """The tensor with the range of values of that deviation behind that activation."""
        low = 0.0 if activation else -SIGMAS * sigma
        high = 6.0 if activation == RELU6 else SIGMAS * sigma
        scale = float(np.float32((high - low) / 255))
        quantization = Quantization((scale,), (round(-128 - low / scale),))
        self.tensors[x] = replace(self.tensors[x], quantization=quantization)
        self.variance[x] = sigma**2 * (RELU_VARIANCE if activation else 1)
        return x

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
        self.wanted = BEFORE_RELU if activation else 1.0
        made = super().conv(x, channels, kernel, stride, padding, dilation, activation)
        return self._settled(made, self.wanted, activation)

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
        self.wanted = BEFORE_RELU if activation else 1.0
        made = super().depthwise(x, kernel, stride, padding, multiplier, dilation, activation)
        return self._settled(made, self.wanted, activation)

    def transpose_conv(
        self, x: int, channels: int, kernel: int = 2, stride: int = 2, padding: int = SAME
    ) -> int:
        self.wanted = 1.0 * stride  # an output sees a weight in every stride x stride
        made = super().transpose_conv(x, channels, kernel, stride, padding)
        return self._settled(made, 1.0)

    def requantize(self, x: int, scale: float, zero: int) -> int:
        made = super().requantize(x, scale, zero)
        self.variance[made] = self.variance[x]
        return made

    def concat(self, xs: Sequence[int], axis: int = 3) -> int:
        made = super().concat(xs, axis)
        self.variance[made] = sum(self.variance[x] for x in xs) / len(xs)
        return made

    def add(self, a: int, b: int, activation: int = NONE) -> int:
        made = super().add(a, b, activation)
        return self._settled(made, sqrt(self.variance[a] + self.variance[b]), activation)

    def average(self, x: int) -> int:
        """The mean of each channel as AVERAGE_POOL_2D over the whole image."""
        n, h, w, c = self.shape(x)
        made = self.like(x, n, 1, 1, c)
        fields = {
            "padding": VALID, "stride_w": 1, "stride_h": 1, "filter_width": w, "filter_height": h,
        }  # fmt: skip
        self.op("AVERAGE_POOL_2D", [x], [made], Table("Pool2DOptions", fields), 2)
        return self._averaged(x, made)

    def mean(self, x: int) -> int:
        return self._averaged(x, super().mean(x))

    def _averaged(self, x: int, made: int) -> int:
        """Neighbours are alike: a mean varies more than that of as many independent values."""
        self.variance[made] = self.variance[x] / sqrt(prod(self.shape(x)[1:3]))
        return made

    def dense(self, x: int, units: int) -> int:
        self.wanted = LOGITS
        return self._settled(super().dense(x, units), LOGITS)


def mobilenet_v2(alpha: float, size: int, name: str) -> Graph:
    """MobileNetV2 as in Keras, but with stride-2 padding as TFLite's own SAME, without PAD ops."""
    net = Calibrated(0, name)
    x = net.conv(net.image(1, size, size, 3), rounded(32 * alpha), stride=2, activation=RELU6)
    for expansion, channels, blocks, first_stride in MOBILENET_V2:
        for index in range(blocks):
            stride = first_stride if index == 0 else 1
            wide = x
            if expansion > 1:
                wide = net.conv(x, net.shape(x)[3] * expansion, 1, activation=RELU6)
            wide = net.depthwise(wide, stride=stride, activation=RELU6)
            narrow = net.conv(wide, rounded(channels * alpha), 1, activation=NONE)
            x = net.add(x, narrow) if index > 0 else narrow
    x = net.conv(x, rounded(1280 * max(1.0, alpha)), 1, activation=RELU6)
    return net.graph(net.softmax(net.dense(net.mean(x), 1000)))


def mobilenet_v1(alpha: float, size: int, classes: int, name: str) -> Graph:
    """MobileNetV1; with 0.25, 96 and 2 classes the visual wake words of MLPerf Tiny."""
    net = Calibrated(0, name)
    x = net.conv(net.image(1, size, size, 3), int(32 * alpha), stride=2, activation=RELU6)
    for channels, stride in MOBILENET_V1:
        x = net.depthwise(x, stride=stride, activation=RELU6)
        x = net.conv(x, int(channels * alpha), 1, activation=RELU6)
    return net.graph(net.softmax(net.dense(net.average(x), classes)))


def ds_cnn() -> Graph:
    """The keyword spotter of MLPerf Tiny: 49 frames of 10 features, 12 words."""
    net = Calibrated(0, "ds_cnn")
    x = net.conv(net.image(1, 49, 10, 1), 64, (10, 4), stride=2)
    for _ in range(4):
        x = net.conv(net.depthwise(x), 64, 1)
    return net.graph(net.softmax(net.dense(net.average(x), 12)))


def resnet_8() -> Graph:
    """The image classifier of MLPerf Tiny: 32x32 pixels, 10 classes."""
    net = Calibrated(0, "resnet_8")
    x = net.conv(net.image(1, 32, 32, 3), 16)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = net.conv(net.conv(x, channels, stride=stride), channels, activation=NONE)
        if stride > 1:
            x = net.conv(x, channels, 1, stride, activation=NONE)
        x = net.add(x, y, RELU)
    return net.graph(net.softmax(net.dense(net.average(x), 10)))


ZOO: dict[str, Callable[[], Graph]] = {
    "mobilenet_v2_035_144": lambda: mobilenet_v2(0.35, 144, "mobilenet_v2_035_144"),
    "mobilenet_v2_100_224": lambda: mobilenet_v2(1.0, 224, "mobilenet_v2_100_224"),
    "mobilenet_v1_025_96": lambda: mobilenet_v1(0.25, 96, 2, "mobilenet_v1_025_96"),
    "person_96": lambda: mobilenet_v1(0.25, 96, 2, "person_96"),
    "surface_unet": lambda: unet(192, 256, classes=2, net=Calibrated(0, "surface_unet")),
    "unet_80_120": lambda: unet(net=Calibrated(0, "unet_80_120")),
    "ds_cnn": ds_cnn,
    "resnet_8": resnet_8,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ZOO)}")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in ZOO]
    if unknown:
        parser.error(f"found {unknown[0]!r}, wanted one of {', '.join(ZOO)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or ZOO:
        path = build(name, options.folder)
        print(f"{path}: {path.stat().st_size} B")
    return 0


def build(name: str, folder: Path) -> Path:
    """Writes a model of the zoo into the folder, if it is not there yet; its path."""
    path = folder / f"{name}.tflite"
    if not path.exists():
        path.write_bytes(to_bytes(ZOO[name]()))
    return path


if __name__ == "__main__":
    raise SystemExit(main())
