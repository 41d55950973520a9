"""The conformance suite on every registered policy; and what more is asked of these."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
from hypothesis import Phase, given
from hypothesis import settings as rules

from sim.compare import compare
from sim.conformance import PASSED, SKIPPED, judge, judge_value
from sim.conformance_case import BOARD, Case, graph_of, make_case
from sim.conformance_checks import CHECKS, least_activations
from sim.conformance_models import MODELS
from sim.device.loader import load_board
from sim.engine.run import play
from sim.graph.graph import Graph
from sim.plan.runtime import Runtime
from sim.policy import MINIMIZE, Choice, Goal, policy_classes
from sim.program import place
from tests.strategies import graphs

NAMES = tuple(policy_classes())
MOST_OPS = 6


@cache
def case(policy: str, name: str) -> Case:
    return make_case(policy_classes()[policy](), name)


def test_the_built_in_policies_are_registered() -> None:
    assert {"baseline", "plan", "spill"} <= set(NAMES)


@pytest.mark.parametrize("policy", NAMES)
def test_a_policy_is_a_value_with_the_name_it_is_registered_by(policy: str) -> None:
    cls = policy_classes()[policy]
    finding = judge_value(cls)
    assert finding.verdict == PASSED, finding.message
    assert cls.name == policy


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("policy", NAMES)
def test_the_suite(policy: str, name: str, check: str) -> None:
    finding = judge(check, case(policy, name))
    if finding.verdict == SKIPPED and "not installed" in finding.message:
        pytest.skip(finding.message)
    assert finding.verdict == PASSED, finding.message


@pytest.mark.parametrize("policy", NAMES)
def test_it_goes_with_the_kernels_that_ask_for_scratch_of_no_bytes(policy: str) -> None:
    kernels, graph = "cmsis_nn_mve", graph_of("unet")
    placed = place(graph, Runtime(kernels=kernels))
    least = least_activations(policy_classes()[policy](), graph, kernels)
    assert least <= placed.plan.size_bytes


@pytest.mark.parametrize("policy", NAMES)
def test_random_graphs_never_take_more(policy: str) -> None:
    small = graphs().filter(lambda g: len(g.ops) <= MOST_OPS)

    @given(small)
    @rules(max_examples=10, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    def judge_one(graph: Graph) -> None:
        least = least_activations(policy_classes()[policy](), graph)
        assert least <= place(graph).plan.size_bytes

    judge_one()


@pytest.mark.parametrize(("name", "minimize"), zip(MODELS, itertools.cycle(MINIMIZE)))
def test_all_policies_can_be_compared(name: str, minimize: str) -> None:
    """Each has a setting for each of these models."""
    choices = [Choice((cls(),), ((),)) for cls in policy_classes().values()]
    tight = Goal(place(graph_of(name)).arena().required * 9 // 10, minimize)
    found = compare(graph_of(name), load_board(BOARD), tight, choices, play)
    assert [(o.choice.name, o.error) for o in found.outcomes] == [(name, "") for name in NAMES]
