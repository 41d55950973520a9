"""Diff: two results side by side: what was asked, who wins, and what each change is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sim.diff.figures import Document, Figure, Part, fate, figures, measured
from sim.diff.winner import Reason, reason
from sim.policy import written
from sim.result import SCHEMA_VERSION

FOUND = ("schema_version", "winner", "shortfall", "results", "deploy")
"""What a document holds beside what was asked."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An entry that differs; None where a document does not have it."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Side:
    """A policy in one of the documents; `error` says why it could not be applied, else None.

    `label` tells it from other settings of the same policy.
    """

    label: str
    fits: bool
    wins: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A policy in both documents; `setting` are its parameters that differ.

    There are no figures where it could not be applied in one of them.
    """

    a: Side
    b: Side
    setting: tuple[Changed, ...]
    figures: tuple[Figure, ...]

    @property
    def changed(self) -> bool:
        """Whether anything of it differs but what tells it from others."""
        moved = any(figure.changed for figure in self.figures)
        return moved or bool(self.setting) or replace(self.a, label=self.b.label) != self.b

    def figure(self, name: str) -> Figure | None:
        """The figure of that name, if both sides have it."""
        return next((figure for figure in self.figures if figure.name == name), None)


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs from A to B; `winners` are A's winner in A beside B's winner in B.

    `reasons` say why the winner changed, and are empty where it is the same policy; `minimize` is
    each document's goal. `verified` are entries of the proof that differ, where both have one.
    """

    identical: bool
    asked: tuple[Changed, ...]
    minimize: tuple[str, str]
    winners: Pair
    reasons: tuple[Reason, ...]
    pairs: tuple[Pair, ...]
    only_a: tuple[Side, ...]
    only_b: tuple[Side, ...]
    verified: tuple[Changed, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing that is compared differs."""
        changed = any(pair.changed for pair in self.pairs)
        others = (self.asked, self.reasons, self.only_a, self.only_b, self.verified)
        return not changed and not any(others)


def diff(a: Document, b: Document) -> Diff:
    """What differs between two documents that `read_result` gave."""
    first, second = a["results"], b["results"]
    sides_a, sides_b = ([_side(e, first, second) for e in results] for results in (first, second))
    matched, both = _matched(first, second), [*first, *second]
    pairs = {
        (i, j): Pair(sides_a[i], sides_b[j], *_pair(first[i], second[j]))
        for i, j in sorted(matched.items())
    }
    best_a, best_b = _winner(first), _winner(second)
    name_a, name_b = sides_a[best_a].label, sides_b[best_b].label
    reasons: tuple[Reason, ...] = ()
    if (best_a, best_b) not in pairs:
        there = second[matched[best_a]] if best_a in matched else None
        here = next((first[i] for i, j in pairs if j == best_b), None)
        reasons = (
            reason("b", b, name_a, name_b, there, second[best_b]),
            reason("a", a, name_b, name_a, here, first[best_a]),
        )
    return Diff(
        identical=a == b,
        asked=_changes(_asked(a), _asked(b)),
        minimize=(a["goal"]["minimize"], b["goal"]["minimize"]),
        winners=Pair(sides_a[best_a], sides_b[best_b], *_pair(first[best_a], second[best_b])),
        reasons=reasons,
        pairs=tuple(pairs.values()),
        only_a=tuple(_side(e, both) for i, e in enumerate(first) if i not in matched),
        only_b=tuple(_side(e, both) for j, e in enumerate(second) if j not in matched.values()),
        verified=_changes(_verified(a), _verified(b)) if "deploy" in a and "deploy" in b else (),
    )


def document(found: Diff, path_a: str, path_b: str) -> dict[str, Any]:
    """What `diff --json` prints: what changed from A to B, in the units that the names end with."""
    return {
        "schema_version": SCHEMA_VERSION,
        "a": path_a,
        "b": path_b,
        "identical": found.identical,
        "asked": [asdict(entry) for entry in found.asked],
        "winner": {
            "changed": bool(found.reasons),
            "reasons": [asdict(why) for why in found.reasons],
            **_plain(found.winners),
        },
        "policies": [_plain(pair) for pair in found.pairs if pair.changed],
        "only_in_a": [asdict(side) for side in found.only_a],
        "only_in_b": [asdict(side) for side in found.only_b],
        "verified": [asdict(entry) for entry in found.verified],
    }


def _plain(pair: Pair) -> dict[str, Any]:
    """A pair as JSON values, with the figures that changed."""
    return {
        "a": asdict(pair.a),
        "b": asdict(pair.b),
        "setting": [asdict(entry) for entry in pair.setting],
        "figures": {
            figure.name: {
                **_amounts(figure),
                "parts": {part.name: _amounts(part) for part in figure.parts},
            }
            for figure in pair.figures
            if figure.changed
        },
    }


def _amounts(found: Figure | Part) -> dict[str, int]:
    return {"a": found.a, "b": found.b, "change": found.change}


def _asked(document: Document) -> dict[str, Any]:
    """What was asked, by dotted name; the frames, where all policies were offered as many."""
    head = {key: value for key, value in document.items() if key not in FOUND}
    offered = {fate(entry).offered for entry in document["results"] if measured(entry)}
    return dict(_flat(head)) | ({"frames": offered.pop()} if len(offered) == 1 else {})


def _verified(document: Document) -> dict[str, Any]:
    return dict(_flat(document["deploy"]["verified"]))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested objects by dotted name."""
    if not isinstance(value, dict):
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{path}.{key}" if path else key)


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Changed, ...]:
    found = (Changed(name, a.get(name), b.get(name)) for name in dict.fromkeys((*a, *b)))
    return tuple(entry for entry in found if entry.a != entry.b)


def _pair(a: Document, b: Document) -> tuple[tuple[Changed, ...], tuple[Figure, ...]]:
    """The parameters that differ, if it is the same policy, and the figures."""
    same = a["policy"] == b["policy"]
    return _changes(a["params"], b["params"]) if same else (), figures(a, b)


def _side(entry: Document, *results: Sequence[Document]) -> Side:
    return Side(_label(entry, *results), entry["fits"], entry["winner"], entry.get("error"))


def _label(entry: Document, *results: Sequence[Document]) -> str:
    """The policy's name; where a document has it twice, with the parameters that tell it apart."""
    name: str = entry["policy"]
    groups = [[e["params"] for e in entries if e["policy"] == name] for entries in results]
    told = ",".join(
        f"{key}={written(value)}"
        for key, value in entry["params"].items()
        if value is not None
        and any(p.get(key) != q.get(key) for g in groups for p in g[:1] for q in g)
    )
    return f"{name}({told})" if told else name


def _matched(first: Sequence[Document], second: Sequence[Document]) -> dict[int, int]:
    """By entry of the first, the one of the second: with the same setting, else the most alike.

    A policy's other settings match where each has more in common with the other than with any
    third; so does a policy that stands once in each document.
    """
    matched: dict[int, int] = {}
    left_a, left_b = dict(enumerate(first)), dict(enumerate(second))
    for i, entry in enumerate(first):
        wanted = entry["policy"], entry["params"]
        same = (j for j, other in left_b.items() if (other["policy"], other["params"]) == wanted)
        j = next(same, None)
        if j is not None:
            matched[i] = j
            del left_a[i], left_b[j]
    likeness = {
        (i, j): len(set(_settings(a)) & set(_settings(b)))
        for i, a in left_a.items()
        for j, b in left_b.items()
        if a["policy"] == b["policy"]
    }
    for pair, alike in likeness.items():
        rivals = (found for found in likeness if (found[0] == pair[0]) != (found[1] == pair[1]))
        if all(likeness[rival] < alike for rival in rivals):
            matched[pair[0]] = pair[1]
    return matched


def _settings(entry: Document) -> Iterator[tuple[str, str]]:
    return ((key, written(value)) for key, value in entry["params"].items())


def _winner(results: Sequence[Document]) -> int:
    return next(index for index, entry in enumerate(results) if entry["winner"])
