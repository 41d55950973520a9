"""How TFLM was built: the few choices that change what it keeps in the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sim.plan.runtime_overhead.layout import alignment_of, size_of


@dataclass(frozen=True, slots=True)
class Build:
    """A build of TFLM and the program around it.

    `bits` of a pointer. `recording`: a RecordingMicroAllocator, else a MicroAllocator.
    `compression`: compiled with USE_TFLM_COMPRESSION. `variable_slots` of the resource variable
    table; None makes one a variable of the model, and no table without variables. `params`: layouts
    of parsed options that differ from `structs.PARAMS`.
    """

    name: str
    bits: int
    recording: bool = False
    compression: bool = False
    variable_slots: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def pointer_bytes(self) -> int:
        return self.bits // 8

    def size_of(self, layout: str) -> int:
        return size_of(layout, self.bits, self.compression)

    def alignment_of(self, layout: str) -> int:
        return alignment_of(layout, self.bits)


DEVICE32 = Build("device32", 32)
"""A MicroInterpreter on a 32-bit microcontroller."""

WHEEL64 = Build("wheel64", 64, recording=True, compression=True)
"""The PyPI wheel `tflite-micro`, x86-64 (python/tflite_micro/interpreter_wrapper.cc)."""

WASM32 = Build(
    "wasm32",
    32,
    recording=True,
    variable_slots=100,
    params=MappingProxyType({"FULLY_CONNECTED": "2i 2b i"}),
)
"""TFLM's benchmark as mcufit carries it, of August 2026 (generic_model_benchmark.cc:108)."""

BUILDS: Mapping[int, Build] = MappingProxyType({32: DEVICE32, 64: WHEEL64})
"""The build that is meant by a pointer width alone."""
