"""Why a policy that wins in one result loses in another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sim.diff.difference import diff
from tests.diff.results import Values, entry, failed, fate, result, saved, shown, told

SLOW, LARGE, FAST = entry("slow", 2000), entry("large", 1000, 128, fits=False), entry("fast")
REASONS: dict[str, tuple[Values, Mapping[str, Any], str]] = {
    "absent": (result(FAST), {}, "slow is not in B."),
    "error": (result(FAST, failed("slow", "no room")), {"error": "no room"}, "in B: no room"),
    "over_budget": (
        result(FAST, LARGE | {"policy": "slow"}),
        {"figure": "arena_bytes", "found": 128, "against": 100},
        "slow does not fit in B: it needs 128 B, the budget is 100 B.",
    ),
    "over_energy": (
        result(FAST, SLOW | {"fits": False, "frame_uj": 2.5}),
        {"figure": "frame_nj", "found": 2500, "against": None},
        "slow takes more energy than is allowed in B: 2.5 uJ a frame.",
    ),
    "nothing_fits": (
        result(FAST | {"fits": False}, SLOW | {"fits": False}, budget=10),
        {"figure": "latency_mean_ps", "found": 2000, "against": 1000},
        "In B slow's mean latency is 2 ns, 1 ns more than fast's.",
    ),
    "fails_frames": (
        result(FAST, SLOW | {"frames": {"core": fate(71, queue_full=29)}}),
        {"figure": "failed_percent", "found": 28, "against": 0},
        "More frames fail with slow in B: 28 %, 0 % with fast.",
    ),
    "worse": (
        result(FAST, SLOW),
        {"figure": "latency_mean_ps", "found": 2000, "against": 1000},
        "slow fits in B; its mean latency is 2 ns, 1 ns more than fast's.",
    ),
    "equal": (result(FAST, FAST | {"policy": "slow"}), {}, "slow is as good as fast in B"),
}


@pytest.mark.parametrize("kind", REASONS)
def test_why_a_winner_wins_no_longer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    """29 of 100 frames are 28 % to a comparison, since 0.29 is a little less in binary."""
    document, facts, sentence = REASONS[kind]
    a, b = saved(tmp_path / "a.json", result(SLOW)), saved(tmp_path / "b.json", document)
    why, before = told(capsys, a, b)["winner"]["reasons"]
    wanted = {"document": "b", "policy": "slow", "rival": "fast", "kind": kind}
    none = dict.fromkeys(("figure", "found", "against", "error"))
    assert why == {**none, **wanted, **facts}
    assert (before["document"], before["policy"], before["kind"]) == ("a", "fast", "absent")
    text = shown(capsys, a, b)
    assert sentence in text
    assert ("Nothing fits in B." in text) == (kind == "nothing_fits")


@pytest.mark.parametrize(
    ("goal", "figure"),
    [
        ("latency", "latency_mean_ps"),
        ("p99", "latency_p99_ps"),
        ("energy", "frame_nj"),
        ("arena", "arena_bytes"),
        ("activations", "activations_bytes"),
    ],
)
def test_the_goal_says_which_figure_decides(goal: str, figure: str) -> None:
    """The loser is worse in all of them."""
    loser = entry("slow", 2000, 80, frame_uj=2.0)
    (why, _) = diff(result(loser), result(FAST, loser, goal=goal)).reasons
    assert (why.kind, why.figure) == ("worse", figure)


def test_where_the_goals_figure_is_equal_the_next_one_decides() -> None:
    loser = entry("slow", 1000, 80)
    (why, _) = diff(result(loser), result(FAST, loser)).reasons
    assert (why.figure, why.found, why.against) == ("arena_bytes", 80, 64)
