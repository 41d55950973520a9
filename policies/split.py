"""split: where memory is short, one op or a few in a row are done in parts, along channels or rows.

The rule: the steps around the worst one are cut so that the wide tensor between them never exists
whole; then those around the next worst, as long as that helps. TinyMo (IEEE ESL 2024) does so at
each peak of a pointwise and a depthwise convolution; the way through the channels is fused
depthwise tiling (Stahl et al., 2023, arXiv 2303.17878), where no value is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.estimates import CANDIDATES, MOST_OPS, Estimate, estimate
from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.errors import CannotFitError
from sim.graph.channels import most_parts, split
from sim.graph.graph import Graph
from sim.graph.rewrite import drop_dead_tensors
from sim.graph.scratch import scratch_bytes
from sim.graph.stripes import Cut, is_segment, stripe
from sim.plan.blocks import live_profile
from sim.policy import Goal, Policy, check_counts
from sim.ranges import Range

AXES = ("channels", "rows")
PARTS_TRIED = (2, 3, 4, 8, 16, 32)
LONGEST = 5
"""The most ops that are cut together where the steps are left to be chosen."""
MOST_MOVES = 12
PACKED = 5
"""Of the best by estimate, how many are placed before one is chosen; and of the smallest."""


@dataclass(frozen=True, slots=True)
class Split:
    """Parameters left out are chosen for the goal.

    Ops `start` up to `stop` (not included) are done in `parts` along an `axis`, "channels" or
    "rows"; 1 part leaves the graph as it is. Several splits are made where no steps are named.
    """

    start: int | None = None
    stop: int | None = None
    parts: int | None = None
    axis: str | None = None

    name: ClassVar[str] = "split"
    summary: ClassVar[str] = "ops at a peak run in parts, along channels or rows"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_counts(self, "start", "stop", "parts")
        if self.axis is not None and self.axis not in AXES:
            raise ValueError(f"axis: found {self.axis!r}, wanted one of {', '.join(AXES)}")

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return _Search(self, graph, board, goal).best()[0].graph

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The best settings; several splits in a row are what this policy makes by itself."""
        found = [f.splits for f in _Search(self, graph, board, goal).best()]
        if any(len(splits) > 1 for splits in found):
            yield self
        for splits in found:
            if not splits:
                yield replace(self, parts=1)
            elif len(splits) == 1:
                yield Split(
                    splits[0].steps.start, splits[0].steps.stop, splits[0].parts, splits[0].axis
                )


@dataclass(frozen=True, slots=True, order=True)
class _Splitting:
    """One split: which steps, into how many parts, along which axis."""

    steps: Range
    parts: int
    axis: str

    def fits(self, graph: Graph) -> bool:
        return 2 <= self.parts <= _most_parts(graph, self.steps, self.axis)

    def made(self, graph: Graph) -> Graph:
        """Raises CannotFitError if the steps can't be cut so."""
        steps, most = self.steps, _most_parts(graph, self.steps, self.axis)
        if not self.fits(graph):
            kinds = ", ".join(op.kind for op in graph.ops[steps.start : steps.stop]) or "none"
            wanted = f"2..{most}" if most > 1 else "none, since they have to stay whole"
            raise CannotFitError(
                f"split: {graph.name}: ops {steps.start}..{steps.stop} ({kinds}): "
                f"parts along {self.axis}: found {self.parts}, wanted {wanted}"
            )
        if self.axis == "channels":
            return split(graph, steps, self.parts)
        return stripe(graph, steps, Cut(-(-most // self.parts)))


def _most_parts(graph: Graph, steps: Range, axis: str) -> int:
    """The most parts that the steps can be cut into, 0 if they can't be cut."""
    if graph.bodies or not 0 <= steps.start < steps.stop <= len(graph.ops):
        return 0
    if axis == "channels":
        return most_parts(graph, steps)
    if not is_segment(graph, steps):
        return 0
    return graph.tensors[graph.ops[steps.stop - 1].outputs[0]].shape[1]


@dataclass(frozen=True, slots=True)
class _Found:
    """A graph with splits that don't overlap, their steps being those of the graph as it was.

    `takes` is by estimate; `peaks` are the most bytes at the ops of each split, and at each other
    op; `here` is what the graph would take if there were only the ops of the split made last.
    """

    splits: tuple[_Splitting, ...]
    graph: Graph
    takes: Estimate
    peaks: Mapping[Range, int]
    here: int

    @property
    def worst(self) -> Range | None:
        """The steps where the most is needed; None if that is at no op."""
        steps = max(self.peaks, key=lambda s: (self.peaks[s], -s.start), default=None)
        return steps if steps and self.peaks[steps] == self.takes.activations else None


class _Search:
    """Splits at the worst step, or splits anew what was split there, again and again."""

    def __init__(self, policy: Split, graph: Graph, board: Board, goal: Goal) -> None:
        self.policy, self.board, self.goal = policy, board, goal
        self.graph = drop_dead_tensors(graph)
        self.target = 0 if goal.wants_memory else goal.sram_bytes
        self.axes = AXES if policy.axis is None else (policy.axis,)
        self.parts = PARTS_TRIED if policy.parts is None else (policy.parts,)
        self.options: dict[tuple[_Splitting, ...], list[_Found]] = {}
        self.whole = self._found(())

    def best(self) -> list[_Found]:
        """The best once they are placed, and the graph as it is where nothing else is asked for.

        Raises CannotFitError if the steps asked for can't be split.
        """
        asked, whole = self.policy, self.whole
        if asked.parts is not None and asked.parts < 2:
            return [whole]
        if asked.start is not None or asked.stop is not None:
            return self._placed(self._asked())[:CANDIDATES]
        if self._figure(self._packed(whole)) <= self.target:
            return [whole]
        lowest = self._descend(0)
        reached = min(self._figure(f.takes) for f in lowest)
        milder = self._descend(max(reached, self.target))
        found = self._placed([*lowest, *milder, *self._options(whole), whole])
        return [*found[: found.index(whole)][:CANDIDATES], whole]

    def _placed(self, found: Sequence[_Found]) -> list[_Found]:
        """The best by estimate, the smallest, and the whole graph, by what they take if placed."""
        unlike = list({f.splits: f for f in found}.values())
        best = sorted(unlike, key=lambda f: (*self._rank(f.takes), len(f.splits), f.splits))
        small = sorted(best, key=lambda f: (self._figure(f.takes), f.here))
        some = [*best[:PACKED], *small[:PACKED], *(f for f in best if not f.splits)]
        some = list({f.splits: f for f in some}.values())
        if len(some) == 1:
            return some
        return sorted(some, key=lambda f: (*self._rank(self._packed(f)), len(f.splits)))

    def _packed(self, found: _Found) -> Estimate:
        return estimate(found.graph, self.board, self.goal, packed=True)

    def _figure(self, takes: Estimate) -> int:
        return takes.activations if self.goal.minimize == "activations" else takes.required

    def _rank(self, takes: Estimate) -> tuple[int, int, int]:
        """Less is better: bytes above the target, then the time."""
        figure = self._figure(takes)
        return max(figure, self.target), takes.cycles, figure

    def _found(self, splits: Sequence[_Splitting], last: _Splitting | None = None) -> _Found:
        """The graph with these splits, the later ones made first, since they move what follows."""
        splits, graph, longer = tuple(sorted(splits)), self.graph, {}
        for one in reversed(splits):
            before = len(graph.ops)
            graph = one.made(graph)
            longer[one.steps.start] = (one.steps, len(graph.ops) - before)
        live = live_profile(graph, self.goal.kernels, aliasing=self.goal.aliasing)
        peaks, old, new = {}, 0, 0
        while old < len(self.graph.ops):
            steps, more = longer.get(old, (Range(old, old + 1), 0))
            stop = new + steps.length + more
            peaks[steps] = max(live.get(step, 0) for step in range(new, stop))
            old, new = steps.stop, stop
        head = max(live.values(), default=0)
        cycles = sum(op_cycles(graph, op, self.board) for op in graph.ops)
        takes = Estimate(head, self.goal.target.required(graph, head), cycles)
        here = self._figure(takes) - head + (peaks[last.steps] if last else head)
        return _Found(splits, graph, takes, peaks, here)

    def _descend(self, target: int) -> list[_Found]:
        """The graph, then with ever more splits, until the target is reached or nothing helps.

        Of the ways to split, what its own ops need comes first, then what all need, then time.
        """
        path = [self.whole]
        while len(path) <= MOST_MOVES and self._figure(path[-1].takes) > target:
            options = self._options(path[-1])
            if not options:
                break
            path.append(
                min(
                    options,
                    key=lambda o: (
                        max(o.here, target),
                        max(self._figure(o.takes), target),
                        o.takes.cycles,
                        o.splits,
                    ),
                )
            )
        return path

    def _options(self, now: _Found) -> list[_Found]:
        """Every split of a few ops with the worst step among them that makes it better there."""
        if now.splits not in self.options:
            made = [self._with(now, one) for one in self._splittings(self._around(now))]
            self.options[now.splits] = [f for f in made if f is not None]
        return self.options[now.splits]

    def _around(self, now: _Found) -> list[Range]:
        """Few steps with the worst one; a split is among them with all its steps, or with none."""
        worst = now.worst
        if worst is None:
            return []
        every = (
            Range(start, stop)
            for start in range(max(0, worst.stop - LONGEST), worst.start + 1)
            for stop in range(worst.stop, min(len(self.graph.ops), start + LONGEST) + 1)
        )
        return [
            steps
            for steps in every
            if (steps.length > 1 or self._has_scratch(steps.start))
            and all(_holds(steps, s.steps) or not s.steps.overlaps(steps) for s in now.splits)
        ]

    def _has_scratch(self, step: int) -> bool:
        """One op alone is worth splitting only if its kernel needs less for a part."""
        return any(scratch_bytes(self.graph, self.graph.ops[step], self.goal.kernels))

    def _splittings(self, steps: Sequence[Range]) -> list[_Splitting]:
        every = (_Splitting(s, p, a) for s in steps for a in self.axes for p in self.parts)
        return [one for one in every if one.fits(self.graph)]

    def _with(self, now: _Found, one: _Splitting) -> _Found | None:
        """One split more, instead of those inside of it; None if it is no better there."""
        kept = [s for s in now.splits if not s.steps.overlaps(one.steps)]
        found = self._found([*kept, one], one)
        if len(found.graph.ops) > MOST_OPS or found.takes.activations > now.takes.activations:
            return None
        return found if found.here < self._figure(now.takes) else None

    def _asked(self) -> list[_Found]:
        """The splits of the steps that the policy's parameters name."""
        start, stop = self.policy.start, self.policy.stop
        if start is not None and stop is not None:
            steps = [Range(start, stop)]
        elif start is not None:
            steps = [Range(start, start + n) for n in range(1, LONGEST + 1)]
        else:
            assert stop is not None
            steps = [Range(max(0, stop - n), stop) for n in range(1, LONGEST + 1)]
        every = self._splittings(list(dict.fromkeys(steps)))
        every = every or [_Splitting(steps[0], self.parts[0], self.axes[0])]  # says why it can't be
        return [self._found([one], one) for one in every]


def _holds(steps: Range, other: Range) -> bool:
    return steps.start <= other.start and other.stop <= steps.stop
