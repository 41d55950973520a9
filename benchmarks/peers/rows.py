"""What one tool reached on one model: a row of the table and of the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """Bytes, MACs and seconds; None where the tool has no such notion.

    `latency_ps` and `bound_ps`, the least that overlapping transfers could come to, are by board.
    `note` says why there are no figures, or how they were got.
    """

    tool: str
    budget: int | None = None
    activations: int | None = None
    required: int | None = None
    written: int | None = None
    read: int | None = None
    macs: int | None = None
    latency_ps: Mapping[str, int] = field(default_factory=dict)
    bound_ps: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    note: str = ""
    more: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def moved(self) -> int | None:
        if self.written is None or self.read is None:
            return None
        return self.written + self.read

    def document(self) -> dict[str, Any]:
        """The row as JSON, units in the keys."""
        names = {
            "budget": "budget_bytes",
            "activations": "activations_bytes",
            "required": "required_bytes",
            "written": "written_bytes",
            "read": "read_bytes",
            "bound_ps": "overlapped_latency_ps",
            "seconds": "wall_s",
        }
        return {
            names.get(key, key): dict(value) if isinstance(value, Mapping) else value
            for key, value in asdict(self).items()
        }
