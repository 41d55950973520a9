"""How long a battery and a storage last, when a frame comes every so often."""

from __future__ import annotations

from dataclasses import dataclass

from sim.device.board import Board
from sim.report import Report, inferences_until_worn
from sim.units import PS_PER_S

PS_PER_DAY = 86_400 * PS_PER_S
PJ_PER_UAH_MV = 3_600_000
"""A microampere for an hour at a millivolt: 1e-6 A x 3600 s x 1e-3 V = 3.6e-6 J."""
UW_PS_PER_PJ = 10**6


@dataclass(frozen=True, slots=True)
class Usage:
    """A frame every `period_ps` (0: one after the other), from a battery of `battery_uah`

    microampere hours at the board's supply voltage (0: none is given).
    """

    period_ps: int = 0
    battery_uah: int = 0

    def frame_ps(self, report: Report) -> int:
        """From one result to the next: longer than the period where frames are lost."""
        return max(self.period_ps, report.elapsed_ps // report.frames)

    def frame_pj(self, report: Report, board: Board) -> int:
        """Energy from one result to the next: all that ran, and rest in between."""
        asleep_ps = max(0, self.frame_ps(report) - report.awake_ps)
        return report.energy_pj + asleep_ps * board.core.resting_uw // UW_PS_PER_PJ

    def battery_days(self, report: Report, board: Board) -> float | None:
        """Days until the battery is empty; None without one. Nothing else draws from it."""
        if not self.battery_uah:
            return None
        full_pj = self.battery_uah * board.supply_mv * PJ_PER_UAH_MV
        frames = full_pj / max(1, self.frame_pj(report, board))
        return frames * self.frame_ps(report) / PS_PER_DAY

    def wear_days(self, report: Report, board: Board) -> dict[str, float]:
        """Days until each storage that is written to has worn out; those that never do are out.

        What other users write counts as well.
        """
        found = {}
        for name in dict.fromkeys((*report.moved, *report.others)):
            written = report.moved[name].written if name in report.moved else 0
            if name in report.others:
                written += report.others[name].written // report.frames
            erased = report.erased.get(name, 0.0)
            inferences = inferences_until_worn(board.storage(name), written, erased)
            if inferences is not None:
                found[name] = inferences * self.frame_ps(report) / PS_PER_DAY
        return found


UNPACED = Usage()
"""One frame after the other, and no battery."""
