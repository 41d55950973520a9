"""Quantities with units as exact integers, and how people like to read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

PS_PER_S = 10**12

_QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?) ?([A-Za-z/]*)", re.ASCII)


class UnitError(ValueError):
    """A quantity that can't be read; holds what was found and what was wanted."""

    def __init__(self, found: object, wanted: str) -> None:
        super().__init__(f"found {found!r}, wanted {wanted}")
        self.found, self.wanted = found, wanted


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a quantity measures: the unit it is stored in and the size of each unit in that one.

    `rounds`: a fraction of the base unit is dropped instead of refused.
    """

    name: str
    base: str
    units: Mapping[str, Fraction]
    rounds: bool = False

    @property
    def wanted(self) -> str:
        return f"{self.name} with a unit ({', '.join(self.units)})"


def _dimension(
    name: str, base: str, units: Mapping[str, int | Fraction], rounds: bool = False
) -> Dimension:
    exact = {unit: Fraction(scale) for unit, scale in units.items()}
    return Dimension(name, base, MappingProxyType(exact), rounds)


SIZE = _dimension(
    "a size",
    "B",
    {
        "B": 1,
        "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
        "KB": 10**3, "MB": 10**6, "GB": 10**9,
    },
)  # fmt: skip
TIME = _dimension("a time", "ps", {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": PS_PER_S})
FREQUENCY = _dimension("a frequency", "Hz", {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9})
RATE = _dimension(
    "a rate",
    "B/s",
    {
        "B/s": 1, "KB/s": 10**3, "MB/s": 10**6, "KiB/s": 2**10, "MiB/s": 2**20,
        "bit/s": Fraction(1, 8), "kbit/s": 125, "Mbit/s": 125_000,
    },
    rounds=True,
)  # fmt: skip
POWER = _dimension("a power", "uW", {"uW": 1, "mW": 10**3, "W": 10**6})
ENERGY = _dimension("an energy", "pJ", {"pJ": 1, "nJ": 10**3, "uJ": 10**6, "mJ": 10**9})
CHARGE = _dimension("a charge", "uAh", {"uAh": 1, "mAh": 10**3, "Ah": 10**6})
VOLTAGE = _dimension("a voltage", "mV", {"mV": 1, "V": 10**3})


def parse(value: object, dimension: Dimension) -> int:
    """Reads "64 KiB" or "12.5ms" as a whole number of the dimension's base unit.

    Raises UnitError if it is no text, has no unit or another dimension's, is negative, or is not
    a whole number of base units; a rate is rounded down to whole bytes a second.
    """
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2] not in dimension.units:
        raise UnitError(value, dimension.wanted)
    amount = Fraction(match[1]) * dimension.units[match[2]]
    if amount < 0:
        raise UnitError(value, f"{dimension.name} that is not negative")
    if amount.denominator != 1 and not dimension.rounds:
        raise UnitError(value, f"{dimension.name} that is a whole number of {dimension.base}")
    return int(amount)


def parse_size(text: object) -> int:
    """Bytes of "64KiB" or "320 KB". Raises UnitError otherwise; a bare number or K has no unit."""
    return parse(text, SIZE)


def parse_time(text: object) -> int:
    """Picoseconds of "1.5 ms". Raises UnitError otherwise."""
    return parse(text, TIME)


def cycles_to_ps(cycles: int, hz: int) -> int:
    """Time of that many clock cycles, rounded up to a whole picosecond."""
    return -(-cycles * PS_PER_S // hz)


def bytes_to_ps(nbytes: int, bytes_per_s: int) -> int:
    """Time to move that many bytes, rounded up to a whole picosecond."""
    return -(-nbytes * PS_PER_S // bytes_per_s)


def microseconds(ps: int) -> float:
    """Picoseconds as microseconds; exact to the picosecond."""
    return ps / 10**6


def counted(count: int, noun: str) -> str:
    """Text like "1 frame" or "1,000 frames"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def format_bytes(nbytes: int) -> str:
    """Text like "512 B" or "1.5 MiB": powers of two, at most one decimal."""
    return _format(nbytes, (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)))


def format_time(ps: int) -> str:
    """Text like "12.3 ms" or "850 ns": at most one decimal."""
    return _format(ps, (("s", PS_PER_S), ("ms", 10**9), ("us", 10**6), ("ns", 10**3), ("ps", 1)))


def _format(amount: int, units: tuple[tuple[str, int], ...]) -> str:
    unit, scale = next(((u, s) for u, s in units if abs(amount) >= s), units[-1])
    tenths = round(Fraction(amount * 10, scale))
    sign = "-" if tenths < 0 else ""
    whole, tenth = divmod(abs(tenths), 10)
    return f"{sign}{whole}.{tenth} {unit}" if tenth else f"{sign}{whole} {unit}"
