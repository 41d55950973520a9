"""Each scenario comes to what is stored of it, and tells the story that the README tells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.stored import NAMES, result, stored

EXACT = ("policy", "fits", "winner", "arena_bytes")
RELATIVE = 1e-4
"""Random times come from the machine's logarithm, whose last bit is not the same everywhere."""


def test_the_scenarios() -> None:
    assert NAMES == ("doorbell", "drone_seg", "inspection", "two_models", "wearable")


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_comes_to_its_stored_result(name: str) -> None:
    found, wanted = result(name), stored(name)
    assert found.keys() == wanted.keys()
    assert [r["policy"] for r in found["results"]] == [r["policy"] for r in wanted["results"]]
    for row, kept in zip(found["results"], wanted["results"], strict=True):
        assert {key: row[key] for key in EXACT} == {key: kept[key] for key in EXACT}
        assert flat(row) == pytest.approx(flat(kept), rel=RELATIVE)


def flat(value: Any, path: str = "") -> dict[str, float]:
    """The numbers of a document by their path."""
    if isinstance(value, dict):
        parts = [flat(item, f"{path}.{key}") for key, item in value.items()]
    elif isinstance(value, list):
        parts = [flat(item, f"{path}.{n}") for n, item in enumerate(value)]
    else:
        return {path: value} if isinstance(value, int | float) else {}
    return {key: number for part in parts for key, number in part.items()}


def test_the_best_on_the_mean_is_not_the_best_on_the_99th_percentile() -> None:
    rows = [row for row in stored("inspection")["results"] if row["fits"]]
    mean = min(rows, key=lambda row: row["latency_us"]["mean"])
    tail = min(rows, key=lambda row: row["latency_us"]["p99"])
    assert mean["winner"] and mean is not tail
    low, _ = mean["latency_us"]["p99_interval"]
    assert tail["latency_us"]["p99"] < low
