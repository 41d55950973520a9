"""Choices as people write them: what is read, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from policies.baseline import Baseline
from policies.patch import Patch
from policies.plan import Plan
from policies.spill import Spill
from policies.stream import Stream
from sim.device.loader import load_board
from sim.errors import PolicyError
from sim.policy import (
    Choice,
    Goal,
    make_policy,
    parse_choice,
    parse_value,
    policy_class,
    policy_classes,
    policy_names,
)
from tests.graphs import unet


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        ("baseline", (Baseline(),)),
        ("  plan ", (Plan(),)),
        ("spill", (Spill(),)),
        ("spill()", (Spill(),)),
        ("spill(storage=sdram, window=4)", (Spill("sdram", window=4),)),
        ("spill(storage=sd,)", (Spill("sd"),)),
        ("spill(tensors=[a/b:0, c])", (Spill(tensors=("a/b:0", "c")),)),
        ("spill(tensors=[a+b])", (Spill(tensors=("a+b",)),)),
        ("spill(storage=auto, target=none)", (Spill(),)),
        ("spill(window=0)+plan", (Spill(window=0), Plan())),
        ("spill(storage=sd) + spill(storage=uart)", (Spill("sd"), Spill("uart"))),
        ("policies.spill:Spill(lead=2)", (Spill(lead=2),)),
        ("stream", (Stream(),)),
        ("stream(stages=[])", (Stream(()),)),
        ("stream(stages=[[0, 3, 2, 0, 1]], feed=sd)", (Stream(((0, 3, 2, 0, 1),), "sd"),)),
        ("patch(feed=sd, feed_rows=4)", (Patch(None, "sd", 4),)),
    ],
)
def test_what_is_read(text: str, policies: tuple[Any, ...]) -> None:
    assert parse_choice(text).policies == policies


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("true", True),
        ("False", False),
        ("none", None),
        ("auto", None),
        ("sdram", "sdram"),
        ("1.5", "1.5"),
        ("[]", ()),
        ("[a]", ("a",)),
        ("[1, b, [2, true]]", (1, "b", (2, True))),
        ("", ""),
    ],
)
def test_values(text: str, value: object) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("splil", "policy: found 'splil', wanted one of auto, baseline"),
        ("", "policy: found '', wanted one of"),
        ("spill+", "policy: found '', wanted one of"),
        ("spill(speed=3)", "policy spill: parameter: found 'speed', wanted storage, target, "),
        ("plan(effort=3)", "policy plan: parameter: found 'effort', wanted none: it has no param"),
        ("spill(window=3", "found no closing bracket after 'spill'"),
        ("spill(window=3)x", "found no closing bracket after 'spill'"),
        ("spill(sdram)", "found 'sdram', wanted name=value"),
        ("spill(window=lots)", "policy spill: window: found 'lots', wanted a whole number"),
        ("spill(window=-1)", "policy spill: window: found -1, wanted a whole number, 0 or above"),
        ("spill(lead=true)", "policy spill: lead: found True, wanted a whole number"),
        ("spill(target=64KiB)", "policy spill: target: found '64KiB', wanted a whole number"),
        (
            "stream(rows=2)",
            "policy stream: parameter: found 'rows', wanted stages, feed, feed_rows",
        ),
        (
            "stream(stages=few)",
            r"policy stream: stages: found 'few', wanted \[\[start, stop, rows, ",
        ),
        ("stream(feed=3)", "policy stream: feed: found 3, wanted a name"),
        ("patch(stages=[[-1,2,1,0,0]])", r"policy patch: stages: found \(-1, 2, 1, 0, 0\), wanted"),
        (
            "patch(feed_rows=0)",
            "policy patch: feed_rows: found 0, wanted a whole number, 1 or above",
        ),
        ("fused_fetch(storage=7)", "policy fused_fetch: storage: found 7, wanted a name"),
        (
            "fused_fetch(stages=[3])",
            r"policy fused_fetch: stages: found 3, wanted \[\[start, stop, ",
        ),
        ("fused_fetch(feed=sdram)", "policy fused_fetch: parameter: found 'feed', wanted stages, "),
        ("reorder(beam=x)", "policy reorder: beam: found 'x', wanted a whole number"),
        ("spill(storage=7)", "policy spill: storage: found 7, wanted a name"),
        ("spill(tensors=a)", r"policy spill: tensors: found 'a', wanted a \[list\] of names"),
        ("spill(tensors=[1])", r"policy spill: tensors: found \(1,\), wanted a \[list\] of names"),
        ("nowhere:Policy", "policy 'nowhere:Policy': can't be loaded: No module named 'nowhere'"),
        ("policies.spill:Nothing", "can't be loaded: .*'Nothing'"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        parse_choice(text)


def test_a_choice_says_how_it_was_written() -> None:
    choice = parse_choice("spill(storage=sd, window=0)+plan")
    assert choice.name == "spill+plan"
    assert choice.label == "spill(storage=sd,window=0)+plan"
    assert choice.params == {
        "spill.storage": "sd",
        "spill.target": None,
        "spill.tensors": None,
        "spill.window": 0,
        "spill.lead": None,
    }
    assert parse_choice(choice.label) == choice
    assert parse_choice("spill(lead=1)").params["lead"] == 1
    assert parse_choice("plan").params == {}


@pytest.mark.parametrize(
    ("text", "packs"),
    [("baseline", False), ("plan", True), ("baseline+plan", True), ("plan+baseline", True)],
)
def test_a_row_packs_if_one_of_it_does(text: str, packs: bool) -> None:
    assert parse_choice(text).packs == packs


def test_policies_apply_in_the_order_written() -> None:
    board, goal = load_board("arduino_portenta_h7"), Goal(10**6, "activations")
    graph = unet(16, 24, (4, 8))
    choice = Choice((Spill("sd"), Plan()), ((), ()))
    wanted = Plan().apply(Spill("sd").apply(graph, board, goal), board, goal)
    assert choice.apply(graph, board, goal) == wanted != graph


def test_look_up() -> None:
    assert policy_class("spill") is policy_classes()["spill"] is Spill
    assert set(policy_names()) == set(policy_classes())
    assert make_policy("spill", {"window": 3}) == Spill(window=3)
