"""Kinds of ops that several rules treat alike, by TFLite's names."""

from __future__ import annotations

WINDOWED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"})
"""Each output is made of a window of the first input, padded as the options say."""

PADS = frozenset({"PAD", "PADV2"})
"""Values stand around the first input, as many as the second one says."""

ELEMENTWISE = frozenset({
    "ADD", "SUB", "MUL", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "LOGISTIC", "TANH",
    "HARD_SWISH", "ELU", "ABS", "QUANTIZE", "DEQUANTIZE", "MAXIMUM", "MINIMUM",
    "SQUARED_DIFFERENCE",
})  # fmt: skip
"""Each output element needs the one at its place in every input, or one for a whole axis."""
