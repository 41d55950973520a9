"""What TFLM itself allocates: the layouts of its own objects and of each op's parsed options."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SINGLE_ARENA_ALLOCATOR = "8P i"  # arena_allocator/single_arena_buffer_allocator.h:31
RECORDING_ARENA_ALLOCATOR = "8P i 4P"  # recording_single_arena_buffer_allocator.h:27
PERSISTENT_ARENA_ALLOCATOR = "4P"  # arena_allocator/persistent_arena_buffer_allocator.h:30
NON_PERSISTENT_ARENA_ALLOCATOR = "6P i b"  # non_persistent_arena_buffer_allocator.h:29
GREEDY_PLANNER = "P 2i 4P 2i P b"  # memory_planner/greedy_memory_planner.h:46
MICRO_ALLOCATOR = "5P b 3P"  # micro_allocator.h:128
RECORDING_MICRO_ALLOCATOR = "5P b 3P P 7(3P) 3C"  # recording_micro_allocator.h:60
BUILTIN_DATA_ALLOCATOR = "2P"  # micro_allocator.cc:62
SUBGRAPH_ALLOCATIONS = "2P C"  # micro_allocator.h:97
RESOURCE_VARIABLES = "P 2i"  # micro_resource_variable.h:26
RESOURCE_VARIABLE = "4P b"  # micro_resource_variable.h:66

EVAL_TENSOR = "2P i"  # lite/core/c/common.h, TfLiteEvalTensor
TENSOR = "(iP) 2i 3P 2i b"  # TfLiteTensor with TF_LITE_STATIC_MEMORY
AFFINE_QUANTIZATION = "2P i"  # TfLiteAffineQuantization
NODE_AND_REGISTRATION = "(6P i) P"  # micro_allocator.h:82
SCRATCH_HANDLE = "P"  # micro_allocator.h:90
SCRATCH_REQUEST = "P 2i"  # micro_allocator.h:62
ALLOCATION_INFO = "2P 3i b"  # micro_allocation_info.h:27

MAX_SCRATCH_A_OP = 12  # micro_allocator.cc:54, kMaxScratchBuffersPerOp
PLANNER_BYTES_A_BUFFER = 40  # greedy_memory_planner.h:100, per_buffer_size
ARENA_ALIGNMENT = 16  # micro_arena_constants.h


def int_array_bytes(length: int) -> int:
    """Bytes of a TfLiteIntArray."""
    return 4 * (1 + length)


PARAMS: Mapping[str, str] = MappingProxyType(
    {
        "ADD": "i b",
        "ARG_MAX": "i",
        "ARG_MIN": "i",
        "AVERAGE_POOL_2D": "10i",
        "BATCH_MATMUL": "3b",
        "CALL_ONCE": "i",
        "CAST": "2i",
        "CONCATENATION": "2i",
        "CONV_2D": "7i",
        "CUMSUM": "2b",
        "DEPTHWISE_CONV_2D": "7i",
        "DEPTH_TO_SPACE": "i",
        "DIV": "i",
        "FULLY_CONNECTED": "2i 2b i P i",
        "GATHER": "2i",
        "IF": "2i",
        "L2_NORMALIZATION": "i",
        "L2_POOL_2D": "10i",
        "LEAKY_RELU": "i",
        "MAX_POOL_2D": "10i",
        "MEAN": "b",
        "MIRROR_PAD": "i",
        "MUL": "i",
        "PACK": "2i",
        "REDUCE_ALL": "b",
        "REDUCE_MAX": "b",
        "REDUCE_MIN": "b",
        "RESHAPE": "9i",
        "RESIZE_BILINEAR": "2b",
        "RESIZE_NEAREST_NEIGHBOR": "2b",
        "SHAPE": "i",
        "SOFTMAX": "i",
        "SPACE_TO_DEPTH": "i",
        "SPLIT": "i",
        "SPLIT_V": "i",
        "SQUEEZE": "9i",
        "STRIDED_SLICE": "5i b",
        "SUB": "i b",
        "SUM": "b",
        "SVDF": "2i b",
        "TRANSPOSE_CONV": "5i",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "3i 3b",
        "UNPACK": "2i",
        "VAR_HANDLE": "2P",
        "WHILE": "2i",
    }
)
"""An op's options as parsed: lite/core/c/builtin_op_data.h, allocated with their own alignment by
lite/core/api/flatbuffer_conversions.cc. A kind known to `kernels.REFERENCE` but not here has none.
"""
