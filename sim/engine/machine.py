"""Machine: the actors of a board that models and other users share, and where their spans go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sim.device.board import Board
from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.engine.processor import Processor
from sim.engine.storage import StorageActor
from sim.tally import Log, Tally


@dataclass(slots=True, eq=False)
class Machine:
    """A board at work.

    `log` takes spans field by field: for the tally and, where they are wanted, for `spans`.
    `saved_events` are ops and interrupts that were played without an event of their own.
    """

    env: Clock
    board: Board
    bus: Bus
    cpu: Processor
    tally: Tally
    spans: Log | None = None
    storages: dict[str, StorageActor] = field(default_factory=dict)
    log: Log = field(init=False)
    saved_events: int = 0

    def __post_init__(self) -> None:
        self.log = self.tally.add if self.spans is None else _both(self.tally.add, self.spans)


def _both(first: Log, second: Log) -> Log:
    def log(*span: Any) -> None:
        first(*span)
        second(*span)

    return log
