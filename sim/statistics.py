"""Distributions in bounded memory, and how far means and percentiles can be trusted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt
from statistics import NormalDist, fmean, stdev

EXACT = 4096
"""From so many values on they are counted in classes; fewer are kept as they are."""
CLASS_BITS = 12
"""Classes hold values that agree in this many leading bits: within 1/2,048 of each other."""
BATCHES = 32
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Distribution:
    """Picoseconds over the inferences; percentiles by nearest rank.

    `mean_error_ps` is half the width of the mean's 95 % interval, `p99_low_ps` and `p99_high_ps`
    the 95 % interval of the 99th percentile; 0 and the extremes where there are too few to tell.
    """

    mean_ps: int
    p50_ps: int
    p99_ps: int
    max_ps: int
    p90_ps: int = 0
    mean_error_ps: int = 0
    p99_low_ps: int = 0
    p99_high_ps: int = 0


class Sample:
    """Values one by one; memory is bounded however many come.

    Percentiles of fewer than EXACT values are exact, of more within 1/2,048.
    """

    def __init__(self) -> None:
        self._new: list[int] = []
        self._classed = 0
        self._total = self._most = 0
        self._least: int | None = None
        self._classes: dict[int, int] = {}
        self._batches = _Batches()

    def add(self, value: int) -> None:
        """Takes a value of 0 or more."""
        self._new.append(value)
        if len(self._new) == EXACT:
            self._classify()

    @property
    def count(self) -> int:
        """How many values there were."""
        return self._classed + len(self._new)

    def _classify(self) -> None:
        """Counts the values that are kept in classes, and keeps them no longer."""
        for value in self._new:
            shift = max(0, value.bit_length() - CLASS_BITS)
            key = value >> shift << shift
            self._classes[key] = self._classes.get(key, 0) + 1
            self._batches.add(value)
        least = min(self._new)
        self._least = least if self._least is None else min(self._least, least)
        self._most = max(self._most, *self._new)
        self._total += sum(self._new)
        self._classed += len(self._new)
        self._new.clear()

    def distribution(self) -> Distribution:
        """All zeros where there are no values."""
        count = self.count
        if not count:
            return Distribution(0, 0, 0, 0)
        if self._classed:
            if self._new:
                self._classify()
            total, most, error = self._total, self._most, self._batches.error()
        else:
            batches = _Batches()
            for value in self._new:
                batches.add(value)
            total, most, error = sum(self._new), max(self._new), batches.error()
        low, high = rank_interval(count, 99)
        p50, p90, p99, p99_low, p99_high = self._at_ranks(
            (rank(count, 50), rank(count, 90), rank(count, 99), low, high)
        )
        return Distribution(total // count, p50, p99, most, p90, round(error), p99_low, p99_high)

    def _at_ranks(self, ranks: Iterable[int]) -> list[int]:
        """The values at these ranks, the least being 1; in the order asked."""
        if not self._classed:
            ordered = sorted(self._new)
            return [ordered[rank - 1] for rank in ranks]
        keys = sorted(self._classes)
        ends = list(accumulate(self._classes[key] for key in keys))
        assert self._least is not None
        return [
            self._most if rank >= self._classed else max(self._least, keys[bisect_left(ends, rank)])
            for rank in ranks
        ]


class _Batches:
    """Means of runs of values, whose spread tells the mean's error though values hang together.

    As soon as there are 2 * BATCHES means, each two neighbours become one.
    """

    def __init__(self) -> None:
        self.size = 1
        self.sums: list[int] = []
        self.open, self.filled = 0, 0

    def add(self, value: int) -> None:
        self.open += value
        self.filled += 1
        if self.filled < self.size:
            return
        self.sums.append(self.open)
        self.open = self.filled = 0
        if len(self.sums) == 2 * BATCHES:
            self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
            self.size *= 2

    def error(self) -> float:
        """Half the width of the mean's interval; 0 for a single batch."""
        return mean_error([total / self.size for total in self.sums])


def rank(count: int, percent: int) -> int:
    """The rank of a percentile, from 1: the least value that so many per cent stay below."""
    return max(1, -(-percent * count // 100))


def rank_interval(count: int, percent: int) -> tuple[int, int]:
    """Ranks that hold a percentile between them with 95 % confidence.

    How many of `count` values lie below the true percentile is binomial; its normal approximation.
    """
    share = percent / 100
    spread = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * sqrt(count * share * (1 - share))
    low, high = int(count * share - spread), int(count * share + spread) + 1
    return max(1, min(count, low)), max(1, min(count, high))


def mean_error(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the mean of independent values; 0 for fewer than 2."""
    if len(values) < 2:
        return 0.0
    return student(len(values) - 1) * stdev(values) / sqrt(len(values))


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean of at least one value and its error."""
    return fmean(values), mean_error(values)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by Cornish and Fisher's expansion.

    Abramowitz and Stegun, 26.7.5; within 0.5 % from 3 degrees of freedom on, exact for 1 and 2.
    """
    exact = {1: 12.706205, 2: 4.302653}
    if freedom in exact:
        return exact[freedom]
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z) + sum(term / float(freedom) ** (n + 1) for n, term in enumerate(terms))


def distribution(values: Iterable[int]) -> Distribution:
    """The distribution of at least one value."""
    sample = Sample()
    for value in values:
        sample.add(value)
    return sample.distribution()
