"""Rows of a segment's tensors that have been made and wait for their readers (see Striper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim.graph.graph import Graph, Op
from sim.graph.padding import NO_SIDES, Sides, padded_rows, padding
from sim.graph.pieces import Writer, cut, join, pad
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class _Piece:
    """A new tensor that holds some rows of an original one, counted with the padding above.

    With `bare` rows it is on its way from a storage, and gets its padding when it is first read.
    """

    tensor: int
    rows: Range
    bare: Range | None = None


class Waiting:
    """Pieces of tensors: rows come with `keep`, are read as one tensor, and go with `drop_before`.

    `padders` are the tensors whose rows wait here, each with the reader whose padding its pieces
    get (None: they get none). Rows of those in `rolls` lie together and get the padding below them
    only when they are read. `most` are the most rows of each tensor that a reader has left here.
    """

    def __init__(
        self,
        graph: Graph,
        to: Writer,
        axis: int,
        padders: Mapping[int, Op | None],
        rolls: set[int],
    ) -> None:
        self.graph, self.to, self.axis = graph, to, axis
        self.padders, self.rolls = padders, rolls
        self.sides: dict[int, Sides] = {
            t: (padding(graph, op) if op else None) or NO_SIDES for t, op in padders.items()
        }
        self.pieces: dict[int, list[_Piece]] = {t: [] for t in padders}
        self.most: dict[int, int] = {}

    def keep(self, tensor: int, piece: int, rows: Range) -> None:
        """Adds a piece with these rows to those that are there, with its reader's padding on it."""
        self.pieces[tensor].append(self._dressed(tensor, _Piece(piece, rows, rows)))

    def expect(self, tensor: int, piece: int, rows: Range) -> None:
        """Adds a piece that is on its way; nothing touches it until its rows are read."""
        _, counted = self._sides_of(tensor, rows)
        self.pieces[tensor].append(_Piece(piece, counted, rows))

    def read(self, tensor: int, rows: Range) -> int:
        """One tensor with these rows, without padding."""
        above = self.above(tensor)
        wanted = Range(rows.start + above, rows.stop + above)
        return self._without_sides(tensor, self._gather(tensor, wanted))

    def read_padded(self, op: Op, tensor: int, rows: Range) -> int:
        """What the op needs of a tensor whose pieces are padded for it, for its output's rows.

        Where rows roll, those of padding below join them only here.
        """
        wanted = padded_rows(self.graph, op, rows, self.axis)
        if tensor not in self.rolls:
            return self._gather(tensor, wanted)
        real = Range(wanted.start, min(wanted.stop, self.above(tensor) + self._height(tensor)))
        piece = self._gather(tensor, real)
        sides = list(NO_SIDES)
        sides[self.axis - 1] = (0, wanted.stop - real.stop)
        return pad(op, self.graph.tensors[tensor], piece, (sides[0], sides[1]), self.to)

    def join_into(self, tensor: int) -> None:
        """Makes the tensor itself of all its pieces."""
        self._join(tensor, [p.tensor for p in self.pieces[tensor]], "/part", into=tensor)

    def drop_before(self, tensor: int, first: int) -> None:
        """Drops the rows before `first`, counted with the padding above."""
        kept = [p for p in self.pieces[tensor] if p.rows.stop > first]
        if kept:
            held = kept[-1].rows.stop - kept[0].rows.start
            self.most[tensor] = max(self.most.get(tensor, 0), held)
        if tensor in self.rolls and kept and kept[0].rows.start < first:
            left = Range(first, kept[0].rows.stop)
            first_piece = kept[0] if kept[0].bare is None else self._dressed(tensor, kept[0])
            kept[0] = _Piece(self._cut(tensor, first_piece, left), left)
        self.pieces[tensor] = kept

    def drop_all(self, tensor: int) -> None:
        self.pieces[tensor] = []

    def is_padded_for(self, op: Op, tensor: int) -> bool:
        """Whether the tensor's pieces have the op's padding."""
        return self.sides.get(tensor, NO_SIDES) != NO_SIDES and self.padders[tensor] is op

    def above(self, tensor: int) -> int:
        """The rows of padding that the tensor's pieces are counted with."""
        return self.sides[tensor][self.axis - 1][0] if tensor in self.sides else 0

    def end(self, tensor: int) -> int:
        """The row behind the last one, counted with the padding above and below."""
        return self._height(tensor) + sum(self.sides[tensor][self.axis - 1])

    def _height(self, tensor: int) -> int:
        return self.graph.tensors[tensor].shape[self.axis]

    def _gather(self, tensor: int, rows: Range) -> int:
        """One tensor with exactly these rows: a piece, a part of one, or several joined."""
        if tensor not in self.pieces:
            return self._cut(tensor, _Piece(tensor, Range(0, self._height(tensor))), rows)
        self._dress_before(tensor, rows.stop)
        if tensor in self.rolls:
            return self._cut(tensor, self._together(tensor, rows.stop), rows)
        parts = [
            self._cut(tensor, p, Range(max(rows.start, p.rows.start), min(rows.stop, p.rows.stop)))
            for p in self.pieces[tensor]
            if p.rows.overlaps(rows)
        ]
        return self._join(tensor, parts, f"/window{rows.start}")

    def _together(self, tensor: int, stop: int) -> _Piece:
        """All rows of a tensor that are there, but for pieces from row `stop` on, in one piece."""
        pieces = [p for p in self.pieces[tensor] if p.rows.start < stop]
        rows = Range(pieces[0].rows.start, pieces[-1].rows.stop)
        joined = self._join(tensor, [p.tensor for p in pieces], f"/window{rows.start}")
        self.pieces[tensor][: len(pieces)] = [_Piece(joined, rows)]
        return self.pieces[tensor][0]

    def _cut(self, tensor: int, piece: _Piece, rows: Range) -> int:
        like, start = self.graph.tensors[tensor], rows.start - piece.rows.start
        return cut(self.to, like, piece.tensor, start, rows.length, self.axis)

    def _join(self, tensor: int, parts: list[int], suffix: str, into: int | None = None) -> int:
        """The parts of a tensor in one."""

        def named(start: int) -> str:
            return f"{suffix}/{start}" if start else suffix

        return join(self.to, self.graph.tensors[tensor], parts, self.axis, named, into)

    def _dress_before(self, tensor: int, stop: int) -> None:
        pieces = self.pieces[tensor]
        for number, piece in enumerate(pieces):
            if piece.bare is not None and piece.rows.start < stop:
                pieces[number] = self._dressed(tensor, piece)

    def _dressed(self, tensor: int, piece: _Piece) -> _Piece:
        """The piece with its reader's padding, rows only at the ends."""
        assert piece.bare is not None
        sides, rows = self._sides_of(tensor, piece.bare)
        reader = self.padders[tensor]
        made = piece.tensor
        if reader is not None and sides != NO_SIDES:
            made = pad(reader, self.graph.tensors[tensor], made, sides, self.to)
        return _Piece(made, rows)

    def _sides_of(self, tensor: int, rows: Range) -> tuple[Sides, Range]:
        """The padding of a piece with these rows, and its rows counted with that above."""
        if self.sides[tensor] == NO_SIDES:
            return NO_SIDES, rows
        sides = list(self.sides[tensor])
        above, below = sides[self.axis - 1]
        rolls = tensor in self.rolls
        over = above if rows.start == 0 else 0
        under = below if rows.stop == self._height(tensor) and not rolls else 0
        sides[self.axis - 1] = (over, under)
        counted = Range(rows.start + above - over, rows.stop + above + under)
        return (sides[0], sides[1]), counted

    def _without_sides(self, tensor: int, piece: int) -> int:
        """The piece without another reader's padding across the rows."""
        across = 3 - self.axis
        before, after = self.sides.get(tensor, NO_SIDES)[across - 1]
        if not (before or after):
            return piece
        like = self.graph.tensors[tensor]
        return cut(self.to, like, piece, before, like.shape[across], across)
