"""Buffers that kernels keep from Prepare on, whose bytes depend on the op's tensors."""

from __future__ import annotations

from math import prod

from sim.graph.graph import ITEM_BYTES, Tensor
from sim.graph.scratch.call import Call, Rule
from sim.graph.scratch.cmsis_nn import runs_as_conv_1x1, sums_are_constant
from sim.graph.scratch.reference import QUANTIZED, fft_length
from sim.plan.runtime_overhead.layout import size_of
from sim.plan.runtime_overhead.structs import EVAL_TENSOR, int_array_bytes

_CIRCULAR_BUFFER = "3P 2i P"  # signal/src/circular_buffer.h:25
_SOFTMAX_TABLE_BYTES = 2 * 513  # softmax_common.cc:37-43, LUTSize<int16_t>()
_FFT_FACTORS_BYTES = 4 * (2 + 2 * 32)  # kiss_fft_state: nfft, inverse, factors


def channels_of(axis: int, quantized_only: bool = False) -> Rule:
    """A multiplier and a shift an output channel, which is dimension `axis` of the filter.

    conv_common.cc:176-182, depthwise_conv_common.cc:167-173, transpose_conv.cc:186-192.
    """

    def tables(call: Call) -> tuple[int, ...]:
        if quantized_only and call.output().dtype not in QUANTIZED:
            return ()
        return (call.shape(call.input(1), axis + 1)[axis] * 4,) * 2

    return tables


def fully_connected(call: Call) -> tuple[int, ...]:
    """As for a convolution, when quantized per channel (fully_connected_common.cc:111-117)."""
    weights = call.input(1)
    scales = weights.quantization.scale if weights.quantization else ()
    if call.input(0).dtype not in QUANTIZED or len(scales) <= 1:
        return ()
    return (len(scales) * 4,) * 2


def helium_fully_connected(call: Call) -> tuple[int, ...]:
    """Also the sums over a constant filter (cmsis_nn/fully_connected.cc:151-170)."""
    weights = call.input(1)
    if call.input(0).dtype != "INT8" or weights.dtype == "INT4" or runs_as_conv_1x1(call):
        return fully_connected(call)
    sums = (call.output().shape[-1] * 4,) if sums_are_constant(call) else ()
    return (*fully_connected(call), *sums)


def helium_svdf(call: Call) -> tuple[int, ...]:
    """The sums over the feature weights (cmsis_nn/svdf.cc:192-218)."""
    return (call.shape(call.input(1), 1)[0] * 4,) if call.input(0).dtype == "INT8" else ()


def cmsis_lstm(call: Call) -> tuple[int, ...]:
    """Eight sums over weights (cmsis_nn/unidirectional_sequence_lstm.cc, CMSIS_NN_PortOpData)."""
    dtype = call.input(0).dtype
    if dtype not in QUANTIZED or call.input(19).dtype != "INT16":
        return ()
    return (call.shape(call.input(18), 2)[1] * (4 if dtype == "INT8" else 8),) * 8


def softmax(call: Call) -> tuple[int, ...]:
    """Two look-up tables for int16 (softmax_common.cc:36-43)."""
    return (_SOFTMAX_TABLE_BYTES,) * 2 if call.input(0).dtype == "INT16" else ()


def add_n(call: Call) -> tuple[int, ...]:
    """Op data that only int8 has (add_n.cc:92)."""
    return (size_of("10i", call.bits),) if call.output().dtype == "INT8" else ()


def cumsum(call: Call) -> tuple[int, ...]:
    """Op data that only int8 has (cumsum.cc:74)."""
    return (size_of("9i", call.bits),) if call.output().dtype == "INT8" else ()


def log_softmax(call: Call) -> tuple[int, ...]:
    """Op data that only int8 has (log_softmax.cc:63)."""
    return (size_of("5i 2P", call.bits),) if call.input(0).dtype == "INT8" else ()


def output_dims(call: Call) -> tuple[int, ...]:
    """The output's shape, made writable (kernel_util.cc:128, CreateWritableTensorDimsWithCopy)."""
    return (int_array_bytes(len(call.output().shape)),)


def embedding_lookup(call: Call) -> tuple[int, ...]:
    """Shape and op data (embedding_lookup.cc:54, 102)."""
    return (*output_dims(call), size_of("i P", call.bits))


def batch_matmul(call: Call) -> tuple[int, ...]:
    """Quantization, and a transposed copy of an operand (batch_matmul.cc:90-170)."""
    left, right, options = call.input(0), call.input(1), call.op.options
    sizes = [size_of("7i", call.bits)] if left.dtype in QUANTIZED else []
    if options["adj_x"]:
        sizes += _transposed(left, call.bits)
    if not options["adj_y"]:
        sizes += _transposed(right, call.bits)
    return (*sizes, *output_dims(call))


def _transposed(tensor: Tensor, bits: int) -> tuple[int, int, int]:
    return size_of(EVAL_TENSOR, bits), int_array_bytes(len(tensor.shape)), tensor.nbytes


def decode(call: Call) -> tuple[int, ...]:
    """An upper bound: a state an output, and its zero points (decode.cc, decode_state*.h)."""
    sizes = [len(call.op.outputs) * call.pointer_bytes]
    for index in range(len(call.op.outputs)):
        scales = call.output(index).quantization
        sizes += [size_of("9P 3b", call.bits), len(scales.scale) if scales else 0]
    return tuple(sizes)


def signal_delay(call: Call) -> tuple[int, ...]:
    """A ring buffer an outer row (signal/micro/kernels/delay.cc:86-102)."""
    frame = call.shape(call.input(0), 1)[-1]
    return _rings(call, frame + call.custom_integer("delay_length", 0))


def signal_framer(call: Call) -> tuple[int, ...]:
    """A ring buffer an outer row, of whole steps (signal/micro/kernels/framer.cc:111-134)."""
    frames, size = call.shape(call.output(), 2)[-2:]
    step = max(call.shape(call.input(0), 1)[-1] // max(frames, 1), 1)
    return _rings(call, -(-size // step) * step)


def _rings(call: Call, capacity: int) -> tuple[int, ...]:
    outer = prod(call.shape(call.input(0), 1)[:-1])
    return (*(outer * call.pointer_bytes,) * 2, *(_ring_bytes(call, capacity),) * outer)


def _ring_bytes(call: Call, capacity: int) -> int:
    """signal/src/circular_buffer.cc:35, CircularBufferGetNeededMemory."""
    return size_of(_CIRCULAR_BUFFER, call.bits) + 2 * 2 * capacity


def signal_stacker(call: Call) -> tuple[int, ...]:
    """One ring buffer of the size of the output (signal/micro/kernels/stacker.cc:76-81)."""
    return (_ring_bytes(call, call.output().elements),)


def signal_overlap_add(call: Call) -> tuple[int, ...]:
    """A frame an outer row (signal/micro/kernels/overlap_add.cc:107-116)."""
    source = call.input(0)
    *outer, _, frame = call.shape(source, 2)
    count = prod(outer)
    return (count * call.pointer_bytes, *(frame * ITEM_BYTES[source.dtype],) * count)


def signal_filter_bank(call: Call) -> tuple[int, ...]:
    """A sum a channel, and one spare (signal/micro/kernels/filter_bank.cc:64)."""
    return ((call.output().elements + 1) * 8,)


def signal_spectral_subtraction(call: Call) -> tuple[int, ...]:
    """The noise of each channel (filter_bank_spectral_subtraction.cc:91)."""
    return (call.input(0).elements * 4,)


def signal_fft(call: Call) -> tuple[int, ...]:
    """State of a real kissfft transform (rfft.cc:71, irfft.cc:71; kiss_fftr_alloc)."""
    inverse = call.name == "SignalIrfft"
    length = call.shape(call.output(), 1)[-1] if inverse else fft_length(call)
    dtype = call.output().dtype
    complex_bytes, half = 2 * ITEM_BYTES[dtype], length // 2
    wrapper = size_of("i P", call.bits) if inverse and dtype == "FLOAT32" else 0
    half_state = _FFT_FACTORS_BYTES + half * complex_bytes
    return (wrapper + 3 * call.pointer_bytes + half_state + half * 3 // 2 * complex_bytes,)
