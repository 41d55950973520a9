"""Scratch of TFLM's reference kernels, which the PyPI wheel and most plain builds run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sim.graph.graph import ITEM_BYTES
from sim.graph.scratch.call import Call, Rule

QUANTIZED = ("INT8", "INT16")
_INT, _FLOAT = 4, 4


def unpacked_int4(call: Call) -> tuple[int, ...]:
    """A 4-bit filter is unpacked to a byte an element (conv_common.cc:203-211)."""
    weights = call.input(1)
    return (weights.elements,) if weights.dtype == "INT4" else ()


def transpose_conv(call: Call) -> tuple[int, ...]:
    """An accumulator an output element: int32, or int64 for int16 (transpose_conv.cc:125-208)."""
    source, target = call.input(2), call.output()
    if source.dtype == "INT8":
        return (target.elements * 4,)
    if source.dtype != "INT16":
        return ()
    bias = call.optional(3)
    widened = (bias.elements * 8,) if bias is not None and bias.dtype == "INT16" else ()
    return (target.elements * 8, *widened)


def svdf(call: Call) -> tuple[int, ...]:
    """Feature products, and for int8 the sums (svdf_common.cc:479-506)."""
    source, features = call.input(0), call.shape(call.input(1), 1)
    batch, filters = call.shape(source, 1)[0], features[0]
    if source.dtype != "INT8":
        return (batch * filters * _FLOAT,)
    units = filters // max(call.op.options.integer("rank"), 1)
    return batch * filters * _INT, batch * units * _INT


def lstm_gate_bytes(call: Call) -> int:
    """Bytes of one gate: batch x state, in the cell state's type (lstm_eval_common.cc:26)."""
    source, hidden, cell = call.shape(call.input(0), 3), call.input(18), call.input(19)
    batch = source[1] if call.op.options["time_major"] else source[0]
    return batch * call.shape(hidden, 2)[1] * ITEM_BYTES[cell.dtype]


def lstm(call: Call) -> tuple[int, ...]:
    """Four gates (unidirectional_sequence_lstm.cc:86-94)."""
    return (lstm_gate_bytes(call),) * 4


def add_n(call: Call) -> tuple[int, ...]:
    """A pointer an input (add_n.cc:83-101)."""
    return (call.pointer_bytes * len(call.op.inputs),)


def mirror_pad(call: Call) -> tuple[int, ...]:
    """Strides of the output and of the input (mirror_pad.cc:196-201)."""
    return (len(call.input(0).shape) * _INT,) * 2


def mean(call: Call) -> tuple[int, ...]:
    """Quantized: a sum an output element; then index and axes (reduce_common.cc:223-260)."""
    source = call.input(0)
    sums = (call.output().elements * 4,) if source.dtype in QUANTIZED else ()
    return (*sums, *reduce(call))


def reduce(call: Call) -> tuple[int, ...]:
    """Index over the input, and resolved axes (reduce_common.cc:211-215, 278-282)."""
    return len(call.input(0).shape) * _INT, call.input(1).elements * _INT


def detection_postprocess(call: Call) -> tuple[int, ...]:
    """Eleven buffers of the non-maximum suppression (detection_postprocess.cc:186-219).

    Where the options can't be read, sizes follow from the shapes and are upper bounds.
    """
    boxes = call.shape(call.input(0), 2)[1]
    scores = call.shape(call.input(1), 3)
    detections = call.custom_integer("max_detections", call.output().elements // 4)
    classes = call.custom_integer("num_classes", scores[2])
    kept = detections * boxes * _FLOAT
    return (
        boxes,
        boxes * 4 * _FLOAT,
        scores[1] * scores[2] * _FLOAT,
        boxes * _FLOAT,
        boxes * _FLOAT,
        kept,
        kept,
        boxes * _INT,
        kept,
        max(classes, detections) * boxes * _INT,
        min(boxes, detections) * boxes * _INT,
    )


def fft_length(call: Call) -> int:
    """Length of SignalRfft's transform: its output holds length / 2 + 1 complex numbers."""
    return (call.shape(call.output(), 1)[-1] // 2 - 1) * 2


def rfft(call: Call) -> tuple[int, ...]:
    """A zero-padded copy of the input (signal/micro/kernels/rfft.cc:104)."""
    return (fft_length(call) * ITEM_BYTES[call.input(0).dtype],)


def ethos_u(call: Call) -> tuple[int, ...]:
    """Base addresses and their sizes (ethos_u/ethosu.cc:46-52)."""
    regions = len(call.op.inputs) + len(call.op.outputs)
    return regions * 8, regions * call.pointer_bytes


REFERENCE: Mapping[str, Rule] = MappingProxyType(
    {
        "CONV_2D": unpacked_int4,
        "DEPTHWISE_CONV_2D": unpacked_int4,
        "FULLY_CONNECTED": unpacked_int4,
        "TRANSPOSE_CONV": transpose_conv,
        "SVDF": svdf,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
        "ADD_N": add_n,
        "MIRROR_PAD": mirror_pad,
        "MEAN": mean,
        "SUM": mean,
        "REDUCE_MAX": reduce,
        "REDUCE_MIN": reduce,
        "REDUCE_ALL": reduce,
        "TFLite_Detection_PostProcess": detection_postprocess,
        "SignalRfft": rfft,
        "ethos-u": ethos_u,
    }
)
"""The reference kernels that request scratch; all others request none."""
