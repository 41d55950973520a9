"""A stage's rows in the steady state, and the bytes, calls and transfers that follow from them.

See policies.sketch, which asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, lcm
from typing import TYPE_CHECKING

from sim.graph.cut import Cut
from sim.graph.graph import Op
from sim.graph.padding import COLUMNS, ROWS
from sim.ranges import Range, round_up

if TYPE_CHECKING:
    from policies.sketch import Sketcher

TFLM_BYTES_PER_OP = 150
"""What an op with its new tensors costs TFLM, about (see sim.plan.runtime_overhead)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Rows of one input: c rows of output read `scale * c + halo` of it, `before` of them above."""

    tensor: int
    scale: float
    halo: float
    before: float


@dataclass(frozen=True, slots=True)
class Sketch:
    """Bytes alive at the worst moment, bytes that the ops cost the runtime, time with transfers."""

    peak: int
    extra: int
    time_ps: int
    moved: int = 0


class SketchedStage:
    """One stage; its arguments are those of `Sketcher.stage`."""

    def __init__(
        self,
        to: Sketcher,
        steps: Range,
        cut: Cut,
        columns: int,
        fed: frozenset[int],
        tapped: frozenset[int],
        leaves: bool,
        slot_rows: int,
        ahead: int,
    ) -> None:
        self.to, self.cut, self.columns = to, cut, columns
        self.fed, self.tapped, self.leaves = fed, tapped, leaves
        self.slot_rows, self.ahead = slot_rows, ahead
        self.steps = range(steps.start, steps.stop)
        self.ops: Sequence[Op] = to.graph.ops[steps.start : steps.stop]
        self.last = self.ops[-1].outputs[0]
        self.maker = {op.outputs[0]: step for step, op in zip(self.steps, self.ops, strict=True)}

    def sketch(self) -> Sketch | None:
        down = self._asked(ROWS, self.cut.rows, self.cut.chunk, kept=self.cut.keep_halos)
        if down is None or not down.new.keys() >= self.fed:
            return None  # an operand that is read whole has no rows to be fed by
        across: _Asked | None = None
        if self.columns:
            across = self._asked(COLUMNS, self.columns, None, kept=False)
            if across is None:
                return None
        return _Count(self, down, across).sketch()

    def _asked(self, axis: int, rows: int, chunk: int | None, *, kept: bool) -> _Asked | None:
        """Going back from the output: rows asked for at once, computed at once, and kept."""
        to, graph = self.to, self.to.graph
        new: dict[int, float] = {}
        at_once: dict[int, float] = {}
        lead: dict[int, float] = {self.last: 0.0}
        oldest: dict[int, float] = {}
        for step in reversed(self.steps):
            op = graph.ops[step]
            out = op.outputs[0]
            height = graph.tensors[out].shape[axis]
            unit = to.unit(step, axis)
            if out in self.tapped and axis == ROWS:
                unit = lcm(unit, self.slot_rows)
            want = rows if out == self.last else new.get(out, 1.0)
            want = min(height, round_up(ceil(want), unit))
            once = want if chunk is None else min(want, round_up(chunk, unit))
            at_once[out], new[out] = once, want
            reaches = to.reaches(step, axis)
            if reaches is None:
                return None
            for reach in reaches:
                tensor, full = reach.tensor, graph.tensors[reach.tensor].shape[axis]
                asked = once * reach.scale + (0.0 if kept else reach.halo)
                if tensor in self.fed and axis == ROWS:
                    asked = round_up(ceil(asked), self.slot_rows)
                new[tensor] = min(full, max(new.get(tensor, 0.0), asked))
                after = reach.scale * lead[out] + reach.halo - reach.before
                lead[tensor] = max(lead.get(tensor, -1e9), after)
                before = reach.scale * lead[out] - reach.before
                oldest[tensor] = min(oldest.get(tensor, 1e9), before)
        held = {
            t: max(0.0, min(lead[t] - oldest[t], graph.tensors[t].shape[axis])) if kept else 0.0
            for t in oldest
        }
        return _Asked(new, at_once, held)


@dataclass(frozen=True, slots=True)
class _Asked:
    """By tensor: rows that a reader asks for at once, rows computed at once, rows kept between."""

    new: dict[int, float]
    at_once: dict[int, float]
    held: dict[int, float]


class _Count:
    """Bytes, calls and cycles of a stage whose rows are known."""

    def __init__(self, stage: SketchedStage, down: _Asked, across: _Asked | None) -> None:
        self.stage, self.to, self.down, self.across = stage, stage.to, down, across
        self.graph = stage.to.graph
        self.padder = self._padders()
        self.has_scratch = any(stage.to.scratch[step] for step in stage.steps)
        self.bytes_a_row = {t: self._row(t) for t in {*down.new, stage.last}}
        output = self.graph.tensors[stage.last].shape
        self.strips = ceil(output[COLUMNS] / stage.columns) if stage.columns else 1
        self.stripes = ceil(output[ROWS] / stage.cut.rows)

    def _padders(self) -> dict[int, tuple[int, int]]:
        """Padding across, of tensors whose pieces get it."""
        found: dict[int, tuple[int, int]] = {}
        for step, op in zip(self.stage.steps, self.stage.ops, strict=True):
            if self.to.across[step] != (0, 0):
                found[op.inputs[0]] = self.to.across[step]
        return found

    def _row(self, tensor: int) -> float:
        shape = self.graph.tensors[tensor].shape
        width = shape[COLUMNS]
        if self.across is not None:
            width = min(width, ceil(self.across.new.get(tensor, width)))
        inside = tensor in self.stage.maker or tensor in self.stage.fed
        if inside and tensor in self.padder:
            width += sum(self.padder[tensor])
        return width * self.to.row[tensor] / max(1, shape[COLUMNS])

    def _share(self, tensor: int) -> float:
        """How much of a tensor is computed in all: above 1 where halos are computed again."""
        shape = self.graph.tensors[tensor].shape
        share = 1.0
        if self.across is not None:
            columns = min(shape[COLUMNS], self.across.new.get(tensor, shape[COLUMNS]))
            share *= max(1.0, self.strips * columns / shape[COLUMNS])
        if not self.stage.cut.keep_halos:
            rows = min(shape[ROWS], self.down.new[tensor])
            share *= max(1.0, self.stripes * rows / shape[ROWS])
        return share

    def _calls(self, tensor: int) -> int:
        height = self.graph.tensors[tensor].shape[ROWS]
        if self.stage.cut.keep_halos:
            return self.strips * ceil(height / self.down.at_once[tensor])
        return self.strips * self.stripes * ceil(self.down.new[tensor] / self.down.at_once[tensor])

    def sketch(self) -> Sketch:
        cycles, ops = self._work()
        time_ps, moved = self._transfers(self.to.ps(cycles))
        extra = int(ops - len(self.stage.ops)) * TFLM_BYTES_PER_OP
        for tensor, step in self.stage.maker.items():
            extra += (self._calls(tensor) - 1) * self.to.multipliers[step]
        return Sketch(ceil(self._peak()), self.to.extra(extra), time_ps, moved)

    def _work(self) -> tuple[float, float]:
        """Cycles and ops: kernels on parts, padding, and rows that join and leave windows."""
        to, cycles, ops = self.to, 0.0, 0.0
        for tensor, step in self.stage.maker.items():
            calls, fixed = self._calls(tensor), to.fixed[step]
            cycles += (to.cycles[step] - fixed) * self._share(tensor) + calls * fixed
            ops += calls
            if tensor == self.stage.last:
                continue
            rows = self.down.at_once[tensor]
            window = (self.down.held.get(tensor, 0.0) + rows) * self.bytes_a_row[tensor]
            if tensor in self.padder:
                cycles += calls * (to.dispatch + to.copy_cycles * rows * self.bytes_a_row[tensor])
                ops += calls
            if self.down.held.get(tensor, 0.0) > 0:  # joined to those kept, and cut again
                copied = 0.0 if to.static else to.copy_cycles * window
                cycles += 2 * calls * (to.dispatch + copied)
                ops += 2 * calls
        for tensor in self._outside():
            calls = self._calls(self._first_reader(tensor))
            window = self.down.new[tensor] * self.bytes_a_row[tensor]
            copied = 0.0 if to.static else to.copy_cycles * window
            cycles += calls * (to.dispatch + copied)
            ops += calls
            if tensor in self.padder:
                cycles += calls * (to.dispatch + to.copy_cycles * window)
                ops += calls
        if not self.stage.leaves:
            joins = self._calls(self.stage.last) / 9 + 1
            whole = self.graph.tensors[self.stage.last].nbytes * (1 + (joins > 2))
            cycles += joins * to.dispatch + (0.0 if to.static else to.copy_cycles * whole)
            ops += joins
        return cycles, ops

    def _outside(self) -> Iterator[int]:
        return (t for t in self.down.new if t not in self.stage.maker)

    def _first_reader(self, tensor: int) -> int:
        return next(op.outputs[0] for op in self.stage.ops if tensor in op.reads)

    def _transfers(self, compute_ps: int) -> tuple[int, int]:
        """Time with transfers, and bytes moved.

        A fetch goes on behind the ops as far as its rows are asked for ahead; the rest of it, and
        every write, is waited for.
        """
        storage, slot = self.to.storage, self.stage.slot_rows
        if storage is None:
            return compute_ps, 0
        behind_ps = waited_ps = moved = 0
        for tensor in self.stage.fed:
            height, nbytes = self.graph.tensors[tensor].shape[ROWS], self.to.row[tensor] * slot
            total_ps = ceil(height / slot) * self.strips * storage.read_ps(nbytes)
            asked = max(1.0, self.down.new[tensor] / slot)
            waited = max(0.0, 1.0 - self.stage.ahead / asked) if storage.dma else 1.0
            waited_ps += int(total_ps * waited) + storage.read_ps(nbytes)
            behind_ps += total_ps - int(total_ps * waited)
            moved += self.to.row[tensor] * height * self.strips
        for tensor in self.stage.tapped:
            height, nbytes = self.graph.tensors[tensor].shape[ROWS], self.to.row[tensor] * slot
            waited_ps += ceil(height / slot) * self.strips * storage.write_ps(nbytes)
            moved += self.to.row[tensor] * height * self.strips
        return max(compute_ps, behind_ps) + waited_ps, moved

    def _peak(self) -> float:
        """The most bytes alive at an op: in the first stripe, all of the input is there, in the

        last one, all of the output but its own rows.
        """
        inside = [t for t in self.down.new if t in self.stage.maker or t in self.stage.fed]
        held = {t: self.down.held.get(t, 0.0) * self.bytes_a_row[t] for t in inside}
        resting = sum(held.values()) + self._slots()
        first, gone, last = self._inputs()
        behind = 0.0
        if not self.stage.leaves:
            rows = (
                self.graph.tensors[self.stage.last].shape[ROWS] - self.down.at_once[self.stage.last]
            )
            behind = rows * self.bytes_a_row[self.stage.last]
        waiting, worst, read = 0.0, 0.0, 0.0
        for tensor, step in reversed(self.stage.maker.items()):
            made = self.down.at_once[tensor] * self.bytes_a_row[tensor]
            height = self.graph.tensors[tensor].shape[ROWS]
            fresh = dying = 0.0
            for reach in self.to.reaches(step, ROWS) or ():
                rows = self.down.new[reach.tensor] * self.bytes_a_row[reach.tensor]
                if reach.tensor in held:
                    fresh += rows
                    dying = max(dying, rows)
                elif reach.tensor in gone:
                    dying = max(dying, gone[reach.tensor])
                    read += gone.pop(reach.tensor)
            credit = min(made, dying) if self.to.goal.aliasing else 0.0
            scratch = self.to.scratch[step] * self.down.at_once[tensor] / height
            padded = 0.0
            if tensor in self.padder and tensor != self.stage.last:
                shape = self.graph.tensors[tensor].shape
                padded = made * shape[COLUMNS] / (shape[COLUMNS] + sum(self.padder[tensor]))
            here = max(waiting + fresh + made - credit + scratch, waiting + made + padded)
            worst = max(worst, here + max(first - sum(gone.values()), last + behind))
            if tensor != self.stage.last:
                asked = self.down.new[tensor] * self.bytes_a_row[tensor]
                waiting += max(0.0, asked - made)
        return resting + worst

    def _slots(self) -> float:
        """Bytes of slots that are read ahead."""
        stage = self.stage
        rows = stage.slot_rows * stage.ahead
        return sum(rows * self.bytes_a_row[t] for t in stage.fed)

    def _inputs(self) -> tuple[float, dict[int, float], float]:
        """Bytes of inputs that come in whole; those of a stripe, that go; bytes in the last one.

        Where an op has scratch they stay: TFLM finds its place among whole tensors.
        """
        whole = [t for t in self._outside() if t not in self.stage.fed]
        sizes = sum(self.graph.tensors[t].nbytes for t in whole)
        if not self._is_read_last(whole) or self.has_scratch:
            return sizes, {}, sizes
        gone = {t: self.down.new[t] * self.bytes_a_row[t] for t in whole}
        return sizes, gone, sum(gone.values())

    def _is_read_last(self, tensors: Sequence[int]) -> bool:
        """Whether nobody reads these tensors behind the stage, so that their rows may go."""
        stop = self.stage.steps.stop
        return not any(
            self.to.last_reader.get(t, -1) >= stop or t in self.graph.outputs for t in tensors
        )
