"""Behaviour: what a storage or link does over time, beside the closed forms of its transfers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Packets that get lost, radios that sleep, cards that tidy up, blocks erased in good time.

    Each attempt over a link is lost with probability `loss`; after `timeout_ps`, each time
    `back_off` times as long, it is made again, `retries` times at most. What is idle for
    `sleep_after_ps` takes `wake_ps` before its next request. After each `collect_every_bytes`
    written a card collects garbage, for a time drawn evenly between minimum and maximum.
    `area_bytes` of a flash chip are used in turn by all slots, so that wear spreads; with
    `erase_ahead` the chip erases the blocks that come next while it is idle.
    """

    loss: float = 0.0
    timeout_ps: int = 0
    retries: int = 3
    back_off: float = 2.0
    sleep_after_ps: int = 0
    wake_ps: int = 0
    collect_every_bytes: int = 0
    collect_minimum_ps: int = 0
    collect_maximum_ps: int = 0
    area_bytes: int = 0
    erase_ahead: bool = False

    def waits_ps(self, attempt: int) -> int:
        """How long the attempt of that number, from 0, is waited for: timeout * back_off^n."""
        return round(self.timeout_ps * self.back_off**attempt)


CALM = Behaviour()
"""A storage that follows its closed forms and nothing else."""
