"""auto: it meets budgets, repeats itself, can be stopped, and no other policy does better."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.auto import Auto
from policies.fused_fetch import FusedFetch
from policies.patch import Patch
from policies.reorder import Reorder
from policies.spill import Spill
from policies.split import Split
from policies.stream import Stream
from sim.compare import compare
from sim.deploy.feeder import slots_to_fill
from sim.deploy.verify import verify
from sim.device.loader import load_board
from sim.engine.run import play
from sim.errors import PolicyError
from sim.graph.graph import Graph
from sim.graph.tflite_reader import read, read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.plan.runtime import RUNTIMES, STATIC, Runtime
from sim.policy import Goal, Policy, parse_choice, written_choice
from sim.program import Program, pack_graph
from sim.progress import listening, stop, stopped
from tests.graphs import unet

FOLDER = Path(__file__).parents[2] / "scenarios" / "models"
BOARD = load_board("arduino_portenta_h7")
QUICK = Auto(effort=0)
CLOSE = 1.01
"""Estimates of time lie this close."""


@cache
def model(name: str) -> Graph:
    if name == "unet":
        return read_bytes(to_bytes(unet(24, 32, (4, 8, 8))), "unet")
    return read(FOLDER / f"{name}.tflite")


@cache
def planned(name: str, runtime: str = STATIC) -> int:
    return pack_graph(model(name), Runtime(runtime), effort=0)[0].arena().required


def goal_of(name: str, percent: int, runtime: str = STATIC, minimize: str = "latency") -> Goal:
    """A budget of so much of what the plan takes."""
    return Goal(planned(name, runtime) * percent // 100, minimize, runtime=runtime)


def made(graph: Graph, policy: Policy, goal: Goal, board: object = BOARD) -> Program:
    rewritten = policy.apply(graph, board, goal)  # type: ignore[arg-type]
    return pack_graph(rewritten, goal.target, effort=0)[0]


def found(name: str, goal: Goal, policy: Auto = QUICK) -> list[Auto]:
    settings_ = list(policy.candidates(model(name), BOARD, goal))
    assert settings_
    assert all(isinstance(s, Auto) and s.does for s in settings_)
    return settings_  # type: ignore[return-value]


MET = [("unet", 80), ("unet", 60), ("branchy", 60), ("mobilenet_v2_small", 60)]


@pytest.mark.parametrize(("name", "percent"), MET)
def test_it_meets_budgets_that_the_plan_can_t(name: str, percent: int) -> None:
    goal = goal_of(name, percent)
    assert planned(name) > goal.sram_bytes
    program = made(model(name), found(name, goal)[0], goal)
    assert program.arena().required <= goal.sram_bytes
    given_ = {f"{model(name).tensors[t].name}/rows" for t in model(name).inputs}
    assert all(any(slot.startswith(n) for n in given_) for _, slot in slots_to_fill(program.graph))


@pytest.mark.parametrize(("name", "percent"), MET[:3])
def test_what_it_makes_computes_the_same(name: str, percent: int) -> None:
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    goal = goal_of(name, percent)
    for setting in found(name, goal):
        program = made(model(name), setting, goal)
        head = program.plan.size_bytes
        proof = verify(
            to_bytes(model(name)), to_bytes(program.graph), planned_bytes=head, samples=1
        )
        assert (proof.equal, proof.tflm_head_bytes) == (True, head), setting.does


def test_the_same_again() -> None:
    goal = goal_of("unet", 60)
    first, second = found("unet", goal), found("unet", goal)
    assert [written_choice([s]) for s in first] == [written_choice([s]) for s in second]
    assert first == second


def test_what_it_does_can_be_done_again() -> None:
    goal, graph = goal_of("unet", 60), model("unet")
    for setting in found("unet", goal):
        assert setting.does is not None
        assert list(setting.candidates(graph, BOARD, goal)) == [setting]
        again = parse_choice(written_choice([setting]))
        assert again.policies == (setting,)
        rewritten = setting.apply(graph, BOARD, goal)
        assert rewritten == again.apply(graph, BOARD, goal)
        assert rewritten == parse_choice(setting.does).apply(graph, BOARD, goal)
    assert QUICK.apply(graph, BOARD, goal) == found("unet", goal)[0].apply(graph, BOARD, goal)


def test_a_budget_below_anything_gives_the_smallest_found() -> None:
    goal = Goal(0, runtime=STATIC)
    graph = read_bytes(to_bytes(unet(8, 8, (4, 8))), "tiny")
    sizes = [
        made(graph, setting, goal).arena().required
        for setting in QUICK.candidates(graph, BOARD, goal)
    ]
    plain = pack_graph(graph, goal.target, effort=0)[0].arena().required
    assert sizes[0] == min(sizes) < plain


def test_a_board_without_storage() -> None:
    bare, goal = replace(BOARD, storages=()), goal_of("unet", 80)
    (first, *_) = QUICK.candidates(model("unet"), bare, goal)
    program = made(model("unet"), first, goal, bare)
    assert program.arena().required <= goal.sram_bytes
    assert "storage" not in written_choice([first])


def test_a_storage_that_is_named_is_the_only_one() -> None:
    texts = [
        s.does or "" for s in found("unet", goal_of("unet", 40), replace(QUICK, storage="qspi"))
    ]
    assert any("storage=qspi" in text for text in texts)
    assert not any("sdram" in text for text in texts)


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(PolicyError, match="storage: found 'tape'"):
        QUICK.__class__(storage="tape").apply(model("unet"), BOARD, goal_of("unet", 60))


@pytest.mark.parametrize("percent", [60, 25])
def test_without_feed_the_input_stays_in_the_arena(percent: int) -> None:
    goal, graph = goal_of("unet", percent), model("unet")
    for setting in found("unet", goal, replace(QUICK, feed=False)):
        program = made(graph, setting, goal)
        assert len(program.graph.inputs) == len(graph.inputs)
        assert len(program.graph.outputs) == len(graph.outputs)
        assert not slots_to_fill(program.graph)


def test_reports_arrive() -> None:
    heard: list[str] = []
    with listening(heard.append):
        found("unet", goal_of("unet", 60))
    assert heard
    assert all(text.startswith("auto: ") for text in heard)


@pytest.mark.parametrize("percent", [60, 0])
def test_a_stop_ends_the_search_with_a_valid_plan(percent: int) -> None:
    goal, heard = goal_of("unet", percent), list[str]()
    with listening(heard.append):
        stop()
        (setting,) = found("unet", goal)
    assert not stopped()
    assert len(heard) <= 2
    program = made(model("unet"), setting, goal)
    program.verify()
    assert program.arena().required == planned("unet")


def test_a_stop_in_the_middle_keeps_what_is_there() -> None:
    heard: list[str] = []

    def one(text: str) -> None:
        heard.append(text)
        stop()

    goal = goal_of("unet", 60)
    with listening(one):
        settings_ = found("unet", goal)
    assert 1 <= len(heard) <= 3
    for setting in settings_:
        made(model("unet"), setting, goal).verify()


@pytest.mark.parametrize("effort", [0, 1])
def test_effort(effort: int) -> None:
    goal = goal_of("unet", 80)
    program = made(model("unet"), Auto(effort=effort), goal)
    assert program.arena().required <= goal.sram_bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("effort=-1", "effort: found -1, wanted a whole number"),
        ("effort=much", "effort: found 'much', wanted a whole number"),
        ("feed=3", "feed: found 3, wanted true or false"),
        ("storage=3", "storage: found 3, wanted a text"),
        ("does=splil", "policy: found 'splil', wanted one of"),
        ("does=spill(window=-1)", "policy spill: window: found -1"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        parse_choice(f"auto({text})")


SINGLE = ("plan", "reorder", "split", "spill", "stream", "fused_fetch")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("name", "percent"), [("unet", 80), ("unet", 65), ("branchy", 80), ("branchy", 60)]
)
def test_no_policy_alone_does_better(name: str, percent: int, runtime: str) -> None:
    goal = goal_of(name, percent, runtime)
    choices = [parse_choice(text) for text in ("auto(effort=0)", *SINGLE)]
    outcomes = compare(model(name), BOARD, goal, choices, play).outcomes
    assert all(o.report is not None for o in outcomes)
    auto, *others = outcomes
    fitting = [o for o in others if o.fits(goal)]
    assert auto.fits(goal) or not fitting, [o.choice.name for o in fitting]
    assert auto.report is not None
    for other in fitting:
        assert other.report is not None
        latency = auto.report.latency.mean_ps
        assert latency <= CLOSE * other.report.latency.mean_ps, (
            auto.choice.label,
            other.choice.label,
        )


# What it does, as text

NAMES = st.lists(st.from_regex(r"[a-z][a-z_/:;.0-9]{0,8}[0-9]", fullmatch=True), max_size=3).map(
    tuple
)
COUNTS = st.none() | st.integers(0, 9)
STORAGES = st.none() | st.sampled_from(["sdram", "sd_spi"])


@st.composite
def stages(draw: st.DrawFn) -> tuple[tuple[int, ...], ...]:
    ends = sorted(draw(st.sets(st.integers(0, 30), min_size=2, max_size=6)))
    ends = ends[: len(ends) // 2 * 2]
    return tuple(
        (a, b, draw(st.integers(1, 9)), draw(st.integers(0, 9)), draw(st.integers(0, 1)))
        for a, b in zip(ends[::2], ends[1::2], strict=True)
    )


POOLS = st.lists(st.tuples(st.integers(0, 30), st.integers(2, 8)), max_size=2).map(tuple)
POLICIES = st.one_of(
    st.just(Reorder()),
    st.just(Split()),
    st.builds(Spill, STORAGES, COUNTS, st.none() | NAMES, COUNTS, COUNTS),
    st.builds(Stream, st.none() | stages(), st.just("sdram"), st.integers(1, 4), st.booleans()),
    st.builds(Patch),
    st.builds(
        FusedFetch, st.none() | stages(), st.none() | NAMES, STORAGES,
        st.none() | st.integers(1, 9), st.integers(0, 4), st.integers(0, 4), POOLS, COUNTS,
    ),
)  # fmt: skip


@given(st.lists(POLICIES, min_size=1, max_size=4), st.integers(0, 3), st.booleans())
@settings(max_examples=150)
def test_any_row_of_policies_is_read_as_it_was_written(
    row: list[Policy], effort: int, feed: bool
) -> None:
    text = written_choice(row)
    assert parse_choice(text).policies == tuple(row)
    auto = Auto(does=text, effort=effort, feed=feed)
    assert parse_choice(written_choice([auto])).policies == (auto,)


@pytest.mark.parametrize("name", ["123", "true", "none", "a,b"])
def test_names_that_look_like_values(name: str) -> None:
    row = (Spill("sdram", tensors=(name,)),)
    assert parse_choice(written_choice(row)).policies == row


def test_a_pool_runs_by_channels_where_its_input_alone_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last map of ds_cnn takes 6,000 B, and its pool reads all of it."""
    monkeypatch.setattr("policies.auto.WORK", 5_000)
    graph = read(Path(__file__).parents[2] / "scenarios/models/ds_cnn.tflite")
    board = load_board("arduino_portenta_h7")
    goal = Goal(3_000, runtime="static")
    best = next(iter(Auto(storage="sdram").candidates(graph, board, goal)))
    assert isinstance(best, Auto) and best.does is not None and "pools=" in best.does
    program, _ = pack_graph(best.apply(graph, board, goal), goal.target)
    assert program.arena().required <= goal.sram_bytes
