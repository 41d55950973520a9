"""Distributions in bounded memory, and how far means and percentiles can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev

EXACT = 4096
"""So many values are kept as they are; beyond that they are counted in classes."""
CLASS_BITS = 12
"""Classes hold values that agree in this many leading bits: within 1/4,096 of each other."""
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

    Up to EXACT values the percentiles are exact, beyond that within 1/4,096.
    """

    def __init__(self) -> None:
        self.count = self.total = 0
        self.least = self.most = 0
        self._values: list[int] | None = []
        self._classes: dict[int, int] = {}
        self._batches = _Batches()

    def add(self, value: int) -> None:
        """Takes a value of 0 or more."""
        self.least = value if not self.count else min(self.least, value)
        self.most = max(self.most, value)
        self.count += 1
        self.total += value
        self._batches.add(value)
        if self._values is None:
            self._classify(value)
            return
        self._values.append(value)
        if len(self._values) > EXACT:
            for earlier in self._values:
                self._classify(earlier)
            self._values = None

    def _classify(self, value: int) -> None:
        key = value >> max(0, value.bit_length() - CLASS_BITS) << max(
            0, value.bit_length() - CLASS_BITS
        )
        self._classes[key] = self._classes.get(key, 0) + 1

    def at_ranks(self, ranks: Iterable[int]) -> list[int]:
        """The values at these ranks, the least being 1; in the order asked."""
        if self._values is not None:
            ordered = sorted(self._values)
            return [ordered[rank - 1] for rank in ranks]
        keys = sorted(self._classes)
        found = []
        for rank in ranks:
            seen = 0
            for key in keys:
                seen += self._classes[key]
                if seen >= rank:
                    break
            found.append(self.most if rank >= self.count else max(self.least, key))
        return found

    def distribution(self) -> Distribution:
        """Of at least one value."""
        low, high = rank_interval(self.count, 99)
        p50, p90, p99, p99_low, p99_high = self.at_ranks(
            (rank(self.count, 50), rank(self.count, 90), rank(self.count, 99), low, high)
        )
        return Distribution(
            self.total // self.count, p50, p99, self.most, p90,
            round(self._batches.error()), p99_low, p99_high,
        )  # fmt: skip


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
    return z + sum(term / freedom ** (n + 1) for n, term in enumerate(terms))


def distribution(values: Iterable[int]) -> Distribution:
    """The distribution of at least one value."""
    sample = Sample()
    for value in values:
        sample.add(value)
    return sample.distribution()
