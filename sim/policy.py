"""The Policy protocol, the goal it works for, and how a policy is found by name."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

from sim.device.board import Board
from sim.errors import PolicyError
from sim.graph.graph import Graph
from sim.plan.runtime import TFLM, Runtime

ENTRY_POINTS = "sim.policies"
SPECIAL = frozenset('()[],+="\\')
"""What has a meaning of its own where a choice is written."""
MINIMIZE = ("latency", "p99", "energy", "arena", "activations")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted: a required arena of at most `sram_bytes`, and least of `minimize`.

    `runtime` and `kernels` are what the model is to run on (see sim.plan.runtime). `energy_pj` is
    the most that a frame may take, 0 for any. "p99" is the 99th percentile of the latency, which
    only a simulation tells; policies take it for the latency.
    """

    sram_bytes: int
    minimize: str = "latency"
    kernels: str = "reference"
    runtime: str = TFLM
    energy_pj: int = 0

    @property
    def target(self) -> Runtime:
        """What interprets the graph."""
        return Runtime(self.runtime, self.kernels)

    @property
    def wants_memory(self) -> bool:
        """Whether less memory is the aim itself, however little the budget asks for."""
        return self.minimize in ("arena", "activations")

    @property
    def aliasing(self) -> bool:
        """Whether views and in-place results may be counted on: not shown for vendor kernels."""
        return self.target.allows_aliasing


@runtime_checkable
class Policy(Protocol):
    """A frozen dataclass whose fields are its parameters; `apply` never changes its input.

    `packs` says whether the result is placed by the packer and its plan embedded; without it
    TFLM places the tensors by itself.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    packs: ClassVar[bool]

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        """The rewritten graph. Raises CannotFitError naming the tensor and memory in the way."""
        ...

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        """The settings worth trying for this goal, this one among them when it is complete."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One or more policies in a row; `asked` are the parameters that each was given."""

    policies: tuple[Policy, ...]
    asked: tuple[tuple[tuple[str, Any], ...], ...]

    @property
    def name(self) -> str:
        return "+".join(p.name for p in self.policies)

    @property
    def label(self) -> str:
        """The choice as it was written: parameters that were given stand in brackets."""
        return "+".join(
            f"{p.name}({','.join(f'{k}={written(v)}' for k, v in asked)})" if asked else p.name
            for p, asked in zip(self.policies, self.asked, strict=True)
        )

    @property
    def brief(self) -> str:
        """The label with the parameters that were given left out."""
        pairs = zip(self.policies, self.asked, strict=True)
        return "+".join(f"{p.name}(…)" if asked else p.name for p, asked in pairs)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters by name; of a composition, by "policy.name"."""
        if len(self.policies) == 1:
            return parameters(self.policies[0])
        return {
            f"{p.name}.{key}": value for p in self.policies for key, value in parameters(p).items()
        }

    @property
    def packs(self) -> bool:
        return any(p.packs for p in self.policies)

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        for policy in self.policies:
            graph = policy.apply(graph, board, goal)
        return graph


def check_counts(policy: object, *names: str) -> None:
    """Raises TypeError if one of these parameters is neither None nor a whole number of 0 or more.

    For a policy's __post_init__; `make_policy` turns it into a PolicyError.
    """
    for name in names:
        value = getattr(policy, name)
        if value is not None and (type(value) is not int or value < 0):
            raise TypeError(f"{name}: found {value!r}, wanted a whole number, 0 or above")


def parameters(policy: Policy) -> dict[str, Any]:
    """The policy's fields and their values."""
    if not dataclasses.is_dataclass(policy):
        return {}
    return {f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)}


@cache
def policy_classes() -> Mapping[str, type[Policy]]:
    """The registered policies by name, built-in and outsiders', in the order of registration."""
    from importlib.metadata import entry_points

    return {entry.name: entry.load() for entry in entry_points(group=ENTRY_POINTS)}


def policy_names() -> tuple[str, ...]:
    """The names of the registered policies, without importing them."""
    from importlib.metadata import entry_points

    return tuple(dict.fromkeys(entry.name for entry in entry_points(group=ENTRY_POINTS)))


def policy_class(name: str) -> type[Policy]:
    """The class registered under the name, or at "module:Class".

    Raises PolicyError if there is none.
    """
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found: type[Policy] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PolicyError(f"policy {name!r}: can't be loaded: {error}") from None
        return found
    classes = policy_classes()
    if name not in classes:
        raise PolicyError(f"policy: found {name!r}, wanted one of {', '.join(classes)}")
    return classes[name]


def make_policy(name: str, params: Mapping[str, Any]) -> Policy:
    """The policy with these parameters.

    Raises PolicyError on an unknown parameter or a value of the wrong type.
    """
    cls = policy_class(name)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in params:
        if key not in known:
            wanted = ", ".join(known) or "none: it has no parameters"
            raise PolicyError(f"policy {name}: parameter: found {key!r}, wanted {wanted}")
    try:
        return cls(**params)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"policy {name}: {error}") from None


def parse_choice(text: str) -> Choice:
    """A choice as written on the command line: "spill(storage=sdram, window=4)+plan".

    Raises PolicyError if it can't be read.
    """
    policies, asked = [], []
    for part in _split(text, "+"):
        name, bracket, rest = part.strip().partition("(")
        if bracket and not rest.endswith(")"):
            raise PolicyError(f"policy {text!r}: found no closing bracket after {name!r}")
        params: dict[str, Any] = {}
        for item in _split(rest.removesuffix(")"), ",") if bracket else []:
            if not item.strip():
                continue
            key, equals, value = item.partition("=")
            if not equals:
                raise PolicyError(f"policy {text!r}: found {item.strip()!r}, wanted name=value")
            params[key.strip()] = parse_value(value.strip())
        policies.append(make_policy(name.strip(), params))
        asked.append(tuple(params.items()))
    return Choice(tuple(policies), tuple(asked))


def parse_value(text: str) -> Any:
    """A parameter's value: an integer, true or false, none, a [list], or the text itself.

    A text in quotation marks stays a text, whatever it holds. Raises PolicyError if they are open.
    """
    if text.startswith('"'):
        try:
            return json.loads(text)
        except ValueError:
            raise PolicyError(f"value: found {text}, wanted a closing quotation mark") from None
    words = {"true": True, "false": False, "none": None, "auto": None}
    if text.lower() in words:
        return words[text.lower()]
    if text.startswith("[") and text.endswith("]"):
        return tuple(parse_value(item.strip()) for item in _split(text[1:-1], ",") if item.strip())
    try:
        return int(text)
    except ValueError:
        return text


def written(value: Any) -> str:
    """A parameter's value as `parse_value` reads it."""
    if isinstance(value, tuple | list):
        return f"[{','.join(written(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if isinstance(value, str) and (set(text) & SPECIAL or parse_value(text.strip()) != value):
        return json.dumps(value, ensure_ascii=False)
    return text


def written_choice(policies: Sequence[Policy]) -> str:
    """Policies in a row as `parse_choice` reads them; parameters that are None are left out."""
    parts = []
    for policy in policies:
        given = ", ".join(
            f"{key}={written(value)}"
            for key, value in parameters(policy).items()
            if value is not None and value != _default(policy, key)
        )
        parts.append(f"{policy.name}({given})" if given else policy.name)
    return "+".join(parts)


def _default(policy: Policy, key: str) -> Any:
    fields = dataclasses.fields(policy)  # type: ignore[arg-type]
    return next(f.default for f in fields if f.name == key)


def _split(text: str, separator: str) -> list[str]:
    parts, depth, start, quoted, escaped = [], 0, 0, False, False
    for index, char in enumerate(text):
        quoted ^= char == '"' and not escaped
        escaped = quoted and char == "\\" and not escaped
        if quoted:
            continue
        depth += (char in "([") - (char in ")]")
        if char == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]
