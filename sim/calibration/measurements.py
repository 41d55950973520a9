"""Published measurements as data: one row for a model, an op, or all ops of a kind."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sim.errors import ConfigError

FIT, HELD_OUT, EXCLUDED = "fit", "held_out", "excluded"
USES = (FIT, HELD_OUT, EXCLUDED)
WHOLE, OP = "whole", "op "
IN_RAM = "ram"
COLUMNS = (
    "board", "profile", "model", "unit", "clock_mhz", "latency_ms", "energy_uj", "supply_v",
    "weights_in", "use", "stack", "source", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measurement:
    """One published figure.

    `model` is a structure's name (see sim.calibration.structures) or a path to a .tflite. `unit` is
    "whole", "op 3" for the model's op of that number, or an op kind for all of its ops together.
    `energy_uj` and `supply_v` are 0 where they were not published. `weights_in` "ram" says that the
    weights were copied out of the board's usual place. `use` is "fit" where a profile may learn
    from it, "held_out" where it may not, "excluded" where the note says why it does not count.
    """

    board: str
    profile: str
    model: str
    unit: str
    clock_mhz: float
    latency_ms: float
    energy_uj: float
    supply_v: float
    weights_in: str
    use: str
    stack: str
    source: str
    note: str

    @property
    def cycles(self) -> float:
        return self.latency_ms * self.clock_mhz * 1e3


def shipped() -> tuple[Measurement, ...]:
    """The measurements that come with the boards."""
    file = files("devices") / "measurements" / "latency.csv"
    return _rows(file.read_text(encoding="utf-8").splitlines(), "latency.csv")


def read_measurements(path: Path) -> tuple[Measurement, ...]:
    """The rows of a CSV file.

    Raises ConfigError with file, line, field, found and wanted.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError(str(path), None, "file", found, "a CSV file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), None, "file", "bytes", "text in UTF-8") from error
    return _rows(lines, str(path))


def _rows(lines: Iterable[str], file: str) -> tuple[Measurement, ...]:
    reader = csv.DictReader(lines)
    names: Sequence[str] = reader.fieldnames or ()
    for name in ("profile", "model", "clock_mhz", "latency_ms"):
        if name not in names:
            raise ConfigError(file, 1, name, "nothing", f"a column; known: {', '.join(COLUMNS)}")
    for name in names:
        if name not in COLUMNS:
            raise ConfigError(file, 1, name, "a column", f"one of: {', '.join(COLUMNS)}")
    return tuple(_row(row, file, line) for line, row in enumerate(reader, 2))


def _row(row: dict[str, str | None], file: str, line: int) -> Measurement:
    def number(name: str, *, positive: bool) -> float:
        text = row.get(name) or ("" if positive else "0")
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not (0 < found < 1e12 or (found == 0 and not positive)):
            wanted = "a number above 0" if positive else "a number, 0 or above"
            raise ConfigError(file, line, name, text, wanted)
        return found

    def text(name: str, default: str = "") -> str:
        return (row.get(name) or default).strip()

    use = text("use", FIT)
    if use not in USES:
        raise ConfigError(file, line, "use", use, f"one of: {', '.join(USES)}")
    if not text("model"):
        raise ConfigError(file, line, "model", "nothing", "a structure's name or a .tflite file")
    return Measurement(
        text("board"), text("profile"), text("model"), text("unit", WHOLE),
        number("clock_mhz", positive=True), number("latency_ms", positive=True),
        number("energy_uj", positive=False), number("supply_v", positive=False),
        text("weights_in"), use, text("stack"), text("source"), text("note"),
    )  # fmt: skip
