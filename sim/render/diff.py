"""Two results side by side, for people: who wins and why, the figures, what changes are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.diff.difference import Changed, Diff, Pair, Side
from sim.diff.figures import Figure
from sim.diff.winner import (
    ABSENT,
    EQUAL,
    ERROR,
    FAILS_FRAMES,
    NOTHING_FITS,
    OVER_BUDGET,
    OVER_ENERGY,
    WORSE,
    Reason,
)
from sim.policy import written
from sim.render.tables import console, grouped
from sim.units import format_time

UNBROKEN = "\u00a0"
LITTLE_PERCENT = 1
"""A policy whose figures all changed by less than this is only named."""
HASH_CHARACTERS, SETTING_CHARACTERS = 12, 40
"""Of a hash and of a parameter's value; --json has them in full."""

NOUNS = {
    "arena_bytes": "arena",
    "activations_bytes": "activations",
    "latency_mean_ps": "mean latency",
    "latency_p99_ps": "p99 latency",
    "stall_ps": "waits",
    "moved_bytes": "moved a frame",
    "frame_nj": "energy a frame",
    "lost_frames": "lost frames",
    "late_frames": "late frames",
    "ops": "ops",
    "macs": "MACs",
    "failed_percent": "failed frames",
}
SENTENCES = {
    ABSENT: "{policy} is not in {document}.",
    ERROR: "{policy} could not be applied in {document}: {error}",
    OVER_BUDGET: "{policy} does not fit in {document}: it needs {found}, the budget is {against}.",
    OVER_ENERGY: "{policy} takes more energy than is allowed in {document}: {found} a frame.",
    NOTHING_FITS: "In {document} {policy}'s {figure} is {found}, {more} than {rival}'s.",
    FAILS_FRAMES: "More frames fail with {policy} in {document}: {found}, {against} with {rival}.",
    WORSE: "{policy} fits in {document}; its {figure} is {found}, {more} than {rival}'s.",
    EQUAL: "{policy} is as good as {rival} in {document}, which is plainer or was asked for first.",
}
SURROUNDINGS = "surroundings."
SMALL = 1000
"""Parts of a change this many times smaller than the largest are told as one."""


def show_diff(found: Diff, path_a: str, path_b: str) -> None:
    """What was asked, the winners, the policies side by side, and what each change is made of."""
    out = console()
    out.print(Text(f"A  {path_a}\nB  {path_b}", style="bold"))
    if found.empty:
        same = "The documents are the same."
        out.print(same if found.identical else "Nothing that is compared differs.")
        return
    if found.asked:
        out.print(_entries(found.asked))
    else:
        out.print("Nothing that the documents tell was asked differently.")
    _show_winners(out, found)
    if found.pairs:
        out.print()
        out.print(_table(found.pairs))
        out.print("A, B: wins there", style="dim")
    _show_pairs(out, found.pairs)
    _show_named(out, (("Only in A", found.only_a), ("Only in B", found.only_b)))
    if found.verified:
        out.print(Text("\nVerified", style="bold"))
        out.print(_entries(found.verified))


def _entries(entries: Iterable[Changed]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("", "A", "B"):
        table.add_column(name, overflow="fold")
    for entry in _worth_telling(entries):
        name = _words(entry.name.replace(".", " "))
        table.add_row(name, _value(entry.name, entry.a), _value(entry.name, entry.b))
    return table


def _worth_telling(entries: Iterable[Changed]) -> list[Changed]:
    """All but the hash of the surroundings where they differ in something with a name."""
    found = list(entries)
    named = [entry for entry in found if entry.name.startswith(SURROUNDINGS)]
    hashed = f"{SURROUNDINGS}sha256"
    return [entry for entry in found if entry.name != hashed or len(named) == 1]


def _value(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and name.endswith(("bytes", "macs", "hz")):
        return grouped(value)
    if isinstance(value, float) and name.endswith("_us"):
        return f"{value:,.6g}" if value < 1000 else f"{value:,.0f}"
    text = value if isinstance(value, str) else written(value)
    return text[:HASH_CHARACTERS] if name.endswith("sha256") else text


def _show_winners(out: Console, found: Diff) -> None:
    """Who wins; where that changed, why, and what it changes."""
    sides, (goal_a, goal_b) = found.winners, found.minimize
    a, b = sides.a.label, sides.b.label
    goals = f"least {goal_a}" if goal_a == goal_b else f"least {goal_a} in A, {goal_b} in B"
    wins = f"{a} wins in A, {b} in B" if found.reasons else f"{b} wins in both"
    out.print(Text(f"\n{wins}; {goals}.", style="bold"))
    for name, side in (("A", sides.a), ("B", sides.b)):
        if not side.fits:
            out.print(f"Nothing fits in {name}.")
    for why in found.reasons:
        out.print(_sentence(why))
    if found.reasons:
        out.print(f"From {a} in A to {b} in B:")
        _show_lines(out, _changes(sides.figures))


def _sentence(why: Reason) -> str:
    figure, found, against = why.figure or "", why.found or 0, why.against or 0
    return SENTENCES[why.kind].format(
        document=why.document.upper(),
        policy=why.policy,
        rival=why.rival,
        error=why.error,
        figure=NOUNS.get(figure, figure),
        found=_amount(figure, found),
        against=_amount(figure, against),
        more=f"{_amount(figure, abs(found - against))} {'less' if found < against else 'more'}",
    )


def _table(pairs: Iterable[Pair]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("", width=2)
    table.add_column("policy", overflow="fold")
    for name in ("arena A", "arena B", "change", "latency A", "latency B", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in pairs:
        wins = "A" * pair.a.wins + "B" * pair.b.wins
        cells = [_cells(pair.figure(name)) for name in ("arena_bytes", "latency_mean_ps")]
        table.add_row(wins, pair.b.label, *cells[0], *cells[1])
    return table


def _cells(figure: Figure | None) -> tuple[str, str, str]:
    if figure is None:
        return "-", "-", ""
    a, b = (_amount(figure.name, value).removesuffix(" B") for value in (figure.a, figure.b))
    return a, b, _percent(figure)


def _percent(figure: Figure) -> str:
    if not figure.change or not figure.a:
        return ""
    return f"{100 * figure.change / figure.a:+.1f} %"


def _show_pairs(out: Console, pairs: Sequence[Pair]) -> None:
    """What each policy's changes are made of; those that hardly changed by name."""
    for pair in pairs:
        if _much(pair):
            setting = "".join(f", {_setting(entry)}" for entry in pair.setting)
            out.print(Text(f"\n{pair.b.label}{setting}", style="bold"))
            _show_lines(out, (*_standing(pair), *_changes(pair.figures)))
    quiet = [pair for pair in pairs if not _much(pair)]
    little, same = (
        [pair.b for pair in quiet if any(f.changed for f in pair.figures) == changed]
        for changed in (True, False)
    )
    few = f"Changed by less than {LITTLE_PERCENT} %"
    _show_named(out, ((few, little), ("As before", same)))


def _show_named(out: Console, named: Iterable[tuple[str, Sequence[Side]]]) -> None:
    found = ((text, dict.fromkeys(side.label for side in sides)) for text, sides in named)
    lines = [f"{text}: {', '.join(labels)}." for text, labels in found if labels]
    if lines:
        out.print("\n" + "\n".join(lines))


def _much(pair: Pair) -> bool:
    """Whether to say what its changes are made of: a winner's always."""
    stands = pair.a.fits, pair.a.error
    if pair.setting or stands != (pair.b.fits, pair.b.error):
        return True
    least = 0 if pair.a.wins or pair.b.wins else LITTLE_PERCENT
    return any(100 * abs(f.change) >= least * abs(f.a) for f in pair.figures if f.change)


def _standing(pair: Pair) -> Iterable[str]:
    """Whether it fits and can be applied, where that changed."""
    if pair.a.error != pair.b.error:
        for name, side in (("A", pair.a), ("B", pair.b)):
            if side.error is not None:
                yield f"could not be applied in {name}: {side.error}"
    elif pair.a.fits != pair.b.fits:
        yield "fits in A, does not fit in B" if pair.a.fits else "does not fit in A, fits in B"


def _changes(figures: Sequence[Figure]) -> Iterable[str]:
    """A line for each figure that changed and does not repeat what the mean latency tells."""
    mean = next((figure for figure in figures if figure.name == "latency_mean_ps"), None)
    for figure in figures:
        if mean is not None and figure.name == "latency_p99_ps":
            repeats = (figure.a, figure.b) == (mean.a, mean.b)
        elif mean is not None and figure.name == "stall_ps":
            repeats = set(figure.parts) <= set(mean.parts)
        else:
            repeats = False
        if figure.changed and not repeats:
            yield _change(figure)


def _change(figure: Figure) -> str:
    a, b = _amount(figure.name, figure.a), _amount(figure.name, figure.b)
    text = NOUNS[figure.name]
    if not figure.change:
        text += f" {b} in both"
    else:
        text += f" {a} -> {b}" if a != b else f" {b}, {_signed(figure.name, figure.change)}"
        text += f" ({percent})" if (percent := _percent(figure)) else ""
    if len(figure.parts) == 1:
        return f"{text}, all of it {_words(figure.parts[0].name)}"
    told = (f"{part} {_signed(figure.name, change)}" for part, change in _told(figure))
    parts = ", ".join(part.replace(" ", UNBROKEN) for part in told)
    return f"{text}: {parts}" if parts else text


def _told(figure: Figure) -> Iterable[tuple[str, int]]:
    """The parts with their changes; several that are small are one."""
    small = [p for p in figure.parts if SMALL * abs(p.change) < abs(figure.parts[0].change)]
    large = figure.parts[: len(figure.parts) - len(small)] if len(small) > 1 else figure.parts
    yield from ((_words(part.name), part.change) for part in large)
    if len(small) > 1:
        yield "others", sum(part.change for part in small)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _amount(figure: str, value: int) -> str:
    match figure.rpartition("_")[2]:
        case "ps":
            return format_time(value)
        case "bytes":
            return f"{grouped(value)} B"
        case "nj":
            return f"{value / 10**6:.3g} mJ" if abs(value) >= 10**6 else f"{value / 10**3:.3g} uJ"
        case "percent":
            return f"{value} %"
        case _:
            return grouped(value)


def _signed(figure: str, value: int) -> str:
    return f"{'+' if value > 0 else ''}{_amount(figure, value)}"


def _setting(entry: Changed) -> str:
    values = (written(value) for value in (entry.a, entry.b))
    a, b = (v if len(v) <= SETTING_CHARACTERS else f"{v[:SETTING_CHARACTERS]}…" for v in values)
    return f"{entry.name} {a} -> {b}"


def _show_lines(out: Console, lines: Iterable[str]) -> None:
    """Indented, and what goes on in the next line more so; no part of a change is torn apart."""
    for line in lines:
        wrapped = fill(line, out.width, initial_indent=" " * 2, subsequent_indent=" " * 4)
        out.print(Text(wrapped.replace(UNBROKEN, " ")))
