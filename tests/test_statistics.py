"""Distributions in bounded memory against numpy and scipy, and whether intervals hold."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.statistics import EXACT, Sample, distribution, mean_error, rank, rank_interval, student


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**60), st.integers(1, 10**6), st.integers(EXACT, 3 * EXACT))
def test_many_values_are_told_within_a_two_thousandth(base: int, spread: int, count: int) -> None:
    chance = random.Random(count)
    values = [base + chance.randrange(spread) for _ in range(count)]
    told = distribution(values)
    wanted = np.percentile(np.array(values), [50, 90, 99], method="inverted_cdf").tolist()
    for found, exact in zip((told.p50_ps, told.p90_ps, told.p99_ps), wanted, strict=True):
        assert exact * (1 - 1 / 2048) <= found <= exact
    assert told.max_ps == max(values)
    assert told.mean_ps == sum(values) // count


def test_a_sample_keeps_no_more_than_its_classes() -> None:
    sample = Sample()
    for value in range(10 * EXACT):
        sample.add(value)
    assert sample.count == 10 * EXACT
    assert len(sample._new) < EXACT
    octaves = (10 * EXACT).bit_length() - 12
    assert len(sample._classes) <= 4096 + octaves * 2048


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 10, 31, 100])
def test_student_as_scipy_has_it(freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.005)


def test_the_interval_of_the_mean_holds_the_mean_as_often_as_it_says() -> None:
    chance = random.Random(0)
    held = 0
    for _ in range(1000):
        values = [chance.gauss(10, 3) for _ in range(12)]
        held += abs(sum(values) / 12 - 10) <= mean_error(values)
    assert 920 <= held <= 975


def test_the_interval_of_a_percentile_holds_it_as_often_as_it_says() -> None:
    chance = random.Random(1)
    held = 0
    for _ in range(600):
        ordered = sorted(chance.random() for _ in range(2000))
        low, high = rank_interval(2000, 99)
        held += ordered[low - 1] <= 0.99 <= ordered[high - 1]
    assert 555 <= held <= 595


def test_batches_see_that_values_hang_together() -> None:
    """A slow drift makes the mean far less sure than as many independent values would."""
    chance, drift = random.Random(2), 0.0
    values = []
    for _ in range(3000):
        drift = 0.999 * drift + chance.gauss(0, 10)
        values.append(10_000 + round(drift))
    told = distribution(values).mean_error_ps
    assert told > 5 * mean_error(values)


@pytest.mark.parametrize(("count", "percent", "wanted"), [(1, 99, 1), (100, 99, 99), (4, 50, 2)])
def test_ranks(count: int, percent: int, wanted: int) -> None:
    assert rank(count, percent) == wanted


def test_a_single_value_has_no_spread() -> None:
    told = distribution([7])
    assert (told.mean_ps, told.p99_low_ps, told.p99_high_ps, told.mean_error_ps) == (7, 7, 7, 0)
