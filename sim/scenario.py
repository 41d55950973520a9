"""Scenario: which model runs on which board, through what, under which policies; as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.device.located_yaml import Located, did_you_mean, read_yaml
from sim.device.section import arguments, read_entries, require
from sim.errors import ConfigError, PolicyError
from sim.plan.runtime import TFLM
from sim.policy import Choice, make_policy, parse_choice
from sim.system import Role
from sim.usage import UNPACED, Usage
from sim.workload.arrivals import BACK_TO_BACK
from sim.workload.loader import Section, named, read_arrivals, read_moods, read_workload
from sim.workload.schema import GOAL, RESIDENT, SCENARIO
from sim.workload.workload import IDLE, Workload

ENTRY_POINTS = "sim.scenarios"
SECTIONS = ("goal", "policies", "workload", "camera", "background", "storages", "faults", "also")


@dataclass(frozen=True, slots=True)
class Companion:
    """Another model on the board, the policy it runs under, and what it is there for."""

    name: str
    model: Path
    choice: Choice
    role: Role


@dataclass(frozen=True, slots=True)
class Scenario:
    """`sram_bytes` None: what the board's largest usable bank leaves; `energy_pj` 0: any energy.

    `usage` is the pace and the battery, `moods` what changes in the behaviour of the board's
    storages. `profile` None: the board's own cost profile.
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
    energy_pj: int = 0
    workload: Workload = IDLE
    companions: tuple[Companion, ...] = ()
    moods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


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
    top = root.mapping("scenario")
    entries = read_entries(root, SCENARIO, "", others=SECTIONS)
    require(entries, SCENARIO, root, "")
    if "policies" not in top:
        raise ConfigError(path, root.line, "policies", "nothing", "a list of policies")
    values = arguments(entries, SCENARIO)
    goal = arguments(read_entries(top["goal"], GOAL, "goal"), GOAL) if "goal" in top else {}
    period_ps, battery_uah = values.pop("period_ps", 0), values.pop("battery_uah", 0)
    warm_up = values.pop("warm_up", 0)
    workload = read_workload(top, period_ps=period_ps, warm_up=warm_up, folder=path.parent)
    values.setdefault("frames", len(workload.arrivals.times_ps) or 1)
    if warm_up >= values["frames"]:
        raise entries["warm_up"].located.error("warm_up", "fewer than the frames")
    return Scenario(
        file=str(path),
        choices=_choices(top["policies"]),
        usage=Usage(workload.arrivals.mean_gap_ps, battery_uah),
        workload=workload,
        companions=_companions(top, path.parent),
        moods=read_moods(top),
        sram_bytes=goal.get("sram_bytes"),
        minimize=goal.get("minimize", "latency"),
        energy_pj=goal.get("energy_pj", 0),
        **{"name": path.stem, **values, "model": path.parent / values["model"]},
    )


def _companions(top: Section, folder: Path) -> tuple[Companion, ...]:
    return tuple(_companion(name, node, folder) for name, node in named(top, "also").items())


def _companion(name: str, node: Located, folder: Path) -> Companion:
    where = f"also.{name}"
    entries = read_entries(node, RESIDENT, where)
    require(entries, RESIDENT, node, where)
    values = arguments(entries, RESIDENT)
    pace = read_arrivals(values, entries, where, folder=folder)
    arrivals = None if pace.kind == BACK_TO_BACK else pace
    if ("gates" in values) == (arrivals is not None):
        raise node.error(where, "either passes:, or a period: of its own")
    policy = values.pop("policy", "plan")
    try:
        choice = parse_choice(policy)
    except PolicyError as error:
        raise entries["policy"].located.error(f"{where}.policy", str(error)) from None
    model = folder / values.pop("model")
    return Companion(name, model, choice, Role(arrivals=arrivals, **values))


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
