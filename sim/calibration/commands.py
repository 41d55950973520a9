"""The commands around measurements: fit profiles to them, and see how far the simulation is."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from sim.commands import FAILED, OK
from sim.errors import ConfigError, SpillwayError
from sim.result import dumps
from sim.terminal import progress_shown, write

ARENA_BOUND = 0.01
"""The share by which a predicted arena may differ from TFLM's in all."""


def calibrate(options: argparse.Namespace) -> int:
    """Fits cost profiles to measurements and writes them as YAML."""
    from sim.calibration.shipped import Recipe, calibrated, recipes
    from sim.files import write_whole

    rows = None
    asked = recipes()
    if options.measurements is not None:
        from sim.calibration.measurements import read_measurements

        rows = read_measurements(Path(options.measurements))
        names = dict.fromkeys(row.profile for row in rows if row.profile)
        known = {recipe.name: recipe for recipe in asked}
        asked = tuple(known.get(name, Recipe(name, name)) for name in names)
        if not asked:
            where = options.measurements
            raise ConfigError(where, None, "profile", "nothing", "the name of a profile to fit")
    if options.profile:
        asked = tuple(r for r in asked if r.name == options.profile)
        if not asked:
            wanted = "a profile of the measurements"
            raise SpillwayError(f"--profile: found {options.profile!r}, wanted {wanted}")
    if options.prior:
        asked = tuple(dataclasses.replace(recipe, prior=options.prior) for recipe in asked)
    with progress_shown() as progress:
        found = []
        for recipe, (fit, text) in zip(asked, calibrated(asked, rows), strict=True):
            progress(recipe.name)
            found.append((fit, text))
    for fit, text in found:
        if options.output is not None:
            write_whole(Path(options.output) / f"{fit.profile.name}.yaml", text)
    if options.json:
        from sim.render.calibration import fit_document

        write(dumps({"profiles": [fit_document(fit) for fit, _ in found]}))
        return OK
    from sim.render.calibration import show_fits

    show_fits([fit for fit, _ in found], options.output)
    return OK


def validate(options: argparse.Namespace) -> int:
    """Published measurements beside the simulation."""
    from sim.calibration.measurements import read_measurements, shipped
    from sim.calibration.validate import validate as validated
    from sim.render.calibration import plot_validation, show_validation
    from sim.render.plot import check_plot

    if options.plot is not None:
        check_plot(options.plot)
    if options.arena:
        return _validate_arenas(options)
    path = options.measurements
    found = validated(shipped() if path is None else read_measurements(Path(path)))
    if options.plot is not None:
        plot_validation(found, options.plot)
    if options.json:
        write(dumps(found.document()))
    else:
        show_validation(found, every=options.all)
    return OK


def _validate_arenas(options: argparse.Namespace) -> int:
    """Exit code 1 if the head differs anywhere, or the total by more than a hundredth."""
    from sim.calibration.arena import check_arenas
    from sim.deploy.runtimes import run_tflm
    from sim.render.calibration import show_arenas

    def recorded(model: bytes) -> tuple[int, int]:
        run = run_tflm(model, ())
        return run.head_bytes, run.tail_bytes

    found = check_arenas(options.arena, recorded)
    good = all(c.head == c.tflm_head and abs(c.error) <= ARENA_BOUND for c in found)
    if options.json:
        write(dumps({"arenas": [dataclasses.asdict(c) for c in found], "good": good}))
    else:
        show_arenas(found)
    return OK if good else FAILED
