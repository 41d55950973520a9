"""What stock TensorFlow Lite Micro keeps in the arena beside the activations and scratch."""

from __future__ import annotations

from sim.plan.runtime_overhead.build import BUILDS, DEVICE32, WASM32, WHEEL64, Build
from sim.plan.runtime_overhead.model import Overhead, required_arena, runtime_overhead

__all__ = [
    "BUILDS",
    "DEVICE32",
    "WASM32",
    "WHEEL64",
    "Build",
    "Overhead",
    "required_arena",
    "runtime_overhead",
]
