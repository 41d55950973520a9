"""Why a policy that wins in one document loses in another: the first check that it fails."""

from __future__ import annotations

from dataclasses import dataclass

from sim.diff.figures import Document, fate, measured, nanojoules, picoseconds

ABSENT, ERROR, OVER_BUDGET, OVER_ENERGY = "absent", "error", "over_budget", "over_energy"
NOTHING_FITS, FAILS_FRAMES, WORSE, EQUAL = "nothing_fits", "fails_frames", "worse", "equal"
"""The kinds of reasons; a closed list."""

FAILED_PERCENT = "failed_percent"
RANKS = {
    "latency": ("latency_mean_ps", "arena_bytes"),
    "p99": ("latency_p99_ps", "arena_bytes"),
    "energy": ("frame_nj", "arena_bytes"),
    "arena": ("arena_bytes", "latency_mean_ps"),
    "activations": ("activations_bytes", "latency_mean_ps"),
}
"""By goal, the figures that decide between policies that fit and fail as many frames."""
UNFIT_RANK = ("arena_bytes", "latency_mean_ps")
"""The same where nothing fits."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why `policy`, which wins in the other document, loses to `rival` in this one, "a" or "b".

    `found` is its `figure`, whose name ends with the unit, and `against` what it is held against:
    the budget where it does not fit (None: the document does not tell), else the rival's.
    """

    document: str
    policy: str
    rival: str
    kind: str
    figure: str | None = None
    found: int | None = None
    against: int | None = None
    error: str | None = None


def reason(
    name: str, document: Document, policy: str, rival: str, loser: Document | None, winner: Document
) -> Reason:
    """Why `loser`, the policy's entry in the document of that name, is not the winner there.

    The checks come in the order in which a comparison ranks. Where its figures are all as good, the
    policy with fewer parameters wins, or the one asked for first.
    """
    if loser is None:
        return Reason(name, policy, rival, ABSENT)
    if not measured(loser):
        return Reason(name, policy, rival, ERROR, error=loser["error"])
    mine, theirs, budget = _ranked(loser), _ranked(winner), document["board"]["sram_bytes"]
    if winner["fits"] and not loser["fits"]:
        if mine["arena_bytes"] > budget:
            found = mine["arena_bytes"]
            return Reason(name, policy, rival, OVER_BUDGET, "arena_bytes", found, budget)
        return Reason(name, policy, rival, OVER_ENERGY, "frame_nj", mine["frame_nj"])
    deciding: tuple[str, ...] = UNFIT_RANK
    if winner["fits"]:
        deciding = (FAILED_PERCENT, *RANKS.get(document["goal"]["minimize"], UNFIT_RANK))
    figure = next((figure for figure in deciding if mine[figure] != theirs[figure]), None)
    if figure is None:
        return Reason(name, policy, rival, EQUAL)
    kind = FAILS_FRAMES if figure == FAILED_PERCENT else WORSE if winner["fits"] else NOTHING_FITS
    return Reason(name, policy, rival, kind, figure, mine[figure], theirs[figure])


def _ranked(entry: Document) -> dict[str, int]:
    """What a comparison ranks by; frames that fail by the whole per cent."""
    arena, latency = entry["arena_bytes"], entry["latency_us"]
    return {
        FAILED_PERCENT: int(100 * fate(entry).failed_share),
        "arena_bytes": arena["required"],
        "activations_bytes": arena["activations"],
        "latency_mean_ps": picoseconds(latency["mean"]),
        "latency_p99_ps": picoseconds(latency["p99"]),
        "frame_nj": nanojoules(entry["frame_uj"]),
    }
