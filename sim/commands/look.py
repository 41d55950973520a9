"""Commands that show what there is: models, boards, policies, schemas."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from sim.commands import FAILED, OK
from sim.commands.arguments import board_named
from sim.plain import plain
from sim.policy import policy_class, policy_names
from sim.result import dumps
from sim.terminal import progress_shown, write


def inspect(options: argparse.Namespace) -> int:
    """Why a model is so big."""
    from sim.graph.tflite_reader import read
    from sim.inspect import document
    from sim.inspect import inspect as inspect_graph

    if options.patches:
        return _inspect_patches(options)
    found = inspect_graph(read(options.model), options.kernels)
    board = board_named(options.board) if options.board else None
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
            write(dumps({"profiles": [plain(profile) for profile in profiles]}))
        else:
            show_profiles(profiles)
        return OK
    if options.name is None:
        found = [board_named(name) for name in board_names()]
        if options.json:
            write(dumps({"boards": [plain(board) for board in found]}))
        else:
            show_boards(found)
        return OK
    board = board_named(options.name)
    if options.json:
        write(dumps(plain(board)))
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
        findings = [plain(f) for f in found]
        write(dumps({"policy": options.check, "passed": good, "findings": findings}))
    else:
        from sim.render.tables import show_findings

        show_findings([(f.check, f.model, f.verdict, f.message) for f in found])
    return OK if good else FAILED
