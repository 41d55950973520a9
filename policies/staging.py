"""Cutting a graph into stages that run by rows: dynamic programming over where stages end.

A stage is a run of ops that goes depth first; between stages one tensor is whole. The least peak is
a bottleneck path through the boundaries, with what the stages' ops cost TFLM and the core beside
it. Stages are estimated only where they could take away the worst one, each as a graph of its own.
msf-CNN (NeurIPS 2025) searches fusion blocks as a shortest path; here rows are not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from policies.stages import NEAR, Stage, staged, with_feed
from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.errors import CannotFitError, ModelError
from sim.graph.extract import bytes_beside, extract
from sim.graph.graph import Graph
from sim.graph.stripes import Cut, Feed, is_segment
from sim.plan.blocks import puzzle
from sim.plan.packer import pack
from sim.policy import Goal
from sim.ranges import Range

MOST_LAYERS = 24
MOST_OPS = 1500
NO_LIMIT = 1 << 60
WORK = 60_000  # ops of graphs looked at
WORK_PER_OP = 2000  # more of them for each op of the model
PLACED = 4  # the work of placing an op, as a multiple of that of an estimate
FRONT = 24
FINALISTS = 2
FINER = 1.4  # a stage whose peak is beyond the best by this much is not cut finer


Settings = Callable[[tuple[int, ...]], Iterator[tuple[Cut, int]]]
"""For an output's shape, cuts and columns worth trying, coarse ones first."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes at the worst step, bytes that the ops cost TFLM, cycles."""

    peak: int
    extra: int
    cycles: int

    def then(self, other: Cost) -> Cost:
        return Cost(
            max(self.peak, other.peak), self.extra + other.extra, self.cycles + other.cycles
        )

    def covers(self, other: Cost) -> bool:
        """Whether it is at least as good in everything."""
        return self.peak <= other.peak and self.extra <= other.extra and self.cycles <= other.cycles


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages and what they come to; ops outside of all stages run as they are."""

    cost: Cost
    stages: tuple[Stage, ...] = ()


class Staging:
    """The search for one graph, board and goal."""

    def __init__(
        self,
        graph: Graph,
        board: Board,
        goal: Goal,
        settings: Settings,
        *,
        feed: Feed | None = None,
    ) -> None:
        self.graph, self.board, self.goal, self.settings = graph, board, goal, settings
        self.feed = feed
        self.stored = feed.tensors if feed else frozenset[str]()
        self.fed_inputs = graph.inputs if feed and not feed.tensors else ()
        self.work = WORK + WORK_PER_OP * len(graph.ops)
        self.reserve = self.work // 2  # for placing
        steps = range(len(graph.ops))
        self.single = [self._alone(s) for s in steps]
        self.found: dict[int, list[tuple[int, Plan]]] = {
            s: [(s + 1, Plan(self.single[s]))] for s in steps
        }
        self.tried: set[Range] = set()
        ends = (*(() if self.fed_inputs else graph.inputs), *graph.outputs)
        self.least = max((graph.tensors[t].nbytes for t in ends), default=0)

    def _alone(self, step: int) -> Cost:
        """What an op comes to as it is; without limit if it needs what comes by rows only."""
        cost = self._estimate(Range(step, step + 1))
        tensors = self.graph.tensors
        by_rows = [t for t in self.graph.ops[step].reads if tensors[t].name in self.stored]
        lately = {t for op in self.graph.ops[max(0, step - NEAR) : step] for t in op.outputs}
        return cost if lately.issuperset(by_rows) else replace(cost, peak=NO_LIMIT)

    def plans(self) -> list[Plan]:
        """Plans that none is better than in everything, the best for the goal first."""
        while True:
            front = sorted(self._front(), key=lambda p: self.rank(p.cost))
            fresh = [s for s in self._around(front[0]) if s not in self.tried]
            if not fresh or self.work < self.reserve or self._suffices(front[0].cost):
                return front
            for steps in fresh:
                if self.work < self.reserve:
                    break
                self.tried.add(steps)
                self._try(steps, front[0].cost.peak)

    def best(self, finer: Settings) -> list[Plan]:
        """The best plans as they come out once they are placed, the best first.

        Placement shows what the estimate can't: how well the pieces fit together. Each stage in
        turn takes the setting that serves the goal best then.
        """
        made: list[Plan] = []
        for plan in self.plans()[:FINALISTS]:
            made.append(self._polished(self._placed(plan.stages), finer))
        return sorted(made, key=lambda p: self.rank(p.cost))

    def _polished(self, plan: Plan, finer: Settings) -> Plan:
        for number, stage in enumerate(plan.stages):
            if self._suffices(plan.cost):
                break
            shape = self.graph.tensors[self.graph.ops[stage.steps.stop - 1].outputs[0]].shape
            settings = list(finer(shape))
            if self.goal.minimize == "activations":
                settings.reverse()  # the finest ones are likely best
            for cut, columns in settings:
                if self.work < 0:
                    return plan
                other = replace(stage, cut=cut, columns=columns)
                stages = (*plan.stages[:number], other, *plan.stages[number + 1 :])
                found = self._placed(stages) if other != plan.stages[number] else plan
                if self.rank(found.cost) < self.rank(plan.cost):
                    plan = found
        return plan

    def _placed(self, stages: tuple[Stage, ...]) -> Plan:
        """The plan with its true peak, after a quick packing; without limit if it can't be made."""
        try:
            made = staged(self.graph, stages)
        except (CannotFitError, ModelError):  # what is fed by rows is read whole as well
            return Plan(Cost(NO_LIMIT, 0, 0), stages)
        self.work -= PLACED * len(made.ops)
        found = puzzle(made, self.goal.kernels, aliasing=self.goal.aliasing)
        peak = pack(found.blocks, found.apart, floor=found.floor(), effort=0).size_bytes
        cycles = sum(op_cycles(made, op, self.board) for op in made.ops)
        return Plan(Cost(peak, self._beside(made, peak) - self._fixed, cycles), stages)

    def rank(self, cost: Cost) -> tuple[int, ...]:
        """Less is better for the goal."""
        required = cost.peak + cost.extra + self._fixed
        if self.goal.minimize == "activations":
            return cost.peak, cost.cycles, cost.extra
        if self.goal.minimize == "arena":
            return required, cost.cycles
        return max(0, required - self.goal.sram_bytes), cost.cycles, required

    @cached_property
    def _fixed(self) -> int:
        """What TFLM takes for the graph as it is, beside the activations."""
        peaks = (cost.peak for cost in self.single if cost.peak < NO_LIMIT)
        peak = max(peaks, default=0)
        return self._beside(self.graph, peak)

    def _beside(self, graph: Graph, peak: int) -> int:
        """What TFLM takes beside these activations; they lie where it planned, so that counts."""
        return self.goal.target.required(graph, peak) - peak

    def _tail(self, graph: Graph) -> int:
        return self.goal.target.overhead(graph, 0).tail_bytes

    def _suffices(self, cost: Cost) -> bool:
        if self.goal.wants_memory:
            return False
        return cost.peak + cost.extra + self._fixed <= self.goal.sram_bytes

    def _front(self) -> list[Plan]:
        """The plans to the last op that no other covers."""
        reached: list[list[Plan]] = [[] for _ in range(len(self.graph.ops) + 1)]
        reached[0] = [Plan(Cost(0, 0, 0))]
        for step, parts in self.found.items():
            for end, part in parts:
                for plan in reached[step]:
                    cost = plan.cost.then(part.cost)
                    reached[end] = _with(reached[end], Plan(cost, (*plan.stages, *part.stages)))
        return reached[-1]

    def _around(self, plan: Plan) -> list[Range]:
        """Segments that hold the worst step and could be less, likely ones first."""
        peak = plan.cost.peak
        covered = {s for stage in plan.stages for s in range(stage.steps.start, stage.steps.stop)}
        worst = {s for s, c in enumerate(self.single) if c.peak >= peak and s not in covered}
        for stage in plan.stages:
            costs = [p.cost for e, p in self.found[stage.steps.start] if p.stages == (stage,)]
            if costs[0].peak >= peak:
                worst.update(range(stage.steps.start, stage.steps.stop))
        found: list[tuple[int, int, Range]] = []
        for step in sorted(worst):
            for start in range(max(0, step - MOST_LAYERS + 1), step + 1):
                if self._whole(start, start + 1)[0] >= peak:
                    continue
                for stop in range(max(step + 1, start + 2), start + MOST_LAYERS + 1):
                    if stop > len(self.graph.ops):
                        break
                    steps = Range(start, stop)
                    if self._whole(stop - 1, stop)[1] < peak and steps not in self.tried:
                        found.append((stop - start, start, steps))
        ordered = dict.fromkeys(steps for _, _, steps in sorted(found))
        return [s for s in ordered if is_segment(self.graph, s, feed=self.feed)]

    def _whole(self, start: int, stop: int) -> tuple[int, int]:
        """Bytes of what the first op reads and of what the last one makes."""
        tensors = self.graph.tensors
        read = [
            tensors[t]
            for t in self.graph.ops[start].reads
            if t not in self.fed_inputs and tensors[t].name not in self.stored
        ]
        made = self.graph.ops[stop - 1].outputs
        return (
            sum(t.nbytes for t in read if t.data is None),
            sum(tensors[t].nbytes for t in made),
        )

    def _try(self, steps: Range, peak: int) -> None:
        shape = self.graph.tensors[self.graph.ops[steps.stop - 1].outputs[0]].shape
        for cut, columns in self.settings(shape):
            stage = with_feed(self.graph, Stage(steps, cut, columns), self.feed)
            cost = self._estimate(steps, stage)
            if cost.peak == NO_LIMIT:
                break
            options = self.found[steps.start]
            others = [p for end, p in options if end == steps.stop]
            if not any(p.cost.covers(cost) for p in others):
                options.append((steps.stop, Plan(cost, (stage,))))
            if cost.peak > peak * FINER or cost.peak <= self.least:
                break

    def _estimate(self, steps: Range, stage: Stage | None = None) -> Cost:
        """What the ops of these steps come to as a stage, or as they are."""
        part = extract(self.graph, steps, self.stored if stage else frozenset())
        made = part
        if stage is not None:
            made = replace(stage, steps=Range(0, len(part.ops))).apply(part)
            self.work -= len(made.ops)
            if len(made.ops) > MOST_OPS:
                return Cost(NO_LIMIT, 0, 0)
        found = puzzle(made, self.goal.kernels, aliasing=self.goal.aliasing)
        peak = found.floor() + bytes_beside(self.graph, steps, self.stored)
        cycles = sum(op_cycles(made, op, self.board) for op in made.ops)
        extra = 0
        if stage is not None:
            extra = self._tail(made) - self._tail(part)
        return Cost(peak, extra, cycles)


def _with(front: list[Plan], plan: Plan) -> list[Plan]:
    """The front with one more plan, if none covers it; the lowest peaks where it gets long."""
    if any(p.cost.covers(plan.cost) for p in front):
        return front
    kept = [p for p in front if not plan.cost.covers(p.cost)]
    kept.append(plan)
    if len(kept) > FRONT:
        kept.sort(key=lambda p: (p.cost.peak, p.cost.extra, p.cost.cycles))
        drop = max(range(1, len(kept) - 1), key=lambda i: kept[i].cost.extra)
        del kept[drop]
    return kept


def by_rows(shape: tuple[int, ...]) -> Iterator[tuple[Cut, int]]:
    """Halos kept: few stripes first, the finer ones with windows that roll."""
    for rows in _heights(shape[1], (4, 8, 24)):
        if rows * 4 >= shape[1]:
            yield Cut(rows), 0
        yield Cut(rows, roll=True), 0


def by_rows_finely(shape: tuple[int, ...]) -> Iterator[tuple[Cut, int]]:
    for rows in _heights(shape[1], (2, 3, 4, 6, 8, 12, 24, 48)):
        yield Cut(rows, roll=True), 0
        yield Cut(rows), 0
    yield Cut(1, 1, roll=True), 0


def _heights(height: int, counts: Sequence[int]) -> list[int]:
    """The rows of so many stripes each, different ones, most first."""
    return list(dict.fromkeys(-(-height // n) for n in counts if n <= height)) or [height]
