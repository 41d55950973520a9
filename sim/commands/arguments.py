"""What several commands are given: a model, a board, a budget, policies."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sim.device.board import Board
from sim.errors import SpillwayError
from sim.graph.graph import Graph
from sim.policy import Choice, Goal, parse_choice, policy_names
from sim.result import Source, read_source


def model_on_board(options: argparse.Namespace) -> tuple[Source, Graph, Board, Goal]:
    """What --model, --board, --profile, --sram and the goal's options say."""
    from sim.graph.tflite_reader import read_bytes
    from sim.units import UnitError, parse_size

    source = read_source(options.model)
    graph = read_bytes(source.data, source.path)
    board = board_named(options.board, options.profile)
    try:
        sram = parse_size(options.sram) if options.sram else board.largest_usable_bytes
    except UnitError as error:
        raise SpillwayError(f"--sram: {error}") from None
    if not sram:
        raise SpillwayError(f"--sram: found {options.sram!r}, wanted a size above 0")
    return source, graph, board, Goal(sram, options.minimize, options.kernels, options.runtime)


def board_named(name: str, profile: str | None = None) -> Board:
    """A board by its name or file, with another cost profile if one is named."""
    from sim.device.loader import load_board_with

    return load_board_with(name, profile)


def choices(texts: Sequence[str] | None) -> tuple[Choice, ...]:
    """Policies as they are written on the command line."""
    return tuple(parse_choice(text) for text in texts or ())


def all_policies() -> tuple[Choice, ...]:
    """Every policy that is registered, without parameters; the model as it is comes first."""
    return choices(sorted(policy_names(), key=lambda name: name != "baseline"))
