"""TFLM's arena while a model is allocated: the tail, and the head at the same time."""

from __future__ import annotations

from sim.graph.graph import Tensor
from sim.plan.runtime_overhead import structs
from sim.plan.runtime_overhead.build import Build
from sim.plan.runtime_overhead.layout import round_up


class Arena:
    """Counts the tail, and the most that head and tail take at one time.

    Both ends are 16-byte aligned; what is taken at the tail is rounded down to its alignment, at
    the head up (arena_allocator/single_arena_buffer_allocator.cc:108-140). With `split` the tail is
    an arena of its own.
    """

    def __init__(self, build: Build, split: bool = False) -> None:
        self.build, self.split = build, split
        self.tail_bytes = 0
        self.low_bytes = 0
        self.needed_bytes = 0

    def keep(self, size: int, align: int = structs.ARENA_ALIGNMENT) -> None:
        """Takes bytes at the tail for good."""
        self.tail_bytes = round_up(self.tail_bytes + size, align)

    def keep_struct(self, layout: str, count: int = 1) -> None:
        """Takes an array of structs at the tail, with their own alignment."""
        self.keep(self.build.size_of(layout) * count, self.build.alignment_of(layout))

    def keep_tensor(self, tensor: Tensor) -> None:
        """Takes a TfLiteTensor and its quantization (micro_allocator.cc:225)."""
        self.keep_struct(structs.TENSOR)
        channels = _quantized_channels(tensor)
        if channels:
            self.keep_struct(structs.AFFINE_QUANTIZATION)
            self.keep(structs.int_array_bytes(channels), 4)

    def low(self, size: int) -> None:
        """Notes that `size` bytes at the head are in use while the tail is as it is."""
        self.low_bytes = max(self.low_bytes, size)
        self.needed_bytes = max(self.needed_bytes, size + self.tail_bytes)

    def after(self, at: int, layout: str, count: int = 1) -> int:
        """Where an array of structs ends that begins at the head's byte `at` or soon after."""
        size, align = self.build.size_of(layout), self.build.alignment_of(layout)
        return round_up(at, align) + size * count

    def after_tensor(self, at: int, tensor: Tensor) -> int:
        """Where a temporary TfLiteTensor and its quantization end (micro_allocator.cc:862)."""
        end = self.after(at, structs.TENSOR)
        channels = _quantized_channels(tensor)
        if not channels:
            return end
        return self.after(end, structs.AFFINE_QUANTIZATION) + structs.int_array_bytes(channels)


def _quantized_channels(tensor: Tensor) -> int:
    """Scales that TFLM copies; 0 unless there are both scales and zero points."""
    quantization = tensor.quantization
    if quantization is None or not quantization.zero_point:
        return 0
    return len(quantization.scale)
