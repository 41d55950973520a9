"""Sizes of C structs on 32 and 64-bit targets, from one short description of their members."""

from __future__ import annotations

import re
from functools import cache

_TOKEN = re.compile(r"\s*(\d*)\s*([bhiqPcC(])")
_BYTES = {"b": 1, "h": 2, "i": 4, "c": 4, "q": 8}


@cache
def size_of(layout: str, bits: int, compression: bool = False) -> int:
    """Bytes of a struct, with natural alignment (ARM EABI, RISC-V, Xtensa, wasm32, x86-64).

    Members by code: b 1 byte, h 2, i 4 (int, float, enum), q 8 (double, int64), P pointer, size_t,
    c an int and C a pointer that only a build with USE_TFLM_COMPRESSION has, ( ) a nested struct,
    each with a count before it where it repeats. "" has no bytes.
    """
    size, align, _ = _members(layout, 0, bits, compression)
    return round_up(size, align)


@cache
def alignment_of(layout: str, bits: int) -> int:
    """Bytes to which the struct is aligned: those of its widest member."""
    return _members(layout, 0, bits, compression=True)[1]


def round_up(size: int, align: int) -> int:
    return -(-size // align) * align


def _members(layout: str, start: int, bits: int, compression: bool) -> tuple[int, int, int]:
    """Bytes without the padding at the end, alignment, and where the members end in `layout`."""
    size, widest, at = 0, 1, start
    while at < len(layout) and layout[at] != ")":
        token = _TOKEN.match(layout, at)
        if token is None:
            raise ValueError(f"layout {layout!r}: found {layout[at:].strip()!r}, wanted a member")
        at = token.end()
        count, code = int(token[1] or 1), token[2]
        if code == "(":
            inner, align, at = _members(layout, at, bits, compression)
            width, at = round_up(inner, align), at + 1
        else:
            width = align = _BYTES.get(code, bits // 8)
        if compression or code not in "cC":
            size, widest = round_up(size, align) + count * width, max(widest, align)
    return size, widest, at
