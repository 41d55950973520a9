"""What a first stage in patches costs: the rows and columns that each patch really needs.

A patch of a tensor is one rectangle, and a grid cuts rows and columns independently, so all is
worked out along each axis by itself and then multiplied. Where receptive fields overlap, patches
compute the overlap again: the halo. (MCUNetV2, NeurIPS 2021, sections 3.1 and 3.2.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from sim.graph.extract import is_closed
from sim.graph.graph import Graph, Tensor
from sim.graph.lifetimes import ARENA_ALIGNMENT, in_arena, timeline
from sim.graph.macs import macs
from sim.graph.windows import AXES, COLUMNS, ROWS, Read, Window, reads_of
from sim.ranges import Range, round_up


@dataclass(frozen=True, slots=True)
class Layer:
    """An op of a stage; `macs_per_tap` of one output pixel, all channels."""

    step: int
    kind: str
    output: int
    reads: tuple[Read, ...]
    macs_per_tap: int

    @property
    def macs_per_pixel(self) -> int:
        down, across = self.reads[0].windows
        return self.macs_per_tap * down.taps * across.taps

    @property
    def overlaps(self) -> bool:
        return any(window.overlaps for read in self.reads for window in read.windows)

    def changed(self, change: Callable[[Window], Window]) -> Layer:
        """The layer with other windows, its shapes kept."""
        reads = tuple(
            Read(r.tensor, (change(r.windows[ROWS]), change(r.windows[COLUMNS])))
            for r in self.reads
        )
        return replace(self, reads=reads)


@dataclass(frozen=True, slots=True)
class Extent:
    """A tensor's (rows, columns), and the bytes of a pixel."""

    size: tuple[int, int]
    pixel_bytes: int

    def nbytes(self, rows: int, columns: int) -> int:
        """Bytes as placed."""
        return round_up(rows * columns * self.pixel_bytes, ARENA_ALIGNMENT)

    @property
    def whole_bytes(self) -> int:
        return self.nbytes(*self.size)


@dataclass(frozen=True, slots=True)
class Stage:
    """Ops that may run patch by patch: only the last one's output is read by others.

    `extents` are of all tensors that the ops make or read. `inputs` are read and not made here;
    those among `kept` are needed behind the stage too. `beside_bytes` are alive throughout without
    being part of the stage, `rest_bytes` the most alive at any step before or behind it.
    """

    steps: Range
    layers: tuple[Layer, ...]
    extents: Mapping[int, Extent]
    inputs: tuple[int, ...]
    kept: frozenset[int]
    beside_bytes: int
    rest_bytes: int

    @property
    def output(self) -> int:
        return self.layers[-1].output

    def redistributed(self) -> Stage:
        """The stage with kernels of 1 wherever the stride is 1, its shapes kept."""
        return replace(self, layers=tuple(layer.changed(Window.pointwise) for layer in self.layers))

    def without_overlap_at(self, step: int) -> Stage:
        """The stage where one op's window does not overlap itself; its MACs count as before."""
        layers = tuple(
            layer.changed(Window.without_overlap) if layer.step == step else layer
            for layer in self.layers
        )
        return replace(self, layers=layers)


@dataclass(frozen=True, slots=True)
class Grid:
    """So many patches along the rows, and along the columns."""

    rows: int
    columns: int

    @property
    def patches(self) -> int:
        return self.rows * self.columns


WHOLE = Grid(1, 1)


@dataclass(frozen=True, slots=True)
class Field:
    """A receptive field: its (rows, columns), and how far those of neighbours are apart."""

    size: tuple[int, int]
    step: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PatchBytes:
    """Peaks of a stage, as `patch_bytes` counts them."""

    image_by_patch: int
    image_whole: int


def stages(graph: Graph) -> tuple[Stage, ...]:
    """The stages that begin with the first op that a patch can run, shortest first.

    None where the output is a single pixel, or where another op reads what is inside.
    """
    reads = [reads_of(graph, op) for op in graph.ops]
    start = next((s for s, found in enumerate(reads) if found), len(reads))
    layers: list[Layer] = []
    found = []
    for step in range(start, len(reads)):
        op, these = graph.ops[step], reads[step]
        if not these:
            break
        rows, columns = graph.tensors[op.outputs[0]].shape[1:3]
        down, across = these[0].windows
        each = macs(graph, op) // (rows * columns * down.taps * across.taps)
        layers.append(Layer(step, op.kind, op.outputs[0], these, each))
        steps = Range(start, step + 1)
        if rows * columns > 1 and is_closed(graph, steps):
            found.append(_stage(graph, steps, tuple(layers)))
    return tuple(found)


def _stage(graph: Graph, steps: Range, layers: tuple[Layer, ...]) -> Stage:
    made = {layer.output for layer in layers}
    read = tuple(dict.fromkeys(r.tensor for layer in layers for r in layer.reads))
    inputs = tuple(t for t in read if t not in made)
    times, placed = timeline(graph), in_arena(graph)
    span = Range(times.ops[steps.start][1].start, times.ops[steps.stop - 1][1].stop)
    live: dict[int, int] = {}
    beside, kept = 0, set()
    for tensor in graph.tensors:
        life = times.lifetimes[tensor.id]
        if not placed[tensor.id] or life.start < -1:
            continue
        size = round_up(tensor.nbytes, ARENA_ALIGNMENT)
        for step in range(life.start, life.stop):
            live[step] = live.get(step, 0) + size
        later = life.stop > span.stop or tensor.id in graph.outputs
        if tensor.id not in made and life.overlaps(span) and later:
            beside += size
            kept.add(tensor.id)
    rest = max((n for step, n in live.items() if step not in span and step >= 0), default=0)
    extents = {t: _extent(graph.tensors[t]) for t in (*inputs, *made)}
    return Stage(steps, layers, extents, inputs, frozenset(kept), beside, rest)


def _extent(tensor: Tensor) -> Extent:
    rows, columns = tensor.shape[1:3]
    return Extent((rows, columns), tensor.nbytes // (rows * columns))


def parts(length: int, count: int) -> tuple[Range, ...]:
    """The axis cut into so many even parts, none empty; cuts of n parts are among those of 2n."""
    count = min(count, length)
    return tuple(Range(a, b) for a, b in pairwise(length * n // count for n in range(count + 1)))


def needed(stage: Stage, axis: int, wanted: Range) -> dict[int, Range]:
    """Rows (or columns) of each tensor needed for these of the output, borders clipped.

    Where several readers need different ones, the range that covers all. Tensors of which nothing
    is needed are left out.
    """
    found = {stage.output: wanted}
    for layer in reversed(stage.layers):
        for read in layer.reads if layer.output in found else ():
            asked = read.windows[axis].inputs(found[layer.output])
            size = stage.extents[read.tensor].size[axis]
            inside = Range(max(0, asked.start), min(size, asked.stop))
            if inside.length > 0:
                found[read.tensor] = _hull(found.get(read.tensor, inside), inside)
    return found


def _hull(a: Range, b: Range) -> Range:
    return Range(min(a.start, b.start), max(a.stop, b.stop))


def field(stage: Stage) -> Field:
    """The receptive field of an output pixel in the stage's inputs, borders not clipped."""
    sizes, steps = [], []
    for axis in AXES:
        first, second = (_unclipped(stage, axis, Range(i, i + 1)) for i in (0, 1))
        sizes.append(max(first[t].length for t in stage.inputs))
        steps.append(max(second[t].start - first[t].start for t in stage.inputs))
    return Field((sizes[ROWS], sizes[COLUMNS]), (steps[ROWS], steps[COLUMNS]))


def _unclipped(stage: Stage, axis: int, wanted: Range) -> dict[int, Range]:
    found = {stage.output: wanted}
    for layer in reversed(stage.layers):
        for read in layer.reads:
            asked = read.windows[axis].inputs(found[layer.output])
            found[read.tensor] = _hull(found.get(read.tensor, asked), asked)
    return found


def patch_macs(stage: Stage, grid: Grid) -> int:
    """Multiply-accumulates of all patches, each computed alone with its halo.

    With one patch nothing is repeated: that is the base of `overhead`. Rows that nobody reads are
    not computed. A kernel smaller than its stride leaves such rows between patches, so that more
    patches may mean less work; with other kernels they never do.
    """
    rows, columns = (_computed(stage, axis, n) for axis, n in _counts(grid))
    return sum(
        layer.macs_per_pixel * rows.get(layer.output, 0) * columns.get(layer.output, 0)
        for layer in stage.layers
    )


def _counts(grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    return (ROWS, grid.rows), (COLUMNS, grid.columns)


def _computed(stage: Stage, axis: int, count: int) -> dict[int, int]:
    """Rows (or columns) of each tensor computed in all parts together."""
    total: dict[int, int] = {}
    for part in parts(stage.extents[stage.output].size[axis], count):
        for tensor, each in needed(stage, axis, part).items():
            total[tensor] = total.get(tensor, 0) + each.length
    return total


def halo_macs(stage: Stage, grid: Grid) -> int:
    """Multiply-accumulates that are computed again because patches overlap."""
    return patch_macs(stage, grid) - patch_macs(stage, WHOLE)


def overhead(stage: Stage, grid: Grid) -> float:
    """MACs with all halos over MACs without; 1 for a stage that multiplies nothing."""
    whole = patch_macs(stage, WHOLE)
    return patch_macs(stage, grid) / whole if whole else 1.0


def halo_macs_by_kernel(stage: Stage, grid: Grid) -> dict[int, int]:
    """Per op whose window overlaps itself, the halo MACs that would vanish if it did not.

    Such a window is 1 wide at stride 1, else as wide as its stride. An op's own MACs count as
    before; what vanishes lies in the ops ahead of it. Kernels share some of their halo (a corner,
    a clipped border), so the numbers need not add up.
    """
    total = halo_macs(stage, grid)
    return {
        layer.step: total - halo_macs(stage.without_overlap_at(layer.step), grid)
        for layer in stage.layers
        if layer.overlaps
    }


def patch_bytes(stage: Stage, grid: Grid) -> PatchBytes:
    """The most bytes alive while the stage runs in patches, without scratch, sizes as placed.

    Counted are the rectangles that a patch holds at one of its ops (its input, its output, what
    waits for a later op such as an ADD), the stage's whole output, which all patches fill and its
    last op writes in place, and what is alive beside the stage. In `image_by_patch` the stage's
    inputs come from outside, each patch's rectangle when the patch begins; in `image_whole` they
    lie in the arena for all patches, and ops read them where they are. A grid of one patch is the
    stage as it runs without patches: whole tensors, each from the op that makes it to its last
    reader.
    """
    last = {r.tensor: i for i, layer in enumerate(stage.layers) for r in layer.reads}
    images = {t: Range(0, last[t] + 1) for t in stage.inputs if t not in stage.kept}
    inner = {
        layer.output: Range(i, last[layer.output] + 1) for i, layer in enumerate(stage.layers[:-1])
    }
    if grid == WHOLE:
        output = {stage.output: Range(len(stage.layers) - 1, len(stage.layers))}
        sizes = {t: extent.whole_bytes for t, extent in stage.extents.items()}
        most = stage.beside_bytes + _peak(images | inner | output, sizes, stage)
        return PatchBytes(most, most)
    always = stage.beside_bytes + stage.extents[stage.output].whole_bytes
    patches = list(_patches(stage, grid))
    return PatchBytes(
        always + max(_peak(images | inner, sizes, stage) for sizes in patches),
        always
        + sum(stage.extents[t].whole_bytes for t in images)
        + max(_peak(inner, sizes, stage) for sizes in patches),
    )


def _patches(stage: Stage, grid: Grid) -> Iterator[dict[int, int]]:
    """Per patch, the bytes of the tensors' rectangles that it needs."""
    rows, columns = (
        [needed(stage, axis, p) for p in parts(stage.extents[stage.output].size[axis], n)]
        for axis, n in _counts(grid)
    )
    for down in rows:
        for across in columns:
            yield {
                t: extent.nbytes(down[t].length, across[t].length)
                for t, extent in stage.extents.items()
                if t in down and t in across
            }


def _peak(lives: Mapping[int, Range], sizes: Mapping[int, int], stage: Stage) -> int:
    """The most bytes of these tensors alive at one of the layers."""
    return max(
        sum(sizes.get(t, 0) for t, life in lives.items() if i in life)
        for i in range(len(stage.layers))
    )
