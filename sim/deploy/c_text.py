"""Names, numbers and texts as C and C++ source, whatever characters a model's names hold."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable

from sim.errors import ModelError


def identifier(name: str) -> str:
    """The name in capitals, with an underscore for whatever a C identifier can't hold."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper()) or "_"


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """An identifier for each name, all different."""
    made: dict[str, str] = {}
    for name in names:
        stem = identifier(name)
        taken, number = set(made.values()), 1
        while (candidate := stem if number == 1 else f"{stem}_{number}") in taken:
            number += 1
        made[name] = candidate
    return made


def text(value: str) -> str:
    """A string literal; bytes beyond printable ASCII become octal escapes, so do ? and quotes."""
    raw = value.encode("utf-8", "surrogateescape")
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in raw)
    return f'"{"".join(plain)}"'


def comment(value: str) -> str:
    """The text in one line that ends no comment and continues no line."""
    plain = re.sub(r"[^ -~]", "?", value)
    return plain.replace("*/", "*_/").replace("/*", "/_*").replace("\\", "/").replace("??", "?")


def unsigned(value: int) -> str:
    """An unsigned constant, wide enough where it needs 64 bits."""
    return f"{value}u" if value < 2**32 else f"{value}ull"


def single(value: float) -> str:
    """A float constant that reads back as the same 32-bit number.

    Raises ModelError if it is infinite or no number.
    """
    if not math.isfinite(value):
        raise ModelError(f"quantization: scale: found {value}, wanted a finite number")
    (exact,) = struct.unpack("<f", struct.pack("<f", value))
    digits = f"{exact:.9g}"
    return f"{digits}f" if re.search(r"[.e]", digits) else f"{digits}.0f"


def macros(*pairs: tuple[str, str]) -> str:
    return "".join(f"#define SPILLWAY_{name} {value}\n" for name, value in pairs)


def check(condition: str, message: str) -> str:
    return f"SPILLWAY_STATIC_ASSERT({condition},\n    {text(message)});\n"


def table(declaration: str, rows: Iterable[str], nothing: str) -> str:
    """An array; without rows it holds one that stands for nothing, as C allows no empty array."""
    body = ",\n  ".join(rows) or nothing
    return f"static const struct {declaration}[] = {{\n  {body}\n}};\n"
