"""Writes the ops of one striped segment: rows are made when a later op asks for them.

See sim.graph.stripes for what a segment is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lcm

from sim.graph.graph import Graph, Op, Table
from sim.graph.padding import NO_SIDES, ROWS, padded_rows, padding
from sim.graph.rewrite import ASSIGN, READ, Rewrite
from sim.graph.rows import alignment, cut, demands, emit, pad, resized, rows_from, rows_until
from sim.ranges import Range, round_up

CONCATENATION_INPUTS = 10
"""The most that TFLM's CONCATENATION takes (kernels/concatenation.cc, kMaxInputNum)."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a segment is cut: output rows at a time, and rows inside at a time (None: as asked for).

    With `keep_halos` no row is computed twice; without, every stripe stands alone. With `roll` the
    rows of a tensor that are still needed lie together; when the first ones have been read, the
    rest moves down to where they began, and new ones join it there: least memory for one more op.
    Rows that wait long for a reader, as those of a skip do, stay apart.
    """

    rows: int
    chunk: int | None = None
    keep_halos: bool = True
    roll: bool = False
    axis: int = ROWS


@dataclass(frozen=True, slots=True)
class Feed:
    """Tensors that don't lie in the arena: their rows wait in a storage, so many to a slot.

    A slot is a variable "tensor/rowsN" in the storage, N being its first row. `tensors` are names;
    without any, they are the graph's inputs, whose slots the caller fills. A stage that makes one
    of the tensors writes its slots. Reading begins `ahead` slots before they are needed.
    With `outputs`, the graph's output that a stage makes leaves by rows too, and is no output any
    more; the caller finds it in its slots.
    """

    storage: str
    rows: int = 1
    tensors: frozenset[str] = frozenset()
    ahead: int = 0
    outputs: bool = False


FEW_WINDOWS = 2
"""A tensor rolls if no more rows of it wait than this many windows of its widest reader."""


def slot_name(tensor: str, start: int) -> str:
    """The variable that holds a tensor's rows from `start` on."""
    return f"{tensor}/rows{start}"


FEED = "FEED"
"""What stands for the op that makes a fed input, in here alone."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A new tensor that holds some rows of an original one, counted with the padding above."""

    tensor: int
    rows: Range


class Striper:
    def __init__(self, graph: Graph, steps: Range, how: Cut, feed: Feed | None) -> None:
        self.graph, self.how, self.axis = graph, how, how.axis
        self.edit = edit = Rewrite(graph)
        self.segment: Sequence[Op] = graph.ops[steps.start : steps.stop]
        self.maker = {op.outputs[0]: op for op in self.segment}
        self.feed, self.handles = feed, dict[tuple[int, int], int]()
        self.fed = [t for t in self._named(feed) if t not in self.maker and self._can_be_fed(t)]
        self.tapped = {t for t in self._named(feed) if t in self.maker}
        self.leaves = bool(feed and feed.outputs and self._can_leave())
        if self.leaves:
            self.tapped.add(self.segment[-1].outputs[0])
        self.maker.update({t: Op(FEED, (), (t,)) for t in self.fed})
        self.last = self.segment[-1].outputs[0]
        self.readers: dict[int, list[Op]] = {t: [] for t in self.maker}
        for op in self.segment:
            for tensor in dict.fromkeys(op.reads):
                if tensor in self.maker:
                    self.readers[tensor].append(op)
        self.most: dict[int, int] = {}
        self.rolls = self._rolling(steps) if how.roll else set[int]()
        self.padder = {t: self._padder(t) for t in self.maker}
        self.sides = {
            t: (padding(graph, op) if op else None) or NO_SIDES for t, op in self.padder.items()
        }
        self.ops: list[Op] = []
        self.made = dict.fromkeys(self.maker, 0)
        self.pieces: dict[int, list[_Piece]] = {t: [] for t in self.maker}
        self.tensor, self.constant, self.filled = edit.tensor, edit.constant, edit.filled
        self.shape, self.add = edit.shape, self.ops.append

    def _named(self, feed: Feed | None) -> list[int]:
        """The tensors whose rows wait in the storage."""
        if feed is None:
            return []
        if not feed.tensors:
            return list(self.graph.inputs)
        return [t.id for t in self.graph.tensors if t.name in feed.tensors]

    def _can_leave(self) -> bool:
        """Whether the caller alone reads the segment's output, and slots can go by its name."""
        last = self.segment[-1].outputs[0]
        read = any(last in op.reads for op in self.graph.ops)
        name = self.graph.tensors[last].name
        alone = sum(t.name == name for t in self.graph.tensors) == 1
        return last in self.graph.outputs and not read and bool(name) and alone

    def _can_be_fed(self, tensor: int) -> bool:
        """Whether all that the segment reads of an input it reads by rows."""
        for op in self.segment:
            rows = Range(0, self._height(op.outputs[0]))
            asked = [d.tensor for d in demands(self.graph, op, rows, self.axis) or ()]
            if tensor in op.reads and tensor not in asked:
                return False
        return any(tensor in op.reads for op in self.segment)

    def _rolling(self, steps: Range) -> set[int]:
        """Tensors whose rows lie together: not those of which many wait for a reader far behind."""
        alone = {t for t in self.maker if len(self.readers[t]) == 1}
        if len(alone) < len(self.maker) - 1:
            trial = Striper(self.graph, steps, replace(self.how, roll=False), self.feed)
            trial.run()
            for tensor, held in trial.most.items():
                if held <= FEW_WINDOWS * max(
                    self._reach(op, tensor) for op in self.readers[tensor]
                ):
                    alone.add(tensor)
        return alone

    def _reach(self, op: Op, tensor: int) -> int:
        """The most rows of the tensor that one row, or what is made at once, needs."""
        rows = Range(0, min(self._unit(op), self._height(op.outputs[0])))
        if padding(self.graph, op):
            return padded_rows(self.graph, op, rows, self.axis).length
        found = demands(self.graph, op, rows, self.axis) or ()
        return max((d.rows.length for d in found if d.tensor == tensor), default=1)

    def run(self) -> list[int]:
        """Computes the segment's output; how many ops there are after each stripe, from 0 on."""
        ends = [0]
        for target in self._stripes():
            if not self.how.keep_halos and self.made[self.last] < target.stop:
                self._start_anew()
            self._advance(self.last, target.stop)
            ends.append(len(self.ops))
        for tensor in sorted(self.tapped):  # the readers outside may want more than those inside
            self._advance(tensor, self._height(tensor))
        self._finish()
        return ends

    def _padder(self, tensor: int) -> Op | None:
        """The reader whose padding goes onto the tensor's pieces: the only one, or the widest."""
        readers = [op for op in self.readers[tensor] if padding(self.graph, op)]
        if not readers or (len(self.readers[tensor]) > 1 and tensor not in self.rolls):
            return None
        return max(readers, key=lambda op: self._reach(op, tensor))

    def _above(self, tensor: int) -> int:
        """The rows of padding that the tensor's pieces are counted with."""
        return self.sides[tensor][self.axis - 1][0] if tensor in self.sides else 0

    def _height(self, tensor: int) -> int:
        return self.graph.tensors[tensor].shape[self.axis]

    def _stripes(self) -> list[Range]:
        """The segment's output rows, so many at a time."""
        height = self._height(self.last)
        rows = round_up(self.how.rows, self._unit(self.maker[self.last]))
        return [Range(s, min(height, s + rows)) for s in range(0, height, rows)]

    def _unit(self, op: Op) -> int:
        if op.kind == FEED and self.feed is not None:
            return self.feed.rows
        unit = alignment(self.graph, op, self.axis)
        if self.feed is not None and op.outputs[0] in self.tapped:
            return lcm(unit, self.feed.rows)
        return unit

    def _until(self, op: Op, stop: int) -> int:
        return rows_until(self.graph, op, min(stop, self._height(op.outputs[0])), self.axis)

    def _start_anew(self) -> None:
        """Forgets what is there; each tensor begins with the first row that is needed next."""
        first = {self.last: self.made[self.last]}
        for op in reversed(self.segment):
            out, unit = op.outputs[0], self._unit(op)
            begin = first.get(out, self._height(out)) // unit * unit
            start = rows_from(self.graph, op, begin, self.axis)
            self.made[out] = start
            if out != self.last:
                self.pieces[out] = []
            if start < self._height(out):
                ahead = Range(start, self._until(op, start + unit))
                for demand in demands(self.graph, op, ahead, self.axis) or ():
                    known = first.get(demand.tensor, demand.rows.start)
                    first[demand.tensor] = min(known, demand.rows.start)
        for tensor in self.fed:
            unit = self._unit(self.maker[tensor])
            self.made[tensor] = first.get(tensor, self._height(tensor)) // unit * unit
            self.pieces[tensor] = []

    def _advance(self, tensor: int, stop: int) -> None:
        """Computes the tensor's rows below `stop` that are not there yet."""
        op, height = self.maker[tensor], self._height(tensor)
        unit, chunk = self._unit(op), self.how.chunk
        if op.kind == FEED and self.feed is not None and self.made[tensor] < min(stop, height):
            stop += self.feed.ahead * unit
        while self.made[tensor] < min(stop, height):
            start = self.made[tensor]
            end = round_up(min(stop, height), unit)
            if chunk is not None:
                end = min(end, start + round_up(chunk, unit))
            rows = Range(start, self._until(op, end))
            for demand in demands(self.graph, op, rows, self.axis) or ():
                if demand.tensor in self.maker:
                    self._advance(demand.tensor, demand.rows.stop)
            self._compute(op, rows)
            self.made[tensor] = rows.stop
            for source in dict.fromkeys(op.reads):
                if source in self.maker:
                    self._forget(source)

    def _compute(self, op: Op, rows: Range) -> None:
        out, padded = op.outputs[0], False
        if op.kind == FEED:
            self._fetch(out, rows)
            return
        sources: dict[int, int] = {}
        for demand in demands(self.graph, op, rows, self.axis) or ():
            tensor = demand.tensor
            if self._is_padded_for(op, tensor):
                padded = True
                sources[tensor] = self._window(op, tensor, rows)
                continue
            above = self._above(tensor)
            wanted = Range(demand.rows.start + above, demand.rows.stop + above)
            sources[tensor] = self._without_sides(tensor, self._gather(tensor, wanted))
        piece = emit(self.graph, op, rows, sources, self, axis=self.axis, padded=padded)
        if out in self.tapped:
            self._store(out, piece, rows)
        if self.sides[out] != NO_SIDES:
            piece, rows = self._padded(out, piece, rows)
        self.pieces[out].append(_Piece(piece, rows))

    def _window(self, op: Op, tensor: int, rows: Range) -> int:
        """What the op needs of a tensor whose pieces are padded for it.

        Where rows roll, those of padding join them only here.
        """
        wanted = padded_rows(self.graph, op, rows, self.axis)
        if tensor not in self.rolls:
            return self._gather(tensor, wanted)
        above = self._above(tensor)
        real = Range(max(wanted.start, above), min(wanted.stop, above + self._height(tensor)))
        piece = self._gather(tensor, real)
        sides = list(NO_SIDES)
        sides[self.axis - 1] = (real.start - wanted.start, wanted.stop - real.stop)
        return pad(op, self.graph.tensors[tensor], piece, (sides[0], sides[1]), self)

    def _store(self, tensor: int, piece: int, rows: Range) -> None:
        """Writes rows to their slots as soon as they are made."""
        assert self.feed is not None
        like = self.graph.tensors[tensor]
        for start in range(rows.start, rows.stop, self.feed.rows):
            length = min(self.feed.rows, rows.stop - start)
            part = cut(self, like, piece, start - rows.start, length, self.axis)
            handle = self._slot(tensor, start)
            self.add(Op(ASSIGN, (handle, part), (), Table("AssignVariableOptions")))

    def _slot(self, tensor: int, start: int) -> int:
        """The handle of the slot of the rows from `start` on."""
        assert self.feed is not None
        if (tensor, start) not in self.handles:
            name = slot_name(self.graph.tensors[tensor].name, start)
            handle = self.edit.handle(self.feed.storage, name)
            self.handles[tensor, start] = handle.outputs[0]
            self.add(handle)
        return self.handles[tensor, start]

    def _fetch(self, tensor: int, rows: Range) -> None:
        """Reads the slots that hold these rows of a fed tensor."""
        feed, like = self.feed, self.graph.tensors[tensor]
        assert feed is not None
        for start in range(rows.start, rows.stop, feed.rows):
            stop = min(start + feed.rows, self._height(tensor))
            handle = self._slot(tensor, start)
            piece = self.tensor(like, resized(like.shape, self.axis, stop - start), f"/row{start}")
            self.add(Op(READ, (handle,), (piece,), Table("ReadVariableOptions")))
            part = Range(start, stop)
            if self.sides[tensor] != NO_SIDES:
                piece, part = self._padded(tensor, piece, part)
            self.pieces[tensor].append(_Piece(piece, part))

    def _is_padded_for(self, op: Op, tensor: int) -> bool:
        return self.sides.get(tensor, NO_SIDES) != NO_SIDES and self.padder[tensor] is op

    def _without_sides(self, tensor: int, piece: int) -> int:
        """The piece without another reader's padding across the rows."""
        across = 3 - self.axis
        before, after = self.sides.get(tensor, NO_SIDES)[across - 1]
        if not (before or after):
            return piece
        like = self.graph.tensors[tensor]
        return cut(self, like, piece, before, like.shape[across], across)

    def _padded(self, out: int, piece: int, rows: Range) -> tuple[int, Range]:
        """The piece with its reader's padding, rows only at the ends; its rows counted so."""
        sides = list(self.sides[out])
        above, below = sides[self.axis - 1]
        rolls = out in self.rolls
        over = above if rows.start == 0 and not rolls else 0
        under = below if rows.stop == self._height(out) and not rolls else 0
        sides[self.axis - 1] = (over, under)
        reader = self.padder[out]
        assert reader is not None
        made = pad(reader, self.graph.tensors[out], piece, (sides[0], sides[1]), self)
        return made, Range(rows.start + above - over, rows.stop + above + under)

    def _gather(self, tensor: int, rows: Range) -> int:
        """One tensor with exactly these rows: a piece, a part of one, or several joined."""
        if tensor not in self.maker:
            return self._cut(tensor, _Piece(tensor, Range(0, self._height(tensor))), rows)
        if tensor in self.rolls:
            return self._cut(tensor, self._together(tensor), rows)
        parts = [
            self._cut(tensor, p, Range(max(rows.start, p.rows.start), min(rows.stop, p.rows.stop)))
            for p in self.pieces[tensor]
            if p.rows.overlaps(rows)
        ]
        return self._joined(tensor, parts, f"/window{rows.start}")

    def _cut(self, tensor: int, piece: _Piece, rows: Range) -> int:
        like, start = self.graph.tensors[tensor], rows.start - piece.rows.start
        return cut(self, like, piece.tensor, start, rows.length, self.axis)

    def _together(self, tensor: int) -> _Piece:
        """All rows of a tensor that are there, in one piece."""
        pieces = self.pieces[tensor]
        rows = Range(pieces[0].rows.start, pieces[-1].rows.stop)
        joined = self._joined(tensor, [p.tensor for p in pieces], f"/window{rows.start}")
        self.pieces[tensor] = [_Piece(joined, rows)]
        return self.pieces[tensor][0]

    def _forget(self, tensor: int) -> None:
        """Drops the rows that no reader will ask for again."""
        first = self._height(tensor) + sum(self.sides[tensor][self.axis - 1])
        for op in self.readers[tensor]:
            done, height = self.made[op.outputs[0]], self._height(op.outputs[0])
            if done >= height:
                continue
            ahead = Range(done, self._until(op, done + self._unit(op)))
            if self._is_padded_for(op, tensor):
                first = min(first, padded_rows(self.graph, op, ahead, self.axis).start)
                continue
            for demand in demands(self.graph, op, ahead, self.axis) or ():
                if demand.tensor == tensor:
                    first = min(first, demand.rows.start + self._above(tensor))
        kept = [p for p in self.pieces[tensor] if p.rows.stop > first]
        if kept:
            held = kept[-1].rows.stop - kept[0].rows.start
            self.most[tensor] = max(self.most.get(tensor, 0), held)
        if tensor in self.rolls and kept and kept[0].rows.start < first:
            left = Range(first, kept[0].rows.stop)
            kept[0] = _Piece(self._cut(tensor, kept[0], left), left)
        self.pieces[tensor] = kept

    def _joined(self, tensor: int, parts: list[int], suffix: str, into: int | None = None) -> int:
        """The parts in one tensor, through a tree where there are more than ten."""
        like = self.graph.tensors[tensor]
        while len(parts) > 1 or (into is not None and parts != [into]):
            last = len(parts) <= CONCATENATION_INPUTS
            joined = []
            for start in range(0, len(parts), CONCATENATION_INPUTS):
                some = parts[start : start + CONCATENATION_INPUTS]
                length = sum(self.edit.shape(t)[self.axis] for t in some)
                if last and into is not None:
                    made = into
                else:
                    shape = resized(self.edit.shape(some[0]), self.axis, length)
                    made = self.edit.tensor(like, shape, f"{suffix}/{start}" if start else suffix)
                options = Table("ConcatenationOptions", {"axis": self.axis})
                self.add(Op("CONCATENATION", tuple(some), (made,), options, version=2))
                joined.append(made)
            parts = joined
        return parts[0]

    def _finish(self) -> None:
        """Joins the pieces of the segment's output, but where they have left."""
        if self.leaves:
            self.edit.drop_output(self.last)
            return
        parts = [piece.tensor for piece in self.pieces[self.last]]
        self._joined(self.last, parts, "/part", into=self.last)
