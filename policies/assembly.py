"""A path through a graph as policies in a row, which is what a person could have written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from policies.blocks import Path, Terms
from policies.fused_fetch import FusedFetch
from policies.fusion import DRAIN
from policies.spill import Spill
from policies.split import Split
from policies.stages import Stage
from policies.stream import Stream, told
from sim.device.board import Storage
from sim.graph.graph import Graph
from sim.graph.padding import CHANNELS
from sim.policy import Policy
from sim.ranges import Range


def assembled(
    path: Path, terms: Terms, graph: Graph, storage: Storage | None, room: int
) -> tuple[Policy, ...]:
    """The path as policies in a row; what is spilled beside it goes on until `room` bytes do."""
    found, tensors = path.stages(), graph.tensors
    splits = [s for s in found if s.cut.axis == CHANNELS]
    made = [*_splits(splits)]
    moved = _moved(splits, graph)
    found = tuple(replace(s, steps=moved(s.steps)) for s in found if s not in splits)
    stages = told([s for s in found if not s.parts])
    pools = tuple((s.steps.start, s.parts) for s in found if s.parts)
    stored = {tensors[t].name for t in path.stored()}
    if path.blocks[-1].way.leaves:
        stored.add(tensors[graph.outputs[0]].name)
    if not stored and not terms.spilled:
        return (*made, *((Stream(stages),) if stages else ()))
    assert storage is not None
    if stages and not stored:
        made.append(Stream(stages))
    if stored:
        made.append(
            FusedFetch(
                stages,
                tuple(sorted(stored)),
                storage.name,
                rows=terms.slot_rows,
                ahead=terms.ahead,
                drain=DRAIN,
                pools=pools,
            )
        )
    if terms.spilled:
        spilled = tuple(sorted(tensors[t].name for t in terms.spilled))
        made.append(Spill(storage.name, target=room, tensors=spilled))
    return tuple(made)


def _splits(splits: Sequence[Stage]) -> Iterator[Policy]:
    """The last ones first, since they move what follows."""
    for stage in reversed(splits):
        yield Split(stage.steps.start, stage.steps.stop, stage.parts, "channels")


def _moved(splits: Sequence[Stage], graph: Graph) -> Callable[[Range], Range]:
    """Where steps are once these splits are made."""
    grown: list[tuple[int, int]] = []
    for stage in reversed(splits):
        before = len(graph.ops)
        graph = stage.apply(graph)
        grown.append((stage.steps.stop, len(graph.ops) - before))

    def moved(steps: Range) -> Range:
        by = sum(more for stop, more in grown if stop <= steps.start)
        return Range(steps.start + by, steps.stop + by)

    return moved
