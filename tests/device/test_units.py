"""Quantities: exact to the unit, refused where a unit is missing, read back as written."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.units import (
    ENERGY,
    FREQUENCY,
    POWER,
    RATE,
    SIZE,
    TIME,
    VOLTAGE,
    Dimension,
    UnitError,
    bytes_to_ps,
    counted,
    cycles_to_ps,
    format_bytes,
    format_time,
    parse,
    parse_size,
    parse_time,
)

EXACT = (SIZE, TIME, FREQUENCY, POWER, ENERGY, VOLTAGE)
amounts = st.integers(0, 10**15)


@pytest.mark.parametrize(
    ("text", "dimension", "expected"),
    [
        ("64KiB", SIZE, 65_536),
        ("320 KB", SIZE, 320_000),
        ("1.5 MiB", SIZE, 1_572_864),
        ("0 B", SIZE, 0),
        ("41 us", TIME, 41_000_000),
        ("0.4 ms", TIME, 400_000_000),
        ("1 s", TIME, 10**12),
        ("480 MHz", FREQUENCY, 480_000_000),
        ("21.5 MB/s", RATE, 21_500_000),
        ("1327.5 kbit/s", RATE, 165_937),
        ("9 bit/s", RATE, 1),
        ("12.3 MiB/s", RATE, 12_897_484),
        ("9.6 mW", POWER, 9_600),
        ("7.425 mJ", ENERGY, 7_425_000_000),
        ("3.3 V", VOLTAGE, 3_300),
    ],
)
def test_reads_quantity(text: str, dimension: Dimension, expected: int) -> None:
    assert parse(text, dimension) == expected


@pytest.mark.parametrize(
    ("value", "dimension", "wanted"),
    [
        ("64K", SIZE, "KiB"),
        ("64", SIZE, "KiB"),
        (64, SIZE, "KiB"),
        (True, SIZE, "KiB"),
        (None, SIZE, "KiB"),
        ("64 kib", SIZE, "KiB"),
        ("64  KiB", SIZE, "KiB"),
        ("1e3 KiB", SIZE, "KiB"),
        ("٣ KiB", SIZE, "KiB"),
        ("KiB", SIZE, "KiB"),
        ("5 ms", SIZE, "KiB"),
        ("-1 KiB", SIZE, "not negative"),
        ("0.3 B", SIZE, "whole number of B"),
        ("0.0001 ns", TIME, "whole number of ps"),
        ("5 MiB", RATE, "MB/s"),
    ],
)
def test_refuses_quantity(value: object, dimension: Dimension, wanted: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(value, dimension)
    assert caught.value.found == value
    assert wanted in caught.value.wanted
    assert isinstance(caught.value, ValueError)


@given(amounts, st.sampled_from(EXACT), st.data())
def test_parse_is_exact(amount: int, dimension: Dimension, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(sorted(dimension.units)))
    assert parse(f"{amount}{unit}", dimension) == amount * dimension.units[unit]


@given(amounts)
def test_format_bytes_is_within_half_a_tenth(nbytes: int) -> None:
    number, unit = format_bytes(nbytes).split()
    scale = SIZE.units[unit]
    assert abs(Fraction(number) * scale - nbytes) <= scale / 20


@given(amounts)
def test_format_time_is_within_half_a_tenth(ps: int) -> None:
    number, unit = format_time(ps).split()
    scale = TIME.units[unit]
    assert abs(Fraction(number) * scale - ps) <= scale / 20


@given(st.integers(0, 1023), st.sampled_from(["B", "KiB", "MiB"]))
def test_whole_sizes_read_back(amount: int, unit: str) -> None:
    nbytes = parse_size(f"{amount} {unit}")
    assert parse_size(format_bytes(nbytes)) == nbytes


def test_format_for_people() -> None:
    assert [format_bytes(n) for n in (0, 512, 65_536, 1_572_864)] == [
        "0 B",
        "512 B",
        "64 KiB",
        "1.5 MiB",
    ]
    assert [format_time(n) for n in (0, 999, 850_000, 12_345_678_901)] == [
        "0 ps",
        "999 ps",
        "850 ns",
        "12.3 ms",
    ]
    assert parse_time("12.3 ms") == 12_300_000_000


@given(st.integers(0, 10**12), st.integers(1, 10**10))
def test_cycles_round_up_by_less_than_a_picosecond(cycles: int, hz: int) -> None:
    ps = cycles_to_ps(cycles, hz)
    assert 0 <= ps - Fraction(cycles * 10**12, hz) < 1
    assert bytes_to_ps(cycles, hz) == ps


@pytest.mark.parametrize(("count", "text"), [(0, "0 ops"), (1, "1 op"), (2000, "2,000 ops")])
def test_things_are_counted(count: int, text: str) -> None:
    assert counted(count, "op") == text
