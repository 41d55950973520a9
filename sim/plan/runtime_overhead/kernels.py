"""What each kernel allocates: data in Init, tables and temporary tensors in Prepare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sim.graph.scratch.call import Rule
from sim.plan.runtime_overhead import tables
from sim.plan.runtime_overhead.structs import PARAMS


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's demands on the arena.

    `data`: layout of what Init allocates. `looks_at`: the tensors for which Prepare makes a
    temporary TfLiteTensor, in order: i0 is the first input, o0 the first output, i* all inputs;
    one that the op lacks is skipped. `tables`: bytes of each further buffer that Prepare allocates.
    """

    data: str = ""
    looks_at: str = ""
    tables: Rule | None = None


_ONE = "i0 o0"
_TWO = "i0 i1 o0"
_THREE = "i0 i1 i2 o0"
_CONV = "o0 i0 i1 i0 i1 i2 o0"

_CONV_DATA = "9i 2P 3i 2c"
_FULLY_CONNECTED_DATA = "8i i 2P b 2c"
_POOL_DATA = "8i"
_SOFTMAX_DATA = "q 6i i 5P"
_LSTM_DATA = "(b4i) (i h i) i 8(9i 3b) 3(b 14i 2q 2h 5i) 4i"
_BATCH_MATMUL_DATA = "3P 3b"

_COMPARE = Kernel("7i b", "i0 i1")
_REDUCE = Kernel("11i", "i0 o0 i1 i0 i1 o0")
_ELEMENTWISE = Kernel("", _ONE)
_ABS = Kernel("4i b 2i", _ONE)
_NOTHING = Kernel()

REFERENCE: Mapping[str, Kernel] = MappingProxyType(
    {
        "ABS": _ABS,
        "ADD": Kernel("b 14i", _TWO),
        "ADD_N": Kernel("", "o0 i*", tables.add_n),
        "ARG_MAX": _NOTHING,
        "ARG_MIN": _NOTHING,
        "ASSIGN_VARIABLE": Kernel("c", "i1"),
        "AVERAGE_POOL_2D": Kernel(_POOL_DATA, _ONE),
        "BATCH_MATMUL": Kernel(_BATCH_MATMUL_DATA, _TWO, tables.batch_matmul),
        "BATCH_TO_SPACE_ND": Kernel("", _ONE),
        "BROADCAST_ARGS": Kernel("", _TWO),
        "BROADCAST_TO": Kernel("", _TWO),
        "CALL_ONCE": Kernel("i b"),
        "CAST": Kernel("", _ONE),
        "CEIL": Kernel("", _ONE),
        "CONCATENATION": Kernel("(i 2P 3i) 10c", "i0 o0 i*"),
        "CONV_2D": Kernel(_CONV_DATA, _CONV, tables.channels_of(0)),
        "COS": _ELEMENTWISE,
        "CUMSUM": Kernel("", _TWO, tables.cumsum),
        "DEPTHWISE_CONV_2D": Kernel(_CONV_DATA, _CONV, tables.channels_of(3)),
        "DEPTH_TO_SPACE": Kernel("", _ONE, tables.output_dims),
        "DEQUANTIZE": Kernel("(q i) 3i", _ONE),
        "DIV": Kernel("7i", _TWO),
        "DYNAMIC_UPDATE_SLICE": Kernel("", _THREE),
        "ELU": Kernel("256b", _ONE),
        "EMBEDDING_LOOKUP": Kernel("", _TWO, tables.embedding_lookup),
        "EQUAL": _COMPARE,
        "EXP": Kernel("", _ONE),
        "EXPAND_DIMS": Kernel("", _TWO),
        "FILL": Kernel("", _TWO),
        "FLOOR": _NOTHING,
        "FLOOR_DIV": Kernel("", _TWO),
        "FLOOR_MOD": Kernel("", _TWO),
        "FULLY_CONNECTED": Kernel(_FULLY_CONNECTED_DATA, _THREE, tables.fully_connected),
        "GATHER": Kernel("", _TWO, tables.output_dims),
        "GATHER_ND": Kernel("", _TWO, tables.output_dims),
        "GREATER": _COMPARE,
        "GREATER_EQUAL": _COMPARE,
        "HARD_SWISH": Kernel("3h i h i", _ONE),
        "IF": Kernel("2i", "i0"),
        "L2_NORMALIZATION": Kernel("i", _ONE),
        "L2_POOL_2D": Kernel("", _ONE, tables.output_dims),
        "LEAKY_RELU": Kernel("6i", _ONE),
        "LESS": _COMPARE,
        "LESS_EQUAL": _COMPARE,
        "LOG": _ELEMENTWISE,
        "LOGICAL_AND": _NOTHING,
        "LOGICAL_NOT": _ELEMENTWISE,
        "LOGICAL_OR": _NOTHING,
        "LOGISTIC": Kernel("4i", _ONE),
        "LOG_SOFTMAX": Kernel("", _ONE, tables.log_softmax),
        "MAXIMUM": _NOTHING,
        "MAX_POOL_2D": Kernel(_POOL_DATA, _ONE),
        "MEAN": _REDUCE,
        "MINIMUM": _NOTHING,
        "MIRROR_PAD": Kernel("5i", _TWO),
        "MUL": Kernel("9i", _TWO),
        "NEG": _NOTHING,
        "NOT_EQUAL": _COMPARE,
        "PACK": _NOTHING,
        "PAD": Kernel("(b 5i b 5i b) i", _THREE),
        "PADV2": Kernel("(b 5i b 5i b) i", _THREE),
        "PRELU": Kernel("7i", _TWO),
        "QUANTIZE": Kernel("(i q) 3i", _ONE),
        "READ_VARIABLE": Kernel("", "i0"),
        "REDUCE_ALL": _REDUCE,
        "REDUCE_MAX": _REDUCE,
        "REDUCE_MIN": _REDUCE,
        "RELU": Kernel("b 6i", _ONE),
        "RELU6": Kernel("2i", "i0"),
        "RESHAPE": Kernel("", _ONE),
        "RESIZE_BILINEAR": Kernel("", _TWO),
        "RESIZE_NEAREST_NEIGHBOR": Kernel("", _TWO),
        "REVERSE_V2": Kernel("", _TWO),
        "ROUND": Kernel("", _ONE),
        "RSQRT": _ABS,
        "SELECT_V2": Kernel("b", _THREE),
        "SHAPE": _NOTHING,
        "SIN": _ELEMENTWISE,
        "SLICE": Kernel("", _THREE),
        "SOFTMAX": Kernel(_SOFTMAX_DATA, _ONE, tables.softmax),
        "SPACE_TO_BATCH_ND": Kernel("i", _ONE),
        "SPACE_TO_DEPTH": Kernel("", _ONE, tables.output_dims),
        "SPLIT": Kernel("", "i0"),
        "SPLIT_V": Kernel("", "i2"),
        "SQRT": _ELEMENTWISE,
        "SQUARE": _ELEMENTWISE,
        "SQUARED_DIFFERENCE": Kernel("b (b 14i 2q 2h 5i)", _TWO),
        "SQUEEZE": Kernel("", _ONE),
        "STRIDED_SLICE": Kernel("3(b 5i) 5h b", "i0 i1 i2 i3 o0"),
        "SUB": Kernel("b 12i", _TWO),
        "SUM": _REDUCE,
        "SVDF": Kernel("9i", "i0 i1 i2 i3 i4 o0"),
        "TANH": Kernel("4i", "i0 i0 o0"),
        "TRANSPOSE": Kernel("", _TWO),
        "TRANSPOSE_CONV": Kernel(
            "(b 8h 9i) i 2c i 2P", "o0 i2 i1 i2 i1 i3 o0", tables.channels_of(0)
        ),
        "UNIDIRECTIONAL_SEQUENCE_LSTM": Kernel(_LSTM_DATA, "i* o0"),
        "UNPACK": _NOTHING,
        "VAR_HANDLE": Kernel("i"),
        "WHILE": Kernel("2i"),
        "ZEROS_LIKE": Kernel("", _ONE),
        "CIRCULAR_BUFFER": Kernel("2i", _ONE),
        "TFLM_DECODE": Kernel("", "i* o*", tables.decode),
        "TFLite_Detection_PostProcess": Kernel("6i b 21i", "i0 i1 i2"),
        "SignalDelay": Kernel("3i 2P", _ONE, tables.signal_delay),
        "SignalEnergy": Kernel("2i", _ONE),
        "SignalFftAutoScale": Kernel("", "i0 o0 o1"),
        "SignalFilterBank": Kernel("(i 5P 2i) P", "i* o0", tables.signal_filter_bank),
        "SignalFilterBankLog": Kernel("2i", _ONE),
        "SignalFilterBankSpectralSubtraction": Kernel(
            "(8i b) 2P", "i0 o0 o1", tables.signal_spectral_subtraction
        ),
        "SignalFilterBankSquareRoot": Kernel("", _TWO),
        "SignalFramer": Kernel("4i b 2P", "i0 o0 o1", tables.signal_framer),
        "SignalIrfft": Kernel("5i P", _ONE, tables.signal_fft),
        "SignalOverlapAdd": Kernel("5i P", _ONE, tables.signal_overlap_add),
        "SignalPCAN": Kernel("i", _THREE),
        "SignalRfft": Kernel("5i P i P", _ONE, tables.signal_fft),
        "SignalStacker": Kernel("4i 2P b 2P", "i0 o0 o1", tables.signal_stacker),
        "SignalWindow": Kernel("2i", _TWO),
        "ethos-u": Kernel("3i", "i0"),
    }
)
"""TFLM's reference kernels (micro/kernels and signal/micro/kernels), by op kind or custom code."""

_CMSIS_CONV = "i0 i1 o0 i0 i1 i2 o0"
_CMSIS_FULLY_CONNECTED_DATA = f"({_FULLY_CONNECTED_DATA}) 2i P 3i"
_CMSIS_SVDF = Kernel("9i P", "i0 i1 i2 i3 i4 o0")

CMSIS_NN: Mapping[str, Kernel] = MappingProxyType(
    {
        "AVERAGE_POOL_2D": Kernel(f"({_POOL_DATA}) i", "i0 o0 i0 o0"),
        "BATCH_MATMUL": Kernel(f"({_BATCH_MATMUL_DATA}) 4i i", _TWO, tables.batch_matmul),
        "CONV_2D": Kernel(f"({_CONV_DATA}) i", _CMSIS_CONV, tables.channels_of(0, True)),
        "DEPTHWISE_CONV_2D": Kernel(f"({_CONV_DATA}) i", _CMSIS_CONV, tables.channels_of(3, True)),
        "FULLY_CONNECTED": Kernel(_CMSIS_FULLY_CONNECTED_DATA, _THREE, tables.fully_connected),
        "MAX_POOL_2D": Kernel(f"({_POOL_DATA}) i", _ONE),
        "SOFTMAX": Kernel(f"({_SOFTMAX_DATA}) 2i", _ONE, tables.softmax),
        "SVDF": _CMSIS_SVDF,
        "TRANSPOSE_CONV": Kernel("(b 8h 9i) 3i 2P", "o0 i2 i1 i2 i1 i3 o0", tables.channels_of(0)),
        "UNIDIRECTIONAL_SEQUENCE_LSTM": Kernel(
            f"({_LSTM_DATA}) (15i 4(2i 2P 2i 2P P i))", "i* o0", tables.cmsis_lstm
        ),
    }
)
"""The kernels of TFLM's CMSIS-NN glue that allocate otherwise than the reference kernels."""

HELIUM: Mapping[str, Kernel] = MappingProxyType(
    {
        **CMSIS_NN,
        "FULLY_CONNECTED": replace(
            CMSIS_NN["FULLY_CONNECTED"], tables=tables.helium_fully_connected
        ),
        "SVDF": replace(_CMSIS_SVDF, tables=tables.helium_svdf),
    }
)
"""The same, built with MVE and for speed: sums over constant weights are kept."""

UNKNOWN = Kernel("64i 32P", "i* o* i* o*")
"""Assumed for a kernel that is not known: 256 bytes and 32 pointers of data, which is more than
all but three of the known kernels allocate, and every tensor looked at twice.
"""

UNKNOWN_PARAMS = "16P"
"""Assumed for the parsed options of a builtin kind that is not known."""


_LIBRARIES: Mapping[str, Mapping[str, Kernel]] = MappingProxyType(
    {
        "reference": {},
        "cmsis_nn": CMSIS_NN,
        "cmsis_nn_armclang": CMSIS_NN,
        "cmsis_nn_mve": HELIUM,
    }
)


def kernel_of(name: str, kernels: str) -> Kernel:
    """The kernel that runs ops of this name; `kernels` is one of `scratch.KERNELS`."""
    return _LIBRARIES[kernels].get(name) or REFERENCE.get(name, UNKNOWN)


def params_of(kind: str) -> str:
    """The layout of an op's parsed options; "" for none, as for custom ops."""
    if kind == "CUSTOM":
        return ""
    return PARAMS.get(kind, "" if kind in REFERENCE else UNKNOWN_PARAMS)
