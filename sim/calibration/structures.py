"""The published models that measurements are of, by their structure: shapes, and no weights.

What a simulation needs of a model is shapes and bytes; constants here are zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

from sim.errors import ConfigError
from sim.graph.graph import Graph, Op, Table, Tensor

MOBILENET_V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)
)  # fmt: skip
"""Channels and stride of each depthwise separable block (Howard et al., 2017, table 1)."""
MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
"""Expansion, channels, blocks, stride of the first (Sandler et al., CVPR 2018, table 2)."""
AUTOENCODER = (128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
"""Units of the layers of MLPerf Tiny's anomaly detector, whose input has 640."""
VWW_ALIVE = (16, 32, 32, 64, 60, 107, 57, 30, 19, 19, 27, 32, 22)
"""Channels behind each block of MLPerf Tiny's vww_96_int8 that are not always zero.

Engines that skip the others compute as if the model had no more than these.
"""


class _Layers:
    """A model under construction, one layer behind the other; heights and widths are `SAME`."""

    def __init__(self, name: str, *shape: int) -> None:
        self.name = name
        self.tensors = [Tensor(0, "input", shape)]
        self.ops: list[Op] = []
        self.last = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensors[self.last].shape

    def _tensor(
        self, shape: tuple[int, ...], *, constant: bool = False, dtype: str = "INT8"
    ) -> int:
        new = len(self.tensors)
        made = Tensor(new, f"t{new}", shape, dtype)
        data = bytes(made.nbytes) if constant else None
        self.tensors.append(Tensor(new, made.name, shape, dtype, data=data))
        return new

    def _op(self, kind: str, inputs: Sequence[int], shape: tuple[int, ...], **fields: int) -> int:
        self.last = self._tensor(shape)
        self.ops.append(Op(kind, tuple(inputs), (self.last,), Table(kind, fields)))
        return self.last

    def _with_weights(
        self, kind: str, weights: tuple[int, ...], shape: tuple[int, ...], **fields: int
    ) -> int:
        inputs = (
            self.last,
            self._tensor(weights, constant=True),
            self._tensor((shape[-1],), constant=True, dtype="INT32"),
        )
        return self._op(kind, inputs, shape, **fields)

    def conv(self, channels: int, kernel: tuple[int, int] = (3, 3), stride: int = 1) -> int:
        _, height, width, depth = self.shape
        shape = (1, ceil(height / stride), ceil(width / stride), channels)
        weights = (channels, *kernel, depth)
        return self._with_weights("CONV_2D", weights, shape, stride_h=stride, stride_w=stride)

    def depthwise(
        self, stride: int = 1, kernel: tuple[int, int] = (3, 3), multiplier: int = 1
    ) -> int:
        _, height, width, depth = self.shape
        shape = (1, ceil(height / stride), ceil(width / stride), depth * multiplier)
        weights = (1, *kernel, shape[-1])
        return self._with_weights(
            "DEPTHWISE_CONV_2D", weights, shape,
            stride_h=stride, stride_w=stride, depth_multiplier=multiplier,
        )  # fmt: skip

    def dense(self, units: int) -> int:
        return self._with_weights("FULLY_CONNECTED", (units, self.shape[-1]), (1, units))

    def add(self, a: int, b: int) -> int:
        return self._op("ADD", (a, b), self.tensors[a].shape)

    def pooled(self) -> int:
        return self._op("AVERAGE_POOL_2D", (self.last,), (1, 1, 1, self.shape[-1]))

    def flat(self) -> int:
        return self._op("RESHAPE", (self.last,), (1, self.tensors[self.last].elements))

    def classified(self, classes: int) -> Graph:
        """Pooled, one layer of so many units, softmax."""
        self.pooled()
        self.flat()
        self.dense(classes)
        return self.softmax()

    def softmax(self) -> Graph:
        self._op("SOFTMAX", (self.last,), self.shape)
        return self.graph()

    def graph(self) -> Graph:
        return Graph(self.name, tuple(self.tensors), tuple(self.ops), (0,), (self.last,))


def rounded(channels: float) -> int:
    """Keras' rule: a multiple of 8, at least 8, and no more than 10 % below what was asked for."""
    made = max(8, int(channels + 4) // 8 * 8)
    return made + 8 if made < 0.9 * channels else made


def _mobilenet_v1(
    alpha: float, size: int, classes: int, colours: int = 3, alive: Sequence[int] = ()
) -> Graph:
    net = _Layers("mobilenet_v1", 1, size, size, colours)
    net.conv(int(32 * alpha), stride=2)
    for index, (channels, stride) in enumerate(MOBILENET_V1):
        net.depthwise(stride)
        net.conv(alive[index] if alive else int(channels * alpha), (1, 1))
    return net.classified(classes)


def _mobilenet_v2(alpha: float, size: int, classes: int) -> Graph:
    net = _Layers("mobilenet_v2", 1, size, size, 3)
    net.conv(rounded(32 * alpha), stride=2)
    for expansion, channels, blocks, first_stride in MOBILENET_V2:
        for index in range(blocks):
            before = net.last
            if expansion > 1:
                net.conv(net.shape[-1] * expansion, (1, 1))
            net.depthwise(1 if index else first_stride)
            narrow = net.conv(rounded(channels * alpha), (1, 1))
            if index:
                net.add(before, narrow)
    net.conv(rounded(1280 * max(1.0, alpha)), (1, 1))
    return net.classified(classes)


def _ds_cnn() -> Graph:
    net = _Layers("ds_cnn", 1, 49, 10, 1)
    net.conv(64, (10, 4), 2)
    for _ in range(4):
        net.depthwise()
        net.conv(64, (1, 1))
    return net.classified(12)


def _resnet(blocks: int) -> Graph:
    """ResNet v1 for CIFAR10 with so many blocks in each of three stages."""
    net = _Layers("resnet", 1, 32, 32, 3)
    net.conv(16)
    for channels, first_stride in ((16, 1), (32, 2), (64, 2)):
        for index in range(blocks):
            stride = 1 if index else first_stride
            before = net.last
            net.conv(channels, stride=stride)
            after = net.conv(channels)
            if stride > 1:
                net.last = before
                before = net.conv(channels, (1, 1), stride)
            net.add(before, after)
    return net.classified(10)


def _autoencoder() -> Graph:
    net = _Layers("autoencoder", 1, 640)
    for units in AUTOENCODER:
        net.dense(units)
    return net.graph()


def _person_detect() -> Graph:
    """MobileNetV1 0.25 of TFLM's example: its first layer is a depthwise one, of 8 channels."""
    net = _Layers("person_detect", 1, 96, 96, 1)
    net.depthwise(2, multiplier=8)
    for channels, stride in MOBILENET_V1:
        net.depthwise(stride)
        net.conv(channels // 4, (1, 1))
    net.pooled()
    net.conv(2, (1, 1))
    net.flat()
    return net.softmax()


def _micro_speech() -> Graph:
    net = _Layers("micro_speech", 1, 49, 40, 1)
    net.depthwise(2, (10, 8), multiplier=8)
    net.flat()
    net.dense(4)
    return net.softmax()


_FIXED: Mapping[str, Callable[[], Graph]] = {
    "vww": lambda: _mobilenet_v1(0.25, 96, 2),
    "vww_alive": lambda: _mobilenet_v1(0.25, 96, 2, alive=VWW_ALIVE),
    "ic": lambda: _resnet(1),
    "kws": _ds_cnn,
    "ad": _autoencoder,
    "resnet_32": lambda: _resnet(5),
    "person_detect": _person_detect,
    "micro_speech": _micro_speech,
}
STRUCTURES = (*_FIXED, "mobilenet_v1_ALPHA_SIZE_CLASSES", "mobilenet_v2_ALPHA_SIZE_CLASSES")


def structure(name: str) -> Graph:
    """The model of that name; ALPHA is in percent: "mobilenet_v1_25_96_1000".

    Raises ConfigError if there is none.
    """
    if name in _FIXED:
        return _FIXED[name]()
    family, _, rest = name.rpartition("_v")
    numbers = rest.split("_")
    if family == "mobilenet" and len(numbers) == 4 and all(n.isdigit() for n in numbers):
        version, alpha, size, classes = (int(n) for n in numbers)
        made = {1: _mobilenet_v1, 2: _mobilenet_v2}.get(version)
        if made is not None:
            return made(alpha / 100, size, classes)
    raise ConfigError("measurements", None, "model", name, f"one of: {', '.join(STRUCTURES)}")
