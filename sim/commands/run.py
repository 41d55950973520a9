"""Commands that compare policies, deploy the winner and prove it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sim.commands import FAILED, OK
from sim.commands.arguments import all_policies, choices, model_on_board
from sim.errors import SpillwayError
from sim.files import write_together
from sim.result import Source, dumps, read_source
from sim.terminal import progress_shown, warn, write

if TYPE_CHECKING:
    from sim.compare import Comparison


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
            ready.graph, ready.board, ready.goal, choices(options.policy) or scenario.choices,
            play, frames=frames, seed=seed, progress=progress, usage=scenario.usage,
            workload=scenario.workload, residents=ready.residents,
        )  # fmt: skip
        if options.seeds > 1:
            found = over_seeds(found, play, frames=frames, seed=seed, seeds=options.seeds)
    title = scenario.title or f"{scenario.name}: {scenario.model.name}"
    return _deploy(
        options, ready.source, found, name=scenario.name, title=title, seed=seed,
        frames=frames,
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
    source, graph, board, goal = model_on_board(options)
    asked = choices(options.policy) or all_policies()
    with progress_shown() as progress:
        found = compare_policies(
            graph, board, goal, asked, play,
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
    source, graph, board, goal = model_on_board(options)
    asked = choices(options.policy) or all_policies()
    name = Path(source.path).stem
    with progress_shown() as progress:
        found = front(
            graph, board, goal, asked, play,
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

    source, graph, board, goal = model_on_board(options)
    asked = choices(options.policy) or all_policies()
    with progress_shown() as progress:
        found = compare_policies(
            graph, board, goal, asked, play, seed=options.seed, progress=progress
        )
    name = Path(source.path).stem
    return _deploy(
        options, source, found, name=name, title=source.path, seed=options.seed, frames=1
    )


def _deploy(
    options: argparse.Namespace,
    source: Source,
    found: Comparison,
    *,
    name: str,
    title: str,
    seed: int,
    frames: int,
) -> int:
    from sim.commands.artefacts import REPORT, artefacts
    from sim.deployment import deploy_winner
    from sim.result import comparison_document

    directory = Path(options.output or Path("out") / name)
    with progress_shown(searching=False) as progress:
        progress("verifying the winner in LiteRT and TFLM")
        document = comparison_document(source, found, name, seed)
        deployed = deploy_winner(directory, source, found, document, seed)
        progress("drawing what shows the winner")
        made = artefacts(found, source, deployed, title=title, seed=seed, frames=frames)
        contents = {**deployed.contents, **made.contents}
        write_together(
            {directory / file: content for file, content in contents.items()},
            obsolete=[directory / file for file in made.missing],
        )
    if options.json:
        for why in made.missing.values():
            warn(f"not written: {why}")
        write(dumps(deployed.document))
    else:
        from sim.render.tables import show_comparison, show_facts
        from sim.render.winner import show_winner

        show_comparison(found, title)
        show_winner(found)
        report = [("report", (directory / REPORT).as_posix())] if REPORT in contents else []
        show_facts(
            [
                ("verified", deployed.verdict),
                ("written", f"{directory.as_posix()}/: {', '.join(contents)}"),
                *report,
                *(("not written", why) for why in made.missing.values()),
            ]
        )
    return OK if found.best.fits(found.goal) and deployed.good else FAILED


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
