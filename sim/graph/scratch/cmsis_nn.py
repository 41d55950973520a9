"""Scratch of TFLM's CMSIS-NN glue: kernels/cmsis_nn and the *_get_buffer_size functions it calls.

CMSIS-NN at commit 4ab83cc3, which this TFLM downloads (tools/make/ext_libs/cmsis_nn_download.sh).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import fmod, prod
from types import MappingProxyType

from sim.graph.scratch import reference
from sim.graph.scratch.call import Call


@dataclass(frozen=True, slots=True)
class Flavor:
    """A build of CMSIS-NN. `helium`: with MVE (M55, M85), else with DSP (M4, M7, M33).

    `armclang`: built by Arm Compiler 6, whose fast 1x1 convolution wants a buffer.
    """

    helium: bool = False
    armclang: bool = False


FLAVORS: Mapping[str, Flavor] = MappingProxyType(
    {
        "cmsis_nn": Flavor(),
        "cmsis_nn_armclang": Flavor(armclang=True),
        "cmsis_nn_mve": Flavor(helium=True),
    }
)

FlavoredRule = Callable[[Call, Flavor], tuple[int, ...]]

_CHANNELS_A_BLOCK = 124
"""CH_IN_BLOCK_MVE (arm_nnsupportfunctions.h:65)."""

_REVERSE_ABOVE_CHANNELS = 16
"""REVERSE_TCOL_EFFICIENT_THRESHOLD (arm_nnsupportfunctions.h:78)."""

_DEPTHWISE_AS_CONV_ABOVE_CHANNELS = 1
"""CONVERT_DW_CONV_... of a build by GCC or LLVM (arm_nnsupportfunctions.h:83-87)."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A convolution along its width, and what decides which kernel runs it."""

    input: tuple[int, ...]
    output: tuple[int, ...]
    kernel: tuple[int, int]
    filter_channels: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]


def _padding(same: bool, size: int, kernel: int, stride: int, dilation: int) -> int:
    """Rows or columns before the first (kernels/padding.h, ComputePaddingHeightWidth)."""
    reach = (kernel - 1) * dilation + 1
    out = -(-size // stride) if same else (size + stride - reach) // stride
    return max((out - 1) * stride + reach - size, 0) // 2


def _window(call: Call) -> _Window:
    options = call.op.options
    source, target = call.shape(call.input(0), 4), call.shape(call.output(), 4)
    weights = call.shape(call.input(1), 4)
    stride = max(options.integer("stride_h"), 1), max(options.integer("stride_w"), 1)
    dilation = (
        max(options.integer("dilation_h_factor", 1), 1),
        max(options.integer("dilation_w_factor", 1), 1),
    )
    same = options.integer("padding") == 0
    pad = tuple(
        _padding(same, source[i + 1], weights[i + 1], stride[i], dilation[i]) for i in (0, 1)
    )
    return _Window(
        source, target, (weights[1], weights[2]), weights[3], stride, dilation, (pad[0], pad[1])
    )


def _im2col_s8(columns: int, flavor: Flavor) -> int:
    """arm_convolve_s8_get_buffer_size: 4 columns of bytes, or 2 of int16."""
    if flavor.helium:
        return 4 * (-(-columns // 16) * 16)
    return 2 * (-(-columns // 4) * 4) * 2


def _row_s8(w: _Window) -> int | None:
    """arm_convolve_1_x_n_s8_get_buffer_size_mve; None when it falls back to im2col."""
    channels, kernel, stride, pad = w.input[3], w.kernel[1], w.stride[1], w.pad[1]
    total = (w.output[2] - 1) * stride + kernel - w.input[2]
    odd = int(fmod(total, 2))  # the sign of C's %
    right = max(1, int((pad + odd + stride - 1) / stride)) if pad + odd else 0
    left = max(1, (pad + stride - 1) // stride) if pad else 0
    inner = max(w.output[2] - right - left, 0)
    if right + inner + left != w.output[2]:
        return None
    after = right * channels if odd else pad * channels
    return max((kernel + pad) * channels, (kernel - 1) * channels + after)


def _conv_s8(w: _Window, flavor: Flavor) -> int:
    """arm_convolve_wrapper_s8_get_buffer_size (arm_convolve_get_buffer_sizes_s8.c)."""
    channels = w.input[3]
    dense = w.dilation[1] == 1 and channels == w.filter_channels
    if dense and w.dilation[0] == 1 and w.kernel == (1, 1) and w.pad == (0, 0):
        fast = w.stride == (1, 1)
        return 2 * channels * 2 if fast and flavor.armclang and not flavor.helium else 0
    if flavor.helium and dense and w.input[1] == 1 and w.kernel[0] == 1:
        row = _row_s8(w) if w.stride[1] * channels % 4 == 0 else None
        if row is not None:
            return row
    return _im2col_s8(prod(w.kernel) * channels, flavor)


def _conv(call: Call, flavor: Flavor) -> tuple[int, ...]:
    """cmsis_nn/conv.cc:135-172; a 4-bit filter asks for what an 8-bit one does."""
    w, dtype = _window(call), call.input(0).dtype
    if dtype == "INT8":
        size = _conv_s8(w, flavor)
    elif dtype == "INT16":
        columns = w.input[3] * prod(w.kernel)
        size = 4 * (-(-columns // 8) * 8) * 2 if flavor.helium else 2 * columns * 2
    else:
        size = 0
    return (size,) if size > 0 else ()


def _depthwise(call: Call, flavor: Flavor) -> tuple[int, ...]:
    """cmsis_nn/depthwise_conv.cc:145-195: int8 input, filter of 8 or 4 bits."""
    if call.input(0).dtype != "INT8":
        return ()
    size = _depthwise_s8(_window(call), call.input(1).dtype == "INT4", flavor)
    return (size,) if size > 0 else ()


def _depthwise_s8(w: _Window, int4: bool, flavor: Flavor) -> int:
    """arm_depthwise_conv_wrapper_s8_get_buffer_size, and its s4 twin."""
    channels, out_channels = w.input[3], w.output[3]
    as_conv = channels == 1 and out_channels > _DEPTHWISE_AS_CONV_ABOVE_CHANNELS
    if flavor.helium and as_conv and not int4:
        # The glue leaves the stride of this question unset; both answers are possible.
        sizes = (_conv_s8(_one_channel(w, stride), flavor) for stride in (1, 4))
        return max(sizes) + out_channels * prod(w.kernel)
    if channels != out_channels or w.input[0] != 1 or w.dilation != (1, 1):
        return 0
    if flavor.helium:
        return 4 * _CHANNELS_A_BLOCK * prod(w.kernel)
    if not int4 and w.kernel == (3, 3) and max(w.pad) <= 1:
        return 0
    return channels * prod(w.kernel) * 2


def _one_channel(w: _Window, stride: int) -> _Window:
    return _Window(w.input, w.output, w.kernel, 1, (stride, stride), w.dilation, w.pad)


def _transpose_conv(call: Call, flavor: Flavor) -> tuple[int, ...]:
    """cmsis_nn/transpose_conv.cc:213-255; for int8 the second buffer may have no bytes."""
    if call.input(2).dtype != "INT8":
        return reference.transpose_conv(call)
    options = call.op.options
    source, weights = call.shape(call.input(2), 4), call.shape(call.input(1), 4)
    stride_h, stride_w = options.integer("stride_h"), options.integer("stride_w")
    taps = weights[1] * weights[2] * source[3]
    if max(stride_h, stride_w) <= 2 and source[3] > _REVERSE_ABOVE_CHANNELS:
        return _im2col_s8(taps, flavor), taps * weights[0]
    width = ((source[2] - 1) * stride_w + max(weights[2], stride_h)) * weights[0]
    return width * max(weights[1], stride_h) * 4, 0


def _fully_connected(call: Call, flavor: Flavor) -> tuple[int, ...]:
    """cmsis_nn/fully_connected.cc:124-180, built for speed."""
    source, weights, target = call.input(0), call.input(1), call.output()
    if source.dtype != "INT8" or weights.dtype == "INT4":
        return ()
    depth, channels = call.shape(weights, 1)[-1], call.shape(target, 1)[-1]
    if runs_as_conv_1x1(call):
        scales = weights.quantization.scale if weights.quantization else ()
        tables = (channels * 4 * 2,) if len(scales) <= 1 else ()
        fast = (2 * depth * 2,) if flavor.armclang and not flavor.helium else ()
        return (*tables, *fast)
    if not flavor.helium or sums_are_constant(call):
        return ()
    return (channels * 4,)


def runs_as_conv_1x1(call: Call) -> bool:
    """Whether an int8 FULLY_CONNECTED is a 1x1 convolution (cmsis_nn/fully_connected.cc:128)."""
    depth = call.shape(call.input(1), 1)[-1]
    return len(call.output().shape) > 2 and depth % 4 == 0


def sums_are_constant(call: Call) -> bool:
    """Whether the sums over a filter can be made once, when prepared (:151-158)."""
    bias = call.optional(2)
    return call.input(1).is_constant and (bias is None or bias.is_constant)


def _average_pool(call: Call, flavor: Flavor) -> tuple[int, ...]:
    """cmsis_nn/pooling.cc:176-192: an int32 a channel, with DSP only."""
    source = call.input(0)
    if source.dtype not in reference.QUANTIZED or flavor.helium:
        return ()
    return (call.shape(source, 4)[3] * 4,)


def _batch_matmul(call: Call, flavor: Flavor) -> tuple[int, ...]:
    """cmsis_nn/batch_matmul.cc:312: with MVE an int32 a column of the output, of rank 2 to 4."""
    shape = call.output().shape
    if not flavor.helium or call.input(0).dtype != "INT8":
        return ()
    return (shape[-1] * 4 if 2 <= len(shape) <= 4 else 4,)


def _lstm(call: Call, flavor: Flavor) -> tuple[int, ...]:
    """cmsis_nn/unidirectional_sequence_lstm.cc: three gates when quantized, else four."""
    quantized = call.input(0).dtype in reference.QUANTIZED and call.input(19).dtype == "INT16"
    return (reference.lstm_gate_bytes(call),) * (3 if quantized else 4)


CMSIS_NN: Mapping[str, FlavoredRule] = MappingProxyType(
    {
        "CONV_2D": _conv,
        "DEPTHWISE_CONV_2D": _depthwise,
        "TRANSPOSE_CONV": _transpose_conv,
        "FULLY_CONNECTED": _fully_connected,
        "AVERAGE_POOL_2D": _average_pool,
        "BATCH_MATMUL": _batch_matmul,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    }
)
"""The kernels whose scratch differs from the reference kernel's; SVDF's is the same."""
