"""What stock TensorFlow Lite Micro keeps in the arena beside the activations and scratch."""

from __future__ import annotations

from sim.plan.runtime_overhead.build import BUILDS, DEVICE32, WASM32, WHEEL64, Build
from sim.plan.runtime_overhead.overhead import (
    Arenas,
    Overhead,
    required_arena,
    required_arenas,
    runtime_overhead,
)

__all__ = [
    "BUILDS",
    "DEVICE32",
    "WASM32",
    "WHEEL64",
    "Arenas",
    "Build",
    "Overhead",
    "required_arena",
    "required_arenas",
    "runtime_overhead",
]
