"""What patches of a first stage would bring and cost: each stage in each grid, and the best cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.graph.receptive_field import (
    WHOLE,
    Field,
    Grid,
    Layer,
    PatchBytes,
    Stage,
    field,
    halo_macs_by_kernel,
    patch_bytes,
    patch_macs,
    stages,
)
from sim.graph.rewrite import drop_dead_tensors
from sim.graph.windows import COLUMNS, ROWS

GRIDS = (WHOLE, Grid(2, 1), Grid(4, 1), Grid(2, 2), Grid(3, 3), Grid(4, 4))


@dataclass(frozen=True, slots=True)
class Figures:
    """A stage cut by a grid: MACs with all halos, MACs without, and bytes."""

    macs: int
    whole_macs: int
    bytes: PatchBytes

    @property
    def halo_macs(self) -> int:
        return self.macs - self.whole_macs

    @property
    def overhead(self) -> float:
        """MACs with halos over MACs without; 1 where nothing is multiplied."""
        return self.macs / self.whole_macs if self.whole_macs else 1.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A stage in a grid: as it is, and redistributed (see `Stage.redistributed`)."""

    stage: Stage
    grid: Grid
    now: Figures
    redistributed: Figures

    @property
    def is_whole(self) -> bool:
        return self.grid == WHOLE

    @property
    def model_bytes(self) -> PatchBytes:
        """Peaks of the whole model: of the stage in patches, or of the rest if that is more."""
        rest, stage = self.stage.rest_bytes, self.now.bytes
        return PatchBytes(max(rest, stage.image_by_patch), max(rest, stage.image_whole))


@dataclass(frozen=True, slots=True)
class Patches:
    """All cuts of a model, by stage and grid."""

    graph: Graph
    macs: int
    cuts: tuple[Cut, ...]

    @property
    def best(self) -> Cut | None:
        """The least peak with the image whole in the arena, by the fewest MACs.

        None if a model without patches is as small.
        """
        best = min(self.cuts, key=_cost, default=None)
        return None if best is None or best.is_whole else best

    @property
    def peak_bytes(self) -> int:
        """The most bytes alive without patches, no scratch counted; 0 if there is no stage."""
        return max((c.model_bytes.image_whole for c in self.cuts if c.is_whole), default=0)

    def whole(self, cut: Cut) -> Cut:
        """The same stage without patches."""
        return next(c for c in self.cuts if c.is_whole and c.stage.steps == cut.stage.steps)


def _cost(cut: Cut) -> tuple[int, ...]:
    """Of equals, the one without patches first, then the least with the image by patch."""
    peaks = cut.model_bytes
    return (
        peaks.image_whole,
        not cut.is_whole,
        cut.now.halo_macs,
        peaks.image_by_patch,
        cut.grid.patches,
    )


def analyse(graph: Graph) -> Patches:
    """Each first stage of the model in each grid that its output has rows and columns for."""
    live = drop_dead_tensors(graph)
    cuts = tuple(
        _cut(stage, grid)
        for stage in stages(live)
        for grid in GRIDS
        if all(n <= size for n, size in zip(_counts(grid), _output(stage), strict=True))
    )
    return Patches(live, sum(macs(live, op) for op in live.all_ops()), cuts)


def _cut(stage: Stage, grid: Grid) -> Cut:
    return Cut(stage, grid, _figures(stage, grid), _figures(stage.redistributed(), grid))


def _figures(stage: Stage, grid: Grid) -> Figures:
    return Figures(patch_macs(stage, grid), patch_macs(stage, WHOLE), patch_bytes(stage, grid))


def _counts(grid: Grid) -> tuple[int, int]:
    return grid.rows, grid.columns


def _output(stage: Stage) -> tuple[int, int]:
    return stage.extents[stage.output].size


def worth_a_look(cuts: Iterable[Cut]) -> list[Cut]:
    """The cuts that none beats in halo MACs and both of the model's peaks, fewest MACs first."""
    kept: list[Cut] = []
    for cut in sorted(cuts, key=lambda c: (c.now.halo_macs, _cost(c))):
        if not any(_no_worse(other, cut) for other in kept):
            kept.append(cut)
    return kept


def _no_worse(a: Cut, b: Cut) -> bool:
    one, two = a.model_bytes, b.model_bytes
    return (
        a.now.halo_macs <= b.now.halo_macs
        and one.image_whole <= two.image_whole
        and one.image_by_patch <= two.image_by_patch
    )


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that makes a halo: its (rows, columns), and the halo MACs that go with it."""

    layer: Layer
    halo_macs: int

    @property
    def size(self) -> tuple[int, int]:
        down, across = self.layer.reads[0].windows
        return down.taps, across.taps

    @property
    def stride(self) -> tuple[int, int]:
        down, across = self.layer.reads[0].windows
        return down.stride, across.stride


def kernels(cut: Cut) -> list[Kernel]:
    """The kernels that make the cut's halo, the costliest first."""
    halo = halo_macs_by_kernel(cut.stage, cut.grid)
    found = [Kernel(layer, halo[layer.step]) for layer in cut.stage.layers if layer.step in halo]
    return sorted(found, key=lambda k: (-k.halo_macs, k.layer.step))


@dataclass(frozen=True, slots=True)
class Redistribution:
    """Kernels made 1 and what it does to the receptive field.

    `growth` is by how much kernels behind the stage must be larger, all together, along rows and
    columns, for the model's field to be what it was.
    """

    ops: tuple[int, ...]
    before: Field
    after: Field
    growth: tuple[int, int]


def redistribution(stage: Stage) -> Redistribution:
    """Which kernels of a stage become 1, and its receptive field before and after."""
    smaller = stage.redistributed()
    before, after = field(stage), field(smaller)
    ops = tuple(
        old.step for old, new in zip(stage.layers, smaller.layers, strict=True) if old != new
    )
    rows, columns = (
        -(-(before.size[axis] - after.size[axis]) // max(1, before.step[axis]))
        for axis in (ROWS, COLUMNS)
    )
    return Redistribution(ops, before, after, (rows, columns))


def document(found: Patches) -> dict[str, Any]:
    """What `inspect --patches --json` prints."""
    by_stage: dict[int, list[Cut]] = {}
    for cut in found.cuts:
        by_stage.setdefault(cut.stage.steps.stop, []).append(cut)
    best = found.best
    return {
        "ops": len(found.graph.ops),
        "macs": found.macs,
        "peak_bytes": found.peak_bytes,
        "best": best and {"last_op": best.stage.steps.stop - 1, **_grid(best.grid)},
        "stages": [_stage(found, cuts) for cuts in by_stage.values()],
    }


def _grid(grid: Grid) -> dict[str, int]:
    return {"rows": grid.rows, "columns": grid.columns}


def _stage(found: Patches, cuts: list[Cut]) -> dict[str, Any]:
    stage, moved = cuts[0].stage, redistribution(cuts[0].stage)
    return {
        "first_op": stage.steps.start,
        "last_op": stage.steps.stop - 1,
        "output": list(found.graph.tensors[stage.output].shape[1:]),
        "macs": sum(macs(found.graph, found.graph.ops[layer.step]) for layer in stage.layers),
        "rest_bytes": stage.rest_bytes,
        "receptive_field": list(moved.before.size),
        "receptive_field_step": list(moved.before.step),
        "redistributed": {
            "ops": list(moved.ops),
            "receptive_field": list(moved.after.size),
            "kernel_growth_behind": list(moved.growth),
        },
        "grids": [_grid_figures(found, cut) for cut in cuts],
    }


def _grid_figures(found: Patches, cut: Cut) -> dict[str, Any]:
    halo = cut.now.halo_macs
    return {
        **_grid(cut.grid),
        **_figures_document(cut.now),
        "model_overhead": 1 + halo / found.macs if found.macs else 1.0,
        "kernels": [
            {
                "op": kernel.layer.step,
                "kind": kernel.layer.kind,
                "size": list(kernel.size),
                "stride": list(kernel.stride),
                "halo_macs": kernel.halo_macs,
                "share": kernel.halo_macs / halo if halo else 0.0,
            }
            for kernel in kernels(cut)
        ],
        "redistributed": _figures_document(cut.redistributed),
    }


def _figures_document(figures: Figures) -> dict[str, Any]:
    return {
        "macs": figures.macs,
        "halo_macs": figures.halo_macs,
        "overhead": figures.overhead,
        "peak_bytes": {
            "image_by_patch": figures.bytes.image_by_patch,
            "image_whole": figures.bytes.image_whole,
        },
    }
