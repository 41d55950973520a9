"""spill: a tensor that is long alive but seldom used waits in a storage, not in the SRAM.

The rule: while too much is alive at some step, take out the tensor that is cold there (alive, but
used neither at that step nor around it) and saves most bytes for its transfer time. TinySeg
(LCTES 2024, section 3) spills the longest-living tensors; here cost and gain are weighed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from policies.cold import Cold, cold_ranges, least_after_spills
from sim.device.board import Board, Storage
from sim.device.cost import op_cycles
from sim.errors import CannotFitError, PolicyError
from sim.graph.graph import Graph
from sim.graph.rewrite import Rewrite
from sim.plan.blocks import live_profile
from sim.plan.runtime import TFLM
from sim.policy import Goal, Policy, check_counts
from sim.units import cycles_to_ps

BYTES_PER_SPILL = 512
"""What three more ops and their tensors cost TFLM, generously (see sim.plan.runtime_overhead)."""

STORAGES_TRIED = 3
TARGETS_TRIED = 4


@dataclass(frozen=True, slots=True)
class Spill:
    """Parameters left out are chosen for the goal.

    `storage` is one of the board's; `target` the bytes of activations to come down to; `tensors`
    the names of those that may go; `window` and `lead` the most steps that a spill may drain beyond
    its tensor's last use and a fetch may start ahead, 0 to block.
    """

    storage: str | None = None
    target: int | None = None
    tensors: tuple[str, ...] | None = None
    window: int | None = None
    lead: int | None = None

    name: ClassVar[str] = "spill"
    summary: ClassVar[str] = "long-living tensors wait in a storage and are fetched before use"
    packs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.storage is not None and not isinstance(self.storage, str):
            raise TypeError(f"storage: found {self.storage!r}, wanted a name")
        if self.tensors is not None and not (
            isinstance(self.tensors, tuple) and all(isinstance(t, str) for t in self.tensors)
        ):
            raise TypeError(f"tensors: found {self.tensors!r}, wanted a [list] of names")
        check_counts(self, "target", "window", "lead")

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        chooser = _Chooser(self, graph, board, goal)
        victims = chooser.victims(self.target if self.target is not None else chooser.floor())
        return chooser.rewrite(victims)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The quickest storages, each with the targets around the budget, draining or blocking."""
        chooser = _Chooser(self, graph, board, goal)
        targets = [self.target] if self.target is not None else chooser.targets()
        for target in targets:
            victims = chooser.victims(target)
            if not victims:
                yield replace(self, storage=chooser.storage.name, target=target)
                continue
            for storage in chooser.storages(victims):
                setting = replace(self, storage=storage.name, target=target)
                yield setting
                if self.window is None and self.lead is None:
                    yield replace(setting, window=0, lead=0)


class _Chooser:
    """One graph's profile of live bytes, and the choice of what leaves it."""

    def __init__(self, policy: Spill, graph: Graph, board: Board, goal: Goal) -> None:
        self.policy, self.graph, self.board, self.goal = policy, graph, board, goal
        self.live = live_profile(graph, goal.kernels, aliasing=goal.aliasing)
        self.cold = self._allowed(cold_ranges(graph))
        self.storage = self.storages([])[0]

    def _allowed(self, cold: list[Cold]) -> list[Cold]:
        names = self.policy.tensors
        if names is None:
            return cold
        known = {t.name for t in self.graph.tensors}
        for name in names:
            if name not in known:
                waiting = sorted({self.graph.tensors[c.tensor].name for c in cold})
                wanted = ", ".join(waiting) or "none: no tensor waits"
                raise PolicyError(f"spill: tensors: found {name!r}, wanted some of: {wanted}")
        return [c for c in cold if self.graph.tensors[c.tensor].name in names]

    def storages(self, victims: list[Cold]) -> list[Storage]:
        """Those of the board with room for the slots, the quickest first; or the one named."""
        named = self.policy.storage
        able = self.board.storages if named is None else (self.board.storage(named),)
        spilled = [self.graph.tensors[t] for t in dict.fromkeys(v.tensor for v in victims)]
        sizes = [tensor.nbytes for tensor in spilled]
        roomy = [s for s in able if sum(map(s.slot_bytes, sizes)) <= s.size_bytes]
        if not roomy:
            found = ", ".join(f"{s.name} ({s.size_bytes} B)" for s in able) or "none"
            names = ", ".join(f"{t.name!r} ({t.nbytes} B)" for t in spilled)
            raise CannotFitError(
                f"spill: board {self.board.name}: storage: found {found}, "
                f"wanted room for {names or 'what is spilled'}"
            )
        probe = max(sum(sizes), 1024)
        roomy.sort(key=lambda s: (s.write_ps(probe) + s.read_ps(probe), s.name))
        return roomy[:STORAGES_TRIED]

    def floor(self) -> int:
        """The least live bytes that spilling can reach: what is in use at the worst step."""
        return least_after_spills(self.cold, self.live)

    def targets(self) -> list[int]:
        """Levels of activations worth trying: from the budget down to the floor, and the budget."""
        floor, top = self.floor(), max(self.live.values(), default=0)
        if self.goal.wants_memory:
            return [floor]
        levels = {n for n in self.live.values() if floor < n < top}
        levels.update(max(floor, top - cold.size) for cold in self.cold if top - cold.size > floor)
        fitting = sorted((n for n in levels if n <= self.goal.sram_bytes), reverse=True)
        chosen = [top] if top <= self.goal.sram_bytes else []
        room = self._room(len(self.victims(self._room(0))))
        budget = [room] if floor < room < top else []
        return [*chosen, *fitting[: TARGETS_TRIED - 1], floor, *budget]

    def victims(self, target: int) -> list[Cold]:
        """The cold ranges to take out so that no step holds more than the target."""
        live = dict(self.live)
        chosen: list[Cold] = []
        rest = list(self.cold)
        while rest and max(live.values()) > target:
            worst = max(live, key=lambda s: (live[s], -s))
            here = [c for c in rest if worst in c.gap]
            if not here:
                break
            best = max(here, key=lambda c: (self._worth(c, live, target, chosen), -c.gap.start))
            chosen.append(best)
            rest.remove(best)
            _add(live, best, -best.size)
        for cold in sorted(chosen, key=lambda c: c.size):
            _add(live, cold, cold.size)
            if max(live.values()) <= max(target, self._reached(chosen)):
                chosen.remove(cold)
            else:
                _add(live, cold, -cold.size)
        return sorted(chosen)

    def _reached(self, chosen: list[Cold]) -> int:
        live = dict(self.live)
        for cold in chosen:
            _add(live, cold, -cold.size)
        return max(live.values())

    def _worth(self, cold: Cold, live: Mapping[int, int], target: int, chosen: list[Cold]) -> float:
        """Bytes over the target that it takes away, summed over steps, per time it costs."""
        saved = sum(min(cold.size, max(0, live[s] - target)) for s in cold.steps())
        nbytes = self.graph.tensors[cold.tensor].nbytes
        written = any(c.tensor == cold.tensor for c in chosen)
        cost = self.storage.read_ps(nbytes) + (0 if written else self.storage.write_ps(nbytes))
        return saved / max(cost, 1)

    def rewrite(self, victims: list[Cold]) -> Graph:
        if not victims:
            return Rewrite(self.graph).graph()
        storage = self.storages(victims)[0]
        live = dict(self.live)
        for cold in victims:
            _add(live, cold, -cold.size)
        ceiling = self._ceiling(max(live.values()), len(victims))
        times = [
            cycles_to_ps(op_cycles(self.graph, op, self.board), self.board.core.clock_hz)
            for op in self.graph.ops
        ]
        edit = Rewrite(self.graph)
        for tensor in dict.fromkeys(c.tensor for c in victims):
            gaps = [c for c in victims if c.tensor == tensor]
            nbytes = self.graph.tensors[tensor].nbytes
            held = _stretch(
                live, gaps[0], times, storage.write_ps(nbytes), ceiling, self.policy.window, 1
            )
            reads = []
            for cold in gaps:
                ahead = _stretch(
                    live, cold, times, storage.read_ps(nbytes), ceiling, self.policy.lead, -1
                )
                reads.append((cold.gap.stop - ahead, cold.gap.stop))
            after = gaps[0].gap.start - 1 if self.policy.window == 0 else gaps[0].made
            edit.spill(tensor, storage.name, after, reads, gaps[0].gap.start - 1 + held)
        return edit.graph()

    def _ceiling(self, reached: int, victims: int) -> int:
        """What draining spills and early fetches may fill, where memory is no goal.

        The budget, but never more than the target, nor than what is alive without any spill.
        """
        if self.goal.wants_memory:
            return reached
        target = self.policy.target
        most = target if target is not None else max(self.live.values())
        return max(reached, min(most, self._room(victims)))

    def _room(self, victims: int) -> int:
        """The activations that the budget leaves with so many spills."""
        extra = self.goal.target.overhead(self.graph, self.floor())
        left = self.goal.sram_bytes - extra.persistent_bytes - extra.temporary_bytes
        return left - victims * (BYTES_PER_SPILL if self.goal.runtime == TFLM else 0)


def _add(live: dict[int, int], cold: Cold, nbytes: int) -> None:
    for step in cold.steps():
        live[step] += nbytes


def _stretch(
    live: dict[int, int],
    cold: Cold,
    times: list[int],
    needed_ps: int,
    ceiling: int,
    most: int | None,
    direction: int,
) -> int:
    """Steps of the gap, from its start or its end, for which the bytes may stay under the ceiling.

    No more than the transfer needs; at least one step of the gap stays cold.
    """
    steps = list(cold.steps())[::direction]
    limit = len(steps) - 1 if most is None else min(most, len(steps) - 1)
    taken = covered_ps = 0
    while taken < limit and covered_ps < needed_ps:
        step = steps[taken]
        if live[step] + cold.size > ceiling:
            break
        live[step] += cold.size
        covered_ps += times[step]
        taken += 1
    return taken
