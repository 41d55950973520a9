"""The quickest way through a graph under a limit of bytes: a shortest path over fusion blocks.

A block is an op as it is, or a run of ops by rows; between two blocks a tensor lies in the arena or
leaves for a storage and comes back by rows. For every run the coarsest cut under the limit counts.
Sketches lead the search; what it chooses is made, its true bytes are put in the sketch's place, and
the path is sought again. msf-CNN (NeurIPS 2025) finds fusion blocks as a shortest path; here blocks
also say where their tensors lie, and time is what is least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from policies.blocks import Block, Path, Terms, Way, Work
from policies.boundaries import Boundaries
from policies.cuts import LONGEST_SPLIT, SPLIT_HOPE, SPLIT_PARTS
from policies.known import NO_LIMIT, Judge, Known
from policies.ladders import Ladders
from policies.sketch import Sketcher
from policies.sketch_stage import Sketch
from policies.stages import NEAR
from sim.device.board import Board, Storage
from sim.errors import CannotFitError, ModelError
from sim.graph.channels import most_parts
from sim.graph.extract import extract
from sim.graph.gather import gathered
from sim.graph.graph import Graph
from sim.graph.padding import CHANNELS
from sim.graph.stripes import Cut, Feed, is_segment
from sim.plan.blocks import puzzle
from sim.plan.packer import pack
from sim.plan.runtime import STATIC
from sim.policy import Goal
from sim.ranges import Range

MOST_LAYERS, MANY_OPS = 24, 40
"""The longest run, and from how many ops on two thirds of it must do."""
PRICE = 0.5
"""A byte that is moved counts as so much of its time more."""
EXTRA_PRICE = 0.1
"""If what the ops cost the runtime filled the budget, that would count as so much of the time."""
DRAIN = 2
"""Ops that a write to the storage may take."""


class Fusion:
    """The search for one graph, board and goal; what was made once is known to all terms."""

    def __init__(
        self, graph: Graph, board: Board, goal: Goal, storage: Storage | None, work: Work
    ) -> None:
        self.graph, self.goal, self.storage, self.work = graph, goal, storage, work
        self.board = board.without_interpreter() if goal.runtime == STATIC else board
        self.to = Sketcher(graph, self.board, goal, storage)
        self.at = Boundaries(graph)
        self.longest = MOST_LAYERS if len(graph.ops) <= MANY_OPS else MOST_LAYERS * 2 // 3
        whole_ps = sum(self.to.whole(step) for step in range(len(graph.ops)))
        self.price_a_byte = EXTRA_PRICE * whole_ps / max(1, goal.sram_bytes)
        self.known = Known()
        self.ladders = cache(lambda way, tapped, slots: Ladders(self.to, way, tapped, slots))
        self.tapped = cache(self._tapped)
        self.segment = cache(self._segment)
        self.most_parts = cache(lambda steps: most_parts(graph, steps))

    def search(
        self, limit: int, terms: Terms, *, fixed: int = 0, make: int = 1 << 40
    ) -> Path | None:
        """The quickest path with no more bytes than the limit; None if none is found.

        Blocks are made, as long as these have not come to `make` ops; then they are what sketches
        and earlier searches say. With a runtime to which ops cost bytes, these count as well, and
        so do those `fixed`.
        """
        room, enough = limit - fixed, self.work.left - make
        while True:
            path = self._shortest(room, terms)
            if path is None:
                return None
            short = limit - fixed - path.extra
            if short < room and path.peak > short:
                room = short
                continue
            fresh = [b for b in path.blocks if not b.made]
            if not fresh or self.work.left < max(enough + 1, 0):
                return path
            for block in fresh:
                self._make(block, terms, room)
            room = limit - fixed

    def refute(self, path: Path, tensors: frozenset[int], nbytes: int, terms: Terms) -> bool:
        """Notes that the blocks that make these tensors need so many bytes beside one another.

        For an op may leave its output at a place that the next ones can't make use of. Returns
        whether that is news.
        """
        news = False
        for block in path.blocks:
            steps = range(block.way.steps.start, block.way.steps.stop)
            if not any(self.at.maker.get(t, -1) in steps for t in tensors):
                continue
            beside = self.at.beside(block.way.steps, terms.gone)
            news |= self.known.refute(block, terms, nbytes - beside)
        return news

    def lowest(self, terms: Terms, fixed: int = 0) -> Path | None:
        """A path that needs about the least, as far as sketches and the work allow."""
        low, high = 0, max(self._alone(s) for s in range(len(self.graph.ops)))
        best: Path | None = None
        while high - low > max(64, high // 64):
            middle = (low + high) // 2
            path = self.search(middle + fixed, terms, fixed=fixed, make=self.work.share)
            if path is None:
                low = middle
            else:
                best, high = path, middle
        return best

    def _shortest(self, room: int, terms: Terms) -> Path | None:
        """Forward over the boundaries; at each, the tensor there lies in the arena or has left."""
        count = len(self.graph.ops)
        best: dict[tuple[int, bool], tuple[int, tuple[Block, ...]]] = {(0, False): (0, ())}
        if terms.ends and self.at.input() is not None:
            best[0, True] = (0, ())
        for start in range(count):
            for away in (False, True):
                if (start, away) not in best:
                    continue
                spent, blocks = best[start, away]
                for block in self._blocks(start, away, room, terms):
                    at = (block.way.steps.stop, block.way.leaves)
                    total = spent + block.sketch.time_ps + self.price_ps(block.sketch)
                    if at not in best or total < best[at][0]:
                        best[at] = (total, (*blocks, block))
        ends = [best[count, away] for away in (False, True) if (count, away) in best]
        return Path(min(ends, key=lambda e: e[0])[1]) if ends else None

    def price_ps(self, sketch: Sketch) -> int:
        """What counts beside time: bytes that move, their time hidden or not, and ops' bytes."""
        price = int(sketch.extra * self.price_a_byte)
        if self.storage is not None and sketch.moved:
            nbytes = int(sketch.moved)
            price += int((self.storage.read_ps(nbytes) + self.storage.write_ps(nbytes)) * PRICE / 2)
        return price

    def _blocks(self, start: int, away: bool, room: int, terms: Terms) -> Iterator[Block]:
        """Every block that may begin here and needs no more than the room."""
        if not away:
            whole = self._whole(start, terms)
            if whole is not None and whole.sketch.peak <= room:
                yield whole
        if away and terms.boundaries:
            yield from self._pools(start, room, terms)
        large = False
        for stop in range(start + 1, min(len(self.graph.ops), start + self.longest) + 1):
            steps = Range(start, stop)
            large = large or self._needs(stop - 1, terms) > room
            if not away:
                yield from self._splits(steps, room, terms)
            if not self.segment(steps, terms.waiting):
                continue
            fed = self._fed(steps, away, terms)
            if fed is None:
                continue
            leaving = (False, True) if self._can_leave(stop, terms) else (False,)
            for leaves in leaving:
                if not (large or fed or leaves):
                    continue  # as it is, it fits and is quicker
                if steps.length == 1 and not (fed or leaves or self.to.scratch[start]):
                    continue  # whole is as good
                yield from self._coarsest(Way(steps, fed, leaves), room, terms)

    def _splits(self, steps: Range, room: int, terms: Terms) -> Iterator[Block]:
        """A few ops by channels, in the fewest parts under the limit."""
        inside = range(steps.start, steps.stop)
        alone = steps.length == 1 and not self.to.scratch[steps.start]
        if alone or steps.length > LONGEST_SPLIT:
            return
        if terms.waiting and any(
            t in terms.waiting for s in inside for t in self.graph.ops[s].reads
        ):
            return
        most, way = self.most_parts(steps), Way(steps)
        judge = self._judge(way, terms)
        for parts in (p for p in SPLIT_PARTS if p <= most):
            sketch = self.to.split(steps, parts)
            block = Block(way, Cut(1, axis=CHANNELS), 0, sketch, made=False, parts=parts)
            block = judge.block(block, int(sketch.peak * SPLIT_HOPE))
            if block.sketch.peak <= room:
                yield block
                return

    def _pools(self, step: int, room: int, terms: Terms) -> Iterator[Block]:
        """One op by channels of what was written before, in the fewest parts under the limit."""
        tensor = gathered(self.graph, step)
        if tensor is None or tensor != self.at.between(step, terms.gone):
            return
        steps, source = Range(step, step + 1), self.graph.tensors[tensor]
        way = Way(steps, frozenset({tensor}))
        judge = self._judge(way, terms)
        out = sum(self.graph.tensors[t].nbytes for t in self.graph.ops[step].outputs)
        for parts in range(2, source.shape[-1] + 1):
            if source.shape[-1] % parts:
                continue
            sketch = self.to.pool(step, source.id, parts, terms.slot_rows)
            block = Block(way, Cut(1), 0, sketch, made=False, parts=parts)
            block = judge.block(block, source.nbytes // parts + out)
            if block.sketch.peak <= room:
                yield block
                return

    def _coarsest(self, way: Way, room: int, terms: Terms) -> Iterator[Block]:
        """The coarsest cut of each family under the limit: finer ones need less, take longer."""
        ladders = self._ladders(way, terms)
        yield from ladders.coarsest(self._judge(way, terms), room, strips=terms.strips)

    def _judge(self, way: Way, terms: Terms) -> Judge:
        return self.known.judge(way, terms, self.at.beside(way.steps, terms.gone))

    def _ladders(self, way: Way, terms: Terms) -> Ladders:
        """The way's cuts; how slots are used matters only to what moves."""
        tapped = self.tapped(way, terms.waiting)
        return self.ladders(way, tapped, terms.slots if way.fed or tapped else (1, 1))

    def _tapped(self, way: Way, waiting: frozenset[int]) -> frozenset[int]:
        """What a run writes to the storage as it makes it."""
        steps = range(way.steps.start, way.steps.stop)
        made = [t for s in steps for t in self.graph.ops[s].outputs]
        return frozenset(made) & waiting | frozenset(made[-1:] if way.leaves else ())

    def _needs(self, step: int, terms: Terms) -> int:
        """Bytes of an op as it is, with what lies beside."""
        return self._alone(step) + self.at.beside(Range(step, step + 1), terms.gone)

    def _whole(self, step: int, terms: Terms) -> Block | None:
        """One op as it is; what waits by rows it may read only just after that was made."""
        op = self.graph.ops[step]
        for tensor in op.reads:
            if tensor in terms.waiting and step > self.at.maker.get(tensor, -NEAR - 1) + NEAR:
                return None
        steps = Range(step, step + 1)
        sketch = Sketch(self._needs(step, terms), 0, self.to.whole(step))
        return Block(Way(steps), None, 0, sketch, made=True)

    def _alone(self, step: int) -> int:
        """Bytes of an op and its tensors, its output over its input where it may be."""
        if step not in self.known.alone:
            part = extract(self.graph, Range(step, step + 1))
            found = puzzle(part, self.goal.kernels, aliasing=self.goal.aliasing)
            self.known.alone[step] = found.floor()
        return self.known.alone[step]

    def _make(self, block: Block, terms: Terms, room: int) -> None:
        """Puts the true bytes of a block in the place of its sketch's."""
        enough = room - self.at.beside(block.way.steps, terms.gone)
        try:
            made, extra = self._built(block, terms, enough)
        except (CannotFitError, ModelError):  # what is fed by rows is read whole as well
            made, extra = NO_LIMIT, 0
        self.known.note(block, terms, made, extra)
        if made < NO_LIMIT and not block.parts:
            assert block.cut is not None
            sketch = self._ladders(block.way, terms).sketch(block.cut, block.columns)
            assert sketch is not None
            self.known.compare(block.way, made, sketch.peak)

    def _built(self, block: Block, terms: Terms, enough: int) -> tuple[int, int]:
        """Bytes of a block placed by itself, or enough; what its ops cost the runtime."""
        way, names = block.way, self.graph.tensors
        stored = way.fed | self.tapped(way, terms.waiting)
        texts = frozenset(names[t].name for t in stored)
        part = extract(self.graph, way.steps, texts, leaves=way.leaves)
        feed = None
        if texts and self.storage is not None:
            feed = Feed(
                self.storage.name, terms.slot_rows, texts, ahead=terms.ahead, drain=DRAIN,
                channels=self._apart(block),
            )  # fmt: skip
        stage = block.stage()
        assert stage is not None
        made = replace(stage, steps=Range(0, len(part.ops)), feed=feed).apply(part)
        self.work.left -= len(made.ops)
        found = puzzle(made, self.goal.kernels, aliasing=self.goal.aliasing)
        target = self.goal.target
        extra = target.overhead(made, 0).tail_bytes - target.overhead(part, 0).tail_bytes
        nbytes = found.floor()
        if nbytes <= enough:
            packing = pack(found.blocks, found.apart, floor=nbytes, enough=enough, effort=0)
            nbytes = packing.size_bytes
        return nbytes, extra

    def _apart(self, block: Block) -> tuple[tuple[str, int], ...]:
        if not block.parts:
            return ()
        fed = (self.graph.tensors[t] for t in block.way.fed)
        return tuple((t.name, t.shape[-1] // block.parts) for t in fed)

    def _segment(self, steps: Range, waiting: frozenset[int]) -> bool:
        names = frozenset(self.graph.tensors[t].name for t in waiting)
        feed = Feed("", 1, names) if names else None
        return is_segment(self.graph, steps, feed=feed)

    def _fed(self, steps: Range, away: bool, terms: Terms) -> frozenset[int] | None:
        """Inputs that come by rows; None if the run can't begin so."""
        fed = self.at.entering(steps) & terms.waiting
        if away:
            there = (
                self.at.input() if steps.start == 0 else self.at.between(steps.start, terms.gone)
            )
            inside = range(steps.start, steps.stop)
            if there is None or any(s not in inside for s in self.at.readers.get(there, ())):
                return None
            fed |= {there}
        return fed

    def _can_leave(self, stop: int, terms: Terms) -> bool:
        if stop == len(self.graph.ops):
            last = self.graph.ops[-1].outputs
            alone = (
                len(last) == 1 and self.graph.outputs == last and not self.at.readers.get(last[0])
            )
            return terms.ends and alone and self.at.can_leave(last[0])
        return terms.boundaries and self.at.between(stop, terms.gone) is not None
