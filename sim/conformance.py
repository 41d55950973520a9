"""The conformance suite: what every policy has to keep, a built-in one or an outsider's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from sim.conformance_case import Case, make_case, raised
from sim.conformance_checks import CHECKS, NotJudgedError, refusal
from sim.conformance_models import MODELS
from sim.errors import PolicyError
from sim.policy import Policy, policy_class

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

VALUE, APPLIED = "frozen value", "applied somewhere"
"""The two checks that are not of one model."""

MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one model; `model` is empty for what holds of the policy as such."""

    check: str
    model: str
    verdict: str
    message: str = ""


def load(name: str) -> type[Policy]:
    """The class registered under the name, or at "module:Class", policy or not.

    Raises PolicyError if it can't be loaded or is no class.
    """
    try:
        found = policy_class(name)
    except PolicyError:
        raise
    except Exception as error:
        raise PolicyError(f"policy {name!r}: can't be loaded: {raised(error)}") from None
    if not isinstance(found, type):
        raise PolicyError(f"policy {name!r}: found {found!r}, wanted a class")
    return found


def check_policy(
    cls: type[Policy], progress: Callable[[str], None] = lambda _: None
) -> Iterator[Finding]:
    """Every check on every model, one finding after another.

    A policy that can't even be asked gets no further than the first.
    """
    yield judge_value(cls)
    policy = _made(cls)
    if policy is None:
        return
    placed, why = False, ""
    for model in MODELS:
        progress(f"{model}: applying")
        case = make_case(policy, model)
        placed, why = placed or bool(case.programs), why or refusal(case)
        for check in CHECKS:
            progress(f"{model}: {check}")
            yield judge(check, case)
    yield _finding(APPLIED, "", [] if placed else [f"on none of the models: {why}"])


def judge_value(cls: type[Policy]) -> Finding:
    """Whether the class is a frozen dataclass with what a policy has to have."""
    flaws = "; ".join(_value_flaws(cls))
    return _finding(VALUE, "", [flaws] if flaws else [])


def judge(check: str, case: Case) -> Finding:
    """One of CHECKS on a policy and a model; what a policy raises is a failure, not a crash."""
    try:
        return _finding(check, case.model, CHECKS[check](case))
    except NotJudgedError as error:
        return Finding(check, case.model, SKIPPED, _short(str(error)))
    except Exception as error:
        return _finding(check, case.model, [raised(error)])


def _finding(check: str, model: str, flaws: Iterable[str]) -> Finding:
    found = list(dict.fromkeys(flaws))
    if not found:
        return Finding(check, model, PASSED)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Finding(check, model, FAILED, _short(found[0]) + more)


def _short(text: str) -> str:
    return shorten(text, MESSAGE_CHARACTERS, placeholder="...")


def _value_flaws(cls: type[Any]) -> Iterator[str]:
    if not dataclasses.is_dataclass(cls):
        yield "is no dataclass"
    elif not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "is not frozen, wanted @dataclass(frozen=True)"
    for name, kind in (("name", str), ("summary", str), ("packs", bool)):
        value = getattr(cls, name, None)
        if type(value) is not kind or value == "":
            yield f"{name}: found {value!r}, wanted a {kind.__name__}"
    for name in ("apply", "candidates"):
        if not callable(getattr(cls, name, None)):
            yield f"{name}: found no such method"
    try:
        same = cls() == cls() and hash(cls()) == hash(cls())
    except Exception as error:
        yield f"{cls.__name__}() can't be made, compared and hashed: {raised(error)}"
        return
    if not same:
        yield f"{cls.__name__}() does not equal another {cls.__name__}()"


def _made(cls: type[Policy]) -> Policy | None:
    """The policy without parameters; None if it can't be made or lacks what is asked of it."""
    try:
        policy = cls()
    except Exception:
        return None
    return policy if isinstance(policy, Policy) else None
