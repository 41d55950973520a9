"""TFLM's arena while a model is allocated: the tail, and the head at the same time."""

from __future__ import annotations

from sim.graph.graph import Tensor
from sim.plan.runtime_overhead.build import Build
from sim.plan.runtime_overhead.layout import round_up
from sim.plan.runtime_overhead.structs import (
    AFFINE_QUANTIZATION,
    ARENA_ALIGNMENT,
    TENSOR,
    int_array_bytes,
)


class Arena:
    """Counts the tail and the greatest sum of tail and head; both ends are 16-byte aligned.

    An allocation at the tail is rounded down to its alignment, one at the head rounded up
    (arena_allocator/single_arena_buffer_allocator.cc:113-165).
    """

    def __init__(self, build: Build) -> None:
        self.build = build
        self.tail_bytes = 0
        self.needed_bytes = 0

    def keep(self, size: int, align: int = ARENA_ALIGNMENT) -> int:
        """Takes bytes at the tail for good; how many, with the padding."""
        before = self.tail_bytes
        self.tail_bytes = round_up(before + size, align)
        self.low(0)
        return self.tail_bytes - before

    def keep_struct(self, layout: str, count: int = 1) -> int:
        """Takes an array of structs at the tail, with their own alignment."""
        size, align = self.build.size_of(layout), self.build.alignment_of(layout)
        return self.keep(size * count, align)

    def keep_tensor(self, tensor: Tensor) -> None:
        """Takes a TfLiteTensor and its quantization (micro_allocator.cc:233-343)."""
        self.keep_struct(TENSOR)
        channels = quantized_channels(tensor)
        if channels:
            self.keep_struct(AFFINE_QUANTIZATION)
            self.keep(int_array_bytes(channels), 4)

    def low(self, size: int) -> None:
        """Notes that `size` bytes are in use at the head while the tail is as it is."""
        self.needed_bytes = max(self.needed_bytes, size + self.tail_bytes)

    def temporary(self, at: int, layout: str, count: int = 1) -> int:
        """Where an array of structs ends that begins at the head's byte `at`."""
        size, align = self.build.size_of(layout), self.build.alignment_of(layout)
        return round_up(at, align) + size * count

    def temporary_tensor(self, at: int, tensor: Tensor) -> int:
        """Where a temporary TfLiteTensor and its quantization end (micro_allocator.cc:866)."""
        end = self.temporary(at, TENSOR)
        channels = quantized_channels(tensor)
        if channels:
            end = round_up(self.temporary(end, AFFINE_QUANTIZATION), 4)
            end += int_array_bytes(channels)
        return end


def quantized_channels(tensor: Tensor) -> int:
    """Scales that TFLM copies; 0 unless there are both scales and zero points."""
    quantization = tensor.quantization
    if quantization is None or not quantization.zero_point:
        return 0
    return len(quantization.scale)
