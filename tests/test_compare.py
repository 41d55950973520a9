"""Winner and Pareto marks against brute force, on policies that cost what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.compare import TRIAL_FRAMES, Comparison, Outcome, compare
from sim.device.board import Board
from sim.device.loader import load_board
from sim.engine.run import play as engine
from sim.engine.run import simulate
from sim.errors import CannotFitError, ModelError, PlanError, PolicyError, SpillwayError
from sim.graph.graph import Graph
from sim.policy import MINIMIZE, Choice, Goal, Policy, parse_choice
from sim.program import pack_graph, place
from sim.report import Report, report
from sim.system import System
from sim.trace import BUS, COMPUTE, CORE, STALL, Span
from tests.graphs import Net, unet
from tests.traces import hand_made

BOARD = load_board("arduino_portenta_h7")
PLENTY = Goal(10**9)


def net(size: int, name: str = "net") -> Graph:
    made = Net(name=name)
    return made.graph(made.relu(made.input(1, 1, 1, size)))


@dataclass(frozen=True, slots=True)
class Toy:
    """Makes a graph of so many bytes that takes so long; the times stand in its name."""

    size: int = 16
    work_ps: int = 1000
    stall_ps: int = 0

    name: ClassVar[str] = "toy"
    summary: ClassVar[str] = "costs what it says"
    packs: ClassVar[bool] = False

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return net(self.size, f"{self.work_ps}/{self.stall_ps}")

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield self


@dataclass(frozen=True, slots=True)
class Several(Toy):
    """Tries settings of the toy; an error among them is raised when its turn comes."""

    settings: tuple[Toy | SpillwayError, ...] = ()

    name: ClassVar[str] = "several"

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        for setting in self.settings:
            if isinstance(setting, SpillwayError):
                raise setting
            yield setting


@dataclass(frozen=True, slots=True)
class Broken(Toy):
    """Can't be applied."""

    error: SpillwayError = PolicyError("broken")  # noqa: RUF009

    name: ClassVar[str] = "broken"

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        raise self.error


def play(system: System, board: Board, *, frames: int, seed: int) -> Report:
    """What the graph's name says, and every inference the same."""
    work_ps, stall_ps = map(int, system.program.graph.name.split("/"))
    each_ps, spans = work_ps + stall_ps, []
    for frame in range(frames):
        start, middle, stop = (frame * each_ps + t for t in (0, work_ps, each_ps))
        spans.append(Span(start, middle, CORE, COMPUTE, "RELU", frame, 0))
        spans.append(Span(middle, stop, CORE, STALL, "RELU", frame, 0, 0, BUS))
    ends = tuple((frame * each_ps, (frame + 1) * each_ps) for frame in range(frames))
    return report(hand_made(spans, ends, (CORE,)), board)


def choice(*policies: Policy) -> Choice:
    return Choice(policies, tuple(() for _ in policies))


def compared(goal: Goal, *policies: Policy, frames: int = 1) -> Comparison:
    choices = [choice(policy) for policy in policies]
    return compare(net(16, "1/0"), BOARD, goal, choices, play, frames=frames)


toys = st.builds(
    Toy,
    size=st.sampled_from([16, 32, 4096, 8000]),
    work_ps=st.sampled_from([1, 10**6, 2 * 10**6, 3 * 10**9]),
    stall_ps=st.sampled_from([0, 10**6, 5 * 10**6]),
)


def required(toy: Toy) -> int:
    return place(net(toy.size)).arena().required


@settings(max_examples=200, deadline=None)
@given(st.lists(toys, min_size=1, max_size=6), st.sampled_from(MINIMIZE), st.data())
def test_winner_and_pareto_by_brute_force(
    policies: list[Toy], minimize: str, data: st.DataObject
) -> None:
    edges = [required(toy) + d for toy in policies for d in (-1, 0)]
    goal = Goal(data.draw(st.sampled_from([0, *edges])), minimize)
    found = compared(goal, *policies)
    arena = [required(toy) for toy in policies]
    latency = [toy.work_ps + toy.stall_ps for toy in policies]
    energy = [
        (BOARD.core.active_uw * toy.work_ps + BOARD.core.waiting_uw * toy.stall_ps) // 10**6
        for toy in policies
    ]
    assert [o.report and o.report.energy_pj for o in found.outcomes] == energy
    first, second = {
        "latency": (latency, arena),
        "p99": (latency, arena),
        "energy": (energy, arena),
        "arena": (arena, latency),
        "activations": ([toy.size for toy in policies], latency),
    }[minimize]
    everybody = range(len(policies))
    fitting = [i for i in everybody if arena[i] <= goal.sram_bytes]
    assert [o.fits(goal) for o in found.outcomes] == [i in fitting for i in everybody]
    if fitting:
        left = [i for i in fitting if first[i] == min(first[j] for j in fitting)]
        left = [i for i in left if second[i] == min(second[j] for j in left)]
    else:
        left = [i for i in everybody if arena[i] == min(arena)]
        left = [i for i in left if latency[i] == min(latency[j] for j in left)]
    assert found.winner == left[0]
    assert found.best is found.outcomes[left[0]]
    beaten = {
        i
        for i in everybody
        for j in everybody
        if (arena[j] < arena[i] and latency[j] <= latency[i])
        or (arena[j] <= arena[i] and latency[j] < latency[i])
    }
    assert found.pareto == set(everybody) - beaten


def test_where_nothing_fits_the_smallest_required_arena_wins() -> None:
    quick, small = Toy(8192, 1), Toy(16, 10**9)
    for minimize in MINIMIZE:
        found = compared(Goal(required(small) - 1, minimize), quick, small)
        assert found.best.choice.policies == (small,)
        assert not found.best.fits(found.goal)
    assert compared(Goal(required(quick)), quick, small).best.choice.policies == (quick,)


ERRORS = [
    PolicyError("no such storage"),
    CannotFitError("tensor 'x' is in the way"),
    PlanError("an overlap"),
    ModelError("not a graph"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_a_failing_policy_is_reported_in_its_row(error: SpillwayError) -> None:
    failing = (Broken(error=error), Several(settings=(error,)))
    found = compared(PLENTY, failing[0], Toy(8192), failing[1], Toy(4096))
    assert [o.error for o in found.outcomes] == [str(error), "", str(error), ""]
    for failed in (found.outcomes[0], found.outcomes[2]):
        assert failed == Outcome(failed.choice, error=str(error))
        assert not failed.fits(PLENTY)
    assert found.winner == 3
    assert found.pareto == {3}


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_a_failing_first_policy_of_a_row_is_reported(error: SpillwayError) -> None:
    row = choice(Broken(error=error), Toy(16))
    found = compare(net(16, "1/0"), BOARD, PLENTY, [row, choice(Toy(32))], play)
    assert [o.error for o in found.outcomes] == [str(error), ""]
    assert found.winner == 1


def test_a_failing_setting_does_not_spoil_the_others() -> None:
    good, slow = Toy(16, 5), Toy(16, 6)
    broken = Broken(error=PlanError("an overlap"))
    found = compared(PLENTY, Several(settings=(broken, slow, good, PolicyError("enough"))))
    assert found.best.choice.policies == (good,)
    assert found.best.error == ""


def test_if_all_fail_all_reasons_are_told() -> None:
    with pytest.raises(PolicyError, match=r"^first; second$"):
        compared(PLENTY, Broken(error=PolicyError("first")), Broken(error=PlanError("second")))
    with pytest.raises(PolicyError, match=r"^several: nothing to try$"):
        compared(PLENTY, Several())
    with pytest.raises(PolicyError, match=r"^no policy was named$"):
        compared(PLENTY)


def test_a_broken_law_is_nobodys_row() -> None:
    """Time that is not accounted for is the engine's fault, and is not taken for a policy's."""

    def careless(system: System, board: Board, *, frames: int, seed: int) -> Report:
        raise SpillwayError("trace: core: time is missing")

    with pytest.raises(SpillwayError, match="trace: core"):
        compare(net(16, "1/0"), BOARD, PLENTY, [choice(Toy(work_ps=7))], careless)


@pytest.mark.parametrize(
    ("minimize", "best"), [("latency", 1), ("energy", 2), ("arena", 0), ("activations", 0)]
)
def test_the_best_setting_of_a_policy_is_kept(minimize: str, best: int) -> None:
    tried = (Toy(16, 9 * 10**6), Toy(4096, 3 * 10**6), Toy(8192, 10**6, 3 * 10**6))
    found = compared(Goal(10**9, minimize), Several(settings=tried))
    assert found.best.choice.policies == (tried[best],)
    assert found.best.choice.asked == ((),)


def test_trials_are_short_and_the_best_runs_all_frames() -> None:
    asked: list[tuple[str, int, int]] = []
    told: list[str] = []

    def noted(system: System, board: Board, *, frames: int, seed: int) -> Report:
        asked.append((system.program.graph.name, frames, seed))
        return play(system, board, frames=frames, seed=seed)

    policy = Several(settings=(Toy(work_ps=9), Toy(work_ps=5)))
    found = compare(
        net(16, "1/0"), BOARD, PLENTY, [choice(policy)], noted,
        frames=11, seed=3, progress=told.append,
    )  # fmt: skip
    assert asked == [("9/0", TRIAL_FRAMES, 3), ("5/0", TRIAL_FRAMES, 3), ("5/0", 11, 3)]
    assert found.best.report is not None and found.best.report.frames == 11
    assert [text.partition(" ")[0] for text in told] == ["policy"] * 4
    assert "1 of 1: trying toy" in told[1] and told[-1].endswith(", 11 frames")


def test_with_the_engine_each_row_is_what_its_program_does() -> None:
    graph = unet(16, 24, (4, 8, 16))
    baseline = place(graph)
    goal = Goal(pack_graph(graph)[0].arena().required - 1)
    texts = ("baseline", "plan", "spill", "spill(storage=uart)", "spill(storage=floppy)")
    found = compare(graph, BOARD, goal, [parse_choice(t) for t in texts], engine, frames=6, seed=2)
    assert [o.choice.name for o in found.outcomes] == ["baseline", "plan", *["spill"] * 3]
    for outcome in found.outcomes[:-1]:
        assert outcome.program is not None
        trace = simulate(outcome.program, BOARD, frames=6, seed=2)
        assert outcome.report == report(trace, BOARD)
        assert outcome.arena == outcome.program.arena()
    assert "floppy" in found.outcomes[-1].error
    assert found.outcomes[0].program == baseline
    assert found.best.choice.policies[0].name == "spill"
    assert found.best.fits(goal)
    assert found.graph is graph


def test_a_model_without_ops_is_refused() -> None:
    empty = Net()
    with pytest.raises(ModelError, match="found no ops, wanted one at least"):
        compare(empty.graph(empty.input(1, 8)), BOARD, PLENTY, [choice(Several())], play)
