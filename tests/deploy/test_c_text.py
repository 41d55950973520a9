"""Names and numbers as C source: nothing that a model holds can break out of them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.deploy.c_text import comment, identifier, identifiers, single, text, unsigned
from sim.errors import ModelError


def unescape(literal: str) -> bytes:
    """Reads a C literal of plain characters and three-digit octal escapes."""
    body, out, at = literal[1:-1], bytearray(), 0
    while at < len(body):
        if body[at] == "\\":
            out.append(int(body[at + 1 : at + 4], 8))
            at += 4
        else:
            out.append(ord(body[at]))
            at += 1
    return bytes(out)


@given(st.text())
def test_a_text_reads_back(value: str) -> None:
    literal = text(value)
    assert unescape(literal) == value.encode("utf-8", "surrogateescape")
    assert '"' not in literal[1:-1]
    assert "??" not in literal
    assert literal.isascii()
    assert literal.isprintable()


@given(st.text())
def test_a_comment_stays_one(value: str) -> None:
    line = comment(value)
    assert "*/" not in line
    assert "/*" not in line
    assert "\\" not in line
    assert "\n" not in line
    assert line.isascii()


@given(st.lists(st.text(), unique=True))
def test_identifiers_are_different_and_valid(names: list[str]) -> None:
    made = identifiers(names)
    assert len(set(made.values())) == len(names)
    assert all(f"X_{value}".isidentifier() and value.isascii() for value in made.values())


def test_identifier_of_usual_names() -> None:
    assert identifier("sd-card") == "SD_CARD"
    assert identifiers(["a b", "a-b"]) == {"a b": "A_B", "a-b": "A_B_2"}


def test_numbers_get_the_suffix_of_their_width() -> None:
    assert unsigned(2**32 - 1) == "4294967295u"
    assert unsigned(2**32) == "4294967296ull"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_as_the_same_bits(value: float) -> None:
    literal = single(value)
    assert literal.endswith("f")
    assert struct.pack("<f", float(literal[:-1])) == struct.pack("<f", value)
    assert "." in literal or "e" in literal


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_scale_that_is_no_number_is_an_error(value: float) -> None:
    with pytest.raises(ModelError, match=r"scale: found (inf|nan), wanted a finite number"):
        single(value)
