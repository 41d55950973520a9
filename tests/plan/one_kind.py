"""Graphs of one op kind, for every kind that TFLM runs, from short lines of text.

A line is `KIND: inputs > outputs | options`, a tensor `TYPE shape words`. Of the words, `=1,2` is
a constant, `=1*` one of ones, `=` one of zeros; `/7@0` means 7 scales along dimension 0, `s.25` a
scale, `z5` a zero point, `var` a variable. The shape `.` is a scalar's; `-` an input left out.
"""

from __future__ import annotations

import struct
from math import prod

from flatbuffers import flexbuffers

from sim.graph.graph import NO_OPTIONS, Graph, Op, Quantization, Table, Tensor

CODES = {"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FLOAT32": "f", "UINT32": "I"}

C8, F = "INT8 1,4,4,4", "FLOAT32 1,4,4,4"
POOL = "Pool2DOptions padding=1 stride_w=2 stride_h=2 filter_width=2 filter_height=2"
CONV = "Conv2DOptions padding=1 stride_w=1 stride_h=1"
DEPTHWISE = "DepthwiseConv2DOptions padding=1 stride_w=1 stride_h=1 depth_multiplier=1"
TCONV = "TransposeConvOptions padding=0 stride_w=2 stride_h=2"
KEEP = "ReducerOptions keep_dims=1"
LSTM = "UnidirectionalSequenceLSTMOptions fused_activation_function=4"
FC = "FullyConnectedOptions"
OUT = "INT32 4 =1,6,6,5"
F16 = "INT8 5,3,3,4 = /5@0"


def _lstm(x: str, weights: str, bias: str, hidden: str, cell: str) -> str:
    gates = [f"{weights} 6,5 ="] * 4 + [f"{weights} 6,6 ="] * 4
    biases = [f"{bias} 6 ="] * 4
    tensors = [x, *gates, *["-"] * 3, *biases, *["-"] * 2, hidden, cell, *["-"] * 4]
    return "; ".join(tensors)


CASES = f"""
ABS: {C8} > {C8}
ADD: {C8}; {C8} > {C8} | AddOptions
ADD: {F}; {F} > {F} | AddOptions
ADD_N: {C8}; {C8}; {C8} > {C8}
ADD_N: {F}; {F} > {F}
ARG_MAX: INT8 1,4; INT32 1 =1 > INT32 1 | ArgMaxOptions output_type=2
ARG_MIN: INT8 1,4; INT32 1 =1 > INT32 1 | ArgMinOptions output_type=2
AVERAGE_POOL_2D: {C8} > INT8 1,2,2,4 | {POOL}
MAX_POOL_2D: {C8} > INT8 1,2,2,4 | {POOL}
L2_POOL_2D: {F} > FLOAT32 1,2,2,4 | {POOL}
BATCH_MATMUL: INT8 2,3,4; INT8 2,4,5 > INT8 2,3,5 | BatchMatMulOptions
BATCH_MATMUL: INT8 2,4,3; INT8 2,5,4 > INT8 2,3,5 | BatchMatMulOptions adj_x=1 adj_y=1
BATCH_MATMUL: FLOAT32 3,4; FLOAT32 4,5 > FLOAT32 3,5 | BatchMatMulOptions
BATCH_TO_SPACE_ND: INT8 4,2,2,1; INT32 2 =2,2; INT32 2,2 = > INT8 1,4,4,1
BROADCAST_ARGS: INT32 2 =1,2; INT32 2 =3,2 > INT32 2
BROADCAST_TO: INT8 1,4; INT32 2 =3,4 > INT8 3,4
CAST: INT8 1,8 > FLOAT32 1,8 | CastOptions
CEIL: {F} > {F}
COS: {F} > {F}
CONCATENATION: {C8}; {C8}; {C8} > INT8 1,12,4,4 | ConcatenationOptions axis=1
CONV_2D: INT8 1,5,5,3; INT8 7,3,3,3 = /7@0; INT32 7 = s.25 > INT8 1,3,3,7 | {CONV}
CONV_2D: INT16 1,5,5,3; INT8 7,3,3,3 = /7@0; INT64 7 = s.25 > INT16 1,3,3,7 | {CONV}
CONV_2D: INT8 1,5,5,4; INT4 6,3,3,4 = /6@0; INT32 6 = s.25 > INT8 1,3,3,6 | {CONV}
CONV_2D: FLOAT32 1,5,5,3; FLOAT32 7,3,3,3 =; FLOAT32 7 = > FLOAT32 1,3,3,7 | {CONV}
CUMSUM: INT8 2,4; INT32 1 =1 > INT8 2,4 | CumsumOptions
CUMSUM: FLOAT32 2,4; INT32 1 =1 > FLOAT32 2,4 | CumsumOptions
DEPTHWISE_CONV_2D: INT8 1,5,5,6; INT8 1,3,3,6 = /6@3; INT32 6 = s.25 > INT8 1,3,3,6 | {DEPTHWISE}
DEPTHWISE_CONV_2D: INT8 1,5,5,6; INT4 1,3,3,6 = /6@3; INT32 6 = s.25 > INT8 1,3,3,6 | {DEPTHWISE}
DEPTH_TO_SPACE: INT8 1,2,2,4 > INT8 1,4,4,1 | DepthToSpaceOptions block_size=2
DEQUANTIZE: {C8} > {F}
DIV: {F}; FLOAT32 1,4,4,4 =1* > {F} | DivOptions
DYNAMIC_UPDATE_SLICE: INT8 4,4; INT8 2,2; INT32 2 = > INT8 4,4
ELU: {C8} > {C8}
EMBEDDING_LOOKUP: INT32 3 =0,1,2; INT8 5,4 = > INT8 3,4
EQUAL: {C8}; {C8} > BOOL 1,4,4,4
EXP: {F} > {F}
EXPAND_DIMS: INT8 4; INT32 1 =0 > INT8 1,4
FILL: INT32 2 =2,3; INT8 . > INT8 2,3
FLOOR: {F} > {F}
FLOOR_DIV: FLOAT32 4; FLOAT32 4 =1* > FLOAT32 4
FLOOR_MOD: FLOAT32 4; FLOAT32 4 =1* > FLOAT32 4
FULLY_CONNECTED: INT8 1,8; INT8 5,8 =; INT32 5 = s.25 > INT8 1,5 | {FC}
FULLY_CONNECTED: INT8 1,8; INT8 5,8 = /5@0; INT32 5 = s.25 > INT8 1,5 | {FC}
FULLY_CONNECTED: INT8 1,8; INT4 5,8 =; INT32 5 = s.25 > INT8 1,5 | {FC}
FULLY_CONNECTED: INT8 1,8; INT8 5,8 =; - > INT8 1,5 | {FC}
GATHER: INT8 4,3; INT32 2 =0,2 > INT8 2,3 | GatherOptions
GATHER_ND: INT8 4,3; INT32 2,1 =0,2 > INT8 2,3
GREATER: {C8}; {C8} > BOOL 1,4,4,4
GREATER_EQUAL: {C8}; {C8} > BOOL 1,4,4,4
HARD_SWISH: {C8} > {C8}
L2_NORMALIZATION: INT8 1,4 > INT8 1,4 s.0078125 | L2NormOptions
LEAKY_RELU: {C8} > {C8} | LeakyReluOptions
LESS: {C8}; {C8} > BOOL 1,4,4,4
LESS_EQUAL: {C8}; {C8} > BOOL 1,4,4,4
LOG: {F} > {F}
LOGICAL_AND: BOOL 4; BOOL 4 > BOOL 4
LOGICAL_NOT: BOOL 4 > BOOL 4
LOGICAL_OR: BOOL 4; BOOL 4 > BOOL 4
LOGISTIC: {C8} > {C8} s.00390625 z-128
LOG_SOFTMAX: INT8 1,4 > INT8 1,4 s.0625 z127
LOG_SOFTMAX: FLOAT32 1,4 > FLOAT32 1,4
MAXIMUM: {C8}; {C8} > {C8}
MEAN: {C8}; INT32 2 =1,2 > INT8 1,1,1,4 | {KEEP}
MEAN: {F}; INT32 2 =1,2 > FLOAT32 1,1,1,4 | {KEEP}
MINIMUM: {C8}; {C8} > {C8}
MIRROR_PAD: INT8 2,4; INT32 2,2 =1* > INT8 4,6 | MirrorPadOptions
MUL: {C8}; {C8} > {C8} | MulOptions
NEG: {F} > {F}
NOT_EQUAL: {C8}; {C8} > BOOL 1,4,4,4
PACK: INT8 4; INT8 4 > INT8 2,4 | PackOptions values_count=2
PAD: {C8}; INT32 4,2 =0,0,1,1,1,1,0,0 > INT8 1,6,6,4
PADV2: {C8}; INT32 4,2 =0,0,1,1,1,1,0,0; INT8 1 =3 > INT8 1,6,6,4
PRELU: {C8}; INT8 1,1,4 = > {C8}
QUANTIZE: {F} > {C8}
REDUCE_ALL: BOOL 2,4; INT32 1 =1 > BOOL 2,1 | {KEEP}
REDUCE_MAX: {C8}; INT32 2 =1,2 > INT8 1,1,1,4 | {KEEP}
REDUCE_MIN: {C8}; INT32 2 =1,2 > INT8 1,1,1,4 | {KEEP}
RELU: {C8} > {C8}
RELU6: {C8} > {C8}
RESHAPE: {C8}; INT32 2 =1,64 > INT8 1,64 | ReshapeOptions
RESIZE_BILINEAR: {C8}; INT32 2 =8,8 > INT8 1,8,8,4 | ResizeBilinearOptions
RESIZE_NEAREST_NEIGHBOR: {C8}; INT32 2 =8,8 > INT8 1,8,8,4 | ResizeNearestNeighborOptions
REVERSE_V2: INT8 2,4; INT32 1 =1 > INT8 2,4
ROUND: {F} > {F}
RSQRT: {F} > {F}
SELECT_V2: BOOL 4; INT8 4; INT8 4 > INT8 4
SHAPE: {C8} > INT32 4 | ShapeOptions out_type=2
SIN: {F} > {F}
SLICE: {C8}; INT32 4 =0,1,0,0; INT32 4 =1,2,4,4 > INT8 1,2,4,4
SOFTMAX: INT8 1,4 > INT8 1,4 s.00390625 z-128 | SoftmaxOptions beta=1
SOFTMAX: INT16 1,4 > INT16 1,4 s.000030517578125 | SoftmaxOptions beta=1
SPACE_TO_BATCH_ND: INT8 1,4,4,1; INT32 2 =2,2; INT32 2,2 = > INT8 4,2,2,1
SPACE_TO_DEPTH: INT8 1,4,4,1 > INT8 1,2,2,4 | SpaceToDepthOptions block_size=2
SPLIT: INT32 . =1; INT8 1,4 > INT8 1,2; INT8 1,2 | SplitOptions num_splits=2
SPLIT_V: INT8 1,4; INT32 2 =1,3; INT32 . =1 > INT8 1,1; INT8 1,3 | SplitVOptions num_splits=2
SQRT: {F} > {F}
SQUARE: {F} > {F}
SQUARED_DIFFERENCE: {C8}; {C8} > {C8}
SQUEEZE: INT8 1,4 > INT8 4 | SqueezeOptions
STRIDED_SLICE: INT8 4,4; INT32 2 =; INT32 2 =2,4; INT32 2 =1* > INT8 2,4 | StridedSliceOptions
SUB: {C8}; {C8} > {C8} | SubOptions
SUM: {C8}; INT32 2 =1,2 > INT8 1,1,1,4 | {KEEP}
SVDF: INT8 1,6; INT8 8,6 =; INT16 8,5 =; INT32 4 = s.25; INT16 1,40 var > INT8 1,4 | SVDFOptions rank=2
SVDF: FLOAT32 1,6; FLOAT32 8,6 =; FLOAT32 8,5 =; FLOAT32 4 =; FLOAT32 1,40 var > FLOAT32 1,4 | SVDFOptions rank=2
TANH: {C8} > {C8} s.0078125
TRANSPOSE: INT8 2,4; INT32 2 =1,0 > INT8 4,2
TRANSPOSE_CONV: {OUT}; {F16}; INT8 1,3,3,4; INT32 5 = s.25 > INT8 1,6,6,5 | {TCONV}
TRANSPOSE_CONV: {OUT}; {F16}; INT16 1,3,3,4; INT64 5 = s.25 > INT16 1,6,6,5 | {TCONV}
TRANSPOSE_CONV: {OUT}; {F16}; INT16 1,3,3,4; INT16 5 = s.25 > INT16 1,6,6,5 | {TCONV}
TRANSPOSE_CONV: {OUT}; FLOAT32 5,3,3,4 =; FLOAT32 1,3,3,4 > FLOAT32 1,6,6,5 | {TCONV}
UNIDIRECTIONAL_SEQUENCE_LSTM: {_lstm("FLOAT32 1,3,5", "FLOAT32", "FLOAT32", "FLOAT32 1,6 var", "FLOAT32 1,6 var")} > FLOAT32 1,3,6 | {LSTM}
UNIDIRECTIONAL_SEQUENCE_LSTM: {_lstm("INT8 1,3,5", "INT8", "INT32", "INT8 1,6 var", "INT16 1,6 var s.00048828125")} > INT8 1,3,6 | {LSTM}
UNPACK: INT8 2,4 > INT8 4; INT8 4 | UnpackOptions num=2
ZEROS_LIKE: INT32 4 > INT32 4
""".strip().splitlines()  # noqa: E501

SIGNAL = """
CIRCULAR_BUFFER: INT8 1,1,1,4 > INT8 1,3,1,4
SignalDelay: INT16 2,40 > INT16 2,40 | delay_length=7
SignalEnergy: INT16 18 > UINT32 9 | end_index=9 start_index=1
SignalFftAutoScale: INT16 16 > INT16 16; INT32 .
SignalFilterBankLog: UINT32 8 > INT16 8 | input_correction_bits=3 output_scale=64
SignalFramer: INT16 2,320 > INT16 2,2,400; BOOL . | frame_size=400 frame_step=160 prefill=1
SignalIrfft: INT16 1,514 > INT16 1,512 | T=7 fft_length=512
SignalIrfft: FLOAT32 1,66 > FLOAT32 1,64 | T=0 fft_length=64
SignalOverlapAdd: INT16 2,2,40 > INT16 2,40 | T=7 frame_step=20
SignalPCAN: UINT32 8; UINT32 8; INT16 125 = > UINT32 8 | snr_shift=6
SignalRfft: INT16 1,480 > INT16 1,514 | T=7 fft_length=512
SignalRfft: FLOAT32 1,64 > FLOAT32 1,66 | T=0 fft_length=64
SignalWindow: INT16 16; INT16 16 = > INT16 16 | shift=12
""".strip().splitlines()


def _tensor(tensor_id: int, spec: str) -> Tensor:
    dtype, dims, *words = spec.split()
    shape = () if dims == "." else tuple(int(d) for d in dims.split(","))
    data, scale, zero, channels, axis = None, 0.5, 0, 1, 0
    quantized = dtype in ("INT8", "INT16", "INT4")
    for word in words:
        if word[0] == "=":
            data = _constant(dtype, prod(shape), word[1:])
        elif word[0] == "/":
            channels, axis = (int(n) for n in word[1:].split("@"))
        elif word[0] == "s":
            scale, quantized = float(word[1:]), True
        elif word[0] == "z":
            zero = int(word[1:])
    quantization = Quantization((scale,) * channels, (zero,) * channels, axis)
    return Tensor(
        tensor_id, f"t{tensor_id}", shape, dtype, quantization if quantized else None, data,
        is_variable="var" in words,
    )  # fmt: skip


def _constant(dtype: str, elements: int, values: str) -> bytes:
    if dtype == "INT4":
        return bytes(-(-elements // 2))
    every = [int(values[:-1])] * elements if values.endswith("*") else None
    numbers = every or [int(v) for v in values.split(",") if v] or [0] * elements
    return struct.pack(f"<{elements}{CODES[dtype]}", *numbers)


def graph_of(line: str, repeat: int = 1, custom: bool = False) -> Graph:
    """`repeat` ops like the one of the line, each with tensors of its own."""
    kind, rest = line.split(": ", 1)
    specs, _, options = rest.partition(" | ")
    sides = [side.split("; ") for side in specs.split(" > ")]
    tensors: list[Tensor] = []

    def add(spec: str) -> int:
        if spec == "-":
            return -1
        tensors.append(_tensor(len(tensors), spec))
        return len(tensors) - 1

    fields = {k: int(v) for k, v in (w.split("=") for w in options.split() if "=" in w)}
    ops = []
    for _ in range(repeat):
        inputs, outputs = (tuple(add(spec) for spec in side) for side in sides)
        op = Op(kind, inputs, outputs, Table(options.split()[0], fields) if options else NO_OPTIONS)
        if custom:
            op = Op("CUSTOM", inputs, outputs, custom_code=kind, custom_options=_flex(fields))
        ops.append(op)
    given = (t for op in ops for t in op.reads if tensors[t].data is None)
    return Graph(
        name="case",
        tensors=tuple(tensors),
        ops=tuple(ops),
        inputs=tuple(t for t in given if not tensors[t].is_variable),
        outputs=tuple(t for op in ops for t in op.outputs),
    )


def _flex(fields: dict[str, int]) -> bytes:
    return bytes(flexbuffers.Dumps(fields)) if fields else b""
