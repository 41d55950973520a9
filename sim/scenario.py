"""Scenario: which model runs on which board, for which goal, under which policies; as YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.device.located_yaml import Located, did_you_mean, read_yaml
from sim.errors import ConfigError, PolicyError
from sim.plan.runtime import RUNTIMES, TFLM
from sim.policy import MINIMIZE, Choice, make_policy, parse_choice
from sim.units import CHARGE, TIME, Dimension, UnitError, parse, parse_size
from sim.usage import UNPACED, Usage

ENTRY_POINTS = "sim.scenarios"
_KEYS = (
    "name", "title", "model", "board", "goal", "kernels", "runtime", "frames", "seed", "policies",
    "period", "battery", "profile",
)  # fmt: skip
_REQUIRED = ("model", "board", "policies")
_GOAL_KEYS = ("sram", "minimize")
KERNELS = ("reference", "cmsis_nn")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`sram_bytes` None: what the board's largest usable bank leaves.

    In YAML, `period` is the time from frame to frame and `battery` its charge. `profile` None: the
    board's own cost profile.
    """

    name: str
    file: str
    model: Path
    board: str
    sram_bytes: int | None
    minimize: str
    choices: tuple[Choice, ...]
    frames: int = 1
    seed: int = 0
    kernels: str = "reference"
    title: str = ""
    runtime: str = TFLM
    usage: Usage = UNPACED
    profile: str | None = None


def find_scenario(name: str | Path) -> Path:
    """The file itself, or the installed scenario of that name.

    "scenarios/drone_seg.yaml" and "drone_seg" find the built-in one from anywhere.
    Raises ConfigError if there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    from importlib.metadata import entry_points
    from importlib.resources import files

    known: list[str] = []
    for entry in entry_points(group=ENTRY_POINTS):
        for resource in files(entry.value).iterdir():
            if resource.name.endswith(".yaml"):
                known.append(resource.name.removesuffix(".yaml"))
                if known[-1] == path.stem:
                    return Path(str(resource))
    wanted = f"a file, or {did_you_mean(path.stem, known)}"
    raise ConfigError("scenario", None, "name", str(name), wanted)


def load_scenario(name: str | Path) -> Scenario:
    """The scenario in a YAML file.

    Raises ConfigError with file, line and field where it is wrong.
    """
    path = find_scenario(name)
    try:
        root = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, None, "file", str(error), "a YAML file in UTF-8") from None
    fields = root.mapping("scenario")
    _refuse_unknown(root, _KEYS, "scenario")
    for key in _REQUIRED:
        if key not in fields:
            raise ConfigError(path, root.line, key, "nothing", "a value")
    goal = fields["goal"].mapping("goal") if "goal" in fields else {}
    if "goal" in fields:
        _refuse_unknown(fields["goal"], _GOAL_KEYS, "goal")
    return Scenario(
        name=_text(fields, "name", path.stem),
        file=str(path),
        model=path.parent / _text(fields, "model"),
        board=_text(fields, "board"),
        sram_bytes=_size(goal, "sram"),
        minimize=_one_of(goal, "minimize", MINIMIZE, "latency"),
        choices=_choices(fields["policies"]),
        frames=_count(fields, "frames", 1, least=1),
        seed=_count(fields, "seed", 0, least=0),
        kernels=_one_of(fields, "kernels", KERNELS, "reference"),
        title=_text(fields, "title", ""),
        runtime=_one_of(fields, "runtime", RUNTIMES, TFLM),
        profile=_text(fields, "profile", "") or None,
        usage=Usage(_quantity(fields, "period", TIME), _quantity(fields, "battery", CHARGE)),
    )


def _refuse_unknown(node: Located, known: tuple[str, ...], where: str) -> None:
    for key in node.mapping(where):
        if key not in known:
            line = node.key_lines.get(key, node.line)
            raise ConfigError(node.file, line, where, key, did_you_mean(key, list(known)))


def _text(fields: dict[str, Located], key: str, default: str | None = None) -> str:
    if key not in fields and default is not None:
        return default
    value = fields[key].value
    if not isinstance(value, str) or not value.strip():
        raise fields[key].error(key, "a text")
    return value.strip()


def _count(fields: dict[str, Located], key: str, default: int, *, least: int) -> int:
    if key not in fields:
        return default
    value = fields[key].value
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise fields[key].error(key, f"a whole number, {least} or above")
    return value


def _size(fields: dict[str, Located], key: str) -> int | None:
    if key not in fields:
        return None
    try:
        return parse_size(fields[key].value)
    except UnitError as error:
        raise fields[key].error(key, error.wanted) from None


def _quantity(fields: dict[str, Located], key: str, dimension: Dimension) -> int:
    """The quantity in its base unit; 0 where it is not given."""
    if key not in fields:
        return 0
    try:
        found = parse(fields[key].value, dimension)
    except UnitError as error:
        raise fields[key].error(key, error.wanted) from None
    if not found:
        raise fields[key].error(key, f"{dimension.name} above 0")
    return found


def _one_of(fields: dict[str, Located], key: str, names: tuple[str, ...], default: str) -> str:
    if key not in fields:
        return default
    value = fields[key].value
    if value not in names:
        raise fields[key].error(key, did_you_mean(value, list(names)))
    return str(value)


def _choices(node: Located) -> tuple[Choice, ...]:
    if not isinstance(node.value, list) or not node.value:
        raise node.error("policies", "a list of policies")
    return tuple(_choice(item) for item in node.value)


def _choice(item: Located) -> Choice:
    """A policy as text, or a mapping of one name to its parameters."""
    try:
        if isinstance(item.value, str):
            return parse_choice(item.value)
        if isinstance(item.value, dict) and len(item.value) == 1:
            ((name, node),) = item.value.items()
            params = {key: _plain(value) for key, value in node.mapping(name).items()}
            return Choice((make_policy(name, params),), (tuple(params.items()),))
    except PolicyError as error:
        raise ConfigError(item.file, item.line, "policies", item.shown, str(error)) from None
    raise item.error("policies", 'a name, "name(key=value)", or name: {key: value}')


def _plain(node: Located) -> Any:
    if isinstance(node.value, list):
        return tuple(_plain(item) for item in node.value)
    return None if node.value == "auto" else node.value
