"""How much of an op each kernel call of a TiGrIS run computes.

An op event names no rows. They follow from the rest of its tile as the runtime finds them itself
(exec_chain_tiled in tigris_executor.c): from the rows that the tile spills back through the windows
of its ops. Rows of an output that a `move` event before the op keeps from the tile before are not
computed again; where there is none, and at padded borders there never is, the halo is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.peers.process import PeerError
from benchmarks.peers.recording import TILES, WHOLE, Event, PlanOp, PlanTensor, Recording
from sim.ranges import Range

WINDOWED = ("Conv", "DepthwiseConv", "MaxPool", "AveragePool", "L2Pool")
RESIZED = ("Resize", "ResizeLinear")


@dataclass(frozen=True, slots=True)
class Load:
    """Bytes from slow to fast memory."""

    nbytes: int


@dataclass(frozen=True, slots=True)
class Spill:
    """Bytes from fast to slow memory."""

    nbytes: int


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel call that computes a share of the op's output; halo rows make the sum exceed 1."""

    op: int
    share: Fraction


Step = Load | Spill | Call
Area = tuple[Range, Range]


def steps(recording: Recording) -> list[Step]:
    """What the run does, in order. Raises PeerError where the events can't be explained."""
    made: list[Step] = []
    for unit in _units(recording.events):
        path = unit[0].path
        tiles = list(_tiles(unit))
        order = list(dict.fromkeys(event.op for event in unit if event.kind == "op"))
        total = max((tile[0].rows.stop for tile in tiles if tile[0].rows), default=1)
        for tile in tiles:
            shares: dict[int, Fraction] = {}
            if path in TILES and tile[0].kind == "tile_begin":
                shares = _shares(recording, order, tile)
            elif path not in WHOLE and tile[0].rows is not None:
                shares = dict.fromkeys(order, Fraction(tile[0].rows.length, total))
            made += _steps(tile, shares)
    return made


def _steps(tile: Sequence[Event], shares: Mapping[int, Fraction]) -> Iterator[Step]:
    for event in tile:
        if event.kind == "load":
            yield Load(event.nbytes)
        elif event.kind == "spill":
            yield Spill(event.nbytes)
        elif event.kind == "op":
            yield Call(event.op, shares.get(event.op, Fraction(1)))


def _units(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events from each stage_begin on: of a stage, or of a chain of them."""
    starts = [i for i, event in enumerate(events) if event.kind == "stage_begin"]
    for start, stop in zip(starts, [*starts[1:], len(events)], strict=True):
        yield list(events[start:stop])


def _tiles(unit: Sequence[Event]) -> Iterator[list[Event]]:
    """What comes before the first tile, then each tile from its tile_begin on."""
    starts = [0, *(i for i, event in enumerate(unit) if event.kind == "tile_begin")]
    for start, stop in zip(starts, [*starts[1:], len(unit)], strict=True):
        yield list(unit[start:stop])


def _shares(
    recording: Recording, order: Sequence[int], tile: Sequence[Event]
) -> dict[int, Fraction]:
    """The share of each op, of those in order, that a tile computes.

    An op whose rows are all kept has no event, but what it reads is made all the same.
    """
    tensors = recording.tensors
    kept = {e.tensor: e.rows for e in tile if e.kind == "move" and e.pool == "fast" and e.rows}
    flat = tile[0].columns is None
    need: dict[int, Area] = {}
    for event in tile:
        if event.kind == "spill":
            _add(need, event.tensor, _area(tensors[event.tensor], event))
    shares = {}
    for number in reversed(order):
        op = recording.ops[number]
        asked = [t for t in op.outputs if t in need]
        if not asked:
            raise PeerError(f"trace: op {number}: found nobody who reads its tile")
        made, target = need[asked[0]], tensors[asked[0]]
        height, width = target.extent
        new = made[0].length - (kept[asked[0]].length if asked[0] in kept else 0)
        shares[number] = Fraction(new, height) * Fraction(made[1].length, width)
        for source in op.inputs:
            rows, columns = area_read(op, made, tensors[source], target)
            if flat:
                columns = Range(0, tensors[source].extent[1])
            _add(need, source, (rows, columns))
    return shares


def area_read(op: PlanOp, made: Area, source: PlanTensor, target: PlanTensor) -> Area:
    """The rows and columns of an input that an area of the output is computed from."""
    rows, columns = (
        _read(op, axis, made[axis], source.extent[axis], target.extent[axis]) for axis in (0, 1)
    )
    return rows, columns


def _read(op: PlanOp, axis: int, made: Range, there: int, here: int) -> Range:
    stride, pad = op.stride[axis], op.pad[axis]
    if op.kind in WINDOWED:
        window = (op.kernel[axis] - 1) * max(op.dilation[axis], 1) + 1
        stop = (made.stop - 1) * stride - pad + window
        return Range(max(0, made.start * stride - pad), min(there, stop))
    if op.kind == "ConvTranspose":
        first = -(-(made.start + pad - op.kernel[axis] + 1) // stride)
        return Range(max(0, first), min(there, (made.stop - 1 + pad) // stride + 1))
    if op.kind in RESIZED:
        return Range(made.start * there // here, min(there, -(-made.stop * there // here) + 1))
    return made if there == here else Range(0, there)


def _area(tensor: PlanTensor, event: Event) -> Area:
    height, width = tensor.extent
    rows, columns = event.rows or Range(0, height), event.columns or Range(0, width)
    if rows.stop > height or columns.stop > width:
        raise PeerError(f"trace: {tensor.name}: found rows beyond its {height}")
    return rows, columns


def _add(need: dict[int, Area], tensor: int, area: Area) -> None:
    if tensor in need:
        area = (_union(need[tensor][0], area[0]), _union(need[tensor][1], area[1]))
    need[tensor] = area


def _union(a: Range, b: Range) -> Range:
    return Range(min(a.start, b.start), max(a.stop, b.stop))
