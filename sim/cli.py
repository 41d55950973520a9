"""The commands: parse, call, print; exit 0 done and fits, 1 does not, 2 wrong use."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from sim import __version__
from sim.errors import SpillwayError
from sim.terminal import replace_what_cannot_be_shown, warn

RUN, LOOK = "sim.commands.run", "sim.commands.look"
"""Where the commands stand that are not with their subject."""
MINIMIZE = ("latency", "p99", "energy", "arena", "activations")
KERNELS = ("reference", "cmsis_nn")
RUNTIMES = ("tflm", "static")
SCHEMAS = ("board", "core", "scenario", "storage")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    replace_what_cannot_be_shown()
    options = parser().parse_args(arguments)
    if "" not in sys.path:
        sys.path.append("")  # a policy's "module:Class" may lie here; the script does not look
    try:
        return int(getattr(import_module(options.module), options.command)(options))
    except SpillwayError as error:
        warn(str(error))
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        warn("stopped")
        return 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="sim",
        description="Run a neural network in less memory on a microcontroller: simulate it, "
        "compare policies, compile the winner for stock TensorFlow Lite Micro.",
    )
    made.set_defaults(module=RUN)
    made.add_argument("--version", action="version", version=f"spillway {__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _run(commands)

    compare = commands.add_parser("compare", help="compare policies on a model and a board")
    _model_on_board(compare)
    _policies(compare)
    compare.add_argument("--frames", type=_positive, default=1, metavar="N", help="inferences")
    compare.add_argument("--seed", type=int, default=0, metavar="N", help="of the simulation")
    compare.add_argument(
        "--front", action="store_true", help="what arena, latency and moved bytes can be had"
    )
    compare.add_argument("--plot", metavar="FILE", help="of the front, .png or .svg")
    _json(compare)

    deploy = commands.add_parser("deploy", help="compile the best policy's model and headers")
    _model_on_board(deploy)
    _policies(deploy)
    deploy.add_argument("-o", "--output", metavar="DIR", help="where the files go (out/MODEL)")
    deploy.add_argument("--seed", type=int, default=0, metavar="N", help="of the simulation")
    _json(deploy)

    verify = commands.add_parser("verify", help="prove that two models compute the same")
    verify.add_argument("original", help="the .tflite before")
    verify.add_argument("optimized", help="the .tflite after")
    verify.add_argument("--seed", type=int, default=0, metavar="N", help="of the random inputs")
    _json(verify)

    _diff(commands)

    inspect = commands.add_parser("inspect", help="why a model is so big")
    inspect.add_argument("model", help="a .tflite file")
    inspect.set_defaults(module=LOOK)
    what = inspect.add_mutually_exclusive_group()
    what.add_argument("--board", metavar="B", help="a board's name or YAML file")
    what.add_argument("--patches", action="store_true", help="what a first stage in patches costs")
    inspect.add_argument("--kernels", choices=KERNELS, default=KERNELS[0], help="of the runtime")
    _json(inspect)

    boards = commands.add_parser("boards", help="the boards, or one of them in full")
    boards.set_defaults(module=LOOK)
    shown = boards.add_mutually_exclusive_group()
    shown.add_argument("name", nargs="?", help="a board's name or YAML file")
    shown.add_argument("--profiles", action="store_true", help="cores with kernel libraries")
    _json(boards)

    _calibration(commands)

    schema = commands.add_parser("schema", help="the JSON Schema of a file that you write")
    schema.set_defaults(module=LOOK)
    schema.add_argument("kind", choices=SCHEMAS, help="what the file is")

    policies = commands.add_parser("policies", help="the policies and their parameters")
    policies.set_defaults(module=LOOK)
    which = policies.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", help="a policy's name")
    which.add_argument(
        "--check", metavar="P", help="does it keep the rules? a name or module:Class"
    )
    _json(policies)
    return made


def _run(commands: Any) -> None:
    run = commands.add_parser("run", help="compare a scenario's policies and deploy the winner")
    run.add_argument("scenario", help="a YAML file, or the name of a built-in one")
    _policies(run)
    run.add_argument("-o", "--output", metavar="DIR", help="where the files go (out/NAME)")
    run.add_argument("--frames", type=_positive, metavar="N", help="instead of the scenario's")
    run.add_argument("--seed", type=int, metavar="N", help="instead of the scenario's")
    run.add_argument(
        "--seeds", type=_positive, default=1, metavar="N", help="so many runs side by side (1)"
    )
    _json(run)


def _model_on_board(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", help="a .tflite file")
    command.add_argument("--board", required=True, metavar="B", help="a name or a YAML file")
    command.add_argument("--profile", metavar="P", help="core and kernel library (the board's)")
    command.add_argument("--sram", metavar="SIZE", help='the budget, as "320KiB" or "256 KB"')
    command.add_argument("--minimize", choices=MINIMIZE, default=MINIMIZE[0], help="(latency)")
    command.add_argument("--kernels", choices=KERNELS, default=KERNELS[0], help="(reference)")
    command.add_argument(
        "--runtime", choices=RUNTIMES, default=RUNTIMES[0],
        help="tflm, or an engine compiled ahead of time, to which ops cost no bytes (tflm)",
    )  # fmt: skip


def _policies(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--policy", nargs="+", action="extend", metavar="P", default=None,
        help='such as spill, "spill(storage=sdram, window=0)" or a+b; all when left out',
    )  # fmt: skip


def _diff(commands: Any) -> None:
    diff = commands.add_parser("diff", help="two results side by side: what changed, and why")
    for name in ("a", "b"):
        diff.add_argument(name, metavar=name.upper(), help="a result.json, or its directory")
    diff.set_defaults(module="sim.commands.diff")
    _json(diff)


def _calibration(commands: Any) -> None:
    validate = commands.add_parser("validate", help="the simulation beside published measurements")
    _measurements(validate)
    validate.set_defaults(module="sim.calibration.commands")
    validate.add_argument(
        "--arena", nargs="+", metavar="MODEL", help="the arenas of these models beside TFLM's"
    )
    validate.add_argument("--all", action="store_true", help="every point, not only the groups")
    validate.add_argument("--plot", metavar="FILE", help="simulated over measured, .png or .svg")
    _json(validate)

    calibrate = commands.add_parser("calibrate", help="fit cost profiles to measurements")
    _measurements(calibrate)
    calibrate.set_defaults(module="sim.calibration.commands")
    calibrate.add_argument("--profile", metavar="P", help="only this one")
    calibrate.add_argument(
        "--from", dest="prior", metavar="P", help="the profile whose ratios to start from (generic)"
    )
    calibrate.add_argument("-o", "--output", metavar="DIR", help="where a YAML for each goes")
    _json(calibrate)


def _measurements(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "measurements", nargs="?", metavar="CSV", help="instead of those that ship"
    )


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON document on stdout")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {text}, wanted 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
