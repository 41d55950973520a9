"""What each command does: reads its inputs, calls the layers, shows the result."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.device.board import Board
from sim.errors import SpillwayError
from sim.graph.graph import Graph
from sim.policy import Choice, Goal, parse_choice, policy_class, policy_names
from sim.result import Source, dumps, read_source
from sim.terminal import progress_shown, write

if TYPE_CHECKING:
    from sim.compare import Comparison

OK, FAILED = 0, 1
TRACED_FRAMES = 20
"""So many of the winner's frames go into trace.json."""


def run(options: argparse.Namespace) -> int:
    """Compares a scenario's policies, deploys the winner, writes everything to a directory."""
    from sim.compare import compare as compare_policies
    from sim.compare import over_seeds
    from sim.engine.run import play
    from sim.prepare import prepare
    from sim.scenario import load_scenario

    scenario = load_scenario(options.scenario)
    frames = options.frames or scenario.frames
    seed = scenario.seed if options.seed is None else options.seed
    if frames <= scenario.workload.warm_up:
        raise SpillwayError(
            f"--frames: found {frames}, wanted more than the {scenario.workload.warm_up} of warm-up"
        )
    with progress_shown() as progress:
        ready = prepare(scenario, play, progress)
        found = compare_policies(
            ready.graph, ready.board, ready.goal, _choices(options.policy) or scenario.choices,
            play, frames=frames, seed=seed, progress=progress, usage=scenario.usage,
            workload=scenario.workload, residents=ready.residents,
        )  # fmt: skip
        if options.seeds > 1:
            found = over_seeds(found, play, frames=frames, seed=seed, seeds=options.seeds)
    title = scenario.title or f"{scenario.name}: {scenario.model.name}"
    return _deploy(
        options, ready.source, found, name=scenario.name, title=title, seed=seed,
        traced_frames=min(frames, TRACED_FRAMES),
    )  # fmt: skip


def compare(options: argparse.Namespace) -> int:
    """Compares policies on a model and a board."""
    from sim.compare import compare as compare_policies
    from sim.engine.run import play
    from sim.result import comparison_document

    if options.front:
        return _front(options)
    if options.plot is not None:
        raise SpillwayError("--plot: found no --front, wanted it: the front is what is drawn")
    source, graph, board, goal = _model_on_board(options)
    choices = _choices(options.policy) or _all_policies()
    with progress_shown() as progress:
        found = compare_policies(
            graph, board, goal, choices, play,
            frames=options.frames, seed=options.seed, progress=progress,
        )  # fmt: skip
    if options.json:
        write(dumps(comparison_document(source, found, Path(source.path).stem, options.seed)))
    else:
        from sim.render.tables import show_comparison

        show_comparison(found, source.path)
    return OK if found.best.fits(goal) else FAILED


def _front(options: argparse.Namespace) -> int:
    from sim.engine.run import play
    from sim.front import front
    from sim.render.front import plot_front, show_front
    from sim.render.plot import check_plot
    from sim.result import front_document

    if options.plot is not None:
        check_plot(options.plot)
    source, graph, board, goal = _model_on_board(options)
    choices = _choices(options.policy) or _all_policies()
    name = Path(source.path).stem
    with progress_shown() as progress:
        found = front(
            graph, board, goal, choices, play,
            frames=options.frames, seed=options.seed, progress=progress,
        )  # fmt: skip
    if options.plot is not None:
        plot_front(found, name, options.plot, budget=options.sram is not None)
    if options.json:
        write(dumps(front_document(source, found, name, options.seed)))
    else:
        show_front(found, source.path)
    return OK if found.fits else FAILED


def deploy(options: argparse.Namespace) -> int:
    """Compiles the best policy's model for a board."""
    from sim.compare import compare as compare_policies
    from sim.engine.run import play

    source, graph, board, goal = _model_on_board(options)
    choices = _choices(options.policy) or _all_policies()
    with progress_shown() as progress:
        found = compare_policies(
            graph, board, goal, choices, play, seed=options.seed, progress=progress
        )
    name = Path(source.path).stem
    return _deploy(options, source, found, name=name, title=source.path, seed=options.seed)


def _deploy(
    options: argparse.Namespace,
    source: Source,
    found: Comparison,
    *,
    name: str,
    title: str,
    seed: int,
    traced_frames: int = 0,
) -> int:
    from sim.deployment import deploy_winner
    from sim.result import comparison_document

    with progress_shown() as progress:
        progress("verifying the winner in LiteRT and TFLM")
        directory = Path(options.output or Path("out") / name)
        document = comparison_document(source, found, name, seed)
        deployed = deploy_winner(directory, source, found, document, seed)
        if traced_frames:
            progress("writing the winner's trace")
            path = _write_trace(directory, found, title, seed, traced_frames)
            deployed = dataclasses.replace(deployed, files=(*deployed.files, path))
    if options.json:
        write(dumps(deployed.document))
    else:
        from sim.render.tables import show_comparison, show_facts

        show_comparison(found, title)
        show_facts(deployed.facts())
    return OK if found.best.fits(found.goal) and deployed.good else FAILED


def _write_trace(directory: Path, found: Comparison, title: str, seed: int, frames: int) -> Path:
    """The winner's first frames, for Perfetto."""
    import json

    from sim.engine.run import traced
    from sim.files import write_whole
    from sim.render.perfetto import perfetto
    from sim.system import System

    program = found.best.program
    assert program is not None
    system = System(program, found.workload, found.residents)
    spans = traced(system, found.board, frames=frames, seed=seed)
    path = directory / "trace.json"
    write_whole(path, json.dumps(perfetto(spans, program, title), separators=(",", ":")) + "\n")
    return path


def verify(options: argparse.Namespace) -> int:
    """Proves that two models compute the same, in LiteRT and in TFLM."""
    from sim.deployment import verify_files

    original, optimized = read_source(options.original), read_source(options.optimized)
    with progress_shown() as progress:
        progress("running both models in LiteRT and TFLM")
        found = verify_files(original, optimized, options.seed)
    if options.json:
        write(dumps(found.to_json()))
    else:
        from sim.deployment import verification_facts
        from sim.render.tables import show_facts

        show_facts(verification_facts(found))
    return OK if found.passed else FAILED


def inspect(options: argparse.Namespace) -> int:
    """Why a model is so big."""
    from sim.graph.tflite_reader import read
    from sim.inspect import document
    from sim.inspect import inspect as inspect_graph

    if options.patches:
        return _inspect_patches(options)
    found = inspect_graph(read(options.model), options.kernels)
    board = _board(options.board) if options.board else None
    if options.json:
        write(dumps(document(found, board)))
    else:
        from sim.render.tables import show_inspection

        show_inspection(found, options.model, board)
    return OK


def _inspect_patches(options: argparse.Namespace) -> int:
    from sim.graph.tflite_reader import read
    from sim.patches import analyse, document

    found = analyse(read(options.model))
    if options.json:
        write(dumps(document(found)))
    else:
        from sim.render.patches import show_patches

        show_patches(found, options.model)
    return OK


def boards(options: argparse.Namespace) -> int:
    """The boards, one of them in full, or the cost profiles."""
    from sim.device.loader import board_names, load_profile, profile_names
    from sim.render.boards import show_board, show_boards, show_profiles

    if options.profiles:
        profiles = [load_profile(name) for name in profile_names()]
        if options.json:
            write(dumps({"profiles": [_plain(profile) for profile in profiles]}))
        else:
            show_profiles(profiles)
        return OK
    if options.name is None:
        found = [_board(name) for name in board_names()]
        if options.json:
            write(dumps({"boards": [_plain(board) for board in found]}))
        else:
            show_boards(found)
        return OK
    board = _board(options.name)
    if options.json:
        write(dumps(_plain(board)))
    else:
        show_board(board)
    return OK


def schema(options: argparse.Namespace) -> int:
    """The JSON Schema of boards, their parts or scenarios."""
    from sim.json_schema import schemas

    write(dumps(schemas()[options.kind]))
    return OK


def policies(options: argparse.Namespace) -> int:
    """The policies and their parameters, or whether one of them keeps the rules."""
    if options.check is not None:
        return _check_policy(options)
    names = (options.name,) if options.name else policy_names()
    found = [(name, policy_class(name)) for name in names]
    parameters: list[dict[str, Any]] = [
        {f.name: f.default for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
        for _, cls in found
    ]
    if options.json:
        listed = [
            {"name": cls.name, "summary": cls.summary, "params": defaults}
            for (_, cls), defaults in zip(found, parameters, strict=True)
        ]
        write(dumps({"policies": listed}))
        return OK
    from sim.render.tables import show_policies, show_policy

    if options.name:
        show_policy(found[0][1], parameters[0])
    else:
        show_policies(
            [
                (cls.name, cls.summary, ", ".join(defaults))
                for (_, cls), defaults in zip(found, parameters, strict=True)
            ]
        )
    return OK


def _check_policy(options: argparse.Namespace) -> int:
    from sim import conformance

    cls = conformance.load(options.check)
    with progress_shown() as progress:
        found = list(conformance.check_policy(cls, progress))
    good = all(f.verdict != conformance.FAILED for f in found)
    if options.json:
        findings = [_plain(f) for f in found]
        write(dumps({"policy": options.check, "passed": good, "findings": findings}))
    else:
        from sim.render.tables import show_findings

        show_findings([(f.check, f.model, f.verdict, f.message) for f in found])
    return OK if good else FAILED


def _model_on_board(options: argparse.Namespace) -> tuple[Source, Graph, Board, Goal]:
    from sim.graph.tflite_reader import read_bytes
    from sim.units import UnitError, parse_size

    source = read_source(options.model)
    graph = read_bytes(source.data, source.path)
    board = _board(options.board, options.profile)
    try:
        sram = parse_size(options.sram) if options.sram else board.largest_usable_bytes
    except UnitError as error:
        raise SpillwayError(f"--sram: {error}") from None
    return source, graph, board, Goal(sram, options.minimize, options.kernels, options.runtime)


def _board(name: str, profile: str | None = None) -> Board:
    from sim.device.loader import load_board_with

    return load_board_with(name, profile)


def _choices(texts: Sequence[str] | None) -> tuple[Choice, ...]:
    return tuple(parse_choice(text) for text in texts or ())


def _all_policies() -> tuple[Choice, ...]:
    return _choices(policy_names())


def _plain(value: Any) -> Any:
    """A dataclass as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
